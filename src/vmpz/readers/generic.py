"""Reader `generic`: any image with a celestial WCS, and its noise and flags in any of the usual forms.

Files are joined by patterns with one free part, `{id}`, which becomes the area of the frame::

    [[inputs]]
    reader = "generic"
    location = "images"
    [inputs.options]
    image = "{id}_sci.fits"
    weight = "{id}_wht.fits[1]"        # or rms, variance, inverse_variance; [HDU number or EXTNAME]
    flag = "{id}_sci.fits[MASK]"
    background = "{id}_bkg.fits"
    bit_table = "desdm"                # a shipped table or a .toml file, which also says whether flags are codes
    band = "header:FILTER"             # text as it is, or the value of a header keyword
    instrument = "DECAM"
    zero_point = "header:MAGZERO"      # or a number; likewise exposure_time_s, gain, saturate, psf_fwhm_arcsec

At least one plane, band and instrument must be said. There is no default zero point: without it there is no depth.
Without an HDU the first image of the file is taken. Keywords are looked up in the header of the first plane, then in
the primary header of its file. A flag plane counts once a bit table says what its bits mean::

    name = "mine"                      # mybits.toml, beside the parameter file
    version = "1"
    instrument = "DECAM"
    default = ["HOT", "TRAIL"]         # vetoed in coverage and depth, unless [coverage] bits says otherwise
    bits = [
      { number = 1, name = "HOT", meaning = "hot pixel" },
      { number = 4, name = "TRAIL", meaning = "satellite trail" },
    ]

An image is also an exposure where any scalar of exposures is given: options named like quantities (Airmass, Seeing,
MJD, SAA, Background, Exposures = the number that went into a coadd...) or SiteLon, SiteLat, PointingLon, PointingLat,
PositionAngle, PositionX, PositionY, PositionZ, each a number or a keyword. MJD is the middle of the exposure;
`mjd_is` = "start" says that it is the beginning, and half the exposure time is added.

Cameras of several detectors: ``image = "{id}p.fits[*]"``, see `vmpz.readers.genericexposure`.

Tiles of UNIONS in the r band (CFIS, MegaPipe: fluxes at zero point 30)::

    [[inputs]]
    reader = "generic"
    location = "UNIONS"
    [inputs.options]
    image = "CFIS.{id}.r.fits"
    weight = "CFIS.{id}.r.weight.fits.fz[1]"
    band = "MEGACAM_r"
    instrument = "MEGACAM"
    telescope = "CFHT"
    zero_point = 30.0
    ExposureTime = "header:EXPTIME"
    Seeing = 0.7
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.frames import FileRef, Frame, FrameRef, Refused
from vmpz.readers.common import (
    GridCheck,
    check_options,
    file_ref,
    grid_of,
    is_wanted,
    open_planes,
    pixel_limit,
    require_integers,
    rms_of,
)
from vmpz.readers.detectors import exposure_of_image
from vmpz.readers.genericexposure import EVERY, NOISE, PLANES, detector_images, exposure
from vmpz.readers.headerbits import WITHOUT_TABLE, bits_of, header_bits, join_table
from vmpz.readers.optionvalues import (
    SCALARS,
    TEXTS,
    literal,
    middle_of_exposure,
    numbers_of,
    quantities_in,
    texts_of,
)

__all__ = ["detectors", "open_frame", "scan"]

OPTIONS = (*PLANES, *SCALARS, *TEXTS, "mjd_is", "bit_table", "max_pixels")


class Pattern(NamedTuple):
    """Where a plane is: a file-name pattern with `{id}`, and an HDU (None: the first image; '*': every one)."""

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
    check_options(options, (*OPTIONS, *quantities_in(options)), "generic")
    for needed in ("band", "instrument"):
        if not options.get(needed):
            raise InputError(
                f"reader generic needs the option {needed}: a name, or 'header:KEYWORD' for what a header says"
            )
    folder, patterns = _patterns(Path(location), options)
    first = next(iter(patterns.values()))
    areas = list(first.areas(folder)) if "{id}" in first.name else [Path(first.name).name.split(".")[0]]
    for area in areas:
        if not is_wanted(options, "tiles", area):
            continue
        try:
            ref = _frame(area, folder, patterns, options)
        except InputError as error:
            yield Refused(area, *literal(options), str(error))
            continue
        if is_wanted(options, "bands", ref.band) and is_wanted(options, "instruments", ref.instrument):
            yield ref


def detectors(ref: FrameRef, rows: Sequence[int]) -> Sequence[FrameRef]:
    """Images of some detectors of an exposure, by their rows; only headers are read.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    return detector_images(ref, rows)


def open_frame(ref: FrameRef, planes: Collection[str]) -> Frame:
    """Open the planes asked for; noise comes out as RMS whatever its form. An exposure of several detectors has none.

    Raises
    ------
    InputError
        A file is not what it must be or changed since it was listed.
    """
    if not ref.has_grid:
        return Frame(ref, {}, exposures=ref.exposures, bits=bits_of(ref))
    alone = exposure_of_image(ref) if "LAYERS" in planes and "LAYERS" in ref.tables else None
    noise = ref.options["noise"]
    opened = open_planes(ref, planes, {} if noise == "rms" else {"RMS": rms_of(noise)})
    return Frame(ref, opened, exposures=alone, bits=bits_of(ref))


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
    patterns = {option: _pattern(option, text) for option, text in given.items()}
    if len({pattern.hdu == EVERY for pattern in patterns.values()}) > 1:
        raise InputError(f"reader generic takes [{EVERY}] for all planes or for none, found {given}")
    return location, patterns


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
    scalars: dict[str, float]
    texts: dict[str, Any]
    flag_bits: dict[str, int]


def _frame(area: str, folder: Path, patterns: Mapping[str, Pattern], options: Mapping[str, Any]) -> FrameRef:
    limit = pixel_limit(options)
    wanted = {key: pattern for key, pattern in patterns.items() if is_wanted(options, "planes", PLANES[key])}
    paths = {option: pattern.path(folder, area) for option, pattern in wanted.items()}
    there = {option: path for n, (option, path) in enumerate(paths.items()) if n == 0 or path.exists()}
    if not there:
        raise InputError(f"{area}: must have at least one plane among those selected")
    if wanted[next(iter(there))].hdu == EVERY:
        return exposure(area, there, options, limit, _notes(wanted, there))
    found = _Collected({}, [], {}, {}, {})
    for option, path in there.items():
        _read_header(path, wanted[option].hdu, option, options, found, limit)
    first, texts = found.grids[0], found.texts
    table = str(options.get("bit_table") or "-") if "FLAG" in found.planes else "-"
    joined = join_table(
        None if table == "-" else bit_table(table), found.flag_bits, texts["instrument"], first.where
    )
    notes = _notes(wanted, there)
    if "FLAG" in found.planes and joined is None:
        notes.append(WITHOUT_TABLE)
    if "RMS" in found.planes and "zero_point" not in found.scalars:
        notes.append("no depth can be made without the option zero_point")
    noise = next((option for option in NOISE if option in patterns), "rms")
    return FrameRef(
        reader="generic",
        area=area,
        shape=first.shape,
        wcs_cards=first.wcs.cards,
        planes=found.planes,
        tables={"LAYERS": next(iter(found.planes.values()))} if quantities_in(options) else {},
        scalars={**found.scalars, "pixel_scale_arcsec": first.wcs.scale_arcsec},
        bit_table=table,
        notes=(*notes, *first.wcs.notes),
        options={"noise": noise, "max_pixels": limit, "flag_bits": found.flag_bits},
        **texts,
    )


def _notes(wanted: Mapping[str, Pattern], there: Mapping[str, Path]) -> list[str]:
    notes = [f"the plane `{option}` is missing" for option in wanted if option not in there]
    return notes + ["the weight is taken as an inverse variance"] * ("weight" in wanted)


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
        found.grids.append(grid_of(hdu, found.grids, may_lack_wcs=True))
        found.planes[PLANES[option]] = file_ref(file, hdu)
        if option == "flag":
            found.flag_bits = header_bits(hdu.cards)
            require_integers(hdu)
        if len(found.grids) == 1:
            found.texts = texts_of(file, hdu, options)
            found.scalars = numbers_of(file, hdu, options, (*SCALARS, *quantities_in(options)))
            middle_of_exposure(found.scalars, options)
