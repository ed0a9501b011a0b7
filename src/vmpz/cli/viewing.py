"""The verb that opens a store as an interactive sky."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from vmpz.cli import completing
from vmpz.cli.base import app, parts_of
from vmpz.cli.stores import Bands, Kinds, StoreWord

__all__ = ["view"]


@app.command()
def view(
    store: StoreWord,
    area: Annotated[
        str | None,
        typer.Option(
            "--area",
            "--patch",
            help="Patch or tiles, comma-separated; default all tiles.",
            autocompletion=completing.areas,
        ),
    ] = None,
    kinds: Kinds = None,
    bands: Bands = None,
    randoms: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Catalogue to draw (may be repeated).")
    ] = None,
    moc: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="MOC or product whose region to draw (may be repeated)."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 is a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    aladin: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="aladin.js, or the archive aladin-lite-3.8.2.tgz of npm."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that keeps the pictures of maps; default till the end."),
    ] = None,
) -> None:
    """Show the maps of a store as an interactive sky: in the browser, on this machine alone; Ctrl-C ends it."""
    from vmpz.report.viewer.server import viewer_of
    from vmpz.run.query import Wanted
    from vmpz.run.store import Store
    from vmpz.run.viewing.aladin import aladin_lite
    from vmpz.run.viewing.sky import Sky

    script = aladin_lite(aladin)
    wanted = Wanted(parts_of(kinds), parts_of(bands), parts_of(area))
    sky = Sky(Store(store), wanted, regions=moc or (), points=randoms or (), cache=cache)
    with viewer_of(sky, script, port) as viewer:
        typer.echo(f"{viewer.address}  (Ctrl-C ends the viewer)")
        if browser:
            webbrowser.open(viewer.address)
        viewer.serve()
