"""Verbs that look: at files, parameters, the machine."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from vmpz.cli import completing
from vmpz.cli.base import DONE, REFUSED, UNVERIFIED, AsJson, app, parameters_of, parts_of, say, table_of

__all__ = ["check", "doctor", "nz", "params", "prov", "show"]


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="Product file.")],
    plot: Annotated[
        Path | None, typer.Option(help="Draw the map into this file (.png, .pdf, .svg, .jpg).", metavar="OUT")
    ] = None,
    band: Annotated[str | None, typer.Option(help="Of a file that holds several bands.")] = None,
    column: Annotated[str, typer.Option(help="Column to draw: WEIGHT, BIT03, ...")] = "WEIGHT",
    projection: Annotated[
        Literal["auto", "gnomonic", "allsky"],
        typer.Option(help="auto: gnomonic up to 60 degrees across, else all-sky (Mollweide)."),
    ] = "auto",
    centre: Annotated[
        tuple[float, float] | None, typer.Option(help="Centre of the figure, degrees.", metavar="LON LAT")
    ] = None,
    radius: Annotated[
        float | None, typer.Option(help="From the centre to the sides, degrees; default the whole map.")
    ] = None,
    limits: Annotated[
        tuple[float, float] | None, typer.Option(help="Limits of the colours.", metavar="LOW HIGH")
    ] = None,
    colours: Annotated[
        str | None, typer.Option(help="A matplotlib colour map; default one that fits the quantity.")
    ] = None,
    outlines: Annotated[
        str | None,
        typer.Option(help="Outlines to draw: 'tiles' (Euclid grid), or a file: MOC, map, polygons."),
    ] = None,
    points: Annotated[
        Path | None, typer.Option(help="Points to draw: a catalogue.", metavar="CATALOGUE")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the figure; '' for none.")] = None,
    width: Annotated[
        float, typer.Option(help="Of the figure, inches: 3.4 for one column of a journal, 7.1 for two.")
    ] = 3.4,
    dpi: Annotated[int, typer.Option(help="Pixels an inch of the figure, and of the map in it.")] = 300,
    as_json: AsJson = False,
) -> None:
    """Print what a product is, or draw it."""
    from vmpz.run.tasks import summary_of

    if plot is not None:
        _must_be_drawable(plot, colours, limits)
    summary = summary_of(file)
    if plot is not None:
        from vmpz.report.figures import save
        from vmpz.report.shown import figure_of_file

        figure = figure_of_file(
            file, band=band, column=column, outlines=outlines, points=points, projection=projection,
            centre_deg=centre, radius_deg=radius, limits=limits, colours=colours, title=title, width_in=width, dpi=dpi,
        )  # fmt: skip
        save(figure, plot)
    if as_json:
        typer.echo(json.dumps(summary, indent=1, default=str))
    elif plot is not None:
        typer.echo(plot)
    else:
        known = {name: value for name, value in summary.items() if value is not None}
        width_of_names = max(len(name) for name in known)
        typer.echo("\n".join(f"{name:<{width_of_names}}  {value}" for name, value in known.items()))


def _must_be_drawable(plot: Path, colours: str | None, limits: tuple[float, float] | None) -> None:
    """What can be told of a figure before its file is read."""
    from vmpz.errors import InputError
    from vmpz.report.figures import FORMATS
    from vmpz.report.scales import scale_of

    if plot.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"{plot}: a figure must end in {', '.join(FORMATS)}")
    try:
        scale_of("number", [], "", limits, colours)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def check(
    where: Annotated[str, typer.Argument(help="A product file or a store.", metavar="FILE|STORE")],
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
def nz(
    where: Annotated[
        list[str],
        typer.Argument(help="A store, or tables of redshifts: files, @LIST.", metavar="STORE|FILE..."),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--class", help="Class of galaxies; default the only one.", autocompletion=completing.classes
        ),
    ] = None,
    area: Annotated[
        str | None,
        typer.Option(
            "--area",
            "--patch",
            help="Patches or tiles, comma-separated; default all tiles.",
            autocompletion=completing.areas,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="Table to write (.fits, .csv, .parquet).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell the redshift distribution of a class of galaxies.

    n(z) of each class of visibility, summed over tiles.
    """
    from vmpz.run.redshifts import distribution_of, redshift_tables

    found = distribution_of(redshift_tables(where, name, parts_of(area)))
    if out is not None:
        found.write(out)
    classes = found.classes()
    rows = [
        {key: _finite(value) for key, value in zip(found.columns(), row, strict=True)}
        for row in zip(*(values.tolist() for values in found.columns().values()), strict=True)
    ]
    if as_json:
        told = {"class": found.name, "tiles": found.tiles, "classes": classes, "rows": rows}
        typer.echo(json.dumps(told, indent=1))
        return
    shown = ("vis_class", "z_low", "z_high", "galaxies", "area_deg2", "n_z")
    if out is None:
        typer.echo(table_of([{key: _number(row[key]) for key in shown} for row in rows]) + "\n")
    typer.echo(table_of([{key: _number(value) for key, value in row.items()} for row in classes]))
    typer.echo(f"{found.name}: {len(found.tiles)} tiles{'' if out is None else f', {out}'}")


def _finite(value: float) -> float | None:
    return None if value != value else value


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


@app.command()
def params(
    example: Annotated[
        bool, typer.Option("--example", help="Print every parameter with meaning and default.")
    ] = False,
    reader: Annotated[
        str | None, typer.Option(metavar="NAME", help="Tell what files a reader takes, and its options.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema.")] = False,
    file: Annotated[Path | None, typer.Option(help="Check a parameter file and print what it means.")] = None,
    to_xml: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the file as XML parameter products.")
    ] = None,
    from_xml: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE...", help="Print XML parameter products, over --file, as a parameter file."
        ),
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(hidden=True)] = None,
    ignore: Annotated[
        str | None,
        typer.Option(help="Elements and keys that have no parameter, to pass over; comma-separated."),
    ] = None,
) -> None:
    """Show parameters with units and defaults; turn them into XML parameter products and back."""
    from vmpz.parameters import Parameters
    from vmpz.parameters import example as example_text

    if (more or ignore) and not from_xml:
        raise typer.BadParameter("files to read and --ignore go with --from-xml")
    if from_xml and to_xml:
        raise typer.BadParameter("say --from-xml or --to-xml, not both")
    if from_xml:
        from vmpz.run.exchange import from_xml as text_of

        base = None if file is None else parameters_of(file)
        typer.echo(text_of([*from_xml, *(more or [])], base, parts_of(ignore) or ()), nl=False)
    elif to_xml:
        from vmpz.run.exchange import to_xml as products_of

        if file is None:
            raise typer.BadParameter("--to-xml writes the parameters of --file SURVEY.toml")
        typer.echo("\n".join(map(str, products_of(parameters_of(file), to_xml))))
    elif reader is not None:
        from vmpz.run.diagnosis import reader_text

        typer.echo(reader_text(reader))
    elif schema:
        typer.echo(json.dumps(Parameters.model_json_schema(), indent=1))
    elif file is not None:
        typer.echo(parameters_of(file).model_dump_json(indent=1))
    elif example:
        typer.echo(example_text(), nl=False)
    else:
        raise typer.BadParameter("say --example, --reader NAME, --schema, --file FILE or --from-xml FILE...")


@app.command()
def prov(
    where: Annotated[str, typer.Argument(help="A store, or a product file in one.", metavar="STORE|FILE")],
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default standard output.")
    ] = None,
) -> None:
    """Tell where products come from, as PROV-JSON: of a whole store, or of one product and all before it."""
    from vmpz.run.provenance import entries_of, stream_prov, write_prov

    if out is None:
        stream_prov(entries_of(where), sys.stdout)
    else:
        write_prov(where, out)
        typer.echo(out)


@app.command()
def doctor(as_json: AsJson = False) -> int:
    """Tell what this installation has and lacks, and what helps.

    A line each: ok; missing (optional, with what it would give); problem (exit status 3).
    """
    try:
        from vmpz.run.diagnosis import diagnosis
    except ImportError as error:
        return say(f"problem: {error}; `pip install --upgrade --force-reinstall vmpz` may mend it", REFUSED)
    findings = diagnosis()
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in findings], indent=1))
    else:
        width = max(len(one.what) for one in findings)
        for one in findings:
            typer.echo(f"{one.verdict:<8} {one.what:<{width}}  {one.found}")
            if one.advice:
                typer.echo(f"{'':<8} {'':<{width}}  -> {one.advice}")
    wrong = [one.what for one in findings if one.verdict == "problem"]
    return say(f"problems: {', '.join(wrong)}", REFUSED) if wrong else DONE
