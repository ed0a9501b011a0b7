"""Coverage: the fraction of every cell that is observed, usable and not flagged, for one band.

**Definition.** The share of the cell's area whose pixels have a usable RMS (finite, > 0, <= ``rms_max``, by default
1e6 in units of the image), none of the vetoed flag bits, and lie outside the bright-star masks. Always coverage
<= footprint, in every cell, where the footprint is that of valid pixels (source ``rms``) or of the mosaic outline; a
union of detector polygons is another measurement.

**Formula.** ``f = f_geom good / found``, counted jointly on pixels. Of single exposures: the share of the cell's 64
sub-cells that at least ``[exposures] min_good`` exposures see well, more than half of their pixels there being good;
never more than the union of the outlines.

**Vetoed bits** (``[coverage] bits``) are chosen by name; the default is that of the bit table (VIS: INVALID,
SAT, NO_DATA; NIR: INVALID, SATUR). Star masks count as the virtual bit STARMASK (32) unless ``star_masks =
false``. BITSEL, BITNnn, BITTABLE and BITTABVR say what was used.

**Unit** none; **keywords** WGTKIND = OBSFRAC, DEGRULE = COVERAGE, TILEAREA and OBSAREA (deg2).

References: Euclid DPDD Q1, DpdHealpixCoverageVMPZ.
"""

from collections.abc import Mapping
from typing import Any

from vmpz.bits import Selection
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
    validity_plane,
)
from vmpz.make.values import bit_keywords, coverage_keywords, fraction_map, frame_keywords, keeps_zeros
from vmpz.parameters import Parameters
from vmpz.products import Product, ProductKey
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics

__all__ = ["coverage_map", "keys", "make", "needs", "section"]


def coverage_map(statistics: CellStatistics, selection: Selection, *, zeros: bool = False) -> SkyMap:
    """The observed, usable and unflagged fraction of every cell.

    Parameters
    ----------
    statistics : CellStatistics
        Columns geom, found and ``good.<selection>``.
    selection : Selection
        Vetoed bits; may be empty.
    zeros : bool
        List cells of value 0 too.

    Returns
    -------
    SkyMap
        float32, in (0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from vmpz import CellSet, CellStatistics, coverage_map
    >>> from vmpz.bits import bit_table
    >>> veto = bit_table("vis-pf14").select(["INVALID", "SAT"])
    >>> columns = {"geom": np.ones(2), "found": np.array([100, 100]), "good.INVALID,SAT": np.array([97, 0])}
    >>> found = coverage_map(CellStatistics(CellSet.from_cells(14, [7, 8]), columns), veto)
    >>> found.cells.cells(), found.values
    (array([7]), array([0.97], dtype=float32))
    """
    counted = f"coverage.{selection.text}"
    if statistics.of_exposures:
        return fraction_map(statistics.cells, statistics.column(counted), zeros)
    return fraction_map(statistics.cells, statistics.fraction(f"good.{selection.text}"), zeros)


def keys(ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    """One coverage per band."""
    table = table_for(ref, parameters)
    chosen = selections_for(parameters, ref.band, ref.instrument, table, "STARMASK" in ref.tables)
    return [key_for(ref, parameters, "coverage", selection=chosen.coverage.text)]


def needs(key: ProductKey, ref: FrameRef, parameters: Parameters) -> PassNeeds:
    """The validity plane, and FLAG and star masks as far as the selection goes."""
    selection = selection_of(key, table_for(ref, parameters))
    return PassNeeds(
        planes=validity_plane(ref) | flag_planes(selection),
        tables=mask_tables(selection),
        selections=frozenset({selection}),
        keep_good=selection if parameters.coverage.subcells or not ref.has_grid else None,
    )


def section(key: ProductKey, ref: FrameRef, parameters: Parameters) -> dict[str, Any]:
    """Parameters that enter the digest."""
    table = table_for(ref, parameters)
    return {
        "bits": key.selection,
        "table": f"{table.name} {table.version}" if table else "-",
        "rms_max": parameters.coverage.rms_max,
        "subcells": parameters.coverage.subcells,
        **({} if ref.has_grid else {"min_good": parameters.exposures.min_good}),
        "zeros": keeps_zeros(parameters.maps),
        **mask_sections(key, parameters),
    }


def make(
    key: ProductKey,
    frame: Frame,
    statistics: CellStatistics,
    parameters: Parameters,
    maps: Mapping[str, SkyMap] | None = None,
) -> Product:
    """The coverage of one band of one area.

    Raises
    ------
    MissingProductError
        The frame does not have the planes or star masks that the coverage is counted from.
    """
    table = table_in(frame, parameters)
    selection = selection_of(key, table)
    require(frame, validity_plane(frame.ref), selection)
    coverage = coverage_map(statistics, selection, zeros=keeps_zeros(parameters.maps))
    keywords = {
        **frame_keywords(frame.ref),
        **coverage_keywords(statistics.cells, coverage),
        **bit_keywords(selection, table),
    }
    return Product(key, {"WEIGHT": coverage}, keywords=keywords)
