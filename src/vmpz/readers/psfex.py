"""PSF models of PSFEx: pixels that are polynomials of the position on the detector.

A model is one row of a binary table: PSF_MASK holds the images of the terms, PSFAXISn their number and size, PSF_SAMP
the step of a sample in pixels, PSF_FWHM a width in pixels. The terms are ``u^j v^k`` with j + k up to POLDEG1, j
running first, of ``u = (x - POLZERO1) / POLSCAL1``, ``v = (y - POLZERO2) / POLSCAL2`` and positions counted from 1. A
model without axes (POLNAXIS = 0) is the same everywhere.

Reference: Bertin 2011, ASP Conf. Ser. 442, 435; PSFEx User's Guide.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.files.fits import FitsFile
from vmpz.files.hdu import Hdu
from vmpz.files.tables import read_table

__all__ = ["PsfexModel", "psfex_fwhm_px", "read_psfex"]

Array = NDArray[np.float64]

LARGEST_DEGREE = 10


@dataclass(frozen=True)
class PsfexModel:
    """A PSF that varies over a detector.

    Attributes
    ----------
    terms : array (n, height, width)
    degree : int
    zero, scale : (float, float)
        POLZEROn and POLSCALn.
    step_px : float
        Distance of two samples, in pixels.
    """

    terms: Array
    degree: int
    zero: tuple[float, float]
    scale: tuple[float, float]
    step_px: float

    def stamps(self, x: Array, y: Array) -> Array:
        """Images (m, height, width) at positions (m,), counted from 1 at the centre of the first pixel."""
        u = (np.asarray(x, np.float64) - self.zero[0]) / self.scale[0]
        v = (np.asarray(y, np.float64) - self.zero[1]) / self.scale[1]
        powers = [(j, k) for k in range(self.degree + 1) for j in range(self.degree + 1 - k)]
        basis = np.stack([u**j * v**k for j, k in powers])
        return np.asarray(np.tensordot(basis.T, self.terms, axes=1))


def psfex_fwhm_px(hdu: Hdu) -> float | None:
    """PSF_FWHM of a model, pixels; None where it is not stated.

    Raises
    ------
    InputError
        It is not a positive number.
    """
    value = hdu.cards.optional_number("PSF_FWHM")
    if value is not None and not value > 0:
        raise hdu.cards.error("PSF_FWHM", "must be positive")
    return value


def read_psfex(file: FitsFile, hdu: Hdu) -> PsfexModel:
    """Read a model.

    Raises
    ------
    InputError
        A card is missing or not what it must be, the model varies with something else than the position, or PSF_MASK
        does not hold the numbers that the cards say.
    """
    cards = hdu.cards
    degree, zero, scale = _polynomial(cards)
    axes = [cards.integer(f"PSFAXIS{axis + 1}") for axis in range(cards.integer("PSFNAXIS"))]
    width, height, number = (*axes, 1)[:3] if len(axes) in (2, 3) else (0, 0, 0)
    if min(width, height) < 1 or number != (degree + 1) * (degree + 2) // 2:
        raise InputError(
            f"{hdu.where}: PSFAXISn must be width, height and the {(degree + 1) * (degree + 2) // 2} terms of degree "
            f"{degree}, found {axes}"
        )
    step = cards.number("PSF_SAMP")
    if not step > 0:
        raise cards.error("PSF_SAMP", "must be positive")
    values = read_table(file, hdu, ("PSF_MASK",)).finite("PSF_MASK")
    if values.size != width * height * number:
        raise InputError(
            f"{hdu.where}: PSF_MASK must hold {width} x {height} x {number} numbers in one row, found {values.shape}"
        )
    return PsfexModel(values.reshape(number, height, width), degree, zero, scale, step)


def _polynomial(cards: Cards) -> tuple[int, tuple[float, float], tuple[float, float]]:
    """Degree, origin and scale of the polynomial of the position."""
    axes = cards.integer("POLNAXIS")
    if axes == 0:
        return 0, (0.0, 0.0), (1.0, 1.0)
    names = tuple(cards.text(f"POLNAME{axis + 1}") for axis in range(axes))
    if axes != 2 or not (names[0].startswith("X") and names[1].startswith("Y")):
        raise cards.error("POLNAXIS", f"must be 0, or 2 with the axes x and y (POLNAMEn are {names})")
    if cards.integer("POLNGRP") != 1 or not 0 <= cards.integer("POLDEG1") <= LARGEST_DEGREE:
        raise cards.error(
            "POLDEG1", f"must be the one degree of both axes, 0 to {LARGEST_DEGREE} (POLNGRP = 1)"
        )
    scale = (cards.number("POLSCAL1"), cards.number("POLSCAL2"))
    if 0.0 in scale:
        raise cards.error("POLSCAL1", "and POLSCAL2 must not be 0")
    return cards.integer("POLDEG1"), (cards.number("POLZERO1"), cards.number("POLZERO2")), scale
