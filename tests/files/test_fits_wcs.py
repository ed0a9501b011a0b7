"""The WCS that is passed on says what the full header says, for every kind that is accepted."""

from pathlib import Path
from typing import Any

import astropy
import numpy as np
import pytest
from astropy.io.fits import Header
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area

import readers_helpers as write
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.wcs import CelestialWcs, read_wcs

SIP = {
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "A_ORDER": 2,
    "B_ORDER": 2,
    "A_2_0": 1e-6,
    "B_1_1": -2e-6,
}
TPV = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV2_1": 1.0, "PV1_7": 0.3, "PV2_4": -0.2}
ROTATED = {"CD1_1": -2e-5, "CD1_2": 1.5e-5, "CD2_1": 1.5e-5, "CD2_2": 2e-5}
NO_CD = dict.fromkeys(["CD1_1", "CD1_2", "CD2_1", "CD2_2"])
DELT = {**NO_CD, "CDELT1": -3e-5, "CDELT2": 2e-5}
SWAPPED = {
    "CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": -51.5, "CRVAL2": 57.0,
    "CD1_1": 0.0, "CD1_2": 2.7e-5, "CD2_1": -2.7e-5, "CD2_2": 0.0,
}  # fmt: skip


def cards_of(**changes: Any) -> Cards:
    values = {**write.WCS_CARDS, "FILTER": "VIS", **changes}
    return Cards(Header({key: value for key, value in values.items() if value is not None}), "file[0]")


def accepted(**changes: Any) -> CelestialWcs:
    return read_wcs(cards_of(**changes), write.SHAPE)


@pytest.mark.parametrize(
    "changes",
    [
        {}, SIP, TPV, ROTATED, DELT, SWAPPED, {**DELT, "CROTA2": 33.0},
        {**DELT, "PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8},
        {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "PV2_1": 0.1, "PV2_2": -0.05},
        {"CTYPE1": "RA---ZEA", "CTYPE2": "DEC--ZEA"}, {"LONPOLE": 170.0}, {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR"},
    ],
)  # fmt: skip
def test_the_few_cards_are_enough(changes: dict[str, Any]) -> None:
    cards = cards_of(**changes)
    found = read_wcs(cards, write.SHAPE)
    assert "FILTER" not in found.cards
    x, y = np.meshgrid(np.arange(0, 60, 7.0), np.arange(0, 41, 5.0))
    full = WCS(cards.header)
    sky = np.array(found.wcs.all_pix2world(x, y, 0))
    assert np.array_equal(sky, np.array(full.all_pix2world(x, y, 0)))
    assert found.scale_arcsec == pytest.approx(3600 * proj_plane_pixel_area(full) ** 0.5, rel=1e-9)


def test_scamp_headers_are_tpv() -> None:
    scamp = {key: value for key, value in TPV.items() if not key.startswith("CTYPE")}
    found = accepted(**scamp)
    assert any("TPV" in note for note in found.notes)
    assert np.array_equal(found.wcs.all_pix2world(3, 4, 0), accepted(**TPV).wcs.all_pix2world(3, 4, 0))
    with pytest.raises(InputError, match="distortion terms of both axes"):
        accepted(PV1_1=1.0)


def test_notes() -> None:
    assert accepted().notes == ()
    assert accepted(**SWAPPED).notes == ()
    assert "mirrored" in accepted(CD2_2=-2.777777777778e-05).notes[0]
    assert "mirrored" in accepted(**{**SWAPPED, "CD1_2": -2.7e-5}).notes[0]
    assert "FK5" in accepted(RADESYS="FK5").notes[0]
    assert "FK5" in accepted(RADESYS=None).notes[0]
    assert accepted(RADESYS=None, EQUINOX=None).notes == ()


def test_attributes_of_iraf_that_repeat_ctype_are_passed_over() -> None:
    plain = accepted(**TPV)
    attributes = {
        "WAT0_001": "system=image",
        "WAT1_001": "wtype=tpv axtype=ra",
        "WAT2_001": "wtype=tpv axtype=dec",
    }
    assert accepted(**TPV, **attributes).cards == plain.cards


def test_numbers_in_strings_are_numbers() -> None:
    assert accepted(CRVAL1="57.2045662").wcs.wcs.crval[0] == 57.2045662


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"CRVAL2": -91.0}, "CRVAL2 must be a declination"),
        ({"CRPIX1": 1e30}, "must"),
        ({**TPV, "PV1_7": float("1e300")}, "must"),
        ({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": 1e9}, "must"),
        ({**DELT, "CDELT1": 0.0}, "must not be singular"),
        ({**DELT, "PC1_1": 1.0, "PC1_2": 1.0, "PC2_1": 1.0, "PC2_2": 1.0}, "must not be singular"),
        ({"WAT1_001": "wtype=tnx"}, "must not be present"),
        ({"WAT1_001": "wtype=tnx axtype=ra"}, "must not be present"),
        ({"WAT1_001": 'wtype=tan axtype=ra lngcor = "3. 4. 4. 2."'}, "must not be present"),
    ],
)
def test_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        accepted(**changes)


STANDARD = Path(astropy.__file__).parent / "wcs" / "tests" / "data" / "maps"


@pytest.mark.parametrize("path", sorted(STANDARD.glob("1904-66_*.hdr")), ids=lambda path: path.stem[8:])
def test_every_standard_projection(path: Path) -> None:
    raw = path.read_bytes()
    header = Header.fromstring(raw) if b"\n" not in raw[:200] else Header.fromtextfile(str(path))
    found = read_wcs(Cards(header, path.name), (192, 192))
    x, y = np.meshgrid(np.arange(40, 150, 11.0), np.arange(40, 150, 11.0))
    assert np.array_equal(
        found.wcs.all_pix2world(x, y, 0), WCS(header).all_pix2world(x, y, 0), equal_nan=True
    )


def test_the_old_name_of_the_frame() -> None:
    assert accepted(RADESYS=None, RADECSYS="ICRS").wcs.wcs.radesys == "ICRS"


def test_the_same_cards_are_judged_once_and_others_anew() -> None:
    header = cards_of().header

    def read(shape: tuple[int, int] = (100, 100), **changes: Any) -> CelestialWcs:
        other = Header(header, copy=True)
        other.update(changes)
        return read_wcs(Cards(other, "x", other.tostring().encode()), shape)

    first = read()
    assert read(EXPTIME=3.0) is first
    assert read((100, 101)) is not first
    assert read(CRVAL1=11.0).wcs.wcs.crval[0] == 11.0
    with pytest.raises(InputError, match="CD1_1 must be a number"):
        read(CD1_1="x")
