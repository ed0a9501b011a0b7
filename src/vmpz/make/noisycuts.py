"""Cuts on what a survey would measure of galaxies whose fluxes are known: an expression on noisy quantities.

**Names.** ``flux_BAND``, ``mag_BAND``, ``snr_BAND`` and ``magerr_BAND`` (= 2.5 / ln 10 / snr) are measured, with noise;
a flux that is not positive has neither magnitude nor magnitude error. ``z``, ``z_phot``, ``size`` and columns of the
catalogue are as they are there. The language and its three truths are those of `vmpz.make.expressions`: what is unknown
is not selected.

**Work.** Of the terms of a top-level `and`, those without noise are evaluated once; a comparison of one measured
quantity with a number bounds one flux, that of a colour (``mag_A - mag_B``) the ratio of two, and all such bounds are
tried together by a compiled loop; what is left (alternatives, arithmetic) is evaluated for the realisations that are
within the bounds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmpz.make.expressions import (
    TRUE,
    Expression,
    ExpressionError,
    Node,
    Operand,
    number_of,
    parse,
    truth_of,
)

__all__ = ["MEASURED", "Bounds", "Cuts", "cuts_of", "measured", "selection_expression"]

Floats = NDArray[np.float64]

MEASURED = ("flux", "mag", "snr", "magerr")
"""Kinds of measured quantities: their names are KIND_BAND."""
MAG_PER_RELATIVE_FLUX = 2.5 / np.log(10.0)
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
SMALLEST = np.finfo(np.float64).tiny
"""Lower bound of a flux that is positive."""


def selection_expression(text: str) -> Expression:
    """Parse a selection.

    Raises
    ------
    ExpressionError
        It is not allowed, or is not a cut.
    """
    expression = parse(text)
    if not expression.is_logical(()):
        raise ExpressionError(f"a selection must be a cut or cuts joined by and, or, not; found {text!r}")
    return expression


def measured(name: str, bands: Collection[str]) -> tuple[str, str] | None:
    """(kind, band) of a measured quantity, None for any other name.

    Raises
    ------
    ExpressionError
        It is one but for upper and lower case.
    """
    for kind in MEASURED:
        for band in bands:
            right = f"{kind}_{band}"
            if name == right:
                return kind, band
            if name.lower() == right.lower():
                raise ExpressionError(
                    f"measured quantities must be written as `mag_BAND`: {right}, found {name}"
                )
    return None


# -- bounds -----------------------------------------------------------------------------------------------------------


@dataclass
class Bounds:
    """Inclusive bounds of fluxes, narrowed cut by cut.

    Attributes
    ----------
    flux_low, flux_high, snr_low, snr_high : float64 (bands,)
        Of flux and S/N by band; infinite where there is none.
    pairs : int64 (k, 2)
        Bands of each cut on a colour, by number.
    ratio_low, ratio_high : float64 (k,)
        Of the flux of the first over that of the second, both positive.
    """

    flux_low: Floats
    flux_high: Floats
    snr_low: Floats
    snr_high: Floats
    pairs: NDArray[np.int64]
    ratio_low: Floats
    ratio_high: Floats

    @classmethod
    def none(cls, bands: int) -> "Bounds":
        """Bounds that hold everywhere."""
        low, high = np.full(bands, -np.inf), np.full(bands, np.inf)
        return cls(low, high, low.copy(), high.copy(), np.empty((0, 2), np.int64), np.empty(0), np.empty(0))

    def narrow(self, kind: str, band: int, operator: str, value: float, zero_point_mag: float) -> None:
        """Let ``KIND_BAND operator value`` hold too."""
        if kind == "flux":
            _narrow(self.flux_low, self.flux_high, band, operator, value)
        elif kind == "snr":
            _narrow(self.snr_low, self.snr_high, band, operator, value)
        else:
            self._narrow_inverse(kind, band, operator, value, zero_point_mag)

    def _narrow_inverse(self, kind: str, band: int, operator: str, value: float, zero_point: float) -> None:
        """The same for quantities that fall with flux, and that only a positive flux has."""
        self.flux_low[band] = max(self.flux_low[band], SMALLEST)
        turned = FLIPPED[operator]
        if kind == "mag":
            _narrow(self.flux_low, self.flux_high, band, turned, _ratio(value - zero_point))
        elif value > 0:
            _narrow(self.snr_low, self.snr_high, band, turned, MAG_PER_RELATIVE_FLUX / value)
        elif operator in ("<", "<="):
            self.flux_low[band] = np.inf  # errors are positive

    def narrow_colour(self, pair: tuple[int, int], operator: str, value: float) -> None:
        """Let ``mag_A - mag_B operator value`` hold too."""
        for band in pair:
            self.flux_low[band] = max(self.flux_low[band], SMALLEST)
        self.pairs = np.append(self.pairs, [pair], axis=0)
        self.ratio_low, self.ratio_high = np.append(self.ratio_low, 0.0), np.append(self.ratio_high, np.inf)
        _narrow(self.ratio_low, self.ratio_high, -1, FLIPPED[operator], _ratio(value))


def _ratio(difference_mag: float) -> float:
    """Ratio of fluxes; 0 or infinity where it is beyond float64, which bounds the same."""
    with np.errstate(all="ignore"):
        return float(np.power(10.0, -0.4 * difference_mag))


def _narrow(low: Floats, high: Floats, band: int, operator: str, value: float) -> None:
    """Move a bound; one that is exclusive becomes the next number, inclusive."""
    if operator in (">", ">="):
        low[band] = max(low[band], np.nextafter(value, np.inf) if operator == ">" else value)
    else:
        high[band] = min(high[band], np.nextafter(value, -np.inf) if operator == "<" else value)


# -- terms ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cuts:
    """A selection, taken apart.

    Attributes
    ----------
    bands : tuple of str
        Those that it measures, sorted.
    fixed : bool (n,)
        Objects that pass what does not depend on noise.
    bounds : Bounds
        Of the bands.
    others : tuple of Node
        What else must be true of measured quantities.
    columns : mapping of str to float64 (n,)
        The other names in `others`.
    """

    bands: tuple[str, ...]
    fixed: NDArray[np.bool_]
    bounds: Bounds
    others: tuple[Node, ...]
    columns: Mapping[str, Floats]

    @property
    def needed(self) -> frozenset[str]:
        """Names of everything in `others`."""
        return frozenset(_names(self.others))

    def others_hold(self, values: Mapping[str, Floats]) -> NDArray[np.bool_]:
        """Whether the other terms are true of values by name, all of one shape."""
        maps = {name: Operand(one, False) for name, one in values.items()}
        truths = [truth_of(term, maps) == TRUE for term in self.others]
        return np.asarray(np.logical_and.reduce(truths))


def cuts_of(
    expression: Expression,
    bands: Collection[str],
    columns: Mapping[str, Floats],
    count: int,
    zero_point_mag: float,
) -> Cuts:
    """Take a selection apart.

    Parameters
    ----------
    expression : Expression
    bands : collection of str
        Bands that can be measured.
    columns : mapping of str to float64 (n,)
        Every other name of the expression.
    count : int
        Number n of objects.
    zero_point_mag : float
        AB magnitude of unit flux.
    """
    noisy = {name: one for name in expression.names if (one := measured(name, bands)) is not None}
    used = tuple(sorted({band for _, band in noisy.values()}))
    bounds, others = Bounds.none(len(used)), []
    fixed = np.ones(count, bool)
    maps = {name: Operand(one, False) for name, one in columns.items()}
    for term in expression.terms:
        names = _names([term])
        if not names & noisy.keys():
            fixed &= truth_of(term, maps) == TRUE
        elif (cut := _cut(term)) is None or not all(name in noisy for name in cut[0]):
            others.append(term)
        elif len(cut[0]) == 1:
            kind, band = noisy[cut[0][0]]
            bounds.narrow(kind, used.index(band), cut[1], cut[2], zero_point_mag)
        elif {noisy[name][0] for name in cut[0]} == {"mag"}:
            first, second = (used.index(noisy[name][1]) for name in cut[0])
            bounds.narrow_colour((first, second), cut[1], cut[2])
        else:
            others.append(term)
    kept = {name: columns[name] for name in sorted(_names(others) - noisy.keys())}
    return Cuts(used, fixed, bounds, tuple(others), kept)


def _names(terms: Sequence[Node]) -> set[str]:
    return {node.text for term in terms for node in term.walk() if node.what == "name"}


def _cut(term: Node) -> tuple[tuple[str, ...], str, float] | None:
    """(names, operator, number) where a name, or the difference of two, is compared with a finite number, else None."""
    if term.what not in FLIPPED:
        return None
    left, right = term.arguments
    operator = term.what if _names([left]) else FLIPPED[term.what]
    measure, number = (left, right) if _names([left]) else (right, left)
    names = measure.arguments if measure.what == "-" else (measure,)
    if _names([number]) or any(one.what != "name" for one in names):
        return None
    value = float(number_of(number, {"": Operand(np.zeros(1), False)})[0])
    return (tuple(one.text for one in names), operator, value) if np.isfinite(value) else None
