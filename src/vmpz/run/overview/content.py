"""The content of an overview: plain frozen values, ready to be shown, that say nothing of files or figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.products import ProductKey, Scalar
from vmpz.run.redshifts import Distribution
from vmpz.sky.skymap import SkyMap

__all__ = [
    "Bit",
    "Correlations",
    "MapOverview",
    "Missing",
    "Overview",
    "Part",
    "RandomsOverview",
    "Seam",
    "SeamSummary",
    "Spread",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How much area has which value.

    Attributes
    ----------
    edges : float64 (k + 1,)
        Of bins of value, ascending; the first and last value of the map lie in the first and last bin.
    area_deg2 : float64 (k,)
    values : float64 (k,) or None
        Where every bin holds one value: these.
    """

    edges: Floats
    area_deg2: Floats
    values: Floats | None = None

    @property
    def total_deg2(self) -> float:
        """All of it."""
        return float(self.area_deg2.sum())

    def above(self) -> Floats:
        """Area whose value is at least each edge, float64 (k + 1,): area deeper than m, area that a cut keeps."""
        return np.append(np.cumsum(self.area_deg2[::-1])[::-1], 0.0)

    def below(self) -> Floats:
        """Area whose value is less than each edge, float64 (k + 1,)."""
        return np.insert(np.cumsum(self.area_deg2), 0, 0.0)

    def quantile(self, share: float) -> float:
        """Value up to which this share of the area lies, linear inside a bin of many values; NaN of an empty map."""
        if not self.total_deg2:
            return float("nan")
        if self.values is not None:
            return float(self.values[np.searchsorted(self.below()[1:-1], share * self.total_deg2)])
        return float(np.interp(share * self.total_deg2, self.below(), self.edges))


@dataclass(frozen=True)
class MapOverview:
    """One map over all its tiles (or one patch).

    Attributes
    ----------
    name : str
        As in expressions: depth_VIS, Noise_RMSQ_VIS.
    key : ProductKey
        With area '-' where it is of several tiles.
    unit : str
    keywords : mapping
        Of one of its files: DEPTHEST, SNRLEVEL, BITSEL, ...
    picture : SkyMap
        The map itself, or where it has too many cells a coarser one: means of the cells that are listed.
    spread : Spread
    cells : int
    area_deg2, observed_deg2 : float
        Listed; and integrated, of coverage-type maps alone (else None).
    minimum, mean, maximum : float
    """

    name: str
    key: ProductKey
    unit: str
    keywords: Mapping[str, Scalar]
    picture: SkyMap
    spread: Spread
    cells: int
    area_deg2: float
    observed_deg2: float | None
    minimum: float
    mean: float
    maximum: float


@dataclass(frozen=True)
class Part:
    """One tile and band: a row of the table of tiles. `values` by map name without the band, means over the tile."""

    area: str
    band: str
    lon_deg: float
    lat_deg: float
    area_deg2: float
    observed_deg2: float | None
    hole_deg2: float | None
    values: Mapping[str, float]
    products: int
    missing: int


@dataclass(frozen=True)
class Seam:
    """What changes where two tiles meet, of one map.

    `step` is the mean difference of neighbouring cells across the border, other minus one, less what changes one row
    inside of it on either side; `error` its standard error (`vmpz.run.overview.seams`); `pairs` the number of pairs.
    """

    name: str
    one: str
    other: str
    lon_deg: float
    lat_deg: float
    pairs: int
    step: float
    error: float

    @property
    def significance(self) -> float:
        """|step| / error; inf of a step without noise, 0 of none."""
        if self.step == 0.0:
            return 0.0
        return abs(self.step) / self.error if self.error else float("inf")


@dataclass(frozen=True)
class SeamSummary:
    """All seams of a map, told or not: their number, that of those above 5 sigma, mean and r.m.s. of the steps."""

    name: str
    seams: int
    significant: int
    mean_step: float
    rms_step: float


@dataclass(frozen=True)
class Bit:
    """A flag bit of a band: the area that it hits (deg2), of the area that the map knows."""

    band: str
    number: int
    name: str
    selected: bool
    area_deg2: float
    of_deg2: float


@dataclass(frozen=True)
class Correlations:
    """Pearson correlation of every two maps over the cells that both list.

    `matrix` is float64 (n, n), NaN where it is not defined; `cells` int64 (n, n).
    """

    names: Sequence[str]
    matrix: Floats
    cells: NDArray[np.int64]


@dataclass(frozen=True)
class RandomsOverview:
    """A random catalogue against the map that it follows.

    `density` is points per deg2 over visibility on coarse cells; `curves` the number of points found and expected
    by decile of visibility; `verdicts` the tests with name, verdict and numbers.
    """

    file: str
    map: str
    rows: int
    passed: bool
    density: SkyMap
    curves: Mapping[str, Floats]
    verdicts: Sequence[Mapping[str, Any]]
    keywords: Mapping[str, Scalar]


@dataclass(frozen=True)
class Missing:
    """A product that is not there: its key, state (FAILED, NOINPUT, or NOTASKED: no run has made it) and reason."""

    key: ProductKey
    state: str
    reason: str


@dataclass(frozen=True)
class Overview:
    """Everything a report of a store shows.

    `outlines` are the tiles on the sky, by name: polygons float64 (m, 2), lon and lat in degrees, counter-clockwise.
    """

    store: str
    area: str
    created: datetime | None
    versions: Mapping[str, str]
    maps: Sequence[MapOverview]
    parts: Sequence[Part]
    outlines: Mapping[str, Sequence[Floats]]
    seams: Sequence[Seam]
    bits: Sequence[Bit]
    correlations: Correlations | None
    redshifts: Sequence[Distribution]
    randoms: Sequence[RandomsOverview]
    missing: Sequence[Missing]
    counts: Mapping[str, int]
    notes: Sequence[str]
    parameters: str
    provenance: Sequence[Mapping[str, Any]] = field(default=())
    seam_summaries: Sequence[SeamSummary] = field(default=())
