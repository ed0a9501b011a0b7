"""The forms of a product on disk: one row a form, found by its name or by the end of a file name.

A new form is a module with a writer and a reader, and one row here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmpz.errors import InputError, meant
from vmpz.io.fits import write_partial
from vmpz.io.healsparse import read_healsparse, write_healsparse
from vmpz.io.hips import read_hips, write_hips
from vmpz.io.mangle import write_mangle
from vmpz.io.mangle_reading import read_mangle
from vmpz.io.moc import write_moc
from vmpz.io.parquet import read_parquet, write_parquet
from vmpz.io.plainmoc import read_plain_moc, write_plain_moc
from vmpz.io.reading import read_fits
from vmpz.io.stcs import read_stcs, write_stcs
from vmpz.parameters import MangleParameters, MapParameters
from vmpz.products import Product

__all__ = ["FORMS", "FormOnDisk", "form_named", "form_of"]


@dataclass(frozen=True)
class FormOnDisk:
    """One form.

    Attributes
    ----------
    name : str
        As parameters and options name it.
    suffixes : tuple of str
        Ends of file names, longer ones before shorter ones of other forms; the first is the one that is written.
    write : callable
        ``(product, path, maps, mangle)``: whole or not at all; most forms have no use for the last.
    read : callable
        ``(path)`` -> `Product`.
    described : bool
        Whether an XML descriptor stands beside it.
    """

    name: str
    suffixes: tuple[str, ...]
    write: Callable[[Product, Path, MapParameters, MangleParameters], None]
    read: Callable[[Path], Product]
    described: bool = False


Writer = Callable[[Product, Path, MapParameters], None]


def _plainly(write: Writer) -> Callable[[Product, Path, MapParameters, MangleParameters], None]:
    """A writer that has no use for the parameters of polygons."""
    return lambda product, path, maps, mangle: write(product, path, maps)


FORMS = {
    form.name: form
    for form in (
        FormOnDisk(
            "plainmoc",
            (".plain.moc.fits", ".moc.json", ".moc.txt", ".plain.moc.fits.gz"),
            _plainly(write_plain_moc),
            read_plain_moc,
        ),
        FormOnDisk("moc", (".moc.fits", ".moc.fits.gz"), _plainly(write_moc), read_fits, described=True),
        FormOnDisk(
            "healsparse",
            (".hsp", ".hsp.fits", ".hs", ".hs.fits"),
            _plainly(write_healsparse),
            read_healsparse,
        ),
        FormOnDisk("healpix", (".fits", ".fits.gz"), _plainly(write_partial), read_fits, described=True),
        FormOnDisk("stcs", (".stcs",), _plainly(write_stcs), read_stcs),
        FormOnDisk("mangle", (".ply", ".pol"), write_mangle, read_mangle, described=True),
        FormOnDisk("parquet", (".parquet",), _plainly(write_parquet), read_parquet),
        FormOnDisk("hips", (".hips",), _plainly(write_hips), read_hips),
    )
}
"""Forms by name; of two suffixes that both fit, the form that stands first counts."""


def form_named(name: str, where: object = "") -> FormOnDisk:
    """The row of a form.

    Raises
    ------
    InputError
        There is no such form; the message lists those that exist.
    """
    if name not in FORMS:
        raise InputError(
            f"{where}: a form must be one of {', '.join(FORMS)}, found {name}{meant(name, FORMS)}".removeprefix(
                ": "
            )
        )
    return FORMS[name]


def form_of(path: Path, default: str = "") -> FormOnDisk:
    """The form that a file name says; `default` where it says none.

    Raises
    ------
    InputError
        It says none, and there is no default.
    """
    for form in FORMS.values():
        if path.name.endswith(form.suffixes):
            return form
    if default:
        return FORMS[default]
    known = [form.suffixes[0] for form in FORMS.values()]
    raise InputError(f"{path}: a product file must end in {', '.join(known)}{meant(path.suffix, known)}")
