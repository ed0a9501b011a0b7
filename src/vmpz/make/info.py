"""Info maps: what was collected in every cell, one quantity and one statistic per map.

**Definition.** A *sample* is a value seen in the cell: an image pixel (SAMPLE = PIXEL), a detector exposure
with the exact fraction of the cell that its outline covers (EXPOSURE), or a PSF stamp (STAMP). The statistic
(STATIST) of the samples of a cell is its value; the table of statistics is that of `vmpz.statistics`. Cells
without a sample are absent.

======================================  ======================================================================
Noise, Background                       pixels with a valid RMS of the planes RMS and BACKGROUND, in the units
                                        of the mosaic (zero point in MAGZERO). WMEAN and WMEDIAN weigh by
                                        1/RMS^2; MODE is exact on the float32 values of the plane
Persistence                             zeros and ones of the flag bit PERSIST over all pixels of the cell. MEAN
                                        is the fraction of the cell that carries it; WMEAN and WMEDIAN do not
                                        exist, since pixels without a valid RMS count and have no weight
PSF                                     FWHM (arcsec) of the PSF stamps inside the cell; where there are none,
                                        of the four nearest ones, weighted by inverse distance. The number of
                                        stamps used is the column NSTAMPS
Exposures, ExposureTime, SAA, AA, BA,   detector exposures of the Layers table. COUNT of Exposures is the sum
MJD, Airmass, Seeing ...                of exactly covered fractions, not an integer at edges; WMEAN weighs by
                                        inverse variance (Weight) where exposures have one, else by exposure
                                        time. Angles are averaged as numbers: none of them wraps in a survey
Tile                                    index of the tile (VALUE, MODE, MIN, MAX; there is nothing to count or
                                        average in an index)
======================================  ======================================================================

**Samples of exposure scalars** (``[info] per``). By default a sample is an exposure. With ``per = "pixel"``
it is a point (64 in a cell): the sum over the exposures that see the point for Exposures, ExposureTime and
Weight, their mean for the rest. Extremes and other statistics of Exposures are always of points: how often
the least observed point of a cell was observed.

**ARGMIN, ARGMAX** number exposures, or stamps, from 1 in the order of their table. Pixels and points have none.
**VALUE** is an error where the samples of a cell differ.

**Unit** of the quantity; **keywords** INFO, STATIST, SAMPLE, WGTKIND = VALUE or COUNT, DEGRULE by quantity
and statistic (NONE: the map cannot be degraded).

References: Euclid DPDD Q1, DpdHealpixInfoMapVMPZ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MissingProductError
from vmpz.frames import Exposure, Frame, FrameRef, PsfStamps
from vmpz.make.needs import PassNeeds, key_for, table_for, table_in, validity_plane
from vmpz.make.values import bit_keywords, frame_keywords, measured_map
from vmpz.parameters import Parameters
from vmpz.physics.psf import nearest_on_sphere
from vmpz.products import Product, ProductKey, Scalar
from vmpz.quantities import Quantity, degrade_rule, quantity
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon, cells_inside, covered_fractions
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import STATISTICS, CellStatistics, Samples, Statistic, statistic

__all__ = [
    "exposure_map",
    "flag_map",
    "keys",
    "make",
    "needs",
    "plane_map",
    "psf_maps",
    "section",
    "tile_map",
]

Array = NDArray[np.float64]

NEAREST_STAMPS = 4
POINT_LEVELS = 3
"""Points of a cell: the centres of its cells this many orders deeper."""
ADDITIVE = {"Exposures", "ExposureTime", "Weight"}
INDEX_STATISTICS = ("VALUE", "MODE", "MIN", "MAX")


@dataclass(frozen=True)
class Collected:
    """Values per cell (NaN = absent), what a sample was, and further maps on the cells that have a value."""

    values: Array
    sample: str
    more: Mapping[str, Array]


# -- planes and flags -----------------------------------------------------------------------------------


def plane_map(statistics: CellStatistics, plane: str, name: str = "MEAN") -> SkyMap:
    """A statistic of the valid pixels of a plane, float32.

    Parameters
    ----------
    statistics : CellStatistics
        Moments ``<plane>.valid.*``.
    plane : str
        RMS, BACKGROUND or IMAGE.
    name : str
        Statistic; order statistics must have been asked for in the pass.

    Raises
    ------
    MissingProductError
        The moment that the statistic needs was not kept.
    """
    return measured_map(statistics.cells, statistic(name).from_moments(statistics, f"{plane}.valid"))


def flag_map(statistics: CellStatistics, number: int, name: str = "MEAN") -> SkyMap:
    """A statistic of one flag bit (0 or 1 in each pixel), float32; the mean is the fraction of the cell."""
    return measured_map(statistics.cells, _flag_values(statistics, number, statistic(name)))


def _flag_values(statistics: CellStatistics, number: int, chosen: Statistic) -> Array:
    """Moments of zeros and ones follow from their numbers; the mean is over the cell, as in a bit mask."""
    if chosen.weighs_pixels:
        raise MissingProductError(
            f"{chosen.name} weighs pixels by 1/RMS**2; a flag bit is counted over all pixels, also those without a "
            f"valid RMS: ask for MEAN or MEDIAN"
        )
    n = statistics.column("found").astype(np.float64)
    ones = statistics.column(f"bit.{number:02d}").astype(np.float64)
    mean = np.divide(ones, n, out=np.zeros(n.size), where=n > 0)
    moments = {
        "n": n,
        "mean": mean,
        "m2": n * mean * (1.0 - mean),
        "min": ones == n,
        "max": ones > 0,
        "mode": ones > n - ones,
        "median": _quantile_of_bits(n, ones, 50.0),
    }
    if chosen.percent is not None:
        moments[f"q{chosen.percent:02.0f}"] = _quantile_of_bits(n, ones, chosen.percent)
    columns = {"geom": statistics.column("geom"), "found": statistics.column("found")}
    columns |= {f"BIT.found.{moment}": value for moment, value in moments.items()}
    over_cell = STATISTICS["SUM"] if chosen.name == "MEAN" else chosen
    return over_cell.from_moments(CellStatistics(statistics.cells, columns), "BIT.found")


def _quantile_of_bits(n: Array, ones: Array, percent: float) -> Array:
    """Quantile of a list of n - ones zeros followed by ones, linear between values."""
    return np.clip(percent / 100.0 * (n - 1.0) - (n - ones - 1.0), 0.0, 1.0)


# -- exposures ------------------------------------------------------------------------------------------


def exposure_map(
    exposures: tuple[Exposure, ...], name: str, statistic_name: str, cells: CellSet, *, per: str = "exposure"
) -> SkyMap:
    """A statistic of a scalar of detector exposures.

    Parameters
    ----------
    exposures : tuple of Exposure
    name : str
        Quantity; 'Exposures' needs no scalar.
    statistic_name : str
        ARGMIN and ARGMAX give the number of the exposure, counted from 1; points have none.
    cells : CellSet
        The area's own cells.
    per : {'exposure', 'pixel'}
        What a sample is.

    Raises
    ------
    MissingProductError
        An exposure does not have the scalar, or the number of a point is asked for.
    """
    if per == "pixel" and statistic_name in ("ARGMIN", "ARGMAX"):
        raise MissingProductError(
            f"{name}: {statistic_name} is the number of an exposure; the points of a cell have none"
        )
    collect = _per_point if per == "pixel" else _per_exposure
    chosen = statistic(statistic_name)
    return measured_map(cells, chosen.finish(collect(exposures, name, cells)), quantity(name).dtype)


def _per_exposure(exposures: tuple[Exposure, ...], name: str, cells: CellSet) -> Samples:
    value, weight = _scalars(exposures, name), _weights(exposures)
    samples = Samples(len(cells))
    for number, share in enumerate(_shares(tuple(one.outline for one in exposures), cells)):
        place = cells.index(share.cells.cells())
        samples.add(place, value[number], share.values, weight[number], number + 1)
    return samples


@lru_cache(maxsize=2)
def _shares(outlines: tuple[Polygon, ...], cells: CellSet) -> tuple[SkyMap, ...]:
    """Exact share of each cell in each outline; the maps of one band's exposures ask for the same ones in a row."""
    return tuple(covered_fractions(outline, cells.order, cells=cells) for outline in outlines)


def _per_point(exposures: tuple[Exposure, ...], name: str, cells: CellSet) -> Samples:
    """Sums at every point, over the exposures in the order of their values: the same bits for any order of theirs."""
    points = cells.at_order(cells.order + POINT_LEVELS)
    number, value, weight = np.zeros((3, len(points)))
    ordered = sorted(zip(_scalars(exposures, name), _weights(exposures), range(len(exposures)), strict=True))
    for one, share, row in ordered:
        place = points.index((cells_inside(exposures[row].outline, points.order) & points).cells())
        number[place] += 1
        value[place] += one
        weight[place] += share
    seen = np.flatnonzero(number)
    mean = value[seen] if name in ADDITIVE else value[seen] / number[seen]
    parent = seen >> (2 * POINT_LEVELS)  # children of a cell stand together
    return Samples(len(cells)).add(parent, mean, 4.0**-POINT_LEVELS, weight[seen])


def _scalars(exposures: tuple[Exposure, ...], name: str) -> list[float]:
    if name == "Exposures":
        return [1.0] * len(exposures)
    for exposure in exposures:
        if not np.isfinite(exposure.scalars.get(name, np.nan)):
            raise MissingProductError(f"{name} needs a value for every exposure; {exposure.id} has none")
    return [float(exposure.scalars[name]) for exposure in exposures]


def _weights(exposures: tuple[Exposure, ...]) -> list[float]:
    """Inverse variances; else exposure times, to which they are proportional against the sky; else 1."""
    for name in ("Weight", "ExposureTime"):
        weights = [float(exposure.scalars.get(name, np.nan)) for exposure in exposures]
        if np.all(np.isfinite(weights)) and np.all(np.asarray(weights) >= 0):
            return weights
    return [1.0] * len(exposures)


# -- PSF and tile ---------------------------------------------------------------------------------------


def psf_maps(psf: PsfStamps | None, statistics: CellStatistics, name: str = "MEAN") -> dict[str, SkyMap]:
    """FWHM (arcsec) as WEIGHT, and NSTAMPS, the number of stamps it comes from.

    Parameters
    ----------
    psf : PsfStamps
    statistics : CellStatistics
        Column valid: the PSF is given where the image was observed.
    name : str
        Statistic of the FWHM of the stamps in a cell, or of the nearest ones, weighted by inverse distance.

    Raises
    ------
    MissingProductError
        There is no stamp with a FWHM.
    """
    collected = _psf_values(psf, statistics, statistic(name))
    fwhm = measured_map(statistics.cells, collected.values)
    number = SkyMap(statistics.cells, collected.more["NSTAMPS"].astype(np.float32))
    return {"WEIGHT": fwhm, "NSTAMPS": number.clip(fwhm.cells)}


def _psf_values(psf: PsfStamps | None, statistics: CellStatistics, chosen: Statistic) -> Collected:
    good = np.isfinite(psf.fwhm_arcsec) & (psf.fwhm_arcsec > 0) if psf is not None else np.zeros(0, bool)
    if psf is None or not good.any():
        raise MissingProductError("PSF needs stamps with a FWHM; there are none")
    lon, lat, fwhm = (column[good] for column in (psf.lon_deg, psf.lat_deg, psf.fwhm_arcsec))
    stamp = np.flatnonzero(good) + 1
    cells = statistics.cells
    samples = Samples(len(cells))
    place = cells.index(hpx.cells_at(lon, lat, cells.order))
    samples.add(place[place >= 0], fwhm[place >= 0], number=stamp[place >= 0])
    empty = np.flatnonzero(np.bincount(place[place >= 0], minlength=len(cells)) == 0)
    index, distance = nearest_on_sphere(
        lon, lat, *hpx.centres(cells.cells()[empty], cells.order), NEAREST_STAMPS
    )
    closeness = 1.0 / np.maximum(distance, 1e-9)
    share = index.shape[1] * closeness / closeness.sum(axis=1, keepdims=True)
    near = index.ravel()
    samples.add(np.repeat(empty, index.shape[1]), fwhm[near], share.ravel(), number=stamp[near])
    number = STATISTICS["COUNT"].finish(samples)
    inside = statistics.column("valid") > 0
    return Collected(np.where(inside, chosen.finish(samples), np.nan), "STAMP", {"NSTAMPS": np.rint(number)})


def tile_map(area: str, statistics: CellStatistics) -> SkyMap:
    """The index of the tile in every own cell that the image touches, int64.

    Raises
    ------
    MissingProductError
        The area's name is not a number.
    """
    if not area.isdecimal():
        raise MissingProductError(
            f"a map of tile indices needs a number as the name of the area, found {area}"
        )
    touched = statistics.column("geom") > 0
    return statistics.map(np.full(len(statistics.cells), int(area), np.int64), touched)


# -- the product ----------------------------------------------------------------------------------------


def keys(ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    """One key per QUANTITY:STATISTIC; a map that is the same for all bands has neither band nor instrument.

    Raises
    ------
    InputError
        A quantity or statistic does not exist; the message lists those that do.
    """
    wanted = []
    for name in dict.fromkeys(parameters.info.maps):
        what, _, how = name.partition(":")
        both = {"instrument": "-", "band": "-"} if quantity(what).band_independent else {}
        wanted.append(key_for(ref, parameters, "info", quantity=what, statistic=statistic(how).name, **both))
    return wanted


def needs(key: ProductKey, ref: FrameRef, parameters: Parameters) -> PassNeeds:
    """Plane with its moments, FLAG, or the table that the quantity comes from."""
    row, chosen = quantity(key.quantity), statistic(key.statistic)
    if row.source == "plane":
        percents = frozenset({chosen.percent} if chosen.percent is not None else ())
        listed = frozenset({chosen.listed} if chosen.listed is not None else ())
        planes = validity_plane(ref) | {row.plane} | ({"RMS"} if chosen.weighs_pixels else set())
        return PassNeeds(
            planes=planes, percents=percents, listed=listed, inverse_variance=chosen.inverse_variance
        )
    if row.source == "flag":
        return PassNeeds(planes=frozenset({"FLAG"}))
    tables = {"psf": {"PSF"}, "exposure": {"LAYERS"}, "tile": set(), "external": {row.name}}
    planes = validity_plane(ref) if row.source == "psf" else frozenset()
    return PassNeeds(planes=planes, tables=frozenset(tables[row.source]))


def section(key: ProductKey, ref: FrameRef, parameters: Parameters) -> dict[str, Any]:
    """Parameters that enter the digest."""
    row = quantity(key.quantity)
    chosen: dict[str, Any] = {"map": f"{key.quantity}:{key.statistic}"}
    if row.source == "exposure":
        chosen["per"] = _per(row, key.statistic, parameters)
    if row.source == "flag":
        table = table_for(ref, parameters)
        chosen["table"] = f"{table.name} {table.version}" if table else "-"
    return chosen


def make(
    key: ProductKey,
    frame: Frame,
    statistics: CellStatistics,
    parameters: Parameters,
    maps: Mapping[str, SkyMap] | None = None,
) -> Product:
    """One info map of one area.

    Raises
    ------
    MissingProductError
        The frame cannot give the quantity, or the quantity cannot have the statistic.
    """
    row, chosen = quantity(key.quantity), statistic(key.statistic)
    columns, sample = _collect(row, chosen, frame, statistics, parameters)
    keywords: dict[str, Scalar] = {
        **frame_keywords(frame.ref),
        "INFO": row.name,
        "STATIST": chosen.name,
        "SAMPLE": sample,
        "WGTKIND": "COUNT" if chosen.name == "COUNT" else "VALUE",
        "DEGRULE": degrade_rule(row.name, chosen.name),
    }
    if row.source == "plane":
        keywords["MAGZERO"] = float(frame.ref.scalars.get("zero_point", -1.0))
    if row.source == "flag":
        table = table_in(frame, parameters)
        keywords |= bit_keywords(table.select([row.plane]), table) if table else {}
    no_unit = chosen.name in ("COUNT", "ARGMIN", "ARGMAX")
    return Product(key, columns, keywords=keywords, unit="" if no_unit else row.unit)


def _collect(
    row: Quantity, chosen: Statistic, frame: Frame, statistics: CellStatistics, parameters: Parameters
) -> tuple[dict[str, SkyMap], str]:
    """The maps of a quantity and the kind of its samples, by where the quantity comes from."""
    ref = frame.ref
    if row.source == "plane":
        if row.plane not in ref.planes or parameters.info.per == "exposure":
            raise MissingProductError(f"{ref.name}: {row.name} needs pixels of a plane {row.plane}")
        return {"WEIGHT": plane_map(statistics, row.plane, chosen.name)}, "PIXEL"
    if row.source == "flag":
        table = table_in(frame, parameters)
        if table is None or row.plane not in table.by_name or "FLAG" not in ref.planes:
            raise MissingProductError(
                f"{ref.name}: {row.name} needs a FLAG plane with a bit named {row.plane}"
            )
        return {"WEIGHT": flag_map(statistics, table.by_name[row.plane].number, chosen.name)}, "PIXEL"
    if row.source == "psf":
        return psf_maps(frame.psf, statistics, chosen.name), "STAMP"
    if row.source == "exposure":
        if frame.exposures is None:
            raise MissingProductError(f"{ref.name}: {row.name} needs a table of exposures; there is none")
        per = _per(row, chosen.name, parameters)
        found = exposure_map(frame.exposures, row.name, chosen.name, statistics.cells, per=per)
        return {"WEIGHT": found}, per.upper()
    if row.source == "tile":
        if chosen.name not in INDEX_STATISTICS:
            raise MissingProductError(
                f"{ref.name}: {row.name} is an index, for which {chosen.name} has no meaning: "
                f"ask for one of {', '.join(INDEX_STATISTICS)}"
            )
        return {"WEIGHT": tile_map(ref.area, statistics)}, "PIXEL"
    raise MissingProductError(f"{ref.name}: no input gives {row.name}:{chosen.name}")


def _per(row: Quantity, name: str, parameters: Parameters) -> str:
    """What a sample of an exposure scalar is; Exposures has no value but its number at a point."""
    if row.name == "Exposures" and name not in ("COUNT", "SUM"):
        return "pixel"
    return parameters.info.per or "exposure"
