"""Figures: what is drawn is what the map says, in files that are the same every time."""

import ast
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from vmpz.errors import InputError
from vmpz.products import Product, ProductKey
from vmpz.report import figures
from vmpz.report.figures import (
    FORMATS,
    INLINE_DPI,
    INLINE_IN,
    INLINE_LEVELS,
    INLINE_PT,
    Panel,
    map_figure,
    overview_map,
    page_frame,
    page_lines,
    panel_of,
    save,
    sheet,
)
from vmpz.report.overlays import tile_outlines
from vmpz.report.palette import ABSENT
from vmpz.report.projections import chosen
from vmpz.report.scales import axis_label, scale_of
from vmpz.run.overview.content import MapOverview, Spread
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, cells_inside
from vmpz.sky.skymap import SkyMap
from vmpz.tiles.wide import Wide, tile_at

CELLS = cells_inside(Cap(40.0, -20.0, 1.0), 8) - CellSet.from_cells(
    8, cells_inside(Cap(40.0, -20.0, 0.3), 8).cells()
)
ONE = SkyMap(CELLS, np.linspace(24.0, 26.0, len(CELLS)))
EMPTY = SkyMap(CellSet(9), [])


def depth(one: SkyMap = ONE) -> Product:
    key = ProductKey("7", "depth", instrument="VIS", band="VIS", order=one.order)
    return Product(key, {"WEIGHT": one}, keywords={"WGTKIND": "MAG", "SNRLEVEL": 5.0}, unit="mag")


def written(figure: figures.Figure, path: Path) -> bytes:
    save(figure, path)
    return path.read_bytes()


def test_pixels_of_the_figure_are_values_of_the_map(tmp_path: Path) -> None:
    figure = map_figure(Panel(ONE, scale="magnitude"), dpi=100)
    axes = figure.axes[0]
    shown = np.asarray(Image.open(BytesIO(written(figure, tmp_path / "a.png"))).convert("RGB"))
    box = axes.get_window_extent()
    left, top = round(box.x0), round(shown.shape[0] - box.y1)
    rows, columns = round(box.height), round(box.width)
    inner = shown[top : top + rows, left : left + columns][::-1]
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    lon, lat = axes.wcs.all_pix2world(x, y, 0)
    values = ONE.at(lon, lat)
    scale = scale_of("magnitude", values)
    expected = scale.colours(scale.norm(np.ma.masked_invalid(values)), bytes=True)[..., :3].astype(int)
    expected[np.isnan(values)] = [int(ABSENT[place : place + 2], 16) for place in (1, 3, 5)]
    same = np.abs(inner.astype(int) - expected).max(axis=2) <= 2
    assert same.mean() > 0.85  # the others are graticule and scale bar
    assert np.isnan(values).mean() > 0.2 and same[np.isnan(values)].mean() > 0.8


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_are_the_same_every_time_and_open(tmp_path: Path, suffix: str) -> None:
    def drawn() -> figures.Figure:
        points = np.random.default_rng(1).normal(size=(2, 30)) * 0.3
        outlines = {"7": [np.array([[39.0, -21.0], [41.0, -21.0], [41.0, -19.0]])]}
        return map_figure(depth(), outlines=outlines, points=(40.0 + points[0], -20.0 + points[1]), dpi=60)

    one, other = (written(drawn(), tmp_path / f"{name}{suffix}") for name in "ab")
    assert one == other and not list(tmp_path.glob("*.part"))
    if suffix == ".pdf":
        assert one.startswith(b"%PDF") and one.rstrip().endswith(b"%%EOF") and b"CreationDate" not in one
        assert b"/Subtype /Image" in one and b"/Font" in one
    elif suffix == ".svg":
        text = one.decode()
        assert ">5σ depth [AB mag]</text>" in text and "data:image/png" in text and "<dc:date>" not in text
    else:
        assert Image.open(BytesIO(one)).size[0] == round(3.4 * 60)


def test_no_global_setting_and_no_pyplot(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    written(map_figure(ONE, dpi=50), tmp_path / "a.svg")
    assert dict(matplotlib.rcParams) == before
    for path in Path(figures.__file__).parent.rglob("*.py"):
        names = [
            node
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert not [one for one in names if "pyplot" in ast.unparse(one)], path
        assert "matplotlib.use(" not in path.read_text("utf-8")


def test_axes_are_those_of_astropy() -> None:
    axes = map_figure(ONE, dpi=80).axes[0]
    assert tuple(axes.wcs.wcs.ctype) == ("RA---TAN", "DEC--TAN") and axes.wcs.wcs.radesys == "ICRS"
    assert axes.get_transform("icrs") is not None
    whole = map_figure(ONE, projection="allsky", centre_deg=(180.0, 0.0), dpi=80).axes[0]
    assert tuple(whole.wcs.wcs.ctype) == ("RA---MOL", "DEC--MOL") and whole.wcs.wcs.crval[0] == 180.0


def test_panels_say_what_they_show() -> None:
    panel = panel_of(depth())
    assert (panel.title, panel.label, panel.scale) == ("Depth  VIS", "5σ depth [AB mag]", "magnitude")
    key = ProductKey("7", "info", "PSFE1", "MEAN", band="NIR_Y")
    assert panel_of(Product(key, {"WEIGHT": ONE})).title == "PSFE1 (mean)  NIR_Y"
    bits = Product(
        ProductKey("7", "bitmask"), {"WEIGHT": ONE, "BIT03": ONE, "SUBCELL": ONE}, keywords={"BITN03": "SAT"}
    )
    assert (
        panel_of(bits, "BIT03").label == "fraction flagged SAT" and panel_of(bits, "BIT03").scale == "flagged"
    )
    with pytest.raises(InputError, match="found BIT04, not in WEIGHT, BIT03, SUBCELL"):
        panel_of(bits, "BIT04")
    with pytest.raises(InputError, match="a bit for each sub-cell"):
        panel_of(bits, "SUBCELL")
    with pytest.raises(InputError, match="not in a table"):
        panel_of(Product(ProductKey("7", "statistics")))


def test_wishes_of_a_figure() -> None:
    place = {"radius_deg": 0.4, "centre_deg": (40.0, -20.0)}
    figure = map_figure(depth(), title="", label="m", limits=(20.0, 30.0), colours="Greys", dpi=80, **place)
    axes, bar = figure.axes
    assert axes.get_title(loc="left") == "" and bar.get_xlabel() == "m" and bar.get_xlim() == (20.0, 30.0)
    assert abs(axes.wcs.wcs.cdelt[1] * (np.ptp(axes.get_xlim())) / 0.8 - 1.0) < 1e-4
    assert figure.get_figwidth() == 3.4
    every = map_figure(ONE, points=(np.full(5000, 40.0), np.full(5000, -19.5), 8), dpi=80).axes[0]
    assert re.fullmatch(r"1 point in \d+", every.get_title(loc="right"))
    assert int(every.get_title(loc="right").split()[-1]) % 8 == 0


def test_outlines() -> None:
    ring = np.array([[30.0, -20.0], [50.0, -20.0], [50.0, 0.0]])
    frame = chosen([ONE], 100, beside=[ring])
    x, y = frame.pixels(*ring.T)
    assert x.min() > -0.5 and y.max() < frame.shape[0] - 0.5  # polygons are shown whole
    for outlines in (CELLS, [ring], {"a": [ring]}):
        assert len(map_figure(ONE, outlines=outlines, dpi=60).axes[0].patches) == 2
    border = (
        map_figure(SkyMap(CELLS, np.ones(len(CELLS))), outlines=CELLS, dpi=60).axes[0].patches[0].get_path()
    )
    assert len(border.vertices) % 2 == 0 and np.all(
        np.ptp(border.vertices.reshape(-1, 2, 2), axis=1).min(axis=1) == 0.0
    )
    seam = [np.array([[170.0, -10.0], [190.0, -10.0], [190.0, 10.0], [170.0, 10.0]])]
    path = map_figure(ONE, projection="allsky", outlines=seam, dpi=60).axes[0].patches[0].get_path()
    steps = np.hypot(*np.diff(path.vertices, axis=0).T)[path.codes[1:] == 2]
    assert steps.max() < 20.0  # no line across the sky
    with pytest.raises(InputError, match="an outline must be positions"):
        map_figure(ONE, outlines=[np.ones(3)])


def test_outlines_of_tiles() -> None:
    here = tile_at(40.0, -20.0)
    owned = Wide().owned(here.id, 10)
    found = tile_outlines(owned)
    assert list(found) == [here.id]
    (ring,) = found[here.id]
    assert ring[:, 1].min() == here.south_deg and ring[:, 1].max() == here.north_deg
    assert (ring[:, 0].min(), ring[:, 0].max()) == (here.west_deg, here.east_deg)
    for pole in (90.0, -90.0):
        found = tile_outlines(cells_inside(Cap(0.0, pole, 1.0), 8))
        assert found and all(np.abs(ring[:, 1]).max() <= 90.0 for (ring,) in found.values())


def test_odd_maps_are_drawn(tmp_path: Path) -> None:
    odd = [EMPTY, SkyMap(CellSet.from_cells(12, [5]), [3.0]), SkyMap(CellSet.from_cells(5, [7]), [np.nan])]
    words = [[text.get_text() for text in map_figure(one, dpi=60).axes[0].texts] for one in odd]
    assert (
        "no cells" in words[0]
        and "no values here" in words[2]
        and not {"no cells", "no values here"} & set(words[1])
    )
    pole = cells_inside(Cap(0.0, 90.0, 3.0), 6)
    assert "88°" in [
        text.get_text() for text in map_figure(SkyMap(pole, np.ones(len(pole))), dpi=60).axes[0].texts
    ]
    assert written(map_figure(EMPTY, projection="allsky", dpi=60), tmp_path / "a.png")


def test_sheets_share_one_frame() -> None:
    figure = sheet(
        [Panel(ONE, "one"), Panel(EMPTY, "two"), Panel(SkyMap(CELLS, CELLS.cells()), "three")],
        "all",
        columns=2,
        dpi=60,
    )
    maps = figure.axes[::2]
    assert [axes.get_title(loc="left") for axes in maps] == ["one", "two", "three"]
    assert len({tuple(axes.wcs.wcs.crval) for axes in maps}) == 1
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert all(abs(box.x0 - round(box.x0)) < 1e-6 and abs(box.y0 - round(box.y0)) < 1e-6 for box in boxes)
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])


def depth_overview() -> MapOverview:
    spread = Spread(np.array([24.0, 26.0]), np.array([1.0]))
    return MapOverview(
        "depth_VIS", depth().key, "mag", {"WGTKIND": "MAG"}, ONE, spread, 9, 1.0, None, 24.0, 25.0, 26.0
    )


def test_maps_of_an_overview() -> None:
    one = depth_overview()
    ring = {"7": [np.array([[30.0, -20.0], [50.0, -20.0], [50.0, 0.0]])]}
    figure = overview_map(one, page_frame([one.picture], ring))
    assert figure.axes[1].get_xlabel() == "5σ depth [AB mag]" and figure.axes[0].get_title(loc="left") == ""


@pytest.mark.parametrize("wide", [False, True])
def test_lines_over_a_map_of_a_page_make_the_figure_of_the_map(wide: bool) -> None:
    one = SkyMap(CellSet(3, [(0, 700)]), np.linspace(24.0, 26.0, 700)) if wide else ONE
    ring = {"7": [np.array([[39.2, -20.5], [40.5, -20.7], [40.4, -19.4]])]}
    found = replace(depth_overview(), picture=one)
    frame = page_frame([one], ring)
    under, over = rendered(overview_map(found, frame)), rendered(page_lines(frame, ring))
    label = axis_label(found.key, "mag", found.keywords)
    panel = Panel(one, "", label, "magnitude", levels=INLINE_LEVELS)
    expected = rendered(
        map_figure(panel, outlines=ring, width_in=INLINE_IN, size_pt=INLINE_PT, dpi=INLINE_DPI)
    )
    rows = over.shape[0]
    assert under.shape == expected.shape and over.shape[1] == under.shape[1]
    under[:rows] = np.asarray(Image.alpha_composite(Image.fromarray(under[:rows]), Image.fromarray(over)))
    assert np.mean(np.abs(under.astype(int) - expected.astype(int)).max(axis=2) > 8) < 0.003
    assert len(np.unique(expected.reshape(-1, 4), axis=0)) > 64  # the map is there


def rendered(figure: figures.Figure) -> np.ndarray:
    out = BytesIO()
    figure.savefig(out, format="png", facecolor="none")
    return np.array(Image.open(out).convert("RGBA"))


def test_a_dollar_in_a_file_begins_no_formula(tmp_path: Path) -> None:
    key = ProductKey("7", "bitmask", instrument="VIS", band="VIS", order=ONE.order)
    words = {"BITN03": "$\\bad{$", "FILTLST": "$\\x$"}
    product = Product(key, {"WEIGHT": ONE, "BIT03": ONE}, keywords=words)
    figure = map_figure(product, column="BIT03", dpi=60)
    assert "$\\bad{$" in written(figure, tmp_path / "a.svg").decode()


def test_mistakes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a figure must end in \.png, \.pdf, \.svg, \.jpg"):
        save(map_figure(EMPTY, dpi=40), tmp_path / "a.tiff")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="must be at most 100 inches wide at 2400 dpi, found -1 at 300"):
        map_figure(ONE, width_in=-1.0)
    with pytest.raises(InputError, match="has no room for a map"):
        map_figure(ONE, width_in=0.5)
    with pytest.raises(InputError, match="one latitude a longitude, found 3 and 2"):
        map_figure(ONE, points=([1.0, 2.0, 3.0], [1.0, 2.0]), dpi=40)
