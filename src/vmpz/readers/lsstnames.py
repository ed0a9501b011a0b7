"""Names of the LSST pipelines: what the files are called, and what their instruments and filters are here.

File names (HSC of the second, LSST and HSC of the third generation of the data butler)::

    CORR-0001234-012.fits                                       a CCD of a visit
    calexp-HSC-I-9813-4,4.fits                                  a patch of a tract
    calexp_LSSTCam-imSim_i_i_sim_1_4_192350_R22_S11_<run>.fits  likewise visit_image_..., preliminary_visit_image_...
    deepCoadd_calexp_4431_17_i_<skymap>_<run>.fits              likewise deep_coadd_...

Anything else in a folder (sources, backgrounds, raw images) is passed by.
"""

import re
from pathlib import Path
from typing import NamedTuple

from vmpz.errors import InputError

__all__ = ["FILTERS", "Name", "band_named", "instrument_named", "name_of", "patch_area"]


class Name(NamedTuple):
    """What a file name tells; '' where it does not.

    `area` is the visit, or tract and patch; `band` the letter or name of the filter without the instrument.
    """

    is_patch: bool | None = None
    area: str = ""
    detector: str = ""
    number: int = -1
    instrument: str = ""
    band: str = ""


ENDING = r"\.(?:fits|fit)(?:\.gz|\.fz)?"
FORMS = (
    re.compile(r"(?:CORR|CALEXP)-(?P<visit>\d+)-(?P<number>\d+)" + ENDING),
    re.compile(r"calexp-(?P<physical>(?:HSC|NB|IB)[-A-Z0-9]+)-(?P<tract>\d+)-(?P<patch>\d+,\d+)" + ENDING),
    re.compile(
        r"(?:calexp|pvi|visit_image|preliminary_visit_image)_(?P<instrument>[A-Za-z][A-Za-z0-9-]*)"
        r"_(?P<band>[A-Za-z][A-Za-z0-9]*)_.+?_(?P<visit>\d+)_(?P<detector>R\d\d_S[A-Z0-9]{2}|\d_\d\d)(?:_.*)?"
        + ENDING
    ),
    re.compile(
        r"(?:deepCoadd_calexp|deepCoadd|deep_coadd)_(?P<tract>\d+)_(?P<patch>\d+)_(?P<band>[A-Za-z][A-Za-z0-9]*)"
        r"(?:_(?P<rest>.*))?" + ENDING
    ),
)

INSTRUMENTS = {
    "LSSTCAM": "LSSTCam",
    "LSST_CAMERA": "LSSTCam",
    "LSSTCAM-IMSIM": "LSSTCam-imSim",
    "LSSTCAM-PHOSIM": "LSSTCam-PhoSim",
    "LSSTCOMCAM": "LSSTComCam",
    "COMCAM": "LSSTComCam",
    "LSSTCOMCAMSIM": "LSSTComCamSim",
    "HSC": "HSC",
    "HYPER SUPRIME-CAM": "HSC",
}
"""Value of a header card, in capitals, to the instrument."""

FILTERS = {
    **{f"HSC-{letter.upper()}": letter for letter in "grizy"},
    "HSC-R2": "r",
    "HSC-I2": "i",
    **{f"W-S-{letter.upper()}+": letter for letter in "griz"},
    "W-S-ZR": "y",
    "ENG-R1": "r",
    **{
        f"{letter}{version}": letter
        for letter in "ugrizy"
        for version in ("", "_sim_1.4", *(f"_{number:02d}" for number in range(1, 8)))
    },
    "u_24": "u",
    "g_6": "g",
    "r_57": "r",
    "i_39": "i",
    "z_20": "z",
    "y_10": "y",
}
"""Physical filter (or band letter) to the letter of the band: HSC, then simulations and ComCam, then LSSTCam."""
NARROW = re.compile(r"(N|I)B(\d{4})")


def name_of(path: Path) -> Name | None:
    """What the name of a file tells; None if it is none of an image of visits or patches."""
    match = next((found for form in FORMS if (found := form.fullmatch(path.name))), None)
    if match is None:
        return None
    part = match.groupdict()
    band = part.get("band") or ""
    if part.get("tract"):
        is_hsc = "physical" in part or "hsc" in (part.get("rest") or "").lower()
        band = band_named(part["physical"]) if part.get("physical") else band
        return Name(True, patch_area(part["tract"], part["patch"]), instrument="HSC" * is_hsc, band=band)
    number = part.get("number")
    instrument = "HSC" if number else part["instrument"]
    return Name(
        False,
        str(int(part["visit"])),
        part.get("detector") or "",
        int(number) if number else -1,
        instrument,
        band,
    )


def patch_area(tract: str, patch: str) -> str:
    """`tract-patch`; a patch given as `x,y` becomes 100 x + y, as in the tables of HSC (4,4 is 404)."""
    x, _, y = patch.rpartition(",")
    return f"{int(tract)}-{100 * int(x) + int(y) if x else int(y)}"


def instrument_named(text: str) -> str:
    """The instrument of a header value.

    Raises
    ------
    InputError
        It is not known.
    """
    name = INSTRUMENTS.get(text.strip().upper())
    if name is None:
        raise InputError(
            f"the instrument must be one of {', '.join(dict.fromkeys(INSTRUMENTS.values()))} (or given by the option "
            f"instrument), found {text!r}"
        )
    return name


def band_named(text: str) -> str:
    """The band of a physical filter, without the instrument: a letter, or N and I with the wavelength in nm.

    Raises
    ------
    InputError
        It is not known.
    """
    narrow = NARROW.fullmatch(text.strip())
    if narrow:
        return f"{narrow[1]}{int(narrow[2])}"
    if text.strip() not in FILTERS:
        raise InputError(
            f"the filter must be one of HSC (HSC-I2...) or LSST (i_39, i_06, i_sim_1.4, i...), or the band be given by "
            f"the option band; found {text!r}"
        )
    return FILTERS[text.strip()]
