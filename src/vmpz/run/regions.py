"""Regions of patches: MOC file, polygon or cap, as the cells of an order whose centre lies inside."""

from dataclasses import dataclass
from pathlib import Path

from vmpz import io
from vmpz.errors import InputError
from vmpz.io.plainmoc import covered
from vmpz.parameters import PatchParameters
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, Polygon, cells_inside

__all__ = ["PatchRegion", "region_of"]


@dataclass(frozen=True)
class PatchRegion:
    """A region of the sky: a MOC file, or a cap or polygon."""

    shape: Path | Cap | Polygon

    def cells(self, order: int) -> CellSet:
        """Cells of an order whose centre lies inside.

        Raises
        ------
        InputError
            The MOC file cannot be read.
        """
        if isinstance(self.shape, Path):
            return _centres_in(_moc(self.shape), order)
        return cells_inside(self.shape, order)


def region_of(patch: PatchParameters) -> PatchRegion | None:
    """The region of a patch, None where it consists of whole tiles.

    Raises
    ------
    InputError
        The polygon or cap is none.
    """
    try:
        if patch.moc is not None:
            return PatchRegion(Path(patch.moc))
        if patch.polygon is not None:
            return PatchRegion(Polygon(patch.polygon))
        return None if patch.cap is None else PatchRegion(Cap(*patch.cap))
    except InputError as error:
        raise InputError(f"patch {patch.name}: {error}") from error


def _moc(path: Path) -> CellSet:
    if not path.is_file():
        raise InputError(f"{path}: must be a MOC file, found nothing")
    return covered(io.read(path))


def _centres_in(area: CellSet, order: int) -> CellSet:
    """Cells of a coarser or finer order whose centre is in the area."""
    if order >= area.order:
        return area.at_order(order)
    levels = area.order - order
    whole = ~(~area).at_order(order)
    edge = area.at_order(order) - whole
    cells = edge.cells()
    centre = (cells << (2 * levels)) + (3 << (2 * levels - 2))
    return whole | CellSet.from_cells(order, cells[area.index(centre) >= 0])
