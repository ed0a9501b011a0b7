"""What all groups of parameters share: frozen, unknown keys refused; types of several of them."""

import typing
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["BitNames", "Factor", "Form", "Forms", "Section"]

Form = Literal["healpix", "moc", "mangle", "parquet", "healsparse", "hips"]
Forms = Annotated[
    list[Form],
    Field(min_length=1),
    AfterValidator(lambda forms: [form for form in typing.get_args(Form) if form in forms]),
]
"""Each form once, healpix first: where there is one, the others are read from it."""

Factor = Annotated[float, Field(gt=0)]


def _named(name: str) -> str:
    if name == "-1":  # stands for no bits at all in Euclid parameter products
        raise ValueError("must be the name of a flag bit, found '-1'")
    return name


BitName = Annotated[str, AfterValidator(_named)]
BitNames = list[BitName] | dict[str, list[BitName]]
"""Flag names for every band, or by band or instrument: ``{VIS = ["INVALID"], NISP = ["INVALID", "SATUR"]}``."""


class Section(BaseModel):
    """A frozen group of parameters that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
