"""The verb that makes the report page of a store."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vmpz.cli import completing
from vmpz.cli.base import app, parts_of
from vmpz.cli.stores import Bands, Kinds, StoreWord

__all__ = ["report"]


@app.command()
def report(
    store: StoreWord,
    out: Annotated[Path, typer.Argument(help="Page to write.", metavar="OUT.html")],
    area: Annotated[
        str | None,
        typer.Option(
            help="Patches or tiles, comma-separated; default all tiles.", autocompletion=completing.areas
        ),
    ] = None,
    kinds: Kinds = None,
    bands: Bands = None,
    randoms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[=MAP]",
            help="Random catalogue to test and show, and the visibility that it follows where its header does not say.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the table of tiles too: .csv, .parquet or .fits."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading; default the name of the survey.")] = None,
) -> None:
    """Show what a store holds in one page: maps, areas, depth, seams, randoms, tiles, what is missing and why."""
    from vmpz.files.write import write_text
    from vmpz.report.page.document import SUFFIXES, page_of
    from vmpz.run.overview.gather import OverviewRequest, RandomsRequest, overview_of
    from vmpz.run.overview.table import write_parts
    from vmpz.run.query import Wanted
    from vmpz.run.store import Store

    if out.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"{out}: a report must end in {' or '.join(SUFFIXES)}")
    catalogues = [_catalogue(word) for word in randoms or []]
    wanted = Wanted(parts_of(kinds), parts_of(bands), parts_of(area))
    request = OverviewRequest(wanted, [RandomsRequest(Path(file), name) for file, name in catalogues])
    overview = overview_of(Store(store), request, _tell)
    if table is not None:
        write_parts(overview, table)
        typer.echo(f"{table}: {len(overview.parts)} rows")
    page = page_of(overview, title)
    write_text(out, page)
    tiles = len({part.area for part in overview.parts})
    typer.echo(f"{out}: {len(overview.maps)} maps of {tiles} tiles, {len(page.encode()) / 1e6:.2g} MB")


def _tell(done: int, total: int, name: str) -> None:
    """The progress: one line that is written over on a terminal, a line every hundred areas elsewhere."""
    line = f"[{done}/{total}] {name}"
    if sys.stderr.isatty():
        typer.echo(f"\r{line}\x1b[K", err=True, nl=done == total)
    elif done % 100 == 0:
        typer.echo(line, err=True)


def _catalogue(word: str) -> tuple[str, str | None]:
    """FILE or FILE=MAP."""
    file, equals, name = word.rpartition("=")
    return (file, name) if equals and not Path(word).exists() else (word, None)
