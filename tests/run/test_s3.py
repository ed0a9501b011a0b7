"""A store on a real S3 server, behind a proxy that fails, slows down, cuts and spoils."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from s3_helpers import REGION, SECRET, USER, Proxy, Rule, Server, required
from store_helpers import KEY, fill, provenance, writer
from vmpz.cli import _status_of
from vmpz.files import locks, remote
from vmpz.files.write import StorageError
from vmpz.run import index as index_module
from vmpz.run import releases
from vmpz.run.index import Index
from vmpz.run.query import values_at
from vmpz.run.store import MANIFEST, Store

BUCKET = "survey"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A server and the way to it; endpoint and credentials are in the environment, retries of the libraries are few."""
    required()
    import s3fs

    server = Server(tmp_path_factory.mktemp("s3"))
    proxy = Proxy(server.port)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }.items():
            patch.setenv(name, value)
        patch.setattr(s3fs.S3FileSystem, "retries", 1)
        s3fs.S3FileSystem.clear_instance_cache()
        try:
            server.wait()
            s3fs.S3FileSystem().mkdir(BUCKET)
            yield proxy
        finally:
            s3fs.S3FileSystem.clear_instance_cache()
            proxy.close()
            server.stop()


@pytest.fixture
def proxy(server: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """The way to the server, not yet spoilt."""
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(locks, "SETTLE_S", 0.05)
    server.rule = always("", "")
    server.seen.clear()
    server.spoilt.clear()
    return server


@pytest.fixture
def store(proxy: Proxy) -> Store:
    """A new store behind the proxy."""
    return Store(f"s3://{BUCKET}/{uuid4().hex}/s")


def below(store: Store) -> list[str]:
    return sorted(name for name in store.place.sizes("") if not name.startswith("."))


# -- a store ----------------------------------------------------------------------------------------------------------


def test_products_come_and_go(store: Store) -> None:
    assert store.entry(KEY) is None and not store.exists() and list(store.entries()) == []
    entry = store.put(KEY, provenance(snr=5), writer("a.fits", "one"))
    assert store.entry(KEY) == entry and store.exists() and store.has(KEY) and entry.faults() == []
    assert entry.path().read_text() == "one" and entry.location() == f"{store.root}/{entry.below}/a.fits"
    again = store.put(KEY, provenance(snr=3), writer("b.fits", "two"))
    assert [name.rpartition("/")[2] for name in below(store)] == ["b.fits", MANIFEST]
    assert again.path().read_text() == "two"
    store.place.write(f"{entry.below}/c.fits", b"of nobody")
    assert store.sweep() == [f"{store.root}/{entry.below}/c.fits"]
    with store.lock():
        assert store.read_text(".lock").startswith(str(os.getpid()))
    assert store.read_text(".lock") is None


def test_index_query_and_releases(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMPZ_CACHE", str(tmp_path / "cache"))
    remote.cache_folder.cache_clear()
    local = Store(tmp_path / "s")
    for one in (store, local):
        fill(one, [20000], ["VIS"], order=9)
    with Index(store) as index, Index(local) as same:
        rows = [[{**row, "bytes": 0} for row in one.rows()] for one in (index, same)]
    assert rows[0] == rows[1] and len(rows[0]) == 4
    monkeypatch.setattr(index_module, "GRACE_S", -1.0)
    Index(store).close()
    monkeypatch.setattr(Store, "entries_of", lambda self, top: pytest.fail("a manifest was read"))
    Index(store).close()
    monkeypatch.undo()


def test_values_are_those_of_a_local_store(store: Store, tmp_path: Path) -> None:
    local = Store(tmp_path / "s")
    for one in (store, local):
        fill(one, [20000], ["VIS"], order=9)
    lon, lat = np.linspace(270, 290, 50), np.linspace(-10, 10, 50)
    one, two = values_at(store, lon, lat), values_at(local, lon, lat)
    assert list(one) == list(two)
    for name in one:
        np.testing.assert_array_equal(one[name].values, two[name].values)
    made = releases.create(store, "DR1")
    assert made.products and releases.verify(store, "DR1").faults == ()
    store.place.remove([f"{store.below(made.products[0].key)}/{made.products[0].files[0]['name']}"])
    releases.export(store, "DR1", tmp_path / "out")
    assert (
        subprocess.run(
            ["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=False
        ).returncode
        == 0
    )


def test_a_resumed_run_reads_no_object_that_is_as_it_was(store: Store, proxy: Proxy) -> None:
    """The ETag tells: comparing a product costs one listing, not its content."""
    entry = store.put(KEY, provenance(), writer("a.fits", "one" * 1000))
    proxy.seen.clear()
    assert entry.faults() == []
    assert len(proxy.seen) == 1 and "list-type=2" in proxy.seen[0].path


def test_an_etag_that_is_no_digest_is_not_trusted(store: Store, proxy: Proxy) -> None:
    """Where servers encrypt, the ETag is another one: objects are read back and compared by their sha256."""
    proxy.rule = lambda method, path, before: "etag" if method == "HEAD" else None
    entry = store.put(KEY, provenance(), writer("a.fits", "one" * 1000))
    read = [one.path for one in proxy.seen if one.method == "GET" and one.path.endswith("a.fits")]
    assert len(read) == 1 and entry.path().read_text() == "one" * 1000


def test_large_files_go_in_parts_and_a_lost_part_is_sent_again(
    store: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PART", 5 << 20)
    content = np.random.default_rng(1).bytes(12 << 20)

    def write(folder: Path) -> list[Path]:
        (folder / "big.fits").write_bytes(content)
        return [folder / "big.fits"]

    lost = ["reset"]

    def rule(method: str, path: str, before: int) -> str | None:
        return lost.pop() if lost and "partNumber=2" in path else None

    proxy.rule = rule
    entry = store.put(KEY, provenance(), write)
    assert proxy.spoilt and entry.files[0]["etag"].endswith("-3")
    proxy.seen.clear()
    assert entry.faults() == [] and not [one for one in proxy.seen if "big.fits" in one.path]
    assert entry.path().read_bytes() == content


# -- 44: a server that fails ------------------------------------------------------------------------------------------


def first(action: str, **times: int) -> Rule:
    """Spoil the first requests of some methods."""

    def rule(method: str, path: str, before: int) -> str | None:
        times[method] = times.get(method, 0) - 1
        return action if times[method] >= 0 else None

    return rule


def always(action: str, *methods: str) -> Rule:
    return lambda method, path, before: action if method in methods else None


@pytest.mark.parametrize("action", ["500", "503", "reset"])
def test_what_fails_for_a_while_is_tried_again(store: Store, proxy: Proxy, action: str) -> None:
    proxy.rule = first(action, PUT=2, GET=2, HEAD=1)
    entry = store.put(KEY, provenance(), writer("a.fits", "one"))
    assert len(proxy.spoilt) >= 5
    proxy.rule = first(action, GET=2, HEAD=1)
    assert entry.faults() == [] and entry.path().read_text() == "one"
    proxy.rule = first(action, PUT=2, GET=2, HEAD=1, POST=2, DELETE=2)
    again = store.put(KEY, provenance(snr=3), writer("b.fits", "two"))
    assert [one.key for one in store.entries()] == [KEY] and again.faults() == []
    assert [name.rpartition("/")[2] for name in below(store)] == ["b.fits", MANIFEST]


@pytest.mark.parametrize("action", ["500", "503", "reset", "403"])
def test_what_fails_for_good_ends_after_a_few_times_without_a_manifest(
    store: Store, proxy: Proxy, action: str
) -> None:
    proxy.rule = always(action, "PUT")
    with pytest.raises(StorageError) as caught:
        store.put(KEY, provenance(), writer("a.fits", "one"))
    tries = 1 if action == "403" else remote.ATTEMPTS
    assert f"(tried {tries} times)" in str(caught.value) and str(caught.value.filename).startswith(store.root)
    assert 1 <= len(proxy.spoilt) <= 2 * tries
    proxy.rule = always("", "")
    assert below(store) == [] and store.entry(KEY) is None


@pytest.mark.parametrize("action", ["500", "403", "reset"])
def test_no_manifest_names_an_object_that_could_not_be_verified(
    store: Store, proxy: Proxy, action: str
) -> None:
    """The objects arrive; asking for them fails."""
    proxy.rule = lambda method, path, before: action if method == "HEAD" and "a.fits" in path else None
    with pytest.raises(StorageError, match=r"a\.fits"):
        store.put(KEY, provenance(), writer("a.fits", "one"))
    proxy.rule = always("", "")
    assert [name.rpartition("/")[2] for name in below(store)] == ["a.fits"] and store.entry(KEY) is None
    assert len(store.sweep()) == 1


def test_a_refusal_in_the_middle_keeps_the_old_product(store: Store, proxy: Proxy) -> None:
    old = store.put(KEY, provenance(snr=5), writer("a.fits", "one"))
    proxy.rule = lambda method, path, before: "500" if method == "PUT" and "b.fits" in path else None
    with pytest.raises(StorageError):
        store.put(KEY, provenance(snr=3), writer("b.fits", "two"))
    proxy.rule = always("", "")
    assert store.entry(KEY) == old and old.faults() == []


def test_where_an_object_must_give_way_the_manifest_goes_first(store: Store, proxy: Proxy) -> None:
    """A remade file of the same name: at no time does a manifest name what is not there."""
    store.put(KEY, provenance(snr=5), writer("a.fits", "one"))
    proxy.rule = lambda method, path, before: "500" if method == "PUT" and "manifest" in path else None
    with pytest.raises(StorageError):
        store.put(KEY, provenance(snr=3), writer("a.fits", "two"))
    proxy.rule = always("", "")
    assert store.entry(KEY) is None
    entry = store.put(KEY, provenance(snr=3), writer("a.fits", "two"))
    assert entry.path().read_text() == "two"


@pytest.mark.parametrize("action", ["cut", "flip"])
def test_what_is_spoilt_on_its_way_here_is_fetched_again(
    store: Store, proxy: Proxy, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = store.put(KEY, provenance(), writer("a.fits", "one" * 1000))
    left = [action, action]
    proxy.rule = lambda method, path, before: (
        left.pop() if left and method == "GET" and "a.fits" in path else None
    )
    assert entry.path().read_text() == "one" * 1000 and not left
    other = store.put(replace(KEY, band="H"), provenance(), writer("a.fits", "two" * 1000))
    proxy.rule = lambda method, path, before: action if method == "GET" and "a.fits" in path else None
    with pytest.raises(StorageError, match=r"tried 4 times"):
        other.path()
    assert not list(other.folder.glob("*"))


def test_what_is_spoilt_on_its_way_there_is_sent_again(store: Store, proxy: Proxy) -> None:
    left = ["spoil", "spoil"]
    proxy.rule = lambda method, path, before: (
        left.pop() if left and method == "PUT" and "a.fits" in path else None
    )
    entry = store.put(KEY, provenance(), writer("a.fits", "one" * 1000))
    assert entry.faults() == [] and entry.path().read_text() == "one" * 1000 and not left
    proxy.rule = lambda method, path, before: "spoil" if method == "PUT" and "a.fits" in path else None
    with pytest.raises(StorageError):
        store.put(replace(KEY, band="H"), provenance(), writer("a.fits", "two" * 1000))
    proxy.rule = always("", "")
    assert store.entry(replace(KEY, band="H")) is None


def test_a_server_that_is_gone_is_a_failure_of_the_storage(
    store: Store, proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.rule = always("reset", "GET", "HEAD", "PUT", "POST")
    with pytest.raises(StorageError, match="tried 4 times"):
        store.entry(KEY)
    assert _status_of(["list", store.root]) == 5
    assert store.root in capsys.readouterr().err


def test_a_bucket_that_is_none_is_a_failure_of_the_storage(proxy: Proxy) -> None:
    store = Store(f"s3://{uuid4().hex}/s")
    assert not store.exists() and store.entry(KEY) is None
    with pytest.raises(StorageError, match=r"(?i)bucket"):
        store.put(KEY, provenance(), writer("a.fits", "one"))


# -- 45: no condition that a server may ignore ------------------------------------------------------------------------


def test_no_request_relies_on_a_condition(store: Store, proxy: Proxy) -> None:
    with store.lock():
        store.put(KEY, provenance(), writer("a.fits", "one"))
        entry = store.put(KEY, provenance(snr=3), writer("a.fits", "two"))
    assert entry.path().read_text() == "two"
    releases.create(store, "DR1")
    store.place.write(f"{entry.below}/a.fits", b"owt")
    assert "altered" in entry.faults()[0]
    names = {name.lower() for one in proxy.seen for name in one.headers}
    assert not names & {"if-none-match", "if-match", "x-amz-copy-source-if-match"}


SOME = ("--products", "footprint,coverage")

# -- whole runs -------------------------------------------------------------------------------------------------------


def images(folder: Path, patches: bool = True) -> Path:
    """Two small images and the parameters of their survey."""
    folder.mkdir()
    for name, lon in (("a", 10.0), ("b", 10.5)):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [lon, 5.0], [100.5, 100.5], [-6 / 3600, 6 / 3600]
        rms = np.full((200, 200), 0.5, np.float32)
        fits.PrimaryHDU(rms, wcs.to_header()).writeto(folder / f"{name}_rms.fits", checksum=True)
    text = f"""
[[inputs]]
reader = "generic"
location = "{folder}"
options = {{rms = "{{id}}_rms.fits", band = "r", instrument = "CAM", zero_point = 25.0}}
[maps]
order = 12
"""
    text += '[[patches]]\nname = "p"\nall = true\n' if patches else ""
    (folder / "survey.toml").write_text(text)
    return folder / "survey.toml"


def contents(store: Store) -> dict[str, bytes]:
    """All product files by name; manifests and what is told of runs are left out."""
    found = {name: store.place.read(name) or b"" for name in below(store) if name.count("/") > 1}
    return {name: content for name, content in found.items() if not name.endswith(MANIFEST)}


def test_a_whole_run_writes_what_it_writes_into_a_folder(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tiles and patch, the same bytes; then every verb that reads."""
    survey = images(tmp_path / "in")
    words = ("run", str(survey), *SOME, "--created", "2026-01-02T03:04:05", "--json")
    assert _status_of([*words, "--store", str(tmp_path / "s")]) == 0
    assert _status_of([*words, "--store", store.root]) == 0
    assert contents(store) == contents(Store(tmp_path / "s")) != {}
    capsys.readouterr()
    assert _status_of(["run", str(survey), *SOME, "--store", store.root, "--json"]) == 0
    assert "DONE" not in json.loads(capsys.readouterr().out)["counts"]
    assert _status_of(["status", store.root, "--json"]) == 0
    assert "KEPT" in json.loads(capsys.readouterr().out)["counts"]
    assert _status_of(["check", store.root]) == 0
    assert _status_of(["query", store.root, "--at", "10", "5", "--json"]) == 0
    assert _status_of(["list", store.root, "--rebuild"]) == 0
    assert _status_of(["release", store.root, "create", "DR1"]) == 0


@pytest.mark.long
def test_workers_write_what_a_serial_run_writes(store: Store, tmp_path: Path) -> None:
    words = ("run", str(images(tmp_path / "in", patches=False)), *SOME, "--created", "2026-01-02T03:04:05")
    assert _status_of([*words, "--store", str(tmp_path / "s")]) == 0
    assert _status_of([*words, "--store", store.root, "--workers", "2"]) == 0
    assert contents(store) == contents(Store(tmp_path / "s")) != {}


def test_a_second_run_on_an_object_store_is_refused(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    survey = images(tmp_path / "in")
    store.place.write(".lock", b"7 elsewhere 2026-01-01T00:00:00+00:00 x")
    assert _status_of(["run", str(survey), *SOME, "--store", store.root]) == 3
    assert "process 7 on elsewhere since 2026-01-01" in capsys.readouterr().err
    assert [name for name in below(store) if "/" in name] == []


def test_an_object_store_that_fails_ends_the_run_with_5(
    store: Store, proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    survey = images(tmp_path / "in")
    proxy.rule = lambda method, path, before: "500" if method == "PUT" and "coverage" in path else None
    assert _status_of(["run", str(survey), *SOME, "--store", store.root]) == 5
    proxy.rule = always("", "")
    capsys.readouterr()
    assert store.read_text(".lock") is None
    assert not [one for one in store.entries() if one.key.kind == "coverage" or one.faults()]
    assert _status_of(["run", str(survey), *SOME, "--store", store.root]) == 0


def test_deleted_and_altered_objects_are_made_again(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    survey = images(tmp_path / "in")
    assert _status_of(["run", str(survey), *SOME, "--store", store.root]) == 0
    before = contents(store)
    one, other = [
        entry for entry in store.entries() if entry.key.kind == "coverage" and entry.key.area != "p"
    ]
    name = f"{one.below}/{one.files[0]['name']}"
    store.place.write(name, bytes(len(before[name])))
    store.place.remove([f"{other.below}/{other.files[0]['name']}"])
    assert _status_of(["check", store.root]) == 6
    assert name in capsys.readouterr().err
    assert _status_of(["run", str(survey), *SOME, "--store", store.root, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["products"]
    remade = {one["key"] for one in told if one["state"] == "DONE"}
    assert {one.key.text, other.key.text} == remade
    assert contents(store) == before


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from vmpz.cli import _status_of; sys.exit(_status_of(['list', 's3://bucket/x']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3 and "needs the extra vmpz[s3]" in done.stderr
