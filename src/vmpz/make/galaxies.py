"""Galaxies that stand for a class, and how many of them are seen at a given depth.

A class of galaxies is a list of objects with weights: the nodes of an integral over a luminosity function or number
counts, or the galaxies of a deeper survey. What is seen of it at some place is ``sum_j w_j P_j / sum_j w_j P_j(ref)``,
whatever the class is made of; so are its redshift distribution there, and random objects of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Branch", "Floats", "Galaxies"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Galaxies:
    """Objects of a class, n of them.

    Attributes
    ----------
    weight : float64 (n,)
        Galaxies per square degree (or any unit) that an object stands for, before selection.
    magnitudes : mapping of str to float64 (n,)
        True AB magnitude by band.
    redshift, photo_z, size_arcsec : float64 (n,)
        NaN where there is none; `photo_z` as it is measured, `size_arcsec` the half-light radius.
    spread_mag, spread_z : float
        Full width of what an object stands for around its magnitude and redshift: nodes of an integral are cells, the
        galaxies of a catalogue are not (0).
    """

    weight: Floats
    magnitudes: Mapping[str, Floats] = field(default_factory=dict)
    redshift: Floats = field(default_factory=lambda: np.empty(0))
    photo_z: Floats = field(default_factory=lambda: np.empty(0))
    size_arcsec: Floats = field(default_factory=lambda: np.empty(0))
    spread_mag: float = 0.0
    spread_z: float = 0.0

    def __len__(self) -> int:
        return int(self.weight.size)


class Branch(Protocol):
    """A class of galaxies and its selection."""

    @property
    def galaxies(self) -> Galaxies:
        """The objects."""
        ...

    def seen(self, depth_mag: Mapping[str, float], ebv_mag: float = 0.0) -> Floats:
        """Probability of every object to be selected, float64 (n,).

        Parameters
        ----------
        depth_mag : mapping of str to float
            Depth by band, of the kind of the depth maps (their n-sigma, aperture or PSF); for every band of
            `reference`. Noise factors of the class are applied here.
        ebv_mag : float
            Reddening E(B-V) of the place; its meaning is that of `extinction` of the class.
        """
        ...
