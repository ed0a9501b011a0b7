"""Frames: where the planes of an image are (`FrameRef`), and the opened image (`Frame`).

A `FrameRef` is cheap and picklable: it is made from headers and descriptors alone and opens no pixel. A `Frame`
is what makers and the one pass see: planes by canonical name in row blocks, scalars, small tables, outline and the
pixel-to-sky mapping. A survey's own header names never get past its reader.

Canonical planes: IMAGE, RMS (noise sigma per pixel), FLAG (32-bit words), BACKGROUND.
Canonical scalars: zero_point (AB mag), pixel_scale_arcsec, exposure_time_s, gain, saturate, psf_fwhm_arcsec.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.bits import BitTable
from vmpz.sky.regions import Cap, Polygon

__all__ = ["Exposure", "FileRef", "Frame", "FrameRef", "Manifest", "Plane", "PsfStamps", "Refused"]


GREAT_CIRCLE_RAD = 1e-12
"""How far from a great circle (0.2 microarcsec) a sampled edge may lie and still be one."""


@dataclass(frozen=True)
class FileRef:
    """One HDU of one input file, with what identifies its content without reading it.

    `identity` is a digest of name, size, header cards and DATASUM (or the checksum a descriptor states): never a
    modification time, never a full hash. `verifiable` says whether any checksum of the data exists.
    """

    location: str
    hdu: int | str = 0
    size: int = 0
    identity: str = ""
    verifiable: bool = False


@dataclass(frozen=True)
class FrameRef:
    """One image of one band, known from headers alone.

    Attributes
    ----------
    reader : str
        Key of `READERS` that made it and can open it.
    area : str
        Tile id, or the image's own id where there is no tile.
    instrument, band : str
        As in the keywords INSTRUME and FILTER of products (VIS, NISP, DECAM...; VIS, NIR_Y, DECAM_g...).
    shape : (int, int)
        Rows, columns.
    wcs_cards : str
        The header cards of the celestial WCS, as `Header.tostring(sep='\\n')`.
    planes, tables : mapping of str to FileRef
        Canonical plane names; tables PSF, LAYERS, STARMASK, XML.
    scalars : mapping of str to float
    bit_table : str
        Name of the table of the FLAG plane, '-' if there is none.
    release, created, date_obs, date_end, telescope : str
        '-1' where not known.
    notes : tuple of str
        What the reader assumed or chose; goes to the provenance.
    options : mapping
        Reader options needed again when opening.
    """

    reader: str
    area: str
    instrument: str
    band: str
    shape: tuple[int, int]
    wcs_cards: str
    planes: Mapping[str, FileRef]
    tables: Mapping[str, FileRef] = field(default_factory=dict)
    scalars: Mapping[str, float] = field(default_factory=dict)
    bit_table: str = "-"
    footprint: tuple[tuple[float, float], ...] = ()
    release: str = "-1"
    created: str = "-1"
    date_obs: str = "-1"
    date_end: str = "-1"
    telescope: str = "-1"
    notes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`area band`, for messages."""
        return f"{self.area} {self.band}"

    @property
    def wcs(self) -> WCS:
        """The celestial WCS (0-based pixel coordinates, origin at the centre of the first pixel)."""
        return WCS(Header.fromstring(self.wcs_cards, sep="\n"))

    def outline(self) -> Polygon:
        """The outer pixel edges on the sky; edges of a distorted image are sampled."""
        return image_outline(self.wcs, self.shape)


@dataclass(frozen=True)
class Exposure:
    """One detector of one exposure: its outline and its scalars.

    Scalars by quantity name: ExposureTime (s), SAA, AA, BA (deg), MJD (d), Airmass, Seeing (arcsec)...
    """

    id: str
    outline: Polygon
    scalars: Mapping[str, float]


@dataclass(frozen=True)
class PsfStamps:
    """PSF stamps: position (ICRS degrees, float64) and FWHM (arcsec), arrays of one length."""

    lon_deg: NDArray[np.float64]
    lat_deg: NDArray[np.float64]
    fwhm_arcsec: NDArray[np.float64]


class Plane(Protocol):
    """One plane of an image, read in row blocks."""

    name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    """As `read` returns it; may be big-endian (mapped FITS bytes are not copied to swap them)."""
    sequential: bool
    """True where blocks must be read in ascending order (gzip)."""
    datasum: int | None
    """The DATASUM that the stored words must have (ones-complement sum of big-endian 32-bit words), None if unknown
    or verified already by the file layer; checked by whoever reads every row exactly once."""
    where: str
    """File and HDU, for messages."""

    def read(self, start: int, stop: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Rows [start, stop), shape (stop - start, columns), into `out` when it is given and can be used."""
        ...

    def close(self) -> None:
        """Release the file. Raises InputError when the file changed while it was read."""
        ...


@dataclass(frozen=True)
class Frame:
    """An opened image. A context manager: leaving it closes its planes."""

    ref: FrameRef
    planes: Mapping[str, Plane]
    exposures: tuple[Exposure, ...] | None = None
    psf: PsfStamps | None = None
    star_masks: tuple[Polygon | Cap, ...] | None = None
    bits: BitTable | None = None

    def __enter__(self) -> "Frame":
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for plane in self.planes.values():
                stack.callback(plane.close)


@dataclass(frozen=True)
class Refused:
    """A frame that was found and cannot be used: `reason` names the file, the HDU, the key and what was found.

    `area`, `instrument` and `band` are '-' where the fault hides them.
    """

    area: str
    instrument: str
    band: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """All frames of a survey, in a fixed order, what was noticed on the way, and what was refused."""

    frames: tuple[FrameRef, ...]
    notes: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()

    def __iter__(self) -> Iterator[FrameRef]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)


def image_outline(wcs: WCS, shape: tuple[int, int], samples: int = 64) -> Polygon:
    """Outer pixel edges of an image as a polygon on the sky.

    Each edge is sampled at `samples` points. Where all of them lie on the great circles through the corners (a purely
    gnomonic image, whatever the header calls it: wcslib renames TPV to TAN), the four corners alone are exact.
    """
    rows, columns = shape
    t = np.arange(samples) / samples
    x = np.concatenate((t, np.ones(samples), 1 - t, np.zeros(samples))) * columns - 0.5
    y = np.concatenate((np.zeros(samples), t, np.ones(samples), 1 - t)) * rows - 0.5
    lon, lat = wcs.celestial.all_pix2world(x, y, 0)
    if wcs.wcs.lng == 1:
        lon, lat = lat, lon
    vertices = np.stack((lon, lat), axis=1)
    return Polygon(vertices[::samples] if _edges_are_great_circles(lon, lat, samples) else vertices)


def _edges_are_great_circles(
    lon_deg: NDArray[np.float64], lat_deg: NDArray[np.float64], samples: int
) -> bool:
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    points = np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=1)
    edges = points.reshape(4, samples, 3)
    normals = np.cross(edges[:, 0], np.roll(edges[:, 0], -1, axis=0))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return bool(np.abs(np.einsum("eki,ei->ek", edges, normals)).max() < GREAT_CIRCLE_RAD)
