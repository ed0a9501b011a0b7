"""Verbs of a store: what it holds, what is missing, values of its maps, releases.

A store is a folder, or an address of an object store (``s3://bucket/prefix``).
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from vmpz.cli import completing
from vmpz.cli.base import DONE, UNVERIFIED, AsJson, app, parts_of, table_of

__all__ = ["list_", "query", "release", "status"]

StoreWord = Annotated[str, typer.Argument(help="Folder, or address (s3://bucket/prefix).", metavar="STORE")]
Kinds = Annotated[
    str | None,
    typer.Option(help="Kinds of product, comma-separated; default all.", autocompletion=completing.kinds),
]
Bands = Annotated[
    str | None,
    typer.Option(help="Bands, comma-separated; default all.", autocompletion=completing.bands),
]
Area = Annotated[
    str | None,
    typer.Option(help="Tiles or patches, comma-separated; default all.", autocompletion=completing.areas),
]
LISTED = ("area", "kind", "quantity", "statistic", "selection", "band", "order", "state", "digest", "file")


@app.command("list")
def list_(
    store: StoreWord,
    kinds: Kinds = None,
    bands: Bands = None,
    area: Area = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the index again from the manifests.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the products of a store."""
    from vmpz.run.tasks import list_store

    rows = list_store(
        store, kinds=parts_of(kinds), bands=parts_of(bands), areas=parts_of(area), rebuild=rebuild
    )
    shown = [{name: row[name] for name in LISTED} for row in rows]
    typer.echo(json.dumps(rows, indent=1) if as_json else table_of(shown))


@app.command()
def status(store: StoreWord, as_json: AsJson = False) -> None:
    """Tell what the last runs made, and what is missing and why."""
    from vmpz.run.tasks import account_of

    account = account_of(store)
    typer.echo(json.dumps(account.as_dict(), indent=1) if as_json else account.text())


@app.command()
def query(
    store: StoreWord,
    at: Annotated[
        tuple[float, float] | None, typer.Option(metavar="RA DEC", help="A position, in degrees.")
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Catalogue (FITS, Parquet) to add all values to.")
    ] = None,
    region: Annotated[Path | None, typer.Option(metavar="MOC", help="File of a region.")] = None,
    out: Annotated[Path | None, typer.Option("--output", "-o", help="Catalogue to write.")] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="RA,DEC", help="Columns of position; default usual names.")
    ] = None,
    kinds: Kinds = None,
    bands: Bands = None,
    area: Annotated[
        str | None,
        typer.Option(
            help="Patches or tiles, comma-separated; default all tiles.", autocompletion=completing.areas
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell the values of all maps at a position.

    Or add them to the objects of a catalogue, or tell what lies inside a region.
    """
    from vmpz.run import query as ask
    from vmpz.run.store import Store

    if [at, catalog, region].count(None) != 2 or (catalog is None) != (out is None):
        raise typer.BadParameter("say --at RA DEC, --catalog FILE -o OUT, or --region MOC")
    pair = parts_of(columns)
    if pair is not None and len(pair) != 2:
        raise typer.BadParameter(f"--columns must name two columns, as RA,DEC; found {columns}")
    if at is not None and not all(map(math.isfinite, at)):
        raise typer.BadParameter(f"--at must be a position in degrees, found {at[0]} {at[1]}")
    place, wanted = Store(store), ask.Wanted(parts_of(kinds), parts_of(bands), parts_of(area))
    if at is not None:
        _tell_values(ask.values_at(place, at[0], at[1], wanted), as_json)
    elif catalog is not None and out is not None:
        added = ask.add_values(place, catalog, out, wanted, pair)
        typer.echo(json.dumps({"file": str(out), "added": added}, indent=1) if as_json else out)
    elif region is not None:
        _tell_region(ask.region_of_store(place, region, wanted), as_json)


def _tell_values(found: dict[str, Any], as_json: bool) -> None:
    values = {name: one.values[0].item() for name, one in found.items()}
    if as_json:
        told = {name: value if value == value else None for name, value in values.items()}
        typer.echo(json.dumps(told, indent=1))
    else:
        typer.echo(
            table_of([{"map": name, "value": values[name], "unit": found[name].unit} for name in values])
        )


def _tell_region(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    typer.echo(f"region {told['region_deg2']:.6g} deg2, {len(told['products'])} products of")
    overlaps: dict[str, list[float]] = {}
    for row in told["products"]:
        overlaps.setdefault(row["area"], []).append(row["overlap_deg2"])
    for area, shared in overlaps.items():
        typer.echo(f"  {area}  {len(shared)} products, up to {max(shared):.6g} deg2 of the region")
    names = ("map", "area_deg2", "mean", "minimum", "maximum", "unit")
    typer.echo(table_of([{name: _short(row[name]) for name in names} for row in told["maps"]]))


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


# -- releases ---------------------------------------------------------------------------------------------------------

release = typer.Typer(no_args_is_help=True, help="Named, frozen lists of products that a store keeps.")
app.add_typer(release, name="release")

Name = Annotated[str, typer.Argument(help="Name of the release.", autocompletion=completing.releases)]


@release.callback()
def _of_store(context: typer.Context, store: StoreWord) -> None:
    context.obj = store


def _store_of(context: typer.Context) -> Any:
    from vmpz.run.store import Store

    return Store(context.obj)


@release.command()
def create(
    context: typer.Context,
    name: Name,
    kinds: Kinds = None,
    bands: Bands = None,
    area: Area = None,
    as_json: AsJson = False,
) -> None:
    """Freeze the products of the store under a name; their files are verified and kept."""
    from vmpz.run.releases import create as make

    made = make(
        _store_of(context), name, kinds=parts_of(kinds), bands=parts_of(bands), areas=parts_of(area)
    ).summary
    typer.echo(json.dumps(made, indent=1) if as_json else table_of([made]))


@release.command("list")
def list_releases(context: typer.Context, as_json: AsJson = False) -> None:
    """List the releases of the store."""
    from vmpz.run.releases import releases

    rows = [one.summary for one in releases(_store_of(context))]
    typer.echo(json.dumps(rows, indent=1) if as_json else table_of(rows) if rows else "no releases")


@release.command()
def diff(
    context: typer.Context,
    one: Annotated[str, typer.Argument(help="Earlier release.", autocompletion=completing.releases)],
    other: Annotated[
        str | None,
        typer.Argument(help="Later release; default the store as it is.", autocompletion=completing.releases),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell which products were added, removed and changed."""
    from vmpz.run.releases import diff as compare

    told = compare(_store_of(context), one, other)
    lines = [f"{what:<8} {key}" for what, keys in told.items() for key in keys]
    typer.echo(json.dumps(told, indent=1) if as_json else "\n".join(lines) or "no difference")


@release.command()
def verify(
    context: typer.Context,
    name: Name,
    current: Annotated[
        bool, typer.Option("--current", help="The store itself must still have every product as released.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Compare every file of a release with its size and sha256."""
    from vmpz.run.releases import verify as check

    verdict = check(_store_of(context), name)
    if as_json:
        told = {"checked": verdict.files, "faults": verdict.faults, "since": verdict.since}
        typer.echo(json.dumps(told, indent=1))
    else:
        for line in (*verdict.faults, *verdict.since):
            typer.echo(line, err=True)
        typer.echo(
            f"{verdict.files} files checked, {len(verdict.faults)} faults; "
            f"{len(verdict.since)} products remade or removed since"
        )
    return UNVERIFIED if verdict.faults or (current and verdict.since) else DONE


@release.command()
def export(
    context: typer.Context,
    name: Name,
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", help="copy, or the form in which maps are written.", autocompletion=completing.forms
        ),
    ] = "copy",
) -> None:
    """Write a release into a folder, with SHA256SUMS."""
    from vmpz.run.releases import export as write

    count = write(_store_of(context), name, out, form)
    typer.echo(f"{out}  {count} files")
