"""The ``properties`` file of a HiPS: what it shows, how it is cut into tiles, where a viewer should look first.

All mandatory keywords of IVOA HiPS 1.0 are written and those that viewers insist on (`dataproduct_type`,
`hips_pixel_bitpix`, `hips_pixel_cut`, `hips_order_min`, `hips_initial_*`). The release date is the creation instant of
the product, else that in the name of the folder; where neither is known it is left out, and must be filled in before
the HiPS is published. It is marked private for the same reason.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.io.metadata import FRACTIONS, encode
from vmpz.io.names import parse_name
from vmpz.products import Product, Scalar
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors

__all__ = ["properties_of", "read_properties", "text_of"]

SAMPLE = 1 << 20
"""Values that the cut is estimated from."""
LOOK = 6
"""Order at which the middle and the extent are measured."""
MODIFIED_JULIAN_DATE_0 = datetime(1858, 11, 17, tzinfo=UTC)
MEANING = {
    "OBSFRAC": "observed fraction, 1 = observed",
    "FLAGFRAC": "flagged fraction",
    "PROBAB": "probability",
    "MAG": "magnitude",
    "COUNT": "count",
}


def properties_of(
    product: Product, words: Mapping[str, Scalar], path: Path, cells: CellSet, values: NDArray[Any]
) -> dict[str, str]:
    """Properties that follow from the product; those of the tiles are added by who cuts them.

    Parameters
    ----------
    product : Product
    words : mapping
        Its keywords.
    path : Path
        Of the folder.
    cells : CellSet
        Listed cells.
    values : array (n,)
        Their values as the tiles hold them.
    """
    key, ends = product.key, _ends(values, product.key.kind)
    fields = (key.area, key.kind, key.quantity, key.statistic, key.selection, key.instrument, key.band)
    parts = [*(part for part in fields if part != "-"), str(key.order), key.release]
    told = {
        "creator_did": "ivo://vmpz/P/" + "/".join(quote(part, safe="") for part in parts if part != "-"),
        "obs_title": str(key),
        "obs_description": _description(product, words),
        "prov_progenitor": f"vmpz product {words['PRODDIG']}" if "PRODDIG" in words else "",
        "hips_builder": f"vmpz {words.get('SOFTVERS', '')}".removesuffix("-1").rstrip(),
        "hips_version": "1.4",
        "hips_frame": "equatorial",
        "hips_status": "private master unclonable",
        "hips_tile_format": "fits",
        "hips_pixel_scale": _number(np.sqrt(hpx.cell_area_deg2(key.order))),
        "hips_pixel_cut": _pair(ends[1]),
        "hips_data_range": _pair(ends[0]),
        "dataproduct_type": "image",
        "moc_sky_fraction": _number(len(cells) / hpx.number_of_cells(cells.order)),
        **_dates(product, words, path),
        **_first_look(cells),
    }
    return {name: value for name, value in told.items() if value}


def text_of(properties: Mapping[str, str]) -> str:
    """One keyword a line, ``name = value``."""
    return "".join(f"{name:<20} = {encode(value)}\n" for name, value in properties.items())


def read_properties(path: Path) -> dict[str, str]:
    """Keywords of a properties file.

    Raises
    ------
    InputError
        There is none, or a line of it is no keyword.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: a HiPS must have a properties file, found: {error}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(.*?)\s*", line)
        if match is None:
            raise InputError(f"{path}:{number}: must be keyword = value, found {line[:80]!r}")
        found[match[1]] = match[2]
    return found


def _description(product: Product, words: Mapping[str, Scalar]) -> str:
    kind = str(words.get("WGTKIND", "VALUE"))
    meaning = MEANING.get(kind, product.key.quantity if product.key.quantity != "-" else "value")
    if words.get("COVCONV") == "MER":
        meaning = "1 - observed fraction, 1 = not observed"
    unit = f" in {product.unit}" if product.unit else ""
    others = f"; of the columns {', '.join(product.maps)}" if len(product.maps) > 1 else ""
    return f"{product.key.kind} map of HEALPix order {product.key.order}, WEIGHT: {meaning}{unit}{others}"


def _dates(product: Product, words: Mapping[str, Scalar], path: Path) -> dict[str, str]:
    """When it was made, and the time span of the observations (MJD)."""
    name = parse_name(path.name)
    made = product.provenance.created if product.provenance else name.created if name else None
    shown = f"{made.astimezone(UTC):%Y-%m-%dT%H:%MZ}" if made else ""
    span = {}
    for word, keyword in (("DATE-OBS", "t_min"), ("DATE-END", "t_max")):
        if word in words:
            moment = datetime.fromisoformat(str(words[word])).replace(tzinfo=UTC)
            span[keyword] = f"{(moment - MODIFIED_JULIAN_DATE_0).total_seconds() / 86400:.6f}"
    return {"hips_creation_date": shown, "hips_release_date": shown, **span}


def _first_look(cells: CellSet) -> dict[str, str]:
    """Middle (deg) and angular size (deg) of the listed cells."""
    if not cells:
        return {"hips_initial_ra": "0.0", "hips_initial_dec": "0.0", "hips_initial_fov": "180.0"}
    coarse = cells.at_order(min(LOOK, cells.order))
    points = unit_vectors(*hpx.centres(coarse.cells(), coarse.order))
    middle = points.mean(axis=0)
    length = float(np.linalg.norm(middle))
    middle = middle / length if length > 0 else points[0]
    reach = np.degrees(np.arccos(np.clip((points @ middle).min(), -1.0, 1.0)))
    side = np.sqrt(hpx.cell_area_deg2(coarse.order))
    lon = np.degrees(np.arctan2(middle[1], middle[0])) % 360.0
    return {
        "hips_initial_ra": f"{lon:.6f}",
        "hips_initial_dec": f"{np.degrees(np.arcsin(np.clip(middle[2], -1.0, 1.0))):.6f}",
        "hips_initial_fov": f"{min(2.0 * (reach + side), 180.0):.6f}",
    }


def _ends(values: NDArray[Any], kind: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Smallest and largest value, and the bounds that a viewer should show: 0 to 1 for fractions, else 1 and 99 %."""
    if not values.size or kind in FRACTIONS:
        shown = (0.0, 1.0)
        return (float(values.min()), float(values.max())) if values.size else shown, shown
    some = values[:: -(-values.size // SAMPLE)].astype(np.float64)
    low, high = (float(bound) for bound in np.quantile(some, (0.01, 0.99)))
    shown = (low, high) if high > low else (low - 0.5, low + 0.5)
    return (float(values.min()), float(values.max())), shown


def _pair(ends: tuple[float, float]) -> str:
    return " ".join(_number(end) for end in ends)


def _number(value: float) -> str:
    return repr(float(value))
