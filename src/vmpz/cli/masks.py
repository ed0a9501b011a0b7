"""Verbs that combine maps: masks from cuts, set algebra, intersections of bands."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vmpz.cli import completing
from vmpz.cli.base import AsJson, app, parts_of, table_of

__all__ = ["mask"]


@app.command()
def mask(
    sources: Annotated[
        list[str],
        typer.Argument(help="A store, files, NAME=FILE; A, B, C are the files.", metavar="STORE|FILE..."),
    ],
    where: Annotated[
        str | None,
        typer.Option(help="Expression, as 'depth_VIS > 24.5 and coverage_NIR_H > 0.8' or 'A & ~B'."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (.fits, .moc.fits, ...).")
    ] = None,
    area: Annotated[
        str | None,
        typer.Option(
            help="Patch or tile; default the only patch, else all tiles.", autocompletion=completing.areas
        ),
    ] = None,
    order: Annotated[
        int | None,
        typer.Option(min=0, max=29, help="Order at which it is evaluated; default that of the finest map."),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(
            help="Map whose cells count, or 'sky'; default the cells of all maps named.",
            autocompletion=completing.maps,
        ),
    ] = None,
    values: Annotated[
        Literal["binary", "fraction"],
        typer.Option(help="What the mask holds: 1, or the observed fraction of the weight."),
    ] = "binary",
    weight: Annotated[
        str | None,
        typer.Option(help="Coverage in which areas are counted.", autocompletion=completing.maps),
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Print what each term costs.")] = False,
    curve: Annotated[
        str | None, typer.Option(help="Print area against the cut on a map.", metavar="NAME[:FROM:TO:STEP]")
    ] = None,
    intersect: Annotated[
        Literal["footprint", "coverage"] | None,
        typer.Option(help="Instead of an expression: all bands of a kind."),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            help="Bands to intersect, comma-separated; default all.", autocompletion=completing.bands
        ),
    ] = None,
    rule: Annotated[
        Literal["MIN", "PRODUCT"],
        typer.Option(help="How bands are intersected: upper bound, or independent holes."),
    ] = "MIN",
    as_json: AsJson = False,
) -> None:
    """Make a mask from cuts or sets of maps, and tell the area it costs."""
    from vmpz.run.masks import MaskRequest, make_mask

    request = MaskRequest(
        tuple(sources), where, area, order, within, weight, values == "fraction", curve, intersect,
        tuple(parts_of(bands) or ()), rule,
    )  # fmt: skip
    told = make_mask(request, out)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    if table:
        typer.echo(table_of(_rows(told)))
    if curve is not None:
        typer.echo(_csv(curve.partition(":")[0], told["curve"]))
    if not table and curve is None:
        typer.echo(_line(told))


def _line(told: dict[str, Any]) -> str:
    """File (or expression), area kept and area of all cells; of arithmetic the observed area if it is a fraction."""
    name, within = told["file"] or told["expression"], _area(told["within_deg2"])
    if told["terms"]:
        return f"{name}  {_area(told['kept_deg2'])} of {within} deg2 ({_share(told['kept_percent'])} %)"
    observed = told["observed_deg2"]
    rest = "" if observed is None else f", {_area(observed)} deg2 observed"
    return f"{name}  {told['kind']}, {told['cells']} cells{rest}"


def _rows(told: dict[str, Any]) -> list[dict[str, str]]:
    """Rows of the table: all cells, what each term removes alone, removes that no other does, and leaves; the mask."""
    rows = [("all", None, None, told["within_deg2"], 100.0)]
    rows += [
        (term["term"], term["removes_deg2"], term["only_deg2"], term["left_deg2"], term["left_percent"])
        for term in told["terms"]
    ]
    rows.append(("mask", None, None, told["kept_deg2"], told["kept_percent"]))
    return [
        {
            "term": term,
            "removes_deg2": _area(removes),
            "removes_only_deg2": _area(only),
            "left_deg2": _area(left),
            "left_%": _share(share),
        }
        for term, removes, only, left, share in rows
    ]


def _csv(name: str, rows: list[dict[str, Any]]) -> str:
    lines = [f"{row['cut']:.12g},{_area(row['kept_deg2'])},{_share(row['kept_percent'])}" for row in rows]
    return "\n".join([f"{name},kept_deg2,kept_percent", *lines])


def _area(deg2: float | None) -> str:
    return "-" if deg2 is None else f"{deg2:.6f}"


def _share(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.2f}"
