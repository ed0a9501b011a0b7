"""The sky of a page: all its maps show the same part, under the same lines, which stand in the page once."""

from vmpz.report.figures import page_frame, page_lines
from vmpz.report.page.elements import Html
from vmpz.report.page.summary import borders_of
from vmpz.report.projections import SkyFrame
from vmpz.report.themes import shared_svg
from vmpz.run.overview.content import Overview
from vmpz.sky.skymap import SkyMap

__all__ = ["LINES", "frame_of", "lines_of"]

LINES = "sky-lines"
"""Name of what is drawn over every map."""


def frame_of(overview: Overview) -> SkyFrame:
    """The part of the sky that holds all maps, and the tiles whose borders are drawn."""
    return page_frame(_maps(overview), borders_of(overview))


def lines_of(overview: Overview) -> Html | None:
    """Graticule, scale bar and borders of tiles; None of a page without maps."""
    if not _maps(overview):
        return None
    return Html(shared_svg(page_lines(frame_of(overview), borders_of(overview)), LINES))


def _maps(overview: Overview) -> list[SkyMap]:
    return [*(one.picture for one in overview.maps), *(one.density for one in overview.randoms)]
