"""Columns of random catalogues, and the record and the schema that they make.

A full row has 44 bytes: OBJECT_ID, RIGHT_ASCENSION, DECLINATION, WEIGHT, HPIX_29, TOM_BIN_ID. Optional columns follow:
redshifts, magnitudes, size and visibility class of the galaxy that a point stands for, and values of maps at its place.
A minimal row is the position alone. Right ascension and declination are float64 degrees, always: a float32 of a right
ascension is a lattice of 0.1 arcsec.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.products import Product

__all__ = [
    "FORMS",
    "HATS_INDEX",
    "HPIX_29",
    "LATITUDE",
    "LONGITUDE",
    "Arrays",
    "RandomColumn",
    "counted",
    "hats_columns",
    "must_be_columns",
    "must_be_positions",
    "must_suit",
    "random_columns",
    "row_type",
    "schema_of",
]

LONGITUDE, LATITUDE, HPIX_29 = "RIGHT_ASCENSION", "DECLINATION", "HPIX_29"
HATS_INDEX = "_healpix_29"
"""What HATS catalogues call HPIX_29."""
FORMS = {"i8": "K", "i4": "J", "f8": "D", "f4": "E"}
"""Type on disk -> TFORM."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class RandomColumn:
    """One column: name, type ('i8', 'i4', 'f8' or 'f4'), unit of FITS ('' = none), and what it is."""

    name: str
    kind: str
    unit: str = ""
    meaning: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type in memory."""
        return np.dtype(self.kind)


POSITION = (
    RandomColumn(LONGITUDE, "f8", "deg", "right ascension, ICRS"),
    RandomColumn(LATITUDE, "f8", "deg", "declination, ICRS"),
)
FULL = (
    RandomColumn("OBJECT_ID", "i8", "", "cell of drawing and number of the point in it"),
    *POSITION,
    RandomColumn("WEIGHT", "f8", "", "1, or the visibility where all candidates are kept"),
    RandomColumn(HPIX_29, "i8", "", "nested HEALPix index of the point at order 29"),
    RandomColumn("TOM_BIN_ID", "i4", "", "tomographic bin of the class, -1 if none"),
)


def random_columns(
    which: Literal["full", "minimal"] = "full",
    *,
    redshift: bool = False,
    bands: Sequence[str] = (),
    size: bool = False,
    classes: bool = False,
    maps: Sequence[RandomColumn] = (),
) -> tuple[RandomColumn, ...]:
    """The columns of a catalogue, in their order.

    Parameters
    ----------
    which : {'full', 'minimal'}
        `minimal` is RIGHT_ASCENSION and DECLINATION; nothing can be added to it.
    redshift : bool
        REDSHIFT (as it is measured) and REDSHIFT_TRUE.
    bands : sequence of str
        Bands of MAG_<band>, AB.
    size : bool
        SIZE, the half-light radius in arcsec.
    classes : bool
        VIS_CLASS, the visibility class of the place.
    maps : sequence of RandomColumn
        Maps whose values are attached: name, type ('f4', 'f8', 'i8') and unit of the map.

    Raises
    ------
    InputError
        Names differ by no more than their case, a type is none of the four, or something is added to `minimal`.
    """
    more = [
        *([RandomColumn("REDSHIFT", "f4", "", "redshift as it is measured")] if redshift else []),
        *([RandomColumn("REDSHIFT_TRUE", "f4", "", "true redshift")] if redshift else []),
        *(RandomColumn(f"MAG_{band}", "f4", "mag", f"AB magnitude in {band}") for band in bands),
        *([RandomColumn("SIZE", "f4", "arcsec", "half-light radius")] if size else []),
        *([RandomColumn("VIS_CLASS", "i4", "", "visibility class of the place")] if classes else []),
        *maps,
    ]
    if which == "minimal" and more:
        raise InputError(
            f"a minimal catalogue must hold the position alone, found {', '.join(one.name for one in more)}"
        )
    columns = (*(FULL if which == "full" else POSITION), *more)
    must_be_columns(columns)
    return columns


def must_be_columns(columns: Sequence[RandomColumn]) -> None:
    """Refuse columns that no table can hold: names that differ by case alone, types that are none of the four."""
    names = [one.name.upper() for one in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"columns must differ by more than their case, found {', '.join(twice)} twice")
    for one in columns:
        if one.kind not in FORMS:
            raise InputError(
                f"column {one.name}: the type must be one of {', '.join(FORMS)}, found {one.kind}"
            )
        if not (one.name.isascii() and one.name.isprintable() and one.name.strip() == one.name != ""):
            raise InputError(f"a column must have a name of printable ASCII, found {one.name!r}")


def row_type(columns: Sequence[RandomColumn]) -> np.dtype[Any]:
    """The record of a row on disk, big-endian; a multiple of 4 bytes."""
    return np.dtype([(one.name, one.dtype.newbyteorder(">")) for one in columns])


def must_suit(columns: Sequence[RandomColumn], arrays: Arrays, where: object) -> int:
    """Number of rows of arrays that hold exactly the columns, in their types.

    Raises
    ------
    InputError
        A column is missing, has another type or length, or there are others.
    """
    wanted = [one.name for one in columns]
    if sorted(arrays) != sorted(wanted):
        raise InputError(f"{where}: columns must be {', '.join(wanted)}, found {', '.join(arrays)}")
    rows = len(arrays[wanted[0]])
    for one in columns:
        array = arrays[one.name]
        if array.dtype != one.dtype or array.shape != (rows,):
            raise InputError(
                f"{where}: column {one.name} must be {one.dtype} of {rows} rows, "
                f"found {array.dtype} {array.shape}"
            )
    return rows


def must_be_positions(arrays: Arrays, where: object) -> None:
    """Refuse right ascensions outside [0, 360) and declinations outside [-90, 90], NaN among them.

    Raises
    ------
    InputError
        There is one.
    """
    lon, lat = arrays[LONGITUDE], arrays[LATITUDE]
    if lon.size and not (lon.min() >= 0 and lon.max() < 360):
        raise InputError(f"{where}: {LONGITUDE} must lie in [0, 360), found {lon.min()} to {lon.max()}")
    if lat.size and not (lat.min() >= -90 and lat.max() <= 90):
        raise InputError(f"{where}: {LATITUDE} must lie in [-90, 90], found {lat.min()} to {lat.max()}")


def counted(product: Product, rows: int) -> Product:
    """The product that says how many objects it holds, and at which order they were drawn.

    Raises
    ------
    InputError
        It is no random catalogue.
    """
    if product.key.kind != "random":
        raise InputError(f"{product.key}: must be a random catalogue, found the kind {product.key.kind}")
    order = {"HPXORDER": product.key.order} if product.key.order >= 0 else {}
    return replace(product, keywords={**order, **product.keywords, "NSIMOBJ": rows, "CAT_NOBJ": rows})


# -- Parquet ----------------------------------------------------------------------------------------------------------


def hats_columns(columns: Sequence[RandomColumn]) -> tuple[RandomColumn, ...]:
    """Columns of a partition of a HATS catalogue: HPIX_29 first, under the name that HATS readers look for.

    It takes the place of HPIX_29 and is there even where the columns are minimal: spatial searches need it.
    """
    index = replace(next(one for one in FULL if one.name == HPIX_29), name=HATS_INDEX)
    return (index, *(one for one in columns if one.name != HPIX_29))


def schema_of(columns: Sequence[RandomColumn]) -> Any:
    """The Arrow schema of a table; units and meanings are metadata of its fields."""
    return pa.schema(
        [
            pa.field(
                one.name,
                pa.from_numpy_dtype(one.dtype),
                metadata={
                    key: text for key, text in (("unit", one.unit), ("description", one.meaning)) if text
                },
            )
            for one in columns
        ]
    )
