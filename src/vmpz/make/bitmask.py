"""Bit mask: the fraction of every cell hit by selected flag bits.

**Definition.** WEIGHT is the joint fraction ``f_S``: the share of the cell whose pixels have *any* bit of the
selection set. A joint fraction cannot be had from the fractions of single bits (``max f_b <= f_S <= min(1,
sum f_b)``), so it is counted on pixels. One more column ``BITnn`` per selected bit gives the share of the
cell with that bit set, alone or not (``[bitmask] per_bit``).

**Formula.** ``f = f_geom flagged / found``, over all pixels of the image, observed or not. 1 = flagged
everywhere; absent = 0. Of single exposures: flagged area over observed area, both summed over exposures (SAMPLE =
EXPOSURE). This is not a coverage: the coverage is counted from observed and unflagged pixels.

**Bits** are chosen by name (``[bitmask] bits``), their numbers come from the bit table of the instrument and
pipeline version, whose name and version are in BITTABLE and BITTABVR; BITSEL lists the numbers, BITNnn their
names. Geometric masks are bits too: STARMASK (32), and those of ``[[masks]]`` (33 and on, in their order).

**Unit** none; **keywords** WGTKIND = FLAGFRAC, DEGRULE = COVERAGE.

References: Euclid DPDD, DpdHealpixBitMaskVMPZ.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vmpz.bits import Selection
from vmpz.errors import InputError, MissingProductError
from vmpz.frames import Frame, FrameRef
from vmpz.make.needs import (
    PassNeeds,
    flag_planes,
    key_for,
    mask_sections,
    mask_tables,
    require,
    selection_of,
    selections_for,
    table_for,
    table_in,
)
from vmpz.make.values import bit_keywords, fraction_map, frame_keywords
from vmpz.parameters import Parameters
from vmpz.products import Product, ProductKey
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics

__all__ = ["bit_maps", "keys", "make", "needs", "section"]


def bit_maps(
    statistics: CellStatistics, selection: Selection, *, per_bit: bool = True, zeros: bool = False
) -> dict[str, SkyMap]:
    """The joint fraction (WEIGHT) and the fraction of every single bit (BITnn), all on the same cells.

    Parameters
    ----------
    statistics : CellStatistics
        Columns geom, found, ``flagged.<selection>`` and ``bit.NN``.
    selection : Selection
        At least one bit.
    per_bit : bool
        Also one map per bit.
    zeros : bool
        List cells without any flag too.

    Raises
    ------
    InputError
        The selection is empty.

    Examples
    --------
    >>> import numpy as np
    >>> from vmpz import CellSet, CellStatistics, bit_maps
    >>> from vmpz.bits import bit_table
    >>> chosen = bit_table("vis-pf14").select(["HOT", "SAT"])
    >>> counts = {"flagged.HOT,SAT": [5], "bit.01": [3], "bit.03": [4], "geom": [1.0], "found": [100]}
    >>> columns = {name: np.array(values) for name, values in counts.items()}
    >>> maps = bit_maps(CellStatistics(CellSet.from_cells(14, [7]), columns), chosen)
    >>> {name: round(float(one.values[0]), 6) for name, one in maps.items()}
    {'WEIGHT': 0.05, 'BIT01': 0.03, 'BIT03': 0.04}
    """
    if not selection.numbers:
        raise InputError("a bit mask needs at least one flag name, found none")
    joint = statistics.hit(f"flagged.{selection.text}")
    weight = fraction_map(statistics.cells, joint, zeros)
    listed = weight.cells
    maps = {"WEIGHT": weight}
    for number in selection.numbers if per_bit else ():
        single = SkyMap(statistics.cells, statistics.hit(f"bit.{number:02d}").astype(np.float32))
        maps[f"BIT{number:02d}"] = _at(single, listed)
    return maps


def _at(whole: SkyMap, cells: CellSet) -> SkyMap:
    return whole if cells == whole.cells else whole.clip(cells)


def keys(ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    """One bit mask per band; where no table describes the flags and none is asked for, the key says '-'."""
    table = table_for(ref, parameters)
    selection = selections_for(parameters, ref.band, ref.instrument, table, False).bitmask
    return [key_for(ref, parameters, "bitmask", selection=selection.text if selection else "-")]


def needs(key: ProductKey, ref: FrameRef, parameters: Parameters) -> PassNeeds:
    """The FLAG plane, and star masks where they are asked for."""
    selection = selection_of(key, table_for(ref, parameters))
    planes = flag_planes(selection) if selection.numbers else frozenset({"FLAG"})
    return PassNeeds(planes=planes, tables=mask_tables(selection), selections=frozenset({selection}))


def section(key: ProductKey, ref: FrameRef, parameters: Parameters) -> dict[str, Any]:
    """Parameters that enter the digest."""
    table = table_for(ref, parameters)
    return {
        "bits": key.selection,
        "table": f"{table.name} {table.version}" if table else "-",
        "per_bit": parameters.bitmask.per_bit,
        "zeros": parameters.maps.write_zeros,
        **mask_sections(key, parameters),
    }


def make(
    key: ProductKey,
    frame: Frame,
    statistics: CellStatistics,
    parameters: Parameters,
    maps: Mapping[str, SkyMap] | None = None,
) -> Product:
    """The bit mask of one band of one area.

    Raises
    ------
    MissingProductError
        No bit table describes the flags of this frame, or it has no FLAG plane.
    """
    table = table_in(frame, parameters)
    selection = selection_of(key, table)
    if not selection.numbers:
        lacks = (
            "a table that says what the flags mean; this frame has none: name one in [bitmask] table"
            if table is None
            else f"names of flags; neither [bitmask] bits nor the default of table {table.name} gives one"
        )
        raise MissingProductError(f"{frame.ref.name}: a bit mask needs {lacks}")
    require(frame, frozenset(), selection)
    columns = bit_maps(
        statistics, selection, per_bit=parameters.bitmask.per_bit, zeros=parameters.maps.write_zeros
    )
    keywords = {
        **frame_keywords(frame.ref),
        "WGTKIND": "FLAGFRAC",
        "DEGRULE": "COVERAGE",
        **({"SAMPLE": "EXPOSURE"} if statistics.of_exposures else {}),
        **bit_keywords(selection, table),
    }
    return Product(key, columns, keywords=keywords)
