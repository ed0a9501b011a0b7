"""Small products of every kind, and files as text, for the tests of `vmpz.io`."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import vmpz
from vmpz.products import Product, ProductKey, Provenance
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import CellStatistics

CREATED = datetime(2026, 3, 14, 15, 9, 26, 535897, UTC)
TILE = "102018211"
ORDER = 6
CELLS = np.array([*range(16, 40), 41, 77, 100, 101, 20000, 20001])
"""Ten whole families of order 5 or deeper, and a few cells alone."""

HERE = Path(__file__).parent
SCHEMA = Path(vmpz.__file__).parent / "data" / "product.xsd"

COMMON = {"TELESCOP": "Euclid", "DATE-OBS": "2024-05-01T01:02:03.250", "DATE-END": "2025-06-02T03:04:05.000"}
BITS = {
    "BITSEL": "0,1,32",
    "BITTABLE": "vis",
    "BITTABVR": "14",
    "BITN00": "INVALID",
    "BITN01": "SAT",
    "BITN32": "STARMASK",
}
DEPTH = {
    "DEPTHEST": "APERTURE",
    "SNRLEVEL": 5.0,
    "APERDIAM": 2.0,
    "PIXSCALE": 0.1,
    "PSFKIND": "-1",
    "SRCPROF": "-1",
    "CORRFAC": 1.0,
    "CORRSRC": "-1",
    "EXTCORR": False,
    "EXTLAW": "-1",
    "MAGZERO": 23.9,
}


def provenance(**changes: Any) -> Provenance:
    """A fixed provenance."""
    whole: dict[str, Any] = {
        "recipe": "test",
        "recipe_version": 1,
        "parameters": {"order": ORDER},
        "inputs": {"RMS:a.fits": "0123"},
        "versions": {"vmpz": "0.0.test"},
        "created": CREATED,
        "verified": True,
    }
    return Provenance(**{**whole, **changes})


def fractions(seed: int = 1, cells: np.ndarray[Any, Any] = CELLS) -> np.ndarray[Any, Any]:
    """float32 in (0, 1], many of them 1."""
    values = np.random.default_rng(seed).integers(1, 4096, cells.size).astype(np.float32) / 4096
    values[: 2 * cells.size // 3] = 1.0
    return values


def key(kind: str, **fields: Any) -> ProductKey:
    """A key of the test tile."""
    return ProductKey(
        **{
            "area": TILE,
            "kind": kind,
            "instrument": "VIS",
            "band": "VIS",
            "order": ORDER,
            "release": "0.12",
            **fields,
        }
    )


def make(
    product_key: ProductKey,
    values: Mapping[str, Any],
    keywords: Mapping[str, Any] | None = None,
    unit: str = "",
    cells: Any = CELLS,
    **changes: Any,
) -> Product:
    """A product on a list of cells."""
    where = CellSet.from_cells(product_key.order, cells)
    maps = {name: SkyMap(where, array) for name, array in values.items()}
    return Product(product_key, maps, None, {**COMMON, **(keywords or {})}, unit, provenance(**changes))


def products() -> dict[str, Product]:
    """One product of every kind and type on disk."""
    f, mag = fractions(), (24 + fractions(2)).astype(np.float32)
    selected = "INVALID,SAT,STARMASK"
    bits = {"WEIGHT": f, "BIT00": f * np.float32(0.5), "BIT01": np.minimum(f, np.float32(0.25)), "BIT32": f}
    info = {"SAMPLE": "PIXEL", "WGTKIND": "VALUE", "DEGRULE": "QUAD", "MAGZERO": 23.9}
    return {
        "footprint": make(key("footprint"), {"WEIGHT": f}, {"TILEAREA": 0.25, "OBSAREA": 0.2}),
        "bitmask": make(key("bitmask", selection=selected), bits, {**BITS, "WGTKIND": "FLAGFRAC"}),
        "coverage": make(key("coverage", selection=selected), {"WEIGHT": f}, BITS),
        "effectivecoverage": make(
            key("effectivecoverage", instrument="-", band="-"),
            {"WEIGHT": f},
            {"EFFRULE": "JOINT", "FILTLST": "VIS,NIR_Y"},
        ),
        "noise": make(key("info", quantity="Noise", statistic="RMSQ"), {"WEIGHT": mag}, info),
        "exposures": make(
            key("info", quantity="Exposures", statistic="COUNT"),
            {"WEIGHT": 3 * f},
            {"WGTKIND": "COUNT", "DEGRULE": "COVERAGE"},
        ),
        "tile": make(
            key("info", quantity="Tile", statistic="VALUE", instrument="-", band="-"),
            {"WEIGHT": np.full(CELLS.size, 102018211, np.int64)},
            {"SAMPLE": "EXPOSURE", "DEGRULE": "MODE"},
        ),
        "mjd": make(
            key("info", quantity="MJD", statistic="MEAN"),
            {"WEIGHT": 60431.123456789 + np.arange(CELLS.size) / 1440},
            {"SAMPLE": "EXPOSURE", "DEGRULE": "MEAN"},
            "d",
        ),
        "depth": make(key("depth", selection=selected), {"WEIGHT": mag}, {**BITS, **DEPTH}, "mag"),
    }


def statistics_of(cells: Any) -> CellStatistics:
    """A few columns of cell statistics."""
    columns = {"geom": np.ones(cells.size), "found": 1000 + cells, "RMS.good.mean": 0.001 * cells}
    return CellStatistics(CellSet.from_cells(ORDER, cells), columns, {"rms_max": 1e6})


def patch(product: Product) -> Product:
    """The product as one of a patch that joins tiles."""
    words = {**product.keywords, "LISTID": "demo"}
    return Product(
        ProductKey(**{**vars(product.key), "area": "demo"}),
        product.maps,
        None,
        words,
        product.unit,
        product.provenance,
    )


def as_text(path: Path) -> str:
    """Every card and every row of a FITS file, by line."""
    return "\n".join(_lines(path)) + "\n"


def _lines(path: Path) -> Iterator[str]:
    raw = path.read_bytes()
    with fits.open(path) as hdus:
        for hdu in hdus:
            place = hdu.fileinfo()
            header = raw[place["hdrLoc"] : place["datLoc"]].decode("ascii")
            yield from (
                header[at : at + 80].rstrip()
                for at in range(0, len(header), 80)
                if header[at : at + 80].strip()
            )
            for row in [] if hdu.data is None else hdu.data:
                yield " ".join(str(value) for value in row)


def program(name: str) -> str:
    """Path of a program; the test is skipped where it is missing, and fails under CI."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing: `make tools` installs it")
        pytest.skip(f"{name} is missing: `make tools` installs it")
    return found
