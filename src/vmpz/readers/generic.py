"""Reader `generic`: any image with a celestial WCS, and its noise and flags in any of the usual forms.

Files are joined by patterns with one free part, `{id}`, which becomes the area of the frame::

    [[inputs]]
    reader = "generic"
    location = "images"
    [inputs.options]
    image = "{id}_sci.fits"            # at least one plane
    weight = "{id}_wht.fits[1]"        # or rms, variance, inverse_variance; [HDU number or EXTNAME]
    flag = "{id}_sci.fits[MASK]"
    background = "{id}_bkg.fits"
    bit_table = "desdm"                # a shipped table or a .toml file, which also says whether flags are codes
    band = "header:FILTER"             # text as it is, or the value of a header keyword
    instrument = "DECAM"
    zero_point = "header:MAGZERO"      # or a number; likewise exposure_time_s, gain, saturate, psf_fwhm_arcsec

There is no default zero point. Without an HDU the first image of the file is taken. Keywords are looked up in the
header of the first plane, then in the primary header of its file.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import MAX_PIXELS, FitsFile, open_fits
from vmpz.files.hdu import Hdu
from vmpz.files.wcs import wcs_images
from vmpz.frames import FileRef, Frame, FrameRef, Plane, Refused
from vmpz.readers.common import (
    GridCheck,
    canonical_plane,
    check_options,
    file_ref,
    grid_of,
    is_wanted,
    number_option,
    rms_of,
)
from vmpz.readers.headerbits import bits_of, header_bits, join_table

__all__ = ["open_frame", "scan"]

NOISE = ("rms", "weight", "inverse_variance", "variance")
PLANES = {"image": "IMAGE", **dict.fromkeys(NOISE, "RMS"), "flag": "FLAG", "background": "BACKGROUND"}
"""Option to the canonical plane it gives."""
SCALARS = ("zero_point", "exposure_time_s", "gain", "saturate", "psf_fwhm_arcsec")
TEXTS = ("band", "instrument", "telescope", "release", "created", "date_obs", "date_end")
OPTIONS = (*PLANES, *SCALARS, *TEXTS, "bit_table", "max_pixels")


class Pattern(NamedTuple):
    """Where a plane is: a file-name pattern with `{id}`, and an HDU (None: the first image)."""

    name: str
    hdu: int | str | None

    def path(self, folder: Path, area: str) -> Path:
        """The file of one frame."""
        return folder / self.name.replace("{id}", area)

    def areas(self, folder: Path) -> Iterator[str]:
        """Values of `{id}` among the files of a folder, ascending."""
        before, _, after = self.name.partition("{id}")
        expression = re.compile(f"{re.escape(before)}(.+){re.escape(after)}")
        found = (
            expression.fullmatch(str(path.relative_to(folder)))
            for path in folder.rglob("*")
            if path.is_file()
        )
        yield from sorted({match[1] for match in found if match})


def scan(location: str, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    """Frames of a folder, from headers alone.

    Parameters
    ----------
    location : str
        A folder, or one file, whose name then is the area and whose planes are all in it unless patterns say otherwise.
    options : mapping
        See the module.

    Yields
    ------
    FrameRef or Refused
        In order of area.

    Raises
    ------
    InputError
        The location or an option is not what it must be.
    """
    check_options(options, OPTIONS, "generic")
    folder, patterns = _patterns(Path(location), options)
    first = next(iter(patterns.values()))
    areas = list(first.areas(folder)) if "{id}" in first.name else [Path(first.name).name.split(".")[0]]
    for area in areas:
        if not is_wanted(options, "tiles", area):
            continue
        try:
            ref = _frame(area, folder, patterns, options)
        except InputError as error:
            yield Refused(area, *_literal(options), str(error))
            continue
        if is_wanted(options, "bands", ref.band) and is_wanted(options, "instruments", ref.instrument):
            yield ref


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open the planes asked for; noise comes out as RMS whatever its form.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    limit = int(ref.options["max_pixels"])
    with ExitStack() as stack:
        opened: dict[str, Plane] = {}
        for name in [name for name in ref.planes if name in planes]:
            noise = ref.options["noise"]
            convert = rms_of(noise) if name == "RMS" and noise != "rms" else None
            opened[name] = canonical_plane(ref.planes[name], name, convert, limit)
            stack.callback(opened[name].close)
        stack.pop_all()
    return Frame(ref, opened, bits=bits_of(ref))


def _patterns(location: Path, options: Mapping[str, Any]) -> tuple[Path, dict[str, Pattern]]:
    """Folder and the pattern of each plane given."""
    given = {option: options[option] for option in PLANES if options.get(option) is not None}
    if location.is_file():
        given.setdefault("image", location.name)
        location = location.parent
    elif not location.is_dir():
        raise InputError(f"{location}: must be a folder or a file, found neither")
    if not given:
        raise InputError(f"reader generic needs at least one of the options {', '.join(PLANES)}")
    if sum(option in NOISE for option in given) > 1:
        raise InputError(f"reader generic takes one of the options {', '.join(NOISE)}, found several")
    return location, {option: _pattern(option, text) for option, text in given.items()}


def _pattern(option: str, text: Any) -> Pattern:
    match = re.fullmatch(r"([^\[\]]+?)(?:\[([^\[\]]+)\])?", text) if isinstance(text, str) else None
    if (
        match is None
        or text.count("{id}") > 1
        or Path(match[1]).is_absolute()
        or ".." in Path(match[1]).parts
    ):
        raise InputError(
            f"reader option {option} must be a file pattern like '{{id}}_sci.fits[1]', found {text!r}"
        )
    hdu = match[2]
    return Pattern(match[1], int(hdu) if hdu and hdu.isdigit() else hdu)


@dataclass
class _Collected:
    """What the headers of one frame say."""

    planes: dict[str, FileRef]
    grids: list[GridCheck]
    values: dict[str, Any]
    flag_bits: dict[str, int]


def _frame(area: str, folder: Path, patterns: Mapping[str, Pattern], options: Mapping[str, Any]) -> FrameRef:
    limit = int(number_option(options, "max_pixels", MAX_PIXELS))
    found = _Collected({}, [], {}, {})
    wanted = {key: pattern for key, pattern in patterns.items() if is_wanted(options, "planes", PLANES[key])}
    for option, pattern in wanted.items():
        path = pattern.path(folder, area)
        if not found.grids or path.exists():
            _read_header(path, pattern.hdu, option, options, found, limit)
    if not found.grids:
        raise InputError(f"{area}: must have at least one plane among those selected")
    first, values = found.grids[0], found.values
    table = str(options.get("bit_table") or "-") if "FLAG" in found.planes else "-"
    instrument = values.get("instrument", "-")
    joined = join_table(None if table == "-" else bit_table(table), found.flag_bits, instrument, first.where)
    notes = [f"the plane `{option}` is missing" for option in wanted if PLANES[option] not in found.planes]
    if "FLAG" in found.planes and joined is None:
        notes.append("flags have no bit table, so no flag names can be used")
    if "weight" in wanted:
        notes.append("the weight is taken as an inverse variance")
    noise = next((option for option in NOISE if option in patterns), "rms")
    return FrameRef(
        reader="generic",
        area=area,
        shape=first.shape,
        wcs_cards=first.wcs.cards,
        planes=found.planes,
        scalars={
            **{key: values[key] for key in SCALARS if key in values},
            "pixel_scale_arcsec": first.wcs.scale_arcsec,
        },
        bit_table=table,
        notes=(*notes, *first.wcs.notes),
        options={"noise": noise, "max_pixels": limit, "flag_bits": found.flag_bits},
        **{key: values.get(key, "-" if key in ("band", "instrument") else "-1") for key in TEXTS},
    )


def _read_header(
    path: Path,
    which: int | str | None,
    option: str,
    options: Mapping[str, Any],
    found: _Collected,
    limit: int,
) -> None:
    """One plane: its place, its grid, and of the first one the values that the options ask for."""
    with open_fits(str(path), limit) as file:
        hdu = file.image() if which is None else file.hdu(which)
        found.grids.append(_grid(hdu, found.grids))
        found.planes[PLANES[option]] = file_ref(file, hdu)
        if option == "flag":
            found.flag_bits = header_bits(hdu.cards)
            if hdu.bitpix < 0:
                raise hdu.cards.error("BITPIX", "of a flag plane must be one of integers")
        if len(found.grids) == 1:
            found.values = _values(file, hdu, options)


def _grid(hdu: Hdu, grids: list[GridCheck]) -> GridCheck:
    """Grid of a plane; one without any WCS card takes that of the first plane if the shape agrees."""
    if not grids or wcs_images(hdu.header_bytes):
        return grid_of(hdu, grids)
    grid = grids[0]._replace(where=hdu.where, shape=hdu.shape)
    grids[0].require_same(grid)
    return grid


def _values(file: FitsFile, hdu: Hdu, options: Mapping[str, Any]) -> dict[str, Any]:
    """Scalars and texts: as given, or from header keywords."""
    values: dict[str, Any] = {}
    for key in (*SCALARS, *TEXTS):
        given = options.get(key)
        keyword = (
            given.removeprefix("header:") if isinstance(given, str) and given.startswith("header:") else None
        )
        if keyword is not None:
            cards = _cards_with(keyword, file, hdu)
            values[key] = cards.number(keyword) if key in SCALARS else _text(cards, keyword)
        elif given is not None:
            if key in SCALARS and (isinstance(given, bool) or not isinstance(given, int | float)):
                raise InputError(f"reader option {key} must be a number or 'header:KEYWORD', found {given!r}")
            values[key] = float(given) if key in SCALARS else str(given)
    return values


def _cards_with(keyword: str, file: FitsFile, hdu: Hdu) -> Cards:
    return hdu.cards if keyword in hdu.cards or keyword not in file.hdus[0].cards else file.hdus[0].cards


def _text(cards: Cards, keyword: str) -> str:
    value = cards.header.get(keyword)
    return cards.text(keyword) if value is None or isinstance(value, str) else str(value)


def _literal(options: Mapping[str, Any]) -> tuple[str, str]:
    """Instrument and band as far as the options tell them."""
    texts = [str(options.get(key) or "-") for key in ("instrument", "band")]
    instrument, band = ("-" if text.startswith("header:") else text for text in texts)
    return instrument, band
