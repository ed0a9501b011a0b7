import re
import subprocess
import uuid
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from lxml import etree

import io_helpers
from vmpz import io
from vmpz.errors import InputError
from vmpz.io.envelope import envelope
from vmpz.io.inventory import kind_of, kind_of_name
from vmpz.io.metadata import OWN, keyword
from vmpz.io.xml import NAMESPACE, schema

PRODUCTS = io_helpers.products()

HEADER = [
    "ProductId",
    "ProductType",
    "SoftwareName",
    "SoftwareRelease",
    "EuclidPipelineSoftwareRelease",
    "ProdSDC",
    "DataSetRelease",
    "Purpose",
    "PlanId",
    "PPOId",
    "PipelineDefinitionId",
    "PpoStatus",
    "ManualValidationStatus",
    "ProductNotifiedToBeChecked",
    "AutomatedValidationStatus",
    "ExpirationDate",
    "ToBePublished",
    "Published",
    "Curator",
    "CreationDate",
]


@pytest.fixture(params=[(name, form) for name in PRODUCTS for form in ("healpix", "moc")], ids="-".join)
def written(request, tmp_path):
    name, form = request.param
    path, descriptor = io.write(PRODUCTS[name], tmp_path, form)
    return PRODUCTS[name], kind_of(PRODUCTS[name].key.kind, form), path, descriptor


@pytest.fixture
def coverage(tmp_path):
    return io.write(PRODUCTS["coverage"], tmp_path)


def root_of(descriptor):
    return etree.parse(descriptor).getroot()


def test_the_descriptor_is_valid_by_its_schema(written):
    _, names, _, descriptor = written
    rules = schema(names)
    assert rules.validate(etree.parse(descriptor)), rules.error_log


def test_only_the_root_is_namespaced_and_named_after_the_product(written):
    _, names, _, descriptor = written
    root = root_of(descriptor)
    assert etree.QName(root).localname == names.dpd
    assert etree.QName(root).namespace == f"{NAMESPACE}/{names.schema}"
    assert root.prefix == "dpd-le3-id-vmpz"
    assert descriptor.name.startswith(f"{names.dpd}-102018211-")
    assert all(etree.QName(element).namespace is None for element in root.iterdescendants())
    assert [element.tag for element in root] == ["Header", "Data", "QualityFlags", "Parameters"]


def test_the_header_has_its_children_in_order(written):
    product, names, _, descriptor = written
    header = root_of(descriptor).find("Header")
    assert [element.tag for element in header] == HEADER
    assert str(uuid.UUID(header.findtext("ProductId"))) == product.provenance.product_id
    assert header.findtext("ProductType") == names.dpd
    assert header.findtext("DataSetRelease") == "0.12"
    assert header.findtext("CreationDate") == "2026-03-14T15:09:26.535Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{2,}Z", header.findtext("CreationDate"))
    assert (header.findtext("ToBePublished"), header.findtext("Published"), header.findtext("Purpose")) == (
        "0",
        "0",
        "UNKNOWN",
    )


def test_data_stands_where_readers_look(written):
    product, names, path, descriptor = written
    data = root_of(descriptor).find("Data")
    element = data.find(names.element)
    assert dict(element.attrib) == {"format": names.format_id, "version": "0.1"}
    container = element.find("DataContainer")
    assert container.get("filestatus") == "PROPOSED"
    assert container.findtext("FileName") == path.name
    assert int(data.findtext(f"{names.element}Params/PatchTileList/TileIndexList")) == 102018211
    bands = [one.text for one in data.findall(f"{names.element}Params/FilterList/Filter/Name")]
    wanted = {"effectivecoverage": ["VIS", "NIR_Y"]}.get(
        product.key.kind, [product.key.band.replace("-", "-1")]
    )
    assert bands == wanted
    if product.key.kind == "info":
        assert data.findtext(f"{names.element}Params/Subtype") == product.key.quantity


def test_the_reader_that_takes_any_element_at_a_depth_finds_one(written):
    *_, path, descriptor = written
    root = root_of(descriptor)
    assert len(root.findall("Data/*/*/FileName")) == len(root.findall("Data/*/*/TileIndexList")) == 1
    assert len(root.findall("Data/*/Filter")) <= 1
    assert (path.parent / root.findtext("Data/*/*/FileName")).is_file()


def test_the_projects_keywords_are_repeated_with_units(written):
    _, _, path, descriptor = written
    header = fits.getheader(path, 2 if "MOC" in path.name else 1)
    found = {one.findtext("Key"): one for one in root_of(descriptor).iterfind("Parameters/Parameter")}
    unit = found.pop("TUNIT2", None)
    assert (None if unit is None else unit.findtext("Value")) == header.get("TUNIT2")
    assert set(found) == {name for name in header if (row := keyword(name)) and row.name in OWN}
    for name, one in found.items():
        assert one.findtext("Unit") == (keyword(name).unit or None)
    assert io.read_descriptor(descriptor).parameters == {name: header[name] for name in found}


def test_the_envelope_stands_where_readers_look(written):
    product, _, _, descriptor = written
    polygons = root_of(descriptor).findall("Data/SpatialCoverage/Polygon")
    found = [
        [(float(v.findtext("C1")), float(v.findtext("C2"))) for v in one.findall("Vertex")]
        for one in polygons
    ]
    assert [len(one) for one in found] == [len(one) for one in envelope(product.map.cells)]
    assert np.allclose(np.concatenate(found), np.concatenate(envelope(product.map.cells)), rtol=0, atol=1e-10)
    told = io.read_descriptor(descriptor)
    assert [[*one] for one in told.polygons] == found


def test_the_descriptor_is_read_back(written):
    product, names, path, descriptor = written
    told = io.read_descriptor(descriptor)
    assert (told.names, told.path, told.release) == (names, path, "0.12")
    assert told.product_id == product.provenance.product_id
    assert told.tiles == (102018211,)
    assert io.read(descriptor).key == product.key
    assert io.check(descriptor) == io.check(path) == []


def test_a_patch_lists_its_tiles(tmp_path):
    _, descriptor = io.write(io_helpers.patch(PRODUCTS["coverage"]), tmp_path, tiles=[102018211, 102018212])
    told = io.read_descriptor(descriptor)
    assert told.tiles == (102018211, 102018212)
    assert io.check(descriptor) == []
    assert io.read(descriptor).key.area == "demo"


def test_the_namespace_is_a_choice(tmp_path):
    _, descriptor = io.write(PRODUCTS["depth"], tmp_path, namespace="https://example.org/schema")
    assert (
        etree.QName(root_of(descriptor)).namespace
        == "https://example.org/schema/euc-le3-id-vmpz-HealpixDepthMap.xsd"
    )
    assert io.read_descriptor(descriptor).names is kind_of_name("DpdHealpixDepthMapVMPZ")
    rules = schema(kind_of("depth", "healpix"), "https://example.org/schema")
    assert rules.validate(etree.parse(descriptor))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<FileName>", "<FileName>../"),
        ('filestatus="PROPOSED"', 'filestatus="LOST"'),
        ("<Name>VIS</Name>", "<Name>VIS; DROP</Name>"),
        ("<C2>", "<C2>1"),
        ("<TileIndexList>102018211", "<TileIndexList>many"),
        ("<Purpose>UNKNOWN</Purpose>", ""),
        ("DpdHealpixCoverageVMPZ</ProductType>", "DpdHealpixDepthMapVMPZ</ProductType>"),
    ],
)
def test_the_schema_refuses_what_is_wrong(old, new, coverage):
    text = coverage[1].read_text()
    assert old in text
    rules = schema(kind_of("coverage", "healpix"))
    assert not rules.validate(etree.fromstring(text.replace(old, new).encode()))


@pytest.mark.tool
def test_xmllint_agrees_with_the_schema(coverage, tmp_path):
    xmllint = io_helpers.program("xmllint")
    rules = tmp_path / "rules.xsd"
    names = kind_of("coverage", "healpix")
    template = (io_helpers.SCHEMA).read_text()
    for mark, value in {
        "NAMESPACE": f"{NAMESPACE}/{names.schema}",
        "DPD": names.dpd,
        "ELEMENT": names.element,
        "FORMAT": names.format_id,
    }.items():
        template = template.replace(f"@{mark}@", value)
    rules.write_text(template)
    done = subprocess.run(
        [xmllint, "--noout", "--schema", str(rules), str(coverage[1])], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# -- untrusted descriptors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY x "boom">]>',
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    ],
)
def test_a_doctype_of_any_kind_is_refused(head, coverage):
    text = coverage[1].read_text().split("?>", 1)
    coverage[1].write_text(f"{text[0]}?>{head}{text[1]}")
    with pytest.raises(InputError, match="DOCTYPE not allowed"):
        io.read(coverage[1])
    assert any("DOCTYPE not allowed" in fault for fault in io.check(coverage[1]))


@pytest.mark.parametrize("name", ["../x.fits", "/etc/passwd", "..", "a/../../x.fits", "missing.fits"])
def test_a_file_name_that_leaves_the_folder_is_refused(name, coverage):
    path, descriptor = coverage
    descriptor.write_text(descriptor.read_text().replace(path.name, name))
    with pytest.raises(InputError, match="FileName must"):
        io.read(descriptor)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path):
    inside = tmp_path / "inside"
    path, descriptor = io.write(PRODUCTS["coverage"], inside)
    path.rename(tmp_path / "outside.fits")
    path.symlink_to(tmp_path / "outside.fits")
    with pytest.raises(InputError, match="must not lead out"):
        io.read(descriptor)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("DpdHealpixCoverageVMPZ", "DpdTwoDMassVisibilityMask", "root must be one of the products"),
        ("<CreationDate>2026-03-14T15:09:26.535Z", "<CreationDate>now", "CreationDate"),
        ("<TileIndexList>102018211", "<TileIndexList>many", "TileIndexList"),
        ("<DataSetRelease>0.12</DataSetRelease>", "", "DataSetRelease must stand once"),
        ("</Header>", "", "well-formed"),
    ],
)
def test_what_is_no_descriptor_is_refused(old, new, message, coverage):
    coverage[1].write_text(coverage[1].read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        io.read_descriptor(coverage[1])


def test_check_compares_a_descriptor_with_its_file(coverage):
    path, descriptor = coverage
    text = descriptor.read_text()
    descriptor.write_text(text.replace("<Value>SAT</Value>", "<Value>CR</Value>"))
    assert any("BITN01 must agree" in fault for fault in io.check(path))
    descriptor.write_text(text.replace("<TileIndexList>102018211", "<TileIndexList>7"))
    assert any("TileIndexList must agree" in fault for fault in io.check(path))
    descriptor.write_text(text)
    changed = replace(PRODUCTS["coverage"], keywords={**PRODUCTS["coverage"].keywords, "TELESCOP": "other"})
    io.write_file(changed, path)
    assert any("checksumValue" in fault for fault in io.check(path))


# -- keyword injection --------------------------------------------------------------------------------------

NASTY = [
    "'; DROP TABLE products; --",
    "-rf",
    "two\nlines\nEND",
    "nul\0byte",
    "quote \" and ' and <tag> & ]]>",
    "\N{GREEK SMALL LETTER ALPHA}\N{SNOWMAN}",
    "x" * 10_000,
    "  spaces  ",
    "../../etc/passwd",
    "$(reboot)",
]


@pytest.mark.parametrize("text", NASTY)
def test_nasty_values_are_stored_literally_and_come_back(text, tmp_path):
    short = text[:60]
    key = io_helpers.key("coverage", area=short, band=short, release=short, selection="-")
    words = {"TELESCOP": text, "CORRSRC": text}
    product = io_helpers.make(key, {"WEIGHT": io_helpers.fractions()}, words)
    path, descriptor = io.write(product, tmp_path / "store")
    assert {path.parent, descriptor.parent} == {tmp_path / "store"}
    for one in (path, descriptor):
        assert one.name.isascii() and not set(one.name) & set(" ;'\"$()<>&|\\\n\0")
    for source in (path, descriptor):
        back = io.read(source)
        assert (back.key.area, back.key.band, back.key.release) == (short, short, short)
        assert back.keywords["CORRSRC"] == back.keywords["TELESCOP"] == text
    assert io.check(path) == []


@pytest.mark.tool
@pytest.mark.parametrize("text", NASTY)
def test_headers_with_nasty_values_are_valid(text, tmp_path):
    fitsverify = io_helpers.program("fitsverify")
    product = io_helpers.make(
        io_helpers.key("coverage", band=text[:60]), {"WEIGHT": io_helpers.fractions()}, {"TELESCOP": text}
    )
    path = io.write_file(product, tmp_path / "a.fits")
    told = subprocess.run([fitsverify, str(path)], capture_output=True, text=True).stdout
    assert "0 warning(s) and 0 error(s)" in told, told


def test_band_and_tile_come_from_the_descriptor_where_the_file_names_none(coverage):
    _, descriptor = coverage
    told = io.read_descriptor(descriptor)
    with fits.open(told.path) as file:
        for name in ("FILTER", "MASKBAND", "TILEID"):
            for unit in file:
                unit.header.remove(name, ignore_missing=True)
        file.writeto(told.path, overwrite=True, checksum=True)
    key = io.read(descriptor).key
    assert (key.band, key.area) == (told.filters[0], str(told.tiles[0]))
