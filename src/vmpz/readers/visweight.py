"""What the weight file of an old VIS frame (`WeightStorage` of DpdVisCalibratedFrame) holds, told by its content.

The published text does not say whether it is an inverse variance, a noise map or a flat. It is what agrees with the
noise of the frame: with sigma the median of its RMS plane or, without one, the scatter of neighbouring pixels of the
image, an inverse variance has a median near 1/sigma**2, a noise map near sigma, and a small-scale flat lies about 1
whatever the noise is. Exactly one of the three must agree.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["neighbour_scatter", "weight_kind"]

FLAT_MARGIN = 0.1
"""A flat has its median and its scatter within this of 1 and 0."""
NOISE_MARGIN = 1.5
"""A noise agrees within this factor: the image estimate knows no sources and no correlated noise."""
MAD_TO_SIGMA = 1.4826


def weight_kind(weight: NDArray[Any], sigma: float) -> str:
    """`inverse_variance`, `rms`, `flat`, or `unknown` where none or several of them agree.

    Parameters
    ----------
    weight : array
        Values of the weight file; those that are not positive and finite mark defects in all three.
    sigma : float
        Noise per pixel of the same region.
    """
    values = np.asarray(weight, np.float64)
    values = values[np.isfinite(values) & (values > 0.0)]
    if values.size == 0 or not (np.isfinite(sigma) and sigma > 0.0):
        return "unknown"
    middle = float(np.median(values))
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(values - middle)))

    def agrees(noise: float) -> bool:
        return 1.0 / NOISE_MARGIN < noise / sigma < NOISE_MARGIN

    found = {
        "inverse_variance": agrees(middle**-0.5),
        "rms": agrees(middle),
        "flat": abs(middle - 1.0) < FLAT_MARGIN and scatter < FLAT_MARGIN,
    }
    kinds = [kind for kind, holds in found.items() if holds]
    return kinds[0] if len(kinds) == 1 else "unknown"


def neighbour_scatter(image: NDArray[Any]) -> float:
    """Noise per pixel from differences of pixels next to each other in a row; NaN for an image of constant value."""
    values = np.asarray(image, np.float64)
    steps = values[:, 1:] - values[:, :-1]
    steps = steps[np.isfinite(steps)]
    if steps.size == 0:
        return float("nan")
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(steps))) / np.sqrt(2.0)
    return float(scatter) if scatter > 0.0 else float("nan")
