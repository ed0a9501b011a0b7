"""Planes in memory, small frames, and the slow obvious version of the one pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.wcs import WCS

from vmpz.bits import Selection
from vmpz.frames import Frame, FrameRef
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet

NONE = Selection((), ())


class ArrayPlane:
    """A plane that is an array; counts what is read, and refuses disorder where it is sequential."""

    def __init__(self, name, array, *, datasum=None, sequential=False):
        self.name, self.array, self.shape, self.dtype = name, array, array.shape, array.dtype
        self.datasum, self.sequential, self.where = datasum, sequential, f"{name.lower()}.fits[0]"
        self.next, self.rows_read = 0, 0

    def read(self, start, stop, out=None):
        if self.sequential:
            assert start == self.next
            self.next = stop
        self.rows_read += stop - start
        return self.array[start:stop]

    def close(self):
        pass


def image_wcs(lon, lat, size, scale_arcsec, *, rotation=0.0, flip=False, dec_first=False, kind="TAN"):
    """WCS of a square image: TAN, SIP or TPV."""
    wcs = WCS(naxis=2)
    names = ["RA---" + kind[:3], "DEC--" + kind[:3]] if kind != "SIP" else ["RA---TAN-SIP", "DEC--TAN-SIP"]
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    cd = scale_arcsec / 3600 * np.array([[c if flip else -c, s], [s if not flip else -s, c]])
    wcs.wcs.crpix = [size / 2 + 0.5, size / 2 + 0.5]
    wcs.wcs.crval = [lon, lat]
    if dec_first:
        names, cd = names[::-1], cd[::-1]
        wcs.wcs.crval = [lat, lon]
    wcs.wcs.ctype = names
    wcs.wcs.cd = cd
    if kind == "SIP":
        from astropy.wcs import Sip

        a, b = np.zeros((4, 4)), np.zeros((4, 4))
        a[2, 0], a[0, 2], a[1, 1], a[3, 0] = 2e-6, -1e-6, 5e-7, 3e-10
        b[0, 2], b[2, 0], b[1, 1], b[0, 3] = -2e-6, 1e-6, 4e-7, -2e-10
        wcs.sip = Sip(a * (1000 / size), b * (1000 / size), None, None, wcs.wcs.crpix)
    if kind == "TPV":
        half = size * scale_arcsec / 7200
        wcs.wcs.set_pv(
            [(1, 0, 0.0), (1, 1, 1.0), (1, 4, 2e-3 / half), (1, 7, 1e-3 / half**2),
             (2, 0, 0.0), (2, 1, 1.0), (2, 4, -1e-3 / half), (2, 7, 2e-3 / half**2)]
        )  # fmt: skip
    wcs.wcs.set()
    return wcs


def frame_of(
    planes: Mapping[str, Any], wcs: WCS, *, bits=None, star_masks=None, masks=None, **options
) -> Frame:
    """A frame of arrays (or of planes)."""
    opened = {k: v if hasattr(v, "read") else ArrayPlane(k, v, **options) for k, v in planes.items()}
    shape = next(iter(opened.values())).shape
    ref = FrameRef(
        "memory", "102018211", "VIS", "VIS", shape, wcs.to_header(relax=True).tostring(sep="\n"), {}
    )
    return Frame(ref, opened, star_masks=star_masks, bits=bits, masks=masks or {})


def cells_of_pixels(wcs, shape, order, rows=None, columns=None):
    """The exact assignment, pixel by pixel."""
    if rows is None:
        rows, columns = np.mgrid[: shape[0], : shape[1]]
    world = wcs.all_pix2world(columns.ravel().astype(float), rows.ravel().astype(float), 0)
    return hpx.cells_at(world[wcs.wcs.lng], world[wcs.wcs.lat], order).reshape(rows.shape)


def most_frequent(value):
    """By counting every value; the lowest on ties."""
    different, times = np.unique(value, return_counts=True)
    return different[np.argmax(times)]


def weighted_median(value, weight):
    """Half of the weight on either side of the sorted list, summed in extended precision."""
    order = np.argsort(value)
    running = np.cumsum(weight[order].astype(np.longdouble))
    reached, passed = (np.searchsorted(running, running[-1] / 2, side) for side in ("left", "right"))
    return (value[order[reached]] + value[order[passed]]) / 2


def slow_pass(
    planes: Mapping[str, Any],
    assignment,
    cells: CellSet,
    selections: Sequence[Selection],
    good=NONE,
    rms_max=1e6,
    masked=None,
    virtual=1,
):
    """Every count and moment by loops over cells, in float64; `masked` holds the virtual bits of each pixel."""
    shape = assignment.shape
    flags = planes.get("FLAG", np.zeros(shape, np.int32)).astype(np.int64) & 0xFFFFFFFF
    flags = flags | (0 if masked is None else masked.astype(np.int64) << 32)
    if "RMS" in planes:
        rms = planes["RMS"].astype(np.float32)
        valid = np.isfinite(rms) & (rms >= np.finfo(np.float32).tiny) & (rms < np.float32(1e15))
        usable = valid & (rms <= np.float32(rms_max))
    else:
        valid = np.isfinite(planes["IMAGE"]) if "IMAGE" in planes else np.ones(shape, bool)
        usable = valid
    samples = {"valid": valid, "good": usable & ((flags & good.mask) == 0)}
    out: dict[str, list] = {}

    def put(name, value):
        out.setdefault(name, []).append(value)

    touched = np.unique(assignment[cells.index(assignment) >= 0])
    for cell in touched:
        here = assignment == cell
        put("found", here.sum())
        put("valid", (valid & here).sum())
        put("usable", (usable & here).sum())
        for bit in range(32 + virtual):
            put(f"bit.{bit:02d}", ((flags[here] >> bit) & 1).sum())
        for selection in selections:
            hit = (flags & selection.mask) != 0
            put(f"flagged.{selection.text}", (hit & here).sum())
            put(f"good.{selection.text}", (usable & ~hit & here).sum())
        for name in ("RMS", "BACKGROUND", "IMAGE", "WEIGHT"):
            for sample, chosen in samples.items():
                if name not in planes:
                    continue
                value = planes[name][here & chosen].astype(np.float32).astype(np.float64)
                finite = np.isfinite(value)
                value = value[finite]
                put(f"{name}.{sample}.n", value.size)
                for moment, function in (
                    ("mean", np.mean), ("m2", lambda v: np.sum((v - v.mean()) ** 2)),
                    ("min", np.min), ("max", np.max), ("mode", most_frequent),
                    ("median", np.median), ("q25", lambda v: np.quantile(v, 0.25)),
                    ("q90", lambda v: np.quantile(v, 0.9)),
                ):  # fmt: skip
                    put(f"{name}.{sample}.{moment}", function(value) if value.size else np.nan)
                if "RMS" in planes:
                    weight = 1 / planes["RMS"][here & chosen].astype(np.float64)[finite] ** 2
                    put(f"{name}.{sample}.wsum", weight.sum())
                    put(f"{name}.{sample}.wmedian", weighted_median(value, weight) if value.size else np.nan)
                    put(
                        f"{name}.{sample}.wmean",
                        np.sum(weight * value) / weight.sum() if value.size else np.nan,
                    )
    return touched, {name: np.array(values) for name, values in out.items()}
