"""XML descriptors of DES frames in Euclid form: DpdExtDesCalibratedFrame (a CCD) and DpdExtDesStackedFrame (a coadd).

Elements are looked up by local name. A descriptor names one FITS file with image, flag and weight, and repeats of its
headers the zero point, the number of the CCD and the pointing and air mass of the observation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmpz.errors import InputError
from vmpz.files.xml import Element, parse_xml, text_at
from vmpz.frames import FileRef, Refused
from vmpz.readers.decamccd import INSTRUMENT, angle_deg
from vmpz.readers.descriptors import number_at, xml_ref
from vmpz.readers.folders import file_named, xml_files

__all__ = ["Descriptor", "read_descriptors"]

PRODUCTS = {"DpdExtDesCalibratedFrame": "desdm", "DpdExtDesStackedFrame": "coadd"}
"""Product to the form of its file."""
OBSERVATION = {"telra": "PointingLon", "teldec": "PointingLat", "airmass": "Airmass"}
"""Element of Observation, in lower case, to the scalar it gives."""


@dataclass(frozen=True)
class Descriptor:
    """What the descriptor of one file says.

    Attributes
    ----------
    form : str
        'desdm' or 'coadd'.
    band : str
    path : str
        The file.
    ccd : int or None
    zero_point : float or None
    scalars : mapping of str to float
        Of the observation, by quantity.
    """

    ref: FileRef
    form: str
    band: str
    path: str
    ccd: int | None
    zero_point: float | None
    scalars: Mapping[str, float]
    release: str
    created: str


def read_descriptors(index: Mapping[str, Sequence[Path]], root: Path) -> Iterator[Descriptor | Refused]:
    """Descriptors of DES frames among the files of a folder, in order of their names."""
    for path in xml_files(dict(sorted(index.items()))):
        try:
            found = _read(str(path), index, root)
        except InputError as error:
            yield Refused("-", INSTRUMENT, "-", str(error))
            continue
        if found is not None:
            yield found


def _read(location: str, index: Mapping[str, Sequence[Path]], root: Path) -> Descriptor | None:
    """One descriptor, None if it is of another product."""
    tree = parse_xml(location)
    form = PRODUCTS.get(str(tree.tag))
    if form is None:
        return None
    name = text_at(tree, "Data/DataStorage/DataContainer/FileName", location, required=True) or ""
    band = (
        text_at(tree, "Data/Filter/Name", location)
        or text_at(tree, "Data/Filter", location, required=True)
        or ""
    )
    ccd = number_at(tree, location, "Data/CCDNumber")
    return Descriptor(
        ref=xml_ref(location),
        form=form,
        band=band if band.startswith(f"{INSTRUMENT}_") else f"{INSTRUMENT}_{band}",
        path=file_named(name, index, location, root),
        ccd=None if ccd is None else round(ccd),
        zero_point=number_at(tree, location, "Data/ZeroPoint/Value", "Data/ZeroPoint"),
        scalars=dict(_observation(tree, location)),
        release=text_at(tree, "Header/DataSetRelease", location) or "-1",
        created=text_at(tree, "Header/CreationDate", location) or "-1",
    )


def _observation(tree: Element, where: str) -> Iterator[tuple[str, float]]:
    for element in tree.iterfind("Data/Observation/*"):
        name = OBSERVATION.get(str(element.tag).lower().replace("_", ""))
        text = (element.text or "").strip()
        if name and text:
            value = angle_deg(text, name == "PointingLon")
            if not abs(value) < 1e9:
                raise InputError(f"{where}: {element.tag} must be a finite number, found {text[:80]!r}")
            yield name, value
