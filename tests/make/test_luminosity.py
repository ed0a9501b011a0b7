"""Luminosity functions and counts as classes: the incomplete gamma, the shift law, dust, sizes, the laws of V."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from vmpz.errors import InputError
from vmpz.make.luminosity import CellBranch, Tables, counts_branch, luminosity_branch
from vmpz.parameters import VisibilityParameters
from vmpz.physics.completeness import Completeness, extended_mag
from vmpz.physics.efficiency import Efficiency
from vmpz.physics.luminosity import Schechter, distances, upper_gamma

REFERENCE = 25.5
H0, OMEGA_M = 67.66, 0.3111
LOW, HIGH = 0.2, 1.5
SCHECHTER = {"m_star": -21.0, "alpha": -1.2, "redshift": (LOW, HIGH)}
STEEP = Efficiency(np.array([-1.0, -0.4, 0.0, 0.3, 0.5]), np.array([[0.98, 0.95, 0.6, 0.2, 0.05]]))
DIM = Efficiency(
    np.array([-1.0, 0.0, 0.5]), np.array([[1.0, 0.8, 0.1], [0.8, 0.5, 0.0]]), np.array([21.0, 25.0])
)
SELECTIONS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "gaussian, S/N 10": {"snr": 10.0, "plateau": 0.974},
    "erf": {"completeness": "erf", "width": 0.1},
    "narrow erf": {"completeness": "erf", "width": 0.01, "offset": -0.3},
    "logistic": {"completeness": "logistic", "width": 0.1, "plateau": 0.9},
    "redmapper": {"completeness": "redmapper", "width": 0.1, "offset": 0.1},
    "hard": {"completeness": "hard"},
    "efficiency": {"completeness": "efficiency", "efficiency": "eff.fits"},
}


def chosen(selection: dict[str, Any], **more: Any) -> VisibilityParameters:
    return VisibilityParameters(
        **{"name": "A", "reference": {"VIS": REFERENCE}, "selection": selection, **more}
    )


def tables(selection: dict[str, Any], efficiency: Efficiency = STEEP, **more: Any) -> Tables:
    return Tables(efficiency=efficiency if "efficiency" in selection else None, **more)


def counts(selection: dict[str, Any], slope: float, **more: Any) -> CellBranch:
    law = {"slope": slope, "magnitudes": (0.0, 32.0)}
    return counts_branch(chosen(selection, counts=law, **more), tables(selection))


def luminosity(selection: dict[str, Any], law: dict[str, Any] = SCHECHTER, **more: Any) -> CellBranch:
    return luminosity_branch(
        chosen(selection, luminosity=law, **more), tables(selection), coefficients={"VIS": 2.0}
    )


def number(branch: CellBranch, depth: float, ebv: float = 0.0) -> float:
    return float(branch.galaxies.weight @ branch.seen({"VIS": depth}, ebv))


# -- acceptance -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.2, 0.3, 0.4])
@pytest.mark.parametrize("name", SELECTIONS)
def test_shift_law(name: str, slope: float) -> None:
    branch = counts(SELECTIONS[name], slope)
    for depth in (24.2, 24.731):
        first = number(branch, depth)
        for shift in (0.01, 0.05, 0.1, 0.1234, 0.3):
            assert number(branch, depth + shift) / first == pytest.approx(10 ** (slope * shift), rel=1e-5)


@pytest.mark.parametrize(
    ("slope", "shift", "percent"),
    [
        (0.4, 0.01, 0.925289),
        (0.4, 0.05, 4.712855),
        (0.4, 0.1, 9.647820),
        (0.4, 0.3, 31.825674),
        (0.2, 0.1, 4.712855),
    ],
)
def test_published_numbers_of_the_shift_law(slope: float, shift: float, percent: float) -> None:
    branch = counts(SELECTIONS["erf"], slope)
    found = 100 * (number(branch, 24.5 + shift) / number(branch, 24.5) - 1)
    assert found == pytest.approx(percent, abs=5e-7 if slope == 0.4 else 3e-4)


NODES, SHARES = (0.5 * (HIGH - LOW) * one for one in np.polynomial.legendre.leggauss(300))
MODULUS, VOLUME = distances(0.5 * (LOW + HIGH) + NODES, h0=H0, omega_m=OMEGA_M)


def exact_number(depth: float) -> float:
    """Galaxies of `SCHECHTER` per square degree above a hard cut, by the incomplete gamma and many redshifts."""
    return float(SHARES @ (VOLUME * upper_gamma(-0.2, 10 ** (0.4 * (-21.0 - (depth - MODULUS))))))


def test_hard_cut_is_the_incomplete_gamma() -> None:
    branch = luminosity(SELECTIONS["hard"])
    for depth in np.concatenate([np.linspace(20.0, 27.0, 30), [24.05, 24.0500001, 25.0]]):
        assert number(branch, depth) == pytest.approx(exact_number(depth), rel=1e-8)
    thin = luminosity(SELECTIONS["hard"], {**SCHECHTER, "redshift": (0.5, 0.500001)})
    (modulus,) = np.atleast_1d(distances(0.5000005, h0=H0, omega_m=OMEGA_M)[0])
    for x in (0.1, 1.0, 3.0):
        depth = modulus - 21.0 - 2.5 * np.log10(x)
        expected = float(upper_gamma(-0.2, x) / upper_gamma(-0.2, 0.05))
        found = number(thin, depth) / number(thin, modulus - 21.0 - 2.5 * np.log10(0.05))
        assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", ["gaussian", "erf", "logistic", "redmapper", "efficiency"])
def test_against_a_fine_integral(name: str) -> None:
    """The same class by 2000 magnitudes a magnitude and 60 redshifts."""
    branch = luminosity(SELECTIONS[name])
    form = {key: value for key, value in SELECTIONS[name].items() if key in ("width", "offset", "plateau")}
    function = Completeness(
        name,  # type: ignore[arg-type]
        chance=False,
        table=STEEP if name == "efficiency" else None,
        **{
            {"width": "width_mag", "offset": "offset_mag"}.get(key, key): value for key, value in form.items()
        },
    )
    nodes, weights = np.polynomial.legendre.leggauss(60)
    modulus, volume = distances(0.5 * (LOW + HIGH) + 0.5 * (HIGH - LOW) * nodes, h0=H0, omega_m=OMEGA_M)
    mag = np.arange(15.0, 37.0, 5e-4) + 2.5e-4
    density = np.zeros(mag.size)
    law = Schechter(-21.0, -1.2)
    for one, factor in zip(modulus, 0.5 * (HIGH - LOW) * weights * volume, strict=True):
        density += np.where(mag - one <= -10.0, factor * law.density(mag - one), 0.0)

    def fine(depth: float) -> float:
        return float(density @ function(mag, depth) * 5e-4)

    for depth in (22.3, 24.0, 24.777):
        expected = fine(depth) / fine(REFERENCE)
        assert number(branch, depth) / number(branch, REFERENCE) == pytest.approx(expected, rel=2e-5)
    assert number(branch, REFERENCE) == pytest.approx(fine(REFERENCE), rel=2e-5)


# -- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SELECTIONS)
@given(depth=st.floats(18.0, 28.0), more=st.floats(0.0, 1.0), ebv=st.floats(0.0, 0.3))
@settings(max_examples=15, deadline=None)
def test_visibility_never_falls_with_depth(name: str, depth: float, more: float, ebv: float) -> None:
    branch = dusty(name)
    seen, deeper = branch.seen({"VIS": depth}), branch.seen({"VIS": depth + more})
    assert seen.min() >= 0.0
    assert seen.max() <= 1.0 + 1e-12
    weight = branch.galaxies.weight
    assert weight @ deeper >= (weight @ seen) * (1 - 1e-9)
    assert number(branch, depth, ebv) <= number(branch, depth) * (1 + 1e-9)


@cache
def dusty(name: str) -> CellBranch:
    return luminosity(SELECTIONS[name], extinction="dereddened")


@pytest.mark.parametrize("name", SELECTIONS)
@given(shift=st.floats(-3.0, 3.0), depth=st.floats(23.0, 25.5))
@settings(max_examples=8, deadline=None)
def test_another_unit_of_flux_changes_nothing(name: str, shift: float, depth: float) -> None:
    mag = np.array([14.0, 18.0, 22.0, 26.0, 31.0])
    found = np.array([0.1, 5.0, 800.0, 3e4, 1e5])
    ratios = []
    for moved in (0.0, shift):
        law = {"table": "counts.csv", "magnitudes": (15.0 + moved, 30.0 + moved)}
        branch = counts_branch(
            chosen(SELECTIONS[name], counts=law),
            tables(SELECTIONS[name], counts=(mag + moved, found)),
        )
        ratios.append(number(branch, depth + moved) / number(branch, REFERENCE + moved))
    assert ratios[1] == pytest.approx(ratios[0], rel=1e-5)


@given(steps=st.integers(-60, 60))
@settings(max_examples=10, deadline=None)
def test_another_unit_by_whole_steps_changes_nothing_at_all(steps: int) -> None:
    moved = 0.05 * steps
    law = {"slope": 0.3, "magnitudes": (15.0 + moved, 30.0 + moved)}
    branch = counts_branch(chosen({}, counts=law))
    ratio = number(branch, 24.3 + moved) / number(branch, REFERENCE + moved)
    whole = counts_branch(chosen({}, counts={"slope": 0.3, "magnitudes": (15.0, 30.0)}))
    assert ratio == pytest.approx(number(whole, 24.3) / number(whole, REFERENCE), rel=1e-11)


def test_degrading_visibility_is_not_degrading_depth() -> None:
    branch = counts(SELECTIONS["logistic"], 0.4)
    half = 0.5 * (number(branch, 24.0) + number(branch, 24.5))
    assert half / number(branch, 24.25) == pytest.approx(1.0266, abs=5e-5)


def test_density_does_not_change_visibility() -> None:
    one, two = luminosity({}), luminosity({}, {**SCHECHTER, "phi_star": 0.0044})
    assert number(two, 24.0) / number(two, 25.5) == pytest.approx(
        number(one, 24.0) / number(one, 25.5), rel=1e-13
    )


# -- the objects ------------------------------------------------------------------------------------------------------


def test_objects_are_cells_of_the_class() -> None:
    galaxies = luminosity({}, half_light_arcsec=0.3, psf_fwhm_arcsec={"VIS": 0.2}).galaxies
    assert 15_000 < len(galaxies) < 50_000
    assert galaxies.spread_mag == 0.05
    assert galaxies.redshift.min() - 0.5 * galaxies.spread_z == pytest.approx(LOW)
    assert galaxies.redshift.max() + 0.5 * galaxies.spread_z == pytest.approx(HIGH)
    assert set(galaxies.size_arcsec) == {0.3}
    assert np.isnan(galaxies.photo_z).all()
    modulus, _ = distances(galaxies.redshift, h0=H0, omega_m=OMEGA_M)
    absolute = galaxies.magnitudes["VIS"] - modulus
    assert -10.2 < absolute.max() < -9.8
    plain = counts({}, 0.3).galaxies
    assert np.isnan(plain.redshift).all()
    assert plain.spread_z == 0.0
    assert np.isnan(plain.size_arcsec).all()
    assert len(plain) == 640


def test_random_objects_follow_what_is_seen() -> None:
    branch, depth, number_of = luminosity(SELECTIONS["hard"]), 24.0, 20_000
    galaxies, rng = branch.galaxies, np.random.default_rng(5)
    probability = galaxies.weight * branch.seen({"VIS": depth})
    drawn = rng.choice(len(galaxies), number_of, p=probability / probability.sum())
    mag = galaxies.magnitudes["VIS"][drawn] + galaxies.spread_mag * (rng.random(number_of) - 0.5)
    redshift = galaxies.redshift[drawn] + galaxies.spread_z * (rng.random(number_of) - 0.5)
    whole = exact_number(depth)
    grid = np.linspace(14.0, depth, 200)
    law = [exact_number(one) / whole for one in grid]
    assert kstest(mag, lambda at: np.interp(at, grid, law)).pvalue > 0.01
    grid = np.linspace(LOW, HIGH, 400)
    modulus, volume = distances(grid, h0=H0, omega_m=OMEGA_M)
    per_z = volume * upper_gamma(-0.2, 10 ** (0.4 * (-21.0 - (depth - modulus))))
    law = np.concatenate([[0.0], np.cumsum(0.5 * (per_z[1:] + per_z[:-1]))])
    assert kstest(redshift, lambda at: np.interp(at, grid, law / law[-1])).pvalue > 0.01


# -- noise, size, dust ------------------------------------------------------------------------------------------------


@given(scale=st.floats(0.5, 3.0), depth=st.floats(22.0, 27.0))
@settings(max_examples=10, deadline=None)
def test_noise_and_size_make_the_depth_shallower(scale: float, depth: float) -> None:
    noisy = counts({}, 0.3, noise_scale={"VIS": scale, "NIR_Y": 9.0})
    assert number(noisy, depth) == pytest.approx(number(POINTS, depth - 2.5 * np.log10(scale)), rel=1e-11)
    large = counts({}, 0.3, half_light_arcsec=0.4, psf_fwhm_arcsec={"VIS": 0.16})
    shallower = float(extended_mag(0.4, 0.16))
    assert shallower > 1.0
    assert number(large, depth) == pytest.approx(number(POINTS, depth - shallower), rel=1e-11)


POINTS = counts({}, 0.3)


@pytest.mark.parametrize("name", SELECTIONS)
def test_both_kinds_of_dust_agree_where_only_the_difference_counts(name: str) -> None:
    law = {"m_star": -21.0, "alpha": -1.0, "redshift": (0.3, 0.9)}
    corrected, observed = (
        luminosity(SELECTIONS[name], law, extinction=kind) for kind in ("dereddened", "observed")
    )
    found = number(corrected, 25.0, 0.11)
    assert found == pytest.approx(number(corrected, 25.0 - 0.22), rel=1e-12)
    assert number(observed, 25.0, 0.11) == pytest.approx(found, rel=1e-12)
    assert number(luminosity(SELECTIONS[name], law), 25.0, 0.11) > found


def test_limits_of_the_sample_are_of_the_magnitudes_that_are_cut() -> None:
    """Where images are much deeper than the sample, dust removes nothing from a sample of dereddened magnitudes."""
    selection = {"completeness": "redmapper", "width": 0.1, "m_max": 22.0}
    corrected, observed = (counts_of(selection, kind) for kind in ("dereddened", "observed"))
    assert number(corrected, 26.0, 0.1) == pytest.approx(number(corrected, 26.0), rel=1e-12)
    assert number(observed, 26.0, 0.1) / number(observed, 26.0) == pytest.approx(10 ** (-0.3 * 0.2), rel=1e-5)


def counts_of(selection: dict[str, Any], extinction: str, efficiency: Efficiency = STEEP) -> CellBranch:
    law = {"slope": 0.3, "magnitudes": (0.0, 32.0)}
    return counts_branch(
        chosen(selection, counts=law, extinction=extinction),
        tables(selection, efficiency),
        coefficients={"VIS": 2.0},
    )


def test_efficiencies_against_magnitude_too() -> None:
    corrected, observed = (
        counts_of(SELECTIONS["efficiency"], kind, DIM) for kind in ("dereddened", "observed")
    )
    assert number(corrected, 25.0, 0.1) != pytest.approx(number(observed, 25.0, 0.1), rel=1e-3)
    assert number(observed, 24.0, 0.1) == pytest.approx(number(corrected, 24.0 - 0.2, 0.0), rel=0.1)
    assert number(corrected, 30.0) == pytest.approx(number(corrected, 31.0), rel=1e-12)  # MAG ends at 25


# -- corrections and tables -------------------------------------------------------------------------------------------


def test_corrections_as_polynomials_and_tables() -> None:
    z = np.linspace(0.0, 2.0, 401)
    plain = luminosity({})
    told = {**SCHECHTER, "k_correction": [1.0, 0.5], "evolution": [-1.0, -0.5]}
    assert number(luminosity({}, told), 24.0) == pytest.approx(number(plain, 24.0), rel=1e-11)
    read = {**SCHECHTER, "k_correction": "k.csv", "evolution": "e.csv"}
    branch = luminosity_branch(
        chosen({}, luminosity=read),
        Tables(k_correction=(z, 2.5 * np.log10(1 + z)), evolution=(z, -2.5 * np.log10(1 + z))),
    )
    assert number(branch, 24.0) == pytest.approx(number(plain, 24.0), rel=1e-11)
    dimmer = luminosity({}, {**SCHECHTER, "k_correction": [1.0]})
    assert number(dimmer, 24.0) < number(plain, 24.0)
    assert number(dimmer, 24.0) > number(plain, 24.0 - HIGH)


def test_a_tabulated_function_is_that_function() -> None:
    mag = np.arange(-26.0, -9.9, 0.01)
    told = {"table": "phi.fits", "redshift": (LOW, HIGH)}
    branch = luminosity_branch(
        chosen({}, luminosity=told), Tables(luminosity=(mag, Schechter(-21.0, -1.2).density(mag)))
    )
    assert number(branch, 24.0) == pytest.approx(number(luminosity({}), 24.0), rel=1e-4)
    power = counts_branch(
        chosen({}, counts={"table": "n.csv", "magnitudes": (15.0, 30.0)}),
        Tables(counts=(np.array([10.0, 40.0]), 10 ** (0.4 * np.array([0.0, 30.0])))),
    )
    slope = counts_branch(chosen({}, counts={"slope": 0.4, "magnitudes": (15.0, 30.0)}))
    ratio = number(power, 24.0) / number(power, 25.0)
    assert ratio == pytest.approx(number(slope, 24.0) / number(slope, 25.0), rel=1e-12)


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "given_tables", "message"),
    [
        ({"reference": {"VIS": 25.0, "NIR_Y": 24.0}}, {}, "of one band, found a selection in VIS, NIR_Y"),
        ({"extinction": "observed"}, {}, r"needs A_b / E\(B-V\) of band VIS, found none"),
        ({"half_light_arcsec": 0.3}, {}, "needs psf_fwhm_arcsec of band VIS"),
        (
            {"selection": {"snr": 3.0, "completeness": "hard"}},
            {},
            "snr has no meaning for completeness = 'hard'",
        ),
        ({"selection": {"offset": 0.1}}, {}, "offset has no meaning for completeness = 'gaussian'"),
        ({"selection": {"completeness": "erf", "m_max": 24.0}}, {}, "m_max has no meaning for"),
        ({"selection": SELECTIONS["efficiency"]}, {}, "a table of efficiencies go together"),
        ({"luminosity": {"table": "t.csv", "redshift": (0.1, 1)}}, {}, "table t.csv must be given"),
        (
            {"luminosity": {"table": "t.csv", "redshift": (0.1, 1)}},
            {"luminosity": (np.array([15.0, 20.0]), np.ones(2))},
            r"t.csv: magnitudes must reach into \[-28.0, -10.0\], found 15.0 to 20.0",
        ),
        (
            {"luminosity": {**SCHECHTER, "k_correction": "k.csv"}},
            {"k_correction": (np.array([0.0, 1.0]), np.zeros(2))},
            "k.csv: k_correction must reach from redshift 0.2 to 1.5, found 0.0 to 1.0",
        ),
        ({"luminosity": {**SCHECHTER, "evolution": "e.csv"}}, {}, "table e.csv of evolution must be given"),
        ({"luminosity": {**SCHECHTER, "m_star": 900.0}}, {}, "a class must hold galaxies"),
    ],
)
def test_what_is_no_class_is_refused(
    more: dict[str, Any], given_tables: dict[str, Any], message: str
) -> None:
    told = chosen(**{"selection": {}, "luminosity": SCHECHTER, **more})
    with pytest.raises(InputError, match=message):
        luminosity_branch(told, Tables(**given_tables))


def test_the_other_kind_of_class_is_refused() -> None:
    with pytest.raises(InputError, match="must be number counts"):
        counts_branch(chosen({}, luminosity=SCHECHTER))
    with pytest.raises(InputError, match="must be a luminosity function"):
        luminosity_branch(chosen({}, counts={"slope": 0.3}))


@pytest.mark.parametrize("depth", [{}, {"NIR_Y": 24.0}, {"VIS": np.nan}, {"VIS": -np.inf}])
def test_a_place_without_depth_is_refused(depth: dict[str, float]) -> None:
    with pytest.raises(InputError, match="a depth in VIS must be finite"):
        POINTS.seen(depth)
