"""Values as they are on disk, and the keywords that several products share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import BitTable, Selection
from vmpz.frames import FrameRef
from vmpz.parameters import MapParameters
from vmpz.products import Scalar
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = [
    "bit_keywords",
    "coverage_keywords",
    "fraction_map",
    "frame_keywords",
    "keeps_zeros",
    "measured_map",
]


def fraction_map(cells: CellSet, fraction: NDArray[Any], zeros: bool = False) -> SkyMap:
    """A map of fractions as float32; cells of value 0 are left out unless `zeros`."""
    values = np.asarray(fraction, np.float32)
    whole = SkyMap(cells, values)
    return whole if zeros else whole.where(values > 0)


def measured_map(cells: CellSet, values: NDArray[Any], dtype: str = "float32") -> SkyMap:
    """A map in its type on disk, of the cells whose value is finite."""
    known = np.isfinite(values)
    return SkyMap(CellSet.from_cells(cells.order, cells.cells()[known]), values[known].astype(dtype))


def keeps_zeros(maps: MapParameters) -> bool:
    """Whether coverage-type maps list cells of value 0: on request, and where absence does not mean 0 on disk."""
    return maps.write_zeros or maps.coverage_convention == "MER"


def frame_keywords(*refs: FrameRef) -> dict[str, Scalar]:
    """Telescope ('-1' where frames differ) and the time span of the observations."""
    telescopes = {ref.telescope for ref in refs}
    first = [ref.date_obs for ref in refs if ref.date_obs != "-1"]
    last = [ref.date_end for ref in refs if ref.date_end != "-1"]
    return {
        "TELESCOP": telescopes.pop() if len(telescopes) == 1 else "-1",
        "DATE-OBS": min(first, default="-1"),
        "DATE-END": max(last, default="-1"),
    }


def coverage_keywords(area: CellSet, fractions: SkyMap) -> dict[str, Scalar]:
    """Keywords of an observed fraction: kind, rule, area of the area's own cells and observed area (deg2)."""
    return {
        "WGTKIND": "OBSFRAC",
        "DEGRULE": "COVERAGE",
        "TILEAREA": area.area_deg2,
        "OBSAREA": fractions.integral_deg2(),
    }


def bit_keywords(selection: Selection, table: BitTable | None) -> dict[str, Scalar]:
    """Selected bits by number and name, and the table that says what they mean."""
    names: dict[str, Scalar] = {
        f"BITN{number:02d}": name for number, name in zip(selection.numbers, selection.names, strict=True)
    }
    return {
        "BITSEL": selection.bitsel,
        "BITTABLE": table.name if table else "-1",
        "BITTABVR": table.version if table else "-1",
        **names,
    }
