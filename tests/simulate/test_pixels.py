"""Painted runs against every pixel centre through astropy; blocks; seams between tiles."""

import tracemalloc

import numpy as np
import pytest
from astropy.wcs import WCS
from scipy.ndimage import maximum_filter, minimum_filter

from vmpz.bits import bit_table
from vmpz.simulate.bands import BANDS, INSTRUMENTS
from vmpz.simulate.field import Sky
from vmpz.simulate.headers import image_header
from vmpz.simulate.pixels import BandPixels, Grid
from vmpz.tiles import tiles_near

PLACES = [(52.9, -28.25), (0.0, 0.0), (359.99, 60.25), (10.0, 90.0), (123.0, -89.75)]


def survey(place, size, tiles=2, seed=3):
    near = tiles_near(*place, tiles)
    sky = Sky(near, 1920.0 / size, seed)
    return sky, [Grid(one, size) for one in near]


def pixel_vectors(grid):
    """Unit vectors of all pixel centres by the WCS of the written header."""
    header = image_header(grid, BANDS["VIS"], "image")
    column, row = np.meshgrid(np.arange(grid.size), np.arange(grid.size))
    lon, lat = (np.radians(a) for a in WCS(header).all_pix2world(column, row, 0))
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


def in_discs(vectors, discs):
    """Pixels inside any disc, by angular distance, and those within 1e-9 rad of an edge."""
    inside, close = np.zeros(vectors.shape[:2], bool), np.zeros(vectors.shape[:2], bool)
    for centre, radius in zip(discs.centres, discs.radii, strict=True):
        distance = 2.0 * np.arcsin(0.5 * np.linalg.norm(vectors - centre, axis=-1))
        inside |= distance < radius
        close |= abs(distance - radius) < 1e-9
    return inside, close


def in_rectangles(sky, vectors, rectangles):
    """Number of rectangles over each pixel, and those within 1e-9 of an edge."""
    x, y = sky.plane.project(vectors)
    count, close = np.zeros(x.shape, int), np.zeros(x.shape, bool)
    for x0, x1, y0, y1 in zip(rectangles.x0, rectangles.x1, rectangles.y0, rectangles.y1, strict=True):
        count += (x > x0) & (x < x1) & (y > y0) & (y < y1)
        close |= np.min([abs(x - x0), abs(x - x1), abs(y - y0), abs(y - y1)], axis=0) < 1e-9
    return count, close


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("band", ["VIS", "NIR_Y"])
def test_planes_are_functions_of_the_sky(place, band):
    """Exposures, noise, flags and background of every pixel from its sky position alone, in each tile."""
    sky, grids = survey(place, 160)
    band = BANDS[band]
    table = bit_table(INSTRUMENTS[band.instrument].bit_table)
    halo, core, column = {
        "VIS": ("STARSIGNAL", "SAT", "BAD_COLUMN"),
        "NISP": ("SCATTER", "SATUR", "HOT"),
    }[band.instrument]
    for grid in grids:
        vectors = pixel_vectors(grid)
        block = BandPixels(sky, grid, band).block(0, grid.size)
        count, edge = in_rectangles(sky, vectors, sky.detectors(band.instrument).rectangles)
        observed = count > 0
        assert np.array_equal(block.exposures[~edge], count[~edge])
        np.testing.assert_allclose(
            block.rms[observed & ~edge],
            (band.rms * 1920.0 / 160 / 0.1 * np.sqrt(4.0 / np.maximum(count, 1)))[observed & ~edge],
            rtol=1e-6,
        )
        assert np.all(block.rms[~observed & ~edge] == np.float32(1e16))
        assert np.all((block.image == 0) == ~observed)

        def flagged(name, flags=block.flags):
            return flags.view(np.uint32) >> table.by_name[name].number & 1 == 1

        for name, discs in ((halo, sky.halos), (core, sky.cores)):
            inside, close = in_discs(vectors, discs)
            sure = ~edge & ~close
            assert np.array_equal(flagged(name)[sure], (inside & observed)[sure]), name
        strips, close = in_rectangles(sky, vectors, sky.columns(band.instrument))
        sure = ~edge & ~close
        assert np.array_equal(flagged(column)[sure], ((strips > 0) & observed)[sure])
        cores, near = in_discs(vectors, sky.cores)
        bad = ~observed | cores | (strips > 0)
        assert np.array_equal(flagged("INVALID")[sure & ~near], bad[sure & ~near])
        x, y = sky.plane.project(vectors)
        np.testing.assert_allclose(block.background, sky.background(band, x, y), rtol=1e-6)


def test_cosmic_rays_and_objects_cover_what_they_should():
    sky, grids = survey((52.9, -28.25), 600, tiles=1)
    table = bit_table("vis-pf14")
    block = BandPixels(sky, grids[0], BANDS["VIS"]).block(0, 600)
    seen = block.exposures > 0
    share = np.mean((block.flags >> table.by_name["COSMIC"].number & 1)[seen])
    assert 0.017 < share < 0.022  # 2 % drawn, some overlap
    inside, _ = in_discs(pixel_vectors(Grid(grids[0].tile, 64)), sky.objects)
    assert np.mean((block.flags >> table.by_name["OBJECTS"].number & 1)[seen]) == pytest.approx(
        inside.mean(), abs=4 * np.sqrt(inside.mean() / inside.size)
    )


def test_noise_has_the_stated_sigma():
    sky, grids = survey((52.9, -28.25), 600, tiles=1)
    block = BandPixels(sky, grids[0], BANDS["NIR_Y"]).block(0, 600)
    table = bit_table("nir")
    sources = table.select(["OBMASK", "SCATTER"]).mask
    sky_only = (block.exposures > 0) & (block.flags.view(np.uint32) & np.uint32(sources) == 0)
    ratio = block.image[sky_only] / block.rms[sky_only]
    assert ratio.std() == pytest.approx(1.0, abs=4 / np.sqrt(2 * ratio.size))
    assert ratio.mean() == pytest.approx(0.0, abs=4 / np.sqrt(ratio.size))


@pytest.mark.parametrize("height", [7, 37, 128])
def test_any_split_into_blocks_gives_the_same_bytes(height):
    sky, grids = survey((0.0, 0.0), 300)
    for band in ("VIS", "NIR_Y", "DECAM_r"):
        pixels = BandPixels(sky, grids[0], BANDS[band])
        whole = pixels.block(0, 300)
        blocks = list(pixels.blocks(height))
        for name in ("image", "rms", "flags", "background"):
            joined = np.concatenate([getattr(block, name) for block in blocks])
            assert joined.tobytes() == getattr(whole, name).tobytes(), (band, name)


@pytest.mark.parametrize("place", [(52.9, -28.25), (0.0, 0.25), (45.0, 89.7)])
def test_overlapping_tiles_show_the_same_sky(place):
    """Where two images overlap, the nearest pixels agree wherever neither stands beside an edge."""
    sky, grids = survey(place, 400)
    blocks = [BandPixels(sky, grid, BANDS["VIS"]).block(0, 400) for grid in grids]
    vectors = pixel_vectors(grids[0])
    x, y = grids[1].plane.project(vectors)
    column, row = np.rint(grids[1].column(x)).astype(int), np.rint(grids[1].row(y)).astype(int)
    both = (column >= 0) & (column < 400) & (row >= 0) & (row < 400) & (vectors @ grids[1].plane.centre > 0.9)
    there = (row[both], column[both])
    for name in ("exposures", "rms", "flags"):
        one, two = (getattr(block, name) for block in blocks)
        plain = _is_uniform(one)[both] & _is_uniform(two)[there]
        assert plain.sum() > 2000, name
        assert np.array_equal(one[both][plain], two[there][plain]), name
        assert np.unique(one[both][plain]).size > 1, name


def _is_uniform(image):
    """Pixels whose eight neighbours have the same value."""
    return maximum_filter(image, 3) == minimum_filter(image, 3)


def test_the_first_star_stands_on_a_seam():
    sky, grids = survey((52.9, -28.25), 300, tiles=4)
    bit = bit_table("vis-pf14").by_name["STARSIGNAL"].number
    seen = 0
    for grid in grids:
        x, y = grid.plane.project(sky.halos.centres[0])
        column, row = grid.column(x), grid.row(y)
        if 0 <= column < 299 and 0 <= row < 299:
            block = BandPixels(sky, grid, BANDS["VIS"]).block(0, 300)
            seen += int(block.flags[round(float(row)), round(float(column))] >> bit & 1)
    assert seen >= 2


def test_a_full_size_tile_is_made_in_bounded_memory():
    """A few row blocks of 19200 columns; the rest are like them."""
    sky, grids = survey((57.9990741, -51.5), 19200, tiles=1)
    pixels = BandPixels(sky, grids[0], BANDS["VIS"])
    assert (grids[0].crpix, -grids[0].cd_deg) == (9600, -2.777777777778e-05)
    tracemalloc.start()
    for start in (0, 9600, 19200 - 64):
        block = pixels.block(start, start + 64)
        assert block.rms.shape == (64, 19200)
        assert set(np.unique(block.rms)) <= set(pixels.rms_by_exposures)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    np.testing.assert_allclose(pixels.rms_by_exposures[4], 0.004, rtol=1e-7)
