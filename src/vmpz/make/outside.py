"""What makers want from outside the survey: a map of the sky, sampled on the area's cells, or a catalogue.

A maker says what it wants (`Outside`), whoever runs it brings it: a `SkyMap` on the area's own cells, or the `Sources`
inside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import BitTable
from vmpz.errors import MissingProductError
from vmpz.frames import FrameRef, Sources
from vmpz.make import coverage
from vmpz.make.needs import PassNeeds, selection_of, validity_plane
from vmpz.make.sources import density_map, source_map
from vmpz.parameters import CatalogueParameters, Parameters
from vmpz.physics.extinction import coefficient
from vmpz.quantities import Quantity
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics

__all__ = ["EBV", "Outside", "catalogue_map", "catalogue_needs", "catalogue_of", "reddening", "wanted_by"]

EBV = "EBV"
"""Name of the E(B-V) map among what is given to a maker."""
DENSITIES = ("StarDensity", "GalaxyDensity")


@dataclass(frozen=True)
class Outside:
    """A file from outside and what is wanted of it.

    Attributes
    ----------
    kind : {'map', 'sources'}
    location : str
    columns : tuple of str
        The column of a map (none: the obvious one); columns of a catalogue beside positions.
    positions : tuple of str
        Columns of the positions of a catalogue, if they are named.
    method : str
    coordsys : str or None
        Of a map: nearest or bilinear; its frame where the header does not say.
    """

    kind: Literal["map", "sources"]
    location: str
    columns: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    method: Literal["nearest", "bilinear"] = "nearest"
    coordsys: Literal["C", "G"] | None = None


def wanted_by(row: Quantity, parameters: Parameters) -> dict[str, Outside]:
    """What an info map of a quantity wants from outside."""
    if row.source == "sky" and parameters.extinction.map is not None:
        chosen = parameters.extinction
        column = () if chosen.column is None else (chosen.column,)
        return {EBV: Outside("map", str(chosen.map), column, (), chosen.method, chosen.coordsys)}
    catalogue = catalogue_of(row, parameters) if row.source == "catalogue" else None
    if catalogue is None:
        return {}
    columns = tuple(name for name in (catalogue.magnitude, catalogue.quality) if name is not None)
    return {catalogue.name: Outside("sources", catalogue.location, columns, catalogue.positions or ())}


def reddening(
    row: Quantity, band: str, parameters: Parameters, given: Mapping[str, Any]
) -> tuple[SkyMap, dict[str, str]]:
    """Extinction A_b = R_b E(B-V) of a band, mag, and the keywords that say how.

    Raises
    ------
    MissingProductError
        There is no map of E(B-V).
    InputError
        The law does not name the band.
    """
    if EBV not in given:
        raise MissingProductError(f"{row.name} needs a map of E(B-V): [extinction] map names none")
    chosen, ebv = parameters.extinction, given[EBV]
    values = (coefficient(chosen.law, band, chosen.coefficients) * ebv.values).astype(np.float32)
    return SkyMap(ebv.cells, values), {"EXTLAW": chosen.law, "INFOSRC": f"MAP {chosen.method}"}


def catalogue_of(row: Quantity, parameters: Parameters) -> CatalogueParameters | None:
    """The catalogue of the role that a quantity wants."""
    return next((one for one in parameters.catalogues if one.role == row.plane), None)


def catalogue_needs(row: Quantity, ref: FrameRef, parameters: Parameters) -> PassNeeds:
    """What gives the area that densities are per."""
    catalogue = catalogue_of(row, parameters)
    if catalogue is None:
        return PassNeeds()
    if catalogue.area == "coverage":
        return coverage.needs(coverage.keys(ref, parameters)[0], ref, parameters)
    return PassNeeds(planes=validity_plane(ref)) if ref.has_grid else PassNeeds(tables=frozenset({"LAYERS"}))


def catalogue_map(
    row: Quantity,
    name: str,
    ref: FrameRef,
    statistics: CellStatistics,
    parameters: Parameters,
    given: Mapping[str, Any],
    table: BitTable | None,
) -> SkyMap:
    """A density, or a statistic of a column, of the catalogue that a quantity wants.

    Raises
    ------
    MissingProductError
        There is no such catalogue, or it names no column for the quantity.
    """
    catalogue = catalogue_of(row, parameters)
    if catalogue is None or catalogue.name not in given:
        raise MissingProductError(
            f"{row.name} needs a catalogue of role {row.plane}: [[catalogues]] has none"
        )
    window = None
    if catalogue.window is not None and catalogue.magnitude is not None:
        low, high = catalogue.window
        window = (catalogue.magnitude, low, high)
    sources: Sources = given[catalogue.name]
    fraction = _fraction(catalogue, ref, statistics, parameters, table)
    order = min(catalogue.order, statistics.cells.order)
    if row.name in DENSITIES:
        if name not in ("VALUE", "MEAN"):
            raise MissingProductError(
                f"{row.name} is one number a cell, {name} has no meaning: ask for VALUE"
            )
        return density_map(
            sources, statistics.cells, fraction, order=order, window=window, everywhere=catalogue.everywhere
        )
    column = catalogue.quality if row.plane == "photoz" else catalogue.magnitude
    if column is None:
        key = "quality" if row.plane == "photoz" else "magnitude"
        raise MissingProductError(
            f"{row.name} needs the column `{key}` of catalogue {catalogue.name}: none is named"
        )
    return source_map(
        sources,
        statistics.cells,
        fraction,
        column=column,
        name=name,
        order=order,
        window=window,
        everywhere=catalogue.everywhere,
    )


def _fraction(
    catalogue: CatalogueParameters,
    ref: FrameRef,
    statistics: CellStatistics,
    parameters: Parameters,
    table: BitTable | None,
) -> NDArray[np.float64]:
    if catalogue.area == "coverage":
        key = coverage.keys(ref, parameters)[0]
        found = coverage.coverage_map(statistics, selection_of(key, table))
        return found.of_cells(statistics.cells.cells(), 0.0).astype(np.float64)
    share = statistics.column("geom") if statistics.of_exposures else statistics.fraction("valid")
    return np.clip(np.asarray(share, np.float64), 0.0, 1.0)
