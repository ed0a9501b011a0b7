"""Scanning a folder in tests: all frames, the one frame, or why it is refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vmpz.files.hdu import check_data_sum, data_sum
from vmpz.frames import Frame, FrameRef, Manifest
from vmpz.readers import scan_inputs


@dataclass(frozen=True)
class Scanner:
    """A reader, and the options that its tests always give."""

    reader: str
    always: Mapping[str, Any] = field(default_factory=dict)

    def scan(self, folder: Path, **options: Any) -> Manifest:
        """What a folder holds; the selection is among the options."""
        given = {**self.always, **options}
        return scan_inputs(
            [SimpleNamespace(reader=self.reader, location=str(folder), bands=None, options=given)]
        )

    def the_frame(self, folder: Path, **options: Any) -> FrameRef:
        """The one frame."""
        manifest = self.scan(folder, **options)
        assert not manifest.refused, manifest.refused
        (frame,) = manifest.frames
        return frame

    def refusal(self, folder: Path, **options: Any) -> str:
        """Why the only frame is refused."""
        manifest = self.scan(folder, **options)
        assert not manifest.frames
        (item,) = manifest.refused
        return item.reason


MER = Scanner("euclid-mer")
scan, the_frame, refusal = MER.scan, MER.the_frame, MER.refusal


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
