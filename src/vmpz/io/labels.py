"""What a product is, for forms without published cards: its key, its keywords, its unit.

FITS tables say it in cards, descriptors in XML. Parquet, HiPS and healsparse files carry a label instead: the key,
every keyword that a FITS file of the product would hold, and the unit of WEIGHT. So a product reads back the same from
any form, and a file of other software, which has no label, is read by its name like a FITS file of other software.
Of the provenance no file keeps more than version and digest (SOFTVERS, PRODDIG); the manifest of the store has it all.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError, MapMismatchError
from vmpz.io.metadata import WEIGHT_KIND, key_of, keyword, keywords_of
from vmpz.io.reading import identity, rule_of, values_of
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky.skymap import SkyMap

__all__ = ["as_json", "label_words", "product_of"]


def as_json(values: Mapping[str, Any]) -> str:
    """Plain values as JSON, sorted by name."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return json.dumps(plain, sort_keys=True)


def label_words(product: Product, convention: str) -> dict[str, Scalar]:
    """Keywords of a product as a FITS file would hold them; a date that is not known is left out there too.

    Raises
    ------
    InputError
        A keyword is not in the table, or a value has not its type.
    """
    words = keywords_of(product, convention)
    return {name: value for name, value in words.items() if not (name.startswith("DATE-") and value == "-1")}


def product_of(
    path: Path,
    order: int,
    cells: NDArray[np.int64],
    columns: Mapping[str, NDArray[Any]],
    words: Mapping[str, Scalar],
    unit: str = "",
    key: ProductKey | None = None,
) -> Product:
    """The product of listed cells and their columns, as they stand in a file.

    Parameters
    ----------
    path : Path
    order : int
    cells : int64 (n,)
        Nested, in any order, none twice.
    columns : mapping of str to array (n,)
        WEIGHT first. UNSEEN and NaN in WEIGHT mean missing.
    words : mapping
        Keywords, COVCONV among them; those that this version does not know are left out.
    unit : str
    key : ProductKey, optional
        Default what name and keywords tell. Its order gives way to `order`.

    Raises
    ------
    InputError
        A cell does not exist or is listed twice, or COVCONV is unknown.
    """
    convention = str(words.get("COVCONV", "OBSERVED"))
    words = {name: value for name, value in words.items() if name != "COVCONV" and keyword(name) is not None}
    if key is None:
        kind, quantity, area, release = identity(path, "", words)
        key = key_of(kind, quantity, order, words, area, release)
    words.setdefault("WGTKIND", WEIGHT_KIND.get(key.kind, "VALUE"))
    words.setdefault("DEGRULE", rule_of(key.kind, key.quantity, words))
    values = values_of(columns, key.kind, convention, str(path))
    weight = values["WEIGHT"]
    if weight.dtype.kind == "f" and np.isnan(weight).any():
        known = ~np.isnan(weight)
        cells, values = cells[known], {name: array[known] for name, array in values.items()}
    try:
        maps = {name: SkyMap.from_cells(order, cells, array) for name, array in values.items()}
    except (MapMismatchError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    return Product(replace(key, order=order), maps, None, words, unit)
