"""Depth: the limiting AB magnitude in every cell, for one band.

**Definition.** The magnitude at which a source has signal-to-noise ratio n (SNRLEVEL) against the background
noise alone:

``m = ZP - 2.5 log10(n C RMS sqrt(A))``

with ZP the AB zero point (MAGZERO), RMS the noise per image pixel of the cell in flux units of ZP, C the factor
of correlated noise (CORRFAC, from CORRSRC; 1 and '-1' for a band that is given none) and A an area in image
pixels given by the estimator (DEPTHEST):

``APERTURE``
    A circular aperture of diameter D (APERDIAM): ``pi (D/2)**2 / px**2``. With n = 5 and D = 2 arcsec this is
    the published formula of the Euclid Q1 release, and the default.
``PSF``
    The noise-equivalent area of a Gaussian PSF, ``2.266 FWHM**2``: a point source, optimally measured. FWHM
    from ``psf_fwhm_arcsec``, else the PSF info map, else the header (PSFKIND = PARAMETER, CATALOGUE, HEADER).
``EXTENDED``
    That of a round exponential disc of the given half-light radius seen through the PSF (SRCPROF).
``SURFBRIGHT``
    Not a total magnitude but mag per square arcsec averaged over a square of side D.

**Noise of a cell** (``[depth] source``). ``rms``: the quadratic mean of the RMS over usable pixels outside
the vetoed bits (BITSEL), which agrees with the degrade rule at every order. ``info``: the info map
Noise:RMSQ, over all valid pixels (BITSEL = '-1', and `rms_max` does not cut). ``exposures``: of the coadd of the
exposures by their scalars (`vmpz.make.exposuredepth`), PSF averaged with their weights; PSFOPTIMAL is the limit when
every exposure is measured with its own PSF. Where there is no mosaic but only single exposures, ``rms`` is the noise of
their coadd: inverse variances of good pixels add.

**Extinction** (``[depth.extinction]``) makes the limit shallower by ``A_b = R_b E(B-V)``, E(B-V) being the
value of the given map at the cell centre, R_b of the law named in EXTLAW. A cell without noise or without
E(B-V) is absent.

A depth of one definition is not comparable with another's: every number used is in the header.

**Unit** mag; **keywords** WGTKIND = MAG, DEGRULE = LOGQUAD.

References: Euclid DPDD Q1, DpdHealpixDepthMapVMPZ; LSST ``psf_maglim``; Casertano et al. 2000 for C.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.bits import Selection
from vmpz.errors import InputError, MissingProductError
from vmpz.frames import Frame, FrameRef
from vmpz.make import derived, info
from vmpz.make.exposuredepth import exposure_depth
from vmpz.make.needs import (
    PassNeeds,
    flag_planes,
    key_for,
    mask_tables,
    require,
    selection_of,
    selections_for,
    table_for,
    table_in,
)
from vmpz.make.outside import EBV, Outside
from vmpz.make.values import bit_keywords, frame_keywords, measured_map
from vmpz.parameters import DepthParameters, Parameters
from vmpz.physics.depth import (
    aperture_area_pixels,
    depth_mag,
    disc_area_pixels,
    extinction_mag,
    gaussian_area_pixels,
    surface_brightness_limit,
)
from vmpz.products import Product, ProductKey, Scalar
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import STATISTICS, CellStatistics

__all__ = ["depth_map", "keys", "make", "needs", "section", "wanted"]


def depth_map(
    statistics: CellStatistics,
    *,
    zero_point: float,
    pixel_scale_arcsec: float,
    parameters: DepthParameters | None = None,
    correlated_noise: float = 1.0,
    psf_fwhm_arcsec: SkyMap | float | None = None,
    extinction: SkyMap | None = None,
    coefficient: float = 0.0,
) -> SkyMap:
    """The limiting magnitude of every cell that has noise.

    Parameters
    ----------
    statistics : CellStatistics
        Moments ``RMS.good.*``, or ``RMS.valid.*`` for source info.
    zero_point : float
        AB magnitude of unit flux.
    pixel_scale_arcsec : float
        Side of an image pixel.
    parameters : DepthParameters
        Estimator, source, n, aperture, disc; the Q1 definition by default.
    correlated_noise : float
        Factor C.
    psf_fwhm_arcsec : SkyMap or float
        For the estimators PSF and EXTENDED.
    extinction : SkyMap, optional
        E(B-V), mag, of any order.
    coefficient : float
        A_b / E(B-V).

    Returns
    -------
    SkyMap
        float32 AB mag (mag per square arcsec for SURFBRIGHT).

    Raises
    ------
    MissingProductError
        The estimator needs a PSF and none was given.

    Examples
    --------
    >>> import numpy as np
    >>> from vmpz import CellSet, CellStatistics, depth_map
    >>> moments = {"n": [100], "mean": [0.01], "m2": [0.0], "min": [0.01], "max": [0.01]}
    >>> columns = {f"RMS.good.{name}": np.array(values, float) for name, values in moments.items()}
    >>> statistics = CellStatistics(CellSet.from_cells(14, [7]), columns)
    >>> depth_map(statistics, zero_point=23.9, pixel_scale_arcsec=0.1).values
    array([24.031137], dtype=float32)
    """
    chosen = parameters or DepthParameters.model_validate({})
    noise = _noise(statistics, chosen, pixel_scale_arcsec)
    common = {"zero_point_mag": zero_point, "snr": chosen.snr, "correlated_noise": correlated_noise}
    if chosen.estimator == "SURFBRIGHT":
        depth = surface_brightness_limit(
            noise, pixel_scale_arcsec, side_arcsec=chosen.aperture_arcsec, **common
        )
    else:
        depth = depth_mag(noise, _area(statistics, chosen, pixel_scale_arcsec, psf_fwhm_arcsec), **common)
    if extinction is not None:
        lon, lat = hpx.centres(statistics.cells.cells(), statistics.cells.order)
        depth = depth - extinction_mag(extinction.at(lon, lat), coefficient)
    return measured_map(statistics.cells, depth)


def _noise(
    statistics: CellStatistics, chosen: DepthParameters, pixel_scale_arcsec: float
) -> NDArray[np.float64]:
    """Quadratic mean RMS per cell, NaN where there is none; through the info map it has that map's rounding.

    Of single exposures: the noise per pixel of their coadd.
    """
    mean = STATISTICS["RMSQ"]
    if chosen.source == "rms" and statistics.of_exposures:
        weight = statistics.column("depth.weight")
        return pixel_scale_arcsec / np.sqrt(np.where(weight > 0, weight, np.nan))
    if chosen.source == "rms":
        return mean.from_moments(statistics, "RMS.good")
    return mean.from_moments(statistics, "RMS.valid").astype(np.float32).astype(np.float64)


def _area(
    statistics: CellStatistics,
    chosen: DepthParameters,
    pixel_scale_arcsec: float,
    psf_fwhm_arcsec: SkyMap | float | None,
) -> NDArray[np.float64]:
    if chosen.estimator == "APERTURE":
        return aperture_area_pixels(chosen.aperture_arcsec, pixel_scale_arcsec)
    if psf_fwhm_arcsec is None:
        raise MissingProductError(f"a depth for {chosen.estimator} needs the FWHM of the PSF; none was given")
    if isinstance(psf_fwhm_arcsec, SkyMap):
        fwhm = psf_fwhm_arcsec.of_cells(statistics.cells.cells()).astype(np.float64)
    else:
        fwhm = np.asarray(psf_fwhm_arcsec, np.float64)
    if chosen.estimator == "PSF":
        return gaussian_area_pixels(fwhm, pixel_scale_arcsec)
    return disc_area_pixels(chosen.half_light_arcsec, fwhm, pixel_scale_arcsec)


def keys(ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    """One depth per band."""
    table = table_for(ref, parameters)
    chosen = selections_for(parameters, ref.band, ref.instrument, table, "STARMASK" in ref.tables)
    selection = "-" if is_of_exposures(ref, parameters.depth) else chosen.depth.text
    return [key_for(ref, parameters, "depth", selection=selection)]


def needs(key: ProductKey, ref: FrameRef, parameters: Parameters) -> PassNeeds:
    """RMS; FLAG and star masks as far as the selection goes; the PSF table where it decides; or the exposures."""
    if is_of_exposures(ref, parameters.depth):
        return PassNeeds(tables=frozenset({"LAYERS"}))
    selection = selection_of(key, table_for(ref, parameters))
    tables = mask_tables(selection)
    if _psf_kind(parameters.depth, "PSF" in ref.tables, "psf_fwhm_arcsec" in ref.scalars) == "CATALOGUE":
        tables |= {"PSF"}
    seen = None if ref.has_grid else _covered_by(ref, parameters)
    return PassNeeds(
        planes=frozenset({"RMS"})
        | flag_planes(selection)
        | (flag_planes(seen) & ref.planes.keys() if seen else frozenset()),
        tables=tables,
        selections=frozenset({selection}),
        good=selection,
        keep_good=seen,
    )


def _covered_by(ref: FrameRef, parameters: Parameters) -> Selection:
    """The selection of the coverage: noise of single exposures is averaged over the sub-cells that they see by it."""
    table = table_for(ref, parameters)
    return selections_for(parameters, ref.band, ref.instrument, table, "STARMASK" in ref.tables).coverage


def _psf_kind(chosen: DepthParameters, has_stamps: bool, has_scalar: bool) -> str:
    """Where the FWHM comes from; '-1' for estimators that need none."""
    if chosen.estimator in ("APERTURE", "SURFBRIGHT"):
        return "-1"
    if chosen.psf_fwhm_arcsec is not None:
        return "PARAMETER"
    return "HEADER" if has_scalar and not has_stamps else "CATALOGUE"


def wanted(key: ProductKey, parameters: Parameters) -> dict[str, Outside]:
    """The map of E(B-V), where the depth is corrected for extinction."""
    extinction = parameters.depth.extinction
    return {} if extinction is None else {EBV: Outside("map", extinction.map)}


def section(key: ProductKey, ref: FrameRef, parameters: Parameters) -> dict[str, Any]:
    """Parameters that enter the digest."""
    table = table_for(ref, parameters)
    chosen = parameters.depth.model_dump(mode="json", exclude={"bits", "correlated_noise", "extinction"})
    law = parameters.depth.extinction
    return {
        **chosen,
        **(
            {}
            if ref.has_grid and chosen["source"] != "exposures"
            else {"exposures": parameters.exposures.zero_point}
        ),
        **({} if ref.has_grid else {"coverage": _covered_by(ref, parameters).text}),
        "bits": key.selection,
        "table": f"{table.name} {table.version}" if table else "-",
        "rms_max": parameters.coverage.rms_max,
        "correlated_noise": correlated_noise_of(parameters.depth, ref.band),
        "extinction": [law.law, coefficient_of(law.coefficients, ref.band)] if law else None,
    }


def correlated_noise_of(chosen: DepthParameters, band: str) -> float:
    """The factor C of a band: its own, else `default`, else 1."""
    factor = chosen.correlated_noise
    return float(factor.get(band, factor.get("default", 1.0)) if isinstance(factor, Mapping) else factor)


def has_correlated_noise(chosen: DepthParameters, band: str) -> bool:
    """Whether the parameters give a factor C to the band, so that its source is theirs."""
    factor = chosen.correlated_noise
    return not isinstance(factor, Mapping) or band in factor or "default" in factor


def coefficient_of(coefficients: Mapping[str, float], band: str) -> float:
    """A_b / E(B-V) of a band.

    Raises
    ------
    InputError
        The band is not named.
    """
    if band not in coefficients:
        raise InputError(
            f"[depth.extinction] coefficients must name every band, found {', '.join(coefficients)}; not {band}"
        )
    return float(coefficients[band])


def make(
    key: ProductKey,
    frame: Frame,
    statistics: CellStatistics,
    parameters: Parameters,
    maps: Mapping[str, SkyMap] | None = None,
) -> Product:
    """The depth of one band of one area.

    Raises
    ------
    InputError
        The frame has no zero point, or the extinction map was not given.
    MissingProductError
        A plane or the PSF that the definition needs is not there.
    """
    chosen, ref = parameters.depth, frame.ref
    if is_of_exposures(ref, chosen):
        return _of_exposures(key, frame, statistics, parameters, maps or {})
    if chosen.estimator == "PSFOPTIMAL":
        raise MissingProductError(
            f"{ref.name}: PSFOPTIMAL is of exposures: ask for source = exposures, or PSF"
        )
    table = table_in(frame, parameters)
    selection = selection_of(key, table)
    require(frame, frozenset({"RMS"}), selection)
    zero_point = ref.scalars.get("zero_point")
    if zero_point is None or not np.isfinite(zero_point):
        raise InputError(
            f"{ref.name}: a depth needs an AB zero point, found {zero_point}: give its reader one"
        )
    correlated, scale = correlated_noise_of(chosen, ref.band), pixel_scale(ref)
    source = chosen.correlated_noise_source if has_correlated_noise(chosen, ref.band) else "-1"
    kind = _psf_kind(chosen, frame.psf is not None, "psf_fwhm_arcsec" in ref.scalars)
    depth = depth_map(
        statistics,
        zero_point=zero_point,
        pixel_scale_arcsec=scale,
        parameters=chosen,
        correlated_noise=correlated,
        psf_fwhm_arcsec=_fwhm(kind, frame, statistics, chosen),
        **_extinction(frame, chosen, maps or {}),
    )
    keywords = {
        **frame_keywords(ref),
        **bit_keywords(selection, table),
        **_definition_keywords(chosen, kind),
        "PIXSCALE": scale,
        "CORRFAC": correlated,
        "CORRSRC": source,
        "MAGZERO": float(zero_point),
    }
    return Product(key, {"WEIGHT": depth}, keywords=keywords, unit=_unit(chosen))


def is_of_exposures(ref: FrameRef, chosen: DepthParameters) -> bool:
    """Whether the depth comes from scalars of exposures: on request, and where exposures have no pixels."""
    return chosen.source == "exposures" or (not ref.has_grid and "RMS" not in ref.planes)


def _of_exposures(
    key: ProductKey,
    frame: Frame,
    statistics: CellStatistics,
    parameters: Parameters,
    maps: Mapping[str, Any],
) -> Product:
    """The depth of the coadd of the exposures, from their scalars."""
    chosen, ref = parameters.depth, frame.ref
    if frame.exposures is None:
        raise MissingProductError(
            f"{ref.name}: a depth of exposures needs a table of exposures; there is none"
        )
    zero_point, correlated = parameters.exposures.zero_point, correlated_noise_of(chosen, ref.band)
    completed = derived.completed(frame.exposures, ref.band, parameters)
    if "Zeropoint" not in completed.scalars:
        raise MissingProductError(f"{ref.name}: a depth of exposures needs their zero points; there are none")
    depth = exposure_depth(
        completed, statistics.cells, chosen, zero_point=zero_point, correlated_noise=correlated
    )
    extinction = _extinction(frame, chosen, maps)
    if extinction:
        ebv = extinction["extinction"].of_cells(statistics.cells.cells())
        depth = depth - extinction_mag(ebv, extinction["coefficient"])
    has_psf = chosen.estimator in ("PSF", "PSFOPTIMAL", "EXTENDED")
    kind = "-1" if not has_psf else "PARAMETER" if chosen.psf_fwhm_arcsec is not None else "EXPOSURES"
    keywords = {
        **frame_keywords(ref),
        **bit_keywords(Selection((), ()), None),
        **_definition_keywords(chosen, kind),
        "CORRFAC": correlated,
        "CORRSRC": chosen.correlated_noise_source if has_correlated_noise(chosen, ref.band) else "-1",
        "MAGZERO": float(zero_point),
    }
    return Product(
        key, {"WEIGHT": measured_map(statistics.cells, depth)}, keywords=keywords, unit=_unit(chosen)
    )


def pixel_scale(ref: FrameRef) -> float:
    """Side of an image pixel, arcsec: the reader's scalar, else the root of the pixel area at the reference point."""
    if "pixel_scale_arcsec" in ref.scalars:
        return float(ref.scalars["pixel_scale_arcsec"])
    return float(np.sqrt(ref.wcs.celestial.proj_plane_pixel_area().to_value("arcsec2")))


def _fwhm(
    kind: str, frame: Frame, statistics: CellStatistics, chosen: DepthParameters
) -> SkyMap | float | None:
    if kind == "PARAMETER":
        return chosen.psf_fwhm_arcsec
    if kind == "HEADER":
        return float(frame.ref.scalars["psf_fwhm_arcsec"])
    if kind != "CATALOGUE":
        return None
    return info.psf_maps(frame.psf, statistics, exposures=frame.exposures)["WEIGHT"]


def _extinction(frame: Frame, chosen: DepthParameters, maps: Mapping[str, SkyMap]) -> dict[str, Any]:
    law = chosen.extinction
    if law is None:
        return {}
    if EBV not in maps:
        raise InputError(f"{frame.ref.name}: a depth corrected for extinction needs the map {law.map}")
    return {"extinction": maps[EBV], "coefficient": coefficient_of(law.coefficients, frame.ref.band)}


def _definition_keywords(chosen: DepthParameters, psf_kind: str) -> dict[str, Scalar]:
    has_aperture = chosen.estimator in ("APERTURE", "SURFBRIGHT")
    extended = chosen.estimator == "EXTENDED"
    return {
        "WGTKIND": "MAG",
        "DEGRULE": "LOGQUAD",
        "DEPTHEST": chosen.estimator,
        "SNRLEVEL": chosen.snr,
        "APERDIAM": chosen.aperture_arcsec if has_aperture else -1.0,
        "PSFKIND": psf_kind,
        "SRCPROF": f"EXPDISC {chosen.half_light_arcsec:g} arcsec" if extended else "-1",
        "EXTCORR": chosen.extinction is not None,
        "EXTLAW": chosen.extinction.law if chosen.extinction else "-1",
    }


def _unit(chosen: DepthParameters) -> str:
    return "mag arcsec-2" if chosen.estimator == "SURFBRIGHT" else "mag"
