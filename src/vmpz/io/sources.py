"""Catalogues of stars and galaxies: positions and chosen columns of the rows inside an area.

FITS tables (plain or gzip), Parquet, VOTable (any serialisation) and CSV with a header line. FITS, Parquet and CSV are
read in blocks, so that memory holds one block and the rows that are kept, however long the catalogue is. Row groups of
Parquet whose statistics lie outside the area are not read at all: the form for a catalogue much larger than the area.
A VOTable is read whole.

Positions are in ICRS degrees and must be there in every row; a number that is missing (NULL, NaN) in another column is
NaN.
"""

import gzip
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.nearby import what_is_at
from vmpz.frames import Sources
from vmpz.io.objects import (
    DEGREES,
    PARQUET,
    ROWS,
    must_be_numbers,
    no_positions,
    only_column,
    open_objects,
    parquet_positions,
    position_columns,
    reading_parquet,
)
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

__all__ = ["CSV", "comment_lines", "read_sources"]

Floats = NDArray[np.float64]
Block = tuple[int, list[Floats]]
"""Number of the first row; longitudes, latitudes, further columns."""

VOTABLE = (".vot", ".votable", ".xml", ".vot.gz", ".votable.gz", ".xml.gz")
CSV = (".csv", ".csv.gz")
CSV_BYTES = 1 << 24
BOX_ORDER = 8
"""Order of the cells whose corners give the box around an area."""


def read_sources(
    path: Path,
    columns: Sequence[str] = (),
    *,
    positions: Sequence[str] | None = None,
    cells: CellSet | None = None,
) -> Sources:
    """The sources of a catalogue, or those of its rows that lie inside some cells.

    Parameters
    ----------
    path : Path
        .parquet, .pq; .vot, .votable, .xml; .csv; else a FITS file, whose first table with positions counts.
    columns : sequence of str
        Further columns of numbers, in any case.
    positions : two str, optional
        Columns of right ascension and declination; default the first pair of `vmpz.io.objects.POSITIONS`.
    cells : CellSet, optional
        Of any order; default the whole sphere.

    Returns
    -------
    Sources
        In the order of the file; columns under the names that were asked for.

    Raises
    ------
    InputError
        A column is missing, stands twice or holds no numbers, a position is missing or outside the sphere (the message
        names the row, counted from 1), or the file is not whole.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: must be a catalogue (FITS, Parquet, VOTable, CSV), found {what_is_at(path)}"
        )
    area = None if cells is None else _Area(cells)
    kept = [
        _inside(numbers, start, area, str(path))
        for start, numbers in _reader(path)(path, list(columns), positions, area)
    ]
    empty = [np.empty(0)] * (2 + len(columns))
    lon, lat, *more = (np.concatenate(parts) for parts in zip(empty, *kept, strict=True))
    return Sources(lon, lat, dict(zip(columns, more, strict=True)))


class _Area:
    """Cells, and a box around them that most rows of a large catalogue lie outside of."""

    def __init__(self, cells: CellSet) -> None:
        self.cells = cells
        coarse = cells.at_order(min(cells.order, BOX_ORDER))
        lon, lat = hpx.vertices(coarse.cells(), coarse.order)
        self.lat = _span(lat)
        self.lon = _span(lon)
        if self.lon[1] - self.lon[0] > 180.0 or np.any(np.abs(lat) > 89.0):
            self.lon = (0.0, 360.0)

    def contains(self, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        """Whether positions lie in the cells."""
        turned = np.mod(lon, 360.0)
        inside = (
            (lat >= self.lat[0]) & (lat <= self.lat[1]) & (turned >= self.lon[0]) & (turned <= self.lon[1])
        )
        near = np.flatnonzero(inside)
        inside[near] = self.cells.contains(lon[near], lat[near])
        return np.asarray(inside)

    def may_hold(self, lon: tuple[float, float], lat: tuple[float, float]) -> bool:
        """Whether rows between these bounds may lie in the cells."""
        outside = lat[1] < self.lat[0] or lat[0] > self.lat[1]
        if lon[0] >= 0.0 and lon[1] < 360.0:
            outside = outside or lon[1] < self.lon[0] or lon[0] > self.lon[1]
        return not outside


def _span(degrees: Floats) -> tuple[float, float]:
    """Bounds with a margin for rounding; the edges of cells are monotonic in longitude and latitude."""
    if not degrees.size:
        return np.inf, -np.inf
    return float(degrees.min()) - 1e-6, float(degrees.max()) + 1e-6


def _inside(numbers: list[Floats], start: int, area: _Area | None, where: str) -> list[Floats]:
    """The rows of a block that lie in the area."""
    lon, lat = numbers[:2]
    bad = np.flatnonzero(~(np.isfinite(lon) & (np.abs(lat) <= 90.0)))
    if bad.size:
        row = int(bad[0])
        raise InputError(
            f"{where}: a position must be finite, its declination in [-90, 90] degrees; "
            f"found {lon[row]}, {lat[row]} in row {start + row + 1}"
        )
    if area is None:
        return numbers
    inside = area.contains(lon, lat)
    return [one[inside] for one in numbers]


# -- forms ------------------------------------------------------------------------------------------------------------

Reader = Callable[[Path, list[str], Sequence[str] | None, _Area | None], Iterator[Block]]


def _reader(path: Path) -> Reader:
    for ends, reader in ((PARQUET, _parquet), (VOTABLE, _votable), (CSV, _csv)):
        if path.name.lower().endswith(ends):
            return reader
    return _fits


def _fits(
    path: Path, columns: list[str], positions: Sequence[str] | None, _: _Area | None
) -> Iterator[Block]:
    with open_objects(path, positions) as (file, table):
        wanted = [*table.pair, *(table.column(name) for name in columns)]
        start = 0
        for block in table.verified_blocks(file):
            yield start, [table.numbers(block, one) for one in wanted]
            start += len(block)
        file.unchanged()


def _parquet(
    path: Path, columns: list[str], positions: Sequence[str] | None, area: _Area | None
) -> Iterator[Block]:
    with reading_parquet(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema, where = file.schema_arrow, str(path)
        pair = parquet_positions(schema, positions, where)
        names = [*pair, *(only_column(schema.names, name, where) for name in columns)]
        for name in names:
            must_be_numbers(schema, name, where)
        start = 0
        for group in range(file.metadata.num_row_groups):
            told = file.metadata.row_group(group)
            if area is not None and not _group_may_hold(told, pair, area):
                start += told.num_rows
                continue
            for batch in file.iter_batches(ROWS, row_groups=[group], columns=list(dict.fromkeys(names))):
                yield start, [_floats(batch[name]) for name in names]
                start += len(batch)


def _group_may_hold(group: Any, pair: Sequence[str], area: _Area) -> bool:
    """Whether a row group may have rows in the area, by the bounds it states."""
    bounds = {}
    for number in range(group.num_columns):
        told = group.column(number)
        if told.path_in_schema in pair and told.is_stats_set and told.statistics.has_min_max:
            bounds[told.path_in_schema] = (float(told.statistics.min), float(told.statistics.max))
    return len(bounds) < len(pair) or area.may_hold(*(bounds[name] for name in pair))


def _csv(path: Path, columns: list[str], positions: Sequence[str] | None, _: _Area | None) -> Iterator[Block]:
    where = str(path)
    try:
        told = pa_csv.ReadOptions(block_size=CSV_BYTES, skip_rows=comment_lines(path))
        with pa_csv.open_csv(path, told) as reader:
            known = reader.schema.names
        pair = position_columns(known, positions)
        if pair is None:
            raise no_positions(known, positions, where)
        names = [only_column(known, name, where) for name in (*pair, *columns)]
        types = {name: pa.float64() for name in names}
        chosen = pa_csv.ConvertOptions(include_columns=list(types), column_types=types)
        start = 0
        with pa_csv.open_csv(path, told, convert_options=chosen) as reader:
            for batch in reader:
                yield start, [_floats(batch[name]) for name in names]
                start += len(batch)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{where}: must be CSV with a header line and numbers, found: {error}") from error


def comment_lines(path: Path) -> int:
    """Number of lines before the header that begin with #, as ECSV has them."""
    open_it = gzip.open if path.name.lower().endswith(".gz") else open
    with open_it(path, "rb") as stream:
        return sum(1 for _ in takewhile(lambda line: line.startswith(b"#"), stream))


def _votable(
    path: Path, columns: list[str], positions: Sequence[str] | None, _: _Area | None
) -> Iterator[Block]:
    tables = _tables_of(path)
    if not tables:
        raise InputError(f"{path}: must hold a table, found none")
    for table in tables:
        known = [field.name for field in table.fields]
        pair = position_columns(known, positions)
        if pair is not None:
            break
    else:
        raise no_positions([field.name for field in tables[0].fields], positions, str(path))
    names = [only_column(known, name, str(path)) for name in (*pair, *columns)]
    fields = [table.fields[known.index(name)] for name in names]
    for field in fields[:2]:
        if str(field.unit or "").upper() not in DEGREES:
            raise InputError(f"{path}: the unit of {field.name} must be deg, found {field.unit}")
    yield 0, [_unmasked(table.array[field.ID], field.name, str(path)) for field in fields]


def _tables_of(path: Path) -> list[Any]:
    """The tables of a VOTable; its library is loaded only where there is one."""
    from astropy.io.votable import parse
    from astropy.io.votable.exceptions import VOTableSpecError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of style: many archives' files have something to warn of
            return list(parse(str(path)).iter_tables())
    except (VOTableSpecError, ValueError, OSError) as error:
        raise InputError(f"{path}: must be a VOTable, found: {error}") from error


def _unmasked(values: Any, name: str, where: str) -> Floats:
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise InputError(f"{where}: column {name} must hold one number a row, found {values.dtype}")
    return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))


def _floats(column: Any) -> Floats:
    """An Arrow column as float64, NULL as NaN."""
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
