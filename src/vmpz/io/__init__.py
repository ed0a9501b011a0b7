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

from vmpz.io.checking import check
from vmpz.io.forms import FORMS, form_named, form_of
from vmpz.io.metadata import COVERAGE_TYPE, key_of
from vmpz.io.names import descriptor_name, file_name
from vmpz.io.orders import degraded
from vmpz.io.parquet import bit_plane_table, read_bit_plane, read_statistics, statistics_table
from vmpz.io.reading import read_fits
from vmpz.io.xml import NAMESPACE, read_descriptor, write_descriptor
from vmpz.parameters import MangleParameters, MapParameters
from vmpz.products import Product, Provenance, Scalar
from vmpz.sky.skymap import SkyMap

__all__ = [
    "FORMS",
    "bit_plane_table",
    "check",
    "convert",
    "read",
    "read_bit_plane",
    "read_descriptor",
    "read_statistics",
    "statistics_table",
    "summary",
    "write",
    "write_file",
]


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
    form : {'healpix', 'moc', 'parquet'}
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
    """
    maps = maps or MapParameters()
    folder = Path(folder)
    path = folder / str(file_name(product, form))
    write_file(product, path, form=form, maps=maps, mangle=mangle)
    if not form_named(form, path).described:
        return (path,)
    descriptor = folder / descriptor_name(product, form)
    write_descriptor(
        product, descriptor, path, form, convention=maps.coverage_convention, tiles=tiles, namespace=namespace
    )
    return path, descriptor


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
        ``.fits`` is a partial HEALPix table, ``.moc.fits`` a weighted MOC, ``.parquet`` a table.
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
    how.write(product, path, maps or MapParameters(), mangle or MangleParameters())
    return path


def read(path: str | Path) -> Product:
    """Read a product: FITS (partial HEALPix, weighted or plain MOC), Parquet, or the file a descriptor names.

    Checksums are verified. Of a descriptor, the release and the keywords are taken over, which a
    strict FITS file lacks, and the one band and the one tile where the file names none.

    Raises
    ------
    InputError
        The file does not hold what it must; the message names file, HDU and keyword or column.
    """
    path = Path(path)
    if not path.name.endswith(".xml"):
        return form_of(path, "healpix").read(path)
    told = read_descriptor(path)
    product = read_fits(told.path)
    alone: dict[str, Scalar] = {"FILTER": told.filters[0]} if len(told.filters) == 1 else {}
    alone |= {"TILEID": told.tiles[0]} if len(told.tiles) == 1 else {}
    words = {**alone, **product.keywords, **told.parameters}
    words.pop("COVCONV", None)
    key = product.key
    key = key_of(key.kind, key.quantity, key.order, words, key.area, told.release)
    return replace(product, key=key, keywords=words)


def convert(
    source: str | Path,
    out: str | Path,
    order: int | None = None,
    *,
    tolerance: float = 0.0,
    weight: str | Path | None = None,
) -> Path:
    """Write a product in another form or at a coarser order.

    Parameters
    ----------
    source, out : path
        See `read` and `write_file`.
    order : int, optional
        At most that of the source; reached by the file's own DEGRULE.
    tolerance : float
        Largest change of a value in a MOC.
    weight : path, optional
        Coverage of the same cells, for averaging rules; without it every listed cell weighs 1.
    """
    product = read(source)
    coverage = None if weight is None or order is None else read(weight).map
    product = degraded(product, order, coverage)
    return write_file(product, out, maps=MapParameters(moc_tolerance=tolerance))


def summary(path: str | Path) -> dict[str, Any]:
    """What a file is, in plain values: kind, band, order, cells, areas (deg2), range, unit, keywords."""
    path = Path(path)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        product = read(path)
    key = product.key
    told: dict[str, Any] = {
        "file": path.name,
        "bytes": path.stat().st_size,
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
    told |= _of_table(product) if not product.maps else _of_map(product.map, key.kind)
    told |= {"unit": product.unit, "columns": ",".join(product.maps or product.table.column_names)}
    told |= {"notes": [str(note.message) for note in notes]} if notes else {}
    return told | {name: value for name, value in product.keywords.items() if name not in told}


def _of_map(one: SkyMap, kind: str) -> dict[str, Any]:
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
