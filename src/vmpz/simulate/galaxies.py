"""Galaxies of a known law (`vmpz.simulate.galaxylaw`), as a deeper survey sees them and as the simulated one does.

**What is seen.** No galaxy is seen outside the cells of the survey, where nothing is observed, in bad columns and
inside star masks (which hold the saturated cores). The class `counts` is all that has S/N > 5 in the first band: its
visibility is ``10**(slope (depth - reference))``. The class `deep` is cut in both of the first two bands and in
photometric redshift. The reference of both is the depth at full number of exposures.

**Files.** ``deep/deep.parquet``: a field beside the survey, 2 mag deeper. ``galaxies/catalogue.parquet``: what the
survey detects, with its classes. ``truth/galaxies.json``: the law, and densities by number of exposures.
``truth/visibility-<class>.fits``: the visibility of every cell, from exact shares (partial HEALPix).
"""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from numpy.typing import NDArray

from vmpz.files.write import write_text, write_whole
from vmpz.simulate.bands import Band
from vmpz.simulate.field import Sky, generator
from vmpz.simulate.fitsfile import fits_file
from vmpz.simulate.galaxylaw import (
    LAW,
    SNR,
    GalaxyClass,
    classes_of,
    colour,
    flux_ujy,
    relative_densities,
    sigma_ujy,
)
from vmpz.simulate.pixels import FULL_DEPTH_EXPOSURES, Grid
from vmpz.simulate.truth import depth_mag
from vmpz.simulate.usable import Usable, in_star_masks
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.skymap import SkyMap
from vmpz.tiles import WideTile, tiling

__all__ = ["coverage_parameters", "deep_sample", "galaxy_parameters", "write_galaxies"]

Array = NDArray[np.floating[Any]]

DEEPER_MAG = 2.0
DEEP_DEG2 = 0.12
RANDOMS_PER_DEG2 = 1_000_000.0


# -- files ------------------------------------------------------------------------------------------------------------


def write_galaxies(folder: Path, sky: Sky, grids: Sequence[Grid], bands: Sequence[Band], order: int) -> None:
    """Write the deep sample, the catalogue of the survey and their truth.

    Parameters
    ----------
    folder : Path
        Of the survey.
    sky, grids, bands
        Of the survey.
    order : int
        Of its maps.
    """
    classes, by_name = classes_of(bands), {band.name: band for band in bands}
    _write_parquet(folder / "deep" / "deep.parquet", [deep_sample(sky.seed, bands)])
    ground = {band.instrument: Usable(sky, [band.instrument]) for band in bands}
    tiles = (_of_tile(sky, grid.tile, ground, bands, order) for grid in grids)
    _write_parquet(folder / "galaxies" / "catalogue.parquet", tiles)
    cells = CellSet.union(tiling("euclid-wide").owned(grid.tile.id, order) for grid in grids)
    told = {}
    for one in classes:
        usable = Usable(sky, one.instruments(by_name))
        reference, relative = relative_densities(one, by_name, usable.pieces()[1])
        _write_map(folder / "truth" / f"visibility-{one.name}.fits", one, usable.mean(relative, cells))
        told[one.name] = {
            "bands": list(one.cuts),
            "instruments": one.instruments(by_name),
            "expression": one.expression,
            "reference_exposures": FULL_DEPTH_EXPOSURES,
            "reference_depth_mag": {name: _reference(by_name[name]) for name in one.cuts},
            "per_deg2_at_reference": reference,
            "relative_by_exposures": {",".join(map(str, row)): value for row, value in relative.items()},
        }
    content = {"law": vars(LAW), "classes": told}
    write_text(folder / "truth" / "galaxies.json", json.dumps(content, indent=1) + "\n")


def _reference(band: Band) -> float:
    return depth_mag(band, FULL_DEPTH_EXPOSURES)


def deep_sample(seed: int, bands: Sequence[Band]) -> dict[str, NDArray[Any]]:
    """Columns of the deep catalogue: all with S/N > 5 in its first band."""
    draw = generator(seed, "galaxies deep")
    number = int(draw.poisson(float(LAW.per_deg2(LAW.brightest, LAW.faintest)) * DEEP_DEG2))
    sigma = {band.name: np.full(number, sigma_ujy(band, FULL_DEPTH_EXPOSURES, DEEPER_MAG)) for band in bands}
    columns = _measured(draw, LAW.draw(draw, number), sigma)
    seen = _brighter(columns, bands[0].name)
    return {"OBJECT_ID": np.flatnonzero(seen), **{name: one[seen] for name, one in columns.items()}}


def _of_tile(
    sky: Sky,
    tile: WideTile,
    ground: Mapping[str, Usable],
    bands: Sequence[Band],
    order: int,
) -> dict[str, NDArray[Any]]:
    """Columns of what the survey detects in the cells of a tile."""
    draw = generator(sky.seed, f"galaxies {tile.id}")
    lon, lat = _scatter(draw, tile, order, float(LAW.per_deg2(LAW.brightest, LAW.faintest)))
    true = LAW.draw(draw, lon.size)
    vectors = unit_vectors(lon, lat)
    exposures = {band.name: ground[band.instrument].at(vectors)[0] for band in bands}
    with np.errstate(divide="ignore"):
        sigma = {band.name: sigma_ujy(band, exposures[band.name]) for band in bands}
    columns = _measured(draw, true, sigma)
    seen = np.flatnonzero(_brighter(columns, bands[0].name))
    seen = seen[tiling("euclid-wide").owned(tile.id, order).contains(lon[seen], lat[seen])]
    seen = seen[~in_star_masks(sky, vectors[seen])]
    told: dict[str, NDArray[Any]] = {
        "OBJECT_ID": int(tile.id) * 10**9 + np.arange(seen.size),
        "RIGHT_ASCENSION": lon[seen],
        "DECLINATION": lat[seen],
        **{name: one[seen] for name, one in columns.items()},
    }
    classes = {f"IS_{one.name.upper()}": one.holds(told) for one in classes_of(bands)}
    counts = {f"EXPOSURES_{name}": number[seen] for name, number in exposures.items()}
    return {**told, **counts, **classes}


def _scatter(draw: np.random.Generator, tile: WideTile, order: int, per_deg2: float) -> tuple[Array, Array]:
    """Positions at random over the core of a tile and a margin, in which cells that it owns may lie."""
    margin = 2.0 * math.degrees(math.sqrt(hpx.cell_area_sr(order)))
    south, north = max(tile.south_deg - margin, -90.0), min(tile.north_deg + margin, 90.0)
    narrow = math.cos(math.radians(max(abs(south), abs(north))))
    width = tile.east_deg - tile.west_deg
    span = min(360.0, width + 2.0 * margin / narrow) if narrow > 1e-6 else 360.0
    west = 0.5 * (tile.east_deg + tile.west_deg - span)
    low, high = math.sin(math.radians(south)), math.sin(math.radians(north))
    number = int(draw.poisson(per_deg2 * span * math.degrees(high - low)))
    lon = np.mod(west + span * draw.random(number), 360.0)
    return lon, np.degrees(np.arcsin(low + (high - low) * draw.random(number)))


def _measured(
    draw: np.random.Generator, true: Mapping[str, Array], sigma: Mapping[str, Array]
) -> dict[str, NDArray[Any]]:
    """Fluxes with noise, NaN where a band saw nothing, redshifts and sizes."""
    first = next(iter(sigma))
    columns: dict[str, NDArray[Any]] = {}
    for band, error in sigma.items():
        flux = flux_ujy(true["magnitude"] + colour(band, first, true["Z"]))
        noise = draw.standard_normal(flux.size)
        known = np.isfinite(error)
        columns[f"FLUX_{band}"] = np.where(known, flux + np.where(known, error, 0.0) * noise, np.nan)
        columns[f"FLUXERR_{band}"] = np.where(known, error, np.nan)
    return {**columns, **{name: true[name] for name in ("Z", "Z_PHOT", "SIZE")}}


def _brighter(columns: Mapping[str, NDArray[Any]], band: str) -> NDArray[np.bool_]:
    return np.asarray(columns[f"FLUX_{band}"] > SNR * columns[f"FLUXERR_{band}"])


def _write_parquet(path: Path, parts: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    tables = (pa.table(dict(part)) for part in parts)
    first = next(tables)
    with write_whole(path) as temporary, pq.ParquetWriter(temporary, first.schema) as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table)


def _write_map(path: Path, one: GalaxyClass, found: SkyMap) -> None:
    """A partial HEALPix file as other software writes it: what it is stands in few keywords."""
    table: Any = fits.BinTableHDU.from_columns(
        [
            fits.Column("PIXEL", "K", array=found.cells.cells()),
            fits.Column("WEIGHT", "E", array=found.values.astype(np.float32)),
        ]
    )
    for card in (
        ("EXTNAME", "HPVISIBILITYMASK", "what this is"),
        ("PIXTYPE", "HEALPIX", "HEALPix pixels"),
        ("ORDERING", "NESTED", "numbering"),
        ("COORDSYS", "C", "equatorial (ICRS)"),
        ("NSIDE", 1 << found.order, "resolution"),
        ("INDXSCHM", "EXPLICIT", "pixel numbers are listed"),
        ("OBJECT", "PARTIAL", "part of the sky"),
        ("BINSEL", one.name, "class of galaxies"),
    ):
        table.header.append(card)
    with fits_file(path) as file:
        file.add(fits.PrimaryHDU())
        file.add(table)


# -- parameters -------------------------------------------------------------------------------------------------------


def galaxy_parameters(bands: Sequence[Band], seed: int) -> str:
    """The blocks of a survey file: two classes and random catalogues."""
    counts, deep = classes_of(bands)
    names = [band.name for band in bands]

    def depths(one: GalaxyClass) -> str:
        chosen = [band for band in bands if band.name in one.cuts]
        return ", ".join(f"{band.name} = {_reference(band)!r}" for band in chosen)

    def columns(prefix: str) -> str:
        return ", ".join(f'{name} = "{prefix}_{name}"' for name in names)

    return PARAMETERS.format(
        first=names[0],
        reference=depths(counts),
        references=depths(deep),
        law=LAW,
        coverage="" if len(deep.cuts) > 1 else f'coverage = "{names[0]}"\n',
        fluxes=columns("FLUX"),
        errors=columns("FLUXERR"),
        expression=deep.expression,
        seed=seed,
        density=RANDOMS_PER_DEG2,
    )


def coverage_parameters(bands: Sequence[Band]) -> str:
    """Lines of the section [coverage]: what the classes need of it."""
    both = list(classes_of(bands)[1].cuts)
    return "subcells = true\n" + (f"effective = {json.dumps(both)}\n" if len(both) > 1 else "")


PARAMETERS = """
[[visibility]]
name = "counts"
coverage = "{first}"
reference = {{{reference}}}
counts = {{slope = {law.slope}, magnitudes = [{law.brightest}, {law.faintest}]}}

[[visibility]]
name = "deep"
tom_bin = 1
{coverage}reference = {{{references}}}
seed = {seed}

[visibility.deep]
catalogue = "deep/deep.parquet"
fluxes = {{{fluxes}}}
errors = {{{errors}}}
redshift = "Z"
photo_z = "Z_PHOT"
size = "SIZE"

[visibility.selection]
completeness = "expression"
expression = "{expression}"

[random]
seed = {seed}
density = {density}
"""
