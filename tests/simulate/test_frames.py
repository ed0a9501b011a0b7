"""Single exposures beside mosaics, or alone: what is written, and the survey file that reads it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vmpz.cli import main
from vmpz.errors import InputError
from vmpz.parameters import load
from vmpz.quantities import QUANTITIES
from vmpz.readers import scan_inputs
from vmpz.simulate import simulate
from vmpz.simulate.exposures import shots
from vmpz.simulate.field import Sky
from vmpz.simulate.frames import FRAMES, frames_of, pixels_for
from vmpz.tiles import tiles_near

INSTRUMENTS = {
    "VIS": "VIS", "NISP": "NISP", "DECAM": "DECAM", "KIDS": "OMEGACAM", "LSST": "LSSTCam", "HSC": "HSC",
    "TABLE": "MEGACAM",
}  # fmt: skip


def test_instruments_and_bands_name_exposures() -> None:
    (every,) = frames_of(["NISP"])
    assert every.bands == ("NIR_Y", "NIR_J", "NIR_H")
    (one,) = frames_of(["NIR_J"])
    assert one.bands == ("NIR_J",)
    (two,) = frames_of(["NIR_J", "NIR_Y"])
    assert two.bands == ("NIR_J", "NIR_Y")
    small = replace(every, camera=replace(every.camera, dithers=1))
    assert frames_of([small])[0].camera.dithers == 1
    assert [one.camera.instrument for one in frames_of(FRAMES)] == list(INSTRUMENTS.values())


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["MIRI"], r"of an instrument \(VIS, NISP.*or a band \(VIS, NIR_Y.*found MIRI"),
        (["NISP", "NIR_J"], "NIR_J twice"),
        (["LSST_r", "LSST_r"], "LSST_r twice"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_written(
    tmp_path: Path, names: list[str], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        simulate(tmp_path / "out", tiles=1, size=64, frames=names, seed=1)
    assert not (tmp_path / "out").exists()


def test_something_must_be_simulated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one where there are no frames"):
        simulate(tmp_path, tiles=1, size=64, bands=(), seed=1)


def test_detectors_grow_with_the_survey() -> None:
    assert [pixels_for(size) for size in (64, 640, 1200, 19200)] == [32, 32, 60, 960]


@pytest.mark.parametrize("name", FRAMES)
def test_each_instrument_is_read_by_its_block(tmp_path: Path, name: str) -> None:
    """One dither of one band and few detectors: all scalars that it lists are of its instrument, nothing is refused."""
    one = FRAMES[name].of_band(FRAMES[name].bands[-1])
    if name not in ("KIDS", "TABLE"):
        camera = one.camera
        one = replace(
            one, camera=replace(camera, dithers=2, detectors=camera.detectors[:1] + camera.detectors[-1:])
        )
    sky = Sky(tiles_near(57.9988, -51.5, 1), 60.0, 4)
    one.write(tmp_path, sky, 16, one.camera)
    (tmp_path / "survey.toml").write_text(one.inputs)
    manifest = scan_inputs(load(tmp_path / "survey.toml").inputs)
    assert not manifest.refused
    assert len(manifest) >= 1
    assert {(ref.instrument, ref.band) for ref in manifest} == {(INSTRUMENTS[name], one.bands[0])}


def test_frames_alone_make_a_survey_of_every_map(tmp_path: Path) -> None:
    made = simulate(tmp_path, tiles=1, size=64, bands=(), frames=["KIDS_r"], seed=2)
    assert made.bands == ("KIDS_r",)
    assert not (tmp_path / "MER").exists() or not list((tmp_path / "MER").rglob("*.fits"))
    parameters = load(made.parameters)
    assert [one.reader for one in parameters.inputs] == ["kids"]
    assert parameters.survey.tiles == list(made.tiles)
    space = {"SAA", "AA", "BA", "Persistence"}
    assert parameters.info.maps == [
        f"{name}:{row.statistic}" for name, row in QUANTITIES.items() if name not in space
    ]
    assert parameters.site.extinction == {"KIDS_r": 0.09}
    assert {one.role for one in parameters.catalogues} == {"stars", "galaxies", "photoz"}
    assert "KIDS_r" in parameters.extinction.coefficients


def test_the_command_takes_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["simulate", str(tmp_path / "out"), "--tiles", "1", "--size", "64", "--bands", ""]
    with pytest.raises(SystemExit) as end:
        main([*given, "--frames", "KIDS_r, MEGACAM_u"])
    assert not end.value.code
    assert "bands KIDS_r, MEGACAM_u" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main([*given, "--frames", "KIDS,MIRI"])
    assert end.value.code
    assert "found MIRI" in capsys.readouterr().err


def test_a_detector_sees_the_same_whichever_others_there_are() -> None:
    sky = Sky(tiles_near(57.9988, -51.5, 1), 60.0, 4)
    camera = FRAMES["LSST"].camera
    few = replace(camera, detectors=camera.detectors[3:5])
    whole, part = next(shots(sky, camera)), next(shots(sky, few))
    part = replace(part, lon_deg=whole.lon_deg, lat_deg=whole.lat_deg)
    assert np.array_equal(whole.noise(4, (5, 7)), part.noise(1, (5, 7)))
    assert not np.array_equal(whole.noise(3, (5, 7)), part.noise(1, (5, 7)))
