"""Headers and file names of MER products, card by card as in the public Q1 files."""

import hashlib
from datetime import UTC, datetime, timedelta

from astropy.io.fits import Header

from vmpz.simulate.bands import Band
from vmpz.simulate.pixels import Grid

__all__ = [
    "RELEASE",
    "START",
    "file_name",
    "hexadecimal",
    "image_header",
    "instant",
    "tan_header",
    "wcs_header",
]

START = datetime(2026, 1, 15, 8, 30, 0, tzinfo=UTC)
"""Start of the run that all files of a simulation claim."""

RELEASE = "00.00"
DATASET_RELEASE = "SIM_R1"
PIPELINE = "MER_ProcessTile_EUCLID_2.0.3"

NAMES = {
    "image": "EUC_MER_BGSUB-MOSAIC-{band}_TILE{tile}-{suffix}",
    "rms": "EUC_MER_MOSAIC-{band}-RMS_TILE{tile}-{suffix}",
    "flag": "EUC_MER_MOSAIC-{band}-FLAG_TILE{tile}-{suffix}",
    "background": "EUC_MER_BGMOD-{band}_TILE{tile}-{suffix}",
    "catalog-psf": "EUC_MER_CATALOG-PSF-{band}_TILE{tile}-{suffix}",
    "grid-psf": "EUC_MER_GRID-PSF-{band}_TILE{tile}-{suffix}",
    "layers": "EUC_MER_LAYERS-{band}_TILE{tile}-{suffix}",
    "star-masks": "EUC_MER_BRIGHT-STAR-MASKS-{band}_TILE{tile}-{suffix}",
    "mosaic": "DpdMerBksMosaic_{band}_TILE{tile}-{suffix}",
    "tile": "DpdMerTile_TILE{tile}-{suffix}",
}
"""Kind of file to the part of its name before the time."""

EXTENSIONS = {"star-masks": "json", "mosaic": "xml", "tile": "xml"}


def hexadecimal(*parts: object, length: int = 6) -> str:
    """Upper-case hexadecimal digits that depend on the parts alone."""
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:length].upper()


def instant(*parts: object) -> datetime:
    """A time within a day of the start, to the microsecond, that depends on the parts alone."""
    return START + timedelta(microseconds=int(hexadecimal(*parts, length=12), 16) % 86_400_000_000)


def file_name(seed: int, tile: str, band: Band | None, kind: str) -> str:
    """Name of a file: every kind has its own suffix and time, as in real folders."""
    token = band.token if band else ""
    suffix = hexadecimal("suffix", seed, tile, token, kind)
    time = instant("time", seed, tile, token, kind).strftime("%Y%m%dT%H%M%S.%f")
    stem = NAMES[kind].format(band=token, tile=tile, suffix=suffix)
    return f"{stem}_{time}Z_{RELEASE}.{EXTENSIONS.get(kind, 'fits')}"


def wcs_header(grid: Grid) -> Header:
    """The cards of the pixel-to-sky mapping."""
    return tan_header(grid.crval, (grid.crpix, grid.crpix), grid.cd_deg)


def tan_header(crval_deg: tuple[float, float], crpix: tuple[float, float], step_deg: float) -> Header:
    """Cards of a tangent plane, north up, with pixels of that side."""
    header = Header()
    for card in (
        ("EQUINOX", 2000.0, "Mean equinox"),
        ("RADESYS", "ICRS", "Astrometric system"),
        ("CTYPE1", "RA---TAN", "WCS projection type for this axis"),
        ("CUNIT1", "deg", "Axis unit"),
        ("CRVAL1", crval_deg[0], "World coordinate on this axis"),
        ("CRPIX1", crpix[0], "Reference pixel on this axis"),
        ("CD1_1", -step_deg, "Linear projection matrix"),
        ("CD1_2", 0.0, "Linear projection matrix"),
        ("CTYPE2", "DEC--TAN", "WCS projection type for this axis"),
        ("CUNIT2", "deg", "Axis unit"),
        ("CRVAL2", crval_deg[1], "World coordinate on this axis"),
        ("CRPIX2", crpix[1], "Reference pixel on this axis"),
        ("CD2_1", 0.0, "Linear projection matrix"),
        ("CD2_2", step_deg, "Linear projection matrix"),
    ):
        header.append(card)
    return header


def image_header(grid: Grid, band: Band, kind: str) -> Header:
    """Header of a single-HDU plane: image, rms, flag or background.

    MAGZERO stands in all but the background model; the flag plane combines by OR.
    """
    flag = kind == "flag"
    header = Header(
        [
            ("SIMPLE", True, "conforms to FITS standard"),
            ("BITPIX", 32 if flag else -32, "array data type"),
            ("NAXIS", 2, "number of array dimensions"),
            ("NAXIS1", grid.size),
            ("NAXIS2", grid.size),
        ]
    )
    header.extend(wcs_header(grid), strip=False)
    header.extend(_software(flag), strip=False)
    if kind != "background":
        header.append(("MAGZERO", band.zero_point_mag, "AB zeropoint"))
    header.extend(_identity(grid, band), strip=False)
    return header


def _software(flag: bool) -> list[tuple[str, object, str]]:
    return [
        ("SOFTNAME", "CT_SWarp", "The software that processed those data"),
        ("SOFTVERS", "10.2", "Version of the software"),
        ("SOFTDATE", "2024-05-17", "Release date of the software"),
        ("AUTHOR", "vmpz simulate", "Who ran the software"),
        ("ORIGIN", "simulation", "Where it was done"),
        ("DATE", START.strftime("%Y-%m-%dT%H:%M:%S"), "When it was started (GMT)"),
        ("COMBINET", "OR" if flag else "MEDIAN", "COMBINE_TYPE config parameter for CT_SWarp"),
        ("RESAMPT1", "FLAGS" if flag else "BILINEAR", "RESAMPLING_TYPE config parameter"),
        ("CENTERT1", "ALL", "CENTER_TYPE config parameter"),
        ("PSCALET1", "MEDIAN", "PIXELSCALE_TYPE config parameter"),
        ("RESAMPT2", "FLAGS" if flag else "BILINEAR", "RESAMPLING_TYPE config parameter"),
        ("CENTERT2", "ALL", "CENTER_TYPE config parameter"),
        ("PSCALET2", "MEDIAN", "PIXELSCALE_TYPE config parameter"),
    ]


def _identity(grid: Grid, band: Band) -> list[tuple[str, object, str]]:
    order = f"{DATASET_RELEASE}_{PIPELINE}-TILE{grid.tile.id}-{hexadecimal('plan', grid.tile.id)}"
    return [
        ("FILTER", band.name, "Filter name"),
        ("PPOID", f"Plan-{order}-{START:%Y%m%d-%H%M%S}-0", "Pipeline processing order identifier"),
        ("DATASETR", DATASET_RELEASE, "Data set release"),
        ("PIPDEFID", PIPELINE, "Pipeline definition identifier"),
        ("PPLANID", f"Plan-{DATASET_RELEASE}", "Plan identifier"),
        ("PSWNAME", "MER_ProcessTile", "Pipeline software name"),
        ("PSWREL", "11.0.1", "Pipeline software release"),
    ]
