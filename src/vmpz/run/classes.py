"""Classes of galaxies: the files that they are made of, read once a process, and their tables of visibility."""

from vmpz.errors import InputError
from vmpz.make.outside import Outside
from vmpz.make.visibility import Table
from vmpz.parameters import Parameters, VisibilityParameters

__all__ = ["class_files", "table_of"]


def class_files(chosen: VisibilityParameters) -> dict[str, Outside]:
    return {}


def table_of(chosen: VisibilityParameters, parameters: Parameters) -> Table:
    raise InputError("no branch yet")
