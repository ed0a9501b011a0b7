"""Classes of galaxies as a luminosity function, or as number counts: two branches of photometric visibility.

Definition
    ``n(m, z) = phi(m - DM(z) - K(z) - E(z)) dV/dz/dOmega``: galaxies per magnitude, redshift and square degree, with
    phi a Schechter function or a table; or number counts ``n(m)``, a power law or a table, without redshifts. The
    windows of absolute magnitudes (`brightest`, `faintest`) and of redshifts are the class.

Integral
    The nodes are cells of equal size in redshift and apparent magnitude. The weight of a node is the integral of the
    class over its cell, by Gauss-Legendre sums in both directions (a table in magnitude exactly). A completeness
    function is averaged over the cell with a density that is linear in magnitude, of the mean and first moment of the
    class there; in the cells that a hard cut passes it is the integral of the class on the bright side of the cut. So V
    follows depth continuously. Objects drawn from the nodes are uniform in their cells: a hard cut is smeared by less
    than a cell, 0.05 mag.

Depth
    One band. Its depth is made shallower by ``2.5 log10`` of the noise factor of the class, and for sources of a
    half-light radius by ``1.25 log10(A_ext / A_psf)``.

Extinction
    ``A_b = R_b E(B-V)``. `dereddened`: cuts act on dereddened magnitudes, and the limit of the images there is
    ``depth - A_b``. `observed`: cuts act on the magnitudes ``m + A_b`` that are observed, against the depth.
    Completeness that depends on magnitude minus depth alone is the same for both; the limit of the sample itself (m_max
    of redMaPPer) and the column MAG of efficiencies are magnitudes of the one or the other kind.

Noise
    Sources which noise alone lifts above a cut in S/N do not count: there is no bound to their number in a class that
    goes on to faint magnitudes (`vmpz.physics.completeness.gaussian`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vmpz.errors import InputError
from vmpz.make.galaxies import Floats, Galaxies
from vmpz.make.selection import bands_of, completeness_of
from vmpz.parameters import CountsParameters, LuminosityParameters, VisibilityParameters
from vmpz.physics.completeness import Completeness, extended_mag
from vmpz.physics.efficiency import Efficiency
from vmpz.physics.luminosity import Law, Schechter, Tabulated, distances, gauss_legendre

__all__ = ["CellBranch", "Curve", "Tables", "counts_branch", "luminosity_branch"]

Curve = tuple[Floats, Floats]
"""Abscissa, ascending, and ordinate."""

STEP_MAG = 0.05
STEP_Z = 0.01
NODES = 40_000
"""About as many cells as are made; their steps in redshift are wider than `STEP_Z` where there would be more."""
FEWEST_ROWS = 8
SUBNODES = 400
"""Places in redshift, at least, at which the class is integrated."""
NEGLIGIBLE = 1e-16
"""Share of a class that a cell may have and be left out."""


@dataclass(frozen=True)
class Tables:
    """What the files hold that a class names.

    Attributes
    ----------
    luminosity, counts : (magnitude, density) or None
        Galaxies per magnitude.
    k_correction, evolution : (redshift, magnitude) or None
    efficiency : Efficiency or None
    """

    luminosity: Curve | None = None
    counts: Curve | None = None
    k_correction: Curve | None = None
    evolution: Curve | None = None
    efficiency: Efficiency | None = None


@dataclass(frozen=True)
class Population:
    """A class of galaxies: a law of magnitudes, seen at some offsets and as often as some volumes say.

    Attributes
    ----------
    law : Law
    window : (float, float)
        [brightest, faintest] magnitude of the law.
    offset_mag, volume : float64 (rows, subnodes)
        Apparent minus absolute magnitude; what the density is multiplied with.
    redshift : float64 (rows,)
        NaN where there is none.
    spread_z : float
    """

    law: Law
    window: tuple[float, float]
    offset_mag: Floats
    volume: Floats
    redshift: Floats
    spread_z: float = 0.0

    def between(self, bright_mag: Floats, faint_mag: Floats) -> Floats:
        """Galaxies of every row between apparent magnitudes, (rows, n)."""
        bright, faint = (np.clip(one - self._offsets, *self.window) for one in (bright_mag, faint_mag))
        return self._summed(self.law.between(bright, faint))

    def density(self, mag: Floats) -> Floats:
        """Galaxies of every row per apparent magnitude, (rows, n)."""
        at = mag - self._offsets
        inside = (at >= self.window[0]) & (at <= self.window[1])
        return self._summed(np.where(inside, self.law.density(at), 0.0))

    @property
    def _offsets(self) -> Floats:
        """(rows, subnodes, 1)."""
        return self.offset_mag[:, :, None]

    def _summed(self, values: Floats) -> Floats:
        """Values of all subnodes, (rows, subnodes, n), to those of rows, (rows, n)."""
        return np.asarray((self.volume[:, None, :] @ values)[:, 0, :])


@dataclass(frozen=True)
class Light:
    """How the depth of a place acts on the magnitudes of a class.

    Attributes
    ----------
    shallower_mag : float
        Depth of the maps minus that for sources of the class.
    coefficient : float
        A_b / E(B-V); 0 where extinction is left out.
    observed : bool
        Whether cuts act on observed magnitudes, else on dereddened ones.
    """

    shallower_mag: float
    coefficient: float
    observed: bool

    def at(self, depth_mag: float, ebv_mag: float) -> tuple[float, float]:
        """What is added to magnitudes, and the limit they are compared with."""
        extinction = self.coefficient * ebv_mag
        depth = depth_mag - self.shallower_mag
        return (extinction, depth) if self.observed else (0.0, depth - extinction)


class CellBranch:
    """A class whose objects are cells in redshift and apparent magnitude, selected by one band.

    Parameters
    ----------
    population : Population
    band : str
    completeness : Completeness
    light : Light
    size_arcsec : float
        Half-light radius of all sources, 0 for points.
    """

    def __init__(
        self,
        population: Population,
        band: str,
        completeness: Completeness,
        light: Light,
        size_arcsec: float = 0.0,
    ) -> None:
        self.band = band
        self._population, self._completeness, self._light = population, completeness, light
        self._size_arcsec = size_arcsec
        self._edges = _edges(population)
        bright, faint = self._edges[:-1], self._edges[1:]
        self._weight = population.between(bright, faint)
        if not self._weight.sum() > 0.0:
            raise InputError("a class must hold galaxies in its windows, found none")
        self._tilt = _tilt(population, bright)
        self._kept = np.flatnonzero(self._weight > NEGLIGIBLE * self._weight.sum())
        number = int(np.clip(np.ceil(3.0 * STEP_MAG / completeness.scale_mag) + 1, 4, 64))
        self._nodes, self._shares = gauss_legendre(number)
        self._points = 0.5 * (bright + faint)[:, None] + STEP_MAG * self._nodes

    @cached_property
    def galaxies(self) -> Galaxies:
        """The cells, in ascending redshift, then magnitude."""
        rows, columns = self._weight.shape
        mag = np.tile(0.5 * (self._edges[:-1] + self._edges[1:]), rows)[self._kept]
        size = self._size_arcsec if self._size_arcsec > 0.0 else np.nan
        return Galaxies(
            weight=self._weight.ravel()[self._kept],
            magnitudes={self.band: mag},
            redshift=np.repeat(self._population.redshift, columns)[self._kept],
            photo_z=np.full(mag.size, np.nan),
            size_arcsec=np.full(mag.size, size),
            spread_mag=STEP_MAG,
            spread_z=self._population.spread_z,
        )

    def seen(self, depth_mag: Mapping[str, float], ebv_mag: float = 0.0) -> Floats:
        """Probability of every cell to be selected, as `vmpz.make.galaxies.Branch` says.

        Raises
        ------
        InputError
            There is no finite depth in the band.
        """
        depth = depth_mag.get(self.band, np.nan)
        if not np.isfinite(depth):
            raise InputError(f"a depth in {self.band} must be finite, found {depth} ({', '.join(depth_mag)})")
        added, limit = self._light.at(depth, ebv_mag)
        probability = self._completeness(self._points + added, limit)
        mean = probability @ self._shares
        slope = probability @ (12.0 * self._shares * self._nodes)
        cells = slope * self._tilt
        cells += mean
        edge = self._completeness.edge_mag(limit) - added
        if self._edges[0] < edge < self._edges[-1]:
            column = int(np.searchsorted(self._edges, edge, side="right")) - 1
            cells[:, column] = self._cut(column, edge, added, limit)
        return np.take(cells.ravel(), self._kept)

    def _cut(self, column: int, edge: float, added: float, limit: float) -> Floats:
        """Probability in the cells of a column that nothing is seen of beyond a magnitude."""
        bright = self._edges[column : column + 1]
        length = edge - bright[0]
        points = bright[0] + length * (self._nodes + 0.5)
        probability = self._completeness(points + added, limit)
        share = self._population.between(bright, np.array([edge]))[:, 0] / np.maximum(
            self._weight[:, column], np.finfo(float).tiny
        )
        if np.all(probability == probability[0]):
            return np.asarray(share * probability[0])
        density = self._shares * self._population.density(points)
        seen = (density @ probability) / np.maximum(density.sum(axis=1), np.finfo(float).tiny)
        return np.asarray(share * seen)


def _edges(population: Population) -> Floats:
    """Borders of the cells in apparent magnitude: whole steps, over all that the class has."""
    brightest, faintest = population.window
    first = np.floor((brightest + population.offset_mag.min()) / STEP_MAG)
    last = np.ceil((faintest + population.offset_mag.max()) / STEP_MAG)
    return np.arange(first, last + 1) * STEP_MAG


def _tilt(population: Population, bright_mag: Floats) -> Floats:
    """First moment of the class in its cells, of a place in [-1/2, 1/2]: (rows, n).

    Bounded so that a linear density of that moment is nowhere negative.
    """
    total = np.zeros((len(population.redshift), bright_mag.size))
    moment = np.zeros_like(total)
    for node, share in zip(*gauss_legendre(4), strict=True):
        density = share * population.density(bright_mag + STEP_MAG * (node + 0.5))
        total += density
        moment += node * density
    return np.clip(moment / np.maximum(total, np.finfo(float).tiny), -1.0 / 6.0, 1.0 / 6.0)


# -- from parameters --------------------------------------------------------------------------------------------------


def luminosity_branch(
    parameters: VisibilityParameters,
    tables: Tables | None = None,
    *,
    depth_snr: float = 5.0,
    coefficients: Mapping[str, float] | None = None,
) -> CellBranch:
    """A class as a luminosity function.

    Parameters
    ----------
    parameters : VisibilityParameters
        With `luminosity`.
    tables : Tables, optional
        What the files hold that it names.
    depth_snr : float
        Signal-to-noise ratio of the depth maps.
    coefficients : mapping of str to float, optional
        A_b / E(B-V) by band; needed unless extinction is 'none'.

    Raises
    ------
    InputError
        The selection needs several bands, a table or a number is missing, or one does not hold what it must.
    """
    if parameters.luminosity is None:
        raise InputError(f"class {parameters.name} must be a luminosity function, found none")
    given = tables or Tables()
    population = _of_luminosity(parameters.luminosity, given)
    return _branch(parameters, population, given.efficiency, depth_snr, coefficients or {})


def counts_branch(
    parameters: VisibilityParameters,
    tables: Tables | None = None,
    *,
    depth_snr: float = 5.0,
    coefficients: Mapping[str, float] | None = None,
) -> CellBranch:
    """A class as number counts; arguments and errors of `luminosity_branch`."""
    if parameters.counts is None:
        raise InputError(f"class {parameters.name} must be number counts, found none")
    given = tables or Tables()
    population = _of_counts(parameters.counts, given)
    return _branch(parameters, population, given.efficiency, depth_snr, coefficients or {})


def _branch(
    parameters: VisibilityParameters,
    population: Population,
    efficiency: Efficiency | None,
    depth_snr: float,
    coefficients: Mapping[str, float],
) -> CellBranch:
    """The class behind its selection."""
    bands = bands_of(parameters)
    if len(bands) != 1:
        raise InputError(
            f"class {parameters.name}: a luminosity function or number counts are of one band, found a selection in "
            f"{', '.join(bands)}: name one in [visibility.selection] bands, or use a deep sample, which has colours"
        )
    (band,) = bands
    completeness = completeness_of(parameters.selection, depth_snr, efficiency)
    light = _light(parameters, band, coefficients)
    return CellBranch(population, band, completeness, light, parameters.half_light_arcsec)


def _light(parameters: VisibilityParameters, band: str, coefficients: Mapping[str, float]) -> Light:
    """What makes the depth of a class shallower than that of the maps."""
    shallower = 2.5 * np.log10(parameters.noise_scale.get(band, 1.0))
    if parameters.half_light_arcsec > 0.0:
        if band not in parameters.psf_fwhm_arcsec:
            raise InputError(
                f"class {parameters.name}: half_light_arcsec needs psf_fwhm_arcsec of band {band}, found none"
            )
        shallower += float(extended_mag(parameters.half_light_arcsec, parameters.psf_fwhm_arcsec[band]))
    if parameters.extinction == "none":
        return Light(shallower, 0.0, observed=False)
    if band not in coefficients:
        raise InputError(
            f"class {parameters.name}: extinction = {parameters.extinction!r} needs A_b / E(B-V) of band {band}, "
            f"found {', '.join(coefficients) or 'none'}"
        )
    return Light(shallower, coefficients[band], observed=parameters.extinction == "observed")


def _of_luminosity(luminosity: LuminosityParameters, tables: Tables) -> Population:
    """The cells in redshift, and the distances and volumes of places inside them."""
    law, window = _law_of(luminosity, tables)
    low, high = luminosity.redshift
    columns = (window[1] - window[0]) / STEP_MAG
    rows = int(np.clip(np.ceil((high - low) / STEP_Z), 1, max(NODES // columns, FEWEST_ROWS)))
    borders = np.linspace(low, high, rows + 1)
    nodes, shares = gauss_legendre(max(4, -(-SUBNODES // rows)))
    step = (high - low) / rows
    centres = 0.5 * (borders[:-1] + borders[1:])
    z = centres[:, None] + step * nodes
    cosmology = luminosity.cosmology
    modulus, volume = distances(z, h0=cosmology.h0, omega_m=cosmology.omega_m)
    offset = modulus + _correction(
        "k_correction", luminosity.k_correction, tables.k_correction, z, (low, high)
    )
    offset += _correction("evolution", luminosity.evolution, tables.evolution, z, (low, high))
    return Population(law, window, offset, volume * shares * step, centres, step)


def _law_of(luminosity: LuminosityParameters, tables: Tables) -> tuple[Law, tuple[float, float]]:
    """The luminosity function and the window in absolute magnitude where it is not 0."""
    window = (luminosity.brightest, luminosity.faintest)
    if luminosity.m_star is not None and luminosity.alpha is not None:
        return Schechter(luminosity.m_star, luminosity.alpha, luminosity.phi_star), window
    return _tabulated(luminosity.table, tables.luminosity, window)


def _of_counts(counts: CountsParameters, tables: Tables) -> Population:
    """Number counts: one row of a law of apparent magnitudes."""
    bright, faint = counts.magnitudes
    law: Law
    if counts.slope is not None:
        ends = 10.0 ** (counts.slope * np.array([0.0, faint - bright]))
        law, window = Tabulated(np.array([bright, faint]), ends), (bright, faint)
    else:
        law, window = _tabulated(counts.table, tables.counts, (bright, faint))
    return Population(law, window, np.zeros((1, 1)), np.ones((1, 1)), np.full(1, np.nan))


def _tabulated(
    file: str | None, curve: Curve | None, window: tuple[float, float]
) -> tuple[Law, tuple[float, float]]:
    """A table as a law, and what it has of a window."""
    if curve is None:
        raise InputError(f"the table {file} must be given, found nothing")
    law = Tabulated(*curve, where=str(file))
    inside = (max(window[0], float(law.mag[0])), min(window[1], float(law.mag[-1])))
    if not inside[0] < inside[1]:
        raise InputError(
            f"{file}: magnitudes must reach into [{window[0]}, {window[1]}], found {law.mag[0]} to {law.mag[-1]}"
        )
    return law, inside


def _correction(
    name: str, told: list[float] | str, curve: Curve | None, z: Floats, window: tuple[float, float]
) -> Floats:
    """K(z) or E(z), mag: a polynomial without constant, or a table."""
    if not isinstance(told, str):
        return np.asarray(np.polynomial.polynomial.polyval(z, [0.0, *told]), np.float64)
    if curve is None:
        raise InputError(f"the table {told} of {name} must be given, found nothing")
    at, values = curve
    if at[0] > window[0] or at[-1] < window[1]:
        raise InputError(
            f"{told}: {name} must reach from redshift {window[0]} to {window[1]}, found {at[0]} to {at[-1]}"
        )
    return np.asarray(np.interp(z, at, values))
