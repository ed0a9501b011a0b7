"""n(z) of visibility classes, summed over tiles: against the tiles as one, and what must not be added."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from visibility_helpers import products, run, statistics_of
from vmpz import io
from vmpz.cli import main
from vmpz.errors import InputError, MapMismatchError
from vmpz.make import visibility
from vmpz.make.places import Scatter, scatter_of
from vmpz.parameters import load
from vmpz.products import ProductKey
from vmpz.run.classes import table_of
from vmpz.run.redshifts import distribution_of, redshift_tables
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

TILES = ("102018210", "102018211")


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        main([str(word) for word in words])
    return int(str(leaving.value.code))


def files_of(survey: Path, name: str) -> list[str]:
    found = (survey.parent / "store").glob(f"1*/*~redshifts~{name}~*/*.parquet")
    return [str(path) for path in sorted(found)]


def as_one(survey: Path, name: str) -> dict[str, np.ndarray]:
    """The table of both tiles as one area."""
    parameters = load(survey)
    (chosen,) = (one for one in parameters.visibility if one.name == name)
    whose = ("coverage", "VIS") if name == "light" else ("effectivecoverage", "-")

    def joined(kind: str, band: str) -> SkyMap:
        found = products(survey, kind, band=band)
        return SkyMap.join([found[tile].map for tile in TILES])

    depths = {band: joined("depth", band) for band in chosen.reference}
    coverage = joined(whose[0], whose[1])
    values = fits.getdata(survey.parent / "ebv.fits")["EBV"].astype(np.float64)
    ebv = SkyMap(coverage.cells, values[coverage.cells.cells() >> 12])
    key = ProductKey("1", "redshifts", name, order=coverage.order)
    found = {
        band: [scatter_of(statistics_of(survey, tile, band)) for tile in TILES] for band in chosen.reference
    }
    scatter = {
        band: Scatter(SkyMap.join([one.size for one in tiles]), SkyMap.join([one.higher for one in tiles]))
        for band, tiles in found.items()
    }
    return visibility.redshifts(
        key, table_of(chosen, parameters), coverage, depths, ebv if name == "deep" else None, scatter
    )


@pytest.mark.parametrize("name", ["light", "deep"])
def test_sums_over_tiles_are_those_of_the_tiles_as_one(seen: Path, name: str) -> None:
    found = distribution_of(redshift_tables([str(seen.parent / "store")], name))
    whole = as_one(seen, name)
    assert found.tiles == TILES
    for column, values in found.columns().items():
        if column in whole:
            assert np.allclose(values, whole[column], rtol=1e-10), column
    patch = distribution_of(redshift_tables([str(seen.parent / "store")], name, ["demo"]))
    assert np.array_equal(patch.galaxies, found.galaxies)
    (chosen,) = (one for one in load(seen).visibility if one.name == name)
    assert found.borders.tolist() == chosen.classes and len(found.area_deg2) == len(chosen.classes) + 1
    covered = products(seen, "visibility", name)["same"].map.cells
    assert (found.area_deg2 > 0).sum() >= 2
    assert 0.8 * covered.area_deg2 < found.area_deg2.sum() <= len(covered) * hpx.cell_area_deg2(12)


def test_deeper_places_have_farther_galaxies(seen: Path) -> None:
    found = distribution_of(redshift_tables([str(seen.parent / "store")], "deep"))
    seen_per_deg2 = found.galaxies.sum(axis=1) / found.area_deg2
    assert (np.diff(found.mean_z) > 0.005).all() and (np.diff(seen_per_deg2) > 0).all()
    width = np.diff(found.edges)
    assert np.allclose(found.density @ width, 1.0)
    rng = np.random.default_rng(4)  # moments of galaxies spread over their bins
    for row, mean, scatter in zip(found.galaxies, found.mean_z, found.width_z, strict=True):
        bins = rng.choice(row.size, 200_000, p=row / row.sum())
        z = found.edges[bins] + width[bins] * rng.random(bins.size)
        assert abs(z.mean() - mean) < 5 * scatter / bins.size**0.5
        assert abs(z.std() - scatter) < 5 * scatter / bins.size**0.5


def test_files_in_any_order_and_twice_give_the_same_sums(seen: Path, tmp_path: Path) -> None:
    files = files_of(seen, "light")
    (tmp_path / "list").write_text("\n".join([*files[::-1], files[0]]))
    copy = shutil.copy(files[0], tmp_path / "copy.parquet")
    wanted = distribution_of(redshift_tables([str(seen.parent / "store")], "light"))
    for given in (files, files[::-1], [*files, str(copy)], [f"@{tmp_path / 'list'}"]):
        found = distribution_of(redshift_tables(given))
        assert np.array_equal(found.galaxies, wanted.galaxies)
        assert np.array_equal(found.area_deg2, wanted.area_deg2)
    one = distribution_of(redshift_tables([str(seen.parent / "store")], "light", [TILES[0]]))
    assert one.tiles == (TILES[0],) and (one.galaxies <= wanted.galaxies).all()
    both = [*files, *files_of(seen, "deep")]
    assert np.array_equal(distribution_of(redshift_tables(both, "light")).galaxies, wanted.galaxies)


def test_the_command_prints_and_writes(
    seen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = seen.parent / "store"
    assert command("nz", store, "--class", "deep", "--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    found = distribution_of(redshift_tables([str(store)], "deep"))
    columns = found.columns()
    assert told["class"] == "deep" and told["tiles"] == list(TILES)
    assert [row["galaxies"] for row in told["rows"]] == columns["galaxies"].tolist()
    assert [row["mean_z"] for row in told["classes"]] == found.mean_z.tolist()
    assert (told["classes"][0]["from"], told["classes"][0]["to"], told["classes"][2]["to"]) == (
        0.0,
        1.0,
        None,
    )
    for end in ("fits", "csv", "parquet"):
        out = tmp_path / f"nz.{end}"
        assert command("nz", store, "--class", "deep", "--patch", "demo", "-o", out) == 0
        first = out.read_bytes()
        assert command("nz", *files_of(seen, "deep"), "-o", out) == 0
        assert out.read_bytes() == first
    with fits.open(tmp_path / "nz.fits", checksum=True) as file:
        table = file["REDSHIFTS"]
        assert [one.name for one in table.columns] == [name.upper() for name in columns]
        assert table.columns["AREA_DEG2"].unit == "deg2" and table.columns["N_Z"].unit is None
        assert all(np.array_equal(table.data[name], values) for name, values in columns.items())
        assert table.header["BINSEL"] == "deep" and table.header["VISREF"] == "VIS=25,NIR_Y=23.5"
        assert table.header["VISCLASS"] == "1,1.08"
    csv = np.genfromtxt(tmp_path / "nz.csv", delimiter=",", names=True)
    parquet = pq.read_table(tmp_path / "nz.parquet")
    assert parquet.schema.field("area_deg2").metadata == {b"unit": b"deg2"}
    for name, values in columns.items():
        assert np.array_equal(csv[name], values) and np.array_equal(parquet[name].to_numpy(), values)
    capsys.readouterr()
    assert command("nz", store, "--class", "light") == 0
    text = capsys.readouterr().out
    assert "vis_class  z_low" in text and "mean_z" in text and "light: 2 tiles" in text


def test_a_class_of_which_nothing_is_seen_has_no_redshift(
    mine: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mine.write_text(mine.read_text().replace("[0.9, 1.2]", "[0.1, 1.2]"))
    run(mine)
    store = mine.parent / "store"
    assert command("nz", store, "--class", "light", "--json") == 0
    first = json.loads(capsys.readouterr().out)["classes"][0]
    assert first == {
        "vis_class": 0,
        "from": 0.0,
        "to": 0.1,
        "area_deg2": 0.0,
        "galaxies": 0.0,
        "mean_z": None,
        "width_z": None,
    }
    assert command("nz", store, "--class", "light", "-o", tmp_path / "nz.csv") == 0
    assert (tmp_path / "nz.csv").read_text().splitlines()[1].endswith(",0.0,0.0,,,")


def test_what_must_not_be_added_is_refused(
    seen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(seen.parent / "store")
    for words, message in (
        ((store,), "the class of galaxies must be said where there are several, found deep, light"),
        ((store, "--class", "counts"), "must hold redshifts of the class counts, found those of deep, light"),
        (
            (store, "--class", "deep", "--area", "north"),
            "north: must be a tile or patch with this class, found",
        ),
        ((tmp_path / "none",), "must be a store or files of redshifts, found nothing"),
        (
            (store, "--class", "deep", "-o", tmp_path / "x.txt"),
            "a table must end in .fits, .csv, .parquet, found .txt",
        ),
        ((*files_of(seen, "deep"), "--area", TILES[0]), "areas are those of a store"),
    ):
        assert command("nz", *words) == 3
        assert message in capsys.readouterr().err
    statistics = next((seen.parent / "store").glob("1*/*~statistics~*/*.parquet"))
    with pytest.raises(
        InputError, match="must be a table of redshifts by visibility class, found statistics"
    ):
        redshift_tables([str(statistics)])


def test_tables_of_other_classes_are_not_added(mine: Path, seen: Path) -> None:
    mine.write_text(mine.read_text().replace("[0.9, 1.2]", "[0.9, 1.1]"))
    run(mine)
    mixed = [files_of(seen, "light")[0], files_of(mine, "light")[1]]
    with pytest.raises(MapMismatchError, match=r"VISCLASS must agree, found '0\.9,1\.2' and '0\.9,1\.1'"):
        distribution_of(redshift_tables(mixed))
    with pytest.raises(MapMismatchError, match="a tile must have one table, found two"):
        distribution_of(redshift_tables([files_of(seen, "light")[0], files_of(mine, "light")[0]]))


def test_a_patch_that_a_region_cuts_has_no_n_of_z(mine: Path) -> None:
    text = mine.read_text().replace('name = "same"\nall = true', 'name = "same"\ncap = [58.0, -51.5, 0.3]')
    mine.write_text(text)
    run(mine)
    with pytest.raises(InputError, match="a region cuts those of this patch: name its tiles"):
        redshift_tables([str(mine.parent / "store")], "deep", ["same"])
    assert io.read(files_of(mine, "deep")[0]).key.kind == "redshifts"
