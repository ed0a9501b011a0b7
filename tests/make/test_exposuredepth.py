"""Depth from exposures against the closed forms of decasu and LSST in plain numpy, and against the depth of mosaics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from make_helpers import ORDER, cell_set, count, exposures, frame, key, parameters, ref
from vmpz.errors import InputError, MissingProductError
from vmpz.frames import Exposures
from vmpz.make import depth
from vmpz.make.exposuredepth import exposure_depth
from vmpz.sky import hpx
from vmpz.sky.regions import Polygon, covered_fractions

CELLS = cell_set(4)
LON, LAT = hpx.centres(CELLS.cells(), ORDER)
WHOLE = Polygon(
    [(LON.mean() + i, LAT.mean() + j) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
)  # covers all cells
HALF = Polygon(
    [
        (LON[0], LAT.mean() - 1),
        (LON[0] + 1, LAT.mean() - 1),
        (LON[0] + 1, LAT.mean() + 1),
        (LON[0], LAT.mean() + 1),
    ]
)
SIDE, ZERO_POINT = 0.263, 30.0


def table(
    noise: list[float], zero_points: list[float], fwhm: list[float], outline: Polygon = WHOLE
) -> Exposures:
    rows = zip(noise, zero_points, fwhm, strict=True)
    return exposures(
        *(
            (f"e{n}", outline, {"Noise": one, "Zeropoint": zp, "PixelScale": SIDE, "Seeing": width})
            for n, (one, zp, width) in enumerate(rows)
        )
    )


def made(exposed: Exposures, **chosen: object) -> np.ndarray:
    told = parameters(depth={"source": "exposures", **chosen}, exposures={"zero_point": ZERO_POINT})
    opened = frame(ref(planes=(), exposures=exposed), exposures=exposed)
    return depth.make(key("depth"), opened, count(np.arange(4)), told).map.values.astype(np.float64)


numbers = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(0.1, 100.0), min_size=n, max_size=n),
        st.lists(st.floats(28.0, 32.0), min_size=n, max_size=n),
        st.lists(st.floats(0.5, 2.0), min_size=n, max_size=n),
    )
)


@settings(deadline=None, max_examples=50)
@given(numbers)
def test_decasu_maglim(scene: tuple[list[float], ...]) -> None:
    noise, zero_points, _ = map(np.array, scene)
    weights = 10.0 ** (-0.8 * (ZERO_POINT - zero_points)) / noise**2
    sigma = weights.sum() ** -0.5
    aperture = np.pi * (2.0 / 2.0) ** 2 / SIDE**2
    expected = ZERO_POINT - 2.5 * np.log10(10.0 * sigma * np.sqrt(aperture))
    assert made(table(*scene), snr=10.0) == pytest.approx(expected, abs=4e-6)
    per_area = ZERO_POINT - 2.5 * np.log10(sigma / (2.0 * SIDE))
    found = made(table(*scene), estimator="SURFBRIGHT", snr=1.0, aperture_arcsec=2.0)
    assert found == pytest.approx(per_area, abs=4e-6)


@settings(deadline=None, max_examples=50)
@given(numbers)
def test_lsst_psf_maglim(scene: tuple[list[float], ...]) -> None:
    noise, zero_points, fwhm = map(np.array, scene)
    weights = 10.0 ** (-0.8 * (ZERO_POINT - zero_points)) / noise**2
    area = 4.0 * np.pi * (fwhm / np.sqrt(8.0 * np.log(2.0)) / SIDE) ** 2
    mean = (weights * area).sum() / weights.sum()
    expected = ZERO_POINT - 2.5 * np.log10(5.0 * np.sqrt(mean / weights.sum()))
    assert made(table(*scene), estimator="PSF") == pytest.approx(expected, abs=4e-6)
    optimal = ZERO_POINT - 2.5 * np.log10(5.0 / np.sqrt((weights / area).sum()))
    assert made(table(*scene), estimator="PSFOPTIMAL") == pytest.approx(optimal, abs=4e-6)


def test_more_exposures_of_one_kind() -> None:
    one, three, four = (made(table([2.0] * n, [30.0] * n, [1.0] * n))[0] for n in (1, 3, 4))
    assert four - one == pytest.approx(0.752575, abs=4e-6)
    assert four - three == pytest.approx(0.156173, abs=4e-6)


def test_it_is_the_mosaic_s_depth_where_they_must_agree() -> None:
    """One exposure of constant noise: the same formula on its pixels and on its scalar."""
    noise = 3.5
    of = ref(scalars={"zero_point": ZERO_POINT, "pixel_scale_arcsec": SIDE})
    pixels = count(np.arange(4), planes={"RMS": np.full(4, noise)})
    told = parameters(depth={"bits": []})
    mosaic = depth.make(key("depth"), frame(of), pixels, told).map.values
    assert made(table([noise], [ZERO_POINT], [1.0])) == pytest.approx(mosaic, abs=2e-6)


def test_a_cell_that_is_half_observed_is_as_deep_as_its_observed_half() -> None:
    share = covered_fractions(HALF, ORDER, cells=CELLS)
    partial = CELLS.cells()[
        (share.of_cells(CELLS.cells(), 0.0) > 0.01) & (share.of_cells(CELLS.cells(), 0.0) < 0.99)
    ]
    assert partial.size
    alone = made(table([2.0], [30.0], [1.0], HALF))
    assert alone == pytest.approx(made(table([2.0], [30.0], [1.0]))[: alone.size], abs=1e-5)


def test_a_scalar_that_is_missing_is_named() -> None:
    with pytest.raises(MissingProductError, match="positive Noise of every one; e1 has none"):
        made(table([2.0, np.nan], [30.0, 30.0], [1.0, 1.0]))
    with pytest.raises(InputError, match="e1: must have a zero point"):
        made(table([2.0, 2.0], [30.0, np.nan], [1.0, 1.0]))
    with pytest.raises(MissingProductError, match="zero points; there are none"):
        bare = exposures(("e0", WHOLE, {"Noise": 2.0, "PixelScale": SIDE}))
        made(bare)
    with pytest.raises(MissingProductError, match="PSFOPTIMAL is of exposures"):
        of = ref(scalars={"zero_point": ZERO_POINT, "pixel_scale_arcsec": SIDE})
        told = parameters(depth={"estimator": "PSFOPTIMAL", "bits": []})
        depth.make(key("depth"), frame(of), count(np.arange(4), planes={"RMS": np.ones(4)}), told)


def test_cells_without_exposures_are_unknown() -> None:
    far = Polygon([(200.0, 10.0), (201.0, 10.0), (201.0, 11.0)])
    chosen = parameters(depth={"source": "exposures"}).depth
    found = exposure_depth(table([1.0], [30.0], [1.0], far), CELLS, chosen, zero_point=30.0)
    assert np.isnan(found).all()
