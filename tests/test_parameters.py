"""Parameters: every default stands in the example, every mistake is named with file, line and key."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import parameter_strategies
from vmpz.errors import InputError
from vmpz.parameters import (
    Parameters,
    as_toml,
    example,
    explain,
    flatten,
    load,
    names_for,
    overlaid,
    unit_of,
    validated,
    value_of,
    value_text,
)


def test_the_example_is_the_defaults() -> None:
    parsed = Parameters.model_validate(tomllib.loads(example()))
    defaults = Parameters(inputs=[{"location": "."}])
    assert parsed == defaults


def test_the_example_names_every_parameter() -> None:
    text = example()
    for name, info in Parameters.model_fields.items():
        assert f"[{name}]" in text
        assert info is not None
    for key in ("snr", "aperture_arcsec", "rms_max", "moc_tolerance", "list_id", "psf_fwhm_arcsec"):
        assert f"{key} =" in text


@pytest.mark.parametrize(
    ("line", "text", "expected"),
    [
        (4, "nsigma = 3", "depth.nsigma: no such parameter"),
        (4, "apperture_arcsec = 3", "did you mean aperture_arcsec"),
        (4, "aperture_arcsec = -1", "depth.aperture_arcsec: Input should be greater than 0, found -1"),
        (4, 'snr = "five"', "depth.snr: Input should be a valid number"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, line: int, text: str, expected: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'[[inputs]]\nlocation = "."\n[depth]\n{text}\n')
    with pytest.raises(ValidationError) as caught:
        load(path)
    (message,) = explain(caught.value, path)
    assert message.startswith(f"{path}:{line}: ")
    assert expected in message


@pytest.mark.parametrize(("value", "key"), [("0", ""), ("{VIS = -1.5}", ".VIS")])
def test_a_factor_of_noise_is_positive(tmp_path: Path, value: str, key: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'[[inputs]]\nlocation = "."\n[depth]\ncorrelated_noise = {value}\n')
    with pytest.raises(ValidationError) as caught:
        load(path)
    said = [line for line in explain(caught.value, path) if "greater than 0" in line]
    assert [line.split(": ")[1] for line in said] == [f"depth.correlated_noise{key}"]


def test_mistakes_in_lists_of_tables_point_at_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        '[[inputs]]\nlocation = "."\n[[patches]]\nname = "a"\nall = true\n'
        '[[patches]]\nname = "b"\norder = "x"\nall = true\n'
    )
    with pytest.raises(ValidationError) as caught:
        load(path)
    (message,) = explain(caught.value, path)
    assert message.startswith(f"{path}:8: patches.1.order")


def test_bit_tables_that_are_files_are_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "survey.toml"
    path.write_text(
        '[[inputs]]\nlocation = "."\noptions = {bit_table = "mine.toml", forms = ["a.toml"]}\n'
        '[[inputs]]\nlocation = "."\noptions = {bit_table = {VIS = "other.toml", NIR_Y = "nir"}}\n'
        '[bitmask]\ntable = {g = "mine.toml", r = "desdm"}\n'
    )
    parameters = load(path)
    here = tmp_path.resolve()
    assert parameters.inputs[0].options == {"bit_table": str(here / "mine.toml"), "forms": ["a.toml"]}
    assert parameters.inputs[1].options == {"bit_table": {"VIS": str(here / "other.toml"), "NIR_Y": "nir"}}
    assert parameters.bitmask.table == {"g": str(here / "mine.toml"), "r": "desdm"}


def test_locations_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[[inputs]]\nlocation = "data"\n[[inputs]]\nlocation = "s3://bucket/x"\n')
    parameters = load(path)
    assert [item.location for item in parameters.inputs] == [
        str(tmp_path.resolve() / "data"),
        "s3://bucket/x",
    ]


def test_maps_and_catalogues_from_outside_are_relative_to_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        '[[inputs]]\nlocation = "."\n[extinction]\nmap = "planck.fits"\n'
        '[[catalogues]]\nname = "gaia"\nrole = "stars"\nlocation = "gaia.parquet"\nmagnitude = "G"\nwindow = [12, 18]\n'
        '[[catalogues]]\nname = "mer"\nrole = "galaxies"\nlocation = "s3://bucket/mer"\n'
    )
    parameters, here = load(path), tmp_path.resolve()
    assert parameters.extinction.map == str(here / "planck.fits")
    assert [one.location for one in parameters.catalogues] == [str(here / "gaia.parquet"), "s3://bucket/mer"]
    assert parameters.catalogues[0].window == (12.0, 18.0)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"0.window": [12, 18]}, "catalogues.0: `window` needs the column `magnitude`, found none"),
        ({"0.window": [18, 12]}, "catalogues.0.window: must be .lowest value, value below which."),
        ({"0.window": [12, 12]}, "catalogues.0.window: must be"),
        ({"0.role": "quasars"}, "catalogues.0.role: Input should be 'stars', 'galaxies' or 'photoz'"),
        ({"1.role": "stars"}, "catalogues.1.role: must be that of no other catalogue, found 'stars'"),
        ({"1.name": "a"}, "catalogues.1.name: must be that of no other catalogue, found 'a'"),
        ({"1.order": 15}, "catalogues.1.order: must be at most that of the maps, 14, found 15"),
    ],
)
def test_catalogues_suit_one_another_and_the_maps(changed: dict[str, object], expected: str) -> None:
    two = {"0.name": "a", "0.role": "stars", "0.location": "a", "1.name": "b", "1.role": "photoz"}
    two |= {"1.location": "b", **changed}
    with pytest.raises(InputError, match=expected):
        validated({"inputs.0.location": ".", **{f"catalogues.{key}": one for key, one in two.items()}}, {})


def test_flag_names_by_band_come_before_those_by_instrument() -> None:
    bits = {"NISP": ["A"], "NIR_H": ["B"]}
    assert names_for(bits, "NIR_H", "NISP") == ("B",)
    assert names_for(bits, "NIR_Y", "NISP") == ("A",)
    assert names_for(bits, "VIS", "VIS") is None
    assert names_for(["C"], "VIS", "VIS") == ("C",)


def test_polygons_are_made_of_kinds_that_there_are() -> None:
    for kind in ("foo", "bitmask"):
        with pytest.raises(ValidationError, match="'footprint', 'coverage'"):
            Parameters(inputs=[{"location": "."}], mangle={"kinds": [kind]})


def test_a_patch_has_exactly_one_extent() -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        Parameters(inputs=[{"location": "."}], patches=[{"name": "a"}])
    with pytest.raises(ValidationError, match="exactly one"):
        Parameters(inputs=[{"location": "."}], patches=[{"name": "a", "all": True, "tiles": ["1"]}])


def test_the_documented_parameters_are_the_present_ones() -> None:
    page = Path(__file__).parents[1] / "docs" / "parameters.toml"
    assert page.read_text("utf-8") == example(), "run `vmpz params --example > docs/parameters.toml`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[[patches]]\nname = "a"\nall = true\n[[patches]]\nname = "a"\nall = true\n',
            "patches.1.name: must be",
        ),
        (
            '[maps]\norder = 9\n[[patches]]\nname = "a"\nall = true\norder = 10\n',
            "patches.0.order: must be at most",
        ),
        (
            '[maps]\nforms = ["moc"]\nmoc_order = 9\n[[patches]]\nname = "a"\nall = true\n',
            "maps.forms: must hold healpix",
        ),
    ],
)
def test_tables_that_do_not_suit_one_another_are_told_with_their_key(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text + '[[inputs]]\nlocation = "."\n')
    with pytest.raises(ValidationError) as caught:
        load(path)
    (message,) = explain(caught.value, path)
    assert expected in message and message.startswith(f"{path}:")


def test_forms_are_taken_once_healpix_first() -> None:
    told = Parameters(inputs=[{"location": "."}], maps={"forms": ["moc", "healpix", "moc"]})
    assert told.maps.forms == ["healpix", "moc"]


def test_a_file_that_is_no_text_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xff\xfe[maps]")
    with pytest.raises(tomllib.TOMLDecodeError, match="UTF-8"):
        load(tmp_path / "c.toml")


MASKS = """[[inputs]]
location = "."
[[masks]]
name = "HALO"
shape = "halo"
catalogue = "gaia.fits"
magnitude = "G"
a_arcsec = 900
b = 0.15
bands = {VIS = {table = [[8, 120], [16, 0]]}}
[[masks]]
name = "STREAK"
shape = "streak"
catalogue = "s3://bucket/trails.parquet"
end = ["RA2", "DEC2"]
width_arcsec = 3
"""


def test_masks_are_named_and_their_catalogues_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(MASKS)
    halo, streak = load(path).masks
    assert (halo.catalogue, streak.catalogue) == (
        str(tmp_path.resolve() / "gaia.fits"),
        "s3://bucket/trails.parquet",
    )
    assert halo.law("VIS").table == [(8.0, 120.0), (16.0, 0.0)] and halo.law("NIR_Y").a_arcsec == 900.0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"STREAK"', '"HALO"', ": masks.1.name: must be that of no other mask, found 'HALO'"),
        ('"HALO"', '"halo"', "c.toml:4: masks.0.name: must be capitals"),
        ('"HALO"', '"STARMASK"', "must be that of no other bit, found 'STARMASK'"),
        ('"halo"', '"square"', "c.toml:5: masks.0.shape: Input should be 'disc', 'ellipse'"),
        ('magnitude = "G"', "", "a mask of shape halo needs the column `magnitude`"),
        ("a_arcsec = 900", "table = [[8, 1], [8, 2]]", "must be pairs .mag, arcsec. of rising magnitude"),
        ("a_arcsec = 900", "a_arcsec = 900\ntable = [[8, 1]]", "needs either `a_arcsec` or `table`"),
        ("b = 0.15", "radius_max_arcsec = 1\nradius_min_arcsec = 2", "radius_max_arcsec must not be below"),
        ("[16, 0]", "[16, -1]", "no radius below 0"),
        ("table = ", "tables = ", "masks.0.bands.VIS.tables: no such parameter"),
        ("width_arcsec = 3", "", "a mask of shape streak needs `width_arcsec`"),
        (
            'end = ["RA2", "DEC2"]',
            'size = "L"',
            "a mask of shape streak needs `end`, or `size` .its length. and `angle`",
        ),
        (
            "width_arcsec = 3",
            "width_arcsec = 3\nhole = 0.5",
            "a mask of shape streak has no hole and no offset",
        ),
        ('shape = "halo"', 'shape = "ellipse"', "a mask of shape ellipse needs `size`, `minor` and `angle`"),
        ("a_arcsec = 900", "axis_deg = [0, 91]\na_arcsec = 900", "a declination of the axis from -90 to 90"),
    ],
)
def test_masks_that_make_no_sense_are_told(tmp_path: Path, old: str, new: str, expected: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(MASKS.replace(old, new))
    with pytest.raises(ValidationError) as caught:
        load(path)
    assert re.search(expected, "\n".join(explain(caught.value, path)))


def test_a_mask_without_a_law_is_told() -> None:
    disc = {"name": "DISC", "shape": "disc", "catalogue": "."}
    with pytest.raises(ValidationError, match="needs `a_arcsec`, `table` or `size`"):
        Parameters(inputs=[{"location": "."}], masks=[disc])
    with pytest.raises(ValidationError, match="at most 7"):
        Parameters(
            inputs=[{"location": "."}], masks=[{**disc, "name": f"D{k}", "a_arcsec": 1} for k in range(8)]
        )


# -- written back -----------------------------------------------------------------------------------------------------

WHOLE = parameter_strategies.parameters()


@settings(max_examples=50, deadline=None)
@given(WHOLE)
def test_written_parameters_are_read_back(parameters: Parameters) -> None:
    assert Parameters.model_validate(tomllib.loads(as_toml(parameters))) == parameters


def test_only_what_differs_from_the_defaults_is_written(tmp_path: Path) -> None:
    told = Parameters(inputs=[{"location": "MER"}], depth={"snr": 5.0, "aperture_arcsec": 3}, mangle={})
    text = as_toml(told)
    assert text == '[[inputs]]\nlocation = "MER"\n\n[depth]\naperture_arcsec = 3.0\n'
    (tmp_path / "c.toml").write_text(text)
    assert load(tmp_path / "c.toml").inputs[0].location == str(tmp_path.resolve() / "MER")


def test_what_toml_has_not_is_refused() -> None:
    told = Parameters(inputs=[{"location": ".", "options": {"key": None}}])
    with pytest.raises(InputError, match="text, numbers, times, lists and tables; found None"):
        as_toml(told)


@settings(max_examples=50, deadline=None)
@given(WHOLE)
def test_dotted_keys_and_texts_are_the_parameters(parameters: Parameters) -> None:
    flat = flatten(parameters, Parameters.model_fields)
    assert validated(flat, {}) == parameters
    texts = {key: None if value is None else value_text(key, value) for key, value in flat.items()}
    assert (
        validated({key: text if text is None else value_of(key, text) for key, text in texts.items()}, {})
        == parameters
    )


@settings(max_examples=50, deadline=None)
@given(WHOLE, WHOLE, st.data())
def test_what_lies_above_wins(below: Parameters, above: Parameters, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(Parameters.model_fields)), unique=True))
    flat = overlaid(flatten(below, Parameters.model_fields), flatten(above, names))
    wanted = {name: getattr(above if name in names else below, name) for name in Parameters.model_fields}
    try:
        expected = Parameters.model_validate(wanted)
    except ValidationError:
        with pytest.raises(InputError):
            validated(flat, {})
    else:
        assert validated(flat, {}) == expected


def test_mistakes_in_dotted_keys_are_told_with_their_place() -> None:
    places = {"depth.snr": "a:1", "depth.extinction.law": "a:2", "patches.0.name": "a:3", "tiling": "a:4"}
    for values, message in (
        ({"depth.snr": -1}, "a:1: depth.snr: Input should be greater than 0"),
        ({"depth.extinction.law": "x"}, "a:2: depth.extinction.map: Field required"),
        ({"patches.0.name": "a"}, "a:3: patches.0: a patch needs exactly one"),
        ({"tiling": {}, "tiling.kind": "inputs"}, "a:4: tiling.kind: must not stand beside tiling"),
        ({"survey.x": 1}, "parameters: survey.x: no such parameter"),
    ):
        with pytest.raises(InputError) as caught:
            validated({"inputs.0.location": ".", **values}, places)
        assert message in str(caught.value)


def test_units_stand_at_the_end_of_names() -> None:
    flat = flatten(Parameters(inputs=[{"location": "."}]), Parameters.model_fields)
    units = {key: unit_of(key) for key in flat if unit_of(key)}
    assert units["depth.aperture_arcsec"] == "arcsec"
    assert all(key.endswith(f"_{unit}") for key, unit in units.items())
