"""Reader `euclid-vis`: every row against the truth, planes against what was written, faults by their names."""

import pickle
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from readers_conformance import Opens
from vis_helpers import FEW, FORM, arrays, change, headers, refusal, scan, shot, the_frame, write
from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.hdu import check_data_sum, data_sum
from vmpz.frames import FrameRef, Refused
from vmpz.readers import detectors_of, open_frame, vis
from vmpz.readers.visexposure import background_adu
from vmpz.simulate.bands import FLAG_ROLES
from vmpz.simulate.exposures import Shot
from vmpz.simulate.vis import CAMERA, CCD_CAMERA, detector_header, detector_planes
from vmpz.sky.regions import Polygon

DAY_S = 86400.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path], FrameRef]:
    """A whole exposure of 144 quadrants, with descriptor."""
    folder = tmp_path_factory.mktemp("vis")
    paths = write(folder, 0, CAMERA)
    return folder, paths, the_frame(folder)


def name_of(row: str) -> str:
    return row.split("[")[1].removesuffix("]")


def read(ref: FrameRef, plane: str) -> np.ndarray:
    with open_frame(ref, [plane]) as frame:
        opened = frame.planes[plane]
        data = np.array(opened.read(0, ref.shape[0]))
        if opened.datasum is not None:
            check_data_sum(data_sum(data.tobytes()), opened.datasum, opened.where)
    return data


# -- listing ------------------------------------------------------------------------------------------------------


def test_every_scalar_of_every_quadrant(whole: tuple[Path, dict[str, Path], FrameRef]) -> None:
    _, paths, ref = whole
    one = shot(0, CAMERA)
    assert (ref.area, ref.instrument, ref.band, ref.telescope) == ("VIS-002681-00-1", "VIS", "VIS", "Euclid")
    assert (ref.shape, ref.wcs_cards, ref.has_grid) == ((0, 0), "", False)
    assert set(ref.planes) == {"IMAGE", "RMS", "FLAG", "BACKGROUND"}
    assert set(ref.tables) == {"PSF", "XML"}
    assert all(place.verifiable and place.identity for place in ref.planes.values())
    assert pickle.loads(pickle.dumps(ref)) == ref
    rows = ref.exposures
    assert rows is not None
    assert list(rows.ids) == [f"VIS-002681-00-1[{name}]" for name in sorted(d.name for d in CAMERA.detectors)]
    angles, header = one.sky.scalars(one.number), fits.getheader(paths["DET"])
    expected = {
        "ExposureTime": 560.52,
        "Zeropoint": 24.56605 + 2.5 * np.log10(560.52),
        "MJD": one.mjd + 0.5 * 560.52 / DAY_S,
        "SAA": angles["SAA"],
        "AA": angles["ALPHA"],
        "BA": angles["BETA"],
        "PointingLon": one.lon_deg,
        "PointingLat": one.lat_deg,
        "PositionAngle": one.position_angle_deg,
        **{f"Position{axis}": header[f"POS_{axis}"] for axis in "XYZ"},
    }
    assert set(rows.scalars) == {*expected, "PixelScale", "Background"}
    for name, value in expected.items():
        np.testing.assert_allclose(rows.scalars[name], value, rtol=1e-14, err_msg=name)
    assert ref.scalars["zero_point"] == pytest.approx(expected["Zeropoint"], abs=1e-12)
    assert ref.scalars["exposure_time_s"] == 560.52
    assert (ref.date_obs, ref.release) == ("2024-10-21T00:00:00.000", "SIM_R1")


def test_background_is_the_level_of_the_plane_per_pixel(
    whole: tuple[Path, dict[str, Path], FrameRef],
) -> None:
    _, paths, ref = whole
    levels = arrays(paths["BKG"])
    assert ref.exposures is not None
    for row in (0, 77, 143):
        median = np.median(levels[name_of(ref.exposures.ids[row])])
        assert ref.exposures.scalars["Background"][row] == pytest.approx(median, rel=1e-6)


@given(st.floats(0.01, 10.0), st.floats(0.01, 10.0), st.floats(20.0, 40.0))
def test_surface_brightness_to_adu_is_the_magnitude_of_a_pixel(
    surface: float, scale: float, zero: float
) -> None:
    magnitude = -2.5 * np.log10(surface * 1e6 * np.radians(scale / 3600.0) ** 2 / 3631.0)
    assert -2.5 * np.log10(background_adu(surface, scale, zero)) + zero == pytest.approx(magnitude, abs=1e-9)


def test_outlines_follow_the_distorted_edges(whole: tuple[Path, dict[str, Path], FrameRef]) -> None:
    _, paths, ref = whole
    assert ref.exposures is not None
    assert ref.exposures.corners.shape[0] == 144
    found = headers(paths["DET"])
    for row in range(0, 144, 13):
        header = found[f"{name_of(ref.exposures.ids[row])}.SCI"]
        rows, columns = header["NAXIS2"], header["NAXIS1"]
        lon, lat = WCS(header).all_pix2world(
            [-0.5, columns - 0.5, columns - 0.5, -0.5], [-0.5, -0.5, rows - 0.5, rows - 0.5], 0
        )
        outline = ref.exposures.corners[row]
        np.testing.assert_allclose(outline[:: len(outline) // 4], np.stack((lon, lat), axis=1), atol=1e-12)
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        edges = [
            WCS(header).all_pix2world(x - 0.5 + dx, y - 0.5 + dy, 0) for dx, dy in ((0, 0), (1, 0), (0, 1))
        ]
        step = [(one - edges[0][0], two - edges[0][1]) for one, two in edges[1:]]
        area = np.abs(step[0][0] * step[1][1] - step[0][1] * step[1][0]) * np.cos(np.radians(edges[0][1]))
        assert Polygon(outline).area_deg2 == pytest.approx(area.sum(), rel=2e-3)
        assert ref.exposures.scalars["PixelScale"][row] == pytest.approx(
            3600.0 * np.sqrt(area[rows // 2, columns // 2]), rel=2e-3
        )


def test_distortion_is_not_negligible() -> None:
    """The truth is the WCS: an undistorted outline is arcseconds away at the edge of the field."""
    one = shot(0, CAMERA)
    header = detector_header(one, 0, 16)
    lon, lat = WCS(header).all_pix2world(-0.5, -0.5, 0)
    flat = one.corners_deg(one.camera.detectors[0])
    apart = np.hypot((flat[:, 0] - lon) * np.cos(np.radians(lat)), flat[:, 1] - lat).min()
    assert 1.0 / 3600.0 < apart < 60.0 / 3600.0


def test_what_was_assumed_is_said(whole: tuple[Path, dict[str, Path], FrameRef]) -> None:
    notes = "\n".join(whole[2].notes)
    assert "small-scale flat: no inverse variance, not used" in notes
    assert "long exposure, 560.52 s, observation mode WIDE" in notes
    assert "flags are read with the table vis-pf14 (default)" in notes
    assert "regular partition" in notes
    assert "dither 00 is not complete: 1 of 2 exposures (TOTEXP) are here, missing: number 2" in notes


def test_a_missing_background_is_named_and_never_zero(tmp_path: Path) -> None:
    write(tmp_path, background=False)
    ref = the_frame(tmp_path)
    assert "BACKGROUND" not in ref.planes
    assert ref.exposures is not None
    assert "Background" not in ref.exposures.scalars
    assert "there is no BACKGROUND plane" in ref.notes


def test_few_quadrants_are_counted(tmp_path: Path) -> None:
    write(tmp_path)
    assert "3 of 144 quadrants are here" in the_frame(tmp_path).notes


def test_long_and_short_exposures_of_a_dither(tmp_path: Path) -> None:
    for short in (False, True):
        write(tmp_path, short=short)
    both = scan(tmp_path).frames
    assert [ref.area for ref in both] == ["VIS-002681-00-1", "VIS-002681-00-2"]
    assert not any("TOTEXP" in note for ref in both for note in ref.notes)
    long, short_one = (ref.exposures for ref in both)
    assert long is not None
    assert short_one is not None
    assert set(short_one.scalars["ExposureTime"]) == {95.0}
    assert np.all(
        long.scalars["Zeropoint"] - short_one.scalars["Zeropoint"]
        == pytest.approx(2.5 * np.log10(560.52 / 95.0))
    )
    assert [ref.area for ref in scan(tmp_path, exposures="long").frames] == ["VIS-002681-00-1"]
    assert [ref.area for ref in scan(tmp_path, exposures="short").frames] == ["VIS-002681-00-2"]


def test_sequence_of_an_observation(tmp_path: Path) -> None:
    for number in (0, 1):
        paths = write(tmp_path, number)
        change(paths["DET"], lambda hdus: hdus[0].header.set("TOTEXP", 4))
        change(paths["BKG"], lambda hdus: hdus[0].header.set("TOTEXP", 4))
    for ref in scan(tmp_path, sequence="observation").frames:
        assert "observation 002681 is not complete: 2 of 4 exposures (TOTEXP) are here" in ref.notes
    for ref in scan(tmp_path, sequence="none").frames:
        assert not any("TOTEXP" in note for note in ref.notes)


def test_three_files_are_the_frame_that_one_is(tmp_path: Path) -> None:
    write(tmp_path / "one")
    paths = write(tmp_path / "three", split=True)
    one, three = the_frame(tmp_path / "one"), the_frame(tmp_path / "three")
    assert one.exposures == three.exposures
    assert {plane: place.location for plane, place in three.planes.items()} == {
        "IMAGE": str(paths["DET_sci"]),
        "RMS": str(paths["DET_rms"]),
        "FLAG": str(paths["DET_flg"]),
        "BACKGROUND": str(paths["BKG"]),
    }
    for first, second in zip(detectors_of(one, range(3)), detectors_of(three, range(3)), strict=True):
        for plane in one.planes:
            np.testing.assert_array_equal(read(first, plane), read(second, plane))


@pytest.mark.parametrize("xml", [True, False])
def test_with_and_without_a_descriptor(tmp_path: Path, xml: bool) -> None:
    write(tmp_path, xml=xml)
    ref = the_frame(tmp_path)
    assert ("XML" in ref.tables) == xml
    assert "PSF" in ref.tables
    assert ref.created[:4] == "2026"


# -- planes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [None, "gz"])
def test_planes_of_detectors_in_the_order_asked(tmp_path: Path, compress: Any) -> None:
    write(tmp_path, compress=compress)
    ref = the_frame(tmp_path)
    one = shot()
    for row, image in zip([2, 0, 2], detectors_of(ref, [2, 0, 2]), strict=True):
        assert ref.exposures is not None
        assert image.area == ref.exposures.ids[row]
        assert image.exposures is None
        index = [detector.name for detector in FEW.detectors].index(name_of(image.area))
        truth = detector_planes(one, index, FORM.pixels)
        assert set(image.planes) == set(truth)
        for plane, values in truth.items():
            assert image.shape == values.shape
            np.testing.assert_array_equal(read(image, plane), values)
        truth_wcs = WCS(detector_header(one, index, FORM.pixels))
        np.testing.assert_allclose(
            image.wcs.all_pix2world(3.0, 5.0, 0), truth_wcs.all_pix2world(3.0, 5.0, 0), atol=1e-11
        )
        assert image.scalars["zero_point"] == ref.exposures.scalars["Zeropoint"][row]
        assert image.scalars["gain"] == 3.48


def test_flags_by_name(tmp_path: Path) -> None:
    write(tmp_path)
    ref, one = the_frame(tmp_path, bit_table="vis-pf15"), shot()
    assert ref.bit_table == "vis-pf15"
    table = bit_table("vis-pf15")
    for image in detectors_of(ref, range(3)):
        index = [detector.name for detector in FEW.detectors].index(name_of(image.area))
        words = read(image, "FLAG")
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        roles = one.roles(index, *image.wcs.all_pix2world(x, y, 0))
        for name in ("COSMIC", "BAD_COLUMN", "SAT", "STARSIGNAL"):
            hit = np.zeros(image.shape, bool)
            for role, names in FLAG_ROLES["VIS"].items():
                if name in names and role in roles:
                    hit |= roles[role]
            np.testing.assert_array_equal((words & table.select([name]).mask) != 0, hit)
        np.testing.assert_array_equal((words & table.select(["QUADEDGE"]).mask) != 0, roles["edge"])


@settings(max_examples=4, deadline=None)
@given(st.permutations(range(9)))
def test_the_order_of_extensions_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("order")
    paths = write(folder)
    before = the_frame(folder)
    with fits.open(paths["DET"], memmap=False) as hdus:
        other = fits.HDUList([hdus[0].copy(), *(hdus[1 + place].copy() for place in order)])
    other.writeto(paths["DET"], overwrite=True, checksum=True)
    after = the_frame(folder)
    assert after.exposures == before.exposures
    for row, image in enumerate(detectors_of(after, range(3))):
        truth = detector_planes(shot(), row, FORM.pixels)
        np.testing.assert_array_equal(read(image, "IMAGE"), truth["IMAGE"])
        np.testing.assert_array_equal(read(image, "FLAG"), truth["FLAG"])


def test_a_frame_that_changed_since_is_refused(tmp_path: Path) -> None:
    paths = write(tmp_path)
    ref = the_frame(tmp_path)
    (image,) = detectors_of(ref, [1])
    change(paths["DET"], lambda hdus: hdus["1-1.H.SCI"].header.set("GAIN", 9.0))
    with pytest.raises(InputError, match="must be the file that was listed"):
        detectors_of(ref, [1])
    with pytest.raises(InputError, match="must be the file that was listed"), open_frame(image, ["IMAGE"]):
        pass


# -- PSF ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 3])
def test_stamps_have_the_shape_of_the_psf_on_the_sky(tmp_path: Path, number: int) -> None:
    write(tmp_path, number, stamps=9)
    ref, one = the_frame(tmp_path), shot(number)
    stamps = open_frame(ref, ["PSF"]).psf
    assert stamps is not None
    assert stamps.detector is not None
    assert stamps.moments_arcsec2 is not None
    assert np.bincount(stamps.detector).tolist() == [81, 81, 81]
    np.testing.assert_allclose(stamps.fwhm_arcsec, one.fwhm_arcsec, rtol=1e-5)
    xx, yy, xy = stamps.moments_arcsec2.T
    e1, e2 = one.ellipticity
    np.testing.assert_allclose((xx - yy) / (xx + yy), e1, atol=1e-5)
    np.testing.assert_allclose(2.0 * xy / (xx + yy), e2, atol=1e-5)
    (image,) = detectors_of(ref, [1])
    x, y = image.wcs.all_world2pix(stamps.lon_deg[81:162], stamps.lat_deg[81:162], 0)
    rows, columns = image.shape
    np.testing.assert_allclose(x.reshape(9, 9)[0], (np.arange(9) + 0.5) * columns / 9 - 0.5, atol=1e-6)
    np.testing.assert_allclose(y.reshape(9, 9)[:, 0], (np.arange(9) + 0.5) * rows / 9 - 0.5, atol=1e-6)


def test_planes_and_stamps_open_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path, split=True)
    opens = Opens(monkeypatch)
    ref = the_frame(tmp_path)
    assert str(paths["WGT"]) not in opens.taken()
    assert open_frame(ref, ()).psf is None
    assert not opens.taken()
    assert open_frame(ref, ["PSF"]).psf is not None
    assert str(paths["PSF"]) in opens.taken()
    (image,) = detectors_of(ref, [0])
    opens.taken()
    with open_frame(image, ["RMS"]):
        assert opens.taken() == {str(paths["DET_rms"])}


def test_nothing_unselected_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = write(tmp_path, 0, split=True), write(tmp_path, 1, split=True)
    opens = Opens(monkeypatch)
    (ref,) = scan(tmp_path, tiles=["VIS-002681-00-1"], planes=["FLAG"]).frames
    assert set(ref.planes) == {"FLAG"}
    touched = opens.taken()
    assert not touched & {str(first[kind]) for kind in ("DET_sci", "DET_rms", "BKG", "WGT")}
    assert not touched & {str(path) for kind, path in second.items() if kind != "XML"}
    (image,) = detectors_of(ref, [2])
    assert image.shape == (16, 16)
    assert scan(tmp_path, bands=["NIR_Y"]).frames == ()
    (only,) = scan(tmp_path, tiles=["VIS-002681-01-1"], planes=["BACKGROUND"]).frames
    assert set(only.planes) == {"BACKGROUND"}
    assert detectors_of(only, [0])[0].wcs_cards


# -- joining ------------------------------------------------------------------------------------------------------


def test_the_latest_of_reprocessed_files(tmp_path: Path) -> None:
    paths = write(tmp_path, xml=False)
    later = paths["DET"].with_name(paths["DET"].name.replace("__2026", "__2027"))
    later.write_bytes(paths["DET"].read_bytes())
    ref = the_frame(tmp_path)
    assert ref.planes["RMS"].location == str(later)
    assert any("was chosen over the older" in note for note in ref.notes)
    elsewhere = tmp_path / "again" / later.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(later.read_bytes())
    assert any("are copies" in note for note in the_frame(tmp_path).notes)
    change(elsewhere, lambda hdus: hdus[1].header.set("GAIN", 2.0))
    assert "must be copies" in refusal(tmp_path)


def test_a_psf_file_is_shared_by_the_folder_above(tmp_path: Path) -> None:
    paths = write(tmp_path, xml=False)
    moved = tmp_path / paths["PSF"].name
    paths["PSF"].rename(moved)
    assert the_frame(tmp_path).tables["PSF"].location == str(moved)
    moved.unlink()
    ref = the_frame(tmp_path)
    assert "PSF" not in ref.tables
    assert "there is no PSF file" in ref.notes
    assert open_frame(ref, ["PSF"]).psf is None


def test_what_a_descriptor_names_may_be_left_out_beside_the_frame(tmp_path: Path) -> None:
    paths = write(tmp_path)
    paths["BKG"].unlink()
    ref = the_frame(tmp_path)
    assert any(note.startswith("the BKG file of the descriptor is not here") for note in ref.notes)
    paths["DET"].unlink()
    assert "FileName must exist" in refusal(tmp_path)


def test_a_descriptor_of_files_of_two_exposures(tmp_path: Path) -> None:
    paths, other = write(tmp_path), write(tmp_path, 1)
    text = paths["XML"].read_text().replace(paths["BKG"].name, other["BKG"].name)
    paths["XML"].write_text(text)
    manifest = scan(tmp_path)
    assert any("must name the files of one exposure" in item.reason for item in manifest.refused)


def test_other_places_and_options(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a folder of VIS exposures"):
        scan(tmp_path)
    with pytest.raises(InputError, match="exposures must be one of all, long, short"):
        scan(tmp_path, exposures="longest")
    with pytest.raises(InputError, match="options of reader euclid-vis"):
        scan(tmp_path, no_such_option=1)
    with pytest.raises(InputError, match="stamp_px must be a positive number"):
        scan(tmp_path, stamp_px=0)
    with pytest.raises(InputError, match="bit table must be one of"):
        scan(tmp_path, bit_table="nope")


# -- the older product --------------------------------------------------------------------------------------------


def ccds(folder: Path, **form: Any) -> dict[str, Path]:
    return write(folder, 0, replace(CCD_CAMERA, detectors=CCD_CAMERA.detectors[:2]), **form)


@pytest.mark.parametrize("weight", ["inverse_variance", "rms"])
def test_noise_of_an_old_frame_from_its_weight(tmp_path: Path, weight: Any) -> None:
    paths = ccds(tmp_path, rms=False, weight=weight)
    ref = the_frame(tmp_path)
    assert ref.exposures is not None
    assert [name_of(row) for row in ref.exposures.ids] == ["1-1", "1-2"]
    assert ref.bit_table == "vis-pf13"
    assert ref.planes["RMS"].location == str(paths["WGT"])
    assert any(f"told by its content to be: {weight.replace('_', ' ')}" in note for note in ref.notes)
    (image,) = detectors_of(ref, [1])
    stored = arrays(paths["WGT"])["1-2"]
    noise = read(image, "RMS")
    truth = shot(0, replace(CCD_CAMERA, detectors=CCD_CAMERA.detectors[:2]))
    expected = detector_planes(truth, 1, FORM.pixels)["RMS"]
    np.testing.assert_allclose(noise[stored > 0], expected[stored > 0], rtol=1e-6)
    assert np.all(noise[stored == 0] > 1e15)


@pytest.mark.parametrize("weight", ["flat", "inverse_variance", "rms"])
def test_the_weight_of_an_old_frame_with_rms_is_named_and_not_used(tmp_path: Path, weight: Any) -> None:
    paths = ccds(tmp_path, weight=weight)
    ref = the_frame(tmp_path)
    assert ref.planes["RMS"].location == str(paths["DET"])
    assert any(f"to be: {weight.replace('_', ' ')}; not used" in note for note in ref.notes)


def test_an_old_frame_without_rms_and_with_a_flat_has_no_noise(tmp_path: Path) -> None:
    ccds(tmp_path, rms=False, weight="flat")
    ref = the_frame(tmp_path)
    assert "RMS" not in ref.planes
    assert "there is no RMS plane" in ref.notes


def test_a_weight_that_is_neither_is_refused(tmp_path: Path) -> None:
    paths = ccds(tmp_path, rms=False, weight="inverse_variance")
    change(paths["WGT"], lambda hdus: [setattr(hdu, "data", 7e3 * hdu.data) for hdu in hdus[1:]])
    assert "must agree with the noise of the frame" in refusal(tmp_path)


# -- faults -------------------------------------------------------------------------------------------------------


def drop(name: str) -> Any:
    return lambda hdus: hdus.pop(hdus.index_of(name))


def put(name: str, key: str, value: Any) -> Any:
    return lambda hdus: hdus[name].header.set(key, value)


def remove(key: str) -> Any:
    return lambda hdus: [hdu.header.remove(key, ignore_missing=True) for hdu in hdus]


def as_floats(hdus: fits.HDUList) -> None:
    hdus["1-1.G.FLG"].data = hdus["1-1.G.FLG"].data.astype(np.float32)


def cut_columns(hdus: fits.HDUList) -> None:
    hdus["1-1.H.RMS"].data = hdus["1-1.H.RMS"].data[:, :-1]


def twice(hdus: fits.HDUList) -> None:
    hdus.append(hdus["1-1.H.RMS"].copy())


FAULTS = {
    "missing extension": (drop("1-1.H.RMS"), r"same planes, found 1-1\.H\.RMS missing"),
    "lone extension": (drop("1-1.H.SCI"), r"same planes, found 1-1\.H\.RMS alone"),
    "extension twice": (twice, r"1-1\.H\.RMS\]: EXTNAME must stand once"),
    "another shape": (cut_columns, r"1-1\.H\.RMS\]: planes of one frame must have one shape"),
    "another grid": (put("1-1.H.FLG", "CRVAL1", 58.0), "must have one WCS"),
    "no WCS": (put("1-1.H.SCI", "CTYPE1", "LINEAR"), "CTYPE1, CTYPE2 must be"),
    "no zero point": (remove("MAGZEROP"), "MAGZEROP must be present"),
    "zero point is no number": (
        put("1-1.G.SCI", "MAGZEROP", "unknown"),
        "MAGZEROP must be a number, found .*unknown",
    ),
    "no exposure time": (remove("EXPTIME"), "EXPTIME must be a positive number"),
    "no time at all": (put("1-1.G.SCI", "EXPTIME", 0.0), "EXPTIME must be a positive number"),
    "flags of floats": (as_floats, "BITPIX of a flag plane must be one of integers"),
    "another observation": (put("PRIMARY", "OBS_ID", 77), "OBS_ID must be"),
    "another instrument": (put("PRIMARY", "INSTRUME", "NISP"), "INSTRUME must be VIS"),
    "quadrants and CCDs": (put("1-1.H.SCI", "EXTNAME", "1-1.SCI"), "must hold quadrants or CCDs, found both"),
    "no detectors": (
        lambda hdus: [hdu.header.set("EXTNAME", "X") for hdu in hdus[1:]],
        "must have a frame with detectors",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_frame_are_refused_by_name(tmp_path: Path, fault: str) -> None:
    edit, message = FAULTS[fault]
    paths = write(tmp_path, background=False)
    write(tmp_path, 1)
    change(paths["DET"], edit)
    manifest = scan(tmp_path)
    assert [ref.area for ref in manifest.frames] == ["VIS-002681-01-1"]
    (item,) = manifest.refused
    assert (item.area, item.instrument, item.band) == ("VIS-002681-00-1", "VIS", "VIS")
    with pytest.raises(InputError, match=message):
        raise InputError(item.reason)


def test_a_cut_frame(tmp_path: Path) -> None:
    paths = write(tmp_path)
    paths["DET"].write_bytes(paths["DET"].read_bytes()[:-2880])
    assert "cut" in refusal(tmp_path)


def test_a_background_of_another_exposure(tmp_path: Path) -> None:
    paths = write(tmp_path)
    change(paths["BKG"], put("PRIMARY", "DITHOBS", 3))
    assert "DITHOBS must be that of" in refusal(tmp_path)


def test_a_psf_that_is_no_grid_of_stamps(tmp_path: Path) -> None:
    write(tmp_path)
    ref = the_frame(tmp_path, stamp_px=20)
    with pytest.raises(InputError, match="must hold stamps of 20 x 20 pixels side by side, found 63 x 63"):
        open_frame(ref, ["PSF"])


def test_damaged_stamps(tmp_path: Path) -> None:
    paths = write(tmp_path)
    ref = the_frame(tmp_path)
    data = bytearray(paths["PSF"].read_bytes())
    data[-2880 - 100] ^= 1
    paths["PSF"].write_bytes(data)
    with pytest.raises(InputError, match="DATASUM"):
        open_frame(ref, ["PSF"])


def test_wrong_files_do_not_touch_the_others(tmp_path: Path) -> None:
    (tmp_path / "EUC_VIS_SWL-DET-000001-00-1-0000000__20260101T000000.0Z.fits").write_bytes(b"no FITS")
    write(tmp_path)
    items = list(vis.scan(str(tmp_path), {}))
    assert [type(item) for item in items] == [Refused, FrameRef]


def test_detectors_of_any_rows(whole: tuple[Path, dict[str, Path], FrameRef]) -> None:
    rows = random.Random(5).sample(range(144), 5)
    _, paths, ref = whole
    stored = arrays(paths["DET"])
    one: Shot = shot(0, CAMERA)
    for row, image in zip(rows, detectors_of(ref, rows), strict=True):
        name = name_of(image.area)
        np.testing.assert_array_equal(read(image, "IMAGE"), stored[f"{name}.SCI"])
        index = [detector.name for detector in CAMERA.detectors].index(name)
        scale = float(
            np.sqrt(
                (one.camera.detectors[index].x1 - one.camera.detectors[index].x0)
                * (one.camera.detectors[index].y1 - one.camera.detectors[index].y0)
                / (16 * 16)
            )
        )
        assert np.unique(read(image, "RMS")) == pytest.approx(one.rms(index, scale), rel=1e-6)
        assert ref.exposures is not None
        assert ref.exposures.ids[row] == image.area


def test_tile_compressed_frames(tmp_path: Path) -> None:
    """What funpack calls the same file: every extension a compressed image of the same name."""
    paths = write(tmp_path, xml=False)
    plain = the_frame(tmp_path)
    with fits.open(paths["DET"], memmap=False) as hdus:
        packed = [hdus[0]] + [
            fits.CompImageHDU(
                hdu.data,
                hdu.header,
                compression_type="RICE_1" if hdu.name.endswith("FLG") else "GZIP_2",
                quantize_level=0,
            )
            for hdu in hdus[1:]
        ]
        for hdu in packed:
            for key in ("CHECKSUM", "DATASUM"):
                hdu.header.remove(key, ignore_missing=True)
        fits.HDUList(packed).writeto(f"{paths['DET']}.fz", checksum=True)
    expected = {plane: read(detectors_of(plain, [1])[0], plane) for plane in plain.planes}
    paths["DET"].unlink()
    ref = the_frame(tmp_path)
    assert ref.exposures == plain.exposures
    (image,) = detectors_of(ref, [1])
    for plane, values in expected.items():
        np.testing.assert_array_equal(read(image, plane), values)
