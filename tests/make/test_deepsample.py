"""Deep samples: degraded to their own depth, to a shallower one, by independent noise; laws; what is refused."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import kstest

from vmpz.errors import InputError
from vmpz.kernels import noisy, philox
from vmpz.make.deepcatalogue import deep_columns
from vmpz.make.deepsample import GradedSample, MeasuredSample, deep_sample
from vmpz.make.expressions import TRUE, ExpressionError, Operand, parse, truth_of
from vmpz.parameters.visibility import VisibilityParameters
from vmpz.physics.depth import disc_area_pixels, gaussian_area_pixels
from vmpz.physics.efficiency import Efficiency

ZERO_POINT = 23.9
SNR = 5.0
DEEP = {"VIS": 27.5, "NIR_Y": 26.5, "NIR_H": 26.0}
REFERENCE = {"VIS": 26.2, "NIR_Y": 24.5, "NIR_H": 24.5}
SHALLOW = {"VIS": 25.7, "NIR_Y": 24.1, "NIR_H": 24.2}
CUT = (
    "snr_VIS > 10 and mag_VIS < 25 and snr_NIR_Y > 3 and mag_VIS - mag_NIR_H < 2.2 and (snr_NIR_H > 4 or size > 0.3) "
    "and 0.4 <= z_phot and z_phot < 0.9"
)


def flux(magnitude: Any, zero_point: float = ZERO_POINT) -> Any:
    return 10.0 ** (-0.4 * (np.asarray(magnitude) - zero_point))


def sigma(depth: float) -> float:
    """Noise that makes a depth."""
    return float(flux(depth)) / SNR


def truth(count: int, seed: int = 1, slope: float = 0.3, faintest: float = 27.0) -> dict[str, np.ndarray]:
    """True fluxes of galaxies of 10**(slope m) counts, with colours that depend on redshift, and sizes."""
    rng = np.random.default_rng(seed)
    z = rng.gamma(3.0, 0.3, count)
    low, high = 10.0 ** (slope * 20.0), 10.0 ** (slope * faintest)
    vis = np.log10(low + (high - low) * rng.random(count)) / slope
    return {
        "f_vis": flux(vis),
        "f_y": flux(vis - 0.5 - 0.4 * z + rng.normal(0, 0.15, count)),
        "f_h": flux(vis - 0.8 - 0.9 * z + rng.normal(0, 0.2, count)),
        "z": z,
        "zp": z + 0.05 * (1 + z) * rng.normal(0, 1, count),
        "r50": rng.lognormal(np.log(0.3), 0.4, count),
        "w": rng.uniform(0.5, 2.0, count),
    }


FLUXES = {"VIS": "f_vis", "NIR_Y": "f_y", "NIR_H": "f_h"}


def observed(
    fluxes: Mapping[str, np.ndarray], depth: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """The same galaxies as a survey of some depth measures them, and errors."""
    rng = np.random.default_rng(seed)
    found = dict(fluxes)
    for band, column in FLUXES.items():
        noise = np.full(len(fluxes["z"]), sigma(depth[band]))
        found[column] = fluxes[column] + noise * rng.normal(0, 1, noise.size)
        found["e" + column] = noise
    return found


def parameters(expression: str | None = CUT, /, **changes: Any) -> VisibilityParameters:
    deep = {
        "catalogue": "deep.parquet", "fluxes": FLUXES, "errors": {b: "e" + c for b, c in FLUXES.items()},
        "redshift": "z", "photo_z": "zp", "size": "r50", "weight": "w", "realisations": 4,
    } | changes.pop("deep", {})  # fmt: skip
    selection = {"completeness": "expression", "expression": expression}
    told = {
        "name": "bin1",
        "reference": REFERENCE,
        "deep": deep,
        "selection": selection,
        "seed": 11,
    } | changes
    return VisibilityParameters.model_validate(told)


def sample(columns: Mapping[str, np.ndarray], expression: str = CUT, **changes: Any) -> MeasuredSample:
    branch = deep_sample(parameters(expression, **changes), columns, depth_snr=SNR)
    assert isinstance(branch, MeasuredSample)
    return branch


def visibility(branch: MeasuredSample, depth: Mapping[str, float], reference: Mapping[str, float]) -> float:
    weight = branch.galaxies.weight
    return float((weight * branch.seen(depth)).sum() / (weight * branch.seen(reference)).sum())


def histogram(branch: MeasuredSample, depth: Mapping[str, float]) -> np.ndarray:
    weight = branch.galaxies.weight * branch.seen(depth)
    return np.histogram(branch.galaxies.redshift, 12, (0.3, 1.0), weights=weight)[0]


def selected(columns: Mapping[str, np.ndarray], depth: Mapping[str, float], text: str = CUT) -> np.ndarray:
    """The real selection on measured columns: numpy alone, written again."""
    values = {"z": columns["z"], "z_phot": columns["zp"], "size": columns["r50"]}
    for band, column in FLUXES.items():
        values[f"snr_{band}"] = columns[column] / sigma(depth[band])
        values[f"flux_{band}"] = columns[column]
        with np.errstate(all="ignore"):
            values[f"mag_{band}"] = ZERO_POINT - 2.5 * np.log10(columns[column])
            values[f"magerr_{band}"] = np.where(
                columns[column] > 0, 1.0857362047581296 / values[f"snr_{band}"], np.nan
            )
    expression = parse(text)
    maps = {name: Operand(values[name], False) for name in expression.names}
    return np.asarray(truth_of(expression.root, maps) == TRUE)


# -- acceptance: degraded samples -------------------------------------------------------------------------------------


def test_degraded_to_its_own_depth_it_is_what_it_was() -> None:
    """V = 1 exactly, n(z) unchanged: no noise is added, and every galaxy is in or out."""
    columns = observed(truth(20_000), DEEP, 5)
    branch = sample(columns, reference=DEEP)
    seen = branch.seen(DEEP)
    assert np.array_equal(seen, selected(columns, DEEP))
    assert visibility(branch, DEEP, DEEP) == 1.0
    expected = np.histogram(columns["z"], 12, (0.3, 1.0), weights=columns["w"] * selected(columns, DEEP))[0]
    assert np.array_equal(histogram(branch, DEEP), expected)


@pytest.mark.parametrize("depth", [SHALLOW, REFERENCE, {**REFERENCE, "NIR_Y": 23.9}])
def test_degraded_to_a_shallower_depth_it_has_the_counts_of_an_independent_survey(
    depth: dict[str, float],
) -> None:
    """Counts within 2 % with colours and a photo-z bin; n(z) within its errors."""
    true = truth(250_000)
    branch = sample(observed(true, DEEP, 5))
    shallow = observed(true, depth, 6)
    there = selected(shallow, depth)
    count = float((true["w"] * there).sum())
    predicted = float((branch.galaxies.weight * branch.seen(depth)).sum())
    assert there.sum() > 8_000
    assert abs(predicted / count - 1) < 0.02
    assert abs(visibility(branch, depth, REFERENCE) - count / (true["w"] * selected(
        observed(true, REFERENCE, 7), REFERENCE)).sum()) < 0.02  # fmt: skip
    expected = np.histogram(true["z"][there], 12, (0.3, 1.0), weights=true["w"][there])[0]
    error = np.sqrt(np.histogram(true["z"][there], 12, (0.3, 1.0), weights=true["w"][there] ** 2)[0])
    pull = (histogram(branch, depth) - expected) / np.maximum(error, 1.0)
    assert np.abs(pull).max() < 4.0


def test_without_the_noise_of_the_catalogue_taken_off_counts_come_out_wrong() -> None:
    """The catalogue's own noise matters: without errors it is added twice."""
    true = truth(200_000)
    near = {band: depth + 0.2 for band, depth in SHALLOW.items()}
    columns, text = observed(true, near, 5), "mag_NIR_Y - mag_NIR_H < 0.6 and snr_VIS > 5 and snr_NIR_Y > 3"
    count = (true["w"] * selected(observed(true, SHALLOW, 6), SHALLOW, text)).sum()
    right = sample(columns, text)
    wrong = sample(columns, text, deep={"errors": {}})
    ratio = [float((one.galaxies.weight * one.seen(SHALLOW)).sum() / count) for one in (right, wrong)]
    assert abs(ratio[0] - 1) < 0.02 < abs(ratio[1] - 1)


@pytest.mark.parametrize("slope", [0.2, 0.3, 0.4])
def test_power_law_counts_obey_the_shift_law(slope: float) -> None:
    """Counts change by 10**(s d) when the depth changes by d, within the noise of a Monte Carlo sum."""
    columns = truth(300_000, slope=slope, faintest=28.0)
    branch = sample(columns, "snr_VIS > 5", deep={"errors": {}, "weight": None})
    brighter = 3e5 / (
        10 ** (slope * (28.0 - 20.0)) - 1.0
    )  # than the brightest that are drawn, all of them seen
    first = branch.seen({"VIS": 25.0})
    for step in (0.01, 0.05, 0.1, 0.3):
        change = branch.seen({"VIS": 25.0 + step}) - first
        ratio = 1.0 + change.sum() / (first.sum() + brighter)
        error = np.sqrt((change**2).sum()) / first.sum()
        assert abs(ratio - 10 ** (slope * step)) < 4 * error < 0.02


# -- laws -------------------------------------------------------------------------------------------------------------

CUTS = [
    "snr_VIS > 5",
    "snr_VIS >= 7 and mag_VIS < 24.5 and 22 < mag_NIR_H",
    "magerr_VIS < 0.1 and magerr_NIR_Y > 0.01",
    "flux_VIS > 0.5 and flux_NIR_Y <= 40 and snr_NIR_H < 30",
    "snr_VIS > 5 and mag_VIS - mag_NIR_H < 1.5",
    "(snr_VIS > 5 or snr_NIR_H > 5) and not mag_VIS > 25 and z < 1",
    "magerr_VIS < 0.2 and (magerr_NIR_H < 0.2 or flux_NIR_Y > 1) and size < 0.5",
    "5 < snr_VIS and snr_VIS < 50 and mag_VIS != 22",
    "magerr_VIS < 0",
    "magerr_VIS > 0 and not magerr_NIR_Y < -1 and magerr_NIR_H > -1",
    "min(snr_VIS, snr_NIR_H) > 5 or abs(mag_VIS - mag_NIR_Y) < 0.3",
    "known(mag_VIS) and snr_VIS > 1",
    "0.2 < mag_VIS - mag_NIR_Y < 1 and 0.9 >= mag_NIR_Y - mag_NIR_H",
    "mag_VIS - mag_NIR_Y >= 0.4 and mag_VIS - snr_NIR_Y > 3 and mag_VIS - mag_NIR_H != 0.1",
]
COLUMNS = observed(truth(3000, 3), DEEP, 8)
depths = st.fixed_dictionaries({band: st.floats(22.0, 28.0) for band in REFERENCE})


@pytest.mark.parametrize("text", CUTS)
@settings(max_examples=10, deadline=None)
@given(depth=depths)
def test_taken_apart_a_selection_is_what_it_says(text: str, depth: dict[str, float]) -> None:
    """The bounds of the compiled loop, and what is left of the expression, against the whole in every realisation."""
    branch = sample(COLUMNS, text)
    _, count, realisations = branch.deviates.shape
    share = np.zeros(count)
    for r in range(realisations):
        columns = {name: one[branch.index].copy() for name, one in COLUMNS.items()}
        for b, band in enumerate(branch.noise.bands):
            name = FLUXES[band]
            added = np.sqrt(np.maximum(sigma(depth[band]) ** 2 - columns["e" + name] ** 2, 0.0))
            columns[name] = columns[name] + added * branch.deviates[b, :, r]
        share += selected(columns, depth, text)
    expected = np.zeros(len(branch.galaxies))
    expected[branch.index] = share / realisations
    assert np.count_nonzero(branch.seen(depth) != expected) <= 1  # rounding at a border


@pytest.mark.parametrize("text", [CUT, *CUTS])
def test_order_of_rows_does_not_matter(text: str) -> None:
    doubled = {name: np.concatenate([one, one[:50]]) for name, one in COLUMNS.items()}
    by = np.random.default_rng(2).permutation(len(doubled["z"]))
    found = sample(doubled, text).seen(SHALLOW)
    other = sample({name: one[by] for name, one in doubled.items()}, text).seen(SHALLOW)
    alike = {}
    for values, order in ((found[by], by), (other, by)):
        keys = np.lexsort((values, doubled["f_vis"][order]))  # rows that are alike may change places
        alike[len(alike)] = values[keys]
    assert np.array_equal(alike[0], alike[1])


@pytest.mark.parametrize("step", [-3, 1, 6])
def test_unit_of_flux_does_not_matter(step: int) -> None:
    """ZP moves by 2.5 mag for a factor of ten in flux."""
    factor = 10.0**step
    scaled = {n: one * factor if "f_" in n else one for n, one in COLUMNS.items()}
    for text in CUTS:
        if "flux" in text:
            continue
        one = sample(COLUMNS, text).seen(SHALLOW)
        other = sample(scaled, text, deep={"zero_point": ZERO_POINT + 2.5 * step}).seen(SHALLOW)
        assert np.count_nonzero(one != other) <= 1  # of 3000 galaxies, where rounding decides
    one, other = sample(COLUMNS), sample(scaled, deep={"zero_point": ZERO_POINT + 2.5 * step})
    assert visibility(other, SHALLOW, REFERENCE) == pytest.approx(
        visibility(one, SHALLOW, REFERENCE), abs=1e-12
    )


@settings(max_examples=20, deadline=None)
@given(depth=depths)
def test_at_the_reference_it_is_one_whatever_the_reference(depth: dict[str, float]) -> None:
    branch = sample(COLUMNS, "snr_VIS > 3 and mag_VIS - mag_NIR_H < 2", reference=depth)
    assert np.array_equal(branch.seen(depth), branch.seen(dict(reversed(depth.items()))))


@settings(max_examples=20, deadline=None)
@given(start=st.floats(23.0, 26.5), step=st.floats(0.05, 1.0))
def test_deeper_images_show_more_on_average(start: float, step: float) -> None:
    branch = sample(COLUMNS, "snr_VIS > 5 and snr_NIR_Y > 3")
    shallow, deep = ({"VIS": one, "NIR_Y": one - 1.5, "NIR_H": 24.0} for one in (start, start + step))
    one, other = branch.seen(shallow), branch.seen(deep)
    assert (other - one).sum() >= -3.0 * np.sqrt(((other - one) ** 2).sum())


def test_noise_is_that_of_the_galaxy_and_the_band_whatever_else_is_asked() -> None:
    """Other cuts, more realisations, other bands: the same deviates."""
    few = sample(COLUMNS, "snr_VIS > 5 and z < 1")
    many = sample(COLUMNS, "snr_NIR_Y > 5 and snr_VIS > 2", deep={"realisations": 7})
    assert many.noise.bands == ("NIR_Y", "VIS")
    assert np.array_equal(many.deviates[1][few.index, :4], few.deviates[0])
    again = sample(COLUMNS, "snr_VIS > 5 and z < 1", seed=12)
    assert np.abs(np.corrcoef(again.deviates.ravel(), few.deviates.ravel())[0, 1]) < 0.05
    assert np.abs(np.corrcoef(many.deviates.reshape(2, -1))[0, 1]) < 0.05


def test_deviates_are_normal() -> None:
    deviates = sample(truth(30_000), "snr_VIS > 5", deep={"errors": {}, "realisations": 5}).deviates
    assert kstest(deviates.ravel(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(deviates[0].T) - np.eye(5)).max() < 0.03


def test_known_deviate() -> None:
    """The layout of counter and key, written down once more."""
    branch = sample(COLUMNS, "snr_VIS > 5", deep={"realisations": 6})
    row = int(np.argsort(COLUMNS["f_vis"][branch.index])[17])
    place = int(np.argsort(np.argsort(COLUMNS["f_h"]))[branch.index[row]])  # NIR_H is the first band by name
    word = int.from_bytes(sha256(b"VIS").digest()[:8], "big")
    counter = np.array([[1, place, word, 0]], np.uint64)
    out = np.empty((1, 4), np.uint64)
    philox.blocks(counter, np.uint64(11), np.uint64(int.from_bytes(b"deepnois", "big")), out)
    assert branch.deviates[0, row, 5] == np.float32(ndtri(((int(out[0, 1]) >> 11) + 0.5) * 2.0**-53))


def test_kernel_interpreted_is_kernel_compiled() -> None:
    branch = sample(COLUMNS, "snr_VIS > 5 and 0 < mag_NIR_Y - mag_NIR_H < 0.7")
    part = slice(0, 300)
    arrays = [np.ascontiguousarray(one[:, part]) for one in (branch.flux, branch.widening, branch.variance)]
    deviates = np.ascontiguousarray(branch.deviates[:, part])
    found = []
    for kernel in (noisy.within, noisy.within.py_func):
        passed, counts = np.empty((300, 4), bool), np.empty(300, np.int64)
        bounds = branch.cuts.bounds
        kernel(*arrays, deviates, branch.largest, branch.noise.of_points(SHALLOW, 0.0), bounds.flux_low,
               bounds.flux_high, bounds.snr_low, bounds.snr_high, bounds.pairs, bounds.ratio_low, bounds.ratio_high,
               passed, counts)  # fmt: skip
        assert np.array_equal(counts, passed.sum(axis=1))
        found.append(passed)
    assert np.array_equal(found[0], found[1])


# -- noise ------------------------------------------------------------------------------------------------------------


def test_extended_galaxies_are_noisier() -> None:
    fwhm = 0.8
    columns = truth(2000)
    columns["r50"][:100] = 0.0
    branch = sample(columns, "snr_VIS > 5", deep={"errors": {}}, psf_fwhm_arcsec={"VIS": fwhm})
    expected = [
        np.sqrt(disc_area_pixels(float(r), fwhm, 1.0) / gaussian_area_pixels(fwhm, 1.0)) if r > 0 else 1.0
        for r in columns["r50"]
    ]
    np.testing.assert_allclose(branch.widening[0], expected, rtol=1e-7)
    everywhere = sample(
        columns, "snr_VIS > 5", deep={"errors": {}, "size": None}, psf_fwhm_arcsec={"VIS": fwhm},
        half_light_arcsec=0.3,
    )  # fmt: skip
    assert np.unique(everywhere.widening).size == 1 and everywhere.widening[0, 0] > 1.1
    assert np.all(sample(columns, "snr_VIS > 5", deep={"errors": {}}).widening == 1.0)


def test_a_factor_on_the_noise_is_a_shallower_depth() -> None:
    scaled = sample(COLUMNS, CUTS[5], noise_scale={"VIS": 1.3})
    plain = sample(COLUMNS, CUTS[5])
    depth = {**SHALLOW, "VIS": SHALLOW["VIS"] - 2.5 * np.log10(1.3)}
    np.testing.assert_array_equal(scaled.seen(SHALLOW), plain.seen(depth))


def test_depth_of_the_catalogue_stands_for_its_errors() -> None:
    told = sample(COLUMNS, CUTS[4], deep={"errors": {}, "depth": DEEP})
    np.testing.assert_array_equal(told.seen(SHALLOW), sample(COLUMNS, CUTS[4]).seen(SHALLOW))


def test_magnitudes_are_fluxes() -> None:
    bright = {n: one[np.all([COLUMNS[c] > 0 for c in FLUXES.values()], axis=0)] for n, one in COLUMNS.items()}
    columns = dict(bright)
    for column in FLUXES.values():
        columns["m" + column] = ZERO_POINT - 2.5 * np.log10(bright[column])
        columns["em" + column] = 1.0857362047581296 * bright["e" + column] / bright[column]
    by_band = {band: "m" + column for band, column in FLUXES.items()}
    deep = {"fluxes": {}, "magnitudes": by_band, "errors": {b: "e" + c for b, c in by_band.items()}}
    one, other = sample(columns, CUT, deep=deep), sample(bright)
    np.testing.assert_allclose(one.variance, other.variance, rtol=1e-9)
    assert np.count_nonzero(one.seen(SHALLOW) != other.seen(SHALLOW)) <= 1
    np.testing.assert_allclose(one.galaxies.magnitudes["VIS"], columns["mf_vis"], rtol=1e-12)


def test_where_the_catalogue_is_no_deeper_nothing_is_added_and_it_is_told() -> None:
    columns = observed(truth(2000), DEEP, 5)
    columns["ef_vis"][:150] *= 100.0
    branch = sample(columns, "snr_VIS > 5 and snr_NIR_Y > 3")
    assert branch.shallower(SHALLOW) == {"NIR_Y": 0, "VIS": 150}
    beyond = {band: depth + 0.5 for band, depth in DEEP.items()}
    assert branch.shallower(beyond) == {"NIR_Y": 2000, "VIS": 2000}
    assert np.array_equal(branch.seen(beyond), selected(columns, beyond, "snr_VIS > 5 and snr_NIR_Y > 3"))


@pytest.mark.parametrize(("kind", "same"), [("none", True), ("dereddened", False), ("observed", False)])
def test_extinction(kind: str, same: bool) -> None:
    """Reddening is a shallower depth for dereddened cuts; for observed ones magnitudes are fainter as well."""
    rates, ebv = {"VIS": 2.0, "NIR_H": 0.5}, 0.2
    text = "snr_VIS > 5 and mag_VIS < 24 and mag_VIS - mag_NIR_H < 2 and flux_NIR_H > 1"
    deep = {"errors": {}}
    branch = deep_sample(
        parameters(text, extinction=kind, deep=deep), COLUMNS, coefficients=rates, depth_snr=SNR
    )
    assert np.array_equal(branch.seen(SHALLOW, ebv), branch.seen(SHALLOW)) == same
    extinction = {"VIS": 0.0 if same else 0.4, "NIR_H": 0.0 if same else 0.1}
    depth = {band: SHALLOW[band] - extinction[band] for band in extinction}
    if kind == "observed":
        h = 1.0 * 10 ** (0.4 * 0.1)
        text = f"snr_VIS > 5 and mag_VIS < 23.6 and mag_VIS - mag_NIR_H < 1.7 and flux_NIR_H > {h!r}"
    plain = deep_sample(parameters(text, deep=deep), COLUMNS, depth_snr=SNR)
    assert np.count_nonzero(branch.seen(SHALLOW, ebv) != plain.seen(depth)) <= 1
    no_dust = branch.seen(SHALLOW, 0.0)
    assert np.array_equal(no_dust, sample(COLUMNS, "snr_VIS > 5 and mag_VIS < 24 and mag_VIS - mag_NIR_H < 2 and "
                                          "flux_NIR_H > 1", deep=deep).seen(SHALLOW))  # fmt: skip


# -- galaxies and missing values --------------------------------------------------------------------------------------


def test_galaxies_are_the_rows() -> None:
    branch = sample(COLUMNS)
    galaxies = branch.galaxies
    assert len(galaxies) == 3000 and galaxies.spread_mag == galaxies.spread_z == 0.0
    for name, column in (("redshift", "z"), ("photo_z", "zp"), ("size_arcsec", "r50"), ("weight", "w")):
        assert np.array_equal(getattr(galaxies, name), COLUMNS[column])
    positive = COLUMNS["f_y"] > 0
    assert np.array_equal(np.isnan(galaxies.magnitudes["NIR_Y"]), ~positive)
    np.testing.assert_allclose(
        flux(galaxies.magnitudes["NIR_Y"][positive]), COLUMNS["f_y"][positive], rtol=1e-12
    )
    bare = sample(
        COLUMNS, "snr_VIS > 5", deep={"redshift": None, "photo_z": None, "size": None, "weight": None}
    )
    assert np.isnan(bare.galaxies.redshift).all() and np.isnan(bare.galaxies.size_arcsec).all()
    assert np.all(bare.galaxies.weight == 1.0)
    only = sample(COLUMNS, "snr_VIS > 5", deep={"photo_z": None})
    assert np.array_equal(only.galaxies.photo_z, COLUMNS["z"])


def test_what_is_unknown_is_not_selected() -> None:
    columns = {name: one.copy() for name, one in COLUMNS.items()}
    columns["zp"][:500] = np.nan
    columns["quality"] = np.where(np.arange(3000) % 2, 1.0, np.nan)
    for text in (
        "snr_VIS > 3 and z_phot > 0.1",
        "snr_VIS > 3 and not z_phot > 9",
        "(z_phot > 0 and mag_VIS < 30)",
    ):
        seen = sample(columns, text).seen(REFERENCE)
        assert not seen[:500].any() and seen[500:].any()
    seen = sample(columns, "snr_VIS > 3 and quality == 1").seen(REFERENCE)
    assert not seen[::2].any() and seen[1::2].any()
    negative = columns["f_vis"] <= 0
    columns["f_vis"][:10] = -1e-3
    faint = sample(columns, "mag_VIS > 0 or magerr_VIS > 0").seen(DEEP)
    assert not faint[(columns["f_vis"] <= 0) | negative].any()


def test_columns_that_are_wanted() -> None:
    told = parameters("snr_VIS > 5 and z < 1 and Quality > 2 and e_bv < 1")
    assert deep_columns(told) == (
        "f_vis", "f_y", "f_h", "ef_vis", "ef_y", "ef_h", "z", "zp", "r50", "w", "Quality", "e_bv",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "changes", "message"),
    [
        ("mag_vis < 25", {}, "written as `mag_BAND`: mag_VIS, found mag_vis"),
        ("snr_VIS > 5 and snr_g > 2", {"reference": {**REFERENCE, "g": 25.0}}, "must name a column of g"),
        ("snr_VIS > 5 and snr_NIR_H > 2", {"reference": {"VIS": 26.0}}, "must give the depth of NIR_H"),
        ("snr_VIS > 5 and z < 1", {"deep": {"redshift": None, "photo_z": None}}, r"\[deep\] `redshift` must name"),
        ("snr_VIS > 5 and size < 1", {"deep": {"size": None}}, r"\[deep\] `size` must name"),
        ("z < 1", {}, "must cut on a measured quantity"),
        ("mag_VIS + 1", {}, "must be a cut"),
        ("snr_VIS >", {}, "expression, column"),
        ("snr_VIS > 5", {"deep": {"depth": DEEP}}, "either `errors` or `depth` of VIS"),
        ("snr_VIS > 5", {"extinction": "dereddened"}, "found none for VIS"),
        ("mag_VIS", {}, "must be a cut"),
        ("snr_VIS > 5", {"selection": {"completeness": "expression", "expression": "snr_VIS > 5", "snr": 3.0}},
         "snr has no meaning for an expression"),
        ("snr_VIS > 5 and klass > 2", {}, "column klass must be present"),
    ],
)  # fmt: skip
def test_refused(expression: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, ExpressionError), match=message):
        sample(COLUMNS, expression, **changes)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("f_vis", np.nan, "column f_vis must be a finite flux, found nan in row 8"),
        ("f_y", np.inf, "column f_y must be a finite flux, found inf in row 8"),
        ("ef_vis", -1.0, r"column ef_vis must be finite and >= 0, found -1.0 in row 8"),
        ("r50", -99.0, "column r50 must be finite and >= 0, found -99.0 in row 8"),
        ("r50", np.nan, "column r50 must be finite and >= 0, found nan in row 8"),
        ("w", -0.5, "column w must be finite and >= 0, found -0.5 in row 8"),
        ("w", np.nan, "column w must be finite and >= 0, found nan in row 8"),
    ],
)
def test_bad_rows_are_refused_by_number(column: str, value: float, message: str) -> None:
    columns = {name: one.copy() for name, one in COLUMNS.items()}
    columns[column][7] = value
    with pytest.raises(InputError, match=f"deep.parquet: {message}"):
        sample(columns, "snr_VIS > 5", psf_fwhm_arcsec={"VIS": 0.2})


def test_depths_must_be_finite() -> None:
    for depth in ({"VIS": 25.0}, {"VIS": 25.0, "NIR_H": np.nan}, {"VIS": -np.inf, "NIR_H": 24.0}):
        with pytest.raises(InputError, match="a depth must be finite in NIR_H, VIS"):
            sample(COLUMNS, "snr_VIS > 5 and snr_NIR_H > 3").seen(depth)


def test_bad_catalogues_are_refused() -> None:
    with pytest.raises(InputError, match=r"a magnitude within 90 of 0, found 99\.0 in row 1"):
        sample(
            {**COLUMNS, "m": np.full(3000, 99.0)},
            "snr_VIS > 5",
            deep={"fluxes": {}, "magnitudes": {"VIS": "m"}},
        )
    with pytest.raises(InputError, match="columns must be of one length > 0"):
        sample({**COLUMNS, "w": np.ones(5)})
    with pytest.raises(InputError, match="must have a weight > 0"):
        sample({**COLUMNS, "w": np.zeros(3000)})
    with pytest.raises(InputError, match="column f_h must be present"):
        sample({name: one for name, one in COLUMNS.items() if name != "f_h"})


# -- completeness functions -------------------------------------------------------------------------------------------


def graded(columns: Mapping[str, np.ndarray], selection: dict[str, Any], **changes: Any) -> GradedSample:
    coefficients, table = changes.pop("coefficients", None), changes.pop("efficiency", None)
    told = parameters(None, selection=selection, seed=None, **changes)
    branch = deep_sample(told, columns, coefficients=coefficients, depth_snr=SNR, efficiency=table)
    assert isinstance(branch, GradedSample)
    return branch


def test_completeness_acts_on_magnitudes_as_a_product_over_bands() -> None:
    columns = truth(2000)
    columns["f_h"][:20] = -0.1
    branch = graded(columns, {"completeness": "gaussian", "bands": ["VIS", "NIR_H"]}, deep={"errors": {}})
    expected = np.ones(2000)
    for band, column in (("VIS", "f_vis"), ("NIR_H", "f_h")):
        expected *= ndtr(columns[column] / sigma(SHALLOW[band]) - SNR) * (columns[column] > 0)
    np.testing.assert_allclose(branch.seen(SHALLOW), expected, rtol=1e-9, atol=1e-15)
    assert not branch.seen(SHALLOW)[:20].any()


def test_a_cut_in_signal_to_noise_is_the_mean_of_its_realisations() -> None:
    columns = truth(3000)
    selection = {"completeness": "gaussian", "bands": ["VIS"]}
    exact = graded(
        columns, selection, deep={"errors": {}}, psf_fwhm_arcsec={"VIS": 0.5}, noise_scale={"VIS": 1.2}
    )
    drawn = sample(columns, "snr_VIS > 5", deep={"errors": {}, "realisations": 400}, psf_fwhm_arcsec={"VIS": 0.5},
                   noise_scale={"VIS": 1.2})  # fmt: skip
    chance = exact.seen(SHALLOW)
    pull = (drawn.seen(SHALLOW) - chance) / np.sqrt(chance * (1 - chance) / 400 + 1e-6)
    assert np.abs(pull).max() < 5.0
    assert 0.8 < pull[(chance > 0.05) & (chance < 0.95)].std() < 1.2


@pytest.mark.parametrize("kind", ["erf", "logistic", "hard", "redmapper", "gaussian", "efficiency"])
def test_completeness_functions_of_a_deep_sample(kind: str) -> None:
    """V = 1 at the reference; dust and noise are shallower depths, but for limits of observed magnitudes."""
    table = (
        Efficiency(np.array([-2.0, 0.0, 1.0]), np.array([[0.9, 0.5, 0.0]])) if kind == "efficiency" else None
    )
    selection: dict[str, Any] = {"completeness": kind, "bands": ["VIS"]}
    selection |= {"efficiency": "table.csv"} if table else {}
    selection |= {"m_max": 25.5} if kind == "redmapper" else {}
    rates = {"VIS": 2.0}
    told = {"efficiency": table, "coefficients": rates}
    plain = graded(COLUMNS, selection, **told)
    dereddened = graded(COLUMNS, selection, extinction="dereddened", **told)
    dimmed = graded(COLUMNS, selection, extinction="observed", **told)
    shallower = plain.seen({"VIS": SHALLOW["VIS"] - 0.4})
    np.testing.assert_allclose(dereddened.seen(SHALLOW, 0.2), shallower, atol=1e-12)
    assert np.array_equal(plain.seen(SHALLOW, 0.2), plain.seen(SHALLOW))
    same = np.allclose(dimmed.seen(SHALLOW, 0.2), shallower, atol=1e-9)
    assert same == (kind != "redmapper")
    noisier = graded(COLUMNS, selection, noise_scale={"VIS": 10**0.16}, **told)
    np.testing.assert_allclose(noisier.seen(SHALLOW), shallower, atol=1e-9)
    assert plain.seen(SHALLOW).sum() > shallower.sum() > 0


def test_completeness_refused() -> None:
    with pytest.raises(InputError, match="must name a column of g"):
        graded(COLUMNS, {"completeness": "hard"}, reference={"VIS": 25.0, "g": 25.0})
    with pytest.raises(InputError, match="go together"):
        graded(COLUMNS, {"completeness": "efficiency", "efficiency": "t.csv", "bands": ["VIS"]})
    with pytest.raises(InputError, match="found none for VIS"):
        graded(COLUMNS, {"completeness": "hard", "bands": ["VIS"]}, extinction="observed")
