"""Reader `euclid-nir`: values of simulated exposures, forms and faults of hand-written ones."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.wcs import WCS

import nir_helpers as write
from readers_conformance import Opens, check_reader
from readers_scan import Scanner
from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.frames import FrameRef
from vmpz.readers import detectors_of, open_frame
from vmpz.readers.nirfiles import ExposureId, missing_exposures
from vmpz.simulate import nir
from vmpz.simulate.exposures import Detector, Shot, shots
from vmpz.simulate.field import Sky
from vmpz.simulate.orbit import spacecraft_km
from vmpz.sky.covers import unit_vectors
from vmpz.tiles import tiles_near

PIXELS = 32
ROLES = {"core": "SATUR", "halo": "SCATTER", "trail": "PERSIST", "column": "HOT", "cosmic": "COSMIC"}


NIR = Scanner("euclid-nir")
scan, the_frame, refusal = NIR.scan, NIR.the_frame, NIR.refusal

CAMERA = replace(nir.CAMERA, detectors=nir.CAMERA.detectors[::3])
"""Six detectors, from all rows and columns: some are turned, some not."""


# -- simulated exposures ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Shot]]:
    """Three exposures: two dithers of Y, one of J."""
    sky = Sky(tiles_near(57.9988, -51.5, 1), 1.6, 3)
    chosen = [
        shot
        for shot in shots(sky, CAMERA)
        if (shot.band.name, shot.dither) in (("NIR_Y", 0), ("NIR_Y", 2), ("NIR_J", 2))
    ]
    folder = tmp_path_factory.mktemp("nir")
    for shot in chosen:
        nir.write_exposure(folder, shot, pixels=PIXELS)
    return folder, chosen


@pytest.fixture(scope="module")
def pairs(made: tuple[Path, list[Shot]]) -> list[tuple[Shot, FrameRef]]:
    folder, chosen = made
    by_area = {ref.area: ref for ref in scan(folder)}
    return [(shot, by_area[nir.exposure_id(shot)]) for shot in chosen]


def test_scalars_are_those_of_the_exposure(pairs: list[tuple[Shot, FrameRef]]) -> None:
    for shot, ref in pairs:
        assert (ref.instrument, ref.band) == ("NISP", shot.band.name)
        table = ref.exposures
        assert table is not None
        assert table.ids == tuple(f"{ref.area}[DET{one.name}]" for one in CAMERA.detectors)
        expected = {
            "ExposureTime": shot.band.exposure_time_s,
            "MJD": shot.middle_mjd,
            "Zeropoint": shot.band.zero_point_mag,
            "PSF": shot.fwhm_arcsec,
            "PointingLon": shot.lon_deg,
            "PointingLat": shot.lat_deg,
            "PositionAngle": shot.position_angle_deg,
            **{f"Position{axis}": km for axis, km in zip("XYZ", spacecraft_km(shot.middle_mjd), strict=True)},
        }
        assert set(table.scalars) == {*expected, "PixelScale"}
        for name, value in expected.items():
            np.testing.assert_allclose(table.scalars[name], value, rtol=1e-8, err_msg=name)
        assert np.abs(table.scalars["MJD"] - shot.middle_mjd).max() < 1e-9
        areas = [table.outline(row).area_deg2 for row in range(len(CAMERA.detectors))]
        np.testing.assert_allclose((table.scalars["PixelScale"] / 3600.0) ** 2 * PIXELS**2, areas, rtol=4e-4)
        # in the middle pixels are smaller than on average
        assert ref.scalars["zero_point"] == shot.band.zero_point_mag
        assert ref.bit_table == "nir"
        assert any("SAA is in no header: it follows from POS_X" in note for note in ref.notes)


def test_outlines_are_the_pixel_edges(pairs: list[tuple[Shot, FrameRef]]) -> None:
    shot, ref = pairs[0]
    assert ref.exposures is not None
    for row, one in enumerate(CAMERA.detectors):
        wcs = WCS(nir.detector_header(shot, row, PIXELS))
        edge = np.arange(8) / 8.0 * PIXELS
        x = np.concatenate((edge, np.full(8, PIXELS), PIXELS - edge, np.zeros(8))) - 0.5
        y = np.concatenate((np.zeros(8), edge, np.full(8, PIXELS), PIXELS - edge)) - 0.5
        np.testing.assert_allclose(
            ref.exposures.corners[row], np.stack(wcs.all_pix2world(x, y, 0), axis=1), atol=1e-12
        )
        _check_distortion(shot, one, ref.exposures.corners[row][::8])


def _check_distortion(shot: Shot, one: Detector, corners_deg: np.ndarray) -> None:
    """In the focal plane every corner is moved outwards by 0.2 per cent of (r / 20 arcmin)**2."""
    found = np.stack(shot.plane.project(unit_vectors(*corners_deg.T)), axis=1) * np.degrees(3600.0)
    flat = np.array([(x, y) for x in (one.x0, one.x1) for y in (one.y0, one.y1)])
    moved = flat * (1.0 + 2e-3 * (np.hypot(*flat.T) / 1200.0) ** 2)[:, None]
    apart = np.linalg.norm(found[:, None] - moved, axis=2)
    assert sorted(apart.argmin(axis=1)) == [0, 1, 2, 3]
    assert apart.min(axis=1).max() < 1e-6


def test_planes_are_those_written(pairs: list[tuple[Shot, FrameRef]]) -> None:
    """In any orientation, and the background by DET_ID though its astrometry and order differ."""
    for shot, ref in pairs[:2]:
        rows = [5, 0, 2]
        for row, image in zip(rows, detectors_of(ref, rows), strict=True):
            truth = nir.detector_planes(shot, row, PIXELS)
            with open_frame(image, list(truth)) as frame:
                assert set(frame.planes) == set(truth)
                for name, plane in frame.planes.items():
                    np.testing.assert_array_equal(plane.read(0, PIXELS), truth[name], err_msg=name)
            y, x = np.mgrid[:PIXELS, :PIXELS]
            lon, lat = image.wcs.all_pix2world(x, y, 0)
            np.testing.assert_allclose(truth["BACKGROUND"], shot.background(lon, lat), rtol=1e-6)
            scalars = {"zero_point", "exposure_time_s", "psf_fwhm_arcsec", "gain", "pixel_scale_arcsec"}
            assert set(image.scalars) == scalars


def test_flags_mean_what_hit_the_pixel(pairs: list[tuple[Shot, FrameRef]]) -> None:
    shot, ref = pairs[0]
    seen = dict.fromkeys(ROLES, 0)
    for row, image in enumerate(detectors_of(ref, range(len(CAMERA.detectors)))):
        with open_frame(image, ["FLAG"]) as frame:
            words = np.asarray(frame.planes["FLAG"].read(0, PIXELS)).astype(np.uint32)
            assert frame.bits is not None
            bit = {
                name: np.uint32(1 << one.number)
                for name, one in frame.bits.by_name.items()
                if one.number < 32
            }
        y, x = np.mgrid[:PIXELS, :PIXELS]
        roles = shot.roles(row, *image.wcs.all_pix2world(x, y, 0))
        for role, name in ROLES.items():
            np.testing.assert_array_equal((words & bit[name]) != 0, roles[role], err_msg=role)
            seen[role] += int(roles[role].sum())
        unusable = roles["edge"] | roles["core"] | roles["column"]
        np.testing.assert_array_equal((words & bit["INVALID"]) != 0, unusable)
        assert np.all(words & bit["NLINEAR"])
    assert all(seen.values())


@pytest.mark.parametrize("source", ["image", "model"])
def test_stamps_give_the_psf_on_the_sky(made: tuple[Path, list[Shot]], source: str) -> None:
    """Whichever way a detector is turned."""
    folder, chosen = made
    for ref in scan(folder, psf=source):
        shot = next(one for one in chosen if nir.exposure_id(one) == ref.area)
        with open_frame(ref, ["PSF"]) as frame:
            psf = frame.psf
        assert psf is not None
        np.testing.assert_array_equal(psf.detector, np.arange(len(CAMERA.detectors)))
        np.testing.assert_allclose(psf.fwhm_arcsec, shot.fwhm_arcsec, rtol=1e-5)
        xx, yy, xy = psf.moments_arcsec2.T
        np.testing.assert_allclose((xx - yy) / (xx + yy), shot.ellipticity[0], atol=1e-6)
        np.testing.assert_allclose(2.0 * xy / (xx + yy), shot.ellipticity[1], atol=1e-6)


def test_it_is_a_reader_of_exposures(made: tuple[Path, list[Shot]], monkeypatch: pytest.MonkeyPatch) -> None:
    check_reader("euclid-nir", made[0], {"bands": ["NIR_J"]}, monkeypatch)


def test_stamps_stand_on_their_detectors(pairs: list[tuple[Shot, FrameRef]]) -> None:
    _, ref = pairs[0]
    with open_frame(ref, ["PSF"]) as frame:
        psf = frame.psf
    corners = unit_vectors(ref.exposures.corners[..., 0], ref.exposures.corners[..., 1])
    apart = np.linalg.norm(unit_vectors(psf.lon_deg, psf.lat_deg) - corners.mean(axis=1), axis=1)
    assert np.degrees(apart).max() * 3600.0 < 2.0  # the middle of the outline, but for the distortion


def test_exposures_can_be_listed_without_planes(made: tuple[Path, list[Shot]]) -> None:
    whole, none = scan(made[0]), scan(made[0], planes=[])
    assert [ref.exposures for ref in none] == [ref.exposures for ref in whole]
    assert not any(ref.planes for ref in none)


def test_stamps_are_read_from_the_chosen_file_alone(
    made: tuple[Path, list[Shot]], monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = {source: scan(made[0], psf=source).frames[0] for source in ("image", "model")}
    opens = Opens(monkeypatch)
    for source, ref in refs.items():
        with open_frame(ref, ["PSF", "IMAGE"]):
            assert opens.taken() == {ref.tables["PSF"].location, ref.planes["IMAGE"].location}
        assert ("PSF-I" if source == "image" else "PSF-M") in ref.tables["PSF"].location


def test_a_simulated_observation_names_what_it_lacks(pairs: list[tuple[Shot, FrameRef]]) -> None:
    for _, ref in pairs:
        (bands, dithers) = [note for note in ref.notes if "not complete" in note]
        assert bands.endswith("missing: NIR_J-2681-0, NIR_H-2681-0, NIR_H-2681-2")
        assert dithers.endswith("2 of 4 dithers are here")


# -- hand-written exposures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_a_hand_written_exposure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: bool) -> None:
    write.write_exposure(tmp_path, compress=compress)
    write.write_exposure(tmp_path / "below", band="J", compress=compress)
    check_reader("euclid-nir", tmp_path, {}, monkeypatch)
    ref = scan(tmp_path).frames[1]
    assert ref.area == "NIR_Y-2681-1"
    assert ref.exposures is not None
    assert ref.exposures.ids == ("NIR_Y-2681-1[DET11]", "NIR_Y-2681-1[DET34]")
    one_row = {name: values[0] for name, values in ref.exposures.scalars.items()}
    assert one_row["MJD"] == pytest.approx(60384.39594113 + 56.4 / 86400, abs=1e-9)
    assert (one_row["SAA"], one_row["AA"], one_row["BA"]) == (91.25, -1.5, 1.25)
    assert one_row["PixelScale"] == pytest.approx(0.3, rel=1e-6)
    assert one_row["PSF"] == pytest.approx(1.7 * 0.3, rel=1e-6)
    with open_frame(ref, ["PSF"]) as frame:
        np.testing.assert_allclose(frame.psf.fwhm_arcsec, 2.354820045 * 2.0 / 5.0 * 0.3, rtol=1e-5)
    assert "2 of 16 detectors are in the image file" in ref.notes


def test_any_order_of_extensions_is_the_same_exposure(tmp_path: Path) -> None:
    order = [(detector, layer) for detector in write.DETECTORS for layer in ("SCI", "RMS", "DQ")]
    random.Random(3).shuffle(order)
    shuffled = {kind: write.image_file(kind, order) for kind in ("IMAGE", "IMAGE-BKG")}
    write.write_exposure(tmp_path / "one")
    write.write_exposure(tmp_path / "two", contents=shuffled)
    first, second = the_frame(tmp_path / "one"), the_frame(tmp_path / "two")
    assert first.exposures == second.exposures
    for one, two in zip(detectors_of(first, [0, 1]), detectors_of(second, [0, 1]), strict=True):
        assert one.wcs_cards == two.wcs_cards
        with open_frame(one, one.planes) as here, open_frame(two, two.planes) as there:
            for name, plane in here.planes.items():
                np.testing.assert_array_equal(plane.read(0, 6), there.planes[name].read(0, 6))


def test_the_background_is_matched_by_detector_not_by_name_or_sky(tmp_path: Path) -> None:
    """DET_ID decides; its WCS may be any, or none at all."""
    swapped = {
        "DET11.SCI": {"DET_ID": "34", "CRVAL1": 10.0},
        "DET34.SCI": {"DET_ID": 11, "CTYPE1": None},
    }
    write.write_exposure(tmp_path, changes={"IMAGE-BKG": swapped})
    (image,) = detectors_of(the_frame(tmp_path), [0])
    with open_frame(image, ["BACKGROUND"]) as frame:
        found = frame.planes["BACKGROUND"].read(0, 6)
    np.testing.assert_array_equal(found, write.arrays("34", "IMAGE-BKG")["SCI"])


SIP = {
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "A_ORDER": 2,
    "B_ORDER": 2,
    "A_2_0": 1e-4,
    "B_0_2": -1e-4,
}
PV = {"PV1_1": 1.0, "PV1_4": 1e-3, "PV2_1": 1.0, "PV2_4": -1e-3}
TPV = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", **PV}


@pytest.mark.parametrize("cards", [{}, SIP, TPV, PV], ids=["TAN", "TAN-SIP", "TPV", "TAN with PV"])
def test_projections(tmp_path: Path, cards: dict[str, Any]) -> None:
    changes = {f"DET{one}.SCI": cards for one in write.DETECTORS}
    write.write_exposure(tmp_path, changes={"IMAGE": changes})
    ref = the_frame(tmp_path)
    header = {**write.wcs_cards("11"), **cards}
    if cards is PV:
        header |= {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV"}
    from astropy.io.fits import Header

    lon, lat = WCS(Header(header)).all_pix2world([3.0], [2.0], 0)
    (image,) = detectors_of(ref, [0])
    np.testing.assert_allclose(image.wcs.all_pix2world([3.0], [2.0], 0), (lon, lat), atol=1e-12)


def test_zero_points_may_differ_between_detectors(tmp_path: Path) -> None:
    changes = {
        "PRIMARY": {"ZPAB": "29.80"},
        "DET11.SCI": {"ZPAB": 29.75},
        "DET34.SCI": {"ZPAB": None},
    }
    write.write_exposure(tmp_path, changes={"IMAGE": changes})
    ref = the_frame(tmp_path)
    np.testing.assert_array_equal(ref.exposures.scalars["Zeropoint"], [29.75, 29.80])
    assert "zero_point" not in ref.scalars
    assert [image.scalars["zero_point"] for image in detectors_of(ref, [1, 0])] == [29.80, 29.75]


def test_what_headers_do_not_say_is_left_out_and_named(tmp_path: Path) -> None:
    absent = dict.fromkeys(
        ("SAA", "ALPHA", "BETA", "EXPTIME", "ELAPTIME", "MJD-OBS", "RA", "DEC", "PA", "OBSMODE")
    )
    write.write_exposure(
        tmp_path, without=("IMAGE-BKG", "PSF-I", "PSF-M"), changes={"IMAGE": {"PRIMARY": absent}}
    )
    ref = the_frame(tmp_path)
    assert set(ref.exposures.scalars) == {"Zeropoint", "PixelScale"}
    assert set(ref.planes) == {"IMAGE", "RMS", "FLAG"}
    assert not ref.tables
    for words in (
        "there is no PSF file",
        "there is no background file",
        "ExposureTime is not known: no EXPTIME",
        "MJD is not known: no MJD-OBS",
        "SAA is in no header, and no position of the spacecraft",
    ):
        assert any(words in note for note in ref.notes), words
    with open_frame(ref, ["PSF"]) as frame:
        assert frame.psf is None
    (image,) = detectors_of(ref, [1])
    assert set(image.planes) == {"IMAGE", "RMS", "FLAG"}


def test_flags_without_names_in_headers_use_the_table(tmp_path: Path) -> None:
    plain = {
        f"DET{one}.DQ": dict.fromkeys(f"MSK_FLAG_{name}" for name in write.BITS) for one in write.DETECTORS
    }
    write.write_exposure(tmp_path, changes={"IMAGE": plain})
    ref = the_frame(tmp_path)
    assert "flags are read with the names of the table nir" in ref.notes
    (image,) = detectors_of(ref, [0])
    with open_frame(image, ["FLAG"]) as frame:
        assert frame.bits == bit_table("nir")


def test_bits_of_headers_are_trusted(tmp_path: Path) -> None:
    new = {f"DET{one}.DQ": {"MSK_FLAG_FUTURE": 27} for one in write.DETECTORS}
    write.write_exposure(tmp_path, changes={"IMAGE": new})
    (image,) = detectors_of(the_frame(tmp_path), [0])
    with open_frame(image, ["FLAG"]) as frame:
        assert {bit.name: bit.number for bit in frame.bits.bits} == {**write.BITS, "FUTURE": 27}


# -- the PSF ----------------------------------------------------------------------------------------------------


def varying_model() -> bytes:
    """Width grows along x: terms 1, x, y of a polynomial."""
    round_ = write.gaussian(2.0)
    wider = write.gaussian(2.4) - round_
    terms = np.stack([round_, wider, np.zeros_like(round_)])
    polynomial = {"POLNAXIS": 2, "POLGRP1": 1, "POLNAME1": "X_IMAGE", "POLZERO1": 4.5, "POLSCAL1": 8.0}
    polynomial |= {"POLGRP2": 1, "POLNAME2": "Y_IMAGE", "POLZERO2": 3.5, "POLSCAL2": 6.0}
    return write.psf_model(terms, **polynomial, POLNGRP=1, POLDEG1=1)


def test_a_varying_model_is_evaluated_over_the_detector(tmp_path: Path) -> None:
    write.write_exposure(tmp_path, without=("PSF-I",), contents={"PSF-M": varying_model()})
    ref = the_frame(tmp_path)
    (image,) = detectors_of(ref, [0])
    with open_frame(ref, ["PSF"]) as frame:
        psf = frame.psf
    np.testing.assert_array_equal(psf.detector, np.repeat([0, 1], 16))
    x, y = image.wcs.all_world2pix(psf.lon_deg[:16], psf.lat_deg[:16], 0)
    np.testing.assert_allclose(np.unique(x.round(6)), [0.5, 2.5, 4.5, 6.5], atol=1e-6)
    np.testing.assert_allclose(np.unique(y.round(6)), [0.25, 1.75, 3.25, 4.75], atol=1e-6)
    order = np.argsort(x, kind="stable")
    width = psf.fwhm_arcsec[:16][order].reshape(4, 4)
    np.testing.assert_allclose(width, width[:, :1].repeat(4, axis=1), rtol=1e-6)
    assert np.all(np.diff(width[:, 0]) > 0)


def test_an_image_that_varies_is_left_aside(tmp_path: Path) -> None:
    write.write_exposure(tmp_path, contents={"PSF-I": write.psf_image(POLNAXIS=2)})
    ref = the_frame(tmp_path)
    assert "PSF-M" in ref.tables["PSF"].location
    assert any("PSF image is left aside" in note for note in ref.notes)


def test_the_header_width_stands_in_where_a_stamp_has_no_moments(tmp_path: Path) -> None:
    empty = np.zeros((1, 41, 41), np.float32)
    write.write_exposure(tmp_path, without=("PSF-I",), contents={"PSF-M": write.psf_model(empty)})
    with open_frame(the_frame(tmp_path), ["PSF"]) as frame:
        np.testing.assert_allclose(frame.psf.fwhm_arcsec, 1.7 * 0.3, rtol=1e-6)
        assert np.isnan(frame.psf.moments_arcsec2).all()


def test_a_psf_that_is_not_there_when_asked_for(tmp_path: Path) -> None:
    write.write_exposure(tmp_path, without=("PSF-M",))
    ref = the_frame(tmp_path, psf="model")
    assert "there is no PSF model" in ref.notes
    assert "PSF" not in ref.tables
    with pytest.raises(InputError, match="psf must be one of image, model, found 'both'"):
        scan(tmp_path, psf="both")


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"PSF-I": write.psf_image(DET_ID=None, EXTNAME="STAMP")}, "DET_ID must be a detector"),
        ({"PSF-I": write.psf_image(OBS_ID=2682)}, "OBS_ID must be 2681"),
        ({"PSF-M": write.psf_model(FILTER="J")}, "FILTER must be Y"),
        ({"PSF-M": write.psf_model(PSF_FWHM=-1.0)}, "PSF_FWHM must be positive"),
        ({"PSF-M": write.psf_model(DET_ID="11")}, "DET_ID 11 must stand once"),
        ({"PSF-I": write.psf_image()[:-2880]}, "cut"),
    ],
)
def test_psf_files_that_are_refused(tmp_path: Path, contents: dict[str, bytes], words: str) -> None:
    write.write_exposure(tmp_path, contents=contents)
    assert words in refusal(tmp_path)


def test_psf_files_that_change_or_lie_are_refused_when_read(tmp_path: Path) -> None:
    paths = write.write_exposure(tmp_path)
    ref = the_frame(tmp_path)
    paths["PSF-I"].write_bytes(write.psf_image(EXTRA=1))
    with pytest.raises(InputError, match="must be the file that was listed"), open_frame(ref, ["PSF"]):
        pass
    paths["PSF-I"].write_bytes(write.psf_image(OVERSAMP=0.0))
    with (
        pytest.raises(InputError, match="OVERSAMP must be positive"),
        open_frame(the_frame(tmp_path), ["PSF"]),
    ):
        pass


# -- faults -----------------------------------------------------------------------------------------------------


def _faults() -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "IMAGE", {"DET34.RMS": None}, "DET34 must have SCI, RMS and DQ, found no RMS"
    yield "IMAGE", {"DET34.SCI": {"EXTNAME": "DET11.SCI"}}, "DET11.SCI must stand once"
    yield "IMAGE", {"DET34.SCI": {"DET_ID": "33"}}, "DET_ID must be that of EXTNAME DET34.SCI"
    yield "IMAGE", {"DET34.SCI": {"DET_ID": "57"}}, "DET_ID must be a detector, 11 to 44"
    yield (
        "IMAGE",
        {"DET11.DQ": {"data": np.zeros(write.SHAPE, np.float32)}},
        "BITPIX of DQ must be one of integers",
    )
    yield (
        "IMAGE",
        {"DET11.RMS": {"data": np.ones(write.SHAPE, np.int32)}},
        "BITPIX of RMS must be one of floating",
    )
    yield (
        "IMAGE",
        {"DET11.DQ": {"data": np.zeros((6, 9), np.int32)}},
        "must have the shape of DET11.SCI, (6, 8)",
    )
    yield "IMAGE", {"DET11.SCI": {"ZPAB": "bright"}}, "ZPAB must be a number, found \"ZPAB    = 'bright"
    yield "IMAGE", {"DET11.SCI": {"ZPAB": None}}, "DET11.SCI]: ZPAB must be present"
    yield "IMAGE", {"DET11.SCI": {"CRVAL1": None}}, "CRVAL1 must be present"
    yield (
        "IMAGE",
        {"DET11.SCI": {"CTYPE1": "RA---XYZ"}},
        "CTYPE1, CTYPE2 must be RA and DEC of one projection",
    )
    yield "IMAGE", {"DET11.DQ": {"MSK_FLAG_INVALID": 40}}, "MSK_FLAG_INVALID must be a bit number"
    yield "IMAGE", {"DET11.DQ": {"MSK_FLAG_SATUR": 9}}, "MSK_FLAG_ cards must be those of"
    yield "IMAGE", {f"DET{one}.DQ": {"MSK_FLAG_SATUR": 9} for one in write.DETECTORS}, "must agree with bit"
    yield "IMAGE", {"PRIMARY": {"FILTER": None}}, "FILTER must be present"
    yield "IMAGE", {"PRIMARY": {"FILTER": "NIR_J"}}, "FILTER must be Y, as in the file name, found"
    yield "IMAGE", {"PRIMARY": {"OBS_ID": 2682}}, "OBS_ID must be 2681, as in the file name"
    yield "IMAGE", {"PRIMARY": {"OBS_ID": "2681"}}, "OBS_ID must be an integer"
    yield "IMAGE", {"PRIMARY": {"EXPTIME": "long"}}, "EXPTIME must be a number"
    yield "IMAGE-BKG", {"DET34.SCI": None}, "must hold the background of DET34, found 11"
    yield "IMAGE-BKG", {"DET34.SCI": {"DET_ID": "11"}}, "DET_ID 11 must stand once"
    yield (
        "IMAGE-BKG",
        {"DET34.SCI": {"data": np.zeros((5, 8), np.float32)}},
        "must have the shape of the image of DET34",
    )
    yield "IMAGE-BKG", {"PRIMARY": {"OBS_ID": 2682}}, "OBS_ID must be 2681"


@pytest.mark.parametrize(("kind", "changes", "words"), list(_faults()))
def test_faults_refuse_the_exposure_and_no_other(
    tmp_path: Path, kind: str, changes: dict[str, Any], words: str
) -> None:
    paths = write.write_exposure(tmp_path, changes={kind: changes})
    write.write_exposure(tmp_path, band="J")
    manifest = scan(tmp_path)
    assert [ref.area for ref in manifest] == ["NIR_J-2681-1"]
    (item,) = manifest.refused
    assert (item.area, item.instrument, item.band) == ("NIR_Y-2681-1", "NISP", "NIR_Y")
    assert words in item.reason
    assert str(paths[kind]) in item.reason


@pytest.mark.parametrize("kind", ["IMAGE", "IMAGE-BKG", "PSF-I", "PSF-M"])
def test_truncated_files_are_refused(tmp_path: Path, kind: str) -> None:
    paths = write.write_exposure(tmp_path)
    paths[kind].write_bytes(paths[kind].read_bytes()[:-1])
    assert str(paths[kind]) in refusal(tmp_path)


def test_no_exposure_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must hold NIR exposures"):
        scan(tmp_path)
    with pytest.raises(InputError, match="must be a folder of NIR exposures"):
        scan(tmp_path / "absent")
    (tmp_path / write.name_of("IMAGE")).write_bytes(write.primary())
    assert "must hold extensions DETxy.SCI" in refusal(tmp_path)


def test_an_exposure_without_image_is_refused(tmp_path: Path) -> None:
    write.write_exposure(tmp_path, band="J")
    write.write_exposure(tmp_path, without=("IMAGE", "PSF-I", "PSF-M"))
    (item,) = scan(tmp_path).refused
    assert item.area == "NIR_Y-2681-1"
    assert "must have an image" in item.reason


def test_of_two_processings_the_later_is_taken(tmp_path: Path) -> None:
    later = "20241130T000000.000001"
    write.write_exposure(tmp_path)
    paths = write.write_exposure(tmp_path, time=later)
    ref = the_frame(tmp_path)
    assert ref.planes["IMAGE"].location == str(paths["IMAGE"])
    assert ref.planes["BACKGROUND"].location == str(paths["IMAGE-BKG"])
    assert sum("was chosen over the older" in note for note in ref.notes) == 4


def test_two_files_of_one_exposure_must_be_copies(tmp_path: Path) -> None:
    write.write_exposure(tmp_path / "a")
    write.write_exposure(tmp_path / "b")
    assert sum("are copies" in note for note in the_frame(tmp_path).notes) == 4
    other = write.image_file(changes={"PRIMARY": {"PA": 13.0}})
    write.write_exposure(tmp_path / "b", contents={"IMAGE": other})
    assert "must be copies" in refusal(tmp_path)


def test_one_place_in_the_sequence_is_one_exposure(tmp_path: Path) -> None:
    """The same exposure under two names would count twice."""
    write.write_exposure(tmp_path)
    write.write_exposure(tmp_path, number=3, changes={"IMAGE": {"PRIMARY": {"DITHOBS": 2}}})
    manifest = scan(tmp_path)
    assert [ref.area for ref in manifest] == ["NIR_Y-2681-1"]
    (item,) = manifest.refused
    assert "must be those of one exposure" in item.reason
    assert "in NIR_Y-2681-1 as well" in item.reason


def test_a_refused_exposure_takes_no_place_in_the_sequence(tmp_path: Path) -> None:
    write.write_exposure(tmp_path, changes={"IMAGE": {"DET11.SCI": {"ZPAB": None}}})
    write.write_exposure(tmp_path, number=3, changes={"IMAGE": {"PRIMARY": {"DITHOBS": 2}}})
    assert [ref.area for ref in scan(tmp_path)] == ["NIR_Y-2681-3"]


def test_files_that_change_after_listing_are_refused(tmp_path: Path) -> None:
    paths = write.write_exposure(tmp_path)
    ref = the_frame(tmp_path)
    (image,) = detectors_of(ref, [0])
    paths["IMAGE"].write_bytes(write.image_file(changes={"DET11.RMS": {"GAIN": 3.0}}))
    with pytest.raises(InputError, match="must be the file that was listed"):
        detectors_of(ref, [1])
    with pytest.raises(InputError, match="must be the file that was listed"), open_frame(image, ["RMS"]):
        pass


# -- descriptors ------------------------------------------------------------------------------------------------


def described(folder: Path, zero_points: dict[str, Any] | None = None, **changes: Any) -> dict[str, Path]:
    paths = write.write_exposure(folder)
    names = [path.name for path in paths.values()]
    (folder / "one.xml").write_text(write.descriptor(changes.pop("names", names), zero_points, **changes))
    return paths


def test_a_descriptor_gives_files_release_and_zero_points(tmp_path: Path) -> None:
    described(tmp_path, {"11": 29.77002, "34": 29.76999}, release="DR1_R3")
    ref = the_frame(tmp_path)
    assert (ref.release, ref.created) == ("DR1_R3", "2024-10-01T00:00:00.000000")
    np.testing.assert_array_equal(ref.exposures.scalars["Zeropoint"], [29.77002, 29.76999])


@pytest.mark.parametrize(
    ("zero_points", "words"),
    [
        ({"11": 29.7702}, "zero points must agree to 0.0001 mag, found ZPAB = 29.77 and 29.7702"),
        ({"11": "faint"}, "detector 11: ZeroPoint/Value must be a finite number, found 'faint'"),
    ],
)
def test_zero_points_of_descriptors_must_hold(
    tmp_path: Path, zero_points: dict[str, Any], words: str
) -> None:
    described(tmp_path, zero_points)
    assert words in refusal(tmp_path)


def test_the_zero_point_of_a_descriptor_suffices(tmp_path: Path) -> None:
    described(tmp_path, {"11": 29.5, "34": 29.5})
    bare = write.image_file(changes={f"DET{one}.SCI": {"ZPAB": None} for one in write.DETECTORS})
    (tmp_path / write.name_of("IMAGE")).write_bytes(bare)
    assert the_frame(tmp_path).scalars["zero_point"] == 29.5


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([write.name_of("IMAGE"), write.name_of("PSF-I", "H")], "FileName must exist"),
        ([write.name_of("IMAGE"), "../outside.fits"], "FileName must be a published name"),
        ([write.name_of("PSF-I")], "must name the files of one exposure, its image among them"),
    ],
)
def test_descriptors_that_name_the_wrong_files(tmp_path: Path, names: list[str], words: str) -> None:
    described(tmp_path, names=names)
    reasons = [item.reason for item in scan(tmp_path).refused]
    assert any(words in reason for reason in reasons)


def test_the_observation_sequence_of_a_descriptor_must_be_that_of_its_files(tmp_path: Path) -> None:
    described(tmp_path, observation=2682)
    assert "ObservationSequence must be that of its files, 2681, found ObservationId '2682'" in refusal(
        tmp_path
    )


def test_descriptors_of_other_products_are_passed_over(tmp_path: Path) -> None:
    described(tmp_path, {"11": 1.0}, product="DpdVisCalibratedFrame")
    assert the_frame(tmp_path).scalars["zero_point"] == 29.77


# -- completeness -----------------------------------------------------------------------------------------------


WHOLE = frozenset(ExposureId(7, number, band) for number in range(4) for band in "YJH")


@pytest.mark.parametrize("total", [None, 1, 3, 5])
def test_a_whole_observation_lacks_nothing(total: int | None) -> None:
    for one in WHOLE:
        assert missing_exposures(one, WHOLE, True, total) == []


def test_exactly_what_was_taken_away_is_named() -> None:
    for gone in WHOLE:
        left = WHOLE - {gone}
        for one in left:
            (note,) = missing_exposures(one, left, True, 3)
            assert note == f"observation 7 is not complete, missing: {gone.area}"
            assert missing_exposures(one, left, False, 2) == []
    three = {one for one in WHOLE if one.number != 2}
    assert missing_exposures(min(three), three, True, None) == [
        "observation 7 is not complete: 3 of 4 dithers are here"
    ]
    assert missing_exposures(min(three), three, False, None) == []


def test_selection_does_not_change_what_is_missing(tmp_path: Path) -> None:
    for band in "YJ":
        write.write_exposure(tmp_path, band=band)
    whole = {ref.area: ref.notes for ref in scan(tmp_path)}
    for ref in scan(tmp_path, bands=["NIR_Y"]):
        assert ref.notes == whole[ref.area]
        assert any("missing: NIR_H-2681-1" in note for note in ref.notes)
