"""Faults 1-10: files that are not whole, lie about their size, or were altered."""

import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import readers_helpers as write
from readers_scan import mangle, read_through, refusal, scan, the_frame
from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.planes import open_plane
from vmpz.readers import open_frame


@pytest.mark.parametrize(
    "content", [b"", b"<html><body>504 Gateway Time-out</body></html>", b"hello\n" * 480]
)
def test_fault_01_not_fits(tmp_path: Path, content: bytes) -> None:
    paths = write.write_band(tmp_path)
    write.write_band(tmp_path, "NIR_Y")
    paths["RMS"].write_bytes(content)
    manifest = scan(tmp_path)
    assert [frame.band for frame in manifest] == ["NIR_Y"]
    assert [item.band for item in manifest.refused] == ["VIS"]
    assert str(paths["RMS"]) in manifest.refused[0].reason


def test_fault_02_cut_by_one_byte_in_the_fill(tmp_path: Path) -> None:
    path = write.write_band(tmp_path)["RMS"]
    mangle(path, lambda data: data[:-1])
    assert re.search(r"RMS.*multiple of 2880 bytes, found 14399", refusal(tmp_path))


@pytest.mark.parametrize("cut", [2880, 5000])
def test_fault_03_cut_in_the_pixels(tmp_path: Path, cut: int) -> None:
    path = write.write_band(tmp_path)["RMS"]
    mangle(path, lambda data: data[:-cut])
    assert "RMS" in refusal(tmp_path)
    with pytest.raises(InputError), open_fits(str(path)):
        pass


def test_fault_03_cut_gzip(tmp_path: Path) -> None:
    path = write.write_band(tmp_path, compress=True)["RMS"]
    mangle(path, lambda data: data[: len(data) // 2])
    assert "RMS" in refusal(tmp_path)


def test_fault_03_trailing_bytes(tmp_path: Path) -> None:
    path = write.write_band(tmp_path)["RMS"]
    mangle(path, lambda data: data + b"\0" * 2880)
    assert "must begin with XTENSION" in refusal(tmp_path)


def test_fault_04_cut_in_an_extension_header(tmp_path: Path) -> None:
    path = tmp_path / "two.fits"
    second = write.image_bytes(np.zeros((4, 5), np.float32), {"EXTNAME": "RMS"}, first=False)
    path.write_bytes(write.EMPTY_PRIMARY + second[:400].ljust(2880, b" "))
    with pytest.raises(InputError, match=r"two.fits\[1\].*END.*cut"), open_fits(str(path)):
        pass
    path.write_bytes(write.EMPTY_PRIMARY)
    with open_fits(str(path)) as file, pytest.raises(InputError, match="HDU RMS must stand once, found 0"):
        file.hdu("RMS")


@pytest.mark.parametrize("compress", [False, True])
def test_fault_05_flipped_bit_with_datasum(tmp_path: Path, compress: bool) -> None:
    path = write.write_band(tmp_path, kinds=["RMS"], compress=compress)["RMS"]

    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[-3000] ^= 0x10
        return bytes(changed)

    mangle(path, (lambda data: gzip.compress(flip(gzip.decompress(data)))) if compress else flip)
    with (
        pytest.raises(InputError, match="DATASUM must be"),
        open_frame(the_frame(tmp_path), ["RMS"]) as frame,
    ):
        read_through(frame)


def test_fault_05_flipped_bit_with_md5_alone(tmp_path: Path) -> None:
    paths = write.write_band(tmp_path, checksum=False)
    md5 = {kind: hashlib.md5(path.read_bytes()).hexdigest() for kind, path in paths.items()}
    names = {kind: path.name for kind, path in paths.items()}
    (tmp_path / "mosaic.xml").write_text(write.mosaic_xml(names, md5=md5))
    frame = the_frame(tmp_path)
    assert not frame.planes["RMS"].verifiable
    open_frame(frame, ["RMS"]).__exit__()
    mangle(paths["RMS"], lambda data: data[:9000] + bytes([data[9000] ^ 1]) + data[9001:])
    with pytest.raises(InputError, match="MD5 must be"):
        open_frame(frame, ["RMS"])


def test_fault_05_without_any_checksum_is_marked(tmp_path: Path) -> None:
    write.write_band(tmp_path, kinds=["RMS"], checksum=False)
    frame = the_frame(tmp_path)
    assert not frame.planes["RMS"].verifiable
    with open_frame(frame, ["RMS"]) as opened:
        assert opened.planes["RMS"].datasum is None


def test_fault_06_wrong_checksum_with_right_datasum(tmp_path: Path) -> None:
    path = write.write_band(tmp_path, kinds=["RMS"])["RMS"]
    mangle(path, lambda data: data.replace(b"Q1_R1", b"Q1_R2"))
    assert re.search(r"RMS.*CHECKSUM must hold.*DATASUM = \d+", refusal(tmp_path))


def test_fault_07_axes_beyond_the_file_and_beyond_the_limit(tmp_path: Path) -> None:
    path = write.write_band(tmp_path, kinds=["RMS"], checksum=False)["RMS"]
    mangle(
        path, lambda data: data.replace(b"NAXIS1  =                   60", b"NAXIS1  =           2000000000")
    )
    assert "NAXISn must not exceed" in refusal(tmp_path)
    mangle(
        path, lambda data: data.replace(b"NAXIS1  =           2000000000", b"NAXIS1  =                60000")
    )
    assert re.search(r"asks for a file of at least \d+ bytes, found 14400", refusal(tmp_path))
    write.write_band(tmp_path, kinds=["RMS"])
    assert "must not exceed 1000" in refusal(tmp_path, max_pixels=1000)


@pytest.mark.parametrize("value", ["-33", "0", "'32'", "32.0"])
def test_fault_08_bitpix(tmp_path: Path, value: str) -> None:
    path = write.write_band(tmp_path, kinds=["RMS"], checksum=False)["RMS"]
    mangle(path, lambda data: data.replace(f"{-32:>20}".encode(), f"{value:>20}".encode(), 1))
    assert re.search(r"RMS.*BITPIX", refusal(tmp_path))


def test_fault_09_gzip_bomb(tmp_path: Path) -> None:
    path = write.write_band(tmp_path, kinds=["RMS"], compress=True)["RMS"]
    honest = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(honest + b"\0" * 50_000_000))
    assert "must begin with XTENSION" in refusal(tmp_path)
    huge = honest.replace(b"NAXIS1  =                   60", b"NAXIS1  =             90000000")
    path.write_bytes(gzip.compress(huge))
    assert re.search(r"gzip cannot hold the \d+", refusal(tmp_path))


def test_fault_09_bomb_whose_trailer_lies(tmp_path: Path) -> None:
    path = write.write_band(tmp_path, kinds=["RMS"], compress=True)["RMS"]
    honest = gzip.decompress(path.read_bytes())
    bomb = gzip.compress(honest + b"\0" * 20_000_000)
    path.write_bytes(bomb[:-4] + len(honest).to_bytes(4, "little"))
    with pytest.raises(InputError, match="fill must end"), open_frame(the_frame(tmp_path), ["RMS"]) as frame:
        read_through(frame)


@pytest.fixture
def tiled(tmp_path: Path) -> Path:
    """A RICE-compressed flag plane."""
    path = tmp_path / "flag.fits.fz"
    header = fits.Header(write.plane_cards("FLAG"))
    image = fits.CompImageHDU(write.planes()["FLAG"], header, compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    return path


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("ZTILE2", 4, "NAXIS2 must be the number of tiles"),
        ("ZNAXIS2", 400, "NAXIS2 must be the number of tiles"),
        ("ZNAXIS1", 1 << 40, "ZNAXISn"),
        ("ZCMPTYPE", "PICKLE", "ZCMPTYPE must be one of"),
        ("ZBITPIX", 33, "ZBITPIX"),
        ("TFORM1", "1PB(9)x", "must be a table format"),
        ("TFORM1", "1QB(9)", "NAXIS1 must be the sum"),
        ("ZVAL1", -7, None),
    ],
)
def test_fault_10_inconsistent_tiles(tiled: Path, key: str, value: Any, rule: str | None) -> None:
    with fits.open(tiled, mode="update", disable_image_compression=True) as file:
        file[1].header[key] = value
    if rule is None:  # the decoder may take it or refuse it, but not crash the caller
        try:
            plane = open_plane(str(tiled), 1)
            plane.read(0, plane.shape[0])
        except InputError:
            pass
        return
    with pytest.raises(InputError, match=rule):
        open_plane(str(tiled), 1)


def test_fault_10_descriptors_out_of_the_heap(tiled: Path) -> None:
    with open_fits(str(tiled)) as file:
        at = file.hdu(1).data_offset
    mangle(tiled, lambda data: data[:at] + (1 << 30).to_bytes(4, "big") + data[at + 4 :])
    with pytest.raises(InputError, match="must lie in a heap"):
        open_plane(str(tiled), 1)


def test_fault_10_damaged_stream(tiled: Path) -> None:
    with open_fits(str(tiled)) as file:
        hdu = file.hdu(1)
        at = hdu.data_offset + hdu.header["NAXIS1"] * hdu.header["NAXIS2"]
    draw = np.random.default_rng(0)
    clean = tiled.read_bytes()
    for _ in range(20):
        data = bytearray(clean)
        data[at + int(draw.integers(0, 500))] ^= 1 << int(draw.integers(0, 8))
        tiled.write_bytes(bytes(data))
        try:
            plane = open_plane(str(tiled), 1)
            assert plane.read(0, plane.shape[0]).shape == write.SHAPE
        except InputError:
            pass


def test_fault_05_flipped_bit_in_tiles(tiled: Path) -> None:
    with fits.open(tiled) as file:
        file.writeto(tiled, overwrite=True, checksum=True)
    open_plane(str(tiled), 1).close()
    mangle(tiled, lambda data: data[:-3000] + bytes([data[-3000] ^ 2]) + data[-2999:])
    with pytest.raises(InputError, match="DATASUM must be"):
        open_plane(str(tiled), 1)


def test_gzip_of_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / write.name_of("RMS", suffix=".fits.gz")
    for content in (b"\x1f\x8b", b"\x1f\x8b" + b"x" * 100, gzip.compress(b""), gzip.compress(b"SIMPLE")):
        path.write_bytes(content)
        assert str(path) in refusal(tmp_path)
