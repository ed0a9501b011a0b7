"""Info maps: what was collected in every cell, one quantity and one statistic per map.

**Definition.** A *sample* is a value seen in the cell: an image pixel (SAMPLE = PIXEL), a detector exposure
with the exact fraction of the cell that its outline covers (EXPOSURE), a PSF stamp (STAMP), or a source of a catalogue
(SOURCE). The statistic (STATIST) of the samples of a cell is its value; the table of statistics is that of
`vmpz.statistics`. Cells without a sample are absent. INFOSRC says where the values come from.

======================================  ======================================================================
Noise, Background, Weight               pixels with a valid RMS of the planes RMS and BACKGROUND, and 1/RMS^2, in
                                        the units of the mosaic (zero point in MAGZERO). WMEAN and WMEDIAN weigh by
                                        1/RMS^2; MODE is exact on the float32 values of the plane. Without the plane,
                                        or with ``per = "exposure"``: scalars of exposures
Persistence                             zeros and ones of the flag bit PERSIST over all pixels of the cell. MEAN
                                        is the fraction of the cell that carries it; WMEAN and WMEDIAN do not
                                        exist, since pixels without a valid RMS count and have no weight
PSF, PSFE1, PSFE2                       FWHM (arcsec) and ellipticity of the PSF stamps inside the cell; where there
                                        are none, of the four nearest ones, weighted by inverse distance. The number
                                        of stamps used is the column NSTAMPS. Of single exposures: one sample an
                                        exposure. e1 = (Ixx - Iyy) / (Ixx + Iyy), e2 = 2 Ixy / (Ixx + Iyy), x to the
                                        west and y to the north, of averaged moments
Exposures, ExposureTime, SAA, AA, BA,   detector exposures: frames, exposure tables, or the Layers table of a mosaic.
MJD, Airmass, Seeing, ZodiacalLight,    COUNT of Exposures is the sum of exactly covered fractions, not an integer
AtmosphericExtinction,                  at edges; WMEAN weighs by inverse variance (Weight) where exposures have one,
ParallacticAngle, DCR1 ...              else by exposure time. What the files do not say is computed
                                        (`vmpz.make.derived`)
GalacticExtinction                      E(B-V) of a given map times the coefficient of the band (EXTLAW)
StarDensity, StarBrightnessMean,        sources of a given catalogue per unmasked area, and statistics of its
StarBrightnessStd, GalaxyDensity,       columns, in coarse cells (`vmpz.make.sources`)
PhzQuality
Tile                                    index of the tile (VALUE, MODE, MIN, MAX; there is nothing to count or
                                        average in an index)
======================================  ======================================================================

**Samples of exposure scalars** (``[info] per``). By default a sample is an exposure. With ``per = "pixel"``
it is a point (64 in a cell): the sum over the exposures that see the point for Exposures, ExposureTime and
Weight, their mean for the rest. Extremes and other statistics of Exposures are always of points: how often
the least observed point of a cell was observed.

**ARGMIN, ARGMAX** number exposures, or stamps, from 1 in the order of their table. Pixels, points and sources have
none. **VALUE** is an error where the samples of a cell differ. Means of ParallacticAngle are directions of mean
vectors; other angles do not wrap within a survey and are averaged as numbers.

**Unit** of the quantity; **keywords** INFO, STATIST, SAMPLE, INFOSRC ('-1' where the tiles of a patch differ),
WGTKIND = VALUE or COUNT, DEGRULE by quantity and statistic (NONE: the map cannot be degraded).

References: Euclid DPDD Q1, DpdHealpixInfoMapVMPZ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import MissingProductError
from vmpz.frames import Frame, FrameRef
from vmpz.make import coverage, derived, outside
from vmpz.make.exposuremaps import exposure_map
from vmpz.make.needs import PassNeeds, key_for, table_for, table_in, validity_plane
from vmpz.make.psfmaps import psf_maps
from vmpz.make.values import bit_keywords, frame_keywords, measured_map
from vmpz.parameters import Parameters
from vmpz.products import Product, ProductKey, Scalar
from vmpz.quantities import Quantity, degrade_rule, quantity
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import STATISTICS, CellStatistics, Samples, Statistic, statistic

__all__ = [
    "exposure_map",
    "flag_map",
    "keys",
    "make",
    "needs",
    "plane_map",
    "psf_maps",
    "section",
    "tile_map",
    "wanted",
]

Array = NDArray[np.float64]

WEIGHT = "WEIGHT"
"""Plane of the inverse variance, made of the RMS."""
ZODIACAL = "ZodiacalLight"
INDEX_STATISTICS = ("VALUE", "MODE", "MIN", "MAX")


# -- planes and flags -----------------------------------------------------------------------------------


def plane_map(statistics: CellStatistics, plane: str, name: str = "MEAN") -> SkyMap:
    """A statistic of the valid pixels of a plane, float32.

    Parameters
    ----------
    statistics : CellStatistics
        Moments ``<plane>.valid.*``.
    plane : str
        RMS, BACKGROUND or IMAGE.
    name : str
        Statistic; order statistics must have been asked for in the pass.

    Raises
    ------
    MissingProductError
        The moment that the statistic needs was not kept.
    """
    return measured_map(statistics.cells, statistic(name).from_moments(statistics, f"{plane}.valid"))


def flag_map(statistics: CellStatistics, number: int, name: str = "MEAN") -> SkyMap:
    """A statistic of one flag bit (0 or 1 in each pixel), float32; the mean is the fraction of the cell."""
    return measured_map(statistics.cells, _flag_values(statistics, number, statistic(name)))


def _flag_values(statistics: CellStatistics, number: int, chosen: Statistic) -> Array:
    """Moments of zeros and ones follow from their numbers; the mean is over the cell, as in a bit mask."""
    if chosen.weighs_pixels:
        raise MissingProductError(
            f"{chosen.name} weighs pixels by 1/RMS**2; a flag bit is counted over all pixels, also those without a "
            f"valid RMS: ask for MEAN or MEDIAN"
        )
    n = statistics.column("found").astype(np.float64)
    ones = statistics.column(f"bit.{number:02d}").astype(np.float64)
    mean = np.divide(ones, n, out=np.zeros(n.size), where=n > 0)
    moments = {
        "n": n,
        "mean": mean,
        "m2": n * mean * (1.0 - mean),
        "min": ones == n,
        "max": ones > 0,
        "mode": ones > n - ones,
        "median": _quantile_of_bits(n, ones, 50.0),
    }
    if statistics.of_exposures:  # areas summed over exposures, not numbers of pixels
        moments |= {"area": n, "median": mean > 0.5}
    if chosen.percent is not None and not statistics.of_exposures:
        moments[f"q{chosen.percent:02.0f}"] = _quantile_of_bits(n, ones, chosen.percent)
    columns = {"geom": statistics.column("geom"), "found": statistics.column("found")}
    columns |= {f"BIT.found.{moment}": value for moment, value in moments.items()}
    over_cell = STATISTICS["SUM"] if chosen.name == "MEAN" and not statistics.of_exposures else chosen
    return over_cell.from_moments(CellStatistics(statistics.cells, columns), "BIT.found")


def _quantile_of_bits(n: Array, ones: Array, percent: float) -> Array:
    """Quantile of a list of n - ones zeros followed by ones, linear between values."""
    return np.clip(percent / 100.0 * (n - 1.0) - (n - ones - 1.0), 0.0, 1.0)


# -- the tile -------------------------------------------------------------------------------------------


def tile_map(area: str, statistics: CellStatistics) -> SkyMap:
    """The index of the tile in every own cell that the image touches, int64.

    Raises
    ------
    MissingProductError
        The area's name is not a number.
    """
    if not area.isdecimal():
        raise MissingProductError(
            f"a map of tile indices needs a number as the name of the area, found {area}"
        )
    touched = statistics.column("geom") > 0
    return statistics.map(np.full(len(statistics.cells), int(area), np.int64), touched)


# -- the product ----------------------------------------------------------------------------------------


def keys(ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    """One key per QUANTITY:STATISTIC; a map that is the same for all bands has neither band nor instrument.

    Raises
    ------
    InputError
        A quantity or statistic does not exist; the message lists those that do.
    """
    wanted = []
    for name in dict.fromkeys(parameters.info.maps):
        what, _, how = name.partition(":")
        both = {"instrument": "-", "band": "-"} if quantity(what).band_independent else {}
        wanted.append(key_for(ref, parameters, "info", quantity=what, statistic=statistic(how).name, **both))
    return wanted


def needs(key: ProductKey, ref: FrameRef, parameters: Parameters) -> PassNeeds:
    """Plane with its moments, FLAG, or the table that the quantity comes from."""
    row, chosen = quantity(key.quantity), statistic(key.statistic)
    if _of_exposures(row, ref, parameters):
        return PassNeeds(tables=frozenset({"LAYERS"}))
    if row.source == "plane":
        percents = frozenset({chosen.percent} if chosen.percent is not None else ())
        listed = frozenset({chosen.listed} if chosen.listed is not None else ())
        weight = row.plane == WEIGHT
        planes = validity_plane(ref) | {"RMS" if weight else row.plane}
        return PassNeeds(
            planes=planes | ({"RMS"} if chosen.weighs_pixels else set()),
            percents=percents,
            listed=listed,
            inverse_variance=chosen.inverse_variance,
            weight=weight,
        )
    if row.source == "flag":
        return PassNeeds(planes=frozenset({"FLAG"}))
    if row.source == "psf":
        header = row.name == "PSF" and "PSF" not in ref.tables and "psf_fwhm_arcsec" in ref.scalars
        image = {"PSFIMAGE"} if row.name != "PSF" and ref.has_grid else set()
        return PassNeeds(planes=validity_plane(ref), tables=frozenset(() if header else {"PSF"} | image))
    if row.source == "catalogue":
        return outside.catalogue_needs(row, ref, parameters)
    return PassNeeds(tables=frozenset({"LAYERS"} if row.source == "exposure" else ()))


def _of_exposures(row: Quantity, ref: FrameRef, parameters: Parameters) -> bool:
    """Whether a quantity of pixels or stamps is taken from the scalars of exposures: there is nothing better."""
    scalars = ref.exposures.scalars if ref.exposures is not None else {}
    known = row.name in scalars or {"Weight": "Noise", "PSF": "Seeing"}.get(row.name) in scalars
    if row.source == "plane":
        missing = ("RMS" if row.plane == WEIGHT else row.plane) not in ref.planes
        return known and (missing or parameters.info.per == "exposure")
    return known and row.source == "psf" and "PSF" not in ref.tables


def section(key: ProductKey, ref: FrameRef, parameters: Parameters) -> dict[str, Any]:
    """Parameters that enter the digest."""
    row = quantity(key.quantity)
    chosen: dict[str, Any] = {"map": f"{key.quantity}:{key.statistic}"}
    if row.source == "flag":
        table = table_for(ref, parameters)
        chosen["table"] = f"{table.name} {table.version}" if table else "-"
    if row.source == "exposure" or _of_exposures(row, ref, parameters):
        chosen["per"] = _per(row, key.statistic, parameters)
        site, zodiacal = parameters.site, parameters.zodiacal
        chosen["site"] = [site.lon_deg, site.lat_deg, site.extinction.get(ref.band)]
        own = [zodiacal.model, zodiacal.wavelength_um.get(ref.band), zodiacal.solar_flux.get(ref.band)]
        chosen["zodiacal"] = own if row.name == ZODIACAL else None
        chosen["position_origin"] = parameters.exposures.position_origin
    if row.source == "sky":
        law = parameters.extinction
        chosen["extinction"] = law.model_dump(mode="json", exclude={"map", "coefficients"})
        chosen["coefficient"] = law.coefficients.get(ref.band)
    if row.source == "catalogue":
        catalogue = outside.catalogue_of(row, parameters)
        chosen["catalogue"] = catalogue.model_dump(mode="json", exclude={"location"}) if catalogue else None
        if catalogue is not None and catalogue.area == "coverage":
            key = coverage.keys(ref, parameters)[0]
            chosen["coverage"] = coverage.section(key, ref, parameters)
    if not ref.has_grid or row.source == "exposure" or _of_exposures(row, ref, parameters):
        chosen["weight"] = parameters.info.weight
        chosen["zero_point"] = parameters.exposures.zero_point
    return chosen


def make(
    key: ProductKey,
    frame: Frame,
    statistics: CellStatistics,
    parameters: Parameters,
    maps: Mapping[str, Any] | None = None,
) -> Product:
    """One info map of one area.

    Raises
    ------
    MissingProductError
        The frame cannot give the quantity, or the quantity cannot have the statistic.
    InputError
        A model or a law does not reach the band.
    """
    row, chosen = quantity(key.quantity), statistic(key.statistic)
    if row.source in ("sky", "catalogue"):
        collected = _from_outside(row, chosen, frame, statistics, parameters, maps or {})
    else:
        collected = _collect(row, chosen, frame, statistics, parameters)
    keywords: dict[str, Scalar] = {
        **frame_keywords(frame.ref),
        **collected.keywords,
        "INFO": row.name,
        "STATIST": chosen.name,
        "SAMPLE": collected.sample,
        "INFOSRC": collected.source,
        "WGTKIND": "COUNT" if chosen.name == "COUNT" else "VALUE",
        "DEGRULE": degrade_rule(row.name, chosen.name),
    }
    if row.source == "plane":
        keywords["MAGZERO"] = _zero_point(frame.ref, collected, parameters)
    if row.source == "flag":
        table = table_in(frame, parameters)
        keywords |= bit_keywords(table.select([row.plane]), table) if table else {}
    no_unit = chosen.name in ("COUNT", "ARGMIN", "ARGMAX")
    return Product(key, collected.maps, keywords=keywords, unit="" if no_unit else row.unit)


def _zero_point(ref: FrameRef, collected: "Collected", parameters: Parameters) -> float:
    """Of the fluxes of a map: that of the image; that which exposures were brought to; -1 if they have none."""
    if collected.source == "PLANE":
        return float(ref.scalars.get("zero_point", -1.0))
    known = ref.exposures is not None and "Zeropoint" in ref.exposures.scalars
    return float(parameters.exposures.zero_point) if known else -1.0


@dataclass(frozen=True)
class Collected:
    """Maps by column, what a sample was, and where the values come from (INFOSRC)."""

    maps: Mapping[str, SkyMap]
    sample: str
    source: str
    keywords: Mapping[str, Scalar] = field(default_factory=dict)


def _collect(
    row: Quantity, chosen: Statistic, frame: Frame, statistics: CellStatistics, parameters: Parameters
) -> Collected:
    """The maps of a quantity, by where it comes from."""
    if row.source == "exposure" or _of_exposures(row, frame.ref, parameters):
        return _from_exposures(row, chosen.name, frame, statistics, parameters)
    collectors = {"plane": _from_plane, "flag": _from_flag, "psf": _from_stamps, "tile": _from_tile}
    return collectors[row.source](row, chosen, frame, statistics, parameters)


def _from_outside(
    row: Quantity,
    chosen: Statistic,
    frame: Frame,
    statistics: CellStatistics,
    parameters: Parameters,
    given: Mapping[str, Any],
) -> Collected:
    ref = frame.ref
    if row.source == "sky":
        if chosen.name not in ("MEAN", "VALUE"):
            raise MissingProductError(
                f"{ref.name}: {row.name} is one number a cell, for which {chosen.name} has no meaning: ask for MEAN"
            )
        made, said = outside.reddening(row, ref.band, parameters, given)
        return Collected({"WEIGHT": made}, "PIXEL", said["INFOSRC"], {"EXTLAW": said["EXTLAW"]})
    table = table_in(frame, parameters)
    made = outside.catalogue_map(row, chosen.name, ref, statistics, parameters, given, table)
    return Collected({"WEIGHT": made}, "SOURCE", "CATALOGUE")


def wanted(key: ProductKey, parameters: Parameters) -> dict[str, outside.Outside]:
    """What the map wants from outside the survey."""
    return outside.wanted_by(quantity(key.quantity), parameters)


def _from_plane(
    row: Quantity, chosen: Statistic, frame: Frame, statistics: CellStatistics, parameters: Parameters
) -> Collected:
    plane = "RMS" if row.plane == WEIGHT else row.plane
    if plane not in frame.ref.planes or parameters.info.per == "exposure":
        raise MissingProductError(f"{frame.ref.name}: {row.name} needs pixels of a plane {plane}")
    if statistics.of_exposures and frame.exposures is not None:
        derived.have_zero_points(frame.exposures)  # their fluxes were brought to one, or none has any
    return Collected({"WEIGHT": plane_map(statistics, row.plane, chosen.name)}, "PIXEL", "PLANE")


def _from_flag(
    row: Quantity, chosen: Statistic, frame: Frame, statistics: CellStatistics, parameters: Parameters
) -> Collected:
    table = table_in(frame, parameters)
    if table is None or row.plane not in table.by_name or "FLAG" not in frame.ref.planes:
        raise MissingProductError(
            f"{frame.ref.name}: {row.name} needs a FLAG plane with a bit named {row.plane}"
        )
    hit = flag_map(statistics, table.by_name[row.plane].number, chosen.name)
    return Collected({"WEIGHT": hit}, "EXPOSURE" if statistics.of_exposures else "PIXEL", "FLAG")


def _from_stamps(
    row: Quantity, chosen: Statistic, frame: Frame, statistics: CellStatistics, parameters: Parameters
) -> Collected:
    """From stamps; the FWHM that a header gives for the whole image where there are none."""
    header = frame.ref.scalars.get("psf_fwhm_arcsec")
    if frame.psf is None and header is not None and row.name == "PSF":
        value = np.where(statistics.column("valid") > 0, header, np.nan)
        samples = Samples(len(value)).add(np.flatnonzero(np.isfinite(value)), header)
        return Collected(
            {"WEIGHT": measured_map(statistics.cells, chosen.finish(samples))}, "STAMP", "HEADER"
        )
    exposures = (
        None if frame.exposures is None else derived.completed(frame.exposures, frame.ref.band, parameters)
    )
    made = psf_maps(
        frame.psf,
        statistics,
        chosen.name,
        quantity=row.name,
        exposures=exposures,
        weight=parameters.info.weight,
    )
    of_detectors = frame.psf is not None and frame.psf.detector is not None
    return Collected(made, "EXPOSURE" if of_detectors else "STAMP", "STAMPS")


def _from_tile(
    row: Quantity, chosen: Statistic, frame: Frame, statistics: CellStatistics, parameters: Parameters
) -> Collected:
    if chosen.name not in INDEX_STATISTICS:
        raise MissingProductError(
            f"{frame.ref.name}: {row.name} is an index, for which {chosen.name} has no meaning: "
            f"ask for one of {', '.join(INDEX_STATISTICS)}"
        )
    return Collected({"WEIGHT": tile_map(frame.ref.area, statistics)}, "PIXEL", "TILE")


def _from_exposures(
    row: Quantity, name: str, frame: Frame, statistics: CellStatistics, parameters: Parameters
) -> Collected:
    ref = frame.ref
    if frame.exposures is None:
        raise MissingProductError(f"{ref.name}: {row.name} needs a table of exposures; there is none")
    given = frame.exposures.scalars.get(row.name)
    stated = given is not None and bool(np.isfinite(given).all())
    exposures, varying = derived.completed(frame.exposures, ref.band, parameters), None
    if row.name == ZODIACAL and not stated:
        varying = derived.zodiacal_light(exposures, ref.band, parameters)
    per = _per(row, name, parameters)
    found = exposure_map(
        exposures, row.name, name, statistics.cells, per=per, field=varying, weight=parameters.info.weight
    )
    source = "OUTLINE" if row.name == "Exposures" else "HEADER" if stated else "COMPUTED"
    return Collected(
        {"WEIGHT": found}, per.upper(), source if varying is None else parameters.zodiacal.model.upper()
    )


def _per(row: Quantity, name: str, parameters: Parameters) -> str:
    """What a sample of an exposure scalar is; Exposures has no value but its number at a point."""
    if row.name == "Exposures" and name not in ("COUNT", "SUM"):
        return "pixel"
    return parameters.info.per or "exposure"
