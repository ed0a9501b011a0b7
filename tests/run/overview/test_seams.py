"""Steps between tiles: found where they were put, of the size that was put, with errors that hold."""

import numpy as np
import pytest

from vmpz.products import Product, ProductKey
from vmpz.run.overview import seams as module
from vmpz.run.overview.content import Seam
from vmpz.run.overview.listing import Area, Listed, Listing
from vmpz.run.overview.reading import Piece, Reading
from vmpz.run.overview.seams import LEAST, Seams
from vmpz.run.query import Wanted
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.skymap import SkyMap

TILES, ORDER = 1, 5
"""The whole sky in 48 tiles of 16 x 16 cells."""
NAMES = [f"{tile:03d}" for tile in range(hpx.number_of_cells(TILES))]
PAIRS = 2 * len(NAMES)


def listed(place: int, quantity: str = "Noise") -> Listed:
    key = ProductKey("-", "info", quantity, "MEAN", band=f"B{place}", order=ORDER)
    return Listed(key, f"{quantity}_MEAN_B{place}", f"{quantity}_MEAN", 1, 1.0, None, 0.0, 0.0, 1.0)


def seams_of(
    maps: list[np.ndarray], hidden: np.ndarray | None = None, quantity: str = "Noise"
) -> tuple[Seams, tuple]:
    """The seams of maps of the whole sky (NaN: not listed), gathered tile by tile."""
    told = tuple(listed(place, quantity) for place in range(len(maps)))
    areas = tuple(Area(name, covers={f"{TILES}/{int(name)}"}) for name in NAMES)
    gathered = Seams(Listing(areas, told, Wanted()))
    for place, area in enumerate(areas):
        cells = CellSet.from_cells(TILES, [int(area.name)]).at_order(ORDER).cells()
        pieces = []
        for row, one in zip(told, maps, strict=True):
            known = np.isfinite(one[cells])
            piece = SkyMap(CellSet.from_cells(ORDER, cells[known]), one[cells[known]])
            pieces.append(Piece(int(row.key.band[1:]), row, Product(row.key, {"WEIGHT": piece})))
        gathered.add(Reading(area, {}, tuple(pieces)), place)
    return gathered, gathered.finish()


def noise(seed: int, sigma: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, sigma, hpx.number_of_cells(ORDER))


def student(freedom: int) -> float:
    """Standard deviation of a pull whose variance was measured with so many degrees of freedom."""
    return float(np.sqrt(freedom / (freedom - 2)))


@pytest.fixture
def all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 10_000)


@pytest.mark.usefixtures("all_kept")
def test_without_seams_steps_are_what_their_errors_say() -> None:
    _, (seams, summaries) = seams_of([noise(seed) for seed in range(8)])
    pulls = np.array([one.step / one.error for one in seams])
    assert pulls.size == 8 * PAIRS and all(one.pairs == 16 for one in seams)
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)
    assert pulls.std() == pytest.approx(student(30), abs=4 * student(30) / np.sqrt(2 * pulls.size))
    assert {one.seams for one in summaries} == {PAIRS} and sum(one.significant for one in summaries) <= 2


@pytest.mark.usefixtures("all_kept")
def test_a_planted_step_is_found_with_its_sign() -> None:
    step, odd = 3.0, 19
    one = noise(1, 0.5)
    one[hpx.number_of_cells(ORDER) // len(NAMES) * odd :][:256] += step
    _, (seams, summaries) = seams_of([one])
    at = [seam for seam in seams if f"{odd:03d}" in (seam.one, seam.other)]
    assert len(at) == 4 and {seam.name for seam in at} == {summaries[0].name}
    assert set(map(id, at)) == set(map(id, seams[:4]))  # the most significant stand first
    for seam in at:
        sign = 1.0 if seam.other == f"{odd:03d}" else -1.0
        assert abs(seam.step - sign * step) < 5 * seam.error and seam.significance > 5
        there = unit_vectors(seam.lon_deg, seam.lat_deg) @ unit_vectors(*np.ravel(hpx.centres([odd], TILES)))
        assert np.cos(np.radians(25)) < there < np.cos(np.radians(10))  # at the rim of a tile of 29 degrees


@pytest.mark.usefixtures("all_kept")
def test_noise_may_differ_from_tile_to_tile() -> None:
    tile = np.arange(hpx.number_of_cells(ORDER)) // 256
    _, (seams, _) = seams_of([noise(seed) * np.where(tile % 2, 1.0, 20.0) for seed in range(6)])
    pulls = np.array([one.step / one.error for one in seams])
    expected = (student(15) + student(30)) / 2  # half of all seams lie between tiles of different noise
    assert pulls.std() == pytest.approx(expected, abs=4 * expected / np.sqrt(2 * pulls.size))


@pytest.mark.usefixtures("all_kept")
def test_what_varies_smoothly_is_no_seam() -> None:
    face, x, y = hpx.faces(np.arange(hpx.number_of_cells(ORDER)), ORDER)
    _, (seams, _) = seams_of([5.0 + 0.3 * x - 0.1 * y + 0.01 * x**2 - 0.02 * x * y + 0.03 * y**2])
    inside = [one for one in seams if int(one.one) // 4 == int(one.other) // 4]
    assert len(inside) == 12 * 4 and max(abs(one.step) for one in inside) < 1e-12
    z = np.sin(np.radians(hpx.centres(np.arange(face.size), ORDER)[1]))
    _, (seams, _) = seams_of([z])
    assert len(seams) == PAIRS and max(abs(one.step) for one in seams) < 0.2 / 32


@pytest.mark.usefixtures("all_kept")
def test_angles_wrap() -> None:
    angles = (noise(3, 4.0) + 360.0) % 360.0
    _, (seams, _) = seams_of([angles], quantity="ParallacticAngle")
    assert len(seams) == PAIRS and max(abs(one.step) for one in seams) < 20


def by_hand(one: np.ndarray, pair: tuple[str, str]) -> tuple[int, float]:
    """Pairs and step of two tiles, cell by cell."""
    found = []
    for a in range(256 * int(pair[0]), 256 * int(pair[0]) + 256):
        around = hpx.neighbours([a], ORDER)[0, list(hpx.EDGES)]
        for side, b in enumerate(around):
            if b // 256 == int(pair[1]):
                back = list(hpx.neighbours([b], ORDER)[0, list(hpx.EDGES)])
                four = one[[around[3 - side], a, b, back[3 - back.index(a)]]]
                if np.isfinite(four).all():
                    found.append(four[2] - four[1] - ((four[1] - four[0]) + (four[3] - four[2])) / 2)
    return len(found), float(np.mean(found)) if found else 0.0


@pytest.mark.usefixtures("all_kept")
def test_holes_count_neither_as_borders_nor_as_values() -> None:
    one = noise(5)
    one[np.random.default_rng(6).random(one.size) < 0.1] = np.nan
    _, (seams, _) = seams_of([one])
    assert 0 < len(seams) <= PAIRS
    for seam in seams[:: len(seams) // 12]:
        pairs, step = by_hand(one, (seam.one, seam.other))
        assert (seam.pairs, seam.step) == (pairs, pytest.approx(step, abs=1e-12)) and pairs >= LEAST


def test_the_most_significant_are_told_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 5)
    _, (seams, (summary,)) = seams_of([noise(7)])
    assert len(seams) == 5 and summary.seams == PAIRS
    assert [one.significance for one in seams] == sorted((one.significance for one in seams), reverse=True)


def test_borders_are_forgotten_once_nothing_can_touch_them(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered, (seams, summary) = seams_of([noise(8)])
    waiting = {one.area for many in gathered._waiting.values() for one in many}
    assert len(waiting) < 20
    monkeypatch.setattr(module, "_last_to_touch", lambda areas: [len(areas)] * len(areas))
    kept, again = seams_of([noise(8)])
    assert again == (seams, summary)
    assert len({one.area for many in kept._waiting.values() for one in many}) == len(NAMES)


def test_a_step_without_noise_is_certain() -> None:
    seam = Seam("a", "1", "2", 0.0, 0.0, 10, 0.5, 0.0)
    assert seam.significance == np.inf and Seam("a", "1", "2", 0.0, 0.0, 10, 0.0, 0.0).significance == 0.0
