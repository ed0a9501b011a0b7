"""Verbs that calibrate depth: correlated noise of an image, depth of a catalogue, both compared."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vmpz.cli.base import AsJson, app, parts_of, table_of

__all__ = ["calibrate"]

calibrate = typer.Typer(
    no_args_is_help=True, help="Calibrate depth by the noise of images and by catalogues."
)
app.add_typer(calibrate, name="calibrate")

LARGEST_SEED = (1 << 64) - 1
SHARED_SIGN = "shifts of the bands do not share a sign: a selection contaminates one of the catalogues"


@calibrate.command()
def noise(
    image: Annotated[str, typer.Argument(help="FITS image.", metavar="IMAGE[HDU]")],
    rms: Annotated[str, typer.Option(help="Noise sigma per pixel.", metavar="FILE[HDU]")],
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the places of apertures; no default.")
    ],
    aperture: Annotated[
        list[float], typer.Option(min=0, help="Aperture diameter, arcsec; several, that of the depth first.")
    ],
    flags: Annotated[str | None, typer.Option(help="Flags of the pixels.", metavar="FILE[HDU]")] = None,
    bits: Annotated[
        str | None, typer.Option(help="Flags that mask a pixel, comma-separated; default any.")
    ] = None,
    bit_table: Annotated[
        str | None, typer.Option(help="Table of the names of flags; without it bits are numbers.")
    ] = None,
    background: Annotated[
        str | None, typer.Option(help="Background to subtract.", metavar="FILE[HDU]")
    ] = None,
    number: Annotated[int, typer.Option(min=100, help="Places tried for each diameter.")] = 10_000,
    grow: Annotated[float, typer.Option(min=0, help="By how much detected sources are grown, arcsec.")] = 1.0,
    pixel_scale: Annotated[
        float | None, typer.Option(min=1e-3, help="Side of a pixel, arcsec; default that of the WCS.")
    ] = None,
    band: Annotated[str | None, typer.Option(help="Band, for the lines to paste.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the correlated-noise factor C of an image in empty apertures and by its autocovariance."""
    from vmpz.run.imagenoise import NoiseRequest, calibrate_noise

    told = calibrate_noise(
        NoiseRequest(
            image, rms, tuple(aperture), seed, flags, background, tuple(parts_of(bits) or ()), bit_table,
            number, grow, pixel_scale,
        )
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(_finite(told), indent=1))
        return
    rows = [
        {name: f"{value:.4f}" if isinstance(value, float) else value for name, value in one.items()}
        for one in told["apertures"]
    ]
    typer.echo(table_of(rows))
    typer.echo(
        f"pixel noise / RMS {told['rms_ratio']:.4f}, near sources {100 * told['source_fraction']:.1f} %"
    )
    if told["fit"] is not None:
        typer.echo(f"sigma_ap = RMS a N**b, a {told['fit']['a']:.4f}, b {told['fit']['b']:.4f}")
    typer.echo(_paste(told, band))


def _paste(told: dict[str, Any], band: str | None) -> str:
    """Lines for a parameter file."""
    first = told["apertures"][0]
    factor = f"{first['factor']:.4f}"
    return "\n".join(
        [
            "\n[depth]",
            f"aperture_arcsec = {first['diameter_arcsec']:g}",
            f"correlated_noise = {factor if band is None else f'{{ {json.dumps(band)} = {factor} }}'}",
            f'correlated_noise_source = "empty apertures, {first["apertures"]}, seed {told["seed"]}"',
        ]
    )


@calibrate.command()
def depth(
    catalogue: Annotated[Path, typer.Argument(help="Catalogue, or table of injections.")],
    order: Annotated[int, typer.Option(min=0, max=29, help="HEALPix order of the cells.")],
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="Depth map to write (.fits, ...).")
    ] = None,
    method: Annotated[
        Literal["rykoff", "snr", "mean", "completeness"],
        typer.Option(help="Noise model; median by S/N; mean near S/N; completeness."),
    ] = "rykoff",
    magnitude: Annotated[str | None, typer.Option(help="Column of the AB magnitude.")] = None,
    error: Annotated[str | None, typer.Option(help="Column of its error.")] = None,
    flux: Annotated[str | None, typer.Option(help="Instead: column of the flux.")] = None,
    flux_error: Annotated[str | None, typer.Option(help="Column of its error.")] = None,
    zero_point: Annotated[float, typer.Option(help="AB magnitude of unit flux.")] = 23.9,
    snr: Annotated[str | None, typer.Option(help="Instead of an error: column of S/N.")] = None,
    detected: Annotated[
        str | None, typer.Option(help="Completeness: column, 1 where an injected source was detected.")
    ] = None,
    matched: Annotated[
        Path | None, typer.Option(help="Completeness: catalogue in which those of a deeper one are sought.")
    ] = None,
    radius: Annotated[float, typer.Option(min=0, help="Of a match, arcsec.")] = 1.0,
    level: Annotated[
        float | None, typer.Option(min=0.1, help="S/N of the limit; default 10 for rykoff, else 5.")
    ] = None,
    fraction: Annotated[float, typer.Option(min=0, max=1, help="Completeness at the limit.")] = 0.5,
    select: Annotated[
        list[str] | None, typer.Option(help="Rows that count; several.", metavar="COLUMN:LOW:HIGH")
    ] = None,
    within: Annotated[Path | None, typer.Option(help="Map whose cells count.")] = None,
    minimum: Annotated[int, typer.Option(min=10, help="Objects that a cell must have.")] = 100,
    seed: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_SEED, help="Seed of bootstrap samples (rykoff).")
    ] = None,
    resamples: Annotated[int, typer.Option(min=2, help="Number of bootstrap samples.")] = 100,
    positions: Annotated[
        str | None, typer.Option(help="Columns of position, RA,DEC; default the usual names.")
    ] = None,
    band: Annotated[str, typer.Option(help="Band, for the header.")] = "-",
    area: Annotated[str, typer.Option(help="Patch or tile, for the header.")] = "-",
    dereddened: Annotated[
        bool, typer.Option("--dereddened", help="Magnitudes are corrected for extinction.")
    ] = False,
    against: Annotated[Path | None, typer.Option(help="Depth map to compare with.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a map of the depth that the objects of a catalogue show."""
    from vmpz.run.calibration import DepthRequest, calibrate_depth

    pair = parts_of(positions)
    if pair is not None and len(pair) != 2:
        raise typer.BadParameter(f"--positions must be two columns, found {positions}")
    request = DepthRequest(
        catalogue, order, method, magnitude, error, flux, flux_error, snr, zero_point, detected, matched,
        radius, level, fraction, tuple(select or ()), within, minimum, resamples, seed,
        None if pair is None else (pair[0], pair[1]), band, area, dereddened,
    )  # fmt: skip
    told = calibrate_depth(request, out, against)
    if as_json:
        typer.echo(json.dumps(_finite(told), indent=1))
        return
    typer.echo(
        f"{told['file'] or told['method']}  {told['median_mag']:.4f} mag (error {told['median_error_mag']:.4f}) in "
        f"{told['cells']} cells of {told['objects']} objects; {told['too_few']} cells have too few objects, "
        f"{told['undetermined']} no limit"
    )
    if against is not None:
        typer.echo(
            f"{against}  catalogue minus map {told['shift_mag']:+.4f} mag, scatter {told['scatter_mag']:.4f}, "
            f"{told['shared_cells']} cells"
        )


@calibrate.command()
def compare(
    pairs: Annotated[
        list[Path],
        typer.Argument(help="Catalogue depth and depth map, for each band.", metavar="DEPTH MAP..."),
    ],
    as_json: AsJson = False,
) -> None:
    """Tell by how much catalogue depths differ from depth maps, band by band."""
    from vmpz.run.calibration import compare as compared

    if len(pairs) % 2:
        raise typer.BadParameter("files must come in pairs, a catalogue depth and a depth map")
    told = compared(list(zip(pairs[::2], pairs[1::2], strict=True)))
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        rows = [
            {name: f"{value:+.4f}" if isinstance(value, float) else value for name, value in row.items()}
            for row in told["bands"]
        ]
        typer.echo(table_of(rows))
    if not told["share_a_sign"]:
        typer.echo(f"vmpz: {SHARED_SIGN}", err=True)


def _finite(told: Any) -> Any:
    """The same with None for numbers that JSON does not have."""
    if isinstance(told, dict):
        return {name: _finite(value) for name, value in told.items()}
    if isinstance(told, list | tuple):
        return [_finite(value) for value in told]
    return None if isinstance(told, float) and told != told else told
