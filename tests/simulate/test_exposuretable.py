"""Tables of exposures: the focal plane, what each form holds, and the same bytes every time."""

import csv
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from astropy.io import fits

from decam_helpers import SKY
from vmpz.simulate import exposuretable as sim
from vmpz.simulate.field import Sky
from vmpz.tiles import tiles_near


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tables")
    sim.write_tables(place, SKY)
    return place


def test_the_focal_plane() -> None:
    names = [one.name for one in sim.CAMERA.detectors]
    assert names == [f"ccd{number:02d}" for number in range(36)]
    x0, x1, y0, y1 = sim.CAMERA.field_arcsec
    assert (x1 - x0, y1 - y0) == pytest.approx((0.185 * 9 * 2048 + 8 * 13, 0.185 * 4 * 4612 + 13 + 160))
    assert (x0 + x1, y0 + y1) == pytest.approx((0.0, 0.0), abs=1e-9)


def test_a_table_a_band(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(sim.NAMES.values())
    for band in sim.CAMERA.bands:
        shots = list(sim.band_shots(SKY, band))
        assert {shot.band.name for shot in shots} == {band}
        assert len(shots) == 3
        assert all(1.0 <= sim.rows_of(shot)["Airmass"][0] < 2.0 for shot in shots)


def test_other_libraries_read_them(folder: Path) -> None:
    with (folder / sim.NAMES["MEGACAM_u"]).open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    truth = sim.rows_of(next(sim.band_shots(SKY, "MEGACAM_u")))
    assert len(rows) == 3 * 36
    assert float(rows[5]["skyvar"]) == pytest.approx(truth["Noise"][5] ** 2)
    assert float(rows[5]["mjd_obs"]) == pytest.approx(truth["MJD"][5] - 40.0 / 86400.0, abs=1e-9)
    assert [float(text) for text in rows[5]["s_region"].split()[2:]] == pytest.approx(
        truth["corners"][5].ravel().tolist(), abs=1e-9
    )
    with fits.open(folder / sim.NAMES["MEGACAM_r"], checksum=True) as hdus:
        hdus.verify("exception")
        assert (hdus[1].name, hdus[1].columns["FWHM"].unit) == ("EXPOSURES", "pixel")
        assert np.all(hdus[1].data["BAND"] == "r")
    table = pyarrow.parquet.read_table(folder / sim.NAMES["MEGACAM_g"])
    assert table.schema.field("seeing").metadata == {b"unit": b"arcsec"}
    truth = sim.rows_of(next(sim.band_shots(SKY, "MEGACAM_g")))
    assert table["urcdec"].to_numpy()[:36] == pytest.approx(truth["corners"][:, 2, 1])


def test_where_there_is_no_airmass_it_is_missing(tmp_path: Path) -> None:
    south = Sky(sorted(tiles_near(50.0, -78.0, 1), key=lambda tile: tile.id), 6.0, 11)
    sim.write_tables(tmp_path, south)
    table = pyarrow.parquet.read_table(tmp_path / sim.NAMES["MEGACAM_g"])
    assert table["airmass"].null_count == len(table)
    assert ",,0.85" in (tmp_path / sim.NAMES["MEGACAM_u"]).read_text()


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    sim.write_tables(tmp_path, SKY)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_the_inputs_block_is_toml() -> None:
    (place,) = tomllib.loads(sim.INPUTS.format(location="tables"))["inputs"]
    assert (place["reader"], place["location"]) == ("exposures", "tables")
    assert place["options"]["band"] == "MEGACAM_{band}"
