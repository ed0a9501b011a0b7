"""Positions to look at: those inside, thinned evenly, of any form."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from vmpz.errors import InputError
from vmpz.run.pointing import thinned_positions
from vmpz.sky.regions import Cap, cells_inside

CELLS = cells_inside(Cap(10.0, 5.0, 2.0), 6)


@pytest.fixture(params=["points.parquet", "points.csv"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    draw = np.random.default_rng(2)
    table = pa.table({"ra": draw.uniform(6.0, 14.0, 2000), "dec": draw.uniform(1.0, 9.0, 2000)})
    writer = pa.parquet.write_table if path.suffix == ".parquet" else pa.csv.write_csv
    writer(table, path)
    return path


def test_points_inside_are_kept_in_their_order(catalogue: Path) -> None:
    lon, lat, every = thinned_positions(catalogue, CELLS)
    draw = np.random.default_rng(2)
    all_lon, all_lat = draw.uniform(6.0, 14.0, 2000), draw.uniform(1.0, 9.0, 2000)
    inside = CELLS.contains(all_lon, all_lat)
    assert (
        every == 1
        and np.allclose(lon, all_lon[inside], atol=1e-9)
        and np.allclose(lat, all_lat[inside], atol=1e-9)
    )


def test_of_too_many_every_kth_is_kept(catalogue: Path) -> None:
    whole = np.stack(thinned_positions(catalogue, CELLS)[:2])
    for most in (1, 7, 100):
        lon, lat, every = thinned_positions(catalogue, CELLS, most)
        assert lon.size <= most and 2 * lon.size >= most
        assert np.array_equal(np.stack((lon, lat)), whole[:, ::every])


def test_what_has_no_positions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"x": [1.0]}), path)
    for name in (path, tmp_path / "none.fits"):
        with pytest.raises(InputError):
            thinned_positions(name, CELLS)
