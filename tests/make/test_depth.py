"""Depth: the published formula on cells, every option, what it needs and what it states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from make_helpers import ORDER, TABLE, count, frame, key, parameters, ref
from vmpz.errors import InputError, MissingProductError
from vmpz.frames import PsfStamps
from vmpz.make import depth
from vmpz.make.depth import depth_map
from vmpz.parameters import DepthParameters
from vmpz.physics.depth import disc_area_pixels, gaussian_area_pixels
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap

SAT = TABLE.select(["SAT"])
Q1 = {"zero_point": 23.9, "pixel_scale_arcsec": 0.1}


def chosen(**values: object) -> DepthParameters:
    return DepthParameters.model_validate(values)


def flat(rms: float = 1e-3, n: int = 1):  # type: ignore[no-untyped-def]
    return count(np.arange(n), planes={"RMS": np.full(n, rms)})


def test_q1_vectors() -> None:
    assert depth_map(flat(), **Q1).values == pytest.approx([26.531138], abs=2e-6)
    assert depth_map(flat(), **Q1, parameters=chosen(snr=10)).values == pytest.approx([25.778563], abs=2e-6)
    assert depth_map(flat(), **Q1).values.dtype == np.float32


@given(st.integers(0, 2**32), st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_quadratic_mean_of_usable_unflagged_pixels(seed: int, factor: float) -> None:
    generator = np.random.Generator(np.random.Philox(seed))
    cell = generator.integers(0, 5, 60)
    cell[0] = 4
    rms = generator.uniform(0.5, 2, 60) * np.where(generator.random(60) < 0.1, 1e16, 1)
    flags = generator.choice([0, 8, 1], 60).astype(np.uint64)
    good = (rms < 1e6) & (flags & 8 == 0)
    found = depth_map(count(cell, flags, {"RMS": rms}, [SAT], SAT), **Q1)
    expected = {
        1000 + one: 23.9 - 2.5 * np.log10(5 * np.sqrt(np.mean(rms[here] ** 2)) * np.sqrt(np.pi) / 0.1)
        for one in range(5)
        if (here := good & (cell == one)).any()
    }
    assert found.cells.cells().tolist() == sorted(expected)
    assert np.allclose(found.values, [expected[one] for one in sorted(expected)], rtol=0, atol=2e-6)
    unit = {"zero_point": 23.9 + 2.5 * np.log10(factor), "pixel_scale_arcsec": 0.1}
    rescaled = np.where(rms < 1e6, rms * factor, 1e16)
    other = depth_map(count(cell, flags, {"RMS": rescaled}, [SAT], SAT), **unit)
    assert np.allclose(other.values, found.values, rtol=0, atol=4e-6)


def test_consistent_with_its_degrade_rule() -> None:
    """Degrading a depth by LOGQUAD gives the depth of the quadratic mean noise."""
    rms = np.array([1.0, 1.2, 2.0, 0.7])
    fine = count(np.arange(4), planes={"RMS": rms})
    coarse = depth_map(fine, **Q1).degrade(ORDER - 1, "LOGQUAD")
    together = depth_map(flat(float(np.sqrt(np.mean(rms**2)))), **Q1)
    assert len(coarse) == 1
    assert coarse.values == pytest.approx(together.values, abs=3e-6)


def test_from_the_info_map_over_all_valid_pixels() -> None:
    flags = np.array([0, 8, 8], np.uint64)
    counted = count(np.zeros(3, np.int64), flags, {"RMS": np.array([1.0, 2.0, 1e16])}, [SAT], SAT)
    clean, every = (depth_map(counted, **Q1, parameters=chosen(source=source)) for source in ("rms", "info"))
    assert clean.values - every.values == pytest.approx(2.5 * np.log10(np.sqrt(2.5)), abs=4e-6)


def test_estimators() -> None:
    def value(**values: object) -> float:
        return float(depth_map(flat(), **Q1, parameters=chosen(**values), psf_fwhm_arcsec=0.2).values[0])

    noise = 23.9 - 2.5 * np.log10(5e-3)
    assert value(estimator="PSF") == pytest.approx(
        noise - 1.25 * np.log10(gaussian_area_pixels(0.2, 0.1)), abs=2e-6
    )
    disc = disc_area_pixels(0.4, 0.2, 0.1)
    extended = value(estimator="EXTENDED", half_light_arcsec=0.4)
    assert extended == pytest.approx(noise - 1.25 * np.log10(disc), abs=2e-6)
    assert value(estimator="SURFBRIGHT", aperture_arcsec=10.0) == pytest.approx(
        noise + 2.5 * np.log10(1.0), abs=2e-6
    )
    with pytest.raises(MissingProductError, match="FWHM"):
        depth_map(flat(), **Q1, parameters=chosen(estimator="PSF"))


def test_a_psf_map_counts_cell_by_cell() -> None:
    fwhm = SkyMap.from_cells(ORDER, [1000, 1002], np.float32([0.2, 0.4]))
    found = depth_map(flat(n=3), **Q1, parameters=chosen(estimator="PSF"), psf_fwhm_arcsec=fwhm)
    assert found.cells.cells().tolist() == [1000, 1002]
    assert found.values[0] - found.values[1] == pytest.approx(2.5 * np.log10(2), abs=4e-6)


def test_correlated_noise_and_extinction_make_it_shallower() -> None:
    plain = depth_map(flat(n=2), **Q1)
    noisy = depth_map(flat(n=2), **Q1, correlated_noise=3.375)
    assert plain.values - noisy.values == pytest.approx([1.321] * 2, abs=5e-4)
    lon, lat = hpx.centres([1000], ORDER)
    ebv = SkyMap.from_cells(6, hpx.cells_at(lon, lat, 6), [0.1])
    reddened = depth_map(flat(n=2), **Q1, extinction=ebv, coefficient=2.081)
    assert plain.values - reddened.values == pytest.approx([0.2081] * 2, abs=4e-6)
    elsewhere = SkyMap.from_cells(ORDER, [1001, 5], [0.1, 0.1])
    assert depth_map(flat(n=2), **Q1, extinction=elsewhere, coefficient=1).cells.cells().tolist() == [1001]


def test_the_product_states_everything_used() -> None:
    of = ref(bit_table="vis-pf15")
    counted = count(np.zeros(2, np.int64), planes={"RMS": np.ones(2)}, selections=[SAT], good=SAT)
    product = depth.make(key("depth", selection="SAT"), frame(of), counted, parameters())
    assert product.unit == "mag"
    expected = {
        "WGTKIND": "MAG", "DEGRULE": "LOGQUAD", "DEPTHEST": "APERTURE", "SNRLEVEL": 5.0, "APERDIAM": 2.0,
        "PIXSCALE": 0.1,
        "CORRFAC": 1.0, "CORRSRC": "-1", "EXTCORR": False, "EXTLAW": "-1", "MAGZERO": 24.6, "PSFKIND": "-1",
        "SRCPROF": "-1", "BITSEL": "3", "BITTABLE": "toy",
    }  # fmt: skip
    assert product.keywords.items() >= expected.items()
    law = {"map": "ebv.fits", "law": "F99", "coefficients": {"VIS": 2.081}}
    settings = parameters(
        depth={
            "estimator": "EXTENDED",
            "psf_fwhm_arcsec": 0.2,
            "correlated_noise": {"VIS": 1.5},
            "correlated_noise_source": "apertures",
            "extinction": law,
        }
    )
    ebv = SkyMap(counted.cells, [0.0])
    full = depth.make(key("depth", selection="SAT"), frame(of), counted, settings, {"EBV": ebv})
    stated = {
        "DEPTHEST": "EXTENDED", "APERDIAM": -1.0, "CORRFAC": 1.5, "CORRSRC": "apertures", "EXTCORR": True,
        "EXTLAW": "F99",
        "PSFKIND": "PARAMETER", "SRCPROF": "EXPDISC 0.3 arcsec",
    }  # fmt: skip
    assert full.keywords.items() >= stated.items()
    assert depth.wanted(key("depth"), settings)["EBV"].location == "ebv.fits"
    with pytest.raises(InputError, match="needs the map"):
        depth.make(full.key, frame(of), counted, settings)
    with pytest.raises(InputError, match="must name every band"):
        depth.section(full.key, ref(band="NIR_Y"), settings)


def test_the_source_of_a_factor_stands_only_where_there_is_one() -> None:
    of, counted = ref(), flat()
    for factor, stated in (
        ({"NIR_Y": 1.5}, (1.0, "-1")),
        ({"NIR_Y": 1.5, "default": 2.0}, (2.0, "apertures")),
        ({"VIS": 1.25}, (1.25, "apertures")),
        (1.0, (1.0, "apertures")),
    ):
        chosen = parameters(depth={"correlated_noise": factor, "correlated_noise_source": "apertures"})
        made = depth.make(key("depth"), frame(of), counted, chosen).keywords
        assert (made["CORRFAC"], made["CORRSRC"]) == stated


def test_no_zero_point_is_an_error() -> None:
    """Fault 20."""
    without = ref(scalars={"pixel_scale_arcsec": 0.1})
    with pytest.raises(InputError, match="needs an AB zero point, found None"):
        depth.make(key("depth"), frame(without), flat(), parameters())


def test_pixel_scale_from_the_wcs() -> None:
    assert depth.pixel_scale(ref(scalars={"zero_point": 24.6})) == pytest.approx(0.1, rel=1e-9)


def test_where_the_psf_comes_from() -> None:
    settings = parameters(depth={"estimator": "PSF"})
    lon, lat = hpx.centres([1000], ORDER)
    stamps = PsfStamps(lon, lat, np.array([0.2]))
    header = ref(scalars={"zero_point": 23.9, "pixel_scale_arcsec": 0.1, "psf_fwhm_arcsec": 0.4})
    by_header = depth.make(key("depth"), frame(header), flat(), settings)
    by_stamps = depth.make(key("depth"), frame(header, psf=stamps), flat(), settings)
    assert by_header.keywords["PSFKIND"] == "HEADER"
    assert by_stamps.keywords["PSFKIND"] == "CATALOGUE"
    assert by_stamps.map.values - by_header.map.values == pytest.approx([2.5 * np.log10(2)], abs=4e-6)
    assert depth.needs(key("depth"), ref(tables=("PSF",)), settings).tables == {"PSF"}
    assert depth.needs(key("depth"), header, settings).tables == frozenset()
    with pytest.raises(MissingProductError):
        depth.make(key("depth"), frame(ref()), flat(), settings)


def test_keys_and_needs() -> None:
    of = ref(bit_table="vis-pf15", tables=("STARMASK",))
    (only,) = depth.keys(of, parameters())
    assert only.selection == "INVALID,SAT,NO_DATA,STARMASK"
    wanted = depth.needs(only, of, parameters())
    assert wanted.planes == {"RMS", "FLAG"}
    assert wanted.good is not None
    assert wanted.good.text == only.selection
    (by_info,) = depth.keys(of, parameters(depth={"source": "info"}))
    assert by_info.selection == "-"
    assert depth.needs(by_info, of, parameters()).planes == {"RMS"}
