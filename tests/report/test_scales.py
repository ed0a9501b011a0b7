"""Scales: one for everything that can be drawn, true to the values, and told apart by all readers."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.colors import BoundaryNorm, LogNorm, Normalize, to_rgb

from vmpz.errors import InputError
from vmpz.products import KINDS, ProductKey
from vmpz.quantities import QUANTITIES
from vmpz.report.palette import PALETTE
from vmpz.report.scales import (
    CATEGORIES,
    COLOURS,
    PARTS,
    PERCENTILES,
    axis_label,
    colour_map,
    proper_unit,
    scale_name,
    scale_of,
)
from vmpz.statistics import STATISTICS

SEQUENTIAL = ("fraction", "flagged", "probability", "magnitude", "number", "time", "long", "count")

# Machado, Oliveira & Fernandes (2009), table 1, severity 1.0; on linear RGB.
VISION = {
    "all": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip

TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]
"""Linear sRGB to CIE XYZ (IEC 61966-2-1)."""


def linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(colours: np.ndarray, vision: str) -> np.ndarray:
    """CIELAB (D65) of sRGB colours as that vision has them."""
    seen = np.clip(linear(np.asarray(colours)[:, :3]) @ np.array(VISION[vision]).T, 0.0, 1.0)
    t = seen @ np.array(TO_XYZ).T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack((116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])), axis=1)


def table_of(name: str, number: int = 64) -> np.ndarray:
    return colour_map(COLOURS[name], number, PARTS.get(name, (0.0, 1.0)))(np.arange(number))


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast of two colours."""
    light = [float(linear(np.array(to_rgb(each))) @ [0.2126, 0.7152, 0.0722]) for each in (one, other)]
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_lightness_of_sequential_colours_is_monotonic_to_all(name: str, vision: str) -> None:
    seen = lab(table_of(name), vision)
    steps = np.diff(seen[:, 0])
    sign = np.sign(seen[-1, 0] - seen[0, 0])
    assert np.all(sign * steps > -0.35)  # half of what can be seen, 0.7 (8-bit colours are rounded)
    assert np.linalg.norm(seen[-1] - seen[0]) > 50.0


@pytest.mark.parametrize("vision", VISION)
def test_ends_and_middle_of_other_scales_stay_apart(vision: str) -> None:
    signed = lab(table_of("signed", 65), vision)
    assert np.linalg.norm(signed[0] - signed[-1]) > 25.0
    assert min(np.linalg.norm(signed[32] - end) for end in (signed[0], signed[-1])) > 50.0
    assert np.all(np.diff(signed[:33, 0]) > -0.35) and np.all(np.diff(signed[32:, 0]) < 0.35)
    angle = lab(table_of("angle", 65), vision)
    assert np.linalg.norm(angle[0] - angle[-1]) < 3.0
    assert (
        min(np.linalg.norm(angle[one] - angle[other]) for one, other in ((0, 32), (16, 32), (16, 48))) > 15.0
    )


@pytest.mark.parametrize("vision", VISION)
def test_categories_are_told_apart(vision: str) -> None:
    seen = lab(np.array([to_rgb(one) for one in CATEGORIES]), vision)
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 8.0


def test_text_and_series_are_readable_in_both_themes() -> None:
    for name, pair in PALETTE.items():
        least = {"--ink": 7.0, "--muted": 4.5, "--law": 4.5}.get(name, 3.0 if "series" in name else 1.0)
        for colour, surface in zip(pair, PALETTE["--surface"], strict=True):
            assert contrast(colour, surface) >= least, name


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_and_statistic_has_a_scale_and_a_label(quantity: str) -> None:
    for statistic in STATISTICS:
        key = ProductKey("1", "info", quantity, statistic)
        assert scale_name(key, {"WGTKIND": "VALUE"}) in COLOURS
        label = axis_label(key, QUANTITIES[quantity].unit, {})
        assert label
        if statistic in ("COUNT", "ARGMIN", "ARGMAX"):
            assert "[" not in label  # a number of samples has no unit


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in ("statistics", "goodpixels", "redshifts")]
)
def test_every_kind_has_a_scale_and_a_label(kind: str) -> None:
    assert scale_name(ProductKey("1", kind), {}) in COLOURS
    assert axis_label(ProductKey("1", kind), "", {})


def test_labels_say_units_as_they_are_printed() -> None:
    assert axis_label(ProductKey("1", "depth"), "mag", {"SNRLEVEL": 10.0}) == "10σ depth [AB mag]"
    assert axis_label(ProductKey("1", "info", "StarDensity", "VALUE"), "deg-2", {}).endswith("[deg⁻²]")
    assert axis_label(ProductKey("1", "bitmask"), "", {"BITN03": "SAT"}, "BIT03") == "fraction flagged SAT"
    assert (
        proper_unit("MJy sr-1") == "MJy sr⁻¹" and proper_unit("deg^2") == "deg²" and proper_unit("s") == "s"
    )


finite = st.floats(-1e12, 1e12, allow_nan=False).map(lambda value: float(np.float32(value)))


@example("count", [0.0, 1e7])
@given(st.sampled_from(sorted(COLOURS)), st.lists(finite, min_size=1, max_size=40))
def test_a_scale_is_true_to_its_values(name: str, values: list[float]) -> None:
    shown = np.array(values)
    scale = scale_of(name, [*values, np.nan], "what [unit]")
    low, high = scale.norm.vmin, scale.norm.vmax
    assert low is not None and high is not None and low < high
    assert len(scale.ticks) == len(scale.names) and len(set(scale.names)) == len(scale.names)
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in scale.ticks)
    if name in ("number", "magnitude", "time"):
        inside = np.percentile(shown, PERCENTILES)
        assert low - slack <= inside[0] and inside[1] <= high + slack
        assert len(scale.ticks) >= 2
        assert (scale.extend in ("min", "both")) == bool(np.any(shown < low - slack))
        assert (scale.extend in ("max", "both")) == bool(np.any(shown > high + slack))
    if name in ("count", "label"):
        found = scale.colours(scale.norm(shown))
        assert np.all(found[:, 3] == 1.0)


def test_laws() -> None:
    assert isinstance(scale_of("long", [0.1, 5.0]).norm, LogNorm)
    assert type(scale_of("long", [2.0, 5.0]).norm) is Normalize
    assert type(scale_of("long", [-1.0, 500.0]).norm) is Normalize
    signed = scale_of("signed", [-0.02, 0.005])
    assert (signed.norm.vmin, signed.norm.vmax) == (-0.02, 0.02)
    assert scale_of("signed", [0.02, 0.05]).colours.name == COLOURS["number"]
    assert (scale_of("angle", [3.0, 181.5]).norm.vmax, scale_of("angle", [-3.0, 4.5]).norm.vmin) == (
        360.0,
        -180.0,
    )
    flagged = scale_of("flagged", [0.0, 0.13])
    assert flagged.norm.vmax == 0.2 and float(flagged.norm(0.002)) > 0.09
    assert scale_of("fraction", [0.5, 0.9]).ticks == (0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0)
    assert scale_of("probability", [0.31, 0.72]).norm.vmin == 0.0


def test_bits_and_masks_have_two_classes() -> None:
    for name in ("fraction", "flagged"):
        scale = scale_of(name, [1.0, 1.0, 0.0])
        assert isinstance(scale.norm, BoundaryNorm) and scale.colours.N == 2 and scale.names == ("0", "1")


def test_counts_have_whole_ticks_and_few_colours() -> None:
    few = scale_of("count", [0.0, 3.0, 7.0])
    assert few.names == tuple("01234567") and few.colours.N == 8
    many = scale_of("count", np.arange(0.0, 137.0))
    assert many.colours.N <= 10 and many.names[:3] == ("0", "20", "40")
    assert many.norm(19.0) == 0 and many.norm(20.0) == 1
    assert type(scale_of("count", [0.5, 3.0]).norm) is Normalize


def test_labels_have_a_colour_each() -> None:
    scale = scale_of("label", [102017761.0, 102018210.0, 102018211.0], "tile")
    assert scale.names == ("102017761", "102018210", "102018211")
    assert (
        len(
            {
                tuple(one)
                for one in scale.colours(scale.norm(np.array([102017761.0, 102018210.0, 102018211.0])))
            }
        )
        == 3
    )
    assert scale_of("label", np.arange(40.0), "tile").label == "tile (40)"


def test_numbers_of_ticks_are_short() -> None:
    small = scale_of("number", [1e-9, 4e-9], "flux [Jy]")
    assert small.label == "flux [10⁻⁹ Jy]" and small.names == ("1", "2", "3", "4")
    assert scale_of("time", [60123.1231, 60123.1244]).names[0] == "60123.1230"
    assert scale_of("number", [-2.0, 2.0]).names[0] == "−2"
    assert scale_of("long", [1e-11, 3e-10]).names[0] == "10⁻¹¹"


def test_wishes_are_kept_and_mistakes_refused() -> None:
    scale = scale_of("flagged", [0.1, 5.0], limits=(0.0, 0.5), colours="Greys")
    assert (scale.norm.vmin, scale.norm.vmax, scale.colours.name, scale.extend) == (0.0, 0.5, "Greys", "max")
    with pytest.raises(InputError, match="found virdis, did you mean viridis"):
        scale_of("number", [], colours="virdis")
    for limits in ((1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)):
        with pytest.raises(InputError, match="two ascending numbers"):
            scale_of("number", [1.0], limits=limits)
    for nothing in ([], [np.nan]):
        assert scale_of("number", nothing).extend == "neither"
