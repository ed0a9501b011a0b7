"""Masks from stores and files: what names stand for, what is opened, every form, moc-cli, messages and exit status."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mocpy import MOC

import io_helpers
from vmpz import io
from vmpz.cli import _status_of
from vmpz.errors import InputError
from vmpz.io.forms import FORMS
from vmpz.make.expressions import ExpressionError
from vmpz.make.masks import intersection
from vmpz.parameters import MapParameters
from vmpz.run import named
from vmpz.run.masks import MaskRequest, make_mask
from vmpz.run.named import NamedMaps, name_of
from vmpz.run.store import Store
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

CUT = "depth_VIS > 25.5 and coverage_NIR_Y > 0.8"


def run(*arguments: object) -> int:
    return _status_of([str(one) for one in arguments])


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert run("mask", *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def entry(store: Path, name: str, area: str = "demo"):
    return next(one for one in Store(store).entries() if one.key.area == area and name_of(one.key) == name)


def product(store: Path, name: str, area: str = "demo"):
    return io.read(entry(store, name, area).path(".fits"))


def by_hand(store: Path, area: str = "demo") -> CellSet:
    depth, coverage = (product(store, name, area).map for name in ("depth_VIS", "coverage_NIR_Y"))
    deep = depth.where(depth.values > np.float32(25.5)).cells
    return deep & coverage.where(coverage.values > np.float32(0.8)).cells


# -- from a store -----------------------------------------------------------------------------------------------------


def test_a_mask_of_the_only_patch(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mask.fits"
    assert run("mask", store, "--where", CUT, "-o", out) == 0
    line = capsys.readouterr().out
    made, wanted = io.read(out), by_hand(store)
    assert made.map.cells == wanted and np.all(made.map.values == 1) and len(wanted) > 10
    area = product(store, "depth_VIS").map.cells | product(store, "coverage_NIR_Y").map.cells
    percent = 100 * wanted.area_deg2 / area.area_deg2
    assert line == f"{out}  {wanted.area_deg2:.6f} of {area.area_deg2:.6f} deg2 ({percent:.2f} %)\n"
    words = made.keywords
    assert (made.key.kind, made.key.area, made.key.band) == ("footprint", "demo", "-")
    assert words["MASKEXPR"] == CUT and words["FILTLST"] == "VIS,NIR_Y" and words["VERIFIED"] is True
    assert words["OBSAREA"] == pytest.approx(wanted.area_deg2) and words["TILEAREA"] == pytest.approx(
        area.area_deg2
    )
    assert (
        words["MASKIN"].startswith("depth_VIS=demo: VIS depth ")
        and "; coverage_NIR_Y=demo: " in words["MASKIN"]
    )
    assert words["WGTKIND"] == "OBSFRAC" and words["DEGRULE"] == "COVERAGE" and len(words["PRODDIG"]) == 64
    assert io.check(out) == []


def test_tiles_are_joined_where_there_is_no_patch(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiles = tmp_path / "tiles"
    shutil.copytree(store, tiles, ignore=shutil.ignore_patterns("demo", ".lock"))
    names = sorted({one.key.area for one in Store(tiles).entries()})
    assert len(names) == 4
    assert run("mask", tiles, "--where", CUT, "-o", tmp_path / "all.fits") == 0
    parts = [by_hand(store, name) for name in names]
    whole = io.read(tmp_path / "all.fits")
    assert whole.map.cells == CellSet.union(parts) and whole.keywords["LISTID"] == "CONCAT"
    assert "depth_VIS=4 tiles: " in whole.keywords["MASKIN"]
    capsys.readouterr()
    for name, part in zip(names, parts, strict=True):
        answer = told(capsys, store, "--where", CUT, "--area", name)
        assert answer["kept_deg2"] == pytest.approx(part.area_deg2) and answer["area"] == name
    assert run("mask", store, "--where", CUT, "--area", "nowhere") == 3
    assert f"must hold the area nowhere, found {names[0]}, " in capsys.readouterr().err


def test_only_what_is_named_is_opened(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[Path] = []

    def read(path: Path, band: str | None = None):
        opened.append(Path(path))
        return io_read(path, band)

    io_read = io.read
    monkeypatch.setattr(named.io, "read", read)
    extra = tmp_path / "never.fits"
    extra.write_bytes(b"no product")
    make_mask(MaskRequest((str(store), f"never={extra}"), CUT))
    assert sorted(opened) == sorted(
        entry(store, name).path(".fits") for name in ("depth_VIS", "coverage_NIR_Y")
    )


def test_names_of_info_maps_bits_and_any_case(store: Path) -> None:
    maps = NamedMaps([str(store)])
    noise = maps.find("Noise_RMSQ_VIS")
    assert noise.layer.map == product(store, "Noise_RMSQ_VIS").map
    assert maps.find("noise_rmsq_vis") == noise
    bits = product(store, "bitmask_VIS")
    assert maps.find("bitmask_VIS").layer.map == bits.map
    assert (
        maps.find("bitmask_VIS_INVALID").layer.column
        == "BIT00"
        == maps.find("bitmask_vis_bit00").layer.column
    )
    assert maps.find("bitmask_VIS_INVALID").layer.map == bits.maps["BIT00"]
    with pytest.raises(
        ExpressionError, match="here: there is no map dept_VIS, did you mean depth_VIS; there are Back"
    ):
        maps.find("dept_VIS", "here: ")
    for wrong in ("bitmask_VIS_NONSENSE", "bitmask_VIS_WEIGHT", "depth_VIS_BIT00", "VIS"):
        with pytest.raises(ExpressionError, match="there is no map"):
            maps.find(wrong)


def test_fractions_weights_and_coarser_orders(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coverage, depth = product(store, "coverage_VIS").map, product(store, "depth_VIS").map
    out = tmp_path / "f.fits"
    common = (store, "--where", "depth_VIS > 25.5", "--weight", "coverage_VIS")
    answer = told(capsys, *common, "--values", "fraction", "-o", out)
    found = io.read(out)
    assert found.map == coverage.clip(depth.where(depth.values > np.float32(25.5)).cells)
    assert (
        answer["kept_deg2"]
        == pytest.approx(found.map.integral_deg2())
        == pytest.approx(answer["observed_deg2"])
    )
    assert answer["within_deg2"] == pytest.approx(coverage.integral_deg2())
    assert (found.key.band, found.key.instrument) == ("VIS", "VIS")
    order = coverage.order - 1
    coarse = depth.degrade(order, "LOGQUAD", coverage)
    wanted = coarse.where(coarse.values.astype(np.float32) > np.float32(25.5)).cells
    assert told(capsys, *common, "--order", order, "-o", out)["order"] == order
    assert io.read(out).map.cells == wanted
    assert run("mask", store, "--where", "depth_VIS > 3", "--values", "fraction") == 2
    assert "a weight where a cut holds" in capsys.readouterr().err


def test_within_and_the_table_and_the_curve(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    footprint = product(store, "footprint_VIS").map
    answer = told(capsys, store, "--where", "not bitmask_VIS > 0.1", "--within", "footprint_VIS")
    assert answer["within_deg2"] == pytest.approx(footprint.cells.area_deg2)
    assert (
        told(capsys, store, "--where", "coverage_VIS < 0.5", "--within", "sky", "--order", 5)["within_deg2"]
        > 41252
    )
    assert run("mask", store, "--where", CUT, "--table") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["term", "removes_deg2", "removes_only_deg2", "left_deg2", "left_%"]
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "all",
        "depth_VIS > 25.5",
        "coverage_NIR_Y > 0.8",
        "mask",
    ]
    assert lines[3].split()[-2:] == lines[4].split()[-2:]
    assert run("mask", store, "--where", CUT, "--curve", "DEPTH_vis:25:26:0.25") == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["DEPTH_vis", "kept_deg2", "kept_percent"]
    assert [row[0] for row in rows[1:]] == ["25", "25.25", "25.5", "25.75", "26"]
    assert rows[3][1] == lines[4].split()[-2], "at the cut of the expression the curve is the mask"
    free = told(capsys, store, "--curve", "depth_VIS")
    assert free["expression"] == "known(depth_VIS)" and free["curve"][0]["kept_percent"] == pytest.approx(100)
    areas = [row["kept_deg2"] for row in free["curve"]]
    assert areas == sorted(areas, reverse=True) and areas[-1] == 0
    for wrong in ("depth_VIS:1:2", "depth_VIS:a:b:c"):
        assert run("mask", store, "--where", CUT, "--curve", wrong) == 2
        assert "NAME or NAME:FROM:TO:STEP" in capsys.readouterr().err


@pytest.mark.parametrize("rule", ["MIN", "PRODUCT"])
def test_intersections_of_bands(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str
) -> None:
    for kind in ("coverage", "footprint"):
        out = tmp_path / f"{kind}.fits"
        assert run("mask", store, "--intersect", kind, "--bands", "VIS,NIR_Y", "--rule", rule, "-o", out) == 0
        made = io.read(out)
        bands = [product(store, f"{kind}_{band}") for band in ("VIS", "NIR_Y")]
        wanted = intersection(
            [replace(one, key=replace(one.key, area="demo", release="0.1")) for one in bands], rule
        )
        assert made.map == wanted.map and made.key.kind == wanted.key.kind
        for name in ("FILTLST", "BANDREL", "BANDPRC", "EFFRULE", "OBSAREA", "DEGRULE", "WGTKIND", "LISTID"):
            assert made.keywords[name] == wanted.keywords[name]
        assert made.keywords["FILTER"] == "-1" and io.check(out) == []
    capsys.readouterr()
    assert run("mask", store, "--intersect", "coverage", "-o", tmp_path / "all.fits") == 0
    assert io.read(tmp_path / "all.fits").keywords["FILTLST"] == "NIR_Y,VIS"
    assert "effectivecoverage, " in capsys.readouterr().out
    assert run("mask", store, "--intersect", "coverage", "--bands", "VIS") == 2
    assert run("mask", store, "--intersect", "coverage", "--where", "coverage_VIS > 3") == 2
    assert run("mask", store) == 2
    assert (
        "one of an expression, a kind to intersect, and a curve must be asked for" in capsys.readouterr().err
    )


SUFFIXES = [form.suffixes[0] for form in FORMS.values() if form.name != "stcs"]
"""Of every form that can be read back."""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_masks_in_every_form(store: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"mask{suffix}"
    assert run("mask", store, "--where", CUT, "-o", out) == 0
    cells = io.read(out).map.cells
    order = max(cells.order, by_hand(store).order)
    assert cells.at_order(order) == by_hand(store).at_order(order)


def test_the_same_bytes_every_time(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    paths = [tmp_path / "a.fits", tmp_path / "b.fits"]
    for path in paths:
        assert run("mask", store, "--where", CUT, "-o", path) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()
    for more in (("--order", 9), ("--within", "depth_VIS"), ("--area", entry(store, "depth_VIS").key.area)):
        assert run("mask", store, "--where", CUT, "-o", paths[1], *more) == 0
        same = io.read(paths[0]).keywords["PRODDIG"] == io.read(paths[1]).keywords["PRODDIG"]
        assert same is (more[0] == "--area")


# -- from files -------------------------------------------------------------------------------------------------------


def test_files_have_letters_names_of_their_own_and_those_of_their_headers(
    store: Path, tmp_path: Path
) -> None:
    depth, bits = (entry(store, name).path(".fits") for name in ("depth_VIS", "bitmask_VIS"))
    maps = NamedMaps([str(depth), f"b={bits}"])
    one = maps.find("A").layer.map
    assert one == maps.find("depth_VIS").layer.map == product(store, "depth_VIS").map
    other = maps.find("b")
    assert other.layer.map == maps.find("bitmask_VIS").layer.map and other == maps.find("B")
    assert maps.find("b_INVALID").layer.map == maps.find("bitmask_VIS_BIT00").layer.map
    assert other.told == bits.name and list(other.inputs) == [bits.name]
    swapped = NamedMaps([f"B={depth}", str(bits)])
    assert swapped.find("B").layer.map == one and swapped.find("bitmask_vis").layer.map == other.layer.map
    with pytest.raises(ExpressionError, match="did you mean deepest; there are A, deepest, depth_VIS"):
        NamedMaps([f"deepest={depth}"]).find("deepes")
    strange = tmp_path / "x=1.fits"
    shutil.copy(depth, strange)
    assert NamedMaps([str(strange)]).find("depth_VIS").layer.map == one
    both = NamedMaps([str(depth), str(strange)])
    assert both.find("B").layer.map == one
    with pytest.raises(
        ExpressionError, match=r"depth_VIS must stand for one map, found .*; x=1.fits: name files NAME="
    ):
        both.find("depth_VIS")
    beside = NamedMaps([str(store), f"stars={depth}"])
    assert beside.find("stars").layer.map == one and beside.area == "demo"


def test_a_descriptor_and_a_file_of_several_bands(store: Path, tmp_path: Path) -> None:
    descriptor = entry(store, "depth_VIS").path(".xml")
    assert NamedMaps([str(descriptor)]).find("depth_VIS").layer.map == product(store, "depth_VIS").map
    bands = [
        replace(
            product(store, f"coverage_{band}"),
            key=replace(entry(store, f"coverage_{band}").key, selection="-"),
        )
        for band in ("VIS", "NIR_Y")
    ]
    path = tmp_path / "bands.fits"
    io.write_multiband(
        bands,
        path,
        MapParameters(),
        "hdus",
        relevant=("VIS", "NIR_Y"),
        processed=("VIS", "NIR_Y"),
        skypatch="demo",
    )
    maps = NamedMaps([f"c={path}"])
    assert maps.find("coverage_NIR_Y").layer.map == bands[1].map == maps.find("c_NIR_Y").layer.map
    assert maps.find("A_VIS").layer.map == bands[0].map
    with pytest.raises(InputError, match="one of which must be named"):
        maps.find("c")


def test_what_is_no_source_is_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    depth = entry(store, "depth_VIS").path(".fits")
    statistics = next(one for one in Store(store).entries() if one.key.kind == "statistics").path(".parquet")
    (tmp_path / "empty").mkdir()
    for words, status, message in (
        ((tmp_path / "no.fits",), 3, "must be a product file or a store, found nothing"),
        ((tmp_path / "empty",), 3, "must be a store with maps, found none"),
        ((store, store.parent / "store"), 3, "an area is one of one store"),
        ((depth, "--area", "demo"), 3, "an area is one of one store, found no store"),
        ((f"not={depth}",), 3, "a name must be a word"),
        ((f"x={depth}", f"x={depth}"), 3, "given once"),
        ((statistics,), 3, "must hold a map, found a table"),
        ((depth, "-o", tmp_path / "x.nothing"), 3, "a product file must end in"),
        ((depth, "--within", "nowhere"), 2, "within: there is no map nowhere"),
        ((depth, "--weight", "A"), 3, "must be a coverage or a footprint, found A"),
        ((depth, "--curve", "B"), 2, "curve: there is no map B"),
    ):
        assert run("mask", *words, "--where", "A > 3") == status, words
        assert message in capsys.readouterr().err
    assert run("mask", depth, "--where", "A > ") == 2
    assert run("mask", depth, "--where", "A.b > 3") == 2
    assert "expression, column 1: must be built of what is allowed, found 'A.b'" in capsys.readouterr().err


SETS = {"A & B": "inter", "A | B": "union", "A - B": "minus", "A ^ B": "symdiff"}


@pytest.fixture(scope="module")
def mocs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two MOCs of different orders, written by mocpy."""
    folder, random = tmp_path_factory.mktemp("mocs"), np.random.default_rng(5)
    paths = folder / "one.fits", folder / "two.fits"
    for path, order in zip(paths, (9, 7), strict=True):
        start = random.integers(0, 12 * 4**order - 5000, 60)
        cells = CellSet.from_ranges(order, np.stack((start, start + random.integers(1, 5000, 60)), axis=1))
        cells.to_moc().save(path, format="fits")
    return paths


@pytest.mark.tool
@pytest.mark.parametrize("text", [*SETS, "~A"])
def test_set_algebra_is_that_of_moc_cli(mocs: tuple[Path, Path], tmp_path: Path, text: str) -> None:
    moc = io_helpers.program("moc")
    theirs, ours = tmp_path / "theirs.fits", tmp_path / "ours.plain.moc.fits"
    inputs, operation = (mocs, SETS[text]) if text in SETS else (mocs[:1], "complement")
    subprocess.run(
        [moc, "op", operation, *map(str, inputs), "fits", str(theirs)], check=True, capture_output=True
    )
    assert run("mask", *inputs, "--where", text, "-o", ours) == 0
    found, wanted = MOC.from_fits(ours), MOC.from_fits(theirs)
    assert found == wanted and not found.empty()
    weighted = tmp_path / "ours.moc.fits"
    assert run("mask", *inputs, "--where", text, "-o", weighted) == 0
    assert MOC.from_fits(weighted) == wanted and io.check(weighted) == []


def test_maps_and_mocs_together(store: Path, mocs: tuple[Path, Path], tmp_path: Path) -> None:
    """A MOC beside maps of a store: a map is the set of its cells, a fraction of those where it is > 0."""
    coverage, depth = product(store, "coverage_VIS").map, product(store, "depth_VIS").map
    patch = coverage.cells.at_order(6)
    patch.to_moc().save(tmp_path / "in.fits", format="fits")
    holes = SkyMap(coverage.cells, np.float32(coverage.values > 0.9)).where(coverage.values > 0.9).cells
    holes.to_moc().save(tmp_path / "holes.fits", format="fits")
    out = tmp_path / "out.fits"
    words = (store, f"inside={tmp_path / 'in.fits'}", f"holes={tmp_path / 'holes.fits'}", "-o", out)
    assert run("mask", *words, "--where", "coverage_VIS & inside & ~holes") == 0
    assert io.read(out).map.cells == (coverage.cells & ~holes)
    assert run("mask", *words, "--where", "depth_VIS - holes") == 0
    assert io.read(out).map.cells == depth.cells - holes
    assert run("mask", *words, "--where", "depth_VIS > 25.5 and not holes") == 0
    assert io.read(out).map.cells == depth.where(depth.values > np.float32(25.5)).cells - holes


def test_a_mask_is_a_map_for_the_next(store: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.fits", tmp_path / "second.moc.fits"
    assert run("mask", store, "--where", "coverage_VIS > 0.5", "-o", first) == 0
    assert run("mask", store, f"ok={first}", "--where", "ok and depth_VIS > 25.5", "-o", second) == 0
    depth = product(store, "depth_VIS").map
    wanted = io.read(first).map.cells & depth.where(depth.values > np.float32(25.5)).cells
    assert io.read(second).map.cells == wanted
    assert MOC.from_fits(second) == wanted.to_moc()
