"""Random catalogues: visibility maps in, a catalogue out, shard of the sky after shard.

First the visibility is totalled, exactly; then the numbers of points are settled where a scheme needs that; then every
shard is drawn and written where it belongs: its rows of a FITS table, its partition of a HATS folder, or the end of one
Parquet file. Memory is set by a shard of the map, a block of points and, for HATS, a partition. The bytes depend
neither on how the map is spread over files nor on who draws what.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from vmpz import io
from vmpz.errors import InputError, meant
from vmpz.io.hats import PROPERTY_FILES, SEALS
from vmpz.io.metadata import FRACTIONS
from vmpz.io.randomcolumns import counted
from vmpz.make import randoms
from vmpz.make.randoms import Draw, Field, Totals
from vmpz.parameters import RandomParameters
from vmpz.products import SUBCELL, Product, ProductKey, Provenance, Scalar
from vmpz.run.attributes import Extras
from vmpz.run.instant import said_or_now
from vmpz.run.maprows import map_rows
from vmpz.run.measure import versions
from vmpz.run.randomwriting import FINEST_STEPS, Spread, Visibility, Work, mapped, write_catalogue
from vmpz.sky.cells import CellSet
from vmpz.sky.hpx import cell_area_deg2

__all__ = ["RandomRequest", "draw_catalogue", "drawing_order", "prepared"]

RANDOM_VERSION = 1
KEPT = (
    "TELESCOP", "DATE-OBS", "DATE-END", "FILTLST", "BITSEL", "BINSEL", "DEPTHEST", "SNRLEVEL", "VISREF", "VISSEL",
)  # fmt: skip
"""Keywords of the map that its random catalogues have too."""

ENDS = (".fits", ".parquet")
"""Ends of the names of catalogues that are one file; others are HATS folders."""

ENVELOPE_ORDER = 9
"""Order of the cells about which the envelope of a descriptor runs."""

R = TypeVar("R")


@dataclass(frozen=True)
class RandomRequest:
    """What is asked for.

    Attributes
    ----------
    paths : tuple of Path
        Visibility maps (or other observed fractions) on disjoint cells.
    random : RandomParameters
    region : CellSet or None
        Cells of any order whose area counts; default all.
    only : CellSet or None
        Cells whose points are wanted, out of the catalogue of the whole map.
    extras : Extras
    tom_bin : int
    area : str
        What the catalogue is of.
    """

    paths: tuple[Path, ...]
    random: RandomParameters
    region: CellSet | None = None
    only: CellSet | None = None
    extras: Extras = field(default_factory=Extras)
    tom_bin: int = -1
    area: str = "CONCAT"


def prepared(request: RandomRequest, threads: int = 1) -> tuple[Visibility, Draw]:
    """The map and the draw of a request, its numbers settled: all that is needed to draw any part of the sky.

    Raises
    ------
    InputError
        The map is no observed fraction or probability, the order is coarser than that of the map, a seed or a size is
        missing, or nothing is visible.
    """
    rows = map_rows(request.paths)
    if rows.key.kind not in FRACTIONS - {"bitmask"}:
        raise InputError(
            f"{request.paths[0]}: points follow a visibility or an observed fraction, found a map of {rows.key.kind}"
        )
    order = drawing_order(request.paths, request.random)
    chosen = request.random
    rules = randoms.rules_of(chosen)
    region = None if request.region is None else request.region.at_order(order)
    visibility = Visibility(request.paths, order, region, chosen.partial != "cell")
    if chosen.partial == "subcells" and (SUBCELL not in rows.columns or order != rows.order):
        raise InputError(
            f"{request.paths[0]}: points in observed sub-cells need the column {SUBCELL} ([coverage] "
            f"subcells = true) at the order of drawing {order}, found {', '.join(rows.columns)} at order {rows.order}"
        )
    totals = Totals.summed(mapped(partial(_totals, visibility), visibility.shards, threads))
    draw = randoms.prepare(rules, order, totals)
    return visibility, randoms.settle(draw, draw.shards, partial(_over_fields, visibility, threads))


def draw_catalogue(
    request: RandomRequest,
    out: Path,
    *,
    threads: int = 1,
    workers: int = 0,
    scheduler: str | None = None,
    created: str | datetime | None = None,
    descriptor: bool = False,
) -> dict[str, Any]:
    """Draw a random catalogue and write it, whole or not at all.

    Parameters
    ----------
    request : RandomRequest
    out : Path
        ``.fits`` a table, ``.parquet`` one file, anything else a HATS folder.
    threads : int
        Threads of this process.
    workers : int
        Local worker processes that draw and write; 0 = this process. (One Parquet file is written by this process.)
    scheduler : str, optional
        Address of a Dask scheduler, in place of `workers`.
    created : str or datetime, optional
        Creation instant (UTC), else SOURCE_DATE_EPOCH, else now.
    descriptor : bool
        Write the XML descriptor (DpdRandomCatalogVMPZ) beside it.

    Returns
    -------
    dict
        Ready for JSON: file, descriptor, rows, scheme, seed, order, density_deg2, visible_deg2, area_deg2, partial.

    Raises
    ------
    InputError
        See `prepared`; or columns cannot be had; or something else stands where the catalogue is to be.
    """
    _must_have_room(out, request)
    columns = request.extras.columns(request.random.columns)
    instant = said_or_now(created)
    visibility, draw = prepared(request, threads)
    only = None if request.only is None else request.only.at_order(draw.order)
    work = Work(visibility, draw, columns, request.extras, request.tom_bin, only)
    product = _product(request, work, instant)
    rows = write_catalogue(work, out, product, Spread(threads, workers, scheduler))
    described = _described(work, product, rows, out) if descriptor else None
    return {
        "file": str(out),
        "descriptor": None if described is None else str(described),
        "rows": rows,
        "scheme": draw.rules.scheme,
        "seed": draw.rules.seed,
        "order": draw.order,
        "density_deg2": draw.density_deg2,
        "visible_deg2": draw.area_deg2,
        "area_deg2": draw.totals.cells * cell_area_deg2(draw.order),
        "partial": _partial(request, work).lower(),
    }


def _described(work: Work, product: Product, rows: int, out: Path) -> Path:
    """Write the descriptor; its envelope is that of coarse cells that hold the points."""
    order = min(work.draw.order, ENVELOPE_ORDER)
    found = CellSet(order)
    for shard in work.shards:
        field = work.visibility.field(shard)
        cells = field.cells[field.visibility > 0] >> 2 * (work.draw.order - order)
        found |= CellSet.from_cells(order, cells)
    return io.describe(
        counted(product, rows), out, found, form="catalogue", instance=out.name.partition(".")[0]
    )


def _must_have_room(out: Path, request: RandomRequest) -> None:
    """Refuse to replace what is no catalogue of ours, and places that are none of this file system."""
    if out.parts and out.parts[0].endswith(":"):
        raise InputError(f"{out}: a random catalogue must go to a local place, found an address")
    if re.fullmatch(r"\.[A-Za-z]\w*", out.suffix) and out.suffix not in (*ENDS, ".hats"):
        raise InputError(
            f"{out}: a catalogue must end in .fits or .parquet, or be a HATS folder without such an end, found "
            f"{out.suffix}{meant(out.suffix, ENDS)}"
        )
    extras = request.extras
    for path in (
        *request.paths,
        *(one for paths in (extras.maps, extras.depths) for one in sum(paths.values(), ())),
    ):
        if path.resolve() == out.resolve():
            raise InputError(f"{out}: the catalogue must not replace a map that is read for it")
    if out.name.endswith(ENDS) or not out.exists():
        return
    told = out / PROPERTY_FILES[0]
    ours = told.is_file() and all(seal in told.read_text("utf-8", "replace") for seal in SEALS)
    known = {*PROPERTY_FILES, *(Path(one).parts[0] for one in SEALS.values())}
    if not (out.is_dir() and {one.name for one in out.iterdir()} <= (known if ours else set())):
        raise InputError(
            f"{out}: a HATS folder may replace an empty folder or a catalogue of vmpz, found something else"
        )


def drawing_order(paths: tuple[Path, ...], random: RandomParameters) -> int:
    """At which points are drawn: the one asked for, else that of stage 1 (NSIDE_WK), else that of the map.

    Raises
    ------
    InputError
        The one asked for is coarser than the map, or much finer.
    """
    rows = map_rows(paths)
    worked = str(rows.keywords("-").get("NSIDE_WK", "-1"))
    stage1 = int(worked).bit_length() - 1 if worked.isdigit() and int(worked) > 0 else rows.order
    order = max(stage1, rows.order) if random.order is None else random.order
    if order < rows.order:
        raise InputError(
            f"points must be drawn at the order of the map, {rows.order}, or a finer one, found {order}"
        )
    if order > rows.order + FINEST_STEPS:
        raise InputError(
            f"points must be drawn at most {FINEST_STEPS} orders finer than the map, at order "
            f"{rows.order + FINEST_STEPS}, found {order}"
        )
    return order


# -- over shards ------------------------------------------------------------------------------------------------------


def _totals(visibility: Visibility, shard: int) -> Totals:
    return randoms.totals_of(visibility.field(shard))


def _over_fields(
    visibility: Visibility, threads: int, function: Callable[[Field, int], R], shards: Sequence[int]
) -> Iterator[R]:
    return mapped(lambda shard: function(visibility.field(shard), shard), shards, threads)


# -- what it is -------------------------------------------------------------------------------------------------------


def _class_told(request: RandomRequest) -> dict[str, Any]:
    """Parameters of the class whose attributes are drawn; its files by name, wherever they are."""
    chosen = request.extras.chosen
    if chosen is None:
        return {}
    return {"class": chosen.located(lambda place: Path(place).name).model_dump(mode="json")}


def _partial(request: RandomRequest, work: Work) -> str:
    rows = map_rows(request.paths)
    used = work.visibility.subcells and SUBCELL in rows.columns and work.draw.order == rows.order
    return "SUBCELLS" if used else "CELL"


def _product(request: RandomRequest, work: Work, instant: datetime) -> Product:
    """Key, keywords and provenance of the catalogue."""
    draw = work.draw
    rows = map_rows(request.paths)
    told = rows.keywords(request.area)
    words: dict[str, Scalar] = {
        name: value for name, value in told.items() if name in KEPT or name.startswith("BIT")
    }
    words |= {
        "LISTID": request.area,
        "SEED": str(draw.rules.seed),
        "RANDCAT": str(draw.rules.catalogue),
        "SAMPALGO": draw.rules.scheme.upper(),
        "RANDKEEP": draw.rules.keep.upper(),
        "PARTCELL": _partial(request, work),
        "DENSITY": float(draw.density_deg2),
        "SURVAREA": draw.totals.cells * cell_area_deg2(draw.order),
        "VISINTEG": draw.area_deg2,
        "HPXORDER": draw.order,
    }
    key = ProductKey(
        request.area, "random", rows.key.quantity, instrument=rows.key.instrument, band=rows.key.band,
        order=draw.order, release=rows.key.release,
    )  # fmt: skip
    asked = request.random.model_dump(mode="json") | {
        "region": None if request.region is None else request.region.digest,
        "only": None if request.only is None else request.only.digest,
        "columns": [asdict(one) for one in work.columns],
        "tom_bin": request.tom_bin,
        **_class_told(request),
    }
    inputs = {**rows.identities, **request.extras.identities()}
    provenance = Provenance("random", RANDOM_VERSION, asked, inputs, versions(), instant, rows.verified)
    return Product(key, keywords=words, provenance=provenance)
