"""The area that each flag bit hits."""

from collections.abc import Iterator

from vmpz.products import Product
from vmpz.run.overview.content import Bit
from vmpz.run.overview.reading import Reading
from vmpz.sky import hpx

__all__ = ["Bits"]

COLUMN = "BIT"


class Bits:
    """Areas by band and bit, gathered area by area; a bit that two masks of a band hold counts once."""

    def __init__(self) -> None:
        self._hit: dict[tuple[str, int, str], float] = {}
        self._selected: set[tuple[str, int, str]] = set()
        self._known: dict[str, float] = {}

    def add(self, reading: Reading) -> None:
        """Count an area in: its own area, or where no file says that, what any of its maps lists."""
        masks = [piece for piece in reading.pieces if piece.listed.key.kind == "bitmask"]
        seen: set[tuple[str, int, str]] = set()
        for piece in masks:
            band = piece.listed.key.band
            for number, name, is_selected, area_deg2 in _bits(piece.product):
                key = (band, number, name)
                self._selected |= {key} if is_selected else set()
                if key not in seen:
                    self._hit[key] = self._hit.get(key, 0.0) + area_deg2
                    seen.add(key)
        own = reading.listed_deg2 if reading.own_deg2 is None else reading.own_deg2
        for band in sorted({piece.listed.key.band for piece in masks}):
            self._known[band] = self._known.get(band, 0.0) + own

    def finish(self) -> tuple[Bit, ...]:
        """All bits, by band and number."""
        return tuple(
            Bit(band, number, name, key in self._selected, self._hit[key], self._known[band])
            for key in sorted(self._hit)
            for band, number, name in [key]
        )


def _bits(product: Product) -> Iterator[tuple[int, str, bool, float]]:
    """Number, name, whether the mask selects it, and area hit of the bits that have a column."""
    selected = {part.strip() for part in str(product.keywords.get("BITSEL", "")).split(",")}
    for column, one in product.maps.items():
        digits = column.removeprefix(COLUMN)
        if column.startswith(COLUMN) and digits.isdigit():
            name = str(product.keywords.get(f"BITN{digits}", f"bit {int(digits)}"))
            hit = float(one.values.sum(dtype="f8")) * hpx.cell_area_deg2(one.order)
            yield int(digits), name, str(int(digits)) in selected, hit
