"""Where the map and the colour bar of a panel stand, in whole pixels: a pixel of the map is a pixel of the figure."""

from dataclasses import dataclass

from vmpz.report.projections import SkyFrame

__all__ = ["Box", "Place"]

Place = tuple[float, float, float, float]
"""Left, bottom, width, height, as shares of the figure."""

# In sizes of text:
SIDES = 7.9
"""Left and right of the map together."""
LEFT = {"gnomonic": 6.1, "allsky": 3.6}
TOP, TITLE = 0.9, 1.7
BELOW = {"gnomonic": 3.5, "allsky": 1.3}
BAR, BAR_TICKS, BAR_LABEL = 0.85, 1.7, 1.5
BAR_SHARE = {"gnomonic": 1.0, "allsky": 0.7}
"""Width of the colour bar, of that of the map."""


@dataclass(frozen=True)
class Box:
    """The place of one panel.

    Attributes
    ----------
    width : int
        Pixels.
    size_pt : float
        Of text.
    dpi : int
    titled, labelled : bool
        Whether there is a title above the map, a label below the bar.
    """

    width: int
    size_pt: float
    dpi: int
    titled: bool = True
    labelled: bool = True

    def _px(self, sizes: float) -> int:
        return round(sizes * self.size_pt / 72.0 * self.dpi)

    @property
    def columns(self) -> int:
        """Pixels across the map."""
        return self.width - self._px(SIDES)

    @property
    def _top(self) -> int:
        return self._px(TOP + (TITLE if self.titled else 0.0))

    def height(self, frame: SkyFrame) -> int:
        """Pixels."""
        under = BELOW[frame.kind] + BAR + BAR_TICKS + (BAR_LABEL if self.labelled else 0.0)
        return self._top + frame.shape[0] + self._px(under)

    def places(self, frame: SkyFrame, figure: tuple[int, int], left: int, top: int) -> tuple[Place, Place]:
        """Map and colour bar of the panel whose upper left corner is there, in a figure of width and height."""
        rows, columns = frame.shape
        x, y = left + self._px(LEFT[frame.kind]), top + self._top + rows
        share = BAR_SHARE[frame.kind]
        bar_y, bar = y + self._px(BELOW[frame.kind] + BAR), self._px(BAR)
        bar_x = x + round((1.0 - share) / 2.0 * columns)
        return _of(figure, x, y, columns, rows), _of(figure, bar_x, bar_y, round(share * columns), bar)


def _of(figure: tuple[int, int], x: int, below: int, width: int, height: int) -> Place:
    return x / figure[0], 1.0 - below / figure[1], width / figure[0], height / figure[1]
