"""How notebooks show things: a table of facts, further tables that unfold, a small picture; HTML without scripts.

Colours are those of the page (`currentColor`, transparent), so that a card looks at home in light and dark notebooks;
nothing is fetched from anywhere, and all text is escaped. Where a viewer drops the styles the tables are still tables.
"""

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["card", "facts", "number", "picture", "table", "unfolding"]

VIRIDIS = (
    "440154", "48186a", "472d7b", "424086", "3b528b", "33638d", "2c728e", "26828e", "21918c", "1fa088", "28ae80",
    "3fbc73", "5ec962", "84d44b", "addc30", "d8e219", "fde725",
)  # fmt: skip
"""Colours of equal steps of matplotlib's `viridis` (CC0), even to the eye and to the colour-blind."""
COLOURS = 254
"""Colours of a picture; 0 is where there is nothing."""

STYLE = """<style>
.vmpz-card{--line:color-mix(in srgb,currentColor 22%,transparent);display:inline-block;max-width:100%;
box-sizing:border-box;padding:.7em .9em;border:1px solid var(--line);border-radius:8px;line-height:1.4;color:inherit}
.vmpz-card .title{font-weight:600;margin:0 0 .4em}
.vmpz-card .body{display:flex;flex-wrap:wrap;gap:.8em 2em;align-items:flex-start}
.vmpz-card .parts{min-width:0;max-width:100%;overflow-x:auto}
.vmpz-card table{border-collapse:collapse;border:0;margin:0;font-size:inherit;color:inherit;
font-variant-numeric:tabular-nums;table-layout:auto}
.vmpz-card tr,.vmpz-card td,.vmpz-card th{background:transparent!important;border:0;color:inherit}
.vmpz-card td,.vmpz-card th{padding:.14em 1em .14em 0;text-align:left;vertical-align:top;font-weight:400;
white-space:normal;max-width:42em;overflow-wrap:break-word}
.vmpz-card thead th{font-weight:600;border-bottom:1px solid var(--line);white-space:nowrap}
.vmpz-card tbody th{white-space:nowrap}
.vmpz-card .marked td,.vmpz-card .marked th{font-weight:600}
.vmpz-card .faint,.vmpz-card .facts th,.vmpz-card figcaption{opacity:.72}
.vmpz-card details{margin:.3em 0 0}
.vmpz-card summary{cursor:pointer}
.vmpz-card details>div{padding:.2em 0 .4em 1.1em}
.vmpz-card figure{margin:0;flex:none;max-width:100%;font-size:.86em}
.vmpz-card img{display:block;max-width:100%;height:auto;margin:0;box-sizing:border-box;border:1px solid var(--line);
border-radius:4px}
.vmpz-card .scale{display:flex;align-items:center;gap:.5em;margin-top:.3em;font-variant-numeric:tabular-nums}
.vmpz-card .scale i{flex:1;height:.6em;border-radius:2px;background:linear-gradient(to right,RAMP)}
</style>""".replace("RAMP", ",".join(f"#{one}" for one in VIRIDIS))


def number(value: Any) -> str:
    """A value as people read it: six figures, digits of large whole numbers in groups, '-' for what is not known."""
    if value is None or value != value:
        return "-"
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{value:,}".replace(",", "\u2009") if abs(int(value)) > 9999 else str(value)
    return f"{value:.6g}"


def card(title: str, *parts: str, beside: str = "") -> str:
    """A framed group of parts under a title.

    Parameters
    ----------
    title : str
        Text.
    *parts : str
        HTML, as of `facts`, `table`, `unfolding`.
    beside : str
        HTML of what stands at the side where there is room: a `picture`.
    """
    name = escape(title)
    return (
        f'{STYLE}<div class="vmpz-card" role="group" aria-label="{name}"><div class="title">{name}</div>'
        f'<div class="body"><div class="parts">{"".join(parts)}</div>{beside}</div></div>'
    )


def facts(rows: Iterable[tuple[str, Any]]) -> str:
    """A table of names and values; rows whose value is None or '' are left out."""
    lines = [
        f'<tr><th scope="row">{escape(name)}</th><td>{_text(value)}</td></tr>'
        for name, value in rows
        if value is not None and value != ""
    ]
    return f'<table class="facts"><tbody>{"".join(lines)}</tbody></table>' if lines else ""


def table(names: Sequence[str], rows: Iterable[Sequence[Any]], marked: Iterable[int] = ()) -> str:
    """A table with a head, '' without rows.

    Parameters
    ----------
    names : sequence of str
        Heads of the columns.
    rows : iterable of sequences
        Values, told by `number`.
    marked : iterable of int
        Places of the rows that stand out.
    """
    bold = set(marked)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = [
        f'<tr{" class=marked" if place in bold else ""}><th scope="row">{_text(first)}</th>'
        f"{''.join(f'<td>{_text(value)}</td>' for value in rest)}</tr>"
        for place, (first, *rest) in enumerate(rows)
    ]
    body = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return body if lines else ""


def unfolding(summary: str, content: str, note: str = "", *, shown: bool = False) -> str:
    """Content under a line that unfolds it; '' if there is none."""
    told = f' <span class="faint">{escape(note)}</span>' if note else ""
    line = f"<summary>{escape(summary)}{told}</summary>"
    return f"<details{' open' if shown else ''}>{line}<div>{content}</div></details>" if content else ""


def picture(values: NDArray[Any], told: str, unit: str = "") -> str:
    """A small picture of numbers, the range of its colours (percentiles 1 and 99) below it.

    Parameters
    ----------
    values : array (height, width)
        NaN is transparent.
    told : str
        What the picture is of, for those who do not see it, and as a caption.
    unit : str
    """
    known = values[np.isfinite(values)]
    low, high = (float(one) for one in np.percentile(known, (1, 99))) if known.size else (0.0, 0.0)
    height, width = values.shape
    share = np.interp(values, (low, high), (0.0, 1.0)) if high > low else np.full(values.shape, 0.5)
    level = np.zeros(values.shape, np.uint8)
    level[np.isfinite(values)] = 1 + share[np.isfinite(values)] * (COLOURS - 1)
    source = base64.b64encode(_png(level)).decode("ascii")
    limits = (number(low), f"{number(high)} {unit}".strip())
    scale = f'<div class="scale"><span>{limits[0]}</span><i></i><span>{escape(limits[1])}</span></div>'
    return (
        f'<figure style="width:{width}px"><img width="{width}" height="{height}" alt="{escape(told)}" '
        f'src="data:image/png;base64,{source}">{scale if high > low else ""}'
        f"<figcaption>{escape(told)}</figcaption></figure>"
    )


def _text(value: Any) -> str:
    return escape(number(value))


def _png(level: NDArray[np.uint8]) -> bytes:
    """PNG (ISO/IEC 15948) of places in the palette, 0 transparent; one filter byte (none) before every row."""
    height, width = level.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = level
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(name, content)
        for name, content in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", _palette()),
            (b"tRNS", b"\0"),
            (b"IDAT", zlib.compress(rows.tobytes(), 9)),
            (b"IEND", b""),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _palette() -> bytes:
    anchors = np.array([list(bytes.fromhex(one)) for one in VIRIDIS], np.float64)
    place = np.linspace(0, len(anchors) - 1, COLOURS)
    channels = [np.interp(place, np.arange(len(anchors)), anchors[:, one]) for one in range(3)]
    return bytes(3) + np.rint(np.stack(channels, axis=1)).astype(np.uint8).tobytes()
