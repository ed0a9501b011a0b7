"""The colours of figures other than those of values: ink, grid, ground, and the series of plots.

Each has a name: in a page, where the reader chooses light or dark, its value is that of a CSS custom property
(`vmpz.report.themes`); on paper it is the light one.
"""

__all__ = ["ABSENT", "GRID", "INK", "LAW", "MUTED", "PALETTE", "SERIES", "SURFACE"]

PALETTE = {
    "--ink": ("#1f2933", "#e6eaee"),
    "--muted": ("#52606d", "#a7b3bf"),
    "--grid": ("#d3dae1", "#3a444e"),
    "--surface": ("#fffffe", "#161b20"),
    "--absent": ("#eceff1", "#343e48"),
    "--law": ("#c44d00", "#ff9a57"),
    "--series-1": ("#0072b2", "#4fb3ea"),
    "--series-2": ("#b86a00", "#f0b13c"),
    "--series-3": ("#00805e", "#2fc79b"),
    "--series-4": ("#a8487f", "#e59ac4"),
    "--series-5": ("#5a4fb0", "#a9a2f2"),
    "--series-6": ("#b3261e", "#ff8a80"),
    "--series-7": ("#6b7681", "#b5bfc9"),
    "--series-8": ("#7a6a00", "#d6c546"),
}
"""CSS custom property -> (light, dark): of contrast at least 4.5 (lines 3) with its surface."""

INK, MUTED, GRID, SURFACE, ABSENT, LAW = (pair[0] for pair in list(PALETTE.values())[:6])
SERIES = tuple(light for name, (light, _) in PALETTE.items() if name.startswith("--series-"))
