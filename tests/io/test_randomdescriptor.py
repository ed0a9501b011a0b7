"""The descriptor of a random catalogue, and its published names."""

from datetime import timedelta

import numpy as np
import pytest
from lxml import etree

import random_helpers
from vmpz import io
from vmpz.io.inventory import kind_of, kind_of_name, kind_of_token
from vmpz.io.names import descriptor_name, file_name, parse_name
from vmpz.io.xml import schema
from vmpz.sky.cells import CellSet

ROWS = 300


@pytest.fixture
def catalogue(tmp_path):
    product = random_helpers.product()
    return random_helpers.write_fits(
        tmp_path / str(file_name(product, "catalogue")), random_helpers.points(ROWS)
    )


@pytest.fixture
def descriptor(catalogue):
    arrays = random_helpers.points(ROWS)
    cells = CellSet.from_cells(14, np.unique(arrays["HPIX_29"] >> 30))
    product = random_helpers.product(NSIMOBJ=ROWS, CAT_NOBJ=ROWS, HPXORDER=14)
    return io.describe(product, catalogue, cells, form="catalogue", tiles=[102018211, 102018212])


def test_names(catalogue, descriptor):
    assert catalogue.name == "EUC_LE3_VMPZ-ID_RANDOMCATALOG-CONCAT-20260314T150926.535897Z_0.12.fits"
    assert descriptor.name == "DpdRandomCatalogVMPZ-CONCAT-20260314T150926.535897Z_0.12.xml"
    assert kind_of_token("RANDOMCATALOG") == ("random", "-")
    names = kind_of("random", "catalogue")
    assert kind_of_name("DpdRandomCatalogVMPZ") is names
    assert (names.schema, names.format_id, names.data_type, names.element, names.params) == (
        "euc-le3-id-vmpz-RandomCatalog.xsd", "le3.id.vmpz.randomcatalog", "vmpzid:randomCatalogVMPZ", "RandomCatalog",
        "RandomParams",
    )  # fmt: skip
    for form, end in (("catalogue", "fits"), ("parquet", "parquet"), ("hats", "hats")):
        name = str(file_name(random_helpers.product(), form))
        assert name.endswith(f".{end}") and str(parse_name(name)) == name


def test_its_elements(catalogue, descriptor):
    root = etree.parse(descriptor).getroot()
    data = root.find("Data")
    assert [one.tag for one in data] == [
        "RandomCatalog",
        "RandomParams",
        "SpatialCoverage",
        "CatalogDescription",
    ]
    assert data.find("RandomCatalog").get("format") == "le3.id.vmpz.randomcatalog"
    assert data.findtext("RandomCatalog/DataContainer/FileName") == catalogue.name
    params = data.find("RandomParams")
    assert [one.tag for one in params] == ["DateObs", "DateEnd", "FilterList", "PatchTileList"]
    assert params.findtext("DateObs") == "2024-05-01T01:02:03.250Z"
    assert params.findtext("PatchTileList/TileIndexList") == "102018211 102018212"
    told = {one.tag: one.text for one in data.find("CatalogDescription")}
    assert told["PathToCatalogFile"] == "DpdRandomCatalogVMPZ.Data.RandomCatalog.DataContainer.FileName"
    assert told["CatalogFormatHDU"] == "1" and told["CatalogName"] == "RANDOMCATALOG"
    rules = schema(kind_of("random", "catalogue"))
    assert rules.validate(root), rules.error_log
    lon = [float(one.text) for one in data.iterfind("SpatialCoverage/Polygon/Vertex/C1")]
    assert min(lon) < 10.1 and max(lon) > 12.9


@pytest.mark.parametrize(
    ("path", "child"), [("Data", "CatalogDescription"), ("Data/CatalogDescription", "CatalogType")]
)
def test_the_schema_misses_what_is_not_there(path, child, descriptor):
    root = etree.parse(descriptor).getroot()
    parent = root.find(path)
    parent.remove(parent.find(child))
    assert not schema(kind_of("random", "catalogue")).validate(root)


def test_it_reads_back_and_agrees_with_its_file(catalogue, descriptor):
    told = io.read_descriptor(descriptor)
    assert (told.path, told.md5, told.tiles) == (catalogue, "", (102018211, 102018212))
    words = io.open_random(catalogue).keywords
    assert told.parameters["SEED"] == "18446744073709551615" and told.parameters["NSIMOBJ"] == ROWS
    assert told.parameters.items() <= words.items()
    assert io.check(descriptor) == io.check(catalogue) == []


def test_a_descriptor_that_lies_is_found(catalogue, descriptor):
    text = descriptor.read_text()
    for old, new, message in (
        ("<Value>18446744073709551615</Value>", "<Value>1</Value>", "SEED must agree"),
        ("<Value>1000.0</Value>", "<Value>999.0</Value>", "DENSITY must agree"),
        ("<CatalogFormatHDU>1<", "<CatalogFormatHDU>0<", "CatalogFormatHDU"),
        (catalogue.name, "EUC_away.fits", "found"),
    ):
        assert old in text
        descriptor.write_text(text.replace(old, new))
        assert any(message in fault for fault in io.check(descriptor)), message
    descriptor.write_text(text.replace("<Value>1000.0</Value>", "<Value>999.0</Value>"))
    assert any("DENSITY must agree" in fault for fault in io.check(catalogue))


def test_catalogues_of_one_microsecond_apart_have_names_of_their_own():
    one = random_helpers.product()
    later = one.provenance.created + timedelta(microseconds=1)
    other = type(one)(
        one.key, {}, None, one.keywords, "", random_helpers.io_helpers.provenance(created=later)
    )
    names = {descriptor_name(product, "catalogue") for product in (one, other)}
    assert len(names) == 2
