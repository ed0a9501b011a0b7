"""Reader `decam` on DESDM files: CCDs of an exposure, coadded tiles, both with and without Euclid descriptors."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from decam_helpers import (
    PIXELS,
    REAL_DESDM,
    SKY,
    Part,
    look,
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
from vmpz.readers import detectors_of, open_frame
from vmpz.simulate import decamcp as sim
from vmpz.simulate import desdm as sim_des

SHOT = sim.desdm_shot(SKY)
BAND = next(iter(sim.CAMERA.bands.values()))
NAMES = sorted(sim_des.DESDM_CCDS, key=lambda name: sim.CCDS[name])
AREA = f"D{sim.exposure_number(SHOT):08d}"
PLANES = ("IMAGE", "FLAG", "RMS")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("desdm")
    sim_des.write_single_epoch(place / "red", SKY, pixels=PIXELS)
    sim_des.write_coadd(place / "coadd", SKY)
    return place


@pytest.fixture
def files(folder: Path, tmp_path: Path) -> dict[str, Path]:
    """Copies of the single-epoch files: name of the CCD to file."""
    shutil.copytree(folder / "red", tmp_path, dirs_exist_ok=True)
    return {name: tmp_path / sim_des.single_epoch_name(SHOT, name) for name in NAMES}


@pytest.fixture
def tile(folder: Path, tmp_path: Path) -> Path:
    """A copy of the coadd."""
    name = sim_des.coadd_name(SKY, BAND)
    shutil.copy(folder / "coadd" / name, tmp_path / name)
    return tmp_path / name


# -- exposures --------------------------------------------------------------------------------------------------


def test_every_scalar_of_every_row(folder: Path) -> None:
    ref = the_frame(folder, forms=["desdm"])
    assert (ref.area, ref.band, ref.release, ref.bit_table) == (AREA, "DECAM_r", "r3630p01", "desdm")
    assert set(ref.planes) == set(PLANES)
    exposures = ref.exposures
    assert exposures is not None
    assert exposures.ids == tuple(f"{AREA}[c{sim.CCDS[name]:02d}]" for name in NAMES)
    for row, name in enumerate(NAMES):
        one, seen = sim.CAMERA.detectors[place_of(name)], look(SHOT, name)
        expected = {
            "ExposureTime": 90.0,
            "MJD": SHOT.middle_mjd,
            "Airmass": round(sim.airmass(SHOT), 2),
            "Seeing": SHOT.fwhm_arcsec,
            "Background": sim.sky_level(SHOT, one) * sim.GAIN,
            "Noise": seen.rms * sim.GAIN,
            "Weight": (seen.rms * sim.GAIN) ** -2,
            "Zeropoint": sim.zero_point_mag(SHOT) + 2.5 * np.log10(sim.GAIN),
            "SiteLon": -70.81489,
            "SiteLat": -30.16606,
            "PointingLon": SHOT.lon_deg,
            "PointingLat": SHOT.lat_deg,
        }
        assert set(exposures.scalars) == {*expected, "PixelScale"}
        for quantity, value in expected.items():
            assert exposures.scalars[quantity][row] == pytest.approx(value, rel=1e-6), quantity
    assert np.abs(exposures.scalars["MJD"] - SHOT.middle_mjd).max() < 1e-8
    assert ref.scalars["zero_point"] == exposures.scalars["Zeropoint"][0]


def test_planes_and_flags_of_a_detector(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opens = Opens(monkeypatch)
    ref = the_frame(folder, forms=["desdm"])
    opens.taken()
    images = detectors_of(ref, [2, 0])
    assert {Path(path).name for path in opens.taken()} == {
        sim_des.single_epoch_name(SHOT, NAMES[row]) for row in (2, 0)
    }
    for image, row in zip(images, (2, 0), strict=True):
        assert image.scalars["zero_point"] == ref.scalars["zero_point"]
        assert image.scalars["saturate"] > 0
        seen = look(SHOT, NAMES[row])
        with open_frame(image, PLANES) as frame:
            planes = {name: plane.read(0, PIXELS) for name, plane in frame.planes.items()}
        null = seen.roles["column"] | seen.roles["edge"]
        assert planes["RMS"][~null] == pytest.approx(np.float32(seen.rms * sim.GAIN), rel=1e-6)
        assert np.all(planes["RMS"][null] >= 1e15)
        for role, name in sim_des.ROLES.items():
            mask = bit_table("desdm").select([name]).mask
            assert np.array_equal(planes["FLAG"] & mask != 0, seen.roles[role]), name


def test_the_common_rules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_reader("decam", folder, {"forms": ["desdm"]}, monkeypatch)


def test_only_selected_planes_are_listed(folder: Path) -> None:
    ref = the_frame(folder, forms=["desdm"], planes=["RMS"])
    assert set(ref.planes) == {"RMS"}
    assert ref.bit_table == "-"
    (image,) = detectors_of(ref, [1])
    assert set(image.planes) == {"RMS"}
    assert ref.exposures == the_frame(folder, forms=["desdm"]).exposures
    none = the_frame(folder, forms=["desdm"], planes=[])
    assert (none.planes, none.bit_table, none.exposures) == ({}, "-", ref.exposures)


def test_the_size_is_that_of_all_files(folder: Path) -> None:
    ref = the_frame(folder, forms=["desdm"])
    total = sum(path.stat().st_size for path in (folder / "red").iterdir())
    assert {file.size for file in ref.planes.values()} == {total}


def test_nothing_unselected_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opens = Opens(monkeypatch)
    assert not scan(folder, bands=["DECAM_i"]).frames
    assert not scan(folder, tiles=["D00000001"]).frames
    assert not scan(folder, forms=["community"]).frames
    assert not opens.taken()
    assert [ref.area for ref in scan(folder, bands=["DECAM_r"])] == [AREA]
    assert all("immasked" in path for path in opens.taken())


def test_the_order_of_extensions_means_nothing(files: dict[str, Path]) -> None:
    before = the_frame(files["S4"].parent)
    rewrite(files["S4"], lambda parts: [parts[0], parts[3], parts[1], parts[2]])
    after = the_frame(files["S4"].parent)
    assert after.exposures == before.exposures
    with open_frame(detectors_of(after, [NAMES.index("S4")])[0], ["FLAG", "RMS"]) as frame:
        seen = look(SHOT, "S4")
        assert np.array_equal(frame.planes["FLAG"].read(0, PIXELS), sim_des.mask_words(seen.roles))
        assert frame.planes["RMS"].read(0, PIXELS).min() == pytest.approx(seen.rms * sim.GAIN, rel=1e-6)


def test_without_a_zero_point_it_is_unknown(files: dict[str, Path]) -> None:
    for path in files.values():
        rewrite(path, set_cards(1, MAG_ZERO=None))
    ref = the_frame(files["S4"].parent)
    assert ref.exposures is not None
    assert "Zeropoint" not in ref.exposures.scalars
    assert any("no Zeropoint of 4 of 4" in note for note in ref.notes)
    assert "zero_point" not in detectors_of(ref, [0])[0].scalars


def no_planes(parts: list[Part]) -> Any:
    return parts[:1]


def two_masks(parts: list[Part]) -> Any:
    return [*parts, parts[2].copy()]


FAULTS: list[tuple[Callable[[list[Part]], Any], str]] = [
    (no_planes, "must have an HDU SCI, MSK or WGT"),
    (two_masks, "must be the only FLAG plane"),
    (lambda parts: parts[:3], "must have planes IMAGE, FLAG, RMS"),
    (set_cards(1, CCDNUM=5), "CCDNUM must be as the file name"),
    (set_cards(1, CCDNUM=None), "CCDNUM must be present"),
    (set_cards(1, EXPNUM=5), "EXPNUM must be that of"),
    (set_cards(1, FILTER="g DECam SDSS c0001 4720.0 1520.0"), "FILTER must be DECAM_r"),
    (set_cards(1, MAG_ZERO="bright"), "MAG_ZERO must be a number"),
    (set_cards(1, MAGZERO=30.0), "zero points must agree"),
    (set_cards(1, EXPTIME=-1.0), "EXPTIME must be positive"),
    (set_cards(1, MJD__OBS="soon"), "MJD-OBS must be a number"),
    (set_cards(2, ZBITPIX=-32), "BITPIX of a flag plane"),
    (set_cards(3, ZNAXIS=1), "must hold an image of two axes"),
    (set_cards(3, CRVAL2=-27.0), "must have one WCS"),
]


@pytest.mark.parametrize(("change", "rule"), FAULTS)
def test_faults(files: dict[str, Path], change: Callable[[list[Part]], Any], rule: str) -> None:
    rewrite(files["N4"], change)
    reason = refusal(files["N4"].parent)
    assert rule in reason
    assert files["N4"].name in reason


def test_two_files_of_one_ccd(files: dict[str, Path]) -> None:
    again = files["N4"].parent / "again" / files["N4"].name
    again.parent.mkdir()
    shutil.copy(files["N4"], again)
    assert any("are copies" in note for note in the_frame(files["N4"].parent).notes)
    rewrite(again, set_cards(1, SKYBRITE=0.0))
    assert "must be one file or copies of it" in refusal(files["N4"].parent)


def test_of_two_attempts_the_later_is_taken(files: dict[str, Path]) -> None:
    for path in files.values():
        shutil.copy(path, path.with_name(path.name.replace("p01", "p12")))
    assert [ref.release for ref in scan(files["N4"].parent)] == ["r3630p12"]


def test_a_file_that_changed_is_told(files: dict[str, Path]) -> None:
    ref = the_frame(files["N4"].parent)
    rewrite(files["N4"], set_cards(2, DETPOS="changed"))
    detectors_of(ref, [0])
    with pytest.raises(InputError, match="must be the file that was listed"):
        detectors_of(ref, [NAMES.index("N4")])


# -- Euclid form ------------------------------------------------------------------------------------------------


def descriptor(product: str, file: str, body: str = "", band: str = "DECAM_r") -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<d:{product} xmlns:d="http://example.org/des"><Header><DataSetRelease>EXT_R2</DataSetRelease>
<CreationDate>2026-02-03T04:05:06.000Z</CreationDate></Header><Data><Instrument><InstrumentName>DECam</InstrumentName>
</Instrument><Filter><Name>{band}</Name></Filter>{body}
<DataStorage format="ext.des"><DataContainer filestatus="COMMITTED"><FileName>{file}</FileName></DataContainer>
</DataStorage></Data></d:{product}>
"""


BODY = """<ZeroPoint><Value>31.5</Value></ZeroPoint><CCDNumber>{ccd}</CCDNumber><Saturate>60000.0</Saturate>
<Observation><Telra>03:32:10.459</Telra><Teldec>-27:59:59.958</Teldec><HourAngle>-03:00:00.0</HourAngle>
<ZenithDistance>40.1</ZenithDistance><AirMass>1.307</AirMass></Observation>"""
LACKING = {"MAG_ZERO": None, "AIRMASS": None, "TELRA": None, "TELDEC": None}


def euclid_form(files: dict[str, Path], **cards: Any) -> Path:
    """The same files under other names, image in the primary HDU, each with a descriptor."""
    root = next(iter(files.values())).parent
    for name, path in files.items():
        rewrite(path, set_cards(1, **{**LACKING, **cards}))
        with fits.open(path) as hdus:
            sci = fits.PrimaryHDU(hdus[1].data, hdus[1].header)
            others = [fits.ImageHDU(hdu.data, hdu.header) for hdu in hdus[2:]]
            whole = fits.HDUList([sci, *others])
            for hdu in whole:
                hdu.header.remove("EXTNAME")
            whole.writeto(root / f"EUC_EXT_DES_{name}.fits")
        path.unlink()
        text = descriptor(
            "DpdExtDesCalibratedFrame", f"EUC_EXT_DES_{name}.fits", BODY.format(ccd=sim.CCDS[name])
        )
        (root / f"{name}.xml").write_text(text)
    return root


def test_descriptors_fill_what_headers_lack(files: dict[str, Path]) -> None:
    plain = the_frame(next(iter(files.values())).parent)
    root = euclid_form(files)
    ref = the_frame(root)
    assert (ref.area, ref.band, ref.release) == (AREA, "DECAM_r", "EXT_R2")
    assert ref.created == "2026-02-03T04:05:06.000000"
    assert ref.exposures is not None
    assert plain.exposures is not None
    found = ref.exposures.scalars
    assert found["Zeropoint"].tolist() == [31.5] * 4
    assert found["Airmass"].tolist() == [1.307] * 4
    assert found["PointingLon"] == pytest.approx(15.0 * (3 + 32 / 60 + 10.459 / 3600))
    assert found["PointingLat"] == pytest.approx(-(27 + 59 / 60 + 59.958 / 3600))
    for name in ("Noise", "Seeing", "MJD", "PixelScale"):
        assert np.array_equal(found[name], plain.exposures.scalars[name])
    (image,) = detectors_of(ref, [1])
    assert image.scalars["zero_point"] == 31.5
    with open_frame(image, PLANES) as frame:
        seen = look(SHOT, NAMES[1])
        assert np.array_equal(frame.planes["FLAG"].read(0, PIXELS), sim_des.mask_words(seen.roles))


def test_headers_come_first(files: dict[str, Path]) -> None:
    ref = the_frame(euclid_form(files, AIRMASS=1.25, MAG_ZERO=31.50005))
    assert ref.exposures is not None
    assert set(ref.exposures.scalars["Airmass"]) == {1.25}
    assert set(ref.exposures.scalars["Zeropoint"]) == {31.5}


def test_a_descriptor_beside_files_with_published_names(files: dict[str, Path]) -> None:
    for name, path in files.items():
        rewrite(path, set_cards(1, **LACKING))
        text = descriptor("DpdExtDesCalibratedFrame", path.name, BODY.format(ccd=sim.CCDS[name]))
        path.with_name(f"{name}.xml").write_text(text)
    ref = the_frame(files["N4"].parent)
    assert (ref.release, ref.scalars["zero_point"]) == ("r3630p01", 31.5)


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (">31.5<", ">31.6<", "zero points must agree"),
        (">31.5<", ">many<", "ZeroPoint/Value must be a finite number"),
        ("<CCDNumber>35<", "<CCDNumber>36<", "CCDNUM must be as the file name"),
        ("<Name>DECAM_r<", "<Name>DECAM_g<", "FILTER must be DECAM_g"),
        (">1.307<", ">thick<", "AirMass must be a finite number"),
        ("EUC_EXT_DES_N4", "EUC_EXT_DES_N5", "FileName must exist"),
        ("EUC_EXT_DES_N4", "../EUC_EXT_DES_N4", "must be a plain name"),
    ],
)
def test_wrong_descriptors(files: dict[str, Path], old: str, new: str, rule: str) -> None:
    root = euclid_form(files, MAG_ZERO=31.5)
    path = root / "N4.xml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    reasons = [item.reason for item in scan(root).refused]
    assert len(reasons) == 1
    assert rule in reasons[0]


# -- coadds -----------------------------------------------------------------------------------------------------


def test_a_coadd_is_an_image(folder: Path) -> None:
    ref = the_frame(folder, forms=["coadd"])
    pixels = sim_des.COADD_PIXELS
    assert (ref.area, ref.band, ref.instrument) == (sim_des.tile_name(SKY), "DECAM_g", "DECAM")
    assert (ref.shape, ref.exposures, ref.bit_table, ref.release) == (
        (pixels, pixels),
        None,
        "desdm",
        "r2590p01",
    )
    assert ref.has_grid
    assert ref.scalars == pytest.approx({"zero_point": 30.0, "pixel_scale_arcsec": 2630.0 / pixels})
    assert ref.outline().area_deg2 == pytest.approx((2630.0 / 3600.0) ** 2, rel=1e-4)
    assert detectors_of(ref, [0]) == [ref]
    with open_frame(ref, PLANES) as frame:
        planes = {name: plane.read(0, pixels) for name, plane in frame.planes.items()}
    empty = np.zeros((pixels, pixels), bool)
    empty[:, : pixels // sim_des.EMPTY_SHARE] = True
    assert np.array_equal(planes["FLAG"] == 1, empty)
    assert np.array_equal(planes["RMS"] >= 1e15, empty)
    assert planes["RMS"][~empty] == pytest.approx(sim_des.coadd_rms(BAND, pixels), rel=1e-6)
    assert planes["IMAGE"][~empty].std() == pytest.approx(sim_des.coadd_rms(BAND, pixels), rel=0.05)


def test_coadds_pass_the_common_rules(tile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_reader("decam", tile.parent, {}, monkeypatch)


def test_a_described_coadd_of_any_name(tile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(tile, set_cards(1, MAGZERO=None))
    tile.rename(tile.with_name("EUC_EXT_DES_STACK.fits.fz"))
    body = "<ZeroPoint><Value>30.0</Value></ZeroPoint><Saturate>9e4</Saturate>"
    text = descriptor("DpdExtDesStackedFrame", "EUC_EXT_DES_STACK.fits.fz", body, band="DECAM_g")
    (tile.parent / "stack.xml").write_text(text)
    ref = the_frame(tile.parent)
    assert (ref.area, ref.release, ref.scalars["zero_point"]) == (sim_des.tile_name(SKY), "EXT_R2", 30.0)
    assert "XML" in ref.tables
    check_reader("decam", tile.parent, {}, monkeypatch)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (set_cards(1, MAGZERO=None), "MAGZERO (or ZeroPoint in a descriptor) must be present"),
        (set_cards(1, MAGZERO="high"), "MAGZERO must be a number"),
        (set_cards(1, TILENAME=None), "TILENAME must be present"),
        (set_cards(1, TILENAME="DES0000+0000"), "TILENAME must be DES"),
        (set_cards(1, FILTER="r DECam SDSS c0002 6415.0 1480.0"), "FILTER must be DECAM_g"),
        (set_cards(1, FILTER=None, BAND="r"), "BAND must be DECAM_g"),
        (set_cards(2, ZBITPIX=-32), "BITPIX of a flag plane"),
        (set_cards(3, CRPIX1=40.0), "must have one WCS"),
        (no_planes, "must have an HDU SCI"),
    ],
)
def test_faults_of_a_coadd(tile: Path, change: Callable[[list[Part]], Any], rule: str) -> None:
    rewrite(tile, change)
    assert rule in refusal(tile.parent)


def test_a_truncated_coadd(tile: Path) -> None:
    tile.write_bytes(tile.read_bytes()[:-2880])
    assert "cut" in refusal(tile.parent)


def test_all_forms_in_one_folder_in_order(folder: Path) -> None:
    manifest = scan(folder)
    assert not manifest.refused
    assert [ref.area for ref in manifest] == [AREA, sim_des.tile_name(SKY)]
    assert {ref.area for ref in scan(folder, tiles=[AREA])} == {AREA}


# -- the real thing ---------------------------------------------------------------------------------------------


def test_the_mapping_of_a_real_header() -> None:
    """One position as esutil's own test of this header has it; RAC1 ... DECC4 are of an earlier solution."""
    wcs = read_wcs(Cards(fits.Header(REAL_DESDM), "real"), (4096, 2048)).wcs
    lon, lat = wcs.all_pix2world(1434.318593617967, 1790.0870452056042, 1)
    assert (lon, lat) == pytest.approx((0.00010227173946750857, -58.251664526579034), abs=1e-9)
    lon, lat = wcs.all_pix2world([1, 2048, 2048, 1], [1, 1, 4096, 4096], 1)
    assert lon == pytest.approx(
        [359.749291645411, 359.753406915197, 0.321503005309369, 0.314815880180505], abs=7e-5
    )
    assert lat == pytest.approx(
        [-58.1495089297263, -58.2990136873104, -58.2925345335529, -58.1431129833383], abs=7e-5
    )
