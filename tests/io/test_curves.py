"""Small tables from outside: the same curve from every form; what is refused."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from vmpz.errors import InputError
from vmpz.io.curves import read_curve, read_efficiencies

FORMS = ("t.fits", "t.parquet", "t.csv", "t.csv.gz")
MAG, PHI = np.array([-24.0, -22.5, -20.0, -16.0]), np.array([1e-6, 1e-4, 3e-3, 1e-2])


def write(path: Path, columns: Mapping[str, np.ndarray]) -> Path:
    """A table in the form that the name says."""
    if path.suffix == ".fits":
        made = [fits.Column(name, "D", array=one) for name, one in columns.items()]
        fits.BinTableHDU.from_columns(made).writeto(path, checksum=True)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(dict(columns)), path)
    else:
        plain = path.with_name("plain.csv")
        pa_csv.write_csv(pa.table(dict(columns)), plain)
        text = b"# %ECSV 1.0\n# of a survey\n" + plain.read_bytes()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_curve(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / form, {"other": MAG * 0, "Mag": MAG, "phi": PHI})
    mag, phi = read_curve(path, "MAG", "PHI")
    assert np.array_equal(mag, MAG)
    assert np.array_equal(phi, PHI)


@pytest.mark.parametrize("form", FORMS)
def test_efficiencies_with_and_without_magnitudes(tmp_path: Path, form: str) -> None:
    columns = {"DELTA_MAG": MAG, "DETECTION": PHI, "CLASS": PHI[::-1].copy()}
    path = write(tmp_path / form, columns)
    delta, (detected, classified), mag = read_efficiencies(path, ["detection", "CLASS"])
    assert np.array_equal(delta, MAG)
    assert np.array_equal(detected, PHI)
    assert np.array_equal(classified, PHI[::-1])
    assert mag is None
    path = write(tmp_path / f"more{form}", {**columns, "mag": MAG + 40})
    assert np.array_equal(read_efficiencies(path, ["CLASS"])[2], MAG + 40)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("mag", "phi", "message"),
    [
        (MAG[::-1].copy(), PHI, r"column MAG must ascend, found -16.0 and then -20.0 in row 2"),
        (MAG[[0, 1, 1, 2]], PHI, r"column MAG must ascend, found -22.5 and then -22.5 in row 3"),
        (MAG, np.where(PHI > 1e-3, np.inf, PHI), r"column PHI must be finite, found inf in row 3"),
        (MAG, np.where(PHI > 5e-3, np.nan, PHI), r"column PHI must be finite, found nan in row 4"),
        (MAG[:1], PHI[:1], r"a curve must have at least two rows, found 1"),
        (MAG[:0], PHI[:0], r"must hold at least one row"),
    ],
    ids=["falling", "standing", "infinite", "missing", "single", "empty"],
)
def test_what_is_no_curve_is_refused(
    tmp_path: Path, form: str, mag: np.ndarray, phi: np.ndarray, message: str
) -> None:
    path = write(tmp_path / form, {"MAG": mag, "PHI": phi})
    with pytest.raises(InputError, match=message) as told:
        read_curve(path, "MAG", "PHI")
    assert str(path) in str(told.value)


@pytest.mark.parametrize("form", FORMS)
def test_missing_columns_and_files(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / form, {"MAG": MAG, "PHI": PHI})
    with pytest.raises(InputError, match="column COUNTS must be present, found MAG, PHI"):
        read_curve(path, "MAG", "COUNTS")
    with pytest.raises(InputError, match="column DELTA_MAG must be present"):
        read_efficiencies(path, ["PHI"])
    with pytest.raises(InputError, match="found nothing"):
        read_curve(tmp_path / f"none{form}", "MAG", "PHI")
    with pytest.raises(InputError, match="found nothing"):
        read_efficiencies(tmp_path / f"none{form}", ["PHI"])


@pytest.mark.parametrize("form", ["t.fits", "t.parquet", "t.csv.gz"])
def test_cut_files_are_refused(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / form, {"MAG": MAG, "EFFICIENCY": PHI})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match=form):
        read_curve(path, "MAG", "EFFICIENCY")
    with pytest.raises(InputError, match=form):
        read_efficiencies(path, ["EFFICIENCY"])


def test_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("MAG,PHI\n1,a\n2,b\n")
    with pytest.raises(InputError, match="must be CSV with a header line and numbers"):
        read_curve(path, "MAG", "PHI")
