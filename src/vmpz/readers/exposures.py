"""Reader `exposures`: plain tables of exposures, a row a detector (or a whole field), without pixels.

FITS, Parquet or CSV, such as survey tools keep: outlines in any of the forms of `vmpz.readers.outlinecolumns`, scalars
by the columns of `vmpz.readers.exposurecolumns`. The input of decasu (DES) is read so::

    [[inputs]]
    reader = "exposures"
    location = "des_images.fits"
    [inputs.options]
    instrument = "DECAM"                    # text, in which {column} stands for its value
    band = "DECAM_{band}"                   # likewise; without: a column band or filter
    units = {Seeing = "pixel"}              # of scalars, or corners, width, height, position_angle
    columns = {PixelScale = 0.263}          # a column, or a number for all rows

and a ccdVisit table of LSST by ``instrument = "LSSTCam"``, ``band = "LSST_{band}"``, ``units = {Seeing = "arcsec"}``.

Further options: `exposure`, `detector` (text with {column}; else the columns that are known), `outline` (form of the
outlines), `band_names` (``{i2 = "i"}``, before they enter `band`), `mjd_is`, `time_scale`, `missing` (numbers that
stand for no value, default [-9999]), `files` (a pattern, where the location is a folder), `telescope`, `release`.

A table may have some 10^5 rows, so its frames are not exposures but parts of it: the rows of one instrument and band
whose middles lie in one HEALPix cell of order 3, in order of their ids. The area of a part is ``<file>-<cell>``, the id
of a row ``<exposure>[<detector>]``, or the number of the row where the table names no exposures. Rows that say the same
of one detector (outlines to 1 arcsec, as in tables of the inputs of coadds) count once; other ones are refused.

A value that is missing is unknown. A row whose outline, id or values cannot be is left out, and refused by its number
(counted from 1, without the header line); all such rows of a band are refused together.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.frames import Exposures, FileRef, Frame, FrameRef, Refused
from vmpz.readers.common import SECONDS_PER_DAY, check_options, check_texts, is_wanted
from vmpz.readers.detectors import middles_deg
from vmpz.readers.exposurecolumns import Scalars, read_scalars
from vmpz.readers.lsstheaders import to_iso
from vmpz.readers.outlinecolumns import Outlines, read_outlines
from vmpz.readers.plaintables import CSV, PARQUET, PlainTable
from vmpz.readers.rownames import NAMES, RowNames, row_names
from vmpz.sky import hpx
from vmpz.sky.covers import unit_vectors

__all__ = ["open_frame", "scan"]

OPTIONS = (
    "files", "columns", "units", "outline", "exposure", "detector", "band", "instrument", "band_names", "mjd_is",
    "time_scale", "missing", "telescope", "release",
)  # fmt: skip
TEXTS = ("files", "outline", "exposure", "detector", "band", "instrument", "telescope", "release")
ENDINGS = (*PARQUET, *CSV, ".fits", ".fit", ".fits.gz", ".fit.gz")
PART_ORDER = 3
SHOWN = 5
SAME_OUTLINE_ARCSEC = 1.0
"""Tables of the inputs of coadds have the astrometry of each coadd: tens of milliarcsec apart."""

Rows = NDArray[np.int64]


class _Read(NamedTuple):
    """The selected rows of a table: their numbers, and what has their length."""

    rows: Rows
    instrument: RowNames
    band: RowNames
    exposure: RowNames | None
    detector: RowNames | None
    outlines: Outlines
    scalars: Scalars


def scan(location: str, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    """Parts of a table, or of all tables of a folder.

    Parameters
    ----------
    location : str
        A table, or a folder of tables (searched through).
    options : mapping
        See the module; `bands`, `instruments` and `tiles` (areas of parts) select.

    Yields
    ------
    FrameRef or Refused
        In order of area, instrument and band.

    Raises
    ------
    InputError
        The location or an option is not what it must be, or two tables have one name.
    """
    _check(options)
    found: list[FrameRef | Refused] = []
    for name, path in _tables(Path(location), options).items():
        try:
            found += _parts(name, PlainTable(path), options)
        except InputError as error:
            instrument, band = (_literal(options.get(key)) for key in ("instrument", "band"))
            found.append(Refused(name, instrument, band, str(error)))
    yield from sorted(found, key=lambda one: (one.area, one.instrument, one.band))


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """The rows of a part; there are no planes."""
    return Frame(ref, {}, exposures=ref.exposures)


# -- which tables and rows ------------------------------------------------------------------------------------


def _check(options: Mapping[str, Any]) -> None:
    check_options(options, OPTIONS, "exposures")
    check_texts(options, TEXTS)
    for key in ("columns", "units", "band_names"):
        if not isinstance(options.get(key) or {}, Mapping):
            raise InputError(f"reader option {key} must be a table, found {options[key]!r}")
    missing = options.get("missing", [])
    if not isinstance(missing, list | tuple) or any(not isinstance(value, int | float) for value in missing):
        raise InputError(f"reader option missing must be a list of numbers, found {missing!r}")


def _tables(location: Path, options: Mapping[str, Any]) -> dict[str, Path]:
    """Tables by their names without ending."""
    if location.is_file():
        return {_stem(location): location}
    if not location.is_dir():
        raise InputError(f"{location}: must be a table or a folder of tables, found neither")
    pattern = options.get("files")
    paths = [path for path in sorted(location.rglob(pattern or "*")) if path.is_file()]
    named: dict[str, Path] = {}
    for path in [path for path in paths if pattern or path.name.lower().endswith(ENDINGS)]:
        if named.setdefault(_stem(path), path) is not path:
            raise InputError(f"{path}: tables must differ in their names, found also {named[_stem(path)]}")
    if not named:
        raise InputError(f"{location}: must hold tables ({', '.join(ENDINGS)}), found none")
    return dict(sorted(named.items()))


def _stem(path: Path) -> str:
    ending = next((one for one in ENDINGS[::-1] if path.name.lower().endswith(one)), path.suffix)
    return path.name[: len(path.name) - len(ending)]


def _literal(given: Any) -> str:
    return str(given) if given and "{" not in str(given) else "-"


def _read(table: PlainTable, options: Mapping[str, Any]) -> _Read:
    """The rows of selected instruments and bands."""
    instrument, band, exposure, detector = (row_names(table, key, options) for key in NAMES)
    if instrument is None or band is None:
        key = "band" if instrument is not None else "instrument"
        raise InputError(
            f"{table.where}: must have a column {' or '.join(NAMES[key])} (or the option {key}), found "
            f"{', '.join(table.units)}"
        )
    chosen = _wanted(instrument, "instruments", options) & _wanted(band, "bands", options)
    rows = np.flatnonzero(chosen)
    return _Read(
        rows,
        instrument[rows],
        band[rows],
        None if exposure is None else exposure[rows],
        None if detector is None else detector[rows],
        read_outlines(table, rows, options),
        read_scalars(table, rows, options),
    )


def _wanted(names: RowNames, key: str, options: Mapping[str, Any]) -> NDArray[np.bool_]:
    return np.array([is_wanted(options, key, text) for text in names.distinct.tolist()], bool)[names.which]


def _ids(name: str, read: _Read, rows: Rows) -> list[str]:
    """Exposure and detector; ``field`` where no detector is told, the number of the row where no exposure is."""
    if read.exposure is None:
        return [f"{name}[{row + 1}]" for row in read.rows[rows].tolist()]
    detectors = ["field"] * len(rows) if read.detector is None else read.detector[rows].texts()
    return [f"{one}[{other}]" for one, other in zip(read.exposure[rows].texts(), detectors, strict=True)]


# -- parts ----------------------------------------------------------------------------------------------------


def _parts(name: str, table: PlainTable, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    read = _read(table, options)
    kept, again = _repeated(read)
    why = _faults(read, again)
    wrong = np.array([bool(text) for text in why], bool)
    good = kept & ~wrong
    repeats = int(np.sum(~kept & ~wrong))
    notes = [read.outlines.note, *read.scalars.notes]
    notes += [f"{repeats} rows that repeat others count once"] if repeats else []
    corners = read.outlines.corners
    cell = np.zeros(len(read.rows), np.int64)
    cell[good] = _cells(corners[good])
    for instrument, band, mine in _groups(read):
        if np.any(mine & wrong):
            yield Refused(name, instrument, band, _reason(table, read.rows, mine & wrong, why))
        for part in np.unique(cell[mine & good]).tolist():
            chosen = np.flatnonzero(mine & good & (cell == part))
            area = f"{name}-{part:03d}"
            if is_wanted(options, "tiles", area):
                ids = _ids(name, read, chosen)
                order = sorted(range(len(ids)), key=ids.__getitem__)
                exposures = _exposures([ids[n] for n in order], chosen[order], read)
                yield _part(area, instrument, band, exposures, table.file, options, notes)


def _groups(read: _Read) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Instruments and bands, and which rows are theirs."""
    many = len(read.band.distinct)
    both = read.instrument.which * many + read.band.which
    for code in np.unique(both).tolist():
        yield str(read.instrument.distinct[code // many]), str(read.band.distinct[code % many]), both == code


def _repeated(read: _Read) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows that stand first under their id; and later ones that say something else."""
    id_of = np.arange(len(read.rows))
    if read.exposure is not None:
        many = 1 if read.detector is None else len(read.detector.distinct)
        id_of = read.exposure.which * many + (0 if read.detector is None else read.detector.which)
    _, first, which = np.unique(id_of, return_index=True, return_inverse=True)
    original = first[which]
    kept = original == np.arange(len(read.rows))
    later = np.flatnonzero(~kept)
    differs = np.zeros(len(kept), bool)
    if not later.size:
        return kept, differs
    for values in (read.instrument.which, read.band.which, *read.scalars.values.values()):
        one, other = values[later], values[original[later]]
        differs[later] |= (one != other) & ((one == one) | (other == other))
    one, other = (
        unit_vectors(*np.moveaxis(read.outlines.corners[rows], 2, 0)) for rows in (later, original[later])
    )
    apart = np.linalg.norm(one - other, axis=2).max(axis=1)
    differs[later] |= ~(apart < np.radians(SAME_OUTLINE_ARCSEC / 3600.0))
    return kept, differs


def _faults(read: _Read, again: NDArray[np.bool_]) -> list[str]:
    """What is wrong with each row, '' where nothing is."""
    why = np.full(len(read.rows), "", dtype=object)
    unnamed = (read.band.distinct == "")[read.band.which] | (read.instrument.distinct == "")[
        read.instrument.which
    ]
    faults = [
        (unnamed, "instrument and band must be told"),
        (again, "exposure and detector must stand once, or repeat what was said of them"),
    ]
    for mask, rule in (*faults, *read.outlines.faults, *read.scalars.faults):
        why[mask & (why == "")] = rule
    return [str(text) for text in why]


def _reason(table: PlainTable, rows: Rows, wrong: NDArray[np.bool_], why: list[str]) -> str:
    """The first bad row and why, and the others by number."""
    first, *others = np.flatnonzero(wrong).tolist()
    told = ", ".join(str(rows[row] + 1) for row in others[:SHOWN])
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    besides = f"; rows {told}{more} are wrong too" if others else ""
    return f"{table.where}: row {rows[first] + 1}: {why[first]}{besides}"


def _cells(corners: NDArray[np.float64]) -> Rows:
    """Cells of the middles of outlines."""
    if not len(corners):
        return np.empty(0, np.int64)
    return hpx.cells_at(*middles_deg(corners), PART_ORDER)


def _exposures(ids: list[str], rows: Rows, read: _Read) -> Exposures:
    scalars = {name: column[rows] for name, column in read.scalars.values.items()}
    return Exposures(tuple(ids), read.outlines.corners[rows], scalars)


def _part(
    area: str,
    instrument: str,
    band: str,
    exposures: Exposures,
    file: FileRef,
    options: Mapping[str, Any],
    notes: Collection[str],
) -> FrameRef:
    values = exposures.scalars
    shared = {
        "Zeropoint": "zero_point",
        "PixelScale": "pixel_scale_arcsec",
        "ExposureTime": "exposure_time_s",
    }
    begin, end = _dates(values)
    return FrameRef(
        reader="exposures",
        area=area,
        instrument=instrument,
        band=band,
        shape=(0, 0),
        wcs_cards="",
        planes={},
        tables={"LAYERS": file},
        scalars={
            shared[name]: float(column[0])
            for name, column in values.items()
            if name in shared and np.all(column == column[0])
        },
        release=options.get("release") or "-1",
        date_obs=begin,
        date_end=end,
        telescope=options.get("telescope") or "-1",
        notes=tuple(notes),
        exposures=exposures,
    )


def _dates(values: Mapping[str, NDArray[np.float64]]) -> tuple[str, str]:
    """First beginning and last end, '-1' where not known."""
    if "MJD" not in values or "ExposureTime" not in values:
        return "-1", "-1"
    half = 0.5 * values["ExposureTime"] / SECONDS_PER_DAY
    begin, end = values["MJD"] - half, values["MJD"] + half
    if not np.isfinite(begin).any():
        return "-1", "-1"
    return to_iso(float(np.nanmin(begin))), to_iso(float(np.nanmax(end)))
