"""The numbered faults of inputs: each is refused (or survived) as the list says, and the message names the place."""

import gzip
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import readers_helpers as write
from vmpz.errors import InputError
from vmpz.files.fits import open_fits
from vmpz.files.hdu import check_data_sum, data_sum
from vmpz.files.planes import open_plane
from vmpz.files.xml import confined, parse_xml
from vmpz.frames import Frame, FrameRef, Manifest
from vmpz.readers import open_frame, scan_inputs


def scan(folder: Path, **options: Any) -> Manifest:
    return scan_inputs(
        [SimpleNamespace(reader="euclid-mer", location=str(folder), bands=None, options=options)]
    )


def the_frame(folder: Path, **options: Any) -> FrameRef:
    manifest = scan(folder, **options)
    assert not manifest.refused
    (frame,) = manifest.frames
    return frame


def refusal(folder: Path, **options: Any) -> str:
    """Why the only frame of a folder is refused."""
    manifest = scan(folder, **options)
    assert not manifest.frames
    (item,) = manifest.refused
    return item.reason


def read_through(frame: Frame) -> None:
    """What the pass does: every row once, the sum compared at the end."""
    for plane in frame.planes.values():
        total = 0
        for start in range(0, plane.shape[0], 16):
            rows = plane.read(start, min(start + 16, plane.shape[0]))
            total += data_sum(rows.tobytes())
        if plane.datasum is not None:
            check_data_sum(total, plane.datasum, plane.where)


def mangle(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


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


@pytest.mark.parametrize("key", ["CRVAL1", "CRVAL2", "CRPIX1", "CD1_1"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E400", "'abc'", "T", "1,5", ""])
def test_fault_11_broken_wcs_numbers(tmp_path: Path, key: str, value: str) -> None:
    changes = {key: None, "RAW": f"{key:8}= {value:>20}".ljust(80)}
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": changes}, checksum=False)
    assert re.search(rf"RMS.*{key}.*must be", refusal(tmp_path))


@pytest.mark.parametrize("key", ["CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CTYPE1", "CTYPE2"])
def test_fault_11_missing_wcs_cards(tmp_path: Path, key: str) -> None:
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": {key: None}})
    assert f"{key} must be present" in refusal(tmp_path)


def test_fault_11_missing_matrix(tmp_path: Path) -> None:
    gone = dict.fromkeys(["CD1_1", "CD1_2", "CD2_1", "CD2_2"])
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": gone})
    assert "CDELT1 must be present" in refusal(tmp_path)


def test_fault_12_singular_mirrored_and_absurd_scale(tmp_path: Path) -> None:
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": {"CD1_1": 0.0, "CD2_2": 0.0}})
    assert "must not be singular" in refusal(tmp_path)
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": {"CD2_1": -1e-05, "CD2_2": 0.0}})
    assert "must not be singular" in refusal(tmp_path)
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": {"CD1_1": 2.777777777778e-05}})
    assert any("mirrored" in note for note in the_frame(tmp_path).notes)
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": {"CD1_1": -1.5, "CD2_2": 1.5}})
    assert "pixel scale must lie between" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, "known projection"),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--SIN"}, "one projection"),
        ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, "must be RA---ppp"),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "must be RA---ppp"),
        ({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-7}, "must end in -SIP"),
        ({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}, "A_ORDER and B_ORDER must be present"),
        ({"RADESYS": "FK4"}, "must be ICRS or FK5"),
        ({"RADESYS": "FK5", "EQUINOX": 1975.0}, "must be ICRS or FK5"),
        ({"CPDIS1": "LOOKUP"}, "must not be present"),
        ({"CUNIT1": "arcsec"}, "CUNIT1 must be deg"),
    ],
)
def test_fault_13_projections(tmp_path: Path, changes: dict[str, Any], rule: str) -> None:
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": changes})
    assert rule in refusal(tmp_path)


@pytest.mark.parametrize("centre", [(0.0, 10.0), (359.9999, -20.0), (12.0, 89.999), (123.0, -90.0)])
def test_fault_14_seams_are_no_fault(tmp_path: Path, centre: tuple[float, float]) -> None:
    changes = {"CRVAL1": centre[0], "CRVAL2": centre[1]}
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": changes})
    frame = the_frame(tmp_path)
    expected = 41 * 60 * (0.1 / 3600) ** 2
    assert frame.outline().area_deg2 == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, 1e-42, 1e16])
def test_fault_15_odd_rms_values_come_out_as_they_are(tmp_path: Path, value: float) -> None:
    array = write.planes()["RMS"]
    array[7, 9] = value
    path = tmp_path / write.name_of("RMS")
    path.write_bytes(write.image_bytes(array, write.plane_cards("RMS")))
    with open_frame(the_frame(tmp_path), ["RMS"]) as frame:
        found = frame.planes["RMS"].read(0, 41)
        assert found.astype(">f4").tobytes() == array.astype(">f4").tobytes()


def test_fault_16_weight_all_zero_is_all_unobserved(tmp_path: Path) -> None:
    (tmp_path / "a_wht.fits").write_bytes(
        write.image_bytes(np.zeros(write.SHAPE, np.float32), write.WCS_CARDS)
    )
    place = SimpleNamespace(
        reader="generic", location=str(tmp_path), bands=None, options={"weight": "{id}_wht.fits"}
    )
    manifest = scan_inputs([place])
    with open_frame(manifest.frames[0], ["RMS"]) as frame:
        assert np.all(frame.planes["RMS"].read(0, 41) == write.SENTINEL)


def test_fault_17_unknown_bits_come_through(tmp_path: Path) -> None:
    array = write.planes()["FLAG"]
    array[3, 3] = 1 << 29
    path = tmp_path / write.name_of("FLAG")
    path.write_bytes(write.image_bytes(array, write.plane_cards("FLAG")))
    with open_frame(the_frame(tmp_path), ["FLAG"]) as frame:
        assert frame.bits is not None
        assert frame.planes["FLAG"].read(0, 41)[3, 3] & ~frame.bits.known == 1 << 29


def test_fault_18_other_shape_or_wcs(tmp_path: Path) -> None:
    paths = write.write_band(tmp_path, changes={"FLAG": {"CRVAL1": 57.3045662}})
    assert re.search(r"FLAG.*must have one WCS", refusal(tmp_path))
    write.write_band(tmp_path, changes={"FLAG": {"CRPIX1": 30.5}})
    assert re.search(r"FLAG.*must have one WCS, found pixels 0.5 px away", refusal(tmp_path))
    write.write_band(tmp_path)
    paths["FLAG"].write_bytes(write.image_bytes(write.planes((40, 60))["FLAG"], write.plane_cards("FLAG")))
    assert re.search(r"FLAG.*must have one shape, found \(40, 60\)", refusal(tmp_path))


def test_fault_18_same_wcs_in_other_words(tmp_path: Path) -> None:
    write.write_band(tmp_path, changes={"FLAG": {"CD1_1": -2.7777777777777e-05, "CRVAL1": 57.2045662001e0}})
    the_frame(tmp_path)


def flag_file(stored: np.ndarray, **cards: Any) -> bytes:
    return write.image_bytes(stored, {**write.plane_cards("FLAG"), **cards})


def test_fault_19_signed_offset_and_narrow_flags_are_one_mask(tmp_path: Path) -> None:
    words = np.zeros(write.SHAPE, np.uint32)
    words[4, 4], words[5, 5], words[6, 6] = 0x80000000, 0xFFFFFFFF, 0x101
    path = tmp_path / write.name_of("FLAG")
    forms = [
        flag_file(words.view(np.int32)),
        flag_file((words ^ np.uint32(0x80000000)).view(np.int32), BZERO=2147483648.0, BSCALE=1.0),
        flag_file(words.astype(np.int64)),
    ]
    for form in forms:
        path.write_bytes(form)
        with open_frame(the_frame(tmp_path), ["FLAG"]) as frame:
            rows = frame.planes["FLAG"].read(0, 41)
            assert rows.dtype.itemsize == 4
            assert np.array_equal(
                np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder("="))).view(np.uint32), words
            )
    small = np.where(words, 0x8001, 0).astype(np.uint16)
    path.write_bytes(flag_file((small ^ np.uint16(0x8000)).view(np.int16), BZERO=32768.0))
    with open_frame(the_frame(tmp_path), ["FLAG"]) as frame:
        assert np.array_equal(frame.planes["FLAG"].read(0, 41), small)


def test_fault_19_flags_beyond_32_bits_or_not_integers(tmp_path: Path) -> None:
    path = tmp_path / write.name_of("FLAG")
    path.write_bytes(flag_file(np.full(write.SHAPE, 1 << 40, np.int64)))
    with (
        open_frame(the_frame(tmp_path), ["FLAG"]) as frame,
        pytest.raises(InputError, match="must fit 32 bits"),
    ):
        frame.planes["FLAG"].read(0, 41)
    path.write_bytes(flag_file(np.zeros(write.SHAPE, np.float32)))
    assert "BITPIX of a flag plane must be one of integers" in refusal(tmp_path)
    path.write_bytes(flag_file(np.zeros(write.SHAPE, np.int32), BSCALE=0.5))
    with pytest.raises(InputError, match="must hold integers"):
        open_frame(the_frame(tmp_path), ["FLAG"])


def test_fault_20_zero_points(tmp_path: Path) -> None:
    gone = {kind: {"MAGZERO": None} for kind in ("IMAGE", "RMS", "FLAG")}
    paths = write.write_band(tmp_path, changes=gone)
    assert "MAGZERO (or ZeroPoint in a descriptor) must be present" in refusal(tmp_path)
    names = {kind: path.name for kind, path in paths.items()}
    (tmp_path / "mosaic.xml").write_text(write.mosaic_xml(names, zero_point=24.61))
    assert the_frame(tmp_path).scalars["zero_point"] == 24.61
    write.write_band(tmp_path)
    assert re.search(r"zero points must agree to 0.0001 mag, found 24.6, and 24.61", refusal(tmp_path))
    (tmp_path / "mosaic.xml").write_text(write.mosaic_xml(names, zero_point=24.60005))
    assert the_frame(tmp_path).scalars["zero_point"] == 24.60005
    (tmp_path / "mosaic.xml").unlink()
    write.write_band(tmp_path, changes={"RMS": {"MAGZERO": "24.60001"}})
    assert the_frame(tmp_path).scalars["zero_point"] == 24.6


def test_fault_21_same_id_other_content(tmp_path: Path) -> None:
    one = write.write_band(tmp_path / "one", kinds=["RMS"])["RMS"]
    two = write.write_band(tmp_path / "two", kinds=["RMS"])["RMS"]
    assert any("copies" in note for note in the_frame(tmp_path).notes)
    write.write_band(tmp_path / "two", kinds=["RMS"], seed=3)
    reason = refusal(tmp_path)
    assert str(one) in reason
    assert str(two) in reason


def test_fault_21_clash_between_places(tmp_path: Path) -> None:
    write.write_band(tmp_path / "one", kinds=["RMS"])
    write.write_band(tmp_path / "two", kinds=["RMS"], seed=3)
    places = [
        SimpleNamespace(reader="euclid-mer", location=str(tmp_path / name), bands=None, options={})
        for name in ("one", "two")
    ]
    manifest = scan_inputs(places)
    assert not manifest.frames
    assert all(str(tmp_path / name) in manifest.refused[0].reason for name in ("one", "two"))


@pytest.mark.parametrize("compress", [False, True])
def test_fault_22_changed_while_read(tmp_path: Path, compress: bool) -> None:
    path = write.write_band(tmp_path, kinds=["RMS"], compress=compress)["RMS"]
    ref = the_frame(tmp_path)
    frame = open_frame(ref, ["RMS"])
    frame.planes["RMS"].read(0, 10)
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="must not change while it is read"):
        frame.__exit__()
    frame = open_frame(ref, ["RMS"])
    path.unlink()
    with pytest.raises(InputError, match="must not vanish"):
        frame.__exit__()
    write.write_band(tmp_path, kinds=["RMS"], compress=compress, changes={"RMS": {"DATASETR": "Q1_R9"}})
    with pytest.raises(InputError, match="must be the file that was listed"):
        open_frame(ref, ["RMS"])


def test_fault_22_shrinking_file_is_not_touched(tmp_path: Path) -> None:
    path = write.write_band(tmp_path, kinds=["RMS"])["RMS"]
    frame = open_frame(the_frame(tmp_path), ["RMS"])
    os.truncate(path, 2880)
    with pytest.raises(InputError, match="it shrank"):
        frame.planes["RMS"].read(30, 40)


def test_fault_23_keyword_injection(tmp_path: Path) -> None:
    quote = "'a''b / CRVAL1 = 3'"
    flood: dict[str, Any] = {f"HIERARCH FLOOD{n}": n for n in range(3000)}
    raws = "".join(f"COMMENT {'x' * 70}"[:80].ljust(80) for _ in range(10))
    write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": {"OBJECT": quote, **flood, "RAW": raws[:80]}})
    frame = the_frame(tmp_path)
    assert "FLOOD" not in frame.wcs_cards
    assert "OBJECT" not in frame.wcs_cards
    path = write.write_band(tmp_path, kinds=["RMS"], changes={"RMS": {"OBJECT": "xxxx"}}, checksum=False)[
        "RMS"
    ]
    for bad in (b"x\nxx", b"x\0xx", b"x\xe9xx"):
        clean = path.read_bytes()
        path.write_bytes(clean.replace(b"xxxx", bad))
        assert "must be printable ASCII" in refusal(tmp_path)
        path.write_bytes(clean)
    endless = b"SIMPLE  =                    T".ljust(80) + b"COMMENT ".ljust(80) * 180_000
    path.write_bytes(endless + b" " * (-len(endless) % 2880))
    assert "must not be longer than" in refusal(tmp_path)


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><x>&c;</x>"""
QUADRATIC = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "{"a" * 50_000}">]><x>{"&a;" * 50_000}</x>'
XXE = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>'
EXTERNAL = '<?xml version="1.0"?><!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>'


@pytest.mark.parametrize("text", [BOMB, QUADRATIC, XXE, EXTERNAL, "<!DOCTYPE x><x/>"])
def test_fault_24_doctype(tmp_path: Path, text: str) -> None:
    write.write_band(tmp_path, kinds=["RMS"])
    path = tmp_path / f"DpdMerBksMosaic_TILE{write.TILE}.xml"
    path.write_text(text)
    assert re.search(r"TILE\d+\.xml: DOCTYPE not allowed", refusal(tmp_path))
    path.write_bytes(text.encode("utf-16"))
    assert "must be UTF-8" in refusal(tmp_path)
    path.write_bytes(b'<?xml version="1.0" encoding="UTF-7"?>' + text.partition("?>")[2].encode("utf-7"))
    with pytest.raises(InputError):
        parse_xml(str(path))


def test_fault_25_deep_or_large_xml(tmp_path: Path) -> None:
    path = tmp_path / "deep.xml"
    path.write_text("<x>" * 200_000 + "</x>" * 200_000)
    with pytest.raises(InputError, match="must be well-formed"):
        parse_xml(str(path))
    with path.open("wb") as handle:
        handle.truncate(500_000_000)
    with pytest.raises(InputError, match="must be at most"):
        parse_xml(str(path))


def test_fault_26_file_names_stay_inside(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "secret.fits").write_bytes(b"x")
    (folder / "link.fits").symlink_to(tmp_path / "secret.fits")
    (folder / "out").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.fits")
    names = [
        "../secret.fits",
        str(tmp_path / "secret.fits"),
        "a\0b.fits",
        "link.fits",
        "out/secret.fits",
        "pipe.fits",
    ]
    for name in [
        *names,
        "",
        ".",
        "/dev/zero",
        "x" * 5000,
        "data/../../secret.fits",
        "..\\secret.fits",
        "none.fits",
    ]:
        with pytest.raises(InputError, match="FileName must"):
            confined(folder, name, "a.xml")
    (folder / "data").mkdir()
    (folder / "data" / "good.fits").write_bytes(b"x")
    (folder / "inner.fits").symlink_to(folder / "data" / "good.fits")
    assert confined(folder, "good.fits", "a.xml") == folder / "data" / "good.fits"
    assert confined(folder, "inner.fits", "a.xml") == folder / "inner.fits"


def test_fault_26_special_files_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / write.name_of("RMS"))
    assert "must be a regular file" in refusal(tmp_path)


def test_fault_27_descriptor_with_missing_or_wrong_files(tmp_path: Path) -> None:
    paths = write.write_band(tmp_path)
    names = {kind: path.name for kind, path in paths.items()}
    xml = tmp_path / "mosaic.xml"
    xml.write_text(write.mosaic_xml({**names, "FLAG": "EUC_MER_none.fits"}))
    assert re.search(r"mosaic.xml: FileName must exist, found no 'EUC_MER_none.fits'", refusal(tmp_path))
    other = write.write_band(tmp_path, tile="102018211", kinds=["FLAG"])["FLAG"]
    xml.write_text(write.mosaic_xml({**names, "FLAG": other.name}))
    assert "FLAG must be a file of tile 102018210" in refusal(tmp_path, tiles=[write.TILE])
    other.unlink()
    xml.write_text(write.mosaic_xml(names, md5={"RMS": "0" * 32}))
    with pytest.raises(InputError, match="MD5 must be"):
        open_frame(the_frame(tmp_path, verify_md5=True), ["RMS"])
    xml.write_text(write.mosaic_xml(names, zero_point=float("nan")))
    assert "ZeroPoint/Value must be a finite number" in refusal(tmp_path)


def test_fault_28_descriptor_of_another_product(tmp_path: Path) -> None:
    paths = write.write_band(tmp_path)
    xml = tmp_path / "catalog.xml"
    xml.write_text(write.mosaic_xml({}, product="DpdMerFinalCatalog"))
    frame = the_frame(tmp_path)
    assert "XML" not in frame.tables
    with pytest.raises(InputError, match="must describe a MER mosaic, found DpdMerFinalCatalog"):
        scan(xml)
    names = {kind: path.name for kind, path in paths.items()}
    xml.write_text(write.mosaic_xml(names, product="DpdMerMosaic"))
    assert "XML" in the_frame(tmp_path).tables
    assert the_frame(xml).planes == the_frame(tmp_path).planes


def test_gzip_of_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / write.name_of("RMS", suffix=".fits.gz")
    for content in (b"\x1f\x8b", b"\x1f\x8b" + b"x" * 100, gzip.compress(b""), gzip.compress(b"SIMPLE")):
        path.write_bytes(content)
        assert str(path) in refusal(tmp_path)
