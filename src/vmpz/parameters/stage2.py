"""Parameters of stage 2: patches and their forms."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vmpz.parameters.base import Forms, Section

__all__ = ["MangleParameters", "PatchParameters"]

Degrees = tuple[float, float]
PolygonKind = Literal["footprint", "coverage", "effectivecoverage", "info", "depth"]
Radius = Annotated[float, Field(gt=0, le=180)]


class MangleParameters(Section):
    """[mangle]: how polygon files are made."""

    kinds: list[PolygonKind] | None = Field(
        None, description="kinds of product written as polygons; default all but bit masks"
    )
    max_order: int | None = Field(
        None, ge=0, le=20, description="deepest order of the polygons; default that of the map"
    )
    weight_min: float = Field(0.0, ge=0.0, description="polygons of a smaller weight are left out")
    weight_step: float = Field(
        0.0, ge=0.0, description="weights are rounded to multiples of it; 0 = lossless"
    )
    convention: Literal["OBSERVED", "MER"] = Field(
        "OBSERVED", description="weight = observed fraction, or 1 - it"
    )


class PatchParameters(Section):
    """[[patches]]: a region of stage 2."""

    name: str = Field(min_length=1, description="name of the patch")
    list_id: str | None = Field(None, description="LISTID; default the name")
    skypatch_id: str | None = Field(None, description="SKYPATCH and mangle SKYPATCH_ID; default the name")
    tiles: list[str] | None = Field(None, description="tile ids")
    moc: str | None = Field(None, description="MOC file, relative to this file: cells inside it")
    polygon: list[Degrees] | None = Field(
        None,
        min_length=3,
        description="corners [lon, lat] in degrees joined by great circles: cells whose centre is inside",
    )
    cap: tuple[float, float, Radius] | None = Field(
        None, description="[lon, lat, radius] in degrees: cells whose centre is inside"
    )
    all: bool = Field(False, description="every tile")
    order: int | None = Field(
        None, ge=0, le=20, description="order of the merged maps; default that of the tiles"
    )
    forms: Forms = Field(["healpix"], description="forms written")
    allow_mixed: bool = Field(
        False, description="merge tiles that differ in release, software, selection...; recorded in MIXED"
    )
    multi_band: Literal["none", "hdus", "columns"] = Field(
        "none", description="also one file of all bands per kind: one table a band, or one column a band"
    )

    @model_validator(mode="after")
    def _has_one_extent(self) -> "PatchParameters":
        given = [self.tiles, self.moc, self.polygon, self.cap, self.all or None]
        if sum(one is not None for one in given) != 1 or self.tiles == []:
            raise ValueError("a patch needs exactly one of `tiles`, `moc`, `polygon`, `cap` and `all = true`")
        return self
