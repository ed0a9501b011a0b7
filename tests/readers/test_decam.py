"""Reader `decam` on Community Pipeline exposures: every scalar and plane against what was put in, and faults."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from decam_helpers import (
    CCDS,
    PIXELS,
    REAL_COMMUNITY,
    SKY,
    Part,
    look,
    parts_of,
    place_of,
    refusal,
    rewrite,
    scan,
    set_cards,
    the_frame,
)
from readers_conformance import Opens, check_reader
from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.wcs import read_wcs
from vmpz.frames import FrameRef, outline_corners
from vmpz.readers import detectors_of, open_frame
from vmpz.readers.decamccd import angle_deg
from vmpz.simulate import decamcp as sim
from vmpz.simulate.exposures import Shot
from vmpz.simulate.fitsfile import fits_file

SHOTS = {sim.community_name(shot, "i")[:17]: shot for shot in sim.community_shots(SKY)}
FIRST = next(iter(SHOTS))
NAMES = sorted(CCDS, key=lambda name: sim.CCDS[name])
PLANES = ("IMAGE", "FLAG", "RMS")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All exposures, of some CCDs."""
    place = tmp_path_factory.mktemp("decam")
    sim.write_community(place, SKY, pixels=PIXELS, ccds=CCDS)
    return place


@pytest.fixture
def one(folder: Path, tmp_path: Path) -> dict[str, Path]:
    """A copy of the first exposure: kind to file."""
    paths = {kind: tmp_path / sim.community_name(SHOTS[FIRST], kind) for kind in "idw"}
    for path in paths.values():
        shutil.copy(folder / path.name, path)
    return paths


def header_of(shot: Shot, name: str) -> fits.Header:
    return look(shot, name).header


def test_there_is_a_frame_an_exposure(folder: Path) -> None:
    manifest = scan(folder)
    assert not manifest.refused
    assert [(ref.area, ref.band) for ref in manifest] == sorted((a, s.band.name) for a, s in SHOTS.items())
    for ref in manifest:
        assert (ref.instrument, ref.telescope, ref.bit_table) == ("DECAM", "NOAO", "decam-cp-codes")
        assert (ref.release, ref.created, ref.shape) == ("v1", "2026-01-15T08:30:00.000000", (0, 0))
        assert not ref.has_grid
        assert set(ref.planes) == set(PLANES)
        assert all(file.size == Path(file.location).stat().st_size for file in ref.planes.values())
        assert all(file.verifiable and file.identity for file in ref.planes.values())


@pytest.mark.parametrize("area", SHOTS)
def test_every_scalar_of_every_row(folder: Path, area: str) -> None:
    shot, exposures = SHOTS[area], the_frame(folder, tiles=[area]).exposures
    assert exposures is not None
    assert exposures.ids == tuple(f"{area}[{name}]" for name in NAMES)
    found = dict(exposures.scalars)
    lacks = shot.number == sim.WITHOUT_AIRMASS and shot.band.name == "DECAM_g"
    assert ("Airmass" in found) != lacks
    if not lacks:
        assert found.pop("Airmass") == pytest.approx(sim.airmass(shot), abs=0.005001)
    for row, name in enumerate(NAMES):
        one = sim.CAMERA.detectors[place_of(name)]
        seen = look(shot, name)
        scale = sim.pixel_scale_arcsec(WCS(header_of(shot, name)), PIXELS)
        expected = {
            "ExposureTime": shot.band.exposure_time_s,
            "MJD": shot.middle_mjd,
            "Seeing": shot.fwhm_arcsec,
            "Background": sim.sky_level(shot, one),
            "Noise": seen.rms,
            "Weight": seen.rms**-2,
            "Zeropoint": sim.zero_point_mag(shot),
            "PixelScale": scale,
            "SiteLon": sim.SITE_DEG[0],
            "SiteLat": sim.SITE_DEG[1],
            "PointingLon": shot.lon_deg,
            "PointingLat": shot.lat_deg,
        }
        assert set(found) == set(expected)
        for quantity, value in expected.items():
            tolerance = {"MJD": 1e-8, "PointingLon": 1e-5, "PointingLat": 1e-5}.get(quantity, 0.0)
            assert found[quantity][row] == pytest.approx(value, rel=1e-6, abs=tolerance), quantity
    assert np.abs(found["MJD"] - shot.middle_mjd).max() < 1e-8


def test_scalars_of_the_exposure(folder: Path) -> None:
    ref, shot = the_frame(folder, tiles=[FIRST]), SHOTS[FIRST]
    assert ref.scalars["zero_point"] == sim.zero_point_mag(shot)
    assert ref.scalars["exposure_time_s"] == 90.0
    assert ref.date_obs.startswith("2024-10-2")
    begin, end = (np.datetime64(text) for text in (ref.date_obs, ref.date_end))
    assert end - begin == np.timedelta64(90, "s")


@pytest.mark.parametrize("area", SHOTS)
def test_outlines_are_those_of_the_mapping(folder: Path, area: str) -> None:
    shot, exposures = SHOTS[area], the_frame(folder, tiles=[area]).exposures
    assert exposures is not None
    for row, name in enumerate(NAMES):
        header = header_of(shot, name)
        del header["WAT?_*"]
        expected = outline_corners(WCS(header), (PIXELS, PIXELS // 2), 8)
        assert exposures.corners[row] == pytest.approx(expected, abs=1e-9)
        x = np.array([-0.5, PIXELS // 2 - 0.5, PIXELS // 2 - 0.5, -0.5])
        y = np.array([-0.5, -0.5, PIXELS - 0.5, PIXELS - 0.5])
        corners = np.stack(WCS(header).all_pix2world(x, y, 0), axis=1)
        assert exposures.corners[row, ::8] == pytest.approx(corners, abs=1e-9)
        # north first: columns run to the south, rows to the east
        flat = shot.corners_deg(sim.CAMERA.detectors[place_of(name)])[[3, 0, 1, 2]]
        shift = (exposures.corners[row, ::8] - flat) * (np.cos(np.radians(flat[:, 1:])), 1.0)[0]
        assert np.abs(shift).max() * 3600.0 < 12.0


@pytest.mark.parametrize("area", SHOTS)
def test_planes_of_a_detector(folder: Path, area: str) -> None:
    ref, shot = the_frame(folder, tiles=[area]), SHOTS[area]
    for row in (3, 0):
        (image,) = detectors_of(ref, [row])
        seen = look(shot, NAMES[row])
        codes = sim.quality_codes(seen.roles)
        assert (image.area, image.shape) == (f"{area}[{NAMES[row]}]", codes.shape)
        assert image.scalars["psf_fwhm_arcsec"] == pytest.approx(shot.fwhm_arcsec, rel=1e-6)
        with open_frame(image, PLANES) as frame:
            planes = {name: plane.read(0, PIXELS) for name, plane in frame.planes.items()}
            assert frame.bits is not None
            assert frame.bits.kind == "code"
        assert np.array_equal(planes["FLAG"], codes)
        good = codes == 0
        assert planes["RMS"][good] == pytest.approx(np.float32(seen.rms), rel=1e-6)
        assert np.all(planes["RMS"][~good] >= 1e15)
        with fits.open(folder / sim.community_name(shot, "i")) as hdus:
            assert np.array_equal(planes["IMAGE"], hdus[NAMES[row]].data)
        assert np.abs(planes["IMAGE"] - seen.image)[good].max() < seen.rms


def test_flags_by_name(folder: Path) -> None:
    table = bit_table("decam-cp-codes")
    area = FIRST
    row = NAMES.index("S6")
    (image,) = detectors_of(the_frame(folder, tiles=[area]), [row])
    roles = look(SHOTS[area], "S6").roles
    with open_frame(image, ["FLAG"]) as frame:
        codes = frame.planes["FLAG"].read(0, PIXELS)
    left = np.ones(codes.shape, bool)
    for role, name in (("column", "BAD"), ("core", "SATURATED"), ("trail", "BLEED"), ("cosmic", "COSMIC")):
        (number,) = table.select([name]).numbers
        assert np.array_equal(codes == number, roles[role] & left)
        left &= ~roles[role]
    assert np.count_nonzero(codes == 1) == PIXELS


def test_the_order_of_extensions_means_nothing(one: dict[str, Path]) -> None:
    before = the_frame(one["i"].parent)
    for kind, order in (("d", [0, 3, 1, 4, 2]), ("w", [0, 2, 1, 4, 3])):
        rewrite(one[kind], lambda hdus, order=order: [hdus[n] for n in order])
    after = the_frame(one["i"].parent)
    assert after.exposures == before.exposures
    shot = SHOTS[before.area]
    for row, image in enumerate(detectors_of(after, range(len(CCDS)))):
        seen = look(shot, NAMES[row])
        with open_frame(image, ["FLAG", "RMS"]) as frame:
            assert np.array_equal(frame.planes["FLAG"].read(0, PIXELS), sim.quality_codes(seen.roles))
            assert frame.planes["RMS"].read(0, PIXELS).min() == pytest.approx(seen.rms, rel=1e-6)


def test_the_common_rules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_reader("decam", folder, {}, monkeypatch)


def test_nothing_unselected_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opens = Opens(monkeypatch)
    assert not scan(folder, bands=["DECAM_z"]).frames
    assert not opens.taken()
    ref = the_frame(folder, tiles=[FIRST], planes=["FLAG"])
    assert {Path(path).name for path in opens.taken()} == {sim.community_name(SHOTS[FIRST], "d")}
    assert set(ref.planes) == {"FLAG"}
    assert ref.exposures == the_frame(folder, tiles=[FIRST]).exposures
    opens.taken()
    detectors_of(ref, [0])
    assert len(opens.taken()) == 1
    assert {frame.band for frame in scan(folder, bands=["DECAM_r"])} == {"DECAM_r"}
    assert not scan(folder, forms=["desdm", "coadd"]).frames


def test_quantised_zeros_are_no_weights(one: dict[str, Path], tmp_path: Path) -> None:
    shot = SHOTS[FIRST]
    seen = look(shot, "S29")
    draw = np.random.default_rng(1)
    weight = (seen.rms**-2 * draw.normal(1.0, 0.03, (PIXELS, PIXELS // 2))).astype(np.float32)
    weight[:, :5] = 0.0
    with fits_file(tmp_path / "noisy.fits") as writer:
        writer.add(fits.PrimaryHDU())
        header = sim.detector_cards(sim.CAMERA.detectors[place_of("S29")])
        header.extend(seen.header)
        sim.add_compressed(writer, header, weight, 1)
    noisy = parts_of(tmp_path / "noisy.fits")[1]
    rewrite(one["w"], lambda parts: [parts[0], noisy, *parts[2:]])
    with fits.open(one["w"]) as hdus:
        stored = np.array(hdus["S29"].data)
    assert np.any(stored[:, :5] != 0.0)
    ref = the_frame(one["i"].parent)
    assert any("quantised" in note for note in ref.notes)
    with open_frame(detectors_of(ref, [0])[0], ["RMS"]) as frame:
        rms = frame.planes["RMS"].read(0, PIXELS)
    assert np.all(rms[:, :5] >= 1e15)
    assert np.all(rms[:, 5:] < 2.0 * seen.rms)


@pytest.mark.parametrize(
    ("version", "table"),
    [
        ("V3.4.9", "decam-cp-bits"),
        ("DES 2.1+1", "decam-cp-bits"),
        ("V3.5.0", "decam-cp-codes"),
        ("V4.8.2a", "decam-cp-codes"),
        ("V5.5", "decam-cp-codes"),
    ],
)
def test_the_version_tells_codes_from_bits(one: dict[str, Path], version: str, table: str) -> None:
    rewrite(one["d"], set_cards(0, PLVER=version))
    assert the_frame(one["d"].parent).bit_table == table
    assert the_frame(one["d"].parent, bit_table="desdm").bit_table == "desdm"
    assert the_frame(one["d"].parent, bit_table={"coadd": "nir"}).bit_table == table


def test_a_zero_point_per_second_is_brought_to_the_exposure(one: dict[str, Path]) -> None:
    rewrite(one["i"], set_cards(0, MAGZERO=None))
    exposures = the_frame(one["i"].parent).exposures
    assert exposures is not None
    assert exposures.scalars["Zeropoint"] == pytest.approx(sim.zero_point_mag(SHOTS[FIRST]), abs=1e-3)


def test_unknown_values_are_told(one: dict[str, Path]) -> None:
    rewrite(one["i"], set_cards(0, MAGZERO=None, MAGZPT=None, TELRA=None, RA="03:32:10.0", DEC=-28.0))
    rewrite(one["i"], set_cards(2, FWHM=-1.0, AVSIG=0.0))
    ref = the_frame(one["i"].parent)
    assert ref.exposures is not None
    scalars = ref.exposures.scalars
    assert "Zeropoint" not in scalars
    assert "zero_point" not in ref.scalars
    assert np.isnan(scalars["Seeing"]).tolist() == [False, True, False, False]
    assert np.isnan(scalars["Weight"]).tolist() == [False, True, False, False]
    assert scalars["PointingLon"][0] == pytest.approx(15.0 * (3 + 32 / 60 + 10 / 3600))
    assert scalars["PointingLat"][0] == -28.0
    assert any("no Zeropoint of 4 of 4" in note for note in ref.notes)
    assert any("no Seeing of 1 of 4" in note for note in ref.notes)
    assert "psf_fwhm_arcsec" not in detectors_of(ref, [1])[0].scalars


def test_a_zero_point_as_a_string(one: dict[str, Path]) -> None:
    rewrite(one["i"], set_cards(0, MAGZERO="31.25"))
    assert the_frame(one["i"].parent).scalars["zero_point"] == 31.25


def test_planes_that_are_not_there(one: dict[str, Path]) -> None:
    one["d"].unlink()
    ref = the_frame(one["i"].parent)
    assert set(ref.planes) == {"IMAGE", "RMS"}
    assert ref.bit_table == "-"
    assert "there is no FLAG plane" in ref.notes


def drop_ccd(hdus: list[Part]) -> Any:
    return hdus[:3]


def double_ccd(hdus: list[Part]) -> Any:
    return [*hdus, hdus[1].copy()]


def no_ccd(hdus: list[Part]) -> Any:
    return [hdus[0]]


FAULTS: list[tuple[str, Callable[[list[Part]], Any], str]] = [
    ("w", drop_ccd, "must have the same CCDs"),
    ("d", double_ccd, "EXTNAME S29 must stand once"),
    ("i", no_ccd, "must have an extension a CCD"),
    ("i", set_cards(0, MAGZERO="unknown"), "MAGZERO must be a number"),
    ("i", set_cards(0, EXPTIME=None), "EXPTIME must be present"),
    ("i", set_cards(0, EXPTIME=0.0), "EXPTIME must be positive"),
    ("i", set_cards(0, MJD__OBS=None), "MJD-OBS must be present"),
    ("i", set_cards(0, FILTER=None), "FILTER must be present"),
    ("i", set_cards(0, FILTER="solid plate 0.0 0.0"), "FILTER must begin with one of u, g"),
    ("d", set_cards(0, FILTER="r DECam SDSS c0002 6415.0 1480.0"), "FILTER must be DECAM_g"),
    ("d", set_cards(0, EXPNUM=5), "EXPNUM of all files must be one"),
    ("w", set_cards(0, EXPNUM=None), "EXPNUM must be present"),
    ("w", set_cards(0, PRODTYPE="image"), "PRODTYPE must be wtmap"),
    ("i", set_cards(0, PROCTYPE="Resampled"), "PROCTYPE must be InstCal"),
    ("i", set_cards(0, WCSCAL="Unsuccessful"), "WCSCAL must be Successful"),
    ("d", set_cards(0, PLVER=None), "PLVER must be present"),
    ("d", set_cards(0, PLVER="new"), "PLVER must hold a version"),
    ("i", set_cards(0, TELRA="14h23m"), "TELRA must be an angle"),
    ("i", set_cards(0, TELDEC="-99:00:00.0"), "must be on the sky"),
    ("i", set_cards(1, CCDNUM=None), "CCDNUM must be present"),
    ("i", set_cards(1, CD1_2=None, CD2_1=None), "must"),
    ("w", set_cards(1, CRVAL1=53.2), "planes of one frame must have one WCS"),
    ("d", set_cards(1, ZNAXIS1=30, ZTILE1=30), "must have one shape"),
    ("d", set_cards(1, ZBITPIX=-32), "BITPIX of a flag plane must be one of integers"),
    ("i", set_cards(1, ZNAXIS=3), "must hold an image of two axes"),
]


@pytest.mark.parametrize(("kind", "change", "rule"), FAULTS)
def test_faults(one: dict[str, Path], kind: str, change: Callable[[list[Part]], Any], rule: str) -> None:
    rewrite(one[kind], change)
    reason = refusal(one["i"].parent)
    assert rule in reason
    assert one[kind].name in reason or "EXPNUM of all" in rule


def test_a_truncated_file(one: dict[str, Path]) -> None:
    one["w"].write_bytes(one["w"].read_bytes()[:-2880])
    assert "found" in refusal(one["i"].parent)
    assert [ref.band for ref in scan(one["i"].parent, planes=["IMAGE"])] == ["DECAM_g"]


def test_one_bad_exposure_leaves_the_others(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        shutil.copy(path, tmp_path / path.name)
    rewrite(tmp_path / sim.community_name(SHOTS[FIRST], "i"), set_cards(0, EXPTIME=None))
    manifest = scan(tmp_path)
    assert {ref.area for ref in manifest} == set(SHOTS) - {FIRST}
    assert [(item.area, item.band) for item in manifest.refused] == [(FIRST, "DECAM_g")]


def test_copies_count_once_and_others_are_refused(one: dict[str, Path]) -> None:
    other = one["i"].parent / "again" / one["i"].name
    other.parent.mkdir()
    shutil.copy(one["i"], other)
    assert any("are copies" in note for note in the_frame(one["i"].parent).notes)
    rewrite(other, set_cards(0, MAGZERO=29.0))
    assert "must be one file or copies of it" in refusal(one["i"].parent)


def test_of_two_versions_the_later_is_taken(one: dict[str, Path]) -> None:
    for path in one.values():
        shutil.copy(path, path.with_name(path.name.replace("_v1", "_v2")))
    manifest = scan(one["i"].parent)
    assert [ref.release for ref in manifest] == ["v2"]
    assert any("was chosen over" in note for note in manifest.notes)


def test_a_file_that_changed_is_told(one: dict[str, Path]) -> None:
    ref = the_frame(one["i"].parent)
    (image,) = detectors_of(ref, [2])
    rewrite(one["d"], set_cards(3, DETPOS="changed"))
    with pytest.raises(InputError, match="must be the file that was listed"):
        detectors_of(ref, [2])
    with pytest.raises(InputError, match="must"), open_frame(image, ["FLAG"]):
        pass


def test_order_of_files_and_repetition_change_nothing(folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.iterdir(), reverse=True):
        shutil.copy(path, tmp_path / path.name)
    first, second = scan(folder), scan(tmp_path)

    def essence(ref: FrameRef) -> Any:
        return ref.area, ref.exposures, {name: file.identity for name, file in ref.planes.items()}, ref.notes

    assert [essence(ref) for ref in first] == [essence(ref) for ref in second]
    assert scan(folder) == first


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"form": ["community"]}, "options of reader decam must be among"),
        ({"forms": ["noao"]}, "forms must be a list of community"),
        ({"bit_table": "none"}, "bit table must be one of"),
    ],
)
def test_wrong_options(folder: Path, options: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        scan(folder, **options)


def test_wrong_locations(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a folder"):
        scan(tmp_path / "nothing")
    (tmp_path / "other.fits").write_bytes(b"")
    with pytest.raises(InputError, match="must hold files of DECam"):
        scan(tmp_path)


# -- the real thing ---------------------------------------------------------------------------------------------


def test_the_mapping_of_a_real_header() -> None:
    """COR1RA1 ... CENDEC1 of the header itself, rounded there to 1e-4 degrees."""
    wcs = read_wcs(Cards(fits.Header(REAL_COMMUNITY), "real"), (4094, 2046))
    found = np.stack(wcs.wcs.all_pix2world([1, 2046, 1, 2046, 1023.5], [1, 1, 4094, 4094, 2047.5], 1), axis=1)
    told = [
        (215.3973, -12.62727),
        (215.3965, -12.77638),
        (215.7036, -12.62822),
        (215.703, -12.77718),
        (215.55, -12.70227),
    ]
    assert found == pytest.approx(np.array(told), abs=2e-4)
    assert any("mirrored" in note for note in wcs.notes)


def test_the_scalars_of_a_real_header(tmp_path: Path) -> None:
    primary = {
        "PROCTYPE": "InstCal", "PRODTYPE": "image", "OBS-LONG": 70.81489, "OBS-LAT": -30.16606, "EXPTIME": 120.0,
        "DATE-OBS": "2019-04-02T05:06:18.382875", "MJD-OBS": 58575.21271276, "EXPNUM": 845291,
        "FILTER": "VR DECam c0007 6300.0 2600.0", "TELRA": "14:23:28.889", "TELDEC": "-13:36:23.800",
        "AIRMASS": 1.1, "MAGZERO": 31.227, "MAGZPT": 26.029, "PLVER": "V4.1", "WCSCAL": "Successful",
        "DATE": "2019-04-16T22:34:38",
    }  # fmt: skip
    cards = fits.Header(
        {
            **REAL_COMMUNITY,
            "EXTNAME": "S29",
            "CCDNUM": 1,
            "FWHM": 6.308315,
            "AVSKY": 711.8328,
            "AVSIG": 14.43527,
        }
    )
    hdus = [fits.PrimaryHDU(header=fits.Header(primary)), fits.CompImageHDU(np.zeros((40, 20), "f4"), cards)]
    fits.HDUList(hdus).writeto(tmp_path / "c4d_190402_050618_ooi_VR_v1.fits.fz")
    ref = the_frame(tmp_path)
    assert (ref.band, ref.release, ref.created) == ("DECAM_VR", "v1", "2019-04-16T22:34:38.000000")
    assert ref.exposures is not None
    found = {name: float(values[0]) for name, values in ref.exposures.scalars.items()}
    assert found.pop("PixelScale") == pytest.approx(0.2626, abs=0.0008)
    assert found.pop("Seeing") == pytest.approx(1.66, abs=0.01)
    assert found == pytest.approx(
        {
            "ExposureTime": 120.0, "MJD": 58575.21271276 + 60.0 / 86400.0, "Airmass": 1.1, "Zeropoint": 31.227,
            "Background": 711.8328, "Noise": 14.43527, "Weight": 14.43527**-2,
            "SiteLon": -70.81489, "SiteLat": -30.16606,
            "PointingLon": 215.87037083333333, "PointingLat": -13.606611111111111,
        },
        rel=1e-12,
    )  # fmt: skip


@given(st.floats(0.0, 359.99), st.integers(0, 6))
def test_sexagesimal_angles(value: float, digits: int) -> None:
    step = 10.0**-digits / 3600.0
    assert angle_deg(sim.sexagesimal(value, digits), hours=False) == pytest.approx(
        value, abs=0.51 * step + 1e-12
    )
    assert angle_deg(sim.sexagesimal(-value, digits), hours=False) == pytest.approx(
        -value, abs=0.51 * step + 1e-12
    )
    assert angle_deg(sim.sexagesimal(value / 15.0, digits), hours=True) == pytest.approx(
        value, abs=8 * step + 1e-9
    )


@pytest.mark.parametrize("text", ["", "12:60:00", "1:2", "a:b:c", "12:00:61", "--1:00:00"])
def test_no_angles(text: str) -> None:
    assert np.isnan(angle_deg(text, hours=False))
