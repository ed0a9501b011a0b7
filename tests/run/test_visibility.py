"""Visibility of a survey: against its definition cell by cell, the same bytes, made again only when it must be."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vmpz import io
from vmpz.cli import main
from vmpz.errors import InputError
from vmpz.parameters import load
from vmpz.products import SUBCELL, Product
from vmpz.run.account import Account
from vmpz.run.plan import Choice, PlanError
from vmpz.run.store import Store
from vmpz.run.survey import run_survey
from vmpz.sky.skymap import SkyMap
from visibility_helpers import (
    CREATED,
    ORDER,
    REALISATIONS,
    counts,
    deep,
    deep_seen,
    light,
    write_ebv,
    write_survey,
)

CLASSES = ("counts", "deep", "light")
TILES = ("102018210", "102018211")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The survey, run serially; its parameter file. Never change it."""
    survey = write_survey(tmp_path_factory.mktemp("seen"))
    account = run(survey)
    assert {one.state for one in account.outcomes.values()} == {"DONE"}, account.text()
    return survey


@pytest.fixture
def mine(seen: Path, tmp_path: Path) -> Path:
    """A copy of the survey and its store to change."""
    shutil.copytree(seen.parent, tmp_path / "mine")
    return tmp_path / "mine" / "survey.toml"


def run(survey: Path, store: str = "store", **more: object) -> Account:
    return run_survey(load(survey), survey.parent / store, created=CREATED, threads=2, **more)  # type: ignore[arg-type]


def products(survey: Path, kind: str, quantity: str = "-", band: str = "-") -> dict[str, Product]:
    """Products of tiles and patches, by area."""
    return {
        entry.key.area: replace(io.read(entry.path(".fits")), key=entry.key)
        for entry in Store(survey.parent / "store").entries()
        if (entry.key.kind, entry.key.quantity, entry.key.band) == (kind, quantity, band)
    }


def made(account: Account, *kinds: str) -> set[str]:
    """Kind and class of the products of tiles that were not kept."""
    return {
        f"{key.kind} {key.quantity}" if key.kind in ("visibility", "redshifts") else f"{key.kind} {key.band}"
        for key, one in account.outcomes.items()
        if one.state != "KEPT" and key.area in TILES and (not kinds or key.kind in kinds)
    }


def change(survey: Path, old: str, new: str) -> None:
    text = survey.read_text()
    assert text.count(old) == 1, old
    survey.write_text(text.replace(old, new))


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        main([str(word) for word in words])
    return int(str(leaving.value.code))


# -- values -----------------------------------------------------------------------------------------------------------


def cells_of(survey: Path, name: str, tile: str, every: int) -> tuple[np.ndarray, ...]:
    """V / coverage, depths and E(B-V) of some cells of a tile."""
    from astropy.io import fits

    product = products(survey, "visibility", name)[tile]
    number = product.map.cells.cells()[::every]
    whose = ("coverage", "VIS") if name != "deep" else ("effectivecoverage", "-")
    coverage = products(survey, whose[0], band=whose[1])[tile].map.of_cells(number)
    depths = [products(survey, "depth", band=band)[tile].map.of_cells(number) for band in ("VIS", "NIR_Y")]
    ebv = fits.getdata(survey.parent / "ebv.fits")["EBV"][number >> 2 * (ORDER - 6)]
    return product.map.of_cells(number) / coverage, *(one.astype(float) for one in depths), ebv.astype(float)


def test_a_luminosity_function_cell_by_cell(seen: Path) -> None:
    ratio, depth, _, _ = cells_of(seen, "light", TILES[0], 60)
    expected = np.array([light(one) for one in depth]) / light(25.0)
    assert np.ptp(expected) > 0.2
    assert np.allclose(ratio, expected, rtol=5e-4)


def test_counts_behind_dust_cell_by_cell(seen: Path) -> None:
    ratio, depth, _, ebv = cells_of(seen, "counts", TILES[1], 10)
    expected = np.array([counts(*one) for one in zip(depth, ebv)]) / counts(25.0, 0.0)
    assert np.ptp(expected) > 0.3 and np.ptp(ebv) > 0.005
    assert np.allclose(ratio, expected, rtol=1e-3)


def test_a_deep_sample_in_two_bands_cell_by_cell(seen: Path) -> None:
    ratio, vis, nir, ebv = cells_of(seen, "deep", TILES[0], 10)
    reference = deep_seen((25.0, 23.5), 0.0)
    seen_here = np.array([deep_seen(one[:2], one[2]) for one in zip(vis, nir, ebv)])
    expected = seen_here.sum(axis=1) / reference.sum()
    noise = np.sqrt((reference * (1 - reference)).sum() / REALISATIONS) / reference.sum()
    assert np.ptp(expected) > 0.1 and noise < 3e-3
    assert np.abs(ratio - expected).max() < 5 * noise


def test_what_products_hold_and_say(seen: Path) -> None:
    for name in CLASSES:
        for tile in TILES:
            one = products(seen, "visibility", name)[tile]
            errors = [] if name == "counts" else ["ERROR"]
            assert list(one.maps) == ["WEIGHT", *errors, SUBCELL]
            words = one.keywords
            assert words["VISINTEG"] == pytest.approx(one.map.integral_deg2(), rel=1e-12)
            assert words["BINSEL"] == name and words["WGTKIND"] == "PROBAB" and words["DEGRULE"] == "COVERAGE"
            assert words["DEPTHEST"] == "APERTURE" and words["SNRLEVEL"] == 5.0
    assert words["VISREF"] == "VIS=25" and words["VISSEL"] == "gaussian" and words["FILTLST"] == "VIS"
    both = products(seen, "visibility", "deep")[TILES[0]].keywords
    assert both["VISREF"] == "VIS=25,NIR_Y=23.5" and both["FILTLST"] == "VIS,NIR_Y"
    assert both["VISSEL"] == "snr_VIS > 5 and snr_NIR_Y > 3"


def test_sub_cells_are_those_that_all_bands_observe(seen: Path) -> None:
    def words(band: str, number: np.ndarray) -> np.ndarray:
        (entry,) = (
            one for one in Store(seen.parent / "store").entries()
            if (one.key.area, one.key.kind, one.key.band) == (TILES[0], "statistics", band)
        )  # fmt: skip
        statistics = io.read_statistics(io.read(entry.path(".parquet")).table)
        return statistics.column("subcells")[statistics.cells.index(number)].view(np.int64)

    for name, bands in (("light", ["VIS"]), ("deep", ["VIS", "NIR_Y"])):
        one = products(seen, "visibility", name)[TILES[0]].maps[SUBCELL]
        number = one.cells.cells()
        assert np.array_equal(
            one.values, np.bitwise_and.reduce([words(band, number) for band in bands], axis=0)
        )


def test_the_error_is_half_the_change_between_shifted_depths(seen: Path, mine: Path) -> None:
    """References shifted the other way stand for depths shifted by their error."""
    base = products(seen, "visibility", "light")[TILES[0]]
    ends = []
    for sign in (1, -1):
        text = seen.read_text().replace('name = "light"\nreference = {VIS = 25.0}', f'name = "light"\nreference = {{VIS = {25.0 - sign * 0.05}}}')
        mine.write_text(text)
        run(mine, choice=Choice(tiles=[TILES[0]]))
        shifted = products(mine, "visibility", "light")[TILES[0]]
        ends.append(shifted.map.values * light(25.0 - sign * 0.05) / light(25.0))
    assert (ends[0] > ends[1]).all()
    difference = 0.5 * (ends[0] - ends[1])
