"""Moments of the stamps of MER PSF files: shapes that were drawn, on the axes of a north-up image."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.frames import FileRef
from vmpz.readers.common import file_ref
from vmpz.readers.merpsf import read_psf, with_moments

SIZE, SIDE = 21, 3
SHAPES = np.array([(4.0 + 0.2 * k, 3.0 - 0.1 * k, 0.5 - 0.12 * k) for k in range(SIDE * SIDE)])
"""Ixx, Iyy, Ixy in pixels of the stamps."""


def mosaic(angle_deg: float, flip: float = -1.0) -> WCS:
    """A tangential image of 0.1 arcsec, turned from north through east; columns to the west unless flipped."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [58.0, -51.5], [50.0, 50.0]
    wcs.wcs.cd = np.array([[flip * c, s], [-flip * s, c]]) * 0.1 / 3600.0
    return wcs


def stamps() -> NDArray[np.float64]:
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2
    drawn = []
    for xx, yy, xy in SHAPES:
        inverse = np.linalg.inv([[xx, xy], [xy, yy]])
        drawn.append(np.exp(-0.5 * (inverse[0, 0] * x**2 + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y**2)))
    return np.array(drawn)


def write(path: Path, catalogue: bool, size: int = SIZE) -> tuple[FileRef, FileRef]:
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    x, y = column * SIZE + (SIZE + 1) / 2, row * SIZE + (SIZE + 1) / 2
    image = stamps().reshape(SIDE, SIDE, SIZE, SIZE).swapaxes(1, 2).reshape(SIDE * SIZE, SIDE * SIZE)
    hdu = fits.ImageHDU(image.astype(np.float32), name="PSF image")
    hdu.header["STMPSIZE"] = size
    lon, lat = mosaic(0.0).all_pix2world(x, y, 1)
    columns = {"x": x, "y": y, "FWHM": np.full(x.size, 0.2)}
    if catalogue:
        columns |= {"x_center": x, "y_center": y, "RA": lon, "Dec": lat}
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, "D", array=values) for name, values in columns.items()]
    )
    fits.HDUList([fits.PrimaryHDU(), hdu, table]).writeto(path, checksum=True)
    with open_fits(str(path)) as file:
        return file_ref(file, file.hdu(2)), file_ref(file, file.hdu(1))


@pytest.mark.parametrize("catalogue", [True, False], ids=["catalogue", "grid"])
@pytest.mark.parametrize(("angle", "flip"), [(0.0, -1.0), (30.0, -1.0), (-75.0, -1.0), (20.0, 1.0)])
def test_shapes_turn_with_the_image_and_sizes_are_those_of_the_table(
    tmp_path: Path, catalogue: bool, angle: float, flip: float
) -> None:
    table, image = write(tmp_path / "psf.fits", catalogue)
    wcs = mosaic(angle, flip)
    found = with_moments(read_psf(table, wcs), table, image, wcs)
    assert found.moments_arcsec2 is not None
    xx, yy, xy = found.moments_arcsec2.T
    e1, e2 = (xx - yy) / (xx + yy), 2 * xy / (xx + yy)
    to_sky = np.array([-wcs.wcs.cd[0], wcs.wcs.cd[1]])  # west and north per pixel along x and y
    own = np.array([to_sky @ [[one, three], [three, two]] @ to_sky.T for one, two, three in SHAPES])
    size = own[:, 0, 0] + own[:, 1, 1]
    assert e1 == pytest.approx((own[:, 0, 0] - own[:, 1, 1]) / size, abs=2e-4)
    assert e2 == pytest.approx(2.0 * own[:, 0, 1] / size, abs=2e-4)
    assert np.sqrt(8 * np.log(2)) * (xx * yy - xy**2) ** 0.25 == pytest.approx(0.2, rel=1e-9)


def test_stamps_outside_the_image_are_refused(tmp_path: Path) -> None:
    table, image = write(tmp_path / "psf.fits", True, size=SIZE + 4)
    with pytest.raises(InputError, match="stamps of 25 pixels must lie inside its 63 x 63 pixels"):
        with_moments(read_psf(table, mosaic(0.0)), table, image, mosaic(0.0))
