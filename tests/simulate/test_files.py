"""Names, headers and tables of the written files, card by card, through astropy and the project's own readers."""

import gzip
import hashlib
import json
import math
import os
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from astropy.io import fits

from simulate_helpers import FOLDERS, KINDS, NAME, file_of, plane
from vmpz.errors import InputError
from vmpz.parameters import load
from vmpz.readers import open_frame, scan_inputs
from vmpz.readers.descriptors import read_tiles
from vmpz.simulate import simulate
from vmpz.simulate.bands import BANDS
from vmpz.simulate.field import Sky
from vmpz.simulate.geometry import to_angles
from vmpz.simulate.headers import image_header
from vmpz.simulate.pixels import BandPixels, Grid
from vmpz.simulate.survey import map_order
from vmpz.sky.regions import Cap, Polygon
from vmpz.tiles import tile, tiling

PLANES = ("image", "rms", "flag", "background")


@pytest.fixture(scope="module")
def sky(small_survey):
    _, made = small_survey
    near = [tile(one) for one in made.tiles]
    return Sky(near, 6.0, 11)


def every_file(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def digest(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in every_file(folder)
    }


def test_names_are_those_of_real_products(small_survey):
    folder, made = small_survey
    seen = {}
    for path in every_file(folder / "MER"):
        match = NAME.fullmatch(path.name)
        assert match, path.name
        assert match["tile"] in made.tiles and match["tile"] in path.parts
        seen.setdefault(match["suffix"], set()).add(match["time"])
    assert len(seen) == len(every_file(folder / "MER"))  # a suffix and a time of its own for every file
    assert len({time for times in seen.values() for time in times}) == len(seen)
    for one in made.tiles:
        for band in made.bands:
            layers = band != "DECAM_g"
            for kind in KINDS:
                if kind != "layers" or layers:
                    assert file_of(folder, one, band, kind).parent.name == FOLDERS[band]


def test_astropy_reads_every_file_and_its_checksums(small_survey):
    folder, _ = small_survey
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in folder.rglob("*.fits"):
            with fits.open(path, checksum=True) as hdus:
                hdus.verify("exception")
                for hdu in hdus:
                    assert hdu.header["CHECKSUM"] and hdu.header["DATASUM"]
                    assert hdu.header.comments["CHECKSUM"] == "HDU checksum"
                    _ = hdu.data


@pytest.mark.parametrize("kind", PLANES)
def test_headers_card_by_card(small_survey, kind):
    folder, made = small_survey
    for band in made.bands:
        one = tile(made.tiles[0])
        path = file_of(folder, made.tiles[0], band, kind)
        with fits.open(path) as hdus:
            assert len(hdus) == 1
            header = hdus[0].header
            raw = hdus[0].header.tostring(sep="\n")
        expected = {
            "SIMPLE": True,
            "BITPIX": 32 if kind == "flag" else -32,
            "NAXIS": 2,
            "NAXIS1": 320,
            "NAXIS2": 320,
            "EQUINOX": 2000.0,
            "RADESYS": "ICRS",
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "CRVAL1": round(one.lon_deg, 7),
            "CRVAL2": one.lat_deg,
            "CRPIX1": 160,
            "CRPIX2": 160,
            "CD1_1": -(1920 / 320 / 3600),
            "CD2_2": 1920 / 320 / 3600,
            "CD1_2": 0.0,
            "CD2_1": 0.0,
            "SOFTNAME": "CT_SWarp",
            "SOFTVERS": "10.2",
            "COMBINET": "OR" if kind == "flag" else "MEDIAN",
            "RESAMPT1": "FLAGS" if kind == "flag" else "BILINEAR",
            "RESAMPT2": "FLAGS" if kind == "flag" else "BILINEAR",
            "CENTERT1": "ALL",
            "CENTERT2": "ALL",
            "PSCALET1": "MEDIAN",
            "PSCALET2": "MEDIAN",
            "FILTER": band,
            "PIPDEFID": "MER_ProcessTile_EUCLID_2.0.3",
            "PSWNAME": "MER_ProcessTile",
            "PSWREL": "11.0.1",
        }
        for key, value in expected.items():
            found = header[key]
            assert found == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), key
            assert type(found) is type(value), key
        if kind == "background":
            assert "MAGZERO" not in header
        else:
            assert header["MAGZERO"] == {"VIS": 24.6, "NIR_Y": 29.8, "DECAM_g": 30.0}[band]
            assert header.comments["MAGZERO"] == "AB zeropoint"
        assert "CONTINUE" in raw and len(header["PPOID"]) > 68
        absent = (
            "EXPTIME",
            "GAIN",
            "TILEID",
            "BUNIT",
            "DATE-OBS",
            "BZERO",
            "BSCALE",
            "PV1_1",
            "A_ORDER",
            "LONPOLE",
        )
        assert not set(absent) & set(header)
        for key in ("SOFTVERS", "AUTHOR", "ORIGIN", "DATE", "DATASETR", "PPLANID"):
            assert header[key], key


def test_full_size_cards_are_those_of_real_mosaics():
    header = image_header(Grid(tile(102018211), 19200), BANDS["NIR_H"], "image")
    written = {card.keyword: card.image[9:].split("/")[0].strip() for card in header.cards}
    assert (written["CD1_1"], written["CD2_2"]) == ("-2.777777777778E-05", "2.777777777778E-05")
    assert (written["CRVAL1"], written["CRVAL2"]) == ("57.9990741", "-51.5")
    assert (written["CRPIX1"], written["CRPIX2"]) == ("9600", "9600")
    assert header["MAGZERO"] == 29.9


def test_planes_are_those_of_the_generator(small_survey, sky):
    folder, made = small_survey
    for band in made.bands:
        block = BandPixels(sky, Grid(tile(made.tiles[1]), 320), BANDS[band]).block(0, 320)
        for kind, name in zip(PLANES, ("image", "rms", "flags", "background"), strict=True):
            assert np.array_equal(plane(folder, made.tiles[1], band, kind), getattr(block, name)), (
                band,
                kind,
            )


def test_unobserved_pixels_hold_the_sentinel_and_zero(small_survey):
    folder, made = small_survey
    sentinel = 0
    for one in made.tiles:
        rms, image = (plane(folder, one, "VIS", kind) for kind in ("rms", "image"))
        empty = rms == np.float32(1.0000000272564224e16)
        sentinel += empty.sum()
        assert np.all(image[empty] == 0.0) and np.all(rms[~empty] < 1.0)
        assert np.isfinite(image).all() and np.isfinite(rms).all()
        flags = plane(folder, one, "VIS", "flag")
        assert np.all(flags[empty] == 1 | 1 << 22)
    assert sentinel > 1000


def test_the_tables_of_the_psf(small_survey, sky):
    folder, made = small_survey
    for band in made.bands:
        grid = Grid(tile(made.tiles[0]), 320)
        side = BANDS[band].stamp_px
        with fits.open(file_of(folder, made.tiles[0], band, "catalog-psf")) as hdus:
            assert hdus[0].data is None
            assert (hdus[1].name, hdus[2].name) == ("PSF IMAGE", "STAMPS INFORMATION")
            assert hdus[1].header["EXTNAME"].upper() == "PSF IMAGE"
            table = hdus[2].data
            assert table.names == ["x_center", "y_center", "x", "y", "RA", "Dec", "FWHM"]
            assert all(column.format == "D" for column in hdus[2].columns)
            stamp = hdus[1].data[:side, :side]
            header = hdus[1].header
        assert stamp.sum() == pytest.approx(1.0, rel=1e-5) and stamp.argmax() == side * side // 2
        assert (table["x_center"][0], table["y_center"][0]) == ((side + 1) / 2, (side + 1) / 2)
        assert {"EXPTIME", "GAIN", "SATURATE", "STMPSIZE", "FWHM", "CRVAL1"} <= set(header)
        assert header["STMPSIZE"] == side
        x, y = sky.plane.project(grid.plane.vectors(grid.x(table["x"] - 1), grid.y(table["y"] - 1)))
        np.testing.assert_allclose(table["FWHM"], sky.fwhm_arcsec(BANDS[band], x, y), rtol=1e-12)
        lon, lat = to_angles(sky.plane.vectors(x, y))
        np.testing.assert_allclose((table["RA"], table["Dec"]), (lon, lat), rtol=0, atol=1e-10)
        with fits.open(file_of(folder, made.tiles[0], band, "grid-psf")) as hdus:
            assert hdus[1].data.shape == (320, 320)
            assert hdus[2].data.names == ["x", "y", "FWHM"]
            row = hdus[2].data[-1]
            place = int(row["y"]) - 1, int(row["x"]) - 1
            assert (
                hdus[1].data[place]
                == hdus[1].data[place[0] - 3 : place[0] + 4, place[1] - 3 : place[1] + 4].max()
            )
            assert hdus[1].data.sum() == pytest.approx(len(hdus[2].data), rel=1e-5)


def test_layers_list_the_detectors_over_the_tile(small_survey, sky):
    folder, made = small_survey
    for one in made.tiles:
        with fits.open(file_of(folder, one, "NIR_Y", "layers")) as hdus:
            columns = {column.name: column.format for column in hdus[1].columns}
            table = hdus[1].data
        assert columns == {
            "CALIB_IMAGE": "80A",
            "EXTNAME": "15A",
            "EXPTIME": "E",
            "POLYGON": "8D",
            "ALPHA": "E",
            "BETA": "E",
            "SAA": "E",
            "MJD-OBS": "E",
        }
        grid = Grid(tile(one), 320)
        count = np.zeros((320, 320), int)
        for row in table:
            lon, lat = np.degrees(row["POLYGON"].reshape(4, 2).T)
            corners = grid.plane.project(_vectors(lon, lat))
            count += _inside(corners, grid)
        exposures = BandPixels(sky, grid, BANDS["NIR_Y"]).block(0, 320).exposures
        assert np.mean(count != exposures) < 1e-4
        assert set(np.unique(table["EXPTIME"])) == {np.float32(87.2448)}
        assert np.all((table["SAA"] > 80) & (table["SAA"] < 120)) and np.all(table["MJD-OBS"] > 60000)


def _vectors(lon, lat):
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


def _inside(corners, grid):
    """Pixels inside a convex quadrilateral of the tile's plane."""
    x, y = grid.x(np.arange(grid.size))[None], grid.y(np.arange(grid.size))[:, None]
    inside = np.ones((grid.size, grid.size), bool)
    for i in range(4):
        x0, y0, x1, y1 = corners[0][i], corners[1][i], corners[0][i - 3], corners[1][i - 3]
        inside &= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) >= 0
    return inside


def test_star_masks_are_discs_and_polygons_of_the_halos(small_survey, sky):
    folder, made = small_survey
    listed = json.loads(file_of(folder, made.tiles[0], "VIS", "star-masks").read_text())
    kinds = {tuple(item) for item in listed}
    assert kinds == {("RA", "Dec", "radius"), ("polygon",)}
    lon, lat = to_angles(sky.halos.centres)
    stars = {
        round(float(a), 9): (float(b), float(r)) for a, b, r in zip(lon, lat, sky.halos.radii, strict=True)
    }
    for item in listed:
        if "RA" in item:
            dec, radius = stars[round(item["RA"], 9)]
            assert item["Dec"] == pytest.approx(dec) and item["radius"] == pytest.approx(math.degrees(radius))
        else:
            assert len(item["polygon"]) == 8


def test_the_descriptor_of_a_mosaic(small_survey):
    folder, made = small_survey
    for one in made.tiles:
        for band in made.bands:
            path = file_of(folder, one, band, "mosaic")
            root = ElementTree.parse(path).getroot()
            assert root.tag.startswith("{http") and root.tag.endswith("}DpdMerBksMosaic")
            assert [child.tag for child in root] == ["Header", "Data", "QualityFlags", "Parameters"]
            data = root.find("Data")
            assert data.findtext("Filter/Name") == band
            assert data.findtext("TileIndex") == str(int(one))
            assert float(data.findtext("ZeroPoint/Value")) == BANDS[band].zero_point_mag
            names = [element.text for element in data.iter("FileName")]
            assert len(names) == (7 if band != "DECAM_g" else 6)
            assert all((path.parent / name).is_file() for name in names)
            corners = [(float(v.findtext("C1")), float(v.findtext("C2"))) for v in data.iter("Vertex")]
            assert Polygon(corners).area_deg2 == pytest.approx(0.28443828, abs=1e-8)
            rms = plane(folder, one, band, "rms")
            assert float(data.findtext("QualityParams/CoverageFraction")) == np.mean(rms < 1e15)
            image = plane(folder, one, band, "image").astype(float)
            assert float(data.findtext("QualityParams/Mean")) == pytest.approx(image.mean(), rel=1e-9)
            assert float(data.findtext("QualityParams/StDev")) == pytest.approx(image.std(), rel=1e-9)
            assert data.findtext("FirstObservationDateTime") < data.findtext("LastObservationDateTime")


def test_the_project_reads_its_own_survey(small_survey, sky):
    folder, made = small_survey
    parameters = load(made.parameters)
    assert parameters.maps.order == made.order
    manifest = scan_inputs(parameters.inputs)
    assert [(ref.area, ref.band) for ref in manifest] == sorted(
        (t, b) for t in made.tiles for b in made.bands
    )
    for ref in manifest:
        grid = Grid(tile(ref.area), 320)
        np.testing.assert_allclose(
            ref.outline().vertices.min(axis=0),
            np.stack(grid.plane.angles(*grid.corners().T)).min(axis=1),
            atol=1e-10,
        )
        assert ref.telescope == ("NOAO" if ref.instrument == "DECAM" else "Euclid")
        with open_frame(ref, ["FLAG", "PSF", "LAYERS", "STARMASK"]) as frame:
            read = np.asarray(frame.planes["FLAG"].read(0, 320)).astype(np.int32)
            assert np.array_equal(read, plane(folder, ref.area, ref.band, "flag"))
            masks = frame.star_masks
            assert any(isinstance(mask, Cap) for mask in masks)
            assert any(isinstance(mask, Polygon) for mask in masks)
            if ref.band != "DECAM_g":
                assert len(frame.exposures) > 20


def test_the_descriptor_of_a_tile_gives_its_owned_cells(small_survey):
    folder, made = small_survey
    owned = tiling("euclid-wide")
    areas = read_tiles(str(folder / "MER"))
    assert set(areas) == set(made.tiles)
    given = tiling("mer-tiles", areas=areas)
    for one in made.tiles:
        assert given.owned(one, made.order) == owned.owned(one, made.order)


def test_bytes_follow_from_the_seed_alone(tmp_path):
    arguments = {"tiles": 1, "size": 96, "bands": ("NIR_J",), "at": (0.0, 0.0)}
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        made = simulate(tmp_path / name, seed=seed, **arguments)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    one, two = (plane(tmp_path / name, made.tiles[0], "NIR_J", "image") for name in "ac")
    assert not np.any((one == two) & (one != 0))


def test_neighbours_and_bands_do_not_change_a_tile(tmp_path):
    """Noise of a tile and band does not depend on what else is simulated; the sky is laid out for the whole survey."""
    simulate(tmp_path / "a", tiles=1, size=96, bands=("VIS",), at=(10.0, 5.0), seed=1)
    simulate(tmp_path / "b", tiles=1, size=96, bands=("NIR_Y", "VIS"), at=(10.0, 5.0), seed=1)
    one, two = digest(tmp_path / "a" / "MER"), digest(tmp_path / "b" / "MER")
    assert set(one.items()) <= set(two.items())


@pytest.mark.parametrize("compress", ["gz", "fz"])
def test_compressed_planes_hold_the_same_values(tmp_path, compress):
    arguments = {"tiles": 1, "size": 128, "bands": ("VIS",), "at": (52.9, -28.25), "seed": 2}
    made = simulate(tmp_path / "plain", **arguments)
    simulate(tmp_path / "packed", compress=compress, **arguments)
    for kind in PLANES:
        path = file_of(tmp_path / "packed", made.tiles[0], "VIS", kind)
        assert path.suffix == f".{compress}"
        one, two = (plane(tmp_path / name, made.tiles[0], "VIS", kind) for name in ("plain", "packed"))
        assert one.dtype.newbyteorder("=") == two.dtype.newbyteorder("=")
        assert np.array_equal(one, two)
        with warnings.catch_warnings(), fits.open(path, checksum=True) as hdus:
            warnings.simplefilter("error")
            assert hdus[-1].header["NAXIS1"] == 128
    if compress == "gz":
        packed, plain = (
            file_of(tmp_path / name, made.tiles[0], "VIS", "flag") for name in ("packed", "plain")
        )
        assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
        assert packed.read_bytes()[4:8] == bytes(4)  # no time
    manifest = scan_inputs(load(tmp_path / "packed" / "survey.toml").inputs)
    assert [ref.band for ref in manifest] == ["VIS"]
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.startswith(".")]


def test_descriptors_and_layers_can_be_left_out(tmp_path):
    made = simulate(
        tmp_path, tiles=1, size=96, bands=("VIS",), at=(0.0, 0.0), seed=1, xml=False, layers=False
    )
    names = [path.name for path in every_file(tmp_path / "MER")]
    assert not [name for name in names if "LAYERS" in name or name.endswith(".xml")]
    assert "Exposures" not in made.parameters.read_text()
    assert [ref.band for ref in scan_inputs(load(made.parameters).inputs)] == ["VIS"]


@pytest.mark.parametrize("place", [(0.0, 0.0), (77.0, 90.0), (77.0, -90.0), (359.9, 60.5)])
def test_any_place_on_the_sky(tmp_path, place):
    made = simulate(tmp_path, tiles=2, size=64, bands=("VIS",), at=place, seed=1)
    content = json.loads((tmp_path / "truth" / "truth.json").read_text())
    assert sum(one["core"]["VIS"]["observed_deg2"] for one in content["tiles"].values()) > 0.05
    assert len(list(scan_inputs(load(made.parameters).inputs))) == 2


@pytest.mark.parametrize(
    "size, lat, order",
    [(1200, 28.0, 13), (1200, 89.0, 14), (600, 75.0, 13), (600, 51.5, 12), (64, 0.0, 12), (19200, 0.0, 14)],
)
def test_order_suits_the_pixels_and_the_margin(size, lat, order):
    assert map_order(size, lat) == order


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"tiles": 0}, "tiles must be at least 1"),
        ({"size": 101}, "even number"),
        ({"size": 32}, "from 64 on"),
        ({"bands": ()}, "bands must be named once"),
        ({"bands": ("VIS", "VIS")}, "bands must be named once"),
        ({"bands": ("LSST_u",)}, "band must be one of VIS"),
        ({"at": (0.0, 91.0)}, "position in degrees"),
        ({"seed": -1}, "seed must lie"),
        ({"compress": "zip"}, "compress must be"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        simulate(tmp_path, **{"seed": 1, **wrong})
    assert not every_file(tmp_path)
