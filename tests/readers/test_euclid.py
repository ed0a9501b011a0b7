"""Reader `euclid-mer`: joining, descriptors, tables, bits, releases."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import readers_helpers as write
from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.frames import Manifest
from vmpz.readers import open_frame, scan_inputs
from vmpz.readers.descriptors import read_tiles
from vmpz.readers.folders import BANDS, band_named
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, Polygon


def scan(folder: Path, selection: dict[str, Any] | None = None, **options: Any) -> Manifest:
    place = SimpleNamespace(reader="euclid-mer", location=str(folder), bands=None, options=options)
    return scan_inputs([place], **(selection or {}))


def described(folder: Path, band: str = "VIS", **changes: Any) -> Path:
    """A band with everything and its descriptor."""
    paths = {**write.write_band(folder, band), **write.write_tables(folder, band)}
    xml = folder / f"{band}.xml"
    xml.write_text(write.mosaic_xml({kind: path.name for kind, path in paths.items()}, band=band, **changes))
    return xml


def test_joined_by_tile_band_and_kind_across_folders(tmp_path: Path) -> None:
    write.write_band(tmp_path / "images", kinds=["IMAGE"])
    write.write_band(tmp_path / "deep" / "er", kinds=["RMS", "FLAG"])
    write.write_band(tmp_path / "images", "NIR_Y", kinds=["RMS"])
    first, second = scan(tmp_path).frames
    assert (first.instrument, first.band, set(first.planes)) == ("NISP", "NIR_Y", {"RMS"})
    assert (second.area, second.band, set(second.planes)) == (write.TILE, "VIS", {"IMAGE", "RMS", "FLAG"})
    assert "there is no BACKGROUND plane" in second.notes


def test_what_headers_and_names_say(tmp_path: Path) -> None:
    write.write_band(tmp_path)
    write.write_tables(tmp_path)
    (frame,) = scan(tmp_path).frames
    assert frame.shape == write.SHAPE
    assert frame.telescope == "Euclid"
    assert frame.release == "Q1_R1"
    assert frame.created == "2024-11-02T10:20:04.100000"
    assert frame.scalars == {
        "zero_point": 24.6,
        "pixel_scale_arcsec": 0.1,
        "exposure_time_s": 2240.0,
        "gain": 3.5,
        "saturate": 9.5,
        "psf_fwhm_arcsec": 0.2,
    }
    assert frame.bit_table == "vis-pf14"
    assert frame.footprint == ()


def test_what_a_descriptor_says(tmp_path: Path) -> None:
    described(tmp_path, zero_point=24.60005, release="Q1_R2")
    (frame,) = scan(tmp_path).frames
    assert (frame.release, frame.created) == ("Q1_R2", "2024-11-02T12:00:00.000000")
    assert frame.scalars["zero_point"] == 24.60005
    assert (frame.date_obs[:10], frame.date_end[:10]) == ("2024-03-01", "2024-03-02")
    assert frame.footprint[0] == (57.2, -51.501)
    assert len(frame.footprint) == 4
    assert {"PSF", "LAYERS", "STARMASK", "XML"} == set(frame.tables)


def test_half_pixel_offset_of_the_reference_pixel_is_kept(tmp_path: Path) -> None:
    write.write_band(tmp_path, kinds=["RMS"])
    (frame,) = scan(tmp_path).frames
    assert frame.wcs.all_pix2world(29, 19, 0) == pytest.approx([57.2045662, -51.5], abs=1e-12)


def test_tables_are_read_when_asked_for(tmp_path: Path) -> None:
    described(tmp_path)
    (ref,) = scan(tmp_path).frames
    with open_frame(ref, ["PSF", "LAYERS", "STARMASK"]) as frame:
        assert frame.psf is not None
        assert frame.psf.fwhm_arcsec.dtype == np.float64
        assert len(frame.psf.fwhm_arcsec) == 30
        assert np.all(np.abs(frame.psf.lon_deg - 57.2045662) < 0.01)
        assert frame.star_masks is not None
        disc, triangle = frame.star_masks
        assert disc == Cap(57.2, -51.5, 0.001)
        assert isinstance(triangle, Polygon)
        assert frame.exposures is not None
        assert frame.exposures.ids == ("one.fits[3-4.F]", "two.fits[3-4.G]")
        assert frame.exposures.scalars["SAA"][0] == 89.0
        assert frame.exposures.scalars["ExposureTime"][0] == pytest.approx(560.52, abs=1e-4)
        assert {"AA", "BA", "MJD"} < set(frame.exposures.scalars)
        expected = np.degrees(0.2 * (np.sin(np.radians(51.6)) - np.sin(np.radians(51.4))))
        assert frame.exposures.outline(0).area_deg2 == pytest.approx(expected, rel=1e-3)


def test_grid_psf_is_used_where_there_is_no_catalogue_psf(tmp_path: Path) -> None:
    write.write_band(tmp_path)
    columns = {"x": np.array([30.0, 1.0]), "y": np.array([20.0, 1.0]), "FWHM": np.array([0.2, 0.21])}
    image = write.image_bytes(np.zeros(write.SHAPE, np.float32), write.WCS_CARDS, first=False)
    data = write.EMPTY_PRIMARY + image + write.table_bytes(columns)
    (tmp_path / write.name_of("GRIDPSF")).write_bytes(data)
    (ref,) = scan(tmp_path).frames
    with open_frame(ref, ["PSF"]) as frame:
        assert frame.psf is not None
        assert frame.psf.lon_deg[0] == pytest.approx(57.2045662, abs=1e-10)
        assert frame.psf.lat_deg[0] == pytest.approx(-51.5, abs=1e-10)


@pytest.mark.parametrize("value", [0.0, -0.1, np.nan])
def test_psf_widths_must_be_positive(tmp_path: Path, value: float) -> None:
    write.write_band(tmp_path)
    columns = {"RA": np.array([57.0]), "Dec": np.array([-51.0]), "FWHM": np.array([value])}
    (tmp_path / write.name_of("PSF")).write_bytes(write.EMPTY_PRIMARY + write.table_bytes(columns))
    (ref,) = scan(tmp_path).frames
    with pytest.raises(InputError, match="FWHM"):
        open_frame(ref, ["PSF"])


def layers(folder: Path, polygon: Any, unit: str | None = None) -> Any:
    write.write_band(folder)
    columns = {"EXPTIME": np.array([1.0], "f4"), "POLYGON": np.array([polygon], np.float64)}
    data = write.table_bytes(columns, {"POLYGON": unit} if unit else None)
    (folder / write.name_of("LAYERS")).write_bytes(write.EMPTY_PRIMARY + data)
    (ref,) = scan(folder).frames
    with open_frame(ref, ["LAYERS"]) as frame:
        assert frame.exposures is not None
        return frame.exposures.outline(0)


SQUARE = [359.9, -0.1, 0.1, -0.1, 0.1, 0.1, 359.9, 0.1]


def test_layer_corners_in_any_order_and_unit(tmp_path: Path) -> None:
    first = layers(tmp_path, np.radians(SQUARE))
    assert first.area_deg2 == pytest.approx(0.04, rel=1e-4)
    corners = np.reshape(SQUARE, (4, 2))
    for order in ([0, 2, 1, 3], [3, 1, 2, 0], [2, 0, 3, 1]):
        assert layers(tmp_path, np.radians(corners[order]).ravel()).area_deg2 == pytest.approx(
            first.area_deg2, rel=1e-12
        )
    assert layers(tmp_path, SQUARE, unit="deg").area_deg2 == pytest.approx(first.area_deg2, rel=1e-12)


@pytest.mark.parametrize(
    "polygon",
    [
        [0, 0, 1, 0, 0.5, 0.2, 0.5, 1],  # a dart: the order of its corners is ambiguous
        [0, 0, 0, 0, 1, 0, 1, 1],  # two corners in one place
        [0, 0, 1, 0, 2, 0, 3, 0],  # a line
        [0, 95, 1, 95, 1, 96, 0, 96],  # off the sky
        [0, 0, 90, 0, 180, 0, 270, 0],  # around the sphere
    ],
)
def test_layer_corners_that_make_no_outline(tmp_path: Path, polygon: list[float]) -> None:
    with pytest.raises(InputError, match="POLYGON must be"):
        layers(tmp_path, np.radians(polygon))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ({"stars": 3, "masks": []}, "found keys stars, masks"),
        ([{"shape": "box"}], "found keys shape"),
        ([[[1, 2], [3, 4]]], "at least 3 pairs"),
        ([[[1, 2], [3, 4], ["5", 6]]], "must hold numbers"),
        ([[[1, 2], [3, 94], [5, 6]]], "between -90 and 90"),
        ("text", "must be a list of masks"),
    ],
)
def test_star_masks_of_unknown_form(tmp_path: Path, content: Any, rule: str) -> None:
    write.write_band(tmp_path)
    (tmp_path / write.name_of("STARMASK", suffix=".json")).write_text(json.dumps(content))
    (ref,) = scan(tmp_path).frames
    with pytest.raises(InputError, match=rule):
        open_frame(ref, ["STARMASK"])


def test_star_masks_may_not_hold_nan(tmp_path: Path) -> None:
    write.write_band(tmp_path)
    path = tmp_path / write.name_of("STARMASK", suffix=".json")
    path.write_text('[{"ra": NaN, "dec": 1, "radius": 1}]')
    (ref,) = scan(tmp_path).frames
    with pytest.raises(InputError, match="NaN is not JSON"):
        open_frame(ref, ["STARMASK"])
    path.write_text("[]")
    with pytest.raises(InputError, match="must be the file that was listed"):
        open_frame(ref, ["STARMASK"])
    path.write_text("[" * 100_000)
    (ref,) = scan(tmp_path).frames
    with pytest.raises(InputError, match="must be JSON"):
        open_frame(ref, ["STARMASK"])


# -- bits ---------------------------------------------------------------------------------------------------


def test_ext_mosaics_have_no_table_unless_one_is_given(tmp_path: Path) -> None:
    write.write_band(tmp_path, "DECAM_g")
    (ref,) = scan(tmp_path).frames
    assert ref.bit_table == "-"
    assert any("no bit table is public" in note for note in ref.notes)
    with open_frame(ref, ["FLAG"]) as frame:
        assert frame.bits is None
    for given in ("desdm", {"DECAM": "desdm"}, {"DECAM_g": "desdm"}, {"default": "desdm"}):
        (ref,) = scan(tmp_path, bit_table=given).frames
        with open_frame(ref, ["FLAG"]) as frame:
            assert frame.bits == bit_table("desdm")
    with pytest.raises(InputError, match="bit table must be one of"):
        scan(tmp_path, bit_table="no-such")


def test_bits_named_in_the_header_are_trusted(tmp_path: Path) -> None:
    named = {"MSK_FLAG_INVALID": 0, "MSK_FLAG_SATUR": 10, "MSK_FLAG_NEWONE": 30}
    write.write_band(tmp_path, "NIR_Y", changes={"FLAG": named})
    (ref,) = scan(tmp_path).frames
    with open_frame(ref, ()) as frame:
        assert frame.bits is not None
        assert {bit.name: bit.number for bit in frame.bits.bits} == {"INVALID": 0, "SATUR": 10, "NEWONE": 30}
        assert frame.bits.default == ("INVALID", "SATUR")
        assert frame.bits.by_name["SATUR"].meaning == "saturated"


@pytest.mark.parametrize(
    "named",
    [
        {"MSK_FLAG_SATUR": 11},
        {"MSK_FLAG_OTHER": 10},
        {"MSK_FLAG_A": 30, "MSK_FLAG_B": 30},
        {"MSK_FLAG_SATUR": 32},
    ],
)
def test_a_clash_of_bit_names_is_refused(tmp_path: Path, named: dict[str, int]) -> None:
    write.write_band(tmp_path, "NIR_Y", changes={"FLAG": named})
    assert "MSK_FLAG_" in scan(tmp_path).refused[0].reason


def test_header_bits_alone_make_a_table(tmp_path: Path) -> None:
    write.write_band(tmp_path, "DECAM_g", changes={"FLAG": {"MSK_FLAG_BAD": 3}})
    (ref,) = scan(tmp_path).frames
    with open_frame(ref, ["FLAG"]) as frame:
        assert frame.bits is not None
        assert frame.bits.select(["BAD"]).mask == 8


# -- reprocessed tiles --------------------------------------------------------------------------------------


def reprocessed(folder: Path, release: str, time: str, seed: int) -> None:
    changes = {kind: {"DATASETR": release} for kind in ("RMS", "FLAG")}
    paths = write.write_band(folder, kinds=["RMS", "FLAG"], seed=seed, changes=changes)
    for path in paths.values():
        path.rename(path.with_name(path.name.replace("20241102T", f"{time}T")))


def test_the_later_release_wins_whatever_the_time(tmp_path: Path) -> None:
    reprocessed(tmp_path, "Q1_R10", "20241101", 1)
    reprocessed(tmp_path, "Q1_R9", "20250101", 2)
    manifest = scan(tmp_path)
    (ref,) = manifest.frames
    assert ref.release == "Q1_R10"
    assert all("20241101" in plane.location for plane in ref.planes.values())
    assert any("Q1_R10" in note and "was chosen over" in note and "Q1_R9" in note for note in manifest.notes)


def test_releases_of_different_families_go_by_date(tmp_path: Path) -> None:
    reprocessed(tmp_path, "Q1_R10", "20241101", 1)
    reprocessed(tmp_path, "DR1_R1", "20250101", 2)
    assert scan(tmp_path).frames[0].release == "DR1_R1"


def test_within_a_release_the_later_file_wins(tmp_path: Path) -> None:
    reprocessed(tmp_path, "Q1_R1", "20241101", 1)
    reprocessed(tmp_path, "Q1_R1", "20250101", 2)
    manifest = scan(tmp_path)
    assert all("20250101" in plane.location for plane in manifest.frames[0].planes.values())
    assert any("was chosen over the older" in note for note in manifest.notes)


def test_descriptors_decide_between_products(tmp_path: Path) -> None:
    for number, (release, created) in enumerate(
        [("Q1_R2", "2024-11-02T00:00:00.00Z"), ("Q1_R1", "2025-01-01T00:00:00Z")]
    ):
        paths = write.write_band(tmp_path / str(number), seed=number)
        names = {kind: path.name for kind, path in paths.items()}
        (tmp_path / str(number) / "m.xml").write_text(
            write.mosaic_xml(names, release=release, created=created)
        )
    manifest = scan(tmp_path)
    assert [ref.release for ref in manifest] == ["Q1_R2"]
    assert all(str(tmp_path / "0") in plane.location for plane in manifest.frames[0].planes.values())


# -- descriptors --------------------------------------------------------------------------------------------


def test_files_of_a_descriptor_may_lie_in_another_folder(tmp_path: Path) -> None:
    paths = write.write_band(tmp_path / "planes")
    (tmp_path / "xml").mkdir()
    xml = write.mosaic_xml({kind: path.name for kind, path in paths.items()})
    (tmp_path / "xml" / "m.xml").write_text(xml)
    (ref,) = scan(tmp_path).frames
    assert "XML" in ref.tables
    assert {plane.location for plane in ref.planes.values()} == {str(path) for path in paths.values()}


def test_files_left_over_by_a_descriptor_make_no_frame(tmp_path: Path) -> None:
    described(tmp_path)
    (tmp_path / write.name_of("GRIDPSF")).write_bytes(b"")
    assert len(scan(tmp_path)) == 1
    assert not scan(tmp_path).refused


def test_unselected_planes_of_a_descriptor_may_be_missing(tmp_path: Path) -> None:
    described(tmp_path)
    (tmp_path / write.name_of("IMAGE")).unlink()
    assert "FileName must exist" in scan(tmp_path).refused[0].reason
    (ref,) = scan(tmp_path, {"planes": ["RMS", "FLAG"]}).frames
    assert set(ref.planes) == {"RMS", "FLAG"}


@pytest.mark.parametrize(
    "footprint",
    [
        "<Vertex><C1>x</C1><C2>1</C2></Vertex>",
        "<Vertex><C1>1</C1></Vertex>",
        "<Vertex><C1>1</C1><C2>91</C2></Vertex>",
    ],
)
def test_broken_footprints(tmp_path: Path, footprint: str) -> None:
    described(tmp_path, footprint=footprint)
    assert "ImgSpatialFootprint" in scan(tmp_path).refused[0].reason


def test_filter_of_name_and_header_must_agree(tmp_path: Path) -> None:
    write.write_band(tmp_path, changes={"FLAG": {"FILTER": "NIR_Y"}})
    assert "FILTER must be VIS" in scan(tmp_path).refused[0].reason


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold MER mosaics"):
        scan(tmp_path)
    with pytest.raises(InputError, match="must be a readable file"):
        scan(tmp_path / "nowhere")


def test_every_band_has_one_name_and_one_instrument() -> None:
    assert band_named("NIR-Y") == band_named("NIR_Y") == BANDS["NIR-Y"]
    assert {BANDS[token].instrument for token in ("VIS", "NIR-H", "DES-Z", "CFIS-R")} == {
        "VIS",
        "NISP",
        "DECAM",
        "MEGACAM",
    }
    assert band_named("FOO-X").instrument == "FOO"
    by_name: dict[str, str] = {}
    for band in BANDS.values():
        assert by_name.setdefault(band.name, band.instrument) == band.instrument


# -- tiles --------------------------------------------------------------------------------------------------


def test_tiles_from_cells_and_polygons(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    cells = CellSet.from_cells(5, [100, 101, 102, 103, 777])
    uniq = [4 * 4**4 + 25, 4 * 4**5 + 777]
    square = [(10.0, 0.0), (10.5, 0.0), (10.5, 0.5), (10.0, 0.5)]
    (tmp_path / "a" / "one.xml").write_text(write.tile_xml("102", uniq))
    (tmp_path / "two.xml").write_text(write.tile_xml("101", polygon=square))
    (tmp_path / "mosaic.xml").write_text(write.mosaic_xml({}))
    tiles = read_tiles(str(tmp_path))
    assert list(tiles) == ["101", "102"]
    assert tiles["102"] == cells
    assert tiles["101"] == Polygon(square)
    (tmp_path / "list.txt").write_text("# inner areas\na/one.xml\n\n")
    assert list(read_tiles(str(tmp_path / "list.txt"))) == ["102"]
    assert list(read_tiles(str(tmp_path / "two.xml"))) == ["101"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (write.tile_xml("1", [3]), "NUNIQ"),
        (write.tile_xml("1"), "found neither"),
        (write.tile_xml("x", [17]), "TileIndex must be a number"),
        (write.tile_xml("1", [17]).replace("17", "1e3"), "must list NUNIQ cells"),
    ],
)
def test_broken_tiles(tmp_path: Path, text: str, rule: str) -> None:
    (tmp_path / "tile.xml").write_text(text)
    with pytest.raises(InputError, match=rule):
        read_tiles(str(tmp_path))


def test_two_areas_of_one_tile(tmp_path: Path) -> None:
    (tmp_path / "one.xml").write_text(write.tile_xml("1", [17]))
    (tmp_path / "two.xml").write_text(write.tile_xml("1", [17]))
    assert read_tiles(str(tmp_path))["1"] == CellSet.from_uniq([17])
    (tmp_path / "two.xml").write_text(write.tile_xml("1", [18]))
    with pytest.raises(InputError, match=r"found two in .*one.xml and .*two.xml"):
        read_tiles(str(tmp_path))


def test_leftovers_beside_a_described_frame_do_not_replace_it(tmp_path: Path) -> None:
    described(tmp_path)
    flag = tmp_path / write.name_of("FLAG")
    (tmp_path / f"{flag.name}.gz").write_bytes(gzip.compress(flag.read_bytes()))
    (frame,) = scan(tmp_path).frames
    assert {"IMAGE", "RMS", "FLAG"} <= set(frame.planes)
    assert any(f"{flag.name}.gz" in note for note in frame.notes)


def test_a_file_compressed_since_it_was_described_is_found(tmp_path: Path) -> None:
    paths = write.write_band(tmp_path)
    sums = {"FLAG": "0" * 32}
    (tmp_path / "VIS.xml").write_text(
        write.mosaic_xml({kind: path.name for kind, path in paths.items()}, md5=sums)
    )
    flag = paths["FLAG"]
    Path(f"{flag}.gz").write_bytes(gzip.compress(flag.read_bytes()))
    flag.unlink()
    (frame,) = scan(tmp_path).frames
    assert frame.planes["FLAG"].location == f"{flag}.gz"
    assert frame.options["md5"] == {}


@pytest.mark.parametrize("tail", [".md5", ".part", ".jpg"])
def test_what_is_no_fits_file_is_no_plane(tail: str, tmp_path: Path) -> None:
    rms = write.write_band(tmp_path)["RMS"]
    Path(f"{rms}{tail}".replace("20241102", "20271102")).write_text("not an image")
    (frame,) = scan(tmp_path).frames
    assert frame.planes["RMS"].location == str(rms)


def test_a_filter_may_be_written_as_the_token_of_the_file_name(tmp_path: Path) -> None:
    write.write_band(tmp_path, "NIR_Y", kinds=["RMS"], changes={"RMS": {"FILTER": "NIR-Y"}})
    (frame,) = scan(tmp_path).frames
    assert (frame.instrument, frame.band) == ("NISP", "NIR_Y")
