"""The figure of a validation: six panels, what was found against what must be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from vmpz.report.figures import save
from vmpz.report.palette import INK, SURFACE
from vmpz.run.validation import Validation

__all__ = ["draw_validation"]

FOUND, LAW, BAND = "#0072b2", "#d55e00", "#b8c4ce"
"""Blue, vermilion (Okabe & Ito 2008) and grey: told apart by all, and by lightness."""


def draw_validation(found: Validation, path: str | Path, heading: str = "") -> None:
    """Draw density by visibility, pulls of cells, sub-cells, neighbours, pairs and spectra into a figure."""
    panels: tuple[tuple[str, str, Callable[[Axes, dict[str, np.ndarray]], None]], ...] = (
        ("deciles", "Density by visibility", _deciles),
        ("cells", "Cells", _cells),
        ("subcells", "Inside cells", _subcells),
        ("neighbours", "Nearest neighbours", _neighbours),
        ("pairs", "Pairs in a cap", _pairs),
        ("spectrum", "Spectrum of the shot noise", _spectrum),
    )
    figure = Figure((14, 8), dpi=110, layout="constrained", facecolor=SURFACE)
    axes = figure.subplots(2, 3)
    for place, (name, title, draw) in zip(axes.flat, panels, strict=True):
        check = found[name]
        place.set_title(f"{title}: {check.verdict}", color=INK, fontsize=11, loc="left")
        place.tick_params(colors=INK, labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
        if check.passed is None:
            place.set_axis_off()
            place.text(0.5, 0.5, check.note, ha="center", va="center", wrap=True, color=INK)
        else:
            draw(place, check.curves)
    verdict = "passed" if found.passed else f"failed: {', '.join(found.failed)}"
    text = f"{heading}   {found.rows} rows   {verdict}".strip()
    figure.suptitle(text, color=INK, fontsize=min(13, 108 * 14 / len(text)), fontweight="bold")
    save(figure, path)


def _ratios(axes: Axes, x: str, curves: dict[str, np.ndarray], law: str, found: str = "found") -> None:
    """Ratios of what is found to what is expected, against one of the curves."""
    axes.axhline(1.0, color=LAW, lw=1.5, label=law)
    axes.errorbar(
        curves[x], curves["ratio"], curves["error"], fmt="o", ms=4, color=FOUND, label=f"{found}, 1 sigma"
    )
    axes.legend(frameon=False, fontsize=8)


def _deciles(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    _ratios(axes, "visibility", curves, "expected")
    axes.set(xlabel="visibility V (mean of the class)", ylabel="density / V, over its mean")


def _cells(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    edges, height = curves["edges"], curves["height"]
    middle, width = (edges[1:] + edges[:-1]) / 2.0, edges[1] - edges[0]
    axes.bar(middle, height, width, color=FOUND, label="found")
    normal = np.exp(-(middle**2) / 2.0) / np.sqrt(2.0 * np.pi) * curves["groups"][0] * width
    axes.plot(middle, normal, color=LAW, lw=1.8, label="normal law")
    axes.set(xlabel="(found - expected) / sigma", ylabel="cells", yscale="log", ylim=(0.5, None))
    axes.legend(frameon=False, fontsize=8)


def _subcells(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    image, reach = curves["image"], 5.0 * float(curves["error"][0])
    shown = axes.imshow(
        image, origin="lower", cmap="cividis", vmin=1.0 - reach, vmax=1.0 + reach, extent=(0, 1, 0, 1), aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    bar = axes.figure.colorbar(shown, ax=axes, shrink=0.9, extend="both")
    bar.set_label("objects per sub-cell / mean (scale: 5 sigma)", color=INK)
    bar.outline.set_visible(False)
    axes.set(xlabel="x inside the cell", ylabel="y inside the cell")


def _neighbours(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    expected, beyond = curves["expected"], curves["beyond"]
    scatter = np.sqrt(np.exp(-expected) * -np.expm1(-expected) / expected.size)
    axes.fill_between(expected, -2.0 * scatter, 2.0 * scatter, color=BAND, lw=0, label="2 sigma")
    axes.axhline(0.0, color=LAW, lw=1.5, label=r"exp(-n $\pi$ r$^2$)")
    axes.step(expected, beyond - np.exp(-expected), where="post", color=FOUND, lw=1.2, label="found")
    axes.set(
        xlabel=r"objects expected within the nearest, n $\pi$ r$^2$",
        ylabel="P(> r) - expected",
        xlim=(0.0, 7.0),
    )
    axes.legend(frameon=False, fontsize=8)


def _pairs(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    _ratios(axes, "separation", curves, "closed form")
    axes.set(xscale="log", xlabel="separation [deg]", ylabel="RR / RR expected")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _spectrum(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    _ratios(axes, "l", curves, r"$\langle V\rangle$/nbar", "shot noise")
    axes.set(xscale="log", xlabel="multipole l", ylabel="C$_l$ / expected")
    mask = axes.twinx()
    mask.plot(curves["mask_l"], curves["mask"], color=BAND, lw=0.8, zorder=0)
    mask.set(yscale="log", ylabel=r"C$_l$ / C$_0$ of the mask V (grey)")
    mask.tick_params(colors=INK, labelsize=8)
    mask.spines["top"].set_visible(False)
    axes.set_zorder(mask.get_zorder() + 1)
    axes.patch.set_visible(False)
