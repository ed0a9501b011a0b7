"""Memory: a tile's planes are streamed, exposures come one after the other, a tile's map is read in its own size."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from memory_helpers import PEAK_KIB
from vmpz import io
from vmpz.products import Product, ProductKey
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.tiles import tiling

MIB = 1024


def peak_growth(code: str, *arguments: object) -> int:
    """How much the peak resident size (MiB) of a fresh process grows while it runs the second part of the code."""
    prepare, measured = code.split("# --\n")
    script = f"import sys\n{PEAK_KIB}{prepare}\nbefore = peak_kib()\n{measured}\nprint(peak_kib() - before)"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]) // MIB


def test_a_map_of_one_tile_is_read_in_the_memory_of_its_cells(tmp_path: Path) -> None:
    """Acceptance 30: never the 25.8 GB of the whole sky at order 14."""
    cells = tiling("euclid-wide").owned("102018211", 14)
    key = ProductKey("102018211", "coverage", instrument="VIS", band="VIS", order=14, release="0.1")
    coverage = SkyMap(cells, np.ones(len(cells), np.float32))
    words = {
        "WGTKIND": "OBSFRAC",
        "DEGRULE": "COVERAGE",
        "TILEID": 102018211,
        "INSTRUME": "VIS",
        "FILTER": "VIS",
    }
    io.write_file(Product(key, {"WEIGHT": coverage}, keywords=words), tmp_path / "a.fits")
    code = "from vmpz import io\n# --\nassert len(io.read(sys.argv[1]).map) > 19000"
    assert peak_growth(code, tmp_path / "a.fits") < 60
    assert isinstance(io.read(tmp_path / "a.fits").map.cells, CellSet)


@pytest.mark.skipif(resource.getpagesize() != 4096, reason="resident sizes are counted in pages of 4 KiB")
def test_the_pass_does_not_hold_a_plane(tmp_path: Path) -> None:
    """Peak of a run with planes of 4 MB against one with planes of 36 MB: the difference is far below one plane."""
    from vmpz.simulate import simulate

    peaks = []
    for size in (1000, 3000):
        folder = tmp_path / str(size)
        simulate(folder, tiles=1, size=size, bands=("VIS",), at=(57.9988, -51.5), seed=1)
        text = (folder / "survey.toml").read_text()
        (folder / "survey.toml").write_text(re.sub(r"^order = \d+$", "order = 12", text, flags=re.MULTILINE))
        code = (
            "from vmpz.parameters import load\nfrom vmpz.run.survey import run_survey\n# --\n"
            "account = run_survey(load(sys.argv[1] + '/survey.toml'), sys.argv[1] + '/s', threads=1)\n"
            "assert not account.has_failed, account.text()"
        )
        peaks.append(peak_growth(code, folder))
    plane = 4 * 3000**2 / 2**20
    assert peaks[1] - peaks[0] < plane / 2, peaks


EXPOSURES = """
[survey]
tiles = ["102018211"]
[tiling]
kind = "euclid-wide"
[[inputs]]
reader = "generic"
location = "images"
[inputs.options]
rms = "{id}.fits[RMS]"
flag = "{id}.fits[FLG]"
band = "DECAM_g"
instrument = "DECAM"
bit_table = "desdm"
zero_point = 30.0
exposure_time_s = 90.0
[maps]
order = 12
[info]
maps = ["Noise:MEAN", "Exposures:COUNT"]
"""


@pytest.mark.long
@pytest.mark.skipif(resource.getpagesize() != 4096, reason="resident sizes are counted in pages of 4 KiB")
def test_memory_does_not_grow_with_the_number_of_exposures(tmp_path: Path) -> None:
    """Peak of a run over 16 images of one place against one over 2: the difference is far below one of them."""
    size = 1500
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 57.9988, "CRVAL2": -51.5})
    header.update({"CRPIX1": size / 2, "CRPIX2": size / 2, "CD1_1": -1e-4, "CD2_2": 1e-4})
    planes = (
        fits.ImageHDU(np.full((size, size), 3.0, np.float32), header, name="RMS"),
        fits.ImageHDU(np.zeros((size, size), np.int32), header, name="FLG"),
    )
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(tmp_path / "image.fits", checksum=True)
    code = (
        "from vmpz.parameters import load\nfrom vmpz.run.survey import run_survey\n"
        "parameters = load(sys.argv[1] + '/survey.toml')\n# --\n"
        "account = run_survey(parameters, sys.argv[1] + '/s', threads=2)\n"
        "assert not account.has_failed and len(account.outcomes) == 6, account.text()"
    )
    peaks = []
    for number in (2, 16):
        folder = tmp_path / str(number)
        (folder / "images").mkdir(parents=True)
        (folder / "survey.toml").write_text(EXPOSURES)
        for one in range(number):
            (folder / "images" / f"e{one:02d}.fits").hardlink_to(tmp_path / "image.fits")
        peaks.append(peak_growth(code, folder))
    assert peaks[1] - peaks[0] < 4 * size**2 / 2**20, peaks
