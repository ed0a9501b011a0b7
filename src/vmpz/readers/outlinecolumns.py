"""Outlines of detectors from the columns of a table, in any of the usual forms.

===========  ======================================================================================================
``wcs``      naxis1, naxis2, crpix1.., crval1.., cd1_1.. and, under TPV, pv1_0..pv2_10 (no ctype1: TPV where there are
             pv columns): the outer corners of the image (Calabretta & Greisen 2002; FITS registry for TPV)
``corners``  a pair of columns a corner: ra1, dec1.. | ra_1.. | rac1, decc1.. | lon1, lat1.. | lon_1.. | fov_lon1..
             (from 0 or 1, at least three), or llcra, llcdec (or llcdecl), lrc.., urc.., ulc..
``lists``    two columns of lists: racorners, deccorners | ra_corners, dec_corners | lon, lat | ra, dec
``polygon``  one column of text, an STC-S polygon, or of lists lon, lat, lon, lat..: s_region, stc_s, stcs, polygon,
             corners, outline, region, footprint, fov
``box``      the middle (ra_cent, dec_cent | ra, dec | lon, lat), width and height along great circles through it,
             position_angle or pa of the height from north through east (0 where there is none)
===========  ======================================================================================================

The first form that is there is taken, so a WCS comes before corners: in the table of DES images that comes with decasu
the corners follow the NAXIS1 of the compressed HDU, slivers of 24 pixels. Angles are degrees unless a unit says so.
Edges are great circles between the corners. Four corners may stand in any order; more must follow the outline.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.readers.plaintables import PlainTable
from vmpz.readers.tables import sorted_corners
from vmpz.sky.covers import unit_vectors

__all__ = ["FORMS", "Outlines", "read_outlines"]

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Columns = Mapping[str, NDArray[Any]]

PAIRS = (
    ("ra{}", "dec{}"),
    ("ra_{}", "dec_{}"),
    ("rac{}", "decc{}"),
    ("lon{}", "lat{}"),
    ("lon_{}", "lat_{}"),
    ("fov_lon{}", "fov_lat{}"),
)
IMAGE_CORNERS = (("{}ra", "{}dec"), ("{}ra", "{}decl"))
LISTS = (("racorners", "deccorners"), ("ra_corners", "dec_corners"), ("lon", "lat"), ("ra", "dec"))
POLYGONS = ("s_region", "stc_s", "stcs", "polygon", "corners", "outline", "region", "footprint", "fov")
MIDDLES = (("ra_cent", "dec_cent"), ("ra", "dec"), ("lon", "lat"))
ANGLES = ("position_angle", "pa")
WCS = (
    "naxis1", "naxis2", "crpix1", "crpix2", "crval1", "crval2", "cd1_1", "cd1_2", "cd2_1", "cd2_2",
)  # fmt: skip
TPV_TERMS = 11
TPV_POWERS = ((0, 0), (1, 0), (0, 1), None, (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
"""Powers of the own and the other coordinate; the fourth term is the radius."""
STCS = re.compile(
    r"\s*polygon\s+(?:(?:icrs|fk5|j2000|topocenter|barycenter|geocenter|unknownframe)\s+)*([-+.\deE\s]+)",
    re.I,
)
DEGREES_IN = {
    "": 1.0,
    "deg": 1.0,
    "degree": 1.0,
    "degrees": 1.0,
    "arcmin": 1 / 60,
    "arcsec": 1 / 3600,
    "rad": 180 / np.pi,
}
DEGREES_IN |= {"radian": 180 / np.pi, "radians": 180 / np.pi}


RULES = (
    "an outline must have finite corners",
    "an outline must have corners on the sky",
    "an outline must not cross itself, and four corners must be convex",
)
BLOCK = 1 << 14
"""Rows that are worked on at a time."""


class Outlines(NamedTuple):
    """Outlines of the rows of a table.

    Attributes
    ----------
    corners : float64 array (n, m, 2)
        Degrees; an outline of fewer vertices repeats its last.
    faults : tuple of (bool array (n,), str)
        Rows that are none, and what must hold.
    note : str
        What they were read from.
    """

    corners: Array
    faults: tuple[tuple[Bools, str], ...]
    note: str


class _Form(NamedTuple):
    """A form that a table has: the columns that it needs, and how corners come from them."""

    columns: tuple[str, ...]
    make: Callable[[Columns], Array]


def read_outlines(table: PlainTable, rows: NDArray[np.int64], options: Mapping[str, Any]) -> Outlines:
    """Outlines of some rows.

    Parameters
    ----------
    table : PlainTable
    rows : int64 array
    options : mapping
        `outline` (a form, None = the first that is there), and in `units` those of ``corners``, ``width``, ``height``
        and ``position_angle``, before those of the columns.

    Raises
    ------
    InputError
        The table has no such form, or a column is not what it must be.
    """
    name, form = _found(table, options)
    columns = table.read(form.columns)
    _must_be_numbers(table, name, columns)
    note = f"outlines are made of columns {', '.join(form.columns)} ({name})"
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)] or [rows]
    parts = [_checked(form.make({key: values[block] for key, values in columns.items()})) for block in blocks]
    most = max(corners.shape[1] for corners, _ in parts)
    corners = [np.pad(one, ((0, 0), (0, most - one.shape[1]), (0, 0)), "edge") for one, _ in parts]
    faults = [np.concatenate([found[n] for _, found in parts]) for n in range(len(RULES))]
    return Outlines(np.concatenate(corners), tuple(zip(faults, RULES, strict=True)), note)


def _checked(corners: Array) -> tuple[Array, tuple[Bools, ...]]:
    """Outlines, four corners sorted around their middle; and which of them break each of `RULES`."""
    unknown: Bools = ~np.all(np.isfinite(corners), axis=(1, 2))
    corners = np.where(unknown[:, None, None], 0.0, corners)
    if corners.shape[1] == 4:
        corners, on_sky, is_convex = sorted_corners(corners)
        return corners, (unknown, ~on_sky, ~is_convex)
    return corners, (unknown, ~_on_sky(corners), _crossing(corners))


def _found(table: PlainTable, options: Mapping[str, Any]) -> tuple[str, _Form]:
    wanted = options.get("outline")
    if wanted is not None and wanted not in FORMS:
        raise InputError(f"reader option outline must be one of {', '.join(FORMS)}, found {wanted!r}")
    for name in [wanted] if wanted else FORMS:
        form = FORMS[name](table, options)
        if form is not None:
            return name, form
    raise InputError(
        f"{table.where}: must have columns of outlines ({wanted or ', '.join(FORMS)}), found {', '.join(table.units)}"
    )


def _factor(table: PlainTable, column: str, what: str, options: Mapping[str, Any]) -> float:
    """Degrees in the unit of a column: that of the options, else its own, else degrees."""
    unit = str((options.get("units") or {}).get(what, table.units[column])).strip().lower()
    if unit not in DEGREES_IN:
        raise InputError(f"{table.where}: the unit of column {column} must be an angle, found {unit!r}")
    return float(DEGREES_IN[unit])


def _must_be_numbers(table: PlainTable, form: str, columns: Columns) -> None:
    """Lists in the forms of lists, single numbers in the others; polygons are text or lists."""
    for name, values in columns.items():
        axes = 2 if form in ("lists", "polygon") else 1
        is_text = form == "polygon" and values.dtype.kind == "U"
        if not is_text and (values.dtype.kind not in "iuf" or values.ndim != axes):
            what = {"lists": "lists of numbers", "polygon": "text or lists of numbers"}.get(form, "numbers")
            raise InputError(f"{table.where}: column {name} must hold {what}, found {values.dtype}")


# -- the forms ------------------------------------------------------------------------------------------------


def _wcs(table: PlainTable, options: Mapping[str, Any]) -> _Form | None:
    if not all(name in table for name in WCS):
        return None
    terms = [f"pv{axis}_{n}" for axis in (1, 2) for n in range(40) if f"pv{axis}_{n}" in table]
    beyond = [name for name in terms if int(name[4:]) >= TPV_TERMS]
    if "ctype1" in table:
        kinds = set(np.unique(table.read(["ctype1"])["ctype1"]).tolist())
        if not kinds <= {"RA---TPV", "RA---TAN"} or (kinds != {"RA---TPV"} and terms):
            return None
        terms = terms if kinds == {"RA---TPV"} else []
    if beyond and terms:
        raise InputError(f"{table.where}: columns of TPV must go to pv1_10, found {', '.join(beyond)}")
    return _Form((*WCS, *terms), _wcs_corners)


def _wcs_corners(columns: Columns) -> Array:
    """Outer corners of images, degrees: pixels from 0.5 to NAXIS + 0.5, through CD, TPV and the tangent plane."""
    value = {name: values[:, None].astype(np.float64) for name, values in columns.items()}
    east, north = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0])
    dx = 0.5 + east * value["naxis1"] - value["crpix1"]
    dy = 0.5 + north * value["naxis2"] - value["crpix2"]
    x, y = (value[f"cd{axis}_1"] * dx + value[f"cd{axis}_2"] * dy for axis in (1, 2))
    if "pv1_1" in value or "pv2_1" in value:
        x, y = _tpv(value, 1, x, y), _tpv(value, 2, y, x)
    return _from_plane(value["crval1"], value["crval2"], np.radians(x), np.radians(y))


def _tpv(value: Mapping[str, Array], axis: int, own: Array, other: Array) -> Array:
    """The polynomial of TPV for one axis, terms 0 to 10; own and other coordinate in degrees."""
    total = np.zeros(own.shape)
    for n, powers in enumerate(TPV_POWERS):
        name = f"pv{axis}_{n}"
        if name in value:
            total += value[name] * (
                np.hypot(own, other) if powers is None else own ** powers[0] * other ** powers[1]
            )
    return total


def _from_plane(lon_deg: Array, lat_deg: Array, x: Array, y: Array) -> Array:
    """Positions (n, m, 2) of points of tangent planes, x to the east and y to the north (Calabretta & Greisen 2002)."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    depth = np.cos(lat) - y * np.sin(lat)
    longitude = lon + np.arctan2(x, depth)
    latitude = np.arctan2(np.sin(lat) + y * np.cos(lat), np.hypot(x, depth))
    return np.stack((np.degrees(longitude) % 360.0, np.degrees(latitude)), axis=-1)


def _corners(table: PlainTable, options: Mapping[str, Any]) -> _Form | None:
    pairs = next(filter(None, _corner_pairs(table)), None)
    if pairs is None:
        return None
    scale = _factor(table, pairs[0][0], "corners", options)

    def make(columns: Columns) -> Array:
        return scale * np.stack(
            [np.stack([columns[name] for name in pair], axis=1) for pair in pairs], axis=1
        )

    return _Form(tuple(name for pair in pairs for name in pair), make)


def _corner_pairs(table: PlainTable) -> Iterator[list[tuple[str, str]]]:
    for lon, lat in IMAGE_CORNERS:
        named = [(lon.format(corner), lat.format(corner)) for corner in ("llc", "lrc", "urc", "ulc")]
        yield named if all(name in table for pair in named for name in pair) else []
    for lon, lat in PAIRS:
        first = 0 if lon.format(0) in table else 1
        named = []
        while lon.format(first + len(named)) in table and lat.format(first + len(named)) in table:
            named.append((lon.format(first + len(named)), lat.format(first + len(named))))
        yield named if len(named) > 2 else []


def _lists(table: PlainTable, options: Mapping[str, Any]) -> _Form | None:
    pair = next((pair for pair in LISTS if all(name in table for name in pair)), None)
    if pair is None or any(values.ndim != 2 for values in table.read(pair).values()):
        return None
    scale = _factor(table, pair[0], "corners", options)

    def make(columns: Columns) -> Array:
        return scale * np.stack([columns[name] for name in pair], axis=2)

    return _Form(pair, make)


def _polygon(table: PlainTable, options: Mapping[str, Any]) -> _Form | None:
    name = next((name for name in POLYGONS if name in table), None)
    if name is None:
        return None

    def make(columns: Columns) -> Array:
        values = columns[name]
        if values.dtype.kind == "U":
            return _stcs_corners(values)
        if values.shape[1] % 2 or values.shape[1] < 6:
            raise InputError(
                f"{table.where}: column {name} must hold lists lon, lat, lon, lat.., found {values.shape[1]}"
            )
        return _factor(table, name, "corners", options) * values.reshape(len(values), -1, 2)

    return _Form((name,), make)


def _stcs_corners(texts: NDArray[Any]) -> Array:
    """Vertices of STC-S polygons, degrees; NaN where a text is none. A first vertex repeated at the end goes."""
    rows = [_stcs_vertices(text) for text in texts.tolist()]
    most = max((len(row) for row in rows), default=3)
    corners = np.full((len(rows), most, 2), np.nan)
    for n, row in enumerate(rows):
        if len(row):
            corners[n] = np.pad(row, ((0, most - len(row)), (0, 0)), "edge")
    return corners


def _stcs_vertices(text: str) -> Array:
    match = STCS.fullmatch(text)
    try:
        flat = np.array(match[1].split(), np.float64) if match else np.empty(0)
    except ValueError:
        flat = np.empty(0)
    if flat.size % 2 or flat.size < 6:
        return np.empty((0, 2))
    row = flat.reshape(-1, 2)
    return row[:-1] if len(row) > 3 and np.array_equal(row[0], row[-1]) else row


def _box(table: PlainTable, options: Mapping[str, Any]) -> _Form | None:
    middle = next((pair for pair in MIDDLES if all(name in table for name in pair)), None)
    if middle is None or "width" not in table or "height" not in table:
        return None
    turned = next((name for name in ANGLES if name in table), None)
    scale = {name: _factor(table, name, name, options) for name in ("width", "height")}
    scale |= {name: _factor(table, name, "corners", options) for name in middle}
    scale |= {turned: _factor(table, turned, "position_angle", options)} if turned else {}

    def make(columns: Columns) -> Array:
        value = {name: factor * columns[name][:, None] for name, factor in scale.items()}
        angle = np.radians(value[turned]) if turned else np.zeros_like(value["width"])
        i, j = np.array([-1.0, 1.0, 1.0, -1.0]), np.array([-1.0, -1.0, 1.0, 1.0])
        across = i * np.tan(np.radians(value["width"]) / 2)
        up = j * np.tan(np.radians(value["height"]) / 2)
        x, y = across * np.cos(angle) + up * np.sin(angle), up * np.cos(angle) - across * np.sin(angle)
        return _from_plane(value[middle[0]], value[middle[1]], x, y)

    return _Form((*scale,), make)


FORMS: dict[str, Callable[[PlainTable, Mapping[str, Any]], _Form | None]] = {
    "wcs": _wcs,
    "corners": _corners,
    "lists": _lists,
    "polygon": _polygon,
    "box": _box,
}


# -- outlines of any number of vertices ---------------------------------------------------------------------------


def _on_sky(corners: Array) -> Bools:
    """Whether all vertices are positions within 90 degrees of their middle."""
    vectors = unit_vectors(corners[..., 0], corners[..., 1])
    middle = vectors.sum(axis=1, keepdims=True)
    within = np.abs(corners[..., 1]) <= 90.0
    return np.asarray(np.all(within & (np.sum(vectors * middle, axis=2) > 0.0), axis=1))


def _crossing(corners: Array) -> Bools:
    """Whether edges of an outline cross, or it has no area; looked at in the plane that touches its middle."""
    crossing: Bools = np.zeros(len(corners), np.bool_)
    for n in np.flatnonzero(_on_sky(corners)).tolist():
        crossing[n] = _crosses(_in_plane(corners[n]))
    return crossing


def _in_plane(vertices: Array) -> Array:
    vectors = unit_vectors(vertices[:, 0], vertices[:, 1])
    middle = vectors.mean(axis=0)
    axis = np.eye(3)[np.argmin(np.abs(middle))]
    east = np.cross(axis, middle)
    plane = np.stack((vectors @ east, vectors @ np.cross(middle, east)), axis=1) / (vectors @ middle)[:, None]
    distinct = np.any(plane != np.roll(plane, -1, axis=0), axis=1)
    return np.asarray(plane[distinct])


def _crosses(points: Array) -> bool:
    following = np.roll(points, -1, axis=0)
    edges = following - points
    turns = edges[:, 0] * np.roll(edges[:, 1], -1) - edges[:, 1] * np.roll(edges[:, 0], -1)
    area = float(np.sum(points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]))
    if len(points) < 3 or area == 0.0:
        return True
    angles = np.arctan2(edges[:, 1], edges[:, 0])
    around = np.sum((np.roll(angles, -1) - angles + np.pi) % (2 * np.pi) - np.pi)
    if np.all(turns * np.sign(area) >= 0.0) and abs(abs(around) - 2 * np.pi) < 1e-6:
        return False  # convex, once around
    return any(
        _cut(points[i], following[i], points[j], following[j])
        for i in range(len(points))
        for j in range(i + 2, len(points) - (i == 0))
    )


def _cut(a: Array, b: Array, c: Array, d: Array) -> bool:
    """Whether two segments have a point in common."""

    def side(p: Array, q: Array, r: Array) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return side(a, b, c) * side(a, b, d) <= 0.0 and side(c, d, a) * side(c, d, b) <= 0.0
