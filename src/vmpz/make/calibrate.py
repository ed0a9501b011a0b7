"""Depth from catalogues: the limiting magnitude that objects themselves show, in coarse cells.

**Definitions** (INFOSRC names the method and the columns). Objects are gathered in the cells of a coarse order; a cell
of fewer than a least number of objects is left out, and so is one whose objects do not determine a limit.

``rykoff`` (DEPTHEST = CATALOGUE)
    The noise model of Rykoff et al. fitted to magnitudes and their errors (`vmpz.physics.rykoff`): the magnitude at
    which the error is 2.5 / (n ln 10), n = SNRLEVEL. Its error is that of bootstrap samples. Column TEFF: the effective
    exposure time in counts per nanomaggy (infinite where no source noise is seen).
``snr`` (CATALOGUE)
    The median of ``m + 2.5 log10((S/N) / n)`` of point sources limited by the background, with the error of a median.
``mean`` (CATALOGUE)
    The mean magnitude of sources whose S/N is within 20 % of n (4 to 6 for n = 5), as for DC2.
``completeness`` (COMPLETENESS)
    The magnitude at which the completeness falls to a fraction (COMPFRAC) of its plateau, from an error function fitted
    to sources that are known to be there and were detected or missed (`vmpz.physics.completenessfit`): injections, or
    a deeper catalogue matched by position. Column PLATEAU.

Columns ERROR (mag) and OBJECTS (number used) go with every depth. Noise in a catalogue is what its photometry says or
shows: CORRFAC = 1, nothing was added. Maps of fine cells by regression of these depths on maps of observing conditions
(random forests) are not made here.

A catalogue depth differs from a depth map by an anchor shift, `compare_depths`. Shifts of several bands must share a
sign, or a selection contaminates them.

References: Rykoff, Rozo & Keisler 2015, arXiv:1509.00870; LSST DESC DC2, arXiv:2010.05926.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from vmpz.errors import InputError, MapMismatchError
from vmpz.physics.completenessfit import fit_completeness
from vmpz.physics.rykoff import fit_noise_model
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

__all__ = [
    "CatalogueDepth",
    "DepthShift",
    "compare_depths",
    "completeness_depth",
    "depth_product",
    "is_matched",
    "mean_depth",
    "rykoff_depth",
    "shifts_share_a_sign",
    "snr_depth",
]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Found = dict[str, float] | None
"""Columns of a cell; None where its objects determine no limit."""

LEAST_OBJECTS = 100
SIGMA_PER_MAD = 1.482602218505602
MEDIAN_ERROR = 1.2533141373155003
"""Error of a median of normal deviates over that of their mean, sqrt(pi / 2)."""
NEAR_LIMIT = 0.2


@dataclass(frozen=True)
class CatalogueDepth:
    """A depth from a catalogue.

    Attributes
    ----------
    maps : mapping of str to SkyMap
        WEIGHT (mag), ERROR (mag), OBJECTS and what the method adds, on the same cells.
    too_few, undetermined : int
        Number of cells left out because they hold too few objects, or because these determine no limit.
    """

    maps: Mapping[str, SkyMap]
    too_few: int
    undetermined: int

    @property
    def map(self) -> SkyMap:
        """The depth."""
        return self.maps["WEIGHT"]


def rykoff_depth(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    mag: ArrayLike,
    error_mag: ArrayLike,
    order: int,
    *,
    seed: int,
    snr: float = 10.0,
    least_objects: int = LEAST_OBJECTS,
    resamples: int = 100,
) -> CatalogueDepth:
    """Limiting magnitude of every coarse cell by the noise model of Rykoff et al.

    Parameters
    ----------
    lon_deg, lat_deg : array_like (n,)
        ICRS.
    mag, error_mag : array_like (n,)
        AB magnitudes and their errors; objects without both are left out.
    order : int
        Of the cells.
    seed : int
        Of the bootstrap samples: Philox keyed by it and the cell, so a cell does not depend on others.
    snr : float
        n of the limit.
    least_objects : int
        Cells of fewer are left out; so are those of which fewer are fitted.
    resamples : int
        Number of bootstrap samples.
    """
    magnitudes, errors = np.asarray(mag, np.float64), np.asarray(error_mag, np.float64)

    def limit(cell: int, rows: NDArray[np.int64]) -> Found:
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, cell], np.uint64)))
        fit = fit_noise_model(
            magnitudes[rows], errors[rows], generator=generator, snr=snr, resamples=resamples
        )
        if fit is None or fit.objects < least_objects:
            return None
        return {
            "WEIGHT": fit.limit_mag,
            "ERROR": fit.limit_error_mag,
            "OBJECTS": fit.objects,
            "TEFF": fit.effective_time,
        }

    known = np.isfinite(magnitudes) & np.isfinite(errors) & (errors > 0)
    return _by_cell(lon_deg, lat_deg, known, (magnitudes, errors), order, least_objects, limit)


def snr_depth(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    mag: ArrayLike,
    source_snr: ArrayLike,
    order: int,
    *,
    snr: float = 5.0,
    least_objects: int = LEAST_OBJECTS,
) -> CatalogueDepth:
    """Median of ``m + 2.5 log10((S/N) / n)`` of every coarse cell.

    Parameters
    ----------
    lon_deg, lat_deg, mag, source_snr : array_like (n,)
        Point sources whose noise is that of the background; those without a positive S/N are left out.
    order, snr, least_objects
        See `rykoff_depth`.
    """
    magnitudes, ratios = np.asarray(mag, np.float64), np.asarray(source_snr, np.float64)
    known = np.isfinite(magnitudes) & np.isfinite(ratios) & (ratios > 0)
    limits = magnitudes + 2.5 * np.log10(np.where(known, ratios, 1.0) / snr)

    def limit(_: int, rows: NDArray[np.int64]) -> Found:
        middle = float(np.median(limits[rows]))
        spread = SIGMA_PER_MAD * float(np.median(np.abs(limits[rows] - middle)))
        return {
            "WEIGHT": middle,
            "ERROR": MEDIAN_ERROR * spread / float(np.sqrt(rows.size)),
            "OBJECTS": rows.size,
        }

    return _by_cell(lon_deg, lat_deg, known, (limits,), order, least_objects, limit)


def mean_depth(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    mag: ArrayLike,
    source_snr: ArrayLike,
    order: int,
    *,
    snr: float = 5.0,
    least_objects: int = LEAST_OBJECTS,
) -> CatalogueDepth:
    """Mean magnitude of sources whose S/N lies within 20 % of n; parameters as of `snr_depth`."""
    magnitudes, ratios = np.asarray(mag, np.float64), np.asarray(source_snr, np.float64)
    near = np.isfinite(magnitudes) & np.isfinite(ratios) & (np.abs(ratios - snr) < NEAR_LIMIT * snr)

    def limit(_: int, rows: NDArray[np.int64]) -> Found:
        if rows.size < 2:
            return None
        spread = float(np.std(magnitudes[rows], ddof=1))
        return {
            "WEIGHT": float(magnitudes[rows].mean()),
            "ERROR": spread / float(np.sqrt(rows.size)),
            "OBJECTS": rows.size,
        }

    return _by_cell(lon_deg, lat_deg, near, (magnitudes,), order, least_objects, limit)


def completeness_depth(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    mag: ArrayLike,
    detected: ArrayLike,
    order: int,
    *,
    fraction: float = 0.5,
    least_objects: int = LEAST_OBJECTS,
) -> CatalogueDepth:
    """Magnitude of every coarse cell at which the completeness falls to a fraction of its plateau.

    Parameters
    ----------
    lon_deg, lat_deg, mag : array_like (n,)
        Sources that are known to be there, and their true magnitudes.
    detected : array_like of bool (n,)
    order, least_objects
        See `rykoff_depth`.
    fraction : float
        0.5 for m50, 0.95 for m95. A limit fainter or brighter than all sources of the cell is not determined.
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"a fraction of the completeness must lie between 0 and 1, found {fraction}")
    magnitudes, seen = np.asarray(mag, np.float64), np.asarray(detected, bool)

    def limit(_: int, rows: NDArray[np.int64]) -> Found:
        fit = fit_completeness(magnitudes[rows], seen[rows])
        if fit is None:
            return None
        depth, error = fit.limit(fraction)
        if not magnitudes[rows].min() <= depth <= magnitudes[rows].max():
            return None
        return {"WEIGHT": depth, "ERROR": error, "OBJECTS": rows.size, "PLATEAU": fit.plateau}

    return _by_cell(
        lon_deg, lat_deg, np.isfinite(magnitudes), (magnitudes, seen), order, least_objects, limit
    )


def _by_cell(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    known: Mask,
    columns: Sequence[NDArray[np.generic]],
    order: int,
    least_objects: int,
    limit: Callable[[int, NDArray[np.int64]], Found],
) -> CatalogueDepth:
    """Limits cell by cell; the rows of a cell come in the order of their values, whatever that of the catalogue."""
    kept = np.flatnonzero(known)
    cells = hpx.cells_at(np.asarray(lon_deg)[kept], np.asarray(lat_deg)[kept], order)
    by_cell = np.lexsort((*(column[kept] for column in columns[::-1]), cells))
    number, begin = np.unique(cells[by_cell], return_index=True)
    groups = np.split(kept[by_cell], begin[1:])
    enough = [(int(cell), rows) for cell, rows in zip(number, groups) if rows.size >= least_objects]
    found = {cell: limit(cell, rows) for cell, rows in enough}
    told = {cell: one for cell, one in found.items() if one is not None and _is_measured(one)}
    if not told:
        raise InputError(
            f"a cell of order {order} must have at least {least_objects} objects that determine a limit, found none: "
            f"{number.size - len(enough)} of {number.size} cells have fewer objects"
        )
    names = next(iter(told.values()))
    maps = {
        name: SkyMap.from_cells(
            order,
            list(told),
            np.array([one[name] for one in told.values()], np.int64 if name == "OBJECTS" else np.float32),
        )
        for name in names
    }
    return CatalogueDepth(maps, number.size - len(enough), len(enough) - len(told))


def _is_measured(found: Mapping[str, float]) -> bool:
    return bool(np.isfinite(found["WEIGHT"]) and np.isfinite(found["ERROR"]) and found["WEIGHT"] > 0)


def is_matched(
    lon_deg: ArrayLike,
    lat_deg: ArrayLike,
    others_lon_deg: ArrayLike,
    others_lat_deg: ArrayLike,
    radius_arcsec: float,
) -> Mask:
    """Whether each position has one of the others within a radius (of the great circle), as bool (n,)."""
    others = _vectors(others_lon_deg, others_lat_deg)
    chord = 2.0 * np.sin(np.radians(radius_arcsec / 3600.0) / 2.0)
    distance, _ = cKDTree(others).query(_vectors(lon_deg, lat_deg), distance_upper_bound=chord * (1 + 1e-9))
    return np.asarray(distance <= chord)


def _vectors(lon_deg: ArrayLike, lat_deg: ArrayLike) -> Array:
    lon, lat = np.radians(np.asarray(lon_deg, np.float64)), np.radians(np.asarray(lat_deg, np.float64))
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


# -- products and anchors ---------------------------------------------------------------------------------------------


def depth_product(
    depth: CatalogueDepth,
    *,
    area: str,
    band: str,
    method: str,
    source: str,
    snr: float | None = None,
    fraction: float | None = None,
    extinction_corrected: bool = False,
) -> Product:
    """A depth from a catalogue as a depth product.

    Parameters
    ----------
    depth : CatalogueDepth
    area, band : str
        '-' where there is none.
    method : str
        rykoff, snr, mean or completeness.
    source : str
        Columns, for INFOSRC.
    snr : float, optional
        Of the limit; not of a completeness.
    fraction : float, optional
        Of a completeness.
    extinction_corrected : bool
        Whether the magnitudes are those outside the Galaxy.
    """
    words: dict[str, Scalar] = {
        "WGTKIND": "MAG",
        "DEGRULE": "LOGQUAD",
        "DEPTHEST": "COMPLETENESS" if method == "completeness" else "CATALOGUE",
        "INFOSRC": f"{method.upper()}: {source}",
        "CORRFAC": 1.0,
        "CORRSRC": "-1",
        "APERDIAM": -1.0,
        "PSFKIND": "-1",
        "EXTCORR": extinction_corrected,
    }
    if snr is not None:
        words["SNRLEVEL"] = float(snr)
    if fraction is not None:
        words["COMPFRAC"] = float(fraction)
    key = ProductKey(area=area, kind="depth", band=band, order=depth.map.order)
    return Product(key, depth.maps, keywords=words, unit="mag")


@dataclass(frozen=True)
class DepthShift:
    """By how much a catalogue depth is deeper than a map.

    Attributes
    ----------
    median_mag, scatter_mag : float
        Of catalogue minus map over the cells that both know (1.4826 median absolute deviations).
    cells : int
    """

    median_mag: float
    scatter_mag: float
    cells: int


def compare_depths(catalogue: SkyMap, other: SkyMap) -> DepthShift:
    """Compare a catalogue depth with a depth map, which is brought to the order of the former by LOGQUAD.

    Raises
    ------
    MapMismatchError
        The map is coarser, or no cell is in both.
    """
    if other.order < catalogue.order:
        raise MapMismatchError(
            f"a depth map must be as fine as the catalogue depth (order {catalogue.order}), found {other.order}"
        )
    differences = catalogue.values - other.degrade(catalogue.order, "LOGQUAD").of_cells(
        catalogue.cells.cells()
    )
    known = differences[np.isfinite(differences)].astype(np.float64)
    if not known.size:
        raise MapMismatchError(
            "a catalogue depth and a depth map must share cells, found none that both know"
        )
    middle = float(np.median(known))
    return DepthShift(middle, SIGMA_PER_MAD * float(np.median(np.abs(known - middle))), known.size)


def shifts_share_a_sign(shifts: Sequence[DepthShift]) -> bool:
    """Whether the shifts of several bands, where they differ from 0 by more than their errors, share a sign."""
    signs = {
        np.sign(one.median_mag)
        for one in shifts
        if abs(one.median_mag) > MEDIAN_ERROR * one.scatter_mag / np.sqrt(one.cells)
    }
    return len(signs - {0.0}) < 2
