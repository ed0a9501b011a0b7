"""Scanning a folder of MER files in tests: the one frame, or why it is refused."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vmpz.files.hdu import check_data_sum, data_sum
from vmpz.frames import Frame, FrameRef, Manifest
from vmpz.readers import scan_inputs


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
