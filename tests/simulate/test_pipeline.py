"""The whole pipeline on a simulated survey against the truth: areas, depth, exposures, background, PSF."""

import json

import numpy as np
import pytest

import vmpz
from vmpz.simulate import truth
from vmpz.simulate.bands import BANDS
from vmpz.simulate.field import Sky
from vmpz.sky import hpx
from vmpz.sky.covers import unit_vectors
from vmpz.tiles import tile, tiling

WIDE = tiling("euclid-wide")


@pytest.fixture(scope="module")
def processed(survey, store):
    """Truth, sky and a function that gives the map of a product."""
    content = json.loads((survey.parent / "truth" / "truth.json").read_text())
    sky = Sky([tile(one) for one in content["tiles"]], content["pixel_arcsec"], content["seed"])

    def product(area, kind, band):
        found = list((store / area).glob(f"{area}~{kind}*~{band}~*/*.fits"))
        assert len(found) == 1, (kind, found)
        return vmpz.read(found[0]).map

    return content, sky, product


@pytest.mark.parametrize("band", ["VIS", "NIR_Y"])
def test_footprint_is_the_observed_area_of_the_owned_cells(processed, band):
    content, sky, product = processed
    for area in content["tiles"]:
        owned = WIDE.owned(area, content["order"])
        exact = truth.observed_fractions(sky, BANDS[band].instrument, owned)
        footprint = product(area, "footprint", band)
        assert not footprint.cells - owned
        error = footprint.of_cells(owned.cells(), 0.0) - exact.of_cells(owned.cells(), 0.0)
        pixels = hpx.cell_area_deg2(content["order"]) * (3600 / content["pixel_arcsec"]) ** 2
        # A straight edge is counted to half a pixel in each row of a cell, at most sqrt(2 pixels) of them; two edges.
        assert np.abs(error).max() < 1.5 / np.sqrt(pixels)
        assert footprint.integral_deg2() == pytest.approx(exact.integral_deg2(), rel=1e-3)


@pytest.mark.parametrize("band", ["VIS", "NIR_Y"])
def test_coverage_loses_stars_and_columns(processed, band):
    content, _, product = processed
    for area, one in content["tiles"].items():
        core = one["core"][BANDS[band].instrument]
        lost = (
            product(area, "footprint", band).integral_deg2() - product(area, "coverage", band).integral_deg2()
        )
        stated = core["observed_deg2"] - core["covered_outside_star_masks_deg2"]
        # The owned cells are not quite the core: a cell more or less along its 2 deg of edge.
        assert lost == pytest.approx(stated, rel=0.05)


@pytest.mark.parametrize("band", ["VIS", "NIR_Y"])
def test_depth_and_exposures_where_the_number_is_one(processed, band):
    content, sky, product = processed
    rectangles, number = truth.exposure_rectangles(sky, BANDS[band].instrument)
    stated = content["bands"][band]["depth_5sigma_2arcsec_mag_by_exposures"]
    seen: list[int] = []
    for area in content["tiles"]:
        depth = product(area, "depth", band)
        cells = depth.cells.cells()
        x, y = sky.plane.project(unit_vectors(*hpx.vertices(cells, content["order"], 4)))
        count = np.zeros(cells.size, int)
        for i, exposures in enumerate(number):
            inside = (
                (x > rectangles.x0[i])
                & (x < rectangles.x1[i])
                & (y > rectangles.y0[i])
                & (y < rectangles.y1[i])
            )
            count[inside.all(axis=1)] = exposures
        known = count > 0
        expected = np.array([stated[str(one)] for one in count[known]])
        np.testing.assert_allclose(depth.values[known], expected, rtol=0, atol=2e-6)
        exposures = product(area, "info~Exposures", band)
        np.testing.assert_allclose(exposures.of_cells(cells[known]), count[known], rtol=2**-23)
        seen += count[known].tolist()
    assert len(seen) > 100 and len(set(seen)) > 1


@pytest.mark.parametrize("band", ["VIS", "NIR_Y"])
def test_smooth_fields_come_back(processed, band):
    content, sky, product = processed
    for area in content["tiles"]:
        for kind, field, tolerance in (
            ("info~Background", sky.background, 1e-5),
            ("info~PSF", sky.fwhm_arcsec, 2e-3),
        ):
            whole = product(area, "footprint", band)
            whole = whole.where(whole.values == 1.0)
            found = product(area, kind, band).clip(whole.cells)
            x, y = sky.plane.project(unit_vectors(*hpx.centres(found.cells.cells(), content["order"])))
            np.testing.assert_allclose(found.values, field(BANDS[band], x, y), rtol=tolerance)
