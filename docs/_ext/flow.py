"""The diagram of what is made of what, as an SVG element in the colours of the page."""

from html import escape

__all__ = ["flow"]

WIDTH = 560
LANES = (
    ("", {"files of a survey": "mosaics, flags, RMS; exposures; tables"}, "readers look at headers"),
    (
        "",
        {"manifest": "frames, outlines, identities", "plan": "jobs, bytes, memory"},
        "one job per tile and instrument, band after band",
    ),
    (
        "stage 1",
        {"one pass over the pixels": "row blocks, run table, star masks as bits"},
        "20 000 cells instead of 370 000 000 pixels",
    ),
    ("", {"cell statistics": "counts, moments; a product too"}, "makers: pure functions"),
    (
        "",
        dict.fromkeys(("footprint", "bit mask", "coverage", "info maps", "depth"), ""),
        "one job per tile, across instruments",
    ),
    (
        "",
        {
            "effective coverage": "AND of good pixels",
            "visibility, n(z)": "depths, coverage, classes of galaxies",
        },
        "one job per patch and product; shards of the sky",
    ),
    (
        "stage 2",
        {"patch products": "merged, any coarser order, any form", "random catalogues": "drawn cell by cell"},
        "",
    ),
)
"""Lane -> where a stage begins, its boxes (name, what is in it), and what leads to the next lane."""

BOX, GAP, STEP = 44, 10, 36
SERIES = {"stage 1": 1, "stage 2": 3}


def flow() -> str:
    """The whole diagram."""
    parts, y, colour = [], 8, 7
    for stage, boxes, then in LANES:
        colour = SERIES.get(stage, colour)
        if stage:
            parts.append(_text(6, y - 8, stage, 12, "start", "600", f"var(--series-{colour})"))
        wide = (WIDTH - 12 - GAP * (len(boxes) - 1)) / len(boxes)
        high = BOX if any(boxes.values()) else 30
        for number, (name, told) in enumerate(boxes.items()):
            parts.append(_box(6 + number * (wide + GAP), y, wide, high, name, told, colour))
        y += high
        if then:
            parts.append(_arrow(y, y + STEP, then))
            y += STEP
    told = "From files to maps: readers, plan, one pass over the pixels, cell statistics, products, patches, randoms"
    box = f'viewBox="0 0 {WIDTH} {y + 8}"'
    head = f'<svg class="figure" {box} role="img" aria-labelledby="flow-t" font-family="inherit">'
    return f'{head}<title id="flow-t">{told}</title>{"".join(parts)}</svg>'


def _box(x: float, y: float, wide: float, high: float, name: str, told: str, colour: int) -> str:
    middle = x + wide / 2
    body = (
        f'<rect x="{x:.0f}" y="{y}" width="{wide:.0f}" height="{high}" rx="8" fill="var(--series-{colour})" '
        f'fill-opacity="0.13" stroke="var(--series-{colour})" stroke-width="1.2"/>'
    )
    body += _text(middle, y + (18 if told else high / 2 + 4.5), name, 13, "middle", "600")
    return body + (_text(middle, y + 34, told, 11, "middle", "400", "var(--muted)") if told else "")


def _arrow(top: float, end: float, told: str) -> str:
    x = WIDTH / 2
    line = f'<path d="M{x} {top + 3}V{end - 5}m-4 -5l4 5l4 -5" fill="none" stroke="var(--muted)" stroke-width="1.4"/>'
    return line + _text(x + 12, (top + end) / 2 + 4, told, 11.5, "start", "400", "var(--muted)")


def _text(
    x: float, y: float, text: str, size: float, anchor: str, weight: str, fill: str = "var(--ink)"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )
