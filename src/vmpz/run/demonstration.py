"""What `vmpz demo` shows of stage 2: a patch in every form, a mask, a release, provenance, randoms and their test."""

import typing
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from vmpz import io
from vmpz.files.write import write_text
from vmpz.parameters import Form, Parameters, as_toml, load
from vmpz.run import releases
from vmpz.run.masks import MaskRequest, make_mask
from vmpz.run.provenance import write_prov
from vmpz.run.randomrequests import request_of_survey
from vmpz.run.randoms import draw_catalogue
from vmpz.run.store import Store
from vmpz.run.validation import Validation, ValidationRequest, validate_file

__all__ = ["demonstrate", "draw_randoms", "parameters_for"]

WHERE = "depth_VIS > 25 and coverage_NIR_Y > 0.8"
RELEASE = "demo-1"
FOLLOWED, ATTRIBUTED = "counts", "deep"
"""Class whose true visibility is known in closed form, and class with redshifts."""
CATALOGUE = "randoms.fits"
"""Catalogue of the first."""
RANDOMS, FULL_PIXELS = 400_000, 4 * 1200**2
"""Points that follow the first, and pixels of a band that they go with."""


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


def draw_randoms(
    parameters: Parameters, store: Path, survey: Path, out: Path, pixels: int
) -> Iterator[tuple[str, Validation | None]]:
    """Draw a catalogue of both classes, and test that of number counts against the truth; a line about each.

    Their number goes with that of the pixels of a band: many more points would show that pixels are no cells.
    """
    path, folder = out / CATALOGUE, out / "randoms-with-redshifts"
    exact = {"scheme": "exact", "number": RANDOMS * min(pixels, FULL_PIXELS) // FULL_PIXELS}
    told = draw_catalogue(request_of_survey(parameters, store, FOLLOWED, exact), path)
    yield f"randoms {path}: {told['rows']} points in {told['area_deg2']:.4f} deg2, seed {told['seed']}", None
    attributes = {"attributes": True, "maps": ["depth_VIS"]}
    told = draw_catalogue(request_of_survey(parameters, store, ATTRIBUTED, attributes), folder)
    names = ", ".join(io.open_random(folder).columns)
    yield f"randoms {folder}: {told['rows']} points; {names}", None
    true = survey / "truth" / f"visibility-{FOLLOWED}.fits"
    found = validate_file(ValidationRequest(path, (true,)))
    verdict = "all tests passed" if found.passed else f"failed: {', '.join(found.failed)}"
    deciles = found["deciles"]
    yield f"randoms against the true visibility: {verdict}; {deciles.meaning}: {deciles.statistic:.2f}", found
