"""Plots of an overview: the numbers that are drawn, and figures where there is nothing to draw."""

import numpy as np
import pytest

from vmpz.products import Product, ProductKey
from vmpz.report import plots
from vmpz.report.themes import inline_svg
from vmpz.run.overview.content import Bit, Correlations, MapOverview, RandomsOverview, Seam, Spread
from vmpz.run.redshifts import Distribution
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

EMPTY = SkyMap(CellSet(9), [])


def overview(
    band: str = "VIS", area: np.ndarray | None = None, edges: np.ndarray | None = None
) -> MapOverview:
    edges = np.linspace(24.0, 26.0, 257) if edges is None else edges
    area = np.exp(-((np.linspace(-2, 2, len(edges) - 1)) ** 2)) if area is None else area
    key = ProductKey("-", "depth", instrument=band, band=band, order=9)
    return MapOverview(
        f"depth_{band}", key, "mag", {}, EMPTY, Spread(edges, area), 1, 1.0, None, 24.0, 25.0, 26.0
    )


NOTHING = overview(area=np.empty(0), edges=np.array([0.0]))
UNSEEN = Distribution("d", np.empty(0), np.linspace(0, 1, 3), np.zeros((1, 2)), np.ones(1), (), {})
ZERO = overview(area=np.zeros(3), edges=np.arange(4.0))


def test_area_by_value() -> None:
    one = overview()
    (bars,) = plots.histogram(one).axes[0].patches
    values, edges, _ = bars.get_data()
    assert len(values) <= plots.MOST_BARS and values.sum() == pytest.approx(one.spread.total_deg2, rel=0.01)
    assert edges[0] >= 24.0 and edges[-1] <= 26.0
    whole = overview(area=np.array([1.0, 5.0, 2.0]), edges=np.array([0.5, 1.5, 2.5, 3.5]))
    assert plots.histogram(whole).axes[0].patches[0].get_data()[0].tolist() == [1.0, 5.0, 2.0]


@pytest.mark.parametrize("number", [59, 60, 61, 119, 121, 241])
def test_a_bar_of_what_is_nearly_all_is_wide_enough_to_be_seen(number: int) -> None:
    """As of an observed fraction: 1 nearly everywhere."""
    area = np.append(np.full(number - 1, 0.01 / number), 1.0)
    one = overview(area=area, edges=np.linspace(0.0, 1.0, number + 1))
    values, edges, _ = plots.histogram(one).axes[0].patches[0].get_data()
    assert values[-1] >= 1.0 and np.diff(edges)[-1] >= 0.99 * np.diff(edges)[0]


def test_area_deeper_and_kept() -> None:
    bands = [overview("VIS"), NOTHING, overview("NIR_Y", edges=np.linspace(22.0, 24.0, 257))]
    axes = plots.area_deeper(bands).axes[0]
    assert [line.get_label() for line in axes.lines] == ["VIS", "NIR_Y"]
    for line, one in zip(axes.lines, (bands[0], bands[2]), strict=True):
        x, y = line.get_data()
        assert np.all(np.diff(y) <= 0.0)
        here = np.interp(one.spread.quantile(0.3), x, y)
        assert here == pytest.approx(0.7 * one.spread.total_deg2, rel=0.01)
    above, below = plots.area_kept(bands[0]).axes[0].lines
    total = above.get_ydata() + below.get_ydata()
    assert np.allclose(total, bands[0].spread.total_deg2)


def test_more_bands_than_colours_have_other_lines() -> None:
    lines = plots.area_deeper([overview(f"B{number}") for number in range(12)]).axes[0].lines
    assert len({(line.get_color(), str(line.get_linestyle()), line.is_dashed()) for line in lines}) == 12


def test_correlations_say_their_numbers_where_there_is_room() -> None:
    matrix = np.array([[1.0, -0.25, np.nan], [-0.25, 1.0, 0.5], [np.nan, 0.5, 1.0]])
    figure = plots.correlation_matrix(Correlations(["a", "b", "c"], matrix, np.ones((3, 3), np.int64)))
    axes = figure.axes[0]
    words = {text.get_position(): text.get_text() for text in axes.texts}
    assert words[(1, 0)] == "−.25" and words[(0, 0)] == "1" and (2, 0) not in words and len(words) == 7
    assert axes.images[0].get_array().mask.tolist() == np.isnan(matrix).tolist()
    assert axes.images[0].get_clim() == (-1.0, 1.0)
    many = plots.correlation_matrix(
        Correlations([f"m{one}" for one in range(30)], np.eye(30), np.ones((30, 30), np.int64))
    )
    assert not many.axes[0].texts and len(many.axes[0].get_xticks()) == 30


def test_density_and_redshifts() -> None:
    curves = {
        "visibility": np.array([0.2, 0.8]),
        "ratio": np.array([1.1, 0.9]),
        "error": np.array([0.1, 0.2]),
    }
    found = RandomsOverview("r", "visibility_deep", 9, True, EMPTY, curves, [], {})
    axes = plots.density_by_visibility(found).axes[0]
    assert axes.lines[0].get_ydata() == [1.0, 1.0] and axes.lines[1].get_ydata().tolist() == [1.1, 0.9]
    galaxies = np.array([[0.0, 4.0, 4.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 3.0, 0.0]])
    classes = Distribution(
        "deep", np.array([0.2, 0.5]), np.linspace(0, 2, 5), galaxies, np.ones(3), ("1",), {}
    )
    axes = plots.redshift_distribution(classes).axes[0]
    assert [one.get_label() for one in axes.patches] == ["V 0 to 0.2", "V from 0.5"]
    assert [float((one.get_data()[0] * 0.5).sum()) for one in axes.patches] == [1.0, 1.0]
    assert axes.get_xlim() == (0.5, 1.5)


def test_bits_are_in_the_order_of_their_numbers() -> None:
    bits = [
        Bit("VIS", 5, "B", False, 2.0, 10.0),
        Bit("VIS", 0, "A", True, 1.0, 10.0),
        Bit("VIS", 7, "C", True, 0.0, 0.0),
    ]
    axes = plots.bit_areas(bits).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0 A", "5 B", "7 C"]
    assert [bar.get_width() for bar in axes.patches] == [1.0, 2.0, 0.0]
    assert [text.get_text() for text in axes.texts] == ["10 %", "20 %", "0 %"]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    both = plots.bit_areas([*bits, Bit("NIR_Y", 0, "A", True, 1.0, 10.0)]).axes[0]
    assert both.get_yticklabels()[0].get_text() == "NIR_Y  0 A"


def test_steps_are_held_against_the_normal_law() -> None:
    pulls = np.random.default_rng(3).normal(size=400)
    seams = [Seam("depth_VIS", "1", "2", 0.0, 0.0, 9, float(pull), 1.0) for pull in pulls]
    axes = plots.seam_steps([*seams, Seam("x", "1", "2", 0.0, 0.0, 9, 1.0, 0.0)]).axes[0]
    counts, edges, _ = axes.patches[0].get_data()
    assert counts.sum() == 400
    x, y = axes.lines[0].get_data()
    assert np.trapezoid(y, x) == pytest.approx(400 * (edges[1] - edges[0]), rel=1e-3)
    some = plots.seam_steps(seams[:9], total=400).axes[0]
    assert some.patches[0].get_label() == "the 9 most significant of 400"


def test_depths_of_products() -> None:
    key = ProductKey("7", "depth", band="VIS", order=9)
    one = Product(key, {"WEIGHT": SkyMap(CellSet(9, [(0, 50)]), np.linspace(24, 25, 50))}, unit="mag")
    left, right = plots.depth_area_figure([one, Product(key, {"WEIGHT": EMPTY})]).axes
    assert left.patches[0].get_data()[0].sum() == pytest.approx(one.map.cells.area_deg2, rel=0.03)
    assert right.lines[0].get_ydata()[0] == pytest.approx(one.map.cells.area_deg2)


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (lambda: plots.histogram(NOTHING), "no cells"),
        (lambda: plots.histogram(ZERO), "no cells"),
        (lambda: plots.area_deeper([]), "no cells"),
        (lambda: plots.area_deeper([NOTHING, ZERO]), "no cells"),
        (lambda: plots.area_kept(NOTHING), "no cells"),
        (lambda: plots.correlation_matrix(Correlations([], np.empty((0, 0)), np.empty((0, 0), np.int64))), "no maps"),
        (lambda: plots.density_by_visibility(RandomsOverview("r", "v", 0, False, EMPTY, {}, [], {})), "not tested"),
        (lambda: plots.redshift_distribution(UNSEEN), "no galaxies"),
        (lambda: plots.bit_areas([]), "no bits"),
        (lambda: plots.seam_steps([]), "no borders"),
        (lambda: plots.depth_area_figure([]), ""),
    ],
)  # fmt: skip
def test_where_there_is_nothing_the_figure_says_so(figure, words: str) -> None:
    assert words in inline_svg(figure(), "t", "d")


def test_plots_are_small() -> None:
    twelve = Correlations(
        [f"Noise_RMSQ_B{one}" for one in range(12)], np.full((12, 12), 0.123), np.ones((12, 12), np.int64)
    )
    drawn = (
        plots.histogram(overview()),
        plots.correlation_matrix(twelve),
    )
    assert max(len(inline_svg(one, "t", "d")) for one in drawn) < 15_000
