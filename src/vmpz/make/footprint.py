"""Footprint: the observed fraction of every cell, for one band.

**Definition.** The value is the share of the cell's area that was observed, 1 = fully observed; cells that
were not observed are absent. Nothing is taken out for flags: that is the coverage.

**Sources** (``[footprint] source``).

``rms``
    Valid pixels: RMS finite, > 0 and < 1e15. ``f = f_geom valid / found``, with ``f_geom`` the exact share of
    the cell inside the image outline: exact inside, right at the edges, free of the noise of counting pixels.
``outline``
    The image outline alone, as an exact polygon: ``f = f_geom``.
``descriptor``
    The polygon ImgSpatialFootprint of the XML descriptor, exactly.
``layers``
    Union of the detector polygons of the exposures that made the mosaic; exact where one polygon decides,
    else to 1/64 of a cell. Single exposures that made no mosaic have no other footprint.

**Values** (``[footprint] values``). ``fraction``, or ``binary``: 1 where the fraction is > 0, the published
definition of the Euclid Q1 release.

Where a descriptor states ImgSpatialFootprint, SFPAREA is its area on the own cells and SFPDIFF the same minus the
area of valid pixels (deg2), whatever the source: the part of the stated footprint that no exposure reached.

**Unit** none; **keywords** WGTKIND = OBSFRAC, DEGRULE = COVERAGE, TILEAREA and OBSAREA (deg2). The sum of the
values times the cell area is the observed area, at any order.

References: Euclid DPDD, DpdHealpixFootprintMaskVMPZ.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import Selection
from vmpz.errors import MissingProductError
from vmpz.frames import Exposures, Frame, FrameRef
from vmpz.make.needs import PassNeeds, key_for, require, validity_plane
from vmpz.make.values import coverage_keywords, fraction_map, frame_keywords, keeps_zeros
from vmpz.parameters import Parameters
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon, covered_fractions, union_fractions
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics

__all__ = ["footprint_map", "keys", "make", "needs", "section", "stated_areas"]


def footprint_map(
    statistics: CellStatistics,
    *,
    source: str = "rms",
    values: str = "fraction",
    exposures: Exposures | None = None,
    descriptor: Polygon | None = None,
    zeros: bool = False,
) -> SkyMap:
    """The observed fraction of every cell.

    Parameters
    ----------
    statistics : CellStatistics
        Columns geom and, for source rms, found and valid.
    source : {'rms', 'outline', 'descriptor', 'layers'}
    values : {'fraction', 'binary'}
    exposures : Exposures
        Detector outlines, for source layers.
    descriptor : Polygon
        ImgSpatialFootprint, for source descriptor.
    zeros : bool
        List cells of value 0 too.

    Returns
    -------
    SkyMap
        float32, in (0, 1].

    Raises
    ------
    MissingProductError
        Source layers without exposures, or source descriptor without a polygon.

    Examples
    --------
    >>> import numpy as np
    >>> from vmpz import CellSet, CellStatistics, footprint_map
    >>> columns = {"geom": np.array([1.0, 0.5]), "found": np.array([100, 50]), "valid": np.array([100, 40])}
    >>> footprint_map(CellStatistics(CellSet.from_cells(14, [7, 8]), columns)).values
    array([1. , 0.4], dtype=float32)
    """
    if source == "rms" and not statistics.of_exposures:
        fraction = statistics.fraction("valid")
    elif source in ("rms", "outline"):
        fraction = np.clip(statistics.column("geom"), 0.0, 1.0)
    elif source == "descriptor":
        if descriptor is None:
            raise MissingProductError(
                "a footprint from the descriptor needs ImgSpatialFootprint; this frame has none"
            )
        fraction = _fractions_of(descriptor, statistics.cells)
    else:
        if exposures is None:
            raise MissingProductError(
                "a footprint from Layers needs a table of exposures; this frame has none"
            )
        union = union_fractions(exposures.corners, statistics.cells.order, cells=statistics.cells)
        fraction = union.of_cells(statistics.cells.cells(), 0.0)
    if values == "binary":
        fraction = np.where(np.asarray(fraction, np.float32) > 0, 1.0, 0.0)
    return fraction_map(statistics.cells, fraction, zeros)


def _fractions_of(polygon: Polygon, cells: CellSet) -> NDArray[np.float64]:
    share = covered_fractions(polygon, cells.order, cells=cells)
    return np.asarray(share.of_cells(cells.cells(), 0.0), np.float64)


def stated_areas(statistics: CellStatistics, descriptor: Polygon) -> dict[str, Scalar]:
    """Area of ImgSpatialFootprint on the own cells, and its excess over the valid pixels where counted, deg2."""
    area = hpx.cell_area_deg2(statistics.cells.order)
    stated = float(_fractions_of(descriptor, statistics.cells).sum()) * area
    if "valid" not in statistics.columns:
        return {"SFPAREA": stated}
    return {"SFPAREA": stated, "SFPDIFF": stated - float(statistics.fraction("valid").sum()) * area}


def keys(ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    """One footprint per band."""
    return [key_for(ref, parameters, "footprint")]


def needs(key: ProductKey, ref: FrameRef, parameters: Parameters) -> PassNeeds:
    """The validity plane, or the Layers table, or nothing but the outline."""
    source = parameters.footprint.source
    if not ref.has_grid:
        return PassNeeds(tables=frozenset({"LAYERS"}))
    if source == "rms":
        return PassNeeds(planes=validity_plane(ref))
    return PassNeeds(tables=frozenset({"LAYERS"} if source == "layers" else ()))


def section(key: ProductKey, ref: FrameRef, parameters: Parameters) -> dict[str, Any]:
    """Parameters that enter the digest."""
    return {**parameters.footprint.model_dump(mode="json"), "zeros": keeps_zeros(parameters.maps)}


def make(
    key: ProductKey,
    frame: Frame,
    statistics: CellStatistics,
    parameters: Parameters,
    maps: Mapping[str, SkyMap] | None = None,
) -> Product:
    """The footprint of one band of one area.

    Raises
    ------
    MissingProductError
        The frame does not have the plane or the table that the footprint comes from.
    """
    require(frame, needs(key, frame.ref, parameters).planes, Selection((), ()))
    descriptor = Polygon(frame.ref.footprint) if frame.ref.footprint else None
    footprint = footprint_map(
        statistics,
        source=parameters.footprint.source,
        values=parameters.footprint.values,
        exposures=frame.exposures,
        descriptor=descriptor,
        zeros=keeps_zeros(parameters.maps),
    )
    keywords = {**frame_keywords(frame.ref), **coverage_keywords(statistics.cells, footprint)}
    if descriptor is not None:
        keywords |= stated_areas(statistics, descriptor)
    return Product(key, {"WEIGHT": footprint}, keywords=keywords)
