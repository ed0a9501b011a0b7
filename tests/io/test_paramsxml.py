"""Parameter products: one to one with the parameters, published names, faults named by file, line and element."""

import random
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

import io_helpers
import parameter_strategies
from vmpz import io
from vmpz.cli import _status_of
from vmpz.errors import InputError
from vmpz.files.write import StorageError
from vmpz.io.paramsxml import NAMESPACE, PRODUCTS, params_schema
from vmpz.io.xml import NAMESPACE as OUT
from vmpz.parameters import Parameters, as_toml, load

CREATED = datetime(2026, 3, 14, 15, 9, 26, 535897, UTC)
DEFAULTS = Parameters(inputs=[{"location": "."}])


def document(name: str, data: str = "", pairs: str = "", kind: str | None = None) -> str:
    """A product from elsewhere: its own namespace, more in the header than we know, no order, no units."""
    return (
        f'<?xml version="1.0"?>\n<x:{name} xmlns:x="http://example.org/in">\n'
        f"<Header><ProductType>{kind or name}</ProductType><Newer>1</Newer></Header>\n"
        f"<Data>\n{data}\n</Data>\n<QualityFlags/>\n<Parameters>{pairs}</Parameters>\n</x:{name}>\n"
    )


def pair(key: str, value: str, element: str = "Value", unit: str = "") -> str:
    more = f"<Unit>{unit}</Unit>" if unit else ""
    return f"<Parameter><Key>{key}</Key><{element}>{value}</{element}>{more}</Parameter>"


@pytest.fixture
def told(tmp_path):
    """Read documents given as text."""

    def read(*documents, base=None, ignore=()):
        paths = []
        for number, text in enumerate(documents):
            paths.append(tmp_path / f"{number}.xml")
            paths[-1].write_text(text)
        return io.read_parameters(paths, base, ignore)

    return read


@pytest.fixture
def written(tmp_path):
    return io.write_parameters(DEFAULTS, tmp_path / "products", CREATED)


def roots(paths):
    return {path: etree.parse(path).getroot() for path in paths}


def names_of(path):
    return next(row for row in PRODUCTS.values() if path.name.startswith(f"{row.dpd}-"))


# -- one to one -------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(parameter_strategies.parameters())
def test_every_parameter_survives(tmp_path_factory, parameters):
    folder = tmp_path_factory.mktemp("products")
    paths = io.write_parameters(parameters, folder, CREATED)
    for path in paths:
        rules = params_schema(names_of(path))
        assert rules.validate(etree.parse(path)), rules.error_log
    back = io.read_parameters([folder]).parameters
    assert back.model_copy(update={"inputs": parameters.inputs}) == parameters
    assert io.read_parameters(paths, parameters).parameters == parameters


@settings(max_examples=20, deadline=None)
@given(parameter_strategies.parameters(), parameter_strategies.parameters())
def test_what_the_products_say_replaces_the_base_and_the_inputs_stay(tmp_path_factory, parameters, base):
    folder = tmp_path_factory.mktemp("products")
    io.write_parameters(parameters, folder, CREATED)
    back = io.read_parameters([folder], base).parameters
    assert back == parameters.model_copy(update={"inputs": base.inputs})


@settings(max_examples=20, deadline=None)
@given(parameter_strategies.parameters(), st.randoms(use_true_random=False), st.booleans())
def test_the_order_of_elements_and_a_block_around_them_do_not_matter(
    tmp_path_factory, parameters, luck, in_a_block
):
    folder = tmp_path_factory.mktemp("products")
    for path in io.write_parameters(parameters, folder, CREATED):
        tree = etree.parse(path)
        data = tree.find("Data")
        children = list(data)
        luck.shuffle(children)
        data[:] = children
        if in_a_block:
            block = etree.SubElement(data, "FootprintMaskHealpixParams")
            block.extend(luck.sample(children, len(children) // 2))
        tree.write(path)
    back = io.read_parameters([folder]).parameters
    assert back.model_copy(update={"inputs": parameters.inputs}) == parameters


def test_a_value_stands_in_one_place(written):
    """An element that is changed changes the parameter: no copy of it in the block contradicts it."""
    for path, old, new, key in (
        ("DpdDepthMap", "<SnrLevel>5.0<", "<SnrLevel>7.5<", ("depth", "snr", 7.5)),
        ("DpdBitMask", "<Bit>INVALID<", "<Bit>SAT<", ("bitmask", "bits", ["SAT"])),
        (
            "DpdInfoMap",
            "<Statistic>RMSQ<",
            "<Statistic>MEDIAN<",
            ("info", "maps", ["Noise:MEDIAN", "Exposures:COUNT"]),
        ),
        ("DpdMangle", "<WeightStep>0.0<", "<WeightStep>0.25<", ("mangle", "weight_step", 0.25)),
    ):
        file = next(one for one in written if one.name.startswith(path))
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
        section, name, value = key
        assert getattr(getattr(io.read_parameters(written).parameters, section), name) == value


def test_the_same_parameters_make_the_same_bytes(written, tmp_path):
    again = io.write_parameters(DEFAULTS, tmp_path / "again", CREATED)
    assert [one.read_bytes() for one in again] == [one.read_bytes() for one in written]
    other = io.write_parameters(
        DEFAULTS.model_copy(update={"depth": DEFAULTS.depth.model_copy(update={"snr": 3.0})}),
        tmp_path / "b",
        CREATED,
    )
    ids = [
        [root.findtext("Header/ProductId") for root in roots(paths).values()]
        for paths in (written, again, other)
    ]
    assert ids[0] == ids[1] != ids[2]
    assert len(set(ids[0])) == len(written)


# -- published names --------------------------------------------------------------------------------------------------

PUBLISHED = [
    ("footprint", "Footprint", "FootprintMask", "FootprintMask", "weightMaskGeneric"),
    ("info", "InfoMaps", "InfoMap", "InfoMap", "infoMap"),
    ("info", "InfoMap", "InfoMap", "InfoMap", "infoMap"),
    ("depth", "Depth", "DepthMap", "DepthMap", "depthMap"),
    ("visibility", "Visibility", "VisibilityMask", "VisibilityMask", "visibilityMask"),
    ("random", "Random", "Random", "Random", "randomCatalog"),
    ("bitmask", "BitMask", "BitMask", "BitMask", "bitMask"),
    ("coverage", "Coverage", "CoverageMask", "CoverageMask", "coverageMask"),
    ("mangle", "Mangle", "Mangle", "Mangle", "mangle"),
]


@pytest.mark.parametrize(("section", "label", "dpd", "schema", "data_type"), PUBLISHED)
def test_names_are_the_published_ones(section, label, dpd, schema, data_type, told):
    row = PRODUCTS[section]
    assert row.dpd == f"Dpd{dpd}ParamsVMPZ" and row.schema == f"euc-le3-id-vmpz-Params{schema}.xsd"
    assert row.data_type == f"{data_type}ParamsVMPZ"
    for name in (f"VMPZIDParams{label}", row.dpd):
        assert told(document(name, "<Filter>VIS</Filter>")).parameters.survey.bands == ["VIS"]


def test_a_product_has_the_shape_of_all_products(written):
    assert [path.name for path in written] == [
        f"{PRODUCTS[section].dpd}-survey.xml"
        for section in ("footprint", "bitmask", "coverage", "info", "depth", "visibility", "random", "mangle")
    ]
    head = None
    for path, root in roots(written).items():
        names = names_of(path)
        assert etree.QName(root).localname == names.dpd
        assert etree.QName(root).namespace == f"{NAMESPACE}/{names.schema}"
        assert root.prefix == "dpd-le3-id-vmpz"
        assert all(etree.QName(element).namespace is None for element in root.iterdescendants())
        assert [element.tag for element in root] == ["Header", "Data", "QualityFlags", "Parameters"]
        assert root.findtext("Header/ProductType") == names.dpd
        assert root.findtext("Header/CreationDate") == "2026-03-14T15:09:26.535Z"
        head = head or [element.tag for element in root.find("Header")]
        assert [element.tag for element in root.find("Header")] == head
    assert OUT.removesuffix("out") + "in" == NAMESPACE


def test_the_header_is_that_of_the_maps(written, tmp_path):
    _, descriptor = io.write(io_helpers.products()["depth"], tmp_path)
    wanted = [element.tag for element in etree.parse(descriptor).find("Header")]
    assert [element.tag for element in etree.parse(written[0]).find("Header")] == wanted


def test_published_elements_hold_what_they_can(tmp_path):
    parameters = Parameters(
        inputs=[{"location": "."}],
        survey={"instruments": ["VIS"], "bands": ["VIS"]},
        maps={"order": 12, "forms": ["moc"], "moc_order": 10},
        bitmask={"bits": ["INVALID", "SAT"], "table": {"VIS": "vis-pf14"}},
        coverage={"bits": {"VIS": ["SAT"]}},
        info={"maps": ["Noise:RMSQ", "Noise:MEDIAN", "PSF:MEAN"]},
        depth={"bits": [], "psf_fwhm_arcsec": 0.7, "correlated_noise": {"VIS": 1.2}},
        mangle={"kinds": ["coverage"], "max_order": 9, "convention": "MER"},
    )
    data = {
        names_of(path).section: root.find("Data")
        for path, root in roots(io.write_parameters(parameters, tmp_path, CREATED)).items()
    }
    for one in data.values():
        assert (one.findtext("Instrument"), one.findtext("Filter"), one.findtext("NsideWork")) == (
            "VIS",
            "VIS",
            "4096",
        )
        assert one.findtext("OutputFormat/MOCParams/MOCOrder") == "10"
    assert [one.text for one in data["bitmask"].findall("BitList/Bit")] == ["INVALID", "SAT"]
    assert data["coverage"].findtext("BitTableList/BitTable/Name") == "vis-pf14"
    assert data["coverage"].find("BitList") is None  # by band: no published element holds it
    maps = [
        (one.findtext("Info"), [statistic.text for statistic in one.findall("Statistic")])
        for one in data["info"].findall("InfoMapList/InfoMap")
    ]
    assert maps == [("Noise", ["RMSQ", "MEDIAN"]), ("PSF", ["MEAN"])]
    depth = data["depth"]
    assert depth.find("BitList") is not None and not len(depth.find("BitList"))
    assert depth.findtext("PsfKind") == "PARAMETER" and depth.find("CorrelatedNoise") is None
    assert depth.findtext("ExtinctionCorrected") == "false"
    assert (
        data["mangle"].findtext("MaxOrder") == "9" and data["mangle"].findtext("KindList/Kind") == "coverage"
    )


def test_units_stand_beside_the_keys_that_have_one(written):
    depth = next(root for path, root in roots(written).items() if path.name.startswith("DpdDepth"))
    units = {one.findtext("Key"): one.findtext("Unit") for one in depth.iterfind("Parameters/Parameter")}
    assert units["depth.psf_fwhm_arcsec"] == "arcsec"
    assert {unit for key, unit in units.items() if not key.endswith(("_arcsec", "_deg"))} == {None}


def test_the_namespace_is_a_choice(tmp_path):
    paths = io.write_parameters(DEFAULTS, tmp_path, CREATED, namespace="https://example.org/in")
    for path, root in roots(paths).items():
        names = names_of(path)
        assert etree.QName(root).namespace == f"https://example.org/in/{names.schema}"
        assert params_schema(names, "https://example.org/in").validate(root)
    assert io.read_parameters(paths).parameters == DEFAULTS


@pytest.mark.tool
def test_xmllint_agrees_with_the_schema(written, tmp_path):
    xmllint = io_helpers.program("xmllint")
    template = (io_helpers.SCHEMA.parent / "params.xsd").read_text()
    for path in written:
        names, text = names_of(path), template
        for mark, value in {
            "NAMESPACE": f"{NAMESPACE}/{names.schema}", "DPD": names.dpd, "TYPE": names.data_type,
        }.items():  # fmt: skip
            text = text.replace(f"@{mark}@", value)
        (tmp_path / "rules.xsd").write_text(text)
        command = [xmllint, "--noout", "--schema", str(tmp_path / "rules.xsd"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


# -- products from elsewhere ------------------------------------------------------------------------------------------


def test_published_elements_alone_leave_the_rest_to_the_defaults(told):
    assert told(document("DpdFootprintMaskParamsVMPZ")).parameters == DEFAULTS
    found = told(
        document(
            "DpdDepthMapParamsVMPZ",
            "<SnrLevel>10</SnrLevel><NsideWork>4096</NsideWork><BitList>INVALID, SAT</BitList>"
            "<OutputFormat><MOCParams><MOCOrder>12</MOCOrder></MOCParams></OutputFormat><Instrument>VIS</Instrument>",
        )
    ).parameters
    assert found == Parameters(
        inputs=[{"location": "."}],
        survey={"instruments": ["VIS"]},
        maps={"order": 12, "forms": ["moc"]},
        depth={"snr": 10.0, "bits": ["INVALID", "SAT"]},
    )


@pytest.mark.parametrize(
    "data",
    [
        "<FilterList><Filter><Name>VIS</Name></Filter><Filter><Name>NIR_Y</Name></Filter></FilterList>",
        "<FilterList><Filter>VIS</Filter><Filter>NIR_Y</Filter></FilterList>",
        "<CoverageMaskHealpixParams><FilterList><Filter><Name>VIS</Name></Filter><Filter><Name>NIR_Y</Name></Filter>"
        "</FilterList></CoverageMaskHealpixParams>",
    ],
)
def test_filters_are_found_on_every_path(data, told):
    assert told(document("DpdCoverageMaskParamsVMPZ", data)).parameters.survey.bands == ["VIS", "NIR_Y"]


def test_what_is_not_used_says_nothing(told):
    data = "<Telescope>-1</Telescope><Instrument>-1</Instrument><Filter>-1</Filter><TileIndex>-1</TileIndex>"
    data += "<MerTileListID>-1</MerTileListID><BitList>-1</BitList><PsfKind>-1</PsfKind>"
    data += "<SourceProfile>-1</SourceProfile>"
    found = told(document("DpdDepthMapParamsVMPZ", data))
    assert (
        found.tiles == () and found.parameters.survey == DEFAULTS.survey and found.parameters.depth.bits == []
    )


def test_the_telescope_stands_for_its_instruments(told):
    name = "DpdFootprintMaskParamsVMPZ"
    found = told(document(name, "<Telescope>Euclid</Telescope>")).parameters
    assert found.survey.instruments == ["VIS", "NISP"]
    found = told(document(name, "<Telescope>NOAO</Telescope><Instrument>DECAM</Instrument>")).parameters
    assert found.survey.instruments == ["DECAM"]
    with pytest.raises(InputError, match="must be the telescope of VIS, found NOAO"):
        told(document(name, "<Telescope>NOAO</Telescope><Instrument>VIS</Instrument>"))


def test_tiles_without_a_list_are_an_argument_of_the_run(told):
    for data in (
        "<TileIndex>102018211</TileIndex>",
        "<XParams><PatchTileList><TileIndexList>102018211</TileIndexList></PatchTileList></XParams>",
    ):
        found = told(document("DpdFootprintMaskParamsVMPZ", data), document("DpdDepthMapParamsVMPZ", data))
        assert found.tiles == ("102018211",) and found.parameters == DEFAULTS


def test_a_list_of_tiles_is_a_patch(told):
    data = (
        "<MerTileListID>L1</MerTileListID><PatchTileList><TileIndexList>2 10 1</TileIndexList></PatchTileList>"
        "<NsideWork>16384</NsideWork>"
        "<OutputFormat><PartialHealpixParams><NsideOut>4096</NsideOut></PartialHealpixParams></OutputFormat>"
    )
    found = told(document("DpdFootprintMaskParamsVMPZ", data))
    (patch,) = found.parameters.patches
    assert (patch.name, patch.list_id, patch.tiles, patch.order) == ("L1", "L1", ["2", "10", "1"], 12)
    assert found.tiles == () and found.parameters.maps.order == 14


def test_the_id_of_a_list_alone_is_that_of_a_patch_of_the_base(told):
    text = document("DpdFootprintMaskParamsVMPZ", "<MerTileListID>L1</MerTileListID>")
    patches = [{"name": "a", "all": True}, {"name": "b", "list_id": "L1", "cap": (1, 2, 3)}]
    base = Parameters(inputs=[{"location": "x"}], patches=patches)
    assert told(text, base=base).parameters == base
    with pytest.raises(InputError, match=r"0.xml:5: Data/MerTileListID: must stand beside its tiles"):
        told(text)


def test_numbers_of_bits_are_names_by_the_table_in_force(told):
    table = "<BitTableList><BitTable><For>VIS</For><Name>vis-pf14</Name></BitTable></BitTableList>"
    found = told(document("DpdCoverageMaskParamsVMPZ", f"<BitList>0 3 NO_DATA</BitList>{table}")).parameters
    assert found.coverage.bits == {"VIS": ["INVALID", "SAT", "NO_DATA"]}
    text = document("DpdDepthMapParamsVMPZ", "<BitList><Bit>1</Bit><Bit>32</Bit></BitList>")
    base = Parameters(inputs=[{"location": "."}], bitmask={"table": {"VIS": "vis-pf14", "NISP": "nir"}})
    bits = told(text, base=base).parameters.depth.bits
    assert set(bits) == {"VIS", "NISP"} and all(names[1] == "STARMASK" for names in bits.values())
    with pytest.raises(
        InputError, match=r"0.xml:5: Data/BitList: must hold names, or numbers beside the bit table"
    ):
        told(text)
    with pytest.raises(InputError, match=r"must be bits of the table vis-pf14 \(0 INVALID.*found 31"):
        told(document("DpdCoverageMaskParamsVMPZ", f"<BitList>31</BitList>{table}"))


def test_one_quantity_alone_has_its_own_statistic(told):
    for data, maps in (
        ("<Info>PSF</Info>", ["PSF:MEAN"]),
        (
            "<Info>Noise</Info><Statistic>Std</Statistic><Statistic>Max</Statistic>",
            ["Noise:STD", "Noise:MAX"],
        ),
    ):
        assert told(document("VMPZIDParamsInfoMaps", data)).parameters.info.maps == maps
    with pytest.raises(InputError, match=r"0.xml:5: Data/Info: Info must be one of Tile.*found 'Nose'"):
        told(document("DpdInfoMapParamsVMPZ", "<Info>Nose</Info>"))


def test_values_of_other_names_are_read(told):
    pairs = pair("depth.source", "info", "StringValue") + pair("depth.snr", "3", "IntValue")
    pairs += pair("depth.half_light_arcsec", "0.5", "DoubleValue", "arcsec")
    depth = told(document("DpdDepthMapParamsVMPZ", "", pairs)).parameters.depth
    assert (depth.source, depth.snr, depth.half_light_arcsec) == ("info", 3.0, 0.5)


@pytest.mark.parametrize(
    ("name", "data", "key"),
    [
        ("DpdDepthMapParamsVMPZ", "<DateObs>2025-01-01T00:00:00Z</DateObs>", "DateObs"),
        ("DpdDepthMapParamsVMPZ", "<DateEnd>2025-01-01T00:00:00.123456Z</DateEnd>", "DateEnd"),
        ("DpdDepthMapParamsVMPZ", "<Telescope>NOAO</Telescope>", "Telescope"),
        ("DpdDepthMapParamsVMPZ", "<PsfKind>HEADER</PsfKind>", "PsfKind"),
        ("DpdVisibilityMaskParamsVMPZ", "<DateObs>2025-01-01T00:00:00Z</DateObs>", "DateObs"),
        ("DpdRandomParamsVMPZ", "<DateEnd>2025-01-01T00:00:00Z</DateEnd>", "DateEnd"),
    ],
)
def test_what_no_parameter_holds_is_refused_by_name_or_ignored_by_name(name, data, key, told):
    with pytest.raises(
        InputError, match=rf"0.xml:5: Data/{key}: must be left out, or be ignored by name: .*; found "
    ):
        told(document(name, data))
    assert told(document(name, data), ignore=[key]).parameters == DEFAULTS


def test_all_that_has_no_place_is_told_at_once(told):
    text = document(
        "DpdVisibilityMaskParamsVMPZ",
        "<DateObs>2025-01-01T00:00:00Z</DateObs>\n<DateEnd>2025-01-02T00:00:00Z</DateEnd>",
        pair("MethodType", "KS", "StringValue") + pair("depth.snr", "3"),
    )
    with pytest.raises(InputError) as caught:
        told(text, ignore=["DateEnd"])
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "Data/DateObs", "Parameters/Parameter[1]", "Parameters/Parameter[2]",
    ]  # fmt: skip
    assert all("ignored by name" in line for line in lines)


# -- classes of galaxies and random catalogues ---------------------------------------------------------------------

VISIBILITY, RANDOM = "DpdVisibilityMaskParamsVMPZ", "DpdRandomParamsVMPZ"
DEPTHS = (
    "<ReferenceDepthList><ReferenceDepth><Filter>VIS</Filter><Depth>25.7</Depth></ReferenceDepth>"
    "<ReferenceDepth><Filter>NIR_Y</Filter><Depth>24</Depth></ReferenceDepth></ReferenceDepthList>"
)
SCHECHTER = (
    "<LuminosityFunction><MStar>-20.5</MStar><Alpha>-1.1</Alpha><RedshiftMin>0.2</RedshiftMin>"
    "<RedshiftMax>0.9</RedshiftMax></LuminosityFunction>"
)


def test_elements_of_classes_hold_what_they_can(tmp_path):
    classes = [
        {
            "name": "bin1",
            "reference": {"VIS": 25.7, "a b": float("-inf")},
            "luminosity": {"m_star": -20.5, "alpha": -1.1, "redshift": (0.2, 0.9), "k_correction": "k.fits"},
            "selection": {"snr": 7.0, "bands": ["VIS"]},
        },
        {
            "name": "bin2",
            "reference": {"VIS": 25.7},
            "deep": {"catalogue": "deep <1>.parquet", "fluxes": {"VIS": "F"}},
            "selection": {"completeness": "expression", "expression": "snr_VIS > 5 and z_phot < 1"},
            "seed": 2**64 - 1,
        },
        {"name": "faint", "reference": {"VIS": 25.7}, "counts": {"slope": 0.3}},
    ]
    random = {"seed": 2**64 - 1, "number": 10**9, "scheme": "exact"}
    parameters = Parameters(
        inputs=[{"location": "."}], visibility=classes, random=random, depth={"estimator": "PSF"}
    )
    paths = io.write_parameters(parameters, tmp_path, CREATED)
    data = {names_of(path).section: root.find("Data") for path, root in roots(paths).items()}
    listed = data["visibility"].findall("ClassList/Class")
    assert [one.findtext("BinSel") for one in listed] == ["bin1", "bin2", "faint"]
    assert data["visibility"].findtext("DepthEst") == "PSF"
    assert [one.findtext("Depth") for one in listed[0].iter("ReferenceDepth")] == ["25.7", "-INF"]
    found = {one.tag: one.text for one in listed[0].find("LuminosityFunction")}
    assert found == {
        "MStar": "-20.5", "Alpha": "-1.1", "PhiStar": "1.0", "RedshiftMin": "0.2", "RedshiftMax": "0.9",
    }  # fmt: skip
    assert listed[0].findtext("Selection/SnrLevel") == "7.0"
    assert listed[1].findtext("DeepSample/Catalogue") == "deep <1>.parquet"
    assert listed[1].findtext("Selection/Expression") == "snr_VIS > 5 and z_phot < 1"
    assert listed[1].findtext("SelectionSeed") == str(2**64 - 1)
    assert listed[2].findtext("NumberCounts/Slope") == "0.3"
    found = {one.tag: one.text for one in data["random"] if not one.tag.startswith(("Nside", "Output"))}
    assert found == {"Seed": str(2**64 - 1), "NSimObj": "1000000000", "Scheme": "exact"}
    assert io.read_parameters(paths).parameters == parameters
    path = next(one for one in paths if one.name.startswith(VISIBILITY))
    path.write_text(path.read_text().replace("<SnrLevel>7.0<", "<SnrLevel>9<"))
    assert io.read_parameters(paths).parameters.visibility[0].selection.snr == 9.0


@pytest.mark.parametrize(
    "holder", ["{}", "<ClassList><Class>{}</Class></ClassList>", "<XParams>{}</XParams>"]
)
def test_one_class_may_stand_alone(holder, told):
    data = "<DepthEst>EXTENDED</DepthEst>" + holder.format(f"<BinSel>bin1</BinSel>{DEPTHS}{SCHECHTER}")
    found = told(document(VISIBILITY, data, pair("visibility.0.step", "0.1"))).parameters
    (one,) = found.visibility
    assert found.depth.estimator == "EXTENDED" and one.step == 0.1
    assert (one.name, one.reference) == ("bin1", {"VIS": 25.7, "NIR_Y": 24.0})
    assert (one.luminosity.m_star, one.luminosity.alpha, one.luminosity.redshift) == (-20.5, -1.1, (0.2, 0.9))
    assert one.selection.completeness == "gaussian"


def test_a_name_alone_is_a_class_of_the_base(told):
    base = Parameters(
        inputs=[{"location": "."}],
        visibility=[
            {"name": name, "reference": {"VIS": 25.0}, "counts": {"slope": slope}}
            for name, slope in (("a", 0.2), ("b", 0.4))
        ],
    )
    text = "<BinSel>b</BinSel><Selection><SnrLevel>7</SnrLevel></Selection>"
    (one,) = told(document(VISIBILITY, text), base=base).parameters.visibility
    assert (one.name, one.counts.slope, one.reference, one.selection.snr) == ("b", 0.4, {"VIS": 25.0}, 7.0)
    text = "<BinSel>-1</BinSel><DepthEst>-1</DepthEst>"
    assert told(document(VISIBILITY, text), base=base).parameters == base
    with pytest.raises(InputError, match=r"0.xml:5: Data/BinSel: visibility.0.reference: Field required"):
        told(document(VISIBILITY, "<BinSel>c</BinSel>"), base=base)


def test_the_class_of_a_random_catalogue_is_an_argument(told, tmp_path, capsys):
    text = "<BinSel>bin1</BinSel><Seed>7</Seed><Density>45000</Density><Scheme>poisson</Scheme>"
    found = told(document(RANDOM, text))
    assert found.classes == ("bin1",) and found.tiles == ()
    random = found.parameters.random
    assert (random.seed, random.density, random.number, random.scheme) == (7, 45000.0, None, "poisson")
    assert run("--from-xml", tmp_path / "0.xml") == 0
    assert capsys.readouterr().out.startswith("# vmpz random FILE --selection bin1\n")
    assert told(document(RANDOM, "<BinSel>-1</BinSel>")).classes == ()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (VISIBILITY, f"<BinSel>a b</BinSel>{DEPTHS}", r"Data/BinSel: visibility.0.name: String should match"),
        (
            VISIBILITY,
            f"<BinSel>a</BinSel>{DEPTHS}",
            r"visibility.0: needs one of `luminosity`, `deep` and `counts`",
        ),
        (VISIBILITY, "<DepthEst>BEST</DepthEst>", r"Data/DepthEst: depth.estimator: .*found 'BEST'"),
        (
            VISIBILITY,
            f"<BinSel>a</BinSel>{DEPTHS}<LuminosityFunction><RedshiftMin>1</RedshiftMin></LuminosityFunction>",
            r"RedshiftMin: must stand beside the other of RedshiftMin and RedshiftMax",
        ),
        (
            VISIBILITY,
            f"<BinSel>a</BinSel>{DEPTHS}<NumberCounts><Slope>steep</Slope></NumberCounts>",
            r"Slope: 'steep' is not a valid value",
        ),
        (RANDOM, "<Seed>seven</Seed>", r"Data/Seed: 'seven' is not a valid value"),
        (RANDOM, f"<Seed>{2**64}</Seed>", r"Data/Seed: random.seed: .*less than"),
        (RANDOM, "<Seed>-1</Seed>", r"Data/Seed: random.seed: .*greater than or equal to 0"),
        (RANDOM, "<Scheme>B</Scheme>", r"Data/Scheme: random.scheme: .*found 'B'"),
        (RANDOM, "<NSimObj>5</NSimObj><Density>5</Density>", r"random: `number` and `density` exclude"),
        (RANDOM, "<Seed>1</Seed><DepthEst>PSF</DepthEst>", r"Data/DepthEst: This element is not expected"),
    ],
)
def test_faults_of_classes_and_catalogues(name, data, message, told):
    with pytest.raises(InputError, match=rf"0.xml:5: .*{message}"):
        told(document(name, data))


# -- faults -----------------------------------------------------------------------------------------------------------

DEPTH = "DpdDepthMapParamsVMPZ"
ELEMENTS = [
    ("<SnrLevel>five</SnrLevel>", r":5: Data/SnrLevel: 'five' is not a valid value"),
    ("\n<Foo>1</Foo>", r":6: Data/Foo: This element is not expected"),
    ("<KindList/>", r":5: Data/KindList: This element is not expected"),
    ("<SnrLevel>5</SnrLevel>\n<SnrLevel>6</SnrLevel>", r"Data/SnrLevel\[2\]: This element is not"),
    ("<NsideWork>1000</NsideWork>", r":5: Data/NsideWork: must be a power of two up to 2\^29, found 1000"),
    ("<NsideWork>0</NsideWork>", r":5: Data/NsideWork: .*'0'"),
    (f"<NsideWork>{1 << 25}</NsideWork>", r"NsideWork: maps.order: .*less than or equal to 20"),
    ("<ApertureDiameter>-1</ApertureDiameter>", r"ApertureDiameter: depth.aperture_arcsec: .*greater than 0"),
    ("<Estimator>BEST</Estimator>", r"Data/Estimator: depth.estimator: .*'APERTURE'.*found 'BEST'"),
    ("<SourceProfile>SERSIC</SourceProfile>", r"SourceProfile: must be 'EXPDISC .*found 'SERSIC'"),
    ("<SourceProfile>EXPDISC big arcsec</SourceProfile>", r"SourceProfile: must be 'EXPDISC"),
    ("<PsfKind>PARAMETER</PsfKind>", r"PsfKind: depth.psf_fwhm_arcsec: must be given beside it"),
    ("<ExtinctionCorrected>true</ExtinctionCorrected>", r"depth.extinction: must be given beside it"),
    ("<DateObs>yesterday</DateObs>", r":5: Data/DateObs: .*'yesterday'"),
    (
        "<OutputFormat><PartialHealpixParams><NsideOut>2048</NsideOut></PartialHealpixParams></OutputFormat>"
        "<NsideWork>4096</NsideWork>",
        r"NsideOut: must be NsideWork, 4096, for tiles",
    ),
    (
        "<Filter>VIS</Filter><FilterList><Filter>Y</Filter></FilterList>",
        r"survey.bands: must agree with .*Data/Filter, found \['Y'\] and \['VIS'\]",
    ),
    ("<a>" * 400 + "</a>" * 400, r"must be well-formed XML"),
]
TWO = "<Parameter><Key>depth.snr</Key><Value>1</Value><IntValue>1</IntValue></Parameter>"
PAIRS = [
    (pair("depth.apperture_arcsec", "2"), r":8: .*: no such parameter, did you mean aperture_arcsec"),
    (pair("depth.snr", "five"), r":8: .*depth.snr: must be a value as in a parameter file, found 'five'"),
    (pair("depth.snr", "3\nx = 4"), r"must be a value as in a parameter file"),
    (pair("depth.psf_fwhm_arcsec", "0.7", unit="mas"), r"must be in arcsec, found mas"),
    (pair("depth.snr", "3") + pair("depth.snr", "5"), r"depth.snr: must agree with .*, found 5 and 3"),
    (pair("depth.snr.x", "1"), r"depth.snr.x"),
    (pair("depth", "1"), r"depth: Input should be a valid dictionary"),
    (pair("patches.1.name", "a") + pair("patches.1.all", "true"), r"patches: must be numbered from 0"),
    (pair("inputs.0.location", "/etc"), r"must be a parameter of .*depth.*found inputs.0.location"),
    ("<Parameter><Value>1</Value></Parameter>", r"Parameters/Parameter: Missing child"),
    (TWO, r"depth.snr: must have one value"),
]
WHOLE = [
    (
        document(DEPTH, kind="DpdRandomParamsVMPZ"),
        rf":3: Header/ProductType: must be {DEPTH}, found DpdRandom",
    ),
    (document("DpdHealpixDepthMapVMPZ"), r":2: root must be one of Dpd.*found DpdHealpixDepthMapVMPZ"),
    ("<a/>", r":1: root must be one of"),
    (f"<{DEPTH}/>", rf":1: {DEPTH}: Missing child"),
    ("<a>", r"must be well-formed XML"),
    ("", r"must be well-formed XML"),
    ("\0", r"NUL bytes"),
    (f"<!DOCTYPE a [<!ENTITY x 'boom'>]>{document(DEPTH)[22:]}", r"DOCTYPE not allowed"),
    (f"<!DOCTYPE a SYSTEM 'file:///etc/passwd'>{document(DEPTH)[22:]}", r"DOCTYPE not allowed"),
    (
        document(DEPTH, "<SnrLevel>5</SnrLevel>", pair("depth.snr", "3.0")),
        r"depth.snr: must agree with .*SnrLevel",
    ),
]
FAULTS = [
    *((document(DEPTH, data), message) for data, message in ELEMENTS),
    *((document(DEPTH, "", pairs), message) for pairs, message in PAIRS),
    *WHOLE,
]


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_faults_are_named_with_file_line_and_element(text, message, told, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        told(text)
    assert all(line.startswith(f"{tmp_path / '0.xml'}:") for line in str(caught.value).splitlines())


def test_products_that_disagree_are_refused_by_both_names(told):
    one = document("DpdFootprintMaskParamsVMPZ", "\n<NsideWork>4096</NsideWork>")
    two = document(DEPTH, "<NsideWork>16384</NsideWork>")
    message = (
        r"1.xml:5: Data/NsideWork: maps.order: must agree with .*0.xml:6: Data/NsideWork, found 14 and 12"
    )
    with pytest.raises(InputError, match=message):
        told(one, two)


def test_nothing_to_read_is_told(tmp_path):
    with pytest.raises(InputError, match="must be named, found none"):
        io.read_parameters([])
    with pytest.raises(InputError, match=r"must hold parameter products \(\*.xml\), found none"):
        io.read_parameters([tmp_path])
    with pytest.raises(InputError, match=r"nothing\.xml"):
        io.read_parameters([tmp_path / "nothing.xml"])


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE products; --", "-rf", "two\nlines", "nul\0byte", "<&]]>", "α☃", " a "]
)
def test_nasty_names_are_stored_literally_and_come_back(text, tmp_path):
    parameters = Parameters(
        inputs=[{"location": "."}],
        survey={"name": text, "release": text, "bands": [text], "instruments": [text]},
        bitmask={"bits": [text], "table": {text: text}},
        patches=[{"name": text, "list_id": text, "tiles": [text]}],
    )
    paths = io.write_parameters(parameters, tmp_path / "p", CREATED)
    assert all(path.parent == tmp_path / "p" and path.name.isascii() for path in paths)
    assert not {character for path in paths for character in path.name} & set(" ;'\"$()<>&|\\\n\0/")
    assert io.read_parameters(paths).parameters == parameters


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.binary(max_size=6))
def test_damaged_products_are_read_or_refused(tmp_path_factory, where, noise):
    path = tmp_path_factory.getbasetemp() / "damaged.xml"
    content = bytearray(HOLE)
    at = random.Random(where).randrange(len(content))
    content[at : at + len(noise)] = noise
    path.write_bytes(content)
    try:
        io.read_parameters([path])
    except InputError as error:
        assert str(path) in str(error)


HOLE = document(
    DEPTH,
    "<Telescope>Euclid</Telescope><Filter>VIS</Filter><NsideWork>4096</NsideWork><BitList>A</BitList>"
    "<SnrLevel>5</SnrLevel><SourceProfile>EXPDISC 0.3 arcsec</SourceProfile>",
    pair("depth.correlated_noise", "{VIS = 1.5}")
    + pair("patches.0.name", "a")
    + pair("patches.0.all", "true"),
).encode()


# -- the command line -------------------------------------------------------------------------------------------------


def run(*arguments: object) -> int:
    return _status_of(["params", *map(str, arguments)])


def test_a_survey_goes_both_ways(tmp_path, capsys):
    survey = tmp_path / "survey.toml"
    wanted = Parameters(
        inputs=[{"location": str(tmp_path / "MER")}],
        survey={"name": "both ways", "created": CREATED},
        maps={"order": 12},
        depth={"psf_fwhm_arcsec": 0.7},
        patches=[{"name": "p", "cap": (1.5, -2.0, 3.0)}],
    )
    survey.write_text(as_toml(wanted))
    assert run("--file", survey, "--to-xml", tmp_path / "xml") == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(paths) == sorted((tmp_path / "xml").iterdir()) and len(paths) == 8
    assert run("--from-xml", *paths, "--file", survey) == 0
    (tmp_path / "back.toml").write_text(capsys.readouterr().out)
    assert load(tmp_path / "back.toml") == load(survey)
    assert run("--from-xml", tmp_path / "xml") == 0
    text = capsys.readouterr().out
    assert "# [[inputs]]" in text and "[[inputs]]\n" not in text.replace("# [[inputs]]", "")
    (tmp_path / "own.toml").write_text(f'{text}\n[[inputs]]\nlocation = "MER"\n')
    assert load(tmp_path / "own.toml") == load(survey)


def test_tiles_are_told_as_an_argument(tmp_path, capsys):
    (tmp_path / "a.xml").write_text(document(DEPTH, "<TileIndex>7</TileIndex>"))
    assert run("--from-xml", tmp_path / "a.xml") == 0
    assert capsys.readouterr().out.startswith("# vmpz run FILE --tiles 7\n")


def test_faults_and_wrong_usage_have_their_status(tmp_path, capsys):
    (tmp_path / "a.xml").write_text(document(DEPTH, "<DateObs>2025-01-01T00:00:00Z</DateObs>"))
    assert run("--from-xml", tmp_path / "a.xml") == 3
    assert f"{tmp_path / 'a.xml'}:5: Data/DateObs" in capsys.readouterr().err
    assert run("--from-xml", tmp_path / "a.xml", "--ignore", "DateObs,DateEnd") == 0
    assert run("--to-xml", tmp_path) == run(tmp_path / "a.xml") == run("--ignore", "x", "--example") == 2
    assert run("--from-xml", "a", "--to-xml", "b") == 2


def test_a_folder_that_cannot_be_written_is_a_fault_of_the_storage(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        io.write_parameters(DEFAULTS, tmp_path / "file" / "x", CREATED)
