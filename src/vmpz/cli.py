"""The command line: one function per verb, each a few lines; heavy imports happen inside them.

Exit status: 0 all done; 2 usage or parameters; 3 input refused; 4 finished with failed tiles (the rest is done and
kept); 5 storage; 6 verification failed; 7 engine lost; 130 interrupted. Results go to standard output, messages and
progress to standard error.
"""

import contextlib
import json
import os
import signal
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vmpz.errors import VmpzError

__all__ = ["app", "main"]

app = typer.Typer(
    name="vmpz",
    help="Footprints, masks, depth and information maps of imaging surveys.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DONE, USAGE, REFUSED, FAILED_TILES, STORAGE, UNVERIFIED, ENGINE_LOST, INTERRUPTED = 0, 2, 3, 4, 5, 6, 7, 130

STATUS_OF = {"EngineLostError": ENGINE_LOST, "PlanError": USAGE}
"""Errors, by name so that none is imported, that have a status of their own."""

_UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
"""Base of everything that is wrong with the words of a command, wherever typer keeps it."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Order = Annotated[int | None, typer.Option(help="HEALPix order of the result; default that of the input.")]


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit status; SIGTERM (a batch system's) ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status = _status_of(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader left; nothing is to be said when Python closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _status_of(arguments: list[str] | None) -> int:
    try:
        status = int(app(args=arguments, standalone_mode=False) or DONE)
        return _say_interrupted() if status == INTERRUPTED else status  # typer makes a status of Ctrl-C
    except typer.Exit as leaving:
        return leaving.exit_code
    except _UsageError as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        return _say_interrupted()
    except tomllib.TOMLDecodeError as error:
        return _say(f"not TOML: {error}", USAGE)
    except BrokenPipeError:
        return DONE
    except OSError as error:
        return _say(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), STORAGE)
    except VmpzError as error:
        return _say(_with_notes(error), STATUS_OF.get(type(error).__name__, REFUSED))


def _say(message: str, status: int) -> int:
    with contextlib.suppress(OSError):
        typer.echo(f"vmpz: {message}", err=True)
    return status


def _say_interrupted() -> int:
    return _say("interrupted; what is done is kept, run again to go on", INTERRUPTED)


def _with_notes(error: Exception) -> str:
    return "\n  ".join([str(error), *getattr(error, "__notes__", ())])


def _list(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _parameters(path: Path) -> Any:
    """Parameters of a TOML file; mistakes are printed one a line and end the command with status 2."""
    from pydantic import ValidationError

    from vmpz.parameters import explain, load

    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise typer.BadParameter(
            f"{path}: must be a parameter file (`vmpz params --example` prints one), found {found}"
        )
    try:
        return load(path)
    except tomllib.TOMLDecodeError as error:
        typer.echo(f"{path}: not TOML: {error}", err=True)
    except ValidationError as error:
        typer.echo("\n".join(explain(error, path)), err=True)
    raise typer.Exit(USAGE)


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    tiles: Annotated[int, typer.Option(min=1, help="Number of tiles.")] = 4,
    size: Annotated[int, typer.Option(min=64, help="Pixels along the 32' side (19200 = 0.1 arcsec).")] = 1200,
    bands: Annotated[str, typer.Option(help="Bands, comma-separated.")] = "VIS,NIR_Y",
    at: Annotated[tuple[float, float], typer.Option(metavar="RA DEC", help="Where, in degrees.")] = (
        57.9988,
        -51.5,
    ),
    seed: Annotated[int, typer.Option(help="Seed of everything that is random.")] = 1,
    compress: Annotated[Literal["gz", "fz"] | None, typer.Option(help="Compress the images.")] = None,
) -> None:
    """Write a survey in the real formats, with its truth, ready to run."""
    from vmpz.simulate import simulate as make

    where = make(
        out, tiles=tiles, size=size, bands=tuple(_list(bands) or ()), at=at, seed=seed, compress=compress
    )
    typer.echo(where)


@app.command()
def run(
    survey: Annotated[Path, typer.Argument(help="Parameter file.", metavar="SURVEY.toml")],
    store: Annotated[
        Path | None, typer.Option(help="Where products go; default `store` beside the file.")
    ] = None,
    tiles: Annotated[str | None, typer.Option(help="Tile ids, comma-separated.")] = None,
    instruments: Annotated[str | None, typer.Option(help="Instruments, comma-separated.")] = None,
    bands: Annotated[str | None, typer.Option(help="Bands, comma-separated.")] = None,
    products: Annotated[str | None, typer.Option(help="Kinds of product, comma-separated.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of one process; default all cores.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Local worker processes; 0 = serial.")] = 0,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    created: Annotated[str | None, typer.Option(help="Creation instant of all products (ISO, UTC).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")] = False,
    as_json: AsJson = False,
) -> int:
    """Make the products of a survey: stage 1, then its patches; go on where an earlier run stopped."""
    from vmpz.report.progress import Reporter
    from vmpz.run.plan import Choice
    from vmpz.run.survey import run_survey

    parameters = _parameters(survey)
    account = run_survey(
        parameters,
        store or survey.parent / "store",
        choice=Choice(_list(tiles), _list(instruments), _list(bands), _list(products)),
        threads=threads,
        workers=workers,
        scheduler=scheduler,
        created=created,
        dry_run=dry_run,
        fail_fast=fail_fast,
        reporter=Reporter(quiet=as_json),
    )
    typer.echo(json.dumps(account.as_dict(), indent=1) if as_json else account.text())
    return FAILED_TILES if account.has_failed else DONE


@app.command()
def merge(
    files: Annotated[
        list[str], typer.Argument(help="Tile products: files, a folder, or @LIST.", metavar="FILE...")
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="File to write (.fits, .moc.fits).")],
    order: Order = None,
    weight: Annotated[list[str] | None, typer.Option(help="Coverage files that weigh the average.")] = None,
) -> None:
    """Join tile products into one map, at any coarser order."""
    from vmpz.run.tasks import merge_files

    typer.echo(merge_files(files, out, order=order, weights=weight or []))


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Product file.", metavar="IN")],
    out: Annotated[Path, typer.Argument(help="File to write: .fits partial HEALPix, .moc.fits MOC.")],
    order: Order = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Largest change of a value in a MOC.")] = 0.0,
) -> None:
    """Write a product in another form or at a coarser order."""
    from vmpz.run.tasks import convert_file

    typer.echo(convert_file(source, out, order=order, tolerance=tolerance))


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


@app.command("list")
def list_(
    store: Annotated[Path, typer.Argument(help="Store.")],
    as_json: AsJson = False,
) -> None:
    """List the products of a store."""
    from vmpz.run.tasks import list_store

    rows = list_store(store)
    typer.echo(json.dumps(rows, indent=1) if as_json else _table(rows))


@app.command()
def status(
    store: Annotated[Path, typer.Argument(help="Store.")],
    as_json: AsJson = False,
) -> None:
    """Tell what the last runs made, and what is missing and why."""
    from vmpz.run.tasks import account_of

    account = account_of(store)
    typer.echo(json.dumps(account.as_dict(), indent=1) if as_json else account.text())


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
        typer.echo(_parameters(file).model_dump_json(indent=1))
    elif example:
        typer.echo(example_text(), nl=False)
    else:
        raise typer.BadParameter("say --example, --schema or --file FILE")


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder to make.")] = Path("demo"),
    size: Annotated[int, typer.Option(min=64, help="Pixels along the 32' side of a tile.")] = 1200,
) -> int:
    """Simulate a small survey, run stage 1 on it, verify the products and draw them."""
    from vmpz.parameters import load
    from vmpz.report.gallery import gallery
    from vmpz.report.progress import Reporter
    from vmpz.run.survey import run_survey
    from vmpz.run.tasks import check_path
    from vmpz.simulate import simulate as make

    survey, store = out / "survey", out / "store"
    make(survey, tiles=4, size=size, bands=("VIS", "NIR_Y"), at=(57.9988, -51.5), seed=1)
    account = run_survey(load(survey / "survey.toml"), store, reporter=Reporter())
    typer.echo(account.text())
    count, faults = check_path(store)
    typer.echo(f"{count} files verified, {len(faults)} faults")
    for path in gallery(store, "demo", out / "figures"):
        typer.echo(f"figure {path}")
    return FAILED_TILES if account.has_failed else UNVERIFIED if faults else DONE


@app.command()
def doctor() -> None:
    """Tell versions, readers, recipes, bit tables and what the machine offers."""
    from vmpz.run.tasks import diagnosis

    for name, value in diagnosis().items():
        typer.echo(f"{name:<12} {value}")


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "no products"
    names = list(rows[0])
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) for name in names]
    lines = [names, *([str(row[name]) for name in names] for row in rows)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )


def version_callback(asked: bool) -> None:
    """Print the version and leave."""
    if asked:
        from importlib.metadata import version

        typer.echo(f"vmpz {version('vmpz')}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool, typer.Option("--version", callback=version_callback, is_eager=True, help="Version.")
    ] = False,
) -> None:
    pass
