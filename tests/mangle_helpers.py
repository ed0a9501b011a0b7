"""Mangle files and products for the tests of polygons."""

import importlib.util
import os
import re

import numpy as np
import pytest

import io_helpers
from vmpz.products import Product
from vmpz.sky import hpx
from vmpz.sky.regions import Cap, covered_fractions
from vmpz.sky.skymap import SkyMap

PLACES = {"equator": (359.98, 0.02), "south": (57.3, -51.5), "seam": (90.0, 41.8), "north": (44.0, 84.2)}
"""Among them longitude 0, a quarter meridian, where the projection changes, and the edge of what is promised."""


def pymangle():
    """The package; the test is skipped where it is missing, and fails under CI."""
    if importlib.util.find_spec("pymangle") is None:
        missing = "pymangle is missing: it is built from source by `pip install pymangle==0.9.4`"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return importlib.import_module("pymangle")


def products():
    """One product of every kind that polygons can hold."""
    found = io_helpers.products()
    del found["bitmask"]
    found["visibility"] = io_helpers.make(
        io_helpers.key("visibility", quantity="TOM3", selection="INVALID,SAT,STARMASK"),
        {"WEIGHT": io_helpers.fractions(4)},
        {**io_helpers.BITS, "DEPTHEST": "APERTURE", "BINSEL": "TOM3"},
    )
    return found


def coverage(lon, lat, radius=0.3, order=13, holes=0.05, seed=1):
    """Coverage of a disc with some cells of any fraction inside."""
    disc = covered_fractions(Cap(lon, lat, radius), order)
    values = disc.values.astype(np.float32)
    random = np.random.default_rng(seed)
    some = random.random(len(disc)) < holes
    values[some] = random.random(some.sum(), np.float32)
    return Product(io_helpers.key("coverage", order=order), {"WEIGHT": SkyMap(disc.cells, values)})


def points_near(lon, lat, radius, count, seed=2):
    """Positions spread evenly over a disc."""
    random = np.random.default_rng(seed)
    z, turn = 1 - random.random(count) * (1 - np.cos(np.radians(radius))), 2 * np.pi * random.random(count)
    rho = np.sqrt(1 - z * z)
    tilt, spin = np.radians(90 - lat), np.radians(lon)
    x, y = rho * np.cos(turn), rho * np.sin(turn)
    x, z = x * np.cos(tilt) + z * np.sin(tilt), z * np.cos(tilt) - x * np.sin(tilt)
    x, y = x * np.cos(spin) - y * np.sin(spin), x * np.sin(spin) + y * np.cos(spin)
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def polygons_of(path):
    """Number of polygons that the first line states."""
    with path.open() as stream:
        return int(stream.readline().split()[0])


def tokens(text):
    """Words and numbers of a file."""
    return [float(one) if re.fullmatch(r"[-+.\deE]+", one) else one for one in text.split()]


def mask_text(polygons, weights=None, areas=None, header="balkanized"):
    """A mangle file of lists of caps."""
    lines = [f"{len(polygons)} polygons", *header.split("\n")]
    for k, caps in enumerate(polygons):
        weight = 1 if weights is None else weights[k]
        area = 0 if areas is None else areas[k]
        lines.append(f"polygon {k} ( {len(caps)} caps, {weight:.17g} weight, 0 pixel, {area:.17g} str):")
        lines += [" ".join(f"{number:.17g}" for number in cap) for cap in caps]
    return "\n".join(lines) + "\n"


def cap(lon, lat, radius, *, outside=False):
    """Four numbers of a small circle."""
    x, y, z = unit(lon, lat)
    cm = 2 * np.sin(np.radians(radius) / 2) ** 2
    return (x, y, z, -cm if outside else cm)


def unit(lon, lat):
    lon, lat = np.radians(lon), np.radians(lat)
    return np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)


def great_circles(vertices):
    """Caps of a convex polygon of (lon, lat), counter-clockwise."""
    corners = np.array([unit(*one) for one in vertices])
    normals = np.cross(corners, np.roll(corners, -1, axis=0))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    return [(*one, 1.0) for one in normals]


def rectangle(west, east, south, north):
    """Caps between meridians and parallels, the latter small circles."""
    sides = [(*unit(west + 90, 0), 1.0), (*unit(east - 90, 0), 1.0)]
    below = [(0.0, 0.0, 1.0, 1 - np.sin(np.radians(south)))]
    above = [(0.0, 0.0, 1.0, np.sin(np.radians(north)) - 1)]
    return [*sides, *below, *(above if north < 90 else [])]


def rectangle_deg2(west, east, south, north):
    """Its area."""
    return (
        np.degrees(np.radians(east - west) * (np.sin(np.radians(north)) - np.sin(np.radians(south))))
        * 180
        / np.pi
    )


def brute_force(sky_map, mask, deeper=5):
    """Mean weight of the centres of sub-cells of each cell of a map."""
    cells = sky_map.cells.cells()
    sub = (cells[:, None] << (2 * deeper)) + np.arange(4**deeper)
    lon, lat = hpx.centres(sub.ravel(), sky_map.order + deeper)
    return mask.weight_at(lon, lat).reshape(sub.shape).mean(axis=1)
