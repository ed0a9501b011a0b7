"""Verbs that make: surveys, products, patches."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from vmpz.cli import completing
from vmpz.cli.base import (
    DONE,
    FAILED_TILES,
    UNVERIFIED,
    AsJson,
    Convention,
    Order,
    app,
    parameters_of,
    parts_of,
)

__all__ = ["convert", "demo", "merge", "run", "simulate"]


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    tiles: Annotated[int, typer.Option(min=1, help="Number of tiles.")] = 4,
    size: Annotated[int, typer.Option(min=64, help="Pixels along the 32' side (19200 = 0.1 arcsec).")] = 1200,
    bands: Annotated[str, typer.Option(help="Bands of mosaics, comma-separated; '' for none.")] = "VIS,NIR_Y",
    frames: Annotated[
        str,
        typer.Option(
            help="Single exposures too, and every information map: instruments (VIS, NISP, DECAM, KIDS, LSST, HSC, "
            "TABLE) or bands, comma-separated."
        ),
    ] = "",
    at: Annotated[tuple[float, float], typer.Option(metavar="RA DEC", help="Where, in degrees.")] = (
        57.9988,
        -51.5,
    ),
    seed: Annotated[int, typer.Option(help="Seed of everything that is random.")] = 1,
    compress: Annotated[Literal["gz", "fz"] | None, typer.Option(help="Compress the images.")] = None,
    galaxies: Annotated[
        bool,
        typer.Option("--galaxies", help="Galaxies too: a deep sample, what is detected, classes of them."),
    ] = False,
) -> None:
    """Write a survey in the real formats, with its truth, ready to run."""
    from vmpz.simulate import simulate as make

    where = make(
        out, tiles=tiles, size=size, bands=tuple(parts_of(bands) or ()), frames=tuple(parts_of(frames) or ()),
        at=at, seed=seed, compress=compress, galaxies=galaxies,
    )  # fmt: skip
    typer.echo(where)


@app.command()
def run(
    survey: Annotated[Path, typer.Argument(help="Parameter file.", metavar="SURVEY.toml")],
    store: Annotated[
        str | None,
        typer.Option(
            help="Where products go (folder or s3://bucket/prefix); default `store` beside the file."
        ),
    ] = None,
    tiles: Annotated[
        str | None,
        typer.Option(help="Tile ids, comma-separated; then no patches.", autocompletion=completing.tiles),
    ] = None,
    instruments: Annotated[
        str | None,
        typer.Option(
            help="Instruments, comma-separated; then no patches.", autocompletion=completing.instruments
        ),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(help="Bands, comma-separated; then no patches.", autocompletion=completing.bands),
    ] = None,
    products: Annotated[
        str | None,
        typer.Option(help="Kinds of product, comma-separated.", autocompletion=completing.products),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of one process; default all cores.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Local worker processes; 0 = serial.")] = 0,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    created: Annotated[str | None, typer.Option(help="Creation instant of all products (ISO, UTC).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")] = False,
    require_complete: Annotated[
        bool, typer.Option("--require-complete", help="Exit 4 if a product of a patch is missing.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make the products of a survey: stage 1, then its patches; go on where an earlier run stopped."""
    from vmpz.report.progress import Reporter
    from vmpz.run.plan import Choice
    from vmpz.run.survey import run_survey

    parameters = parameters_of(survey)
    account = run_survey(
        parameters,
        store or survey.parent / "store",
        choice=Choice(parts_of(tiles), parts_of(instruments), parts_of(bands), parts_of(products)),
        threads=threads,
        workers=workers,
        scheduler=scheduler,
        created=created,
        dry_run=dry_run,
        fail_fast=fail_fast,
        reporter=Reporter(quiet=as_json),
    )
    typer.echo(json.dumps(account.as_dict(), indent=1) if as_json else account.text())
    lacking = require_complete and bool(account.incomplete)
    return FAILED_TILES if account.has_failed or lacking else DONE


@app.command()
def merge(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Tile products: files, folders, @LIST; or SURVEY.toml with --patch.", metavar="FILE..."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--output", "-o", help="File to write, its end says the form; with --patch a folder."),
    ],
    order: Order = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", help="Form, instead of what the name says.", autocompletion=completing.forms
        ),
    ] = None,
    weight: Annotated[
        list[str] | None, typer.Option(help="Coverage files, folders or @LIST that weigh an average.")
    ] = None,
    patch: Annotated[
        str | None,
        typer.Option(help="Patch of SURVEY.toml to merge from its store.", autocompletion=completing.patches),
    ] = None,
    store: Annotated[str | None, typer.Option(help="Store of the survey; default `store` beside it.")] = None,
    require_complete: Annotated[
        bool,
        typer.Option("--require-complete", help="With --patch: exit 4 if a product of a tile is missing."),
    ] = False,
    region: Annotated[Path | None, typer.Option(help="MOC file: only cells inside.")] = None,
    cap: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="LON LAT RADIUS", help="Only cells inside, degrees."),
    ] = None,
    owners: Annotated[
        Literal["euclid-wide"] | None,
        typer.Option(
            help="Take each cell from the tile of this grid that owns it: for files of extended tiles."
        ),
    ] = None,
    allow_mixed: Annotated[
        bool,
        typer.Option(
            "--allow-mixed", help="Merge products that differ in release, order...; recorded in MIXED."
        ),
    ] = False,
    update: Annotated[
        bool,
        typer.Option("--update", help="Make again only what changed since the last merge into this file."),
    ] = False,
    convention: Convention = "OBSERVED",
) -> int:
    """Join tile products into one map: that of a patch, at any coarser order, in any form."""
    if patch is not None or (len(files) == 1 and files[0].endswith(".toml")):
        given = {
            "--weight": weight, "--region": region, "--cap": cap, "--owners": owners, "--allow-mixed": allow_mixed,
            "--update": update, "--convention": convention != "OBSERVED",
        }  # fmt: skip
        _must_be_free_of(given, "SURVEY.toml says all that of a patch")
        return _merge_patch(files, out, patch, store, order, form, require_complete)
    _must_be_free_of({"--store": store, "--require-complete": require_complete}, "only with --patch")
    from vmpz.parameters import MapParameters
    from vmpz.run.regions import PatchRegion
    from vmpz.run.tasks import merge_files
    from vmpz.sky.regions import Cap

    if region is not None and cap is not None:
        raise typer.BadParameter("say --region or --cap, not both")
    shape = region if cap is None else Cap(*cap)
    made = merge_files(
        files, out, order, weight or [], form=form, region=None if shape is None else PatchRegion(shape),
        owners=owners, allow_mixed=allow_mixed, update=update, maps=MapParameters(coverage_convention=convention),
    )  # fmt: skip
    copied = f", {made.copied} of {len(made.units.table)} units copied" if update else ""
    typer.echo(f"{out}: {made.content.rows} cells{copied}")
    return DONE


def _must_be_free_of(given: Mapping[str, object], why: str) -> None:
    """Options that would have no effect end the command."""
    names = ", ".join(name for name, value in given.items() if value)
    if names:
        raise typer.BadParameter(f"{names}: {why}")


def _merge_patch(
    files: list[str],
    out: Path,
    patch: str | None,
    store: str | None,
    order: int | None,
    form: str | None,
    strict: bool,
) -> int:
    if patch is None or len(files) != 1:
        raise typer.BadParameter("a patch is merged by `vmpz merge SURVEY.toml --patch NAME -o FOLDER`")
    from vmpz.run.handover import hand_over
    from vmpz.run.store import Store

    survey = Path(files[0])
    parameters = parameters_of(survey)
    done = hand_over(parameters, Store(store or survey.parent / "store"), patch, out, order=order, form=form)
    for path in done.files:
        typer.echo(path)
    for outcome in done.outcomes:
        typer.echo(outcome.line, err=True)
    missing = [str(one) for one in done.collection.missing()]
    typer.echo("\n".join(missing), err=True) if missing else None
    failed = any(outcome.state == "FAILED" for outcome in done.outcomes)
    return FAILED_TILES if failed or (strict and missing) else DONE


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Product file, or HiPS folder.", metavar="IN")],
    out: Annotated[
        Path,
        typer.Argument(
            help="What to write: .fits, .moc.fits, .plain.moc.fits, .moc.json, .ply, .parquet, .hsp, .hips, .stcs.",
            metavar="OUT",
            autocompletion=completing.out_file,
        ),
    ],
    order: Order = None,
    tolerance: Annotated[float, typer.Option(min=0, help="Largest change of a value in a MOC.")] = 0.0,
    convention: Convention = "OBSERVED",
    weight: Annotated[
        Path | None, typer.Option(help="Coverage of the same cells, to weigh an average.")
    ] = None,
    band: Annotated[str | None, typer.Option(help="Band of a file that holds several.")] = None,
    numbering: Annotated[
        Literal["RANGE", "NUNIQ"], typer.Option(help="Numbering of the plain MOC in a MOC file.")
    ] = "RANGE",
) -> None:
    """Write a product in another form or at a coarser order."""
    from vmpz.parameters import MapParameters
    from vmpz.run.tasks import convert_file

    maps = MapParameters(moc_tolerance=tolerance, coverage_convention=convention, moc_numbering=numbering)
    typer.echo(convert_file(source, out, order, maps, weight=weight, band=band))


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder to make.")] = Path("demo"),
    tiles: Annotated[int, typer.Option(min=1, help="Number of tiles.")] = 4,
    size: Annotated[int, typer.Option(min=192, help="Pixels along the 32' side of a tile.")] = 1200,
) -> int:
    """Simulate a small survey: run and verify it, cut a mask, freeze a release, draw maps and points, report it."""
    from vmpz.cli.reporting import report
    from vmpz.report.gallery import gallery
    from vmpz.report.progress import Reporter
    from vmpz.report.validation import draw_validation
    from vmpz.run.demonstration import CATALOGUE, demonstrate, draw_randoms, parameters_for
    from vmpz.run.survey import run_survey
    from vmpz.run.tasks import check_path
    from vmpz.simulate import simulate as make

    survey, store = out / "survey", out / "store"
    make(survey, tiles=tiles, size=size, bands=("VIS", "NIR_Y"), at=(57.9988, -51.5), seed=1, galaxies=True)
    parameters = parameters_for(survey / "survey.toml", out / "demo.toml")
    account = run_survey(parameters, store, reporter=Reporter())
    typer.echo(account.text())
    count, faults = check_path(store)
    typer.echo(f"{count} files verified, {len(faults)} faults")
    for line in demonstrate(store, out):
        typer.echo(line)
    for path in gallery(store, "demo", out / "figures"):
        typer.echo(f"figure {path}")
    untrue = False
    for line, found in draw_randoms(parameters, store, survey, out, tiles * size**2):
        typer.echo(line)
        if found is not None:
            figure, untrue = out / "figures" / "randoms.png", not found.passed
            draw_validation(found, figure, heading="random points against the true visibility")
            typer.echo(f"figure {figure}")
    page = out / "report.html"
    report(str(store), page, randoms=[str(out / CATALOGUE)])
    typer.echo(f"open {page} in a browser, or run: vmpz view {store} --randoms {out / CATALOGUE}")
    return FAILED_TILES if account.has_failed else UNVERIFIED if faults or untrue else DONE
