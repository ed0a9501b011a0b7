"""An overview of a survey that is not there: every section of a report has something to show."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from vmpz.products import ProductKey
from vmpz.run.overview.content import (
    Bit,
    Correlations,
    MapOverview,
    Missing,
    Overview,
    Part,
    RandomsOverview,
    Seam,
    SeamSummary,
    Spread,
)
from vmpz.run.redshifts import Distribution
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

ORDER = 10
HOSTILE = "<script>alert('x')</script> \"&\" ]]> $\\bad{$"
"""What no page may take for markup, nor any figure for a formula."""
WORDS = {
    "DEPTHEST": "APERTURE",
    "SNRLEVEL": 5.0,
    "APERDIAM": 2.0,
    "CORRFAC": 1.0,
    "EXTCORR": False,
    "BITTABLE": "vis",
}
BITS = ("INVALID", "SAT", "COSMIC")
TESTS = (
    ("total", "passed", 10000, None, "rows", "= 10000", ""),
    ("deciles", "failed", 5.1, 1e-7, "slope against V, sigma", "at most 3", ""),
    ("pairs", "left out", None, None, "chi2", "", "the map is too small"),
)
PROVENANCE = {
    "recipe": "depth", "recipe_version": "1", "products": 8, "inputs": 16, "verified": 8, "parameters": {"snr": 5.0},
    "created": ["2026-01-02T03:04:05+00:00", "2026-01-02T03:04:06+00:00"], "differing": {"area": "4"}, "versions": {},
}  # fmt: skip
KINDS = (("footprint", "-", "-"), ("depth", "-", "-"), ("info", "Noise", "RMSQ"))


def fake_overview(
    names: Sequence[str] = ("101", "102", "103", "104"),
    bands: Sequence[str] = ("VIS", "NIR_Y"),
    reason: str = "RMS: must be there, found nothing",
    drawn: int = 4,
) -> Overview:
    """A survey of tiles of half a degree in rows of two; `drawn` of them are in the maps."""
    draw = np.random.default_rng(7)
    outlines = {name: [_square(place)] for place, name in enumerate(names[:drawn])}
    maps = [_map(kind, band, outlines, draw) for band in bands for kind in KINDS]
    return Overview(
        store="store", area="all tiles", created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        versions={"vmpz": "0.1.0", "numpy": "2.0"},
        maps=[*maps, _map(("visibility", "deep", "-"), "-", outlines, draw)],
        parts=[_part(name, band, place) for place, name in enumerate(names) for band in bands],
        outlines=outlines,
        seams=[Seam(f"depth_{bands[0]}", names[0], names[-1], 58.0, -51.4, 90, 0.01 * k, 0.01) for k in range(-4, 5)],
        bits=[Bit(band, k, name, k < 2, 0.01 * (k + 1), 1.0) for band in bands for k, name in enumerate(BITS)],
        correlations=_correlations([one.name for one in maps]),
        redshifts=[_redshifts(names)], randoms=[_randoms(outlines, draw)],
        missing=[Missing(ProductKey(names[0], "depth", band=bands[0]), "FAILED", reason)],
        counts={"products": 40, "FAILED": 1}, notes=["pixel scale 1.6 arcsec instead of 0.1 (4 frames)"],
        seam_summaries=[SeamSummary(f"depth_{bands[0]}", 9, 0, 0.001, 0.02)],
        parameters=f'[survey]\nname = "Fake survey"\nbands = [{", ".join(map(repr, bands))}]\n',
        provenance=[PROVENANCE],
    )  # fmt: skip


def _square(place: int) -> np.ndarray:
    west, south = 57.5 + 0.8 * (place % 2), -52.0 + 0.5 * (place // 2)
    return np.array([[west, south], [west + 0.8, south], [west + 0.8, south + 0.5], [west, south + 0.5]])


def _cells(outlines: dict[str, list[np.ndarray]]) -> np.ndarray:
    """Cells whose centres lie in a square, but for a round hole."""
    corners = np.concatenate([corner for one in outlines.values() for corner in one])
    lon, lat = np.meshgrid(
        np.arange(corners[:, 0].min(), corners[:, 0].max(), 0.02),
        np.arange(corners[:, 1].min(), corners[:, 1].max(), 0.02),
    )
    open_sky = np.hypot((lon - 58.1) * 0.62, lat + 51.6) > 0.12
    return np.unique(hpx.cells_at(lon[open_sky], lat[open_sky], ORDER))


def _map(
    kind: tuple[str, str, str], band: str, outlines: dict[str, list[np.ndarray]], draw: np.random.Generator
) -> MapOverview:
    key = ProductKey("-", kind[0], kind[1], kind[2], band=band, order=ORDER, release="0.1")
    cells = _cells(outlines)
    lon, lat = hpx.centres(cells, ORDER)
    wave = np.sin(9 * lon) * np.cos(7 * lat) + 0.2 * draw.normal(size=cells.size)
    level, size, unit = {"depth": (25.0, 0.3, "mag"), "info": (0.01, 0.001, "")}.get(kind[0], (0.9, 0.03, ""))
    values = level + size * wave
    counts, edges = np.histogram(values, 64)
    area = hpx.cell_area_deg2(ORDER)
    parts = [part for part in (*kind, band) if part != "-"]
    return MapOverview(
        "_".join(parts[1:] if kind[0] == "info" else parts), key, unit, WORDS,
        SkyMap(CellSet.from_cells(ORDER, cells), values.astype(np.float32)), Spread(edges, counts * area), cells.size,
        cells.size * area, float(values.sum() * area) if kind[0] in ("footprint", "coverage") else None,
        float(values.min()), float(values.mean()), float(values.max()),
    )  # fmt: skip


def _part(name: str, band: str, place: int) -> Part:
    lon, lat = 57.5 + 0.8 * (place % 2) + 0.4, -52.0 + 0.5 * (place // 2 % 200) + 0.25
    depth = 25.0 + (place * 7919 % 1000) / 1000
    values = {"depth": depth, "coverage": 0.9 - depth / 1000, "Noise_RMSQ": 0.01 + depth / 1e5}
    return Part(name, band, lon, lat, 0.25, 0.24, 0.01, values, 10, int(place % 50 == 0))


def _correlations(names: list[str]) -> Correlations:
    distance = np.abs(np.subtract.outer(np.arange(len(names)), np.arange(len(names))))
    matrix = np.cos(distance) / (1.0 + 0.2 * distance)
    matrix[0, -1] = matrix[-1, 0] = np.nan
    return Correlations(names, matrix, np.full(matrix.shape, 800, np.int64))


def _redshifts(names: Sequence[str]) -> Distribution:
    edges = np.linspace(0.0, 2.0, 21)
    centres = 0.5 * (edges[1:] + edges[:-1])
    galaxies = np.stack([centres**2 * np.exp(-((centres / scale) ** 1.5)) for scale in (0.6, 0.7, 0.8)])
    return Distribution(
        "deep", np.array([0.5, 0.8]), edges, 1000 * galaxies, np.array([0.1, 0.3, 0.6]), tuple(names[:4]), {}
    )


def _randoms(outlines: dict[str, list[np.ndarray]], draw: np.random.Generator) -> RandomsOverview:
    cells = _cells(outlines)
    density = SkyMap(CellSet.from_cells(ORDER, cells), draw.normal(1000.0, 30.0, cells.size))
    visibility = np.linspace(0.1, 1.0, 10)
    curves = {
        "visibility": visibility, "ratio": 1.0 + 0.01 * np.sin(9 * visibility), "error": np.full(10, 0.01),
        "found": 1e4 * visibility, "expected": 1e4 * visibility,
    }  # fmt: skip
    names = ("name", "verdict", "statistic", "p", "meaning", "bound", "note")
    verdicts = [dict(zip(names, row, strict=True)) for row in TESTS]
    return RandomsOverview("randoms.fits", "visibility_deep", 10000, False, density, curves, verdicts, {})
