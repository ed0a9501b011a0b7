"""The command line: one function per verb, each a few lines; heavy imports happen inside them.

Exit status: 0 all done; 2 usage or parameters; 3 input refused; 4 finished with failed tiles (the rest is done and
kept); 5 storage; 6 verification failed; 7 engine lost; 130 interrupted. Results go to standard output, messages and
progress to standard error.
"""

import os
import signal
import sys
import tomllib
from typing import Annotated

import typer

from vmpz.cli import calibrating, drawing, looking, making, masks, reporting, stores, validating, viewing
from vmpz.cli.base import (
    DONE,
    INTERRUPTED,
    REFUSED,
    STATUS_OF,
    STORAGE,
    USAGE,
    UsageError,
    app,
    say,
    say_interrupted,
    with_notes,
)  # fmt: skip
from vmpz.cli.hints import hinted
from vmpz.errors import VmpzError

__all__ = [
    "app",
    "calibrating",
    "drawing",
    "looking",
    "main",
    "making",
    "masks",
    "reporting",
    "stores",
    "validating",
    "viewing",
]


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit status; SIGTERM (a batch system's) ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    status = _status_of(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader left; nothing is to be said when Python closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def _status_of(arguments: list[str] | None) -> int:
    try:
        status = int(app(args=arguments, standalone_mode=False) or DONE)
        return say_interrupted() if status == INTERRUPTED else status  # typer makes a status of Ctrl-C
    except typer.Exit as leaving:
        return leaving.exit_code
    except UsageError as error:
        hinted(error).show()
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        return say_interrupted()
    except tomllib.TOMLDecodeError as error:
        return say(f"not TOML: {error}", USAGE)
    except (BrokenPipeError, SystemExit):  # so typer ends a command whose reader left
        return DONE
    except OSError as error:
        return say(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), STORAGE)
    except VmpzError as error:
        return say(with_notes(error), STATUS_OF.get(type(error).__name__, REFUSED))


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
