"""The visibility maker: closed forms, the reference, extinction, errors, sub-cells, redshifts, what is refused."""

from collections.abc import Mapping

import numpy as np
import pytest

from vmpz.errors import InputError, MissingProductError
from vmpz.make import visibility
from vmpz.make.galaxies import Floats, Galaxies
from vmpz.make.luminosity import counts_branch
from vmpz.make.visibilitytable import Table
from vmpz.parameters import Parameters, VisibilityParameters
from vmpz.products import SUBCELL, Product, ProductKey
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

ORDER = 12
CELLS = CellSet.from_ranges(ORDER, [(1000, 1400)])
KEY = ProductKey("1", "visibility", "bright", order=ORDER)


class Exponential:
    """Seen as 10**(slope * depth) of every band and 10**(-slope * ebv): V is known in closed form."""

    def __init__(self, slopes: Mapping[str, float], of_ebv: float = 0.0) -> None:
        self.slopes, self.of_ebv, self.calls = slopes, of_ebv, 0
        self.galaxies = Galaxies(np.array([1.0, 3.0]), {}, np.array([0.5, 1.5]), np.empty(0), np.empty(0))

    def seen(self, depth_mag: Mapping[str, float], ebv_mag: float = 0.0) -> Floats:
        self.calls += 1
        power = sum(slope * (depth_mag[band] - 24.0) for band, slope in self.slopes.items())
        far = 10 ** (power - self.of_ebv * ebv_mag)
        return np.array([far, far**2])


def chosen(**more: object) -> VisibilityParameters:
    values = {"name": "bright", "reference": {"VIS": 24.5}, "counts": {"slope": 0.4}, **more}
    return VisibilityParameters.model_validate(values)


def parameters(one: VisibilityParameters) -> Parameters:
    return Parameters.model_validate(
        {"inputs": [{"location": "."}], "visibility": [one.model_dump()], "maps": {"order": ORDER}}
    )


def product(kind: str, values: object, **keywords: object) -> Product:
    array = np.broadcast_to(np.asarray(values, np.float32), len(CELLS))
    key = ProductKey("1", kind, band="VIS", order=ORDER)
    return Product(key, {"WEIGHT": SkyMap(CELLS, array)}, keywords=keywords)  # type: ignore[arg-type]


def made(one: VisibilityParameters, branch: object, coverage: object, **depths: object) -> Product:
    maps = {band: product("depth", values, DEPTHEST="APERTURE") for band, values in depths.items()}
    table = Table(one, branch)  # type: ignore[arg-type]
    return visibility.make(KEY, [], parameters(one), table, product("coverage", coverage), maps)


DEPTH = np.linspace(23.2, 26.1, len(CELLS)).astype(np.float32)
FRACTION = np.linspace(0.01, 1.0, len(CELLS)).astype(np.float32)


def test_counts_follow_the_shift_law_times_the_coverage() -> None:
    one = chosen(
        selection={"completeness": "logistic", "width": 0.2}, counts={"slope": 0.4, "magnitudes": [5, 32]}
    )
    got = made(one, counts_branch(one), FRACTION, VIS=DEPTH)
    expected = FRACTION * 10 ** (0.4 * (DEPTH.astype(np.float64) - 24.5))
    assert np.allclose(got.map.values, expected, rtol=2e-5)
    assert got.keywords["VISINTEG"] == got.map.integral_deg2()
    assert got.keywords["VISMAX"] == pytest.approx(10 ** (0.4 * 1.6), rel=1e-5)
    assert got.keywords["VISREF"] == "VIS=24.5" and got.keywords["VISSEL"] == "logistic"


def test_at_the_reference_it_is_the_coverage_to_the_bit() -> None:
    one = chosen(reference={"VIS": 24.7, "NIR_Y": 23.9}, coverage="VIS")
    branch = Exponential({"VIS": 0.3, "NIR_Y": 0.1})
    got = made(one, branch, FRACTION, VIS=24.7, NIR_Y=23.9)  # neither is a float32
    assert np.array_equal(got.map.values, FRACTION)
    assert branch.calls == 2  # the reference, and the one node that is wanted


def test_several_bands_and_the_error() -> None:
    one = chosen(
        reference={"VIS": 24.0, "NIR_Y": 24.0}, coverage="VIS", depth_error={"VIS": 0.02, "NIR_Y": 0.05}
    )
    branch = Exponential({"VIS": 0.3, "NIR_Y": -0.1})
    rng = np.random.default_rng(2)
    vis, nir = (rng.uniform(23.6, 24.4, len(CELLS)).astype(np.float32) for _ in range(2))
    got = made(one, branch, 1.0, VIS=vis, NIR_Y=nir)

    def exact(vis: np.ndarray, nir: np.ndarray) -> np.ndarray:
        far = 10 ** (0.3 * (vis.astype(np.float64) - 24) - 0.1 * (nir.astype(np.float64) - 24))
        return (far + 3 * far**2) / 4.0

    assert np.allclose(got.map.values, exact(vis, nir), rtol=1e-4)
    error = np.hypot(
        (exact(vis + 0.02, nir) - exact(vis - 0.02, nir)) / 2,
        (exact(vis, nir + 0.05) - exact(vis, nir - 0.05)) / 2,
    )
    assert np.allclose(got.maps["ERROR"].values, error, rtol=0.02)


def test_extinction_has_an_axis_and_is_applied_once() -> None:
    one = chosen(reference={"VIS": 24.0}, extinction="dereddened")
    branch = Exponential({"VIS": 0.3}, of_ebv=0.6)
    ebv = SkyMap(CELLS, np.linspace(0.0, 0.31, len(CELLS)))
    table = Table(one, branch)  # type: ignore[arg-type]
    args = (KEY, [], parameters(one), table, product("coverage", 1.0))
    got = visibility.make(*args, {"VIS": product("depth", 24.0)}, ebv=ebv)
    far = 10 ** (-0.6 * ebv.values)
    assert np.allclose(got.map.values, (far + 3 * far**2) / 4, rtol=1e-4)
    assert got.map.values[0] == 1.0
    with pytest.raises(InputError, match=r"applied once: the depth of VIS is corrected for it \(EXTCORR\)"):
        visibility.make(*args, {"VIS": product("depth", 24.0, EXTCORR=True)}, ebv=ebv)
    with pytest.raises(MissingProductError, match=r"needs a map of E\(B-V\)"):
        visibility.make(*args, {"VIS": product("depth", 24.0)})
    without = Table(chosen(reference={"VIS": 24.0}), branch)  # type: ignore[arg-type]
    left_out = visibility.make(
        KEY, [], parameters(one), without, args[4], {"VIS": product("depth", 24.0, EXTCORR=True)}
    )
    assert np.array_equal(left_out.map.values, np.ones(len(CELLS), np.float32))


def test_cells_without_a_depth_or_coverage_are_left_out() -> None:
    one = chosen(reference={"VIS": 24.0})
    some = CellSet.from_ranges(ORDER, [(1100, 1500)])
    depth = Product(
        ProductKey("1", "depth", band="VIS", order=ORDER),
        {"WEIGHT": SkyMap(some, np.full(400, 24.0, np.float32))},
    )
    fraction = np.where(np.arange(400) % 2, 0.5, 0.0)
    table = Table(one, Exponential({"VIS": 0.3}))  # type: ignore[arg-type]
    got = visibility.make(KEY, [], parameters(one), table, product("coverage", fraction), {"VIS": depth})
    assert np.array_equal(got.map.cells.cells(), np.arange(1101, 1400, 2))
    assert np.array_equal(got.map.values, np.full(150, 0.5, np.float32))


def test_words_of_sub_cells_come_along() -> None:
    one = chosen(reference={"VIS": 24.0})
    words = SkyMap(CELLS, np.arange(len(CELLS), dtype=np.int64) - 200)
    table = Table(one, Exponential({"VIS": 0.3}))  # type: ignore[arg-type]
    got = visibility.make(
        KEY, [], parameters(one), table, product("coverage", 1.0), {"VIS": product("depth", 24.0)},
        subcells=words,
    )  # fmt: skip
    assert got.maps[SUBCELL].values.dtype == np.int64
    assert np.array_equal(got.maps[SUBCELL].values, words.values)


def test_what_cannot_be_is_refused() -> None:
    one = chosen(reference={"VIS": 24.0, "NIR_Y": 24.0})
    branch = Exponential({"VIS": 0.3, "NIR_Y": 0.1})
    with pytest.raises(MissingProductError, match="needs the depth of VIS, NIR_Y; there is none of NIR_Y"):
        made(one, branch, 1.0, VIS=24.0)
    with pytest.raises(InputError, match="several bands need `coverage`"):
        visibility.coverage_kind(one, parameters(one))
    table = Table(one, branch)  # type: ignore[arg-type]
    depths = {
        "VIS": product("depth", 24.0, DEPTHEST="APERTURE"),
        "NIR_Y": product("depth", 24.0, DEPTHEST="PSF"),
    }
    with pytest.raises(InputError, match=r"one kind .*VIS APERTURE, NIR_Y PSF"):
        visibility.make(KEY, [], parameters(one), table, product("coverage", 1.0), depths)

    class Blind(Exponential):
        def seen(self, depth_mag: Mapping[str, float], ebv_mag: float = 0.0) -> Floats:
            return np.zeros(2)

    with pytest.raises(InputError, match="must be seen at the reference depth, found none"):
        Table(one, Blind({}))


def test_redshifts_by_class_add_up() -> None:
    one = chosen(reference={"VIS": 24.0}, classes=[0.5, 1.0], redshift_bins=(0.0, 2.0, 4))
    branch = Exponential({"VIS": 0.5})
    depth = np.where(np.arange(400) < 100, 23.0, np.where(np.arange(400) < 300, 23.9, 24.5))
    key = ProductKey("1", "redshifts", "bright", order=ORDER)
    table = Table(one, branch)  # type: ignore[arg-type]
    maps = {"VIS": product("depth", depth).map}

    def rows(coverage: SkyMap) -> dict[str, np.ndarray]:
        return visibility.redshifts(key, table, coverage, maps)

    fraction = product("coverage", FRACTION).map
    got = rows(fraction)
    assert got["vis_class"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    area = got["area_deg2"].reshape(3, 4)[:, 0]
    assert area.sum() == pytest.approx(fraction.integral_deg2(), rel=1e-6)
    # node positions are off the lattice by 23.9 -> exact only to the interpolation
    galaxies = got["galaxies"].reshape(3, 4)
    for number, of_class in enumerate((23.0, 23.9, 24.5)):
        far = 10 ** (0.5 * (of_class - 24.0))
        assert np.allclose(galaxies[number, [1, 3]], area[number] * np.array([far, 3 * far**2]), rtol=1e-3)
        assert (galaxies[number, [0, 2]] == 0).all()
    halves = [
        fraction.clip(CellSet.from_ranges(ORDER, [(0, 1171)])),
        fraction.clip(CellSet.from_ranges(ORDER, [(1171, 2000)])),
    ]
    added = sum(rows(half)["galaxies"] for half in halves)
    assert np.allclose(added, got["galaxies"], rtol=1e-12)
