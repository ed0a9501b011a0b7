"""Random catalogues where they must not go, of maps that change, of sizes that no number can hold."""

from pathlib import Path

import numpy as np
import pytest

import random_helpers
from vmpz import io
from vmpz.cli import main
from vmpz.errors import InputError
from vmpz.io.hats import PARTITION_INFO
from vmpz.products import Product, ProductKey
from vmpz.run.randomrequests import request_of_maps
from vmpz.run.randoms import draw_catalogue, prepared
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, cells_inside
from vmpz.sky.skymap import SkyMap


def a_map(path: Path, value: float = 0.5, order: int = 8, **words: str) -> Path:
    cells = cells_inside(Cap(57.9, -51.4, 2.0), order)
    maps = {"WEIGHT": SkyMap(cells, np.full(len(cells), value, np.float32))}
    key = ProductKey("whole", "visibility", "test", order=order, release="0.1")
    product = Product(key, maps, keywords={"BINSEL": "test", **words})
    return io.write_file(product, path, provenance=random_helpers.product().provenance)


def draw(out: Path, *maps: Path, region: Cap | None = None, **said: object) -> int:
    request = request_of_maps([str(one) for one in maps], {"seed": 1, **said}, region=region)
    return int(draw_catalogue(request, out, created="2026-01-02T03:04:05")["rows"])


# -- places -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_catalogue_is_not_replaced(tmp_path: Path) -> None:
    files = a_map(tmp_path / "m.fits")
    survey = tmp_path / "survey"
    survey.mkdir()
    (survey / "survey.toml").write_text("[survey]")
    with pytest.raises(InputError, match=r"survey: a HATS folder may replace .* found something else"):
        draw(survey, files, number=100)
    for name, message in (
        ("survey.toml", "must end in .fits or .parquet"),
        ("notes", "a HATS folder may replace"),
    ):
        (survey / name).write_text("[survey]")
        with pytest.raises(InputError, match=f"{name}: .*{message}"):
            draw(survey / name, files, number=100)
        assert (survey / name).read_text() == "[survey]"
    assert sorted(one.name for one in survey.iterdir()) == ["notes", "survey.toml"]
    foreign = tmp_path / "gaia"
    foreign.mkdir()
    (foreign / "hats.properties").write_text("obs_collection=gaia\n")
    with pytest.raises(InputError, match="gaia"):
        draw(foreign, files, number=100)


def test_a_catalogue_or_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    files, out = a_map(tmp_path / "m.fits"), tmp_path / "hats"
    out.mkdir()
    first = draw(out, files, scheme="exact", number=100)
    assert (out / PARTITION_INFO).is_file()
    assert (first, draw(out, files, scheme="exact", number=50)) == (100, 50)
    assert io.open_random(out).rows == 50
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="found something else"):
        draw(out, files, number=100)


@pytest.mark.parametrize("name", ["m.fits", "./m.fits"])
def test_the_map_is_not_replaced_by_its_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files = a_map(tmp_path / "m.fits")
    before = files.read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is read for it"):
        draw(Path(name), files, number=100)
    with pytest.raises(InputError, match="is read for it"):
        draw(Path(name), a_map(tmp_path / "n.fits"), number=100, maps=["X=m.fits"])
    assert files.read_bytes() == before


def test_an_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = a_map(tmp_path / "m.fits")
    words = ["random", "--map", str(files), "--number", "9", "--seed", "1", "-o", "s3://bucket/r.fits"]
    with pytest.raises(SystemExit, match="3"):
        main(words)
    assert "must go to a local place" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["m.fits"]


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"density": 1e30},
        {"density": 1e300},
        {"density": float("inf")},
        {"number": 2 * 10**20, "scheme": "exact"},
        {"number": 2 * 10**20, "scheme": "trim"},
        {"number": 10**400},
        {"density": 1e17, "nested": True, "v_max": 1000.0},
    ],
)
@pytest.mark.parametrize("form", ["r.fits", "r.parquet", "r"])
def test_sizes_beyond_counting_are_refused(tmp_path: Path, said: dict[str, object], form: str) -> None:
    with pytest.raises(InputError, match="points"):
        draw(tmp_path / form, a_map(tmp_path / "m.fits"), **said)
    assert [one.name for one in tmp_path.iterdir()] == ["m.fits"]


# -- maps -------------------------------------------------------------------------------------------------------------


def test_a_whole_store_is_no_map(store: Path) -> None:
    with pytest.raises(InputError, match="found a store: say its"):
        request_of_maps([str(store)], {"number": 10, "seed": 1})


def test_a_map_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    files, attached = a_map(tmp_path / "m.fits", 0.5), a_map(tmp_path / "x.fits", 0.25)
    draw(tmp_path / "one.parquet", files, number=100, keep="all", maps=[f"X={attached}"])
    a_map(files, 0.75)
    a_map(attached, 0.125)
    draw(tmp_path / "two.parquet", files, number=100, keep="all", maps=[f"X={attached}"])
    rows = next(io.open_random(tmp_path / "two.parquet").blocks())
    assert set(rows["WEIGHT"]) == {0.75}
    assert set(rows["X"]) == {0.125}


def test_a_region_is_that_of_the_order_of_drawing(tmp_path: Path) -> None:
    degraded, cap = a_map(tmp_path / "m.fits", 1.0, NSIDE_WK=str(1 << 11)), Cap(57.9, -51.4, 0.5)
    draw(tmp_path / "r.fits", degraded, region=cap, density=5e4)
    points = random_helpers.everything(tmp_path / "r.fits")
    inside = cells_inside(cap, 11)
    assert np.all(inside.index(points["HPIX_29"] >> 2 * (29 - 11)) >= 0)
    found = CellSet.from_cells(11, np.unique(points["HPIX_29"] >> 2 * (29 - 11)))
    assert len(found) > 0.9 * len(inside)


def test_points_are_drawn_much_finer_than_the_map_or_refused(tmp_path: Path) -> None:
    """At 9 orders finer a cell of the map is a shard; the map of two cells far apart has two."""
    cells = CellSet.from_cells(3, [17, 600])
    key = ProductKey("x", "visibility", "test", order=3, release="0.1")
    product = Product(
        key, {"WEIGHT": SkyMap(cells, np.array([0.5, 1.0], np.float32))}, keywords={"NSIDE_WK": "8"}
    )
    path = io.write_file(product, tmp_path / "m.fits", provenance=random_helpers.product().provenance)
    request = request_of_maps([str(path)], {"seed": 1, "number": 4000, "scheme": "exact", "order": 12})
    told = draw_catalogue(request, tmp_path / "hats", threads=2)
    assert told["rows"] == 4000
    found = np.concatenate([one["HPIX_29"] for one in io.open_random(tmp_path / "hats").blocks()])
    counts = [int(((found >> 2 * 26) == cell).sum()) for cell in (17, 600)]
    assert sum(counts) == 4000 and abs(counts[0] - 4000 / 3) < 5 * 30
    with pytest.raises(InputError, match="at most 9 orders finer than the map, at order 12, found 13"):
        prepared(request_of_maps([str(path)], {"seed": 1, "density": 1.0, "order": 13}))


def test_partitions_of_a_dense_shard_are_written_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many partitions of one shard, and the one file, hold the rows of the table; no more than some are held."""
    from vmpz.run import randomwriting

    cells = CellSet.from_ranges(6, [(100, 164)])
    key = ProductKey("x", "visibility", "test", order=6, release="0.1")
    product = Product(key, {"WEIGHT": SkyMap(cells, np.linspace(0.1, 1, 64).astype(np.float32))})
    path = io.write_file(product, tmp_path / "m.fits", provenance=random_helpers.product().provenance)
    request = request_of_maps([str(path)], {"seed": 1, "number": 200_000, "scheme": "exact"})
    monkeypatch.setattr(randomwriting, "PARTITION_ROWS", 1000)
    monkeypatch.setattr(randomwriting, "JOB_ROWS", 1000)
    rows = {}
    for name in ("a.fits", "b.parquet", "c"):
        draw_catalogue(request, tmp_path / name, threads=2)
        rows[name] = np.concatenate(
            [one["RIGHT_ASCENSION"] for one in io.open_random(tmp_path / name).blocks()]
        )
    assert np.array_equal(rows["a.fits"], rows["b.parquet"]) and np.array_equal(rows["a.fits"], rows["c"])
    assert len(list((tmp_path / "c").rglob("Npix=*.parquet"))) == 64
