"""Merging files: the bytes of the merge in memory, in any order and from any form; regions, owners, and what changed."""

import gzip
import json
import resource
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import io_helpers
from vmpz import io
from vmpz.errors import InputError, MapMismatchError, VmpzError
from vmpz.io.rows import open_rows
from vmpz.make.merge import Merge, merge
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.run.merging import Made, Units, add_files, merge_files_to, units_path
from vmpz.run.regions import PatchRegion
from vmpz.run.store import Entry, Store
from vmpz.run.tasks import merge_files
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Cap, Polygon, cells_inside, covered_fractions
from vmpz.sky.skymap import SkyMap
from vmpz.tiles import tile_at, tiling

PROVENANCE = io_helpers.provenance()
ORDER = 12
BLOCK = 4**9
"""Cells of a block, and of a unit of a map of order 12 that is not degraded below order 3."""

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


def streamed(
    out: Path, paths: list[Path], weights: list[Path] = (), maps: MapParameters | None = None, **more
) -> Made:
    """Merge files with a fixed provenance."""
    tiles, shares = Merge(), Merge()
    add_files(tiles, paths)
    add_files(shares, weights)
    return merge_files_to(out, tiles, shares, "CONCAT", maps or MapParameters(), PROVENANCE, **more)


def in_memory(out: Path, products: list[Product], order: int | None, weights: list[Product] = ()) -> bytes:
    """The file of the merge in memory."""
    made = merge(products, "CONCAT", order, weights)
    return io.write_file(replace(made, provenance=PROVENANCE), out).read_bytes()


# -- files as in memory ------------------------------------------------------------------------------------------------------


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


def test_several_columns_and_further_forms_of_the_result(store, tmp_path):
    paths = [str(entry.path(".fits")) for entry in tiles_of(store, "bitmask", "-", "VIS")]
    merge_files(paths, tmp_path / "a.fits", 9)
    for name in ("a.moc.fits", "a.parquet"):
        made = merge_files(paths, tmp_path / name, 9)
        again, wanted = io.read(tmp_path / name), io.read(tmp_path / "a.fits")
        assert made.content.rows == len(wanted.map) and again.keywords["DEGRULE"] == "COVERAGE"
        assert dict(again.maps) == dict(wanted.maps) and len(again.maps) > 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.fits", "a.moc.fits", "a.parquet"]


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


# -- small tiles of one's own ------------------------------------------------------------------------------------------------


def tile(
    number: int,
    cells: object,
    kind: str = "coverage",
    value: float | None = None,
    words: dict = {},
    **fields: object,
) -> Product:
    """A tile product; its values are fixed by its number unless one is given."""
    where = CellSet.from_cells(ORDER, np.concatenate([np.atleast_1d(one) for one in cells]))
    values = np.random.default_rng(number).integers(1, 64, len(where)).astype(np.float32) / 64
    values = values + 24 if kind == "depth" else values
    values = values if value is None else np.full(len(where), value, np.float32)
    rule = (
        {"WGTKIND": "MAG", "DEGRULE": "LOGQUAD"}
        if kind == "depth"
        else {"WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE"}
    )
    areas = {} if kind == "depth" else {
        "TILEAREA": where.area_deg2, "OBSAREA": SkyMap(where, values).integral_deg2()
    }  # fmt: skip
    unit = "mag" if kind == "depth" else ""
    key = io_helpers.key(kind, **{"area": str(100000000 + number), "order": ORDER, **fields})
    provenance = io_helpers.provenance(inputs={"tile": f"{number} {value}"})
    return Product(key, {"WEIGHT": SkyMap(where, values)}, None, {**io_helpers.COMMON, **rule, **areas, **words}, unit,
                   provenance)  # fmt: skip


def files_of(products: list[Product], folder: Path) -> list[str]:
    return [str(io.write_file(one, folder / f"{one.key.area}.fits")) for one in products]


SPREAD = [
    [np.arange(0, 300)], [np.arange(300, 500), BLOCK + np.arange(50)], [3 * BLOCK + np.arange(100)],
    [20 * BLOCK + np.arange(60)], [BLOCK + np.arange(60, 90), 21 * BLOCK - np.arange(1, 30)],
]  # fmt: skip
"""Tiles over the units 0, 1, 3 and 20 of a map at its own order."""


# -- regions -----------------------------------------------------------------------------------------------------------------


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


# -- owners ------------------------------------------------------------------------------------------------------------------


def wide_tiles(lon: float, lat: float, count: int) -> list[str]:
    """A patch of count x count tiles of the regular grid."""
    rows = [tile_at(lon, lat + 0.5 * k) for k in range(count)]
    return [str(int(row.id) + k) for row in rows for k in range(count)]


@pytest.fixture
def extended(tmp_path) -> tuple[list[str], list[CellSet]]:
    """Files of nine tiles of 32', each with a value of its own, and the cells that the tiles own."""
    grid, paths, owned = tiling("euclid-wide"), [], []
    for number, name in enumerate(wide_tiles(57.9988, -51.5, 3)):
        lon, lat = tile_at(57.9988, -51.5).lon_deg, 0
        outline = _outline_of(name)
        cells = cells_inside(outline, ORDER) | grid.owned(name, ORDER)
        value = (number + 1) / 16
        one = tile(0, [cells.cells()], value=value, area=name, words={"SFPAREA": 1.0, "SFPDIFF": 0.0})
        paths += [str(io.write_file(one, tmp_path / f"{name}.fits"))]
        owned.append(grid.owned(name, ORDER))
        assert lon and lat == 0
    return paths, owned


def _outline_of(name: str) -> Polygon:
    from vmpz.tiles import tile as wide_tile

    return wide_tile(name).outline()


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
    more = cells_inside(_outline_of(name), ORDER) | owned
    path = str(io.write_file(tile(1, [more.cells()], area=name), tmp_path / "t.fits"))
    for owners, wanted in (("euclid-wide", owned), (None, more), ("euclid-wide", owned)):
        made = merge_files([path], tmp_path / "a.fits", owners=owners, update=True)
        assert made.copied == 0
        assert io.read(tmp_path / "a.fits").map.cells == wanted


# -- acceptance 3 ------------------------------------------------------------------------------------------------------------


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


# -- what changed, and nothing else --------------------------------------------------------------------------------------------


def from_scratch(paths: list[str], folder: Path, **more: object) -> bytes:
    merge_files(paths, folder / "fresh" / "a.fits", **more)
    return (folder / "fresh" / "a.fits").read_bytes()


@pytest.mark.parametrize("order", [None, 10, 2])
def test_add_replace_and_retract_a_tile(order, tmp_path):
    tiles = [tile(k, cells) for k, cells in enumerate(SPREAD)]
    out, units = tmp_path / "a.fits", ((0, 1, 3, 20) if order != 2 else (0, 5))
    paths = files_of(tiles, tmp_path)

    def updated(files: list[str], made_anew: set[int]) -> None:
        made = merge_files(files, out, order, update=True)
        assert out.read_bytes() == from_scratch(files, tmp_path, order=order)
        table = Units.read(units_path(out))
        assert table == made.units and table.are_of(open_rows(out))
        there = set(table.table)
        shift = 0 if order != 2 else 2
        assert made.copied == len(there - {unit >> shift for unit in made_anew})

    updated(paths[:4], set(range(21)))  # the first time
    assert list(Units.read(units_path(out)).table) == list(units)
    updated(paths[:4], set())
    updated(paths, {1, 20})  # add
    files_of([tile(2, SPREAD[2], value=0.25)], tmp_path)
    updated(paths, {3})  # replace
    files_of([tile(1, [SPREAD[1][0]])], tmp_path)
    updated(paths, {0, 1})  # it lies no more in unit 1
    updated([paths[0], *paths[2:]], {0})  # retract
    updated(paths[:3], {0, 1, 20})
    merge_files(paths[:2], out, order)  # the table of units is now that of another file
    updated(paths, set(range(21)))


def test_weights_count_as_what_a_unit_is_made_of(tmp_path):
    (tmp_path / "w").mkdir()
    deep = files_of([tile(k, cells, "depth") for k, cells in enumerate(SPREAD)], tmp_path)
    shares = files_of([tile(k, cells) for k, cells in enumerate(SPREAD)], tmp_path / "w")
    out = tmp_path / "a.fits"
    assert merge_files(deep, out, 9, shares, update=True).copied == 0
    assert merge_files(deep, out, 9, shares, update=True).copied == 4
    files_of([tile(3, SPREAD[3], value=0.5)], tmp_path / "w")
    assert merge_files(deep, out, 9, shares, update=True).copied == 3
    assert out.read_bytes() == from_scratch(deep, tmp_path, order=9, weights=shares)
    assert merge_files(deep, out, 9, update=True).copied == 0


@pytest.mark.parametrize("order", [None, 9])
def test_other_questions_are_not_answered_with_earlier_rows(order, tmp_path):
    """Order, region, zeros, convention and further columns: whatever is asked next has the bytes of a fresh merge."""
    tiles = [tile(k, cells) for k, cells in enumerate(SPREAD)]
    tiles[1] = tile(1, SPREAD[1], value=0.0)
    paths, out = files_of(tiles, tmp_path), tmp_path / "a.fits"
    paths = [
        str(io.write_file(one, path, maps=MapParameters(write_zeros=True)))
        for one, path in zip(tiles, paths, strict=True)
    ]
    questions = [
        {"order": order}, {"order": order, "maps": MapParameters(write_zeros=True)}, {"order": order},
        {"order": order, "region": PatchRegion(Cap(45.0, 1.0, 1.2))}, {"order": 11}, {"order": order},
        {"order": order, "maps": MapParameters(coverage_convention="MER")}, {"order": order},
        {"order": order, "maps": MapParameters(strict_dpdd=True)}, {"order": order},
    ]  # fmt: skip
    for question in questions:
        merge_files(paths, out, update=True, **question)
        assert out.read_bytes() == from_scratch(paths, tmp_path, **question), question
    assert merge_files(paths, out, order, update=True).copied == 4
    assert out.read_bytes() == from_scratch(paths, tmp_path, order=order)


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2870] ^= 1
    path.write_bytes(content)


def _rows_moved(path: Path) -> None:
    content = json.loads(path.read_text())
    content["units"][1][2] -= 3
    path.write_text(json.dumps(content))


def _rows_lost(path: Path) -> None:
    content = json.loads(path.read_text())
    del content["units"][2]
    path.write_text(json.dumps(content))


def _other_file(path: Path) -> None:
    """A merge of other tiles in its place, with as many rows."""
    paths = files_of([tile(k, cells, value=0.75) for k, cells in enumerate(SPREAD)], path.parent / "other")
    merge_files(paths, path)


BROKEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "the result is gone": ("result", Path.unlink),
    "the result is cut": ("result", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "a row is altered": ("result", _flipped),
    "the result is empty": ("result", lambda path: path.write_bytes(b"")),
    "the result is another": ("result", _other_file),
    "the result is no map": ("result", lambda path: path.write_text("<html>")),
    "the table is gone": ("units", Path.unlink),
    "the table is empty": ("units", lambda path: path.write_text("")),
    "the table is no table": ("units", lambda path: path.write_text('{"units": 3}')),
    "the table is a list": ("units", lambda path: path.write_text("[1, 2]")),
    "the table is of text": ("units", lambda path: path.write_bytes(b"\xff\xfe")),
    "rows of the table are moved": ("units", _rows_moved),
    "rows of the table are lost": ("units", _rows_lost),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_earlier_result_that_is_broken_or_foreign_is_not_used(fault, tmp_path):
    (tmp_path / "other").mkdir()
    paths, out = files_of([tile(k, cells) for k, cells in enumerate(SPREAD)], tmp_path), tmp_path / "a.fits"
    merge_files(paths, out, update=True)
    wanted = out.read_bytes()
    which, spoil = BROKEN[fault]
    spoil(out if which == "result" else units_path(out))
    made = merge_files(paths, out, update=True)
    assert made.copied == 0
    assert out.read_bytes() == wanted
    assert merge_files(paths, out, update=True).copied == 4


def test_nothing_of_a_failed_update_is_kept(tmp_path):
    """Neither the result nor its table changes, so the next update starts from what was right."""
    paths, out = files_of([tile(k, cells) for k, cells in enumerate(SPREAD)], tmp_path), tmp_path / "a.fits"
    merge_files(paths[:4], out, update=True)
    before = out.read_bytes(), units_path(out).read_bytes()
    _flipped(Path(paths[4]))
    with pytest.raises(InputError, match=r"100000004.fits\[1\]: DATASUM must be"):
        merge_files(paths, out, update=True)
    assert (out.read_bytes(), units_path(out).read_bytes()) == before
    files_of([tile(4, SPREAD[4])], tmp_path)
    assert merge_files(paths, out, update=True).copied == 2
    assert out.read_bytes() == from_scratch(paths, tmp_path)


# -- faults ------------------------------------------------------------------------------------------------------------------


DIFFERENT = {
    "band": {"band": "NIR_Y"},
    "instrument": {"instrument": "NISP"},
    "release": {"release": "0.13"},
    "selection": {"words": {"BITSEL": "0,1"}},
    "BITTABLE": {"words": {"BITTABLE": "nir"}},
    "BITTABVR": {"words": {"BITTABVR": "15"}},
}


def named(product: Product, folder: Path) -> str:
    """A file under its published name: it holds the release."""
    folder.mkdir(exist_ok=True)
    return str(io.write(product, folder)[0])


@pytest.mark.parametrize("field", DIFFERENT)
def test_mixed_files_are_refused_with_both_names_and_recorded_if_that_is_asked(field, tmp_path):
    bits = {"BITSEL": "0", "BITTABLE": "vis", "BITTABVR": "14"}
    change = DIFFERENT[field]
    one = named(tile(0, SPREAD[0], words=bits), tmp_path / "a")
    two = named(
        tile(1, SPREAD[1], **{**change, "words": {**bits, **change.get("words", {})}}), tmp_path / "b"
    )
    for pair in ((one, two), (two, one)):
        with pytest.raises(MapMismatchError) as refused:
            merge_files(pair, tmp_path / "x.fits")
        assert (
            one in str(refused.value)
            and two in str(refused.value)
            and f"{field} must agree" in str(refused.value)
        )
    results = [tmp_path / "y.fits", tmp_path / "z.fits"]
    for pair, out in zip(((one, two), (two, one)), results, strict=True):
        merge_files(pair, out, allow_mixed=True)
    found = io.read(results[0])
    assert field in found.keywords["MIXED"].split(",")
    assert results[0].read_bytes() == results[1].read_bytes()
    assert found.map == SkyMap.join([io.read(path).map for path in (one, two)])
    assert not (tmp_path / "x.fits").exists()


def test_mixed_units_are_refused(tmp_path):
    one = tile(
        0, SPREAD[0], "info", value=2.0, quantity="Noise", words={"DEGRULE": "QUAD", "WGTKIND": "VALUE"}
    )
    two = replace(
        tile(1, SPREAD[1], "info", value=2.0, quantity="Noise", words=dict(one.keywords)), unit="adu"
    )
    paths = files_of([one, two], tmp_path)
    with pytest.raises(
        MapMismatchError, match=r"100000000.fits and .*100000001.fits: unit must agree, found '' and 'adu'"
    ):
        merge_files(paths, tmp_path / "x.fits")


def test_a_galactic_map_is_refused_by_name(tmp_path):
    from astropy.io import fits

    paths = files_of([tile(0, SPREAD[0]), tile(1, SPREAD[1])], tmp_path)
    fits.setval(paths[1], "COORDSYS", value="G", ext=1)
    with pytest.raises(InputError) as refused:
        merge_files(paths, tmp_path / "x.fits")
    notes = " ".join([str(refused.value), *getattr(refused.value, "__notes__", ())])
    assert "100000001.fits" in notes and ("COORDSYS" in notes or "CHECKSUM" in notes)


def test_mixed_orders(tmp_path):
    fine = tile(0, [np.arange(64)])
    coarse = io_helpers.make(
        io_helpers.key("coverage", area="7", order=ORDER - 2), {"WEIGHT": np.full(3, 0.5, np.float32)},
        {"WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE"}, cells=[100, 101, 102],
    )  # fmt: skip
    paths = files_of([fine, coarse], tmp_path)
    for pair in (paths, paths[::-1]):
        with pytest.raises(MapMismatchError, match="order must agree, found (12 and 10|10 and 12)"):
            merge_files(pair, tmp_path / "x.fits")
        merge_files(pair, tmp_path / "y.fits", allow_mixed=True)
        found = io.read(tmp_path / "y.fits")
        assert found.key.order == ORDER - 2 and "order" in found.keywords["MIXED"].split(",")
        assert found.map == SkyMap.join(
            [
                SkyMap(one.cells, one.values.astype(np.float32))
                for one in (fine.map.degrade(10, "COVERAGE"), coarse.map)
            ]
        )


def test_mixed_conventions_are_refused_and_converted_exactly_if_that_is_asked(tmp_path):
    one, two = tile(0, SPREAD[0]), tile(1, SPREAD[1])
    ours = str(io.write_file(one, tmp_path / "ours.fits"))
    mer = str(io.write_file(two, tmp_path / "mer.fits", maps=MapParameters(coverage_convention="MER")))
    for pair in ((ours, mer), (mer, ours)):
        with pytest.raises(
            MapMismatchError, match="COVCONV must agree, found '(OBSERVED|MER)' and"
        ) as refused:
            merge_files(pair, tmp_path / "x.fits")
        assert ours in str(refused.value) and mer in str(refused.value)
        merge_files(pair, tmp_path / "y.fits", allow_mixed=True)
        found = io.read(tmp_path / "y.fits")
        assert found.keywords["MIXED"] == "COVCONV"
        assert found.map == SkyMap.join([one.map, two.map])  # to the bit
    merge_files([mer], tmp_path / "y.fits")
    assert io.read(tmp_path / "y.fits").map == two.map and io.convention_of(tmp_path / "y.fits") == "OBSERVED"


def test_lists_with_duplicates_and_what_is_missing(tmp_path):
    paths = files_of([tile(k, cells) for k, cells in enumerate(SPREAD)], tmp_path)
    wanted = from_scratch(paths, tmp_path)
    listing = tmp_path / "tiles.txt"
    listing.write_text("\n".join([*paths, "", paths[2], f"  {paths[0]}  "]) + "\n")
    (tmp_path / "link.fits").symlink_to(paths[1])
    merge_files([f"@{listing}", paths[3], str(tmp_path / "link.fits")], tmp_path / "out.fits")
    assert (tmp_path / "out.fits").read_bytes() == wanted
    listing.write_text("\n".join([*paths, str(tmp_path / "gone.fits")]))
    with pytest.raises(InputError, match=r"gone.fits: must be a file, found nothing"):
        merge_files([f"@{listing}"], tmp_path / "out.fits")
    for files, message in (([], "at least one product"), ([str(tmp_path / "fresh" / "no")], "found nothing")):
        with pytest.raises(VmpzError, match=message):
            merge_files(files, tmp_path / "out.fits")
    assert (tmp_path / "out.fits").read_bytes() == wanted


@pytest.mark.parametrize("spoil", ["cut", "flipped", "header", "text"])
@pytest.mark.parametrize("form", ["fits", "moc.fits", "parquet"])
def test_a_product_that_is_cut_or_altered_is_found_and_named(form, spoil, tmp_path):
    products = [tile(k, cells) for k, cells in enumerate(SPREAD)]
    paths = [io.write_file(one, tmp_path / f"{one.key.area}.{form}") for one in products]
    content = bytearray(paths[2].read_bytes())
    middle = len(content) // 2
    place = {"flipped": middle if form == "parquet" else -2870, "header": -300 if form == "parquet" else 400}.get(spoil, 0)
    content[place] ^= 1
    if spoil == "cut":
        content = content[:-1]
    paths[2].write_bytes(b"<html>" if spoil == "text" else bytes(content))
    out = io.write_file(products[0], tmp_path / "out.fits")
    before = out.read_bytes()
    with pytest.raises(InputError) as refused:
        merge_files([str(path) for path in paths], out)
    told = " ".join([str(refused.value), *getattr(refused.value, "__notes__", ())])
    assert f"100000002.{form}" in told
    assert out.read_bytes() == before and len(list(tmp_path.iterdir())) == 6


def test_a_file_that_changes_between_its_header_and_its_rows_is_refused(tmp_path):
    for name in ("a.fits", "a.moc.fits"):
        path = io.write_file(tile(0, SPREAD[0]), tmp_path / name)
        tiles = Merge()
        add_files(tiles, [path])
        io.write_file(tile(0, SPREAD[0], value=0.5), path)
        with pytest.raises(InputError, match=r"DATASUM must be|must not change while it is read"):
            merge_files_to(tmp_path / "x.fits", tiles, Merge(), "p", MapParameters(), PROVENANCE)
        assert not (tmp_path / "x.fits").exists()


def test_cells_outside_the_sphere_are_never_merged(tmp_path):
    """Even from a file whose checksums hold."""
    path = io.write_file(tile(0, [np.arange(12 * 4**ORDER - 9, 12 * 4**ORDER)]), tmp_path / "a.fits")
    file = open_rows(path)
    records = np.memmap(path, file.row_type, "r+", file.offset, (file.count,))
    records["PIXEL"][-1] += 1
    records["PIXEL"][-2] -= 1  # the sum stays what it was
    records.flush()
    assert open_rows(path).rows() is not None
    with pytest.raises(InputError, match=r"a.fits\[1\]: PIXEL must lie in \[0, 201326592\)"):
        merge_files([str(path)], tmp_path / "x.fits")


# -- many files --------------------------------------------------------------------------------------------------------------


def test_more_tiles_than_files_may_be_open(tmp_path):
    """A coarse result holds thousands of tiles in one unit; those of a block are open at a time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    paths = files_of([tile(k, [k * BLOCK // 4 + np.arange(20)]) for k in range(100)], tmp_path)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        for order in (ORDER, 3, 0):
            made = merge_files(paths, tmp_path / "out.fits", order)
            assert made.content.total == pytest.approx(
                sum(io.read(path).map.values.sum(dtype=float) for path in paths) / 4 ** (ORDER - order),
                rel=1e-6,
            )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
