"""Verbs that look: at files, parameters, the machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vmpz.cli.base import DONE, UNVERIFIED, AsJson, app, parameters_of

__all__ = ["check", "doctor", "params", "show"]


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="Product file.")],
    plot: Annotated[Path | None, typer.Option(help="Draw the map into this PNG.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a product is, and draw it."""
    from vmpz.run.tasks import read_product, summary_of

    summary = summary_of(file)
    if plot is not None:
        from vmpz.report.figures import FORMATS, draw, panel_of

        if plot.suffix.lower() not in FORMATS:
            raise typer.BadParameter(f"{plot}: a figure must end in {', '.join(FORMATS)}")
        draw([panel_of(read_product(file))], plot, heading=file.name)
    if as_json:
        typer.echo(json.dumps(summary, indent=1, default=str))
    else:
        width = max(len(name) for name in summary)
        typer.echo("\n".join(f"{name:<{width}}  {value}" for name, value in summary.items()))


@app.command()
def check(
    where: Annotated[Path, typer.Argument(help="A product file or a store.", metavar="FILE|STORE")],
    as_json: AsJson = False,
) -> int:
    """Verify a file, or every product of a store: layout, keywords, checksums, digests."""
    from vmpz.run.tasks import check_path

    count, faults = check_path(where)
    if as_json:
        typer.echo(json.dumps({"checked": count, "faults": faults}, indent=1))
    else:
        for fault in faults:
            typer.echo(fault, err=True)
        typer.echo(f"{count} files checked, {len(faults)} faults")
    return UNVERIFIED if faults else DONE


@app.command()
def params(
    example: Annotated[
        bool, typer.Option("--example", help="Print every parameter with meaning and default.")
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema.")] = False,
    file: Annotated[Path | None, typer.Option(help="Check a parameter file and print what it means.")] = None,
) -> None:
    """Show parameters with units and defaults."""
    from vmpz.parameters import Parameters
    from vmpz.parameters import example as example_text

    if schema:
        typer.echo(json.dumps(Parameters.model_json_schema(), indent=1))
    elif file is not None:
        typer.echo(parameters_of(file).model_dump_json(indent=1))
    elif example:
        typer.echo(example_text(), nl=False)
    else:
        raise typer.BadParameter("say --example, --schema or --file FILE")


@app.command()
def doctor() -> None:
    """Tell versions, readers, recipes, bit tables and what the machine offers."""
    from vmpz.run.tasks import diagnosis

    for name, value in diagnosis().items():
        typer.echo(f"{name:<12} {value}")
