"""Parameters: validated once at the door, frozen, passed whole.

One model per product and one for the run. Units stand in the names (`_arcsec`, `_deg`), defaults are the published
ones. A parameter file is TOML; `load` reads one, `explain` turns a validation error into lines of the form
``file:line: key: what must hold``, `example` prints every parameter with its meaning and default.
"""

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from vmpz.quantities import QUANTITIES

__all__ = [
    "BitmaskParameters",
    "CoverageParameters",
    "DepthParameters",
    "ExtinctionParameters",
    "FootprintParameters",
    "InfoParameters",
    "InputParameters",
    "MapParameters",
    "Parameters",
    "PatchParameters",
    "SurveyParameters",
    "TilingParameters",
    "example",
    "explain",
    "load",
]

Form = Literal["healpix", "moc"]
Forms = Annotated[list[Form], Field(min_length=1), AfterValidator(lambda forms: sorted(set(forms)))]
"""Each form once, healpix first: where there is one, the others are read from it."""

Factor = Annotated[float, Field(gt=0)]

BitNames = list[str] | dict[str, list[str]]
"""Flag names for every band, or by band or instrument: ``{VIS = ["INVALID"], NISP = ["INVALID", "SATUR"]}``."""


class Section(BaseModel):
    """A frozen group of parameters that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SurveyParameters(Section):
    """[survey]: what is processed and under which name."""

    name: str = Field("survey", description="name of the survey, written to products")
    release: str = Field("0.1", min_length=1, description="release token of file names and DataSetRelease")
    created: datetime | None = Field(
        None, description="creation instant of all products (UTC); default SOURCE_DATE_EPOCH, else the clock"
    )
    instruments: list[str] | None = Field(None, description="instruments to process; default all found")
    bands: list[str] | None = Field(None, description="bands to process; default all found")
    use_case: Literal["WIDE", "DEEP", "CALIBRATION"] = Field(
        "WIDE", description="tile use case of this store area"
    )
    allow_mixed_releases: bool = Field(False, description="accept inputs of different data releases")


class TilingParameters(Section):
    """[tiling]: who owns which cell."""

    kind: Literal["euclid-wide", "mer-tiles", "healpix", "inputs"] | None = Field(
        None, description="default: euclid-wide for euclid-mer, inputs for generic images"
    )
    location: str | None = Field(None, description="folder or file of DpdMerTile descriptors, for mer-tiles")
    order: int = Field(6, ge=0, le=12, description="order of the tiles of the healpix tiling")


class InputParameters(Section):
    """[[inputs]]: one place where frames are."""

    reader: str = Field("euclid-mer", description="reader name, see `vmpz doctor`")
    location: str = Field(description="folder or file, relative to this file")
    bands: list[str] | None = Field(None, description="bands to take from this place; default all")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the reader")


class MapParameters(Section):
    """[maps]: resolution and form of all products."""

    order: int = Field(14, ge=0, le=20, description="HEALPix order of tile products (14 = NSIDE 16384)")
    forms: Forms = Field(["healpix"], description="forms written for every product")
    moc_order: int | None = Field(
        None, ge=0, le=20, description="deepest order of MOC products; default `order`"
    )
    moc_tolerance: float = Field(0.0, ge=0.0, description="largest change of a value in a weighted MOC")
    coverage_convention: Literal["OBSERVED", "MER"] = Field(
        "OBSERVED", description="polarity on disk: OBSERVED 1 = observed, MER 1 = not observed"
    )
    write_zeros: bool = Field(False, description="list cells of value 0 of coverage-type products")
    strict_dpdd: bool = Field(False, description="leave the project's own keywords out of the FITS files")


class FootprintParameters(Section):
    """[footprint]"""

    source: Literal["rms", "outline", "descriptor", "layers"] = Field(
        "rms",
        description="valid RMS pixels, the mosaic outline, ImgSpatialFootprint of the descriptor, or the detector "
        "polygons of the Layers table",
    )
    values: Literal["fraction", "binary"] = Field(
        "fraction", description="observed fraction, or 1 where it is > 0"
    )


class BitmaskParameters(Section):
    """[bitmask]"""

    bits: BitNames = Field(["INVALID"], description="flag names of the joint selection")
    table: dict[str, str] = Field(
        default_factory=dict, description="bit table by band or instrument, e.g. {VIS = 'vis-pf14'}"
    )
    per_bit: bool = Field(True, description="one more column per selected bit")


class CoverageParameters(Section):
    """[coverage]"""

    bits: BitNames | None = Field(None, description="vetoed flag names; default those of the bit table")
    rms_max: float = Field(1e6, gt=0, description="pixels with a larger RMS are unusable")
    star_masks: bool = Field(True, description="veto pixels inside the bright-star masks of the tile")
    effective: list[str] = Field(
        default_factory=list, description="bands of the effective coverage; empty = none is made"
    )
    rule: Literal["JOINT", "MIN", "PRODUCT"] = Field(
        "JOINT", description="JOINT on pixels, or MIN, PRODUCT of the bands' coverage maps"
    )
    subcells: bool = Field(False, description="keep one 64-bit word of good sub-cells per cell")


class InfoParameters(Section):
    """[info]"""

    maps: list[str] = Field(
        ["Noise:RMSQ", "Exposures:COUNT"],
        description="QUANTITY:STATISTIC, e.g. Noise:RMSQ, PSF:MEAN, SAA:MEAN, Background:MEDIAN, Persistence:MEAN",
    )
    per: Literal["exposure", "pixel"] | None = Field(
        None, description="what a sample is; default exposure for scalars, pixel for planes"
    )

    @field_validator("maps")
    @classmethod
    def _have_two_parts(cls, maps: list[str]) -> list[str]:
        for name in maps:
            if not re.fullmatch(r"[A-Za-z]+:[A-Z0-9]+", name):
                raise ValueError(f"must have the form QUANTITY:STATISTIC, found {name!r}")
            if name.partition(":")[0] not in QUANTITIES:
                raise ValueError(f"quantities are {', '.join(QUANTITIES)}; found {name!r}")
        return maps


class ExtinctionParameters(Section):
    """[depth.extinction]: correction by a map of E(B-V)."""

    map: str = Field(description="partial HEALPix FITS file of E(B-V), mag")
    law: str = Field(description="name of the coefficient law, written to EXTLAW")
    coefficients: dict[str, float] = Field(description="A_b / E(B-V) by band")


class DepthParameters(Section):
    """[depth]"""

    estimator: Literal["APERTURE", "PSF", "EXTENDED", "SURFBRIGHT"] = Field(
        "APERTURE",
        description="the Q1 aperture formula, a point source, an extended source, or per square arcsec",
    )
    source: Literal["rms", "info"] = Field(
        "rms", description="noise of usable unflagged pixels, or the info map Noise:RMSQ over valid pixels"
    )
    snr: float = Field(5.0, gt=0, description="signal-to-noise ratio n")
    aperture_arcsec: float = Field(2.0, gt=0, description="aperture diameter")
    bits: BitNames | None = Field(None, description="excluded flag names; default those of coverage")
    psf_fwhm_arcsec: float | None = Field(
        None, gt=0, description="PSF FWHM; default the PSF table of the band"
    )
    half_light_arcsec: float = Field(
        0.3, gt=0, description="half-light radius of the exponential disc (EXTENDED)"
    )
    correlated_noise: Factor | dict[str, Factor] = Field(
        1.0, description="factor C on the aperture noise, one for all or by band"
    )
    correlated_noise_source: str = Field("-1", description="where C came from, written to CORRSRC")
    extinction: ExtinctionParameters | None = Field(None, description="correct for galactic extinction")


class PatchParameters(Section):
    """[[patches]]: a region of stage 2."""

    name: str = Field(min_length=1, description="name of the patch")
    list_id: str | None = Field(None, description="LISTID; default the name")
    tiles: list[str] | None = Field(None, description="tile ids")
    all: bool = Field(False, description="every tile")
    order: int | None = Field(
        None, ge=0, le=20, description="order of the merged maps; default that of the tiles"
    )
    forms: Forms = Field(["healpix"], description="forms written")

    @model_validator(mode="after")
    def _has_one_extent(self) -> "PatchParameters":
        if bool(self.tiles) == self.all:
            raise ValueError("a patch needs exactly one of `tiles` and `all = true`")
        return self


class Parameters(Section):
    """All parameters of a run."""

    survey: SurveyParameters = Field(default_factory=SurveyParameters)
    tiling: TilingParameters = Field(default_factory=TilingParameters)
    inputs: list[InputParameters] = Field(min_length=1, description="where the frames are")
    maps: MapParameters = Field(default_factory=MapParameters)
    footprint: FootprintParameters = Field(default_factory=FootprintParameters)
    bitmask: BitmaskParameters = Field(default_factory=BitmaskParameters)
    coverage: CoverageParameters = Field(default_factory=CoverageParameters)
    info: InfoParameters = Field(default_factory=InfoParameters)
    depth: DepthParameters = Field(default_factory=DepthParameters)
    patches: list[PatchParameters] = Field(default_factory=list)

    @model_validator(mode="after")
    def _patches_suit_the_tiles(self) -> "Parameters":
        maps, names = self.maps, [patch.name for patch in self.patches]
        for number, patch in enumerate(self.patches):
            if patch.name in names[:number]:
                raise ValueError(
                    f"patches.{number}.name: must be that of no other patch, found {patch.name!r}"
                )
            if patch.order is not None and patch.order > maps.order:
                raise ValueError(
                    f"patches.{number}.order: must be at most that of the tiles, {maps.order}, found {patch.order}"
                )
        coarse = maps.moc_order is not None and maps.moc_order < maps.order
        combined = bool(self.coverage.effective) and self.coverage.rule != "JOINT"
        if maps.forms == ["moc"] and coarse and (self.patches or combined):
            raise ValueError(
                f"maps.forms: must hold healpix where patches or a combined coverage are made of the tiles and "
                f"moc_order {maps.moc_order} is below order {maps.order}, found {maps.forms}"
            )
        return self


def names_for(bits: BitNames, band: str, instrument: str) -> tuple[str, ...] | None:
    """The flag names that apply to a band: by band, else by instrument, else `default`, else None."""
    if isinstance(bits, Mapping):
        for key in (band, instrument, "default"):
            if key in bits:
                return tuple(bits[key])
        return None
    return tuple(bits)


def load(path: str | Path) -> Parameters:
    """Parameters from a TOML file; input locations become absolute.

    Raises
    ------
    pydantic.ValidationError
        A key is unknown or a value does not hold what it must.
    tomllib.TOMLDecodeError
        The file is not TOML in UTF-8; the message has line and column.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise tomllib.TOMLDecodeError(f"must be UTF-8 text, found {error.reason} {error.start}") from error
    parameters = Parameters.model_validate(content)
    here = path.resolve().parent

    def absolute(location: str | None) -> str | None:
        return location if location is None or "://" in location else str(here / location)

    inputs = [item.model_copy(update={"location": absolute(item.location)}) for item in parameters.inputs]
    tiling = parameters.tiling.model_copy(update={"location": absolute(parameters.tiling.location)})
    extinction = parameters.depth.extinction
    if extinction is not None:
        extinction = extinction.model_copy(update={"map": absolute(extinction.map)})
    depth = parameters.depth.model_copy(update={"extinction": extinction})
    return parameters.model_copy(update={"inputs": inputs, "tiling": tiling, "depth": depth})


def explain(error: ValidationError, path: str | Path) -> list[str]:
    """One line ``file:line: key: what must hold`` per mistake, with the nearest known key for an unknown one."""
    lines = Path(path).read_text("utf-8").splitlines()
    return [_explain_one(problem, str(path), lines) for problem in error.errors()]


def _explain_one(problem: Mapping[str, Any], path: str, lines: list[str]) -> str:
    place = [part for part in problem["loc"] if not _is_union_label(part)]
    message = problem["msg"].removeprefix("Value error, ")
    if not place:  # what concerns several tables names its key itself
        name, _, message = message.partition(": ")
        place = [int(part) if part.isdigit() else part for part in name.split(".")]
    key = ".".join(str(part) for part in place)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        message = (
            f"no such parameter{f', did you mean {near[0]}' if near else ''}; known here: {', '.join(known)}"
        )
    elif problem["type"] not in {"missing", "value_error"}:
        message = f"{message}, found {problem['input']!r}"
    return f"{path}:{_line_of(place, lines)}: {key}: {message}"


def _is_union_label(part: Any) -> bool:
    return isinstance(part, str) and ("[" in part or part in {"float", "constrained-float", "str", "int"})


def _keys_at(place: list[Any]) -> list[str]:
    model: Any = Parameters
    for part in place:
        if isinstance(part, int):
            continue
        model = next(_models_in(model.model_fields[part].annotation), None)
        if model is None:
            return []
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    elif typing.get_origin(annotation) in (list, typing.Union, types.UnionType):
        for argument in typing.get_args(annotation):
            yield from _models_in(argument)


def _line_of(place: list[Any], lines: list[str]) -> int:
    """Line of a key in TOML text: its table header first, then the key below it; 1 when nothing is found."""
    names = [part for part in place if isinstance(part, str)]
    index = next((part for part in place if isinstance(part, int)), 0)
    best, table, seen = 1, "", -1
    for number, line in enumerate(lines, 1):
        header = re.match(r"\s*\[(\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            table = header[2].replace(" ", "")
            seen = seen + 1 if header[1] and table == names[0] else seen
            if table == ".".join(names[: len(table.split("."))]) and (not header[1] or seen == index):
                best = number
            continue
        inside = table.split(".") if table else []
        if inside == names[: len(inside)] and (seen in (-1, index) or table != names[0]):
            rest = names[len(inside) :]
            if rest and re.match(rf"\s*[\"']?{re.escape(rest[0])}[\"']?\s*[.=]", line):
                return number
    return best


def example() -> str:
    """A TOML file of every parameter, each with its meaning and its default."""
    parts = []
    for name, info in Parameters.model_fields.items():
        model = next(_models_in(info.annotation))
        header = f"[[{name}]]" if typing.get_origin(info.annotation) is list else f"[{name}]"
        parts.append("\n".join([_active(name, header), *_example_lines(model, name == "inputs")]))
    return "\n\n".join(parts) + "\n"


def _active(name: str, header: str) -> str:
    return f"# {header}" if name == "patches" else header


def _example_lines(model: type[Section], required: bool) -> Iterator[str]:
    for name, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True)
        if info.is_required():
            line = f'{name} = "."' if required else f"# {name} = ..."
        elif default is None or model is PatchParameters:
            line = f"# {name} ="
        else:
            line = f"{name} = {_toml(default)}"
        yield f"{line:<44}# {info.description}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return repr(value)
