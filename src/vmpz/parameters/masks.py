"""Parameters of geometric masks: which shapes stand around the sources of a catalogue."""

import math
import re
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from vmpz.parameters.base import Section

__all__ = ["MaskParameters", "RadiusLaw"]

Shape = Literal["disc", "ellipse", "streak", "spikes", "ghost", "halo", "polygons"]
Columns = tuple[str, str]
Degrees = tuple[float, float]


def _in_capitals(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        raise ValueError(f"must be capitals, digits and _, a letter first, found {name!r}")
    return name


def _ascends(table: list[tuple[float, float]]) -> list[tuple[float, float]]:
    rising = all(one[0] < other[0] for one, other in pairwise(table))
    if not rising or any(radius < 0 for _, radius in table):
        raise ValueError(f"must be pairs [mag, arcsec] of rising magnitude, no radius below 0; found {table}")
    return table


class RadiusLaw(Section):
    """A radius as a function of magnitude: ``r(m) = a 10^(-b m)`` or a table, within limits."""

    a_arcsec: float | None = Field(None, gt=0, description="a of the radius a 10^(-b m)")
    b: float = Field(0.0, description="b of the radius a 10^(-b m), per mag")
    table: Annotated[list[tuple[float, float]], Field(min_length=1), AfterValidator(_ascends)] | None = Field(
        None, description="or [[mag, arcsec], ...]: linear between, constant beyond; no mask where 0"
    )
    radius_min_arcsec: float = Field(0.0, ge=0, description="smallest radius that a 10^(-b m) may give")
    radius_max_arcsec: float | None = Field(None, gt=0, description="largest")

    @property
    def given(self) -> bool:
        """Whether there is a law."""
        return self.a_arcsec is not None or self.table is not None

    @property
    def constant(self) -> bool:
        """Whether it needs no magnitude."""
        return self.table is None and self.b == 0.0

    @model_validator(mode="after")
    def _is_one_law(self) -> "RadiusLaw":
        if self.a_arcsec is not None and self.table is not None:
            raise ValueError("a radius needs either `a_arcsec` or `table`")
        if self.radius_max_arcsec is not None and self.radius_max_arcsec < self.radius_min_arcsec:
            raise ValueError(
                f"radius_max_arcsec must not be below radius_min_arcsec, {self.radius_min_arcsec}, "
                f"found {self.radius_max_arcsec}"
            )
        return self


class _SourceParameters(Section):
    """What a mask is called, and the sources that it stands around."""

    name: Annotated[str, AfterValidator(_in_capitals)] = Field(
        description="name of the flag bit, in capitals: that of no other bit"
    )
    shape: Shape = Field(description="what stands around each source; polygons are taken as they are")
    catalogue: str = Field(
        description="FITS, Parquet, VOTable or CSV file of the sources, or JSON file of polygons and discs"
    )
    marks: Literal["source", "defect"] = Field("source", description="what the bit marks")
    positions: Columns | None = Field(
        None, description="columns of right ascension and declination (deg); default the usual names"
    )
    magnitude: str | None = Field(None, description="column of the magnitude m")


class MaskParameters(RadiusLaw, _SourceParameters):
    """[[masks]]: a geometric mask, a flag bit of its own."""

    bands: list[str] | dict[str, RadiusLaw] | None = Field(
        None,
        description="bands that it applies to, default all; or the radius by band, e.g. {VIS = {a_arcsec = 900}}",
    )
    size: str | None = Field(
        None, description="column of the radius, semi-major axis or length in place of the law"
    )
    size_unit_arcsec: float = Field(1.0, gt=0, description="unit of the size and of the minor axis")
    minor: str | None = Field(None, description="column of the semi-minor axis of an ellipse")
    angle: str | None = Field(None, description="column of the position angle, deg, north through east")
    end: Columns | None = Field(None, description="columns of the position where a streak ends (deg)")
    width_arcsec: float | None = Field(None, gt=0, description="width of a streak or of a spike")
    arms: int = Field(4, ge=1, le=64, description="spikes of a star")
    angles_deg: list[float] = Field(
        [0.0], min_length=1, description="position angles of the first spike, or by which an offset is turned"
    )
    offset_arcsec: Degrees = Field((0.0, 0.0), description="[east, north] of a halo or ghost from its star")
    axis_deg: Degrees | None = Field(None, description="[lon, lat] of the optical axis")
    axis_factor: float = Field(
        1.0, description="distance of a halo or ghost from the axis over that of its star, -1 = mirrored"
    )
    hole: float = Field(0.0, ge=0, lt=1, description="inner radius of a halo or ghost over the outer one")

    def law(self, band: str) -> RadiusLaw | None:
        """The radius law of a band; None where the mask does not apply to it."""
        if isinstance(self.bands, dict):
            return self.bands.get(band, self if self.given or self.size else None)
        return self if self.bands is None or band in self.bands else None

    @model_validator(mode="after")
    def _has_what_its_shape_needs(self) -> "MaskParameters":
        if self.name == "STARMASK":
            raise ValueError("name: must be that of no other bit, found 'STARMASK'")
        for fault in self._faults():
            raise ValueError(f"a mask of shape {self.shape} {fault}")
        return self

    def _faults(self) -> list[str]:
        radial = self.shape in ("disc", "halo", "ghost", "spikes")
        laws = list(self.bands.values()) if isinstance(self.bands, dict) else []
        laws += [self] if self.given or not laws else []
        numbers = (self.b, *self.offset_arcsec, *(self.axis_deg or ()), self.axis_factor, *self.angles_deg)
        turned = self.size is not None and self.angle is not None
        displaced = self.hole > 0.0 or self.offset_arcsec != (0.0, 0.0) or self.axis_factor != 1.0
        held = {
            "needs finite numbers": all(map(math.isfinite, numbers)),
            "needs `a_arcsec`, `table` or `size`": not radial
            or bool(self.size)
            or all(one.given for one in laws),
            "needs the column `magnitude` for its radius": not radial
            or bool(self.size or self.magnitude)
            or all(one.constant for one in laws),
            "needs `size`, `minor` and `angle`": self.shape != "ellipse" or (turned and bool(self.minor)),
            "needs `end`, or `size` (its length) and `angle`": self.shape != "streak"
            or bool(self.end)
            or turned,
            "needs `width_arcsec`": self.shape not in ("streak", "spikes") or self.width_arcsec is not None,
            "has no hole and no offset": not displaced or self.shape in ("halo", "ghost"),
            "needs a declination of the axis from -90 to 90": abs((self.axis_deg or (0, 0))[1]) <= 90.0,
        }
        return [fault for fault, holds in held.items() if not holds]
