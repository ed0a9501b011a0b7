"""Bands and instruments of the simulated survey: two tables.

Zero points and median noise are those of wide Q1 tiles, focal planes are the real detectors on a regular grid. The
noise is per pixel of 0.1 arcsec; larger pixels scale it by their side, so that the depth of a map does not depend on
the size of the simulation.
"""

from dataclasses import dataclass

from vmpz.errors import InputError, meant

__all__ = ["BANDS", "FLAG_ROLES", "INSTRUMENTS", "Band", "Instrument", "band_of", "instrument_of"]


@dataclass(frozen=True)
class Instrument:
    """A focal plane and its four dithers.

    Attributes
    ----------
    name : str
        Value of Instrument and INSTRUME.
    columns, rows : int
        Detectors along x (east) and y (north).
    width_arcsec, height_arcsec, gap_x_arcsec, gap_y_arcsec : float
        Of one detector and between two.
    dead : str
        Name (row-column) of a detector that gives no data.
    bit_table : str
        The table of the flag plane.
    """

    name: str
    columns: int
    rows: int
    width_arcsec: float
    height_arcsec: float
    gap_x_arcsec: float
    gap_y_arcsec: float
    dead: str
    bit_table: str

    @property
    def field_arcsec(self) -> tuple[float, float]:
        """Extent of the focal plane along x and y."""
        return (
            self.columns * (self.width_arcsec + self.gap_x_arcsec) - self.gap_x_arcsec,
            self.rows * (self.height_arcsec + self.gap_y_arcsec) - self.gap_y_arcsec,
        )


@dataclass(frozen=True)
class Band:
    """One band of MER mosaics.

    Attributes
    ----------
    name, token : str
        Header FILTER, and the band as written in file names.
    zero_point_mag : float
    rms : float
        Noise of a pixel of 0.1 arcsec where four exposures overlap.
    background, fwhm_arcsec : float
        Level of the background model, and width of the PSF, at the centre of the survey.
    stamp_px : int
        Side of a PSF stamp.
    exposure_time_s : float
        Of one exposure.
    """

    name: str
    token: str
    instrument: str
    zero_point_mag: float
    rms: float
    background: float
    fwhm_arcsec: float
    stamp_px: int
    exposure_time_s: float


INSTRUMENTS = {
    one.name: one
    for one in (
        Instrument("VIS", 6, 6, 409.6, 413.2, 12.7, 63.6, "3-4", "vis-pf14"),
        Instrument("NISP", 4, 4, 612.0, 612.0, 48.9, 98.3, "2-3", "nir"),
        Instrument("DECAM", 5, 3, 538.6, 1077.2, 52.9, 40.2, "2-3", "desdm"),
    )
}
"""Instrument name to its focal plane."""

BANDS = {
    one.name: one
    for one in (
        Band("VIS", "VIS", "VIS", 24.6, 0.004, 0.0005, 0.20, 21, 560.52),
        Band("NIR_Y", "NIR-Y", "NISP", 29.8, 2.2, 0.12, 0.49, 33, 87.2448),
        Band("NIR_J", "NIR-J", "NISP", 30.0, 2.3, 0.11, 0.51, 33, 87.2448),
        Band("NIR_H", "NIR-H", "NISP", 29.9, 2.4, 0.10, 0.55, 33, 87.2448),
        Band("DECAM_g", "DES-G", "DECAM", 30.0, 0.8, 0.05, 1.11, 49, 90.0),
        Band("DECAM_r", "DES-R", "DECAM", 30.0, 1.1, 0.07, 0.95, 49, 90.0),
        Band("DECAM_i", "DES-I", "DECAM", 30.0, 1.8, 0.10, 0.88, 49, 90.0),
        Band("DECAM_z", "DES-Z", "DECAM", 30.0, 3.2, 0.20, 0.83, 49, 90.0),
    )
}
"""Band name (header FILTER) to the band."""

FLAG_ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    "VIS": {
        "unobserved": ("INVALID", "NO_DATA"),
        "core": ("INVALID", "SAT"),
        "halo": ("STARSIGNAL",),
        "column": ("INVALID", "BAD_COLUMN"),
        "cosmic": ("COSMIC",),
        "object": ("OBJECTS",),
    },
    "NISP": {
        "unobserved": ("INVALID", "DISCONNECTED"),
        "observed": ("NLINEAR",),
        "core": ("INVALID", "SATUR"),
        "halo": ("SCATTER",),
        "column": ("INVALID", "HOT"),
        "cosmic": ("COSMIC",),
        "object": ("OBMASK",),
        "trail": ("PERSIST",),
    },
    "DECAM": {
        "unobserved": ("BPM",),
        "core": ("SATURATE",),
        "halo": ("STAR",),
        "column": ("BPM",),
        "cosmic": ("CRAY",),
    },
}
"""Instrument to the names of the bits that each kind of feature sets."""


def band_of(name: str) -> Band:
    """The band of that name; raises InputError when it cannot be simulated."""
    if name not in BANDS:
        raise InputError(f"band must be one of {', '.join(BANDS)}, found {name}{meant(name, BANDS)}")
    return BANDS[name]


def instrument_of(band: Band) -> Instrument:
    """The instrument of a band."""
    return INSTRUMENTS[band.instrument]
