"""Patches of a store: merged as in memory, cut by regions, and made again only where tiles changed."""

import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from conftest import CREATED
from vmpz import io
from vmpz.errors import InputError
from vmpz.make.joining import AVERAGED
from vmpz.make.merge import merge
from vmpz.parameters import Parameters, PatchParameters, load
from vmpz.products import Product, ProductKey
from vmpz.readers import scan_inputs
from vmpz.run import patches
from vmpz.run.account import Outcome
from vmpz.run.bands import bands_jobs
from vmpz.run.merging import units_path
from vmpz.run.patchplan import MAP_KINDS, PatchJob, patch_jobs, plan_patches
from vmpz.run.plan import Choice, make_plan
from vmpz.run.regions import PatchRegion
from vmpz.run.setting import Setting
from vmpz.run.store import Entry, Store
from vmpz.run.survey import run_survey
from vmpz.run.tilings import tiling_of
from vmpz.sky.regions import Cap, Polygon, cells_inside
from vmpz.sky.skymap import SkyMap

ORDER = 12


def with_(parameters: Parameters, **sections: object) -> Parameters:
    """Parameters with some tables changed (mappings) or replaced (lists), validated again."""
    content = parameters.model_dump()
    for name, values in sections.items():
        content[name] = {**content[name], **values} if isinstance(values, dict) else values
    return Parameters.model_validate(content)


def maps_of(store: Path, area: str) -> dict[tuple[str, ...], tuple[Entry, Product]]:
    """Map products of an area: by kind, quantity and band."""
    found = {}
    for entry in Store(store).entries():
        key = entry.key
        if key.area == area and key.kind in MAP_KINDS:
            path = entry.path(".fits")
            found[key.kind, key.quantity, key.band] = entry, replace(io.read(path), key=key)
    return found


def tile_products(store: Path) -> dict[tuple[str, ...], list[Product]]:
    """The same of all tiles, as lists."""
    found: dict[tuple[str, ...], list[Product]] = {}
    for area in sorted(path.name for path in store.iterdir() if path.name.isdigit()):
        for which, (_, product) in maps_of(store, area).items():
            found.setdefault(which, []).append(product)
    return found


def weights_of(tiles: dict[tuple[str, ...], list[Product]], which: tuple[str, ...]) -> list[Product]:
    rule = tiles[which][0].keywords["DEGRULE"]
    return tiles["coverage", "-", which[2]] if rule in AVERAGED else []


# -- a survey of four tiles -------------------------------------------------------------------------------------------


def test_the_patch_is_the_merge_of_its_tiles_in_memory(store: Path) -> None:
    tiles, demo = tile_products(store), maps_of(store, "demo")
    assert set(demo) == set(tiles) and len(demo) > 10
    for which, (_, found) in demo.items():
        wanted = merge(tiles[which], "demo", 11, weights_of(tiles, which))
        assert found.key == wanted.key
        for name, one in wanted.maps.items():
            assert found.maps[name].cells == one.cells
            assert np.array_equal(found.maps[name].values, one.values.astype(found.maps[name].values.dtype))
        words = {**wanted.keywords, "SKYPATCH": "demo", "BANDREL": "VIS,NIR_Y", "BANDPRC": "VIS,NIR_Y"}
        words = {
            name: value for name, value in words.items() if value != "-1" and not name.startswith("SOFT")
        }
        told = {name: found.keywords[name] for name in words}
        told |= {
            name: ",".join(sorted(str(told[name]).split(","), reverse=True))
            for name in ("BANDREL", "BANDPRC")
        }
        assert told == words
        assert found.keywords["DEGWGT"] == ("COVERAGE" if weights_of(tiles, which) else "NONE")


REGIONS = {
    "cap": ({"cap": [57.9988, -51.4, 0.4]}, Cap(57.9988, -51.4, 0.4)),
    "polygon": ({"polygon": [[57.5, -51.6], [58.4, -51.7], [58.1, -51.1]]},
                Polygon([(57.5, -51.6), (58.4, -51.7), (58.1, -51.1)])),
    "moc": ({}, Cap(58.2, -51.6, 0.3)),
}  # fmt: skip


def test_patches_of_tiles_and_regions(survey: Path, store: Path, tmp_path: Path) -> None:
    """One run, many patches: each is the slow clip of the merge of its tiles, at its order, or a part of the tiles."""
    copy, tiles = tmp_path / "s", tile_products(store)
    shutil.copytree(store, copy)
    moc = tmp_path / "region.moc.fits"
    cells_inside(REGIONS["moc"][1], 13).to_moc().save(moc, format="fits")
    two = sorted({one.key.area for one in tiles["coverage", "-", "VIS"]})[1:3]
    wanted: list[dict[str, object]] = [{"name": "pair", "tiles": two, "order": 10}]
    for name, (extent, _) in REGIONS.items():
        wanted += [
            {"name": f"{name} {order}", **(extent or {"moc": str(moc)}), "order": order} for order in (12, 9)
        ]
    account = run_survey(with_(load(survey), patches=wanted), copy, created=CREATED, choice=TWO)
    assert not account.has_failed, account.text()
    for which in (("coverage", "-", "VIS"), ("depth", "-", "NIR_Y")):
        pair = merge(
            [one for one in tiles[which] if one.key.area in two], "pair", 10, weights_of(tiles, which)
        )
        assert maps_of(copy, "pair")[which][1].map == pair.map
        for name, (_, shape) in REGIONS.items():
            region = PatchRegion(moc if name == "moc" else shape).cells(ORDER)
            cut = [
                replace(one, maps={n: m.clip(region) for n, m in one.maps.items()}) for one in tiles[which]
            ]
            for order in (12, 9):
                found = maps_of(copy, f"{name} {order}")[which][1]
                clipped = merge(cut, "p", order, weights_of(tiles, which) if order < ORDER else [])
                assert found.map == clipped.map and len(found.map) > 2
                assert "TILEAREA" not in found.keywords


def test_a_region_that_touches_no_tile_makes_nothing(survey: Path, store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "s")
    far = {"name": "far", "cap": [200.0, 10.0, 1.0]}
    account = run_survey(with_(load(survey), patches=[far]), tmp_path / "s", created=CREATED)
    assert not account.has_failed and not maps_of(tmp_path / "s", "far")
    assert "note: patch far touches no tile of the inputs" in account.text()


def test_a_region_that_is_cut_is_refused_before_anything_is_made(survey: Path, tmp_path: Path) -> None:
    moc = tmp_path / "region.fits"
    cells_inside(Cap(57.9988, -51.4, 0.4), 13).to_moc().save(moc, format="fits")
    content = moc.read_bytes()
    moc.write_bytes(content[: len(content) // 2880 // 2 * 2880])
    broken = with_(
        load(survey), patches=[{"name": "whole", "all": True}, {"name": "broken", "moc": str(moc)}]
    )
    for dry in (True, False):
        with pytest.raises(InputError, match=r"region\.fits"):
            run_survey(broken, tmp_path / "s", created=CREATED, dry_run=dry)
    assert not (tmp_path / "s").exists()


# -- jobs alone -------------------------------------------------------------------------------------------------------


def setting_of(parameters: Parameters, store: Path) -> tuple[Setting, list[PatchJob]]:
    """What `run_survey` hands to the jobs of patches, without making any tile product again."""
    manifest = scan_inputs(parameters.inputs, bands=parameters.survey.bands)
    plan = make_plan(manifest, parameters, Choice())
    tiling = tiling_of(parameters, manifest)
    setting = Setting(parameters, str(store), CREATED, 1, tiling)
    return setting, list(patch_jobs(plan_patches(parameters, tiling, plan), plan, Store(store), Choice()))


@pytest.fixture
def copied(
    survey: Path, store: Path, tmp_path: Path
) -> tuple[Path, Setting, dict[tuple[str, str], PatchJob]]:
    """A copy of the store, with jobs of its patch at another order."""
    shutil.copytree(store, tmp_path / "s")
    parameters = with_(load(survey), patches=[{"name": "demo", "all": True, "order": 10}])
    setting, jobs = setting_of(parameters, tmp_path / "s")
    return tmp_path / "s", setting, {(job.key.kind, job.key.band): job for job in jobs}


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def only(outcomes: list[Outcome]) -> Outcome:
    (one,) = outcomes
    return one


def test_an_altered_tile_is_found_and_named_and_nothing_is_written(copied) -> None:
    """Of the size that its manifest states: only its checksum tells."""
    folder, setting, jobs = copied
    for kind, weighed in (("coverage", "coverage"), ("depth", "coverage")):
        job = jobs[kind, "VIS"]
        key = next(one for one in (job.coverages if weighed != kind else job.tiles))
        entry = Store(folder).entry(key)
        assert entry is not None
        path = entry.path(".fits")
        content = path.read_bytes()
        path.write_bytes(content[:-2880] + bytes([content[-2880] ^ 1]) + content[-2879:])
        before = listing(folder)
        outcome = only(patches.run_patch(setting, job))
        assert outcome.state == "FAILED"
        assert path.name in outcome.reason and "DATASUM must be" in outcome.reason
        assert listing(folder) == before
        path.write_bytes(content)
        assert only(patches.run_patch(setting, job)).state == "DONE"
        assert only(patches.run_patch(setting, job)).state == "KEPT"


def test_a_tile_that_is_missing_or_cut_is_told(copied) -> None:
    folder, setting, jobs = copied
    job = jobs["coverage", "VIS"]
    whole = only(patches.run_patch(setting, job))
    assert (whole.state, whole.reason) == ("DONE", "")
    keys = job.tiles[1], job.tiles[2]
    entries = [Store(folder).entry(key) for key in keys]
    path = entries[0].path(".fits")
    path.write_bytes(path.read_bytes()[:-1])
    shutil.rmtree(entries[1].folder)
    outcome = only(patches.run_patch(setting, job))
    names = ", ".join(sorted(key.area for key in keys))
    assert (outcome.state, outcome.reason) == ("DONE", f"merged without {names}, where there is none")
    left = [key for key in job.tiles if key not in keys]
    found = io.read(Store(folder).entry(job.key).path(".fits"))
    wanted = merge([io.read(Store(folder).entry(key).path(".fits")) for key in left], "demo", 10)
    assert found.map == SkyMap(wanted.map.cells, wanted.map.values.astype(np.float32))


def test_the_product_of_an_earlier_run_goes_with_its_last_tile(copied) -> None:
    store, setting, jobs = copied
    job = jobs["depth", "VIS"]
    assert only(patches.run_patch(setting, job)).state == "DONE"
    for key in job.tiles:
        Store(store).retract(key)
    outcome = only(patches.run_patch(setting, job))
    assert (outcome.state, Store(store).has(job.key)) == ("NOINPUT", False)
    assert "retracted" in outcome.reason
    assert patches.run_patch(setting, job) == []


def test_an_average_needs_the_coverage_of_every_tile(copied) -> None:
    folder, setting, jobs = copied
    job = jobs["depth", "VIS"]
    entry = Store(folder).entry(job.coverages[0])
    shutil.rmtree(entry.folder)
    before = listing(folder)
    outcome = only(patches.run_patch(setting, job))
    assert outcome.state == "NOINPUT"
    assert f"needs the coverage of every tile, there is none of {job.coverages[0].area}" in outcome.reason
    assert listing(folder) == before


# -- what changed, and nothing else -----------------------------------------------------------------------------------


def image(folder: Path, name: str, lon_deg: float, rms: float = 0.5) -> None:
    """An image of 3'; images stand so far apart that each has a unit of its own."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [lon_deg, 5.0], [50.5, 50.5], [-6 / 3600, 6 / 3600]
    folder.mkdir(exist_ok=True)
    plane = np.full((100, 100), rms, np.float32) * np.linspace(1, 2, 100, dtype=np.float32)
    fits.PrimaryHDU(plane, wcs.to_header()).writeto(
        folder / f"{name}_rms.fits", checksum=True, overwrite=True
    )


TWO = Choice(products=["coverage", "depth"])
PLACES = {"a": 10.0, "b": 40.0, "c": 80.0, "d": 130.0}


@pytest.fixture
def images(tmp_path: Path) -> Parameters:
    """Parameters of images of one's own, three of which are there; patches at the order of the tiles and coarser."""
    for name in "abc":
        image(tmp_path / "in", name, PLACES[name])
    options = {"rms": "{id}_rms.fits", "band": "r", "instrument": "CAM", "zero_point": 25.0}
    place = {"reader": "generic", "location": str(tmp_path / "in"), "options": options}
    wanted = [{"name": f"at {order}", "all": True, "order": order} for order in (12, 8)]
    wanted += [{"name": "half", "cap": [25.0, 5.0, 20.0]}]
    return Parameters.model_validate({"inputs": [place], "maps": {"order": ORDER}, "patches": wanted})


def test_tiles_of_any_form_are_merged_and_nothing_is_without_a_form(
    survey: Path, store: Path, tmp_path: Path
) -> None:
    choice = Choice(products=["footprint", "bitmask"])
    for form, end in (("parquet", ".parquet"), ("mangle", ".ply")):
        copy = tmp_path / form
        account = run_survey(
            with_(load(survey), maps={"forms": [form]}), copy, created=CREATED, choice=choice
        )
        assert not account.has_failed, account.text()
        demo = maps_of(copy, "demo")
        assert {kind for kind, *_ in demo} == {"footprint", "bitmask"}
        for which, (_, found) in demo.items():
            assert found.maps == maps_of(store, "demo")[which][1].maps
        tiles = [entry for entry in Store(copy).entries() if entry.key.kind in ("footprint", "bitmask")]
        named = {entry.key.kind: entry.path().suffix for entry in tiles if entry.key.area != "demo"}
        assert named == {"footprint": end, "bitmask": ".fits" if form == "mangle" else end}


class Copies:
    """How many units of every patch product were copied, and how many there are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: dict[tuple[str, str], tuple[int, int]] = {}
        real = patches.merge_files_to

        def told(path, tiles, shares, area, *rest, **more):
            made = real(path, tiles, shares, area, *rest, **more)
            self.found[area, tiles.head.key.kind] = made.copied, len(made.units.table)
            return made

        monkeypatch.setattr(patches, "merge_files_to", told)

    def of(self, parameters: Parameters, store: Path) -> dict[tuple[str, str], tuple[int, int]]:
        self.found.clear()
        account = run_survey(parameters, store, created=CREATED, choice=TWO)
        assert not account.has_failed, account.text()
        return dict(self.found)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    return Copies(monkeypatch)


def products(store: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.suffix in (".fits", ".xml") or path.name.endswith(".units.json")
    }


def must_be_as_fresh(parameters: Parameters, store: Path) -> None:
    """The maps of patches that all images make are those of a run into a new store.

    Names of kept tile products, which a collection lists, keep the time stamps of the run that made them.
    """
    fresh = store.with_name("fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    run_survey(parameters, fresh, created=CREATED, choice=TWO)
    now, wanted = products(store), products(fresh)
    wanted = {name: one for name, one in wanted.items() if name.startswith("at") and "collection" not in name}
    assert {name: now.get(name) for name in wanted} == wanted and len(wanted) > 10


def test_only_units_of_changed_tiles_are_made_again(
    images: Parameters, copies: Copies, tmp_path: Path
) -> None:
    store, folder = tmp_path / "s", tmp_path / "in"
    whole = [(area, kind) for area in ("at 12", "at 8") for kind in ("coverage", "depth")]
    half = [("half", "coverage"), ("half", "depth")]
    assert copies.of(images, store) == dict.fromkeys(whole, (0, 3)) | dict.fromkeys(half, (0, 2))
    image(folder, "d", PLACES["d"])
    assert copies.of(images, store) == dict.fromkeys(whole, (3, 4))
    must_be_as_fresh(images, store)
    image(folder, "b", PLACES["b"], 0.25)
    assert copies.of(images, store) == dict.fromkeys(whole, (3, 4)) | dict.fromkeys(half, (1, 2))
    (folder / "c_rms.fits").unlink()
    assert copies.of(images, store) == dict.fromkeys(whole, (3, 3))
    must_be_as_fresh(images, store)
    assert copies.of(images, store) == {}  # all of it is kept


def _alter_row(result: Path) -> None:
    content = result.read_bytes()
    result.write_bytes(content[:-2880] + bytes([content[-2880] ^ 1]) + content[-2879:])


def _move_rows(result: Path) -> None:
    """As long as before: the size that the manifest states does not tell."""
    table = units_path(result)
    content, size = json.loads(table.read_text()), table.stat().st_size
    content["units"][0][3] -= 1
    table.write_text(json.dumps(content).ljust(size)[:size])


def _rename(result: Path) -> None:
    """Of another file."""
    table = units_path(result)
    table.write_text(re.sub(r'"file": ".', '"file": "x', table.read_text()))


BROKEN = {
    ("at 12", "coverage"): _alter_row,
    ("at 12", "depth"): _move_rows,
    ("at 8", "coverage"): _rename,
    ("at 8", "depth"): lambda result: units_path(result).unlink(),
}


def test_what_is_broken_in_a_store_is_not_copied(images: Parameters, copies: Copies, tmp_path: Path) -> None:
    store = tmp_path / "s"
    copies.of(images, store)
    for entry in list(Store(store).entries()):
        if (entry.key.area, entry.key.kind) in BROKEN:
            BROKEN[entry.key.area, entry.key.kind](entry.path(".fits"))
    image(tmp_path / "in", "d", PLACES["d"])
    made = copies.of(images, store)
    assert {which: made[which] for which in BROKEN} == dict.fromkeys(BROKEN, (0, 4))
    must_be_as_fresh(images, store)


def test_a_patch_whose_file_was_altered_is_made_again(images: Parameters, tmp_path: Path) -> None:
    patch = PatchParameters.model_validate({"name": "p", "all": True})
    store, one = tmp_path / "s", images.model_copy(update={"patches": [patch]})
    choice = Choice(products=["depth"])
    run_survey(one, store, created=CREATED, choice=choice)
    before = products(store)
    for suffix in (".fits", ".units.json", ".xml"):
        path = next(path for path in sorted(store.rglob(f"*{suffix}")) if "CONCAT" in path.name)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        account = run_survey(one, store, created=CREATED, choice=choice)
        made = {outcome.key.kind for outcome in account.outcomes.values() if outcome.state == "DONE"}
        assert "depth" in made
        assert products(store) == before


def test_the_number_of_a_file_of_several_bands_does_not_depend_on_what_else_is_chosen() -> None:
    patch = PatchParameters(name="p", all=True, multi_band="hdus")
    merges = [
        PatchJob(
            patch, ProductKey("p", kind, band=band, order=9), (), (), frozenset(), number, (("A", "B"), ())
        )
        for number, (kind, band) in enumerate(itertools.product(("coverage", "depth"), "BA"), 10)
    ]
    every = {job.key: job.number for job in bands_jobs(merges, 4)}
    assert sorted(every.values()) == [14, 16]
    for kind in ("coverage", "depth"):
        alone = {
            job.key: job.number for job in bands_jobs([one for one in merges if one.key.kind == kind], 4)
        }
        assert len(alone) == 1 and alone.items() <= every.items()
