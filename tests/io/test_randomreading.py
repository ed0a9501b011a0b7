"""Random catalogues are read as they were written, those of other software too; what was altered is found."""

import itertools
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

import random_helpers
from random_helpers import some
from vmpz import io
from vmpz.errors import InputError
from vmpz.io.hats import partition_path

ROWS = 3000
ALL = io.random_columns(
    redshift=True, bands=("VIS",), size=True, classes=True, maps=(io.RandomColumn("tile", "i8"),)
)
FULL = io.random_columns()
WRITERS = {
    "a.fits": random_helpers.write_fits,
    "a.parquet": random_helpers.write_parquet,
    "a.hats": random_helpers.write_hats,
}


@pytest.fixture(params=WRITERS)
def name(request):
    return request.param


@pytest.fixture
def path(name, tmp_path):
    return WRITERS[name](tmp_path / name, random_helpers.points(ROWS))


# -- ours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [FULL, ALL], ids=["full", "all"])
def test_it_reads_back(columns, name, tmp_path):
    arrays = random_helpers.points(ROWS, columns=columns)
    catalogue = io.open_random(WRITERS[name](tmp_path / name, arrays, columns))
    assert catalogue.rows == ROWS and sorted(catalogue.columns) == sorted(arrays)
    assert catalogue.columns[:2] == ("RIGHT_ASCENSION", "DECLINATION")
    found = random_helpers.everything(catalogue.path)
    for column, array in arrays.items():
        assert np.array_equal(found[column], array) and found[column].dtype == array.dtype, column
    assert io.is_random(catalogue.path) and io.check(catalogue.path) == []


def test_keywords(path):
    found = io.open_random(path).keywords
    wanted = {**random_helpers.WORDS, "NSIMOBJ": ROWS, "CAT_NOBJ": ROWS, "HPXORDER": 14, "BINSEL": "bright"}
    assert {name: found[name] for name in wanted} == wanted
    assert "WGTKIND" not in found and "DEGRULE" not in found


def test_what_it_is_in_short(path):
    told = io.summary(path)
    assert (told["kind"], told["rows"], told["SEED"]) == ("random", ROWS, random_helpers.WORDS["SEED"])
    assert told["bytes"] == sum(one.stat().st_size for one in files_of(path))
    assert told["columns"].startswith("RIGHT_ASCENSION,DECLINATION,")


@pytest.mark.parametrize("rows", [1, 7, 1000, 1 << 20])
def test_blocks_have_a_largest_size_and_the_columns_asked_for(rows, path):
    catalogue = io.open_random(path)
    blocks = list(catalogue.blocks(["DECLINATION", "HPIX_29"], rows))
    assert all(list(block) == ["DECLINATION", "HPIX_29"] for block in blocks)
    assert {len(block["HPIX_29"]) for block in blocks} <= set(range(1, rows + 1))
    wanted = random_helpers.points(ROWS)["DECLINATION"]
    assert np.array_equal(np.concatenate([block["DECLINATION"] for block in blocks]), wanted)
    with pytest.raises(InputError, match="column NONE must be present"):
        list(catalogue.blocks(["NONE"]))


def test_nothing_is_no_catalogue(tmp_path):
    (tmp_path / "folder").mkdir()
    for place in ("none.fits", "folder", "none.parquet"):
        with pytest.raises(InputError, match="must be a catalogue"):
            io.open_random(tmp_path / place)
        assert not io.is_random(tmp_path / "folder")


# -- other software's -----------------------------------------------------------------------------------------


OTHERS = {
    "ra": np.array([1.5, 2.5, 359.5]),
    "Dec": np.array([-1.0, 0.25, 90.0]),
    "weight": np.array([0.5, 1.0, 2.0]),
    "z": np.array([1, 2, 3], np.float32),
}


@pytest.mark.parametrize("other", ["b.fits", "b.fits.gz", "b.parquet", "b.pq"])
def test_names_in_any_case(other, tmp_path):
    if ".fits" in other:
        Table(OTHERS).write(tmp_path / other)
    else:
        pq.write_table(pa.table(OTHERS), tmp_path / other)
    catalogue = io.open_random(tmp_path / other)
    assert (catalogue.rows, catalogue.keywords) == (3, {})
    assert catalogue.columns == ("RIGHT_ASCENSION", "DECLINATION", "WEIGHT", "z")
    found = random_helpers.everything(tmp_path / other)
    assert [found[name].tolist() for name in catalogue.columns] == [
        array.tolist() for array in OTHERS.values()
    ]
    assert not io.is_random(tmp_path / other)


def test_positions_by_their_names_and_in_float32(tmp_path):
    table = {"RA": np.zeros(2), "DEC": np.zeros(2), "x": np.float32([1.1, 2]), "y": np.float32([3, 4])}
    Table(table).write(tmp_path / "b.fits")
    found = io.open_random(tmp_path / "b.fits", ("x", "y"))
    assert found.columns == ("RIGHT_ASCENSION", "DECLINATION", "RA", "DEC")
    (block,) = found.blocks()
    assert block["RIGHT_ASCENSION"].dtype == np.float64
    assert block["RIGHT_ASCENSION"].tolist() == [float(np.float32(1.1)), 2.0]
    with pytest.raises(InputError, match="columns of position a/b must be present"):
        io.open_random(tmp_path / "b.fits", ("a", "b"))


def test_scaled_integers_and_missing_values(tmp_path):
    columns = [
        fits.Column("RA", "D", array=[1.0, 2.0]), fits.Column("DEC", "D", array=[1.0, 2.0]),
        fits.Column("N", "J", bzero=1 << 31, array=np.array([5, 6], np.uint32)),
        fits.Column("M", "J", null=-99, array=[-99, 3]), fits.Column("NAME", "4A", array=["a", "b"]),
    ]  # fmt: skip
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "b.fits")
    (block,) = io.open_random(tmp_path / "b.fits").blocks()
    assert list(block) == ["RIGHT_ASCENSION", "DECLINATION", "N", "M"]
    assert block["N"].tolist() == [5.0, 6.0]
    assert np.isnan(block["M"][0]) and block["M"][1] == 3
    pq.write_table(pa.table({"RA": [1.0, 2.0], "DEC": [1.0, None], "M": [None, 3]}), tmp_path / "b.parquet")
    (block,) = io.open_random(tmp_path / "b.parquet").blocks()
    assert np.isnan([block["DECLINATION"][1], block["M"][0]]).all()


def test_a_hats_folder_of_other_software(tmp_path):
    """With names of its own, a list of cells alone, and a validator's _metadata."""
    folder, arrays = tmp_path / "other", random_helpers.points(ROWS)
    parts = arrays["HPIX_29"] >> 50
    for pixel in np.unique(parts).tolist():
        place = folder / partition_path(4, pixel)
        place.parent.mkdir(parents=True, exist_ok=True)
        inside = parts == pixel
        names = {"_healpix_29": "HPIX_29", "alpha0": "RIGHT_ASCENSION", "delta0": "DECLINATION"}
        table = pa.table({here: arrays[name][inside] for here, name in names.items()})
        pq.write_table(table, place)
    pq.write_metadata(table.schema, str(folder / "dataset" / "_common_metadata"))
    cells = "".join(f"4,{pixel}\n" for pixel in np.unique(parts))
    (folder / "partition_info.csv").write_text(f"Norder,Npix\n{cells}")
    (folder / "properties").write_text(
        "#HATS catalog\nobs_collection=other\nhats_nrows=3000\nhats_col_ra = alpha0\nhats_col_dec=delta0\n"
    )
    catalogue = io.open_random(folder)
    assert (catalogue.rows, catalogue.columns) == (ROWS, ("RIGHT_ASCENSION", "DECLINATION", "HPIX_29"))
    found = random_helpers.everything(folder)
    assert all(np.array_equal(found[name], arrays[name]) for name in catalogue.columns)
    assert io.check(folder) == []
    first, second = (folder / partition_path(4, pixel) for pixel in np.unique(parts)[:2])
    first.rename(folder / "x"), second.rename(first), (folder / "x").rename(second)
    assert sum("must ascend and lie in" in fault for fault in io.check(folder)) == 2
    (folder / "properties").write_text("hats_nrows=2999\nhats_col_ra=alpha0\nhats_col_dec=delta0\n")
    assert any("must hold 2999 rows, found 3000" in fault for fault in io.check(folder))


# -- what was altered -----------------------------------------------------------------------------------------


def files_of(path):
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]


def what_is_read(path):
    """Values, keywords and, of Parquet, what searches rely on."""
    told = [io.open_random(path).keywords, *map(bytes, random_helpers.everything(path).values())]
    if path.suffix == ".parquet":
        group = pq.read_metadata(path).row_group(0)
        stated = [group.column(number).statistics for number in range(group.num_columns)]
        told += [one and one.has_min_max and (one.min, one.max) for one in stated]
    return told


def test_a_flipped_byte_is_found(name, tmp_path):
    """Anywhere; in one Parquet file, whose footer says many things twice, or it changes nothing that is read."""
    path = WRITERS[name](tmp_path / name, some(random_helpers.points(3000), 0, 300))
    rng, before = np.random.default_rng(5), what_is_read(path)
    for file in files_of(path):
        whole = file.read_bytes()
        for place in rng.integers(0, len(whole), 25 if path.is_dir() else 120).tolist():
            file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
            found = io.check(path) or (name == "a.parquet" and what_is_read(path) == before)
            assert found, f"{file.name}: byte {place} of {len(whole)}"
        file.write_bytes(whole)
    assert io.check(path) == []


def test_a_flipped_byte_is_found_where_it_is_read(path):
    """Of the values: reading to the end is enough."""
    file = max(files_of(path), key=lambda one: one.stat().st_size)
    whole = file.read_bytes()
    place = len(whole) // 2
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(InputError, match=r"checksum|DATASUM"):
        random_helpers.everything(path)


def test_a_cut_file_is_found(path):
    for file in files_of(path):
        whole = file.read_bytes()
        for size in (len(whole) - 1, len(whole) // 2, 0):
            file.write_bytes(whole[:size])
            assert io.check(path), f"{file.name}: {size} of {len(whole)}"
        file.write_bytes(whole)
    assert io.check(path) == []


@pytest.fixture
def folder(tmp_path):
    return random_helpers.write_hats(tmp_path / "a.hats", random_helpers.points(ROWS))


def test_a_missing_file_is_found(folder):
    for file in files_of(folder):
        file.rename(folder.parent / "away")
        assert io.check(folder), file.name
        (folder.parent / "away").rename(file)
    assert io.check(folder) == []


def test_a_partition_info_that_lies_is_found(folder):
    path = folder / "partition_info.csv"
    text = path.read_text()
    head, first, *rest = text.splitlines(keepends=True)
    order, pixel, rows, digest = first.split(",")
    lies = [
        head + "".join(rest),
        head + first + first + "".join(rest),
        head + f"{order},{pixel},{int(rows) + 1},{digest}" + "".join(rest),
        head + f"{order},{int(pixel) + 1},{rows},{digest}" + "".join(rest),
        head + f"{order},many,{rows},{digest}" + "".join(rest),
        head + f"99,{pixel},{rows},{digest}" + "".join(rest),
        head + first + "".join(rest[::-1]),
        "",
    ]
    for lie in lies:
        path.write_text(lie)
        assert any("partition_info" in fault for fault in io.check(folder)), lie
        with pytest.raises(InputError):
            random_helpers.everything(folder)
    path.write_text(text)
    assert io.check(folder) == []


def test_a_partition_that_is_not_listed_is_found(folder):
    shutil.copy(folder / next(iter(io.open_random(folder).partitions)), folder / partition_path(5, 0))
    assert any("Npix=0.parquet: must not be there" in fault for fault in io.check(folder))


def test_a_count_that_is_none_is_found(tmp_path):
    path = random_helpers.write_fits(tmp_path / "a.fits", random_helpers.points(30))
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["NSIMOBJ"] = 31
        for hdu in hdus:
            hdu.add_checksum()
    assert any("NSIMOBJ must be the number of rows, 30; found 31" in fault for fault in io.check(path))


def test_positions_off_the_sphere_are_found(tmp_path):
    for (name, value), end in itertools.product(
        {"RA": 360.0, "DEC": np.nan, "WEIGHT": np.inf}.items(), ("fits", "parquet")
    ):
        arrays = random_helpers.points(30)
        column = {"RA": "RIGHT_ASCENSION", "DEC": "DECLINATION"}.get(name, name)
        path = WRITERS[f"a.{end}"](tmp_path / f"a.{end}", arrays)
        with pytest.MonkeyPatch.context() as patched:
            for module in ("randomfits", "hats"):
                patched.setattr(f"vmpz.io.{module}.must_be_positions", lambda arrays, where: None)
            arrays[column][7] = value
            WRITERS[f"a.{end}"](path, arrays)
        assert any(column in fault for fault in io.check(path))
