"""The frozen tables beside this file: what public LPSC code makes of a weighted MOC, and of maps that it degrades.

The semantics are those of lpsc-euclid/decontamination (``decontamination/mask/moc.py`` and ``ud_grade.py``, of October
2024), done here the slow way, one cell after the other, with 60 decimal digits; nothing of either package is used. The
tables were compared with what that code itself gives: cells and weights equal, degraded values to 1e-15.

``wmoc.csv``: rows of a weighted MOC (order, cell, weight). ``wmoc_healpix.csv``: `wmoc_to_healpix` of them at order 6:
row after row, every descendant of a cell with its weight.

``ud_grade.csv``: mode of `ud_grade`, the DEGRULE that stands for it, orders between parent and child (d), the children
present (number among the siblings, value), the value that LPSC gives to the parent, and the one that we do (w = 1)::

    arith    sum(x) / n              MEAN      the same
    quad     sqrt(sum(x**2) / n)     QUAD      the same
    log      -2.5 log10(sum(10**(-x / 2.5)) / n)              LOG        the same
    logquad  -2.5 log10 sqrt(sum(10**(-x / 2.5)**2) / n)      LOGQUAD    the same
    cov      sum(x) / n              COVERAGE  sum(x) / 4**d: what is absent is not observed
    sum      sum(x) * 4**d / n       SUM       sum(x): what is absent is not made up for

where n is the number of children present.
"""

import csv
from decimal import Decimal, getcontext
from pathlib import Path

HERE = Path(__file__).parent
getcontext().prec = 60

WMOC = [
    (2, 5, "0.25"),
    (3, 26, "0.625"),
    (3, 28, "1"),
    (3, 29, "1"),
    (3, 30, "1"),
    (4, 7, "0.5"),
    (4, 124, "1"),
    (4, 3071, "0.0625"),
    (5, 500, "0.75"),
    (5, 501, "0.75"),
    (5, 502, "0.75"),
    (6, 0, "0.0009765625"),
    (6, 2012, "0.75"),
    (6, 2013, "0.75"),
    (6, 2014, "0.75"),
    (6, 2015, "0.7509765625"),
    (6, 49135, "0.33203125"),
]
"""Canonical: four siblings that agree are one cell. In the order of NUNIQ; weights are binary fractions."""
WMOC_ORDER = 6

DEPTHS = ["25", "25.5", "26", "26.5"]
NOISES = ["1", "2", "4", "9"]
ANGLES = ["0.125", "-3.5", "88.25", "12"]
FRACTIONS = ["0.25", "0.5", "0.75", "1"]
COUNTS = ["3", "5", "7", "11"]
DEEPER = [str(24 + Decimal(k * k % 17) / 8) for k in range(16)]
SHARES = [str(Decimal(k * k % 17 + 1) / 32) for k in range(16)]
FAMILIES = {
    "arith": [(1, dict(enumerate(ANGLES))), (1, {0: "1", 3: "4"}), (2, dict(enumerate(DEEPER)))],
    "quad": [(1, dict(enumerate(NOISES))), (1, {1: "3", 2: "4"}), (2, dict(enumerate(SHARES)))],
    "log": [(1, dict(enumerate(DEPTHS))), (1, {2: "25", 3: "26"}), (2, dict(enumerate(DEEPER)))],
    "logquad": [
        (1, dict(enumerate(DEPTHS))),
        (1, dict(enumerate(["25", "26", "26", "26"]))),
        (1, {0: "25", 1: "26"}),
        (1, {2: "24.375"}),
        (2, dict(enumerate(DEEPER))),
    ],
    "cov": [
        (1, dict(enumerate(FRACTIONS))),
        (1, dict(enumerate(["0", "0.5", "0", "1"]))),
        (1, {0: "0.25", 1: "0.5"}),
        (1, {3: "1"}),
        (2, dict(enumerate(SHARES))),
        (2, dict.fromkeys(range(5), "1")),
    ],
    "sum": [
        (1, dict(enumerate(COUNTS))),
        (1, {0: "3", 2: "7"}),
        (1, {1: "5"}),
        (2, {0: "1", 7: "2", 9: "6"}),
    ],
}
RULES = {"arith": "MEAN", "quad": "QUAD", "log": "LOG", "logquad": "LOGQUAD", "cov": "COVERAGE", "sum": "SUM"}


def wmoc_to_healpix(rows, order):
    """Cells at one order, row after row."""
    for depth, cell, weight in rows:
        descendants = [cell]
        for _ in range(order - depth):
            descendants = [4 * one + child for one in descendants for child in range(4)]
        yield from ((one, weight) for one in descendants)


def lpsc(mode, d, values):
    """The value of a parent by LPSC's modes."""
    total, ten, n = Decimal(0), Decimal(10), len(values)
    for x in values:
        flux = ten ** (x / Decimal("-2.5"))
        total += {"quad": x * x, "log": flux, "logquad": flux * flux}.get(mode, x)
    mean = total / n
    if mode == "sum":
        return total * 4**d / n
    if mode == "quad":
        return mean.sqrt()
    if mode in ("log", "logquad"):
        return Decimal("-2.5") * (mean.sqrt() if mode == "logquad" else mean).log10()
    return mean


def ours(mode, d, values):
    """The value of a parent by our rules, all children weighing alike."""
    if mode == "cov":
        return sum(values) / 4**d
    return sum(values) if mode == "sum" else lpsc(mode, d, values)


def number(value):
    """The nearest double, as text that gives it back."""
    return repr(float(value))


def main():
    """Write the tables."""
    write("wmoc.csv", ["order", "cell", "weight"], WMOC)
    write("wmoc_healpix.csv", ["cell", "weight"], wmoc_to_healpix(WMOC, WMOC_ORDER))
    rows = []
    for mode, families in FAMILIES.items():
        for d, family in families:
            values = [Decimal(text) for text in family.values()]
            children = " ".join(f"{child}:{text}" for child, text in family.items())
            rows.append(
                (mode, RULES[mode], d, children, number(lpsc(mode, d, values)), number(ours(mode, d, values)))
            )
    write("ud_grade.csv", ["mode", "rule", "d", "children", "lpsc", "vmpz"], rows)


def write(name, head, rows):
    """A table of comma-separated values."""
    with (HERE / name).open("w", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(head)
        table.writerows(rows)


if __name__ == "__main__":
    main()
