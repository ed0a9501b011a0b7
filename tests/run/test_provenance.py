"""Provenance: every manifest tells it, PROV-JSON carries it, another library reads it, the chain reaches the files."""

import json
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from prov.model import ProvDocument

from conftest import CREATED
from vmpz.cli import _status_of
from vmpz.errors import InputError
from vmpz.files.write import StorageError
from vmpz.run.provenance import entries_of, prov_json, stream_prov, write_prov
from vmpz.run.store import Entry, Store

IVOA = {"DatasetEntity", "Parameter", "Activity", "ActivityDescription", "Agent", "WasConfiguredBy"}
"""The terms of the IVOA provenance model that are used."""


@pytest.fixture(scope="module")
def entries(store: Path) -> list[Entry]:
    return list(Store(store).entries())


@pytest.fixture(scope="module")
def document(store: Path) -> dict[str, Any]:
    return prov_json(store)


def types_of(attributes: dict[str, Any]) -> set[str]:
    told = attributes.get("prov:type", [])
    return {one["$"] for one in (told if isinstance(told, list) else [told])}


def products_in(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: one for name, one in document["entity"].items() if name.startswith("vmpz:product-")}


def before(document: dict[str, Any], name: str) -> set[str]:
    """Everything that an entity was derived from, directly or not."""
    found, todo = set(), [name]
    while todo:
        here = todo.pop()
        for one in document["wasDerivedFrom"].values():
            if one["prov:generatedEntity"] == here and one["prov:usedEntity"] not in found:
                found.add(one["prov:usedEntity"])
                todo.append(one["prov:usedEntity"])
    return found


# -- what manifests hold ----------------------------------------------------------------------------------------------


def test_every_manifest_tells_inputs_parameters_versions_and_instant(entries: list[Entry]) -> None:
    kinds = {entry.key.kind for entry in entries}
    assert {"footprint", "bitmask", "coverage", "info", "depth", "statistics"} <= kinds
    for entry in entries:
        source = entry.provenance
        assert source["recipe"] and source["recipe_version"] >= 1
        assert source["parameters"], entry.key
        assert source["inputs"] or entry.key.kind == "collection"  # its id stands for the list that it is
        assert all(re.fullmatch(r"[0-9a-f]{64}", identity) for identity in source["inputs"].values())
        assert {"vmpz", "numpy", "numba", "astropy", "cdshealpix"} <= set(source["versions"])
        assert source["created"].startswith(CREATED.isoformat()[:16])
        assert source["verified"] is True or entry.key.kind == "collection"
        assert source["digest"] == entry.digest


# -- the document -----------------------------------------------------------------------------------------------------


def test_the_prov_library_reads_it_and_writes_the_same(document: dict[str, Any]) -> None:
    told = ProvDocument.deserialize(content=json.dumps(document))
    again = ProvDocument.deserialize(content=told.serialize())
    assert again == told
    assert len(told.get_records()) == sum(len(document[name]) for name in document if name != "prefix")
    counts = Counter(record.get_type().localpart for record in told.get_records())
    assert counts["Entity"] == len(document["entity"]) and counts["Generation"] == len(document["activity"])
    namespaces = {one.prefix: one.uri for one in told.namespaces}
    assert namespaces["voprov"].startswith("http://www.ivoa.net/documents/ProvenanceDM/")


def test_every_product_stands_once(document: dict[str, Any], entries: list[Entry]) -> None:
    told = products_in(document)
    assert Counter(one["prov:location"].split("/")[1] for one in told.values()) == Counter(
        entry.key.text for entry in entries
    )
    assert len(document["activity"]) == len(document["wasGeneratedBy"]) == len(entries)
    assert Counter(one["prov:entity"] for one in document["wasGeneratedBy"].values()) == Counter(list(told))
    digests = {one["prov:location"].split("/")[1]: one["vmpz:digest"] for one in told.values()}
    assert digests == {entry.key.text: entry.digest for entry in entries}


def test_every_relation_names_what_the_document_has(document: dict[str, Any]) -> None:
    known = set(document["entity"]) | set(document["activity"]) | set(document["agent"])
    for section in ("wasGeneratedBy", "used", "wasDerivedFrom", "wasAssociatedWith"):
        for one in document[section].values():
            ends = {
                value for name, value in one.items() if name not in ("prov:time", "prov:role", "prov:type")
            }
            assert ends <= known


def test_what_every_activity_rests_on_is_told(document: dict[str, Any]) -> None:
    used = Counter(one["prov:activity"] for one in document["used"].values())
    configured = {
        one["prov:activity"]: one["prov:entity"]
        for one in document["used"].values()
        if one["prov:role"] == "configuration"
    }
    associated = {one["prov:activity"]: one for one in document["wasAssociatedWith"].values()}
    for name, one in document["activity"].items():
        assert types_of(one) == {"voprov:Activity"} and one["prov:startTime"] == one["prov:endTime"]
        assert used[name] >= 2 or one["prov:label"].startswith("collection: ")
        assert types_of(document["entity"][configured[name]]) == {"voprov:Parameter"}
        agent = document["agent"][associated[name]["prov:agent"]]
        assert types_of(agent) == {"prov:SoftwareAgent", "voprov:Agent"} and agent["vmpz:numpy"]
        assert "prov:Plan" in types_of(document["entity"][associated[name]["prov:plan"]])


def test_types_are_terms_of_the_models(document: dict[str, Any]) -> None:
    told = {
        name
        for section in document
        if section != "prefix"
        for one in document[section].values()
        for name in types_of(one)
    }
    assert told == {f"voprov:{name}" for name in IVOA} | {"prov:Plan", "prov:SoftwareAgent"}


def test_the_derivation_of_a_patch_reaches_the_files(document: dict[str, Any], survey: Path) -> None:
    names = {path.name for path in survey.parent.rglob("*") if path.is_file()}
    patches = {
        name: one
        for name, one in products_in(document).items()
        if one["vmpz:area"] == "demo" and one["vmpz:kind"] != "collection"
    }
    assert patches
    for name, one in patches.items():
        chain = before(document, name)
        files = {document["entity"][one]["prov:label"] for one in chain if one.startswith("vmpz:file-")}
        assert files and files <= names
        assert all(
            one["vmpz:band"].replace("_", "-") in file for file in files
        )  # even of files of equal content
        tiles = {document["entity"][one]["vmpz:area"] for one in chain if one.startswith("vmpz:product-")}
        assert len(tiles) == 4 and all(any(f"TILE{tile}" in file for file in files) for tile in tiles)
        if one["vmpz:kind"] == "depth":
            assert {re.search(r"(RMS|FLAG|MASKS)", file)[0] for file in files} == {"RMS", "FLAG", "MASKS"}


def test_parameters_stand_once_for_all_tiles(document: dict[str, Any]) -> None:
    told = [
        one
        for one in document["entity"].values()
        if "voprov:Parameter" in types_of(one) and "vmpz:snr" in one
    ]
    assert len(told) == 2  # one a band: the bits differ
    assert {(one["vmpz:snr"], one["vmpz:aperture_arcsec"], one["vmpz:forms.order"]) for one in told} == {
        (5, 2, 12)
    }


def test_a_seed_and_odd_values_are_told(entries: list[Entry]) -> None:
    """Whatever a recipe counts among its parameters comes through as itself or as JSON text."""
    odd = {"seed": 7, "list": [1, 2], "none": None, "far": float("inf"), "table": {"a b": 1.5}, "empty": {}}
    entry = replace(entries[0], provenance={**entries[0].provenance, "parameters": odd})
    told = prov_json([entry])
    (one,) = (one for one in told["entity"].values() if "voprov:Parameter" in types_of(one))
    assert one["vmpz:seed"] == 7 and one["vmpz:list"] == "[1, 2]" and one["vmpz:none"] == "null"
    assert one["vmpz:far"] == {"$": "INF", "type": "xsd:double"}
    assert one["vmpz:table.a%20b"] == 1.5 and one["vmpz:empty"] == "{}"
    assert ProvDocument.deserialize(content=json.dumps(told))


# -- the same for any split -------------------------------------------------------------------------------------------


def test_the_order_of_telling_changes_no_statement(entries: list[Entry], document: dict[str, Any]) -> None:
    assert prov_json(reversed(entries)) == document


# -- one product ------------------------------------------------------------------------------------------------------


def test_one_file_tells_itself_and_all_before_it(store: Path, document: dict[str, Any]) -> None:
    path = next(
        one.path(".fits")
        for one in Store(store).entries()
        if (one.key.area, one.key.kind) == ("demo", "depth")
    )
    told = prov_json(path)
    (name,) = (name for name, one in products_in(told).items() if one["vmpz:area"] == "demo")
    assert {one for one in told["entity"] if one.startswith(("vmpz:product-", "vmpz:file-"))} == {
        name, *before(document, name)
    }  # fmt: skip
    for section in told:
        assert all(document[section][one] == told[section][one] for one in told[section])


def test_a_product_that_is_gone_is_named_by_what_is_known(entries: list[Entry]) -> None:
    patch = next(entry for entry in entries if (entry.key.area, entry.key.kind) == ("demo", "coverage"))
    told = products_in(prov_json([patch]))
    assert len(told) == 5
    whole = products_in(prov_json(entries))
    for name, one in told.items():
        assert whole[name]["vmpz:digest"] == one["vmpz:digest"]
        assert ("prov:location" in one) == (one["prov:label"] == str(patch.key))


@pytest.mark.parametrize("case", ["nothing", "folder", "file", "other"])
def test_what_is_no_product_of_a_store_is_refused(case: str, store: Path, tmp_path: Path) -> None:
    place = {
        "nothing": tmp_path / "nothing",
        "folder": tmp_path,
        "file": tmp_path / "a.fits",
        "other": next(store.glob("*/*/manifest.json")),
    }[case]
    (tmp_path / "a.fits").write_bytes(b"")
    with pytest.raises(InputError, match=f"{re.escape(str(place))}: must"):
        list(entries_of(place))


# -- size, storage, the command line ----------------------------------------------------------------------------------


def many(entries: list[Entry], count: int) -> Iterator[Entry]:
    """Products of tiles that exist nowhere, each with inputs of its own."""
    for number in range(count):
        entry = entries[number % len(entries)]
        key = replace(entry.key, area=str(10**8 + number))
        inputs = {f"{name}.{number}": f"{number:064x}" for name in entry.provenance["inputs"]}
        yield replace(
            entry, key=key, digest=f"{number:064x}", provenance={**entry.provenance, "inputs": inputs}
        )


class Nowhere(StringIO):
    """A stream that keeps nothing but the number of characters."""

    told = 0

    def write(self, text: str) -> int:
        self.told += len(text)
        return len(text)


def test_memory_does_not_grow_with_the_number_of_products(entries: list[Entry]) -> None:
    peaks = []
    for count in (100, 1000):
        stream = Nowhere()
        tracemalloc.start()
        stream_prov(many(entries, count), stream)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert stream.told > 2000 * count
    assert peaks[1] < peaks[0] + 200_000


def test_the_file_is_whole_or_not_there(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    out.write_text("old")
    with pytest.raises(InputError):
        write_prov(tmp_path / "nothing", out)
    assert out.read_text() == "old" and list(tmp_path.iterdir()) == [out]
    with pytest.raises(StorageError):
        write_prov(store, out / "p.json")


def test_the_command_prints_or_writes(
    store: Path, document: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _status_of(["prov", str(store)]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == document
    assert _status_of(["prov", str(store), "-o", str(tmp_path / "p.json")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "p.json")
    assert (tmp_path / "p.json").read_text() == printed
    assert _status_of(["prov", str(tmp_path)]) == 3
    assert "found no products" in capsys.readouterr().err
