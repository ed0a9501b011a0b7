"""Columns of a deep catalogue: the same from every form; only what is named is read; what is refused."""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from vmpz.errors import InputError
from vmpz.io import objects
from vmpz.io.deep import read_deep

ROWS = 2500
RNG = np.random.default_rng(3)
COLUMNS = {
    "Flux_VIS": RNG.normal(1.0, 3.0, ROWS),
    "ERR": RNG.uniform(0.1, 0.2, ROWS).astype(np.float32),
    "Z": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.uniform(0, 3, ROWS)),
    "class": RNG.integers(0, 5, ROWS).astype(np.int32),
}
NAMES = ["flux_vis", "ERR", "z", "class"]


def to_fits(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    letters = {"f8": "D", "f4": "E", "i4": "J"}
    made = [fits.Column(name, letters[one.dtype.str[1:]], array=one) for name, one in columns.items()]
    names = fits.Column("NAME", "8A", array=np.full(len(next(iter(columns.values()))), "galaxy"))
    other = fits.BinTableHDU.from_columns([fits.Column("ERR", "D", array=np.ones(3))], name="OTHER")
    table = fits.BinTableHDU.from_columns([names, *made], name="CAT")
    units = [fits.PrimaryHDU(), other, table]
    for unit in units:
        unit.add_checksum()
    fits.HDUList(units).writeto(path, overwrite=True)


def to_arrow(columns: Mapping[str, np.ndarray]) -> pa.Table:
    made = {name: pa.array(one, mask=np.isnan(one)) for name, one in columns.items()}
    return pa.table({"name": pa.array(["galaxy"] * len(next(iter(columns.values())))), **made})


def to_parquet(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    pq.write_table(to_arrow(columns), path, row_group_size=700, write_page_checksum=True)


def to_csv(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    pa_csv.write_csv(to_arrow(columns), path)


def to_gzip_csv(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    to_csv(path.with_name("plain.csv"), columns)
    path.write_bytes(gzip.compress(b"# made by hand\n" + path.with_name("plain.csv").read_bytes()))


def to_gzip_fits(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    to_fits(path.with_name("plain.fits"), columns)
    path.write_bytes(gzip.compress(path.with_name("plain.fits").read_bytes()))


Writer = Callable[[Path, Mapping[str, np.ndarray]], None]
FORMS = {
    "deep.fits": to_fits,
    "deep.fits.gz": to_gzip_fits,
    "deep.parquet": to_parquet,
    "deep.csv": to_csv,
    "deep.csv.gz": to_gzip_csv,
}
forms = pytest.mark.parametrize(("name", "write"), FORMS.items(), ids=FORMS)


@forms
def test_columns_are_those_that_were_written(
    name: str, write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks, in any case, each under the name asked for; missing values as NaN."""
    monkeypatch.setattr(objects, "ROWS", 512)
    write(tmp_path / name, COLUMNS)
    found = read_deep(tmp_path / name, [*NAMES, "ERR"])
    assert list(found) == NAMES
    for one, expected in zip(found.values(), COLUMNS.values(), strict=True):
        assert one.dtype == np.float64
        if expected.dtype == np.float32 and "csv" in name:  # text of a float32 is not the float32
            np.testing.assert_allclose(one, expected, rtol=1e-6)
        else:
            np.testing.assert_array_equal(one, expected)


@forms
def test_refused(name: str, write: Writer, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(InputError, match=f"{name}: must be a catalogue .*, found nothing"):
        read_deep(path, ["ERR"])
    write(path, COLUMNS)
    with pytest.raises(InputError, match="column FLUX_NIR must be present, found"):
        read_deep(path, ["ERR", "FLUX_NIR"])
    with pytest.raises(InputError, match=r"number|CSV conversion error"):
        read_deep(path, ["ERR", "name"])
    write(path, {name: one[:0] for name, one in COLUMNS.items()})
    with pytest.raises(InputError, match=r"at least one row|whole"):
        read_deep(path, ["ERR", "z"])


@pytest.mark.parametrize("name", ["deep.fits", "deep.parquet"])
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    FORMS[name](path, COLUMNS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="deep"):
        read_deep(path, ["ERR"])
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(InputError, match=r"DATASUM|checksum"):
        read_deep(path, NAMES)


def test_two_columns_of_one_name_and_no_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    with pytest.raises(InputError, match="column a must stand once"):
        read_deep(tmp_path / "twice.csv", ["a"])
    fits.PrimaryHDU(np.ones((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="must hold a binary table"):
        read_deep(tmp_path / "image.fits", ["a"])


def test_columns_that_nobody_names_are_not_decoded(tmp_path: Path) -> None:
    """A column of lists and one of text that is no number stand beside the others."""
    table = pa.table({"f": [1.0, 2.0], "list": [[1.0], [2.0, 3.0]], "text": ["x", "y"]})
    pq.write_table(table, tmp_path / "deep.pq")
    np.testing.assert_array_equal(read_deep(tmp_path / "deep.pq", ["F"])["F"], [1.0, 2.0])
