"""What all commands share: the application, exit statuses, options, messages."""

import contextlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vmpz.cli.hints import FIRST, Commands
from vmpz.files.nearby import what_is_at

__all__ = [
    "DONE", "ENGINE_LOST", "FAILED_TILES", "INTERRUPTED", "REFUSED", "STATUS_OF", "STORAGE", "UNVERIFIED",
    "USAGE", "AsJson", "Order", "UsageError", "app", "parameters_of", "parts_of", "say", "say_interrupted", "table_of",
    "with_notes",
]  # fmt: skip

app = typer.Typer(
    name="vmpz",
    help="Footprints, masks, depth, visibility and random catalogues of imaging surveys.",
    epilog=FIRST,
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DONE, USAGE, REFUSED, FAILED_TILES, STORAGE, UNVERIFIED, ENGINE_LOST, INTERRUPTED = 0, 2, 3, 4, 5, 6, 7, 130

STATUS_OF = {
    "EngineLostError": ENGINE_LOST,
    "UnverifiedError": UNVERIFIED,
    "PlanError": USAGE,
    "ExpressionError": USAGE,
}
"""Errors, by name so that none is imported, that have a status of their own."""

UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
"""Base of everything that is wrong with the words of a command, wherever typer keeps it."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Order = Annotated[
    int | None, typer.Option(min=0, max=29, help="HEALPix order of the result; default that of the input.")
]

Convention = Annotated[
    Literal["OBSERVED", "MER"],
    typer.Option(help="What coverage-type values are: OBSERVED 1 = observed, MER 1 = not observed."),
]


def say(message: str, status: int) -> int:
    with contextlib.suppress(OSError):
        typer.echo(f"vmpz: {message}", err=True)
    return status


def say_interrupted() -> int:
    return say("interrupted; what is done is kept, run again to go on", INTERRUPTED)


def with_notes(error: Exception) -> str:
    return "\n  ".join([str(error), *getattr(error, "__notes__", ())])


def parts_of(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def parameters_of(path: Path) -> Any:
    """Parameters of a TOML file; mistakes are printed one a line and end the command with status 2."""
    from pydantic import ValidationError

    from vmpz.parameters import explain, load

    if not path.is_file():
        inside = [str(one) for one in path.glob("*.toml")]
        guess = f", did you mean {inside[0]}" if len(inside) == 1 else ""
        raise typer.BadParameter(
            f"{path}: must be a parameter file (`vmpz params --example` prints one), found {what_is_at(path)}{guess}"
        )
    try:
        return load(path)
    except tomllib.TOMLDecodeError as error:
        typer.echo(f"{path}: not TOML: {error}", err=True)
    except ValidationError as error:
        typer.echo("\n".join(explain(error, path)), err=True)
    raise typer.Exit(USAGE)


def table_of(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "no products"
    names = list(rows[0])
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) for name in names]
    lines = [names, *([str(row[name]) for name in names] for row in rows)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    )
