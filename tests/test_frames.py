"""Frames: outlines, leaving a frame, manifests."""

import pickle

import numpy as np
import pytest
from astropy.io.fits import Header

import readers_helpers as write
from vmpz.errors import InputError
from vmpz.frames import FileRef, Frame, FrameRef, Manifest


def reference(**cards: object) -> FrameRef:
    header = Header({**write.WCS_CARDS, **cards})
    text = header.tostring(sep="\n", endcard=False, padding=False)
    return FrameRef("euclid-mer", write.TILE, "VIS", "VIS", write.SHAPE, text, {"RMS": FileRef("x.fits")})


def flat_area(ref: FrameRef) -> float:
    """Solid angle of a small gnomonic image by summing cos^3 over its pixels, square degrees."""
    rows, columns = ref.shape
    scale = np.radians(2.777777777778e-05)
    x = (np.arange(columns) + 1 - ref.wcs.wcs.crpix[0]) * scale
    y = (np.arange(rows) + 1 - ref.wcs.wcs.crpix[1]) * scale
    return float(np.sum((1 + x**2 + y[:, None] ** 2) ** -1.5) * scale**2 * (180 / np.pi) ** 2)


def test_gnomonic_outline_is_its_four_outer_corners() -> None:
    ref = reference()
    outline = ref.outline()
    assert len(outline.vertices) == 4
    assert outline.area_deg2 == pytest.approx(flat_area(ref), rel=1e-9)


@pytest.mark.parametrize("centre", [(0.0, 0.0), (180.0, 89.9995), (0.0, -90.0)])
def test_outline_at_seams(centre: tuple[float, float]) -> None:
    ref = reference(CRVAL1=centre[0], CRVAL2=centre[1])
    assert ref.outline().area_deg2 == pytest.approx(flat_area(ref), rel=1e-8)


def test_axes_in_the_other_order_give_the_same_outline() -> None:
    swapped = reference(
        CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1=-51.5, CRVAL2=57.2045662,
        CD1_1=0.0, CD2_2=0.0, CD1_2=2.777777777778e-05, CD2_1=-2.777777777778e-05,
    )  # fmt: skip
    corner = swapped.outline().vertices[0]
    lat, lon = swapped.wcs.all_pix2world(-0.5, -0.5, 0)
    assert corner.tolist() == pytest.approx([float(lon), float(lat)], abs=1e-10)


def test_distorted_image_is_sampled_along_its_edges() -> None:
    distortion = {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV2_1": 1.0, "PV1_7": 0.5}
    assert len(reference(**distortion).outline().vertices) == 256


def test_reference_survives_a_pickle() -> None:
    ref = reference()
    assert pickle.loads(pickle.dumps(ref)) == ref
    assert ref.name == f"{write.TILE} VIS"


class Closing:
    """A plane that may refuse to close."""

    def __init__(self, closed: list[str], name: str, fails: bool) -> None:
        self.closed, self.name, self.fails = closed, name, fails

    def close(self) -> None:
        self.closed.append(self.name)
        if self.fails:
            raise InputError(self.name)


def test_leaving_a_frame_closes_every_plane_and_tells_a_change() -> None:
    closed: list[str] = []
    planes = {name: Closing(closed, name, name == "RMS") for name in ("IMAGE", "RMS", "FLAG")}
    with pytest.raises(InputError, match="RMS"), Frame(reference(), planes):  # type: ignore[arg-type]
        pass
    assert sorted(closed) == ["FLAG", "IMAGE", "RMS"]


def test_manifest_is_a_sequence_of_its_frames() -> None:
    manifest = Manifest((reference(), reference()))
    assert len(manifest) == 2
    assert list(manifest) == list(manifest.frames)


@pytest.mark.parametrize(
    ("locations", "names"),
    [
        (("/a/x.fits", "/a/y.fits"), ("x.fits", "y.fits")),
        (("/s/one/x.fits", "/s/two/x.fits"), ("one/x.fits", "two/x.fits")),
        (("/s/one/c/x.fits", "/s/two/c/x.fits", "y.fits"), ("one/c/x.fits", "two/c/x.fits", "y.fits")),
        (("/s/x.fits", "/s/x.fits", "/s/y.fits"), ("x.fits", "x.fits#2", "y.fits")),
    ],
)
def test_files_of_exposures_are_told_apart(locations: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Every file is an input of its own, by names that do not depend on where the whole survey lies."""
    members = tuple(
        FrameRef("generic", str(n), "X", "g", (0, 0), "", {"RMS": FileRef(where, identity=str(n))})
        for n, where in enumerate(locations)
    )
    area = FrameRef("generic", "7", "X", "g", (0, 0), "", {"RMS": FileRef("joined")}, members=members)
    found = area.files(["RMS"])
    assert {name: file.identity for name, file in found.items()} == {
        f"RMS:{name}": str(n) for n, name in enumerate(names)
    }
