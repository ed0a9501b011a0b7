"""`vmpz merge` as a user meets it: a patch of a survey, files, and what it says to wrong words."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from handover_helpers import FORMS, HandedOver
from vmpz import io
from vmpz.cli import _status_of
from vmpz.parameters import as_toml, load
from vmpz.run.patchplan import MAP_KINDS
from vmpz.run.store import Store
from vmpz.sky import hpx


def run(*arguments):
    return _status_of([str(one) for one in arguments])


@pytest.fixture
def told(capsys):
    """What the last command printed: results, and messages on one line."""

    def both():
        printed = capsys.readouterr()
        return printed.out, " ".join(printed.err.replace("\u2502", " ").split())

    both()
    return both


@pytest.fixture
def small(handed, tmp_path):
    """A store of its own with the coverage and depth of the four tiles."""
    for name in ("coverage", "depth"):
        for band in ("VIS", "NIR_Y"):
            for entry in handed.tiles(name, band):
                shutil.copytree(entry.folder, tmp_path / "store" / entry.below)
    return HandedOver(handed.parameters, tmp_path / "store")


@pytest.fixture(scope="module")
def files(handed):
    """The coverage of the four tiles in VIS."""
    return [next(one.folder.glob("*_HP*.fits")) for one in handed.tiles("coverage", "VIS")]


# -- the demonstration ----------------------------------------------------------------------------------------


@pytest.mark.gpl
def test_the_demonstration_hands_a_patch_over_in_all_forms_and_ends_with_tested_randoms(tmp_path, told):
    pytest.importorskip("healsparse")
    assert run("demo", tmp_path, "--size", 192, "--tiles", 1) == 0
    lines, _ = told()
    assert "files verified, 0 faults" in lines and "release demo-1" in lines and "mask " in lines
    entries = [one for one in Store(tmp_path / "store").entries_of("demo") if one.key.kind in MAP_KINDS]
    assert {one.key.kind for one in entries} == MAP_KINDS
    for entry in entries:
        polygons = entry.key.kind in ("footprint", "coverage")
        forms = [form for form in FORMS if polygons or form != "mangle"]
        maps = [io.read(next(entry.folder.glob(FORMS[form]))).map for form in forms]
        assert len(maps[0]) > 50 and all(one == maps[0] for one in maps)
    assert {one.name for one in tmp_path.iterdir()} == {
        "demo.toml", "figures", "mask.fits", "provenance.json", "randoms.fits", "randoms-with-redshifts",
        "report.html", "store", "survey",
    }  # fmt: skip
    assert io.check(tmp_path / "mask.fits") == [] and len(list((tmp_path / "figures").glob("*.png"))) > 1
    assert "randoms against the true visibility: all tests passed" in lines
    assert (tmp_path / "figures" / "randoms.png").stat().st_size > 10_000
    assert io.open_random(tmp_path / "randoms.fits").rows == 400_000 * 192**2 // (4 * 1200**2)
    assert {"REDSHIFT", "SIZE", "depth_VIS"} < set(
        io.open_random(tmp_path / "randoms-with-redshifts").columns
    )


# -- a patch --------------------------------------------------------------------------------------------------


def test_a_patch_of_a_survey(small, handed, tmp_path, told):
    patch = ("merge", small.parameters, "--patch", "demo", "--store", small.store)
    assert run(*patch, "-o", tmp_path / "out", "--order", 9, "--format", "moc", "--require-complete") == 0
    lines, _ = told()
    written = [Path(line) for line in lines.splitlines()]
    assert sorted(written) == sorted((tmp_path / "out").iterdir())
    assert {path.name.split("-CONCAT-")[0].split("-demo-")[0] for path in written} == {
        "EUC_LE3_VMPZ-ID_MOCCOVERAGE", "EUC_LE3_VMPZ-ID_MOCDEPTHMAP", "DpdMOCCoverageVMPZ", "DpdMOCDepthMapVMPZ",
        "DpdCollectionVMPZ",
    }  # fmt: skip
    for path in written:
        assert io.check(path) == []
    collection = io.read_collection(written[-1])
    assert collection.is_complete and (collection.patch, collection.order) == ("demo", 9)
    maps = {
        (one.key.kind, one.key.band): one for one in map(io.read, written[:-2]) if one.key.kind == "coverage"
    }
    for (_, band), one in maps.items():
        assert one.keywords["LISTID"] == "demo" and one.keywords["TILEID"] == -1
        whole = handed.product("coverage", "fine", band).map.degrade(9, "COVERAGE")
        assert one.map.cells == whole.cells and np.array_equal(one.map.values, whole.values.astype("f4"))
    assert len(maps) == 2


def test_a_patch_is_that_of_the_run(small, handed, tmp_path):
    """Merged again from the tiles of the store alone: the values of the run, whatever patches lie beside them."""
    for area in ("demo", "fine"):
        for name in ("coverage", "depth"):
            entry = handed.entry(name, area)
            shutil.copytree(entry.folder, small.store / entry.below)
    parameters = load(small.parameters)
    alone = parameters.model_copy(update={"patches": parameters.patches[:1]})
    (tmp_path / "alone.toml").write_text(as_toml(alone))
    patch = ("merge", tmp_path / "alone.toml", "--patch", "demo", "--store", small.store)
    assert run(*patch, "-o", tmp_path / "out", "--format", "healpix") == 0
    merged = {
        (one.key.kind, one.key.band): one for one in map(io.read, sorted((tmp_path / "out").glob("*.fits")))
    }
    assert len(merged) == 4
    for (kind, band), one in merged.items():
        truth = handed.product(kind, band=band)
        assert (one.map, one.key) == (truth.map, truth.key)


def test_the_instant_of_a_patch_is_that_of_the_parameters_and_makes_its_bytes(small, tmp_path):
    parameters = load(small.parameters)
    parameters = parameters.model_copy(
        update={"survey": parameters.survey.model_copy(update={"created": "2031-02-03T04:05:06"})}
    )
    (tmp_path / "dated.toml").write_text(as_toml(parameters))
    patch = (
        "merge",
        tmp_path / "dated.toml",
        "--patch",
        "demo",
        "--store",
        small.store,
        "--format",
        "healpix",
    )
    found = []
    for name in ("a", "b"):
        assert run(*patch, "-o", tmp_path / name) == 0
        found.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert found[0] == found[1]
    assert all("20310203T040506" in name for name in found[0])


def test_a_patch_that_lacks_a_product_is_told(small, tmp_path, told):
    lost = small.tiles("depth", "NIR_Y")[2]
    shutil.rmtree(lost.folder)
    patch = ("merge", small.parameters, "--patch", "demo", "--store", small.store, "--format", "healpix")
    assert run(*patch, "-o", tmp_path / "a") == 0
    _, missing = told()
    assert str(lost.key) in missing and missing.count(lost.key.area) == 1
    assert run(*patch, "-o", tmp_path / "b", "--require-complete") == 4
    assert told()[1] == missing
    names = [
        sorted(path.name.split("-CONCAT")[0] for path in folder.glob("*.fits"))
        for folder in tmp_path.glob("[ab]")
    ]
    assert names[0] == names[1] and len(names[0]) == 4  # the rest is made
    collection = io.read_collection(next((tmp_path / "b").glob("DpdCollection*.json")))
    assert not collection.is_complete and [one.key for one in collection.missing()] == [lost.key]


# -- files ----------------------------------------------------------------------------------------------------


def test_files_updated(files, tmp_path, told):
    out = tmp_path / "a.fits"
    assert run("merge", *files, "-o", out, "--order", 10, "--update") == 0
    assert "0 of 1 units copied" in told()[0]
    first = out.read_bytes()
    assert run("merge", *reversed(files), "-o", out, "--order", 10, "--update") == 0
    assert "1 of 1 units copied" in told()[0]
    assert out.read_bytes() == first
    assert run("merge", *files[:3], "-o", out, "--order", 10, "--update") == 0
    assert "0 of 1 units copied" in told()[0]
    assert run("merge", *files[:3], "-o", tmp_path / "b.fits", "--order", 10) == 0
    assert out.read_bytes() == (tmp_path / "b.fits").read_bytes() != first


def test_only_a_region(files, handed, tmp_path):
    whole = handed.product("coverage", "fine", "VIS").map
    lon, lat, radius = 57.9, -51.6, 0.3
    assert run("merge", *files, "-o", tmp_path / "cap.fits", "--cap", lon, lat, radius) == 0
    a, b = np.radians(hpx.centres(whole.cells.cells(), whole.order))
    cosine = np.sin(b) * np.sin(np.radians(lat)) + np.cos(b) * np.cos(np.radians(lat)) * np.cos(
        a - np.radians(lon)
    )
    inside = whole.where(cosine >= np.cos(np.radians(radius)))
    cap = io.read(tmp_path / "cap.fits")
    assert cap.map == inside and 100 < len(inside) < len(whole) - 100
    assert cap.keywords["OBSAREA"] == pytest.approx(inside.integral_deg2(), rel=1e-12)
    assert run("convert", tmp_path / "cap.fits", tmp_path / "cap.moc.fits") == 0
    for region in ("cap.fits", "cap.moc.fits"):  # any product, any MOC
        assert run("merge", *files, "-o", tmp_path / "b.fits", "--region", tmp_path / region) == 0
        assert io.read(tmp_path / "b.fits").map == inside


@pytest.mark.parametrize("suffix", [".fits", ".moc.fits", ".parquet", ".ply", ".hips"])
def test_files_in_the_mer_convention(mer, handed, suffix, tmp_path, told):
    tiles = [next(one.folder.glob("*_HP*.fits")) for one in mer.tiles("coverage", "VIS")]
    out = tmp_path / f"a{suffix}"
    assert run("merge", *tiles, "-o", out, "--convention", "MER") == 0
    assert io.read(out).map == mer.product("coverage", "fine", "VIS").map
    assert run("merge", *tiles, "-o", tmp_path / f"b{suffix}") == 0
    assert io.read(tmp_path / f"b{suffix}").map == handed.product("coverage", "fine", "VIS").map
    text = (out / "vmpz.json" if suffix == ".hips" else out).read_bytes()
    assert b"MER" in text.split(b"COVCONV")[-1][:20] or suffix == ".parquet"


def test_mixed_conventions(files, mer, tmp_path, told):
    other = next(mer.tiles("coverage", "VIS")[3].folder.glob("*_HP*.fits"))
    mixed = (*files[:3], other)
    assert run("merge", *mixed, "-o", tmp_path / "a.fits") == 3
    refused = told()[1]
    assert str(other) in refused and "MER" in refused and not (tmp_path / "a.fits").exists()
    assert run("merge", *mixed, "-o", tmp_path / "a.fits", "--allow-mixed") == 0
    assert run("merge", *files, "-o", tmp_path / "b.fits") == 0
    one, whole = io.read(tmp_path / "a.fits"), io.read(tmp_path / "b.fits")
    assert one.keywords["MIXED"] == "COVCONV" and "MIXED" not in whole.keywords
    assert one.map.where(one.map.values > 0) == whole.map


# -- wrong words ----------------------------------------------------------------------------------------------


def test_wrong_words_are_told_with_what_is_meant(handed, files, tmp_path, told):
    survey, store = handed.parameters, handed.store
    patch, out = ("merge", survey, "--store", store), ("-o", tmp_path / "out")
    cases = {
        (*patch, "--patch", "dem", *out): (3, "a patch must be one of demo, pair, fine, found dem, did you mean demo"),
        (*patch, "--patch", "demo", "--format", "healsparce", *out): (3, "found healsparce, did you mean healsparse"),
        (*patch, "--patch", "demo", "--order", 13, *out): (3, "of order 12 cannot be degraded to order 13"),
        (*patch, *out): (2, "vmpz merge SURVEY.toml --patch NAME -o FOLDER"),
        (*patch, "--patch", "demo", "--update", "--convention", "MER", *out): (2, "--update, --convention: "),
        ("merge", survey, "--patch", "demo", "--store", tmp_path / "no", *out): (3, "must hold products of the tiles"),
        ("merge", tmp_path / "no.toml", "--patch", "demo", *out): (2, "must be a parameter file"),
        ("merge", *files, "--require-complete", "-o", "x.fits"): (2, "--require-complete: only with --patch"),
        ("merge", *files, "-o", tmp_path / "x.fit"): (3, "a product file must end in"),
        ("merge", *files, "-o", tmp_path / "x.fits", "--format", "healpx"): (3, "a form must be one of plainmoc, moc"),
        ("merge", *files, "-o", tmp_path / "x.fits", "--convention", "MRE"): (
            2, "must be one of OBSERVED, MER, found MRE, did you mean MER",
        ),
        ("merge", *files, "-o", tmp_path / "x.fits", "--ordr", 9): (2, "Possible options: --order"),
        ("merge", *files, "-o", tmp_path / "x.fits", "--order", 13): (3, "cannot be degraded to order 13"),
        ("merge", *files, "-o", tmp_path / "x.fits", "--region", tmp_path / "no.fits"): (3, "must be a MOC file"),
        ("merge", *files, "-o", tmp_path / "x.fits", "--cap", 1, 2, 400): (3, "must lie in 0-180 degrees"),
        ("merge", *files, "-o", tmp_path / "x.fits", "--weight", tmp_path / "no"): (3, "must be a file, found nothing"),
        ("mege", *files, "-o", tmp_path / "x.fits"): (2, "Did you mean 'merge'?"),
        ("merge", *files): (2, "Missing option '--output' / '-o'"),
    }  # fmt: skip
    for words, (status, message) in cases.items():
        assert run(*words) == status, words
        assert message in told()[1], words
    assert list(tmp_path.iterdir()) == []
