"""Faults 11-23: headers and planes that say the impossible, clash, or change."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import readers_helpers as write
from readers_scan import refusal, the_frame
from vmpz.errors import InputError
from vmpz.readers import open_frame, scan_inputs


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
    options = {"weight": "{id}_wht.fits", "band": "g", "instrument": "CAM"}
    place = SimpleNamespace(reader="generic", location=str(tmp_path), bands=None, options=options)
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
