"""The law of a simulated population of galaxies, its classes, and how many of a class are seen.

Galaxies lie at random on the sky, without clustering. In the first band of the survey their number per magnitude is
``10**(slope m)`` between two limits. Redshifts of magnitude m follow ``z**2 exp(-(z / z0)**1.5)`` (Smail, Ellis &
Fitchett 1994, MNRAS 270, 245) with z0 linear in m, photometric ones scatter by ``SCATTER (1 + z)``; colours are
functions of redshift, sizes are log-normal around a power of the flux. The noise of a flux is Gaussian and that of a
point source: the flux of the depth (5 sigma, 2 arcsec) for the number of exposures at the very place, over 5.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from vmpz.simulate.bands import Band
from vmpz.simulate.pixels import FULL_DEPTH_EXPOSURES
from vmpz.simulate.truth import depth_mag

__all__ = [
    "LAW",
    "SNR",
    "GalaxyClass",
    "Law",
    "classes_of",
    "colour",
    "flux_ujy",
    "relative_densities",
    "sigma_ujy",
]

Array = NDArray[np.floating[Any]]

SNR = 5.0
"""Of the depth and of the cut in the first band."""
SECOND_SNR = 3.0
PHOTO_Z = (0.5, 1.0)
SCATTER = 0.05
ZERO_POINT_MAG = 23.9
"""Fluxes are in microjansky."""
COLOURS = {
    "VIS": (0.0, 0.0), "NIR_Y": (-0.1, -1.0), "NIR_J": (-0.15, -1.2), "NIR_H": (-0.2, -1.4),
    "DECAM_g": (0.2, 1.0), "DECAM_r": (0.1, 0.3), "DECAM_i": (0.0, -0.1), "DECAM_z": (-0.05, -0.5),
}  # fmt: skip
"""Magnitude minus that in VIS: at redshift 0, and times ``z / (1 + z)``."""

MAGNITUDE_STEP, TIME_STEP, LAST_TIME = 0.1, 0.1, 25.0
"""Of the integral over the law: steps of the magnitude and of ``t = (z / z0)**1.5``, and its largest value; ratios are
right to 1e-4."""


@dataclass(frozen=True)
class Law:
    """The population.

    Attributes
    ----------
    slope : float
        Of ``log10`` of the number per magnitude.
    brightest, faintest : float
        Magnitudes in the first band.
    per_deg2_to_25 : float
        Galaxies per square degree brighter than 25, without the limit at the bright end.
    """

    slope: float = 0.3
    brightest: float = 15.0
    faintest: float = 28.5
    per_deg2_to_25: float = 60_000.0

    def per_deg2(self, low: Array | float, high: Array | float) -> Array:
        """Galaxies per square degree between magnitudes."""
        ends = [10.0 ** (self.slope * (np.asarray(one, float) - 25.0)) for one in (low, high)]
        return np.asarray(self.per_deg2_to_25 * (ends[1] - ends[0]))

    def draw(self, draw: np.random.Generator, number: int) -> dict[str, Array]:
        """Magnitude in the first band, redshift, photometric redshift and half-light radius (arcsec) of galaxies."""
        low = 10.0 ** (self.slope * (self.brightest - self.faintest))
        magnitude = self.faintest + np.log10(low + (1.0 - low) * draw.random(number)) / self.slope
        redshift = _scale(magnitude) * draw.standard_gamma(2.0, number) ** (2.0 / 3.0)
        photo_z = redshift + SCATTER * (1.0 + redshift) * draw.standard_normal(number)
        size = 0.3 * 10.0 ** (-0.1 * (magnitude - 24.0) + 0.15 * draw.standard_normal(number))
        return {"magnitude": magnitude, "Z": redshift, "Z_PHOT": photo_z, "SIZE": size}

    def density(
        self, cuts: Mapping[str, float], sigma: Mapping[str, float], window: tuple[float, float] | None
    ) -> float:
        """Galaxies per square degree that pass cuts in S/N and photometric redshift.

        Parameters
        ----------
        cuts : mapping of str to float
            Least S/N by band, the first band first.
        sigma : mapping of str to float
            Noise of the flux by band, microjansky.
        window : (float, float), optional
            Lowest and highest photometric redshift.
        """
        edges = np.arange(self.brightest, self.faintest + 0.5 * MAGNITUDE_STEP, MAGNITUDE_STEP)
        times = np.arange(0.0, LAST_TIME, TIME_STEP)
        middle, time = 0.5 * (edges[1:] + edges[:-1]), times + 0.5 * TIME_STEP
        below = [1.0 - (1.0 + t) * np.exp(-t) for t in (times, times + TIME_STEP)]
        redshift = _scale(middle)[:, None] * time ** (2.0 / 3.0)
        chance = np.broadcast_to(below[1] - below[0], redshift.shape)
        if window is not None:
            low, high = ((edge - redshift) / (SCATTER * (1.0 + redshift)) for edge in window)
            chance = chance * (ndtr(high) - ndtr(low))
        first = next(iter(cuts))
        for band, cut in cuts.items():
            flux = flux_ujy(middle[:, None] + colour(band, first, redshift))
            chance = chance * ndtr(flux / sigma[band] - cut)
        return float(np.sum(self.per_deg2(edges[:-1], edges[1:]) * chance.sum(axis=1)))


LAW = Law()
"""That of every simulation."""


def _scale(magnitude: Array) -> Array:
    """z0 of the distribution of redshifts."""
    return np.asarray(0.25 + 0.087 * (magnitude - 20.0)).clip(0.05)


def colour(band: str, first: str, redshift: Array) -> Array:
    """Magnitude in a band minus that in the first."""
    (here, rise), (there, other) = COLOURS[band], COLOURS[first]
    return np.asarray(here - there + (rise - other) * redshift / (1.0 + redshift))


def flux_ujy(magnitude: Array | float) -> Array:
    """Flux of an AB magnitude, microjansky."""
    return np.asarray(10.0 ** (-0.4 * (np.asarray(magnitude, float) - ZERO_POINT_MAG)))


def sigma_ujy(band: Band, exposures: NDArray[np.int64] | int, deeper_mag: float = 0.0) -> Array:
    """Noise of the flux of a point source in an aperture of 2 arcsec, by number of exposures."""
    full = flux_ujy(depth_mag(band, FULL_DEPTH_EXPOSURES) + deeper_mag) / SNR
    return np.asarray(full * np.sqrt(FULL_DEPTH_EXPOSURES / np.asarray(exposures, float)))


# -- classes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GalaxyClass:
    """A class of galaxies: cuts in S/N by band, the first band first, and a window of photometric redshifts."""

    name: str
    cuts: dict[str, float]
    window: tuple[float, float] | None = None

    def instruments(self, bands: Mapping[str, Band]) -> list[str]:
        """Instruments of its bands."""
        return list(dict.fromkeys(bands[name].instrument for name in self.cuts))

    @property
    def expression(self) -> str:
        """The cuts as they stand in a parameter file."""
        told = [f"snr_{band} > {cut:g}" for band, cut in self.cuts.items()]
        return " and ".join(told + ([] if self.window is None else ["{} < z_phot < {}".format(*self.window)]))

    def holds(self, columns: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Whether galaxies of a catalogue are of the class; a band that saw nothing of one has seen no galaxy."""
        passed = np.ones(len(columns["Z_PHOT"]), bool)
        for band, cut in self.cuts.items():
            passed &= columns[f"FLUX_{band}"] > cut * columns[f"FLUXERR_{band}"]
        if self.window is not None:
            passed &= (columns["Z_PHOT"] > self.window[0]) & (columns["Z_PHOT"] < self.window[1])
        return passed


def classes_of(bands: Sequence[Band]) -> tuple[GalaxyClass, GalaxyClass]:
    """`counts` in the first band, and `deep` in the first two."""
    names = [band.name for band in bands]
    both = dict(zip(names, (SNR, SECOND_SNR), strict=False))
    return GalaxyClass("counts", {names[0]: SNR}), GalaxyClass("deep", both, PHOTO_Z)


def relative_densities(
    one: GalaxyClass, bands: Mapping[str, Band], numbers: Iterable[tuple[int, ...]]
) -> tuple[float, dict[tuple[int, ...], float]]:
    """Galaxies per square degree at the reference depth, and at others relative to it.

    `numbers` are exposures of each instrument of the class, in the order of its bands.
    """
    instruments = one.instruments(bands)

    def density(exposures: Mapping[str, int]) -> float:
        sigma = {name: float(sigma_ujy(bands[name], exposures[bands[name].instrument])) for name in one.cuts}
        return LAW.density(one.cuts, sigma, one.window)

    reference = density(dict.fromkeys(instruments, FULL_DEPTH_EXPOSURES))
    told = {row: density(dict(zip(instruments, row, strict=True))) / reference for row in sorted({*numbers})}
    return reference, told
