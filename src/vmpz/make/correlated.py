"""Correlated noise of an image: the factor C by which apertures are noisier than white pixels.

**Definition.** ``sigma_ap = C RMS sqrt(N)``: the noise of the sum over an aperture of N pixels is C times what
independent pixels of noise RMS would give, and a depth that takes them as independent is too deep by 2.5 log10 C. It is
measured in two ways, in one pass over the rows of the image:

*Empty apertures.* Apertures at random places, one in each of some squares of a grid so that none overlap, with no
masked pixel and no detected source in them; each sum is divided by the root of the sum of its RMS**2; C is the spread
(1.4826 median absolute deviations) of these ratios. An aperture is the whole pixels whose centres lie within D/2 of
the centre of its middle pixel, so that C = 1 for white noise at every D. The places are drawn by Philox with the key
(seed, D), so no aperture depends on which others are asked for. The factors of several diameters are fitted by
``sigma_ap = RMS a N**b``, 1/2 <= b <= 1.

*Autocovariance.* ``C**2 = (1 / N) sum_ij rho_ij`` over the pairs of pixels of the aperture, rho the autocorrelation of
the unmasked pixels of IMAGE / RMS, by FFT block by block. It knows nothing of the scale of the RMS plane: with
``rms_ratio``, the noise of single pixels over their RMS, C of empty apertures is that ratio times C of the
autocovariance. Where an RMS plane contains the correlation already, the ratio is below 1 and C of empty apertures,
which is what a depth from that plane needs, is 1.

Sources are what differs by 5 sigma in the image, or in the image smoothed by a Gaussian of 1.5 pixels (sigma measured
in each), grown by some pixels; the median absolute deviation forgives what is fainter. A background that is constant
over the image is of no effect on apertures; one that varies must be subtracted before.

References: Casertano et al. 2000, AJ 120, 2747 (appendix A); Labbe et al. 2003, AJ 125, 1107 (empty apertures).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from vmpz.errors import InputError

__all__ = ["ApertureNoise", "CorrelatedNoise", "NoisePlanes", "PowerLaw", "correlated_noise", "stencil"]

Array = NDArray[np.float64]
Single = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIGMA_PER_MAD = 1.482602218505602
MAD_EFFICIENCY = 1.1664
"""Relative error of the sigma of n normal deviates by their median absolute deviation, times sqrt(n)."""
LEAST_APERTURES = 100
NO_RMS = 1e15
SMOOTHING_PIXELS = 1.5
DETECTION_SNR = 5.0
BLOCK = 256
GROUPS = 16
"""Of blocks, for the jackknife error of the autocovariance."""
GATHERED = 1 << 22
"""Pixels of apertures that are summed at once."""


@dataclass(frozen=True)
class NoisePlanes:
    """An image and what is known of its noise, read in ascending rows.

    Attributes
    ----------
    shape : (int, int)
    rows : callable
        (start, stop) to image, RMS and usable pixels of these rows; called with consecutive ranges, once each.
    """

    shape: tuple[int, int]
    rows: Callable[[int, int], tuple[NDArray[np.floating], NDArray[np.floating], Mask]]

    @classmethod
    def of(cls, image: Array, rms: Array, good: Mask) -> "NoisePlanes":
        """Planes in memory.

        Raises
        ------
        InputError
            Their shapes differ.
        """
        if not image.shape == rms.shape == good.shape:
            raise InputError(
                f"image, RMS and mask must have one shape, found {image.shape}, {rms.shape}, {good.shape}"
            )
        return cls(image.shape, lambda start, stop: (image[start:stop], rms[start:stop], good[start:stop]))


@dataclass(frozen=True)
class ApertureNoise:
    """Noise in apertures of one diameter.

    Attributes
    ----------
    diameter_arcsec : float
    pixels : int
        N, in the aperture.
    apertures : int
        Number of empty ones that were found.
    factor, error : float
        C of empty apertures, and its statistical error.
    autocovariance, autocovariance_error : float
        C of the autocovariance, and its jackknife error (NaN where the image is but one block).
    """

    diameter_arcsec: float
    pixels: int
    apertures: int
    factor: float
    error: float
    autocovariance: float
    autocovariance_error: float


@dataclass(frozen=True)
class PowerLaw:
    """``sigma_ap = RMS a N**b``."""

    a: float
    b: float

    def factor(self, pixels: float) -> float:
        """C of an aperture of N pixels."""
        return float(self.a * pixels ** (self.b - 0.5))


@dataclass(frozen=True)
class CorrelatedNoise:
    """The factors of all diameters, in the order they were asked for.

    Attributes
    ----------
    apertures : tuple of ApertureNoise
    fit : PowerLaw or None
        None of a single diameter.
    rms_ratio : float
        Noise of single pixels over their RMS.
    usable_fraction, source_fraction : float
        Share of pixels that are usable, and of these the share near sources.
    """

    apertures: tuple[ApertureNoise, ...]
    fit: PowerLaw | None
    rms_ratio: float
    usable_fraction: float
    source_fraction: float


def correlated_noise(
    planes: NoisePlanes,
    pixel_scale_arcsec: float,
    diameters_arcsec: Sequence[float],
    *,
    seed: int,
    number: int = 10_000,
    grow_arcsec: float = 1.0,
    rms_max: float = 1e6,
) -> CorrelatedNoise:
    """Measure the correlated-noise factor of an image in apertures of some diameters.

    Parameters
    ----------
    planes : NoisePlanes
        Pixels that are not finite, or whose RMS is not positive or above `rms_max`, are not used.
    pixel_scale_arcsec : float
        Side of a pixel.
    diameters_arcsec : sequence of float
        At least one pixel each.
    seed : int
        Of the places of the apertures.
    number : int
        Places that are tried for each diameter; those of no masked pixel and no source count.
    grow_arcsec : float
        By which detected sources are grown.
    rms_max : float
        Largest RMS of a usable pixel.

    Raises
    ------
    InputError
        An aperture is smaller than a pixel or larger than the image, no pixel is usable, or fewer than 100 empty
        apertures of a diameter are found.
    """
    draws = [_Apertures(d, pixel_scale_arcsec, planes.shape, seed, number) for d in diameters_arcsec]
    tallest = max(one.side for one in draws)
    grow = max(0, round(grow_arcsec / pixel_scale_arcsec))
    covariance = _Autocovariance(tallest)
    tally = np.zeros(3, np.int64)
    for window in _windows(planes, covariance.block, tallest, grow, rms_max):
        tally += [window.ratio[: window.owned].size, *window.tally]
        for one in draws:
            one.add(window)
        covariance.add(window)
    if not tally[1]:
        raise InputError("an image must have usable pixels to measure its noise, found none: all are masked")
    found = tuple(one.result(covariance) for one in draws)
    return CorrelatedNoise(
        found,
        _power_law(found),
        covariance.rms_ratio,
        float(tally[1] / tally[0]),
        float(1.0 - tally[2] / tally[1]),
    )


def stencil(diameter_pixels: float) -> Mask:
    """The whole pixels of an aperture: those whose centres lie within half the diameter of that of the middle one."""
    reach = int(np.floor(diameter_pixels / 2.0))
    offsets = np.arange(-reach, reach + 1)
    return np.asarray(np.hypot(offsets[:, None], offsets) <= diameter_pixels / 2.0)


def _power_law(found: Sequence[ApertureNoise]) -> PowerLaw | None:
    """Weighted fit of ln C against ln N; where the slope leaves its bounds, the best level at the bound."""
    pixels = np.log([one.pixels for one in found])
    if np.unique(pixels).size < 2:
        return None
    level, weight = np.log([one.factor for one in found]), np.array([one.factor / one.error for one in found])
    slope = float(np.clip(np.polyfit(pixels, level, 1, w=weight)[0], 0.0, 0.5))
    offset = np.average(level - slope * pixels, weights=weight**2)
    return PowerLaw(float(np.exp(offset)), 0.5 + slope)


# -- windows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """Consecutive rows of the image: the owned ones, and as many more as apertures that begin in them reach into.

    `ratio` is IMAGE / RMS, 0 where not `clean`, which is usable and away from sources.
    """

    start: int
    owned: int
    image: Single
    rms: Single
    ratio: Single
    clean: Mask
    tally: tuple[int, int]


def _windows(planes: NoisePlanes, step: int, below: int, grow: int, rms_max: float) -> Iterator[_Window]:
    """Windows that own `step` rows each; rows are read once."""
    height, halo = planes.shape[0], grow + int(np.ceil(4 * SMOOTHING_PIXELS))
    kept_from = read_to = 0
    kept = _single(*(np.empty((0, planes.shape[1])) for _ in range(3)))
    for start in range(0, height, step):
        until = min(start + step + below + halo, height)
        if until > read_to:
            new = _single(*planes.rows(read_to, until))
            kept, read_to = tuple(np.concatenate(pair) for pair in zip(kept, new)), until
        first = max(start - halo, 0)
        kept, kept_from = tuple(one[first - kept_from :] for one in kept), first
        image, rms, usable = kept
        usable = usable & np.isfinite(image) & (rms > 0) & (rms <= min(rms_max, NO_RMS))
        owned = min(step, height - start)
        yield _window(
            image, rms, usable, slice(start - first, start - first + owned + below), start, owned, grow
        )


def _single(*planes: NDArray[np.generic]) -> tuple[NDArray[Any], ...]:
    """Image and RMS as they are on disk, in single precision; usable pixels as booleans."""
    image, rms, good = planes
    with np.errstate(over="ignore"):
        return image.astype(np.float32), rms.astype(np.float32), good.astype(bool)


def _window(
    image: Single, rms: Single, usable: Mask, rows: slice, start: int, owned: int, grow: int
) -> _Window:
    image, rms = np.where(usable, image, np.float32(0)), np.where(usable, rms, np.float32(1))
    ratio = image / rms
    clean = usable & ~_sources(ratio, usable, grow)
    ratio[~clean] = 0
    own = slice(rows.start, rows.start + owned)
    tally = int(np.count_nonzero(usable[own])), int(np.count_nonzero(clean[own]))
    return _Window(start, owned, image[rows], rms[rows], ratio[rows], clean[rows], tally)


def _sources(ratio: Single, usable: Mask, grow: int) -> Mask:
    """Pixels near what stands out in the image, or in the smoothed one."""
    if not usable.any():
        return np.zeros(usable.shape, bool)
    smooth = ndimage.gaussian_filter(ratio, SMOOTHING_PIXELS, mode="nearest")
    above = usable & (_stands_out(ratio, usable) | _stands_out(smooth, usable))
    return np.asarray(ndimage.maximum_filter(above, 2 * grow + 1, mode="constant"))


def _stands_out(values: Single, usable: Mask) -> Mask:
    """Where values differ from their median by more than 5 sigma, above or below."""
    seen = values[usable]
    seen = seen[:: max(1, seen.size >> 20)]
    middle = np.median(seen)
    sigma = SIGMA_PER_MAD * np.median(np.abs(seen - middle))
    return np.asarray(np.abs(values - middle) > DETECTION_SNR * sigma)


# -- empty apertures --------------------------------------------------------------------------------------------------


@dataclass
class _Apertures:
    """Apertures of one diameter: where they are tried, and the ratios of the empty ones."""

    diameter_arcsec: float
    pixel_scale_arcsec: float
    shape: tuple[int, int]
    seed: int
    number: int
    ratios: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        diameter_pixels = self.diameter_arcsec / self.pixel_scale_arcsec
        if not 1.0 <= diameter_pixels <= min(self.shape):
            raise InputError(
                f"an aperture must measure 1 to {min(self.shape)} pixels of {self.pixel_scale_arcsec:g} arcsec, "
                f"found {self.diameter_arcsec:g} arcsec"
            )
        self.stencil = stencil(diameter_pixels)
        self.side = self.stencil.shape[0]
        self.top, self.left = self._places()

    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First rows and columns, by row: in each of some squares a little larger, anywhere inside."""
        key = np.array([self.seed, round(self.diameter_arcsec * 1e6)], np.uint64)
        draw = np.random.Generator(np.random.Philox(key=key))
        pitch = min(self.side + max(1, self.side // 4), *self.shape)
        squares = (self.shape[0] // pitch, self.shape[1] // pitch)
        count = squares[0] * squares[1]
        chosen = np.argsort(draw.random(count), kind="stable")[: self.number]
        free = pitch - self.side + 1
        row, column = (np.floor(draw.random(count) * free).astype(np.int64)[chosen] for _ in range(2))
        top, left = chosen // squares[1] * pitch + row, chosen % squares[1] * pitch + column
        by_row = np.lexsort((left, top))
        return top[by_row], left[by_row]

    def add(self, window: _Window) -> None:
        """Sum the apertures that begin in the owned rows of a window."""
        begin, end = np.searchsorted(self.top, (window.start, window.start + window.owned))
        share = max(1, GATHERED // self.stencil.size)
        for first in range(begin, end, share):
            some = slice(first, min(first + share, end))
            self.ratios.append(self._ratios(window, self.top[some] - window.start, self.left[some]))

    def _ratios(self, window: _Window, top: NDArray[np.int64], left: NDArray[np.int64]) -> Array:
        """Sums over the noise that white pixels would give, of the empty apertures."""
        dy, dx = np.nonzero(self.stencil)
        rows, columns = top[:, None] + dy, left[:, None] + dx
        empty = window.clean[rows, columns].all(axis=1)
        rows, columns = rows[empty], columns[empty]
        noise = np.sqrt((window.rms[rows, columns].astype(np.float64) ** 2).sum(axis=1))
        return np.asarray(window.image[rows, columns].sum(axis=1, dtype=np.float64) / noise)

    def result(self, covariance: "_Autocovariance") -> ApertureNoise:
        """The factors of this diameter."""
        ratios = np.concatenate([np.empty(0), *self.ratios])
        if ratios.size < LEAST_APERTURES:
            raise InputError(
                f"at least {LEAST_APERTURES} empty apertures of {self.diameter_arcsec:g} arcsec must be found, "
                f"found {ratios.size} at {self.top.size} places"
            )
        factor = SIGMA_PER_MAD * float(np.median(np.abs(ratios - np.median(ratios))))
        return ApertureNoise(
            self.diameter_arcsec,
            int(np.count_nonzero(self.stencil)),
            int(ratios.size),
            factor,
            factor * MAD_EFFICIENCY / float(np.sqrt(ratios.size)),
            *covariance.factor(self.stencil),
        )


# -- autocovariance ---------------------------------------------------------------------------------------------------


class _Autocovariance:
    """Sums of products of pixels at every lag up to the largest aperture, and their numbers, in groups of blocks."""

    def __init__(self, side: int) -> None:
        self.reach = side - 1
        self.block = max(BLOCK, 4 * side)
        lags = 2 * self.reach + 1
        self.products, self.pairs = np.zeros((GROUPS, lags, lags)), np.zeros((GROUPS, lags, lags))
        self._size = fft.next_fast_len(self.block + self.reach, real=True)
        self._blocks = 0

    def add(self, window: _Window) -> None:
        """Add the owned rows of a window."""
        for left in range(0, window.ratio.shape[1], self.block):
            part = np.s_[: window.owned, left : left + self.block]
            clean = window.clean[part]
            group, self._blocks = self._blocks % GROUPS, self._blocks + 1
            known = np.count_nonzero(clean)
            if known < 2:
                continue
            ratio = window.ratio[part].astype(np.float64)
            self.products[group] += self._correlated(ratio - np.where(clean, ratio.sum() / known, 0.0))
            self.pairs[group] += np.rint(self._correlated(clean.astype(np.float64)))

    def _correlated(self, values: Array) -> Array:
        size = (self._size, self._size)
        whole = fft.irfft2(np.abs(fft.rfft2(values, size)) ** 2, size)
        lags = np.arange(-self.reach, self.reach + 1)
        return np.asarray(whole[np.ix_(lags, lags)])

    @property
    def rms_ratio(self) -> float:
        """Noise of single pixels over their RMS."""
        middle = self.reach, self.reach
        return float(np.sqrt(self.products.sum(axis=0)[middle] / self.pairs.sum(axis=0)[middle]))

    def factor(self, shape: Mask) -> tuple[float, float]:
        """C of an aperture, and its jackknife error."""
        used = self.pairs.any(axis=(1, 2))
        products, pairs = self.products[used], self.pairs[used]
        whole = self._factor(products.sum(axis=0), pairs.sum(axis=0), shape)
        if used.sum() < 2:
            return whole, np.nan
        left_out = np.array(
            [
                self._factor(products.sum(axis=0) - one, pairs.sum(axis=0) - number, shape)
                for one, number in zip(products, pairs)
            ]
        )
        spread = np.sum((left_out - left_out.mean()) ** 2)
        return whole, float(np.sqrt(spread * (left_out.size - 1) / left_out.size))

    def _factor(self, products: Array, pairs: Array, shape: Mask) -> float:
        covariance = np.divide(products, pairs, out=np.zeros_like(products), where=pairs > 0)
        lags = _overlaps(shape)
        inset = self.reach - (shape.shape[0] - 1)
        inside = np.s_[inset : inset + lags.shape[0], inset : inset + lags.shape[0]]
        level = float(covariance[self.reach, self.reach])
        total = float((covariance[inside] * lags).sum()) / (level * np.count_nonzero(shape)) if level else 0.0
        return float(np.sqrt(max(total, 0.0)))


def _overlaps(shape: Mask) -> Array:
    """Number of pairs of pixels of an aperture at each lag."""
    size = (2 * shape.shape[0] - 1,) * 2
    transform = fft.rfft2(shape.astype(np.float64), size)
    return np.asarray(np.rint(fft.fftshift(fft.irfft2(np.abs(transform) ** 2, size))))
