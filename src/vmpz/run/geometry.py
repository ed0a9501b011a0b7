"""Geometric masks of a run: their catalogues, and the regions that reach into an image.

A mask may reach farther than its star is from the image, so catalogues of masks are read whole, once a process; what
does not reach the image is left out then.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vmpz import io
from vmpz.errors import InputError
from vmpz.frames import FileRef, Frame, FrameRef, Sources
from vmpz.make.geometry import Pointing, mask_columns, regions_of
from vmpz.make.outside import Outside
from vmpz.parameters import MaskParameters, Parameters
from vmpz.readers import read_star_masks
from vmpz.run.outside import identity_of, stamp_of
from vmpz.sky.regions import Region

__all__ = ["masks_digest", "must_have_catalogues", "pointings_of", "with_masks"]

POINTING = ("PointingLon", "PointingLat", "PositionAngle")


def with_masks(frame: Frame, parameters: Parameters, pointings: Sequence[Pointing] | None = None) -> Frame:
    """The image with the masks of the parameters.

    Parameters
    ----------
    frame : Frame
        An opened image.
    parameters : Parameters
    pointings : sequence of Pointing, optional
        The exposures that made the image; default those of its members.

    Raises
    ------
    InputError
        A catalogue is not what it must be.
    """
    if not parameters.masks:
        return frame
    outline, band = frame.ref.outline(), frame.ref.band
    seen = pointings_of(frame.ref) if pointings is None else pointings
    masks = {
        one.name: regions_of(one, _sources(one), band, near=outline, pointings=seen)
        for one in parameters.masks
    }
    return replace(frame, masks=masks)


def pointings_of(ref: FrameRef) -> tuple[Pointing, ...]:
    """Pointings and position angles of the exposures of an image, as far as they are known, each once."""
    if ref.exposures is None:
        return ()
    unknown, scalars = np.full(len(ref.exposures), np.nan), ref.exposures.scalars
    lon, lat, angle = (scalars.get(name, unknown) for name in POINTING)
    known = np.isfinite(lon + lat)
    rows = zip(lon[known].tolist(), lat[known].tolist(), np.nan_to_num(angle[known]).tolist(), strict=True)
    return tuple(Pointing(*row) for row in dict.fromkeys(rows))


def must_have_catalogues(parameters: Parameters) -> None:
    """Refuse a mask whose catalogue is not there before anything is made: no pixel could be counted without it.

    Raises
    ------
    InputError
        The message names the mask and the file.
    """
    for one in parameters.masks:
        if not Path(one.catalogue).is_file():
            raise InputError(f"[[masks]] {one.name}: catalogue must be a file, found none at {one.catalogue}")


def masks_digest(parameters: Parameters) -> dict[str, Any]:
    """Parameters of all masks and what identifies their catalogues, for digests; empty without masks."""
    return {
        one.name: {
            **one.model_dump(mode="json", exclude={"catalogue"}),
            "identity": identity_of(Outside("sources", one.catalogue)),
        }
        for one in parameters.masks
    }


def _sources(mask: MaskParameters) -> Sources | tuple[Region, ...]:
    return _read(mask.catalogue, mask_columns(mask), mask.positions, stamp_of(mask.catalogue))


@lru_cache(8)
def _read(
    location: str, columns: tuple[str, ...], positions: tuple[str, str] | None, stamp: tuple[int, int]
) -> Sources | tuple[Region, ...]:
    if location.endswith(".json"):
        return read_star_masks(FileRef(location))
    return io.read_sources(Path(location), columns, positions=positions)
