"""Parameters of stage 1: the survey, its inputs, and one group a product."""

import re
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, field_validator

from vmpz.errors import InputError
from vmpz.parameters.base import BitNames, Factor, Forms, Section
from vmpz.quantities import quantity

__all__ = [
    "BitmaskParameters",
    "CoverageParameters",
    "DepthParameters",
    "ExtinctionParameters",
    "FootprintParameters",
    "InfoParameters",
    "InputParameters",
    "MapParameters",
    "SurveyParameters",
    "TilingParameters",
]


class SurveyParameters(Section):
    """[survey]: what is processed and under which name."""

    name: str = Field("survey", description="name of the survey, written to products")
    release: str = Field("0.1", min_length=1, description="release token of file names and DataSetRelease")
    created: datetime | None = Field(
        None, description="creation instant of all products (UTC); default SOURCE_DATE_EPOCH, else the clock"
    )
    instruments: list[str] | None = Field(None, description="instruments to process; default all found")
    bands: list[str] | None = Field(None, description="bands to process; default all found")
    tiles: list[str] | None = Field(
        None,
        description="tiles to process; default those that have mosaics, else all that exposures touch",
    )
    use_case: Literal["WIDE", "DEEP", "CALIBRATION"] = Field(
        "WIDE", description="tile use case of this store area"
    )
    allow_mixed_releases: bool = Field(False, description="accept inputs of different data releases")


class TilingParameters(Section):
    """[tiling]: who owns which cell."""

    kind: Literal["euclid-wide", "mer-tiles", "healpix", "inputs", "patches"] | None = Field(
        None,
        description="default: euclid-wide for euclid-mer, healpix for exposures, inputs for images; patches: those of "
        "stage 2 are the areas",
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
    moc_numbering: Literal["RANGE", "NUNIQ"] = Field(
        "RANGE", description="plain MOC as ranges (MOC 2.0) or as NUNIQ cells, which old readers want"
    )
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
        "polygons of the exposures (always these where there is no mosaic)",
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
    weight: Literal["inverse-variance", "exposure-time"] | None = Field(
        None,
        description="weights of exposures in WMEAN and WMEDIAN; default inverse variance where exposures have one, "
        "else exposure time",
    )

    @field_validator("maps")
    @classmethod
    def _have_two_parts(cls, maps: list[str]) -> list[str]:
        for name in maps:
            if not re.fullmatch(r"[A-Za-z0-9]+:[A-Z0-9]+", name):
                raise ValueError(f"must have the form QUANTITY:STATISTIC, found {name!r}")
            try:
                quantity(name.partition(":")[0])
            except InputError as error:
                raise ValueError(str(error)) from error
        return maps


class ExtinctionParameters(Section):
    """[depth.extinction]: correction by a map of E(B-V)."""

    map: str = Field(description="partial HEALPix FITS file of E(B-V), mag")
    law: str = Field(description="name of the coefficient law, written to EXTLAW")
    coefficients: dict[str, float] = Field(description="A_b / E(B-V) by band")


class DepthParameters(Section):
    """[depth]"""

    estimator: Literal["APERTURE", "PSF", "PSFOPTIMAL", "EXTENDED", "SURFBRIGHT"] = Field(
        "APERTURE",
        description="the Q1 aperture formula, a point source (PSFOPTIMAL: each exposure measured with its own PSF), an "
        "extended source, or per square arcsec",
    )
    source: Literal["rms", "info", "exposures"] = Field(
        "rms",
        description="noise of usable unflagged pixels, the info map Noise:RMSQ over valid pixels, or scalars of "
        "exposures",
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
