"""What the page of the viewer is told, as plain values that become JSON."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

from vmpz.report.scales import COLOURS, axis_label, proper_unit, scale_name
from vmpz.run.viewing.maps import ListedMap
from vmpz.run.viewing.overlays import Shown
from vmpz.run.viewing.sky import Sky
from vmpz.run.viewing.values import Reading
from vmpz.sky import hpx

__all__ = ["description", "points_told", "values_told"]

SHADES = 48
STRETCHES = {"flagged": "sqrt", "long": "log"}
FIXED = {"fraction": (0.0, 1.0), "flagged": (0.0, 1.0)}
"""Scales whose limits do not depend on the values."""
DECIMALS = 7
OUTLINE_DECIMALS = 5
"""Of degrees that are drawn: 0.4 mas of points, 36 mas of the outlines of tiles."""
TOLD = ("DEPTHEST", "SNRLEVEL", "APERDIAM", "BITSEL", "DEGRULE", "EXTCORR")


def description(sky: Sky) -> dict[str, Any]:
    """What there is: maps with their scales, tiles with their outlines, regions, catalogues."""
    return {
        "store": str(sky.store.root),
        "areas": None if sky.areas is None else list(sky.areas),
        "maps": [_map_told(one) for one in sky.maps],
        "tiles": [
            {"id": name, "outline": [polygon.round(OUTLINE_DECIMALS).tolist() for polygon in polygons]}
            for name, polygons in sky.outlines().items()
        ],
        "regions": sky.regions,
        "points": [{"name": one.name, "rows": one.rows} for one in sky.points],
    }


def _map_told(one: ListedMap) -> dict[str, Any]:
    scale = scale_name(one.key, one.keywords, one.column)
    band = one.key.band if one.key.band != "-" else ""
    return {
        "name": one.name,
        "band": band,
        "label": axis_label(one.key, one.unit, one.keywords, one.column),
        "unit": proper_unit(one.unit),
        "order": one.key.order,
        "bit": one.bit_name or one.column if one.is_bit else "",
        "column": one.column if one.column != "WEIGHT" else "",
        "colours": _shades(COLOURS[scale] or "viridis"),
        "colour_name": COLOURS[scale] or "viridis",
        "stretch": STRETCHES.get(scale, "linear"),
        "limits": _limits(one, scale),
        "told": {name: one.keywords[name] for name in TOLD if name in one.keywords},
        "tiles": len(one.rows),
    }


def _limits(one: ListedMap, scale: str) -> tuple[float, float] | None:
    """Values at the ends of the colours; None where the picture tells percentiles."""
    if scale == "probability" and one.ends is not None:
        return 0.0, one.ends[1] or 1.0
    return FIXED.get(scale)


@cache
def _shades(name: str) -> list[str]:
    table = matplotlib.colormaps[name].resampled(SHADES)
    return [to_hex(table(place)) for place in range(SHADES)]


def values_told(readings: list[Reading]) -> dict[str, Any]:
    """Values at a position; `area` lists most of them, `corners` are those of the smallest cell."""
    areas = [one.area for one in readings if one.area]
    smallest = max(readings, key=lambda one: one.order)
    lon, lat = hpx.vertices(smallest.cell, smallest.order)
    return {
        "corners": np.stack((lon[0], lat[0]), axis=1).tolist(),
        "area": max(sorted(set(areas)), key=areas.count) if areas else "",
        "values": [
            {
                "value": one.value if one.value == one.value else None,
                "text": one.text,
                "order": one.order,
                "cell": str(one.cell),  # a number in JavaScript has 53 bits
                "area": one.area,
            }
            for one in readings
        ],
    }


def points_told(shown: Shown) -> Mapping[str, Any]:
    """Points inside a view."""
    return {
        "lon": shown.lon_deg.round(DECIMALS).tolist(),
        "lat": shown.lat_deg.round(DECIMALS).tolist(),
        "every": shown.every,
        "inside": shown.inside,
    }
