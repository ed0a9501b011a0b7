"""Galaxies injected into images of several depths, measured and selected: their density is what visibility says.

Every galaxy stands in a field of its own, is blurred by the PSF, and measured in an aperture around the pixel that it
is in. The deep sample is measured in the same way in deeper images of other galaxies. Nothing but the RMS of the
pixels, the aperture and the factor of correlated noise enters the depths.
"""

from functools import cache

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from vmpz.make.deepsample import MeasuredSample, deep_sample
from vmpz.make.expressions import TRUE, Operand, parse, truth_of
from vmpz.parameters.visibility import VisibilityParameters
from vmpz.physics.depth import depth_mag

ZERO_POINT, SNR = 25.0, 5.0
FIELD, RADIUS = 14, 4.0
"""Side of the field of a galaxy, radius of the aperture, pixels."""
PSF_SIGMA = 1.3
PER_LEVEL = 10_000
LEVELS = ({"g": 1.0, "r": 1.0}, {"g": 1.6, "r": 1.2}, {"g": 0.8, "r": 1.9}, {"g": 2.2, "r": 2.0})
"""RMS of the pixels by band at each depth, in units of the shallowest that are wanted."""
DEEP = {"g": 0.25, "r": 0.3}
UNIT = 0.035
CUT = "snr_r > 5 and snr_g > 3 and mag_r < 24.2 and mag_g - mag_r < 1.0 and 0.2 <= z_phot < 1.1"
SMOOTHING = {"white": np.array([1.0]), "correlated": np.array([0.4, 1.0, 0.4])}
"""What noise is convolved with along rows and columns."""

_axis = np.arange(FIELD) - FIELD // 2
APERTURE = np.hypot(_axis[:, None], _axis) <= RADIUS


def true_factor(kind: str) -> float:
    """C of the aperture: the norm of the aperture convolved with the smoothing, over that of white noise."""
    one = SMOOTHING[kind]
    spread = np.pad(APERTURE.astype(float), len(one))
    for axis in (0, 1):
        spread = convolve1d(spread, one / np.sqrt((one**2).sum()), axis=axis, mode="constant")
    return float(np.sqrt((spread**2).sum() / APERTURE.sum()))


def noise_image(rng: np.random.Generator, side: int, rms: float, kind: str) -> np.ndarray:
    """Normal noise of a given RMS a pixel, white or smoothed."""
    image = rng.normal(0.0, rms, (side, side))
    for axis in (0, 1):
        one = SMOOTHING[kind]
        image = convolve1d(image, one / np.sqrt((one**2).sum()), axis=axis, mode="wrap")
    return image


def galaxies(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """True fluxes of counts 10**(0.35 m), colours by redshift, photometric redshifts."""
    low, high = 10 ** (0.35 * 20.0), 10 ** (0.35 * 25.3)
    r = np.log10(low + (high - low) * rng.random(count)) / 0.35
    z = rng.gamma(3.0, 0.25, count)
    g = r + 0.2 + 0.6 * z + rng.normal(0, 0.2, count)
    return {"g": 10 ** (-0.4 * (g - ZERO_POINT)), "r": 10 ** (-0.4 * (r - ZERO_POINT)), "zp": z}


def measured(seed: int, count: int, rms: dict[str, float], kind: str) -> dict[str, np.ndarray]:
    """Fluxes and errors in apertures of galaxies on a sky of its own."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    true = galaxies(rng, side**2)
    found = {"zp": true["zp"]}
    place = rng.uniform(-0.5, 0.5, (2, side**2, 1))  # inside the pixel at the centre of the aperture
    down, right = (np.exp(-0.5 * ((_axis - one) / PSF_SIGMA) ** 2) for one in place)
    profile = down[:, :, None] * right[:, None, :] / (2 * np.pi * PSF_SIGMA**2)
    for band in ("g", "r"):
        stamps = (true[band][:, None, None] * profile).reshape(side, side, FIELD, FIELD)
        image = stamps.transpose(0, 2, 1, 3).reshape(side * FIELD, side * FIELD)
        image += noise_image(rng, side * FIELD, rms[band] * UNIT, kind)
        fields = image.reshape(side, FIELD, side, FIELD)
        found[f"f{band}"] = np.einsum("iajb,ab->ij", fields, APERTURE.astype(float)).ravel()
        sigma = true_factor(kind) * rms[band] * UNIT * np.sqrt(APERTURE.sum())
        found[f"e{band}"] = np.full(side**2, sigma)
    return found


def is_selected(catalogue: dict[str, np.ndarray]) -> np.ndarray:
    """The selection of the survey, on its catalogue."""
    values = {"z_phot": catalogue["zp"]}
    with np.errstate(invalid="ignore"):
        for band in ("g", "r"):
            values[f"snr_{band}"] = catalogue[f"f{band}"] / catalogue[f"e{band}"]
            values[f"mag_{band}"] = ZERO_POINT - 2.5 * np.log10(catalogue[f"f{band}"])
    return np.asarray(
        truth_of(parse(CUT).root, {name: Operand(one, False) for name, one in values.items()}) == TRUE
    )


def depths(rms: dict[str, float], factor: float) -> dict[str, float]:
    """The depth map at a level: from the RMS of pixels, the aperture and a factor of correlated noise."""
    area = float(APERTURE.sum())
    return {
        band: float(depth_mag(one * UNIT, area, zero_point_mag=ZERO_POINT, snr=SNR, correlated_noise=factor))
        for band, one in rms.items()
    }


@cache
def deep(kind: str) -> MeasuredSample:
    """The class, of galaxies in four times the area of a level; weights give galaxies per area of a level."""
    catalogue = measured(99, 4 * PER_LEVEL, DEEP, kind)
    bands = {"g", "r"}
    told = VisibilityParameters.model_validate({
        "name": "closure", "reference": depths(LEVELS[0], true_factor(kind)), "seed": 5,
        "deep": {"catalogue": "deep.fits", "fluxes": {b: f"f{b}" for b in bands}, "errors": {b: f"e{b}" for b in bands},
                 "zero_point": ZERO_POINT, "redshift": "zp", "weight": "w"},
        "selection": {"completeness": "expression", "expression": CUT},
    })  # fmt: skip
    catalogue["w"] = np.full(catalogue["zp"].size, PER_LEVEL / catalogue["zp"].size)
    branch = deep_sample(told, catalogue, depth_snr=SNR)
    assert isinstance(branch, MeasuredSample)
    return branch


@cache
def observed(kind: str) -> tuple[float, ...]:
    """Galaxies that are selected at every level, in its area."""
    found = [measured(level, PER_LEVEL, rms, kind) for level, rms in enumerate(LEVELS)]
    return tuple(is_selected(one).sum() * PER_LEVEL / one["zp"].size for one in found)


def compared(kind: str, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Observed over predicted density at every level, and its covariance: all levels share the deep sample."""
    branch = deep(kind)
    seen = np.array([branch.galaxies.weight * branch.seen(depths(rms, factor)) for rms in LEVELS])
    predicted = seen.sum(axis=1)
    covariance = (np.diag(predicted) + seen @ seen.T) / np.outer(predicted, predicted)
    return np.array(observed(kind)) / predicted, covariance


@pytest.mark.parametrize("kind", SMOOTHING)
def test_density_is_what_visibility_says_at_every_depth(kind: str) -> None:
    ratio, covariance = compared(kind, true_factor(kind))
    error = np.sqrt(np.diag(covariance))
    assert error.max() < 0.035
    assert np.abs((ratio - 1) / error).max() < 3.0
    assert (ratio - 1) @ np.linalg.solve(covariance, ratio - 1) < 14.9  # chance 0.005 with four levels


@pytest.mark.parametrize(("kind", "factor"), [("correlated", 1.0), ("white", 1.5), ("white", 0.8)])
def test_a_wrong_factor_of_correlated_noise_is_detected(kind: str, factor: float) -> None:
    ratio, covariance = compared(kind, factor)
    error = np.sqrt(np.diag(covariance))
    assert np.all(np.sign(ratio - 1) == np.sign(factor - true_factor(kind)))
    assert np.abs((ratio - 1) / error).max() > 5.0
    assert (ratio - 1) @ np.linalg.solve(covariance, ratio - 1) > 40.0


def test_the_factor_is_that_of_the_sums_in_empty_apertures() -> None:
    rng = np.random.default_rng(4)
    for kind in SMOOTHING:
        image = noise_image(rng, 40 * FIELD, 1.0, kind).reshape(40, FIELD, 40, FIELD)
        sums = np.einsum("iajb,ab->ij", image, APERTURE.astype(float))
        assert image.std() == pytest.approx(1.0, rel=0.02)
        assert sums.std() / np.sqrt(APERTURE.sum()) == pytest.approx(true_factor(kind), rel=0.06)
    assert true_factor("white") == pytest.approx(1.0, rel=1e-12) and 1.5 < true_factor("correlated") < 2.5
