"""Visibility of a class of galaxies that a catalogue of a deeper survey stands for.

**Definition.** Galaxy j of the catalogue, of flux f_bj in band b, is measured at a place of depth m_b as

    F_bj = f_bj + sqrt(max(s_bj**2 - d_bj**2, 0)) g_bj,
    s_bj = 10**(-0.4 (m_b - ZP)) / n * k_b * C_bj * 10**(0.4 A_b),

with n the S/N of the depth maps, k_b `noise_scale`, and d_bj the noise that the flux has in the catalogue already, from
its errors or its depth; where the catalogue is no deeper than the place nothing is added (`shallower` counts such
galaxies). C_bj**2 is the noise-equivalent area of an exponential disc of the galaxy's half-light radius seen through a
Gaussian PSF of `psf_fwhm_arcsec`, over that of a point source; 1 where no PSF is given. The catalogue's own depth is
scaled by C_bj too. The galaxy is selected where the expression (`vmpz.make.noisycuts`) is true of F: its probability is
the share of `realisations` of the noise in which it is.

**The same noise everywhere.** The deviates g are functions of the seed, the band, the number of the realisation and
the galaxy, nothing else: depths that are equal give equal probabilities, so that V is the coverage exactly where the
depth is the reference, and V changes smoothly between depths. A galaxy is known by its place among all in ascending
order of its numbers (fluxes by name of the band, then the rest): neither the order of rows nor the unit of flux
matters. Classes of one seed and the same columns share their noise.

**Extinction.** Fluxes of the catalogue are dereddened. `none`: A_b = 0. `dereddened`: as above, cuts act on dereddened
fluxes, whose noise grows. `observed`: fluxes and noise are those above times 10**(-0.4 A_b), so that S/N is the same
and cuts on magnitudes and fluxes act on what is seen through the dust.

**Other completeness models** act on the magnitudes of the catalogue as they are, as a product over the bands of the
selection, against the depth for the galaxy's size and behind the dust; the noise of the catalogue is not taken off, no
deviates are drawn and a galaxy without a positive flux in one of these bands is not seen. A cut in S/N (`gaussian`)
counts galaxies which noise alone lifts above it: there are as many as the catalogue has.

**Units.** Fluxes, in cuts too, are those of the catalogue, of AB magnitude `zero_point` at 1; also where it has
magnitudes. Sizes are half-light radii in arcsec, 0 = a point.

**Rows.** What they must hold stands in `vmpz.make.deepcatalogue`. Memory is 4 bytes a galaxy that passes the cuts
without noise, band of the cuts and realisation, and some 30 a galaxy and band.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError
from vmpz.kernels import noisy, philox
from vmpz.make.deepcatalogue import Catalogue, deep_columns, flux_of, magnitude_of, sources_of
from vmpz.make.galaxies import Floats, Galaxies
from vmpz.make.noisycuts import MAG_PER_RELATIVE_FLUX, MEASURED, Cuts, cuts_of, selection_expression
from vmpz.make.selection import bands_of, completeness_of
from vmpz.parameters.visibility import VisibilityParameters
from vmpz.physics.completeness import Completeness
from vmpz.physics.efficiency import Efficiency

__all__ = ["GradedSample", "MeasuredSample", "Noise", "deep_columns", "deep_sample"]

PURPOSE = int.from_bytes(b"deepnois", "big")
"""Second word of the key of the noise: no other draw has it."""
BLOCK = 1 << 16
WORDS = 4


@dataclass(frozen=True)
class Noise:
    """Noise of the survey in some bands, fluxes being dereddened ones in the catalogue's unit.

    Attributes
    ----------
    bands : tuple of str
    zero_point_mag, snr : float
        Of the catalogue's fluxes; of the depth maps.
    scale, coefficient : float64 (bands,)
        Factor on the noise; A_b / E(B-V).
    are_observed : bool
        Whether cuts act on what is seen through the dust.
    """

    bands: tuple[str, ...]
    zero_point_mag: float
    snr: float
    scale: Floats
    coefficient: Floats
    are_observed: bool

    def depths(self, depth_mag: Mapping[str, float]) -> Floats:
        """The depths of the bands, (bands,).

        Raises
        ------
        InputError
            One is not there or not finite.
        """
        depths = np.array([depth_mag.get(band, np.nan) for band in self.bands])
        if not np.isfinite(depths).all():
            raise InputError(
                f"a depth must be finite in {', '.join(self.bands)}, found "
                f"{', '.join(f'{band} {one:g}' for band, one in zip(self.bands, depths))}"
            )
        return depths

    def of_points(self, depth_mag: Mapping[str, float], ebv_mag: float) -> Floats:
        """Noise of the flux of a point source, (bands,)."""
        return (
            flux_of(self.depths(depth_mag) - self.coefficient * ebv_mag, self.zero_point_mag)
            / self.snr
            * self.scale
        )

    def dimming(self, ebv_mag: float) -> Floats:
        """Fluxes that cuts act on, over dereddened ones, (bands,)."""
        return np.asarray(10.0 ** (-0.4 * self.coefficient * ebv_mag * self.are_observed))


@dataclass(frozen=True)
class MeasuredSample:
    """A deep sample selected by cuts on noisy fluxes.

    Attributes
    ----------
    galaxies : Galaxies
        All rows in their order; true (catalogue) magnitudes of every band, NaN where a flux is not positive.
    noise : Noise
    cuts : Cuts
    index : int64 (m,)
        Rows that pass the cuts without noise; the arrays below are theirs, in this order.
    flux, widening, variance : float64 (bands, m)
        Flux, factor C on the noise, variance of the flux in the catalogue.
    deviates : float32 (bands, m, realisations)
        Noise of unit variance.
    """

    galaxies: Galaxies
    noise: Noise
    cuts: Cuts
    index: NDArray[np.int64]
    flux: Floats
    widening: Floats
    variance: Floats
    deviates: NDArray[np.float32]

    def seen(self, depth_mag: Mapping[str, float], ebv_mag: float = 0.0) -> Floats:
        """Share of realisations in which a galaxy is selected, float64 (n,); see `vmpz.make.galaxies.Branch`."""
        noise, bounds = self.noise.of_points(depth_mag, ebv_mag), self.cuts.bounds
        dimming = self.noise.dimming(ebv_mag)
        redder = dimming[bounds.pairs[:, 1]] / dimming[bounds.pairs[:, 0]]
        _, count, realisations = self.deviates.shape
        passed, counts = np.empty((count, realisations), np.bool_), np.empty(count, np.int64)
        noisy.within(
            self.flux, self.widening, self.variance, self.deviates, self.largest, noise,
            bounds.flux_low / dimming, bounds.flux_high / dimming, bounds.snr_low, bounds.snr_high,
            bounds.pairs, bounds.ratio_low * redder, bounds.ratio_high * redder, passed, counts,
        )  # fmt: skip
        if self.cuts.others:
            draws = np.flatnonzero(passed)
            holds = self.cuts.others_hold(self._measured(draws, noise, dimming))
            counts = np.bincount(draws[holds] // realisations, minlength=count)
        seen = np.zeros(len(self.galaxies))
        seen[self.index] = counts / realisations
        return seen

    @cached_property
    def largest(self) -> float:
        """The largest deviate, without its sign."""
        return float(np.abs(self.deviates).max(initial=0.0))

    def _measured(self, draws: NDArray[np.intp], noise: Floats, dimming: Floats) -> dict[str, Floats]:
        """What the cuts that are left want of some realisations (row times their number plus its own), by name."""
        needed, row = self.cuts.needed, draws // self.deviates.shape[2]
        found = {name: column[self.index[row]] for name, column in self.cuts.columns.items()}
        for b, band in enumerate(self.noise.bands):
            names = {kind: f"{kind}_{band}" for kind in MEASURED}
            if needed.isdisjoint(names.values()):
                continue
            total = noise[b] * self.widening[b]
            added = np.sqrt(np.maximum(total**2 - self.variance[b], 0.0))
            flux = self.flux[b][row] + added[row] * self.deviates[b].ravel()[draws]
            if names["mag"] in needed:
                found[names["mag"]] = magnitude_of(flux * dimming[b], self.noise.zero_point_mag)
            if names["flux"] in needed:
                found[names["flux"]] = flux * dimming[b]
            if not needed.isdisjoint((names["snr"], names["magerr"])):
                found[names["snr"]] = flux / total[row]
            if names["magerr"] in needed:
                with np.errstate(divide="ignore"):
                    error = MAG_PER_RELATIVE_FLUX / found[names["snr"]]
                found[names["magerr"]] = np.where(flux > 0, error, np.nan)
        return found

    def shallower(self, depth_mag: Mapping[str, float], ebv_mag: float = 0.0) -> dict[str, int]:
        """How many galaxies have more noise in the catalogue than they would have at a place, by band.

        Of those that pass the cuts without noise. Their fluxes get no more of it: their probability is that at the
        depth of the catalogue.
        """
        total = self.noise.of_points(depth_mag, ebv_mag)[:, None] * self.widening
        counts = np.count_nonzero(self.variance > total**2, axis=1)
        return {band: int(count) for band, count in zip(self.noise.bands, counts)}


@dataclass(frozen=True)
class GradedSample:
    """A deep sample whose galaxies are seen in every band with a probability that their magnitudes tell.

    Attributes
    ----------
    galaxies : Galaxies
        All rows in their order; true (catalogue) magnitudes of every band, NaN where a flux is not positive.
    noise : Noise
        Of the bands of the selection.
    completeness : Completeness
        The same for every band.
    widening_mag : float64 (bands, n)
        How much shallower the depth is for a galaxy than for a point source.
    """

    galaxies: Galaxies
    noise: Noise
    completeness: Completeness
    widening_mag: Floats

    def seen(self, depth_mag: Mapping[str, float], ebv_mag: float = 0.0) -> Floats:
        """Probability of every galaxy, float64 (n,); 0 where it has no magnitude in a band of the selection."""
        noise = self.noise
        extinction = noise.coefficient * ebv_mag
        added = extinction * noise.are_observed
        limit = noise.depths(depth_mag) - 2.5 * np.log10(noise.scale) - (extinction - added)
        seen = np.ones(len(self.galaxies))
        for b, band in enumerate(noise.bands):
            magnitude = self.galaxies.magnitudes[band]
            known = np.isfinite(magnitude)
            chance = self.completeness(
                np.where(known, magnitude, 0.0) + added[b], limit[b] - self.widening_mag[b]
            )
            seen *= np.where(known, chance, 0.0)
        return seen


def deep_sample(
    parameters: VisibilityParameters,
    columns: Mapping[str, ArrayLike],
    *,
    coefficients: Mapping[str, float] | None = None,
    depth_snr: float = 5.0,
    efficiency: Efficiency | None = None,
) -> "MeasuredSample | GradedSample":
    """The class of a deep sample.

    Parameters
    ----------
    parameters : VisibilityParameters
        With `deep`.
    columns : mapping of str to float (n,)
        Those of `deep_columns`, NaN where a value is missing.
    coefficients : mapping of str to float, optional
        A_b / E(B-V) by band; needed of every band of the selection unless `extinction` is none.
    depth_snr : float
        S/N n of the depth maps.
    efficiency : Efficiency, optional
        The table of the selection, where it has one.

    Raises
    ------
    InputError
        A column, a band or a coefficient is missing, or a row holds what it must not; the message names it.
    """
    catalogue = Catalogue(parameters, columns)
    if parameters.selection.completeness == "expression":
        return _measured_sample(parameters, catalogue, coefficients or {}, depth_snr)
    completeness = completeness_of(parameters.selection, depth_snr, efficiency, chance=True)
    return _graded_sample(parameters, catalogue, completeness, coefficients or {}, depth_snr)


def _measured_sample(
    parameters: VisibilityParameters,
    catalogue: Catalogue,
    coefficients: Mapping[str, float],
    snr: float,
) -> MeasuredSample:
    """The branch of an expression."""
    deep, text = catalogue.deep, str(parameters.selection.expression)
    named = {
        name: catalogue.column(column) if column else catalogue.size
        for name, column in sources_of(parameters).items()
    }
    cuts = cuts_of(selection_expression(text), catalogue.bands, named, len(catalogue), deep.zero_point)
    _must_measure(parameters, cuts)
    index = np.flatnonzero(cuts.fixed)
    widening = [catalogue.widening(parameters.psf_fwhm_arcsec.get(band)) for band in cuts.bands]
    variance = [catalogue.variance(band, snr, one) for band, one in zip(cuts.bands, widening)]
    flux = [catalogue.fluxes[band] for band in cuts.bands]
    return MeasuredSample(
        galaxies=catalogue.galaxies(),
        noise=_noise(parameters, cuts.bands, coefficients, snr),
        cuts=cuts,
        index=index,
        flux=_of_some(flux, index),
        widening=_of_some(widening, index),
        variance=_of_some(variance, index),
        deviates=_deviates(parameters.seed or 0, catalogue.places()[index], cuts.bands, deep.realisations),
    )


def _must_measure(parameters: VisibilityParameters, cuts: Cuts) -> None:
    """Refuse what is given and has no effect, and cuts that no depth moves."""
    told = parameters.selection.model_dump(exclude_defaults=True)
    beyond = sorted(told.keys() - {"completeness", "expression", "bands"})
    if beyond:
        raise InputError(
            f"class {parameters.name}: [visibility.selection] {', '.join(beyond)} has no meaning for an expression"
        )
    if not cuts.bands:
        raise InputError(
            f"class {parameters.name}: `expression` must cut on a measured quantity (snr_BAND, mag_BAND...), "
            f"found {parameters.selection.expression!r}"
        )
    if parameters.seed is None:
        raise InputError(f"class {parameters.name}: an expression must have a `seed`, found none")


def _graded_sample(
    parameters: VisibilityParameters,
    catalogue: Catalogue,
    completeness: Completeness,
    coefficients: Mapping[str, float],
    snr: float,
) -> GradedSample:
    """The branch of a completeness function."""
    bands = tuple(bands_of(parameters))
    lacking = [band for band in bands if band not in catalogue.bands]
    if lacking:
        raise InputError(
            f"class {parameters.name}: [deep] `fluxes` or `magnitudes` must name a column of {', '.join(lacking)}, "
            f"found {', '.join(catalogue.bands)}; name the bands of the cut in [visibility.selection] bands"
        )
    widening = [catalogue.widening(parameters.psf_fwhm_arcsec.get(band)) for band in bands]
    return GradedSample(
        catalogue.galaxies(),
        _noise(parameters, bands, coefficients, snr),
        completeness,
        2.5 * np.log10(np.stack(widening)),
    )


def _of_some(by_band: list[Floats], index: NDArray[np.int64]) -> Floats:
    """Values of some galaxies, (bands, m)."""
    return np.stack([one[index] for one in by_band])


def _noise(
    parameters: VisibilityParameters, bands: tuple[str, ...], coefficients: Mapping[str, float], snr: float
) -> Noise:
    """Noise of the survey in some bands."""
    reddened = parameters.extinction != "none"
    lacking = [band for band in bands if reddened and band not in coefficients]
    if lacking:
        raise InputError(
            f"class {parameters.name}: A_b / E(B-V) must be given for every band of the selection, "
            f"found none for {', '.join(lacking)}"
        )
    return Noise(
        bands,
        parameters.deep.zero_point if parameters.deep else np.nan,
        snr,
        np.array([parameters.noise_scale.get(band, 1.0) for band in bands]),
        np.array([coefficients[band] if reddened else 0.0 for band in bands]),
        parameters.extinction == "observed",
    )


def _deviates(
    seed: int, places: NDArray[np.int64], bands: tuple[str, ...], realisations: int
) -> NDArray[np.float32]:
    """Standard normal deviates (bands, m, realisations) of galaxies by their places in the catalogue.

    Four realisations are the words of one Philox block: counter (realisation // 4, place, word of the band, 0), key
    (seed, `PURPOSE`).
    """
    from scipy.special import ndtri  # every run would wait for it

    blocks = -(-realisations // WORDS)
    deviates = np.empty((len(bands), places.size, realisations), np.float32)
    step = max(1, BLOCK // blocks)
    for b, band in enumerate(bands):
        word = int.from_bytes(sha256(band.encode()).digest()[:8], "big")
        for start in range(0, places.size, step):
            part = places[start : start + step]
            counters = np.zeros((part.size, blocks, WORDS), np.uint64)
            counters[:, :, 0] = np.arange(blocks)
            counters[:, :, 1] = part[:, None]
            counters[:, :, 2] = word
            words = np.empty((part.size * blocks, WORDS), np.uint64)
            philox.blocks(counters.reshape(-1, WORDS), np.uint64(seed), np.uint64(PURPOSE), words)
            uniform = ((words >> np.uint64(11)) + 0.5) * 2.0**-53
            deviates[b, start : start + step] = ndtri(uniform.reshape(part.size, -1)[:, :realisations])
    return deviates
