"""Lists of VIS pointings without pixels."""

from pathlib import Path

import numpy as np
import pytest

from vis_helpers import FEW, scan, shot, write
from vmpz.errors import InputError
from vmpz.frames import FrameRef
from vmpz.readers import detectors_of, open_frame
from vmpz.simulate.visheaders import sequence
from vmpz.simulate.visxml import write_observations
from vmpz.sky.regions import Polygon


def listed(path: Path, numbers: tuple[int, ...] = (0, 1), **form: bool) -> Path:
    write_observations(path, [(one, sequence(one)) for one in (shot(number) for number in numbers)], **form)
    return path


@pytest.mark.parametrize("polygon", [True, False])
@pytest.mark.parametrize("as_folder", [True, False])
def test_pointings_are_exposures_without_planes(tmp_path: Path, polygon: bool, as_folder: bool) -> None:
    path = listed(tmp_path / "list.xml", polygon=polygon)
    frames = scan(tmp_path if as_folder else path).frames
    assert [ref.area for ref in frames] == ["VIS-002681-00-1", "VIS-002681-01-1"]
    for ref, number in zip(frames, (0, 1), strict=True):
        one = shot(number)
        assert (dict(ref.planes), ref.has_grid, ref.band) == ({}, False, "VIS")
        rows = ref.exposures
        assert rows is not None
        assert rows.ids == (f"{ref.area}[FOV]",)
        x0, x1, y0, y1 = np.radians(np.array(FEW.field_arcsec) / 3600.0)
        corners = one.plane.angles(np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1]))
        truth = Polygon(np.stack(corners, axis=1))
        assert rows.outline(0).area_deg2 == pytest.approx(truth.area_deg2, rel=1e-9)
        assert sorted(map(tuple, rows.corners[0].round(9))) == sorted(
            map(tuple, np.stack(corners, axis=1).round(9))
        )
        expected = {
            "ExposureTime": 560.52,
            "MJD": one.middle_mjd,
            "PointingLon": one.lon_deg,
            "PointingLat": one.lat_deg,
            "PositionAngle": one.position_angle_deg,
            "SAA": one.sky.scalars(number)["SAA"],
        }
        assert set(rows.scalars) == {*expected, "PositionX", "PositionY", "PositionZ"}
        for name, value in expected.items():
            assert rows.scalars[name][0] == pytest.approx(value, rel=1e-14)
        assert open_frame(ref, ["PSF", "IMAGE"]).planes == {}
        with pytest.raises(InputError, match="must have planes"):
            detectors_of(ref, [0])


def test_a_pointing_that_is_not_stated_is_the_middle_of_the_field(tmp_path: Path) -> None:
    (ref,) = scan(listed(tmp_path / "list.xml", (0,), pointing=False)).frames
    x0, x1, y0, y1 = np.radians(np.array(FEW.field_arcsec) / 3600.0)
    lon, lat = shot().plane.angles((x0 + x1) / 2.0, (y0 + y1) / 2.0)
    assert ref.exposures is not None
    assert ref.exposures.scalars["PointingLon"][0] == pytest.approx(float(lon), abs=1e-5)
    assert ref.exposures.scalars["PointingLat"][0] == pytest.approx(float(lat), abs=1e-5)
    assert "the pointing is the middle of the outline" in ref.notes


def test_one_frame_as_a_product(tmp_path: Path) -> None:
    """The form of DpdVisObservationFrame: a header, and one frame in Data."""
    (tmp_path / "one.xml").write_text(
        """<?xml version="1.0"?>
<v:DpdVisObservationFrame xmlns:v="http://euclid.esa.org/schema/dpd/vis"><Header><DataSetRelease>T_R1</DataSetRelease>
<CreationDate>2020-07-07T15:18:11.356298</CreationDate></Header><Data>
<ExposureTime><Value>565.0</Value><Unit>s</Unit></ExposureTime>
<ObservationDateTime><UTC>2020-07-07T15:18:11.356298Z</UTC><MJD>56923.0</MJD></ObservationDateTime>
<ObservationSequence><FieldId>0</FieldId><ObservationId>91100</ObservationId>
<DitherObservation>10</DitherObservation><Exposure>1</Exposure></ObservationSequence>
<CommandedFPAPointing type="Center"><RA>195.4258</RA><Dec>36.2739</Dec><Orientation>27.0</Orientation>
</CommandedFPAPointing><PredictedOrbit><Position>1100000.0 960000.0 1300000.0</Position></PredictedOrbit>
<FOV_LON1>195.0</FOV_LON1><FOV_LAT1>36.0</FOV_LAT1><FOV_LON2>195.9</FOV_LON2><FOV_LAT2>36.0</FOV_LAT2>
<FOV_LON3>195.9</FOV_LON3><FOV_LAT3>36.6</FOV_LAT3><FOV_LON4>195.0</FOV_LON4><FOV_LAT4>36.6</FOV_LAT4>
</Data></v:DpdVisObservationFrame>"""
    )
    (ref,) = scan(tmp_path).frames
    assert (ref.area, ref.release) == ("VIS-091100-10-1", "T_R1")
    assert ref.exposures is not None
    assert ref.exposures.scalars["PointingLon"][0] == 195.4258
    assert ref.exposures.scalars["PositionZ"][0] == 1300000.0
    assert "SAA" not in ref.exposures.scalars


def test_pixels_take_the_place_of_a_pointing(tmp_path: Path) -> None:
    write(tmp_path)
    listed(tmp_path / "list.xml")
    frames = scan(tmp_path).frames
    assert [(ref.area, bool(ref.planes)) for ref in frames] == [
        ("VIS-002681-00-1", True),
        ("VIS-002681-01-1", False),
    ]


def test_selection(tmp_path: Path) -> None:
    listed(tmp_path / "list.xml")
    assert [ref.area for ref in scan(tmp_path, tiles=["VIS-002681-01-1"]).frames] == ["VIS-002681-01-1"]
    assert scan(tmp_path, bands=["NIR_Y"]).frames == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<C2>-51", "<C2>-151", "must have an outline on the sky"),
        ("<C1>5", "<C1>x", "C1 must be a finite number"),
        ("<ObservationId>2681</ObservationId>", "", "ObservationId must stand once"),
        ("<MJD>", "<MJD>inf ", "MJD must be a finite number"),
        ("<Position>", "<Position>1 ", "Position must be three numbers"),
    ],
)
def test_faults_of_a_frame(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = listed(tmp_path / "list.xml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    manifest = scan(path)
    assert len(manifest.frames) == 1
    (item,) = manifest.refused
    assert message in item.reason
    assert "frame 1" in item.reason


def test_two_lists_that_disagree(tmp_path: Path) -> None:
    text = listed(tmp_path / "a.xml", (0,)).read_text()
    (tmp_path / "b.xml").write_text(text)
    assert all(isinstance(ref, FrameRef) for ref in scan(tmp_path).frames)
    (tmp_path / "b.xml").write_text(text.replace("560.52", "95.0"))
    assert "must stand once" in scan(tmp_path).refused[0].reason


def test_a_file_that_is_no_list(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text("<!DOCTYPE x><x/>")
    with pytest.raises(InputError, match="DOCTYPE not allowed"):
        scan(path)
    path.write_text("<x/>")
    with pytest.raises(InputError, match="found neither"):
        scan(path)
