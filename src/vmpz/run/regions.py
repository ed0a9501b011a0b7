"""Regions of patches: MOC file, polygon or cap, as the cells of an order whose centre lies inside."""

from dataclasses import dataclass
from pathlib import Path

from vmpz import io
from vmpz.errors import InputError
from vmpz.files.nearby import what_is_at
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
            return _moc(self.shape).centred(order)
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
        raise InputError(f"{path}: must be a MOC file, found {what_is_at(path)}")
    return covered(io.read(path))
