"""Multi-band files: the maps of one kind and area, one a band, in one partial HEALPix file.

HDU 0 names the bands (FILTLST), the patch (SKYPATCH) and which bands are relevant and processed (BANDREL, BANDPRC).
Layout ``hdus``: one table a band, named by its FILTER, as a file of that band alone would hold it; a relevant band
without cells is a table of no rows. A keyword of HDU 0 in which a band differs stands in the table of the band.
Layout ``columns``: one table of ``PIXEL`` and one column a band, UNSEEN where a band has no value, with the keywords
that all bands share; where they differ (flag bits, zero points, areas) only the other layout tells.

Rows are streamed: a band is a product in memory, or a file of the package that is read block by block.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.files.fits import open_fits
from vmpz.files.hdu import data_sum, fold
from vmpz.files.write import write_whole
from vmpz.io.envelope import coarse_cells
from vmpz.io.fits import (
    ROWS,
    Columns,
    cell_chunks,
    columns_of,
    forms_of,
    partial_layout,
    row_type,
    split_keywords,
    verify,
)
from vmpz.io.headers import card, cards_of, primary_cards, table_cards, write_unit
from vmpz.io.inventory import token_of
from vmpz.io.metadata import keywords_of
from vmpz.io.names import descriptor_name, file_name
from vmpz.io.pixelisation import UNSEEN
from vmpz.io.reading import bands_of, read_fits
from vmpz.io.rows import RowsFile
from vmpz.io.streamed import read_span
from vmpz.io.xml import NAMESPACE, write_descriptor
from vmpz.parameters import MapParameters
from vmpz.products import Product, Provenance, Scalar
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = ["Band", "Layout", "bands_in", "publish_multiband", "read_multiband", "write_multiband"]

Band = Product | RowsFile
Layout = Literal["hdus", "columns"]
Words = dict[str, Scalar]

OF_THE_FILE = ("SKYPATCH", "BANDREL", "BANDPRC")
"""The project's own keywords that stand in HDU 0."""
OF_EVERY_BAND = ("LISTID", "WGTKIND", "DEGRULE", "SAMPLE")
"""What is known of a band of which there is nothing."""
SAME = ("area", "kind", "quantity", "statistic", "order", "release")


def write_multiband(
    bands: Sequence[Band],
    path: Path,
    maps: MapParameters,
    layout: Layout,
    *,
    relevant: Sequence[str],
    processed: Sequence[str],
    skypatch: str,
    provenance: Provenance | None = None,
) -> CellSet:
    """Write one file of several bands, whole or not at all.

    Parameters
    ----------
    bands : sequence of Product or RowsFile
        Of one kind, quantity, statistic, area, order and release; one a band.
    path : Path
    maps : MapParameters
        Convention, zeros, strictness.
    layout : {'hdus', 'columns'}
    relevant : sequence of str
        Bands of the file, in the order of FILTLST; those of `bands` are among them.
    processed : sequence of str
        Those of them that were processed.
    skypatch : str
        Name of the patch.
    provenance : Provenance, optional
        Of the file as a whole.

    Returns
    -------
    CellSet
        The cells that are listed for any band.

    Raises
    ------
    InputError
        A band is missing, named twice or among the relevant ones, or a value or keyword cannot be written; in
        columns, a band has several columns or integers.
    MapMismatchError
        The bands are not of one kind, area, order or release.
    """
    head = _head(bands, maps, relevant, processed, skypatch, provenance)
    sources = [_source(one, maps) for one in _of_all(bands, head, relevant)]
    primary, own = split_keywords(head, maps)
    first = primary_cards(primary) + cards_of({name: own[name] for name in OF_THE_FILE if name in own})
    listed: list[CellSet] = []
    with write_whole(path, verify) as temporary, temporary.open("wb") as stream:
        if layout == "hdus":
            token = token_of(head.key, "healpix")
            write_unit(stream, [*first, card("EXTNAME", token, "what the tables are")])
            for one in sources:
                write_unit(stream, _band_cards(one, primary, maps), _noting(one.blocks(), listed, head))
        else:
            rest = {name: value for name, value in own.items() if name not in OF_THE_FILE}
            record = _columns_record(sources)
            write_unit(stream, first)
            write_unit(
                stream,
                lambda: _columns_cards(head, sources, record, sum(map(len, listed)), rest),
                _noting(_side_by_side(sources, record), listed, head),
            )
    return CellSet.union([CellSet(head.key.order), *listed])


def publish_multiband(
    bands: Sequence[Band],
    folder: Path,
    maps: MapParameters,
    layout: Layout,
    *,
    relevant: Sequence[str],
    processed: Sequence[str],
    skypatch: str,
    provenance: Provenance,
    tiles: Sequence[int] = (),
    namespace: str = NAMESPACE,
) -> tuple[Path, Path]:
    """Write a multi-band file under its published name, and its descriptor.

    Parameters
    ----------
    bands, maps, layout, relevant, processed, skypatch
        See `write_multiband`.
    folder : Path
    provenance : Provenance
        Of the file as a whole; its creation instant stands in the name.
    tiles : sequence of int
        Tiles of the patch, for the descriptor.
    namespace : str
        Base of the namespace of the descriptor.

    Returns
    -------
    tuple of Path
        The file and the descriptor.
    """
    head = _head(bands, maps, relevant, processed, skypatch, provenance)
    path, descriptor = folder / str(file_name(head, "healpix")), folder / descriptor_name(head, "healpix")
    cells = write_multiband(
        bands, path, maps, layout,
        relevant=relevant, processed=processed, skypatch=skypatch, provenance=provenance,
    )  # fmt: skip
    cells = coarse_cells(cells)
    shown = replace(head, maps={"WEIGHT": SkyMap(cells, np.ones(len(cells), np.uint8))})
    write_descriptor(
        shown, descriptor, path, "healpix",
        convention=maps.coverage_convention, tiles=tiles, namespace=namespace,
    )  # fmt: skip
    return path, descriptor


def read_multiband(path: str | Path) -> dict[str, Product]:
    """The maps of a file of several bands, by band, in the order of the file.

    Raises
    ------
    InputError
        The file does not hold what it must, or is not of several bands.
    """
    path = Path(path)
    bands = bands_in(path)
    if not bands:
        raise InputError(
            f"{path}: must hold several bands: FILTLST of HDU 0 must name its tables or its columns"
        )
    return {band: read_fits(path, band) for band in bands}


def bands_in(path: Path) -> tuple[str, ...]:
    """The bands of a FITS file that holds one map a band; none for any other."""
    with open_fits(str(path)) as file:
        return bands_of(file)


# -- what the bands share ---------------------------------------------------------------------------------------------


def _head(
    bands: Sequence[Band],
    maps: MapParameters,
    relevant: Sequence[str],
    processed: Sequence[str],
    skypatch: str,
    provenance: Provenance | None,
) -> Product:
    """The file as one product without maps: its name, its primary header, its descriptor."""
    _must_be_bands(bands, relevant, processed)
    all_words = [keywords_of(_told(one), maps.coverage_convention) for one in bands]
    words = {
        name: value
        for name, value in all_words[0].items()
        if name != "PRODDIG" and all(one.get(name) == value for one in all_words)
    }
    words |= {
        "DATE-OBS": min(_dates(all_words, "DATE-OBS"), default="-1"),
        "DATE-END": max(_dates(all_words, "DATE-END"), default="-1"),
        "VERIFIED": all(bool(one["VERIFIED"]) for one in all_words),
        "FILTLST": ",".join(relevant),
        "SKYPATCH": skypatch,
        "BANDREL": ",".join(relevant),
        "BANDPRC": ",".join(band for band in relevant if band in processed),
    }
    instruments, selections, units = (
        {one.key.instrument for one in bands},
        {one.key.selection for one in bands},
        {one.unit for one in bands},
    )
    key = replace(
        bands[0].key,
        band="-",
        instrument=instruments.pop() if len(instruments) == 1 else "-",
        selection=selections.pop() if len(selections) == 1 else "-",
    )
    return Product(key, {}, None, words, units.pop() if len(units) == 1 else "", provenance)


def _must_be_bands(bands: Sequence[Band], relevant: Sequence[str], processed: Sequence[str]) -> None:
    names = [one.key.band for one in bands]
    if not names or {*names, *processed} - {*relevant}:
        raise InputError(
            f"bands of a file must be among the relevant ones, {', '.join(relevant)}; "
            f"found {', '.join([*names, *processed]) or 'none'}"
        )
    for name in relevant:
        if name in ("", "-", "-1") or "," in name:
            raise InputError(f"a band must have a name without commas, found {name!r}")
    for many in (names, [name.upper() for name in (*relevant, "PIXEL")]):
        if len({*many}) < len(many):
            raise InputError(f"bands of a file must differ by more than their case, found {', '.join(many)}")
    for one in bands[1:]:
        for part in SAME:
            mine, other = getattr(bands[0].key, part), getattr(one.key, part)
            if mine != other:
                raise MapMismatchError(
                    f"{bands[0].key} and {one.key}: {part} must agree, found {mine}, {other}"
                )


def _dates(all_words: Sequence[Mapping[str, Scalar]], name: str) -> list[str]:
    return [str(one[name]) for one in all_words if one[name] != "-1"]


def _told(band: Band) -> Product:
    """What is said of a band, without its maps."""
    return (
        replace(band, maps={})
        if isinstance(band, Product)
        else Product(band.key, {}, None, band.keywords, band.unit)
    )


def _of_all(bands: Sequence[Band], head: Product, relevant: Sequence[str]) -> list[Band]:
    """Every relevant band in its order; one of which there is nothing has no cells."""
    given = {one.key.band: one for one in bands}
    words = {name: head.keywords[name] for name in OF_EVERY_BAND if name in head.keywords}
    empty = {"WEIGHT": SkyMap(CellSet(head.key.order), np.empty(0, np.float32))}
    return [
        given.get(band)
        or Product(replace(head.key, band=band, instrument="-", selection="-"), empty, None, words)
        for band in relevant
    ]


# -- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """One band as rows: what is said of it, its record on disk, the number of rows, and the rows in blocks."""

    told: Product
    record: np.dtype[Any]
    rows: int
    blocks: Callable[[], Iterator[NDArray[Any]]]


def _source(band: Band, maps: MapParameters) -> _Source:
    if isinstance(band, RowsFile) and maps.coverage_convention == "OBSERVED":
        return _Source(_told(band), band.row_type, band.count, partial(_blocks_of, band))
    product = band if isinstance(band, Product) else replace(read_fits(band.path), key=band.key)
    cells, values = columns_of(product, maps)
    columns: Columns = {"PIXEL": np.empty(0, np.int64), **values}
    return _Source(_told(band), row_type(columns), len(cells), partial(cell_chunks, cells, columns))


def _blocks_of(file: RowsFile) -> Iterator[NDArray[Any]]:
    """Rows of a file whose checksum holds."""
    spans = [(first, min(ROWS, file.count - first)) for first in range(0, file.count, ROWS)]
    total = fold(sum(data_sum(read_span(file, *span)) for span in spans))
    if total != file.datasum:
        raise InputError(
            f"{file.path}[1]: DATASUM must be {file.datasum}, found {total}: the data were altered"
        )
    for span in spans:
        yield read_span(file, *span).view(file.row_type).ravel()


def _noting(blocks: Iterator[NDArray[Any]], listed: list[CellSet], head: Product) -> Iterator[NDArray[Any]]:
    """The blocks, their cells noted down."""
    for block in blocks:
        listed.append(CellSet.from_cells(head.key.order, block["PIXEL"]))
        yield block


def _side_by_side(sources: Sequence[_Source], record: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Rows of all bands joined by cell, ascending; no more than a block of each band is held."""
    streams = {one.told.key.band: one.blocks() for one in sources}
    waiting: dict[str, NDArray[Any]] = {}
    while True:
        for band in [band for band in streams if band not in waiting]:
            block = next(streams[band], None)
            if block is None:
                del streams[band]
            else:
                waiting[band] = block
        if not waiting:
            return
        limit = min(int(rows["PIXEL"][-1]) for rows in waiting.values())
        count = {band: int(np.searchsorted(rows["PIXEL"], limit, "right")) for band, rows in waiting.items()}
        yield _joined({band: rows[: count[band]] for band, rows in waiting.items()}, record)
        waiting = {band: rows[count[band] :] for band, rows in waiting.items() if count[band] < rows.size}


def _joined(parts: Mapping[str, NDArray[Any]], record: np.dtype[Any]) -> NDArray[Any]:
    listed = {band: rows["PIXEL"].astype(np.int64) for band, rows in parts.items()}
    pixels = np.sort(np.concatenate(list(listed.values())), kind="stable")  # few sorted runs: one pass
    pixels = pixels[np.concatenate(([True], pixels[1:] != pixels[:-1]))]
    block = np.empty(pixels.size, record)
    block["PIXEL"] = pixels
    for band in (record.names or ())[1:]:
        values = np.full(pixels.size, UNSEEN, record[band])
        if band in listed:
            values[np.searchsorted(pixels, listed[band])] = parts[band]["WEIGHT"]
        block[band] = values
    return block


# -- headers ----------------------------------------------------------------------------------------------------------


def _forms(record: np.dtype[Any], unit: str) -> dict[str, tuple[str, str]]:
    columns = {name: np.empty(0, record[name].newbyteorder("=")) for name in record.names or ()}
    return forms_of(columns, unit)


def _band_cards(source: _Source, primary: Mapping[str, Scalar], maps: MapParameters) -> list[str]:
    """Cards of the table of a band: those of a file of its own, and in what it differs from HDU 0."""
    own, table = split_keywords(source.told, maps)
    differs = {
        name: value
        for name, value in own.items()
        if value != primary[name] or name in ("INSTRUME", "FILTER") or name.startswith("DATE-")
    }
    layout = partial_layout(source.told.key) | {"EXTNAME": (source.told.key.band, "band")}
    forms = _forms(source.record, source.told.unit)
    return table_cards(forms, source.record.itemsize, source.rows, layout) + cards_of({**differs, **table})


def _columns_record(sources: Sequence[_Source]) -> np.dtype[Any]:
    fields: list[tuple[str, Any]] = [("PIXEL", ">i8")]
    for one in sources:
        names = (one.record.names or ())[1:]
        if names != ("WEIGHT",) or one.record["WEIGHT"].kind != "f":
            raise InputError(
                f"{one.told.key}: in columns a band must have one column of real numbers, found "
                f"{', '.join(names)} of {one.record['WEIGHT']}; one table a band holds it"
            )
        fields.append((one.told.key.band, one.record["WEIGHT"]))
    return np.dtype(fields)


def _columns_cards(
    head: Product, sources: Sequence[_Source], record: np.dtype[Any], rows: int, words: Mapping[str, Scalar]
) -> list[str]:
    units = {one.told.key.band: one.told.unit for one in sources}
    forms = {name: (form, units.get(name, "")) for name, (form, _) in _forms(record, "").items()}
    return table_cards(forms, record.itemsize, rows, partial_layout(head.key)) + cards_of(words)
