"""Verbs of a store: what it holds, what is missing."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vmpz.cli.base import AsJson, app, table_of

__all__ = ["list_", "status"]


@app.command("list")
def list_(
    store: Annotated[Path, typer.Argument(help="Store.")],
    as_json: AsJson = False,
) -> None:
    """List the products of a store."""
    from vmpz.run.tasks import list_store

    rows = list_store(store)
    typer.echo(json.dumps(rows, indent=1) if as_json else table_of(rows))


@app.command()
def status(
    store: Annotated[Path, typer.Argument(help="Store.")],
    as_json: AsJson = False,
) -> None:
    """Tell what the last runs made, and what is missing and why."""
    from vmpz.run.tasks import account_of

    account = account_of(store)
    typer.echo(json.dumps(account.as_dict(), indent=1) if as_json else account.text())
