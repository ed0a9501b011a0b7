"""Provenance of a store or of one product as PROV-JSON (W3C), with the terms of the IVOA provenance model as types.

Every manifest gives one entity (the product), one activity (its making), and what they rest on: input files, earlier
products, a set of parameters, a recipe (the plan) and the software (the agent). What many products share stands once.

=====================  ==============================================================================================
entity, DatasetEntity  a product (files with their sha256, state, digest, notes) or an input file (its identity)
entity, Parameter      the parameters of a recipe that are alike for many products, a seed among them where it has one
entity, Plan           a recipe and its version
activity, Activity     the making of one product; it starts and ends at the one creation instant of the product, since
                       no clock enters a store
agent, SoftwareAgent   the package with the versions of all libraries that make the values
=====================  ==============================================================================================

Names follow from content (key and digest of a product, name and identity of a file), so documents of several stores fit
together. Nothing grows in memory with the number of products but what the store itself holds: records go to a
temporary database (SQLITE_TMPDIR or TMPDIR say where), then to the document, in the order of the keys.
"""

import errno
import hashlib
import json
import math
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from vmpz.errors import InputError
from vmpz.files.nearby import what_is_at
from vmpz.files.write import StorageError, write_whole
from vmpz.products import ProductKey, encode
from vmpz.run.store import MANIFEST, Entry, Store

__all__ = ["entries_of", "prov_json", "stream_prov", "write_prov"]

PREFIXES = {
    "vmpz": "urn:vmpz:provenance/",
    "voprov": "http://www.ivoa.net/documents/ProvenanceDM/index.html#",
}
SECTIONS = ("entity", "activity", "agent", "wasGeneratedBy", "used", "wasDerivedFrom", "wasAssociatedWith")
OF_THE_TILE = ("cells", "frame")
"""What a recipe counts among its parameters and yet differs from tile to tile: it stands with the activity."""

Attributes = dict[str, Any]


class Record(NamedTuple):
    """One statement of the document; a shared one is made, word for word, by several products."""

    section: str
    id: str
    attributes: Attributes
    shared: bool = False


# -- what is told -----------------------------------------------------------------------------------------------------


def entries_of(where: str | Path) -> Iterator[Entry]:
    """Products whose provenance is asked for, in key order: all of a store, or that of one file and all before it.

    Parameters
    ----------
    where : path or address
        A store, or a file of a product in a local store.

    Raises
    ------
    InputError
        It is neither a store with products nor a product file in its place in a store.
    """
    if "://" not in str(where) and not Path(where).is_dir():
        yield from _lineage(Path(where))
        return
    count = 0
    for entry in Store(where).entries():
        count += 1
        yield entry
    if not count:
        raise InputError(f"{where}: must be a store or a product file in one, found no products")


def _lineage(file: Path) -> Iterator[Entry]:
    """The product of a file and those that it was made of, as far as the store still has them as they were."""
    if not file.is_file():
        raise InputError(f"{file}: must be a store or a product file in one, found {what_is_at(file)}")
    whole = file.resolve()
    folder = next((one for one in whole.parents if (one / MANIFEST).is_file()), whole.parent)
    store, key = Store(folder.parent.parent), _key_of(folder.name)
    entry = None if key is None else store.entry(key)
    if entry is None or whole.relative_to(folder).as_posix() not in {item["name"] for item in entry.files}:
        raise InputError(f"{file}: must lie in its place in a store, beside the manifest that names it")
    found, todo = {entry.key: entry}, [entry]
    while todo:
        for name, digest in todo.pop().provenance["inputs"].items():
            key = _key_of(name)
            before = None if key is None or key in found else store.entry(key)
            if before is not None and before.digest == digest:
                found[before.key] = before
                todo.append(before)
    yield from (found[key] for key in sorted(found))


def prov_json(where: str | Path | Iterable[Entry]) -> dict[str, Any]:
    """The document as a dictionary; see `write_prov` for stores that do not fit in memory.

    Parameters
    ----------
    where : path or iterable of Entry
        A store, a product file in one, or products of a store.

    Raises
    ------
    InputError
        See `entries_of`.
    """
    text = StringIO()
    stream_prov(entries_of(where) if isinstance(where, str | Path) else where, text)
    document: dict[str, Any] = json.loads(text.getvalue())
    return document


def write_prov(where: str | Path, out: Path) -> None:
    """Write the document of a store or of a product file, whole or not at all.

    Raises
    ------
    InputError
        See `entries_of`.
    StorageError
        The system refuses.
    """
    with write_whole(out) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream_prov(entries_of(where), stream)


# -- the document -----------------------------------------------------------------------------------------------------


def stream_prov(entries: Iterable[Entry], stream: TextIO) -> None:
    """Write the document of products to an open stream.

    Raises
    ------
    StorageError
        The temporary database cannot be written.
    """
    database = sqlite3.connect("")  # a file without a name, which the system removes whatever happens
    try:
        _collect(entries, database)
        _tell(database, stream)
    except sqlite3.Error as error:
        place = f"{error}; SQLITE_TMPDIR names another folder for what is temporary"
        raise StorageError(errno.EIO, place, tempfile.gettempdir()) from error
    finally:
        database.close()


def _collect(entries: Iterable[Entry], database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = OFF")
    for section in SECTIONS:
        database.execute(f"CREATE TABLE {section} (id TEXT, record TEXT)")
    database.execute("CREATE TABLE shared (section TEXT, id TEXT PRIMARY KEY, record TEXT) WITHOUT ROWID")
    for entry in entries:
        for record in _records(entry):
            text = json.dumps(record.attributes, sort_keys=True)
            if record.shared:
                values = (record.section, record.id, text)
                database.execute("INSERT OR IGNORE INTO shared VALUES (?, ?, ?)", values)
            else:
                database.execute(f"INSERT INTO {record.section} VALUES (?, ?)", (record.id, text))


def _tell(database: sqlite3.Connection, stream: TextIO) -> None:
    stream.write('{\n"prefix": ' + json.dumps(PREFIXES))
    for section in SECTIONS:
        shared = f"SELECT id, record FROM shared WHERE section = ? AND id NOT IN (SELECT id FROM {section}) ORDER BY id"
        between = "\n"
        stream.write(f',\n"{section}": {{')
        for rows in (
            database.execute(shared, (section,)),
            database.execute(f"SELECT id, record FROM {section} ORDER BY rowid"),
        ):
            for name, record in rows:
                stream.write(f"{between}{json.dumps(name)}: {record}")
                between = ",\n"
        stream.write("\n}")
    stream.write("\n}\n")


# -- one product ------------------------------------------------------------------------------------------------------


def _records(entry: Entry) -> Iterator[Record]:
    """Everything that one manifest says."""
    source, mark = entry.provenance, _mark(entry.key.text, entry.digest)
    product, making = f"vmpz:product-{mark}", f"vmpz:making-{mark}"
    created, recipe = str(source["created"]), str(source["recipe"])
    plan = f"vmpz:recipe-{encode(recipe)}-{source['recipe_version']}"
    agent = f"vmpz:software-{_mark(source['versions'])}"
    yield Record("entity", product, _product(entry))
    yield Record("activity", making, _making(entry))
    yield Record("entity", plan, _recipe(recipe, source["recipe_version"]), shared=True)
    yield Record("agent", agent, _software(source["versions"]), shared=True)
    generated = {"prov:entity": product, "prov:activity": making, "prov:time": created}
    yield Record("wasGeneratedBy", f"_:generation-{mark}", generated)
    associated = {"prov:activity": making, "prov:agent": agent, "prov:plan": plan}
    yield Record("wasAssociatedWith", f"_:association-{mark}", associated)
    yield from _configuration(making, mark, recipe, source["parameters"])
    for number, (name, identity) in enumerate(sorted(source["inputs"].items())):
        before = _input(name, str(identity))
        yield before
        yield Record(
            "used",
            f"_:usage-{mark}-{number}",
            {"prov:activity": making, "prov:entity": before.id, "prov:role": _role(name)},
        )
        yield Record(
            "wasDerivedFrom",
            f"_:derivation-{mark}-{number}",
            {"prov:generatedEntity": product, "prov:usedEntity": before.id, "prov:activity": making},
        )


def _product(entry: Entry) -> Attributes:
    key = entry.key
    said = {name: value for name, value in vars(key).items() if value not in ("-", -1)}
    return {
        "prov:type": _term("voprov:DatasetEntity"),
        "prov:label": str(key),
        "prov:location": f"{encode(key.area)}/{key.text}",
        **{f"vmpz:{name}": value for name, value in said.items()},
        "vmpz:state": entry.state,
        "vmpz:digest": entry.digest,
        "vmpz:verified": bool(entry.provenance["verified"]),
        "vmpz:file": [f"{item['sha256']}  {item['name']}" for item in entry.files],
        **({"vmpz:note": list(entry.provenance["notes"])} if entry.provenance["notes"] else {}),
    }


def _making(entry: Entry) -> Attributes:
    source = entry.provenance
    return {
        "prov:type": _term("voprov:Activity"),
        "prov:label": f"{source['recipe']}: {entry.key}",
        "prov:startTime": str(source["created"]),
        "prov:endTime": str(source["created"]),
        **_attributes(
            {name: source["parameters"][name] for name in OF_THE_TILE if name in source["parameters"]}
        ),
    }


def _recipe(name: str, version: int) -> Attributes:
    types = [_term("prov:Plan"), _term("voprov:ActivityDescription")]
    return {"prov:type": types, "prov:label": f"recipe {name}, version {version}", "vmpz:version": version}


def _software(versions: Mapping[str, str]) -> Attributes:
    types = [_term("prov:SoftwareAgent"), _term("voprov:Agent")]
    return {
        "prov:type": types,
        "prov:label": f"vmpz {versions.get('vmpz', '')}".strip(),
        **_attributes(versions),
    }


def _configuration(making: str, mark: str, recipe: str, parameters: Mapping[str, Any]) -> Iterator[Record]:
    chosen = {name: value for name, value in parameters.items() if name not in OF_THE_TILE}
    name = f"vmpz:parameters-{_mark(recipe, chosen)}"
    said = {
        "prov:type": _term("voprov:Parameter"),
        "prov:label": f"parameters of {recipe}",
        **_attributes(chosen),
    }
    yield Record("entity", name, said, shared=True)
    configured = {
        "prov:activity": making,
        "prov:entity": name,
        "prov:role": "configuration",
        "prov:type": _term("voprov:WasConfiguredBy"),
    }
    yield Record("used", f"_:configuration-{mark}", configured)


def _input(name: str, identity: str) -> Record:
    """An input as an entity: an earlier product by key and digest, or a file by its name and identity.

    A product of the store stands with all that its own manifest says; this is what is left of one that is gone.
    """
    key, data = _key_of(name), _term("voprov:DatasetEntity")
    if key is not None:
        said = {"prov:type": data, "prov:label": str(key), "vmpz:digest": identity}
        return Record("entity", f"vmpz:product-{_mark(key.text, identity)}", said, shared=True)
    file = name.partition(":")[2] or name
    said = {"prov:type": data, "prov:label": file, "vmpz:identity": identity}
    return Record("entity", f"vmpz:file-{_mark(file, identity)}", said, shared=True)


def _key_of(name: str) -> ProductKey | None:
    """The key of an input that is a product, None for a file (``PLANE:file name``, or the plane alone)."""
    try:
        key = ProductKey.parse(name)
    except ValueError:
        return None
    return key if key.text == name else None


def _role(name: str) -> str:
    key = _key_of(name)
    return name.partition(":")[0] if key is None else key.kind


def _term(name: str) -> dict[str, str]:
    return {"$": name, "type": "xsd:QName"}


def _attributes(values: Mapping[str, Any], above: str = "vmpz:") -> Attributes:
    """Attributes of nested values: tables by dotted name, lists and None as JSON text (PROV knows sets alone)."""
    found: Attributes = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _attributes(value, f"{above}{encode(str(name))}.")
        elif isinstance(value, float) and not math.isfinite(value):
            found[f"{above}{encode(str(name))}"] = {"$": str(value).upper(), "type": "xsd:double"}
        else:
            plain = isinstance(value, str | int | float)
            found[f"{above}{encode(str(name))}"] = value if plain else json.dumps(value, sort_keys=True)
    return found


def _mark(*content: Any) -> str:
    """32 hexadecimal digits that follow from a content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]
