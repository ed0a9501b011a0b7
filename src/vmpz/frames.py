"""Frames: where the planes of an image are (`FrameRef`), and the opened image (`Frame`).

A `FrameRef` is cheap and picklable: it is made from headers and descriptors alone and opens no pixel. A `Frame`
is what makers and the one pass see: planes by canonical name in row blocks, scalars, small tables, outline and the
pixel-to-sky mapping. A survey's own header names never get past its reader.

A reference is one of three things:

an image
    One pixel grid: a mosaic of a tile, a coadd, or one detector of an exposure.
an exposure
    `exposures` lists its detectors, a row each; it has no grid of its own. Its reader turns it into images, one a
    detector, when a job needs their pixels. A row of an exposure table is an exposure without planes.
the exposures of an area
    `members` are the exposures that touch the area. Where there is a mosaic as well, it gives the planes.

Canonical planes: IMAGE, RMS (noise sigma per pixel), FLAG (32-bit words), BACKGROUND.
Canonical scalars: zero_point (AB mag), pixel_scale_arcsec, exposure_time_s, gain, saturate, psf_fwhm_arcsec.
Scalars of exposures go by the names of quantities (`vmpz.quantities`), in their units.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from numpy.typing import NDArray

from vmpz.bits import BitTable
from vmpz.sky.regions import Cap, Polygon

__all__ = [
    "Exposures",
    "FileRef",
    "Frame",
    "FrameRef",
    "Manifest",
    "Plane",
    "PsfStamps",
    "Refused",
    "Sources",
    "image_outline",
    "outline_corners",
]


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
    offset: int | None = None
    """Where the header of the HDU begins, if known: of a file of hundreds of HDUs only this one is read again."""


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
        Canonical plane names; tables PSF, PSFIMAGE (their stamps), LAYERS, STARMASK, XML.
    scalars : mapping of str to float
    bit_table : str
        Name of the table of the FLAG plane, '-' if there is none.
    release, created, date_obs, date_end, telescope : str
        '-1' where not known.
    notes : tuple of str
        What the reader assumed or chose; goes to the provenance.
    options : mapping
        Reader options needed again when opening.
    exposures : Exposures, optional
        The detectors of an exposure, or of all members.
    members : tuple of FrameRef
        The exposures of an area, in order of their ids.

    Examples
    --------
    >>> from vmpz import FrameRef
    >>> from astropy.wcs import WCS
    >>> cards = WCS({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}).to_header().tostring(sep="\\n")
    >>> FrameRef("generic", "field", "CAM", "r", (100, 100), cards, planes={}).name
    'field r'
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
    exposures: "Exposures | None" = None
    members: tuple["FrameRef", ...] = ()

    @property
    def has_grid(self) -> bool:
        """Whether it is an image: all its planes have one grid of pixels."""
        return bool(self.wcs_cards)

    @property
    def name(self) -> str:
        """`area band`, for messages."""
        return f"{self.area} {self.band}"

    def files(self, names: Iterable[str]) -> dict[str, FileRef]:
        """Files of planes and tables, by ``NAME:file name``; those of every exposure where there is no mosaic.

        Files of one name are told apart by as many folders above them as that takes.
        """
        return {
            f"{name}:{shown}": file
            for name in sorted(set(names))
            for shown, file in _told_apart(self._files_of(name)).items()
        }

    def _files_of(self, name: str) -> list[FileRef]:
        own = {**self.planes, **self.tables}.get(name)
        if own is None:
            return []
        if self.has_grid or name == "LAYERS":
            return [own]
        return [{**one.planes, **one.tables}[name] for one in self.members] or [own]

    @property
    def wcs(self) -> WCS:
        """The celestial WCS (0-based pixel coordinates, origin at the centre of the first pixel); not to be changed."""
        return _wcs_of(self.wcs_cards)

    def outline(self) -> Polygon:
        """The outer pixel edges on the sky; edges of a distorted image are sampled."""
        return image_outline(self.wcs, self.shape)


def _told_apart(files: Sequence[FileRef]) -> dict[str, FileRef]:
    """Files by the shortest ends of their paths that tell them apart; what one file holds more of, by its number."""
    paths = {file.location: PurePath(file.location).parts for file in files}
    ends = list(paths.values())
    depth = next((n for n in range(1, max(map(len, ends), default=1)) if _differ(ends, n)), None)
    shown = {where: "/".join(parts[-depth:] if depth else parts) for where, parts in paths.items()}
    found: dict[str, FileRef] = {}
    met: Counter[str] = Counter()
    for file in files:
        met[file.location] += 1
        number = f"#{met[file.location]}" if met[file.location] > 1 else ""
        found[shown[file.location] + number] = file
    return found


def _differ(paths: Sequence[tuple[str, ...]], depth: int) -> bool:
    return len({parts[-depth:] for parts in paths}) == len(paths)


@dataclass(frozen=True, eq=False)
class Exposures:
    """Detectors of exposures, a row each: who, outline, scalars.

    Attributes
    ----------
    ids : tuple of str
        Exposure and detector, unique within a survey; a single image is its own detector.
    corners : float64 array (n, m, 2)
        Outlines, ICRS degrees; one of fewer vertices repeats its last.
    scalars : mapping of str to float64 array (n,)
        By quantity: ExposureTime (s), SAA, AA, BA (deg), MJD (d, middle of the exposure, UTC), Airmass, Seeing
        (arcsec), Weight (inverse variance per pixel at the zero point)...; beside quantities Zeropoint (mag) and
        PixelScale (arcsec). NaN where unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from vmpz import Exposures
    >>> square = np.array([(10.0, 0.0), (11.0, 0.0), (11.0, 1.0), (10.0, 1.0)])
    >>> times = {"ExposureTime": np.array([90.0, 30.0])}
    >>> exposures = Exposures(("one", "two"), np.stack((square, square + 0.5)), times)
    >>> len(exposures), exposures[[1]].ids
    (2, ('two',))
    """

    ids: tuple[str, ...]
    corners: NDArray[np.float64]
    scalars: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: NDArray[Any]) -> "Exposures":
        """Rows by number or mask."""
        chosen = np.arange(len(self))[rows]
        scalars = {name: values[chosen] for name, values in self.scalars.items()}
        return Exposures(tuple(self.ids[row] for row in chosen), self.corners[chosen], scalars)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exposures) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        whole = sha256("\n".join(self.ids).encode())
        whole.update(np.ascontiguousarray(self.corners, "<f8").tobytes())
        for name in sorted(self.scalars):
            whole.update(name.encode() + np.ascontiguousarray(self.scalars[name], "<f8").tobytes())
        return whole.hexdigest()

    def outline(self, row: int) -> Polygon:
        """The outline of one detector."""
        return Polygon(self.corners[row])

    @classmethod
    def joined(cls, parts: Sequence["Exposures"]) -> "Exposures":
        """Rows of all parts, one part after the other; a scalar that a part does not have is NaN there."""
        most = max((one.corners.shape[1] for one in parts), default=3)
        names = sorted({name for one in parts for name in one.scalars})
        corners = [
            np.pad(one.corners, ((0, 0), (0, most - one.corners.shape[1]), (0, 0)), "edge") for one in parts
        ]
        return cls(
            tuple(name for one in parts for name in one.ids),
            np.concatenate([np.empty((0, most, 2)), *corners]),
            {
                name: np.concatenate(
                    [np.empty(0), *(one.scalars.get(name, np.full(len(one), np.nan)) for one in parts)]
                )
                for name in names
            },
        )


@dataclass(frozen=True)
class PsfStamps:
    """PSF stamps: arrays of one length n.

    Attributes
    ----------
    lon_deg, lat_deg : float64 array
        Position, ICRS.
    fwhm_arcsec : float64 array
    moments_arcsec2 : float64 array (n, 3), optional
        Ixx, Iyy, Ixy; x to the west, y to the north, the axes of an image with north up.
    detector : int64 array, optional
        Row of the frame's exposures that the stamp belongs to; without it all stamps are of the image itself.
    """

    lon_deg: NDArray[np.float64]
    lat_deg: NDArray[np.float64]
    fwhm_arcsec: NDArray[np.float64]
    moments_arcsec2: NDArray[np.float64] | None = None
    detector: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Sources:
    """Rows of a catalogue: positions (ICRS degrees), columns by name; float64 arrays of one length, NaN = missing."""

    lon_deg: NDArray[np.float64]
    lat_deg: NDArray[np.float64]
    columns: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lon_deg)


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
    """An opened frame. A context manager: leaving it closes its planes.

    `masks` are further geometric masks by the name of their virtual bit. An exposure has no planes here, only its
    detectors and stamps.

    Examples
    --------
    >>> from vmpz.readers import open_frame
    >>> with open_frame(manifest.frames[0], {"RMS", "FLAG"}) as frame:  # doctest: +SKIP
    ...     noise = frame.planes["RMS"].read(0, 100)
    """

    ref: FrameRef
    planes: Mapping[str, Plane]
    exposures: Exposures | None = None
    psf: PsfStamps | None = None
    star_masks: tuple[Polygon | Cap, ...] | None = None
    bits: BitTable | None = None
    masks: Mapping[str, tuple[Polygon | Cap, ...]] = field(default_factory=dict)

    def __enter__(self) -> "Frame":
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            for plane in self.planes.values():
                stack.callback(plane.close)


@dataclass(frozen=True)
class Refused:
    """A frame that was found and cannot be used: `reason` names the file, the HDU, the key and what was found.

    `area`, `instrument` and `band` are '-' where the fault hides them. An `exposure` is of no area in
    particular: `area` is its own id.
    """

    area: str
    instrument: str
    band: str
    reason: str
    exposure: bool = False


@dataclass(frozen=True)
class Manifest:
    """All frames of a survey, in a fixed order, what was noticed on the way, and what was refused.

    Examples
    --------
    >>> from vmpz.readers import scan_inputs
    >>> manifest = scan_inputs(vmpz.load_parameters("survey.toml").inputs)  # doctest: +SKIP
    >>> [frame.name for frame in manifest]  # doctest: +SKIP
    ['102018210 NIR_Y', '102018210 VIS']
    """

    frames: tuple[FrameRef, ...]
    notes: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()

    def __iter__(self) -> Iterator[FrameRef]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)


@lru_cache(16)
def _wcs_of(cards: str) -> WCS:
    """The mapping of an image is asked for again and again, and takes a millisecond to set up."""
    return WCS(Header.fromstring(cards, sep="\n"))


def image_outline(wcs: WCS, shape: tuple[int, int], samples: int = 64) -> Polygon:
    """Outer pixel edges of an image as a polygon on the sky, see `outline_corners`."""
    return Polygon(outline_corners(wcs, shape, samples))


def outline_corners(wcs: WCS, shape: tuple[int, int], samples: int = 64) -> NDArray[np.float64]:
    """Vertices (n, 2), degrees, of the outer pixel edges of an image.

    Each edge is sampled at `samples` points. Where all of them lie on the great circles through the corners (a purely
    gnomonic image, whatever the header calls it: wcslib renames TPV to TAN), the four corners alone are exact.
    """
    rows, columns = shape
    t = np.arange(samples) / samples
    x = np.concatenate((t, np.ones(samples), 1 - t, np.zeros(samples))) * columns - 0.5
    y = np.concatenate((np.zeros(samples), t, np.ones(samples), 1 - t)) * rows - 0.5
    lon, lat = (wcs if wcs.naxis == 2 else wcs.celestial).all_pix2world(x, y, 0)
    if wcs.wcs.lng == 1:
        lon, lat = lat, lon
    vertices = np.stack((lon, lat), axis=1)
    return vertices[::samples] if _edges_are_great_circles(lon, lat, samples) else vertices


def _edges_are_great_circles(
    lon_deg: NDArray[np.float64], lat_deg: NDArray[np.float64], samples: int
) -> bool:
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    points = np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=1)
    edges = points.reshape(4, samples, 3)
    normals = np.cross(edges[:, 0], np.roll(edges[:, 0], -1, axis=0))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return bool(np.abs(np.einsum("eki,ei->ek", edges, normals)).max() < GREAT_CIRCLE_RAD)
