"""What is wrong with a product file: layout, keywords, checksums, sorting, ranges, agreement with its descriptor."""

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lxml import etree

from vmpz.errors import InputError
from vmpz.files.fits import FitsFile, open_fits
from vmpz.io.collection import DPD, collection_faults
from vmpz.io.forms import form_of
from vmpz.io.inventory import kind_of_token
from vmpz.io.mangle_reading import read_mangle
from vmpz.io.metadata import BOUNDED, COVERAGE_TYPE, FRACTIONS, PRIMARY, keyword
from vmpz.io.names import parse_name
from vmpz.io.objects import MAX_BYTES
from vmpz.io.randomreading import is_random, open_random, random_faults
from vmpz.io.reading import MapTable, bands_of, map_table, read_fits, words_of
from vmpz.io.xml import NAMESPACE, Descriptor, md5_of, read_descriptor, schema
from vmpz.products import SUBCELL, Scalar

__all__ = ["check"]


def check(path: str | Path) -> list[str]:
    """Faults of a product file in any form, a random catalogue, a descriptor or a collection.

    There are none when it holds what its format asks for. A descriptor is checked together with the file it names, a
    FITS file together with the descriptors beside it, and a collection together with its twin in the other form.
    """
    path = Path(path)
    try:
        if path.name.startswith(DPD):
            return collection_faults(path)
        if path.name.endswith(".xml"):
            return list(_descriptor_faults(path))
        if is_random(path):
            return [*_random_faults(path), *_beside(path)]
        form = form_of(path, "healpix")
        if form.name == "healsparse" or (".fits" not in path.name and form.read is not read_fits):
            form.read(path)
            return list(_beside(path)) if form.described else []
        return [*_fits_faults(path), *_beside(path)]
    except (InputError, OSError) as error:
        return [str(error) if str(path) in str(error) else f"{path}: {error}"]


def _fits_faults(path: Path) -> Iterator[str]:
    with open_fits(str(path)) as file:
        for unit in file.hdus:
            file.verify_data(unit)
        tables = {band: map_table(file, band) for band in bands_of(file) or (None,)}
        if any(found.columns for found in tables.values()):  # a plain MOC has the keywords of the IVOA alone
            yield from _primary_faults(file)
    for band, found in tables.items():
        yield from _layout_faults(found)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_fits(path, band)
        kind = kind_of_token(found.token)
        if kind is not None:
            yield from _value_faults(found, kind[0])
            yield from _name_faults(path, found.token)


def _random_faults(path: Path) -> Iterator[str]:
    if ".fits" in path.name and path.is_file():
        with open_fits(str(path), MAX_BYTES) as file:
            yield from _primary_faults(file)
            yield from _fill_faults(file)
    yield from random_faults(path)


def _fill_faults(file: FitsFile) -> Iterator[str]:
    """What fills the last block of a table are zeros; the rows are verified where they are read."""
    for unit in file.hdus if not file.is_gzip else ():
        fill = unit.padded_bytes - unit.data_bytes
        if os.pread(file.handle.fileno(), fill, unit.data_offset + unit.data_bytes).strip(b"\0"):
            yield f"{unit.where}: DATASUM must hold, found that the zeros behind the rows were altered"


def _primary_faults(file: FitsFile) -> Iterator[str]:
    unit = file.hdus[0]
    kind = next((known for one in file.hdus if (known := kind_of_token(one.name))), ("-", "-"))[0]
    if unit.header["NAXIS"] != 0:
        yield f"{unit.where}: NAXIS of the primary header must be 0, found {unit.header['NAXIS']}"
    for row in PRIMARY:
        if row.belongs_to(kind) and row.name not in unit.header and not row.name.startswith("DATE-"):
            yield f"{unit.where}: {row.name} must be present"
    for one in file.hdus:
        for name in one.header:
            told, value = keyword(name), one.header[name]
            if told is not None and type(value) is not told.type and (told.type, type(value)) != (float, int):
                yield f"{one.where}: {name} must be a {told.type.__name__}, found {value!r}"


def _layout_faults(found: MapTable) -> Iterator[str]:
    header, where = found.unit.header, found.unit.where
    ordering = {"PIXEL": "NESTED", "UNIQ": "NUNIQ", "RANGE": "RANGE"}.get(found.index, "NESTED")
    wanted = {"ORDERING": ordering, "COORDSYS": "C"}
    if found.index != "RANGE" and found.columns:
        wanted |= {"PIXTYPE": "HEALPIX", "INDXSCHM": "EXPLICIT"}
        wanted |= {"OBJECT": "PARTIAL"} if found.index == "PIXEL" else {}
        names = list(found.table.columns)
        if names[:2] != [found.index, "WEIGHT"]:
            yield f"{where}: the first columns must be {found.index}, WEIGHT; found {', '.join(names[:2])}"
    for name, value in wanted.items():
        if header.get(name) != value:
            yield f"{where}: {name} must be {value!r}, found {header.get(name)!r}"
    if found.index in ("PIXEL", "UNIQ"):
        numbers = found.table[found.index].ravel().astype(np.int64)
        wrong = np.flatnonzero(np.diff(numbers) <= 0)
        if wrong.size:
            yield f"{where}: {found.index} must ascend, found row {wrong[0] + 2} not above the one before"


def _value_faults(found: MapTable, kind: str) -> Iterator[str]:
    where = found.unit.where
    most = 1.0 if kind in BOUNDED else np.inf
    for name in set(found.columns) - {SUBCELL} if kind in FRACTIONS else ():
        values = found.table[name].astype(np.float64)
        outside = ~((values >= 0) & (values <= most) & (values < np.inf))
        if outside.any():
            within = "lie in [0, 1]" if kind in BOUNDED else "be finite and not negative"
            yield f"{where}: {name} must {within}, found {values[outside][0]:g} in {outside.sum()} rows"
    convention = found.words.get("COVCONV", "OBSERVED")
    if kind in COVERAGE_TYPE and convention not in ("OBSERVED", "MER"):
        yield f"{where}: COVCONV must be OBSERVED or MER, found {convention}"


def _name_faults(path: Path, token: str) -> Iterator[str]:
    name = parse_name(path.name)
    if name is not None and name.token != token:
        yield f"{path}: the name says {name.token}, EXTNAME says {token}"


# -- descriptors ----------------------------------------------------------------------------------------------------


def _beside(path: Path) -> Iterator[str]:
    """Faults of the descriptors in the same folder that name this file."""
    mark = f"<FileName>{path.name}</FileName>".encode()
    for other in sorted(path.parent.glob("Dpd*.xml")):
        if mark in other.read_bytes():
            yield from _descriptor_faults(other)


def _descriptor_faults(path: Path) -> Iterator[str]:
    told = read_descriptor(path)
    root = etree.fromstring(path.read_bytes(), etree.XMLParser(resolve_entities=False, no_network=True))
    space = etree.QName(root).namespace or ""
    if space.startswith(NAMESPACE):
        rules = schema(told.names)
        if not rules.validate(root):
            entries: Any = rules.error_log
            yield from (f"{path}:{entry.line}: {entry.message}" for entry in entries)
    if told.md5:
        md5 = md5_of(told.path)
        if md5 != told.md5:
            yield f"{path}: checksumValue must be that of {told.path.name}, {md5}; found {told.md5}"
    kind, words = _content(told)
    if kind not in ("", told.names.kind):
        yield f"{path}: describes a {told.names.kind}, {told.path.name} holds a {kind}"
    for name, value in told.parameters.items():
        if name in words and words[name] != value:
            yield f"{path}: {name} must agree with {told.path.name}, {words[name]!r}; found {value!r}"
    alone = words.get("TILEID", -1)  # a patch has none, though it may be of one tile
    if alone != -1 and len(told.tiles) == 1 and told.tiles[0] != alone:
        yield f"{path}: TileIndexList must agree with TILEID {alone}, found {told.tiles[0]}"


def _content(told: Descriptor) -> tuple[str, Mapping[str, Scalar]]:
    """Kind ('' where nothing tells) and keywords of the file that a descriptor names."""
    if told.names.form == "mangle":
        product = read_mangle(told.path, told=replace(told, md5=""))
        return product.key.kind, product.keywords
    if told.names.kind == "random":
        return "random" if is_random(told.path) else "catalogue", open_random(told.path).keywords
    with open_fits(str(told.path)) as file:
        bands = bands_of(file)
        found = map_table(file, next(iter(bands), None))
        words = words_of(file.hdus[0].header) if bands else found.words
    known = kind_of_token(found.token)
    return "" if known is None else known[0], words
