"""What every reader must do, checked on whatever location it is given: call `check_reader`."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vmpz.errors import InputError
from vmpz.files import fits as fits_file
from vmpz.files.hdu import check_data_sum, data_sum
from vmpz.frames import FrameRef, Manifest
from vmpz.readers import detectors_of, open_frame, reader, scan_inputs
from vmpz.sky.regions import polygon_area_deg2

CANONICAL = {"IMAGE", "RMS", "FLAG", "BACKGROUND"}
TABLES = {"PSF", "PSFIMAGE", "LAYERS", "STARMASK"}


class Opens:
    """Records every data file that is opened, by replacing the one function that opens them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        original = fits_file.open_regular

        def recording(location: str) -> Any:
            self.paths.append(str(location))
            return original(location)

        for module in ("files.fits", "files.xml", "readers.euclid", "readers.descriptors", "readers.tables"):
            monkeypatch.setattr(f"vmpz.{module}.open_regular", recording)

    def taken(self) -> set[str]:
        """Paths opened since the last call."""
        found, self.paths = set(self.paths), []
        return found


def scan(name: str, location: Path, options: Mapping[str, Any], **selection: Any) -> Manifest:
    place = SimpleNamespace(reader=name, location=str(location), bands=None, options=dict(options))
    return scan_inputs([place], **selection)


def check_reader(
    name: str, location: Path, options: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run all checks; the location must hold at least one frame and nothing to refuse."""
    opens = Opens(monkeypatch)
    manifest = scan(name, location, options)
    assert len(manifest) > 0
    assert not manifest.refused
    listed = opens.taken()
    for ref in manifest:
        assert {plane.location for plane in ref.planes.values()} <= listed
        for image in _images(ref, opens):
            _check_reference(image, name)
            _check_planes(image, opens)
    _check_order(manifest, name, location, options)
    _check_selection(manifest, name, location, options, opens)


def _images(ref: FrameRef, opens: Opens) -> list[FrameRef]:
    """The frame itself, or the first and the last detector of an exposure, whose listing opens only their files."""
    if ref.has_grid:
        return [ref]
    exposures = ref.exposures
    assert exposures is not None
    assert len(set(exposures.ids)) == len(exposures) == len(exposures.corners)
    assert all(one.startswith(f"{ref.area}[") and one.endswith("]") for one in exposures.ids)
    assert "/" not in ref.area
    assert all(column.shape == (len(exposures),) for column in exposures.scalars.values())
    assert pickle.loads(pickle.dumps(ref)) == ref
    opens.taken()
    with open_frame(ref, CANONICAL) as frame:
        assert not frame.planes
        assert frame.exposures == exposures
        assert not opens.taken()
    rows = sorted({0, len(exposures) - 1})
    images = list(detectors_of(ref, rows))
    opened = opens.taken()
    assert {plane.location for image in images for plane in image.planes.values()} <= opened
    assert detectors_of(ref, rows[::-1]) == images[::-1]
    assert [image.area for image in images] == [exposures.ids[row] for row in rows]
    assert all((image.instrument, image.band) == (ref.instrument, ref.band) for image in images)
    assert all(set(image.planes) == set(ref.planes) for image in images)
    return images


def _area_of_pixels(ref: FrameRef, patches: int = 8) -> float:
    """Area of an image in square degrees, as the sum of patches of pixels with straight edges."""
    rows, columns = ref.shape
    x, y = np.meshgrid(np.linspace(0, columns, patches + 1) - 0.5, np.linspace(0, rows, patches + 1) - 0.5)
    lon, lat = ref.wcs.celestial.all_pix2world(x, y, 0)
    if ref.wcs.wcs.lng == 1:
        lon, lat = lat, lon
    corner = np.stack((lon, lat), axis=-1)
    quads = np.stack((corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]), axis=2)
    return sum(polygon_area_deg2(quad) for quad in quads.reshape(-1, 4, 2))


def _check_reference(ref: FrameRef, name: str) -> None:
    assert ref.reader == name
    assert reader(name).open is not None
    assert pickle.loads(pickle.dumps(ref)) == ref
    assert set(ref.planes) <= CANONICAL
    assert ref.planes
    assert set(ref.tables) <= TABLES | {"XML"}
    rows, columns = ref.shape
    lon, lat = ref.wcs.all_pix2world([0, columns - 1], [0, rows - 1], 0)
    assert np.isfinite([lon, lat]).all()
    assert ref.outline().area_deg2 == pytest.approx(_area_of_pixels(ref), rel=1e-3)
    if not any(name in ref.wcs_cards for name in ("SIP", "TPV")):
        flat = rows * columns * (ref.scalars["pixel_scale_arcsec"] / 3600) ** 2
        assert ref.outline().area_deg2 == pytest.approx(flat, rel=1e-3)
    assert all(np.isfinite(value) for value in ref.scalars.values())
    assert all(
        file.identity and file.size == Path(file.location).stat().st_size for file in ref.planes.values()
    )


def _check_planes(ref: FrameRef, opens: Opens) -> None:
    opens.taken()
    with open_frame(ref, ()) as frame:
        assert not frame.planes
    assert not opens.taken()
    for name, file in ref.planes.items():
        with open_frame(ref, [name]) as frame:
            assert set(frame.planes) == {name}
            assert opens.taken() == {file.location}
            plane = frame.planes[name]
            assert (plane.name, plane.shape) == (name, ref.shape)
            assert plane.dtype.itemsize == 4
            assert plane.dtype.kind in ("iu" if name == "FLAG" else "f")
            whole = _blocks(plane, 7)
            if plane.datasum is not None:
                check_data_sum(data_sum(whole.tobytes()), plane.datasum, plane.where)
        with open_frame(ref, [name]) as frame:
            buffer = np.empty((16, ref.shape[1]), np.int32)
            assert _blocks(frame.planes[name], 16, buffer).tobytes() == whole.tobytes()
        with open_frame(ref, [name]) as frame, pytest.raises(ValueError):
            frame.planes[name].read(0, ref.shape[0] + 1)
        opens.taken()
    with open_frame(ref, CANONICAL | TABLES) as frame:
        assert set(frame.planes) == set(ref.planes)
        assert (frame.psf is None) == ("PSF" not in ref.tables)
        assert (frame.exposures is None) == ("LAYERS" not in ref.tables)
        assert (frame.star_masks is None) == ("STARMASK" not in ref.tables)


def _blocks(plane: Any, height: int, buffer: Any = None) -> np.ndarray:
    rows = plane.shape[0]
    parts = []
    for start in range(0, rows, height):
        stop = min(start + height, rows)
        part = plane.read(start, stop, None if buffer is None else buffer[: stop - start])
        assert part.shape == (stop - start, plane.shape[1])
        assert part.dtype == plane.dtype
        parts.append(part.copy())
    return np.concatenate(parts).astype(plane.dtype)


def _check_order(manifest: Manifest, name: str, location: Path, options: Mapping[str, Any]) -> None:
    keys = [(ref.area, ref.instrument, ref.band) for ref in manifest]
    assert keys == sorted(set(keys))
    again = scan(name, location, options)
    assert again == manifest
    place = SimpleNamespace(reader=name, location=str(location), bands=None, options=dict(options))
    twice = scan_inputs([place, place])
    assert twice.frames == manifest.frames
    assert not twice.refused


def _check_selection(
    manifest: Manifest, name: str, location: Path, options: Mapping[str, Any], opens: Opens
) -> None:
    first = manifest.frames[0]
    chosen = scan(name, location, options, tiles=[first.area])
    assert chosen.frames == tuple(ref for ref in manifest if ref.area == first.area)
    opens.taken()
    assert scan(name, location, options, bands=["no such band"]).frames == ()
    plane = next(iter(first.planes))
    opens.taken()
    only = scan(name, location, options, tiles=[first.area], bands=[first.band], planes=[plane])
    touched = opens.taken()
    assert [set(ref.planes) for ref in only] == [{plane}]
    others = {file.location for ref in manifest for key, file in ref.planes.items() if key != plane}
    assert not touched & (others - {first.planes[plane].location})
    with pytest.raises(InputError, match="options of reader"):
        scan(name, location, {**options, "no_such_option": 1})
