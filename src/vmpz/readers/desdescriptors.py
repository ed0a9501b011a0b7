"""XML descriptors of DES frames in Euclid form: DpdExtDesCalibratedFrame (a CCD) and DpdExtDesStackedFrame (a coadd).

Elements are looked up by local name. A descriptor names one FITS file with image, flag and weight, and repeats of its
headers the zero point, the number of the CCD, the saturation level and the pointing and air mass of the observation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpz.errors import InputError
from vmpz.files.xml import Element, confined, parse_xml, text_at
from vmpz.frames import FileRef, Refused
from vmpz.readers.decamccd import INSTRUMENT, angle_deg
from vmpz.readers.descriptors import xml_ref

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
    zero_point, saturate : float or None
    scalars : mapping of str to float
        Of the observation, by quantity.
    """

    ref: FileRef
    form: str
    band: str
    path: str
    ccd: int | None
    zero_point: float | None
    saturate: float | None
    scalars: Mapping[str, float]
    release: str
    created: str


def read_descriptors(index: Mapping[str, Sequence[Path]], root: Path) -> Iterator[Descriptor | Refused]:
    """Descriptors of DES frames among the files of a folder, in order of their names."""
    for path in [path for name, paths in sorted(index.items()) if name.endswith(".xml") for path in paths]:
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
    ccd = _number(tree, "Data/CCDNumber", location)
    return Descriptor(
        ref=xml_ref(location),
        form=form,
        band=band if band.startswith(f"{INSTRUMENT}_") else f"{INSTRUMENT}_{band}",
        path=str(_named_file(name, location, index, root)),
        ccd=None if ccd is None else round(ccd),
        zero_point=_number(tree, "Data/ZeroPoint/Value", location)
        or _number(tree, "Data/ZeroPoint", location),
        saturate=_number(tree, "Data/Saturate", location),
        scalars=dict(_observation(tree, location)),
        release=text_at(tree, "Header/DataSetRelease", location) or "-1",
        created=text_at(tree, "Header/CreationDate", location) or "-1",
    )


def _named_file(name: str, where: str, index: Mapping[str, Sequence[Path]], root: Path) -> Path:
    """The file that a descriptor means: beside it, in its data folder, or the only one of that name below the root."""
    folder = Path(where).parent
    elsewhere = [path for path in index.get(name, []) if path.parent != folder]
    if not (folder / name).exists() and len(elsewhere) == 1:
        folder = elsewhere[0].parent
    return confined(folder, name, where, root)


def _observation(tree: Element, where: str) -> Iterator[tuple[str, float]]:
    for element in tree.iterfind("Data/Observation/*"):
        name = OBSERVATION.get(str(element.tag).lower().replace("_", ""))
        text = (element.text or "").strip()
        if name and text:
            yield name, _finite(angle_deg(text, name == "PointingLon"), str(element.tag), where, text)


def _number(tree: Element, path: str, where: str) -> float | None:
    text = text_at(tree, path, where)
    return None if text is None else _finite(angle_deg(text, False), path, where, text)


def _finite(value: float, what: str, where: str, text: Any) -> float:
    if not abs(value) < 1e9:
        raise InputError(f"{where}: {what} must be a finite number, found {text[:80]!r}")
    return value
