"""Maps on the pixels of a figure: gnomonic (lines are great circles) or all-sky (equal areas), as FITS WCS in ICRS.

Where a cell is at least `WIDE` pixels across, a pixel shows the value of the cell under its centre: no smoothing, and
no cell is missed. Where cells are smaller, a pixel shows the mean of what is listed under it, and is as opaque as the
listed share of it: a hole of half a pixel makes it half transparent, a cell alone on its pixel colours it faintly;
nothing comes and goes with the raster. Such pixels are sampled at a grid of points that no cell slips through, on cells
of the map degraded to about the size of a pixel. (At the limb of an all-sky figure, where pixels are sheared, a cell
that no point found is put into the pixel of its centre.)

Mollweide's projection keeps areas (Calabretta & Greisen 2002, A&A 395, 1077, sections 5.1.3 and 5.3.3).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.sky import hpx
from vmpz.sky.covers import lon_lat_deg, unit_vectors
from vmpz.sky.skymap import SkyMap

__all__ = ["PROJECTIONS", "Picture", "SkyFrame", "allsky", "chosen", "gnomonic", "sampled"]

Floats = NDArray[np.float64]
Cells = NDArray[np.int64]

PROJECTIONS = ("auto", "gnomonic", "allsky")
WIDEST_DEG = 60.0
"""Radius of what is still shown in a gnomonic projection is half of this."""
STEEPEST_DEG = 75.0
"""Largest radius of a gnomonic frame: scales grow as the square of the secant."""
DENSE = 0.4
"""Largest step of samples, in cells: no cell slips between them (tested)."""
WIDE = 1.0 / DENSE
"""Pixels across a cell from which on one sample a pixel finds every cell."""
MARGIN = 1.04
TALLEST, FLATTEST = 1.4, 0.35
"""Heights of a frame, of its width: of a map that is a strip more sky is shown beside it."""
MOST_CENTRES = 200_000
MOST_KEPT = 32
"""Sets of points of a frame whose cells are kept: 8 bytes a pixel each."""


@dataclass(frozen=True)
class SkyFrame:
    """The pixels of a figure on the sky.

    Attributes
    ----------
    wcs : WCS
        Two axes, RA and Dec (ICRS, degrees).
    shape : (rows, columns)
    pixel_deg : float
        Side of a pixel in the centre.
    kind : {'gnomonic', 'allsky'}
    """

    wcs: WCS
    shape: tuple[int, int]
    pixel_deg: float
    kind: str
    _cells: dict[tuple[int, float, float], Cells] = field(default_factory=dict, repr=False, compare=False)

    @property
    def pole(self) -> float | None:
        """Latitude of the pole inside a gnomonic frame, None if there is none."""
        if self.kind != "gnomonic":
            return None
        x, y = self.pixels(np.zeros(2), np.array([-90.0, 90.0]))
        inside = (x > -0.5) & (x < self.shape[1] - 0.5) & (y > -0.5) & (y < self.shape[0] - 0.5)
        return float(np.array([-90.0, 90.0])[inside][0]) if inside.any() else None

    def positions(self, dx: float = 0.0, dy: float = 0.0) -> tuple[Floats, Floats]:
        """Longitude and latitude of a point of every pixel, that many pixels off its centre; NaN off the sky."""
        columns, rows = np.meshgrid(np.arange(self.shape[1]) + dx, np.arange(self.shape[0]) + dy)
        lon, lat = self.wcs.all_pix2world(columns.ravel(), rows.ravel(), 0)
        return lon.reshape(self.shape), lat.reshape(self.shape)

    def cells(self, order: int, dx: float = 0.0, dy: float = 0.0) -> Cells:
        """Cells that hold these points, -1 off the sky; kept, for the next map on this frame."""
        known = (order, dx, dy)
        if known not in self._cells:
            lon, lat = self.positions(dx, dy)
            sky = np.isfinite(lon) & np.isfinite(lat)
            cells = np.full(self.shape, -1, np.int64)
            cells[sky] = hpx.cells_at(lon[sky], lat[sky], order)
            if len(self._cells) >= MOST_KEPT:
                self._cells.clear()
            self._cells[known] = cells
        return self._cells[known]

    def pixels(self, lon_deg: Floats, lat_deg: Floats) -> tuple[Floats, Floats]:
        """Columns and rows (from 0, of pixel centres) of positions; NaN behind a gnomonic frame."""
        lon, lat = (np.asarray(one, np.float64) for one in (lon_deg, lat_deg))
        if not lon.size:
            return np.empty(0), np.empty(0)
        x, y = self.wcs.all_world2pix(lon, lat, 0)
        if self.kind == "gnomonic":
            behind = unit_vectors(lon, lat) @ unit_vectors(*self.wcs.wcs.crval) <= 1e-3
            x, y = np.where(behind, np.nan, x), np.where(behind, np.nan, y)
        return np.asarray(x), np.asarray(y)


@dataclass(frozen=True)
class Picture:
    """A map on the pixels of a frame.

    Attributes
    ----------
    values : float64 (rows, columns)
        NaN where nothing is listed.
    listed : float64 (rows, columns)
        Share of the pixel that the map lists, 0 to 1.
    averaged : bool
        Whether a pixel may show the mean of several cells.
    """

    values: Floats
    listed: Floats
    averaged: bool


# -- frames -----------------------------------------------------------------------------------------------------------


def chosen(
    maps: Sequence[SkyMap],
    columns: int,
    projection: str = "auto",
    centre_deg: tuple[float, float] | None = None,
    radius_deg: float | None = None,
    beside: Sequence[Floats] = (),
) -> SkyFrame:
    """The frame that shows some maps.

    Parameters
    ----------
    maps : sequence of SkyMap
        At least one; all may be empty.
    columns : int
        Pixels across.
    projection : {'auto', 'gnomonic', 'allsky'}
        'auto' is gnomonic for what reaches at most 30 degrees from its centre.
    centre_deg : (lon, lat), optional
        Of the frame; default the middle of the maps. An all-sky frame takes the longitude alone.
    radius_deg : float, optional
        Of a gnomonic frame, from the centre to its sides; default what shows the maps whole.
    beside : sequence of float64 (m, 2)
        Positions (lon, lat) that are to be shown too.

    Raises
    ------
    InputError
        The projection does not exist, the centre is no position, or the maps or the radius reach too far for a
        gnomonic frame.
    """
    if projection not in PROJECTIONS:
        raise InputError(f"a projection must be one of {', '.join(PROJECTIONS)}, found {projection}")
    if centre_deg is not None and not (
        math.isfinite(centre_deg[0]) and math.isfinite(centre_deg[1]) and abs(centre_deg[1]) <= 90.0
    ):
        raise InputError(
            f"a centre must be a longitude and a latitude in degrees, found {centre_deg[0]:g} {centre_deg[1]:g}"
        )
    if radius_deg is not None and not 0.0 < radius_deg <= STEEPEST_DEG:
        raise InputError(
            f"the radius of a frame must lie in (0, {STEEPEST_DEG:g}] degrees, found {radius_deg:g}"
        )
    if projection == "allsky":
        return allsky(columns, None if centre_deg is None else centre_deg[0])
    lon, lat, cell_deg = _corners_of(maps)
    lon, lat = (
        np.concatenate([one, *(part[:, axis] for part in beside)]) for axis, one in enumerate((lon, lat))
    )
    centre = centre_deg or _middle(lon, lat)
    if radius_deg is not None:
        return gnomonic(columns, centre, (-radius_deg, radius_deg, -radius_deg, radius_deg))
    away = _away_deg(centre, lon, lat)
    if projection == "auto" and away > WIDEST_DEG / 2.0:
        return allsky(columns, None if centre_deg is None else centre_deg[0])
    if away > STEEPEST_DEG:
        raise InputError(
            f"a gnomonic figure must lie within {STEEPEST_DEG:g} degrees of its centre, found a map that reaches "
            f"{away:.0f}: choose a radius, or the projection allsky"
        )
    return gnomonic(columns, centre, _extent(centre, lon, lat, cell_deg, centred=centre_deg is not None))


def gnomonic(
    columns: int, centre_deg: tuple[float, float], extent_deg: tuple[float, float, float, float]
) -> SkyFrame:
    """A gnomonic frame.

    Parameters
    ----------
    columns : int
        Pixels across.
    centre_deg : (lon, lat)
        Where the plane touches the sphere.
    extent_deg : (left, right, bottom, top)
        Left, right, bottom and top side: angles from the centre along the axes of the plane.
    """
    left, right, bottom, top = (math.degrees(math.tan(math.radians(one))) for one in extent_deg)
    step = (right - left) / columns
    rows = max(1, round((top - bottom) / step))
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = [centre_deg[0] % 360.0, centre_deg[1]]
    wcs.wcs.cdelt = [-step, step]
    wcs.wcs.crpix = [0.5 - left / step, 0.5 + rows / 2.0 - (top + bottom) / 2.0 / step]
    wcs.wcs.set()
    return SkyFrame(wcs, (rows, columns), step, "gnomonic")


def allsky(columns: int, lon_deg: float | None = None) -> SkyFrame:
    """Mollweide's projection of the whole sphere, right ascension growing to the left.

    Parameters
    ----------
    columns : int
        Pixels across; half as many rows.
    lon_deg : float, optional
        Longitude of the middle; default 0.
    """
    columns += columns % 2
    step = 720.0 * math.sqrt(2.0) / math.pi / columns
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---MOL", "DEC--MOL"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.crval = [(lon_deg or 0.0) % 360.0, 0.0]
    wcs.wcs.cdelt = [-step, step]
    wcs.wcs.crpix = [(columns + 1) / 2.0, (columns // 2 + 1) / 2.0]
    wcs.wcs.set()
    return SkyFrame(wcs, (columns // 2, columns), step, "allsky")


def _corners_of(maps: Sequence[SkyMap]) -> tuple[Floats, Floats, float]:
    """Centres of many cells, or of their coarse parents, and how far these reach beyond (degrees)."""
    lon, lat, reach = [], [], 0.0
    for one in maps:
        cells, order = one.cells, one.order
        while len(cells) > MOST_CENTRES:
            order -= 1
            cells = cells.at_order(order)
        some = hpx.centres(cells.cells(), order)
        lon.append(some[0])
        lat.append(some[1])
        reach = max(reach, math.sqrt(hpx.cell_area_deg2(order))) if len(cells) else reach
    return np.concatenate(lon), np.concatenate(lat), reach


def _middle(lon: Floats, lat: Floats) -> tuple[float, float]:
    if not lon.size:
        return 0.0, 0.0
    mean = unit_vectors(lon, lat).mean(axis=0)
    if math.hypot(*mean) < 1e-9:
        return 0.0, 0.0
    at = lon_lat_deg(mean)
    return float(at[0]), float(at[1])


def _away_deg(centre: tuple[float, float], lon: Floats, lat: Floats) -> float:
    cosine = unit_vectors(lon, lat) @ unit_vectors(*centre) if lon.size else np.ones(1)
    return math.degrees(math.acos(float(np.clip(cosine.min(), -1.0, 1.0))))


def _extent(
    centre: tuple[float, float], lon: Floats, lat: Floats, cell_deg: float, *, centred: bool
) -> tuple[float, float, float, float]:
    """Sides of a gnomonic frame that shows positions with a margin."""
    if not lon.size:
        return (-0.5, 0.5, -0.5, 0.5)
    plane = gnomonic(1, centre, (-0.5, 0.5, -0.5, 0.5))
    x, y = (one * plane.pixel_deg for one in plane.pixels(lon, lat))
    spans = []
    for along in (x, y):
        low, high = float(along.min()) - cell_deg, float(along.max()) + cell_deg
        middle = 0.0 if centred else (low + high) / 2.0
        spans.append((middle, MARGIN * max(high - middle, middle - low)))
    least = spans[1][1] / TALLEST, spans[0][1] * FLATTEST
    sides = [
        math.degrees(math.atan(math.radians(middle + sign * max(half, some))))
        for (middle, half), some in zip(spans, least, strict=True)
        for sign in (-1.0, 1.0)
    ]
    return sides[0], sides[1], sides[2], sides[3]


# -- sampling ---------------------------------------------------------------------------------------------------------


def sampled(one: SkyMap, frame: SkyFrame, *, circular: bool = False, classes: bool = False) -> Picture:
    """A map on the pixels of a frame.

    Parameters
    ----------
    one : SkyMap
        NaN means not listed.
    frame : SkyFrame
    circular : bool
        Values are angles (degrees): their mean is the direction of the mean vector.
    classes : bool
        Values are names of things: a pixel shows that under its centre, or else any under it, never a mean.
    """
    known = one.where(np.isfinite(one.values)) if one.values.dtype.kind == "f" else one
    cell_deg = math.sqrt(hpx.cell_area_deg2(one.order))
    if cell_deg >= WIDE * frame.pixel_deg or not len(known):
        values = known.of_cells(frame.cells(known.order)).astype(np.float64)
        return Picture(values, np.isfinite(values).astype(np.float64), False)
    if classes:
        return _any_under(known, frame)
    if circular:
        turned = np.radians(known.values.astype(np.float64))
        parts = [_means(SkyMap(known.cells, law(turned)), frame) for law in (np.sin, np.cos)]
        angle = np.degrees(np.arctan2(parts[0].values, parts[1].values))
        some = known.values.min() < 0.0
        return Picture(angle if some else np.mod(angle, 360.0), parts[0].listed, True)
    return _means(known, frame)


def _means(one: SkyMap, frame: SkyFrame) -> Picture:
    """Mean of what is listed under each pixel, and the listed share of the pixel."""
    order = _order_for(one.order, frame.pixel_deg)
    sums, share = one, SkyMap(one.cells, np.ones(len(one)))
    if order < one.order:
        sums, share = one.degrade(order, "COVERAGE"), share.degrade(order, "COVERAGE")
    total, listed, points = np.zeros(frame.shape), np.zeros(frame.shape), np.zeros(frame.shape)
    for cells in _points(frame, order):
        total += sums.of_cells(cells, 0.0)
        listed += share.of_cells(cells, 0.0)
        points += cells >= 0
    if frame.kind == "allsky":
        _add_missed(sums, share, frame, total, listed)
    some = listed > 0.0
    values = np.full(frame.shape, np.nan)
    values[some] = total[some] / listed[some]
    return Picture(values, np.divide(listed, points, out=np.zeros(frame.shape), where=some), True)


def _add_missed(sums: SkyMap, share: SkyMap, frame: SkyFrame, total: Floats, listed: Floats) -> None:
    """Put cells into the pixels of their centres where no sample found any: at the limb pixels are sheared."""
    x, y = frame.pixels(*hpx.centres(sums.cells.cells(), sums.order))
    column = np.clip(np.rint(x), 0, frame.shape[1] - 1).astype(np.int64)
    row = np.clip(np.rint(y), 0, frame.shape[0] - 1).astype(np.int64)
    missed = listed[row, column] == 0.0
    np.add.at(total, (row[missed], column[missed]), sums.values[missed])
    np.add.at(listed, (row[missed], column[missed]), share.values[missed])


def _any_under(one: SkyMap, frame: SkyFrame) -> Picture:
    order = _order_for(one.order, frame.pixel_deg)
    coarse = one.degrade(order, "MODE") if order < one.order else one
    values, listed, points = np.full(frame.shape, np.nan), np.zeros(frame.shape), np.zeros(frame.shape)
    for cells in _points(frame, order):
        found = coarse.of_cells(cells)
        values = np.where(np.isfinite(values), values, found)
        listed += np.isfinite(found)
        points += cells >= 0
    return Picture(values, np.divide(listed, points, out=np.zeros(frame.shape), where=points > 0), True)


def _order_for(order: int, pixel_deg: float) -> int:
    """The finest order, at most `order`, whose cells are not smaller than half a pixel."""
    while order > 0 and math.sqrt(hpx.cell_area_deg2(order)) < pixel_deg / 2.0:
        order -= 1
    return order


def _points(frame: SkyFrame, order: int) -> Iterator[Cells]:
    """Cells under the points at which pixels are sampled, nearest to the centre first."""
    number = math.ceil(frame.pixel_deg / (DENSE * math.sqrt(hpx.cell_area_deg2(order))))
    offsets = (np.arange(number) + 0.5) / number - 0.5
    places = sorted(
        ((x, y) for y in offsets.tolist() for x in offsets.tolist()), key=lambda one: math.hypot(*one)
    )
    for dx, dy in places:
        yield frame.cells(order, dx, dy)
