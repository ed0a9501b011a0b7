"""Extinction laws: the published numbers, and what is refused."""

import pytest

from vmpz.errors import InputError
from vmpz.physics.bands import PIVOT_UM, pivot_um
from vmpz.physics.extinction import LAWS, coefficient


def test_published_coefficients() -> None:
    bands = ("VIS", "NIR_Y", "NIR_J", "NIR_H")
    assert [coefficient("F99-RV3.1", band) for band in bands] == [2.081, 1.022, 0.691, 0.465]
    assert [coefficient("SFD", band) for band in bands] == [1.790, 0.879, 0.595, 0.400]
    assert [coefficient("Q1", band) for band in bands] == [2.10, 1.13, 0.81, 0.50]
    for band in bands:
        assert coefficient("SFD", band) == pytest.approx(0.86 * coefficient("F99-RV3.1", band), abs=1e-3)


def test_extinction_falls_with_wavelength_in_every_law() -> None:
    for law in LAWS.values():
        bluest_first = sorted(law, key=pivot_um)
        values = [law[band] for band in bluest_first]
        assert values == sorted(values, reverse=True)


def test_given_coefficients_go_first() -> None:
    assert coefficient("SFD", "VIS", {"VIS": 2.0}) == 2.0
    assert coefficient("mine", "KIDS_u", {"KIDS_u": 4.2}) == 4.2
    assert coefficient("SFD", "VIS", {"NIR_Y": 2.0}) == 1.790


def test_what_is_not_covered_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="SFD covers VIS, NIR_Y, NIR_J, NIR_H, not KIDS_u"):
        coefficient("SFD", "KIDS_u")
    with pytest.raises(InputError, match=r"one of F99-RV3\.1.*found law 'CCM'"):
        coefficient("CCM", "VIS")


def test_pivot_wavelengths() -> None:
    assert pivot_um("VIS") == 0.72
    for family in ("DECAM", "KIDS", "LSST", "HSC"):
        values = [um for band, um in PIVOT_UM.items() if band.startswith(family)]
        assert values == sorted(values)
        assert 0.36 < values[0] < values[-1] < 1.0
    with pytest.raises(InputError, match="band JPCAM_g; known: VIS"):
        pivot_um("JPCAM_g")
