"""The verb that tells whether a catalogue is what a map says."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vmpz.cli.base import DONE, UNVERIFIED, AsJson, app, table_of

__all__ = ["validate"]


@app.command()
def validate(
    catalogue: Annotated[
        Path, typer.Argument(help="FITS or Parquet file, or HATS folder, with positions and perhaps WEIGHT.")
    ],
    against: Annotated[
        list[str],
        typer.Option("--map", help="Map of visibility V: files of tiles, folders, @LIST.", metavar="FILE"),
    ],
    coverage: Annotated[
        Path | None,
        typer.Option(help="Observed fraction, if V has no sub-cells: cells below 1 are not looked into."),
    ] = None,
    randoms: Annotated[
        Path | None, typer.Option(help="Another catalogue that follows V, for the null test.")
    ] = None,
    cap: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="LON LAT RADIUS", help="Cap (degrees) in which pairs are counted; default the largest."
        ),
    ] = None,
    number: Annotated[int | None, typer.Option(min=1, help="Rows that there must be.")] = None,
    density: Annotated[
        float | None, typer.Option(min=0.0, help="Points per deg2 where V is 1, stated for the total.")
    ] = None,
    unweighted: Annotated[bool, typer.Option("--unweighted", help="Pass over a column WEIGHT.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the points drawn for the null test.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Figure to draw (.png, .pdf, .svg).", metavar="FIGURE"),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Test a catalogue against a map of visibility: counts, cells, sub-cells, neighbours, pairs, spectrum."""
    from vmpz.report.figures import FORMATS
    from vmpz.run.expanding import expanded
    from vmpz.run.validation import ValidationRequest, validate_file

    if out is not None and out.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"{out}: a figure must end in {', '.join(FORMATS)}")
    maps = tuple(expanded(against))
    found = validate_file(
        ValidationRequest(catalogue, maps, coverage, randoms, cap, number, density, not unweighted, seed)
    )
    if out is not None:
        from vmpz.report.validation import draw_validation

        draw_validation(found, out, heading=f"{catalogue.name} against {_told(maps)}")
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=1))
    else:
        typer.echo(table_of([_row(one) for one in found.checks]))
        verdict = "passed" if found.passed else f"failed: {', '.join(found.failed)}"
        typer.echo(f"{found.rows} rows, {found.density_deg2:.6g} per deg2 where V = 1: {verdict}")
    return DONE if found.passed else UNVERIFIED


def _told(maps: tuple[Path, ...]) -> str:
    return maps[0].name if len(maps) == 1 else f"{len(maps)} maps"


def _row(check: Any) -> dict[str, str]:
    return {
        "test": check.name,
        "verdict": check.verdict,
        "statistic": "-" if check.statistic is None else f"{check.statistic:.4g}",
        "p": "-" if check.p is None else f"{check.p:.3g}",
        "what": f"{check.meaning}; {check.note}" if check.note else check.meaning,
    }
