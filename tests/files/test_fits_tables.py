"""Binary tables against astropy, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import readers_helpers as write
from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.tables import Table, read_table


def table_of(path: Path, *columns: str) -> Table:
    with open_fits(str(path)) as file:
        return read_table(file, 1, columns or None)


def test_columns_are_those_astropy_reads(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    formats = {"1B": "u1", "1I": "i2", "1J": "i4", "1K": "i8", "1E": "f4", "1D": "f8", "3D": "f8", "7E": "f4"}
    columns = []
    for number, (form, dtype) in enumerate(formats.items()):
        shape = (20, int(form[:-1])) if form[0] != "1" else (20,)
        columns.append(
            fits.Column(f"C{number}", form, unit="deg", array=(draw.normal(size=shape) * 50).astype(dtype))
        )
    columns.append(fits.Column("NAME", "12A", array=np.array([f"row {n}" for n in range(20)])))
    path = tmp_path / "t.fits"
    fits.BinTableHDU.from_columns(columns).writeto(path, checksum=True)
    table = table_of(path)
    with fits.open(path) as file:
        for name in file[1].columns.names:
            assert np.array_equal(table[name.lower()], file[1].data[name])
            assert table[name].dtype.isnative
    assert table.units["C0"] == "deg"
    assert table["NAME"].dtype.kind == "U"
    with pytest.raises(InputError, match="column RA must be present, found C0"):
        table["RA"]
    with pytest.raises(InputError, match="must hold numbers"):
        table.finite("NAME")


def test_variable_and_scaled_columns_are_refused_where_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    lists = np.array([np.arange(3), np.arange(5)], dtype=object)
    columns = [
        fits.Column("V", "PJ()", array=lists),
        fits.Column("U", "1I", bzero=32768, array=np.arange(2, dtype=np.uint16)),
    ]
    fits.BinTableHDU.from_columns([*columns, fits.Column("X", "1D", array=np.arange(2.0))]).writeto(
        path, checksum=True
    )
    assert list(table_of(path).columns) == ["X"]
    for name in ("V", "U"):
        with pytest.raises(InputError, match=f"column {name} must have a fixed length and no scaling"):
            table_of(path, name)


def test_damage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    good = write.EMPTY_PRIMARY + write.table_bytes({"X": np.arange(5.0), "Y": np.array([1, 2, 3, 4, np.nan])})
    path.write_bytes(good)
    with pytest.raises(InputError, match="column Y must be finite, found 1 that are not"):
        table_of(path).finite("Y")
    at = len(good) - 2880 + 3
    path.write_bytes(good[:at] + b"\x01" + good[at + 1 :])
    with pytest.raises(InputError, match="DATASUM"):
        table_of(path)
    unsummed = write.EMPTY_PRIMARY + write.table_bytes({"X": np.arange(5.0)})
    unsummed = unsummed.replace(b"CHECKSUM", b"CHECKNOT").replace(b"DATASUM ", b"DATANOT ")
    for old, new, rule in [
        (b"'1D      '", b"'2D      '", "NAXIS1 must be the sum"),
        (b"'1D      '", b"'1Z      '", "TFORM1 must be a format"),
        (b"TTYPE1", b"TTYPEX", None),
    ]:
        path.write_bytes(unsummed.replace(old, new))
        if rule is None:
            assert list(table_of(path).columns) == ["column1"]
            continue
        with pytest.raises(InputError, match=rule):
            table_of(path)


def test_an_image_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    path.write_bytes(write.EMPTY_PRIMARY + write.image_bytes(np.zeros((2, 2), np.int32), first=False))
    with pytest.raises(InputError, match="must be a BINTABLE"):
        table_of(path)


def test_columns_of_bits_are_passed_by_and_refused_when_asked_for(tmp_path: Path) -> None:
    columns = [
        fits.Column("flags", "9X", array=np.ones((2, 9), bool)),
        fits.Column("mean", "1D", array=np.array([1.0, 2.0])),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "t.fits")
    with open_fits(str(tmp_path / "t.fits")) as file:
        assert read_table(file, 1)["mean"].tolist() == [1.0, 2.0]
        assert "flags" not in read_table(file, 1)
        with pytest.raises(InputError, match="flags must have a fixed length"):
            read_table(file, 1, ["flags"])
