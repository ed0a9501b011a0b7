"""Masks from geometry: the regions of the sky that stand around the sources of a catalogue.

================  ==============================================================================================
disc              radius by ``r(m) = a 10^(-b m)`` or by a table of magnitude and radius, per band, or a column
halo, ghost       a disc or a ring of that radius, displaced by a fixed offset, or along the line from the optical
                  axis to the source, or both
spikes            bars of a width from the source outwards, of that length
ellipse           semi-axes and position angle
streak            a bar of a width about a great circle, from end to end or by middle, length and angle
polygons          regions as they were read
================  ==============================================================================================

Discs and rings are circles of the sphere. Bars have great-circle sides, parallel at their ends, and flat ends. An
ellipse is a polygon of 64 vertices and of its area (distances from the centre are arcs): the area is right to 1e-5 for
ellipses below 30 arcmin, its edge to 1e-3 of the radius. Position angles go from north through east.

References: arXiv:1705.00622 for radii from the density of sources around stars.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.frames import Sources
from vmpz.make.pixelmasks import bounding_circles
from vmpz.parameters import MaskParameters, RadiusLaw
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Cap, Polygon, Region, union_fractions
from vmpz.sky.skymap import SkyMap

__all__ = ["Pointing", "mask_columns", "mask_fraction_map", "radius_arcsec", "regions_near", "regions_of"]

VERTICES = 64
"""Of an ellipse."""

MARGIN = 1e-9
"""Added to bounding circles, radian."""

LONGEST_DEG = 59.0
"""Of a streak: drawn as a polygon that lies within 30 degrees of its middle."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pointing:
    """Optical axis (ICRS degrees) and position angle of an exposure, in degrees."""

    lon_deg: float
    lat_deg: float
    angle_deg: float = 0.0


def mask_columns(mask: MaskParameters) -> tuple[str, ...]:
    """Columns that the sources of a mask must have beside their positions."""
    named = (mask.magnitude, mask.size, mask.minor, mask.angle, *(mask.end or ()))
    return tuple(dict.fromkeys(name for name in named if name is not None))


def radius_arcsec(law: RadiusLaw, magnitude: Floats) -> Floats:
    """Radius (arcsec) by magnitude: ``a 10^(-b m)`` within its limits, or linear between the rows of a table."""
    if law.table is not None:
        at, radius = np.array(law.table).T
        return np.asarray(np.interp(magnitude, at, radius))
    with np.errstate(over="ignore"):
        radius = (law.a_arcsec or 0.0) * 10.0 ** (-law.b * magnitude)
    return np.asarray(np.clip(radius, law.radius_min_arcsec, law.radius_max_arcsec))


def regions_of(
    mask: MaskParameters,
    sources: Sources | Sequence[Region],
    band: str,
    *,
    near: Region | None = None,
    pointings: Sequence[Pointing] = (),
) -> tuple[Region, ...]:
    """The regions of a mask in one band.

    Parameters
    ----------
    mask : MaskParameters
    sources : Sources, or sequence of Cap or Polygon
        Rows of the catalogue with the columns `mask_columns`; the regions themselves for the shape ``polygons``.
    band : str
        The mask may not apply to it: there are no regions then.
    near : Cap or Polygon, optional
        Regions whose bounding circle does not meet that of `near` are left out; how near the source is does not matter.
    pointings : sequence of Pointing, optional
        Exposures: one set of spikes, halos or ghosts each, turned by the position angle, about the optical axis.

    Returns
    -------
    tuple of Cap and Polygon
        In the order of the sources.

    Raises
    ------
    InputError
        A column is not there, or what is needed of a source is not finite or of no sense.
    """
    law = mask.law(band)
    if law is None:
        return ()
    if isinstance(sources, Sources) == (mask.shape == "polygons"):
        needed = (
            ("rows of a catalogue", "regions")
            if mask.shape != "polygons"
            else ("regions", "rows of a catalogue")
        )
        raise InputError(f"mask {mask.name}: the shape {mask.shape} needs {needed[0]}, found {needed[1]}")
    if not isinstance(sources, Sources):
        return tuple(sources) if near is None else regions_near(sources, near)
    marks = _marks(mask, law, sources, _exposures(mask, pointings))
    marks = marks.take(marks.size > 0.0)
    if near is not None:
        centre, reach = (one[0] for one in bounding_circles([near]))
        apart = np.linalg.norm(marks.place - centre, axis=1)
        marks = marks.take(apart <= reach + 2.0 * np.sin(0.5 * np.minimum(marks.reach + MARGIN, np.pi)))
    return _SHAPES[mask.shape](mask, marks)


def regions_near(regions: Sequence[Region], outline: Region) -> tuple[Region, ...]:
    """Those whose bounding circle meets that of an outline: none that touches it is left out."""
    if not regions:
        return ()
    centres, reaches = bounding_circles([*regions, outline])
    apart = np.linalg.norm(centres[:-1] - centres[-1], axis=1)
    kept = np.flatnonzero(apart <= reaches[:-1] + reaches[-1] + MARGIN)
    return tuple(regions[k] for k in kept.tolist())


def mask_fraction_map(regions: Sequence[Region], cells: CellSet) -> SkyMap:
    """The share of each cell that the union of regions covers, without pixels.

    Returns
    -------
    SkyMap
        float64 in (0, 1], on the cells that a region touches: exact where one region decides, else in steps of 1/64.
    """
    if not len(cells):
        return SkyMap(cells, np.empty(0))
    centres = unit_vectors(*hpx.positions(cells.cells(), cells.order, 0.5, 0.5))
    middle = centres.mean(axis=0)
    extent = float(np.linalg.norm(centres - middle, axis=1).max()) + 2.0 * np.sqrt(
        hpx.cell_area_sr(cells.order)
    )
    place, reach = bounding_circles(regions)
    kept = np.flatnonzero(np.linalg.norm(place - middle, axis=1) <= reach + extent + MARGIN)
    return union_fractions([regions[k] for k in kept.tolist()], cells.order, cells)


# -- where masks stand ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Marks:
    """Where masks stand: directions (n, 3); size, second size, angle and reach (n,) in radian."""

    place: Floats
    size: Floats
    second: Floats
    angle: Floats
    reach: Floats

    def take(self, rows: NDArray[np.bool_]) -> "_Marks":
        return _Marks(*(values[rows] for values in vars(self).values()))


def _exposures(mask: MaskParameters, pointings: Sequence[Pointing]) -> Sequence[Pointing | None]:
    """The exposures that spikes, halos and ghosts are made for; None for no axis, in the frame of the sky."""
    if pointings or mask.shape not in ("spikes", "halo", "ghost"):
        return pointings or (None,)
    if mask.axis_factor != 1.0 and mask.axis_deg is None:
        raise InputError(
            f"mask {mask.name}: `axis_factor` {mask.axis_factor} needs an optical axis, that of exposures or `axis_deg`"
        )
    return (None if mask.axis_deg is None else Pointing(*mask.axis_deg),)


def _marks(
    mask: MaskParameters, law: RadiusLaw, sources: Sources, exposures: Sequence[Pointing | None]
) -> _Marks:
    """Places and sizes of all masks: for each source, each exposure and each of its angles."""
    if mask.shape == "streak" and mask.end is not None:
        return _ends(mask, sources)
    place = _positions(mask, sources.lon_deg, sources.lat_deg)
    size = _sizes(mask, law, sources)
    second = _column(mask, sources, mask.minor) * _arcsec(mask.size_unit_arcsec) if mask.minor else 0.0 * size
    own = np.radians(_column(mask, sources, mask.angle)) if mask.angle else 0.0 * size
    wide = _arcsec(mask.width_arcsec or 0.0)
    one = _Marks(place, size, second, own, np.maximum(size, second) + wide)
    if mask.shape not in ("spikes", "halo", "ghost"):
        return one
    sets = [
        _displaced(mask, replace(one, angle=one.angle + np.radians(angle)), exposure)
        for exposure in exposures
        for angle in mask.angles_deg
    ]
    by_source = np.argsort(np.tile(np.arange(len(size)), len(sets)), kind="stable")
    return _Marks(
        *(np.concatenate(values)[by_source] for values in zip(*(vars(s).values() for s in sets), strict=True))
    )


def _displaced(mask: MaskParameters, marks: _Marks, exposure: Pointing | None) -> _Marks:
    """Masks of one exposure: turned with it, moved along the line from its axis, then by the offset."""
    place, angle = marks.place, marks.angle
    if exposure is not None:
        angle = angle + np.radians(exposure.angle_deg)
        if mask.axis_factor != 1.0:
            axis = np.broadcast_to(unit_vectors(exposure.lon_deg, exposure.lat_deg), place.shape)
            distance, towards = _polar(axis, place)
            place = _at(axis, mask.axis_factor * distance, towards)
    east, north = mask.offset_arcsec
    if (east, north) != (0.0, 0.0):
        place = _at(
            place, np.full(len(place), _arcsec(np.hypot(east, north))), np.arctan2(east, north) + angle
        )
    return replace(marks, place=place, angle=angle)


def _ends(mask: MaskParameters, sources: Sources) -> _Marks:
    """Streaks from end to end: middle, half length and direction."""
    begin = _positions(mask, sources.lon_deg, sources.lat_deg)
    end = _positions(mask, *(_column(mask, sources, name) for name in mask.end or ()))
    middle = begin + end
    norm = np.linalg.norm(middle, axis=1, keepdims=True)
    if np.any(norm < 1e-9):
        raise InputError(f"mask {mask.name}: a streak must not end opposite to where it begins")
    middle = middle / norm
    half, angle = _polar(middle, end)
    return _Marks(middle, half, 0.0 * half, angle, half + _arcsec(mask.width_arcsec or 0.0))


def _sizes(mask: MaskParameters, law: RadiusLaw, sources: Sources) -> Floats:
    """Radius, semi-major axis, length of a spike or half the length of a streak, radian."""
    if mask.size is not None:
        size = _arcsec(mask.size_unit_arcsec) * _column(mask, sources, mask.size)
        _refuse(mask, size < 0.0, "no size below 0", size)
        return 0.5 * size if mask.shape == "streak" else size
    magnitude = np.zeros(len(sources)) if mask.magnitude is None else _column(mask, sources, mask.magnitude)
    return _arcsec(1.0) * radius_arcsec(law, magnitude)


def _column(mask: MaskParameters, sources: Sources, name: str) -> Floats:
    """A column of finite numbers."""
    if name not in sources.columns:
        raise InputError(
            f"mask {mask.name}: the column {name} must be there, found {', '.join(sources.columns) or 'none'}"
        )
    values = np.asarray(sources.columns[name], np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise InputError(
            f"mask {mask.name}: the column {name} must be finite, found {values[wrong[0]]} in row {wrong[0] + 1} "
            f"({wrong.size} of {values.size} rows)"
        )
    return values


def _positions(mask: MaskParameters, lon_deg: Floats, lat_deg: Floats) -> Floats:
    wrong = np.flatnonzero(~(np.isfinite(lon_deg) & (np.abs(lat_deg) <= 90.0)))
    if wrong.size:
        at = wrong[0]
        raise InputError(
            f"mask {mask.name}: positions must be degrees on the sky, found {lon_deg[at]}, {lat_deg[at]} "
            f"in row {at + 1}"
        )
    return unit_vectors(lon_deg, lat_deg)


# -- shapes -----------------------------------------------------------------------------------------------------------


def _rings(mask: MaskParameters, marks: _Marks) -> tuple[Region, ...]:
    """Discs, or rings where there is a hole."""
    lon, lat = _degrees(marks.place)
    radius = np.degrees(marks.size)
    _refuse(mask, radius > 180.0, "a radius of at most 180 degrees", radius)
    rows = zip(lon.tolist(), lat.tolist(), radius.tolist(), (mask.hole * radius).tolist(), strict=True)
    return tuple(Cap(x, y, outer, hole_deg=inner) for x, y, outer, inner in rows)


def _ellipses(mask: MaskParameters, marks: _Marks) -> tuple[Region, ...]:
    """Polygons of the area of the ellipse."""
    _refuse(mask, ~((marks.second > 0.0) & (marks.second <= marks.size)), "0 < minor <= size", marks.second)
    _refuse(
        mask, marks.size > np.radians(LONGEST_DEG / 2.0), "a semi-major axis below 30 degrees", marks.size
    )
    step = 2.0 * np.pi / VERTICES
    turn = step * np.arange(VERTICES)
    outer = np.sqrt(step / np.sin(step))
    along, across = marks.size[:, None] * outer * np.cos(turn), marks.second[:, None] * outer * np.sin(turn)
    towards = marks.angle[:, None] + np.arctan2(across, along)
    return _polygons(_at(marks.place[:, None], np.hypot(along, across), towards))


def _spikes(mask: MaskParameters, marks: _Marks) -> tuple[Region, ...]:
    """Bars through the source where spikes stand opposite to one another, else from the source outwards."""
    bars = mask.arms // 2 if mask.arms % 2 == 0 else mask.arms
    begin = -marks.size if mask.arms % 2 == 0 else 0.0 * marks.size
    angles = marks.angle[:, None] + 2.0 * np.pi / mask.arms * np.arange(bars)
    _refuse(mask, marks.size > np.radians(LONGEST_DEG / 2.0), "a length below 30 degrees", marks.size)
    loops = [_bars(mask, marks.place, angle, begin, marks.size) for angle in angles.T]
    return _polygons(np.stack(loops, axis=1).reshape(-1, 4, 3))


def _streaks(mask: MaskParameters, marks: _Marks) -> tuple[Region, ...]:
    """Bars about great circles."""
    _refuse(
        mask,
        marks.size > np.radians(LONGEST_DEG / 2.0),
        f"a length below {LONGEST_DEG:g} degrees",
        marks.size,
    )
    return _polygons(_bars(mask, marks.place, marks.angle, -marks.size, marks.size))


def _bars(mask: MaskParameters, place: Floats, angle: Floats, begin: Floats, end: Floats) -> Floats:
    """Corners (n, 4, 3) of bars along great circles through places."""
    half = 0.5 * _arcsec(mask.width_arcsec or 0.0)
    side = _at(place, np.full(len(place), 0.5 * np.pi), angle + 0.5 * np.pi)
    ends = [_at(place, begin, angle), _at(place, end, angle)]
    (a, b), (c, d) = (
        (np.cos(half) * one - np.sin(half) * side, np.cos(half) * one + np.sin(half) * side) for one in ends
    )
    return np.stack((a, c, d, b), axis=1)


_SHAPES = {
    "disc": _rings,
    "halo": _rings,
    "ghost": _rings,
    "ellipse": _ellipses,
    "spikes": _spikes,
    "streak": _streaks,
}


def _refuse(mask: MaskParameters, wrong: NDArray[np.bool_], rule: str, found: Floats) -> None:
    if np.any(wrong):
        raise InputError(
            f"mask {mask.name}: must have {rule}, found {np.degrees(found[wrong][0]):.6g} degrees"
        )


def _polygons(corners: Floats) -> tuple[Region, ...]:
    """Polygons of convex loops (n, m, 3) of directions."""
    vertices = np.stack(_degrees(corners), axis=-1)
    return tuple(Polygon.unchecked(one) for one in vertices)


# -- directions -------------------------------------------------------------------------------------------------------


def _arcsec(angle_arcsec: float) -> float:
    return float(np.radians(angle_arcsec / 3600.0))


def _degrees(directions: Floats) -> tuple[Floats, Floats]:
    """Longitudes in [0, 360) and latitudes of directions (..., 3)."""
    x, y, z = np.moveaxis(directions, -1, 0)
    lon = np.degrees(np.arctan2(y, x))
    return np.where(lon < 0.0, lon + 360.0, lon), np.degrees(np.arctan2(z, np.hypot(x, y)))


def _east_north(place: Floats) -> tuple[Floats, Floats]:
    """East and north at directions (..., 3); at a pole those of longitude 0."""
    x, y, _ = np.moveaxis(place, -1, 0) + 0.0  # no negative zero: at a pole it would turn the frame
    lon = np.arctan2(y, x)
    east = np.stack((-np.sin(lon), np.cos(lon), np.zeros_like(lon)), axis=-1)
    return east, np.cross(place, east)


def _at(place: Floats, distance: Floats, angle: Floats) -> Floats:
    """Directions at a distance and position angle (radian) from places."""
    east, north = _east_north(place)
    towards = np.sin(angle)[..., None] * east + np.cos(angle)[..., None] * north
    return np.asarray(np.cos(distance)[..., None] * place + np.sin(distance)[..., None] * towards)


def _polar(place: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Distance and position angle (radian) of other directions from places."""
    east, north = _east_north(place)
    offset = other - place
    across, up = np.sum(offset * east, axis=-1), np.sum(offset * north, axis=-1)
    chord = np.linalg.norm(offset, axis=-1)
    return 2.0 * np.arcsin(np.minimum(0.5 * chord, 1.0)), np.arctan2(across, up)
