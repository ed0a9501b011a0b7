"""Scales: which colours and which law a map of a kind or quantity is shown with, and the limits that its values need.

=========== ================================= ============ =============================================================
scale       for                               colours      law
=========== ================================= ============ =============================================================
fraction    observed fractions                viridis      linear, 0 to 1; two classes where all are 0 or 1
flagged     flagged fractions, bits           magma_r      square root from 0: small ones show; two classes likewise
probability visibility                        viridis      linear, from 0
magnitude   depths, magnitudes                cividis      linear, percentiles
number      anything else                     plasma       linear, percentiles
time        dates, times                      YlGnBu       linear, percentiles
long        noise, weights, densities         inferno      logarithmic over more than a factor of 10, else linear
count       whole numbers                     YlGnBu       a colour a number, or a step, at most 10; of means linear
signed      residuals, ellipticities          RdBu_r       linear, symmetric about 0; as number where all have one sign
angle       position angles                   twilight     linear over the full circle
label       indices of tiles                  Okabe-Ito    a colour a value, by turns
=========== ================================= ============ =============================================================

(Of magma_r and inferno the part without black, which does not show on a dark page.)

Sequential colours have monotonic lightness, also to readers with protanopia, deuteranopia or tritanopia, and the ends
of all scales stay apart (tested by the simulation of Machado, Oliveira & Fernandes 2009, IEEE TVCG 15, 1291, in
CIELAB). The categorical colours are those of Okabe & Ito (2008). Limits are round numbers: the percentiles 0.5 and
99.5 of what is shown, moved outward to the step of the ticks.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, LogNorm, Normalize, PowerNorm
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError, meant
from vmpz.products import ProductKey, Scalar
from vmpz.quantities import QUANTITIES

__all__ = [
    "CATEGORIES",
    "COLOURS",
    "LEVELS",
    "Scale",
    "axis_label",
    "colour_map",
    "nice",
    "proper_unit",
    "scale_name",
    "scale_of",
]

Floats = NDArray[np.float64]

COLOURS = {
    "fraction": "viridis",
    "flagged": "magma_r",
    "probability": "viridis",
    "magnitude": "cividis",
    "number": "plasma",
    "time": "YlGnBu",
    "long": "inferno",
    "count": "YlGnBu",
    "signed": "RdBu_r",
    "angle": "twilight",
    "label": "",
}
"""Scale -> name of its matplotlib colour map; labels have `CATEGORIES`."""

PARTS = {"flagged": (0.0, 0.8), "long": (0.12, 1.0)}
"""The part of a colour map that a scale uses: without black, which does not show on a dark page."""

CATEGORIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#6b7680")
"""Colours of categories, told apart by all (Okabe & Ito 2008), and a grey."""

CLEAR = (0.0, 0.0, 0.0, 0.0)
LEVELS = 240
"""Colours of a continuous scale: with a transparent one they fit into the palette of a PNG."""
MOST_STEPS = 10
PERCENTILES = (0.5, 99.5)
LONG_TAIL = 10.0
"""Ratio of the percentiles of a positive quantity above which its scale is logarithmic."""

KINDS = {
    "OBSFRAC": "fraction",
    "FLAGFRAC": "flagged",
    "PROBAB": "probability",
    "MAG": "magnitude",
    "COUNT": "count",
}
QUANTITY_SCALES = {
    "Tile": "label",
    "Exposures": "count",
    "ExposureTime": "time",
    "MJD": "time",
    "ParallacticAngle": "angle",
    **dict.fromkeys(("DCR1", "DCR2", "DCRE1", "DCRE2", "Background", "PSFE1", "PSFE2"), "signed"),
    **dict.fromkeys(("Weight", "Noise", "StarDensity", "GalaxyDensity", "GalacticExtinction"), "long"),
    "Persistence": "flagged",
    "StarBrightnessMean": "magnitude",
}
STATISTIC_SCALES = {**dict.fromkeys(("COUNT", "ARGMIN", "ARGMAX"), "count"), "STD": "number"}
"""What a statistic makes of any quantity."""

TITLES = {
    "footprint": "observed fraction",
    "coverage": "observed and unflagged fraction",
    "effectivecoverage": "fraction observed in every band",
    "bitmask": "flagged fraction",
    "visibility": "visibility",
}


def scale_name(key: ProductKey, keywords: Mapping[str, Scalar], column: str = "WEIGHT") -> str:
    """The scale of a column of a map: a key of `COLOURS`."""
    if column != "WEIGHT":
        return "flagged" if column.startswith("BIT") else "number"
    if key.kind == "info":
        if key.statistic in STATISTIC_SCALES:
            return STATISTIC_SCALES[key.statistic]
        return QUANTITY_SCALES.get(key.quantity, "number")
    return KINDS.get(str(keywords.get("WGTKIND")), _BY_KIND.get(key.kind, "number"))


_BY_KIND = {
    **dict.fromkeys(("footprint", "coverage", "effectivecoverage"), "fraction"),
    "bitmask": "flagged",
    "depth": "magnitude",
    "visibility": "probability",
}


def axis_label(key: ProductKey, unit: str, keywords: Mapping[str, Scalar], column: str = "WEIGHT") -> str:
    """What the values of a column of a map are, with their unit: ``5σ depth [AB mag]``."""
    if column != "WEIGHT":
        name = str(keywords.get(f"BITN{column[3:]}", column)) if column.startswith("BIT") else column
        return f"fraction flagged {name}" if column.startswith("BIT") else name
    if key.kind == "depth":
        return f"{keywords.get('SNRLEVEL', 5):g}σ depth [AB mag]"
    if key.kind == "info":
        meaning = QUANTITIES[key.quantity].meaning if key.quantity in QUANTITIES else key.quantity
        if key.statistic in ("COUNT", "ARGMIN", "ARGMAX") and key.quantity != "Exposures":
            meaning, unit = f"{key.statistic.lower()} of {meaning}", ""
        return f"{meaning} [{proper_unit(unit)}]" if unit else meaning
    return TITLES.get(key.kind, key.quantity if key.quantity != "-" else "value") + (
        f" [{proper_unit(unit)}]" if unit else ""
    )


def proper_unit(unit: str) -> str:
    """A FITS unit as it is printed.

    >>> proper_unit("MJy sr-1"), proper_unit("deg**-2")
    ('MJy sr⁻¹', 'deg⁻²')
    """
    return re.sub(r"(?<=[A-Za-z])(?:\*\*|\^)?(-?\d+)", lambda found: superscript(found[1]), unit)


def superscript(number: str | int) -> str:
    """Digits and sign, raised."""
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


@dataclass(frozen=True)
class Scale:
    """Colours, law and marks, ready to draw.

    Attributes
    ----------
    colours : Colormap
        What is not known is transparent.
    norm : Normalize
    ticks : tuple of float
    names : tuple of str
        Of the ticks.
    extend : {'neither', 'min', 'max', 'both'}
        Where values lie outside the limits.
    label : str
    """

    colours: Colormap
    norm: Normalize
    ticks: tuple[float, ...]
    names: tuple[str, ...]
    extend: str
    label: str


def scale_of(
    name: str,
    values: ArrayLike,
    label: str = "",
    limits: tuple[float, float] | None = None,
    colours: str | None = None,
    levels: int = LEVELS,
) -> Scale:
    """The scale of some values.

    Parameters
    ----------
    name : str
        A key of `COLOURS`.
    values : array_like
        What is to be shown; NaN counts not, and there may be none.
    label : str
    limits : (low, high), optional
        Instead of those that the values suggest; a linear law between them (logarithmic where it would have been).
    colours : str, optional
        A matplotlib colour map instead of the scale's own.
    levels : int
        Number of colours of a continuous scale.

    Raises
    ------
    InputError
        There is no such colour map, or the limits do not ascend.
    """
    shown = np.asarray(values, np.float64).ravel()
    shown = shown[np.isfinite(shown)]
    part = (0.0, 1.0) if colours else PARTS.get(name, (0.0, 1.0))
    table = colour_map(colours or COLOURS[name] or "viridis", levels, part)
    if limits is not None:
        return _between(name, shown, label, _checked(limits), table)
    if not shown.size:
        return _linear((0.0, 1.0), shown, label, table)
    whole = bool(np.all(shown == np.rint(shown)))
    if name in ("fraction", "flagged") and whole and shown.min() >= 0.0 and shown.max() <= 1.0:
        return _steps(np.array([0.0, 1.0]), shown, label, table)
    if name == "label" and whole:
        return _labels(shown, label)
    if name == "count" and whole:
        return _counts(shown, label, table)
    return _by_law(name, shown, label, table)


def _by_law(name: str, shown: Floats, label: str, table: Colormap) -> Scale:
    low, high = (float(one) for one in np.percentile(shown, PERCENTILES))
    if name == "fraction":
        return _linear((0.0, 1.0), shown, label, table)
    if name == "angle":
        return _linear((-180.0, 180.0) if shown.min() < 0.0 else (0.0, 360.0), shown, label, table, step=90.0)
    if name == "flagged":
        return _root(_round_up(float(shown.max())), shown, label, table)
    if name == "long" and shown.min() > 0.0 and high > LONG_TAIL * low:
        return _logarithmic(_round_decades(low, high), shown, label, table)
    if name == "signed" and low < 0.0 < high:
        high = max(-low, high)
        low = -high
    elif name == "signed":
        table = colour_map(COLOURS["number"], table.N)
    if name == "probability":
        low, high = min(0.0, low), max(high, 0.0) or 1.0
    limits, step = _round_limits(low, high, 1e-12 if name == "time" else 1e-6)
    return _linear(limits, shown, label, table, step)


def _between(name: str, shown: Floats, label: str, limits: tuple[float, float], table: Colormap) -> Scale:
    if name == "long" and limits[0] > 0.0 and limits[1] > LONG_TAIL * limits[0]:
        return _logarithmic(limits, shown, label, table)
    return _linear(limits, shown, label, table)


def _checked(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = float(limits[0]), float(limits[1])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"limits of colours must be two ascending numbers, found {low:g} and {high:g}")
    return low, high


def colour_map(name: str, levels: int = LEVELS, part: tuple[float, float] = (0.0, 1.0)) -> Colormap:
    """A matplotlib colour map, or a part of one, whose bad values are transparent.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in matplotlib.colormaps:
        near = meant(name, matplotlib.colormaps)
        raise InputError(f"colours must be a matplotlib colour map, found {name}{near}")
    table = ListedColormap(matplotlib.colormaps[name](np.linspace(*part, levels)), name)
    return table.with_extremes(bad=CLEAR)


# -- laws -------------------------------------------------------------------------------------------------------------


def _linear(
    limits: tuple[float, float], shown: Floats, label: str, table: Colormap, step: float | None = None
) -> Scale:
    low, high = limits
    step = step or nice((high - low) / 5.0)
    ticks = step * np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    names, label = _named(ticks, step, label)
    return Scale(table, Normalize(low, high), tuple(ticks.tolist()), names, _extend(shown, limits), label)


def _root(most: float, shown: Floats, label: str, table: Colormap) -> Scale:
    ticks = tuple(most * share for share in (0.0, 0.01, 0.1, 0.25, 0.5, 1.0))
    names = tuple(f"{tick:.3g}" for tick in ticks)
    extend = _extend(shown, (0.0, most))
    return Scale(table, PowerNorm(0.5, 0.0, most), ticks, names, extend, label)


def _logarithmic(limits: tuple[float, float], shown: Floats, label: str, table: Colormap) -> Scale:
    low, high = limits
    decades = math.log10(high / low)
    places = (1.0, 2.0, 5.0) if decades < 3.0 else (1.0,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [place * 10.0**power for power in powers for place in places]
    ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
    names = tuple(_power_name(tick) for tick in ticks)
    return Scale(table, LogNorm(low, high), tuple(ticks), names, _extend(shown, limits), label)


def _counts(shown: Floats, label: str, table: Colormap) -> Scale:
    low, high = float(shown.min()), float(shown.max())
    width = 1.0
    while (math.floor(high / width) - math.floor(low / width)) + 1 > MOST_STEPS:
        width = next(one for one in _whole_steps() if one > width)
    first, last = math.floor(low / width), math.floor(high / width)
    return _steps(width * np.arange(first, last + 1), shown, label, table, width)


def _whole_steps() -> Sequence[float]:
    return [place * 10.0**power for power in range(19) for place in (1.0, 2.0, 5.0)]


def _steps(starts: NDArray[Any], shown: Floats, label: str, table: Colormap, width: float = 1.0) -> Scale:
    """One colour for each step, named by its first whole number."""
    number = len(starts)
    places = np.linspace(0.15, 0.95, number) if number > 1 else [0.6]
    steps = ListedColormap([table(float(place)) for place in places]).with_extremes(bad=CLEAR)
    bounds = np.append(starts, starts[-1] + width) - 0.5
    ticks = bounds[:-1] + 0.5 if width == 1.0 else bounds[:-1]
    names, label = _named(starts, width, label)
    return Scale(steps, BoundaryNorm(bounds.tolist(), number), tuple(ticks.tolist()), names, "neither", label)


def _labels(shown: Floats, label: str) -> Scale:
    values = np.unique(shown)
    number = values.size
    colours = [CATEGORIES[place % len(CATEGORIES)] for place in range(number)]
    table = ListedColormap(colours).with_extremes(bad=CLEAR)
    middle = (values[1:] + values[:-1]) / 2.0
    bounds = np.concatenate(([values[0] - 0.5], middle, [values[-1] + 0.5]))
    centres = (bounds[1:] + bounds[:-1]) / 2.0
    if number > MOST_STEPS:
        return Scale(table, BoundaryNorm(bounds.tolist(), number), (), (), "neither", f"{label} ({number})")
    names = tuple(f"{value:.0f}" for value in values)
    return Scale(
        table, BoundaryNorm(bounds.tolist(), number), tuple(centres.tolist()), names, "neither", label
    )


def _extend(shown: Floats, limits: tuple[float, float]) -> str:
    slack = 1e-6 * (limits[1] - limits[0])
    below = bool(shown.size and shown.min() < limits[0] - slack)
    above = bool(shown.size and shown.max() > limits[1] + slack)
    return {(False, False): "neither", (True, False): "min", (False, True): "max"}.get((below, above), "both")


# -- round numbers ----------------------------------------------------------------------------------------------------


def nice(step: float) -> float:
    """The least of 1, 2, 2.5, 5 times a power of ten that is at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(place * power for place in (1.0, 2.0, 2.5, 5.0, 10.0) if place * power >= step * (1 - 1e-9))


def _round_limits(low: float, high: float, alike: float) -> tuple[tuple[float, float], float]:
    """Limits on multiples of the step of the ticks, and the step; `alike` is how near values count as one."""
    if high - low <= alike * max(abs(low), abs(high)):
        reach = max(abs(low), abs(high)) * 1e-2 or 1.0
        low, high = low - reach, high + reach
    step = nice((high - low) / 5.0)
    limits = step * math.floor(low / step + 1e-6), step * math.ceil(high / step - 1e-6)
    return limits, step


def _round_up(most: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is at least `most`."""
    if most <= 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(place * power for place in (1.0, 2.0, 5.0, 10.0) if place * power >= most * (1 - 1e-6))


def _round_decades(low: float, high: float) -> tuple[float, float]:
    below = 10.0 ** math.floor(math.log10(low))
    return max(below * place for place in (1.0, 2.0, 5.0) if below * place <= low), _round_up(high)


def _named(ticks: NDArray[Any], step: float, label: str) -> tuple[tuple[str, ...], str]:
    """Names of ticks with the decimals that their step needs; a power of ten goes into the label."""
    most = float(np.max(np.abs(ticks), initial=0.0))
    power = math.floor(math.log10(most)) if most and not 1e-3 <= most < 1e6 else 0
    step, shown = step / 10.0**power, ticks / 10.0**power
    decimals = next(
        (place for place in range(12) if abs(step * 10**place - round(step * 10**place)) < 1e-6), 6
    )
    names = tuple(f"{tick + 0.0:.{decimals}f}".replace("-", "−") for tick in np.round(shown, decimals) + 0.0)
    return names, _scaled(label, power) if power else label


def _scaled(label: str, power: int) -> str:
    """The label with a power of ten in front of its unit."""
    factor = f"10{superscript(power)}"
    return label.replace("[", f"[{factor} ", 1) if label.endswith("]") else f"{label} [{factor}]"


def _power_name(tick: float) -> str:
    if 1e-3 <= tick < 1e5:
        return f"{tick:g}"
    power = math.floor(math.log10(tick) + 1e-9)
    place = round(tick / 10.0**power)
    return f"10{superscript(power)}" if place == 1 else f"{place}×10{superscript(power)}"
