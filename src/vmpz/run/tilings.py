"""The tiling of a run: what the parameters say, or what suits the inputs."""

import math
from collections.abc import Iterator

import numpy as np

from vmpz.errors import InputError
from vmpz.frames import FrameRef, Manifest
from vmpz.parameters import Parameters
from vmpz.readers.descriptors import read_tiles
from vmpz.run.plan import PlanError
from vmpz.run.regions import region_of
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Polygon
from vmpz.tiles import Tiling, tangent_frame, tile, tiling

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
        return tiling(kind, areas={ref.area: _outline(ref) for ref in manifest})
    if kind == "patches":
        return tiling(kind, areas=dict(_patch_areas(parameters)))
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


def _outline(ref: FrameRef) -> Polygon:
    """Outline of an image, or the box around the detectors of an exposure in the plane that touches its middle."""
    if ref.exposures is None:
        return ref.outline()
    vectors = unit_vectors(*ref.exposures.corners.reshape(-1, 2).T)
    x, y, z = vectors.sum(axis=0)
    lon, lat = math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))
    centre, east, north = tangent_frame(lon, lat)
    across, up = (vectors @ east) / (vectors @ centre), (vectors @ north) / (vectors @ centre)
    box = [
        (i(across), j(up))
        for i, j in ((np.min, np.min), (np.max, np.min), (np.max, np.max), (np.min, np.max))
    ]
    x, y, z = np.transpose([centre + i * east + j * north for i, j in box])
    return Polygon(
        np.stack((np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))), axis=1)
    )


def _patch_areas(parameters: Parameters) -> Iterator[tuple[str, CellSet]]:
    for patch in parameters.patches:
        region = region_of(patch)
        if region is None:
            raise PlanError(
                f"patch {patch.name}: must be a moc, a polygon or a cap to be an area of [tiling] kind = patches"
            )
        yield patch.name, region.cells(parameters.maps.order)


def _default(manifest: Manifest) -> str:
    """That of mosaics where there are any; exposures have no tiles of their own."""
    mosaics = [ref for ref in manifest if ref.exposures is None]
    if not mosaics:
        return "healpix"
    kinds = {DEFAULTS.get(ref.reader, "inputs"): ref.reader for ref in mosaics}
    if len(kinds) > 1:
        found = ", ".join(f"{kind} for {reader}" for kind, reader in sorted(kinds.items()))
        raise PlanError(f"[tiling] kind must be said where readers differ; their defaults are {found}")
    return next(iter(kinds))
