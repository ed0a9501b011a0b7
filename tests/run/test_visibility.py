"""Visibility of a survey: against its definition cell by cell, the same bytes, made again only when it must be."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from visibility_helpers import (
    ORDER,
    REALISATIONS,
    change,
    counts,
    deep_seen,
    levels,
    light,
    products,
    run,
    statistics_of,
    write_ebv,
)
from vmpz import io
from vmpz.cli import main
from vmpz.errors import InputError
from vmpz.products import SUBCELL, Product
from vmpz.run.account import Account
from vmpz.run.plan import Choice
from vmpz.sky.skymap import SkyMap

CLASSES = ("counts", "deep", "light")
TILES = ("102018210", "102018211")


def made(account: Account, *kinds: str) -> set[str]:
    """Kind and class of the products of tiles that were not kept."""
    return {
        f"{key.kind} {key.quantity}" if key.kind in ("visibility", "redshifts") else f"{key.kind} {key.band}"
        for key, one in account.outcomes.items()
        if one.state != "KEPT" and key.area in TILES and (not kinds or key.kind in kinds)
    }


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as leaving:
        main([str(word) for word in words])
    return int(str(leaving.value.code))


# -- values -----------------------------------------------------------------------------------------------------------


def cells_of(survey: Path, name: str, tile: str, every: int) -> tuple[np.ndarray, list[Any], np.ndarray]:
    """V / coverage, parts (`levels`) and E(B-V) of some cells of a tile."""
    number = products(survey, "visibility", name)[tile].map.cells.cells()[::every]
    whose = ("coverage", "VIS") if name != "deep" else ("effectivecoverage", "-")
    coverage = products(survey, whose[0], band=whose[1])[tile].map.of_cells(number)
    ebv = fits.getdata(survey.parent / "ebv.fits")["EBV"][number >> 2 * (ORDER - 6)]
    parts = levels(survey, tile, ["VIS", "NIR_Y"] if name == "deep" else ["VIS"], number)
    ratio = products(survey, "visibility", name)[tile].map.of_cells(number) / coverage
    several = sum(len(one) > 1 for one in parts)
    assert 3 < several < len(parts) - 3
    return ratio, parts, ebv.astype(float)


def test_a_luminosity_function_cell_by_cell(seen: Path) -> None:
    ratio, parts, _ = cells_of(seen, "light", TILES[0], 60)
    expected = np.array([sum(share * light(depth) for share, depth in one) for one in parts]) / light(25.0)
    assert np.ptp(expected) > 0.2
    assert np.allclose(ratio, expected, rtol=5e-4)


def test_counts_behind_dust_cell_by_cell(seen: Path) -> None:
    ratio, parts, ebv = cells_of(seen, "counts", TILES[1], 10)
    here = [sum(share * counts(depth, dust) for share, depth in one) for one, dust in zip(parts, ebv)]
    expected = np.array(here) / counts(25.0, 0.0)
    assert np.ptp(expected) > 0.3 and np.ptp(ebv) > 0.005
    assert np.allclose(ratio, expected, rtol=1e-3)


def test_a_deep_sample_in_two_bands_cell_by_cell(seen: Path) -> None:
    ratio, parts, ebv = cells_of(seen, "deep", TILES[0], 10)
    reference = deep_seen((25.0, 23.5), 0.0)
    here = [
        sum(share * deep_seen(depths, dust).sum() for share, *depths in one) for one, dust in zip(parts, ebv)
    ]
    expected = np.array(here) / reference.sum()
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
        statistics = statistics_of(seen, TILES[0], band)
        return statistics.column("subcells")[statistics.cells.index(number)].view(np.int64)

    for name, bands in (("light", ["VIS"]), ("deep", ["VIS", "NIR_Y"])):
        one = products(seen, "visibility", name)[TILES[0]].maps[SUBCELL]
        number = one.cells.cells()
        assert np.array_equal(
            one.values, np.bitwise_and.reduce([words(band, number) for band in bands], axis=0)
        )


def test_the_error_is_half_the_change_between_shifted_depths(mine: Path) -> None:
    """A factor on the noise of a band makes its depth shallower by 2.5 log10 of it."""
    base = {name: products(mine, "visibility", name)[TILES[0]] for name in ("light", "deep")}
    before = products(mine, "depth", band="VIS")[TILES[0]].map
    squares = {name: np.zeros(len(one.map)) for name, one in base.items()}
    text = mine.read_text()
    for band, error in {"VIS": 0.04, "NIR_Y": 0.05}.items():
        ends: dict[str, list[np.ndarray]] = {name: [] for name in base}
        for sign in (1, -1):
            factor = 10 ** (-0.4 * sign * error)
            mine.write_text(f"{text}\n[depth]\ncorrelated_noise = {{{band} = {factor!r}}}\n")
            account = run(mine, choice=Choice(tiles=[TILES[0]]))
            assert not account.has_failed, account.text()
            for name in base:
                shifted = products(mine, "visibility", name)[TILES[0]].map
                ends[name].append(shifted.of_cells(base[name].map.cells.cells()).astype(np.float64))
            if band == "VIS":
                after = products(mine, "depth", band="VIS")[TILES[0]].map
                assert np.allclose(after.values - before.values, sign * error, atol=1e-5)
        for name, (deeper, shallower) in ends.items():
            squares[name] += (0.5 * (deeper - shallower)) ** 2
    for name, one in base.items():
        error = one.maps["ERROR"].values
        assert (error > 0).mean() > 0.9
        assert np.allclose(error, np.sqrt(squares[name]), rtol=2e-3, atol=1e-6)


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_alone_on_workers_the_bytes_are_those_of_the_whole_run(seen: Path, tmp_path: Path) -> None:
    """Coverage and depth come along, and nothing else."""
    account = run(seen, str(tmp_path), workers=2, choice=Choice(TILES, products=["visibility", "redshifts"]))
    assert not account.has_failed, account.text()
    kinds = {key.kind for key in account.outcomes}
    assert kinds == {"coverage", "depth", "effectivecoverage", "visibility", "redshifts"}
    alone, whole = tmp_path, seen.parent / "store"
    kept = ("~statistics~", "~goodpixels~")  # they say what else was counted
    paths = [path for path in alone.glob("1*/*/EUC*") if not any(one in str(path) for one in kept)]
    compared = [*paths, *alone.glob("1*/*/*.xml")]
    assert len(compared) > 30
    for path in compared:
        assert path.read_bytes() == (whole / path.relative_to(alone)).read_bytes(), path


def test_a_second_run_keeps_all(mine: Path) -> None:
    assert made(run(mine)) == set()


ALL = {f"visibility {name}" for name in CLASSES} | {"redshifts deep", "redshifts light"}
CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "deep catalogue": (
        lambda one: (one.parent / "deep.csv").write_text(
            "\n".join((one.parent / "deep.csv").read_text().splitlines()[:-1]) + "\n"
        ),
        {"visibility deep", "redshifts deep"},
    ),
    "efficiencies": (
        lambda one: change(one.parent / "efficiency.csv", "\n4,", "\n4.0,"),
        {"visibility counts"},
    ),
    "parameters of a class": (
        lambda one: change(one, "alpha = -1.2", "alpha = -1.1"),
        {"visibility light", "redshifts light"},
    ),
    "classes of redshifts": (lambda one: change(one, "[0.9, 1.2]", "[0.9, 1.1]"), {"redshifts light"}),
    "errors of depth": (lambda one: change(one, "{VIS = 0.04}", "{VIS = 0.03}"), {"visibility light"}),
    "number of the bin": (lambda one: change(one, "tom_bin = 2", "tom_bin = 3"), set()),
    "reddening": (
        lambda one: write_ebv(one.parent / "ebv.fits", 1.1),
        {"visibility counts", "visibility deep", "redshifts deep"},
    ),
    "coefficient of another band": (lambda one: change(one, "NIR_H = 0.5", "NIR_H = 0.6"), set()),
    "coefficient of one band": (
        lambda one: change(one, "NIR_Y = 1.1", "NIR_Y = 1.2"),
        {"visibility deep", "redshifts deep"},
    ),
    "depth of one band": (
        lambda one: one.write_text(one.read_text() + "\n[depth]\ncorrelated_noise = {NIR_Y = 1.2}\n"),
        {"depth NIR_Y", "visibility deep", "redshifts deep"},
    ),
    "sub-cells": (
        lambda one: change(one, "subcells = true", "subcells = false"),
        {"coverage VIS", "coverage NIR_Y", "effectivecoverage -"} | ALL,
    ),
}


def test_a_change_makes_again_what_it_must_and_nothing_else(mine: Path) -> None:
    for name, (changed, expected) in CHANGES.items():
        changed(mine)
        account = run(mine, choice=Choice(tiles=[TILES[0]]))
        assert not account.has_failed, account.text()
        assert made(account) == expected, name
    assert SUBCELL not in products(mine, "visibility", "light")[TILES[0]].maps


def test_the_survey_may_move(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").rename(tmp_path / "elsewhere")
    account = run(tmp_path / "elsewhere" / "survey.toml")
    assert made(account, "visibility", "redshifts") == set()


def test_what_a_smaller_run_dropped_is_counted_again(mine: Path) -> None:
    """Sub-cells and the scatter of the noise are statistics: the values do not depend on what else ran since."""
    one = Choice(tiles=[TILES[0]])

    def removed(kind: str) -> dict[str, bytes]:
        held = {}
        for folder in (mine.parent / "store" / TILES[0]).glob(f"*~{kind}~*"):
            held |= {str(path): path.read_bytes() for path in folder.glob("EUC*")}
            shutil.rmtree(folder)
        return held

    before = removed("visibility") | removed("redshifts")
    removed("bitmask")
    removed("statistics")
    run(mine, choice=Choice(tiles=[TILES[0]], products=["bitmask"]))
    left = statistics_of(mine, TILES[0], "VIS").columns
    assert "subcells" not in left and "RMS.good.m2" not in left
    assert made(run(mine, choice=one)) == ALL
    assert len(before) >= 5 and all(Path(path).read_bytes() == held for path, held in before.items())
    assert made(run(mine, choice=one)) == set()


def test_at_the_depth_of_the_reference_it_is_the_coverage(mine: Path) -> None:
    """The reference is the deepest cell: V never exceeds the coverage, and is the coverage there."""
    depth = products(mine, "depth", band="VIS")[TILES[0]].map
    deepest = float(depth.values.max())
    change(
        mine, 'name = "light"\nreference = {VIS = 25.0}', f'name = "light"\nreference = {{VIS = {deepest!r}}}'
    )
    assert made(run(mine, choice=Choice(tiles=[TILES[0]]))) == {"visibility light", "redshifts light"}
    one = products(mine, "visibility", "light")[TILES[0]]
    coverage = products(mine, "coverage", band="VIS")[TILES[0]].map.of_cells(one.map.cells.cells())
    at = depth.of_cells(one.map.cells.cells()) == np.float32(deepest)
    assert at.any() and not at.all()
    assert np.array_equal(one.map.values[at], coverage[at])
    assert (one.map.values <= coverage).all() and one.keywords["VISMAX"] == 1.0
    assert (one.map.values[~at] < coverage[~at]).all()


# -- what cannot be made ----------------------------------------------------------------------------------------------


def test_a_tile_without_a_band_lacks_the_class_of_that_band_alone(
    mine: Path,
) -> None:
    for path in (mine.parent / "MER" / TILES[1]).rglob("*NIR*"):
        path.unlink()
    account = run(mine)
    assert command("run", mine) == 0
    lacking = {str(key): one for key, one in account.outcomes.items() if one.state == "NOINPUT"}
    assert set(lacking) == {
        f"{TILES[1]} {what}" for what in ("effectivecoverage", "visibility deep", "redshifts deep")
    }
    for what in ("visibility", "redshifts"):
        reason = lacking[f"{TILES[1]} {what} deep"].reason
        assert reason == "visibility deep needs the depth of VIS, NIR_Y; there is none of NIR_Y"
    assert command("run", mine, "--products", "visibility") == 4


def test_extinction_is_not_applied_twice(mine: Path) -> None:
    change(mine, 'map = "ebv.fits"', 'map = "ebv.fits"\nlaw = "mine"')
    correction = (
        '[depth.extinction]\nmap = "partial.fits"\nlaw = "mine"\ncoefficients = {VIS = 2.2, NIR_Y = 1.1}\n'
    )
    mine.write_text(f"{mine.read_text()}\n{correction}")
    one = products(mine, "coverage", band="VIS")
    key = replace(one[TILES[0]].key, kind="info", quantity="GalacticExtinction")
    both = SkyMap.join([one[tile].map for tile in TILES])
    io.write_file(
        Product(key, {"WEIGHT": SkyMap(both.cells, np.full(len(both), 0.05, np.float32))}),
        mine.parent / "partial.fits",
    )
    account = run(mine)
    failed = {
        f"{key.kind} {key.quantity}": item.reason
        for key, item in account.outcomes.items()
        if item.state == "FAILED"
    }
    assert "visibility light" not in failed
    assert (
        "extinction must be applied once: the depth of VIS is corrected for it" in failed["visibility counts"]
    )
    assert "extinction must be applied once" in failed["redshifts deep"]


def test_files_and_bands_that_are_not_there_are_refused_before_anything_is_made(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(mine.parent / "store")
    (mine.parent / "deep.csv").rename(mine.parent / "other.csv")
    for more in ((), ("--dry-run",)):
        assert command("run", mine, *more) == 3
        assert "visibility deep: deep must be a file, found nothing at " in capsys.readouterr().err
    (mine.parent / "other.csv").rename(mine.parent / "deep.csv")
    change(mine, 'name = "light"\nreference = {VIS', 'name = "light"\nreference = {NIR_Z')
    change(mine, "depth_error = {VIS = 0.04}", "")
    for more in ((), ("--dry-run",)):
        assert command("run", mine, *more) == 2
        assert "visibility light: band must be among NIR_Y, VIS; found NIR_Z" in capsys.readouterr().err
    assert not (mine.parent / "store").exists()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, "", "MAG_VIS .*nan in row 8"),
        (1, "inf", "MAG_Y .*inf in row 8"),
        (0, "faint", r"deep\.csv: .*'faint'"),
    ],
)
def test_bad_values_of_the_deep_sample_are_named(mine: Path, column: int, value: str, message: str) -> None:
    lines = (mine.parent / "deep.csv").read_text().splitlines()
    words = lines[8].split(",")
    words[column] = value
    lines[8] = ",".join(words)
    (mine.parent / "deep.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=message):
        run(mine)
