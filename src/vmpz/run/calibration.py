"""Depth of catalogues in files: limiting magnitudes in coarse cells, and their shifts against depth maps."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vmpz import io
from vmpz.errors import InputError
from vmpz.frames import Sources
from vmpz.io.forms import form_of
from vmpz.make.calibrate import (
    CatalogueDepth,
    DepthShift,
    compare_depths,
    completeness_depth,
    depth_product,
    is_matched,
    mean_depth,
    rykoff_depth,
    shifts_share_a_sign,
    snr_depth,
)
from vmpz.make.outside import Outside
from vmpz.products import Provenance
from vmpz.run.instant import now
from vmpz.run.measure import versions
from vmpz.run.outside import identity_of
from vmpz.run.plan import PlanError

__all__ = ["DepthRequest", "calibrate_depth", "compare"]

CALIBRATION_VERSION = 1
MAG_PER_RELATIVE_FLUX = 2.5 / np.log(10.0)

Method = Literal["rykoff", "snr", "mean", "completeness"]


@dataclass(frozen=True)
class DepthRequest:
    """A catalogue whose depth is to be measured.

    Attributes
    ----------
    catalogue : Path
        FITS, Parquet, VOTable or CSV (`vmpz.io.read_sources`).
    order : int
        Of the cells.
    method : str
        rykoff, snr, mean, completeness (`vmpz.make.calibrate`).
    magnitude, error : str or None
        Columns of the AB magnitude and its error.
    flux, flux_error : str or None
        Instead: columns of the flux in units of `zero_point_mag`, and its error.
    snr : str or None
        Instead of an error: column of the signal-to-noise ratio.
    detected : str or None
        For completeness: column that is 0 where an injected source was missed.
    matched : Path or None
        Instead: the catalogue in which sources of `catalogue`, a deeper one, are looked for, within `radius_arcsec`.
    level : float
        n of the limit; default 10 for rykoff and 5 for snr and mean.
    fraction : float
        Of the plateau of completeness.
    select : tuple of str
        ``COLUMN:LOW:HIGH``: rows whose value lies between, bounds included; either may be left out.
    within : Path or None
        Map whose cells count, as the footprint in which a deeper catalogue is matched.
    seed : int or None
        Of the bootstrap samples of rykoff.
    positions : tuple of str or None
        Columns of right ascension and declination.
    """

    catalogue: Path
    order: int
    method: Method = "rykoff"
    magnitude: str | None = None
    error: str | None = None
    flux: str | None = None
    flux_error: str | None = None
    snr: str | None = None
    zero_point_mag: float = 23.9
    detected: str | None = None
    matched: Path | None = None
    radius_arcsec: float = 1.0
    level: float | None = None
    fraction: float = 0.5
    select: tuple[str, ...] = ()
    within: Path | None = None
    least_objects: int = 100
    resamples: int = 100
    seed: int | None = None
    positions: tuple[str, str] | None = None
    band: str = "-"
    area: str = "-"
    extinction_corrected: bool = False


def calibrate_depth(
    request: DepthRequest, out: Path | None = None, against: Path | None = None
) -> dict[str, Any]:
    """Measure the depth of a catalogue, write it, and compare it with a map.

    Parameters
    ----------
    request : DepthRequest
    out : Path, optional
        File to write; its name says the form. Without it nothing is written.
    against : Path, optional
        Depth map.

    Returns
    -------
    dict
        Ready for JSON: file, method, order, objects, cells, too_few, undetermined, median_mag, median_error_mag;
        `against`, `shift_mag`, `scatter_mag`, `shared_cells` where a map is given.

    Raises
    ------
    PlanError
        Columns and method do not go together, or a seed is missing.
    InputError
        The catalogue does not hold what it must, or no cell has a limit.
    """
    if out is not None:
        form_of(out)
    _check(request)
    sources = _chosen(request)
    level = request.level or (10.0 if request.method == "rykoff" else 5.0)
    depth = _measured(request, sources, level)
    is_complete = request.method == "completeness"
    product = depth_product(
        depth,
        area=request.area,
        band=request.band,
        method=request.method,
        source=", ".join(_columns(request)),
        snr=None if is_complete else level,
        fraction=request.fraction if is_complete else None,
        extinction_corrected=request.extinction_corrected,
    )
    if out is not None:
        io.write_file(product, out, provenance=_provenance(request, level))
    told = {
        "file": None if out is None else str(out),
        "method": request.method,
        "order": request.order,
        "objects": int(depth.maps["OBJECTS"].values.sum()),
        "cells": len(depth.map),
        "too_few": depth.too_few,
        "undetermined": depth.undetermined,
        "median_mag": float(np.median(depth.map.values)),
        "median_error_mag": float(np.median(depth.maps["ERROR"].values)),
    }
    return told if against is None else {**told, "against": str(against), **_shift(product.map, against)[1]}


def _check(request: DepthRequest) -> None:
    """Columns and method go together.

    Raises
    ------
    PlanError
        They do not.
    """
    if (request.magnitude is None) == (request.flux is None):
        raise PlanError("one of a magnitude and a flux must be named")
    if request.method == "completeness":
        if (request.detected is None) == (request.matched is None):
            raise PlanError("a completeness needs either a column of detections or a catalogue to be matched")
        return
    noises = [request.error, request.snr, request.flux_error]
    if sum(one is not None for one in noises) != 1 or (request.flux_error and not request.flux):
        raise PlanError("one of an error, a flux error (of a flux) and a signal-to-noise ratio must be named")
    if request.error and request.flux:
        raise PlanError("the error of a flux must be named as such")
    if request.method == "rykoff" and request.seed is None:
        raise PlanError("the bootstrap errors of method rykoff need a seed; there is no default")


def _columns(request: DepthRequest) -> list[str]:
    names = (
        request.magnitude, request.flux, request.error, request.flux_error, request.snr, request.detected,
    )  # fmt: skip
    return [name for name in names if name is not None]


def _chosen(request: DepthRequest) -> Sources:
    """The rows that count."""
    cuts = [_cut(text) for text in request.select]
    names = list(dict.fromkeys([*_columns(request), *(name for name, _, _ in cuts)]))
    cells = None if request.within is None else io.read(request.within).map.cells
    sources = io.read_sources(request.catalogue, names, positions=request.positions, cells=cells)
    kept = np.ones(len(sources), bool)
    for name, low, high in cuts:
        kept &= (sources.columns[name] >= low) & (sources.columns[name] <= high)
    columns = {name: values[kept] for name, values in sources.columns.items()}
    return Sources(sources.lon_deg[kept], sources.lat_deg[kept], columns)


def _cut(text: str) -> tuple[str, float, float]:
    name, *bounds = text.split(":")
    try:
        low, high = (float(bound) if bound else None for bound in bounds)
    except ValueError as error:
        raise PlanError(f"a selection must be COLUMN:LOW:HIGH, found {text!r}") from error
    return name, -np.inf if low is None else low, np.inf if high is None else high


def _measured(request: DepthRequest, sources: Sources, level: float) -> CatalogueDepth:
    place = sources.lon_deg, sources.lat_deg
    mag, snr = _photometry(request, sources)
    least = request.least_objects
    if request.method == "completeness":
        seen = _seen(request, sources)
        return completeness_depth(
            *place, mag, seen, request.order, fraction=request.fraction, least_objects=least
        )
    if request.method == "rykoff":
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(snr > 0, MAG_PER_RELATIVE_FLUX / snr, np.nan)
        return rykoff_depth(
            *place, mag, error, request.order,
            seed=request.seed or 0, snr=level, least_objects=least, resamples=request.resamples,
        )  # fmt: skip
    measure = snr_depth if request.method == "snr" else mean_depth
    return measure(*place, mag, snr, request.order, snr=level, least_objects=least)


def _photometry(request: DepthRequest, sources: Sources) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Magnitudes and signal-to-noise ratios; NaN where a flux or error is not positive."""
    column = sources.columns
    with np.errstate(divide="ignore", invalid="ignore"):
        if request.flux is not None:
            flux = column[request.flux]
            mag = request.zero_point_mag - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
            if request.flux_error is not None:
                error = column[request.flux_error]
                return mag, np.where(error > 0, flux / error, np.nan)
        else:
            mag = column[str(request.magnitude)]
            if request.error is not None:
                error = column[request.error]
                return mag, np.where(error > 0, MAG_PER_RELATIVE_FLUX / error, np.nan)
    return mag, column[request.snr] if request.snr is not None else np.full(mag.size, np.nan)


def _seen(request: DepthRequest, sources: Sources) -> NDArray[np.bool_]:
    """Which sources were detected."""
    if request.detected is not None:
        told = sources.columns[request.detected]
        if not np.isin(told, (0.0, 1.0)).all():
            raise InputError(f"{request.catalogue}: column {request.detected} must hold 0 and 1 alone")
        return np.asarray(told == 1.0)
    others = io.read_sources(Path(str(request.matched)))
    if not len(others):
        raise InputError(f"{request.matched}: must hold sources to be matched, found none")
    return is_matched(sources.lon_deg, sources.lat_deg, others.lon_deg, others.lat_deg, request.radius_arcsec)


def _provenance(request: DepthRequest, level: float) -> Provenance:
    places = {
        name: getattr(request, name)
        for name in ("catalogue", "matched", "within")
        if getattr(request, name) is not None
    }
    inputs = {
        f"{name}:{Path(place).name}": identity_of(Outside("sources", str(place)))
        for name, place in places.items()
    }
    asked = {item.name: getattr(request, item.name) for item in fields(request) if item.name not in places}
    return Provenance("calibrate", CALIBRATION_VERSION, {**asked, "level": level}, inputs, versions(), now())


# -- anchors ----------------------------------------------------------------------------------------------------------


def compare(pairs: Sequence[tuple[Path, Path]]) -> dict[str, Any]:
    """Compare catalogue depths with depth maps, a pair for each band.

    Returns
    -------
    dict
        Ready for JSON: `bands`, a row for each pair (band, catalogue, map, shift_mag, scatter_mag, shared_cells);
        `share_a_sign`, False where a selection must be suspected.

    Raises
    ------
    MapMismatchError
        A pair shares no cells, or the map is coarser.
    """
    rows, shifts = [], []
    for catalogue, other in pairs:
        product = io.read(catalogue)
        shift, told = _shift(product.map, other)
        shifts.append(shift)
        rows.append({"band": product.key.band, "catalogue": str(catalogue), "map": str(other), **told})
    return {"bands": rows, "share_a_sign": shifts_share_a_sign(shifts)}


def _shift(depth: Any, other: Path) -> tuple[DepthShift, dict[str, Any]]:
    product = io.read(other)
    if product.key.kind != "depth":
        raise InputError(f"{other}: must be a depth map, found {product.key.kind}")
    shift = compare_depths(depth, product.map)
    return shift, {
        "shift_mag": shift.median_mag,
        "scatter_mag": shift.scatter_mag,
        "shared_cells": shift.cells,
    }
