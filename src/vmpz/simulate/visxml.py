"""Descriptors of VIS: calibrated frames, and lists of pointings without pixels."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

from vmpz.files.write import write_text
from vmpz.simulate.descriptors import (
    MJD_EPOCH,
    add_element,
    add_polygon,
    finish_descriptor,
    root_element,
    time_text,
)
from vmpz.simulate.exposures import Shot
from vmpz.simulate.orbit import spacecraft_km

__all__ = ["write_descriptor", "write_observations"]

Element = ElementTree.Element

STORAGES = {
    "DET": "DataStorage",
    "DET_sci": "DataStorage",
    "DET_rms": "RmsStorage",
    "DET_flg": "FlagMapStorage",
    "BKG": "BackgroundStorage",
    "WGT": "WeightStorage",
    "PSF": "PsfModelStorage",
}
SEQUENCE = {
    "OBS_ID": "ObservationId",
    "DITHOBS": "DitherObservation",
    "PTGID": "PointingId",
    "EXPNUM": "Exposure",
    "TOTEXP": "TotalExposure",
}


def write_descriptor(
    path: Path, shot: Shot, product: str, sequence: Mapping[str, int], names: Mapping[str, str]
) -> None:
    """Descriptor of an exposure; `names` are those of its files by kind, `sequence` goes by keyword."""
    root = root_element(
        product, f"vis/{product.removeprefix('DpdVis').lower()}", f"{path.stem} {shot.sky.seed}",
        software=("VIS_ProcessField", "3.18"), pipeline="VIS_ProcessField_EUCLID_3.18",
    )  # fmt: skip
    data = add_element(root, "Data")
    _observation(data, shot, sequence)
    for kind, element in STORAGES.items():
        if kind in names:
            storage = add_element(data, element, format="vis.calibratedFrame", version="0.1")
            box = add_element(storage, "DataContainer", filestatus="PROPOSED")
            add_element(box, "FileName", names[kind])
    finish_descriptor(root, path)


def write_observations(
    path: Path,
    frames: Iterable[tuple[Shot, Mapping[str, int]]],
    *,
    polygon: bool = True,
    pointing: bool = True,
) -> None:
    """A list of pointings without pixels, each with its place in the sequence by keyword.

    Parameters
    ----------
    path : Path
    frames : iterable of (Shot, mapping)
    polygon : bool
        Whether the outline is ImgSpatialFootprint, else FOV_LON1-4 and FOV_LAT1-4.
    pointing : bool
        Whether the pointing is stated.
    """
    root = ElementTree.Element("VISObsFrameList")
    for shot, sequence in frames:
        frame = add_element(root, "VISObsFrame")
        _observation(frame, shot, sequence, polygon=polygon, pointing=pointing)
    ElementTree.indent(root)
    write_text(path, f"{ElementTree.tostring(root, encoding='unicode')}\n")


def _observation(
    data: Element, shot: Shot, sequence: Mapping[str, int], *, polygon: bool = True, pointing: bool = True
) -> None:
    add_element(add_element(data, "ExposureTime"), "Value", shot.band.exposure_time_s)
    time = add_element(data, "ObservationDateTime")
    add_element(time, "UTC", time_text(MJD_EPOCH + timedelta(days=shot.mjd)))
    add_element(time, "MJD", shot.mjd)
    place = add_element(data, "ObservationSequence")
    for key, element in SEQUENCE.items():
        add_element(place, element, sequence[key])
    if pointing:
        direction = add_element(data, "ReconsFPAPointing", type="Center")
        for key, value in (
            ("RA", shot.lon_deg),
            ("Dec", shot.lat_deg),
            ("Orientation", shot.position_angle_deg),
        ):
            add_element(direction, key, value)
    orbit = add_element(data, "ReconsOrbit")
    add_element(orbit, "Position", " ".join(repr(float(km)) for km in spacecraft_km(shot.middle_mjd)))
    add_element(orbit, "SolarAspectAngle", shot.sky.scalars(shot.number)["SAA"])
    lon, lat = shot.field_deg.T
    if polygon:
        add_polygon(add_element(data, "ImgSpatialFootprint"), zip(lon, lat, strict=True))
    else:
        for axis, values in (("LON", lon), ("LAT", lat)):
            for n in (1, 3, 2, 4):  # in no order that makes an outline
                add_element(data, f"FOV_{axis}{n}", float(values[n - 1]))
