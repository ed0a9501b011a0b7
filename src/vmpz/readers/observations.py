"""Lists of VIS pointings without pixels: XML with one frame (`DpdVisObservationFrame`, `DpdVisRawFrame`) or many.

The structure of VISObsFrame is not public beyond the names of its elements. Read, by local name, are a product whose
Data is one frame, and a list of elements VISObsFrame; of each::

    ObservationSequence/ObservationId, DitherObservation, Exposure
    ExposureTime/Value (or ExposureTime), s
    ObservationDateTime/MJD                                   beginning, UTC
    ReconsFPAPointing (else CommandedFPAPointing)/RA, Dec, Orientation      deg
    ReconsOrbit (else PredictedOrbit)/Position, SolarAspectAngle            km, deg
    ImgSpatialFootprint/Polygon/Vertex/C1, C2                 outline, deg
    FOV_LON1..4, FOV_LAT1..4                                  outline, deg, where there is no polygon

Id and outline must be there. The four corners of the field may stand in any order. A pointing that is not stated is the
middle of the outline. A frame counts as one exposure of one detector, the field of view.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.files.xml import Element, parse_xml, text_at
from vmpz.frames import Exposures, FileRef, FrameRef, Refused
from vmpz.readers.common import SECONDS_PER_DAY, is_selected
from vmpz.readers.descriptors import number_at, xml_ref
from vmpz.readers.detectors import middles_deg
from vmpz.readers.folders import walk, xml_files
from vmpz.readers.tables import convex_outlines
from vmpz.readers.visfiles import BAND, ExposureId

__all__ = ["find_observations"]

FRAME = "VISObsFrame"
PRODUCTS = ("DpdVisObservationFrame", "DpdVisObservation", "DpdVisRawFrame")
CORNERS = 4


def find_observations(location: Path, options: Mapping[str, Any]) -> Iterator[FrameRef | Refused]:
    """Pointings of the lists below a folder, or of one list, in order of area.

    Parameters
    ----------
    location : Path
    options : mapping
        Selection by `tiles` (ids of exposures), `bands` and `instruments`.

    Raises
    ------
    InputError
        The location is a file that is not XML.
    """
    found: dict[str, FrameRef | Refused] = {}
    for path in [location] if location.is_file() else xml_files(walk(location)):
        try:
            root = parse_xml(str(path))
        except InputError:
            if location.is_file():
                raise
            continue  # descriptors are read, and refused, where exposures are looked for
        for item in _frames(root, str(path)):
            known = found.setdefault(item.area, item)
            if (
                isinstance(known, FrameRef)
                and isinstance(item, FrameRef)
                and known.exposures != item.exposures
            ):
                reason = (
                    f"{path}: {item.area} must stand once, found another in {known.tables['XML'].location}"
                )
                found[item.area] = Refused(item.area, BAND, BAND, reason)
    for area in sorted(found):
        if is_selected(options, area=area, instrument=BAND, band=BAND):
            yield found[area]


def _frames(root: Element, where: str) -> Iterator[FrameRef | Refused]:
    """All frames of one document."""
    frames = [*([root] if root.tag == FRAME else []), *root.iterfind(f".//{FRAME}")]
    if root.tag in PRODUCTS and not frames:
        frames = root.findall("Data")
    if not frames:
        return
    source = xml_ref(where)
    release = text_at(root, "Header/DataSetRelease", where) or "-1"
    created = text_at(root, "Header/CreationDate", where) or "-1"
    for number, frame in enumerate(frames, 1):
        place = f"{where}: frame {number}"
        try:
            yield _reference(frame, place, source, release, created)
        except InputError as error:
            yield Refused(f"{Path(where).name}-{number}", BAND, BAND, str(error))


def _reference(frame: Element, where: str, source: FileRef, release: str, created: str) -> FrameRef:
    keys = ("ObservationId", "DitherObservation", "Exposure")
    texts = [text_at(frame, f"ObservationSequence/{key}", where, required=True) or "" for key in keys]
    observation, dither, number = (text.lstrip("0") or "0" for text in texts)
    area = ExposureId(observation.zfill(6), dither.zfill(2), number).area
    notes: list[str] = []
    corners = _outline(frame, where)
    scalars = _scalars(frame, where, corners, notes)
    return FrameRef(
        reader="euclid-vis",
        area=area,
        instrument=BAND,
        band=BAND,
        shape=(0, 0),
        wcs_cards="",
        planes={},
        tables={"XML": source},
        release=release,
        created=created,
        date_obs=text_at(frame, "ObservationDateTime/UTC", where) or "-1",
        telescope="Euclid",
        notes=("a pointing of an observation list, without pixels", *notes),
        exposures=Exposures(
            (f"{area}[FOV]",), corners[None], {name: np.array([value]) for name, value in scalars.items()}
        ),
    )


def _outline(frame: Element, where: str) -> NDArray[np.float64]:
    """Vertices (n, 2), degrees."""
    vertices = [
        [number_at(vertex, where, axis) for axis in ("C1", "C2")]
        for vertex in frame.iterfind("ImgSpatialFootprint//Vertex")
    ]
    if not vertices:
        vertices = [
            [number_at(frame, where, f"FOV_{axis}{n}") for axis in ("LON", "LAT")]
            for n in range(1, CORNERS + 1)
        ]
    outline = np.array([[np.nan if value is None else value for value in pair] for pair in vertices])
    if len(outline) < 3 or not np.isfinite(outline).all() or np.abs(outline[:, 1]).max() > 90.0:
        raise InputError(
            f"{where}: must have an outline on the sky (ImgSpatialFootprint, or FOV_LON1-4 and FOV_LAT1-4), "
            f"found {outline.tolist()}"
        )
    return convex_outlines(outline[None], where)[0] if len(outline) == CORNERS else outline


def _scalars(frame: Element, where: str, corners: NDArray[np.float64], notes: list[str]) -> dict[str, float]:
    """By name, what the frame states."""
    time_s = number_at(frame, where, "ExposureTime/Value", "ExposureTime")
    start = number_at(frame, where, "ObservationDateTime/MJD")
    pointing = next(
        (key for key in ("ReconsFPAPointing", "CommandedFPAPointing") if frame.find(key) is not None), None
    )
    orbit = next((key for key in ("ReconsOrbit", "PredictedOrbit") if frame.find(key) is not None), None)
    known = {"ExposureTime": time_s}
    if start is not None and time_s is not None:
        known["MJD"] = start + 0.5 * time_s / SECONDS_PER_DAY
    if pointing is not None:
        known["PointingLon"] = number_at(frame, where, f"{pointing}/RA")
        known["PointingLat"] = number_at(frame, where, f"{pointing}/Dec")
        known["PositionAngle"] = number_at(frame, where, f"{pointing}/Orientation")
    if known.get("PointingLon") is None or known.get("PointingLat") is None:
        lon, lat = middles_deg(corners)
        known["PointingLon"], known["PointingLat"] = float(lon), float(lat)
        notes.append("the pointing is the middle of the outline")
    if orbit is not None:
        known["SAA"] = number_at(frame, where, f"{orbit}/SolarAspectAngle")
        for axis, value in zip("XYZ", _position(frame, f"{orbit}/Position", where), strict=False):
            known[f"Position{axis}"] = value
    return {name: value for name, value in known.items() if value is not None}


def _position(frame: Element, path: str, where: str) -> Sequence[float]:
    text = text_at(frame, path, where)
    if text is None:
        return ()
    parts = text.split()
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if len(values) != 3 or not np.isfinite(values).all():
        raise InputError(f"{where}: {path} must be three numbers, found {text[:80]!r}")
    return values
