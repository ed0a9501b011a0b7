"""Random catalogues of files and of a survey: the same rows for any tiling, workers and form; what they carry."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from vmpz import io
from vmpz.cli import main
from vmpz.errors import InputError, MapMismatchError
from vmpz.make.merge import merge
from vmpz.parameters import Parameters, load
from vmpz.products import SUBCELL, Product, ProductKey, Provenance
from vmpz.run import randomwriting
from vmpz.run.randomrequests import request_of_maps, request_of_survey
from vmpz.run.randoms import RandomRequest, draw_catalogue
from vmpz.run.survey import run_survey
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, cells_inside
from vmpz.sky.skymap import SkyMap

CREATED = "2026-01-02T03:04:05"
ORDER = 12
CLASSES = """
[[visibility]]
name = "counts"
reference = {VIS = 25.5}
coverage = "VIS"
tom_bin = 3
[visibility.counts]
slope = 0.4
[visibility.selection]
completeness = "logistic"
width = 0.2

[[visibility]]
name = "light"
reference = {VIS = 25.5}
coverage = "VIS"
classes = [0.9, 1.0]
redshift_bins = [0.2, 1.0, 8]
[visibility.luminosity]
m_star = -21.0
alpha = -1.2
redshift = [0.2, 1.0]

[random]
seed = 5
density = 20000
"""


def a_map(order: int = ORDER, words: bool = False) -> Product:
    """A cap of uneven visibility, some of it 0 and some above 1."""
    cells = cells_inside(Cap(57.9, -51.4, 1.2), order)
    rng = np.random.default_rng(3)
    values = (1.3 * rng.random(len(cells)) ** 2).astype(np.float32)
    values[::7] = 0.0
    maps = {"WEIGHT": SkyMap(cells, values)}
    if words:
        maps[SUBCELL] = SkyMap(
            cells, rng.integers(1, 2**63 - 1, len(cells)) & rng.integers(1, 2**63 - 1, len(cells))
        )
    key = ProductKey("whole", "visibility", "test", order=order, release="0.1")
    return Product(key, maps, keywords={"BINSEL": "test", "NSIDE_WK": str(1 << order)})


def written(product: Product, path: Path) -> Path:
    provenance = Provenance("test", 1, {}, {}, {}, _instant(), True)
    return io.write_file(product, path, provenance=provenance)


def _instant() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 1, 2, tzinfo=UTC)


def cut(product: Product, pieces: int, folder: Path) -> list[str]:
    """The map in so many files, cells dealt out in runs of uneven length, in no order."""
    rng = np.random.default_rng(pieces)
    number = product.map.cells.cells()
    owner = np.repeat(rng.integers(0, pieces, number.size), rng.integers(1, 300, number.size))[: number.size]
    folder.mkdir()
    names = []
    for piece in rng.permutation(pieces):
        mine = CellSet.from_cells(product.key.order, number[owner == piece])
        maps = {name: one.clip(mine) for name, one in product.maps.items()}
        key = ProductKey(str(piece), "visibility", "test", order=product.key.order, release="0.1")
        part = Product(key, maps, keywords=product.keywords)
        names.append(str(written(part, folder / f"{piece}.fits")))
    return names


def rows_of(path: Path) -> dict[str, np.ndarray]:
    blocks = list(io.open_random(path).blocks())
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def digest(path: Path) -> str:
    """SHA-256 of the rows."""
    total = hashlib.sha256()
    for name, values in sorted(rows_of(path).items()):
        total.update(name.encode() + values.tobytes())
    return total.hexdigest()


def drawn(out: Path, files: list[str], threads: int = 2, workers: int = 0, **said: object) -> Path:
    request = request_of_maps(files, {"seed": 11, **said})
    draw_catalogue(request, out, threads=threads, workers=workers, created=CREATED)
    return out


SIZES = {
    "poisson": {"density": 9000.0},
    "exact": {"number": 20_000, "scheme": "exact"},
    "indexed": {"number": 20_000, "scheme": "indexed"},
    "trim": {"number": 20_000, "scheme": "trim"},
}


@pytest.mark.parametrize("scheme", SIZES)
def test_any_tiling_and_any_number_of_threads_give_the_same_rows(tmp_path: Path, scheme: str) -> None:
    whole = a_map()
    found = set()
    for pieces in (1, 9, 100):
        files = cut(whole, pieces, tmp_path / str(pieces))
        out = drawn(tmp_path / f"{pieces}.fits", files, 1 + pieces % 4, **SIZES[scheme])
        found.add(digest(out))
    assert len(found) == 1
    rows = len(rows_of(out)["HPIX_29"])
    assert (
        rows == 20_000
        if scheme != "poisson"
        else abs(rows - 9000 * whole.map.integral_deg2()) < 5 * rows**0.5
    )


@pytest.mark.parametrize("scheme", SIZES)
def test_numbers_that_find_no_room_are_drawn_again(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [str(written(a_map(), tmp_path / "m.fits"))]
    found = set()
    for room in (1 << 28, 20_000, 0):
        monkeypatch.setattr(randomwriting, "KEPT_BYTES", room)
        found.add(drawn(tmp_path / f"{room}.fits", files, **SIZES[scheme]).read_bytes())
    assert len(found) == 1


def test_workers_write_the_same_bytes(tmp_path: Path) -> None:
    """FITS by 2 processes and HATS by 3, as by none, of maps in 1, 5 and 100 files."""
    whole = a_map(14)
    files, one = cut(whole, 5, tmp_path / "maps"), [str(written(whole, tmp_path / "map.fits"))]
    exact: dict[str, object] = {"number": 60_000, "scheme": "exact"}
    alone = drawn(tmp_path / "alone.fits", files, 1, **exact)
    two = drawn(tmp_path / "two.fits", files, workers=2, **exact)
    assert alone.read_bytes() == two.read_bytes()
    other = drawn(tmp_path / "other.fits", cut(whole, 100, tmp_path / "more"), 1, **exact)
    assert digest(other) == digest(alone) == digest(drawn(tmp_path / "one.fits", one, 3, **exact))
    indexed: dict[str, object] = {"number": 60_000, "scheme": "indexed"}
    folder = drawn(tmp_path / "hats", files, 1, **indexed)
    three = drawn(tmp_path / "three", files, workers=3, **indexed)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(three) for path in three.rglob("*") if path.is_file())
    assert all((folder / name).read_bytes() == (three / name).read_bytes() for name in names)
    assert digest(three) == digest(drawn(tmp_path / "indexed.fits", one, 3, **indexed))


def test_ten_million_points(tmp_path: Path) -> None:
    """Exactly so many, as the map wants them in every cell and evenly inside; the same rows for another split."""
    cells = cells_inside(Cap(57.9, -51.4, 3.0), ORDER)
    values = np.random.default_rng(3).uniform(0.2, 1.0, len(cells)).astype(np.float32)
    whole = replace(a_map(), maps={"WEIGHT": SkyMap(cells, values)})
    said: dict[str, object] = {"number": 10_000_000, "scheme": "exact", "columns": "minimal"}
    out = drawn(tmp_path / "two.fits", [str(written(whole, tmp_path / "map.fits"))], 2, **said)
    counts, inside = np.zeros(len(cells), np.int64), np.zeros(16, np.int64)
    for block in io.open_random(out).blocks():
        fine = hpx.cells_at(block["RIGHT_ASCENSION"], block["DECLINATION"], ORDER + 2)
        place = cells.index(fine >> 4)
        assert (place >= 0).all()
        counts += np.bincount(place, minlength=len(cells))
        inside += np.bincount(fine & 15, minlength=16)
    assert counts.sum() == io.open_random(out).rows == 10_000_000
    mean = values.astype(np.float64) * (1e7 / values.sum(dtype=np.float64))
    chi2 = ((counts - mean) ** 2 / mean).sum()
    assert abs(chi2 - (len(cells) - 1)) < 4 * np.sqrt(2 * len(cells) + (1 / mean).sum())
    assert stats.chisquare(inside).pvalue > 1e-4
    again = drawn(tmp_path / "one.fits", cut(whole, 9, tmp_path / "maps"), 1, **said)
    assert digest(out) == digest(again)


def test_all_forms_hold_the_same_rows(tmp_path: Path) -> None:
    files = [str(written(a_map(), tmp_path / "map.fits"))]
    found = {digest(drawn(tmp_path / name, files, density=5000.0)) for name in ("a.fits", "b.parquet", "c")}
    assert len(found) == 1
    for name in ("a.fits", "b.parquet", "c"):
        with pytest.raises(SystemExit) as leaving:
            main(["check", str(tmp_path / name)])
        assert leaving.value.code == 0


def test_points_follow_the_map_and_lie_in_its_cells(tmp_path: Path) -> None:
    whole = a_map()
    rows = rows_of(drawn(tmp_path / "r.fits", [str(written(whole, tmp_path / "m.fits"))], density=60_000.0))
    cells = hpx.cells_at(rows["RIGHT_ASCENSION"], rows["DECLINATION"], ORDER)
    assert np.array_equal(cells, rows["HPIX_29"] >> 2 * (29 - ORDER))
    assert (np.diff(rows["HPIX_29"]) >= 0).all() and np.unique(rows["OBJECT_ID"]).size == cells.size
    counts = np.bincount(whole.map.cells.index(cells), minlength=len(whole.map))
    mean = 60_000 * hpx.cell_area_deg2(ORDER) * whole.map.values.astype(float)
    assert counts[mean == 0].sum() == 0
    some = mean > 0
    chi2 = ((counts[some] - mean[some]) ** 2 / mean[some]).sum()
    assert abs(chi2 - some.sum()) < 5 * (2 * some.sum() + (1 / mean[some]).sum()) ** 0.5


def test_points_of_some_cells_are_drawn_again(tmp_path: Path) -> None:
    files = [str(written(a_map(), tmp_path / "m.fits"))]
    inside = Cap(57.5, -51.5, 0.3)
    for scheme, size in SIZES.items():
        whole = rows_of(drawn(tmp_path / f"{scheme}.fits", files, **size))
        request = request_of_maps(files, {"seed": 11, **size}, only=inside)
        draw_catalogue(request, tmp_path / "again.fits", created=CREATED)
        again = rows_of(tmp_path / "again.fits")
        there = cells_inside(inside, ORDER).index(whole["HPIX_29"] >> 2 * (29 - ORDER)) >= 0
        assert there.any() and all(np.array_equal(whole[name][there], again[name]) for name in whole)


def test_points_keep_to_the_observed_sub_cells(tmp_path: Path) -> None:
    whole = a_map(words=True)
    files = [str(written(whole, tmp_path / "m.fits"))]
    rows = rows_of(drawn(tmp_path / "r.fits", files, density=50_000.0))
    sub = rows["HPIX_29"] >> 2 * (29 - ORDER - 3)
    word = whole.maps[SUBCELL].of_cells(sub >> 6, 0).astype(np.int64)
    assert ((word >> (sub & 63)) & 1).all()
    assert io.open_random(tmp_path / "r.fits").keywords["PARTCELL"] == "SUBCELLS"
    anywhere = rows_of(drawn(tmp_path / "c.fits", files, density=50_000.0, partial="cell"))
    assert len(anywhere["HPIX_29"]) == len(rows["HPIX_29"])
    assert not np.array_equal(anywhere["HPIX_29"], rows["HPIX_29"])


def test_points_are_drawn_at_the_order_of_stage_1(tmp_path: Path) -> None:
    """A map that was degraded, or read as a weighted MOC, says where its points are to be drawn."""
    whole = a_map(words=True)
    one = written(whole, tmp_path / "m.fits")
    coarse = io.convert(one, tmp_path / "coarse.fits", 10)
    request = request_of_maps([str(coarse)], {"seed": 1, "density": 20_000.0})
    told = draw_catalogue(request, tmp_path / "r.fits", created=CREATED)
    assert told["order"] == ORDER and told["partial"] == "cell"
    rows = rows_of(tmp_path / "r.fits")
    assert abs(told["rows"] - 20_000 * whole.map.integral_deg2()) < 5 * told["rows"] ** 0.5
    plain = a_map()
    fits = written(plain, tmp_path / "p.fits")
    moc = io.convert(fits, tmp_path / "p.moc.fits")
    same = [
        digest(drawn(tmp_path / f"{name}.fits", [str(path)], density=9000.0))
        for name, path in (("a", fits), ("b", moc))
    ]
    assert same[0] == same[1]
    with pytest.raises(InputError, match="at the order of the map, 12, or a finer one, found 11"):
        drawn(tmp_path / "x.fits", [str(one)], density=1.0, order=11)
    deep = rows_of(drawn(tmp_path / "deep.fits", [str(one)], density=2000.0, order=14, partial="cell"))
    assert np.isin(deep["HPIX_29"] >> 2 * (29 - ORDER), whole.map.cells.cells()[whole.map.values > 0]).all()
    assert rows["HPIX_29"].size


def test_weighted_and_nested_catalogues(tmp_path: Path) -> None:
    whole = a_map()
    half = Product(
        whole.key,
        {"WEIGHT": SkyMap(whole.map.cells, whole.map.values * np.float32(0.5))},
        keywords=whole.keywords,
    )
    paths = [str(written(one, tmp_path / f"{n}.fits")) for n, one in enumerate((whole, half))]
    every = rows_of(drawn(tmp_path / "all.fits", [paths[0]], density=9000.0, keep="all"))
    seen = whole.map.of_cells(every["HPIX_29"] >> 2 * (29 - ORDER))
    assert np.array_equal(every["WEIGHT"], seen.astype(np.float64))
    assert abs(every["WEIGHT"].sum() - 9000 * whole.map.integral_deg2()) < 5 * (seen**2).sum() ** 0.5
    nested = [
        set(
            rows_of(drawn(tmp_path / f"n{n}.fits", [path], density=9000.0, nested=True, v_max=1.5))[
                "OBJECT_ID"
            ].tolist()
        )
        for n, path in enumerate(paths)
    ]
    assert nested[1] < nested[0] and len(nested[1]) > 0.4 * len(nested[0])


def test_what_cannot_be_drawn_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    path = str(written(a_map(), tmp_path / "m.fits"))
    cases: list[tuple[dict[str, object], str]] = [
        ({"seed": None, "density": 10.0}, "needs a seed"),
        ({}, "needs a size"),
        ({"number": 10, "density": 5.0}, "`number` and `density` exclude one another"),
        ({"density": 5.0, "scheme": "exact"}, "needs a `number`"),
        ({"density": 5.0, "partial": "subcells"}, "need the column SUBCELL"),
        ({"density": 5.0, "maps": ["depth"]}, "NAME=FILE"),
        (
            {"density": 5.0, "maps": [f"V={path}"], "columns": "minimal"},
            "minimal catalogue must hold the position",
        ),
        ({"density": 5.0, "v_max": 0.5}, "v_max must be at least"),
        ({"density": 5.0, "attributes": True}, "attributes are those of a class"),
    ]
    before = sorted(tmp_path.iterdir())
    for said, message in cases:
        with pytest.raises(InputError, match=message):
            drawn(tmp_path / "out.fits", [path], **said)
    with pytest.raises(MapMismatchError, match="cells must be disjoint"):
        other = tmp_path / "other.fits"
        written(
            Product(
                a_map().key,
                {"WEIGHT": SkyMap(a_map().map.cells, a_map().map.values * np.float32(0.9))},
                keywords=a_map().keywords,
            ),
            other,
        )
        drawn(tmp_path / "out.fits", [path, str(other)], density=5.0)
    depth = written(
        Product(
            ProductKey("1", "depth", band="VIS", order=ORDER),
            {"WEIGHT": SkyMap(a_map().map.cells, a_map().map.values + np.float32(20))},
        ),
        tmp_path / "depth.fits",
    )
    with pytest.raises(InputError, match="points follow a visibility or an observed fraction"):
        drawn(tmp_path / "out.fits", [str(depth)], density=5.0)
    assert sorted(tmp_path.iterdir()) == sorted([*before, other, depth])


# -- of a survey ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A survey of two tiles with two classes, run; its parameter file."""
    from vmpz.simulate import simulate

    folder = tmp_path_factory.mktemp("seen")
    simulate(folder, tiles=2, size=400, bands=("VIS",), at=(57.9988, -51.5), seed=3)
    survey = folder / "survey.toml"
    text = (
        survey.read_text().replace('"SAA:MEAN"', '"Tile:VALUE"') + CLASSES + "\n[coverage]\nsubcells = true\n"
    )
    survey.write_text(text)
    account = run_survey(load(survey), folder / "store", created=CREATED, threads=2)
    assert not account.has_failed, account.text()
    return survey


def of_survey(
    seen: Path, change: Callable[[Parameters], Parameters] = lambda one: one, **said: object
) -> RandomRequest:
    patch, selection = said.pop("patch", None), said.pop("selection", "counts")
    return request_of_survey(change(load(seen)), seen.parent / "store", selection, said, patch=patch)  # type: ignore[arg-type]


def test_a_run_makes_visibility_of_tiles_and_patches(seen: Path) -> None:
    tiles = sorted((seen.parent / "store").glob("1*/*~visibility~counts~*/*.fits"))
    maps = [io.read(path) for path in tiles]
    assert len(maps) == 2 and all(SUBCELL in one.maps for one in maps)
    (patch,) = (seen.parent / "store").glob("demo/*~visibility~counts~*/*.fits")
    merged = io.read(patch)
    assert merged.key.order == 11 and SUBCELL not in merged.maps
    assert merged.keywords["VISINTEG"] == pytest.approx(sum(float(one.keywords["VISINTEG"]) for one in maps))
    assert merged.keywords["VISMAX"] == max(one.keywords["VISMAX"] for one in maps)
    joined = merge(maps, "x", 11)
    assert joined.map == merged.map and SUBCELL not in joined.maps


def test_points_of_a_class_with_attributes_and_maps(seen: Path, tmp_path: Path) -> None:
    attached = ["depth_VIS", "visibility_light", "Tile_VALUE"]
    request = of_survey(seen, selection="light", attributes=True, maps=attached, density=300_000.0)
    told = draw_catalogue(request, tmp_path / "r.fits", threads=2, created=CREATED)
    assert told["partial"] == "subcells"
    rows = rows_of(tmp_path / "r.fits")
    tables = [
        io.read(path).table
        for path in sorted((seen.parent / "store").glob("1*/*~redshifts~light~*/*.parquet"))
    ]
    galaxies = sum(one["galaxies"].to_numpy() for one in tables).reshape(3, 8)
    for number in range(3):
        mine = rows["VIS_CLASS"] == number
        counts = np.histogram(rows["REDSHIFT_TRUE"][mine], 8, (0.2, 1.0))[0]
        assert counts.sum() == mine.sum()
        expected = (
            galaxies[number] * mine.sum() / galaxies[number].sum() if mine.any() else 0 * galaxies[number]
        )
        assert np.abs(counts - expected).max() < 5 * (expected.max() + 1) ** 0.5 + 0.02 * expected.max()
    assert np.array_equal(np.unique(rows["VIS_CLASS"]), np.flatnonzero(galaxies.sum(axis=1)))
    fainter = rows["MAG_VIS"] - rows["depth_VIS"]
    assert (
        0.01 < (fainter > 0.25).mean() < 0.1 and (fainter > 1.5).mean() < 1e-3
    )  # completeness 0.15 and 1e-4 there
    cell = rows["HPIX_29"] >> 2 * (29 - ORDER)
    for name in ("depth_VIS", "visibility_light"):
        kind = name.partition("_")[0]
        quantity = "light" if kind == "visibility" else "-"
        files = sorted((seen.parent / "store").glob(f"1*/*~{kind}~{quantity}~*/*.fits"))
        joined = SkyMap.join([io.read(path).map for path in files])
        assert np.array_equal(rows[name], joined.of_cells(cell).astype(np.float32))
    assert np.array_equal(rows["REDSHIFT"], rows["REDSHIFT_TRUE"]) and "SIZE" not in rows
    assert rows["Tile_VALUE"].dtype == np.int64
    assert {str(one) for one in np.unique(rows["Tile_VALUE"])} == {
        path.name for path in (seen.parent / "store").glob("1*")
    }


def test_a_class_of_counts_has_magnitudes_alone(seen: Path, tmp_path: Path) -> None:
    request = of_survey(seen, selection="counts", attributes=True, density=2000.0)
    draw_catalogue(request, tmp_path / "r.fits", created=CREATED)
    rows = rows_of(tmp_path / "r.fits")
    assert np.isfinite(rows["MAG_VIS"]).all()
    assert {"REDSHIFT", "REDSHIFT_TRUE", "SIZE"}.isdisjoint(rows)


def test_tiles_and_patch_give_the_same_points(seen: Path, tmp_path: Path) -> None:
    """A patch is drawn of its tiles, at their order, whatever its own order is."""
    draw_catalogue(of_survey(seen), tmp_path / "a.fits", created=CREATED)
    draw_catalogue(of_survey(seen, patch="demo"), tmp_path / "b.fits", threads=3, created=CREATED)
    assert digest(tmp_path / "a.fits") == digest(tmp_path / "b.fits")
    assert io.open_random(tmp_path / "a.fits").keywords["HPXORDER"] == ORDER
    assert (rows_of(tmp_path / "a.fits")["TOM_BIN_ID"] == 3).all()
    tile = sorted((seen.parent / "store").glob("1*/*~visibility~counts~*/*.fits"))[0]
    draw_catalogue(
        request_of_maps([str(tile)], {"seed": 5, "density": 20_000.0}), tmp_path / "t.fits", created=CREATED
    )
    one, whole = rows_of(tmp_path / "t.fits"), rows_of(tmp_path / "a.fits")
    there = np.isin(whole["OBJECT_ID"], one["OBJECT_ID"])
    assert np.array_equal(whole["RIGHT_ASCENSION"][there], one["RIGHT_ASCENSION"])


def test_names_that_a_survey_has_not(seen: Path) -> None:
    for more, message in (
        ({"selection": "none"}, "class must be one of counts, light, found none"),
        ({"patch": "other"}, "patch must be one of demo, found other"),
        ({"maps": ["depth_NIR"]}, "must hold the map depth_NIR, found .*depth_VIS"),
    ):
        with pytest.raises(InputError, match=message):
            of_survey(seen, **more)  # type: ignore[arg-type]


def test_the_command_draws_and_describes(
    seen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.fits"
    with pytest.raises(SystemExit) as leaving:
        main(["random", str(seen), "--selection", "counts", "-o", str(out), "--density", "5000", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert leaving.value.code == 0 and told["seed"] == 5 and told["density_deg2"] == 5000.0
    assert told["rows"] == io.open_random(out).rows
    with pytest.raises(SystemExit) as leaving:
        main(["random", str(seen), "--map", str(out), "-o", str(out)])
    assert leaving.value.code == 2
    with pytest.raises(SystemExit) as leaving:
        main(["random", "--map", str(out), "-o", str(tmp_path / "x.fits"), "--density", "5", "--seed", "1"])
    assert leaving.value.code == 3
