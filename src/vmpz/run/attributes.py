"""Further columns of random catalogues: what the galaxy that a point stands for is like, and maps at its place.

A point of a place stands for a galaxy that is seen there: an object of the class is drawn with the probability that it
is seen at the depths of the cell, which are those of the nodes of the table around them, mixed as V itself is. A cell
of two depths (`vmpz.make.places`) has its mean depth here. Redshift and magnitude of an object of a luminosity function
or of number counts are spread over its cell of the integral.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmpz import io
from vmpz.errors import InputError
from vmpz.io import RandomColumn
from vmpz.kernels import philox
from vmpz.make.lattice import Corners
from vmpz.make.outside import EBV, Outside
from vmpz.make.randoms import ATTRIBUTE, Draw, Field, Points
from vmpz.make.visibilitytable import Table
from vmpz.parameters import Parameters, VisibilityParameters
from vmpz.run.classes import class_files, table_of
from vmpz.run.maprows import MapRows, map_rows
from vmpz.run.outside import bring, identity_of
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["Extras"]

Arrays = dict[str, NDArray[np.generic]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Extras:
    """What is attached to every point; picklable.

    Attributes
    ----------
    maps : mapping of str to tuple of Path
        Files of each map by the name of its column.
    chosen : VisibilityParameters or None
        The class whose attributes are drawn.
    parameters : Parameters or None
        Of the survey of that class.
    depths : mapping of str to tuple of Path
        Files of the depth by band.
    ebv : Outside or None
        Map of E(B-V), where extinction counts.
    """

    maps: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    chosen: VisibilityParameters | None = None
    parameters: Parameters | None = None
    depths: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    ebv: Outside | None = None

    @property
    def empty(self) -> bool:
        """Nothing is attached."""
        return not self.maps and self.chosen is None

    @property
    def table(self) -> Table | None:
        """The table of the class."""
        if self.chosen is None or self.parameters is None:
            return None
        return table_of(self.chosen, self.parameters)

    def columns(self, which: str) -> tuple[RandomColumn, ...]:
        """All columns of the catalogue.

        Raises
        ------
        InputError
            Something is added to a minimal catalogue.
        """
        table = self.table
        galaxies = None if table is None else table.branch.galaxies
        maps = [_column(name, map_rows(paths)) for name, paths in self.maps.items()]
        return io.random_columns(
            "minimal" if which == "minimal" else "full",
            redshift=galaxies is not None and _is_known(galaxies.redshift),
            bands=() if galaxies is None else tuple(galaxies.magnitudes),
            size=galaxies is not None and _is_known(galaxies.size_arcsec),
            classes=table is not None,
            maps=maps,
        )

    def arrays(self, draw: Draw, one: Field, points: Points) -> Arrays:
        """Values of the further columns at the points of a field."""
        found: Arrays = {}
        table = self.table
        if table is not None:
            found |= self._attributes(table, draw, one, points)
        for name, paths in self.maps.items():
            rows = map_rows(paths)
            values = _at(rows, one)[points.place]
            if _column(name, rows).kind == "i8":
                found[name] = np.where(np.isnan(values), -1, values).astype(np.int64)
            else:
                found[name] = values.astype(_column(name, rows).dtype)
        return found

    def identities(self) -> dict[str, str]:
        """Identities of the files of maps, and of those that the class is made of."""
        told: dict[str, str] = {}
        for paths in (*self.maps.values(), *self.depths.values()):
            told |= map_rows(paths).identities
        outside = {} if self.chosen is None else dict(class_files(self.chosen))
        outside |= {} if self.ebv is None else {EBV: self.ebv}
        return told | {f"{name}:{Path(one.location).name}": identity_of(one) for name, one in outside.items()}

    def _attributes(self, table: Table, draw: Draw, one: Field, points: Points) -> Arrays:
        corners = table.lattice.corners(self._positions(table, one))
        relative = table.relative(corners)
        group = np.digitize(corners.logarithmic(relative), table.chosen.classes)
        words = _words(draw, points)
        node = _nodes(corners, relative, points.place, _unit(words[:, 0]))
        galaxy = _galaxies(table, corners, node, _unit(words[:, 1]))
        galaxies = table.branch.galaxies
        found: Arrays = {}
        if _is_known(galaxies.redshift):
            spread = (_unit(words[:, 3]) - 0.5) * galaxies.spread_z
            found["REDSHIFT_TRUE"] = (galaxies.redshift[galaxy] + spread).astype(np.float32)
            measured = (
                galaxies.photo_z[galaxy]
                if _is_known(galaxies.photo_z)
                else galaxies.redshift[galaxy] + spread
            )
            found["REDSHIFT"] = measured.astype(np.float32)
        spread = (_unit(words[:, 2]) - 0.5) * galaxies.spread_mag
        for band, magnitude in galaxies.magnitudes.items():
            found[f"MAG_{band}"] = (magnitude[galaxy] + spread).astype(np.float32)
        if _is_known(galaxies.size_arcsec):
            found["SIZE"] = galaxies.size_arcsec[galaxy].astype(np.float32)
        found["VIS_CLASS"] = group[points.place].astype(np.int32)
        return found

    def _positions(self, table: Table, one: Field) -> Floats:
        """Depths, and E(B-V) where it counts, of the cells of a field.

        Raises
        ------
        InputError
            A cell of the visibility has none.
        """
        axes = [_at(map_rows(self.depths[band]), one) for band in table.chosen.reference]
        if table.chosen.extinction != "none" and self.ebv is not None:
            cells = CellSet.from_cells(one.order, one.cells)
            brought = bring(self.ebv, cells)
            axes.append(brought.of_cells(one.cells) if isinstance(brought, SkyMap) else np.empty(0))
        positions = np.stack(axes, axis=1)
        lacking = ~np.isfinite(positions).all(axis=1) & (one.visibility > 0)
        if lacking.any():
            raise InputError(
                f"class {table.chosen.name}: every visible cell must have its depths, found none for cell "
                f"{one.cells[np.flatnonzero(lacking)[0]]} of order {one.order}: make the visibility again"
            )
        return np.where(np.isfinite(positions), positions, np.asarray(table.lattice.origin))


def _unit(words: NDArray[np.uint64]) -> Floats:
    """Deviates in [0, 1) of random words."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _is_known(values: Floats) -> bool:
    """Whether any object has a value."""
    return bool(np.isfinite(values).any())


def _words(draw: Draw, points: Points) -> NDArray[np.uint64]:
    """Four random words for every point, uint64 (n, 4)."""
    counters = np.zeros((len(points), 4), np.uint64)
    counters[:, 0] = points.draw.astype(np.uint64)
    counters[:, 1] = hpx.to_uniq(points.cell, points.order).astype(np.uint64)
    counters[:, 2] = ATTRIBUTE
    words = np.empty_like(counters)
    philox.blocks(counters, *draw.key, words)
    return words


def _nodes(
    corners: Corners, relative: Floats, place: NDArray[np.int64], deviate: Floats
) -> NDArray[np.int64]:
    """Node of the table by which each point is drawn: a corner of its cell, by weight times what is seen there."""
    share = (corners.weight * relative[corners.place]).cumsum(axis=1)
    limit = deviate * share[place, -1]
    corner = np.minimum((share[place] <= limit[:, None]).sum(axis=1), share.shape[1] - 1)
    return np.asarray(corners.place[place, corner])


def _galaxies(table: Table, corners: Corners, node: NDArray[np.int64], deviate: Floats) -> NDArray[np.int64]:
    """Object of the class for every point, each as likely as it is seen at its node."""
    galaxy = np.zeros(node.size, np.int64)
    by_node = np.argsort(node, kind="stable")
    numbers, begin = np.unique(node[by_node], return_index=True)
    for number, first, last in zip(numbers, begin, (*begin[1:], node.size)):
        those = by_node[first:last]
        seen = table.seen(table.lattice.position(corners.nodes[number])).cumsum()
        galaxy[those] = np.searchsorted(seen, deviate[those] * seen[-1], side="right")
    return galaxy


def _column(name: str, rows: MapRows) -> RandomColumn:
    kind = rows.row_type["WEIGHT"].newbyteorder("=").str[1:]
    return RandomColumn(name, kind if kind in ("f4", "f8", "i8") else "f8", rows.unit, "map at this place")


def _at(rows: MapRows, one: Field) -> Floats:
    """Values of a map on the cells of a field, NaN where it has none; a coarser map gives its value to all inside.

    Raises
    ------
    InputError
        The map is finer than the cells.
    """
    if rows.order > one.order:
        raise InputError(
            f"{rows.key}: a map that is attached must be no finer than order {one.order}, found {rows.order}"
        )
    cells = one.cells >> 2 * (one.order - rows.order)
    if rows.order == one.order:
        return rows.values(cells)
    own, place = np.unique(cells, return_inverse=True)
    return rows.values(own)[place]
