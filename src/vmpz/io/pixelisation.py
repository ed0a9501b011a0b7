"""What the header of a HEALPix table says of its pixels: ordering, resolution, frame, and which values are none."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.hdu import Hdu
from vmpz.sky import hpx

__all__ = ["EQUATORIAL", "GALACTIC", "UNSEEN", "order_of", "ordering_of", "with_gaps"]

UNSEEN = -1.6375e30
EQUATORIAL = ("C", "EQ", "ICRS", "FK5", "CELESTIAL", "EQUATORIAL")
GALACTIC = ("G", "GAL", "GALACTIC")


def ordering_of(unit: Hdu) -> str:
    """NESTED, RING or NUNIQ, as ORDERING says ('NEST' and lower case are read too).

    Raises
    ------
    InputError
        It says something else, or is missing.
    """
    stated = (unit.cards.optional_text("ORDERING") or "").upper()
    found = {"NEST": "NESTED"}.get(stated, stated)
    if found not in ("NESTED", "RING", "NUNIQ"):
        raise InputError(f"{unit.where}: ORDERING must be NESTED, RING or NUNIQ, found {stated or 'nothing'}")
    return found


def order_of(unit: Hdu) -> int:
    """Order of NSIDE.

    Raises
    ------
    InputError
        NSIDE is missing or no power of two.
    """
    nside = unit.cards.integer("NSIDE")
    order = nside.bit_length() - 1
    if nside < 1 or nside != 1 << order or order > hpx.MAX_ORDER:
        raise InputError(f"{unit.where}: NSIDE must be a power of two up to 2**29, found {nside}")
    return order


def with_gaps(values: NDArray[Any], bad: float | None) -> NDArray[Any]:
    """Values with NaN in the place of UNSEEN and BAD_DATA."""
    if values.dtype.kind != "f" or not values.size:
        return values
    least, most = np.fmin.reduce(values), np.fmax.reduce(values)
    for sentinel in (UNSEEN, bad):
        margin = 1e-5 * abs(sentinel or 0.0)
        if sentinel is not None and least <= sentinel + margin and most >= sentinel - margin:
            missing = (values >= sentinel - margin) & (values <= sentinel + margin)
            values = np.where(missing, values.dtype.type(np.nan), values)
    return values
