"""Completeness functions from parameters: which numbers count, and what has no meaning."""

import math
from typing import Any

import numpy as np
import pytest

from vmpz.errors import InputError
from vmpz.make.selection import Efficiency, bands_of, completeness_of
from vmpz.parameters import SelectionParameters, VisibilityParameters
from vmpz.physics.completeness import Completeness, gaussian, logistic

TABLE = Efficiency(np.array([-1.0, 0.5]), np.array([[0.9, 0.2]]))


def test_numbers_reach_the_function() -> None:
    told = SelectionParameters(completeness="redmapper", offset=0.1, width=0.2, plateau=0.9, m_max=24.0)
    assert completeness_of(told, 5.0) == Completeness(
        "redmapper", chance=False, offset_mag=0.1, width_mag=0.2, plateau=0.9, max_mag=24.0
    )
    assert completeness_of(SelectionParameters(), 10.0).max_mag == math.inf
    mag = np.linspace(23, 27, 9)
    cut = completeness_of(SelectionParameters(snr=7.0), 10.0, chance=True)
    assert np.array_equal(cut(mag, 25.0), gaussian(mag - 25.0, 10.0, cut_snr=7.0))
    told = SelectionParameters(completeness="logistic", width=0.3, offset=-0.2)
    assert np.array_equal(
        completeness_of(told, 5.0)(mag, 25.0), logistic(mag - 25.0, width_mag=0.3, offset_mag=-0.2)
    )
    told = SelectionParameters(completeness="efficiency", efficiency="e.csv", plateau=0.5)
    assert float(completeness_of(told, 5.0, TABLE)(24.0, 25.0)) == 0.45


@pytest.mark.parametrize(
    ("told", "table", "message"),
    [
        ({"completeness": "hard", "width": 0.2}, None, "width has no meaning for completeness = 'hard'"),
        ({"completeness": "efficiency", "efficiency": "e", "snr": 5.0}, TABLE, "snr has no meaning"),
        ({"completeness": "efficiency", "efficiency": "e"}, None, "go together"),
        ({}, TABLE, "go together"),
        ({"completeness": "expression", "expression": "z > 1"}, None, "a selection of a deep sample"),
    ],
)
def test_what_has_no_meaning_is_refused(told: dict[str, Any], table: Efficiency | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        completeness_of(SelectionParameters(**told), 5.0, table)


def test_bands_are_those_of_the_reference_unless_named() -> None:
    told = {"name": "A", "reference": {"VIS": 25.0, "NIR_Y": 24.0}, "counts": {"slope": 0.3}}
    assert bands_of(VisibilityParameters(**told)) == ["VIS", "NIR_Y"]
    assert bands_of(VisibilityParameters(**told, selection={"bands": ["NIR_Y"]})) == ["NIR_Y"]
