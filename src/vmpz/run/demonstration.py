"""What `vmpz demo` shows of stage 2: a patch in every form, a mask from cuts, a release, the provenance of a run."""

import typing
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from vmpz.files.write import write_text
from vmpz.parameters import Form, Parameters, as_toml, load
from vmpz.run import releases
from vmpz.run.masks import MaskRequest, make_mask
from vmpz.run.provenance import write_prov
from vmpz.run.store import Store

__all__ = ["demonstrate", "parameters_for"]

WHERE = "depth_VIS > 25 and coverage_NIR_Y > 0.8"
RELEASE = "demo-1"


def parameters_for(survey: Path, out: Path) -> Parameters:
    """Parameters of a simulated survey whose patch is written in every form there is here; kept at `out`."""
    parameters = load(survey)
    forms = [form for form in typing.get_args(Form) if form != "healsparse" or find_spec("healsparse")]
    patches = [
        patch.model_copy(update={"forms": forms, "multi_band": "hdus"}) for patch in parameters.patches
    ]
    mangle = parameters.mangle.model_copy(update={"kinds": ["footprint", "coverage"]})
    shown = parameters.model_copy(update={"patches": patches, "mangle": mangle})
    write_text(out, as_toml(shown))
    return shown


def demonstrate(store: str | Path, out: Path) -> Iterator[str]:
    """Cut a mask, freeze a release, write the provenance; a line about each."""
    told = make_mask(MaskRequest((str(store),), WHERE, area="demo"), out / "mask.fits")
    yield f"mask {out / 'mask.fits'}: {told['kept_deg2']:.4f} of {told['within_deg2']:.4f} deg2 where {WHERE}"
    place = Store(store)
    if RELEASE not in {one.name for one in releases.releases(place)}:
        releases.create(place, RELEASE)
    verdict = releases.verify(place, RELEASE)
    yield f"release {RELEASE}: {verdict.files} files, {len(verdict.faults)} faults"
    write_prov(store, out / "provenance.json")
    yield f"provenance {out / 'provenance.json'}"
