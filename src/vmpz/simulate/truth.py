"""The truth of a simulated survey, in closed form where there is one.

Detectors are rectangles of one tangent plane, so the plane falls into disjoint rectangles with a constant number of
exposures, whose solid angles are exact. What a tile's core or image cuts out of them is a polygon with great-circle
edges (a parallel is 256 edges of the same area); saturated cores and bad columns are disjoint by
construction, so flagged areas add.

``truth.json`` holds the survey: tiles with areas by number of exposures, flagged and covered, bands with noise and
5-sigma depth by number of exposures, stars. ``exposures-<instrument>.fits`` holds the rectangles: corners (deg),
number of exposures, solid angle (deg2).
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from vmpz.files.write import write_text
from vmpz.simulate.bands import Band
from vmpz.simulate.field import Discs, Rectangles, Sky
from vmpz.simulate.fitsfile import fits_file
from vmpz.simulate.geometry import (
    SQUARE_DEGREES_PER_STERADIAN,
    Plane,
    clip_to_rectangle,
    polygon_area_sr,
    rectangle_area_sr,
    regular_polygon,
    to_angles,
)
from vmpz.simulate.pixels import FULL_DEPTH_EXPOSURES, REFERENCE_PIXEL_ARCSEC, Grid
from vmpz.simulate.tables import POLYGON_MASK_CORNERS, is_disc
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Polygon, covered_fractions
from vmpz.sky.skymap import SkyMap
from vmpz.tiles import WideTile

__all__ = [
    "areas_by_exposures",
    "core_polygon",
    "covered_areas",
    "depth_mag",
    "exposure_rectangles",
    "image_polygon",
    "observed_fractions",
    "write_truth",
]

Array = NDArray[np.floating[Any]]

EDGES_OF_A_PARALLEL = 256
EDGES_OF_A_DISC = 128
DEPTH_SNR, DEPTH_APERTURE_ARCSEC = 5.0, 2.0


def write_truth(folder: Path, sky: Sky, grids: Sequence[Grid], bands: Sequence[Band], order: int) -> None:
    """Write ``truth.json`` and the tables of rectangles."""
    instruments = sorted({band.instrument for band in bands})
    for name in instruments:
        _write_rectangles(folder / f"exposures-{name}.fits", sky, name)
    content = {
        "seed": sky.seed,
        "size": grids[0].size,
        "pixel_arcsec": grids[0].pixel_arcsec,
        "order": order,
        "survey_plane": {"lon_deg": sky.centre_deg[0], "lat_deg": sky.centre_deg[1]},
        "bands": {band.name: _band_truth(band, grids[0].pixel_arcsec) for band in bands},
        "tiles": {grid.tile.id: _tile_truth(sky, grid, instruments) for grid in grids},
        "stars": _star_truth(sky),
    }
    write_text(folder / "truth.json", json.dumps(content, indent=1) + "\n")


# -- exposures ----------------------------------------------------------------------------------------------


def exposure_rectangles(
    sky: Sky, instrument: str, *, most: int | None = None
) -> tuple[Rectangles, NDArray[np.int64]]:
    """Disjoint rectangles of the survey plane that together are the observed area, and the exposures of each.

    Numbers above `most` are not told apart: with 1, the rectangles are just the observed area, and fewer.
    """
    rect = sky.detectors(instrument).rectangles
    x, y = np.unique((rect.x0, rect.x1)), np.unique((rect.y0, rect.y1))
    change = np.zeros((x.size, y.size), np.int64)
    for edge_x, edge_y, step in (
        (rect.x0, rect.y0, 1),
        (rect.x1, rect.y0, -1),
        (rect.x0, rect.y1, -1),
        (rect.x1, rect.y1, 1),
    ):
        np.add.at(change, (np.searchsorted(x, edge_x), np.searchsorted(y, edge_y)), step)
    number = change.cumsum(axis=0).cumsum(axis=1)
    number = number if most is None else np.minimum(number, most)
    column, first = np.nonzero(np.diff(number, axis=1, prepend=0))
    following = np.append(first[1:], 0)
    count = number[column, first]
    observed = count > 0
    column, first, following = column[observed], first[observed], following[observed]
    return Rectangles(x[column], x[column + 1], y[first], y[following]), count[observed]


def areas_by_exposures(polygon: Array, rectangles: Rectangles, number: NDArray[np.int64]) -> dict[int, float]:
    """Square degrees of a polygon of the survey plane by number of exposures."""
    inside, cut = _against(polygon, rectangles)
    area = np.where(
        inside, rectangle_area_sr(rectangles.x0, rectangles.x1, rectangles.y0, rectangles.y1), 0.0
    )
    for i in np.flatnonzero(cut):
        box = (rectangles.x0[i], rectangles.x1[i], rectangles.y0[i], rectangles.y1[i])
        area[i] = abs(polygon_area_sr(clip_to_rectangle(polygon, *box)))
    total = np.bincount(number, weights=area) * SQUARE_DEGREES_PER_STERADIAN
    return {int(n): float(total[n]) for n in np.flatnonzero(total)}


def _against(polygon: Array, rectangles: Rectangles) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rectangles wholly inside the polygon, and those that its boundary may cut."""
    after = np.roll(polygon, -1, axis=0)
    low, high = np.minimum(polygon, after), np.maximum(polygon, after)
    cut = np.zeros(len(rectangles), bool)
    inside = np.zeros(len(rectangles), bool)
    x, y = 0.5 * (rectangles.x0 + rectangles.x1), 0.5 * (rectangles.y0 + rectangles.y1)
    for (px, py), (qx, qy), (lx, ly), (hx, hy) in zip(polygon, after, low, high, strict=True):
        cut |= (rectangles.x0 <= hx) & (rectangles.x1 >= lx) & (rectangles.y0 <= hy) & (rectangles.y1 >= ly)
        if py != qy:
            inside ^= ((py > y) != (qy > y)) & (x < px + (y - py) * (qx - px) / (qy - py))
    return inside & ~cut, cut


def observed_fractions(sky: Sky, instrument: str, cells: CellSet) -> SkyMap:
    """Exact observed fraction of each of some cells; cells that nothing observed are absent."""
    rectangles, _ = exposure_rectangles(sky, instrument, most=1)
    lon, lat = to_angles(rectangles.quads(sky.plane).corners)
    outlines = [Polygon(corners) for corners in np.stack((lon, lat), axis=2)]
    return covered_fractions(outlines, cells.order, cells=cells)


def _write_rectangles(path: Path, sky: Sky, instrument: str) -> None:
    rectangles, number = exposure_rectangles(sky, instrument)
    corners = np.stack(to_angles(rectangles.quads(sky.plane).corners), axis=2).reshape(-1, 8)
    area = rectangle_area_sr(rectangles.x0, rectangles.x1, rectangles.y0, rectangles.y1)
    columns = [
        fits.Column("POLYGON", "8D", unit="deg", array=corners),
        fits.Column("NEXP", "1J", array=number),
        fits.Column("AREA", "1D", unit="deg2", array=area * SQUARE_DEGREES_PER_STERADIAN),
    ]
    with fits_file(path) as file:
        file.add(fits.PrimaryHDU())
        file.add(fits.BinTableHDU.from_columns(columns, name="EXPOSURES"))


# -- tiles --------------------------------------------------------------------------------------------------


def core_polygon(tile: WideTile, plane: Plane) -> Array:
    """Core of a tile in the survey plane: two meridians and two parallels, a parallel as 256 edges."""
    vectors = [
        _parallel(tile.west_deg, tile.east_deg, max(tile.south_deg, -90.0)),
        _parallel(tile.east_deg, tile.west_deg, min(tile.north_deg, 90.0)),
    ]
    return np.stack(plane.project(np.concatenate(vectors)), axis=1)


def _parallel(start_deg: float, stop_deg: float, lat_deg: float) -> Array:
    """Directions along a parallel, (257, 3), or the pole.

    Great-circle edges between points of the parallel would cut off area towards the equator, so the points stand at
    the colatitude c' where each triangle with the pole, tan(E/2) = tan^2(c'/2) sin d / (1 + tan^2(c'/2) cos d),
    has the area d (1 - cos c) of its sector.
    """
    if abs(lat_deg) == 90.0:
        return unit_vectors([start_deg], [lat_deg])
    lon = np.linspace(start_deg, stop_deg, EDGES_OF_A_PARALLEL + 1)
    step = math.radians(abs(stop_deg - start_deg)) / EDGES_OF_A_PARALLEL
    height = 2.0 * math.sin(math.radians(90.0 - abs(lat_deg)) / 2.0) ** 2
    half = math.tan(0.5 * step * height)
    colatitude = 2.0 * math.atan(math.sqrt(half / (math.sin(step) - half * math.cos(step))))
    return unit_vectors(lon, math.copysign(90.0 - math.degrees(colatitude), lat_deg))


def image_polygon(grid: Grid, plane: Plane) -> Array:
    """Outer pixel edges of an image in the survey plane."""
    return np.stack(plane.project(grid.plane.vectors(*grid.corners().T)), axis=1)


def covered_areas(sky: Sky, tile: WideTile, instrument: str) -> dict[str, Any]:
    """Areas (deg2) of a tile's core.

    By number of exposures; observed; flagged as bad columns and saturated cores; covered, that is observed and not
    flagged; inside star masks, which hold the cores; and covered outside star masks.
    """
    polygon = core_polygon(tile, sky.plane)
    exposures = exposure_rectangles(sky, instrument)
    columns = sky.columns(instrument)
    once = np.ones(len(columns), np.int64)
    by_number = areas_by_exposures(polygon, *exposures)
    observed = sum(by_number.values())
    flagged = sum(areas_by_exposures(polygon, columns, once).values())
    saturated = outlines_area(sky, tile, disc_polygons(sky.cores), *exposures)
    masks = star_mask_polygons(sky)
    masked = outlines_area(sky, tile, masks, *exposures)
    return {
        "area_by_exposures_deg2": by_number,
        "observed_deg2": observed,
        "bad_columns_deg2": flagged,
        "saturated_deg2": saturated,
        "covered_deg2": observed - flagged - saturated,
        "star_masks_deg2": masked,
        "covered_outside_star_masks_deg2": observed
        - masked
        - (flagged - outlines_area(sky, tile, masks, columns, once)),
    }


def outlines_area(
    sky: Sky, tile: WideTile, outlines: Sequence[Array], rectangles: Rectangles, number: NDArray[np.int64]
) -> float:
    """Area (deg2) that disjoint small polygons (directions), disjoint rectangles and a core have in common."""
    total = 0.0
    for outline in outlines:
        polygon = _clip_to_core(outline, tile)
        if len(polygon):
            points = np.stack(sky.plane.project(polygon), axis=1)
            (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
            near = (rectangles.x0 < x1) & (rectangles.x1 > x0) & (rectangles.y0 < y1) & (rectangles.y1 > y0)
            total += sum(areas_by_exposures(points, rectangles[near], number[near]).values())
    return total


def disc_polygons(discs: Discs) -> list[Array]:
    """Directions around each disc, its radius enlarged so that the polygon has the area of the disc."""
    step = 2.0 * math.pi / EDGES_OF_A_DISC
    grown = discs.radii * math.sqrt(step / math.sin(step))
    return [
        regular_polygon(centre, float(radius), EDGES_OF_A_DISC)
        for centre, radius in zip(discs.centres, grown, strict=True)
    ]


def star_mask_polygons(sky: Sky) -> list[Array]:
    """Directions around each star mask."""
    return [
        disc if is_disc(number) else regular_polygon(centre, float(radius), POLYGON_MASK_CORNERS)
        for number, (disc, centre, radius) in enumerate(
            zip(disc_polygons(sky.halos), sky.halos.centres, sky.halos.radii, strict=True)
        )
    ]


def _clip_to_core(vectors: Array, tile: WideTile) -> Array:
    """The part of a small polygon (directions) inside a core, cut at its meridians and parallels."""
    middle, half = 0.5 * (tile.west_deg + tile.east_deg), 0.5 * (tile.east_deg - tile.west_deg)

    def beyond(lon_deg: float, sign: float) -> Any:
        """Height above the plane of a meridian; positive to its east for sign +1."""
        normal = sign * np.array([-math.sin(math.radians(lon_deg)), math.cos(math.radians(lon_deg)), 0.0])
        return lambda v: v @ normal

    def above(lat_deg: float, sign: float) -> Any:
        return lambda v: sign * (v[:, 2] / np.linalg.norm(v, axis=1) - math.sin(math.radians(lat_deg)))

    heights = [beyond(middle - half, 1.0), beyond(middle + half, -1.0)]
    heights += [above(tile.south_deg, 1.0)] if tile.south_deg > -90.0 else []
    heights += [above(tile.north_deg, -1.0)] if tile.north_deg < 90.0 else []
    for height in heights:
        vectors = _clip(vectors, height)
    return vectors


def _clip(vectors: Array, height: Any) -> Array:
    """The part of a polygon where `height` is not negative; edges are short, so it is linear along them."""
    if len(vectors) == 0:
        return vectors
    here = height(vectors)
    after, there = np.roll(vectors, -1, axis=0), np.roll(here, -1)
    crosses = (here >= 0) != (there >= 0)
    share = np.divide(here, here - there, out=np.zeros_like(here), where=crosses)
    crossing = vectors + share[:, None] * (after - vectors)
    kept = np.stack((here >= 0, crosses), axis=1).ravel()
    return np.asarray(np.stack((vectors, crossing), axis=1).reshape(-1, 3)[kept])


def _tile_truth(sky: Sky, grid: Grid, instruments: Sequence[str]) -> dict[str, Any]:
    core, image = core_polygon(grid.tile, sky.plane), image_polygon(grid, sky.plane)
    return {
        "lon_deg": grid.tile.lon_deg,
        "lat_deg": grid.tile.lat_deg,
        "core_deg": [grid.tile.west_deg, grid.tile.east_deg, grid.tile.south_deg, grid.tile.north_deg],
        "core_area_deg2": abs(polygon_area_sr(core)) * SQUARE_DEGREES_PER_STERADIAN,
        "image_corners_deg": np.stack(grid.plane.angles(*grid.corners().T), axis=1).tolist(),
        "image_area_deg2": abs(polygon_area_sr(image)) * SQUARE_DEGREES_PER_STERADIAN,
        "core": {name: covered_areas(sky, grid.tile, name) for name in instruments},
        "image": {
            name: {"area_by_exposures_deg2": areas_by_exposures(image, *exposure_rectangles(sky, name))}
            for name in instruments
        },
    }


# -- bands and stars ----------------------------------------------------------------------------------------


def _rms(band: Band, exposures: int, pixel_arcsec: float) -> float:
    """Noise of a pixel."""
    return band.rms * pixel_arcsec / REFERENCE_PIXEL_ARCSEC * math.sqrt(FULL_DEPTH_EXPOSURES / exposures)


def depth_mag(band: Band, exposures: int, pixel_arcsec: float = REFERENCE_PIXEL_ARCSEC) -> float:
    """Depth in an aperture, ``ZP - 2.5 log10(n RMS sqrt(pi (D/2)^2 / A_pix))``, for any size of pixel."""
    aperture_px = math.pi * (DEPTH_APERTURE_ARCSEC / 2.0) ** 2 / pixel_arcsec**2
    noise = DEPTH_SNR * _rms(band, exposures, pixel_arcsec) * math.sqrt(aperture_px)
    return band.zero_point_mag - 2.5 * math.log10(noise)


def _band_truth(band: Band, pixel_arcsec: float) -> dict[str, Any]:
    rms = {n: _rms(band, n, pixel_arcsec) for n in range(1, 17)}
    depth = {n: depth_mag(band, n, pixel_arcsec) for n in rms}
    return {
        "instrument": band.instrument,
        "zero_point_mag": band.zero_point_mag,
        "rms_by_exposures": rms,
        "depth_5sigma_2arcsec_mag_by_exposures": depth,
        "exposure_time_s": band.exposure_time_s,
        "background_centre_x_y_per_deg": [band.background, 0.05 * band.background, 0.03 * band.background],
        "fwhm_arcsec_centre_x_y_per_deg": [
            band.fwhm_arcsec,
            0.02 * band.fwhm_arcsec,
            -0.01 * band.fwhm_arcsec,
        ],
    }


def _star_truth(sky: Sky) -> list[dict[str, float]]:
    lon, lat = to_angles(sky.halos.centres)
    return [
        {
            "lon_deg": float(lon[i]),
            "lat_deg": float(lat[i]),
            "halo_radius_deg": math.degrees(halo),
            "core_radius_deg": math.degrees(core),
            "halo_area_deg2": _disc_area_deg2(halo),
            "core_area_deg2": _disc_area_deg2(core),
        }
        for i, (halo, core) in enumerate(zip(sky.halos.radii.tolist(), sky.cores.radii.tolist(), strict=True))
    ]


def _disc_area_deg2(radius: float) -> float:
    """``2 pi (1 - cos r)``."""
    return 4.0 * math.pi * math.sin(radius / 2.0) ** 2 * SQUARE_DEGREES_PER_STERADIAN
