"""What all groups of parameters share: frozen, unknown keys refused; types of several of them."""

import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from vmpz.display import card, table, unfolding

__all__ = ["BitNames", "Factor", "Form", "Forms", "Section", "unit_of"]

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


SHORT = 110
"""Letters of what is set that the line of a group tells."""
UNITS = {"_arcsec": "arcsec", "_deg": "deg"}
"""End of a name -> unit."""


def unit_of(key: str) -> str:
    """Unit of a parameter, which stands at the end of its name; '' where it has none."""
    return next((unit for end, unit in UNITS.items() if key.endswith(end)), "")


class Section(BaseModel):
    """A frozen group of parameters that refuses unknown keys; shown by what differs from its defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def changed(self) -> dict[str, Any]:
        """The parameters that have no default or another value, by name."""
        return {
            name: getattr(self, name)
            for name, info in type(self).model_fields.items()
            if info.is_required() or getattr(self, name) != info.get_default(call_default_factory=True)
        }

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield from self.changed().items()

    def _repr_html_(self) -> str:
        """What a notebook shows: every parameter with unit, default and meaning; groups unfold."""
        return card(type(self).__name__, self._table(), *self._groups())

    def _table(self) -> str:
        rows = [
            (name, _shown(value), unit_of(name), _shown(default) if changed else "", info.description)
            for name, info, value, default, changed in self._leaves()
        ]
        bold = [place for place, leaf in enumerate(self._leaves()) if leaf[-1]]
        return table(("parameter", "value", "unit", "default", "meaning"), rows, bold)

    def _leaves(self) -> Iterator[tuple[str, FieldInfo, Any, Any, bool]]:
        """Parameters that are no groups: name, field, value, default, whether the value is another."""
        changed = self.changed()
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if not _sections(value) and (info.description or value):  # a list of groups may be empty
                default = None if info.is_required() else info.get_default(call_default_factory=True)
                yield name, info, value, default, name in changed and not info.is_required()

    def _groups(self) -> Iterator[str]:
        """A line for each group of parameters that tells what is set and unfolds the rest."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for section in _sections(value):
                title = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
                said = "; ".join(
                    f"{key} = {_shown(one)}" for key, one in section.changed().items() if not _sections(one)
                )
                note = said if len(said) < SHORT else f"{said[:SHORT]}\u2026"
                yield unfolding(title, section._table() + "".join(section._groups()), note or "defaults")


def _sections(value: Any) -> list[Section]:
    """The groups that a value holds, as a group or a list of groups."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Section)]


def _shown(value: Any) -> Any:
    """A value for people."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(str(_shown(one)) for one in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_shown(one)}" for key, one in value.items()) or "none"
    return value
