"""How galaxies of a class are selected by one band: a completeness function from the parameters, or a table."""

from vmpz.errors import InputError
from vmpz.parameters import SelectionParameters, VisibilityParameters
from vmpz.physics.completeness import Completeness
from vmpz.physics.efficiency import Efficiency, efficiency_of

__all__ = ["Efficiency", "bands_of", "completeness_of", "efficiency_of"]

USED = {
    "gaussian": ("snr",),
    "erf": ("offset", "width"),
    "logistic": ("offset", "width"),
    "redmapper": ("offset", "width", "m_max"),
    "hard": ("offset",),
    "efficiency": (),
}
"""Completeness -> the numbers that it is made of, beside the plateau."""


def completeness_of(
    selection: SelectionParameters,
    depth_snr: float,
    table: Efficiency | None = None,
    *,
    chance: bool = False,
) -> Completeness:
    """The completeness function of a selection.

    Parameters
    ----------
    selection : SelectionParameters
        Of any completeness but `expression`.
    depth_snr : float
        Signal-to-noise ratio at the depth of the depth maps.
    table : Efficiency, optional
        The table, with completeness = 'efficiency'.
    chance : bool
        Whether sources count that noise alone lifts above a cut in S/N (`vmpz.physics.completeness.gaussian`).

    Raises
    ------
    InputError
        A number is given that this completeness has no use for, or there is no table.
    """
    kind = selection.completeness
    if kind == "expression":
        raise InputError("completeness = 'expression' is a selection of a deep sample, found no such sample")
    for name in ("snr", "offset", "width", "m_max"):
        if name not in USED[kind] and getattr(selection, name) != type(selection).model_fields[name].default:
            raise InputError(
                f"[visibility.selection] {name} has no meaning for completeness = {kind!r}, found {name} = "
                f"{getattr(selection, name)}"
            )
    if (kind == "efficiency") != (table is not None):
        raise InputError("completeness = 'efficiency' and a table of efficiencies go together")
    return Completeness(
        kind,
        snr=depth_snr,
        cut_snr=selection.snr,
        chance=chance,
        offset_mag=selection.offset,
        width_mag=selection.width,
        plateau=selection.plateau,
        max_mag=float("inf") if selection.m_max is None else selection.m_max,
        table=table,
    )


def bands_of(parameters: VisibilityParameters) -> list[str]:
    """The bands in which a galaxy of a class must be seen."""
    return parameters.selection.bands or list(parameters.reference)
