"""Single exposures of an area, from images in files to products, against every pixel looked at one by one."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz import io
from vmpz.run.plan import Choice
from vmpz.run.survey import run_survey
from vmpz.simulate.bands import BANDS
from vmpz.simulate.exposures import Camera, Shot, grid_of_detectors, shots
from vmpz.simulate.field import Sky
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon, cells_inside, covered_fractions
from vmpz.tiles import tiles_near, tiling

ORDER, SIDE = 11, 70
CAMERA = Camera(
    "DECAM",
    grid_of_detectors([["a", "b"], ["c", "d"]], 700.0, 700.0, 20.0, 60.0),
    {"DECAM_g": BANDS["DECAM_g"]},
    dithers=3,
)
SATURATE, CRAY, BPM = 2, 16, 1
ZERO_POINT = 23.9
TILE = "102018211"
CREATED = "2026-01-01T00:00:00Z"

SURVEY = """
[tiling]
kind = "euclid-wide"
[[inputs]]
reader = "generic"
location = "images"
[inputs.options]
rms = "{id}.fits[RMS]"
background = "{id}.fits[BKG]"
flag = "{id}.fits[FLG]"
band = "DECAM_g"
instrument = "DECAM"
bit_table = "desdm"
zero_point = "header:MAGZERO"
exposure_time_s = "header:EXPTIME"
[maps]
order = 11
[bitmask]
bits = ["BPM", "CRAY"]
[coverage]
bits = ["SATURATE", "CRAY"]
[exposures]
min_good = MIN_GOOD
[info]
maps = [
  "Noise:MEAN", "Noise:RMSQ", "Noise:MAX", "Noise:STD", "Noise:MEDIAN", "Noise:COUNT", "Background:MEAN",
  "Background:Q25", "Background:WMEAN", "Background:WMEDIAN", "Weight:SUM", "Weight:MEAN", "Weight:MEDIAN",
  "Exposures:COUNT", "ExposureTime:SUM",
]
"""


class Image(NamedTuple):
    """One detector of one exposure: what was written, and where its pixels are."""

    outline: Polygon
    cell: NDArray[np.int64]
    sub: NDArray[np.int64]
    rms: NDArray[np.float64]
    background: NDArray[np.float64]
    flags: NDArray[np.int64]
    side_arcsec: float


def write(folder: Path, shot: Shot, index: int) -> Image:
    detector = CAMERA.detectors[index]
    header = shot.wcs_header(detector, (SIDE, SIDE))
    zero_point = 30.0 + 0.1 * shot.number
    header["MAGZERO"], header["EXPTIME"] = zero_point, 90.0 + shot.number
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    lon, lat = WCS(header).all_pix2world(x, y, 0)
    hit = shot.roles(index, lon, lat)
    flags = (SATURATE * hit["core"] + CRAY * hit["cosmic"] + BPM * hit["column"]).astype(np.int32)
    rms = np.full((SIDE, SIDE), shot.rms(index, 10.0), np.float32)
    rms *= np.float32(1.0) + np.float32(0.1) * hit["halo"].astype(np.float32)
    rms[0, :5] = 1e16
    background = shot.background(lon, lat).astype(np.float32)
    planes = [
        fits.ImageHDU(data, header, name=name)
        for name, data in (("BKG", background), ("RMS", rms), ("FLG", flags))
    ]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(
        folder / f"s{shot.number}_{detector.name}.fits", checksum=True
    )
    scale = np.float32(10.0 ** (0.4 * (ZERO_POINT - zero_point)))
    return Image(
        Polygon(shot.corners_deg(detector)),
        hpx.cells_at(lon.ravel(), lat.ravel(), ORDER),
        hpx.cells_at(lon.ravel(), lat.ravel(), ORDER + 3),
        np.where(rms < 1e15, rms * scale, rms).ravel().astype(np.float64),
        (background * scale).ravel().astype(np.float64),
        flags.ravel().astype(np.int64),
        10.0,
    )


class Made(NamedTuple):
    images: list[Image]
    cells: CellSet
    folder: Path
    products: dict[str, Any]
    least: int

    def values(self, name: str) -> NDArray[np.float64]:
        """A product on all own cells, NaN where absent."""
        return self.products[name].map.of_cells(self.cells.cells(), np.nan).astype(np.float64)

    def per_cell(self, of: Any) -> NDArray[np.float64]:
        """`of(image, its pixels in the cell)` summed over images, for every own cell."""
        total = np.zeros(len(self.cells))
        for image in self.images:
            place = self.cells.index(image.cell)
            for one in np.unique(place[place >= 0]):
                total[one] += of(image, place == one, one)
        return total


def products_of(folder: Path) -> dict[str, Any]:
    found = {}
    for path in folder.rglob("*.fits"):
        one = io.read(path)
        found[
            "_".join(part for part in (one.key.kind, one.key.quantity, one.key.statistic) if part != "-")
        ] = one
    return found


@pytest.fixture(scope="module", params=[1, 2], ids=["one good exposure", "two good exposures"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("exposures")
    (folder / "images").mkdir()
    sky = Sky(tiles_near(57.9988, -51.5, 1), 10.0, 1)
    images = [
        write(folder / "images", shot, index)
        for shot in shots(sky, CAMERA)
        for index in range(len(CAMERA.detectors))
    ]
    (folder / "survey.toml").write_text(SURVEY.replace("MIN_GOOD", str(request.param)))
    account = run_survey(folder / "survey.toml", choice=Choice(tiles=[TILE]), created=CREATED)
    assert not account.has_failed, str(account)
    cells = tiling("euclid-wide").owned(TILE, ORDER)
    yield Made(images, cells, folder, products_of(folder / "store" / TILE), request.param)


def shares(made: Made) -> list[NDArray[np.float64]]:
    number = made.cells.cells()
    return [
        covered_fractions(one.outline, ORDER, cells=made.cells).of_cells(number, 0.0) for one in made.images
    ]


def pooled(made: Made, plane: str, good: bool = False) -> list[NDArray[np.float64]]:
    """Values of all valid pixels of all images, cell by cell."""
    lists: list[list[NDArray[np.float64]]] = [[] for _ in range(len(made.cells))]
    for image in made.images:
        place = made.cells.index(image.cell)
        keep = (place >= 0) & (image.rms < 1e15)
        if good:
            keep &= image.flags & (SATURATE | CRAY) == 0
        values = 1.0 / image.rms**2 if plane == "weight" else getattr(image, plane)
        by_cell = np.argsort(place[keep], kind="stable")
        ids, first = np.unique(place[keep][by_cell], return_index=True)
        for one, part in zip(ids, np.split(values[keep][by_cell], first[1:]), strict=True):
            lists[one].append(part)
    return [np.concatenate(one) if one else np.zeros(0) for one in lists]


def test_the_footprint_is_the_union_of_outlines(made: Made) -> None:
    points = made.cells.at_order(ORDER + 4)
    lon, lat = hpx.centres(points.cells(), points.order)
    inside = np.zeros(len(points), bool)
    for image in made.images:
        corners = np.radians(image.outline.vertices)
        vectors = np.stack(
            (
                np.cos(corners[:, 1]) * np.cos(corners[:, 0]),
                np.cos(corners[:, 1]) * np.sin(corners[:, 0]),
                np.sin(corners[:, 1]),
            ),
            axis=1,
        )
        a, b = np.radians(lon), np.radians(lat)
        direction = np.stack((np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)), axis=1)
        side = direction @ np.cross(vectors, np.roll(vectors, -1, axis=0)).T
        inside |= np.all(side > 0, axis=1) | np.all(side < 0, axis=1)
    expected = inside.reshape(-1, 256).mean(axis=1)
    found = np.nan_to_num(made.values("footprint"))
    assert np.abs(found - expected).max() < 0.04
    assert found.sum() == pytest.approx(expected.sum(), rel=2e-3)


def test_bits_are_flagged_area_over_observed_area(made: Made) -> None:
    geom = shares(made)
    observed, flagged = np.zeros(len(made.cells)), np.zeros(len(made.cells))
    for image, share in zip(made.images, geom, strict=True):
        place = made.cells.index(image.cell)
        found = np.bincount(place[place >= 0], minlength=len(made.cells))
        hit = np.bincount(place[(place >= 0) & (image.flags & (BPM | CRAY) != 0)], minlength=len(made.cells))
        observed += np.where(found > 0, share, 0.0)
        flagged += share * hit / np.maximum(found, 1)
    expected = np.divide(flagged, observed, out=np.zeros(flagged.size), where=observed > 0)
    assert np.nan_to_num(made.values("bitmask")) == pytest.approx(expected, abs=1e-6)


def seen_well(made: Made, least: int) -> NDArray[np.float64]:
    """Share of the sub-cells that at least so many exposures see well."""
    return np.asarray(good_sub_cells(made, least).mean(axis=1))


def good_sub_cells(made: Made, least: int) -> NDArray[np.bool_]:
    """Sub-cells that at least so many exposures see well, (cells, 64); those without pixels are as what is around."""
    sub = made.cells.at_order(ORDER + 3)
    seen = np.zeros(len(sub), int)
    for image in made.images:
        place = sub.index(image.sub)
        good = (image.rms < 1e15) & (image.flags & (SATURATE | CRAY) == 0)
        found = np.bincount(place[place >= 0], minlength=len(sub))
        many = np.bincount(place[(place >= 0) & good], minlength=len(sub))
        seen += 2 * many > found
        held = sub.index((cells_inside(image.outline, ORDER + 3) & sub).cells())
        for one in held[found[held] == 0]:
            around = (slice(one >> 2 * up << 2 * up, (one >> 2 * up) + 1 << 2 * up) for up in (1, 2, 3))
            first = next((part for part in around if found[part].any()), slice(0))
            seen[one] += 2 * many[first].sum() > found[first].sum()
    return np.asarray((seen >= least).reshape(-1, 64))


def test_coverage_is_the_share_of_sub_cells_with_good_exposures(made: Made) -> None:
    expected = seen_well(made, made.least)
    coverage, footprint = np.nan_to_num(made.values("coverage")), np.nan_to_num(made.values("footprint"))
    assert np.all(coverage <= footprint)
    assert coverage == pytest.approx(np.minimum(expected, footprint), abs=1e-6)


STATISTICS = {
    "info_Noise_MEAN": ("rms", np.mean),
    "info_Noise_RMSQ": ("rms", lambda x: np.sqrt(np.mean(x**2))),
    "info_Noise_MAX": ("rms", np.max),
    "info_Noise_STD": ("rms", np.std),
    "info_Noise_MEDIAN": ("rms", np.median),
    "info_Background_MEAN": ("background", np.mean),
    "info_Background_Q25": ("background", lambda x: np.quantile(x, 0.25)),
    "info_Weight_MEAN": ("weight", np.mean),
    "info_Weight_MEDIAN": ("weight", np.median),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_over_the_pixels_of_all_exposures(made: Made, name: str) -> None:
    plane, of = STATISTICS[name]
    expected = np.array([of(one) if one.size else np.nan for one in pooled(made, plane)])
    assert made.values(name) == pytest.approx(expected, rel=2e-5, nan_ok=True)
    assert made.products[name].keywords["SAMPLE"] == "PIXEL"
    assert made.products[name].keywords["MAGZERO"] == ZERO_POINT


def test_weighted_means(made: Made) -> None:
    values, weights = pooled(made, "background"), pooled(made, "weight")
    expected = [np.average(x, weights=w) if x.size else np.nan for x, w in zip(values, weights, strict=True)]
    assert made.values("info_Background_WMEAN") == pytest.approx(np.array(expected), rel=2e-5, nan_ok=True)


def test_sums_are_over_exposures(made: Made) -> None:
    """The covered share of every exposure counts, so where all see the whole cell a sum is the sum of their means."""
    expected, covered = np.zeros(len(made.cells)), np.zeros(len(made.cells))
    for image, share in zip(made.images, shares(made), strict=True):
        place = made.cells.index(image.cell)
        inside = place >= 0
        valid = inside & (image.rms < 1e15)
        found = np.bincount(place[inside], minlength=len(made.cells))
        expected += (
            share
            * np.bincount(place[valid], 1 / image.rms[valid] ** 2, len(made.cells))
            / np.maximum(found, 1)
        )
        covered += share * np.bincount(place[valid], minlength=len(made.cells)) / np.maximum(found, 1)
    seen = np.isfinite(made.values("info_Noise_COUNT"))
    assert made.values("info_Noise_COUNT")[seen] == pytest.approx(covered[seen], rel=1e-6)
    assert made.values("info_Weight_SUM")[seen] == pytest.approx(expected[seen], rel=2e-6)


def test_the_depth_is_that_of_the_coadd(made: Made) -> None:
    weight, used, most = np.zeros((3, len(made.cells)))
    for image, share in zip(made.images, shares(made), strict=True):
        place = made.cells.index(image.cell)
        good = (place >= 0) & (image.rms < 1e15) & (image.flags & (SATURATE | CRAY) == 0)
        found = np.bincount(place[place >= 0], minlength=len(made.cells))
        number = np.bincount(place[good], minlength=len(made.cells))
        area = share * number / np.maximum(found, 1)
        variance = np.bincount(place[good], image.rms[good] ** 2, len(made.cells)) / np.maximum(number, 1)
        weight += area * image.side_arcsec**2 / np.where(number > 0, variance, np.inf)
        used, most = used + area, np.maximum(most, area)
    part = np.clip(np.minimum(seen_well(made, 1), np.nan_to_num(made.values("footprint"))), most, used)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = ZERO_POINT - 2.5 * np.log10(5.0 * np.sqrt(np.pi * part / weight))
    found = made.values("depth")
    seen = np.isfinite(found)
    assert seen.sum() > 100
    assert found[seen] == pytest.approx(expected[seen], abs=2e-5)
    one = made.products["depth"].keywords
    assert (one["MAGZERO"], one["SNRLEVEL"], one["APERDIAM"]) == (ZERO_POINT, 5.0, 2.0)


def test_a_second_run_keeps_everything(made: Made) -> None:
    account = run_survey(made.folder / "survey.toml", choice=Choice(tiles=[TILE]))
    assert {one.state for one in account.outcomes.values()} == {"KEPT"}


VISIBILITY = """
[[visibility]]
name = "counts"
reference = {DECAM_g = 24.0}
[visibility.counts]
slope = 0.3
magnitudes = [5.0, 35.0]
[visibility.selection]
completeness = "logistic"
"""


def test_visibility_of_exposures_has_the_sub_cells_of_its_coverage(made: Made, tmp_path: Path) -> None:
    text = (made.folder / "survey.toml").read_text().replace("[coverage]", "[coverage]\nsubcells = true")
    survey = made.folder / "visible.toml"
    survey.write_text(text + VISIBILITY)
    choice = Choice(tiles=[TILE], products=["visibility"])
    account = run_survey(survey, tmp_path, choice=choice, created=CREATED)
    assert not account.has_failed, str(account)
    one = products_of(tmp_path)["visibility_counts"]
    number = one.map.cells.cells()
    coverage = made.products["coverage"].map.of_cells(number).astype(np.float64)
    depth = products_of(tmp_path)["depth"].map.of_cells(number).astype(np.float64)
    assert one.map.values == pytest.approx(coverage * 10 ** (0.3 * (depth - 24.0)), rel=1e-4)
    words = one.maps["SUBCELL"].values.view(np.uint64)
    bits = words[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)
    assert np.array_equal(bits.astype(bool), good_sub_cells(made, made.least)[made.cells.index(number)])


@pytest.mark.parametrize("made", [1], indirect=True)
def test_the_bytes_do_not_depend_on_workers_or_the_order_of_files(made: Made, tmp_path: Path) -> None:
    images = sorted((made.folder / "images").iterdir(), reverse=True)
    (tmp_path / "images").mkdir()
    for path in images:
        shutil.copy(path, tmp_path / "images")
    shutil.copy(made.folder / "survey.toml", tmp_path)
    run_survey(tmp_path / "survey.toml", choice=Choice(tiles=[TILE]), workers=1, created=CREATED)
    one, two = (
        {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in (root / "store" / TILE).rglob("*.fits")
        }
        for root in (made.folder, tmp_path)
    )
    assert len(one) == 19
    assert one == two
