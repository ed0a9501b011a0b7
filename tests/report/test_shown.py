"""`vmpz show --plot`: files of any form, with outlines and points, and mistakes told before a file is read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from vmpz import io
from vmpz.cli import _status_of
from vmpz.products import Product, ProductKey
from vmpz.report.shown import figure_of_file
from vmpz.sky.skymap import SkyMap
from vmpz.tiles.wide import Wide, tile_at

HERE = tile_at(58.0, -51.5)
CELLS = Wide().owned(HERE.id, 9)
KEY = ProductKey(HERE.id, "coverage", selection="INVALID", instrument="VIS", band="VIS", order=9)
ONE = Product(KEY, {"WEIGHT": SkyMap(CELLS, np.linspace(0.5, 1.0, len(CELLS), dtype=np.float32))})
FORMS = ("map.fits", "map.moc.fits", "map.parquet", "map.ply")


def run(*arguments: object) -> int:
    return _status_of([str(one) for one in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shown")
    for name in FORMS:
        io.write_file(ONE, place / name)
    draw = np.random.default_rng(1)
    points = pa.table({"ra": draw.uniform(57.0, 59.0, 500), "dec": draw.uniform(-52.0, -51.0, 500)})
    pa.parquet.write_table(points, place / "points.parquet")
    return place


@pytest.mark.parametrize("name", FORMS)
def test_files_of_any_form_are_drawn(folder: Path, name: str) -> None:
    figure = figure_of_file(folder / name, width_in=2.5, dpi=60)
    assert "fraction" in figure.axes[1].get_xlabel()
    assert figure.axes[0].images[0].get_array()[..., 3].max() == 255


def test_every_option(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.png"
    frame = [
        "--projection",
        "gnomonic",
        "--centre",
        "58.2",
        "-51.5",
        "--radius",
        "0.4",
        "--width",
        "3",
        "--dpi",
        "50",
    ]
    look = ["--limits", "0", "1", "--colours", "Greys", "--title", "Cover", "--outlines", "tiles"]
    points = ("--points", folder / "points.parquet")
    assert run("show", folder / "map.fits", "--plot", out, *frame, *look, *points) == 0
    assert capsys.readouterr().out == f"{out}\n" and Image.open(out).size[0] == 150
    whole = ("--outlines", folder / "map.moc.fits", "--projection", "allsky", "--dpi", 50, "--json")
    assert run("show", folder / "map.fits", "--plot", tmp_path / "b.png", *whole) == 0
    assert '"kind": "coverage"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message", "status"),
    [
        (("--plot", "a.xyz"), "a figure must end in .png, .pdf, .svg, .jpg", 2),
        (("--plot", "a.png", "--colours", "virdis"), "did you mean viridis", 2),
        (("--plot", "a.png", "--limits", 1, 0), "two ascending numbers, found 1 and 0", 2),
        (("--plot", "a.png", "--projection", "tan"), "gnomonic", 2),
        (("--plot", "a.png", "--column", "BIT07"), "found BIT07, not in WEIGHT", 3),
        (
            ("--plot", "a.png", "--radius", 100),
            "the radius of a frame must lie in (0, 75] degrees, found 100",
            3,
        ),
        (("--plot", "a.png", "--outlines", "none.fits"), "none.fits", 3),
    ],
)
def test_mistakes(
    folder: Path, options: tuple[object, ...], message: str, status: int,
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run("show", folder / "map.fits", *options) == status
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())
