"""Releases: frozen lists whose files stay whatever the store makes later."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from store_helpers import KEY, fill, provenance, put_map, sky_map, tile_key, writer
from vmpz import io
from vmpz.cli import _status_of
from vmpz.errors import InputError, VmpzError
from vmpz.files import locks, places
from vmpz.run import releases
from vmpz.run.releases import UnverifiedError, create, diff, export, verify
from vmpz.run.store import Store

OTHER = replace(KEY, band="H")


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of two products of a few bytes, in a folder and on an object store."""
    monkeypatch.setattr(locks, "SETTLE_S", 0.0)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    store = Store(tmp_path / "s" if request.param == "folder" else f"memory://{uuid4().hex}/s")
    store.put(KEY, provenance(snr=5), writer("a.fits", "one"))
    store.put(OTHER, provenance(snr=5), writer("b.fits", "two"))
    return store


def run(*words: object) -> int:
    return _status_of([str(word) for word in words])


def frozen(store: Store, name: str) -> dict[str, bytes]:
    """Files that a release keeps."""
    return {place: store.place.read(place) or b"" for place in store.place.sizes(f".releases/{name}")}


# -- creating ---------------------------------------------------------------------------------------------------------


def test_a_release_names_products_digests_and_files(store: Store) -> None:
    made = create(store, "DR1")
    assert [one.key for one in made.products] == sorted([KEY, OTHER])
    for one in made.products:
        entry = store.entry(one.key)
        assert (one.digest, list(one.files)) == (entry.digest, list(entry.files))
    assert made.created == "2023-11-14T22:13:20+00:00" and made.bytes == 6
    assert releases.read(store, "DR1") == made and releases.releases(store) == [made]
    told = json.loads(store.read_text(".releases/DR1.json"))
    assert told["digest"] == made.digest and [one["key"] for one in told["products"]] == sorted(
        [KEY.text, OTHER.text]
    )
    assert list(store.entries()) == [store.entry(OTHER), store.entry(KEY)]


def test_a_release_never_changes(store: Store) -> None:
    create(store, "DR1")
    content = store.read_text(".releases/DR1.json")
    with pytest.raises(InputError, match="release DR1 exists already"):
        create(store, "DR1", kinds=["depth"], bands=["H"])
    assert store.read_text(".releases/DR1.json") == content


def test_products_are_chosen_by_kind_band_and_area(store: Store) -> None:
    assert [one.key for one in create(store, "A", bands=["H"]).products] == [OTHER]
    assert [one.key for one in create(store, "B", kinds=["depth"], areas=[KEY.area]).products] == [OTHER, KEY]
    with pytest.raises(InputError, match="must hold products to release"):
        create(store, "C", kinds=["info"])
    assert [one.name for one in releases.releases(store)] == ["A", "B"]


@pytest.mark.parametrize("name", ["", ".hidden", "../x", "a/b", "a b", "-rf", "Ä", "x" * 101, "a\n"])
def test_names_are_plain_words(store: Store, name: str) -> None:
    with pytest.raises(InputError, match="must be named with letters"):
        create(store, name)
    with pytest.raises(InputError, match="must have a release"):
        verify(store, name)


def test_an_altered_product_is_not_released(store: Store) -> None:
    store.place.write(f"{store.below(KEY)}/a.fits", b"eno")
    with pytest.raises(UnverifiedError, match=r"release DR1 cannot be made: .*the content was altered"):
        create(store, "DR1")
    assert releases.releases(store) == [] and frozen(store, "DR1") == {}
    create(store, "DR2", bands=["H"])


def test_what_a_killed_creation_left_is_no_release(store: Store) -> None:
    store.place.write(f".releases/DR1/{store.below(KEY)}/a.fits", b"half")
    store.place.write(f".releases/DR1/{store.below(KEY)}/of-nobody", b"half")
    assert releases.releases(store) == []
    create(store, "DR1")
    assert sorted(frozen(store, "DR1").values()) == [b"one", b"two"]


def test_no_release_is_made_while_a_run_writes(store: Store) -> None:
    store.place.write(".lock", b"7 elsewhere now x")
    with pytest.raises(VmpzError, match="another run holds this store"):
        create(store, "DR1")


def test_a_store_that_is_none_has_no_releases(tmp_path: Path) -> None:
    for ask in (create, lambda store, name: releases.releases(store)):
        with pytest.raises(InputError, match="must be a store"):
            ask(Store(tmp_path / "no"), "DR1")
    assert not list(tmp_path.iterdir())


def test_links_cost_nothing_and_copies_stand_in_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.put(KEY, provenance(), writer("a.fits", "one"))
    create(store, "A")
    assert (store.folder(KEY) / "a.fits").stat().st_nlink == 2

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(places.os, "link", refuse)
    create(store, "B")
    assert (store.folder(KEY) / "a.fits").stat().st_nlink == 2
    assert verify(store, "B").faults == ()


# -- what happens later -----------------------------------------------------------------------------------------------


def test_a_remade_product_leaves_the_release_alone(store: Store) -> None:
    """The new file has the name of the old one, as it has when a run resumes."""
    create(store, "DR1")
    store.put(KEY, provenance(snr=3), writer("a.fits", "new"))
    verdict = verify(store, "DR1")
    assert (verdict.files, verdict.faults) == (2, ())
    assert verdict.since == (f"{KEY.text}: the store has it remade",)
    assert b"one" in frozen(store, "DR1").values()
    create(store, "DR2")
    assert diff(store, "DR1", "DR2") == {"added": [], "removed": [], "changed": [KEY.text]}


def test_a_removed_product_leaves_the_release_alone(store: Store) -> None:
    create(store, "DR1")
    store.place.remove(list(store.place.sizes(store.below(KEY))))
    store.sweep()
    verdict = verify(store, "DR1")
    assert verdict.faults == () and verdict.since == (f"{KEY.text}: the store has it no more",)
    store.put(replace(KEY, band="J"), provenance(), writer("c.fits", "x"))
    assert diff(store, "DR1") == {
        "added": [replace(KEY, band="J").text], "removed": [KEY.text], "changed": [],
    }  # fmt: skip


def test_altered_and_missing_files_of_a_release_are_listed(store: Store) -> None:
    create(store, "DR1")
    one, other = frozen(store, "DR1")
    store.place.write(one, b"xyz")
    store.place.remove([other])
    faults = verify(store, "DR1").faults
    assert len(faults) == 2
    assert any(one in fault and "altered" in fault for fault in faults)
    assert any(other in fault and "missing" in fault for fault in faults)


@pytest.mark.parametrize("change", ["{", '{"name": 3}', "cut", "swap"])
def test_an_altered_list_is_refused(store: Store, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    create(store, "DR1")
    text = store.read_text(".releases/DR1.json")
    digest = store.entry(KEY).digest
    altered = {"cut": text[:-30], "swap": text.replace(digest, digest[::-1])}.get(change, change)
    store.write_text(".releases/DR1.json", altered)
    with pytest.raises(UnverifiedError):
        verify(store, "DR1")
    assert run("release", store.root, "verify", "DR1") == 6
    assert "DR1.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../../out", "/tmp/out"])
def test_a_release_writes_nowhere_else(store: Store, tmp_path: Path, name: str) -> None:
    """A list that somebody made up, its digest right."""
    made = create(store, "DR1")
    one = replace(made.products[0], files=({**made.products[0].files[0], "name": name},))
    store.write_text(".releases/DR1.json", replace(made, products=(one,)).text())
    with pytest.raises(UnverifiedError, match="files must stay in the folder"):
        export(store, "DR1", tmp_path / "out")


def test_sweeping_and_running_leave_releases_alone(store: Store) -> None:
    create(store, "DR1")
    before = frozen(store, "DR1")
    assert store.sweep() == [] and frozen(store, "DR1") == before


# -- handing over -----------------------------------------------------------------------------------------------------


def test_an_export_is_whole_and_sha256sum_says_so(store: Store, tmp_path: Path) -> None:
    create(store, "DR1")
    store.put(KEY, provenance(snr=3), writer("a.fits", "new"))
    out = tmp_path / "out"
    assert export(store, "DR1", out) == 3
    told = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=out, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert len(told.stdout.splitlines()) == 3
    assert (out / store.below(KEY) / "a.fits").read_text() == "one"
    assert json.loads((out / "release.json").read_text())["name"] == "DR1"
    with pytest.raises(InputError, match="must not exist yet, found a folder"):
        export(store, "DR1", out)


def test_an_export_of_altered_files_is_none(store: Store, tmp_path: Path) -> None:
    create(store, "DR1")
    store.place.write(next(iter(frozen(store, "DR1"))), b"xyz")
    with pytest.raises(UnverifiedError, match=r"release DR1: .*altered"):
        export(store, "DR1", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_maps_are_exported_in_other_forms(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    fill(store, [20000], ["VIS"], order=9)
    store.put(replace(KEY, kind="statistics"), provenance("statistics"), writer("a.txt", "a table"))
    create(store, "DR1")
    for form, end in (("moc", ".moc.fits"), ("parquet", ".parquet"), ("hips", ".hips"), ("mangle", ".ply")):
        out = tmp_path / form
        export(store, "DR1", out, form)
        assert (
            subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=out, check=False).returncode == 0
        )
        made = sorted(out.rglob(f"*{end}"))
        assert len(made) == (3 if form == "mangle" else 4) and len(list(out.rglob("a.txt"))) == 1
        entry = next(one for one in store.entries() if one.key.kind == "depth")
        path = next(one for one in made if "~depth~" in str(one))
        one, two = io.read(path).map, io.read(entry.path(".fits")).map
        assert one.cells == two.cells and (one.values == two.values).all()
    with pytest.raises(InputError, match="a form must be one of"):
        export(store, "DR1", tmp_path / "x", "nonsense")


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def maps(tmp_path: Path) -> Iterator[Path]:
    fill(Store(tmp_path / "maps"), [20000], ["VIS", "H"], order=9)
    yield tmp_path / "maps"


def test_the_command_line(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("release", maps, "list") == 0
    assert capsys.readouterr().out == "no releases\n"
    assert run("release", maps, "create", "DR1", "--bands", "VIS", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["products"], told["files"]) == ("DR1", 4, 8)
    assert run("release", maps, "create", "DR1") == 3
    assert "never changes" in capsys.readouterr().err
    assert run("release", maps, "create", "DR2") == 0
    capsys.readouterr()
    assert run("release", maps, "list", "--json") == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["DR1", "DR2"]
    assert run("release", maps, "diff", "DR1", "DR2", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["added"]) == 4
    assert run("release", maps, "diff", "DR2") == 0
    assert capsys.readouterr().out == "no difference\n"
    assert run("release", maps, "export", "DR1", tmp_path / "out") == 0
    assert "9 files" in capsys.readouterr().out and (tmp_path / "out" / "SHA256SUMS").exists()
    assert run("release", maps, "verify", "DR1") == 0
    assert "8 files checked, 0 faults; 0 products" in capsys.readouterr().out


def test_verify_ends_with_6_where_something_is_wrong(maps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("release", maps, "create", "DR1") == 0
    store = Store(maps)
    entry = next(one for one in store.entries() if one.key.kind == "depth")
    put_map(store, entry.key, sky_map(20000, 9, seed=99))
    assert run("release", maps, "verify", "DR1") == 0
    assert "1 products remade or removed since" in capsys.readouterr().out
    assert run("release", maps, "verify", "DR1", "--current") == 6
    assert "the store has it remade" in capsys.readouterr().err
    shutil.rmtree(maps / ".releases" / "DR1" / entry.key.area / entry.key.text)
    assert run("release", maps, "verify", "DR1", "--json") == 6
    assert len(json.loads(capsys.readouterr().out)["faults"]) == 2
    assert run("release", maps, "verify", "none") == 3


def test_a_folder_of_products_with_releases_merges_as_one_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "s")
    for tile in (20000, 20001):
        put_map(store, tile_key(tile, "coverage", order=9), sky_map(tile, 9))
    assert run("merge", store.root, "-o", tmp_path / "a.fits") == 0, capsys.readouterr().err
    create(store, "DR1")
    put_map(store, tile_key(20001, "coverage", order=9), sky_map(20001, 9, seed=1))
    assert run("merge", store.root, "-o", tmp_path / "b.fits") == 0, capsys.readouterr().err
    assert len(io.read(tmp_path / "b.fits").map) > len(sky_map(20000, 9))
