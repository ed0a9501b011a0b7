"""What follows from a change of exposures, of parameters, or of what else is made: never stale products."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from vmpz import io
from vmpz.frames import Exposures, FileRef, FrameRef
from vmpz.products import Product
from vmpz.run.geometry import pointings_of
from vmpz.run.measure import frame_digest
from vmpz.run.plan import Choice
from vmpz.run.survey import run_survey

TILE, ORDER, SIDE, PIXEL_DEG = "102018211", 11, 40, 10.0 / 3600
CENTRE = (57.9988, -51.5)
CREATED = "2026-01-01T00:00:00Z"

SURVEY = """
[tiling]
kind = "euclid-wide"
[[inputs]]
reader = "generic"
location = "images"
[inputs.options]
rms = "{id}.fits[RMS]"
flag = "{id}.fits[FLG]"
band = "g"
instrument = "DECAM"
bit_table = "desdm"
zero_point = 30.0
[maps]
order = 11
[bitmask]
bits = ["CRAY"]
[coverage]
bits = ["CRAY"]
[info]
maps = ["Noise:RMSQ", "Exposures:COUNT"]
"""


def write(path: Path, number: int, rms: float = 10.0) -> None:
    """An exposure, displaced and with a flagged corner of its own."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = CENTRE[0], CENTRE[1] + 0.02 * number
    header["CRPIX1"] = header["CRPIX2"] = (SIDE + 1) / 2
    header["CDELT1"], header["CDELT2"] = -PIXEL_DEG, PIXEL_DEG
    flags = np.zeros((SIDE, SIDE), np.int32)
    flags[: 4 + number, : 8 + number] = 16
    data = {"RMS": np.full((SIDE, SIDE), rms * (1 + number), np.float32), "FLG": flags}
    planes = [fits.ImageHDU(values, header, name=name) for name, values in data.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(path, checksum=True, overwrite=True)


def survey(folder: Path, more: str = "", change: Callable[[str], str] = str) -> Path:
    """Three exposures, a folder each, whose files have one name."""
    for number in range(3):
        write(folder / "images" / f"exp{number}" / "image.fits", number)
    (folder / "survey.toml").write_text(change(SURVEY) + more)
    return folder


def run(folder: Path, *products: str) -> Mapping[str, str]:
    """States by kind of product or name of quantity."""
    choice = Choice(tiles=[TILE], products=products or None)
    account = run_survey(folder / "survey.toml", choice=choice, created=CREATED)
    return {
        key.quantity if key.quantity != "-" else key.kind: one.state for key, one in account.outcomes.items()
    }


def made(folder: Path, instrument: str = "DECAM") -> Mapping[str, Product]:
    found = map(io.read, sorted((folder / "store" / TILE).rglob("*.fits")))
    return {
        one.key.quantity if one.key.quantity != "-" else one.key.kind: one
        for one in found
        if one.key.instrument == instrument
    }


def files(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "store" / TILE).rglob("*.fits")}


def test_a_change_of_one_of_several_files_of_one_name_is_seen(tmp_path: Path) -> None:
    folder = survey(tmp_path / "changed")
    run(folder)
    assert set(run(folder).values()) == {"KEPT"}
    write(folder / "images" / "exp0" / "image.fits", 0, rms=77.0)
    shutil.copytree(folder, tmp_path / "fresh", ignore=shutil.ignore_patterns("store"))
    assert run(folder)["Noise"] == "DONE"
    run(tmp_path / "fresh")
    assert files(folder) == files(tmp_path / "fresh")


def test_another_min_good_counts_again(tmp_path: Path) -> None:
    folder, fresh = survey(tmp_path / "changed"), tmp_path / "fresh"
    run(folder)
    (folder / "survey.toml").write_text(SURVEY + "[exposures]\nmin_good = 3\n")
    shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns("store"))
    states = run(folder)
    assert (states["coverage"], states["depth"], states["bitmask"]) == ("DONE", "KEPT", "KEPT")
    run(fresh)
    assert made(folder)["coverage"].map == made(fresh)["coverage"].map
    assert files(folder) == files(fresh)


def test_a_depth_does_not_depend_on_what_else_is_made(tmp_path: Path) -> None:
    alone, together = survey(tmp_path / "alone"), survey(tmp_path / "together")
    run(alone, "depth")
    run(together)
    assert made(alone)["depth"].map == made(together)["depth"].map


def test_sub_cells_smaller_than_pixels_are_covered(tmp_path: Path) -> None:
    folder = survey(tmp_path, change=lambda text: text.replace("order = 11", "order = 13"))
    run(folder)
    products = made(folder)
    seen = products["coverage"].map.integral_deg2() / products["footprint"].map.integral_deg2()
    assert seen == pytest.approx(1.0, abs=0.03)


def test_a_bit_table_of_the_parameters_says_what_numbers_mean(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nversion = "1"\ninstrument = "DECAM"\ndefault = ["CRAY"]\n'
        '[[bits]]\nnumber = 1\nname = "CRAY"\n[[bits]]\nnumber = 4\nname = "OTHER"\n'
    )
    table = f'bits = ["OTHER"]\ntable = {{g = "{tmp_path}/mine.toml"}}\n[coverage]'
    folder = survey(
        tmp_path / "named", change=lambda text: text.replace('bits = ["CRAY"]\n[coverage]', table)
    )
    run(folder)
    run(survey(tmp_path / "plain"))
    named, plain = made(folder)["bitmask"], made(tmp_path / "plain")["bitmask"]
    assert (named.keywords["BITSEL"], plain.keywords["BITSEL"]) == ("4", "4")
    assert named.map == plain.map
    assert len(plain.map)


def test_instruments_may_share_the_name_of_a_band(tmp_path: Path) -> None:
    inputs = SURVEY[SURVEY.index("[[inputs]]") : SURVEY.index("[maps]")]
    other = inputs.replace('"DECAM"', '"OTHER"').replace('"images"', '"others"')
    folder = survey(tmp_path / "two", change=lambda text: text.replace("[maps]", other + "[maps]"))
    write(folder / "others" / "one.fits", 0)
    run(folder)
    assert made(folder)["Exposures"].map.values.max() == pytest.approx(3.0)
    assert made(folder, "OTHER")["Exposures"].map.values.max() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["euclid-wide", "healpix"])
def test_an_exposure_may_have_a_number_for_its_name(tmp_path: Path, kind: str) -> None:
    def named(text: str) -> str:
        return text.replace("euclid-wide", kind).replace('"{id}.fits', '"exp{id}/image.fits')

    folder = survey(tmp_path, change=named)
    account = run_survey(folder / "survey.toml", created=CREATED)
    assert {one.state for one in account.outcomes.values()} <= {"DONE", "EMPTY"}
    found = [io.read(path).map.integral_deg2() for path in (folder / "store").rglob("*HPEXPOSURES*.fits")]
    assert sum(found) == pytest.approx(3 * (SIDE * PIXEL_DEG) ** 2, rel=1e-4)


def test_a_broken_file_from_outside_takes_no_other_product_down(tmp_path: Path) -> None:
    folder = survey(
        tmp_path,
        '[extinction]\nmap = "ebv.fits"\ncoefficients = {g = 3.0}\n',
        lambda text: text.replace('"Noise:RMSQ"', '"Noise:RMSQ", "GalacticExtinction:MEAN"'),
    )
    columns = [fits.Column("EBV", "E", array=np.full(3072, 0.1, np.float32))]
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update(PIXTYPE="HEALPIX", ORDERING="RING", NSIDE=16, FIRSTPIX=0, LASTPIX=3071)
    table.header.update(INDXSCHM="IMPLICIT", COORDSYS="C")
    table.writeto(folder / "ebv.fits")
    assert set(run(folder).values()) == {"DONE"}
    (folder / "ebv.fits").write_bytes(b"junk" * 1000)
    states = dict(run(folder))
    assert states.pop("GalacticExtinction") == "FAILED"
    assert set(states.values()) == {"KEPT"}


# -- identities -------------------------------------------------------------------------------------------------------


def table_of(*numbers: int) -> Exposures:
    square = np.array([(10.0, 0.0), (10.5, 0.0), (10.5, 0.5), (10.0, 0.5)])
    pointings = {
        "PointingLon": np.array([10.0 + n // 2 for n in numbers]),
        "PointingLat": np.array([1.0 + n // 2 for n in numbers]),
    }
    return Exposures(tuple(f"e{n}" for n in numbers), np.stack([square + n for n in numbers]), pointings)


def gathered(listed: Exposures, rows: list[int], cards: str = "") -> FrameRef:
    """A tile that some rows of a table of exposures touch, with a mosaic or without."""
    layers = {"LAYERS": FileRef("1 exposures")}
    member = FrameRef("exposures", "table", "DECAM", "g", (0, 0), "", {}, layers, exposures=listed)
    options = {"rows": {"table": rows}}
    return FrameRef(
        "exposures", "7", "DECAM", "g", (0, 0), cards, {}, layers,
        exposures=listed[np.array(rows)], members=(member,), options=options,
    )  # fmt: skip


def test_an_area_does_not_change_with_exposures_elsewhere() -> None:
    before, after = gathered(table_of(1, 2, 3), [1]), gathered(table_of(0, 1, 2, 3, 4), [2])
    assert frame_digest(before) == frame_digest(after)
    assert frame_digest(before) != frame_digest(gathered(table_of(1, 2, 3), [1, 2]))


def test_a_mosaic_alone_does_not_change_with_its_exposures() -> None:
    before, after = (gathered(table_of(1, 2), rows, "CARDS") for rows in ([1], [0, 1]))
    assert frame_digest(before, exposures=False) == frame_digest(after, exposures=False)
    assert frame_digest(before) != frame_digest(after)


def test_every_exposure_of_a_table_points_somewhere() -> None:
    found = pointings_of(gathered(table_of(2, 3, 4, 9), [0, 1, 2]))
    assert [(one.lon_deg, one.lat_deg) for one in found] == [(11.0, 2.0), (12.0, 3.0)]
