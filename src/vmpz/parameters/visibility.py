"""Parameters of photometric visibility: classes of galaxies, how they are selected, and against which depth."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from vmpz.parameters.base import Factor, Section

__all__ = [
    "FILES",
    "CosmologyParameters",
    "CountsParameters",
    "DeepSampleParameters",
    "LuminosityParameters",
    "SelectionParameters",
    "VisibilityParameters",
]

FILES = {
    "luminosity": ("table", "k_correction", "evolution"),
    "deep": ("catalogue",),
    "counts": ("table",),
    "selection": ("efficiency",),
}
"""What may name a file, by section of a class."""

Window = Annotated[
    tuple[float, float],
    AfterValidator(lambda pair: pair if pair[0] < pair[1] else _refused(pair)),
]
"""Two numbers, the lower first."""


def _refused(pair: tuple[float, float]) -> tuple[float, float]:
    raise ValueError(f"must be [lower, upper], found {list(pair)}")


class CosmologyParameters(Section):
    """A flat universe of matter and a cosmological constant."""

    h0: float = Field(67.66, gt=0, description="Hubble constant, km s-1 Mpc-1 (Planck 2018)")
    omega_m: float = Field(0.3111, gt=0, le=1, description="matter density parameter (Planck 2018)")


class LuminosityParameters(Section):
    """A luminosity function: galaxies per comoving volume and absolute magnitude."""

    m_star: float | None = Field(
        None, description="characteristic absolute magnitude M* of a Schechter function"
    )
    alpha: float | None = Field(None, description="faint-end slope of a Schechter function")
    phi_star: float = Field(1.0, gt=0, description="density, Mpc-3; visibility does not depend on it")
    table: str | None = Field(
        None, description="instead: file of a tabulated function, columns MAG (absolute) and PHI (per mag)"
    )
    redshift: Window = Field(description="[lowest, highest] redshift of the class")
    k_correction: list[float] | str = Field(
        default_factory=list, description="K(z) in mag: coefficients of z, z^2...; or a file of columns Z, K"
    )
    evolution: list[float] | str = Field(
        default_factory=list, description="E(z) in mag: coefficients of z, z^2...; or a file of columns Z, E"
    )
    faintest: float = Field(-10.0, description="absolute magnitude below which there are no galaxies")
    brightest: float = Field(-28.0, description="absolute magnitude above which there are no galaxies")
    cosmology: CosmologyParameters = Field(default_factory=CosmologyParameters, description="for distances")

    @model_validator(mode="after")
    def _is_one_function(self) -> "LuminosityParameters":
        schechter = [self.m_star, self.alpha]
        if (self.table is None) == (None in schechter) or (self.table and schechter != [None, None]):
            raise ValueError("needs either `m_star` and `alpha` or `table`")
        if not self.brightest < self.faintest:
            raise ValueError(
                f"`brightest` must be below `faintest`, found {self.brightest} and {self.faintest}"
            )
        if self.redshift[0] < 0:
            raise ValueError(f"`redshift` must not be negative, found {list(self.redshift)}")
        return self


class DeepSampleParameters(Section):
    """A catalogue of a deeper survey, whose galaxies stand for those of the class."""

    catalogue: str = Field(description="FITS, Parquet or CSV file, relative to this file")
    fluxes: dict[str, str] = Field(
        default_factory=dict, description="column of the flux by band, in units of `zero_point`"
    )
    magnitudes: dict[str, str] = Field(
        default_factory=dict, description="instead: column of the AB magnitude by band"
    )
    errors: dict[str, str] = Field(
        default_factory=dict,
        description="column of the error by band, in the unit of the flux or magnitude; default none",
    )
    zero_point: float = Field(23.9, description="AB magnitude of unit flux (23.9 = microjansky)")
    depth: dict[str, float] = Field(
        default_factory=dict,
        description="depth of the catalogue by band, instead of errors, as the depth maps",
    )
    redshift: str | None = Field(None, description="column of the true or best redshift, for n(z)")
    photo_z: str | None = Field(None, description="column of the photometric redshift; default `redshift`")
    size: str | None = Field(None, description="column of the half-light radius, arcsec")
    weight: str | None = Field(None, description="column of weights: deep area and incompleteness")
    realisations: int = Field(4, ge=1, le=1000, description="noise realisations of every galaxy")

    @model_validator(mode="after")
    def _has_one_measure_a_band(self) -> "DeepSampleParameters":
        twice = sorted(self.fluxes.keys() & self.magnitudes.keys())
        if twice or not (self.fluxes or self.magnitudes):
            raise ValueError(f"needs either a flux or a magnitude for each band, found {twice or 'none'}")
        return self


class CountsParameters(Section):
    """Number counts: galaxies per magnitude, without redshifts."""

    slope: float | None = Field(None, description="n(m) as 10**(slope m)")
    table: str | None = Field(None, description="instead: file of columns MAG and COUNTS (per mag)")
    magnitudes: Window = Field((0.0, 32.0), description="[brightest, faintest] magnitude there is")

    @model_validator(mode="after")
    def _is_one_law(self) -> "CountsParameters":
        if (self.slope is None) == (self.table is None):
            raise ValueError("needs either `slope` or `table`")
        return self


Completeness = Literal["gaussian", "erf", "logistic", "redmapper", "hard", "efficiency", "expression"]


class SelectionParameters(Section):
    """How galaxies are selected."""

    completeness: Completeness = Field(
        "gaussian",
        description="P(m - depth): a cut in S/N (gaussian), error function, logistic, redMaPPer, a hard cut; a table "
        "of efficiencies; or `expression` on the noisy fluxes of a deep sample",
    )
    bands: list[str] = Field(
        default_factory=list,
        description="bands in which a galaxy must be seen; default those of `reference`; expressions name theirs",
    )
    snr: float | None = Field(
        None, gt=0, description="S/N of the cut (gaussian); default that of the depth maps"
    )
    offset: float = Field(0.0, description="m50 minus depth, mag (erf, logistic, redmapper, hard)")
    width: float = Field(0.1, gt=0, description="width w or sigma_m, mag (erf, logistic, redmapper)")
    plateau: float = Field(1.0, gt=0, le=1, description="completeness of bright galaxies")
    m_max: float | None = Field(None, description="limit of the sample itself (redmapper)")
    expression: str | None = Field(
        None,
        description="cuts on mag_BAND, flux_BAND, snr_BAND (with noise), z, z_phot, size and columns of the catalogue",
    )
    efficiency: str | None = Field(
        None, description="file of efficiencies against DELTA_MAG = mag - depth, and MAG where it has it"
    )
    columns: list[str] = Field(
        ["EFFICIENCY"],
        min_length=1,
        description="columns of that file that are multiplied, e.g. detection, class",
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "SelectionParameters":
        for name in ("expression", "efficiency"):
            if (self.completeness == name) != (getattr(self, name) is not None):
                raise ValueError(f"`{name}` and completeness = {name!r} go together")
        return self


class VisibilityParameters(Section):
    """[[visibility]]: one class of galaxies."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="name of the class, written to BINSEL")
    tom_bin: int = Field(-1, ge=-1, description="number of the tomographic bin, for TOM_BIN_ID")
    reference: dict[str, float] = Field(
        min_length=1, description="reference depth by band, of the kind of the depth maps"
    )
    coverage: str | None = Field(
        None,
        description="observed fraction that V contains: `effective`, or a band; default effective where there is one, "
        "else the only band",
    )
    luminosity: LuminosityParameters | None = Field(None, description="the class as a luminosity function")
    deep: DeepSampleParameters | None = Field(None, description="the class as a deep sample")
    counts: CountsParameters | None = Field(None, description="the class as number counts")
    selection: SelectionParameters = Field(
        default_factory=SelectionParameters, description="what is selected"
    )
    noise_scale: dict[str, Factor] = Field(
        default_factory=dict, description="factor on the noise by band: empirical anchor, correlated noise"
    )
    psf_fwhm_arcsec: dict[str, Factor] = Field(
        default_factory=dict, description="PSF FWHM by band, for the noise of extended sources"
    )
    half_light_arcsec: float = Field(0.0, ge=0, description="half-light radius of all sources; 0 = points")
    extinction: Literal["none", "dereddened", "observed"] = Field(
        "none",
        description="galactic extinction: left out; or by [extinction], with cuts on dereddened or observed magnitudes",
    )
    depth_error: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="uncertainty of the depth by band, mag, for the column ERROR"
    )
    step: float = Field(0.05, gt=0, le=0.5, description="step of the depths at which V is tabulated, mag")
    classes: list[float] = Field(
        [0.25, 0.5, 0.75], description="borders, in V / coverage, of the visibility classes of n(z)"
    )
    redshift_bins: tuple[float, float, int] = Field(
        (0.0, 3.0, 60), description="n(z): lowest, highest redshift, number of bins"
    )
    seed: int | None = Field(
        None, ge=0, lt=1 << 64, description="seed of the noise of deep galaxies; needed with `expression`"
    )

    @model_validator(mode="after")
    def _is_one_class(self) -> "VisibilityParameters":
        given = [name for name in ("luminosity", "deep", "counts") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"needs one of `luminosity`, `deep` and `counts`, found {', '.join(given) or 'none'}"
            )
        if self.selection.completeness == "expression" and (self.deep is None or self.seed is None):
            raise ValueError("a selection by `expression` needs a `deep` sample and a `seed`")
        beyond = sorted({*self.selection.bands, *self.depth_error} - self.reference.keys())
        if beyond:
            raise ValueError(
                f"`reference` must give the depth of every band, found none of {', '.join(beyond)}"
            )
        if self.classes != sorted(set(self.classes)) or any(edge <= 0 for edge in self.classes):
            raise ValueError(f"`classes` must ascend from above 0, found {self.classes}")
        return self

    def located(self, absolute: Callable[[str], str]) -> "VisibilityParameters":
        """The same with the places of all files made absolute."""
        changed: dict[str, Any] = {}
        for name, keys in FILES.items():
            section = getattr(self, name)
            if section is not None:
                told = {key: getattr(section, key) for key in keys}
                update = {key: absolute(value) for key, value in told.items() if isinstance(value, str)}
                changed[name] = section.model_copy(update=update)
        return self.model_copy(update=changed)
