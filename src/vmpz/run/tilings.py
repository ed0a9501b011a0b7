"""The tiling of a run: what the parameters say, or what suits the inputs."""

from vmpz.frames import Manifest
from vmpz.parameters import Parameters
from vmpz.readers.descriptors import read_tiles
from vmpz.run.plan import PlanError
from vmpz.tiles import Tiling, tiling

__all__ = ["tiling_of"]

DEFAULTS = {"euclid-mer": "euclid-wide"}


def tiling_of(parameters: Parameters, manifest: Manifest) -> Tiling:
    """The tiling of a survey.

    Raises
    ------
    PlanError
        No tiling is named and the readers of the inputs want different ones; mer-tiles without a location; or deep or
        calibration tiles on the regular grid, which does not know them.
    """
    chosen = parameters.tiling
    kind = chosen.kind or _default(manifest)
    if kind == "mer-tiles":
        if chosen.location is None:
            raise PlanError("[tiling] kind = mer-tiles needs location: the folder of the tile descriptors")
        return tiling(kind, areas=read_tiles(chosen.location))
    if kind == "euclid-wide" and parameters.survey.use_case != "WIDE":
        raise PlanError(
            f"[tiling] kind must be mer-tiles for use case {parameters.survey.use_case}: the regular grid holds wide "
            "tiles only"
        )
    if kind == "healpix":
        return tiling(kind, order=chosen.order)
    if kind == "inputs":
        return tiling(kind, areas={ref.area: ref.outline() for ref in manifest})
    return tiling(kind)


def _default(manifest: Manifest) -> str:
    kinds = {DEFAULTS.get(ref.reader, "inputs"): ref.reader for ref in manifest}
    if len(kinds) > 1:
        found = ", ".join(f"{kind} for {reader}" for kind, reader in sorted(kinds.items()))
        raise PlanError(f"[tiling] kind must be said where readers differ; their defaults are {found}")
    return next(iter(kinds))
