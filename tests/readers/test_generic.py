"""Reader `generic`: noise in any form, values from headers or options, joining by pattern."""

import re
import textwrap
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import readers_helpers as write
from readers_conformance import check_reader
from vmpz.errors import InputError
from vmpz.frames import FrameRef, Manifest
from vmpz.readers import detectors_of, generic, open_frame, scan_inputs


def scan(folder: Path, **options: Any) -> Manifest:
    said = {"band": "g", "instrument": "CAM", **options}
    place = SimpleNamespace(reader="generic", location=str(folder), bands=None, options=said)
    return scan_inputs([place])


def the_frame(folder: Path, **options: Any) -> FrameRef:
    manifest = scan(folder, **options)
    assert not manifest.refused
    return manifest.frames[0]


def image(folder: Path, name: str, array: np.ndarray, **cards: Any) -> None:
    folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(write.image_bytes(array, {**write.WCS_CARDS, **cards}))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("rms", [2.0, 0.5, 0.0, -1.0, np.nan, np.inf]),
        ("variance", [4.0, 0.25, 0.0, -1.0, np.nan, np.inf]),
        ("weight", [0.25, 4.0, 0.0, -1.0, np.nan, np.inf]),
        ("inverse_variance", [0.25, 4.0, 0.0, -1.0, np.nan, np.inf]),
    ],
)
def test_every_form_of_noise_is_rms(tmp_path: Path, kind: str, values: list[float]) -> None:
    array = np.zeros(write.SHAPE)
    array[0, :6] = values
    image(tmp_path, "a.fits", array.astype(np.float32))
    with open_frame(the_frame(tmp_path, **{kind: "{id}.fits"}), ["RMS"]) as frame:
        found = frame.planes["RMS"].read(0, 1)[0]
    assert found[:2].tolist() == [2.0, 0.5]
    unobserved = ~((found > 0) & (found < 1e15))
    assert unobserved[2:].all()


def test_values_from_header_primary_header_and_options(tmp_path: Path) -> None:
    data = write.image_bytes(
        write.planes()["IMAGE"], {**write.WCS_CARDS, "MAGZP": "25.5", "RUN": 7}, first=False
    )
    primary = write.header_bytes(
        [("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("FILTER", "g"), ("EXPTIME", 90.0)]
    )
    (tmp_path / "f.fits").write_bytes(primary + data)
    frame = the_frame(
        tmp_path,
        image="{id}.fits",
        band="header:FILTER",
        instrument="CAM",
        zero_point="header:MAGZP",
        exposure_time_s="header:EXPTIME",
        gain=2,
        release="header:RUN",
    )
    assert (frame.area, frame.band, frame.instrument, frame.release) == ("f", "g", "CAM", "7")
    assert frame.scalars == pytest.approx(
        {"zero_point": 25.5, "exposure_time_s": 90.0, "gain": 2.0, "pixel_scale_arcsec": 0.1}
    )


@pytest.mark.parametrize("option", ["band", "instrument"])
def test_band_and_instrument_must_be_said(tmp_path: Path, option: str) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"])
    with pytest.raises(InputError, match=f"needs the option {option}: a name, or 'header:KEYWORD'"):
        scan(tmp_path, image="{id}.fits", **{option: None})


def test_a_keyword_that_is_not_there_is_answered_by_the_nearest(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"], PHOT_ZP=27.0)
    refused = scan(tmp_path, image="{id}.fits", zero_point="header:PHOTZP").refused
    assert refused[0].reason.endswith("PHOTZP must be present, found no such keyword, did you mean PHOT_ZP")


def test_what_is_not_said_is_noted(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["RMS"])
    image(tmp_path, "b.fits", write.planes()["FLAG"])
    frame = the_frame(tmp_path, rms="a.fits", flag="b.fits")
    assert frame.notes[:2] == (
        "flags have no bit table (option bit_table), so none can be used",
        "no depth can be made without the option zero_point",
    )


def test_there_is_no_default_zero_point(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"])
    assert "zero_point" not in the_frame(tmp_path, image="{id}.fits").scalars
    refused = scan(tmp_path, image="{id}.fits", zero_point="header:MAGZERO", band="g").refused
    assert [item.band for item in refused] == ["g"]
    assert "MAGZERO must be present" in refused[0].reason


def test_areas_are_the_free_part_of_the_pattern(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/c"):
        image(tmp_path, f"{name}_sci.fits", write.planes()["IMAGE"])
        image(tmp_path, f"{name}_rms.fits", write.planes()["RMS"])
    (tmp_path / "deep/c_rms.fits").unlink()
    manifest = scan(tmp_path, image="{id}_sci.fits", rms="{id}_rms.fits")
    assert [frame.area for frame in manifest] == ["a", "b", "deep/c"]
    assert set(manifest.frames[0].planes) == {"IMAGE", "RMS"}
    assert set(manifest.frames[2].planes) == {"IMAGE"}
    assert "the plane `rms` is missing" in manifest.frames[2].notes


def test_one_file_as_the_location(tmp_path: Path) -> None:
    image(tmp_path, "only.fits", write.planes()["IMAGE"])
    assert the_frame(tmp_path / "only.fits").area == "only"


def test_one_bad_frame_leaves_the_others(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"])
    image(tmp_path, "b.fits", write.planes()["IMAGE"], CD1_1=0.0)
    manifest = scan(tmp_path, image="{id}.fits")
    assert [frame.area for frame in manifest] == ["a"]
    assert [item.area for item in manifest.refused] == ["b"]


def test_planes_of_two_grids_are_refused(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"])
    image(tmp_path, "a_w.fits", write.planes()["RMS"], CRPIX2=21.0)
    reason = scan(tmp_path, image="{id}.fits", weight="{id}_w.fits").refused
    assert any("must have one WCS" in item.reason for item in reason)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, "at least one of the options"),
        ({"image": "../{id}.fits"}, "must be a file pattern"),
        ({"image": "/etc/{id}.fits"}, "must be a file pattern"),
        ({"image": "{id}{id}.fits"}, "must be a file pattern"),
        ({"image": 3}, "must be a file pattern"),
        ({"rms": "{id}.fits", "weight": "{id}.fits"}, "takes one of the options"),
        ({"imaeg": "{id}.fits"}, "options of reader generic must be among"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        scan(tmp_path, **options)


@pytest.mark.parametrize(
    "options", [{"zero_point": "25"}, {"gain": True}, {"bit_table": "none", "flag": "{id}.fits"}]
)
def test_wrong_values_are_told(tmp_path: Path, options: dict[str, Any]) -> None:
    image(tmp_path, "a.fits", np.zeros(write.SHAPE, np.int32))
    manifest = scan(tmp_path, image="{id}.fits", **options)
    assert not manifest.frames
    assert manifest.refused


def test_codes_come_with_their_table(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", np.full(write.SHAPE, 5, np.uint8))
    frame = the_frame(tmp_path, flag="{id}.fits", bit_table="decam-cp-codes")
    with open_frame(frame, ["FLAG"]) as opened:
        assert opened.bits is not None
        assert opened.bits.kind == "code"
        rows = opened.planes["FLAG"].read(0, 2)
        assert rows.dtype == np.int32
        assert np.all(rows == 5)


# -- images as exposures, and UNIONS ------------------------------------------------------------------------------


def test_scalars_of_exposures_from_options_and_headers(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"], AM=1.25, T=60000.0, N=4)
    options = {
        "image": "{id}.fits",
        "Airmass": "header:AM",
        "Seeing": 0.7,
        "Exposures": "header:N",
        "SAA": 91,
    }
    frame = the_frame(tmp_path, **options, MJD="header:T", exposure_time_s=200.0, zero_point=30.0)
    with open_frame(frame, ["LAYERS"]) as opened:
        assert opened.exposures is not None
        assert not opened.planes
        scalars = {name: values.tolist() for name, values in opened.exposures.scalars.items()}
        assert opened.exposures.ids == ("a",)
        assert opened.exposures.outline(0).area_deg2 == pytest.approx(frame.outline().area_deg2)
    assert scalars.pop("PixelScale") == pytest.approx([0.1])
    assert scalars == {
        "Airmass": [1.25], "Seeing": [0.7], "Exposures": [4.0], "SAA": [91.0], "MJD": [60000.0],
        "ExposureTime": [200.0], "Zeropoint": [30.0],
    }  # fmt: skip


def test_the_beginning_of_an_exposure_is_brought_to_its_middle(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"])
    options = {"image": "{id}.fits", "MJD": 60000.0, "mjd_is": "start"}
    assert the_frame(tmp_path, **options, exposure_time_s=864.0).scalars["MJD"] == 60000.005
    assert "needs exposure_time_s" in scan(tmp_path, **options).refused[0].reason
    options["mjd_is"] = "end"
    assert "mjd_is must be one of" in scan(tmp_path, **options).refused[0].reason


def test_without_scalars_an_image_is_no_exposure(tmp_path: Path) -> None:
    image(tmp_path, "a.fits", write.planes()["IMAGE"])
    frame = the_frame(tmp_path, image="{id}.fits", exposure_time_s=90)
    assert not frame.tables
    with open_frame(frame, ["LAYERS"]) as opened:
        assert opened.exposures is None


def test_tiles_of_unions_as_the_page_says(tmp_path: Path) -> None:
    """The example of the module, on files of these names: the weight tile-compressed in the first extension."""
    (block,) = re.findall(r"Tiles of UNIONS.*?::\n\n(.*)", str(generic.__doc__), re.DOTALL)
    (place,) = tomllib.loads(textwrap.dedent(block))["inputs"]
    planes = write.planes()
    for tile in ("217.292", "218.292"):
        image(tmp_path / "UNIONS", f"CFIS.{tile}.r.fits", planes["IMAGE"], EXPTIME=600.0)
        weight = fits.CompImageHDU(
            planes["RMS"] ** -2, fits.Header(write.WCS_CARDS), compression_type="GZIP_2", quantize_level=0.0
        )
        weight.writeto(tmp_path / "UNIONS" / f"CFIS.{tile}.r.weight.fits.fz")
    manifest = scan(tmp_path / place["location"], **place["options"])
    assert not manifest.refused
    assert [frame.area for frame in manifest] == ["217.292", "218.292"]
    frame = manifest.frames[0]
    assert (frame.band, frame.instrument, frame.telescope) == ("MEGACAM_r", "MEGACAM", "CFHT")
    assert (frame.scalars["zero_point"], frame.scalars["ExposureTime"]) == (30.0, 600.0)
    with open_frame(frame, ["RMS", "LAYERS"]) as opened:
        assert opened.planes["RMS"].read(0, 41)[:, 3:] == pytest.approx(planes["RMS"][:, 3:], rel=1e-6)
        assert opened.exposures is not None
        assert opened.exposures.scalars["Seeing"].tolist() == [0.7]


# -- files of several detectors -----------------------------------------------------------------------------------

CCDS = ("CCD00", "CCD01", "CCD02")


def camera(
    folder: Path, area: str, *, names: Any = CCDS, order: Any = (0, 1, 2), named_weights: bool = True
) -> None:
    """An exposure of three detectors: images, weights (in another order) and flags, a file each."""
    for kind in ("p", "w", "f"):
        hdus: list[Any] = [fits.PrimaryHDU(header=fits.Header({"FILTER": "r.MP9602", "EXPTIME": 200.0}))]
        for n in range(3) if kind == "p" else order:
            header = fits.Header(
                {**write.WCS_CARDS, "CRVAL2": -51.5 + 0.01 * n, "AM": 1.0 + 0.1 * n, "ZP": 26.0 + n}
            )
            planes = write.planes(seed=n)
            data = {"p": planes["IMAGE"], "w": planes["RMS"] ** -2, "f": planes["FLAG"]}[kind]
            name = names[n] if kind == "p" or named_weights else None
            hdus.append(fits.ImageHDU(data, header, name=name))
        fits.HDUList(hdus).writeto(folder / f"{area}{kind}.fits", checksum=True)


MEF = {
    "image": "{id}p.fits[*]", "weight": "{id}w.fits[*]", "flag": "{id}f.fits[*]", "band": "header:FILTER",
    "instrument": "MEGACAM", "Airmass": "header:AM", "zero_point": "header:ZP", "Seeing": 0.8,
    "exposure_time_s": "header:EXPTIME", "MJD": 60000.0, "mjd_is": "start", "bit_table": "desdm",
}  # fmt: skip


def test_every_image_of_a_file_is_a_detector(tmp_path: Path) -> None:
    camera(tmp_path, "1000", order=(2, 0, 1))
    ref = the_frame(tmp_path, **MEF)
    assert (ref.area, ref.band, ref.shape, ref.has_grid) == ("1000", "r.MP9602", (0, 0), False)
    assert set(ref.planes) == {"IMAGE", "RMS", "FLAG"}
    exposures = ref.exposures
    assert exposures is not None
    assert exposures.ids == tuple(f"1000[{name}]" for name in CCDS)
    scalars = {name: values.tolist() for name, values in exposures.scalars.items()}
    assert scalars.pop("PixelScale") == pytest.approx([0.1] * 3)
    assert scalars.pop("MJD") == pytest.approx([60000.0 + 100.0 / 86400.0] * 3, abs=1e-9)
    assert scalars == {
        "Airmass": [1.0, 1.1, 1.2], "Zeropoint": [26.0, 27.0, 28.0], "Seeing": [0.8] * 3, "ExposureTime": [200.0] * 3,
    }  # fmt: skip
    assert "zero_point" not in ref.scalars
    assert ref.scalars["exposure_time_s"] == 200.0
    with open_frame(ref, ["RMS"]) as opened:
        assert not opened.planes
        assert opened.exposures == exposures
    for row, one in zip((2, 0), detectors_of(ref, [2, 0]), strict=True):
        planes = write.planes(seed=row)
        assert (one.area, one.scalars["zero_point"]) == (exposures.ids[row], 26.0 + row)
        assert one.outline().area_deg2 == pytest.approx(exposures.outline(row).area_deg2)
        with open_frame(one, ["IMAGE", "RMS", "FLAG"]) as opened:
            found = {name: plane.read(0, 41) for name, plane in opened.planes.items()}
            assert opened.bits is not None
        assert np.array_equal(found["IMAGE"], planes["IMAGE"])
        assert found["RMS"][:, 3:] == pytest.approx(planes["RMS"][:, 3:], rel=1e-6)
        assert np.array_equal(found["FLAG"], planes["FLAG"])


def test_cameras_pass_the_common_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for area in ("1000", "1001"):
        camera(tmp_path, area, order=(1, 2, 0))
    check_reader("generic", tmp_path, MEF, monkeypatch)


def test_detectors_without_names_are_matched_by_order(tmp_path: Path) -> None:
    camera(tmp_path, "7", names=("", "", ""))
    ref = the_frame(tmp_path, **MEF)
    assert ref.exposures is not None
    assert ref.exposures.ids == ("7[1]", "7[2]", "7[3]")
    with open_frame(detectors_of(ref, [1])[0], ["FLAG"]) as opened:
        assert np.array_equal(opened.planes["FLAG"].read(0, 41), write.planes(seed=1)["FLAG"])


def test_nameless_weights_follow_the_order_of_the_detectors(tmp_path: Path) -> None:
    camera(tmp_path, "7", named_weights=False)
    ref = the_frame(tmp_path, **MEF)
    with open_frame(detectors_of(ref, [2])[0], ["FLAG"]) as opened:
        assert np.array_equal(opened.planes["FLAG"].read(0, 41), write.planes(seed=2)["FLAG"])


def _without(path: Path, number: int) -> None:
    with fits.open(path) as hdus:
        fits.HDUList([one.copy() for n, one in enumerate(hdus) if n != number]).writeto(path, overwrite=True)


def _move(path: Path) -> None:
    fits.setval(path, "CRVAL2", value=-51.0, ext=1)
    for key in ("CHECKSUM", "DATASUM"):
        fits.delval(path, key, ext=1)


def _number_flags(path: Path) -> None:
    with fits.open(path) as hdus:
        for n, hdu in enumerate(hdus[1:]):
            hdu.header["MP_BAD"] = n
        hdus.writeto(path, overwrite=True, checksum=True)


@pytest.mark.parametrize(
    ("kind", "spoil", "rule"),
    [
        ("w", lambda path: _without(path, 2), "must hold an image for each detector"),
        ("p", lambda path: path.write_bytes(path.read_bytes()[:-2880]), "cut"),
        ("w", _move, "must have one WCS"),
        ("f", _number_flags, "flags must be numbered as in"),
        ("p", lambda path: fits.PrimaryHDU().writeto(path, overwrite=True), "must hold images of two axes"),
    ],
)
def test_faults_of_cameras(tmp_path: Path, kind: str, spoil: Any, rule: str) -> None:
    camera(tmp_path, "1000")
    spoil(tmp_path / f"1000{kind}.fits")
    (refused,) = scan(tmp_path, **MEF).refused
    assert rule in refused.reason
    assert f"1000{kind}.fits" in refused.reason


def test_a_camera_that_changed_is_refused(tmp_path: Path) -> None:
    camera(tmp_path, "1000")
    ref = the_frame(tmp_path, **MEF)
    _move(tmp_path / "1000w.fits")
    _move(tmp_path / "1000p.fits")
    _move(tmp_path / "1000f.fits")
    with pytest.raises(InputError, match="must be the file that was listed"):
        detectors_of(ref, [0])


def test_all_planes_are_of_detectors_or_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="for all planes or for none"):
        scan(tmp_path, image="{id}p.fits[*]", weight="{id}w.fits")
