"""All parameters of a run, and what must hold between their groups."""

from collections.abc import Mapping

from pydantic import Field, model_validator

from vmpz.parameters.base import BitNames, Section
from vmpz.parameters.exposures import ExposureParameters, SiteParameters, ZodiacalParameters
from vmpz.parameters.masks import MaskParameters
from vmpz.parameters.outside import CatalogueParameters, ReddeningParameters
from vmpz.parameters.random import RandomParameters
from vmpz.parameters.stage1 import (
    BitmaskParameters,
    CoverageParameters,
    DepthParameters,
    FootprintParameters,
    InfoParameters,
    InputParameters,
    MapParameters,
    SurveyParameters,
    TilingParameters,
)
from vmpz.parameters.stage2 import MangleParameters, PatchParameters
from vmpz.parameters.visibility import VisibilityParameters

__all__ = ["Parameters", "names_for"]


class Parameters(Section):
    """All parameters of a run.

    Examples
    --------
    >>> from vmpz import Parameters
    >>> chosen = Parameters.model_validate({"inputs": [{"location": "MER"}], "depth": {"snr": 10}})
    >>> chosen.depth.snr, chosen.depth.aperture_arcsec, chosen.maps.order
    (10.0, 2.0, 14)
    """

    survey: SurveyParameters = Field(default_factory=SurveyParameters)
    tiling: TilingParameters = Field(default_factory=TilingParameters)
    inputs: list[InputParameters] = Field(min_length=1, description="where the frames are")
    maps: MapParameters = Field(default_factory=MapParameters)
    footprint: FootprintParameters = Field(default_factory=FootprintParameters)
    bitmask: BitmaskParameters = Field(default_factory=BitmaskParameters)
    coverage: CoverageParameters = Field(default_factory=CoverageParameters)
    info: InfoParameters = Field(default_factory=InfoParameters)
    exposures: ExposureParameters = Field(default_factory=ExposureParameters)
    site: SiteParameters = Field(default_factory=SiteParameters)
    zodiacal: ZodiacalParameters = Field(default_factory=ZodiacalParameters)
    extinction: ReddeningParameters = Field(default_factory=ReddeningParameters)
    catalogues: list[CatalogueParameters] = Field(default_factory=list)
    masks: list[MaskParameters] = Field(default_factory=list, max_length=7)
    depth: DepthParameters = Field(default_factory=DepthParameters)
    visibility: list[VisibilityParameters] = Field(default_factory=list)
    random: RandomParameters = Field(default_factory=RandomParameters)
    mangle: MangleParameters = Field(default_factory=MangleParameters)
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

    @model_validator(mode="after")
    def _masks_have_names_of_their_own(self) -> "Parameters":
        names = [mask.name for mask in self.masks]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise ValueError(f"masks.{number}.name: must be that of no other mask, found {name!r}")
        return self

    @model_validator(mode="after")
    def _classes_have_names_of_their_own(self) -> "Parameters":
        names = [one.name for one in self.visibility]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise ValueError(f"visibility.{number}.name: must be that of no other class, found {name!r}")
        return self

    @model_validator(mode="after")
    def _catalogues_suit_one_another(self) -> "Parameters":
        for number, one in enumerate(self.catalogues):
            for key in ("name", "role"):
                if getattr(one, key) in [getattr(other, key) for other in self.catalogues[:number]]:
                    raise ValueError(
                        f"catalogues.{number}.{key}: must be that of no other catalogue, found {getattr(one, key)!r}"
                    )
            if one.order > self.maps.order:
                raise ValueError(
                    f"catalogues.{number}.order: must be at most that of the maps, {self.maps.order}, found {one.order}"
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
