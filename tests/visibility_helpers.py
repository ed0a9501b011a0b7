"""A small survey with three classes of galaxies, and what their visibility must be, cell by cell."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from vmpz import io
from vmpz.parameters import load
from vmpz.products import Product
from vmpz.run.account import Account
from vmpz.run.store import Store
from vmpz.run.survey import run_survey
from vmpz.sky import hpx
from vmpz.statistics import CellStatistics

ORDER = 12
CREATED = "2026-01-02T03:04:05"
R_V = {"VIS": 2.2, "NIR_Y": 1.1}
REALISATIONS = 50
PARAMETERS = """
[coverage]
subcells = true
effective = ["VIS", "NIR_Y"]
rule = "JOINT"

[extinction]
map = "ebv.fits"
coefficients = {VIS = 2.2, NIR_Y = 1.1, NIR_H = 0.5}

[[visibility]]
name = "light"
reference = {VIS = 25.0}
coverage = "VIS"
tom_bin = 2
depth_error = {VIS = 0.04}
classes = [0.9, 1.2]
redshift_bins = [0.2, 1.0, 8]
[visibility.luminosity]
m_star = -21.0
alpha = -1.2
redshift = [0.2, 1.0]
faintest = -16.0
[visibility.luminosity.cosmology]
omega_m = 1.0

[[visibility]]
name = "counts"
reference = {VIS = 25.0}
coverage = "VIS"
extinction = "observed"
[visibility.counts]
table = "counts.csv"
[visibility.selection]
completeness = "efficiency"
efficiency = "efficiency.csv"
columns = ["DETECTION", "CLASS"]

[[visibility]]
name = "deep"
reference = {VIS = 25.0, NIR_Y = 23.5}
seed = 11
extinction = "dereddened"
depth_error = {VIS = 0.04, NIR_Y = 0.05}
classes = [1.0, 1.08]
redshift_bins = [0.0, 2.0, 10]
[visibility.deep]
catalogue = "deep.csv"
magnitudes = {VIS = "MAG_VIS", NIR_Y = "MAG_Y"}
depth = {VIS = 28.0, NIR_Y = 27.0}
redshift = "Z"
realisations = 50
[visibility.selection]
completeness = "expression"
expression = "snr_VIS > 5 and snr_NIR_Y > 3"

[[patches]]
name = "same"
all = true
"""


def write_survey(folder: Path) -> Path:
    """Two tiles and the files of three classes; the parameter file."""
    from vmpz.simulate import simulate

    simulate(folder, tiles=2, size=400, bands=("VIS", "NIR_Y"), at=(57.9988, -51.5), seed=3, xml=False)
    survey = folder / "survey.toml"
    survey.write_text(survey.read_text().replace('"SAA:MEAN"', '"Tile:VALUE"') + PARAMETERS)
    np.savetxt(
        folder / "deep.csv", np.stack(deep(), axis=1), "%.6f", ",", header="MAG_VIS,MAG_Y,Z", comments=""
    )
    mag = np.linspace(15, 32, 171)
    rows = np.stack((mag, 10 ** (0.3 * (mag - 20))), axis=1)
    np.savetxt(folder / "counts.csv", rows, "%.9g", ",", header="MAG,COUNTS", comments="")
    delta = np.linspace(-8, 4, 121)
    rows = np.stack((delta, *efficiencies(delta)), axis=1)
    np.savetxt(folder / "efficiency.csv", rows, "%.9g", ",", header="DELTA_MAG,DETECTION,CLASS", comments="")
    write_ebv(folder / "ebv.fits")
    return survey


def write_ebv(path: Path, scale: float = 1.0) -> None:
    """E(B-V) from 0.03 to 0.07, nested, order 6."""
    lon, lat = hpx.centres(np.arange(12 << 12), 6)
    values = scale * (0.05 + 0.02 * np.sin(np.radians(40 * lon)) * np.cos(np.radians(40 * lat)))
    table = fits.BinTableHDU.from_columns([fits.Column("EBV", "E", array=values.astype(np.float32))])
    words = {"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "NSIDE": 64, "COORDSYS": "C", "INDXSCHM": "IMPLICIT"}
    table.header.update(words)
    table.writeto(path, overwrite=True)


def deep() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Magnitudes in both bands, and redshifts, of 300 galaxies; the faint are the far ones."""
    rng = np.random.default_rng(1)
    vis = rng.uniform(20, 27, 300)
    return vis, vis - rng.uniform(0.3, 1.5, 300), np.clip((vis - 20) / 4 + rng.uniform(-0.2, 0.2, 300), 0, 2)


def efficiencies(delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of detection and of classification, against magnitude minus depth."""
    return 1 / (1 + np.exp(delta / 0.15)), 1 - 0.3 / (1 + np.exp(-delta / 0.5))


def run(survey: Path, store: str = "store", **more: object) -> Account:
    return run_survey(load(survey), survey.parent / store, created=CREATED, threads=2, **more)  # type: ignore[arg-type]


def products(survey: Path, kind: str, quantity: str = "-", band: str = "-") -> dict[str, Product]:
    """Products of tiles and patches, by area."""
    return {
        entry.key.area: replace(io.read(entry.path(".fits")), key=entry.key)
        for entry in Store(survey.parent / "store").entries()
        if (entry.key.kind, entry.key.quantity, entry.key.band) == (kind, quantity, band)
    }


def change(survey: Path, old: str, new: str) -> None:
    text = survey.read_text()
    assert text.count(old) == 1, old
    survey.write_text(text.replace(old, new))


# -- V / coverage of one cell, straight from the definitions ----------------------------------------------------------


def phi(x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return np.asarray(ndtr(x))


def statistics_of(survey: Path, tile: str, band: str) -> CellStatistics:
    (path,) = (survey.parent / "store" / tile).glob(f"*~statistics~*~{band}~*/*.parquet")
    return io.read_statistics(io.read(path).table)


def levels(survey: Path, tile: str, bands: list[str], number: np.ndarray) -> list[list[tuple[float, ...]]]:
    """Of every cell its parts: the share of each, and its depth in every band; two where the noise has two levels."""
    known = {band: statistics_of(survey, tile, band) for band in bands}
    depths = {band: products(survey, "depth", band=band)[tile].map.of_cells(number) for band in bands}
    found = []
    for place, cell in enumerate(number):
        noise = {}
        for band, one in known.items():
            at = one.cells.index(np.array([cell]))[0]
            n, m2, *rest = (one.column(f"RMS.good.{name}")[at] for name in ("n", "m2", "mean", "min", "max"))
            noise[band] = (np.sqrt(m2 / n), *rest)
        scatter = {band: s / np.hypot(s, mean) for band, (s, mean, _, _) in noise.items()}
        depth = [float(depths[band][place]) for band in bands]
        widest = max(bands, key=lambda band: scatter[band] if scatter[band] >= 0.05 else 0.0)
        if scatter[widest] < 0.05:
            found.append([(1.0, *depth)])
            continue
        _, mean, low, high = noise[widest]
        part = min(max((mean - low) / (high - low), 0.01), 0.99)
        shift = {}
        for band, (s, mean, _, _) in noise.items():
            s = s if scatter[band] >= 0.05 else 0.0
            both = mean - s * np.sqrt(part / (1 - part)), mean + s * np.sqrt((1 - part) / part)
            shift[band] = [-2.5 * np.log10(max(one / np.hypot(s, mean), 0.1)) for one in both]
        found.append(
            [
                (share, *(one + shift[band][which] for one, band in zip(depth, bands)))
                for which, share in enumerate((1 - part, part))
            ]
        )
    return found


def light(depth: float) -> float:
    """Schechter function in an Einstein-de Sitter universe, a cut at 5 sigma."""
    z = np.linspace(0.2, 1.0, 161)[:, None]
    absolute = np.linspace(-28.0, -16.0, 2401)
    far = 2 * 299792.458 / 67.66 * (1 - (1 + z) ** -0.5)  # comoving, Mpc
    volume = far**2 * (1 + z) ** -1.5
    share = 10 ** (-0.4 * (absolute + 21.0))
    density = share**-0.2 * np.exp(-share) * volume
    mag = absolute + 5 * np.log10(far * (1 + z)) + 25
    seen = phi(5 * (10 ** (-0.4 * (mag - depth)) - 1))
    return float(np.trapezoid(np.trapezoid(density * seen, absolute, axis=1), z[:, 0]))


def counts(depth: float, ebv: float) -> float:
    """Counts times both efficiencies of magnitudes as observed."""
    mag = np.linspace(15, 32, 17001)
    delta = np.linspace(-8, 4, 121)
    seen = np.interp(mag + R_V["VIS"] * ebv - depth, delta, np.prod(efficiencies(delta), axis=0), right=0.0)
    return float(np.trapezoid(10 ** (0.3 * (mag - 20)) * seen, mag))


def deep_seen(depths: tuple[float, float], ebv: float) -> np.ndarray:
    """Probability of every galaxy to pass both cuts with the noise of a place, beyond that of the catalogue."""
    seen = np.ones(300)
    for mag, band, depth, own, cut in zip(deep()[:2], R_V, depths, (28.0, 27.0), (5, 3)):
        sigma, known = (10 ** (-0.4 * (one - 23.9)) / 5 for one in (depth - R_V[band] * ebv, own))
        seen = seen * phi((10 ** (-0.4 * (mag - 23.9)) - cut * sigma) / np.sqrt(sigma**2 - known**2))
    return seen
