"""Collections: the same in both forms, whatever the names and reasons; valid by a schema; no fault passes."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

import io_helpers
from vmpz import io
from vmpz.errors import InputError
from vmpz.io.collection import (
    Absent,
    Collection,
    Missing,
    Present,
    Series,
    collection_schema,
    read_collection,
    write_collection,
)
from vmpz.products import ProductKey

CREATED = datetime(2026, 3, 14, 15, 9, 26, 535897, UTC)
ID = "c2d1e1a6-5f0e-5a3c-9d9e-0a1b2c3d4e5f"
SHA, DIGEST = "0123456789abcdef" * 4, "fedcba9876543210" * 4
TILES = ("102018211", "102018212", "102018213", "102018214", "102018215", "102018216")


def key(kind="coverage", band="VIS", area="-", **fields):
    return ProductKey(area, kind, instrument="VIS", band=band, order=14, release="0.12", **fields)


def present(area, cells=19863, area_deg2=0.2499984126984127):
    return Present(
        area,
        f"EUC_LE3_VMPZ-ID_HPCOVERAGE-{area}_20260314T150926.535897Z_0.12.fits",
        SHA,
        DIGEST,
        cells,
        area_deg2,
    )


def collection():
    """Every state, tiles and patch."""
    return Collection(
        ID, "0.12", "south", 12,
        (
            Series(
                key(),
                (present(TILES[0]), present(TILES[1], 0, 0.0)),
                (TILES[2],),
                (Absent(TILES[3], "mosaic.fits has no FLAG"),),
                (Absent(TILES[4], "BITPIX must be -32 | file: a.fits\nTraceback <&>"),),
                (TILES[5],),
                ("102018217",),
            ),
            Series(key("statistics"), (present(TILES[0], None, None),)),
            Series(key(area="south"), (present("south"),)),
        ),
    )  # fmt: skip


def complete():
    whole = collection()
    first = replace(whole.series[0], no_input=(), failed=(), not_asked=())
    return replace(whole, series=(first, *whole.series[1:]))


@pytest.fixture
def paths(tmp_path):
    return write_collection(collection(), tmp_path, CREATED)


def test_complete_means_that_every_relevant_product_is_present_or_empty():
    assert not collection().is_complete and complete().is_complete
    for part in ("no_input", "failed", "not_asked"):
        lacking = replace(complete().series[0], **{part: getattr(collection().series[0], part)})
        assert not replace(complete(), series=(lacking,)).is_complete
    assert list(complete().missing()) == []
    assert collection().counts() == {"PRESENT": 4, "EMPTY": 1, "NOINPUT": 1, "FAILED": 1, "NOTASKED": 2}


def test_what_is_missing_is_told_with_its_reason():
    assert list(collection().missing()) == [
        Missing(key(area=TILES[3]), "NOINPUT", "mosaic.fits has no FLAG"),
        Missing(key(area=TILES[4]), "FAILED", collection().series[0].failed[0].reason),
        Missing(key(area=TILES[5]), "NOTASKED", "no run has made it"),
    ]
    assert str(next(collection().missing())) == f"NOINPUT: {TILES[3]} VIS coverage: mosaic.fits has no FLAG"


def test_names(paths):
    stem = "DpdCollectionVMPZ-south-20260314T150926.535897Z_0.12"
    assert [path.name for path in paths] == [f"{stem}.xml", f"{stem}.json"]


def test_both_forms_say_the_same(paths):
    for path in paths:
        assert read_collection(path) == collection()
        assert io.check(path) == []


def test_the_same_bytes_every_time(paths, tmp_path):
    again = write_collection(collection(), tmp_path / "again", CREATED)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_summary(paths):
    for path in paths:
        told = io.summary(path)
        assert (told["kind"], told["area"], told["complete"], told["NOTASKED"]) == (
            "collection",
            "south",
            False,
            2,
        )


def test_the_json_is_what_others_expect(paths):
    content = json.loads(paths[1].read_text())
    assert content["complete"] is False and content["counts"]["PRESENT"] == 4
    assert (content["patch"], content["order"], content["release"], content["id"]) == (
        "south",
        12,
        "0.12",
        ID,
    )
    first = content["series"][0]
    assert first["PRESENT"][0] == [TILES[0], present(TILES[0]).file, SHA, DIGEST, 19863, 0.2499984126984127]
    assert first["NOINPUT"] == [[TILES[3], "mosaic.fits has no FLAG"]] and first["EMPTY"] == [TILES[2]]
    assert (first["kind"], first["band"], first["NOTASKED"]) == ("coverage", "VIS", [TILES[5]])


def test_the_xml_has_the_published_frame_and_is_valid(paths):
    root = etree.parse(str(paths[0])).getroot()
    assert etree.QName(root).localname == "DpdCollectionVMPZ" and not etree.QName(root[0]).namespace
    assert [child.tag for child in root] == ["Header", "Data", "QualityFlags", "Parameters"]
    assert root.findtext("Header/ProductId") == ID and root.findtext("Header/DataSetRelease") == "0.12"
    assert root.findtext("Header/CreationDate") == "2026-03-14T15:09:26.535Z"
    counts = {
        one.findtext("Key"): int(one.findtext("Value")) for one in root.iterfind("Parameters/Parameter")
    }
    assert counts == collection().counts()
    rules = collection_schema()
    assert rules.validate(root), rules.error_log


WORDS = st.text(min_size=1, max_size=12).filter(lambda text: not re.search("[\ud800-\udfff]", text))
AREAS = st.lists(WORDS, max_size=3).map(tuple)
ABSENTS = st.lists(st.builds(Absent, WORDS, st.one_of(st.just(""), WORDS)), max_size=3).map(tuple)
CELLS = st.one_of(st.none(), st.integers(0, 2**40))
SIZES = st.one_of(st.none(), st.floats(0, 41253))
PRESENTS = st.lists(
    st.builds(Present, WORDS, WORDS, st.just(SHA), st.just(DIGEST), CELLS, SIZES), max_size=3
).map(tuple)
KEYS = st.builds(
    ProductKey, WORDS, WORDS, WORDS, WORDS, WORDS, WORDS, WORDS, st.integers(-1, 29), st.just("0.12")
)
SERIES = st.builds(Series, KEYS, PRESENTS, AREAS, ABSENTS, ABSENTS, AREAS, AREAS)


@settings(max_examples=60, deadline=None)
@given(st.lists(SERIES, max_size=3).map(tuple), WORDS, WORDS)
def test_any_collection_comes_back(tmp_path_factory, series, patch, release):
    whole = Collection(ID, release, patch, 12, series)
    for path in write_collection(whole, tmp_path_factory.mktemp("any"), CREATED):
        assert read_collection(path) == whole
        assert not [fault for fault in io.check(path) if "difference" in fault]


# -- faults -----------------------------------------------------------------------------------------------------------


def test_two_forms_that_differ_are_found(paths):
    other = paths[1]
    other.write_text(other.read_text().replace(TILES[5], "102018999"))
    for path in paths:
        (fault,) = io.check(path)
        assert "found a difference" in fault


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SHA, "0123"),
        ('cells="19863"', 'cells="-1"'),
        ("<Complete>false</Complete>", "<Complete>perhaps</Complete>"),
        ("<Untouched>", "<Overlooked>"),
        ('kind="coverage" ', 'kind="" '),
    ],
)
def test_the_schema_finds(old, new, paths):
    text = paths[0].read_text()
    assert old in text
    text = text.replace(old, new).replace(
        "</Untouched>", "</Overlooked>" if "Overlooked" in new else "</Untouched>"
    )
    paths[0].write_text(text)
    paths[1].unlink()
    assert io.check(paths[0])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"type": "DpdCollectionVMPZ"}', '{"type": "x"}', "[" * 100_000,
     '{"type": "DpdCollectionVMPZ", "id": "a", "release": "b", "patch": "c", "order": "x", "series": []}',
     '{"type": "DpdCollectionVMPZ", "id": "a", "release": "b", "patch": "c", "order": 1, "series": [{}]}'],
)  # fmt: skip
def test_what_is_no_collection_is_refused(text, tmp_path):
    path = tmp_path / "DpdCollectionVMPZ-a.json"
    path.write_text(text)
    with pytest.raises(InputError, match="must be a collection"):
        read_collection(path)
    assert len(io.check(path)) == 1


@pytest.mark.parametrize("text", ["", "<a/>", "<DpdCollectionVMPZ/>", "<!DOCTYPE a []><DpdCollectionVMPZ/>"])
def test_xml_that_is_no_collection_is_refused(text, tmp_path):
    path = tmp_path / "DpdCollectionVMPZ-a.xml"
    path.write_text(text)
    with pytest.raises(InputError):
        read_collection(path)


def test_a_descriptor_is_no_collection(tmp_path):
    _, xml = io.write(io_helpers.products()["coverage"], tmp_path)
    with pytest.raises(InputError, match="found ValueError"):
        read_collection(xml)
