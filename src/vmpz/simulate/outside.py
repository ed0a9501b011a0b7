"""What comes to a survey from outside: a map of E(B-V), catalogues of stars and galaxies, coefficients of a site.

E(B-V) is a smooth function of galactic position, written as Planck's maps are: the whole sky, RING, galactic, 1024
values a row. Stars and galaxies lie at random, uniformly on the sky, masked or not; their magnitudes follow
``10**(slope m)`` between two limits, and the quality of a photometric redshift falls along a straight line with it.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from vmpz.files.write import write_whole
from vmpz.physics.extinction import LAWS
from vmpz.quantities import QUANTITIES
from vmpz.simulate.field import Sky, generator
from vmpz.simulate.fitsfile import fits_file
from vmpz.simulate.geometry import rectangle_area_sr
from vmpz.sky import hpx

__all__ = [
    "ATMOSPHERE",
    "GALAXIES",
    "STARS",
    "Population",
    "ebv",
    "maps_of",
    "outside_parameters",
    "quality",
    "reddening_coefficients",
    "write_outside",
]

Array = NDArray[np.floating[Any]]

FOLDER = "outside"
EBV_ORDER = 6
ROW = 1024
MISSING_EVERY = 50
"""Every so many galaxies one has no photometric redshift."""

ATMOSPHERE = {
    "DECAM_g": 0.181, "DECAM_r": 0.095,
    "KIDS_u": 0.48, "KIDS_g": 0.16, "KIDS_r": 0.09, "KIDS_i": 0.03,
    "LSST_r": 0.10, "LSST_i": 0.07,
    "HSC_r": 0.08, "HSC_i": 0.04,
    "MEGACAM_u": 0.35, "MEGACAM_g": 0.15, "MEGACAM_r": 0.10,
}  # fmt: skip
"""Extinction by the atmosphere, mag per air mass."""
SCHLAFLY = 0.86
"""True E(B-V) of the map of Schlegel, Finkbeiner & Davis 1998 (Schlafly & Finkbeiner 2011, ApJ 737, 103)."""
SDSS_SFD = {"u": 4.239, "g": 3.303, "r": 2.285, "i": 1.698}
"""For that map, of filters like those of the SDSS (the same work, table 6)."""
WAVELENGTHS = {"MEGACAM_g": 0.475}
"""Of bands that the model of the zodiacal light does not know, um."""

GROUND = ("Airmass", "AtmosphericExtinction", "Seeing", "ParallacticAngle", "DCR1", "DCR2", "DCRE1", "DCRE2")
"""Quantities of instruments below the atmosphere."""
SPACE = ("SAA", "AA", "BA", "Persistence")
"""Quantities of instruments above it."""
SPACECRAFT = ("VIS", "NISP")


@dataclass(frozen=True)
class Population:
    """Sources of one kind.

    Attributes
    ----------
    name : str
    per_deg2 : float
        Mean density.
    faintest, brightest : float
        Magnitudes.
    slope : float
        Of ``log10`` of the number per magnitude.
    """

    name: str
    per_deg2: float
    brightest: float
    faintest: float
    slope: float

    def share(self, low: float, high: float) -> float:
        """Share of the sources with ``low <= magnitude < high``."""
        edges = np.clip([low, high], self.brightest, self.faintest)
        below = 10.0 ** (self.slope * (edges - self.faintest))
        whole = 1.0 - 10.0 ** (self.slope * (self.brightest - self.faintest))
        return float((below[1] - below[0]) / whole)

    def draw(self, sky: Sky) -> tuple[Array, Array, Array]:
        """Longitudes, latitudes (degrees) and magnitudes over the bounding box of a sky."""
        draw = generator(sky.seed, f"catalogue {self.name}")
        x0, x1, y0, y1 = sky.extent
        area_deg2 = math.degrees(math.degrees(float(rectangle_area_sr(x0, x1, y0, y1))))
        number = int(draw.poisson(self.per_deg2 * area_deg2))
        x, y = np.empty(0), np.empty(0)
        while x.size < number:  # a plane shows too much of the sky away from where it touches
            u, v = draw.uniform(x0, x1, number), draw.uniform(y0, y1, number)
            kept = draw.random(number) < (1.0 + u * u + v * v) ** -1.5
            x, y = np.append(x, u[kept]), np.append(y, v[kept])
        lon, lat = sky.plane.angles(x[:number], y[:number])
        low = 10.0 ** (self.slope * (self.brightest - self.faintest))
        magnitude = self.faintest + np.log10(low + (1.0 - low) * draw.random(number)) / self.slope
        return lon, lat, magnitude


STARS = Population("stars", 12_000.0, 8.0, 21.0, 0.2)
GALAXIES = Population("galaxies", 30_000.0, 18.0, 25.0, 0.3)
STAR_WINDOW, GALAXY_WINDOW = (15.0, 20.0), (20.0, 24.5)


def ebv(lon_deg: ArrayLike, lat_deg: ArrayLike) -> Array:
    """E(B-V) at galactic positions, mag."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.asarray(
        0.06 + 0.02 * np.cos(lat) * np.cos(lon) - 0.015 * np.sin(2.0 * lat) * np.sin(lon), np.float64
    )


def quality(magnitude: Array) -> Array:
    """Quality of the photometric redshift of a galaxy, between 0 and 1."""
    span = GALAXIES.faintest - GALAXIES.brightest
    return np.asarray(0.95 - 0.6 * (magnitude - GALAXIES.brightest) / span)


def maps_of(instruments: Collection[str]) -> list[str]:
    """QUANTITY:STATISTIC of all that some instrument of these can give, each with its default statistic."""
    space = any(one in SPACECRAFT for one in instruments)
    ground = any(one not in SPACECRAFT for one in instruments)
    unfit = (() if space else SPACE) + (() if ground else GROUND)
    return [f"{row.name}:{row.statistic}" for row in QUANTITIES.values() if row.name not in unfit]


def reddening_coefficients(bands: Iterable[str]) -> dict[str, float]:
    """A_b / E(B-V), on the scale of a true E(B-V), of bands that the law F99-RV3.1 does not name."""
    alike = {
        f"{camera}_{letter}": value for camera in ("KIDS", "MEGACAM") for letter, value in SDSS_SFD.items()
    }
    sfd = {**LAWS["DES-DR1"], **LAWS["HSC-PDR"], **alike}
    known = {**{name: round(value / SCHLAFLY, 3) for name, value in sfd.items()}, **LAWS["LSST-CCM89"]}
    return {name: known[name] for name in bands if name in known}


def outside_parameters(bands: Sequence[str]) -> str:
    """The blocks of a survey file for what `write_outside` writes beside it."""
    return OUTSIDE.format(
        folder=FOLDER,
        coefficients=_inline(reddening_coefficients(bands)),
        atmosphere=_inline({name: ATMOSPHERE[name] for name in bands if name in ATMOSPHERE}),
        wavelengths=_inline({name: WAVELENGTHS[name] for name in bands if name in WAVELENGTHS}),
        stars=list(STAR_WINDOW),
        galaxies=list(GALAXY_WINDOW),
    )


def _inline(values: dict[str, float]) -> str:
    return "{" + ", ".join(f"{name} = {value}" for name, value in values.items()) + "}"


OUTSIDE = """
[site]
extinction = {atmosphere}

[zodiacal]
wavelength_um = {wavelengths}

[extinction]
map = "{folder}/ebv.fits"
method = "bilinear"
law = "F99-RV3.1"
coefficients = {coefficients}

[[catalogues]]
name = "stars"
location = "{folder}/stars.parquet"
role = "stars"
magnitude = "phot_g_mean_mag"
window = {stars}
everywhere = true

[[catalogues]]
name = "galaxies"
location = "{folder}/galaxies.fits"
role = "galaxies"
magnitude = "MAG"
window = {galaxies}
everywhere = true

[[catalogues]]
name = "photoz"
location = "{folder}/galaxies.fits"
role = "photoz"
quality = "PHZ_QUALITY"
everywhere = true
"""


def write_outside(folder: Path, sky: Sky) -> None:
    """Write the map of E(B-V) and the catalogues below ``folder/outside``."""
    here = folder / FOLDER
    _write_ebv(here / "ebv.fits")
    lon, lat, magnitude = STARS.draw(sky)
    _write_parquet(here / "stars.parquet", {"ra": lon, "dec": lat, "phot_g_mean_mag": magnitude})
    lon, lat, magnitude = GALAXIES.draw(sky)
    told = quality(magnitude)
    told[::MISSING_EVERY] = np.nan
    columns = {"RA": (lon, "deg"), "DEC": (lat, "deg"), "MAG": (magnitude, "mag"), "PHZ_QUALITY": (told, "")}
    table = [fits.Column(name, "D", unit or None, array=values) for name, (values, unit) in columns.items()]
    with fits_file(here / "galaxies.fits") as file:
        file.add(fits.PrimaryHDU())
        file.add(fits.BinTableHDU.from_columns(table, name="GALAXIES"))


def _write_ebv(path: Path) -> None:
    """The whole sky, RING, galactic: centres of pixels are galactic positions."""
    number = hpx.number_of_cells(EBV_ORDER)
    pixels = hpx.from_ring(np.arange(number), EBV_ORDER)
    values = ebv(*hpx.centres(pixels, EBV_ORDER)).astype(np.float32).reshape(-1, ROW)
    table: Any = fits.BinTableHDU.from_columns([fits.Column("EBV", f"{ROW}E", "mag", array=values)])
    for card in (
        ("PIXTYPE", "HEALPIX", "HEALPIX pixelisation"),
        ("ORDERING", "RING", "Pixel ordering scheme, either RING or NESTED"),
        ("COORDSYS", "G", "Ecliptic, Galactic or Celestial (equatorial)"),
        ("NSIDE", 1 << EBV_ORDER, "Resolution parameter of HEALPIX"),
        ("FIRSTPIX", 0, "First pixel # (0 based)"),
        ("LASTPIX", number - 1, "Last pixel # (0 based)"),
        ("INDXSCHM", "IMPLICIT", "Indexing: IMPLICIT or EXPLICIT"),
        ("OBJECT", "FULLSKY", "Sky coverage, either FULLSKY or PARTIAL"),
    ):
        table.header.append(card)
    with fits_file(path) as file:
        file.add(fits.PrimaryHDU())
        file.add(table)


def _write_parquet(path: Path, columns: dict[str, Array]) -> None:
    with write_whole(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
