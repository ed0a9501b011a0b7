"""Sections of maps: pictures band by band, all of them in numbers, values and cuts, depth against area."""

from collections.abc import Sequence

from vmpz.report.figures import overview_map
from vmpz.report.page.blocks import Section, card, drawing, figure, items, numbers, section, table
from vmpz.report.page.elements import Content, Html, element, joined
from vmpz.report.page.numbers import area, count, number, with_unit
from vmpz.report.page.sheet import Sheet, csv_of, sheet_of
from vmpz.report.page.sky import LINES, frame_of
from vmpz.report.page.summary import bands_of, borders_of
from vmpz.report.page.words import KEYWORDS, definition_of, title_of
from vmpz.report.plots import area_deeper, area_kept, histogram
from vmpz.report.projections import SkyFrame
from vmpz.run.overview.content import MapOverview, Overview

__all__ = ["depth", "maps", "maps_in_numbers", "values"]

ORDER_OF_KINDS = ("footprint", "coverage", "effectivecoverage", "bitmask", "depth", "info", "visibility")


def maps(overview: Overview) -> Section:
    """A picture of every map, band by band."""
    if not overview.maps:
        return Section(
            "maps", "Maps", None, "the store holds no maps of the kinds, bands and areas asked for"
        )
    frame = frame_of(overview)
    groups = [
        joined((
            element("h3", _name_of_band(band)),
            element("div", *(_picture(one, overview, frame) for one in chosen), class_="grid"),
        ))
        for band, chosen in _by_band(overview)
    ]  # fmt: skip
    lines = " Lines are the borders of tiles." if borders_of(overview) else ""
    intro = f"Where the ground shows through, a map lists no cell.{lines}"
    return section("maps", "Maps", element("p", intro), *groups)


def _by_band(overview: Overview) -> list[tuple[str, list[MapOverview]]]:
    groups = [
        (band, sorted((one for one in overview.maps if one.key.band == band), key=_place))
        for band in bands_of(overview)
    ]
    return [(band, chosen) for band, chosen in groups if chosen]


def _place(one: MapOverview) -> tuple[int, str]:
    return ORDER_OF_KINDS.index(one.key.kind) if one.key.kind in ORDER_OF_KINDS else len(
        ORDER_OF_KINDS
    ), one.name


def _name_of_band(band: str) -> str:
    return "All bands together" if band == "-" else band


def _title(one: MapOverview) -> str:
    return title_of(one.key) if one.key.band == "-" else f"{title_of(one.key)}, {one.key.band}"


def _picture(one: MapOverview, overview: Overview, frame: SkyFrame) -> Html:
    title = _title(one)
    picture = drawing(overview_map(one, frame), title, _in_words(one, overview), f"map-{one.name}", LINES)
    sentence = definition_of(one.key, one.keywords)
    told = numbers([
        ("median", with_unit(one.spread.quantile(0.5), one.unit)),
        ("5 to 95 %", f"{number(one.spread.quantile(0.05))} to {number(one.spread.quantile(0.95))}"),
        ("listed", area(one.area_deg2)),
        *([] if one.observed_deg2 is None else [("integral", area(one.observed_deg2))]),
    ])  # fmt: skip
    under = (told, element("p", sentence) if sentence else None, _keywords(one))
    return figure(title, picture, *under, code=one.name, level=4)


def _in_words(one: MapOverview, overview: Overview) -> str:
    """The picture for who cannot see it."""
    finest = "" if one.picture.order == one.key.order else f", shown at order {one.picture.order}"
    return (
        f"Map {one.name} of {count(len(overview.outlines))} tiles, HEALPix order {one.key.order}{finest}: "
        f"{area(one.area_deg2)} listed; smallest {number(one.minimum)}, "
        f"median {number(one.spread.quantile(0.5))}, mean {number(one.mean)}, "
        f"largest {with_unit(one.maximum, one.unit)}."
    )


def _keywords(one: MapOverview) -> Html:
    said = {name: one.keywords[name] for name in KEYWORDS if str(one.keywords.get(name, "-1")) != "-1"}
    key = {
        "kind": one.key.kind,
        "order": one.key.order,
        "cells": count(one.cells),
        "unit": one.unit or "none",
    }
    return element("details", element("summary", "Definition"), items({**key, **said}))


# -- numbers ----------------------------------------------------------------------------------------------------------


def maps_in_numbers(overview: Overview) -> Section:
    """A row a map."""
    name, title = "numbers", "All maps in numbers"
    if not overview.maps:
        return Section(name, title, None, "there are no maps")
    header = (
        "map",
        "unit",
        "cells",
        "listed_deg2",
        "integral_deg2",
        "minimum",
        "p05",
        "median",
        "mean",
        "p95",
        "maximum",
    )
    rows = [
        (
            one.name, one.unit, one.cells, f"{one.area_deg2:.6g}",
            "" if one.observed_deg2 is None else f"{one.observed_deg2:.6g}",
            *(f"{value:.6g}" for value in (
                one.minimum, one.spread.quantile(0.05), one.spread.quantile(0.5), one.mean, one.spread.quantile(0.95),
                one.maximum,
            )),
        )
        for _, chosen in _by_band(overview)
        for one in chosen
    ]  # fmt: skip
    labels = {"listed_deg2": "listed, deg²", "integral_deg2": "integral, deg²", "p05": "5 %", "p95": "95 %"}
    sheet = Sheet(
        "maps-in-numbers", "Every map: area and values", csv_of(header, rows), labels, as_written=True
    )
    return section(name, title, element("p", "Percentiles are by area."), sheet_of(sheet))


# -- values -----------------------------------------------------------------------------------------------------------


def values(overview: Overview) -> Section:
    """How much area has which value, and how much a cut leaves, map by map."""
    name, title = "values", "Values and cuts"
    if not overview.maps:
        return Section(name, title, None, "there are no maps")
    intro = "Left: area by value. Right: the area that is left of a map when values below, or above, a cut are dropped."
    groups = [
        element(
            "details", element("summary", f"{_name_of_band(band)}: {len(chosen)} maps"), *map(_distribution, chosen),
            class_="group", open=place == 0,
        )
        for place, (band, chosen) in enumerate(_by_band(overview))
    ]  # fmt: skip
    return section(name, title, element("p", intro), *groups)


def _distribution(one: MapOverview) -> Html:
    title, spread = _title(one), one.spread
    quantiles = "; ".join(
        f"{100 * share:g} % of the area lies below {with_unit(spread.quantile(share), one.unit)}"
        for share in (0.05, 0.25, 0.5, 0.75, 0.95)
    )
    words = f"{area(spread.total_deg2)} in all. {quantiles}."
    pair = element(
        "div",
        drawing(histogram(one), f"Area by value: {title}", words, f"histogram-{one.name}"),
        drawing(area_kept(one), f"Area kept by a cut: {title}", words, f"cut-{one.name}"),
        class_="pair",
    )
    return card(element("h3", title, element("code", one.name)), pair)


# -- depth ------------------------------------------------------------------------------------------------------------


def depth(overview: Overview) -> Section:
    """Area deeper than a magnitude, of every band."""
    name, title = "depth", "Depth"
    chosen = [one for _, group in _by_band(overview) for one in group if one.key.kind == "depth"]
    if not chosen:
        return Section(name, title, None, "there are no depth maps")
    words = " ".join(
        f"{one.key.band}: half of {area(one.area_deg2)} is deeper than {with_unit(one.spread.quantile(0.5), one.unit)}."
        for one in chosen
    )
    picture = drawing(area_deeper(chosen), "Area deeper than a magnitude", words, "depth-area")
    caption = "Area that reaches a depth of at least the magnitude on the axis."
    return section(
        name, title, element("p", "How much area is at least that deep."),
        element("div", figure("Area deeper than m", picture, caption), _depth_table(chosen), class_="grid wide"),
    )  # fmt: skip


def _depth_table(chosen: Sequence[MapOverview]) -> Html:
    rows: list[list[Content]] = [
        [
            one.key.band,
            *(number(one.spread.quantile(1.0 - share)) for share in (0.95, 0.5, 0.05)),
            number(one.area_deg2),
        ]
        for one in chosen
    ]
    header = ("band", "95 % deeper than", "50 %", "5 %", "listed, deg²")
    definitions = dict.fromkeys(definition_of(one.key, one.keywords) for one in chosen)
    return element(
        "div", table("Depth reached by share of the listed area, AB mag", header, rows),
        *(element("p", text, class_="muted under") for text in definitions),
    )  # fmt: skip
