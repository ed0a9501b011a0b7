"""What changed is made again and nothing else; what failed is told until it is mended."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from conftest import CREATED
from vmpz import io
from vmpz.errors import InputError
from vmpz.files.write import StorageError
from vmpz.parameters import Parameters, load
from vmpz.run import jobs
from vmpz.run.account import ACCOUNT, Account
from vmpz.run.plan import Choice, PlanError
from vmpz.run.store import Store
from vmpz.run.survey import run_survey


def with_(parameters: Parameters, **sections: object) -> Parameters:
    """Parameters with some tables changed (mappings) or replaced (lists), validated again."""
    content = parameters.model_dump()
    for name, values in sections.items():
        content[name] = {**content[name], **values} if isinstance(values, dict) else values
    return Parameters.model_validate(content)


def files_of(store: Path, *suffixes: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.suffix in (suffixes or (".fits", ".xml"))
    }


def states(account: Account) -> dict[str, str]:
    return {str(key): one.state for key, one in account.outcomes.items()}


@pytest.fixture
def two(survey: Path, tmp_path: Path) -> Parameters:
    """A copy of two tiles of the survey, with its patch."""
    tiles = sorted((survey.parent / "MER").iterdir())[:2]
    for tile in tiles:
        shutil.copytree(tile, tmp_path / "MER" / tile.name)
    shutil.copy(survey, tmp_path / "survey.toml")
    return with_(load(tmp_path / "survey.toml"), info={"maps": ["Noise:RMSQ"]})


def rms_of(parameters: Parameters, band: str, place: int = 0) -> Path:
    pattern = f"*MOSAIC-{band.replace('_', '-')}-RMS*.fits"
    return sorted(Path(parameters.inputs[0].location).rglob(pattern))[place]


def spoil(path: Path) -> bytes:
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    return content


# -- products ---------------------------------------------------------------------------------------------------------


def test_kinds_chosen_one_by_one_end_in_the_same_bytes(two: Parameters, tmp_path: Path) -> None:
    """What a pass counts for one product does not depend on what else it counts."""
    run_survey(two, tmp_path / "all", created=CREATED)
    for kind in ("info", "depth", "coverage", "bitmask", "footprint"):
        run_survey(two, tmp_path / "each", created=CREATED, choice=Choice(products=[kind]))
    run_survey(two, tmp_path / "each", created=CREATED)
    assert files_of(tmp_path / "each", ".fits") == files_of(tmp_path / "all", ".fits")


def test_an_altered_product_is_made_again(two: Parameters, tmp_path: Path) -> None:
    store = tmp_path / "s"
    run_survey(two, store, created=CREATED)
    before = files_of(store)
    path = next(store.rglob("*HPCOVERAGE-1*.fits"))
    content = bytearray(path.read_bytes())
    content[-2000] ^= 1
    path.write_bytes(bytes(content))
    account = run_survey(two, store)
    assert [state for state in states(account).values() if state != "KEPT"] == ["DONE"]
    assert files_of(store) == before


def test_old_products_of_other_parameters_stay_out_of_the_patch(two: Parameters, tmp_path: Path) -> None:
    store = tmp_path / "s"
    run_survey(with_(two, maps={"order": 11}), store, created=CREATED)
    run_survey(with_(two, coverage={"bits": []}, depth={"bits": []}), store, created=CREATED)
    account = run_survey(two, store, created=CREATED)
    assert not account.has_failed, account.text()
    run_survey(two, tmp_path / "fresh", created=CREATED)
    fresh = files_of(tmp_path / "fresh")
    assert {name: one for name, one in files_of(store).items() if name in fresh} == fresh
    assert {key.text for key in Account.read(store).outcomes} == {key.text for key in account.outcomes}


def test_a_patch_is_made_again_when_a_tile_changed(two: Parameters, tmp_path: Path) -> None:
    store = tmp_path / "s"
    run_survey(two, store, created=CREATED)
    path = rms_of(two, "VIS")
    with fits.open(path) as file:
        fits.PrimaryHDU(file[0].data * np.float32(2), file[0].header).writeto(
            path, overwrite=True, checksum=True
        )
    account = run_survey(two, store)
    made = {
        (key.area == "demo", key.kind, key.band)
        for key, one in account.outcomes.items()
        if one.state == "DONE"
    }
    assert {(True, "depth", "VIS"), (False, "depth", "VIS")} <= made
    assert {band for _, kind, band in made if kind != "collection"} == {"VIS"}
    assert (True, "collection", "-") in made


def test_good_pixels_of_an_earlier_input_are_not_used(two: Parameters, tmp_path: Path) -> None:
    joint = with_(two, coverage={"effective": ["VIS", "NIR_Y"]}, patches=[])
    run_survey(joint, tmp_path / "s", created=CREATED)
    path = rms_of(two, "VIS")
    with fits.open(path) as file:
        data = file[0].data.copy()
        data[: data.shape[0] // 2] = 1e16
        fits.PrimaryHDU(data, file[0].header).writeto(path, overwrite=True, checksum=True)
    run_survey(joint, tmp_path / "s", created=CREATED, choice=Choice(bands=["VIS"]))
    run_survey(joint, tmp_path / "s", created=CREATED)
    run_survey(joint, tmp_path / "fresh", created=CREATED)
    assert files_of(tmp_path / "s") == files_of(tmp_path / "fresh")


# -- images of one's own ----------------------------------------------------------------------------------------------


def image(folder: Path, name: str, lon_deg: float) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [lon_deg, 5.0], [100.5, 100.5], [-6 / 3600, 6 / 3600]
    folder.mkdir(exist_ok=True)
    rms = np.full((200, 200), 0.5, np.float32)
    fits.PrimaryHDU(rms, wcs.to_header()).writeto(folder / f"{name}_rms.fits", checksum=True)


def images(folder: Path, **options: object) -> Parameters:
    words = {"rms": "{id}_rms.fits", "band": "r", "instrument": "CAM", "zero_point": 25.0, **options}
    place = {"reader": "generic", "location": str(folder), "options": words}
    return Parameters.model_validate(
        {"inputs": [place], "maps": {"order": 12}, "patches": [{"name": "p", "all": True}]}
    )


def test_an_option_of_the_reader_that_changes_a_value_makes_it_again(tmp_path: Path) -> None:
    image(tmp_path / "in", "a", 10.0)
    run_survey(images(tmp_path / "in"), tmp_path / "s", created=CREATED)
    (old,) = (io.read(path).map for path in tmp_path.glob("s/a/*depth*/*.fits"))
    run_survey(images(tmp_path / "in", zero_point=26.0), tmp_path / "s", created=CREATED)
    (new,) = (io.read(path).map for path in tmp_path.glob("s/a/*depth*/*.fits"))
    np.testing.assert_allclose(new.values - old.values, 1.0, atol=4e-6)


def test_a_new_neighbour_takes_its_cells_from_the_old_image(tmp_path: Path) -> None:
    image(tmp_path / "in", "a", 10.0)
    run_survey(images(tmp_path / "in"), tmp_path / "s", created=CREATED)
    image(tmp_path / "in", "b", 10.2)
    account = run_survey(images(tmp_path / "in"), tmp_path / "s", created=CREATED)
    assert not account.has_failed, account.text()
    run_survey(images(tmp_path / "in"), tmp_path / "fresh", created=CREATED)
    assert files_of(tmp_path / "s") == files_of(tmp_path / "fresh")


# -- failures ---------------------------------------------------------------------------------------------------------


def test_a_refused_frame_is_told_until_it_is_mended(two: Parameters, tmp_path: Path) -> None:
    store, path = tmp_path / "s", rms_of(two, "VIS")
    tile, content = path.parent.parent.name, spoil(path)
    plan = run_survey(two, store, dry_run=True).plan
    assert [line for line in plan["cannot_be_made"] if path.name in line and tile in line]
    account = run_survey(two, store, created=CREATED)
    assert states(account)[f"{tile} VIS frame"] == "FAILED"
    merged = next(one for key, one in account.outcomes.items() if key.area == "demo" and key.band == "VIS")
    assert merged.state == "DONE" and f"merged without {tile}" in merged.reason
    assert not run_survey(two, store, choice=Choice(bands=["NIR_Y"])).has_failed
    assert Account.read(store).has_failed
    only = run_survey(two, store, choice=Choice(tiles=[tile], bands=["VIS"]))
    assert set(states(only).values()) == {"FAILED"}
    path.write_bytes(content)
    run_survey(two, store, choice=Choice(tiles=[tile], bands=["VIS"]))
    assert not Account.read(store).has_failed
    account = run_survey(two, store)
    assert not [one for one in account.outcomes.values() if one.reason]
    run_survey(two, tmp_path / "fresh", created=CREATED)
    assert files_of(store) == files_of(tmp_path / "fresh")


def test_fail_fast_does_not_begin_when_a_frame_is_refused(two: Parameters, tmp_path: Path) -> None:
    spoil(rms_of(two, "VIS"))
    account = run_survey(two, tmp_path / "s", fail_fast=True)
    assert account.has_failed and not list(Store(tmp_path / "s").entries())


def test_storage_that_fails_ends_the_run_and_keeps_what_is_done(two: Parameters, tmp_path: Path) -> None:
    """A file where a product's folder must go, met by the second band."""
    store = tmp_path / "s"
    run_survey(two, store, created=CREATED, choice=Choice(bands=["NIR_Y"]))
    done = files_of(store)
    blocked = next(store.glob("*/*depth*NIR_Y*")).name.replace("NISP~NIR_Y", "VIS~VIS")
    folder = store / blocked.split("~")[0]
    for path in folder.glob("*statistics*"):
        (folder / path.name.replace("NISP~NIR_Y", "VIS~VIS")).write_text("in the way")
    with pytest.raises(StorageError, match="statistics"):
        run_survey(two, store)
    now = files_of(store)
    assert {name: now[name] for name in done} == done
    assert not (store / ".lock").exists()


def test_an_input_that_cannot_be_read_fails_its_band_alone(
    two: Parameters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = jobs.measure

    def failing(ref, *rest):
        if ref.band == "VIS":
            raise OSError(errno.EIO, "Input/output error", "plane.fits")
        return real(ref, *rest)

    monkeypatch.setattr(jobs, "measure", failing)
    account = run_survey(two, tmp_path / "s")
    assert {key.band for key, one in account.outcomes.items() if one.state == "FAILED"} == {"VIS"}
    assert any("plane.fits" in one.reason for one in account.outcomes.values())


def test_an_account_that_is_none_is_refused_to_readers_and_replaced_by_runs(
    two: Parameters, tmp_path: Path
) -> None:
    store = tmp_path / "s"
    store.mkdir()
    (store / ACCOUNT).write_text('{"products": 3}')
    with pytest.raises(InputError, match="must be the account of a store"):
        Account.read(store)
    run_survey(two, store, choice=Choice(products=["footprint"]))
    assert Account.read(store).outcomes


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"name": "p", "tiles": ["1"]}, "patch p: tile must be among 102"),
        ({"name": "TILE", "all": True}, "its name must not be that of a tile"),
    ],
)
def test_patches_that_do_not_fit_the_tiles_are_refused(
    two: Parameters, tmp_path: Path, patch: dict[str, object], message: str
) -> None:
    tile = rms_of(two, "VIS").parent.parent.name
    name = str(patch["name"]).replace("TILE", tile)
    with pytest.raises(PlanError, match=message):
        run_survey(with_(two, patches=[{**patch, "name": name}]), tmp_path / "s", dry_run=True)
