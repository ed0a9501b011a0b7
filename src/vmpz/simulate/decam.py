"""DECam: everything that the reader `decam` reads, below one folder."""

from collections.abc import Collection
from pathlib import Path

from vmpz.simulate.decamcp import CAMERA, write_community
from vmpz.simulate.desdm import write_coadd, write_single_epoch
from vmpz.simulate.exposures import Camera
from vmpz.simulate.field import Sky

__all__ = ["CAMERA", "COMMUNITY", "FOLDER", "INPUTS", "write_decam"]

FOLDER = "DECAM"
INPUTS = f"""
[[inputs]]
reader = "decam"
location = "{FOLDER}"
[inputs.options]
forms = ["community", "desdm"]
"""
"""The exposures; a coadd is an image of its own area."""
COMMUNITY = INPUTS.replace('["community", "desdm"]', '["community"]')
"""Those of one pipeline: flags of the two have different names."""


def write_decam(
    folder: Path,
    sky: Sky,
    *,
    pixels: int = 64,
    ccds: Collection[str] | None = None,
    camera: Camera = CAMERA,
) -> None:
    """Write exposures below `community` and `desdm`, and a coadd below `coadd`.

    Parameters
    ----------
    folder : Path
    sky : Sky
    pixels : int
        Rows of a CCD, even; the columns are half as many.
    ccds : collection of str, optional
        Names of the CCDs of Community Pipeline files that are written (all).
    camera : Camera
        With all its detectors; its bands and dithers are written.
    """
    write_community(folder / "community", sky, pixels=pixels, ccds=ccds, camera=camera)
    write_single_epoch(folder / "desdm", sky, pixels=pixels, camera=camera)
    write_coadd(folder / "coadd", sky)
