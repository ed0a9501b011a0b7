"""Galaxies of a catalogue of a deeper survey: its columns, checked, and what a class wants of them.

**What a row must hold.** Fluxes and magnitudes finite (fluxes may be negative, magnitudes within 90 of 0: beyond stand
marks of missing ones), errors and weights >= 0, sizes >= 0 where noise depends on them (0 = a point). In any other
column a missing value is unknown, and what is unknown is not selected.
"""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmpz.errors import InputError, meant
from vmpz.make.galaxies import Floats, Galaxies
from vmpz.make.noisycuts import MAG_PER_RELATIVE_FLUX, MEASURED, measured, selection_expression
from vmpz.parameters.visibility import DeepSampleParameters, VisibilityParameters
from vmpz.physics.completeness import noise_factor

__all__ = ["Catalogue", "deep_columns", "deep_of", "flux_of", "magnitude_of", "sources_of"]

LARGEST_MAG = 90.0


def deep_columns(parameters: VisibilityParameters) -> tuple[str, ...]:
    """Columns that a class wants of its catalogue, each once.

    Raises
    ------
    InputError
        The expression names a quantity that the parameters do not give.
    """
    deep = deep_of(parameters)
    named = [*deep.fluxes.values(), *deep.magnitudes.values(), *deep.errors.values()]
    named += [one for one in (deep.redshift, deep.photo_z, deep.size, deep.weight) if one is not None]
    return tuple(dict.fromkeys([*named, *sources_of(parameters).values()]))


def deep_of(parameters: VisibilityParameters) -> DeepSampleParameters:
    """The deep sample of a class.

    Raises
    ------
    InputError
        It has none.
    """
    if parameters.deep is None:
        raise InputError(f"class {parameters.name} must have a deep sample, found none")
    return parameters.deep


def _bands(deep: DeepSampleParameters) -> tuple[str, ...]:
    return tuple(sorted({*deep.fluxes, *deep.magnitudes}))


def sources_of(parameters: VisibilityParameters) -> dict[str, str]:
    """Names of the expression that are not measured, and the columns that they stand for; '' = the size of all.

    Raises
    ------
    InputError
        The parameters do not give what it names.
    """
    deep, text = deep_of(parameters), parameters.selection.expression
    found: dict[str, str] = {}
    own = {
        "z": deep.redshift,
        "z_phot": deep.photo_z or deep.redshift,
        "size": "" if deep.size is None and parameters.half_light_arcsec else deep.size,
    }
    keys = {"z": "redshift", "z_phot": "photo_z", "size": "size"}
    for name, column in selection_expression(text).names.items() if text else ():
        where = f"class {parameters.name}: expression, column {column}: {name}"
        one = measured(name, _bands(deep))
        if one is not None:
            if one[1] not in parameters.reference:
                raise InputError(f"{where}: `reference` must give the depth of {one[1]}, found none")
            continue
        kind, _, band = name.partition("_")
        if kind in MEASURED and band in parameters.reference:
            raise InputError(
                f"{where}: [deep] `fluxes` or `magnitudes` must name a column of {band}, "
                f"found {', '.join(_bands(deep))}"
            )
        source = own.get(name, name)
        if source is None:
            raise InputError(f"{where}: [deep] `{keys[name]}` must name a column, found none")
        found[name] = source
    return found


class Catalogue:
    """The columns of a catalogue, checked.

    Parameters
    ----------
    parameters : VisibilityParameters
    columns : mapping of str to float (n,)
        Those of `deep_columns`.

    Raises
    ------
    InputError
        Here and in every method: a column is missing, or a row holds what it must not; the message names it.
    """

    def __init__(self, parameters: VisibilityParameters, columns: Mapping[str, ArrayLike]) -> None:
        self.deep = deep = deep_of(parameters)
        self.bands = _bands(deep)
        self._half_light_arcsec = parameters.half_light_arcsec
        self.columns = {
            name: np.asarray(columns[name], np.float64)
            for name in deep_columns(parameters)
            if name in columns
        }
        shapes = {one.shape for one in self.columns.values()}
        if len(shapes) > 1 or any(len(shape) != 1 or shape[0] == 0 for shape in shapes):
            raise InputError(
                f"{deep.catalogue}: columns must be of one length > 0, found {sorted(map(str, shapes))}"
            )

    def __len__(self) -> int:
        return int(next(iter(self.columns.values())).size)

    def column(self, name: str) -> Floats:
        """A column by the name under which it was asked for."""
        if name not in self.columns:
            raise InputError(
                f"{self.deep.catalogue}: column {name} must be present, found {', '.join(self.columns)}"
                f"{meant(name, self.columns)}"
            )
        return self.columns[name]

    def optional(self, name: str | None) -> Floats:
        """A column, NaN where none is named."""
        return np.full(len(self), np.nan) if name is None else self.column(name)

    def checked(self, name: str, must: str, bad: NDArray[np.bool_]) -> Floats:
        """The column, if no row is bad.

        Raises
        ------
        InputError
            One is; the message names the row, counted from 1.
        """
        values = self.column(name)
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(
                f"{self.deep.catalogue}: column {name} must be {must}, found {values[row]} in row {row + 1}"
                f" (and in {np.count_nonzero(bad) - 1} others)"
            )
        return values

    def not_negative(self, name: str) -> Floats:
        """The column, finite and >= 0."""
        values = self.column(name)
        return self.checked(name, "finite and >= 0", ~(np.isfinite(values) & (values >= 0)))

    @cached_property
    def fluxes(self) -> dict[str, Floats]:
        """Fluxes by band, in units of the zero point."""
        return {band: self._flux(band) for band in self.bands}

    def _flux(self, band: str) -> Floats:
        if band in self.deep.fluxes:
            name = self.deep.fluxes[band]
            return self.checked(name, "a finite flux", ~np.isfinite(self.column(name)))
        name = self.deep.magnitudes[band]
        bad = ~(np.abs(self.column(name)) < LARGEST_MAG)
        magnitude = self.checked(name, f"a magnitude within {LARGEST_MAG:g} of 0", bad)
        return flux_of(magnitude, self.deep.zero_point)

    @cached_property
    def size(self) -> Floats:
        """Half-light radii, arcsec; that of all sources where no column is named, NaN where there is neither."""
        if self.deep.size is None:
            return np.full(len(self), self._half_light_arcsec or np.nan)
        return self.column(self.deep.size)

    def widening(self, fwhm_arcsec: float | None) -> Floats:
        """Noise of the flux of every galaxy over that of a point source seen through a PSF, (n,)."""
        if fwhm_arcsec is None or (self.deep.size is None and not self._half_light_arcsec):
            return np.ones(len(self))
        size = self.size if self.deep.size is None else self.not_negative(self.deep.size)
        return noise_factor(size, fwhm_arcsec)

    def variance(self, band: str, snr: float, widening: Floats) -> Floats:
        """Variance that the fluxes of a band have, (n,).

        Raises
        ------
        InputError
            Both errors and a depth tell it, or an error is not one.
        """
        deep = self.deep
        if band in deep.errors and band in deep.depth:
            raise InputError(f"[deep] must have either `errors` or `depth` of {band}, found both")
        if band in deep.errors:
            error = self.not_negative(deep.errors[band])
            if band in deep.magnitudes:
                error = error * np.abs(self.fluxes[band]) / MAG_PER_RELATIVE_FLUX
            return np.asarray(error**2)
        if band in deep.depth:
            return np.asarray((flux_of(deep.depth[band], deep.zero_point) / snr * widening) ** 2)
        return np.zeros(len(self))

    def galaxies(self) -> Galaxies:
        """All rows, with the magnitudes of the catalogue."""
        deep = self.deep
        magnitudes = {band: magnitude_of(flux, deep.zero_point) for band, flux in self.fluxes.items()}
        weight = np.ones(len(self)) if deep.weight is None else self.not_negative(deep.weight)
        if not weight.any():
            raise InputError(f"{deep.catalogue}: column {deep.weight} must have a weight > 0, found none")
        redshift, photo_z = self.optional(deep.redshift), self.optional(deep.photo_z or deep.redshift)
        return Galaxies(weight, magnitudes, redshift, photo_z, self.size)

    def places(self) -> NDArray[np.int64]:
        """Place of every galaxy among all in ascending order of fluxes (by name of the band), then of all columns.

        Rows that are alike in everything take consecutive places.
        """
        keys = [*self.fluxes.values(), *(self.columns[name] for name in sorted(self.columns))]
        places = np.empty(len(self), np.int64)
        places[np.lexsort(keys[::-1])] = np.arange(len(self))
        return places


def flux_of(magnitude: ArrayLike, zero_point_mag: float) -> Floats:
    """Flux of an AB magnitude in units of a zero point."""
    return np.asarray(10.0 ** (-0.4 * (np.asarray(magnitude, np.float64) - zero_point_mag)))


def magnitude_of(flux: Floats, zero_point_mag: float) -> Floats:
    """AB magnitude, NaN where the flux is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(flux > 0, zero_point_mag - 2.5 * np.log10(flux), np.nan))
