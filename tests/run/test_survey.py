"""A whole run: the same bytes for any split, resume by digest, states and failures that stay where they belong."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from conftest import CREATED
from vmpz import io
from vmpz.errors import InputError
from vmpz.parameters import Parameters, load
from vmpz.run import measure
from vmpz.run.account import Account
from vmpz.run.plan import Choice
from vmpz.run.provenance import prov_json
from vmpz.run.store import Store
from vmpz.run.survey import run_survey
from vmpz.sky.cells import CellSet


def bytes_of(store: Path) -> dict[str, str]:
    """Digest of every product file of a store by its place."""
    return {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.suffix in {".fits", ".xml", ".parquet"}
    }


def changed(parameters: Parameters, **sections: dict[str, object]) -> Parameters:
    """Parameters with some values of some sections replaced, validated again."""
    content = parameters.model_dump()
    for name, values in sections.items():
        content[name] = {**content[name], **values}
    return Parameters.model_validate(content)


def one_tile(store: Path) -> str:
    return sorted(path.name for path in store.iterdir() if path.name.isdigit())[0]


def test_the_run_makes_every_product_once(store: Path) -> None:
    account = Account.read(store)
    assert account.outcomes and {one.state for one in account.outcomes.values()} <= {"DONE", "EMPTY"}
    kinds = {(key.kind, key.band) for key in account.outcomes if key.area.isdigit()}
    for band in ("VIS", "NIR_Y"):
        assert {(kind, band) for kind in ("footprint", "bitmask", "coverage", "depth", "info")} <= kinds
    assert any(key.area == "demo" for key in account.outcomes)
    assert not [fault for entry in Store(store).entries() for fault in entry.faults()]


def test_workers_write_the_same_bytes_as_serial(survey: Path, store: Path, tmp_path: Path) -> None:
    run_survey(load(survey), tmp_path / "s", created=CREATED, workers=2)
    assert bytes_of(tmp_path / "s") == bytes_of(store)
    assert prov_json(Store(tmp_path / "s").entries()) == prov_json(Store(store).entries())


def test_tiles_one_by_one_in_any_order_write_the_same_bytes(
    survey: Path, store: Path, tmp_path: Path
) -> None:
    parameters = load(survey)
    tiles = sorted(path.name for path in store.iterdir() if path.name.isdigit())
    for tile in reversed(tiles):
        for band in ("VIS", "NIR_Y"):
            run_survey(
                parameters,
                tmp_path / "s",
                created=CREATED,
                choice=Choice(tiles=[tile], bands=[band]),
                threads=1,
            )
    run_survey(parameters, tmp_path / "s", created=CREATED)
    assert bytes_of(tmp_path / "s") == bytes_of(store)


def test_a_second_run_keeps_everything_and_opens_no_plane(
    survey: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "s"
    shutil.copytree(store, copy)
    monkeypatch.setattr(measure, "open_area", lambda *_: pytest.fail("a frame was opened"))
    account = run_survey(load(survey), copy)
    assert {one.state for one in account.outcomes.values()} == {"KEPT"}
    assert bytes_of(copy) == bytes_of(store)


def test_a_new_snr_reads_no_plane_again(
    survey: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "s"
    shutil.copytree(store, copy)
    opened: list[str] = []
    real = measure.open_area

    def counting(ref, planes):
        opened.extend(name for name in planes if name in ref.planes)
        return real(ref, planes)

    monkeypatch.setattr(measure, "open_area", counting)
    account = run_survey(changed(load(survey), depth={"snr": 10.0}), copy, choice=Choice(products=["depth"]))
    assert opened == []
    made = [key for key, one in account.outcomes.items() if one.state == "DONE" and key.area.isdigit()]
    assert made and {key.kind for key in made} == {"depth"}
    for key in made:
        deep, old = (io.read(Store(one).entry(key).path(".fits")).map for one in (copy, store))
        np.testing.assert_allclose(old.values - deep.values, 2.5 * np.log10(2.0), atol=4e-6)


def test_what_was_deleted_or_altered_is_made_again(survey: Path, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "s"
    shutil.copytree(store, copy)
    entries = [
        entry for entry in Store(copy).entries() if entry.key.kind == "coverage" and entry.key.area.isdigit()
    ]
    entries[0].path(".fits").unlink()
    shutil.rmtree(entries[1].folder)
    account = run_survey(load(survey), copy)
    remade = {key for key, one in account.outcomes.items() if one.state == "DONE"}
    assert remade == {entries[0].key, entries[1].key}
    assert bytes_of(copy) == bytes_of(store)


def test_a_dry_run_writes_nothing(survey: Path, tmp_path: Path) -> None:
    account = run_survey(load(survey), tmp_path / "s", dry_run=True)
    assert account.plan["jobs"] == 8 and account.plan["tiles"] == 4
    assert account.plan["input_bytes"] > 0 and account.plan["cannot_be_made"] == []
    assert not (tmp_path / "s").exists()


def test_only_what_is_chosen_is_made(survey: Path, store: Path, tmp_path: Path) -> None:
    tile = one_tile(store)
    choice = Choice(tiles=[tile], bands=["VIS"], products=["depth", "footprint"])
    account = run_survey(load(survey), tmp_path / "s", choice=choice, created=CREATED)
    assert {(key.area, key.band, key.kind) for key in account.outcomes} == {
        (tile, "VIS", "depth"),
        (tile, "VIS", "footprint"),
    }
    with pytest.raises(InputError, match="band must be among NIR_Y, VIS; found X"):
        run_survey(load(survey), tmp_path / "s", choice=Choice(bands=["X"]))


@pytest.fixture
def broken(survey: Path, tmp_path: Path) -> Path:
    """A copy of the survey to break."""
    shutil.copytree(survey.parent, tmp_path / "b", ignore=shutil.ignore_patterns("store"))
    return tmp_path / "b"


def plane(folder: Path, tile: str, pattern: str) -> Path:
    (path,) = (folder / "MER" / tile).rglob(pattern)
    return path


def test_a_broken_plane_fails_its_band_alone(broken: Path, store: Path) -> None:
    tile = one_tile(store)
    path = plane(broken, tile, "*MOSAIC-VIS-RMS*.fits")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(bytes(content))
    account = run_survey(load(broken / "survey.toml"), broken / "store", created=CREATED)
    failed = {(key.area, key.band) for key, one in account.outcomes.items() if one.state == "FAILED"}
    assert failed == {(tile, "VIS")}
    reasons = {one.reason for one in account.outcomes.values() if one.state == "FAILED"}
    assert all("DATASUM" in reason and path.name in reason for reason in reasons)


def test_a_truncated_plane_fails_its_band_alone(broken: Path, store: Path) -> None:
    tile = one_tile(store)
    path = plane(broken, tile, "*MOSAIC-NIR-Y-FLAG*.fits")
    path.write_bytes(path.read_bytes()[:-1])
    account = run_survey(load(broken / "survey.toml"), broken / "store", created=CREATED)
    failed = {(key.area, key.band): one for key, one in account.outcomes.items() if one.state == "FAILED"}
    assert set(failed) == {(tile, "NIR_Y")}
    assert path.name in failed[tile, "NIR_Y"].reason


def test_a_missing_optional_input_is_not_a_failure_unless_asked_for_by_name(
    broken: Path, store: Path
) -> None:
    tile = one_tile(store)
    for path in (broken / "MER" / tile).rglob("*CATALOG-PSF*"):
        path.unlink()
    for path in (broken / "MER" / tile).rglob("*GRID-PSF*"):
        path.unlink()
    for path in (broken / "MER" / tile).rglob("DpdMerBksMosaic*.xml"):
        path.unlink()
    parameters = load(broken / "survey.toml")
    account = run_survey(parameters, broken / "store", created=CREATED)
    missing = {key for key, one in account.outcomes.items() if one.state == "NOINPUT"}
    assert {(key.area, key.quantity) for key in missing} == {(tile, "PSF")}
    assert not account.has_failed
    account = run_survey(parameters, broken / "store", choice=Choice(products=["info"]))
    assert account.has_failed


def test_a_tile_that_saw_nothing_is_a_valid_empty_product(broken: Path, store: Path) -> None:
    tile = one_tile(store)
    path = plane(broken, tile, "*MOSAIC-VIS-RMS*.fits")
    with fits.open(path) as file:
        fits.PrimaryHDU(np.full_like(file[0].data, 1e16), file[0].header).writeto(
            path, overwrite=True, checksum=True
        )
    account = run_survey(load(broken / "survey.toml"), broken / "store", created=CREATED)
    assert not account.has_failed, account.text()
    states = {
        (key.kind, key.quantity): one.state
        for key, one in account.outcomes.items()
        if key.area == tile and key.band == "VIS"
    }
    for kind in (("footprint", "-"), ("coverage", "-"), ("depth", "-"), ("info", "Noise")):
        assert states[kind] == "EMPTY"
    assert states["bitmask", "-"] == "DONE"  # flags are counted whether observed or not
    entry = next(
        one for one in Store(broken / "store").entries() if one.key.area == tile and one.state == "EMPTY"
    )
    assert len(io.read(entry.path(".fits")).map) == 0
    assert io.check(entry.path(".fits")) == []


def test_effective_coverage_is_below_every_band(survey: Path, tmp_path: Path) -> None:
    for rule in ("JOINT", "MIN", "PRODUCT"):
        parameters = changed(load(survey), coverage={"effective": ["VIS", "NIR_Y"], "rule": rule})
        store = tmp_path / rule
        account = run_survey(
            parameters, store, created=CREATED, choice=Choice(products=["effectivecoverage"])
        )
        assert not account.has_failed, account.text()
    maps = {}
    for rule in ("JOINT", "MIN", "PRODUCT"):
        for entry in Store(tmp_path / rule).entries():
            if entry.key.kind in {"effectivecoverage", "coverage"} and entry.key.area.isdigit():
                maps[rule, entry.key.area, entry.key.band] = io.read(entry.path(".fits")).map
    areas = {area for _, area, _ in maps}
    assert len(areas) == 4
    strictly = 0
    for area in areas:
        joint = maps["JOINT", area, "-"]
        cells = joint.cells.cells()
        bands = [maps["JOINT", area, band].of_cells(cells, 0.0).astype(float) for band in ("VIS", "NIR_Y")]
        least = maps["MIN", area, "-"].of_cells(cells, 0.0)
        np.testing.assert_array_equal(least, np.minimum(*bands).astype(np.float32))
        assert np.all(joint.values <= least + 1e-7)
        assert np.all(joint.values >= bands[0] + bands[1] - 1.0 - 1e-6)
        strictly += int(np.sum(joint.values < least - 1e-6))
    assert strictly > 0


def test_owned_cells_are_disjoint_and_the_patch_is_their_union(store: Path) -> None:
    """Acceptance 3: every cell of the patch is bit for bit its owner's."""
    entries = [
        entry for entry in Store(store).entries() if entry.key.kind == "footprint" and entry.key.band == "VIS"
    ]
    tiles = [io.read(entry.path(".fits")).map for entry in entries if entry.key.area.isdigit()]
    (patch,) = [io.read(entry.path(".fits")) for entry in entries if entry.key.area == "demo"]
    union = CellSet.union([tile.cells for tile in tiles])
    assert len(union) == sum(len(tile) for tile in tiles)
    total = sum(tile.integral_deg2() for tile in tiles)
    assert patch.map.integral_deg2() == pytest.approx(total, rel=2e-7)


def test_the_account_says_what_stands_in_the_store(store: Path) -> None:
    content = json.loads((store / "account.json").read_text())
    assert content["counts"].get("FAILED", 0) == 0
    named = {row["key"] for row in content["products"]}
    there = {
        entry.key.text
        for entry in Store(store).entries()
        if entry.key.kind not in {"statistics", "goodpixels"}
    }
    assert named == there
