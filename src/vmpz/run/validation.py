"""Validation of catalogues in files: streamed once, block by block, against a map of visibility."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz import io
from vmpz.errors import InputError, VmpzError
from vmpz.io.metadata import FRACTIONS
from vmpz.io.randomcolumns import LATITUDE, LONGITUDE
from vmpz.io.randomreading import RandomCatalogue, open_random
from vmpz.make.merge import merge
from vmpz.make.paircounts import checked_cap
from vmpz.make.tally import Sample, Tally
from vmpz.make.validate import Validation, tally_for, validate
from vmpz.products import KINDS, SUBCELL, Product, Scalar
from vmpz.run.named import JOINED

__all__ = ["Tested", "Validation", "ValidationRequest", "tested_file", "validate_file"]

ROWS = 1 << 18
"""Rows that are counted at a time."""
WEIGHT = "WEIGHT"
NO_PROBABILITY = {"bitmask", *KINDS} - (FRACTIONS - {"bitmask"})
"""Kinds of map that no catalogue of points follows."""

Floats = NDArray[np.float64]
Block = tuple[Floats, Floats, Floats | None]


@dataclass(frozen=True)
class ValidationRequest:
    """What is asked for.

    Attributes
    ----------
    catalogue : Path
        FITS, Parquet or HATS with positions and perhaps WEIGHT.
    maps : tuple of Path
        Maps of visibility on disjoint cells: one, or those of tiles.
    coverage : Path or None
        Observed fraction, where the map has no words of sub-cells.
    randoms : Path or None
        Another catalogue that follows the map, for the null test.
    cap : tuple of three float, or None
        Longitude, latitude and radius (degrees) of the cap in which pairs are counted.
    number : int or None
        Rows that the catalogue must have; default what its header states.
    density_deg2 : float or None
        Points per deg2 where V is 1; default what its header states.
    weights : bool
        Whether a column WEIGHT counts.
    seed : int
        Of the points drawn for the null test.
    """

    catalogue: Path
    maps: tuple[Path, ...]
    coverage: Path | None = None
    randoms: Path | None = None
    cap: tuple[float, float, float] | None = None
    number: int | None = None
    density_deg2: float | None = None
    weights: bool = True
    seed: int = 0


def validate_file(request: ValidationRequest) -> Validation:
    """Test a catalogue against a map; memory grows with the cells of the map, not with rows.

    Raises
    ------
    InputError
        A file is not what it must be, or a row has no position.
    MapMismatchError
        The map is no visibility, or the coverage has another order.
    """
    return tested_file(request).validation


@dataclass(frozen=True)
class Tested:
    """A catalogue that was tested: the verdicts, what was counted, and what the map says of itself."""

    validation: Validation
    tally: Tally
    map_keywords: Mapping[str, Scalar]


def tested_file(request: ValidationRequest) -> Tested:
    """What `validate_file` does, with the counts by cell that it has made; errors as there."""
    product = _joined(request.maps)
    coverage = None if request.coverage is None else io.read(request.coverage).map
    catalogue = open_random(request.catalogue)
    cap = None if request.cap is None else checked_cap(*request.cap)
    tally = tally_for(
        product.map, catalogue.rows, subcells=product.maps.get(SUBCELL), coverage=coverage, cap=cap
    )
    _fill(tally, catalogue, request.weights)
    number, weight = _stated(request, catalogue.keywords, tally.expectation.integral_deg2)
    validation = validate(
        tally,
        product.map,
        number=number,
        weight=weight,
        randoms=None if request.randoms is None else _sampled(request, tally),
        seed=request.seed,
    )
    return Tested(validation, tally, product.keywords)


def _joined(paths: Sequence[Path]) -> Product:
    products = [io.read(path) for path in paths]
    for path, one in zip(paths, products, strict=True):
        if one.key.kind in NO_PROBABILITY:
            raise InputError(
                f"{path}: points follow a visibility or an observed fraction, found a map of {one.key.kind}"
            )
    return products[0] if len(products) == 1 else merge(products, JOINED)


def _stated(
    request: ValidationRequest, words: dict[str, Any] | Any, integral_deg2: float
) -> tuple[int | None, float | None]:
    """Number of rows, and sum of weights, that the options or else the header state."""
    if request.number is not None or request.density_deg2 is not None:
        density = request.density_deg2
        return request.number, None if density is None else density * integral_deg2
    number, density = _positive(words.get("NSIMOBJ")), _positive(words.get("DENSITY"))
    return None if number is None else int(number), None if density is None else density * integral_deg2


def _positive(value: Scalar | None) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _sampled(request: ValidationRequest, tally: Tally) -> Sample:
    """Objects of the other catalogue, as many as those of the first, spread over it."""
    other = open_random(Path(str(request.randoms)))
    sample = Tally(tally.expectation, other.rows, second=True)
    _fill(sample, other, request.weights)
    return sample.wide


def _fill(tally: Tally, catalogue: RandomCatalogue, weights: bool) -> None:
    """Count all rows of a catalogue; where it stands in the file is added to what is refused."""
    try:
        for lon, lat, weight in _blocks(catalogue, weights):
            tally.add(lon, lat, weight)
    except VmpzError as error:
        error.add_note(f"in {catalogue.path}")
        raise
    if not tally.rows:
        raise InputError(f"{catalogue.path}: must hold objects, found none")


def _blocks(catalogue: RandomCatalogue, weights: bool) -> Iterator[Block]:
    names = [LONGITUDE, LATITUDE]
    if weights and WEIGHT in catalogue.columns:
        names.append(WEIGHT)
    for block in catalogue.blocks(names, rows=ROWS):
        weight = block.get(WEIGHT)
        yield block[LONGITUDE], block[LATITUDE], None if weight is None else weight.astype(np.float64)
