"""Grids of PSF stamps: where the stamps stand, and stamps without light."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from vis_helpers import change, the_frame, write
from vmpz.errors import InputError
from vmpz.readers import open_frame
from vmpz.readers.stamps import grid_positions


@pytest.mark.parametrize(("shape", "across", "down"), [((2066, 2048), 9, 9), ((10, 20), 2, 1)])
def test_positions_cut_the_image_into_equal_cells(shape: tuple[int, int], across: int, down: int) -> None:
    x, y = grid_positions(shape, across, down)
    assert len(x) == len(y) == across * down
    edges = np.linspace(-0.5, shape[1] - 0.5, across + 1)
    np.testing.assert_allclose(x[:across], 0.5 * (edges[:-1] + edges[1:]))
    np.testing.assert_allclose(
        np.unique(np.diff(y[::across]).round(6)), [shape[0] / down] if down > 1 else [], atol=1e-6
    )


def darken(hdus: fits.HDUList, rows: slice) -> None:
    hdus["1-1.H"].data[rows] = 0.0


def test_stamps_without_light_are_left_out(tmp_path: Path) -> None:
    paths = write(tmp_path)
    change(paths["PSF"], lambda hdus: darken(hdus, slice(0, 21)))
    stamps = open_frame(the_frame(tmp_path), ["PSF"]).psf
    assert stamps is not None
    assert stamps.detector is not None
    assert np.bincount(stamps.detector).tolist() == [9, 6, 9]


def test_a_quadrant_without_any_shape_is_refused(tmp_path: Path) -> None:
    paths = write(tmp_path)
    change(paths["PSF"], lambda hdus: darken(hdus, slice(None)))
    with pytest.raises(InputError, match="must hold PSF stamps, found none with a shape"):
        open_frame(the_frame(tmp_path), ["PSF"])


def test_stamps_in_the_pixels_of_the_frame(tmp_path: Path) -> None:
    """Without a size of their own, pixels of stamps are those of the frame, which are larger here."""
    write(tmp_path)
    own = open_frame(the_frame(tmp_path), ["PSF"]).psf
    ref = the_frame(tmp_path, psf_pixel_arcsec=None)
    frame = open_frame(ref, ["PSF"]).psf
    assert own is not None
    assert frame is not None
    assert ref.exposures is not None
    middle = frame.fwhm_arcsec[4::9] / own.fwhm_arcsec[4::9]
    np.testing.assert_allclose(middle, ref.exposures.scalars["PixelScale"] / 0.1, rtol=1e-6)
