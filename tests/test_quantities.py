"""The table of quantities against the published rows, and the degrade rule of quantity and statistic."""

import pytest

from vmpz.errors import InputError
from vmpz.quantities import QUANTITIES, degrade_rule, quantity
from vmpz.sky.skymap import DEGRADE_RULES
from vmpz.statistics import STATISTICS, statistic


def test_every_published_quantity_is_there() -> None:
    published = {
        "Tile", "SAA", "AA", "BA", "Exposures", "Noise", "PSF", "GalacticExtinction", "ZodiacalLight", "StarDensity",
        "StarBrightnessMean", "StarBrightnessStd", "ExposureTime", "Weight", "Background", "Persistence", "Seeing",
        "Airmass", "AtmosphericExtinction", "MJD", "GalaxyDensity", "PhzQuality",
    }  # fmt: skip
    more = {"PSFE1", "PSFE2", "ParallacticAngle", "DCR1", "DCR2", "DCRE1", "DCRE2"}
    assert set(QUANTITIES) == published | more
    assert {name: row.dtype for name, row in QUANTITIES.items() if row.dtype != "float32"} == {
        "Tile": "int64",
        "MJD": "float64",
    }


@pytest.mark.parametrize(
    ("name", "default", "rule"),
    [
        ("Tile", "VALUE", "MODE"),
        ("SAA", "MEAN", "MEAN"),
        ("Exposures", "COUNT", "COVERAGE"),
        ("Noise", "RMSQ", "QUAD"),
        ("PSF", "MEAN", "QUAD"),
        ("GalacticExtinction", "MEAN", "MEAN"),
        ("StarDensity", "VALUE", "MEAN"),
        ("ExposureTime", "SUM", "COVERAGE"),
        ("Persistence", "MEAN", "COVERAGE"),
        ("Airmass", "WMEAN", "MEAN"),
        ("MJD", "MEAN", "MEAN"),
    ],
)
def test_defaults_and_their_rules(name: str, default: str, rule: str) -> None:
    assert quantity(name).statistic == default
    assert degrade_rule(name, default) == rule


@pytest.mark.parametrize("name", QUANTITIES)
def test_rule_follows_the_statistic(name: str) -> None:
    own = quantity(name).rule
    expected = {
        "COUNT": "COVERAGE", "SUM": "COVERAGE", "MIN": "MIN", "MAX": "MAX", "MODE": "MODE", "MEAN": own, "WMEAN": own,
        "RMSQ": own, "STD": "NONE", "MEDIAN": "NONE", "WMEDIAN": "NONE", "Q25": "NONE", "ARGMIN": "NONE",
    }  # fmt: skip
    assert {how: degrade_rule(name, how) for how in expected} == expected
    assert {degrade_rule(name, how) for how in STATISTICS} <= {*DEGRADE_RULES, "NONE"}
    assert statistic(quantity(name).statistic)


def test_a_value_that_is_no_density_takes_the_commonest() -> None:
    assert degrade_rule("SAA", "VALUE") == "MODE"


def test_unknown_names_are_refused_with_the_list() -> None:
    with pytest.raises(InputError, match=r"one of Tile, SAA.*found Noize"):
        quantity("Noize")
    with pytest.raises(InputError, match=r"one of COUNT, SUM.*found AVERAGE"):
        statistic("AVERAGE")
