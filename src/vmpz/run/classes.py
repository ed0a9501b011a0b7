"""Classes of galaxies: the files that they are made of, read once a process, and their tables of visibility."""

from functools import lru_cache
from pathlib import Path

from vmpz import io
from vmpz.errors import InputError
from vmpz.make.deepsample import deep_columns, deep_sample
from vmpz.make.galaxies import Branch
from vmpz.make.luminosity import Tables, counts_branch, luminosity_branch
from vmpz.make.outside import Outside
from vmpz.make.selection import Efficiency, efficiency_of
from vmpz.make.visibility import coefficients_of, coverage_kind
from vmpz.make.visibilitytable import Table
from vmpz.parameters import Parameters, ReddeningParameters, VisibilityParameters
from vmpz.run.outside import stamp_of

__all__ = ["class_files", "must_have_files", "table_of"]


def class_files(chosen: VisibilityParameters) -> dict[str, Outside]:
    """Files from outside that a class is made of, by what they are."""
    light = chosen.luminosity
    named = {
        "deep": None if chosen.deep is None else chosen.deep.catalogue,
        "luminosity": None if light is None else light.table,
        "k_correction": None if light is None else light.k_correction,
        "evolution": None if light is None else light.evolution,
        "counts": None if chosen.counts is None else chosen.counts.table,
        "efficiency": chosen.selection.efficiency,
    }
    return {name: Outside("sources", place) for name, place in named.items() if isinstance(place, str)}


def must_have_files(parameters: Parameters) -> None:
    """A class whose file is not there, or whose coverage is not told, is refused before anything is made.

    Raises
    ------
    InputError
        A file does not exist, or cannot be read.
    """
    for chosen in parameters.visibility:
        for name, one in class_files(chosen).items():
            if not Path(one.location).is_file():
                raise InputError(
                    f"visibility {chosen.name}: {name} must be a file, found nothing at {one.location}"
                )
        coverage_kind(chosen, parameters)
        table_of(chosen, parameters)


def table_of(chosen: VisibilityParameters, parameters: Parameters) -> Table:
    """The table of a class; one a process, so a node that was looked at is known to all areas.

    Raises
    ------
    InputError
        A file does not hold what it must, or nothing of the class is seen at the reference depth.
    """
    stamps = tuple(stamp_of(one.location) for one in class_files(chosen).values())
    context = (chosen.model_dump_json(), parameters.depth.snr, parameters.extinction.model_dump_json())
    return _table(*context, stamps)


@lru_cache(16)
def _table(chosen_json: str, snr: float, extinction_json: str, stamps: tuple[tuple[int, int], ...]) -> Table:
    chosen = VisibilityParameters.model_validate_json(chosen_json)
    law = ReddeningParameters.model_validate_json(extinction_json)
    return Table(chosen, _branch(chosen, snr, coefficients_of(chosen, law)))


def _branch(chosen: VisibilityParameters, snr: float, coefficients: dict[str, float]) -> Branch:
    efficiency = _efficiency(chosen)
    if chosen.deep is not None:
        columns = io.read_deep(Path(chosen.deep.catalogue), deep_columns(chosen))
        return deep_sample(chosen, columns, coefficients=coefficients, depth_snr=snr, efficiency=efficiency)
    if chosen.counts is not None:
        table = chosen.counts.table
        curve = None if table is None else io.read_curve(Path(table), "MAG", "COUNTS")
        tables = Tables(counts=curve, efficiency=efficiency)
        return counts_branch(chosen, tables, depth_snr=snr, coefficients=coefficients)
    return luminosity_branch(chosen, _tables(chosen, efficiency), depth_snr=snr, coefficients=coefficients)


def _tables(chosen: VisibilityParameters, efficiency: Efficiency | None) -> Tables:
    curves = {}
    for name, ordinate in (("luminosity", "PHI"), ("k_correction", "K"), ("evolution", "E")):
        one = class_files(chosen).get(name)
        if one is not None:
            curves[name] = io.read_curve(Path(one.location), "MAG" if name == "luminosity" else "Z", ordinate)
    return Tables(efficiency=efficiency, **curves)


def _efficiency(chosen: VisibilityParameters) -> Efficiency | None:
    path = chosen.selection.efficiency
    if path is None:
        return None
    delta, values, magnitude = io.read_efficiencies(Path(path), chosen.selection.columns)
    return efficiency_of(delta, values, magnitude, where=path)
