"""A tiny image with one cell per block of pixels, its frame and its statistics, counted the slow and obvious way."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import Bit, BitTable, Selection
from vmpz.frames import Exposures, FileRef, Frame, FrameRef, PsfStamps
from vmpz.parameters import Parameters
from vmpz.products import ProductKey
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon
from vmpz.statistics import CellStatistics

ORDER = 10
TABLE = BitTable(
    "toy",
    "1",
    "VIS",
    (Bit(0, "INVALID"), Bit(3, "SAT"), Bit(13, "PERSIST"), Bit(22, "NO_DATA"), Bit(31, "TOP")),
    default=("INVALID", "SAT", "NO_DATA"),
)
WCS_CARDS = "\n".join(
    [
        "CTYPE1  = 'RA---TAN'",
        "CTYPE2  = 'DEC--TAN'",
        "CRVAL1  = 10.0",
        "CRVAL2  = -20.0",
        "CRPIX1  = 50.5",
        "CRPIX2  = 50.5",
        "CDELT1  = -2.777777777778E-05",
        "CDELT2  = 2.777777777778E-05",
    ]
)
SCALARS = {"zero_point": 24.6, "pixel_scale_arcsec": 0.1}


class ArrayPlane:
    """A plane in memory."""

    sequential, datasum, where = False, None, "memory"

    def __init__(self, name: str, array: NDArray[Any]) -> None:
        self.name, self._array = name, array
        self.shape, self.dtype = array.shape, array.dtype

    def read(self, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        return self._array[start:stop]

    def close(self) -> None:
        pass


def parameters(**sections: Any) -> Parameters:
    """Parameters at the order of the toy image."""
    maps = {"order": ORDER, **sections.pop("maps", {})}
    return Parameters.model_validate({"inputs": [{"location": "."}], "maps": maps, **sections})


def cell_set(n: int) -> CellSet:
    """n cells in a row."""
    return CellSet.from_ranges(ORDER, [(1000, 1000 + n)])


def ref(
    planes: Sequence[str] = ("IMAGE", "RMS", "FLAG", "BACKGROUND"),
    tables: Sequence[str] = (),
    scalars: Mapping[str, float] = SCALARS,
    band: str = "VIS",
    bit_table: str = "-",
    area: str = "102018211",
    **more: Any,
) -> FrameRef:
    """A reference to an image of a band."""
    return FrameRef(
        "toy",
        area,
        "VIS",
        band,
        (100, 100),
        WCS_CARDS,
        {name: FileRef(f"{name}.fits") for name in planes},
        {name: FileRef(f"{name}.fits") for name in tables},
        dict(scalars),
        bit_table,
        **more,
    )


def exposures(*rows: tuple[str, Polygon, Mapping[str, float]]) -> Exposures:
    """A table of exposures, row by row."""
    return Exposures.joined(
        [
            Exposures(
                (name,), outline.vertices[None], {key: np.array([value]) for key, value in scalars.items()}
            )
            for name, outline, scalars in rows
        ]
    )


def frame(
    of: FrameRef,
    *,
    exposures: Exposures | None = None,
    psf: PsfStamps | None = None,
    star_masks: Any = None,
    bits: BitTable | None = TABLE,
    masks: Any = None,
) -> Frame:
    """An opened frame whose planes hold nothing of interest."""
    planes = {name: ArrayPlane(name, np.zeros(of.shape, np.float32)) for name in of.planes}
    return Frame(of, planes, exposures, psf, star_masks, bits, masks or {})


def key(kind: str, **fields: Any) -> ProductKey:
    """A key of the toy image."""
    whole = {
        "area": "102018211",
        "instrument": "VIS",
        "band": "VIS",
        "order": ORDER,
        "release": "0.1",
        **fields,
    }
    return ProductKey(kind=kind, **whole)


def count(
    cell: NDArray[np.int64],
    flags: NDArray[Any] | None = None,
    planes: Mapping[str, NDArray[Any]] | None = None,
    selections: Sequence[Selection] = (),
    good: Selection | None = None,
    geom: NDArray[np.float64] | None = None,
    rms_max: float = 1e6,
    percents: Sequence[int] = (),
) -> CellStatistics:
    """Cell statistics of pixels given one by one: `cell` is the place of each pixel's cell."""
    n = int(cell.max()) + 1
    words = np.zeros(cell.size, np.uint64) if flags is None else np.asarray(flags, np.uint64)
    planes = dict(planes or {})
    rms = np.asarray(planes.setdefault("RMS", np.ones(cell.size)), np.float64)
    valid = np.isfinite(rms) & (rms > 0) & (rms < 1e15)
    usable = valid & (rms <= rms_max)

    def number(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.array([np.count_nonzero(mask[cell == one]) for one in range(n)])

    columns: dict[str, NDArray[Any]] = {
        "geom": np.ones(n) if geom is None else geom,
        "found": number(np.ones(cell.size, bool)),
        "valid": number(valid),
        "usable": number(usable),
    }
    for bit in range(33):
        columns[f"bit.{bit:02d}"] = number((words >> np.uint64(bit)) & np.uint64(1) > 0)
    for selection in selections:
        hit = (words & np.uint64(selection.mask)) > 0
        columns[f"flagged.{selection.text}"] = number(hit)
        columns[f"good.{selection.text}"] = number(usable & ~hit)
    unflagged = usable if good is None else usable & ~((words & np.uint64(good.mask)) > 0)
    for name, plane in planes.items():
        for sample, mask in (("valid", valid), ("good", unflagged)):
            for moment, values in _moments(plane, rms, mask, cell, n, percents).items():
                columns[f"{name}.{sample}.{moment}"] = values
    return CellStatistics(cell_set(n), columns)


def _moments(
    plane: NDArray[Any],
    rms: NDArray[Any],
    mask: NDArray[np.bool_],
    cell: NDArray[Any],
    n: int,
    percents: Sequence[int],
) -> dict[str, NDArray[Any]]:
    rows = []
    for one in range(n):
        chosen = mask & (cell == one)
        x, w = np.asarray(plane, np.float64)[chosen], 1 / rms[chosen] ** 2
        if x.size == 0:
            rows.append({"n": 0})
            continue
        row = {
            "n": x.size,
            "mean": x.mean(),
            "m2": ((x - x.mean()) ** 2).sum(),
            "min": x.min(),
            "max": x.max(),
        }
        row |= {"median": np.median(x), "wsum": w.sum(), "wmean": (w * x).sum() / w.sum()}
        row |= {f"q{percent:02d}": np.percentile(x, percent) for percent in percents}
        rows.append(row)
    names = [
        "n",
        "mean",
        "m2",
        "min",
        "max",
        "median",
        "wsum",
        "wmean",
        *(f"q{percent:02d}" for percent in percents),
    ]
    return {name: np.array([row.get(name, 0) for row in rows]) for name in names}
