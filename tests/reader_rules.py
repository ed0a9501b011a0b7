"""How other people's readers take our files, as the rules they follow; none of them can be installed here."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from astropy.io import fits

from vmpz.sky import hpx

FILTERS = ("NIR_Y", "NIR_H", "NIR_J", "VIS")
KEPT = 0.8
"""From which coverage on clusters are looked for."""


def heracles_read_vmap(path: str) -> Any:
    """heracles: field 0 as float in RING order, UNSEEN is 0."""
    healpy = pytest.importorskip("healpy")
    vmap = healpy.read_map(path, field=0, dtype=float, nest=False)
    vmap[vmap == healpy.UNSEEN] = 0
    return vmap


def spaceborne_read(path: Path, nside: int) -> Any:
    """Spaceborne: first HDU with data, columns by name, sum over children / number of children."""
    with fits.open(path) as hdus:
        hdu = next(one for one in hdus if one.data is not None)
        ordering, own = hdu.header["ORDERING"], hdu.header["NSIDE"]
        pixel, weight = np.asarray(hdu.data["PIXEL"], np.int64), np.asarray(hdu.data["WEIGHT"], float)
    if ordering == "RING":
        pixel = hpx.from_ring(pixel, own.bit_length() - 1)
    elif ordering != "NESTED":
        raise ValueError(f"ORDERING {ordering}")
    factor = (own // nside) ** 2
    return np.bincount(pixel // factor, weight, 12 * nside**2) / factor


@dataclass(frozen=True)
class MaskFile:
    """What a cluster code knows of a mask: the tile, the file, the release and the day it was made."""

    tile: int
    path: Path
    release: str
    day: str


def cluster_visualization(folder: Path) -> Iterator[MaskFile]:
    """ClusterVisualization: descriptors by the name of the product in a folder and those below, the map beside each."""
    element = "EffectiveCoverageMaskHealpix"
    for path in sorted([*folder.glob("*.xml"), *folder.glob("*/*.xml")]):
        if "DpdHealpixEffectiveCoverageVMPZ" in path.name:
            tree = ElementTree.parse(path)
            yield MaskFile(
                int(_text(tree, f"Data/{element}Params/PatchTileList/TileIndexList")),
                path.parent / _text(tree, f"Data/{element}/DataContainer/FileName"),
                _text(tree, "Header/DataSetRelease"),
                datetime.strptime(_text(tree, "Header/CreationDate")[:-2], "%Y-%m-%dT%H:%M:%S.%f")
                .date()
                .isoformat(),
            )


def catred_masks(descriptors: list[Path]) -> dict[str, dict[str, Path]]:
    """The CatRed script: one file per band per tile, by the paths in its descriptor."""
    element = "CoverageMaskHealpix"
    found: dict[str, dict[str, Path]] = {}
    for path in descriptors:
        tree = ElementTree.parse(path)
        band = _text(tree, f"Data/{element}Params/FilterList/Filter/Name")
        tile = _text(tree, f"Data/{element}Params/PatchTileList/TileIndexList")
        if band in FILTERS:
            file = path.parent / _text(tree, f"Data/{element}/DataContainer/FileName")
            found.setdefault(tile, {})[band] = file
    return found


def kept_by_clusters(path: Path, lon_deg: Any, lat_deg: Any) -> Any:
    """Which positions both keep: HDU 1 as a map of the whole sky with 0 where nothing is listed, from 0.8 on."""
    healpy = pytest.importorskip("healpy")
    with fits.open(path) as hdus:
        nside = hdus[1].header.get("NSIDE", 16384)
        nested = hdus[1].header.get("ORDERING", "NESTED").upper() == "NESTED"
        full = np.zeros(12 * nside**2, np.float32)
        full[hdus[1].data["PIXEL"]] = hdus[1].data["WEIGHT"]
    return full[healpy.ang2pix(nside, lon_deg, lat_deg, lonlat=True, nest=nested)] >= KEPT


def _text(tree: Any, path: str) -> str:
    """The text of an element that must be there; only the root has a namespace."""
    return str(tree.getroot().find(path).text)
