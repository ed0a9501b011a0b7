"""The text of mangle polygon files, in blocks.

First line ``<N> polygons``, then lines of the header (``pixelization``, ``snapped``, ``balkanized``; others are
ignored), then N polygons. What follows the last polygon is ignored by mangle and pymangle; there a file of the package
says what it holds, in lines ``vmpz.<name> <text>``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import open_regular
from vmpz.kernels import polygontext

__all__ = ["MARK", "Block", "PolygonFile"]

MARK = "vmpz."
BLOCK = 1 << 22
MOST_TEXT = 1 << 20
"""Most bytes before the first polygon, or after the last."""
SCARCE = 8
"""Fewest bytes of a polygon or a cap."""

_FAULTS = {
    polygontext.CAPS: "a polygon must state its number of caps, a whole number",
    polygontext.MANY: f"a polygon must have at most {polygontext.MOST_CAPS} caps",
    polygontext.NUMBER: "a number must stand",
    polygontext.VECTOR: "a cap must be a unit vector and a finite number",
    polygontext.VALUE: "weight and area must be finite, the area not negative",
    polygontext.OTHER: "a polygon must begin with `polygon`",
}


@dataclass(frozen=True)
class Block:
    """Some polygons of a file.

    Attributes
    ----------
    caps : float64 (m, 4)
        Polygon after polygon: unit vector, cm.
    first : int64 (n + 1,)
        First cap of each polygon, and the number of caps.
    weights : float64 (n,)
    areas : float64 (n,)
        Steradian; NaN where none is stated.
    lines : int64 (n,)
        Where each polygon stands in the file.
    """

    caps: NDArray[np.float64]
    first: NDArray[np.int64]
    weights: NDArray[np.float64]
    areas: NDArray[np.float64]
    lines: NDArray[np.int64]

    @classmethod
    def join(cls, blocks: list["Block"]) -> "Block":
        """All of several blocks."""
        counts = [np.diff(one.first) for one in blocks]
        return cls(
            np.concatenate([np.empty((0, 4)), *(one.caps for one in blocks)]),
            np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, np.int64), *counts]))]).astype(
                np.int64
            ),
            np.concatenate([np.empty(0), *(one.weights for one in blocks)]),
            np.concatenate([np.empty(0), *(one.areas for one in blocks)]),
            np.concatenate([np.empty(0, np.int64), *(one.lines for one in blocks)]),
        )


@dataclass
class PolygonFile:
    """A polygon file, open for one reading from begin to end.

    Attributes
    ----------
    path : Path
    count : int or None
        Number of polygons that the first line states.
    balkanized : bool
        Whether the file says that no two polygons overlap.
    notes : mapping
        Text of the lines ``vmpz.<name>``; complete after the last polygon.
    """

    path: Path
    count: int | None = None
    balkanized: bool = False
    notes: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._stream: IO[bytes] = open_regular(str(self.path))
        self._rest, self._line = b"", 1
        try:
            self._read_header()
        except BaseException:
            self._stream.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def blocks(self) -> Iterator[Block]:
        """Polygons in the order of the file.

        Raises
        ------
        InputError
            The file does not hold what it must; the message names file and line.
        """
        found, is_last = 0, False
        while True:
            fresh = self._stream.read(BLOCK)
            is_last = not fresh
            self._rest += fresh
            most = np.iinfo(np.int64).max if self.count is None else self.count - found
            state, block, place, line = _parse(self._rest, is_last, most, self._line)
            found += block.weights.size
            if block.weights.size:
                yield block
            self._rest, self._line = self._rest[place:], line
            if state == polygontext.MORE and not is_last:
                continue
            if state == polygontext.MORE and (self._rest or found < (self.count or 0)):
                raise InputError(
                    f"{self.path}:{self._line}: {self.count or 'all'} polygons must be whole, "
                    f"found {found} before the end: the file is cut"
                )
            if state in (polygontext.MORE, polygontext.FULL) or (
                state == polygontext.OTHER and self.count is None
            ):
                break
            raise InputError(f"{self.path}:{self._line}: {_FAULTS[state]}, found {_excerpt(self._rest)}")
        self._read_end(found)

    def _read_header(self) -> None:
        head = self._stream.read(MOST_TEXT)
        start = re.search(rb"^polygon[ \t]", head, re.MULTILINE)
        if start is None and len(head) == MOST_TEXT:
            raise InputError(f"{self.path}:1: a polygon must begin within {MOST_TEXT} bytes, found none")
        text, self._rest = (head, b"") if start is None else (head[: start.start()], head[start.start() :])
        lines = self._lines(text)
        self._line += text.count(b"\n")
        for line in lines:
            words = line.split()
            if len(words) == 2 and words[1] == "polygons" and self.count is None:
                self.count = self._stated(words[0])
            self.balkanized = self.balkanized or words[:1] == ["balkanized"]
        if self.count is None and start is None:
            raise InputError(f"{self.path}:1: the first line must be `<N> polygons`, found {_excerpt(head)}")

    def _stated(self, word: str) -> int:
        if not (word.isascii() and word.isdigit() and len(word) < 19):
            raise InputError(
                f"{self.path}:1: the number of polygons must be a whole number, found {word[:40]}"
            )
        return int(word)

    def _read_end(self, found: int) -> None:
        """What follows the last polygon."""
        text = self._rest + self._stream.read(MOST_TEXT)
        if len(text) > MOST_TEXT:
            raise InputError(
                f"{self.path}:{self._line}: at most {MOST_TEXT} bytes must follow the {found} polygons announced, "
                "found more"
            )
        for number, line in enumerate(self._lines(text)):
            if line.startswith("polygon"):
                raise InputError(
                    f"{self.path}:{self._line + number}: {found} polygons were announced, found another"
                )

    def _lines(self, text: bytes) -> list[str]:
        """Lines of text outside of polygons; notes are kept."""
        if b"\0" in text:
            number = self._line + text[: text.index(b"\0")].count(b"\n")
            raise InputError(f"{self.path}:{number}: must be text, found a zero byte")
        lines = text.decode("latin-1").split("\n")
        for line in lines:
            if line.startswith(MARK):
                name, _, rest = line.removeprefix(MARK).partition(" ")
                self.notes[name] = rest.rstrip("\r")
        return lines


def _parse(text: bytes, is_last: bool, most: int, line: int) -> tuple[int, Block, int, int]:
    """State, polygons, and where the next one is."""
    room = len(text) // SCARCE + 1
    heads, lines, caps = np.empty((room, 3)), np.empty(room, np.int64), np.empty((room, 4))
    state, polygons, many, place, passed = polygontext.take_polygons(
        np.frombuffer(text, np.uint8), is_last, most, heads, lines, caps
    )
    head = heads[:polygons]
    first = np.concatenate(([0], np.cumsum(head[:, 0]))).astype(np.int64)
    areas = np.where(head[:, 2] < 0.0, np.nan, head[:, 2])
    block = Block(caps[:many].copy(), first, head[:, 1].copy(), areas, lines[:polygons] + line)
    return state, block, place, line + passed


def _excerpt(text: bytes) -> str:
    """The first line, for a message."""
    return repr(text[:80].partition(b"\n")[0].decode("ascii", "replace"))
