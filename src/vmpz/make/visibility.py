"""Visibility: the probability that a galaxy of a class is seen, in every cell.

**Definition.** For a class of galaxies, depths d_b(x), extinction A(x) and observed fraction f_cov(x),

``V(x) = f_cov(x) sum_j w_j P_j(d(x), A(x)) / sum_j w_j P_j(d_ref, 0)``

where j runs over what stands for the class: the nodes of an integral over its luminosity function (`luminosity`) or its
number counts (`counts`), or the galaxies of a deeper survey (`deep`), and P_j is the probability that j is selected.
V = f_cov where the depths are those of the reference. In a cell of two depths, at the edge of an exposure, it is the
mean of both (`vmpz.make.places`). V exceeds f_cov where the survey is deeper (VISMAX is the largest ratio), and is not
cut there.

**How.** The ratio is tabulated on a lattice of depths around the reference (and of E(B-V), where extinction is not
merely a shift of the depth) and interpolated between the nodes around a cell, in its logarithm: the cost does not
depend on cells times galaxies. A node is a pure function of its place, so all tiles have the same table.

**Extinction** (`extinction`). ``none``: left out. ``dereddened``: cuts act on dereddened magnitudes, so a place is
shallower by A_b. ``observed``: cuts act on magnitudes as observed. Both refuse depth maps that are corrected for
extinction already (EXTCORR).

**Columns** WEIGHT = V (float32). ERROR, where `depth_error` is given: half the change of V between depths that are one
error deeper and shallower, added in quadrature over bands. SUBCELL, where sub-cells are kept: the observed ones of the
64 sub-cells of a cell, bit k for nested sub-cell k, for random points of partly observed cells; in several bands those
that all see.

**Unit** none; **keywords** WGTKIND = PROBAB, DEGRULE = COVERAGE (visibility is degraded as a probability, never made
again from degraded depths), BINSEL, DEPTHEST, SNRLEVEL, BITSEL, FILTLST, VISREF, VISMAX, VISSEL, VISINTEG (deg2).

**Redshifts.** Beside V, a table ``n(z | visibility class)``: for each class of V / f_cov (`classes`), the galaxies seen
per redshift bin, in the unit of the weights times deg2, with the area (deg2) of the class; VISCLASS holds the borders.
Tables of tiles add (`vmpz nz`).

References: Euclid LE3 VMPZ-ID; Rykoff, Rozo & Keisler 2015 (arXiv:1509.00870); Everett et al. 2022 (arXiv:2012.12825).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.frames import FrameRef
from vmpz.make.coverage import keys as coverage_keys
from vmpz.make.coverage import needs as coverage_needs
from vmpz.make.depth import keys as depth_keys
from vmpz.make.depth import needs as depth_needs
from vmpz.make.needs import PassNeeds
from vmpz.make.outside import EBV, Outside
from vmpz.make.places import Places, Scatter, places_of, visible
from vmpz.make.values import frame_keywords
from vmpz.make.visibilitytable import Table
from vmpz.parameters import Parameters, ReddeningParameters, VisibilityParameters
from vmpz.parameters.visibility import FILES
from vmpz.physics.extinction import coefficient
from vmpz.products import SUBCELL, Product, ProductKey, Scalar
from vmpz.sky.cells import CellSet
from vmpz.sky.hpx import cell_area_deg2
from vmpz.sky.skymap import SkyMap

__all__ = [
    "SAMPLE_OF",
    "class_of",
    "coefficients_of",
    "coverage_bands",
    "coverage_kind",
    "definition",
    "keys",
    "make",
    "must_fit",
    "needs",
    "redshift_keys",
    "redshifts",
    "section",
    "wanted",
]

Floats = NDArray[np.float64]

SAMPLE_OF = {"rms": "good", "info": "valid"}
"""Pixels whose noise makes the depth, by the source of the depth: those whose scatter inside cells is known."""
WITHOUT_EFFECT = {
    "visibility": {"tom_bin", "classes", "redshift_bins"},
    "redshifts": {"tom_bin", "depth_error"},
}
"""Parameters of a class that a kind of product does not depend on."""


def class_of(key: ProductKey, parameters: Parameters) -> VisibilityParameters:
    """The class that a key names."""
    return next(one for one in parameters.visibility if one.name == key.quantity)


def keys(ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    """One visibility per class."""
    return _keys("visibility", ref, parameters)


def redshift_keys(ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    """One table of redshifts per class that has redshifts."""
    with_redshifts = {
        one.name for one in parameters.visibility if one.luminosity or (one.deep and one.deep.redshift)
    }
    return [key for key in _keys("redshifts", ref, parameters) if key.quantity in with_redshifts]


def _keys(kind: str, ref: FrameRef, parameters: Parameters) -> list[ProductKey]:
    order, release = parameters.maps.order, parameters.survey.release
    return [
        ProductKey(ref.area, kind, one.name, order=order, release=release) for one in parameters.visibility
    ]


def needs(key: ProductKey, ref: FrameRef, parameters: Parameters) -> PassNeeds:
    """Of the pass: the scatter of the noise of its depths, and the sub-cells of its coverage where they are kept."""
    chosen, wanted = class_of(key, parameters), PassNeeds()
    if ref.has_grid and ref.band in chosen.reference and parameters.depth.source in SAMPLE_OF:
        of_depth = depth_needs(depth_keys(ref, parameters)[0], ref, parameters)
        wanted |= PassNeeds() if of_depth.missing(ref) else of_depth
    whole = key.kind == "visibility" and parameters.coverage.subcells
    if whole and ref.band in coverage_bands(chosen, parameters):
        wanted |= coverage_needs(coverage_keys(ref, parameters)[0], ref, parameters)
    return wanted


def wanted(key: ProductKey, parameters: Parameters) -> dict[str, Outside]:
    """The map of E(B-V), where extinction counts."""
    law = parameters.extinction
    if class_of(key, parameters).extinction == "none" or law.map is None:
        return {}
    column = () if law.column is None else (law.column,)
    return {EBV: Outside("map", law.map, column, (), law.method, law.coordsys)}


def coverage_kind(chosen: VisibilityParameters, parameters: Parameters) -> str:
    """What the observed fraction is: 'effective', or the name of a band.

    Raises
    ------
    InputError
        There is no effective coverage, and the class does not say which band's.
    """
    if chosen.coverage is not None:
        return chosen.coverage
    if parameters.coverage.effective:
        return "effective"
    if len(chosen.reference) == 1:
        return next(iter(chosen.reference))
    raise InputError(
        f"visibility {chosen.name}: several bands need `coverage`, the name of one of them, or [coverage] effective"
    )


def coverage_bands(chosen: VisibilityParameters, parameters: Parameters) -> tuple[str, ...]:
    """The bands that the observed fraction is of; errors as of `coverage_kind`."""
    whose = coverage_kind(chosen, parameters)
    return tuple(parameters.coverage.effective) if whose == "effective" else (whose,)


def coefficients_of(chosen: VisibilityParameters, law: ReddeningParameters) -> dict[str, float]:
    """A_b / E(B-V) of the bands of a class, none where extinction is left out.

    Raises
    ------
    InputError
        The law does not cover a band.
    """
    bands = chosen.reference if chosen.extinction != "none" else ()
    return {band: coefficient(law.law, band, law.coefficients) for band in bands}


def section(key: ProductKey, ref: FrameRef, parameters: Parameters) -> dict[str, Any]:
    """Parameters that enter the digest; what files from outside hold enters by their identities."""
    chosen = class_of(key, parameters)
    told = chosen.model_dump(mode="json", exclude=WITHOUT_EFFECT[key.kind])
    told["reference"] = list(chosen.reference.items())  # their order is that of FILTLST
    for group, names in FILES.items():
        for name in names if told[group] is not None else ():
            if isinstance(told[group][name], str):
                told[group].pop(name)
    if chosen.extinction != "none":
        told["law"] = parameters.extinction.model_dump(mode="json", include={"method", "column"})
        told["coefficients"] = coefficients_of(chosen, parameters.extinction)
    return told | ({"subcells": parameters.coverage.subcells} if key.kind == "visibility" else {})


def make(
    key: ProductKey,
    refs: Sequence[FrameRef],
    parameters: Parameters,
    table: Table,
    coverage: Product,
    depths: Mapping[str, Product],
    *,
    ebv: SkyMap | None = None,
    scatter: Mapping[str, Scatter] | None = None,
    subcells: SkyMap | None = None,
) -> Product:
    """The visibility of one class in one area.

    Parameters
    ----------
    key : ProductKey
    refs : sequence of FrameRef
        The area's frames.
    parameters : Parameters
    table : Table
        Of the class.
    coverage : Product
        The observed fraction.
    depths : mapping of str to Product
        Depth by band.
    ebv : SkyMap, optional
        E(B-V), where extinction counts.
    scatter : mapping of str to Scatter, optional
        Scatter of the noise inside cells, by band.
    subcells : SkyMap, optional
        Observed sub-cells of every cell, int64: the words of the pass.

    Raises
    ------
    MissingProductError
        A depth or E(B-V) is not there.
    InputError
        A depth is corrected for extinction, which the class applies too; or depths are of several kinds.
    """
    chosen = table.chosen
    used = {band: depths[band] for band in chosen.reference if band in depths}
    must_fit(chosen, used)
    places = places_of(chosen, coverage.map, {band: one.map for band, one in used.items()}, ebv, scatter)
    ratio = visible(table, places)
    values = (places.coverage * ratio).astype(np.float32)
    seen = values > 0
    cells = CellSet.from_cells(places.cells.order, places.cells.cells()[seen])
    maps = {"WEIGHT": SkyMap(cells, values[seen])}
    if any(error > 0 for error in chosen.depth_error.values()):
        error = (places.coverage * _error(table, places)).astype(np.float32)
        maps["ERROR"] = SkyMap(cells, error[seen])
    if subcells is not None:
        maps[SUBCELL] = SkyMap(cells, subcells.of_cells(cells.cells(), 0).astype(np.int64))
    bands = [ref for ref in refs if ref.band in chosen.reference]
    keywords = {
        **frame_keywords(*bands),
        "WGTKIND": "PROBAB",
        "DEGRULE": "COVERAGE",
        **definition(chosen, used, coverage),
        "VISINTEG": maps["WEIGHT"].integral_deg2(),
        "VISMAX": float(ratio.max(initial=0.0)),
    }
    return Product(key, maps, keywords=keywords)


def _error(table: Table, places: Places) -> NDArray[np.float64]:
    """Error of V / f_cov from those of the depths."""
    squares = np.zeros(len(places.cells))
    for axis, band in enumerate(table.chosen.reference):
        error = table.chosen.depth_error.get(band, 0.0)
        if error > 0:
            shift = np.zeros(places.positions.shape[1])
            shift[axis] = error
            ends = [visible(table, places.shifted(sign * shift)) for sign in (1.0, -1.0)]
            squares += (0.5 * (ends[0] - ends[1])) ** 2
    return np.sqrt(squares)


def redshifts(
    key: ProductKey,
    table: Table,
    coverage: SkyMap,
    depths: Mapping[str, SkyMap],
    ebv: SkyMap | None = None,
    scatter: Mapping[str, Scatter] | None = None,
) -> dict[str, NDArray[Any]]:
    """Galaxies seen by visibility class and redshift bin: columns of a table, one row a class and bin.

    Returns
    -------
    dict
        ``vis_class`` int64, ``z_low``, ``z_high``, ``galaxies`` (unit of the weights times deg2) and ``area_deg2`` of
        the class (covered), float64.

    Raises
    ------
    MissingProductError
        See `places_of`.
    """
    chosen = table.chosen
    low, high, count = chosen.redshift_bins
    edges = np.linspace(low, high, count + 1)
    places = places_of(chosen, coverage, depths, ebv, scatter)
    corners = table.lattice.corners(places.positions)
    group = np.digitize(visible(table, places, corners), chosen.classes)
    cell = cell_area_deg2(coverage.order)
    covered = places.share * places.coverage[places.row] * cell
    classes = len(chosen.classes) + 1
    share = np.zeros((classes, len(corners.nodes)))
    for corner in range(corners.place.shape[1] if len(corners.nodes) else 0):
        weight = corners.weight[:, corner] * covered
        np.add.at(share, (group[places.row], corners.place[:, corner]), weight)
    galaxies = share @ table.redshifts(corners)
    area = np.bincount(group, places.coverage, classes) * cell
    return {
        "vis_class": np.repeat(np.arange(classes), count),
        "z_low": np.tile(edges[:-1], classes),
        "z_high": np.tile(edges[1:], classes),
        "galaxies": galaxies.ravel(),
        "area_deg2": np.repeat(area, count),
    }


def must_fit(chosen: VisibilityParameters, depths: Mapping[str, Product]) -> None:
    """Depths of one kind, behind dust that is counted once.

    Raises
    ------
    InputError
        A depth is corrected for extinction, which the class applies too; or depths are of several kinds.
    """
    for band, depth in depths.items():
        if chosen.extinction != "none" and depth.keywords.get("EXTCORR"):
            raise InputError(
                f"visibility {chosen.name}: extinction must be applied once: the depth of {band} is corrected for it "
                f"(EXTCORR) and `extinction` is {chosen.extinction!r}"
            )
    kinds = {band: depth.keywords.get("DEPTHEST", "-1") for band, depth in depths.items()}
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{band} {kind}" for band, kind in kinds.items())
        raise InputError(f"visibility {chosen.name}: depths must be of one kind (DEPTHEST), found {found}")


def definition(
    chosen: VisibilityParameters, depths: Mapping[str, Product], coverage: Product
) -> dict[str, Scalar]:
    """Keywords that say of what and against what visibility is."""
    first = next(iter(depths.values())).keywords
    bits = {name: value for name, value in coverage.keywords.items() if name.startswith("BIT")}
    cut = chosen.selection
    return {
        "BINSEL": chosen.name,
        "FILTLST": ",".join(chosen.reference),
        "DEPTHEST": first.get("DEPTHEST", "-1"),
        "SNRLEVEL": float(first.get("SNRLEVEL", -1.0)),
        "VISREF": ",".join(f"{band}={depth:g}" for band, depth in chosen.reference.items()),
        "VISSEL": cut.expression or cut.completeness,
        "BITSEL": "-1",
        **bits,
    }
