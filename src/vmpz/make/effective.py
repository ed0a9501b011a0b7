"""Effective coverage: the fraction of every cell that is good in all of several bands.

**Definition and rules** (EFFRULE).

``JOINT``
    The share of the cell where *every* band of FILTLST is observed, usable, unflagged and outside its star
    masks, counted on the pixels that the bands share: ``f = f_geom joint / found``.
``MIN``
    The smallest of the bands' coverages: an upper bound of the joint fraction.
``PRODUCT``
    Their product: right where holes of different bands are independent.

Always ``max(0, sum f_b - (B - 1)) <= f_joint <= min f_b``. A cell that one band does not see is absent.

**Unit** none; **keywords** WGTKIND = OBSFRAC, DEGRULE = COVERAGE, EFFRULE, FILTLST, TILEAREA, OBSAREA. FILTER
is '-1'.

References: Euclid LE3 VMPZ-ID, "Effective Coverage combining all frequency bands".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MissingProductError
from vmpz.frames import FrameRef
from vmpz.make import coverage
from vmpz.make.needs import PassNeeds, key_for, selections_for, table_for
from vmpz.make.values import coverage_keywords, fraction_map, frame_keywords, keeps_zeros
from vmpz.parameters import Parameters
from vmpz.products import Product, ProductKey
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics

__all__ = ["combined_map", "joint_map", "keys", "make", "needs", "section"]

SAME_GRID_PX = 1e-3
"""Images whose pixels lie less than this apart have one grid."""


def joint_map(statistics: CellStatistics, joint: NDArray[Any], *, zeros: bool = False) -> SkyMap:
    """JOINT: the fraction from counts of pixels that are good in every band.

    Parameters
    ----------
    statistics : CellStatistics
        Of any of the bands (they share one pixel grid): columns geom and found.
    joint : int array (len(statistics.cells),)
        Pixels of each cell that are good in all bands.
    zeros : bool
        List cells of value 0 too.
    """
    counted = CellStatistics(
        statistics.cells,
        {"geom": statistics.column("geom"), "found": statistics.column("found"), "joint": joint},
    )
    return fraction_map(statistics.cells, counted.fraction("joint"), zeros)


def combined_map(coverages: Sequence[SkyMap], rule: str, cells: CellSet, *, zeros: bool = False) -> SkyMap:
    """MIN or PRODUCT of the bands' coverage maps on the given cells; a cell that a map lacks counts as 0 there.

    Raises
    ------
    InputError
        There is no map, or the rule is another.
    """
    rules = {"MIN": np.minimum.reduce, "PRODUCT": np.multiply.reduce}
    if rule not in rules or not coverages:
        raise InputError(
            f"coverage maps are combined by MIN or PRODUCT, found {rule} of {len(coverages)} maps"
        )
    number = cells.cells()
    values = [one.of_cells(number, 0.0).astype(np.float64) for one in coverages]
    return fraction_map(cells, rules[rule](values), zeros)


def keys(ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    """One effective coverage per area, where bands are named for it."""
    if not parameters.coverage.effective:
        return []
    return [key_for(ref, parameters, "effectivecoverage", instrument="-", band="-")]


def needs(key: ProductKey, ref: FrameRef, parameters: Parameters) -> PassNeeds:
    """Of each of the bands: its coverage, and its good pixels for JOINT."""
    if ref.band not in parameters.coverage.effective:
        return PassNeeds()
    table = table_for(ref, parameters)
    chosen = selections_for(parameters, ref.band, ref.instrument, table, "STARMASK" in ref.tables).coverage
    band = coverage.needs(coverage.keys(ref, parameters)[0], ref, parameters)
    joint = parameters.coverage.rule == "JOINT"
    return band | PassNeeds(keep_good=chosen if joint else None)


def section(key: ProductKey, ref: FrameRef, parameters: Parameters) -> dict[str, Any]:
    """Parameters that enter the digest; those of the bands' coverages enter through their digests."""
    chosen = parameters.coverage
    return {
        "bands": chosen.effective,
        "rule": chosen.rule,
        "rms_max": chosen.rms_max,
        "star_masks": chosen.star_masks,
        "bits": chosen.model_dump(mode="json")["bits"],
        "zeros": keeps_zeros(parameters.maps),
    }


def make(
    key: ProductKey,
    refs: Sequence[FrameRef],
    cells: CellSet,
    parameters: Parameters,
    *,
    statistics: CellStatistics | None = None,
    joint: NDArray[Any] | None = None,
    coverages: Mapping[str, SkyMap] | None = None,
) -> Product:
    """The effective coverage of one area.

    Parameters
    ----------
    key : ProductKey
    refs : sequence of FrameRef
        The area's frames.
    cells : CellSet
        The area's own cells.
    parameters : Parameters
    statistics, joint
        For JOINT: cell statistics of one of the bands, and the joint counts of all.
    coverages : mapping of str to SkyMap
        For MIN and PRODUCT: coverage map by band.

    Raises
    ------
    MissingProductError
        A band of the effective coverage has no frame here, or what its rule needs was not given.
    InputError
        JOINT, and the images of two bands do not share their pixels; or a band is that of two instruments.
    """
    bands, rule, zeros = parameters.coverage.effective, parameters.coverage.rule, keeps_zeros(parameters.maps)
    used = [ref for ref in refs if ref.band in bands]
    _refuse_missing(key, bands, {ref.band for ref in used}, "a frame")
    _refuse_shared_names(key, used)
    if rule != "JOINT":
        _refuse_missing(key, bands, set(coverages or ()), "a coverage")
        effective = combined_map([(coverages or {})[band] for band in bands], rule, cells, zeros=zeros)
    elif statistics is None or joint is None:
        raise MissingProductError(
            f"{key}: JOINT needs the good pixels of {', '.join(bands)}, which were not kept"
        )
    else:
        _refuse_other_grids(used)
        effective = joint_map(statistics, joint, zeros=zeros)
    keywords = {
        **frame_keywords(*used),
        **coverage_keywords(cells, effective),
        "EFFRULE": rule,
        "FILTLST": ",".join(bands),
    }
    return Product(key, {"WEIGHT": effective}, keywords=keywords)


def _refuse_shared_names(key: ProductKey, refs: Sequence[FrameRef]) -> None:
    by_band = {ref.band: ref for ref in refs}
    for ref in refs:
        if by_band[ref.band].instrument != ref.instrument:
            raise InputError(
                f"{key}: a band of an effective coverage must be of one instrument, found {ref.band} of "
                f"{ref.instrument} and {by_band[ref.band].instrument}"
            )


def _refuse_missing(key: ProductKey, bands: Sequence[str], there: set[str], what: str) -> None:
    absent = [band for band in bands if band not in there]
    if absent:
        raise MissingProductError(
            f"{key}: effective coverage of {', '.join(bands)} needs {what} of each; none of {', '.join(absent)}"
        )


def _refuse_other_grids(refs: Sequence[FrameRef]) -> None:
    """Pixels are joint only where they are the same pixels: one shape, and corners and centre at the same place."""
    first = refs[0]
    rows, columns = first.shape
    x = np.array([0.0, columns - 1.0, 0.0, columns - 1.0, columns / 2])
    y = np.array([0.0, 0.0, rows - 1.0, rows - 1.0, rows / 2])
    for other in refs[1:]:
        if (other.shape, other.wcs_cards) == (first.shape, first.wcs_cards):
            continue
        back = first.wcs.celestial.all_world2pix(*other.wcs.celestial.all_pix2world(x, y, 0), 0)
        shift = float(np.abs(np.array(back) - (x, y)).max())
        if other.shape != first.shape or not shift < SAME_GRID_PX:
            raise InputError(
                f"{other.name}: JOINT needs the pixels of {first.name}, {first.shape}; found {other.shape}, "
                f"{shift:.3g} px away: choose rule MIN or PRODUCT"
            )
