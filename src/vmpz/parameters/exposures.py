"""Parameters of single exposures: what is made of them, and what is computed where their files do not say."""

from typing import Annotated, Literal

from pydantic import Field

from vmpz.parameters.base import Section

__all__ = ["ExposureParameters", "SiteParameters", "ZodiacalParameters"]

Magnitudes = Annotated[float, Field(ge=0)]
Flux = Annotated[float, Field(gt=0)]


class ExposureParameters(Section):
    """[exposures]: single exposures as inputs."""

    planes: Literal["mosaic", "frames"] = Field(
        "mosaic", description="whose pixels count where a tile and band has a mosaic and exposures"
    )
    min_good: int = Field(
        1,
        ge=1,
        le=255,
        description="good exposures that a sub-cell needs to be covered (coverage of exposures)",
    )
    zero_point: float = Field(
        23.9, description="AB zero point that noise, background and weights of exposures are brought to, mag"
    )
    position_origin: Literal["geocentric", "heliocentric", "barycentric"] = Field(
        "geocentric", description="where positions of a spacecraft in headers (km, ICRS axes) start from"
    )


class SiteParameters(Section):
    """[site]: the observatory, where the files do not say."""

    lon_deg: float | None = Field(None, ge=-360, le=360, description="longitude, positive to the east")
    lat_deg: float | None = Field(None, ge=-90, le=90, description="latitude")
    extinction: dict[str, Magnitudes] = Field(
        default_factory=dict,
        description="atmospheric extinction by band, mag per airmass, e.g. {DECAM_g = 0.18}; no default",
    )


class ZodiacalParameters(Section):
    """[zodiacal]: the model of the zodiacal light."""

    model: Literal["leinert", "kelsall"] = Field(
        "leinert", description="Leinert et al. 1998 (all bands) or Kelsall et al. 1998 (1.25 um alone)"
    )
    wavelength_um: dict[str, Flux] = Field(
        default_factory=dict, description="wavelength by band where the table of bands has none or another"
    )
    solar_flux: dict[str, Flux] = Field(
        default_factory=dict,
        description="solar flux by band relative to that at 0.5 um; default interpolated",
    )
