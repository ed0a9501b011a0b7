"""Parameters of random catalogues."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from vmpz.errors import InputError
from vmpz.parameters.base import Section

__all__ = ["RandomParameters"]


class RandomParameters(Section):
    """[random]: how random catalogues are drawn."""

    seed: int | None = Field(
        None, ge=0, lt=1 << 64, description="seed; there is no default: here or by --seed"
    )
    catalogue: int = Field(
        0,
        ge=0,
        lt=1 << 64,
        description="number of the catalogue: others are independent; classes of one number share points",
    )
    number: int | None = Field(None, gt=0, description="number of points: exact, or expected (poisson)")
    density: float | None = Field(
        None, gt=0, description="points per deg2 where V is 1, instead of a number (poisson)"
    )
    scheme: Literal["poisson", "exact", "indexed", "trim"] = Field(
        "poisson",
        description="Poisson in every cell; exact number by binomials; exact number of detected candidates; Poisson "
        "trimmed to the number",
    )
    keep: Literal["detected", "all"] = Field(
        "detected", description="detected points, or all candidates with WEIGHT = V"
    )
    nested: bool = Field(
        False, description="thin candidates of V = v_max, so that classes of one seed are nested (poisson)"
    )
    v_max: float | None = Field(
        None, gt=0, description="visibility that every candidate passes; default 1, or the largest V above it"
    )
    order: int | None = Field(
        None, ge=0, le=29, description="order of the cells in which points are drawn; default that of stage 1"
    )
    partial: Literal["subcells", "cell"] | None = Field(
        None,
        description="where in a partly observed cell: in its observed sub-cells, or anywhere; default sub-cells where "
        "the map has them",
    )
    columns: Literal["full", "minimal"] = Field(
        "full", description="all columns, or RIGHT_ASCENSION and DECLINATION alone"
    )
    attributes: bool = Field(
        False,
        description="draw redshift, magnitudes and size of every point from its class, given that it is seen",
    )
    maps: list[str] = Field(
        default_factory=list, description="maps of the store whose values are attached, e.g. depth_VIS"
    )

    @model_validator(mode="after")
    def _suits_its_scheme(self) -> "RandomParameters":
        if self.number is not None and self.density is not None:
            raise ValueError("`number` and `density` exclude one another")
        if self.density is not None and self.scheme != "poisson":
            raise ValueError(f"scheme {self.scheme!r} needs a `number`, found a `density`")
        if self.nested and self.scheme != "poisson":
            raise ValueError(f"`nested` goes with the scheme 'poisson', found {self.scheme!r}")
        if self.keep == "all" and self.scheme in ("indexed", "trim"):
            raise ValueError(f"`keep = all` goes with poisson and exact, found {self.scheme!r}")
        return self

    def overridden(self, said: Mapping[str, Any]) -> "RandomParameters":
        """These parameters with others on top (None = not said); a number that is said takes the place of a density.

        Raises
        ------
        InputError
            A value does not hold what it must; the message names its key.
        """
        above = {name: value for name, value in said.items() if value is not None}
        size = {"number": None, "density": None} if above.keys() & {"number", "density"} else {}
        try:
            return RandomParameters.model_validate(self.model_dump() | size | above)
        except ValidationError as error:
            told = [
                f"{'.'.join(['random', *map(str, one['loc'])])}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors()
            ]
            raise InputError("; ".join(told)) from error
