"""The tiling of a run: what the parameters say, or what suits the inputs."""

import math

import numpy as np

from vmpz.errors import InputError
from vmpz.frames import FrameRef, Manifest
from vmpz.parameters import Parameters
from vmpz.readers.descriptors import read_tiles
from vmpz.run.plan import PlanError
from vmpz.sky.covers import unit_vectors
from vmpz.tiles import Tiling, tile, tiling

__all__ = ["must_be_regular", "tiling_of"]

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


def must_be_regular(ref: FrameRef) -> None:
    """Refuse an image that is not that of the regular tile of its name.

    Extended tiles keep their index and move their centre; DEEP and SPECIAL tiles may have an index in the range of the
    grid. What they own is not what the grid says, so they need the tiling mer-tiles.

    Raises
    ------
    InputError
        The centre is off by more than two pixels, or the area by more than 1 %.
    """
    image, regular = ref.outline(), tile(ref.area).outline()
    centres = [unit_vectors(*np.asarray(one.vertices).T).sum(axis=0) for one in (image, regular)]
    apart = np.linalg.norm(np.subtract(*(one / np.linalg.norm(one) for one in centres)))
    pixel = math.radians(math.sqrt(image.area_deg2 / (ref.shape[0] * ref.shape[1])))
    if apart > 2.0 * pixel or abs(image.area_deg2 / regular.area_deg2 - 1.0) > 0.01:
        raise InputError(
            f"{ref.name}: the image must be that of regular tile {ref.area}, {regular.area_deg2:.4f} deg2 about its "
            f"centre; found {image.area_deg2:.4f} deg2, centre off by {math.degrees(apart) * 3600.0:.1f} arcsec: "
            "extended, DEEP and SPECIAL tiles need [tiling] kind = mer-tiles"
        )


def _default(manifest: Manifest) -> str:
    kinds = {DEFAULTS.get(ref.reader, "inputs"): ref.reader for ref in manifest}
    if len(kinds) > 1:
        found = ", ".join(f"{kind} for {reader}" for kind, reader in sorted(kinds.items()))
        raise PlanError(f"[tiling] kind must be said where readers differ; their defaults are {found}")
    return next(iter(kinds))
