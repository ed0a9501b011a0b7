"""PSFEx models: the order of the terms against a slow evaluation, and what is refused."""

import io
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

import nir_helpers as write
from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.readers.psfex import PsfexModel, psfex_fwhm_px, read_psfex

POLYNOMIAL = {
    "POLNAXIS": 2,
    "POLGRP1": 1,
    "POLNAME1": "X_IMAGE",
    "POLZERO1": 1024.5,
    "POLSCAL1": 2047.0,
    "POLGRP2": 1,
    "POLNAME2": "Y_IMAGE",
    "POLZERO2": 1000.0,
    "POLSCAL2": 1900.0,
    "POLNGRP": 1,
    "POLDEG1": 2,
}


def terms_of(degree: int, seed: int = 1) -> np.ndarray:
    number = (degree + 1) * (degree + 2) // 2
    return np.random.default_rng(seed).normal(size=(number, 5, 7)).astype(np.float32)


def read(path: Any, table: fits.BinTableHDU) -> PsfexModel:
    whole = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(whole)
    path.write_bytes(whole.getvalue())
    with open_fits(str(path)) as file:
        return read_psfex(file, file.hdus[1])


def slow(terms: np.ndarray, degree: int, u: float, v: float) -> np.ndarray:
    """Term by term: 1, u, u2, ..., v, u v, ..., v2, ... as the user's guide numbers them."""
    image, n = np.zeros(terms.shape[1:]), 0
    for power_y in range(degree + 1):
        for power_x in range(degree + 1 - power_y):
            image += terms[n].astype(float) * u**power_x * v**power_y
            n += 1
    assert n == len(terms)
    return image


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_a_model_is_its_polynomial(tmp_path: Any, degree: int) -> None:
    terms = terms_of(degree)
    model = read(tmp_path / "a.psf", write.psf_table(terms, **{**POLYNOMIAL, "POLDEG1": degree}))
    assert (model.degree, model.step_px) == (degree, 0.2)
    x, y = np.array([1.0, 300.0, 2048.0]), np.array([2.0, 1500.0, 77.0])
    for one, px, py in zip(model.stamps(x, y), x, y, strict=True):
        expected = slow(terms, degree, (px - 1024.5) / 2047.0, (py - 1000.0) / 1900.0)
        np.testing.assert_allclose(one, expected, rtol=1e-12, atol=1e-12)


def test_a_model_without_axes_is_the_same_everywhere(tmp_path: Any) -> None:
    terms = terms_of(0)
    model = read(tmp_path / "a.psf", write.psf_table(terms))
    np.testing.assert_array_equal(model.stamps(np.array([1.0, 9e3]), np.array([5.0, -3.0])), terms[[0, 0]])
    flat = write.psf_table(terms, PSFNAXIS=2, PSFAXIS3=None)
    np.testing.assert_array_equal(read(tmp_path / "b.psf", flat).terms, terms)


@given(st.integers(0, 4), st.integers(0, 1000), st.floats(-2e3, 4e3), st.floats(-2e3, 4e3))
def test_models_add(degree: int, seed: int, x: float, y: float) -> None:
    """The image is linear in the terms, and at the origin it is the first one."""
    one, two = terms_of(degree, seed).astype(float), terms_of(degree, seed + 1).astype(float)

    def at(terms: np.ndarray, px: float, py: float) -> np.ndarray:
        model = PsfexModel(terms, degree, (1024.5, 1000.0), (2047.0, 1900.0), 0.2)
        return model.stamps(np.array([px]), np.array([py]))[0]

    np.testing.assert_allclose(at(one, x, y) + at(two, x, y), at(one + two, x, y), atol=1e-10)
    np.testing.assert_array_equal(at(one, 1024.5, 1000.0), one[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"POLDEG1": 3}, "PSFAXISn must be width, height and the 10 terms of degree 3"),
        ({"PSFAXIS3": None}, "PSFAXIS3 must be present"),
        ({"PSFAXIS1": 6}, "PSF_MASK must hold 6 x 5 x 6 numbers"),
        ({"PSFNAXIS": 4, "PSFAXIS4": 1}, "PSFAXISn must be"),
        ({"PSF_SAMP": 0.0}, "PSF_SAMP must be positive"),
        ({"PSF_SAMP": None}, "PSF_SAMP must be present"),
        ({"POLNAXIS": 3, "POLNAME3": "MAG_AUTO"}, "POLNAXIS must be 0, or 2"),
        ({"POLNAME2": "MAG_AUTO"}, "POLNAXIS must be 0, or 2"),
        ({"POLNGRP": 2}, "POLDEG1 must be the one degree of both axes"),
        ({"POLSCAL2": 0.0}, "must not be 0"),
        ({"POLNAXIS": None}, "POLNAXIS must be present"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Any, changes: dict[str, Any], words: str) -> None:
    table = write.psf_table(terms_of(2), **{**POLYNOMIAL, **changes})
    with pytest.raises(InputError, match="PSF_DATA") as caught:
        read(tmp_path / "a.psf", table)
    assert words in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Any) -> None:
    terms = terms_of(0)
    terms[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="PSF_MASK must be finite"):
        read(tmp_path / "a.psf", write.psf_table(terms))


def test_the_stated_width(tmp_path: Any) -> None:
    for value, expected in ((2.25, 2.25), (None, None)):
        whole = write.psf_table(terms_of(0), PSF_FWHM=value)
        read(tmp_path / "a.psf", whole)
        with open_fits(str(tmp_path / "a.psf")) as file:
            assert psfex_fwhm_px(file.hdus[1]) == expected
