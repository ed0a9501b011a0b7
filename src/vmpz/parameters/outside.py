"""Parameters of quantities from outside: the map of E(B-V), and catalogues of stars and galaxies."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from vmpz.parameters.base import Section

__all__ = ["CatalogueParameters", "ReddeningParameters"]


def _ascends(window: tuple[float, float]) -> tuple[float, float]:
    if not window[0] < window[1]:
        raise ValueError(f"must be [lowest value, value below which], found {list(window)}")
    return window


class ReddeningParameters(Section):
    """[extinction]: galactic extinction, A_b = R_b E(B-V)."""

    map: str | None = Field(
        None, description="HEALPix FITS file of E(B-V), mag: RING or NESTED, equatorial or galactic"
    )
    column: str | None = Field(
        None, description="column of E(B-V); default the one that is named so, or the only one"
    )
    coordsys: Literal["C", "G"] | None = Field(
        None, description="frame of a map whose header has no COORDSYS: C equatorial, G galactic"
    )
    method: Literal["nearest", "bilinear"] = Field(
        "nearest", description="value of the pixel at the centre of a cell, or between four pixels"
    )
    law: str = Field("F99-RV3.1", min_length=1, description="name of the coefficient law, written to EXTLAW")
    coefficients: dict[str, float] = Field(
        default_factory=dict, description="A_b / E(B-V) by band, before those of the law"
    )


class CatalogueParameters(Section):
    """[[catalogues]]: a catalogue of stars or galaxies."""

    name: str = Field(min_length=1, description="name of the catalogue, e.g. gaia")
    location: str = Field(description="FITS, Parquet, VOTable or CSV file, relative to this file")
    role: Literal["stars", "galaxies", "photoz"] = Field(
        description="what it serves: star density and brightness, galaxy density, quality of photometric redshifts"
    )
    positions: tuple[str, str] | None = Field(
        None, description="columns of right ascension and declination (deg); default the usual names"
    )
    magnitude: str | None = Field(None, description="column of the magnitudes")
    window: Annotated[tuple[float, float], AfterValidator(_ascends)] | None = Field(
        None, description="[lowest magnitude, magnitude below which]; default all"
    )
    quality: str | None = Field(None, description="column of the quality of photometric redshifts")
    order: int = Field(9, ge=0, le=20, description="order of the cells in which sources are counted")
    area: Literal["coverage", "footprint"] = Field(
        "coverage",
        description="area that densities are per: the observed and unflagged one, or the observed one",
    )
    everywhere: bool = Field(
        False, description="it lists sources in masked areas too, as one from another survey does"
    )

    @model_validator(mode="after")
    def _window_is_of_magnitudes(self) -> "CatalogueParameters":
        if self.window is not None and self.magnitude is None:
            raise ValueError("`window` needs the column `magnitude`, found none")
        return self
