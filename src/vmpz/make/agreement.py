"""What products to merge must agree in, and what their merged keywords are.

Headers are added one after the other, in any order, and only what the result needs is kept: the values that all share,
the sums, the period. The result does not depend on the order.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vmpz.errors import MapMismatchError
from vmpz.products import ProductKey, Scalar

__all__ = ["Agreement", "Head"]

MUST_AGREE = (
    "BITSEL", "BITTABLE", "BITTABVR", "DEGRULE", "WGTKIND", "STATIST", "SAMPLE", "INFO", "DEPTHEST", "SNRLEVEL",
    "APERDIAM", "CORRFAC", "EXTCORR", "EXTLAW", "PSFKIND", "SRCPROF", "EFFRULE", "FILTLST",
    "BINSEL", "VISREF", "VISSEL",
)  # fmt: skip
SOFTWARE = ("SOFTNAME", "SOFTVERS")
"""Must agree where both say it: other software need not sign."""
NEVER_MIXED = {"kind", "quantity", "columns", "DEGRULE", "WGTKIND", "INFO"}
MAY_BE_SEVERAL = ("statistic", "selection", "release", "band", "instrument")
OF_THE_FILE = {"PRODDIG", "DATE-OBS", "DATE-END"}
SAME = 1e-6
"""Relative difference below which two numbers of headers (pixel scales, say) are one."""
GREATEST = ("VISMAX",)
ADDED = ("TILEAREA", "OBSAREA", "VISINTEG", "SFPAREA", "SFPDIFF")


@dataclass(frozen=True)
class Head:
    """What is known of a product before its rows are read.

    Attributes
    ----------
    name : str
        Its file or key, for messages.
    row_type : numpy.dtype
        Big-endian record: PIXEL, WEIGHT, further columns.
    convention : str
        Coverage convention of its file.
    """

    name: str
    key: ProductKey
    keywords: Mapping[str, Scalar]
    unit: str
    row_type: np.dtype[Any]
    convention: str = "OBSERVED"


@dataclass
class Agreement:
    """What the heads added so far have in common.

    Parameters
    ----------
    allow_mixed : bool
        Take products that differ in what they should agree in, and record it (MIXED); kind, quantity, columns and
        degrade rule must agree always.
    """

    allow_mixed: bool = False
    first: Head | None = None
    mixed: set[str] = field(default_factory=set)
    common: dict[str, tuple[Scalar, Scalar]] = field(default_factory=dict)
    """Keywords that all have, with the least and the greatest value."""
    sums: dict[str, list[float]] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    releases: set[str] = field(default_factory=set)
    verified: bool = True

    def add(self, head: Head) -> None:
        """Take one more product.

        Raises
        ------
        MapMismatchError
            It must not be merged with the first; the message names both and what differs.
        """
        if self.first is None:
            self.first = head
            self.common = {
                name: (value, value) for name, value in head.keywords.items() if name not in OF_THE_FILE
            }
        else:
            self._compare(self.first, head)
            self.common = {
                name: (min(least, head.keywords[name]), max(most, head.keywords[name]))
                for name, (least, most) in self.common.items()
                if name in head.keywords
            }
        self.mixed |= {name for name in str(head.keywords.get("MIXED", "")).split(",") if name}
        for name in ADDED:
            if name in head.keywords:
                self.sums.setdefault(name, []).append(float(head.keywords[name]))
        self.starts += [str(head.keywords["DATE-OBS"])] if "DATE-OBS" in head.keywords else []
        self.ends += [str(head.keywords["DATE-END"])] if "DATE-END" in head.keywords else []
        self._keep_extremes()
        self.releases.add(head.key.release)
        self.verified = self.verified and bool(head.keywords.get("VERIFIED"))

    def key(self, area: str, order: int) -> ProductKey:
        """Key of the result; '-' where the products differ."""
        first = self._first()
        fields = {name: "-" for name in self.mixed if name in MAY_BE_SEVERAL}
        return replace(first.key, area=area, order=order, **fields)

    @property
    def unit(self) -> str:
        """The unit that all have, '' if it is mixed."""
        return "" if "unit" in self.mixed else self._first().unit

    def keywords(self, area: str) -> dict[str, Scalar]:
        """Keywords of the result: what all share, sums of areas, the period, MIXED, TILEID -1 and LISTID."""
        words = {name: _shared(*values) for name, values in self.common.items()}
        words |= {name: math.fsum(values) for name, values in self.sums.items() if name in words}
        words |= {name: self.common[name][1] for name in GREATEST if name in words}
        known = [one for one in self.starts if one != "-1"], [one for one in self.ends if one != "-1"]
        words |= {"DATE-OBS": min(known[0], default="-1"), "DATE-END": max(known[1], default="-1")}
        if self.mixed:
            words["MIXED"] = ",".join(sorted(self.mixed))
        return words | {"TILEID": -1, "LISTID": area}

    def _first(self) -> Head:
        if self.first is None:
            raise MapMismatchError("a merge needs at least one product, found none")
        return self.first

    def _compare(self, one: Head, other: Head) -> None:
        for name, first, second in _compared(one, other):
            if first == second:
                continue
            if self.allow_mixed and name not in NEVER_MIXED:
                self.mixed.add(name)
                continue
            hint = "" if name in NEVER_MIXED else " (allow_mixed takes both)"
            raise MapMismatchError(
                f"{one.name} and {other.name}: {name} must agree, found {first!r} and {second!r}{hint}"
            )

    def _keep_extremes(self) -> None:
        """Periods need no more than their ends."""
        if len(self.starts) > 64:
            self.starts = [min((one for one in self.starts if one != "-1"), default="-1")]
        if len(self.ends) > 64:
            self.ends = [max((one for one in self.ends if one != "-1"), default="-1")]


def _compared(one: Head, other: Head) -> list[tuple[str, Any, Any]]:
    """Names and values that must agree."""
    fields = ("kind", "quantity", "statistic", "selection", "instrument", "band", "order", "release")
    # Values in image units mean nothing without their zero point; those of a depth map contain it.
    zero_point = () if one.key.kind == "depth" else ("MAGZERO",)
    return [
        *((name, getattr(one.key, name), getattr(other.key, name)) for name in fields),
        ("unit", one.unit, other.unit),
        ("columns", _columns(one), _columns(other)),
        ("COVCONV", one.convention, other.convention),
        *((name, _stated(one, name), _stated(other, name)) for name in (*MUST_AGREE, *zero_point)),
        *(
            (name, _released(one.keywords[name]), _released(other.keywords[name]))
            for name in SOFTWARE
            if name in one.keywords and name in other.keywords
        ),
    ]


def _stated(head: Head, name: str) -> Scalar:
    """What a header says; a keyword that is not there says that it is not used."""
    return head.keywords.get(name, "-1")


def _released(version: Scalar) -> str:
    """The release that a version leads to: commits on the way to one agree."""
    return re.split(r"\.dev|\+", str(version))[0]


def _columns(head: Head) -> str:
    """Names and types, e.g. 'PIXEL int64, WEIGHT float32'."""
    return ", ".join(f"{name} {head.row_type[name].newbyteorder('=')}" for name in head.row_type.names or ())


def _shared(least: Scalar, most: Scalar) -> Scalar:
    """The value that all have; else what the header says for several: '-1', -1, or false."""
    if least == most or (isinstance(least, float) and math.isclose(least, float(most), rel_tol=SAME)):
        return least
    return False if isinstance(least, bool) else "-1" if isinstance(least, str) else type(least)(-1)
