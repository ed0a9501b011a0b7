"""Products on disk: product <-> file.

`write` puts a product into a folder under its published name, with its descriptor; `write_file` writes one
file where it is told; `read` reads any of them back; `check` lists what is wrong with a file; `summary` says
what it is; `convert` changes form and order.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vmpz.errors import InputError
from vmpz.files.write import size_of
from vmpz.io.checking import check
from vmpz.io.collection import DPD, Collection, read_collection, write_collection
from vmpz.io.curves import read_curve, read_efficiencies
from vmpz.io.deep import read_deep
from vmpz.io.envelope import coarse_cells
from vmpz.io.fits import must_be_whole, verify
from vmpz.io.forms import FORMS, form_named, form_of
from vmpz.io.hats import Partition, create_random_parquet, finish_hats, write_partition
from vmpz.io.mangle_reading import read_mangle, read_polygons
from vmpz.io.metadata import COVERAGE_TYPE, key_of
from vmpz.io.multiband import bands_in, publish_multiband, read_multiband, write_multiband
from vmpz.io.names import descriptor_name, file_name
from vmpz.io.numbers import csv_of, write_columns
from vmpz.io.orders import degraded
from vmpz.io.paramsxml import read_parameters, write_parameters
from vmpz.io.parquet import bit_plane_table, plain_table, read_bit_plane, read_statistics, statistics_table
from vmpz.io.polygons import MangleMask
from vmpz.io.randomcolumns import RandomColumn, random_columns
from vmpz.io.randomfits import Part, Place, create_random_fits, write_rows
from vmpz.io.randomreading import RandomCatalogue, is_random, open_random
from vmpz.io.reading import read_fits
from vmpz.io.rows import convention_of
from vmpz.io.skysample import describe_map, sample_map
from vmpz.io.sources import read_sources
from vmpz.io.xml import NAMESPACE, Descriptor, read_descriptor, write_descriptor
from vmpz.parameters import MangleParameters, MapParameters
from vmpz.products import SUBCELL, Product, Provenance, Scalar
from vmpz.sky.cells import CellSet
from vmpz.sky.skymap import SkyMap

__all__ = [
    "FORMS",
    "Collection",
    "MangleMask",
    "Part",
    "Partition",
    "Place",
    "RandomCatalogue",
    "RandomColumn",
    "bit_plane_table",
    "check",
    "convention_of",
    "convert",
    "create_random_fits",
    "create_random_parquet",
    "csv_of",
    "degraded",
    "describe",
    "describe_map",
    "finish_hats",
    "is_random",
    "map_numbers",
    "open_random",
    "plain_table",
    "publish_multiband",
    "random_columns",
    "read",
    "read_bit_plane",
    "read_collection",
    "read_curve",
    "read_deep",
    "read_descriptor",
    "read_efficiencies",
    "read_multiband",
    "read_parameters",
    "read_polygons",
    "read_sources",
    "read_statistics",
    "sample_map",
    "statistics_table",
    "summary",
    "verify",
    "write",
    "write_collection",
    "write_columns",
    "write_file",
    "write_multiband",
    "write_parameters",
    "write_partition",
    "write_rows",
]


WITH_SUBCELLS = ("healpix", "parquet")
"""Forms that list the cells of the map's own order, where what is said of their sub-cells has its place."""


def write(
    product: Product,
    folder: str | Path,
    form: str = "healpix",
    *,
    maps: MapParameters | None = None,
    mangle: MangleParameters | None = None,
    tiles: Sequence[int] = (),
    namespace: str = NAMESPACE,
) -> tuple[Path, ...]:
    """Write a product under its published name: the file, then (for maps) its XML descriptor.

    Parameters
    ----------
    product : Product
        With a provenance, whose creation instant stands in the name.
    folder : path
    form : str
        One of `FORMS`.
    maps : MapParameters, optional
        Convention, zeros, strictness, order and tolerance of a MOC; default the published layout.
    mangle : MangleParameters, optional
        How polygons are made.
    tiles : sequence of int
        Tiles of a patch, for the descriptor.
    namespace : str
        Base of the namespace of the descriptor.

    Returns
    -------
    tuple of Path
        The file first.

    Raises
    ------
    InputError
        The product cannot be written in this form; the message says what must hold.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from vmpz import CellSet, Product, ProductKey, Provenance, SkyMap, read, write
    >>> coverage = SkyMap(CellSet.from_ranges(8, [(100, 200)]), np.ones(100, np.float32))
    >>> key = ProductKey("102018210", "coverage", instrument="VIS", band="VIS", order=8, release="0.1")
    >>> origin = Provenance("coverage", 1, {}, {}, {}, datetime(2026, 1, 2, tzinfo=UTC))
    >>> file, descriptor = write(Product(key, {"WEIGHT": coverage}, provenance=origin), "maps")
    >>> file.name
    'EUC_LE3_VMPZ-ID_HPCOVERAGE-102018210_20260102T000000.000000Z_0.1.fits'
    >>> read(file).map == coverage
    True
    """
    maps = maps or MapParameters()
    folder = Path(folder)
    path = folder / str(file_name(product, form))
    write_file(product, path, form=form, maps=maps, mangle=mangle)
    if not form_named(form, path).described:
        return (path,)
    descriptor = folder / descriptor_name(product, form)
    convention = maps.coverage_convention
    if form == "mangle":
        convention = (mangle or MangleParameters()).convention
    write_descriptor(product, descriptor, path, form, convention=convention, tiles=tiles, namespace=namespace)
    return path, descriptor


def describe(
    product: Product,
    path: Path,
    cells: CellSet,
    *,
    form: str = "healpix",
    convention: str = "OBSERVED",
    tiles: Sequence[int] = (),
    instance: str | None = None,
) -> Path:
    """Write the descriptor of a partial HEALPix file or random catalogue that is not in memory, beside the file.

    Parameters
    ----------
    product : Product
        Key, keywords, unit and provenance; its maps are not looked at.
    path : Path
        The file, under its published name.
    cells : CellSet
        The cells that it lists, or where its points are.
    form : {'healpix', 'catalogue'}
    convention : {'OBSERVED', 'MER'}
    tiles : sequence of int
        Tiles of a patch.
    instance : str, optional
        What stands for the tile in the name of the descriptor.
    """
    cells = coarse_cells(cells)
    shown = replace(product, maps={"WEIGHT": SkyMap(cells, np.ones(len(cells), np.uint8))})
    descriptor = path.parent / descriptor_name(product, form, instance)
    write_descriptor(shown, descriptor, path, form, convention=convention, tiles=tiles)
    return descriptor


def write_file(
    product: Product,
    path: str | Path,
    *,
    form: str | None = None,
    provenance: Provenance | None = None,
    maps: MapParameters | None = None,
    mangle: MangleParameters | None = None,
) -> Path:
    """Write one file at a place of one's own, without descriptor.

    Parameters
    ----------
    product : Product
    path : path
        ``.fits`` is a partial HEALPix table, ``.moc.fits`` a weighted MOC, ``.parquet`` a table, ``.hsp`` a healsparse
        map, ``.hips`` a HiPS folder; see `FORMS`.
    form : str, optional
        Instead of what the name says.
    provenance : Provenance, optional
        Instead of the product's own.
    maps : MapParameters, optional
    mangle : MangleParameters, optional

    Raises
    ------
    InputError
        The name says no form, or the product cannot be written so.
    """
    path = Path(path)
    how = form_of(path) if form is None else form_named(form, path)
    product = product if provenance is None else replace(product, provenance=provenance)
    if SUBCELL in product.maps and how.name not in WITH_SUBCELLS:
        product = replace(product, maps={name: one for name, one in product.maps.items() if name != SUBCELL})
    how.write(product, path, maps or MapParameters(), mangle or MangleParameters())
    return path


def read(path: str | Path, band: str | None = None, *, order: int | None = None) -> Product:
    """Read a product: a file (or HiPS folder) of any of the `FORMS`, or the file a descriptor names.

    Checksums are verified. Of a descriptor, the release and the keywords are taken over, which a
    strict FITS file lacks, and the one band and the one tile where the file names none.

    Parameters
    ----------
    path : path
    band : str, optional
        The band that is wanted: needed for a file that holds several.
    order : int, optional
        Of the map that a mask of polygons becomes, unless these are the cells of a map (`vmpz.io.mangle_reading`).

    Raises
    ------
    InputError
        The file does not hold what it must; the message names file, HDU and keyword or column. Or it holds another
        band, or several and none was named.

    Examples
    --------
    >>> import vmpz
    >>> depth = vmpz.read("EUC_LE3_VMPZ-ID_HPDEPTHMAP-102018210_....fits").map  # doctest: +SKIP
    >>> depth.at(58.0, -51.5)  # doctest: +SKIP
    """
    path = Path(path)
    if not path.name.endswith(".xml"):
        return _read_file(path, band, order)
    told = read_descriptor(path)
    product = _read_file(told.path, band, order, told)
    alone: dict[str, Scalar] = {"FILTER": told.filters[0]} if len(told.filters) == 1 else {}
    alone |= {"TILEID": told.tiles[0]} if len(told.tiles) == 1 else {}
    words = {**alone, **product.keywords, **told.parameters}
    if band is not None:  # of several, the descriptor says what they share
        words = {**told.parameters, **product.keywords}
    words.pop("COVCONV", None)
    key = product.key
    key = key_of(key.kind, key.quantity, key.order, words, key.area, told.release)
    return replace(product, key=key, keywords=words)


def _read_file(
    path: Path, band: str | None, order: int | None = None, told: Descriptor | None = None
) -> Product:
    form = form_of(path, "healpix")
    if form.read is read_mangle:
        product = read_mangle(path, order, told)
    else:
        product = read_fits(path, band) if form.read is read_fits else form.read(path)
    if band not in (None, product.key.band):
        raise InputError(f"{path}: must hold the band {band}, found {product.key.band}")
    return product


def convert(
    source: str | Path,
    out: str | Path,
    order: int | None = None,
    *,
    weight: str | Path | None = None,
    band: str | None = None,
    maps: MapParameters | None = None,
    mangle: MangleParameters | None = None,
) -> Path:
    """Write a product in another form or at a coarser order.

    Parameters
    ----------
    source, out : path
        See `read` and `write_file`.
    order : int, optional
        At most that of the source; reached by the file's own DEGRULE.
    weight : path, optional
        Coverage of the same cells, for averaging rules; without it every listed cell weighs 1.
    band : str, optional
        The band of a source that holds several.
    maps, mangle : optional
        Convention, zeros, tolerance of a MOC; how polygons are made.
    """
    product = read(source, band, order=order)
    coverage = None if weight is None or order is None else read(weight).map
    if maps is not None and maps.coverage_convention == "MER" and product.key.kind in COVERAGE_TYPE:
        must_be_whole(product, len(product.map))  # parents at the edge would hide what is missing
    product = degraded(product, order, coverage)
    return write_file(product, out, maps=maps, mangle=mangle)


def summary(path: str | Path) -> dict[str, Any]:
    """What a file is, in plain values: kind, band, order, cells, areas (deg2), range, unit, keywords.

    Of a random catalogue: rows, columns, keywords.
    """
    path = Path(path)
    if path.name.startswith(DPD):
        return _summary_of_collection(path, read_collection(path))
    held = read_descriptor(path).path if path.name.endswith(".xml") else path
    if is_random(held):
        return _summary_of_catalogue(path, open_random(held))
    if form_of(held, "healpix").read is read_fits and bands_in(held):
        return _summary_of_bands(path, read_multiband(held))
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        product = read(path)
    key = product.key
    told: dict[str, Any] = {
        "file": path.name,
        "bytes": size_of(path),
        "kind": key.kind,
        "quantity": key.quantity,
        "statistic": key.statistic,
        "selection": key.selection,
        "instrument": key.instrument,
        "band": key.band,
        "area": key.area,
        "release": key.release,
        "order": key.order,
    }
    told |= _of_table(product) if not product.maps else map_numbers(product.map, key.kind)
    told |= {"unit": product.unit, "columns": ",".join(product.maps or product.table.column_names)}
    told |= {"notes": [str(note.message) for note in notes]} if notes else {}
    return told | {name: value for name, value in product.keywords.items() if name not in told}


def _summary_of_catalogue(path: Path, catalogue: RandomCatalogue) -> dict[str, Any]:
    told = {"kind": "random", "rows": catalogue.rows, "columns": ",".join(catalogue.columns)}
    return {"file": path.name, "bytes": size_of(catalogue.path), **told, **catalogue.keywords}


def _summary_of_collection(path: Path, one: Collection) -> dict[str, Any]:
    told = {"kind": "collection", "area": one.patch, "release": one.release, "order": one.order, "id": one.id}
    counts = one.counts()
    return {"file": path.name, "bytes": path.stat().st_size, **told, "complete": one.is_complete, **counts}


def _summary_of_bands(path: Path, products: dict[str, Product]) -> dict[str, Any]:
    """What a file of several bands is: what they share, then each band's cells, areas and range under its name."""
    keys = [product.key for product in products.values()]
    told: dict[str, Any] = {"file": path.name, "bytes": path.stat().st_size}
    told |= {
        name: ",".join(dict.fromkeys(getattr(key, name) for key in keys))
        for name in ("kind", "quantity", "statistic", "instrument", "band", "area", "release")
    }
    told |= {"order": keys[0].order, "unit": ",".join(dict.fromkeys(one.unit for one in products.values()))}
    first = next(iter(products.values()))
    told |= {
        name: first.keywords[name] for name in ("SKYPATCH", "BANDREL", "BANDPRC") if name in first.keywords
    }
    for band, product in products.items():
        told |= {
            f"{band} {name}": value for name, value in map_numbers(product.map, product.key.kind).items()
        }
    return told


def map_numbers(one: SkyMap, kind: str) -> dict[str, Any]:
    """Cells, areas (deg2) and range of a map; the observed area only of a coverage type."""
    values = one.values[np.isfinite(one.values)] if one.values.dtype.kind == "f" else one.values
    observed = one.integral_deg2() if kind in COVERAGE_TYPE else None
    some = values.size > 0
    return {
        "cells": len(one),
        "area_deg2": one.cells.area_deg2,
        "observed_area_deg2": observed,
        "minimum": values.min().item() if some else None,
        "mean": float(values.mean(dtype=np.float64)) if some else None,
        "maximum": values.max().item() if some else None,
    }


def _of_table(product: Product) -> dict[str, Any]:
    return {
        "cells": product.table.num_rows if "cell" in product.table.column_names else None,
        "area_deg2": None,
        "observed_area_deg2": None,
        "minimum": None,
        "mean": None,
        "maximum": None,
    }
