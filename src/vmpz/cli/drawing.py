"""The verb that draws random catalogues."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vmpz.cli import completing
from vmpz.cli.base import DONE, AsJson, Order, app, parameters_of, parts_of

__all__ = ["random"]


@app.command()
def random(
    survey: Annotated[
        Path | None, typer.Argument(help="Parameter file, with --selection.", metavar="[SURVEY.toml]")
    ] = None,
    out: Annotated[
        Path, typer.Option("--output", "-o", help="OUT.fits, OUT.parquet, or a HATS folder OUT.")
    ] = ...,  # type: ignore[assignment]
    selection: Annotated[
        str | None,
        typer.Option(
            help="Class of SURVEY.toml whose visibility the points follow.", autocompletion=completing.classes
        ),
    ] = None,
    map_files: Annotated[
        list[str] | None, typer.Option("--map", help="Instead: visibility map: files, folders, @LIST.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="Store of the survey; default `store` beside it.")] = None,
    patch: Annotated[
        str | None,
        typer.Option(help="Patch of SURVEY.toml; default all tiles.", autocompletion=completing.patches),
    ] = None,
    number: Annotated[int | None, typer.Option(min=1, help="Number of points.")] = None,
    density: Annotated[float | None, typer.Option(help="Points per deg2 where V is 1 (poisson).")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; here or in [random].")] = None,
    catalogue: Annotated[
        int | None, typer.Option(min=0, help="Number of the catalogue of that seed.")
    ] = None,
    scheme: Annotated[
        Literal["poisson", "exact", "indexed", "trim"] | None, typer.Option(help="How numbers are drawn.")
    ] = None,
    keep: Annotated[
        Literal["detected", "all"] | None, typer.Option(help="`all`: every candidate, with WEIGHT = V.")
    ] = None,
    nested: Annotated[
        bool, typer.Option("--nested", help="Thin candidates: classes of one seed and density are nested.")
    ] = False,
    order: Order = None,
    partial: Annotated[
        Literal["subcells", "cell"] | None,
        typer.Option(help="Where in partly observed cells: in observed sub-cells, or anywhere."),
    ] = None,
    columns: Annotated[
        Literal["full", "minimal"] | None, typer.Option(help="All columns, or the position alone.")
    ] = None,
    attributes: Annotated[
        bool, typer.Option("--attributes", help="Redshift, magnitudes, size of a galaxy that is seen there.")
    ] = False,
    attach: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="Maps whose values are attached, comma-separated: names, or NAME=FILE.",
            autocompletion=completing.maps,
        ),
    ] = None,
    region: Annotated[Path | None, typer.Option(help="MOC file: only this part of the map counts.")] = None,
    cap: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="LON LAT RADIUS", help="Only this part of the map counts, degrees."),
    ] = None,
    only: Annotated[
        Path | None, typer.Option(help="MOC file: these points of the whole catalogue, drawn again.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default all cores.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Local worker processes; 0 = none.")] = 0,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    created: Annotated[str | None, typer.Option(help="Creation instant (ISO, UTC).")] = None,
    descriptor: Annotated[
        bool, typer.Option("--xml", help="Write the descriptor DpdRandomCatalogVMPZ beside it.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Draw a random catalogue that follows a visibility map."""
    if (survey is None) == (not map_files) or (survey is None and (selection or patch or store)):
        raise typer.BadParameter("say either SURVEY.toml with --selection, or --map FILE")
    if region is not None and cap is not None:
        raise typer.BadParameter("say --region or --cap, not both")
    from vmpz.run.randomrequests import request_of_maps, request_of_survey
    from vmpz.run.randoms import draw_catalogue
    from vmpz.sky.regions import Cap

    said: dict[str, Any] = {
        "number": number, "density": density, "seed": seed, "catalogue": catalogue, "scheme": scheme, "keep": keep,
        "nested": nested or None, "order": order, "partial": partial, "columns": columns,
        "attributes": attributes or None, "maps": parts_of(attach),
    }  # fmt: skip
    shape = region if cap is None else Cap(*cap)
    where = {"region": shape, "only": only}
    if survey is None:
        request = request_of_maps(map_files or [], said, **where)
    else:
        parameters = parameters_of(survey)
        request = request_of_survey(
            parameters, store or str(survey.parent / "store"), selection, said, patch=patch, **where
        )
    told = draw_catalogue(
        request, out, threads=threads or (1 if workers or scheduler else os.cpu_count() or 1), workers=workers,
        scheduler=scheduler, created=created, descriptor=descriptor,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        typer.echo(
            f"{out}: {told['rows']} points in {told['area_deg2']:.6g} deg2, {told['visible_deg2']:.6g} deg2 visible, "
            f"{told['density_deg2']:.6g} per deg2 where V is 1; {told['scheme']}, seed {told['seed']}, "
            f"order {told['order']}"
        )
    return DONE
