"""The pass over single exposures: images of detectors, one after the other, to the `CellStatistics` of an area.

Every image is reduced on its own, by the pass that mosaics go through, and added up. What is counted is then an area:
the exact share of the cell inside the detector's outline times the share of its pixels,
``sum_i geom_i count_i / found_i``, in units of the cell and summed over exposures. Columns (see `vmpz.statistics`):

==========================  ========================================================================================
``geom``                    share of the cell inside the union of all outlines
``found``                   ``sum_i geom_i``, the mean number of exposures over the cell
``valid``, ``usable``,      areas summed over exposures, in cells
``bit.NN``,
``flagged.<S>``,
``good.<S>``
``coverage.<S>``            share of the 64 sub-cells that at least ``min_good`` exposures see well: more than half of
                            the pixels that an exposure has there are good
``<P>.<sample>.<m>``        moments over all pixels of all exposures; ``area`` is what they cover, and ``sum`` their
                            mean times that, summed over exposures
``depth.weight``            mean over the observed part of ``sum_i (side_i / RMS_i)**2``: the inverse variance of a
                            flux per square arcsecond of sky, RMS_i the quadratic mean of the good pixels of exposure i
==========================  ========================================================================================

Bits are counted under the numbers of the area's table, whatever number the header of one image gives to a name, and
fluxes are in units of one zero point (`in_common`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import BitTable, Selection
from vmpz.frames import Frame, Plane
from vmpz.kernels.words import renumber, scale
from vmpz.make.derived import zero_point_factor
from vmpz.make.goodpixels import SUBCELL_ORDERS
from vmpz.make.storedwords import data_sum, read_only, verify_data_sum
from vmpz.sky.cells import CellSet
from vmpz.statistics import CellStatistics

__all__ = ["ExposureTotals", "in_common"]

Array = NDArray[np.float64]

SUBCELLS = 1 << (2 * SUBCELL_ORDERS)
FLUX_PLANES = ("RMS", "BACKGROUND", "IMAGE")
COUNTS = ("bit.", "flagged.", "good.")
NO_DATA = 1e15


def in_common(frame: Frame, table: BitTable | None, zero_point: float | None) -> Frame:
    """An image with fluxes in units of a zero point, and flags under the numbers of a table.

    Parameters
    ----------
    frame : Frame
        An opened image.
    table : BitTable or None
        Of all images of the area.
    zero_point : float or None
        None: fluxes as they are.
    """
    planes = dict(frame.planes)
    stated = frame.ref.scalars.get("zero_point")
    factor = 1.0 if stated is None or zero_point is None else zero_point_factor(stated, zero_point)
    if factor != 1.0:
        planes |= {name: _Converted(planes[name], _times(factor)) for name in FLUX_PLANES if name in planes}
    moved = _moved(frame.bits, table)
    if moved and "FLAG" in planes:
        planes["FLAG"] = _Converted(planes["FLAG"], _renumbering(moved))
    return replace(frame, planes=planes, bits=table)


def _moved(own: BitTable | None, table: BitTable | None) -> dict[int, int]:
    """Number of a bit in the image to that in the table; empty where all bits keep their numbers and names."""
    if own is None or table is None:
        return {}
    numbers = {bit.number: table.by_name[bit.name].number for bit in own.bits if bit.name in table.by_name}
    others = {bit.number for bit in own.bits} - numbers.keys()
    meant = others & {bit.number for bit in table.bits}  # by the table, as bits of other names
    return numbers if meant or any(one != two for one, two in numbers.items()) else {}


Rows = NDArray[Any]
Convert = Callable[[NDArray[np.uint32], bool, Rows], None]
"""(words as stored, whether their bytes are swapped, where the converted rows go)."""


def _times(factor: float) -> Convert:
    """No data (1e15 and more) stays what it is."""
    single, limit = np.float32(factor), np.float32(NO_DATA)
    return lambda stored, swap, out: scale(stored, swap, single, limit, out)


def _renumbering(moved: Mapping[int, int]) -> Convert:
    byte, table = np.arange(256), np.zeros((4, 256), np.uint32)
    for old, new in moved.items():
        table[old // 8] |= (byte >> old % 8 & 1).astype(np.uint32) << np.uint32(new)
    return lambda stored, swap, out: renumber(stored, swap, table, out.view(np.uint32))


class _Converted:
    """A plane whose rows go through a function; their DATASUM, where they have one, is checked here.

    Every row is read once: when the last one has been, the sum of the stored words must be the stated one.
    """

    datasum: int | None = None

    def __init__(self, plane: Plane, convert: Convert) -> None:
        self.name, self.shape, self.where = plane.name, plane.shape, plane.where
        self.sequential = plane.sequential
        self.dtype = np.dtype(np.int32 if plane.name == "FLAG" else np.float32)
        self._plane, self._convert = plane, convert
        self._sums: list[tuple[int, int]] = []

    def read(self, start: int, stop: int, out: Rows | None = None) -> Rows:
        """Rows [start, stop), converted."""
        rows = np.ascontiguousarray(self._plane.read(start, stop, out))
        if self._plane.datasum is not None:
            self._verify(stop - start, data_sum(rows, start))
        values = np.empty(rows.shape, self.dtype) if out is None else out
        if rows.dtype.itemsize != 4 or (rows.dtype.kind == "f") != (self.name != "FLAG"):
            with np.errstate(over="ignore"):
                rows = rows.astype(self.dtype)
        self._convert(read_only(rows.view(np.uint32)), not rows.dtype.isnative, values)
        return values

    def _verify(self, rows: int, total: int) -> None:
        self._sums.append((rows, total))  # by several threads, of which one sees that all rows are there
        if sum(number for number, _ in self._sums) == self.shape[0]:
            verify_data_sum(self._plane, sum(part for _, part in self._sums))

    def close(self) -> None:
        """Release the file."""
        self._plane.close()


class ExposureTotals:
    """Statistics of an area, filled image by image in a fixed order.

    Parameters
    ----------
    cells : CellSet
        The area's own cells.
    min_good : int
        Good exposures that a sub-cell needs to be covered.
    """

    def __init__(self, cells: CellSet, min_good: int = 1) -> None:
        self.cells, self.min_good = cells, min_good
        self.areas: dict[str, Array] = {name: np.zeros(len(cells)) for name in ("found", "valid", "usable")}
        self.moments: dict[str, dict[str, Array]] = {}
        self.pixels = np.zeros(len(cells), np.int64)
        self.weight, self.good, self.most = np.zeros((3, len(cells)))
        self.seen: NDArray[np.uint8] | None = None
        self.scalars: dict[str, Any] = {
            "images": 0,
            "pixels": 0,
            "invalid_rms": 0,
            "stray": 0,
            "stray_bits": 0,
        }

    def add(
        self,
        image: CellStatistics,
        *,
        pixel_scale_arcsec: float,
        good: Selection | None = None,
        words: NDArray[np.uint64] | None = None,
    ) -> None:
        """Add the statistics of one image.

        Parameters
        ----------
        image : CellStatistics
            On cells of the area that the image touches.
        pixel_scale_arcsec : float
            Side of its pixels.
        good : Selection, optional
            The selection that good pixels must not be hit by: for the depth.
        words : uint64 array (len(image.cells),), optional
            Its good sub-cells.
        """
        place = self.cells.index(image.cells.cells())
        per_pixel = np.divide(
            image.column("geom"), image.column("found"),
            out=np.zeros(place.size), where=image.column("found") > 0,
        )  # fmt: skip
        self.pixels[place] += image.column("found")
        self.areas["found"][place] += np.where(image.column("found") > 0, image.column("geom"), 0.0)
        for name in ("valid", "usable", *(one for one in image.columns if one.startswith(COUNTS))):
            self._add_area(name, place, per_pixel * image.column(name))
        for prefix in sorted({name.rpartition(".")[0] for name in image.columns if name.endswith(".mean")}):
            self._add_moments(prefix, place, image, per_pixel)
        if good is not None and "RMS.good.n" in image.columns:
            self._add_weight(place, image, per_pixel * image.column("RMS.good.n"), pixel_scale_arcsec)
        if words is not None:
            self._add_words(place, words)
        for name in ("pixels", "invalid_rms", "stray"):
            self.scalars[name] += int(image.scalars[name])
        self.scalars["images"] += 1
        self.scalars["stray_bits"] |= int(image.scalars["stray_bits"])
        for name in ("rms_max", "validity"):
            self.scalars[name] = image.scalars[name]

    def _add_area(self, name: str, place: NDArray[np.int64], area: Array) -> None:
        self.areas.setdefault(name, np.zeros(len(self.cells)))[place] += area

    def _add_moments(
        self, prefix: str, place: NDArray[np.int64], image: CellStatistics, per_pixel: Array
    ) -> None:
        """Pairwise update of mean and sum of squared deviations (Chan, Golub and LeVeque 1979)."""
        n = image.column(f"{prefix}.n")
        here = np.flatnonzero(n > 0)
        at, n = place[here], n[here].astype(np.float64)
        total = self.moments.setdefault(prefix, _no_moments(len(self.cells)))
        mean, m2, low, high = (image.column(f"{prefix}.{one}")[here] for one in ("mean", "m2", "min", "max"))
        before = total["n"][at]
        share = n / (before + n)
        delta = mean - total["mean"][at]
        total["mean"][at] += delta * share
        total["m2"][at] += m2 + delta**2 * before * share
        total["n"][at] += n
        total["area"][at] += per_pixel[here] * n
        total["sum"][at] += per_pixel[here] * n * mean
        total["min"][at] = np.minimum(total["min"][at], low)
        total["max"][at] = np.maximum(total["max"][at], high)
        if f"{prefix}.wsum" in image.columns:
            wsum, wmean = image.column(f"{prefix}.wsum")[here], image.column(f"{prefix}.wmean")[here]
            total["wsum"][at] += wsum
            total["weighted"][at] += np.where(wsum > 0, wsum * wmean, 0.0)

    def _add_weight(
        self, place: NDArray[np.int64], image: CellStatistics, area: Array, pixel_scale_arcsec: float
    ) -> None:
        n, mean, m2 = (image.column(f"RMS.good.{one}") for one in ("n", "mean", "m2"))
        here = np.flatnonzero(n > 0)
        variance = mean[here] ** 2 + m2[here] / n[here]
        self.weight[place[here]] += area[here] * pixel_scale_arcsec**2 / variance
        self.good[place] += area
        self.most[place] = np.maximum(self.most[place], area)

    def _add_words(self, place: NDArray[np.int64], words: NDArray[np.uint64]) -> None:
        if self.seen is None:
            self.seen = np.zeros((len(self.cells), SUBCELLS), np.uint8)
        bits = (words[:, None] >> np.arange(SUBCELLS, dtype=np.uint64) & np.uint64(1)).astype(np.uint8)
        self.seen[place] += np.minimum(bits, 255 - self.seen[place])

    def statistics(
        self, union: Array, coverage: Selection | None = None, *, subcells: bool = False
    ) -> CellStatistics:
        """What was added up.

        Parameters
        ----------
        union : float64 array (len(cells),)
            Share of each cell inside the union of the outlines.
        coverage : Selection, optional
            The selection that good sub-cells must not be hit by.
        subcells : bool
            Whether the words of these sub-cells are kept.
        """
        columns: dict[str, NDArray[Any]] = {"geom": union, **dict(sorted(self.areas.items()))}
        for prefix in sorted(self.moments):
            columns |= _moment_columns(prefix, self.moments[prefix])
        if coverage is not None:
            columns[f"coverage.{coverage.text}"] = self._covered(union, self.min_good)
            columns |= {"subcells": self._words()} if subcells else {}
        if "RMS.good" in self.moments:
            part = np.clip(union if self.seen is None else self._covered(union, 1), self.most, self.good)
            known = self.weight > 0
            columns["depth.weight"] = np.divide(self.weight, part, out=np.zeros(part.size), where=known)
        return CellStatistics(self.cells, columns, self.scalars)

    def _words(self) -> NDArray[np.uint64]:
        """Words of the sub-cells that enough exposures see well."""
        if self.seen is None:
            return np.zeros(len(self.cells), np.uint64)
        packed = np.packbits(self.seen >= self.min_good, axis=1, bitorder="little")
        return packed.view("<u8").ravel().astype(np.uint64)

    def _covered(self, union: Array, least: int) -> Array:
        """Share of sub-cells that so many exposures see well, at least; never more than the union of the outlines."""
        if self.seen is None:
            return np.zeros(len(self.cells))
        return np.asarray(np.minimum((self.seen >= least).sum(axis=1) / SUBCELLS, union))


def _no_moments(n: int) -> dict[str, Array]:
    zeros = {name: np.zeros(n) for name in ("n", "mean", "m2", "area", "sum", "wsum", "weighted")}
    return {**zeros, "min": np.full(n, np.inf), "max": np.full(n, -np.inf)}


def _moment_columns(prefix: str, total: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
    known = total["n"] > 0
    columns: dict[str, NDArray[Any]] = {
        f"{prefix}.n": total["n"].astype(np.int64),
        f"{prefix}.area": total["area"],
    }
    columns |= {
        f"{prefix}.{name}": np.where(known, total[name], np.nan)
        for name in ("mean", "m2", "min", "max", "sum")
    }
    if total["wsum"].any():
        weighed = total["wsum"] > 0
        columns[f"{prefix}.wsum"] = total["wsum"]
        columns[f"{prefix}.wmean"] = np.divide(
            total["weighted"], total["wsum"], out=np.full(known.size, np.nan), where=weighed
        )
    return columns
