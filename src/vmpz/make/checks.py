"""What a test of a catalogue says, and the rules by which it passes."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

__all__ = ["LEAST", "Check", "Curves", "by_p", "left_out", "p_of_chi2"]

Floats = NDArray[np.float64]
Curves = dict[str, NDArray[np.float64]]

LEAST = 1e-4
"""Probability below which (above 1 - which, where points may be too even) a test fails."""


@dataclass(frozen=True)
class Check:
    """One test.

    Attributes
    ----------
    name : str
        One word.
    statistic : float or None
        What was found; what it is stands in `meaning`.
    meaning : str
        The statistic in words, with its unit.
    p : float or None
        Probability of a statistic as bad, or worse.
    bound : str
        What had to hold.
    passed : bool or None
        None where the test was left out; `note` says why.
    note : str
    curves : mapping of str to float64 array
        What is drawn of it.
    """

    name: str
    statistic: float | None
    meaning: str
    p: float | None
    bound: str
    passed: bool | None
    note: str = ""
    curves: Curves = field(default_factory=dict, repr=False, compare=False)

    @property
    def verdict(self) -> str:
        """'passed', 'failed' or 'left out'."""
        return {True: "passed", False: "failed", None: "left out"}[self.passed]


def left_out(name: str, meaning: str, why: str) -> Check:
    """A test that could not be made."""
    return Check(name, None, meaning, None, "", None, why)


def by_p(
    name: str,
    statistic: float,
    meaning: str,
    p: float,
    *,
    even: bool = False,
    note: str = "",
    curves: Curves | None = None,
) -> Check:
    """A test by its p-value; with `even`, points that are more even than chance makes them fail too."""
    bound = f"p in [{LEAST:g}, 1 - {LEAST:g}]" if even else f"p >= {LEAST:g}"
    if even and p > 1.0 - LEAST:
        note = f"more even than independent points are{'; ' if note else ''}{note}"
    passed = p >= LEAST and not (even and p > 1.0 - LEAST)
    return Check(name, float(statistic), meaning, float(p), bound, bool(passed), note, curves or {})


def p_of_chi2(chi2: float, freedom: float) -> float:
    """Probability of a chi-square at least as large."""
    return float(chdtrc(freedom, chi2))
