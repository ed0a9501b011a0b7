"""Reader `kids` on coadds as the survey releases them: every scalar and plane against what was put in, and faults."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time

from decam_helpers import SKY, rewrite, set_cards
from readers_conformance import Opens, check_reader
from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.frames import FrameRef, Manifest
from vmpz.make.exposuremaps import exposure_map
from vmpz.parameters import Parameters
from vmpz.readers import open_frame, scan_inputs
from vmpz.run.gathering import gather
from vmpz.simulate import kids
from vmpz.sky.regions import cells_inside
from vmpz.tiles import tiling

PIXELS = 60
COADDS = {one.band.name: one for one in kids.coadds(SKY, pixels=PIXELS)}
AREA = COADDS["KIDS_r"].area
KEYWORDS = {"Background": "BKGMED"}
CAN_TELL = {
    "ExposureTime", "Exposures", "MJD", "Seeing", "PSF", "Background", "Zeropoint", "PixelScale", "SiteLon", "SiteLat",
    "PointingLon", "PointingLat",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kids")
    kids.write_kids(place, SKY, pixels=PIXELS)
    return place


@pytest.fixture
def tile(folder: Path, tmp_path: Path) -> dict[str, Path]:
    """A copy of the files of the r band: what to file."""
    for what in ("sci", "wei", "msk"):
        shutil.copy(folder / COADDS["KIDS_r"].name(what), tmp_path)
    return {what: tmp_path / COADDS["KIDS_r"].name(what) for what in ("sci", "wei", "msk")}


def scan(folder: Path, options: dict[str, Any] | None = None, **selection: Any) -> Manifest:
    chosen = {"keywords": KEYWORDS} if options is None else options
    place = SimpleNamespace(reader="kids", location=str(folder), bands=None, options=chosen)
    return scan_inputs([place], **selection)


def the_frame(folder: Path, band: str = "KIDS_r", options: dict[str, Any] | None = None) -> FrameRef:
    manifest = scan(folder, options, bands=[band])
    assert not manifest.refused
    (frame,) = manifest.frames
    return frame


def refusal(folder: Path, options: dict[str, Any] | None = None) -> str:
    manifest = scan(folder, options)
    assert not manifest.frames
    (item,) = manifest.refused
    assert (item.area, item.instrument, item.band) == (AREA, "OMEGACAM", "KIDS_r")
    return item.reason


def test_the_common_rules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_reader("kids", folder, {"keywords": KEYWORDS}, monkeypatch)


@pytest.mark.parametrize("band", COADDS)
def test_every_scalar(folder: Path, band: str) -> None:
    coadd, frame = COADDS[band], the_frame(folder, band)
    assert (frame.area, frame.band, frame.instrument, frame.telescope) == (AREA, band, "OMEGACAM", "VST")
    assert (frame.shape, frame.release, frame.bit_table) == (coadd.shape, "DR4.0", "kids")
    expected = {
        "Exposures": kids.EXPOSURES[band],
        "MJD": coadd.middle_mjd,
        "Seeing": coadd.seeing_arcsec,
        "Background": coadd.background,
        "SiteLon": kids.SITE_DEG[0],
        "SiteLat": kids.SITE_DEG[1],
        "PointingLon": coadd.first.lon_deg,
        "PointingLat": coadd.first.lat_deg,
    }
    if band != "KIDS_g":
        expected["Airmass"] = coadd.airmass
    found = {name: value for name, value in frame.scalars.items() if name[0].isupper()}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        tolerance = 2e-4 if name.startswith("Pointing") else 0.0
        assert found[name] == pytest.approx(value, rel=1e-12, abs=tolerance), name
    image = {name: value for name, value in frame.scalars.items() if not name[0].isupper()}
    assert image == pytest.approx(
        {
            "zero_point": 0.0,
            "pixel_scale_arcsec": coadd.pixel_arcsec,
            "exposure_time_s": coadd.total_time_s,
            "psf_fwhm_arcsec": coadd.seeing_arcsec,
        }
    )
    assert any("zero point" in note for note in frame.notes) == (band == "KIDS_u")
    assert frame.date_obs[:10] == str(Time(coadd.start_mjd, format="mjd").isot)[:10]


@pytest.mark.parametrize("band", COADDS)
def test_planes(folder: Path, band: str) -> None:
    coadd, table = COADDS[band], bit_table("kids")
    with open_frame(the_frame(folder, band), ["IMAGE", "RMS", "FLAG"]) as frame:
        planes = {name: plane.read(0, coadd.shape[0]) for name, plane in frame.planes.items()}
        assert frame.bits == table
        assert frame.exposures is None
    reached = coadd.reached()
    assert planes["RMS"][reached] == pytest.approx(np.float32(coadd.rms), rel=1e-6)
    assert np.all(planes["RMS"][~reached] >= 1e15)
    assert np.all(planes["IMAGE"][~reached] == 0.0)
    assert planes["IMAGE"][reached].std() == pytest.approx(coadd.rms, rel=0.05)
    y, x = np.indices(coadd.shape)
    lon, lat = the_frame(folder, band).wcs.all_pix2world(x, y, 0)
    roles = coadd.first.roles(0, lon, lat)
    for role, name in kids.ROLES.items():
        assert np.array_equal(planes["FLAG"] & table.select([name]).mask != 0, roles[role])


def test_the_air_mass_is_that_of_astropy(folder: Path) -> None:
    coadd = COADDS["KIDS_r"]
    instants = Time([coadd.start_mjd, coadd.middle_mjd, coadd.end_mjd], format="mjd", scale="utc")
    site = EarthLocation(lon=-70.4042 * u.deg, lat=-24.6276 * u.deg)
    seen = SkyCoord(coadd.first.lon_deg, coadd.first.lat_deg, unit="deg").transform_to(
        AltAz(obstime=instants, location=site)
    )
    assert the_frame(folder).scalars["Airmass"] == pytest.approx(float(np.mean(seen.secz)), abs=1e-3)


def test_without_a_time_the_middle_is_the_mean(tile: dict[str, Path]) -> None:
    rewrite(tile["sci"], set_cards(0, MJD__OBS=None, MJD__END=None))
    frame = the_frame(tile["sci"].parent)
    assert frame.scalars["Airmass"] == pytest.approx(np.mean(COADDS["KIDS_r"].written_airmass))
    assert "MJD" not in frame.scalars
    assert any("is the mean of those at start and end" in note for note in frame.notes)


def test_without_an_end_the_time_is_half_the_exposure_later(tile: dict[str, Path]) -> None:
    rewrite(tile["sci"], set_cards(0, MJD__END=None))
    expected = COADDS["KIDS_r"].start_mjd + 0.5 * 1800.0 / 86400.0
    assert the_frame(tile["sci"].parent).scalars["MJD"] == pytest.approx(expected, abs=1e-9)


def test_total_time_is_number_times_single_time(tile: dict[str, Path]) -> None:
    rewrite(tile["sci"], set_cards(0, TEXPTIME=None, EXPTIME=360.0))
    assert the_frame(tile["sci"].parent).scalars["exposure_time_s"] == 1800.0
    rewrite(tile["sci"], set_cards(0, NCOMBINE=None))
    scalars = the_frame(tile["sci"].parent).scalars
    assert not {"exposure_time_s", "Exposures"} & scalars.keys()


def test_keywords_of_another_pipeline(tile: dict[str, Path]) -> None:
    names = {"NEXP": 5, "TSINGLE": 360.0, "ZP": 25.5, "AM1": 1.2, "AM2": 1.4}
    gone = dict.fromkeys(("NCOMBINE", "TEXPTIME", "MJD__OBS", "PHOTZP"))
    rewrite(tile["sci"], set_cards(0, **names, **gone))
    options = {"Exposures": "NEXP", "ExposureTime": "TSINGLE", "Zeropoint": "ZP", "AirmassStart": "AM1"}
    scalars = the_frame(
        tile["sci"].parent, options={"keywords": {**options, "AirmassEnd": "AM2", "Noise": "BKGMED"}}
    ).scalars
    assert scalars["exposure_time_s"] == 1800.0
    assert scalars["zero_point"] == 25.5
    assert scalars["Airmass"] == pytest.approx(1.3)
    assert scalars["Noise"] == pytest.approx(COADDS["KIDS_r"].background)
    assert "Background" not in scalars


def test_a_coadd_is_an_exposure_too(folder: Path) -> None:
    frame, coadd = the_frame(folder), COADDS["KIDS_r"]
    with open_frame(frame, ["LAYERS"]) as opened:
        exposures = opened.exposures
        assert not opened.planes
    assert exposures is not None
    assert exposures.ids == (AREA,)
    assert CAN_TELL | {"Airmass"} == set(exposures.scalars)
    assert exposures.outline(0).area_deg2 == pytest.approx(frame.outline().area_deg2, rel=1e-9)
    cells = cells_inside(frame.outline(), 9)
    counted = exposure_map(exposures, "Exposures", "COUNT", cells)
    time = exposure_map(exposures, "ExposureTime", "SUM", cells)
    assert counted.values.max() == pytest.approx(5.0)
    assert np.allclose(time.values, coadd.band.exposure_time_s * counted.values)


def test_a_coadd_is_gathered_with_its_scalars(folder: Path) -> None:
    block = {"reader": "kids", "location": str(folder), "options": {"keywords": KEYWORDS}}
    parameters = Parameters.model_validate(
        {"inputs": [block], "maps": {"order": 9}, "tiling": {"kind": "healpix", "order": 6}}
    )
    manifest = scan(folder, bands=["KIDS_r"])
    for frame in gather(manifest, parameters, tiling("healpix", order=6)):
        exposures = frame.exposures
        assert exposures is not None
        assert set(exposures.scalars) == CAN_TELL | {"Airmass"}
        assert exposures.scalars["Exposures"].tolist() == [5.0]
        assert exposures.scalars["ExposureTime"].tolist() == [1800.0]


def test_nothing_unselected_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opens = Opens(monkeypatch)
    assert not scan(folder, tiles=["KIDS_1.0_2.0"]).frames
    assert not scan(folder, instruments=["DECAM"]).frames
    assert not opens.taken()
    (frame,) = scan(folder, bands=["KIDS_r"], planes=["FLAG"])
    assert {Path(path).name for path in opens.taken()} == {COADDS["KIDS_r"].name("msk")}
    assert set(frame.planes) == {"FLAG"}


def test_other_files_are_passed_by(tile: dict[str, Path]) -> None:
    for name in ("r_det_sci", "ugriZYJHKs_msk", "r_src"):
        (tile["sci"].parent / f"KiDS_DR4.0_53.0_-28.0_{name}.fits").write_bytes(b"not read")
    assert the_frame(tile["sci"].parent).planes.keys() == {"IMAGE", "RMS", "FLAG"}


@pytest.mark.parametrize("what", ["sci", "wei", "msk"])
def test_gzip_is_read_and_copies_count_once(tile: dict[str, Path], what: str) -> None:
    before = the_frame(tile[what].parent)
    sub = tile[what].parent / "again"
    sub.mkdir()
    shutil.copy(tile[what], sub)
    assert any("copies" in note for note in the_frame(tile[what].parent).notes)
    shutil.rmtree(sub)
    tile[what].with_name(tile[what].name + ".gz").write_bytes(gzip.compress(tile[what].read_bytes()))
    tile[what].unlink()
    assert the_frame(tile[what].parent).scalars == before.scalars


def test_a_missing_plane_is_named(tile: dict[str, Path]) -> None:
    tile["msk"].unlink()
    frame = the_frame(tile["sci"].parent)
    assert frame.bit_table == "-"
    assert "there is no FLAG plane" in frame.notes


def test_without_a_bit_table(tile: dict[str, Path]) -> None:
    frame = the_frame(tile["sci"].parent, options={"bit_table": "-"})
    with open_frame(frame, ["FLAG"]) as opened:
        assert opened.bits is None
    assert any("no bit table" in note for note in frame.notes)


def _floats(path: Path) -> None:
    with fits.open(path) as hdus:
        header, data = hdus[0].header, hdus[0].data.astype(np.float32)
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True, checksum=True)


def _smaller(path: Path) -> None:
    with fits.open(path) as hdus:
        header, data = hdus[0].header, hdus[0].data[:-1].copy()
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True, checksum=True)


def _other_copy(path: Path) -> None:
    (path.parent / "b").mkdir()
    shutil.copy(path, path.parent / "b")
    rewrite(path.parent / "b" / path.name, set_cards(0, PSF_FWHM=0.9))


FAULTS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "truncated": ("sci", lambda path: path.write_bytes(path.read_bytes()[:-2880]), "cut"),
    "another size": ("wei", _smaller, "must have one shape"),
    "another place": ("wei", lambda path: rewrite(path, set_cards(0, CRVAL1=53.5)), "must have one WCS"),
    "flags of floats": ("msk", _floats, "BITPIX of a flag plane must be one of integers"),
    "zero point": ("sci", lambda path: rewrite(path, set_cards(0, PHOTZP="bright")), "PHOTZP must be a number"),
    "seeing": ("sci", lambda path: rewrite(path, set_cards(0, PSF_FWHM=-1.0)), "PSF_FWHM must be positive"),
    "number": ("sci", lambda path: rewrite(path, set_cards(0, NCOMBINE=4.5)), "NCOMBINE must be an integer"),
    "total time": ("sci", lambda path: rewrite(path, set_cards(0, TEXPTIME=100.0)), "must be at least that of a pixel"),
    "no WCS": ("sci", lambda path: rewrite(path, set_cards(0, CRVAL1=None)), "CRVAL1 must be present"),
    "another tile": ("wei", lambda path: rewrite(path, set_cards(0, OBJECT="KIDS_1.0_2.0")), "OBJECT must be KIDS_"),
    "another band": ("msk", lambda path: rewrite(path, set_cards(0, FILTER="g_SDSS")), "FILTER must be that of"),
    "two files": ("sci", _other_copy, "must be copies"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused_by_name(tile: dict[str, Path], fault: str) -> None:
    what, spoil, rule = FAULTS[fault]
    spoil(tile[what])
    reason = refusal(tile[what].parent)
    assert rule in reason
    assert tile[what].name in reason


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"keywords": {"Sky": "X"}}, "must give keywords to some of"),
        ({"keywords": {"Noise": 3}}, "keywords.Noise must be a header keyword"),
        ({"bit_table": "nothing"}, "bit table must be one of"),
        ({"form": "DR4"}, "options of reader kids must be among"),
    ],
)
def test_wrong_options(folder: Path, options: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        scan(folder, options)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a folder"):
        scan(tmp_path / "nothing")
    with pytest.raises(InputError, match="must hold files named"):
        scan(tmp_path)
