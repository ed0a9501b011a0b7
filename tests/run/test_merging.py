"""Merging files: the bytes of the merge in memory, in any order and from any form; regions and owners."""

import gzip
import resource
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from mocpy import MOC

import io_helpers
from merging_helpers import BLOCK, ORDER, PROVENANCE, SPREAD, files_of, streamed, tile
from vmpz import io
from vmpz.errors import InputError, MapMismatchError
from vmpz.make.merge import merge
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.run.regions import PatchRegion
from vmpz.run.store import Entry, Store
from vmpz.run.tasks import merge_files
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, Polygon, cells_inside, covered_fractions
from vmpz.sky.skymap import SkyMap
from vmpz.tiles import tile as wide_tile
from vmpz.tiles import tile_at, tiling

KINDS = [
    ("footprint", "-", "VIS"), ("bitmask", "-", "VIS"), ("coverage", "-", "NIR_Y"), ("depth", "-", "VIS"),
    ("depth", "-", "NIR_Y"), ("info", "Noise", "VIS"), ("info", "PSF", "NIR_Y"), ("info", "Exposures", "VIS"),
    ("info", "SAA", "VIS"),
]  # fmt: skip
AVERAGED = ("depth", "info")


def tiles_of(store: Path, kind: str, quantity: str, band: str) -> list[Entry]:
    """Tile products of one kind."""
    found = [
        entry
        for entry in Store(store).entries()
        if (entry.key.kind, entry.key.quantity, entry.key.band) == (kind, quantity, band)
        and entry.key.area.isdigit()
    ]
    assert len(found) == 4
    return found


def products_of(entries: list[Entry]) -> list[Product]:
    return [replace(io.read(entry.path(".fits")), key=entry.key) for entry in entries]


def in_memory(out: Path, products: list[Product], order: int | None, weights: list[Product] = ()) -> bytes:
    """The file of the merge in memory."""
    made = merge(products, "CONCAT", order, weights)
    return io.write_file(replace(made, provenance=PROVENANCE), out).read_bytes()


# -- files as in memory -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "quantity", "band"), KINDS)
@pytest.mark.parametrize("order", [None, 11, 8, 2, 0])
def test_the_file_is_that_of_the_merge_in_memory(kind, quantity, band, order, store, tmp_path):
    tiles, cover = tiles_of(store, kind, quantity, band), tiles_of(store, "coverage", "-", band)
    paths, shares = ([entry.path(".fits") for entry in one] for one in (tiles, cover))
    wanted = in_memory(tmp_path / "memory.fits", products_of(tiles), order)
    made = streamed(tmp_path / "a.fits", paths, order=order)
    assert (tmp_path / "a.fits").read_bytes() == wanted
    assert made.content.cells == io.read(tmp_path / "a.fits").map.cells
    streamed(tmp_path / "b.fits", paths[::-1], order=order)
    assert (tmp_path / "b.fits").read_bytes() == wanted
    if kind in AVERAGED and order is not None:
        weighed = in_memory(tmp_path / "memory.fits", products_of(tiles), order, products_of(cover))
        streamed(tmp_path / "c.fits", paths, shares[::-1], order=order)
        assert (tmp_path / "c.fits").read_bytes() == weighed
        has_weight = io.read(tmp_path / "c.fits").keywords["DEGWGT"] == "COVERAGE"
        assert (weighed != wanted) == has_weight == (quantity != "Exposures")


FORMS: dict[str, Callable[[Product, Path], Path]] = {
    "moc": lambda one, folder: io.write_file(one, folder / f"{one.key.area}.moc.fits"),
    "parquet": lambda one, folder: io.write_file(one, folder / f"{one.key.area}.parquet"),
    "mer": lambda one, folder: io.write_file(
        one, folder / f"{one.key.area}.fits", maps=MapParameters(coverage_convention="MER")
    ),
    "gzip": lambda one, folder: _zipped(io.write_file(one, folder / f"{one.key.area}.fits")),
}


def _zipped(path: Path) -> Path:
    path.with_suffix(".fits.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return path.with_suffix(".fits.gz")


@pytest.mark.parametrize("form", FORMS)
def test_files_of_any_form_make_the_same_map(form, tmp_path):
    tiles = [tile(k, [k * 40 + np.arange(30)]) for k in range(4)]
    paths = [FORMS[form](one, tmp_path) for one in tiles]
    for order in (None, 10):
        streamed(tmp_path / "out" / "a.fits", paths, order=order)
        found, wanted = io.read(tmp_path / "out" / "a.fits"), merge(tiles, "CONCAT", order)
        assert found.map.cells == wanted.map.cells
        assert np.array_equal(found.map.values, wanted.map.values.astype(np.float32))


@pytest.mark.gpl
def test_files_of_other_software_make_the_same_map(tmp_path):
    """RING, shuffled, float64, int32: what readers must take, merges must take as well; and mixed with ours."""
    healpy = pytest.importorskip("healpy")
    paths, whole = [], np.full(12 * 64**2, 0.0)
    for k in range(4):
        cells = 1000 + k * 40 + np.arange(30)
        full = np.full(12 * 64**2, healpy.UNSEEN)
        full[cells] = whole[cells] = np.float32(np.linspace(0.1, 1.0, 30))
        paths.append(tmp_path / f"EUC_LE3_VMPZ-ID_HPCOVERAGE-10000000{k}_20260101T000000.{k}Z_0.1.fits")
        if k == 3:
            key = io_helpers.key("coverage", area="100000003", band="-", instrument="-", release="0.1")
            io.write_file(io_helpers.make(key, {"WEIGHT": full[cells].astype("f4")}, cells=cells), paths[-1])
        else:
            kind = np.float64 if k == 0 else np.float32
            stored = healpy.reorder(full, n2r=True) if k == 1 else full
            healpy.write_map(paths[-1], stored, nest=k != 1, coord="C", partial=True, dtype=kind)
    for order in (6, 4):
        streamed(tmp_path / "out.fits", paths, order=order)
        found = io.read(tmp_path / "out.fits").map
        wanted = healpy.ud_grade(whole, 1 << order, order_in="NEST", order_out="NEST")
        assert np.allclose(found.of_cells(np.arange(wanted.size), 0.0), wanted, rtol=1e-6)
        assert found.values.dtype == np.float32


def test_counts_of_whole_numbers_become_fractions_when_they_are_degraded(tmp_path):
    paths = []
    for number, values in enumerate(([3, 4, 4, 4], [1, 1, 1])):
        cells = fits.Column("PIXEL", "K", array=4 * number + np.arange(len(values)))
        table = fits.BinTableHDU.from_columns([cells, fits.Column("WEIGHT", "I", array=np.array(values))])
        table.header.update(
            PIXTYPE="HEALPIX",
            ORDERING="NESTED",
            COORDSYS="C",
            NSIDE=64,
            OBJECT="PARTIAL",
            EXTNAME="HPEXPOSURES",
        )
        paths.append(str(tmp_path / f"{number}.fits"))
        table.writeto(paths[-1])
    merge_files(paths, tmp_path / "a.fits", 5)
    assert io.read(tmp_path / "a.fits").map.values.tolist() == [3.75, 0.75]
    io.convert(paths[0], tmp_path / "c.fits", 5)
    assert io.read(tmp_path / "c.fits").map.values.tolist() == [3.75]


def test_several_columns_and_further_forms_of_the_result(store, tmp_path):
    paths = [str(entry.path(".fits")) for entry in tiles_of(store, "bitmask", "-", "VIS")]
    merge_files(paths, tmp_path / "a.fits", 9)
    for name in ("a.moc.fits", "a.parquet"):
        made = merge_files(paths, tmp_path / name, 9)
        again, wanted = io.read(tmp_path / name), io.read(tmp_path / "a.fits")
        assert made.content.rows == len(wanted.map) and again.keywords["DEGRULE"] == "COVERAGE"
        assert dict(again.maps) == dict(wanted.maps) and len(again.maps) > 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.fits", "a.moc.fits", "a.parquet"]


def test_the_moc_of_the_merge_is_the_union_of_the_mocs(store, tmp_path):
    """In mocpy's words, whatever the order of the files."""
    paths = [entry.path(".fits") for entry in tiles_of(store, "coverage", "-", "VIS")]
    mocs = [MOC.from_fits(io.convert(path, tmp_path / f"{k}.moc.fits")) for k, path in enumerate(paths)]
    for step in (1, -1):
        merge_files([str(path) for path in paths[::step]], tmp_path / "a.moc.fits")
        assert MOC.from_fits(tmp_path / "a.moc.fits") == mocs[0].union(*mocs[:0:-1])


def test_the_bytes_depend_on_neither_order_nor_place_of_the_files(store, tmp_path, monkeypatch):
    entries = tiles_of(store, "depth", "-", "VIS"), tiles_of(store, "coverage", "-", "VIS")
    tiles, shares = ([entry.path(".fits") for entry in one] for one in entries)
    for folder in ("x", "y/z"):
        (tmp_path / folder).mkdir(parents=True)
        for path in (*tiles, *shares):
            shutil.copy(path, tmp_path / folder)
    results = []
    for number, (folder, step) in enumerate((("x", 1), ("x", -1), ("y/z", 1), ("y/z", -1))):
        monkeypatch.chdir(tmp_path / folder)
        out = tmp_path / f"{number}.fits"
        files = [path.name if number % 2 else str(tmp_path / folder / path.name) for path in tiles[::step]]
        merge_files([*files, files[0]], out, 9, [path.name for path in shares[::step]])
        results.append(out.read_bytes())
    assert len(set(results)) == 1


# -- regions ----------------------------------------------------------------------------------------------------------


def slowly_clipped(products: list[Product], region: CellSet, order: int) -> SkyMap:
    whole = SkyMap.join([one.map for one in products])
    members = set(region.cells().tolist())
    inside = [cell in members for cell in whole.cells.cells().tolist()]
    return whole.where(inside).degrade(order, "COVERAGE")


SHAPES = {
    "cap": lambda folder: Cap(57.9988, -51.4, 0.4),
    "polygon": lambda folder: Polygon([(57.5, -51.6), (58.4, -51.7), (58.1, -51.1)]),
    "finer moc": lambda folder: _moc(folder, Cap(57.9988, -51.4, 0.4), 14),
    "coarser moc": lambda folder: _moc(folder, Cap(57.9988, -51.4, 0.5), 8),
    "nothing": lambda folder: Cap(200.0, 10.0, 1.0),
    "everything": lambda folder: Cap(57.9988, -51.4, 2.0),
}


def _moc(folder: Path, shape: Cap, order: int) -> Path:
    path = folder / "region.fits"
    cells_inside(shape, order).to_moc().save(path, format="fits")
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_a_region_is_a_slow_clip(shape, store, tmp_path):
    entries = tiles_of(store, "coverage", "-", "VIS")
    region = PatchRegion(SHAPES[shape](tmp_path))
    paths = [str(entry.path(".fits")) for entry in entries]
    for order in (ORDER, 9, 2):
        made = merge_files(paths, tmp_path / "a.fits", order, region=region)
        found = io.read(tmp_path / "a.fits")
        wanted = slowly_clipped(products_of(entries), region.cells(ORDER), order)
        assert found.map.cells == wanted.cells
        assert np.array_equal(found.map.values, wanted.values.astype(np.float32))
        assert made.content.rows == len(wanted)
        assert found.keywords["OBSAREA"] == pytest.approx(wanted.integral_deg2(), rel=1e-6, abs=0)
        assert not {"TILEAREA", "SFPAREA", "SFPDIFF"} & set(found.keywords)
    assert (len(wanted) > 0) == (shape != "nothing")


def test_a_region_weighs_what_is_inside(tmp_path):
    """The weight of a parent is that of the children inside the region."""
    cells = np.arange(4)
    deep = io.write_file(tile(1, [cells], "depth"), tmp_path / "d.fits")
    cover = io.write_file(tile(1, [cells]), tmp_path / "c.fits")
    product = io_helpers.make(
        io_helpers.key("coverage", order=ORDER), {"WEIGHT": np.ones(2, "f4")}, cells=[1, 2]
    )
    region = PatchRegion(io.write_file(product, tmp_path / "region.moc.fits"))
    merge_files([str(deep)], tmp_path / "a.fits", ORDER - 1, [str(cover)], region=region)
    m, w = (io.read(path).map.values[1:3].astype(float) for path in (deep, cover))
    wanted = -2.5 * np.log10(np.sqrt(np.sum(w * 10 ** (-0.8 * m)) / np.sum(w)))
    assert io.read(tmp_path / "a.fits").map.values == pytest.approx([wanted], rel=1e-6)


def test_a_region_that_is_cut_is_refused_and_nothing_is_written(tmp_path):
    paths = files_of([tile(1, SPREAD[0])], tmp_path)
    region = _moc(tmp_path, Cap(45.0, 1.0, 1.0), 12)
    content = region.read_bytes()
    region.write_bytes(content[: len(content) // 2880 // 2 * 2880])
    with pytest.raises(InputError, match="cut"):
        merge_files(paths, tmp_path / "a.fits", region=PatchRegion(region))
    assert not (tmp_path / "a.fits").exists()


def test_the_mer_convention_is_whole_before_and_after_a_cut(tmp_path):
    """Where no zero is listed nobody can tell absent from observed, be it cut by a region or not."""
    whole = tile(1, SPREAD[0])
    less = replace(whole, maps={"WEIGHT": whole.map.where(np.arange(300) % 7 > 0)})
    mer, region = MapParameters(coverage_convention="MER"), PatchRegion(Cap(45.0, 1.0, 1.0))
    for one in (None, region):
        paths = files_of([whole], tmp_path)
        merge_files(paths, tmp_path / "a.fits", region=one, maps=mer)
        assert io.read(tmp_path / "a.fits").map.values.max() <= 1.0
        with pytest.raises(MapMismatchError, match="the MER convention must list every cell"):
            merge_files(files_of([less], tmp_path), tmp_path / "a.fits", region=one, maps=mer)


# -- owners -----------------------------------------------------------------------------------------------------------


def wide_tiles(lon: float, lat: float, count: int) -> list[str]:
    """A patch of count x count tiles of the regular grid."""
    rows = [tile_at(lon, lat + 0.5 * k) for k in range(count)]
    return [str(int(row.id) + k) for row in rows for k in range(count)]


@pytest.fixture
def extended(tmp_path) -> tuple[list[str], list[CellSet]]:
    """Files of nine tiles of 32', each with a value of its own, and the cells that the tiles own."""
    grid, paths, owned = tiling("euclid-wide"), [], []
    for number, name in enumerate(wide_tiles(57.9988, -51.5, 3)):
        cells = cells_inside(wide_tile(name).outline(), ORDER) | grid.owned(name, ORDER)
        value = (number + 1) / 16
        one = tile(0, [cells.cells()], value=value, area=name, words={"SFPAREA": 1.0, "SFPDIFF": 0.0})
        paths += [str(io.write_file(one, tmp_path / f"{name}.fits"))]
        owned.append(grid.owned(name, ORDER))
    return paths, owned


def test_extended_tiles_are_merged_by_owner_and_by_nothing_else(extended, tmp_path):
    paths, owned = extended
    union = CellSet.union(owned)
    with pytest.raises(
        MapMismatchError, match=r"\.fits and .*\.fits: cells must be disjoint, found \d+ in both"
    ):
        merge_files(paths, tmp_path / "a.fits")
    made = merge_files(paths[::-1], tmp_path / "a.fits", owners="euclid-wide")
    found = io.read(tmp_path / "a.fits")
    assert found.map.cells == union == made.content.cells
    for number, cells in enumerate(owned):
        assert set(found.map.of_cells(cells.cells()).tolist()) == {np.float32((number + 1) / 16)}
    listed = sum(len(io.read(path).map) for path in paths)
    assert listed / len(union) > 1.1
    assert found.keywords["TILEAREA"] / union.area_deg2 == pytest.approx(1.0, rel=1e-12)
    assert found.keywords["OBSAREA"] / found.map.integral_deg2() == pytest.approx(1.0, rel=1e-12)
    assert not {"SFPAREA", "SFPDIFF"} & set(found.keywords)
    merge_files(paths, tmp_path / "b.fits", 8, owners="euclid-wide")
    assert io.read(tmp_path / "b.fits").map.integral_deg2() == pytest.approx(
        found.map.integral_deg2(), rel=1e-6
    )


def test_owners_change_what_a_unit_is_made_of(tmp_path):
    """An update does not mistake the rows of owned cells for those of whole files."""
    (name,) = wide_tiles(57.9988, -51.5, 1)
    owned = tiling("euclid-wide").owned(name, ORDER)
    more = cells_inside(wide_tile(name).outline(), ORDER) | owned
    path = str(io.write_file(tile(1, [more.cells()], area=name), tmp_path / "t.fits"))
    for owners, wanted in (("euclid-wide", owned), (None, more), ("euclid-wide", owned)):
        made = merge_files([path], tmp_path / "a.fits", owners=owners, update=True)
        assert made.copied == 0
        assert io.read(tmp_path / "a.fits").map.cells == wanted


# -- acceptance 3 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [Cap(58.0, -49.3, 1.7), Polygon([(56.2, -50.6), (59.5, -50.9), (60.2, -48.0), (57.0, -48.3)])]
)
def test_a_hundred_tiles_apart_and_merged_are_the_whole_patch(shape, tmp_path):
    names = wide_tiles(55.3, -51.5, 10)
    grid, whole = tiling("euclid-wide"), covered_fractions(shape, ORDER)
    owned = [grid.owned(name, ORDER) for name in names]
    assert CellSet.union(owned) & whole.cells == whole.cells
    tiles = []
    for name, cells in zip(names, owned, strict=True):
        maps = {"WEIGHT": covered_fractions(shape, ORDER, cells=cells)}
        words = {"DEGRULE": "COVERAGE", "WGTKIND": "OBSFRAC"}
        tiles.append(
            Product(io_helpers.key("footprint", area=name, order=ORDER), maps, None, words, "", PROVENANCE)
        )
    for order in (ORDER, 7):
        merged, wanted = merge(tiles, "CONCAT", order).map, whole.degrade(order, "COVERAGE")
        assert merged.cells == wanted.cells
        assert np.abs(merged.values - wanted.values).max() <= 1e-12
        assert merged.integral_deg2() == pytest.approx(shape.area_deg2, rel=1e-9)
        assert merged.integral_deg2() == pytest.approx(whole.integral_deg2(), rel=1e-12)
    streamed(tmp_path / "a.fits", [Path(one) for one in files_of(tiles, tmp_path)])
    found = io.read(tmp_path / "a.fits").map
    assert found == SkyMap(whole.cells, whole.values.astype(np.float32))


# -- many files -------------------------------------------------------------------------------------------------------


def test_more_tiles_than_files_may_be_open(tmp_path):
    """A coarse result holds thousands of tiles in one unit; those of a block are open at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    tiles = [tile(k, [k * BLOCK // 4 + np.arange(20)]) for k in range(100)]
    paths, total = files_of(tiles, tmp_path), sum(one.map.values.sum(dtype=float) for one in tiles)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        for order in (ORDER, 3, 0):
            made = merge_files(paths, tmp_path / "out.fits", order)
            assert made.content.total == pytest.approx(total / 4 ** (ORDER - order), rel=1e-6)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
