"""What readers of exposures share: rows, outlines and scalars of detectors; numbers of descriptors."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from vmpz.errors import InputError
from vmpz.frames import FileRef
from vmpz.readers.descriptors import number_at
from vmpz.readers.detectors import (
    image_scalars,
    joined_plane,
    middles_deg,
    rows_of,
    stacked_outlines,
)
from vmpz.sky.covers import unit_vectors


def test_outlines_of_fewer_vertices_repeat_their_last() -> None:
    square, many = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]), np.arange(12.0).reshape(6, 2)
    found = stacked_outlines([square, many])
    assert found.shape == (2, 6, 2)
    assert np.array_equal(found[1], many)
    assert np.array_equal(found[0], [*square, square[-1], square[-1]])


@given(st.floats(0.0, 359.9), st.floats(-89.0, 89.0))
def test_the_middle_of_an_outline_is_as_far_from_all_its_corners(lon: float, lat: float) -> None:
    middle = unit_vectors(lon, lat)
    east = np.cross((0.0, 0.0, 1.0), middle)
    east /= np.linalg.norm(east)
    north = np.cross(middle, east)
    corners = middle + 0.01 * np.array([east + north, north - east, -east - north, east - north])
    x, y, z = corners.T
    outline = np.stack((np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))), axis=1)
    found = unit_vectors(*middles_deg(np.stack((outline, outline))))
    assert found.shape == (2, 3)
    assert found == pytest.approx(np.stack((middle, middle)), abs=1e-12)


@pytest.mark.parametrize(
    ("known", "width"), [({"Seeing": 0.9}, 0.9), ({"PSF": 0.2, "Seeing": 0.9}, 0.2), ({}, None)]
)
def test_scalars_of_an_image(known: dict[str, float], width: float | None) -> None:
    found = image_scalars({"Zeropoint": 0.0, "ExposureTime": 30.0, "Airmass": 1.1, **known})
    assert found.pop("psf_fwhm_arcsec", None) == width
    assert found == {"zero_point": 0.0, "exposure_time_s": 30.0}


def test_a_plane_of_many_files() -> None:
    one, two = FileRef("a", 1, 10, "x", True), FileRef("b", 1, 20, "y", False)
    both = joined_plane([one, two])
    assert (both.location, both.size, both.verifiable) == ("a", 30, False)
    assert both.identity != joined_plane([two, one]).identity


def test_an_image_has_no_rows() -> None:
    with pytest.raises(InputError, match="must be an exposure that lists its detectors, found an image"):
        rows_of(SimpleNamespace(name="one", exposures=None))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<Z><Value>0.0</Value></Z>", 0.0),
        ("<Z> 23.9 </Z>", 23.9),
        ("<Z><Value>1</Value><Unit/></Z>", 1.0),
        ("<Y/>", None),
    ],
)
def test_the_first_number_that_stands(text: str, value: float | None) -> None:
    assert number_at(etree.fromstring(f"<Data>{text}</Data>"), "here", "Z/Value", "Z") == value


@pytest.mark.parametrize("text", ["faint", "nan", "inf", "1e6"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(InputError, match="here: Z must be a finite number"):
        number_at(etree.fromstring(f"<Data><Z>{text}</Z></Data>"), "here", "Z")
