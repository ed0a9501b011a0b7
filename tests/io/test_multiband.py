"""Files of several bands: every band gives back what it was, in both layouts, and other software reads it."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

import io_helpers
from io_helpers import CELLS, ORDER
from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.io.multiband import bands_in
from vmpz.io.rows import open_rows
from vmpz.parameters import MapParameters
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

UNSEEN = np.float32(-1.6375e30)
RELEVANT = ("NIR_Y", "VIS", "NIR_H")
LAYOUTS = ("hdus", "columns")
AREAS = {"TILEAREA": 30.0, "OBSAREA": 20.0}


def band(name, kind="coverage", cells=CELLS, words=None, unit="", values=None, **fields):
    """A patch product of a band."""
    cells = np.sort(np.asarray(cells))
    values = io_helpers.fractions(len(name), cells) if values is None else values
    instrument = "VIS" if name == "VIS" else "NISP"
    key = io_helpers.key(kind, band=name, instrument=instrument, **fields)
    return io_helpers.patch(io_helpers.make(key, {"WEIGHT": values}, words or {}, unit, cells))


def coverages():
    """Two bands that differ in cells, flag bits and areas."""
    nir = {"BITSEL": "0,1", "BITTABLE": "nir", "BITTABVR": "3", "BITN00": "INVALID", "BITN01": "SATUR"}
    return [
        band("VIS", words={**io_helpers.BITS, **AREAS}, selection="INVALID,SAT,STARMASK"),
        band("NIR_Y", cells=CELLS[7:], words={**nir, "OBSAREA": 19.0}, selection="INVALID,SATUR"),
    ]


def write(bands, path, layout, maps=None, relevant=RELEVANT, processed=("VIS", "NIR_Y"), **more):
    io.write_multiband(
        bands, path, maps or MapParameters(), layout,
        relevant=relevant, processed=processed, skypatch="south", **more,
    )  # fmt: skip
    return path


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return request.param


# -- the layout -------------------------------------------------------------------------------------------------------


def test_one_table_a_band_in_the_order_of_the_list(tmp_path):
    path = write(coverages(), tmp_path / "a.fits", "hdus")
    with fits.open(path, checksum="warn") as hdus:
        first, *tables = hdus
        wanted = {"FILTER": "-1", "INSTRUME": "-1", "TILEID": -1, "LISTID": "demo", "SKYPATCH": "south"}
        wanted |= {"FILTLST": "NIR_Y,VIS,NIR_H", "BANDREL": "NIR_Y,VIS,NIR_H", "BANDPRC": "NIR_Y,VIS"}
        assert {name: first.header[name] for name in wanted} == wanted and first.header["NAXIS"] == 0
        assert [table.name for table in tables] == ["NIR_Y", "VIS", "NIR_H"]
        assert [len(table.data) for table in tables] == [CELLS.size - 7, CELLS.size, 0]
        for table in tables:
            assert (table.columns.names, table.columns.formats) == (["PIXEL", "WEIGHT"], ["K", "E"])
            assert table.header["FILTER"] == table.header["MASKBAND"] == table.name
        assert [table.header["INSTRUME"] for table in tables] == ["NISP", "VIS", "-1"]
        assert [table.header.get("BITSEL", "-1") for table in tables] == ["0,1", "0,1,32", "-1"]


@pytest.mark.parametrize("name", ["coverage", "bitmask", "depth", "noise", "exposures", "mjd"])
def test_the_table_of_a_band_is_that_of_a_file_of_its_own(name, tmp_path):
    """Same columns, same rows byte for byte, same keywords."""
    product = io_helpers.patch(io_helpers.products()[name])
    alone = io.write_file(product, tmp_path / "alone.fits")
    path = write([product], tmp_path / "a.fits", "hdus", relevant=("VIS",), processed=("VIS",))
    with fits.open(alone) as one, fits.open(path) as other:
        assert one[1].data.tobytes() == other[1].data.tobytes()
        of_one = {card.keyword: card.value for card in one[1].header.cards}
        of_other = {card.keyword: card.value for card in other[1].header.cards}
        own = {"EXTNAME", "CHECKSUM"}
        assert {name: of_other[name] for name in of_one.keys() - own} == {
            name: of_one[name] for name in of_one.keys() - own
        }
        primary = {card.keyword: card.value for card in one[0].header.cards}
        for name in of_other.keys() - of_one.keys() - own:
            assert of_other[name] == primary[name]


def test_columns_stand_side_by_side_and_unseen_where_there_is_nothing(tmp_path):
    bands = coverages()
    path = write(bands, tmp_path / "a.fits", "columns")
    with fits.open(path, checksum="warn") as (first, table):
        assert table.columns.names == ["PIXEL", "NIR_Y", "VIS", "NIR_H"]
        assert table.columns.formats == ["K", "E", "E", "E"]
        assert table.header["EXTNAME"] == "HPCOVERAGE" and "TUNIT2" not in table.header
        assert first.header["FILTLST"] == "NIR_Y,VIS,NIR_H" and first.header["BITSEL"] == "-1"
        assert np.array_equal(table.data["PIXEL"], np.sort(CELLS))
        for one in bands:
            expected = one.map.of_cells(np.sort(CELLS), UNSEEN)
            assert np.array_equal(table.data[one.key.band], expected)
        assert np.all(table.data["NIR_H"] == UNSEEN)


def test_units_and_depths(tmp_path, layout):
    bands = [
        band("VIS", "depth", unit="mag", values=24 + io_helpers.fractions(2), words=io_helpers.DEPTH),
        band("NIR_Y", "depth", unit="mag", words={**io_helpers.DEPTH, "SNRLEVEL": 10.0}),
    ]
    path = write(bands, tmp_path / "a.fits", layout, relevant=("VIS", "NIR_Y"))
    found = io.read_multiband(path)
    assert [found[one.key.band].unit for one in bands] == ["mag", "mag"]
    assert [dict(found[one.key.band].maps) for one in bands] == [dict(one.maps) for one in bands]
    levels = [one.keywords.get("SNRLEVEL") for one in found.values()]
    assert levels == ([5.0, 10.0] if layout == "hdus" else [None, None])


# -- there and back ---------------------------------------------------------------------------------------------------


def test_a_band_is_what_a_file_of_its_own_gives(tmp_path):
    bands = coverages()
    path = write(bands, tmp_path / "a.fits", "hdus")
    found = io.read_multiband(path)
    assert list(found) == list(RELEVANT)
    for one in bands:
        own = io.read(io.write_file(one, tmp_path / "own.fits"))
        band_of = found[one.key.band]
        assert (band_of.key, dict(band_of.maps), band_of.unit) == (own.key, dict(own.maps), own.unit)
        patch = {"SKYPATCH": "south", "BANDREL": "NIR_Y,VIS,NIR_H", "BANDPRC": "NIR_Y,VIS"}
        assert band_of.keywords == {**own.keywords, **patch}
    assert len(found["NIR_H"].map) == 0 and found["NIR_H"].key.band == "NIR_H"


def test_columns_give_the_maps_and_what_all_bands_share(tmp_path):
    bands = coverages()
    found = io.read_multiband(write(bands, tmp_path / "a.fits", "columns"))
    assert list(found) == list(RELEVANT)
    for one in bands:
        assert dict(found[one.key.band].maps) == dict(one.maps)
        assert found[one.key.band].key == replace(one.key, instrument="-", selection="-", release="-")
    assert len(found["NIR_H"].map) == 0


def test_several_columns_a_band(tmp_path):
    product = io_helpers.patch(io_helpers.products()["bitmask"])
    path = write([product], tmp_path / "a.fits", "hdus")
    assert dict(io.read_multiband(path)["VIS"].maps) == dict(product.maps)
    with pytest.raises(InputError, match="one column of real numbers, found WEIGHT, BIT00"):
        write([product], tmp_path / "b.fits", "columns")
    assert not (tmp_path / "b.fits").exists()


CHOICES = st.lists(st.sets(st.integers(0, 47), max_size=40), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(CHOICES, st.sampled_from(LAYOUTS), st.sampled_from(["OBSERVED", "MER"]), st.integers(1, 9))
def test_any_bands_come_back(tmp_path_factory, sets, layout, convention, rows):
    names = [f"B{number}" for number in range(len(sets))]
    rng = np.random.default_rng(rows)
    bands = [
        band(name, cells=sorted(cells), values=rng.integers(1, 4097, len(cells)).astype("f4") / 4096)
        for name, cells in zip(names, sets, strict=True)
    ]
    maps = MapParameters(coverage_convention=convention)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vmpz.io.fits.ROWS", rows)  # blocks of a few rows
        path = write(bands, tmp_path_factory.mktemp("any") / "a.fits", layout, maps, names, ())
    found = io.read_multiband(path)
    assert {name: one.map for name, one in found.items()} == {one.key.band: one.map for one in bands}
    assert io.check(path) == []


@pytest.mark.parametrize("convention", ["OBSERVED", "MER"])
def test_conventions(convention, layout, tmp_path):
    values = np.r_[np.zeros(3), np.linspace(0.1, 1, CELLS.size - 3)].astype("f4")
    bands = [band("VIS", values=values), band("NIR_Y", values=values[::-1].copy())]
    maps = MapParameters(coverage_convention=convention, write_zeros=True)
    path = write(bands, tmp_path / "a.fits", layout, maps, ("VIS", "NIR_Y"))
    table = fits.getdata(path, 1)
    stored = table["WEIGHT" if layout == "hdus" else "VIS"]
    assert stored[0] == (0 if convention == "OBSERVED" else 1)
    assert fits.getheader(path, 1)["COVCONV"] == convention
    assert io.read(path, "VIS").map == bands[0].map and io.read(path, "NIR_Y").map == bands[1].map


def test_files_of_the_package_are_copied_block_by_block(layout, tmp_path, monkeypatch):
    bands = coverages()
    files = [open_rows(io.write_file(one, tmp_path / f"{one.key.band}.fits")) for one in bands]
    sources = [replace(file, key=one.key) for file, one in zip(files, bands, strict=True)]
    monkeypatch.setattr("vmpz.io.multiband.ROWS", 7)
    expected = write(bands, tmp_path / "a.fits", layout).read_bytes()
    assert write(sources, tmp_path / "b.fits", layout).read_bytes() == expected
    mer = MapParameters(coverage_convention="MER")
    expected = write(bands[1:], tmp_path / "c.fits", layout, mer).read_bytes()
    assert write(sources[1:], tmp_path / "d.fits", layout, mer).read_bytes() == expected


def test_an_altered_file_is_never_copied(layout, tmp_path):
    (one, _) = coverages()
    path = io.write_file(one, tmp_path / "v.fits")
    file = replace(open_rows(path), key=one.key)
    content = bytearray(path.read_bytes())
    content[file.offset + 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="DATASUM must be"):
        write([file], tmp_path / "a.fits", layout)
    assert not (tmp_path / "a.fits").exists()


def test_the_same_bytes_every_time(layout, tmp_path):
    one, two = (write(coverages()[::step], tmp_path / f"{step}.fits", layout) for step in (1, -1))
    assert one.read_bytes() == two.read_bytes()


# -- names, descriptor, and the verbs ---------------------------------------------------------------------------------


def test_published_name_and_descriptor(layout, tmp_path):
    path, xml = io.publish_multiband(
        coverages(), tmp_path, MapParameters(), layout,
        relevant=RELEVANT, processed=["VIS"], skypatch="south", provenance=io_helpers.provenance(),
        tiles=(102018211, 102018212),
    )  # fmt: skip
    assert path.name == "EUC_LE3_VMPZ-ID_HPCOVERAGE-CONCAT-20260314T150926.535897Z_0.12.fits"
    assert xml.name == "DpdHealpixCoverageVMPZ-CONCAT-20260314T150926.535897Z_0.12.xml"
    told = io.read_descriptor(xml)
    assert (told.filters, told.tiles, told.path) == (RELEVANT, (102018211, 102018212), path)
    assert told.parameters["BANDPRC"] == "VIS" and told.parameters["SKYPATCH"] == "south"
    assert io.check(path) == [] and io.check(xml) == []
    root = etree.parse(str(xml)).getroot()
    assert len(root.findall("Data/SpatialCoverage/Polygon/Vertex")) > 3
    assert io.read(xml, "NIR_Y").map == coverages()[1].map
    assert io.read(xml, "NIR_Y").key.release == "0.12"


def test_one_band_must_be_named(layout, tmp_path):
    path = write(coverages(), tmp_path / "a.fits", layout)
    assert bands_in(path) == RELEVANT
    for wanted in (None, "NIR_J"):
        with pytest.raises(
            InputError, match=r"holds the bands NIR_Y, VIS, NIR_H.*vmpz convert IN OUT --band NIR_Y"
        ):
            io.read(path, wanted)
    out = io.convert(path, tmp_path / "v.moc.fits", band="VIS")
    assert io.read(out).map == coverages()[0].map
    assert io.read(out).key.band == "VIS"
    alone = io.write_file(coverages()[0], tmp_path / "own.fits")
    assert io.read(alone, "VIS").map == coverages()[0].map and bands_in(alone) == ()
    with pytest.raises(InputError, match="must hold the band NIR_Y, found VIS"):
        io.read(alone, "NIR_Y")
    with pytest.raises(InputError, match="must hold several bands"):
        io.read_multiband(alone)


def test_an_effective_coverage_is_no_file_of_several_bands(tmp_path):
    path = io.write_file(io_helpers.products()["effectivecoverage"], tmp_path / "a.fits")
    assert bands_in(path) == () and io.read(path).keywords["FILTLST"] == "VIS,NIR_Y"


def test_summary_tells_every_band(layout, tmp_path):
    told = io.summary(write(coverages(), tmp_path / "a.fits", layout))
    assert (told["kind"], told["band"], told["order"]) == ("coverage", "NIR_Y,VIS,NIR_H", ORDER)
    assert (told["NIR_Y cells"], told["VIS cells"], told["NIR_H cells"]) == (CELLS.size - 7, CELLS.size, 0)
    assert told["VIS observed_area_deg2"] == pytest.approx(coverages()[0].map.integral_deg2())
    assert told["NIR_H maximum"] is None and told["BANDPRC"] == "NIR_Y,VIS"


def test_a_strict_file_lacks_the_keywords_of_the_project(layout, tmp_path):
    path, xml = io.publish_multiband(
        coverages(), tmp_path, MapParameters(strict_dpdd=True), layout,
        relevant=RELEVANT, processed=RELEVANT, skypatch="south", provenance=io_helpers.provenance(),
    )  # fmt: skip
    with fits.open(path) as hdus:
        for name in ("BANDREL", "BANDPRC", "SKYPATCH", "WGTKIND", "DEGRULE", "PRODDIG"):
            assert not any(name in hdu.header for hdu in hdus)
    found = io.read(xml, "VIS")
    assert found.map == coverages()[0].map and found.keywords["BANDREL"] == "NIR_Y,VIS,NIR_H"
    assert io.check(xml) == []


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevant": ("VIS",)}, "must be among the relevant ones, VIS; found VIS, NIR_Y"),
        ({"processed": ("NIR_J",)}, "found VIS, NIR_Y, NIR_J"),
        ({"relevant": (*RELEVANT, "vis")}, "differ by more than their case"),
        ({"relevant": (*RELEVANT, "a,b")}, "a name without commas, found 'a,b'"),
        ({"relevant": (*RELEVANT, "-1")}, "a name without commas, found '-1'"),
        ({"relevant": (*RELEVANT, "pixel")}, "differ by more than their case"),
    ],
)
def test_bands_must_be_named_well(change, message, layout, tmp_path):
    with pytest.raises(InputError, match=message):
        write(coverages(), tmp_path / "a.fits", layout, **change)
    assert not list(tmp_path.iterdir())


def test_what_does_not_belong_together_is_refused(tmp_path):
    one = coverages()[0]
    others = {
        "kind": band("NIR_Y", "footprint"),
        "order": band("NIR_Y", order=ORDER + 1),
        "release": band("NIR_Y", release="0.13"),
        "area": replace(one, key=replace(one.key, band="NIR_Y", area="north")),
    }
    for part, other in others.items():
        with pytest.raises(MapMismatchError, match=f"{part} must agree"):
            write([one, other], tmp_path / "a.fits", "hdus")
    with pytest.raises(InputError, match="differ by more than their case, found VIS, VIS"):
        write([one, one], tmp_path / "a.fits", "hdus")
    with pytest.raises(InputError, match="found none"):
        write([], tmp_path / "a.fits", "hdus", processed=())
    assert not list(tmp_path.iterdir())


def test_faults_are_found_in_every_band(tmp_path):
    path = write(coverages(), tmp_path / "a.fits", "hdus")
    with fits.open(path) as hdus:
        hdus[2].data["WEIGHT"][0] = 1.5
        hdus[1].header["ORDERING"] = "RING"
        hdus.writeto(tmp_path / "b.fits", checksum=True)
    faults = " ".join(io.check(tmp_path / "b.fits"))
    assert "[2 VIS]: WEIGHT must lie in [0, 1]" in faults and "[1 NIR_Y]: ORDERING must be 'NESTED'" in faults


# -- other people's software ------------------------------------------------------------------------------------------


@pytest.mark.gpl
def test_healpy_reads_every_band(layout, tmp_path):
    healpy = pytest.importorskip("healpy")
    bands = {one.key.band: one for one in coverages()}
    path = write(list(bands.values()), tmp_path / "a.fits", layout)
    for number, name in enumerate(RELEVANT):
        where = {"hdu": number + 1} if layout == "hdus" else {"field": number}
        found = healpy.read_map(str(path), nest=True, dtype=None, **where)
        expected = np.full(hpx.number_of_cells(ORDER), UNSEEN)
        if name in bands:
            expected[bands[name].map.cells.cells()] = bands[name].map.values
        assert np.array_equal(found, expected)


@pytest.mark.gpl
def test_healsparse_reads_the_first_table(tmp_path):
    healsparse = pytest.importorskip("healsparse")
    path = write(coverages(), tmp_path / "a.fits", "hdus", relevant=("VIS", "NIR_Y"))
    found = healsparse.HealSparseMap.read(str(path), nside_coverage=32)
    assert np.array_equal(found.valid_pixels, np.sort(CELLS))


@pytest.mark.tool
@pytest.mark.parametrize("strict", [False, True])
def test_fitsverify_finds_nothing(layout, strict, tmp_path):
    fitsverify = io_helpers.program("fitsverify")
    path = write(coverages(), tmp_path / "a.fits", layout, MapParameters(strict_dpdd=strict))
    told = subprocess.run([fitsverify, str(path)], capture_output=True, text=True).stdout
    assert "0 warning(s) and 0 error(s)" in told, told


def test_the_cells_that_are_listed_are_told(layout, tmp_path):
    cells = io.write_multiband(
        coverages(), tmp_path / "a.fits", MapParameters(), layout,
        relevant=RELEVANT, processed=(), skypatch="south",
    )  # fmt: skip
    assert cells == CellSet.from_cells(ORDER, CELLS)
