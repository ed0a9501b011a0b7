"""Files that must not be merged: mixed, listed twice, missing, cut, altered; the message names them."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import io_helpers
from merging_helpers import ORDER, PROVENANCE, SPREAD, files_of, from_scratch, tile
from vmpz import io
from vmpz.errors import InputError, MapMismatchError, VmpzError
from vmpz.io.rows import open_rows
from vmpz.make.merge import Merge
from vmpz.parameters import MapParameters
from vmpz.products import Product
from vmpz.run.merging import add_files, merge_files_to
from vmpz.run.tasks import merge_files
from vmpz.sky.skymap import SkyMap

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
        with pytest.raises(MapMismatchError, match=r"order must agree, found (12 and 10|10 and 12)"):
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


def test_mixed_orders_whose_tiles_share_a_coarse_cell_are_refused(tmp_path):
    """They are degraded one by one: what two of them list is not added up in silence."""
    coarse = io_helpers.make(
        io_helpers.key("coverage", area="7", order=ORDER - 2), {"WEIGHT": np.ones(1, np.float32)},
        {"WGTKIND": "OBSFRAC", "DEGRULE": "COVERAGE"}, cells=[100],
    )  # fmt: skip
    paths = files_of([tile(0, [np.arange(20)]), tile(1, [np.arange(20, 40)]), coarse], tmp_path)
    with pytest.raises(
        MapMismatchError, match=r"100000000.fits and .*100000001.fits: cells must be disjoint, found 1"
    ):
        merge_files(paths, tmp_path / "x.fits", allow_mixed=True)


def test_mixed_conventions_are_refused_and_converted_exactly_if_that_is_asked(tmp_path):
    one, two = tile(0, SPREAD[0]), tile(1, SPREAD[1])
    ours = str(io.write_file(one, tmp_path / "ours.fits"))
    mer = str(io.write_file(two, tmp_path / "mer.fits", maps=MapParameters(coverage_convention="MER")))
    for pair in ((ours, mer), (mer, ours)):
        with pytest.raises(
            MapMismatchError, match=r"COVCONV must agree, found '(OBSERVED|MER)' and"
        ) as refused:
            merge_files(pair, tmp_path / "x.fits")
        assert ours in str(refused.value) and mer in str(refused.value)
        merge_files(pair, tmp_path / "y.fits", allow_mixed=True)
        found = io.read(tmp_path / "y.fits")
        assert found.keywords["MIXED"] == "COVCONV"
        assert found.map == SkyMap.join([one.map, two.map])  # to the bit
    merge_files([mer], tmp_path / "y.fits")
    assert io.read(tmp_path / "y.fits").map == two.map and io.convention_of(tmp_path / "y.fits") == "OBSERVED"


def test_a_folder_is_all_products_in_it(tmp_path):
    """Be they in folders of it, or packed."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    paths = files_of([tile(k, SPREAD[k]) for k in range(3)], tmp_path / "a")
    wanted = from_scratch(paths, tmp_path)
    moved = Path(paths[1]).rename(tmp_path / "a" / "b" / Path(paths[1]).name)
    merge_files([str(tmp_path / "a")], tmp_path / "out.fits")
    assert (tmp_path / "out.fits").read_bytes() == wanted
    moved.with_suffix(".fits.gz").write_bytes(gzip.compress(moved.read_bytes()))
    moved.unlink()
    merge_files([str(tmp_path / "a")], tmp_path / "out.fits")
    assert io.read(tmp_path / "out.fits").map == io.read(tmp_path / "fresh" / "a.fits").map


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
    place = {
        "flipped": middle if form == "parquet" else -2870,
        "header": -300 if form == "parquet" else 400,
    }.get(spoil, 0)
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
