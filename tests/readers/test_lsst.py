"""Reader `lsst`: visits and patches of LSST and HSC against the truth of the simulation; what must be refused."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from lsst_helpers import HSC, LSST, PIXELS, array, rewrite, scan, the_sky, visits, written
from readers_conformance import check_reader
from vmpz.errors import InputError
from vmpz.frames import FrameRef, image_outline
from vmpz.readers import detectors_of, open_frame
from vmpz.readers.lsstnames import Name, name_of
from vmpz.readers.visits import read_visits
from vmpz.simulate import lsst
from vmpz.simulate.lsstcards import airmass
from vmpz.sky.covers import unit_vectors

SUMMARY = {"summary": "ccdVisitTable.fits"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return written(tmp_path_factory)


@pytest.fixture(scope="module")
def manifests(folders: dict[str, Path]) -> dict[str, Any]:
    found = {"lsst": scan(folders["lsst"], **SUMMARY), "hsc": scan(folders["hsc"])}
    assert not any(manifest.refused for manifest in found.values())
    return found


CAMERAS = {"lsst": LSST, "hsc": HSC}


KEPT = {
    "lsst": r"LSSTCam_i_.*R22_S2[01]|coadd_5063_14_i",
    "hsc": r"HSC-I2/corr/.*-03[34]\.|HSC-R/corr/.*-033\.|calexp-HSC-I-",
}
"""Two detectors of a visit, of HSC one of an old one too, and a patch."""


def exposures(manifest: Any) -> dict[str, FrameRef]:
    return {ref.area: ref for ref in manifest if not ref.has_grid}


# -- visits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CAMERAS)
def test_every_scalar_of_every_detector(manifests: dict[str, Any], name: str) -> None:
    camera, refs = CAMERAS[name], exposures(manifests[name])
    shots = dict(visits(camera))
    assert set(refs) == set(shots)
    for area, shot in shots.items():
        ref, rows = refs[area], refs[area].exposures
        assert rows is not None
        assert (ref.instrument, ref.band) == (camera.instrument, shot.band.name)
        assert rows.ids == tuple(f"{area}[{one.name}]" for one in camera.detectors)
        scenes = [lsst.scene(shot, index, PIXELS) for index in range(len(rows))]
        noise = np.array([one.noise for one in scenes])
        expected = {
            "ExposureTime": shot.band.exposure_time_s,
            "MJD": shot.middle_mjd,
            "Airmass": airmass(shot),
            "Seeing": shot.fwhm_arcsec,
            "Background": np.array([one.background for one in scenes]),
            "Noise": noise,
            "Weight": noise**-2,
            "Zeropoint": shot.band.zero_point_mag,
            "PixelScale": np.array([one.pixel_arcsec for one in scenes]),
            "SiteLon": camera.site_deg[0],
            "SiteLat": camera.site_deg[1],
            "PointingLon": shot.lon_deg,
            "PointingLat": shot.lat_deg,
            "PositionAngle": shot.position_angle_deg % 360.0,
        }
        assert set(rows.scalars) == set(expected)
        for key, values in expected.items():
            rtol = 1e-15 if key == "MJD" else 1e-12
            np.testing.assert_allclose(rows.scalars[key], values, rtol=rtol, atol=2e-11, err_msg=key)
        assert ref.scalars["zero_point"] == pytest.approx(shot.band.zero_point_mag, abs=1e-12)
        assert abs(Time(ref.date_obs, scale="utc").mjd - shot.mjd) < 0.6e-3 / 86400


@pytest.mark.parametrize("name", CAMERAS)
def test_outlines_are_those_of_the_distorted_detectors(manifests: dict[str, Any], name: str) -> None:
    area, shot = next(visits(CAMERAS[name]))
    rows = exposures(manifests[name])[area].exposures
    assert rows is not None
    for index in range(len(rows)):
        seen = lsst.scene(shot, index, PIXELS)
        fine = image_outline(WCS(seen.wcs), seen.image.shape)
        assert rows.outline(index).area_deg2 == pytest.approx(
            fine.area_deg2, rel=1e-5
        )  # 8 chords a side for 64
        corners = WCS(seen.wcs).all_pix2world([[-0.5, -0.5]], 0)[0]
        gap = np.linalg.norm(unit_vectors(*corners) - unit_vectors(*rows.corners[index][0]))
        assert gap < 1e-12
        assert len(rows.corners[index]) == 32


@pytest.mark.parametrize("name", CAMERAS)
def test_planes_are_those_written(manifests: dict[str, Any], name: str) -> None:
    for area, shot in list(visits(CAMERAS[name]))[::3]:
        ref = exposures(manifests[name])[area]
        assert ref.exposures is not None
        for index, image in zip((1, 4), detectors_of(ref, [1, 4]), strict=True):
            seen = lsst.scene(shot, index, PIXELS)
            assert image.area == ref.exposures.ids[index]
            np.testing.assert_array_equal(array(image, "IMAGE"), seen.image)
            np.testing.assert_array_equal(array(image, "FLAG"), seen.mask)
            rms = np.sqrt(seen.variance.astype(np.float64)).astype(np.float32)
            np.testing.assert_array_equal(array(image, "RMS"), rms)
            assert image.scalars["psf_fwhm_arcsec"] == pytest.approx(shot.fwhm_arcsec)
            assert image.scalars["exposure_time_s"] == shot.band.exposure_time_s


@pytest.mark.parametrize("name", CAMERAS)
def test_flags_go_by_name_though_numbers_differ(manifests: dict[str, Any], name: str) -> None:
    area, shot = next(visits(CAMERAS[name]))
    ref = exposures(manifests[name])[area]
    images = list(detectors_of(ref, [0, 1, 2, 3, 4]))
    numbers = [image.options["flag_bits"] for image in images]
    assert {tuple(sorted(one.items())) for one in numbers} == {
        tuple(sorted(lsst.plane_numbers(shot.camera, number).items())) for number in (0, 1)
    }
    assert any("differently" in note for note in ref.notes)
    for index, image in enumerate(images):
        seen = lsst.scene(shot, index, PIXELS)
        lon, lat = image.wcs.all_pix2world(*np.meshgrid(*map(np.arange, image.shape[::-1])), 0)
        roles = shot.roles(index, lon, lat)
        words = array(image, "FLAG").astype(np.int32).view(np.uint32)
        with open_frame(image, ()) as frame:
            assert frame.bits is not None
            for plane in ("SAT", "CR", "BAD", "STREAK", "SPIKE", "BRIGHT_OBJECT", "CROSSTALK"):
                wanted = [
                    hit for role, hit in roles.items() if plane in lsst.ROLES[shot.camera.instrument][role]
                ]
                if plane in seen.numbers:
                    set_here = words & np.uint32(frame.bits.select([plane]).mask) != 0
                    np.testing.assert_array_equal(
                        set_here, np.any([np.zeros(seen.mask.shape, bool), *wanted], axis=0)
                    )
            assert frame.bits.name == "lsst"
            assert frame.bits.by_name["DETECTED"].marks == "source"
            assert set(frame.bits.default) <= set(seen.numbers)
    with open_frame(ref, ()) as frame:
        assert frame.bits is not None
        assert {bit.name: bit.number for bit in frame.bits.bits} == numbers[0]


def test_an_exposure_names_all_bits_of_its_detectors(folders: dict[str, Path], tmp_path: Path) -> None:
    one, two = some_files(folders["hsc"], "HSC-R", 2)
    copy(tmp_path, one)

    def rename(hdus: fits.HDUList) -> None:
        header = hdus[2].header
        for key in [key for key in header if key.startswith("MP_")]:
            del header[key]
        header["MP_SAT"], header["MP_BAD"], header["HIERARCH MP_LATER"] = 0, 1, 2

    rewrite(two, rename, tmp_path / two.name)
    (ref,) = scan(tmp_path).frames
    first = detectors_of(ref, [0])[0].options["flag_bits"]
    union = ref.options["flag_bits"]
    assert {name: union[name] for name in first} == first
    assert set(union) == {*first, "LATER"}
    assert len(set(union.values())) == len(union)
    assert detectors_of(ref, [1])[0].options["flag_bits"] == {"SAT": 0, "BAD": 1, "LATER": 2}


def test_planes_are_found_by_name_in_any_order(folders: dict[str, Path], tmp_path: Path) -> None:
    (path,) = some_files(folders["lsst"], "i_39", 1)
    before = scan(path).frames[0]
    rewrite(path, lambda hdus: fits.HDUList([hdus[0], *hdus[3:0:-1]]), tmp_path / path.name)
    (after,) = detectors_of(scan(tmp_path).frames[0], [0])
    (same,) = detectors_of(before, [0])
    assert [plane.hdu for plane in after.planes.values()] == [3, 1, 2]
    for plane in after.planes:
        np.testing.assert_array_equal(array(after, plane), array(same, plane))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", CAMERAS)
def test_conformance(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, compress: bool
) -> None:
    kept = [path for path in sorted(folders[name].rglob("*.fits")) if re.search(KEPT[name], str(path))]
    assert len(kept) == (3 if name == "lsst" else 4)
    for path in kept:
        with fits.open(path) as hdus:
            units = [hdus[0], *(_packed(hdu, compress) for hdu in hdus[1:4]), *hdus[4:]]
            fits.HDUList(units).writeto(tmp_path / path.name, checksum=True)
    check_reader("lsst", tmp_path, {}, monkeypatch)


def _packed(hdu: Any, compress: bool) -> Any:
    header = hdu.header.copy()
    if compress:
        return fits.CompImageHDU(hdu.data, header, compression_type="GZIP_2", quantize_level=0.0)
    return fits.ImageHDU(hdu.data, header)


def test_without_planes_the_exposures_are_the_same(
    folders: dict[str, Path], manifests: dict[str, Any]
) -> None:
    none = scan(folders["lsst"], planes=[], **SUMMARY)
    assert [ref.exposures for ref in none] == [ref.exposures for ref in manifests["lsst"]]
    assert not any(ref.planes for ref in none)


# -- patches ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CAMERAS)
def test_patches_are_images(manifests: dict[str, Any], name: str) -> None:
    camera = CAMERAS[name]
    patches = {ref.band: ref for ref in manifests[name] if ref.has_grid}
    assert set(patches) == set(camera.bands)
    for band in camera.bands.values():
        ref = patches[band.name]
        seen = lsst.patch_scene(camera, the_sky(), band, PIXELS)
        assert ref.area == {"lsst": "5063-14", "hsc": "9813-404"}[name]
        assert ref.exposures is None
        assert ref.instrument == {"lsst": "LSST", "hsc": "HSC"}[name]
        assert ref.scalars["zero_point"] == pytest.approx(lsst.coadd_zero_point(camera, band), abs=1e-12)
        rms = array(ref, "RMS")
        empty = ~np.isfinite(seen.image)
        assert 0.05 < empty.mean() < 0.6
        assert (rms[empty] >= 1e15).all()
        np.testing.assert_allclose(rms[~empty], seen.noise, rtol=1e-6)
        with open_frame(ref, ["FLAG"]) as frame:
            assert frame.bits is not None
            words = frame.planes["FLAG"].read(0, PIXELS)
            np.testing.assert_array_equal(words & frame.bits.select(["NO_DATA"]).mask != 0, empty)


# -- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CORR-0001234-012.fits", Name(False, "1234", "", 12, "HSC", "")),
        ("calexp-HSC-I-9813-4,4.fits", Name(True, "9813-404", "", -1, "HSC", "i")),
        ("calexp-NB0921-9813-0,8.fits.gz", Name(True, "9813-8", "", -1, "HSC", "N921")),
        (
            "calexp_LSSTCam-imSim_g_g_sim_1_4_703697_R20_S22_u_someone_test.fits",
            Name(False, "703697", "R20_S22", -1, "LSSTCam-imSim", "g"),
        ),
        (
            "visit_image_LSSTComCam_g_g_01_2024023142069_R22_S00_LSSTComCam_runs_DRP_DP1_DM-1234.fits",
            Name(False, "2024023142069", "R22_S00", -1, "LSSTComCam", "g"),
        ),
        ("calexp_HSC_r_HSC-R2_23718_1_41_HSC_runs.fits", Name(False, "23718", "1_41", -1, "HSC", "r")),
        ("deepCoadd_calexp_2877_19_y_DC2_u_someone.fits", Name(True, "2877-19", "", -1, "", "y")),
        ("deepCoadd_calexp_9813_40_i_hsc_rings_v1_run.fits", Name(True, "9813-40", "", -1, "HSC", "i")),
    ],
)
def test_names_of_files(text: str, expected: Name) -> None:
    assert name_of(Path(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["SRC-0001234-012.fits", "BKGD-0001234-012.fits", "det_bkgd-HSC-I-9813-4,4.fits", "raw_LSSTCam_i.fits",
     "CORR-0001234-012.txt", "meas-HSC-I-9813-4,4.fits"],
)  # fmt: skip
def test_other_files_are_passed_by(text: str) -> None:
    assert name_of(Path(text)) is None


@pytest.mark.parametrize(
    ("physical", "band"),
    [("HSC-I", "i"), ("HSC-I2", "i"), ("HSC-R2", "r"), ("HSC-Y", "y"), ("NB0921", "N921"), ("z", "z")],
)
def test_filters_of_hsc(folders: dict[str, Path], tmp_path: Path, physical: str, band: str) -> None:
    (path,) = some_files(folders["hsc"], "HSC-R", 1)
    rewrite(path, lambda hdus: hdus[0].header.set("FILTER", physical), tmp_path / path.name)
    assert [ref.band for ref in scan(tmp_path)] == [f"HSC_{band}"]


@pytest.mark.parametrize(
    ("instrument", "physical", "band"),
    [
        ("LSSTComCam", "i_06", "LSST_i"),
        ("LSSTCam-imSim", "i_sim_1.4", "LSST_i"),
        ("lsstCam", "y_10", "LSST_y"),
    ],
)
def test_filters_and_cameras_of_lsst(
    folders: dict[str, Path], tmp_path: Path, instrument: str, physical: str, band: str
) -> None:
    (path,) = some_files(folders["lsst"], "i_39", 1)

    def change(hdus: fits.HDUList) -> None:
        header = hdus[0].header
        for key in [key for key in header if key.startswith("LSST BUTLER")]:
            del header[key]
        header["INSTRUMENT"], header["FILTER"] = instrument, physical

    rewrite(path, change, tmp_path / "some.fits")
    (ref,) = scan(tmp_path / "some.fits").frames
    assert (ref.instrument, ref.band) == (instrument.replace("lsst", "LSST"), band)


# -- calibration, dates, tables ---------------------------------------------------------------------------------


def test_what_gave_the_zero_point_is_noted(manifests: dict[str, Any]) -> None:
    notes = {ref.band: ref.notes for ref in (*manifests["lsst"], *manifests["hsc"]) if not ref.has_grid}
    for band, source in {"LSST_i": "nJy", "HSC_r": "FLUXMAG0", "HSC_i": "PhotoCalib"}.items():
        assert any("zero point" in note and source in note for note in notes[band])


def test_the_zero_point_of_the_option_comes_first(folders: dict[str, Path], tmp_path: Path) -> None:
    copy(tmp_path, *some_files(folders["hsc"], "HSC-R", 1))
    (ref,) = scan(tmp_path, zero_point=30.5).frames
    assert ref.scalars["zero_point"] == 30.5
    assert detectors_of(ref, [0])[0].scalars["zero_point"] == 30.5
    assert any("30.5 instead of 32.9 by FLUXMAG0" in note for note in ref.notes)


def test_without_any_zero_point_a_visit_is_refused_unless_a_table_has_it(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    (path,) = some_files(folders["lsst"], "i_39", 1)

    def change(hdus: fits.HDUList) -> Any:
        del hdus[1].header["BUNIT"]
        return hdus[:4]

    rewrite(path, change, tmp_path / path.name)
    (refused,) = scan(tmp_path).refused
    assert "BUNIT = nJy, FLUXMAG0, a PhotoCalib" in refused.reason
    assert (refused.instrument, refused.band) == ("LSSTCam", "LSST_i")
    (ref,) = scan(tmp_path, summary=str(folders["lsst"] / "ccdVisitTable.fits")).frames
    assert ref.scalars["zero_point"] == 31.4
    assert any("table of visits" in note for note in ref.notes)


def test_statements_of_the_zero_point_must_agree(folders: dict[str, Path], tmp_path: Path) -> None:
    (path,) = some_files(folders["hsc"], "HSC-I2", 1)
    rewrite(path, lambda hdus: hdus[0].header.set("FLUXMAG0", 1e13), tmp_path / path.name)
    assert "must agree" in scan(tmp_path).refused[0].reason


@pytest.mark.parametrize(
    "date", ["2016-12-31T23:59:00.5", "2017-01-01T00:10:00.25", "2024-10-21T03:04:05.123456789"]
)
def test_dates_in_tai_become_utc(folders: dict[str, Path], tmp_path: Path, date: str) -> None:
    (path,) = some_files(folders["hsc"], "HSC-I2", 1)
    rewrite(path, lambda hdus: hdus[0].header.set("DATE-AVG", date), tmp_path / path.name)
    rows = scan(tmp_path).frames[0].exposures
    assert rows is not None
    assert abs(rows.scalars["MJD"][0] - Time(date, scale="tai").utc.mjd) < 2e-11


def test_dates_in_utc_are_kept(folders: dict[str, Path], tmp_path: Path) -> None:
    (path,) = some_files(folders["hsc"], "HSC-I2", 1)

    def change(hdus: fits.HDUList) -> None:
        hdus[0].header["DATE-AVG"], hdus[0].header["TIMESYS"] = "2024-10-21T12:00:00", "UTC"

    rewrite(path, change, tmp_path / path.name)
    rows = scan(tmp_path).frames[0].exposures
    assert rows is not None
    assert rows.scalars["MJD"][0] == 60604.5


def test_a_rotator_angle_that_is_not_on_the_sky_is_not_taken(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    (path,) = some_files(folders["hsc"], "HSC-R", 1)
    rewrite(path, lambda hdus: hdus[0].header.set("ROTTYPE", "MOUNT"), tmp_path / path.name)
    rows = scan(tmp_path).frames[0].exposures
    assert rows is not None
    assert "PositionAngle" not in rows.scalars


@pytest.mark.parametrize("kind", ["csv", "parquet", "fits"])
def test_tables_of_visits_in_any_form(tmp_path: Path, kind: str) -> None:
    pa = pytest.importorskip("pyarrow")
    columns = {
        "visitId": [7, 7, 8],
        "detector": [1, 2, 1],
        "psfSigma": [2.0, 3.0, np.nan],
        "pixelScale": [0.2, 0.2, 0.2],
        "skyBg": [1.0, 2.0, 3.0],
        "band": ["g", "g", "r"],
    }
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        from pyarrow import csv

        csv.write_csv(pa.table(columns), path)
    elif kind == "parquet":
        from pyarrow import parquet

        parquet.write_table(pa.table(columns), path)
    else:
        forms = {"visitId": "K", "detector": "J", "band": "1A"}
        fits.BinTableHDU.from_columns(
            [
                fits.Column(name, forms.get(name, "D"), array=np.array(values))
                for name, values in columns.items()
            ]
        ).writeto(path)
    table = read_visits(path)
    assert table.scalars("7", 2, 9.0) == {"Background": 2.0, "Seeing": pytest.approx(3.0 * 0.2 * 2.354820045)}
    assert table.scalars("8", 1, 9.0) == {"Background": 3.0}
    assert table.scalars("9", 1, 9.0) == {}
    assert table.scalars("9813-404", 1, 9.0) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("visit,detector\n1,2\n", "must have a column among seeing"),
        ("visit,seeing\n1,2\n", "must have a column detector"),
        ("visit,detector,seeing\n1,2.5,1\n", "must hold integers"),
        ("visit,detector,seeing\n1,2,1\n1,2,3\n", "must stand once"),
        ("visit,detector,seeing\n1,2,1\n1\n", "must be a readable table"),
    ],
)
def test_tables_of_visits_that_are_not_ones(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=reason):
        read_visits(path)


def test_a_table_of_visits_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv"):
        scan(tmp_path, summary="nowhere.csv")


# -- faults -----------------------------------------------------------------------------------------------------


def _delete(*keys: str) -> Any:
    def change(hdus: fits.HDUList) -> None:
        for hdu in hdus:
            for key in keys:
                hdu.header.remove(key, ignore_missing=True)

    return change


def _no_bits(hdus: fits.HDUList) -> None:
    for key in [key for key in hdus[2].header if key.startswith("MP_")]:
        del hdus[2].header[key]


def _floats(hdus: fits.HDUList) -> Any:
    header = hdus[2].header.copy()
    return fits.HDUList([hdus[0], hdus[1], fits.ImageHDU(hdus[2].data.astype(np.float32), header), *hdus[3:]])


def _cut(hdus: fits.HDUList) -> Any:
    return fits.HDUList([*hdus[:3], fits.ImageHDU(hdus[3].data[1:], hdus[3].header), *hdus[4:]])


def _twice(hdus: fits.HDUList) -> Any:
    return fits.HDUList([*hdus[:3], hdus[2].copy(), *hdus[3:]])


def _set(key: str, value: Any, hdu: int = 0) -> Any:
    return lambda hdus: hdus[hdu].header.set(key, value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda hdus: fits.HDUList([*hdus[:2], *hdus[3:]]), "HDU MASK must be present"),
        (lambda hdus: fits.HDUList([*hdus[:3], *hdus[4:]]), "HDU VARIANCE must be present"),
        (lambda hdus: fits.HDUList([hdus[0], *hdus[2:]]), "HDU IMAGE must be present"),
        (_twice, "HDU MASK must stand once"),
        (_cut, "planes of one frame must have one shape"),
        (_floats, "BITPIX of a flag plane must be one of integers"),
        (_no_bits, "MP_<NAME> cards must name the bits"),
        (_set("MP_SAT", 0, 2), "MP_SAT = 0 must agree with bit 0 BAD"),
        (_set("MP_SAT", 32, 2), "must be a bit number from 0 to 31"),
        (_set("MP_SAT", "one", 2), "MP_SAT must be an integer"),
        (_delete("CTYPE1"), "CTYPE1 must be present"),
        (_delete("A_ORDER"), "A_ORDER and B_ORDER must be present"),
        (_set("CRVAL1", "east", 1), "CRVAL1 must be a number"),
        (_delete("TIMESYS"), "TIMESYS must be TAI or UTC"),
        (_set("TIMESYS", "TDB"), "TIMESYS must be TAI or UTC"),
        (_set("DATE-AVG", "yesterday"), "DATE-AVG must be a date"),
        (_set("DATE-AVG", "2024-13-01T00:00:00"), "DATE-AVG must be a date"),
        (_set("EXPTIME", "long"), "EXPTIME must be a number"),
        (_set("FLUXMAG0", "many"), "FLUXMAG0 must be a number"),
        (_set("FLUXMAG0", 0.0), "FLUXMAG0 must be the counts"),
        (_set("SKYSIGMA", -1.0), "the noise .* must be positive"),
        (_set("PHOTOCALIB_ID", 99), "must agree|id of one entry"),
        (_set("ARCHIVE_ID_PHOTOCALIB", 99), "must be the id of one entry, found 0"),
        (_set("INSTRUMENT", "MegaPrime"), "the instrument must be one of"),
        (_set("FILTER", "HSC-Q"), "the filter must be one of"),
        (_set("IDNUM", 5), "the visit .* must be 2000, as the file name says, found 5"),
    ],
)  # fmt: skip
def test_what_must_be_refused(folders: dict[str, Path], tmp_path: Path, change: Any, reason: str) -> None:
    one, two = some_files(folders["hsc"], "HSC-I2", 2)
    rewrite(one, change, tmp_path / one.name)
    copy(tmp_path, two)
    manifest = scan(tmp_path)
    assert [len(ref.exposures or ()) for ref in manifest] == (
        [2] if reason.startswith("must agree|") else [1]
    )
    for refused in manifest.refused:
        assert str(tmp_path / one.name) in refused.reason
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(refused.reason)


def test_a_file_that_is_cut_is_refused_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    one, two = some_files(folders["lsst"], "i_39", 2)
    (tmp_path / one.name).write_bytes(one.read_bytes()[:-2880])
    copy(tmp_path, two)
    manifest = scan(tmp_path)
    assert [len(ref.exposures or ()) for ref in manifest] == [1]
    assert "cut" in manifest.refused[0].reason
    assert manifest.refused[0].area == manifest.frames[0].area


def test_masks_without_names_are_read_with_the_table_of_the_option(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    (path,) = some_files(folders["hsc"], "HSC-R", 1)
    rewrite(path, _no_bits, tmp_path / path.name)
    (ref,) = scan(tmp_path, bit_table="lsst").frames
    assert any("numbered as in the table lsst" in note for note in ref.notes)
    with open_frame(detectors_of(ref, [0])[0], ()) as frame:
        assert frame.bits is not None
        assert frame.bits.by_name["SAT"].number == 1
    with pytest.raises(InputError, match="bit table must be one of"):
        scan(tmp_path, bit_table="none")


def test_two_files_of_one_detector(folders: dict[str, Path], tmp_path: Path) -> None:
    one, two = some_files(folders["hsc"], "HSC-R", 2)
    for name in ("a", "b"):
        copy(tmp_path / name, one)
    copy(tmp_path / "a", two)
    (ref,) = scan(tmp_path).frames
    assert len(ref.exposures or ()) == 2
    assert any("are copies" in note for note in ref.notes)
    rewrite(one, _set("SEEING", 0.5), tmp_path / "b" / one.name)
    (refused,) = scan(tmp_path).refused
    assert "two files of one detector must be copies" in refused.reason
    assert str(tmp_path / "b") in refused.reason


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [("FILTER", "HSC-R2", None), ("FILTER", "HSC-Z", "one band"), ("EXPTIME", 30.0, "one ExposureTime"),
     ("TIME-MID", "2018-01-22T08:00:00Z", "one MJD")],
)  # fmt: skip
def test_files_of_different_exposures_under_one_visit(
    folders: dict[str, Path], tmp_path: Path, key: str, value: Any, reason: str | None
) -> None:
    one, two = some_files(folders["hsc"], "HSC-R", 2)
    copy(tmp_path, one)
    rewrite(two, _set(key, value), tmp_path / two.name)
    manifest = scan(tmp_path)
    if reason is None:
        assert len(manifest) == 1
    else:
        assert len(manifest) == 0
        assert f"files of one visit must have {reason}" in manifest.refused[0].reason


def test_files_that_changed_since_they_were_listed(folders: dict[str, Path], tmp_path: Path) -> None:
    copy(tmp_path, *some_files(folders["hsc"], "HSC-R", 2))
    (ref,) = scan(tmp_path).frames
    path = Path(ref.options["files"][1])
    rewrite(path, _set("OBJECT", "other"))
    detectors_of(ref, [0])
    with pytest.raises(InputError, match="must be the file that was listed"):
        detectors_of(ref, [1])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"zero_point": "27"}, "positive number"),
        ({"files": 3}, "must be text"),
        ({"masks": 1}, "options of reader"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        scan(tmp_path, **options)


def test_a_location_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a folder or a file"):
        scan(tmp_path / "nowhere")


def test_files_are_chosen_by_a_pattern(folders: dict[str, Path]) -> None:
    assert {ref.has_grid for ref in scan(folders["lsst"], files="deep_coadd_*.fits")} == {True}
    assert len(scan(folders["lsst"], files="visit_image_*R22_S1?_*.fits").frames[0].exposures or ()) == 3


def some_files(folder: Path, physical: str, number: int) -> list[Path]:
    """The first files of detectors of one filter."""
    found = sorted(path for path in folder.rglob("*.fits") if physical in path.parts)
    return [path for path in found if path.parent == found[0].parent][:number]


def copy(folder: Path, *paths: Path) -> None:
    folder.mkdir(exist_ok=True)
    for path in paths:
        shutil.copy(path, folder / path.name)
