"""The head of the page: what the store is, and its key numbers."""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from vmpz.report.page.elements import Html, element, joined
from vmpz.report.page.numbers import area, count, with_unit
from vmpz.run.overview.content import Floats, MapOverview, Overview

__all__ = ["MOST_BORDERS", "bands_of", "borders_of", "masthead", "name_of_survey"]

MOST_BORDERS = 1000
"""Tiles whose borders are drawn: of more they would hide the map."""
MISSING = {"FAILED": "failed", "NOINPUT": "without input", "NOTASKED": "not made"}
"""States of what is missing, as words."""


def name_of_survey(overview: Overview) -> str:
    """The name that the parameters say, else that of the store (parameters from elsewhere need not be readable)."""
    return str(_survey(overview).get("name") or PurePosixPath(overview.store).name or overview.store)


def bands_of(overview: Overview) -> list[str]:
    """Bands of the maps in the order of the parameters, then others by name, then '-' for maps of no band."""
    said = _survey(overview).get("bands", [])
    order = {str(band): place for place, band in enumerate(said if isinstance(said, list) else [])}
    found = {one.key.band for one in overview.maps} | {part.band for part in overview.parts}
    return sorted(found, key=lambda band: (band == "-", order.get(band, len(order)), band))


def borders_of(overview: Overview) -> Mapping[str, Sequence[Floats]]:
    """The outlines of tiles that figures draw; none where there are too many."""
    return overview.outlines if len(overview.outlines) <= MOST_BORDERS else {}


def _survey(overview: Overview) -> dict[str, object]:
    try:
        survey = tomllib.loads(overview.parameters).get("survey")
    except tomllib.TOMLDecodeError:
        return {}
    return survey if isinstance(survey, dict) else {}


def masthead(overview: Overview, title: str) -> Html:
    """Title, release, area, instant, and the key numbers."""
    releases = sorted({one.key.release for one in overview.maps} - {"-"})
    told = [
        f"Release {', '.join(releases)}" if releases else None,
        overview.area,
        f"Products of {overview.created:%d %B %Y, %H:%M} UTC" if overview.created else None,
    ]
    line = element("p", " · ".join(part for part in told if part))
    theme = element("button", "Dark", type="button", id="theme", hidden=True, aria_pressed="false")
    head = element(
        "header", element("p", "Report of sky maps", class_="overline"), element("h1", title), line, theme,
        class_="masthead",
    )  # fmt: skip
    return joined((head, element("dl", *_keys(overview), class_="keys")))


def _keys(overview: Overview) -> list[Html]:
    tiles = {part.area for part in overview.parts}
    bands = [band for band in bands_of(overview) if band != "-"]
    keys = [
        _key("tile" if len(tiles) == 1 else "tiles", count(len(tiles))),
        _bands(bands),
        *_areas(overview.maps),
    ]
    keys += [
        _key(f"median depth, {one.key.band}", with_unit(one.spread.quantile(0.5), one.unit))
        for band in bands
        for one in overview.maps
        if one.key.kind == "depth" and one.key.band == band
    ]
    keys += [_key("products", count(overview.counts.get("products", 0))), *_missing(overview)]
    return keys


def _key(name: str, value: str, bad: bool = False) -> Html:
    figure, _, unit = value.partition(" ")
    shown = element("dd", figure, element("small", f" {unit}") if unit else None)
    return element("div", element("dt", name), shown, class_="key bad" if bad else "key")


def _bands(bands: Sequence[str]) -> Html:
    named = f": {', '.join(bands)}" if 0 < len(bands) <= 4 else ""
    return _key(f"{'band' if len(bands) == 1 else 'bands'}{named}", count(len(bands)))


def _areas(maps: Sequence[MapOverview]) -> list[Html]:
    """The largest area of any band: observed, of footprints; listed, where there are none."""
    footprints = [one for one in maps if one.key.kind == "footprint" and one.observed_deg2 is not None]
    if footprints:
        largest = max(footprints, key=lambda one: one.observed_deg2 or 0.0)
        return [_key(f"observed, {largest.key.band}", area(largest.observed_deg2))]
    return [_key("listed, largest map", area(max(one.area_deg2 for one in maps)))] if maps else []


def _missing(overview: Overview) -> list[Html]:
    states = Counter(one.state for one in overview.missing)
    if not states:
        return [_key("missing", "0")]
    return [
        _key(MISSING.get(state, state.lower()), count(number), bad=state == "FAILED")
        for state, number in sorted(states.items())
    ]
