"""Tables beside MER mosaics: PSF stamps, Layers (detectors of the exposures that went in), bright-star masks."""

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.fits import FitsFile, open_fits, open_regular
from vmpz.files.hdu import Hdu
from vmpz.files.tables import Table, read_table
from vmpz.frames import Exposures, FileRef
from vmpz.readers.common import require_listed
from vmpz.sky.regions import Cap, Polygon

__all__ = ["convex_outlines", "listed_table", "read_layers", "read_star_masks", "sorted_corners", "table_hdu"]

MAX_JSON_BYTES = 64 << 20
LAYER_SCALARS = {"EXPTIME": "ExposureTime", "SAA": "SAA", "ALPHA": "AA", "BETA": "BA", "MJD-OBS": "MJD"}
"""Column of a Layers table to the quantity it gives."""


def table_hdu(file: FitsFile) -> Hdu:
    """The one binary table of a file.

    Raises
    ------
    InputError
        There is none, or more than one.
    """
    found = [hdu for hdu in file.hdus if hdu.header.get("XTENSION") == "BINTABLE" and not hdu.is_compressed]
    if len(found) != 1:
        raise InputError(f"{file.location}: must hold one binary table, found {len(found)}")
    return found[0]


def read_layers(ref: FileRef) -> Exposures:
    """Detectors of the exposures of a mosaic: outline and scalars.

    POLYGON is in radians unless its unit says degrees. The order of its corners is not public: they are sorted around
    their centroid, and corners that make no convex outline are refused.

    Raises
    ------
    InputError
        A column is missing or not finite, or a polygon is not one.
    """
    table = listed_table(ref)
    corners = table.finite("POLYGON")
    if corners.ndim != 2 or corners.shape[1] != 8:
        raise InputError(f"{table.where}: POLYGON must hold 8 numbers a row, found shape {corners.shape}")
    unit = next((unit for name, unit in table.units.items() if name.upper() == "POLYGON"), "")
    corners = corners if unit.lower().startswith("deg") else np.degrees(corners)
    scalars = {quantity: table.finite(name) for name, quantity in LAYER_SCALARS.items() if name in table}
    names = [table[name] for name in ("CALIB_IMAGE", "EXTNAME") if name in table]
    ids = (
        "[".join(str(name[row]) for name in names) + "]" * (len(names) == 2) or str(row)
        for row in range(len(corners))
    )
    return Exposures(tuple(ids), convex_outlines(corners.reshape(-1, 4, 2), table.where), scalars)


def convex_outlines(corners_deg: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """Outlines of four corners (n, 4, 2) given in any order, sorted around their centroid.

    Raises
    ------
    InputError
        The corners of a row are off the sky, coincide, or make no convex outline.
    """
    outlines, on_sky, is_convex = sorted_corners(corners_deg)
    for right, rule in (
        (on_sky, "must be corners on the sky"),
        (is_convex, "must be a convex outline that does not cross itself"),
    ):
        wrong = np.flatnonzero(~right)
        if wrong.size:
            raise InputError(
                f"{where}: row {wrong[0] + 1}: POLYGON {rule}, found {corners_deg[wrong[0]].tolist()}"
            )
    return outlines


def sorted_corners(
    corners_deg: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Corners (n, m, 2) sorted around their centroid, counter-clockwise; whether they are on the sky (finite, within 90
    degrees of declination, on one side of the sphere), and whether they make a convex outline."""
    lon, lat = np.radians(corners_deg[..., 0]), np.radians(corners_deg[..., 1])
    vectors = np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)
    centroid = vectors.sum(axis=1)
    length = np.linalg.norm(centroid, axis=1)
    on_sky = np.all(np.abs(corners_deg[..., 1]) <= 90.0, axis=1) & (length > 1e-9)
    centroid = np.where(on_sky[:, None], centroid, 1.0)
    axis = np.eye(3)[np.argmin(np.abs(centroid), axis=1)]
    east = np.cross(axis, centroid)
    north = np.cross(centroid, east)
    east, north = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (east, north))
    x, y = (np.einsum("nmk,nk->nm", vectors, one) for one in (east, north))
    order = np.argsort(np.arctan2(y, x), axis=1)[..., None]
    ring = np.take_along_axis(vectors, order, axis=1)
    turns = np.einsum("nmk,nmk->nm", np.cross(ring, np.roll(ring, -1, 1)), np.roll(ring, -2, 1))
    outlines = np.take_along_axis(corners_deg, order, axis=1)
    return outlines, on_sky, np.all(turns > 0, axis=1)


def read_star_masks(ref: FileRef) -> tuple[Polygon | Cap, ...]:
    """Bright-star masks: a JSON list of polygons, each a list of [RA, Dec] in degrees, or an object that holds one such
    list, and of discs, objects with RA, Dec and radius in degrees.

    Raises
    ------
    InputError
        The file is not such a list; the message names what was met.
    """
    with open_regular(ref.location) as handle:
        data = handle.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise InputError(f"{ref.location}: star masks must be at most {MAX_JSON_BYTES} bytes")
    if ref.identity and hashlib.sha256(data).hexdigest() != ref.identity:
        raise InputError(f"{ref.location}: must be the file that was listed, found other content")
    try:
        content = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{ref.location}: must be JSON, found: {error}") from error
    if isinstance(content, dict) and len(content) == 1:
        content = next(iter(content.values()))
    if not isinstance(content, list):
        raise InputError(f"{ref.location}: must be a list of masks, found {_shown(content)}")
    return tuple(_star_mask(item, f"{ref.location}: mask {number}") for number, item in enumerate(content, 1))


def _star_mask(item: Any, where: str) -> Polygon | Cap:
    if isinstance(item, dict):
        disc = {str(key).lower(): value for key, value in item.items()}
        if {"ra", "dec", "radius"} <= set(disc):
            lon, lat, radius = (_number(disc[key], where) for key in ("ra", "dec", "radius"))
            return Cap(lon, lat, radius)
        lists = [value for value in item.values() if isinstance(value, list)]
        if len(lists) != 1:
            raise InputError(f"{where} must be a polygon or a disc (RA, Dec, radius), found {_shown(item)}")
        item = lists[0]
    if (
        not isinstance(item, list)
        or len(item) < 3
        or not all(isinstance(p, list) and len(p) == 2 for p in item)
    ):
        raise InputError(f"{where} must be a list of at least 3 pairs [RA, Dec], found {_shown(item)}")
    points = [(_number(lon, where), _number(lat, where)) for lon, lat in item]
    if any(abs(lat) > 90 for _, lat in points):
        raise InputError(f"{where} must have declinations between -90 and 90, found {_shown(item)}")
    return Polygon(points)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where} must hold numbers, found {_shown(value)}")
    return float(value)


def _shown(value: Any) -> str:
    return f"keys {', '.join(map(str, value))}"[:120] if isinstance(value, dict) else repr(value)[:80]


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def listed_table(ref: FileRef) -> Table:
    """The table of a reference, which must be the one that was listed."""
    with open_fits(ref.location) as file:
        hdu = file.hdu(ref.hdu)
        if ref.identity:
            require_listed(file.identity(hdu), ref.identity, hdu.where)
        return read_table(file, hdu)
