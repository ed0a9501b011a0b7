r"""Validation: is a catalogue what a visibility map says?

**Definition.** Points of a catalogue that follows V are a Poisson process of mean nbar V per solid angle (of a fixed
number: a multinomial one), uniform inside every cell. Each test below compares one consequence with the catalogue and
states a number and whether it passes; a catalogue passes if no test fails.

=========== ======================================================================================================
total       rows = the number stated; or the sum of weights within 5 sigma of density times integral of V
outside     nothing lies where V is 0 or the map is not known
deciles     density over V in deciles of V: slope against V within 3 sigma
cells       chi-square per cell, against V scaled to the total; neighbours together where they expect fewer than 10
extremes    the worst cell of any order, from the map's own to the base cells: holes and heaps
subcells    chi-square of 64 x 64 (or 8 x 8) sub-cells of all cells that are observed as a whole, folded on one
digits      digits of HEALPix addresses down to order 29: lattices of any order
precision   coordinates are neither float32 nor repeated as on a lattice
neighbours  P(nearest neighbour farther than r) = exp(-n pi r^2), by the density in the disc of radius r
pairs       pair counts in a cap against the closed form (`paircounts`), times <V V'>/<V>^2
null        w of Landy and Szalay against points drawn from V, or another catalogue, is 0 (`landyszalay`)
spectrum    pseudo-spectrum of (n - nbar V)/nbar is flat at <V>/nbar (`harmonics`)
=========== ======================================================================================================

A p-value must be at least 1e-4, and at most 1 - 1e-4 for cells, sub-cells and the spectrum, since points may also be
too even. With weights, the variance is that of the weights found in the class of visibility of a cell.

References: Landy & Szalay 1993 (ApJ 412, 64); Gorski et al. 2005 (ApJ 622, 759).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmpz.display import card, facts, number, table
from vmpz.errors import InputError
from vmpz.make.checks import Check
from vmpz.make.clusterchecks import neighbours_check, pairs_check, spectrum_check
from vmpz.make.countchecks import (
    cells_check,
    deciles_check,
    digits_check,
    extremes_check,
    outside_check,
    precision_check,
    subcells_check,
    total_check,
)
from vmpz.make.landyszalay import null_check, reference_points
from vmpz.make.paircounts import largest_cap
from vmpz.make.tally import Expectation, Sample, Tally
from vmpz.sky import hpx
from vmpz.sky.regions import Cap
from vmpz.sky.skymap import SkyMap

__all__ = ["Validation", "tally_for", "validate"]


@dataclass(frozen=True)
class Validation:
    """All tests of a catalogue.

    Attributes
    ----------
    checks : tuple of Check
    rows : int
    density_deg2 : float
        Weight per square degree where V is 1, as found.
    integral_deg2 : float
        Integral of V.
    """

    checks: tuple[Check, ...]
    rows: int
    density_deg2: float
    integral_deg2: float

    @property
    def passed(self) -> bool:
        """Whether no test failed."""
        return all(one.passed is not False for one in self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the tests that failed."""
        return tuple(one.name for one in self.checks if one.passed is False)

    def __getitem__(self, name: str) -> Check:
        return next(one for one in self.checks if one.name == name)

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else f"failed {', '.join(self.failed)}"
        return f"Validation({verdict}, rows={self.rows}, density={self.density_deg2:.6g} per deg2)"

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, and a row for each test."""
        rows = [
            (one.name, one.verdict, _short(one.statistic), _short(one.p), one.meaning, one.note)
            for one in self.checks
        ]
        return card(
            f"Validation: {'passed' if self.passed else 'failed'}",
            facts(
                [
                    ("rows", self.rows),
                    ("density where V is 1", f"{number(self.density_deg2)} deg\u207b\u00b2"),
                ]
            ),
            table(
                ("test", "verdict", "statistic", "p", "what", "note"),
                rows,
                [place for place, one in enumerate(self.checks) if one.passed is False],
            ),
        )

    def as_dict(self) -> Mapping[str, Any]:
        """Ready for JSON."""
        return {
            "passed": self.passed,
            "rows": self.rows,
            "density_deg2": self.density_deg2,
            "integral_deg2": self.integral_deg2,
            "checks": [
                {
                    "name": one.name, "verdict": one.verdict, "statistic": one.statistic, "p": one.p,
                    "meaning": one.meaning, "bound": one.bound, "note": one.note,
                }
                for one in self.checks
            ],
        }  # fmt: skip


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def tally_for(
    visibility: SkyMap,
    rows: int,
    *,
    subcells: SkyMap | None = None,
    coverage: SkyMap | None = None,
    cap: Cap | None = None,
) -> Tally:
    """What a catalogue of so many rows is added to, block by block.

    Parameters
    ----------
    visibility : SkyMap
    rows : int
    subcells : SkyMap, optional
        Words of observed sub-cells (column SUBCELL of a visibility).
    coverage : SkyMap, optional
        Observed fraction: cells below 1 take no part in what is tested inside cells.
    cap : Cap, optional
        Where pairs are counted; default the largest cap in which V > 0.

    Raises
    ------
    MapMismatchError
        V is negative, not finite or nowhere positive, or the coverage has another order.
    """
    expectation = Expectation.of(visibility, subcells, coverage)
    return Tally(expectation, rows, largest_cap(expectation.cells) if cap is None else cap)


def validate(
    tally: Tally,
    visibility: SkyMap,
    *,
    number: int | None = None,
    weight: float | None = None,
    randoms: Sample | None = None,
    seed: int,
) -> Validation:
    """The tests of a catalogue that was added to a tally.

    Parameters
    ----------
    tally : Tally
    visibility : SkyMap
        That of the tally.
    number : int, optional
        Rows that the catalogue must have.
    weight : float, optional
        Expected sum of weights: density times integral of V.
    randoms : Sample, optional
        Objects of another catalogue that follows V; default points drawn here.
    seed : int
        Of those.

    Raises
    ------
    InputError
        No object lies where V is above 0.
    """
    if not tally.counts.any():
        raise InputError(f"objects must lie where V is above 0, found none of {tally.rows} there")
    wide = tally.wide
    against = "of the other catalogue" if randoms is not None else "points drawn from V"
    if randoms is None:
        randoms = reference_points(tally.expectation, 2 * max(len(wide), 1), seed)
    checks = (
        total_check(tally, number, weight),
        outside_check(tally),
        deciles_check(tally),
        cells_check(tally),
        extremes_check(tally),
        subcells_check(tally),
        digits_check(tally),
        precision_check(tally.near),
        neighbours_check(tally),
        pairs_check(tally, visibility),
        null_check(wide, randoms, tally.expectation.cells.area_deg2, against),
        spectrum_check(tally),
    )
    density = tally.density_sr * hpx.cell_area_sr(0) / hpx.cell_area_deg2(0)
    return Validation(checks, tally.rows, density, tally.expectation.integral_deg2)
