"""Regions of patches: cells whose centre lies inside, whatever the order of a MOC; what is no region is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

import io_helpers
from vmpz import io
from vmpz.errors import InputError
from vmpz.parameters import MapParameters, PatchParameters
from vmpz.run.regions import PatchRegion, region_of
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, Polygon, cells_inside

laws = settings(max_examples=25, deadline=None)


def moc_file(folder: Path, order: int, ranges: list[tuple[int, int]], name: str = "a.fits") -> Path:
    """A MOC as mocpy writes it."""
    path = folder / name
    CellSet.from_ranges(order, ranges).to_moc().save(path, format="fits", overwrite=True)
    return path


def by_centres(area: CellSet, order: int) -> CellSet:
    """The slow and obvious clip: ask for every cell that the area touches whether its centre is inside.

    The centre is the corner of four finer cells and belongs to the northern one.
    """
    near = area.at_order(order).cells()
    lon, lat = hpx.centres(near, order)
    return CellSet.from_cells(order, near[area.contains(lon, lat + 1e-7)])


@st.composite
def areas(draw):
    """An area of some order: pieces of one cell of order 2, so that other orders see it in part."""
    order = draw(st.integers(3, 8))
    size = 4 ** (order - 2)
    start = draw(st.integers(0, 191)) * size
    ranges = draw(
        st.lists(st.tuples(st.integers(0, size), st.integers(0, size)), min_size=1, max_size=8).map(
            lambda pairs: [(start + min(pair), start + max(pair) + 1) for pair in pairs]
        )
    )
    return order, [(a, min(b, 12 * 4**order)) for a, b in ranges]


@laws
@given(areas(), st.integers(0, 8))
def test_a_moc_coarser_or_finer_than_the_map_gives_the_cells_whose_centre_is_inside(
    tmp_path_factory, area, order
):
    path = moc_file(tmp_path_factory.mktemp("moc"), *area)
    cells = PatchRegion(path).cells(order)
    assert cells == by_centres(CellSet.from_ranges(*area), order)
    # Cells and their complement share out the sphere.
    other = ~CellSet.from_ranges(*area)
    if other:
        path = moc_file(tmp_path_factory.mktemp("moc"), other.order, other.ranges.tolist())
        assert PatchRegion(path).cells(order) == ~cells


def test_the_deepest_moc_there_is(tmp_path):
    """At order 29 the centre of a cell is the corner of four cells: the northern one decides."""
    order = 12
    lon, lat = hpx.centres(np.array([5000]), order)
    here = int(hpx.cells_at(lon, lat, 29)[0])
    path = moc_file(tmp_path, 29, [(here, here + 1)])
    assert PatchRegion(path).cells(order) == CellSet.from_cells(order, [5000])
    path = moc_file(tmp_path, 29, [(here + 1, here + 1000)])
    assert not PatchRegion(path).cells(order)


@pytest.mark.parametrize(
    "shape", [Cap(57.0, -51.0, 1.3), Cap(0.0, 90.0, 2.0), Polygon([(359, -1), (1, -1), (0, 2)])]
)
def test_caps_and_polygons_are_the_cells_whose_centre_is_inside(shape, tmp_path):
    cells = PatchRegion(shape).cells(9)
    assert cells == cells_inside(shape, 9) and len(cells) > 50
    lon, lat = hpx.centres(CellSet.everything(6).cells(), 6)
    if isinstance(shape, Cap):
        a, b = np.radians(lat), np.radians(shape.lat_deg)
        apart = np.sin(a) * np.sin(b) + np.cos(a) * np.cos(b) * np.cos(np.radians(lon - shape.lon_deg))
        wanted = np.flatnonzero(apart >= np.cos(np.radians(shape.radius_deg)))
        assert PatchRegion(shape).cells(6).cells().tolist() == wanted.tolist()


def test_every_form_of_a_product_is_the_same_region(tmp_path):
    """Zeros that are listed are no part of it: a MOC tool that opens the weighted MOC sees none of them."""
    values = io_helpers.fractions()
    values[::3] = 0.0
    product = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": values})
    wanted = product.map.where(values > 0).cells
    maps = MapParameters(write_zeros=True)
    for name in ("a.fits", "a.moc.fits", "a.plain.moc.fits", "a.moc.json", "a.moc.txt"):
        path = io.write_file(product, tmp_path / name, maps=maps)
        assert PatchRegion(path).cells(io_helpers.ORDER) == wanted, name
        if name.endswith("moc.fits"):
            assert CellSet.from_moc(MOC.from_fits(path), io_helpers.ORDER) == wanted


# -- faults -----------------------------------------------------------------------------------------------------------


def test_a_moc_that_is_cut_is_refused_although_its_parser_is_silent(tmp_path):
    ranges = [(k, k + 1) for k in range(0, 3000, 2)]
    path = moc_file(tmp_path, 8, ranges)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2880 // 2 * 2880])
    try:
        seen = len(MOC.from_fits(path).uniq_hpx)  # fewer cells than there are, or none of them is missed
        assert seen < len(ranges)
    except (OSError, ValueError):
        pass
    with pytest.raises(InputError, match="cut"):
        PatchRegion(path).cells(8)
    for size in (len(content) - 1, len(content) - 2880, 2880):
        path.write_bytes(content[:size])
        with pytest.raises(InputError):
            PatchRegion(path).cells(8)


def test_a_moc_of_ours_that_was_altered_is_refused(tmp_path):
    product = io_helpers.make(io_helpers.key("coverage"), {"WEIGHT": io_helpers.fractions()})
    for name in ("a.moc.fits", "a.plain.moc.fits"):
        path = io.write_file(product, tmp_path / name)
        content = bytearray(path.read_bytes())
        content[-2880] ^= 1
        path.write_bytes(content)
        with pytest.raises(InputError, match="DATASUM"):
            PatchRegion(path).cells(8)


def test_what_is_no_moc_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.fits: must be a MOC file, found nothing"):
        PatchRegion(tmp_path / "nothing.fits").cells(8)
    with pytest.raises(InputError, match="must be a MOC file"):
        PatchRegion(tmp_path).cells(8)
    text = tmp_path / "a.moc.fits"
    text.write_text("<html>")
    with pytest.raises(InputError, match=r"a\.moc\.fits"):
        PatchRegion(text).cells(8)


# -- parameters -------------------------------------------------------------------------------------------------------


def test_the_region_of_a_patch_is_what_its_parameters_say(tmp_path):
    def of(**extent: object) -> PatchRegion | None:
        return region_of(PatchParameters.model_validate({"name": "p", **extent}))

    assert of(all=True) is None and of(tiles=["102158889"]) is None
    assert of(cap=[10.0, -5.0, 2.0]) == PatchRegion(Cap(10.0, -5.0, 2.0))
    assert of(moc=str(tmp_path / "a.fits")) == PatchRegion(tmp_path / "a.fits")
    assert of(polygon=[[0, 0], [1, 0], [1, 1]]) == PatchRegion(Polygon([(0, 0), (1, 0), (1, 1)]))


def test_a_polygon_that_is_none_is_refused_by_the_name_of_the_patch():
    crossing = PatchParameters.model_validate({"name": "north", "polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]})
    with pytest.raises(InputError, match=r"patch north: .*must not cross"):
        region_of(crossing)
