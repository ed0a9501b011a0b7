"""Maps of the PSF: width and ellipticity from stamps.

A stamp is a sample of the cell that it lies in. Where a cell holds none, the four nearest stand in, weighted by inverse
distance. Stamps of single exposures give one sample an exposure and cell, from the stamps of that detector alone, with
the share of the cell that the detector covers. Ellipticities are those of averaged moments (MEAN, WMEAN); any other
statistic is of the ellipticities themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MissingProductError
from vmpz.frames import Exposures, PsfStamps
from vmpz.make.exposuremaps import shares_of, weights_of
from vmpz.make.values import measured_map
from vmpz.physics.psf import nearest_on_sphere
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics, Samples, statistic

__all__ = ["psf_maps"]

Array = NDArray[np.float64]

NEAREST_STAMPS = 4
MEANS = ("MEAN", "WMEAN")


@dataclass(frozen=True)
class _Samples:
    """Samples of the PSF: place of the cell, share, weight, number, FWHM and moments (n, 3); stamps behind each."""

    place: NDArray[np.int64]
    share: Array
    weight: Array
    number: NDArray[np.int64]
    fwhm: Array
    moments: Array
    stamps: Array

    def of(self, name: str) -> Array:
        """Values of a quantity."""
        if name == "PSF":
            return self.fwhm
        return _ellipticity(self.moments)[:, 0 if name == "PSFE1" else 1]


def psf_maps(
    psf: PsfStamps | None,
    statistics: CellStatistics,
    name: str = "MEAN",
    *,
    quantity: str = "PSF",
    exposures: Exposures | None = None,
    weight: str | None = None,
) -> dict[str, SkyMap]:
    """A quantity of the PSF as WEIGHT, and NSTAMPS, the number of stamps it comes from.

    Parameters
    ----------
    psf : PsfStamps
    statistics : CellStatistics
        Column valid: the PSF is given where the image was observed.
    name : str
        Statistic.
    quantity : {'PSF', 'PSFE1', 'PSFE2'}
        FWHM (arcsec), or ellipticity.
    exposures : Exposures
        The detectors of stamps that belong to such.
    weight : str, optional
        Kind of their weights, see `vmpz.make.exposuremaps.weights_of`.

    Raises
    ------
    MissingProductError
        There is no stamp with a FWHM, or, for an ellipticity, with moments.
    """
    samples = _samples(*_usable(psf, quantity), statistics, exposures, weight)
    values = np.where(statistics.column("valid") > 0, _finish(samples, quantity, name, statistics), np.nan)
    made = measured_map(statistics.cells, values)
    number = np.rint(np.bincount(samples.place, samples.stamps, len(statistics.cells))).astype(np.float32)
    return {"WEIGHT": made, "NSTAMPS": SkyMap(statistics.cells, number).clip(made.cells)}


def _usable(psf: PsfStamps | None, quantity: str) -> tuple[PsfStamps, NDArray[np.int64]]:
    """Stamps that have what the quantity needs, and their numbers in the table, from 1."""
    if psf is None:
        raise MissingProductError(f"{quantity} needs stamps with a FWHM; there are none")
    good = np.isfinite(psf.fwhm_arcsec) & (psf.fwhm_arcsec > 0)
    if quantity != "PSF":
        known = psf.moments_arcsec2 if psf.moments_arcsec2 is not None else np.full((good.size, 3), np.nan)
        good &= np.isfinite(known).all(axis=1)
    if not good.any():
        raise MissingProductError(
            f"{quantity} needs stamps with {'a FWHM' if quantity == 'PSF' else 'moments'}; there are none"
        )
    moments = psf.moments_arcsec2
    usable = PsfStamps(
        psf.lon_deg[good],
        psf.lat_deg[good],
        psf.fwhm_arcsec[good],
        np.full((int(good.sum()), 3), np.nan) if moments is None else moments[good],
        None if psf.detector is None else psf.detector[good],
    )
    return usable, np.flatnonzero(good) + 1


def _finish(samples: _Samples, quantity: str, name: str, statistics: CellStatistics) -> Array:
    n = len(statistics.cells)

    def of(values: Array) -> Array:
        added = Samples(n).add(samples.place, values, samples.share, samples.weight, samples.number)
        return statistic(name).finish(added)

    if quantity == "PSF" or name not in MEANS:
        return of(samples.of(quantity))
    moments = np.stack([of(column) for column in samples.moments.T], axis=1)
    return _ellipticity(moments)[:, 0 if quantity == "PSFE1" else 1]


def _ellipticity(moments: Array) -> Array:
    """e1 = (Ixx - Iyy) / (Ixx + Iyy), e2 = 2 Ixy / (Ixx + Iyy), shape (n, 2)."""
    xx, yy, xy = moments.T
    return np.asarray(np.stack((xx - yy, 2.0 * xy), axis=1) / (xx + yy)[:, None])


def _samples(
    psf: PsfStamps,
    number: NDArray[np.int64],
    statistics: CellStatistics,
    exposures: Exposures | None,
    weight: str | None,
) -> _Samples:
    if psf.detector is None:
        return _of_image(psf, number, statistics.cells)
    if exposures is None:
        raise MissingProductError(
            "stamps of detectors need the exposures that they belong to; there are none"
        )
    return _of_detectors(psf, psf.detector, statistics.cells, exposures, weight)


def _of_image(psf: PsfStamps, number: NDArray[np.int64], cells: CellSet) -> _Samples:
    """Stamps inside the cells; where there is none, the nearest, which count as many as they are."""
    place = cells.index(hpx.cells_at(psf.lon_deg, psf.lat_deg, cells.order))
    stamp = np.flatnonzero(place >= 0)
    place = place[stamp]
    empty = np.flatnonzero(np.bincount(place, minlength=len(cells)) == 0)
    centres = np.stack(hpx.centres(cells.cells()[empty], cells.order))
    near, closeness = _nearest((psf.lon_deg, psf.lat_deg), centres)
    place = np.concatenate((place, np.repeat(empty, near.shape[1])))
    share = np.concatenate((np.ones(stamp.size), (near.shape[1] * closeness).ravel()))
    stamp = np.concatenate((stamp, near.ravel()))
    ones = np.ones(stamp.size)
    return _Samples(place, share, ones, number[stamp], psf.fwhm_arcsec[stamp], _moments(psf)[stamp], share)


def _of_detectors(
    psf: PsfStamps, detector: NDArray[np.int64], cells: CellSet, exposures: Exposures, weight: str | None
) -> _Samples:
    """One sample a detector and cell."""
    row, place, share = shares_of(exposures, cells)
    values, stamps = np.full((row.size, 4), np.nan), np.zeros(row.size)
    table = np.column_stack((psf.fwhm_arcsec, _moments(psf)))
    by_row, by_stamp = np.argsort(row, kind="stable"), np.argsort(detector, kind="stable")
    home = cells.index(hpx.cells_at(psf.lon_deg, psf.lat_deg, cells.order))
    centres = np.stack(hpx.centres(cells.cells(), cells.order))
    every = np.unique(detector)
    for pairs, mine in zip(_of_each(every, row, by_row), _of_each(every, detector, by_stamp), strict=True):
        if pairs.size:
            where = psf.lon_deg[mine], psf.lat_deg[mine]
            values[pairs], stamps[pairs] = _of_cells(table[mine], home[mine], where, place[pairs], centres)
    known = np.flatnonzero(stamps > 0)
    weights = weights_of(exposures, weight)[row[known]]
    return _Samples(
        place[known], share[known], weights, row[known].astype(np.int64) + 1,
        values[known, 0], values[known, 1:], stamps[known],
    )  # fmt: skip


def _of_each(
    wanted: NDArray[np.int64], owner: NDArray[Any], by_owner: NDArray[np.int64]
) -> Iterator[NDArray[np.int64]]:
    """The rows that each of some owners has."""
    ordered = owner[by_owner]
    for first, last in zip(
        np.searchsorted(ordered, wanted), np.searchsorted(ordered, wanted, side="right"), strict=True
    ):
        yield by_owner[first:last]


def _of_cells(
    table: Array,
    home: NDArray[np.int64],
    where: tuple[Array, Array],
    place: NDArray[np.int64],
    centres: Array,
) -> tuple[Array, Array]:
    """Mean of a detector's stamps in each of some cells (n, 4), or that of the nearest; number of stamps.

    `home` and `where` are cells and positions of the stamps, `centres` (2, all cells) those of the cells.
    """
    at = np.searchsorted(place, home)
    held = (at < place.size) & (place[np.minimum(at, place.size - 1)] == home)
    number = np.bincount(at[held], minlength=place.size).astype(np.float64)
    sums = np.stack([np.bincount(at[held], column[held], place.size) for column in table.T], axis=1)
    values = sums / np.maximum(number, 1.0)[:, None]
    empty = np.flatnonzero(number == 0)
    near, closeness = _nearest(where, centres[:, place[empty]])
    values[empty] = np.einsum("nk,nkc->nc", closeness, table[near])
    number[empty] = near.shape[1]
    return values, number


def _nearest(stamps: tuple[Array, Array], centres: Array) -> tuple[NDArray[np.int64], Array]:
    """The stamps nearest to centres of cells (2, n), and their shares by inverse distance, (n, k)."""
    near, distance = nearest_on_sphere(*stamps, centres[0], centres[1], NEAREST_STAMPS)
    closeness = 1.0 / np.maximum(distance, 1e-9)
    return near, closeness / closeness.sum(axis=1, keepdims=True)


def _moments(psf: PsfStamps) -> Array:
    return (
        psf.moments_arcsec2 if psf.moments_arcsec2 is not None else np.full((psf.fwhm_arcsec.size, 3), np.nan)
    )
