"""Visibility of patches, in all forms and under all commands: a probability, degraded as one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lxml import etree

from reader_rules import heracles_read_vmap
from visibility_helpers import ORDER, change, products, run
from vmpz import io
from vmpz.cli import main
from vmpz.io.inventory import kind_of
from vmpz.io.xml import schema
from vmpz.make.merge import merge
from vmpz.products import SUBCELL
from vmpz.report.gallery import gallery
from vmpz.run.patchplan import MAP_KINDS
from vmpz.run.plan import Choice
from vmpz.run.store import Store
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

CLASSES = ("counts", "deep", "light")
TILES = ("102018210", "102018211")
FORMS = {
    "moc": (".moc.fits", ["WEIGHT", "ERROR"]),
    "mangle": (".ply", ["WEIGHT"]),
    "hips": (".hips", ["WEIGHT"]),
    "parquet": (".parquet", ["WEIGHT", "ERROR", SUBCELL]),
    "healsparse": (".hsp", ["WEIGHT", "ERROR"]),
}


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        main([str(word) for word in words])
    return int(str(leaving.value.code))


def told(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What a command says as JSON."""
    capsys.readouterr()
    assert command(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", CLASSES)
def test_at_the_order_of_the_tiles_a_patch_is_all_of_them(seen: Path, name: str) -> None:
    found = products(seen, "visibility", name)
    same = found["same"]
    assert same.key.order == ORDER and list(same.maps) == list(found[TILES[0]].maps)
    for column, one in same.maps.items():
        assert one == SkyMap.join([found[tile].maps[column] for tile in TILES])
    assert same.keywords["VISINTEG"] == pytest.approx(
        sum(float(found[tile].keywords["VISINTEG"]) for tile in TILES)
    )
    assert same.keywords["VISMAX"] == max(found[tile].keywords["VISMAX"] for tile in TILES)


@pytest.mark.parametrize("name", CLASSES)
def test_a_coarser_cell_has_the_mean_of_its_children(seen: Path, name: str) -> None:
    """What is not there counts as 0; sub-cells have no place there."""
    fine, coarse = (products(seen, "visibility", name)[area] for area in ("same", "demo"))
    assert coarse.key.order == ORDER - 1 and list(coarse.maps) == [one for one in fine.maps if one != SUBCELL]
    number = fine.map.cells.cells() >> 2
    parents = np.unique(number)
    for column, one in coarse.maps.items():
        total = np.bincount(np.searchsorted(parents, number), fine.maps[column].values.astype(float))
        assert np.array_equal(one.cells.cells(), parents)
        assert np.allclose(one.values, total / 4, rtol=1e-6)
    assert coarse.keywords["VISINTEG"] == pytest.approx(coarse.map.integral_deg2(), rel=1e-6)
    assert (
        merge([products(seen, "visibility", name)[tile] for tile in TILES], "x", ORDER - 1).map == coarse.map
    )


def test_an_updated_patch_is_that_of_a_fresh_merge(mine: Path) -> None:
    change(mine, "alpha = -1.2", "alpha = -1.1")
    account = run(mine)
    remade = {str(key) for key, one in account.outcomes.items() if one.state == "DONE"}
    patched = {"demo visibility light", "same visibility light"}
    assert patched < remade and {one for one in remade if "visibility" in one} - patched == {
        f"{tile} visibility light" for tile in TILES
    }
    folders = [
        path
        for area in ("demo", "same")
        for path in (mine.parent / "store" / area).glob("*~visibility~light~*")
    ]
    updated = {path: path.read_bytes() for one in folders for path in one.glob("*.fits")}
    for one in folders:
        for path in one.iterdir():
            path.unlink()
        one.rmdir()
    run(mine)
    assert len(updated) == 2 and all(path.read_bytes() == held for path, held in updated.items())


def test_files_are_merged_by_hand(seen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(path) for path in sorted((seen.parent / "store").glob("1*/*~visibility~deep~*/*.fits"))]
    for order, area in ((None, "same"), (ORDER - 1, "demo")):
        out = tmp_path / f"{area}.fits"
        assert command("merge", *files, "-o", out, *(() if order is None else ("--order", order))) == 0
        assert io.read(out).maps == products(seen, "visibility", "deep")[area].maps
        assert command("check", out) == 0
    other = next((seen.parent / "store").glob("102018211/*~visibility~light~*/*.fits"))
    capsys.readouterr()
    assert command("merge", files[0], other, "-o", tmp_path / "x.fits") == 3
    assert "quantity must agree, found 'deep' and 'light'" in capsys.readouterr().err


# -- forms and descriptors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_what_it_can(seen: Path, tmp_path: Path, form: str) -> None:
    if form == "healsparse":
        pytest.importorskip("healsparse")
    one = products(seen, "visibility", "deep")["same"]
    suffix, columns = FORMS[form]
    out = tmp_path / f"deep{suffix}"
    source = next((seen.parent / "store" / "same").glob("*~visibility~deep~*/*.fits"))
    assert command("convert", source, out) == 0 and command("check", out) == 0
    back = io.read(out)
    assert list(back.maps) == columns
    assert all(back.maps[name] == one.maps[name] for name in columns)
    for word in ("BINSEL", "VISREF", "VISMAX", "VISSEL", "VISINTEG", "FILTLST", "DEPTHEST", "WGTKIND"):
        assert back.keywords[word] == one.keywords[word], word


@pytest.mark.gpl
def test_glass_draws_galaxies_as_they_are_seen(seen: Path, tmp_path: Path) -> None:
    """Interoperability check 17 with a visibility: its positions follow it cell by cell, and lie nowhere else."""
    pytest.importorskip("healpy")
    glass = pytest.importorskip("glass")
    source = next((seen.parent / "store" / "demo").glob("*~visibility~deep~*/*.fits"))
    assert command("convert", source, tmp_path / "deep.fits", "--order", 9) == 0
    truth, density = io.read(tmp_path / "deep.fits").map, 50.0  # per square minute of arc
    vmap = heracles_read_vmap(str(tmp_path / "deep.fits"))
    drawn = glass.positions_from_delta(density, np.zeros_like(vmap), vis=vmap, rng=np.random.default_rng(1))
    lon, lat = np.concatenate([np.stack(one[:2]) for one in drawn], axis=1)
    place = truth.cells.index(hpx.cells_at(lon, lat, 9))
    mean = density * 3600 * hpx.cell_area_deg2(9) * truth.values.astype(float)
    assert (place >= 0).all() and mean.sum() > 20_000
    counts = np.bincount(place, minlength=len(truth))
    chi2 = ((counts - mean) ** 2 / mean)[mean > 5]
    assert chi2.size > 20 and abs(chi2.sum() - chi2.size) < 5 * np.sqrt(2 * chi2.size)


def test_a_run_writes_all_forms(mine: Path) -> None:
    change(
        mine,
        "order = 12",
        f"order = 12\nforms = {json.dumps(['healpix', *(one for one in FORMS if one != 'healsparse')])}",
    )
    account = run(mine, choice=Choice(tiles=[TILES[0]], products=["visibility"]))
    assert not account.has_failed, account.text()
    (folder,) = (mine.parent / "store" / TILES[0]).glob("*~visibility~deep~*")
    assert {path.suffix for path in folder.iterdir()} == {
        ".fits",
        ".xml",
        ".ply",
        ".hips",
        ".parquet",
        ".json",
    }
    assert command("check", mine.parent / "store") == 0


def test_descriptors_are_valid_and_tell_what_the_file_holds(seen: Path) -> None:
    for area in (TILES[0], "same", "demo"):
        (path,) = (seen.parent / "store" / area).glob("*~visibility~deep~*/*.xml")
        rules = schema(kind_of("visibility", "healpix"))
        assert rules.validate(etree.parse(path)), rules.error_log
        back, one = io.read(path), products(seen, "visibility", "deep")[area]
        assert back.maps == one.maps
        wanted = one.key if area.isdigit() else replace(one.key, area=area)
        assert back.key == wanted
        assert {name: back.keywords.get(name) for name in one.keywords} == dict(one.keywords)


# -- commands ---------------------------------------------------------------------------------------------------------


def test_collections_list_every_class(seen: Path) -> None:
    (path,) = (seen.parent / "store" / "same").glob("*~collection~*/*.xml")
    collection = io.read_collection(path)
    assert collection.is_complete
    series = [one for one in collection.series if one.key.kind == "visibility"]
    areas = {name: {("-", area) for area in TILES} | {("same", "same")} for name in CLASSES}
    for name, expected in areas.items():
        mine = [one for one in series if one.key.quantity == name]
        assert {(one.key.area, item.area) for one in mine for item in one.present} == expected
    assert {one.key.quantity for one in series} == set(CLASSES)


def test_commands_know_visibility(seen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = seen.parent / "store"
    rows = told(capsys, "list", store, "--kinds", "visibility,redshifts")
    assert len(rows) == 3 * 4 + 2 * 2
    assert {row["quantity"] for row in rows if row["kind"] == "visibility"} == set(CLASSES)
    listed = {row["key"] for row in told(capsys, "status", store)["products"]}
    assert {row["key"] for row in rows} < listed
    shown = told(capsys, "show", next((store / "same").glob("*~visibility~deep~*/*.fits")))
    assert (shown["kind"], shown["quantity"]) == ("visibility", "deep")
    assert shown["columns"] == f"WEIGHT,ERROR,{SUBCELL}"
    table = told(capsys, "show", next(store.glob("1*/*~redshifts~deep~*/*.parquet")))
    assert (table["kind"], table["columns"]) == ("redshifts", "vis_class,z_low,z_high,galaxies,area_deg2")
    assert command("check", store) == 0


def test_a_place_is_asked_for_its_visibility(seen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = products(seen, "visibility", "deep")["same"]
    lon, lat = (float(values[300]) for values in hpx.centres(one.map.cells.cells(), ORDER))
    values = told(capsys, "query", seen.parent / "store", "--at", lon, lat, "--kinds", "visibility")
    assert set(values) == {
        *(f"visibility_{name}" for name in CLASSES),
        "visibility_deep_ERROR",
        "visibility_light_ERROR",
    }
    assert values["visibility_deep"] == one.map.values[300]
    assert values["visibility_deep_ERROR"] == one.maps["ERROR"].values[300]


def test_a_mask_of_visibility(seen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = seen.parent / "store"
    out = tmp_path / "mask.fits"
    told(capsys, "mask", store, "--where", "visibility_deep > 0.5", "--area", "same", "-o", out)
    one = products(seen, "visibility", "deep")["same"].map
    assert np.array_equal(io.read(out).map.cells.cells(), one.cells.cells()[one.values > 0.5])


def test_releases_keep_visibility(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = mine.parent / "store"
    assert command("release", store, "create", "first") == 0
    assert command("release", store, "verify", "first") == 0
    change(mine, "alpha = -1.2", "alpha = -1.1")
    run(mine)
    changed = told(capsys, "release", store, "diff", "first")["changed"]
    assert len([one for one in changed if "~light~" in one]) == len(changed) - 2 == 6
    assert command("release", store, "verify", "first") == 0


@pytest.mark.long
def test_a_gallery_has_a_figure_of_every_class(seen: Path, tmp_path: Path) -> None:
    names = {path.name for path in gallery(seen.parent / "store", "demo", tmp_path)}
    assert {f"demo-visibility-{name}.png" for name in CLASSES} < names
    assert {"demo-VIS.png", "demo-NIR_Y.png", "demo-all-bands.png", "demo-depth-area.png"} < names
    assert {
        entry.key.kind for entry in Store(seen.parent / "store").entries() if entry.key.area == "demo"
    } - {"collection"} <= MAP_KINDS
