"""Sections of what maps say together: seams, flag bits, correlations, n(z), random catalogues."""

from collections.abc import Sequence

import numpy as np

from vmpz.report.figures import randoms_map
from vmpz.report.page.blocks import Section, card, drawing, figure, numbers, section, table
from vmpz.report.page.elements import Html, breakable, element, joined
from vmpz.report.page.numbers import area, count, number, percent
from vmpz.report.page.sheet import Sheet, csv_of, sheet_of
from vmpz.report.page.sky import LINES, frame_of
from vmpz.report.plots import (
    bit_areas,
    correlation_matrix,
    density_by_visibility,
    redshift_distribution,
    seam_steps,
)
from vmpz.report.projections import SkyFrame
from vmpz.run.overview.content import Bit, Correlations, Overview, RandomsOverview, Seam
from vmpz.run.redshifts import Distribution

__all__ = ["bits", "correlations", "randoms", "redshifts", "seams"]

STRONGEST = 12
"""Pairs of maps that are listed beside the matrix."""


# -- seams ------------------------------------------------------------------------------------------------------------


def seams(overview: Overview) -> Section:
    """Steps where tiles meet."""
    name, title = "seams", "Seams"
    if not overview.seams:
        return Section(name, title, None, "no two tiles with the same map meet")
    told = sorted(overview.seams, key=lambda one: (-one.significance, one.name, one.one, one.other))
    number_of, strong = (
        sum(getattr(one, what) for one in overview.seam_summaries) for what in ("seams", "significant")
    )
    first = told[0]
    words = (
        f"{count(number_of)} borders of two tiles and a map; {count(strong)} steps exceed five standard errors. "
        f"The most significant: {first.name} between {first.one} and {first.other}, {number(first.step)}, "
        f"{number(first.significance, 3)} standard errors. A gap of detectors or an edge of exposures that "
        "runs along a border is a step too."
    )
    picture = drawing(
        seam_steps(told, number_of if number_of > len(told) else None),
        "Steps at the borders of tiles over their errors",
        words,
        "seam-steps",
    )
    rows = [
        (
            breakable(one.name),
            count(one.seams),
            count(one.significant),
            number(one.mean_step),
            number(one.rms_step),
        )
        for one in overview.seam_summaries
    ]
    header = ("map", "borders", "above 5 sigma", "mean step", "r.m.s.")
    summary = table("Steps by map, neighbour minus tile", header, rows)
    return section(
        name, title, element("p", words),
        element("div", figure("Steps over their errors", picture), summary, class_="grid wide"), _seam_table(told),
    )  # fmt: skip


def _seam_table(found: Sequence[Seam]) -> Html:
    """The most significant of every map."""
    header = ("map", "tile", "neighbour", "lon_deg", "lat_deg", "pairs", "step", "error", "significance")
    rows = [
        (one.name, one.one, one.other, f"{one.lon_deg:.5f}", f"{one.lat_deg:.5f}", one.pairs, f"{one.step:.4g}",
         f"{one.error:.3g}", f"{one.significance:.3g}" if one.error else "")
        for one in found
    ]  # fmt: skip
    labels = {
        "lon_deg": "RA, deg",
        "lat_deg": "Dec, deg",
        "pairs": "pairs of cells",
        "significance": "|step| / error",
    }
    caption = "The most significant steps where two tiles meet"
    return sheet_of(Sheet("seam-table", caption, csv_of(header, rows), labels, as_written=True))


# -- bits -------------------------------------------------------------------------------------------------------------


def bits(overview: Overview) -> Section:
    """Flag bits with their names and areas."""
    name, title = "bits", "Flag bits"
    if not overview.bits:
        return Section(name, title, None, "there are no bit masks with columns of bits")
    cards = [
        _bits_of(band, [one for one in overview.bits if one.band == band]) for band in _bands(overview.bits)
    ]
    return section(
        name, title, element("p", "Area that each flag bit hits."), element("div", *cards, class_="grid wide")
    )


def _bands(found: Sequence[Bit]) -> list[str]:
    return list(dict.fromkeys(one.band for one in found))


def _bits_of(band: str, found: Sequence[Bit]) -> Html:
    words = "; ".join(f"{one.name} {area(one.area_deg2)}" for one in found)
    picture = drawing(bit_areas(found), f"Area by flag bit, {band}", words, f"bits-{band}")
    rows = [
        (f"{one.number} {one.name}", "yes" if one.selected else "no", number(one.area_deg2),
         percent(one.area_deg2 / one.of_deg2) if one.of_deg2 > 0 else "–")
        for one in found
    ]  # fmt: skip
    listed = table(f"Flag bits of {band}", ("bit", "selected", "area, deg²", "share"), rows, text=[1])
    return figure(band, picture, listed)


# -- correlations -----------------------------------------------------------------------------------------------------


def correlations(overview: Overview) -> Section:
    """The matrix, and the strongest pairs."""
    name, title = "correlations", "Correlations of maps"
    found = overview.correlations
    if found is None or len(found.names) < 2:
        return Section(name, title, None, "fewer than two maps share cells")
    pairs = _strongest(found)
    words = (
        "; ".join(f"{one} and {other} {value:+.2f}" for one, other, value, _ in pairs) or "no pair is defined"
    )
    picture = drawing(
        correlation_matrix(found), "Correlation of every two maps", f"The strongest: {words}.", "correlations"
    )
    scrolled = element(
        "div", picture, class_="tall", tabindex=0, role="region", aria_label="Correlation matrix, scrolls"
    )
    rows = [
        (breakable(one), breakable(other), f"{value:+.3f}", count(cells))
        for one, other, value, cells in pairs
    ]
    listed = table("The strongest correlations", ("map", "with", "r", "cells"), rows, text=[1])
    intro = "Pearson's coefficient over the cells that both maps list."
    return section(
        name, title, element("p", intro),
        element("div", figure("Matrix", scrolled), listed, class_="grid wide"),
    )  # fmt: skip


def _strongest(found: Correlations) -> list[tuple[str, str, float, int]]:
    upper = [(i, j) for i in range(len(found.names)) for j in range(i + 1, len(found.names))]
    known = [(i, j) for i, j in upper if np.isfinite(found.matrix[i, j])]
    known.sort(key=lambda pair: (-abs(found.matrix[pair]), pair))
    return [
        (found.names[i], found.names[j], float(found.matrix[i, j]), int(found.cells[i, j]))
        for i, j in known[:STRONGEST]
    ]


# -- n(z) -------------------------------------------------------------------------------------------------------------


def redshifts(overview: Overview) -> Section:
    """n(z) by class of visibility."""
    name, title = "redshifts", "Redshifts"
    if not overview.redshifts:
        return Section(name, title, None, "no class of galaxies has redshifts")
    cards = [part for one in overview.redshifts for part in _redshifts_of(one)]
    intro = "n(z) of the galaxies that are seen, by class of visibility over coverage."
    return section(name, title, element("p", intro), element("div", *cards, class_="grid wide"))


def _redshifts_of(one: Distribution) -> tuple[Html, Html]:
    classes = one.classes()
    words = "; ".join(
        f"class {row['vis_class']}: mean redshift {number(row['mean_z'])}, width {number(row['width_z'])}"
        for row in classes
    )
    picture = drawing(redshift_distribution(one), f"n(z) of {one.name}", words, f"nz-{one.name}")
    rows = [
        (f"{number(row['from'])} to {'∞' if row['to'] is None else number(row['to'])}", number(row["area_deg2"]),
         number(row["galaxies"]), number(row["mean_z"]), number(row["width_z"]))
        for row in classes
    ]  # fmt: skip
    header = ("visibility", "area, deg²", "galaxies", "mean z", "width")
    return figure(one.name, picture), table(f"Classes of visibility of {one.name}", header, rows)


# -- randoms ----------------------------------------------------------------------------------------------------------


def randoms(overview: Overview) -> Section:
    """Random catalogues against the maps that they follow."""
    name, title = "randoms", "Random catalogues"
    if not overview.randoms:
        return Section(name, title, None, "none was given (--randoms FILE)")
    intro = "Points over visibility must be the same everywhere, whatever the visibility."
    frame = frame_of(overview)
    return section(name, title, element("p", intro), *(_catalogue(one, frame) for one in overview.randoms))


def _catalogue(one: RandomsOverview, frame: SkyFrame) -> Html:
    verdict = element(
        "span", "passed" if one.passed else "failed", class_="passed" if one.passed else "failed"
    )
    told = numbers([("points", count(one.rows)), ("follows", one.map)])
    tests = [str(test["name"]) for test in one.verdicts if test["verdict"] == "failed"]
    words = f"{count(one.rows)} points; " + (f"failed: {', '.join(tests)}." if tests else "no test failed.")
    pictures = element(
        "div",
        drawing(
            randoms_map(one, frame),
            "Density of points over visibility",
            words,
            f"randoms-{one.file}-{one.map}",
            LINES,
        ),
        drawing(density_by_visibility(one), "Density by visibility", words, f"deciles-{one.file}-{one.map}"),
        class_="pair",
    )
    return card(element("h3", one.file, " ", verdict), told, pictures, _tests(one))


def _tests(one: RandomsOverview) -> Html:
    rows = [
        (str(test["name"]), element("span", str(test["verdict"]), class_=str(test["verdict"]).replace(" ", "-")),
         number(test.get("statistic")), number(test.get("p"), 3), str(test.get("bound") or ""),
         joined((str(test.get("meaning") or ""), *([element("br"), str(test["note"])] if test.get("note") else []))))
        for test in one.verdicts
    ]  # fmt: skip
    header = ("test", "verdict", "statistic", "p", "must be", "what is tested")
    return table(f"Tests of {one.file} against {one.map}", header, rows, text=[1, 4, 5])
