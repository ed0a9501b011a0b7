"""Exposures gathered by area: which tiles, whose flags, which scalars; on references that no file stands behind."""

from typing import Any

import numpy as np
import pytest

from sky_helpers import tangent_square
from vmpz.errors import InputError
from vmpz.frames import Exposures, FileRef, FrameRef, Manifest
from vmpz.parameters import Parameters
from vmpz.run.gathering import gather
from vmpz.run.plan import make_plan
from vmpz.tiles import tiling

TILE, NEXT = "102018211", "102018210"


def parameters(**sections: Any) -> Parameters:
    return Parameters.model_validate({"inputs": [{"location": "."}], "maps": {"order": 11}, **sections})


def exposure(area: str, bit_table: str = "desdm", scale: float | None = 0.26, **options: Any) -> FrameRef:
    """Two detectors over the middle of the tile and beyond."""
    corners = np.array([tangent_square(58.2, -51.5, 0.3), tangent_square(57.6, -51.5, 0.3)])
    scalars = {"ExposureTime": np.array([90.0, 90.0])}
    if scale is not None:
        scalars["PixelScale"] = np.array([scale, scale + 0.02])
    return FrameRef(
        "decam", area, "DECAM", "DECAM_g", (0, 0), "", {name: FileRef(f"{area}.fits") for name in ("RMS", "FLAG")},
        bit_table=bit_table, exposures=Exposures((f"{area}[1]", f"{area}[2]"), corners, scalars), options=options,
    )  # fmt: skip


def gathered(*refs: FrameRef, **sections: Any) -> Manifest:
    return gather(Manifest(tuple(refs)), parameters(**sections), tiling("euclid-wide"))


def test_only_the_tiles_that_are_asked_for_are_areas() -> None:
    every = {ref.area for ref in gathered(exposure("a"))}
    assert {TILE, NEXT} < every
    (one,) = gathered(exposure("a"), survey={"tiles": [TILE]})
    assert one.area == TILE
    plan = make_plan(gathered(exposure("a"), survey={"tiles": [TILE]}), parameters(survey={"tiles": [TILE]}))
    assert {job.area for job in plan.jobs} == {TILE}


def test_a_tile_that_nothing_touches_is_told() -> None:
    asked = {"tiles": [TILE, "102000001"]}
    with pytest.raises(InputError, match=r"\[survey\] tiles: tile must be among 102018211; found 102000001"):
        make_plan(gathered(exposure("a"), survey=asked), parameters(survey=asked))


def test_flags_that_would_be_lost_are_refused() -> None:
    """The vetoed bits of one pipeline have no names in the table of another: they would be read as clean."""
    made = gathered(exposure("a"), exposure("b", "decam-cp-codes"), survey={"tiles": [TILE]})
    assert not made.frames
    (refused,) = made.refused
    assert (refused.area, refused.instrument, refused.band) == (TILE, "DECAM", "DECAM_g")
    assert (
        "found BAD, NOVALUE, SATURATED, BLEED, COSMIC (table decam-cp-codes) in b, not in a" in refused.reason
    )
    assert "[bitmask] table" in refused.reason


def test_a_table_that_is_named_is_that_of_all() -> None:
    made = gathered(
        exposure("a"),
        exposure("b", "decam-cp-codes"),
        survey={"tiles": [TILE]},
        bitmask={"table": {"DECAM": "desdm"}},
    )
    assert len(made.frames) == 1
    assert not made.refused


def test_the_scale_of_an_area_is_the_mean_of_its_detectors() -> None:
    (one,) = gathered(exposure("a"), exposure("b", scale=0.3), survey={"tiles": [TILE]})
    assert one.exposures is not None
    assert one.scalars["pixel_scale_arcsec"] == pytest.approx(one.exposures.scalars["PixelScale"].mean())
    (none,) = gathered(exposure("a", scale=None), survey={"tiles": [TILE]})
    assert "pixel_scale_arcsec" not in none.scalars
