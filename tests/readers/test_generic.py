"""Reader `generic`: noise in any form, values from headers or options, joining by pattern."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import readers_helpers as write
from vmpz.errors import InputError
from vmpz.frames import FrameRef, Manifest
from vmpz.readers import open_frame, scan_inputs


def scan(folder: Path, **options: Any) -> Manifest:
    place = SimpleNamespace(reader="generic", location=str(folder), bands=None, options=options)
    return scan_inputs([place])


def the_frame(folder: Path, **options: Any) -> FrameRef:
    manifest = scan(folder, **options)
    assert not manifest.refused
    return manifest.frames[0]


def image(folder: Path, name: str, array: np.ndarray, **cards: Any) -> None:
    folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(write.image_bytes(array, {**write.WCS_CARDS, **cards}))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("rms", [2.0, 0.5, 0.0, -1.0, np.nan, np.inf]),
        ("variance", [4.0, 0.25, 0.0, -1.0, np.nan, np.inf]),
        ("weight", [0.25, 4.0, 0.0, -1.0, np.nan, np.inf]),
        ("inverse_variance", [0.25, 4.0, 0.0, -1.0, np.nan, np.inf]),
    ],
)
def test_every_form_of_noise_is_rms(tmp_path: Path, kind: str, values: list[float]) -> None:
    array = np.zeros(write.SHAPE)
    array[0, :6] = values
    image(tmp_path, "a.fits", array.astype(np.float32))
    with open_frame(the_frame(tmp_path, **{kind: "{id}.fits"}), ["RMS"]) as frame:
        found = frame.planes["RMS"].read(0, 1)[0]
    assert found[:2].tolist() == [2.0, 0.5]
    unobserved = ~((found > 0) & (found < 1e15))
    assert unobserved[2:].all()


def test_values_from_header_primary_header_and_options(tmp_path: Path) -> None:
    data = write.image_bytes(
        write.planes()["IMAGE"], {**write.WCS_CARDS, "MAGZP": "25.5", "RUN": 7}, first=False
    )
    primary = write.header_bytes(
        [("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("FILTER", "g"), ("EXPTIME", 90.0)]
    )
    (tmp_path / "f.fits").write_bytes(primary + data)
    frame = the_frame(
        tmp_path,
        image="{id}.fits",
        band="header:FILTER",
        instrument="CAM",
        zero_point="header:MAGZP",
        exposure_time_s="header:EXPTIME",
        gain=2,
        release="header:RUN",
    )
    assert (frame.area, frame.band, frame.instrument, frame.release) == ("f", "g", "CAM", "7")
    assert frame.scalars == pytest.approx(
        {"zero_point": 25.5, "exposure_time_s": 90.0, "gain": 2.0, "pixel_scale_arcsec": 0.1}
    )


def test_there_is_no_default_zero_point(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"])
    assert "zero_point" not in the_frame(tmp_path, image="{id}.fits").scalars
    refused = scan(tmp_path, image="{id}.fits", zero_point="header:MAGZERO", band="g").refused
    assert [item.band for item in refused] == ["g"]
    assert "MAGZERO must be present" in refused[0].reason


def test_areas_are_the_free_part_of_the_pattern(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/c"):
        image(tmp_path, f"{name}_sci.fits", write.planes()["IMAGE"])
        image(tmp_path, f"{name}_rms.fits", write.planes()["RMS"])
    (tmp_path / "deep/c_rms.fits").unlink()
    manifest = scan(tmp_path, image="{id}_sci.fits", rms="{id}_rms.fits")
    assert [frame.area for frame in manifest] == ["a", "b", "deep/c"]
    assert set(manifest.frames[0].planes) == {"IMAGE", "RMS"}
    assert set(manifest.frames[2].planes) == {"IMAGE"}
    assert "the plane `rms` is missing" in manifest.frames[2].notes


def test_one_file_as_the_location(tmp_path: Path) -> None:
    image(tmp_path, "only.fits", write.planes()["IMAGE"])
    assert the_frame(tmp_path / "only.fits").area == "only"


def test_one_bad_frame_leaves_the_others(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"])
    image(tmp_path, "b.fits", write.planes()["IMAGE"], CD1_1=0.0)
    manifest = scan(tmp_path, image="{id}.fits")
    assert [frame.area for frame in manifest] == ["a"]
    assert [item.area for item in manifest.refused] == ["b"]


def test_planes_of_two_grids_are_refused(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"])
    image(tmp_path, "a_w.fits", write.planes()["RMS"], CRPIX2=21.0)
    reason = scan(tmp_path, image="{id}.fits", weight="{id}_w.fits").refused
    assert any("must have one WCS" in item.reason for item in reason)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, "at least one of the options"),
        ({"image": "../{id}.fits"}, "must be a file pattern"),
        ({"image": "/etc/{id}.fits"}, "must be a file pattern"),
        ({"image": "{id}{id}.fits"}, "must be a file pattern"),
        ({"image": 3}, "must be a file pattern"),
        ({"rms": "{id}.fits", "weight": "{id}.fits"}, "takes one of the options"),
        ({"imaeg": "{id}.fits"}, "options of reader generic must be among"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        scan(tmp_path, **options)


@pytest.mark.parametrize(
    "options", [{"zero_point": "25"}, {"gain": True}, {"bit_table": "none", "flag": "{id}.fits"}]
)
def test_wrong_values_are_told(tmp_path: Path, options: dict[str, Any]) -> None:
    image(tmp_path, "a.fits", np.zeros(write.SHAPE, np.int32))
    manifest = scan(tmp_path, image="{id}.fits", **options)
    assert not manifest.frames
    assert manifest.refused


def test_codes_come_with_their_table(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", np.full(write.SHAPE, 5, np.uint8))
    frame = the_frame(tmp_path, flag="{id}.fits", bit_table="decam-cp-codes")
    with open_frame(frame, ["FLAG"]) as opened:
        assert opened.bits is not None
        assert opened.bits.kind == "code"
        rows = opened.planes["FLAG"].read(0, 2)
        assert rows.dtype == np.int32
        assert np.all(rows == 5)
