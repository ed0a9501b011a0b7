"""Collections of a store: every product that could be there has one state, and complete means what it says."""

import shutil
from dataclasses import replace
from itertools import product as pairs
from pathlib import Path

import numpy as np
import pytest

import io_helpers
from vmpz import io
from vmpz.files.write import sha256_of
from vmpz.frames import Refused
from vmpz.io.collection import Absent, Collection
from vmpz.products import Product, ProductKey
from vmpz.run.account import Account, Outcome
from vmpz.run.collection import collection_of, relevant_and_processed
from vmpz.run.store import Store
from vmpz.sky.cells import CellSet
from vmpz.sky.hpx import cell_area_deg2
from vmpz.sky.skymap import SkyMap

TILES = ("101", "102", "103")
BANDS = {"VIS": "VIS", "NIR_Y": "NISP", "NIR_H": "NISP"}
KINDS = ("coverage", "depth")
ORDER = io_helpers.ORDER


def key_of(area: str, kind: str, band: str) -> ProductKey:
    return ProductKey(area, kind, instrument=BANDS[band], band=band, order=ORDER, release="0.12")


def frame(area: str, band: str) -> Outcome:
    key = ProductKey(area, "frame", instrument=BANDS.get(band, "-"), band=band, order=ORDER, release="0.12")
    return Outcome(key, "FAILED", f"{band}.fits: must be a FITS file, found an empty file")


GRID = [key_of(*one) for one in pairs(TILES, KINDS, BANDS)]
PATCH = [key_of("south", *one) for one in pairs(KINDS, BANDS)]


def put(
    store: Store,
    key: ProductKey,
    cells: object = io_helpers.CELLS,
    form: str = "healpix",
    summary: object = None,
    **words: object,
) -> None:
    """Write a small product into a store."""
    cells = np.asarray(cells, np.int64)
    listed = SkyMap(CellSet.from_cells(ORDER, cells), io_helpers.fractions(1, cells))
    made = Product(key, {"WEIGHT": listed}, None, dict(words), "", io_helpers.provenance())  # type: ignore[arg-type]
    store.put(
        key, io_helpers.provenance(), lambda folder: io.write(made, folder, form), empty=not cells.size,
        summary=summary,
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def full(tmp_path: Path) -> Store:
    """A store that holds every product of the grid and of the patch."""
    store = Store(tmp_path / "store")
    for key in (*GRID, *PATCH):
        put(store, key)
    return store


def collected(
    store: Store, outcomes: object = (), expected: object = (*GRID, *PATCH), **more: object
) -> Collection:
    told = {one.key: one for one in outcomes}  # type: ignore[attr-defined]
    return collection_of("south", "0.12", ORDER, expected, told, store, **more)  # type: ignore[arg-type]


def states(found: Collection, shared: ProductKey) -> dict[str, str]:
    """State of a series by area."""
    (series,) = [one for one in found.series if one.key == shared]
    told = {one.area: "PRESENT" for one in series.present} | dict.fromkeys(series.empty, "EMPTY")
    told |= {one.area: "NOINPUT" for one in series.no_input} | {one.area: "FAILED" for one in series.failed}
    return told | dict.fromkeys(series.not_asked, "NOTASKED") | dict.fromkeys(series.untouched, "UNTOUCHED")


def tiles_of(key: ProductKey) -> ProductKey:
    return replace(key, area="-")


# -- states -----------------------------------------------------------------------------------------------------------


def test_everything_is_there(full: Store) -> None:
    found = collected(full)
    assert found.is_complete and found.counts()["PRESENT"] == len(GRID) + len(PATCH)
    assert [one.key for one in found.series] == sorted({tiles_of(key) for key in GRID}) + sorted(PATCH)
    (coverage, *_) = (one for one in found.series if one.key == tiles_of(key_of("-", "coverage", "VIS")))
    assert [one.area for one in coverage.present] == list(TILES)
    for one in coverage.present:
        entry = full.entry(replace(coverage.key, area=one.area))
        assert entry is not None and one.file == entry.files[0]["name"]
        assert one.sha256 == sha256_of(entry.folder / one.file) and one.digest == entry.digest
        assert one.cells == io_helpers.CELLS.size
        assert one.area_deg2 == pytest.approx(one.cells * cell_area_deg2(ORDER))


def test_every_state(full: Store) -> None:
    shared = tiles_of(key_of("-", "depth", "VIS"))
    put(full, key_of("101", "depth", "VIS"), [])
    shutil.rmtree(full.folder(key_of("102", "depth", "VIS")))
    assert states(collected(full), shared) == {"101": "EMPTY", "102": "NOTASKED", "103": "PRESENT"}
    missing = Outcome(key_of("102", "depth", "VIS"), "NOINPUT", "no PSF table")
    failed = Outcome(key_of("103", "depth", "VIS"), "FAILED", "cannot be")
    lost = Outcome(key_of("102", "depth", "VIS"), "DONE", path="x")
    assert states(collected(full, [missing, failed]), shared) == {
        "101": "EMPTY",
        "102": "NOINPUT",
        "103": "FAILED",
    }
    assert states(collected(full, [lost]), shared)["102"] == "FAILED"
    assert [one.reason for one in collected(full, [lost]).missing()] == ["the store has lost it"]
    assert [(one.state, one.reason) for one in collected(full, [missing, failed]).missing()] == [
        ("NOINPUT", "no PSF table"),
        ("FAILED", "cannot be"),
    ]


def test_a_failure_counts_even_where_an_old_product_lies(full: Store) -> None:
    failed = Outcome(key_of("101", "coverage", "VIS"), "FAILED", "changed while it was read")
    found = collected(full, [failed])
    assert not found.is_complete and next(found.missing()).key == key_of("101", "coverage", "VIS")
    kept = Outcome(key_of("101", "coverage", "VIS"), "KEPT")
    assert collected(full, [kept]).is_complete


def test_a_band_that_touches_some_tiles_only_does_not_make_it_incomplete(full: Store) -> None:
    expected = [key for key in GRID if key.band != "NIR_H" or key.area == "101"]
    found = collected(full, expected=[*expected, *PATCH])
    shared = tiles_of(key_of("-", "coverage", "NIR_H"))
    assert states(found, shared) == {"101": "PRESENT", "102": "UNTOUCHED", "103": "UNTOUCHED"}
    assert found.is_complete and found.counts()["NOTASKED"] == 2 * len(KINDS)


def test_a_frame_that_cannot_be_used_makes_it_incomplete(full: Store) -> None:
    expected = [key for key in GRID if (key.area, key.band) != ("102", "NIR_H")]
    found = collected(full, [frame("102", "NIR_H")], [*expected, *PATCH])
    for kind in KINDS:
        assert states(found, tiles_of(key_of("-", kind, "NIR_H")))["102"] == "FAILED"
    assert {one.key.kind for one in found.missing()} == {"frame", *KINDS}
    assert collected(full, [frame("999", "NIR_H")]).is_complete  # of another patch


def test_a_band_none_of_whose_frames_can_be_used(full: Store) -> None:
    expected = [key for key in GRID if key.band != "NIR_H"]
    found = collected(full, [frame("101", "NIR_H")], expected)
    (missing,) = found.missing()
    assert (missing.key.kind, missing.key.area, missing.key.band) == ("frame", "101", "NIR_H")


def test_a_frame_whose_tile_is_not_known_makes_it_incomplete(full: Store) -> None:
    (missing,) = collected(full, [frame("-", "-")]).missing()
    assert missing.key.area == "-" and "empty file" in missing.reason


def test_products_across_bands_fail_with_the_frames_of_their_tile(full: Store) -> None:
    across = [ProductKey(area, "effectivecoverage", order=ORDER, release="0.12") for area in TILES[:2]]
    for key in across:
        put(full, key, FILTLST="VIS,NIR_Y")
    found = collected(full, [frame("103", "VIS")], [*GRID, *across])
    (series,) = [one for one in found.series if one.key == tiles_of(across[0])]
    assert series.failed == (Absent("103", frame("103", "VIS").reason),)


def test_tiles_of_which_nothing_is_asked(full: Store) -> None:
    found = collected(full, areas=[*TILES, "104"])
    assert found.is_complete
    assert states(found, tiles_of(GRID[0]))["104"] == "UNTOUCHED"


def test_the_area_is_the_observed_one_where_it_is_stated(full: Store) -> None:
    put(full, GRID[0], OBSAREA=0.125, TILEAREA=0.25)
    assert content_of(full, GRID[0]) == (io_helpers.CELLS.size, 0.125)


def test_the_manifest_is_believed_where_it_says_more(full: Store) -> None:
    content = {"cells": 7, "area_deg2": 0.5, "observed_area_deg2": 0.25}
    for told, area in ((content, 0.25), ({**content, "observed_area_deg2": None}, 0.5)):
        put(full, GRID[0], summary=told)
        assert content_of(full, GRID[0]) == (7, area)


def content_of(store: Store, key: ProductKey) -> tuple[int | None, float | None]:
    (series,) = collected(store, expected=[key]).series
    (one,) = series.present
    return one.cells, one.area_deg2


@pytest.mark.parametrize("form", ["moc", "parquet"])
def test_other_forms_tell_cells_and_area_too(form: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    put(store, GRID[0], form=form)
    (series,) = collected(store, expected=[GRID[0]]).series
    (one,) = series.present
    assert one.cells == io_helpers.CELLS.size and one.area_deg2 is not None
    assert 0 < one.area_deg2 < one.cells * cell_area_deg2(ORDER)


# -- identity ---------------------------------------------------------------------------------------------------------


def test_the_id_follows_the_content(full: Store, tmp_path: Path) -> None:
    one = collected(full)
    assert collected(full, expected=[*PATCH[::-1], *GRID[::-1]]) == one
    put(full, GRID[0], io_helpers.CELLS[1:])
    assert collected(full).id != one.id
    for path in io.write_collection(one, tmp_path, io_helpers.CREATED):
        assert io.read_collection(path) == one and io.check(path) == []


def test_of_a_whole_run(store: Path, tmp_path: Path) -> None:
    told = Account.read(store).outcomes
    expected = [key for key in told if key.kind in {"coverage", "depth", "statistics", "info"}]
    found = collection_of("demo", "0.1", 14, expected, told, Store(store))
    assert found.is_complete and found.counts()["PRESENT"] + found.counts()["EMPTY"] == len(expected)
    assert {one.key.area for one in found.series} == {"-", "demo"}
    for path in io.write_collection(found, tmp_path, io_helpers.CREATED):
        assert io.read_collection(path) == found and io.check(path) == []


# -- bands ------------------------------------------------------------------------------------------------------------


def test_relevant_and_processed_bands() -> None:
    made = {key: (key.kind, key.band) != ("depth", "NIR_Y") for key in PATCH}
    coverage, depth = key_of("south", "coverage", "VIS"), key_of("south", "depth", "NIR_H")
    assert relevant_and_processed(coverage, made) == (("NIR_H", "NIR_Y", "VIS"), ("NIR_H", "NIR_Y", "VIS"))
    assert relevant_and_processed(depth, made) == (("NIR_H", "NIR_Y", "VIS"), ("NIR_H", "VIS"))


def test_bands_stand_in_the_order_that_was_asked_for() -> None:
    made = dict.fromkeys(PATCH, True)
    for selected in (("VIS", "NIR_Y", "NIR_H"), ("NIR_Y", "VIS"), ("NIR_J", "NIR_H")):
        expected = tuple(band for band in selected if band != "NIR_J")  # selected, and nothing of it touches
        assert relevant_and_processed(PATCH[0], made, selected=selected) == (expected, expected)


def test_a_refused_frame_makes_its_band_relevant() -> None:
    made = {key: True for key in PATCH if key.band != "NIR_H"}
    refused = [Refused("101", "NISP", "NIR_H", "empty"), Refused("-", "-", "-", "what is it")]
    assert relevant_and_processed(PATCH[0], made, refused=refused) == (
        ("NIR_H", "NIR_Y", "VIS"),
        ("NIR_Y", "VIS"),
    )


def test_products_of_no_band_go_by_the_coverage() -> None:
    across = ProductKey("south", "effectivecoverage", order=ORDER, release="0.12")
    tile = ProductKey("south", "info", "Tile", "VALUE", order=ORDER, release="0.12")
    made = {key: key.band != "NIR_H" for key in PATCH} | {across: True, tile: True}
    assert relevant_and_processed(tile, made) == (("NIR_H", "NIR_Y", "VIS"), ("NIR_Y", "VIS"))
    found = relevant_and_processed(across, made, selected=("VIS", "NIR_H"))
    assert found == (("VIS", "NIR_H"), ("VIS",))


def test_quantities_and_patches_are_told_apart() -> None:
    noise = [replace(key_of("south", "info", band), quantity="Noise", statistic="RMSQ") for band in BANDS]
    psf = [replace(key, quantity="PSF", statistic="MEAN") for key in noise]
    north = [replace(key, area="north") for key in noise]
    made = dict.fromkeys(noise, True) | dict.fromkeys(psf[:1], True) | dict.fromkeys(psf[1:], False)
    assert relevant_and_processed(psf[0], made | dict.fromkeys(north, True))[1] == ("VIS",)
    assert relevant_and_processed(noise[0], made)[1] == ("NIR_H", "NIR_Y", "VIS")
