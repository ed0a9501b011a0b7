"""Planes in row blocks, against astropy on every type, scaling and compression; memory; threads."""

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

import readers_helpers as write
from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.planes import open_plane

SHAPE = (37, 53)


def sample(dtype: str) -> np.ndarray:
    draw = np.random.default_rng(7)
    if dtype.startswith("f"):
        return draw.normal(size=SHAPE).astype(dtype)
    info = np.iinfo(dtype)
    return draw.integers(info.min, info.max, SHAPE, dtype=dtype, endpoint=True)


def blocks(location: Path, hdu: int = 0, height: int = 10) -> np.ndarray:
    plane = open_plane(str(location), hdu)
    parts = [plane.read(start, min(start + height, SHAPE[0])).copy() for start in range(0, SHAPE[0], height)]
    assert all(part.dtype == plane.dtype for part in parts)
    plane.close()
    return np.concatenate(parts)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_type_is_read_as_astropy_reads_it(tmp_path: Path, dtype: str, compress: bool) -> None:
    path = tmp_path / "a.fits"
    array = sample(dtype)
    fits.PrimaryHDU(array).writeto(path, checksum=True)
    if compress:
        path = tmp_path / "a.fits.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.fits").read_bytes()))
    found = blocks(path)
    assert found.dtype.kind == np.dtype(dtype).kind
    assert np.array_equal(found, array)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
def test_scaled_planes_are_physical_values(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.fits"
    stored = np.abs(sample(dtype).astype(np.float64) % 100).astype(dtype)
    cards: dict[str, Any] = {"BSCALE": 0.25, "BZERO": -3.0}
    if np.dtype(dtype).kind in "iu":
        stored[3, 4] = 99
        cards["BLANK"] = 99
    path.write_bytes(write.image_bytes(stored, cards))
    found = blocks(path)
    with fits.open(path) as file:
        assert np.array_equal(found, file[0].data, equal_nan=True)


@pytest.mark.parametrize("algorithm", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"])
@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "u2"])
def test_every_tile_compression(tmp_path: Path, algorithm: str, dtype: str) -> None:
    if (algorithm == "PLIO_1" and dtype != "i2") or (algorithm == "HCOMPRESS_1" and dtype == "u2"):
        pytest.skip("not a combination of the format")
    array = sample(dtype) // 4 if dtype != "f4" else sample(dtype)
    array = np.abs(array) if algorithm == "PLIO_1" else array
    path = tmp_path / "a.fits.fz"
    tile = (16, SHAPE[1]) if algorithm == "HCOMPRESS_1" else None
    options: dict[str, Any] = {"compression_type": algorithm, "tile_shape": tile, "hcomp_scale": 0}
    image = fits.CompImageHDU(array, quantize_level=16, **options)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, checksum=True)
    with fits.open(path) as file:
        expected = file[1].data
    for height in (1, 7, 37):
        assert np.array_equal(blocks(path, 1, height), expected)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 37), st.integers(0, 37)).map(sorted), min_size=1, max_size=8))
def test_any_window_of_a_plain_file(
    tmp_path_factory: pytest.TempPathFactory, windows: list[list[int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "window.fits"
    array = sample("f4")
    if not path.exists():
        path.write_bytes(write.image_bytes(array))
    plane = open_plane(str(path))
    for start, stop in windows:
        assert np.array_equal(plane.read(start, stop), array[start:stop])
    plane.close()


def test_plain_files_are_mapped_and_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(write.image_bytes(sample("i4")))
    plane = open_plane(str(path))
    rows = plane.read(0, 5)
    assert not rows.flags.writeable
    assert rows.dtype == np.dtype(">i4")
    plane.close()
    assert rows[4, 4] == sample("i4")[4, 4]  # a window outlives its plane


def test_gzip_uses_the_buffer_and_goes_forward_only(tmp_path: Path) -> None:
    path = tmp_path / "a.fits.gz"
    path.write_bytes(gzip.compress(write.image_bytes(sample("f4"))))
    plane = open_plane(str(path))
    assert plane.sequential
    buffer = np.zeros((12, SHAPE[1]), np.float32)
    rows = plane.read(2, 12, buffer)
    assert np.shares_memory(rows, buffer)
    assert np.array_equal(rows, sample("f4")[2:12])
    assert np.array_equal(plane.read(20, 37), sample("f4")[20:])
    with pytest.raises(ValueError, match="ascending"):
        plane.read(5, 6)
    plane.close()


def test_threads_may_share_a_plain_plane(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    array = np.arange(400 * 300, dtype=np.int32).reshape(400, 300)
    path.write_bytes(write.image_bytes(array))
    plane = open_plane(str(path))
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda row: int(plane.read(row, row + 4).sum()), range(0, 400, 4)))
    plane.close()
    assert sums == [int(array[row : row + 4].sum()) for row in range(0, 400, 4)]


def test_handles_are_given_back(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(write.image_bytes(sample("f4")))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        plane = open_plane(str(path))
        plane.read(0, 3)
        plane.close()
        with pytest.raises(InputError):
            open_plane(str(path), "NONE")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("bitpix", "direct"), [("f4", True), ("f8", False), ("i4", True), ("i2", False)])
def test_who_compares_the_sum(tmp_path: Path, bitpix: str, direct: bool) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(write.image_bytes(sample(bitpix)))
    plane = open_plane(str(path), direct=(32, -32))
    assert (plane.datasum is not None) == direct
    plane.close()


def test_resident_memory_is_the_window(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    header = write.header_bytes(
        [("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 8000), ("NAXIS2", 8000)]
    )
    with path.open("wb") as handle:
        handle.write(header)
        handle.truncate(len(header) + -(-8000 * 8000 * 4 // 2880) * 2880)

    def resident() -> int:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    plane = open_plane(str(path))
    before, most = resident(), 0
    for start in range(0, 8000, 80):
        float(plane.read(start, start + 80).sum())
        most = max(most, resident() - before)
    plane.close()
    assert most < 20_000  # kB, of 256 MB


def test_one_hdu_of_many_is_opened_alone(tmp_path: Path) -> None:
    """With its place and identity as listed the headers of the others are not looked at; another file is refused."""
    path = tmp_path / "many.fits"
    hdus = [fits.ImageHDU(np.full(SHAPE, n, np.float32), name=f"N{n}") for n in range(5)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, checksum=True)
    with open_fits(str(path)) as file:
        unit = file.hdus[4]
        identity = file.identity(unit)
    broken = bytearray(path.read_bytes())
    broken[2880 + 10 : 2880 + 20] = b"?" * 10  # of an HDU before it
    path.write_bytes(broken)
    with pytest.raises(InputError):
        open_plane(str(path), 4, identity=identity)
    plane = open_plane(str(path), 4, identity=identity, offset=unit.offset)
    assert np.all(plane.read(0, SHAPE[0]) == 3.0)
    plane.close()
    for offset in (unit.offset + 2880, unit.offset - 2880):
        with pytest.raises(InputError):
            open_plane(str(path), 4, identity=identity, offset=offset)
    with pytest.raises(InputError, match="must be the file that was listed"):
        open_plane(str(path), 3, identity=identity, offset=unit.offset)
    path.write_bytes(broken[: unit.data_offset])
    with pytest.raises(InputError, match="cut"):
        open_plane(str(path), 4, identity=identity, offset=unit.offset)
