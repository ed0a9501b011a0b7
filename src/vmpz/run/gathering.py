"""Gathering: which exposures belong to which area.

Mosaics come with the name of their tile. An exposure lies where it lies: it belongs to every area that owns a cell its
detectors touch. The exposures of one instrument and band over one area become one frame, their `members`; where there
is a mosaic of that tile and band as well, it keeps its planes (unless [exposures] says otherwise) and gets the
exposures beside them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.frames import Exposures, FileRef, FrameRef, Manifest, Refused
from vmpz.parameters import Parameters
from vmpz.products import digest_of
from vmpz.readers import bits_of, exposure_of_image
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.covers import unit_vectors
from vmpz.sky.shares import outline_shares
from vmpz.tiles import Tiling

__all__ = ["gather"]

Rows = NDArray[np.int64]
Place = tuple[str, str, str]


def gather(manifest: Manifest, parameters: Parameters, tiling: Tiling) -> Manifest:
    """The manifest with one frame an area, instrument and band, in this order.

    Raises
    ------
    InputError
        An outline is none, or the tiling has no tile where it should.
    """
    frames = {
        (ref.area, ref.instrument, ref.band): _as_exposure(ref) if _has_scalars(ref) else ref
        for ref in manifest
        if _is_of_tile(ref, tiling)
    }
    members: dict[Place, list[tuple[FrameRef, Rows]]] = defaultdict(list)
    tiles = _tiles(frames, parameters, tiling)
    beyond = set()
    for ref in manifest:
        if not _is_of_tile(ref, tiling):
            exposure = _as_exposure(ref)
            for area, rows in _areas_of(exposure, parameters.maps.order, tiling):
                if tiles is None or area in tiles:
                    members[area, ref.instrument, ref.band].append((exposure, rows))
                else:
                    beyond.add(area)
    refused = [replace(one, exposure=not _names_tile(one.area, tiling)) for one in manifest.refused]
    for place, found in members.items():
        ref = _gathered(place, frames.get(place), found, parameters)
        if reason := _lost_flags(ref, parameters):
            refused.append(Refused(*place, reason))
        else:
            frames[place] = ref
    ordered = tuple(frames[place] for place in sorted(frames))
    told = (f"exposures touch {len(beyond)} tiles more, which have no mosaic: [survey] tiles may name them",)
    notes = told if beyond and parameters.survey.tiles is None else ()
    return replace(manifest, frames=ordered, refused=tuple(refused), notes=(*manifest.notes, *notes))


def _tiles(frames: Iterable[Place], parameters: Parameters, tiling: Tiling) -> set[str] | None:
    """Tiles that exposures are gathered for: those named, else those that have mosaics, else (None) all they touch."""
    if parameters.survey.tiles is not None:
        return set(parameters.survey.tiles)
    return None if tiling.kind == "inputs" else {area for area, _, _ in frames} or None


def _lost_flags(ref: FrameRef, parameters: Parameters) -> str | None:
    """Why the flags of exposures cannot be read together: bits that one vetoes have no name in the area's table."""
    table = None if ref.has_grid else bits_of(ref)
    if table is None or {ref.band, ref.instrument} & parameters.bitmask.table.keys():
        return None
    for member in ref.members:
        own = bits_of(member)
        lost = [name for name in own.default if name not in table.by_name] if own is not None else []
        if own is not None and lost:
            return (
                f"{ref.name}: flags of exposures must have the same names, found {', '.join(lost)} (table {own.name}) "
                f"in {member.area}, not in {ref.members[0].area} (table {table.name}): take exposures of one kind, or "
                "name their table in [bitmask] table"
            )
    return None


def _is_of_tile(ref: FrameRef, tiling: Tiling) -> bool:
    """Whether a frame is the image of the tile of its name."""
    if not ref.has_grid:
        return False
    if tiling.kind == "inputs" or ref.reader == "euclid-mer":
        return True
    return _names_tile(ref.area, tiling) and (tiling.kind == "mer-tiles" or _lies_in_its_tile(ref, tiling))


def _names_tile(area: str, tiling: Tiling) -> bool:
    """Whether a tile may have that name."""
    names = tiling.names
    return area.isdecimal() if names is None else area in names


def _lies_in_its_tile(ref: FrameRef, tiling: Tiling) -> bool:
    """Whether the middle of an image lies in the tile of its name: exposures may have numbers for names too."""
    x, y, z = unit_vectors(*np.transpose(ref.outline().vertices)).sum(axis=0)
    lon, lat = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
    middle = CellSet.from_cells(hpx.MAX_ORDER, hpx.cells_at(lon, lat, hpx.MAX_ORDER).reshape(1))
    return [area for area, _ in tiling.sharing(middle)] == [ref.area]


def _has_scalars(ref: FrameRef) -> bool:
    """Whether an image is told to be an exposure too: a coadd, say, with its total time and airmass."""
    return ref.reader != "euclid-mer" and "LAYERS" in ref.tables


def _as_exposure(ref: FrameRef) -> FrameRef:
    """An image as an exposure of one detector."""
    return ref if ref.exposures is not None else replace(ref, exposures=exposure_of_image(ref))


def _areas_of(exposure: FrameRef, order: int, tiling: Tiling) -> Iterable[tuple[str, Rows]]:
    """Areas that own a cell of an exposure, and the detectors that touch such cells."""
    table = exposure.exposures
    if table is None or not len(table):
        return
    row, cell, _ = outline_shares(table.corners, order)
    touched = CellSet.from_cells(order, cell[np.diff(cell, prepend=-1) > 0])  # ascending, often twice
    for area, cells in tiling.sharing(touched):
        yield area, np.unique(row[cells.index(cell) >= 0]).astype(np.int64)


def _gathered(
    place: Place, mosaic: FrameRef | None, found: Sequence[tuple[FrameRef, Rows]], parameters: Parameters
) -> FrameRef:
    """The frame of an area: its exposures, beside the mosaic's planes or with their own."""
    found = sorted(found, key=lambda pair: pair[0].area)
    members = tuple(member for member, _ in found)
    tables = [member.exposures[rows] for member, rows in found if member.exposures is not None]
    exposures = Exposures.joined(tables)
    rows = {member.area: [int(row) for row in chosen] for member, chosen in found}
    listed = {"LAYERS": _together("exposures", members, {one.area: exposures.digest for one in members})}
    if mosaic is not None and parameters.exposures.planes == "mosaic":
        note = f"scalars of exposures are those of {len(members)} frames of reader {members[0].reader}"
        return replace(
            mosaic,
            exposures=exposures,
            members=members,
            tables={**mosaic.tables, **listed},
            notes=(*mosaic.notes, note),
            options={**mosaic.options, "rows": rows},
        )
    area, instrument, band = place
    scaled = bool(np.isfinite(exposures.scalars.get("Zeropoint", np.full(1, np.nan))).all())
    if all("PSF" in member.tables for member in members):
        listed["PSF"] = _joined([member.tables["PSF"] for member in members])
    first = members[0]
    return FrameRef(
        reader=first.reader,
        area=area,
        instrument=instrument,
        band=band,
        shape=(0, 0),
        wcs_cards="",
        planes=_planes(members),
        tables=listed,
        scalars={
            **({"zero_point": parameters.exposures.zero_point} if scaled else {}),
            **_pixel_scale(exposures),
        },
        bit_table=first.bit_table,
        release=first.release if len({one.release for one in members}) == 1 else "-1",
        created=max(member.created for member in members),
        date_obs=_first([member.date_obs for member in members], min),
        date_end=_first([member.date_end for member in members], max),
        telescope=first.telescope,
        notes=_notes(members),
        options={
            "rows": rows,
            "flag_bits": _flag_bits(members),
            "flag_bits_by_name": any(one.options.get("flag_bits_by_name") for one in members),
        },
        exposures=exposures,
        members=members,
    )


def _pixel_scale(exposures: Exposures) -> dict[str, float]:
    """Mean side of the pixels."""
    scale = exposures.scalars.get("PixelScale", np.empty(0))
    known = np.isfinite(scale)
    return {"pixel_scale_arcsec": float(scale[known].mean())} if known.any() else {}


def _first(dates: Iterable[str], choose: Any) -> str:
    known = [date for date in dates if date != "-1"]
    return str(choose(known)) if known else "-1"


def _planes(members: Sequence[FrameRef]) -> dict[str, FileRef]:
    """Planes that every exposure has."""
    common = set.intersection(*(set(member.planes) for member in members))
    return {name: _joined([member.planes[name] for member in members]) for name in sorted(common)}


def _joined(files: Sequence[FileRef]) -> FileRef:
    """Files of several exposures as one."""
    identity = digest_of("files", 1, {}, {f"{n}": file.identity for n, file in enumerate(files)})
    return FileRef(
        f"{len(files)} exposures",
        0,
        sum(file.size for file in files),
        identity,
        all(file.verifiable for file in files),
    )


def _together(what: str, members: Sequence[FrameRef], identities: Mapping[str, str]) -> FileRef:
    files = [next(iter({**one.planes, **one.tables}.values()), None) for one in members]
    return FileRef(
        f"{len(members)} {what}",
        identity=digest_of(what, 1, {}, dict(identities)),
        verifiable=all(file is not None and file.verifiable for file in files),
    )


def _notes(members: Sequence[FrameRef]) -> tuple[str, ...]:
    """Notes of the exposures, each once, and planes that only some of them have."""
    common = set.intersection(*(set(member.planes) for member in members))
    some = sorted({name for member in members for name in member.planes} - common)
    lacking = {name: next(one.area for one in members if name not in one.planes) for name in some}
    return (
        *dict.fromkeys(note for member in members for note in member.notes),
        *(f"the plane {name} is not used: {area} has none" for name, area in lacking.items()),
    )


def _flag_bits(members: Sequence[FrameRef]) -> dict[str, int]:
    """Bits that headers name, under the numbers that the first exposure gives; others follow, up to 31."""
    joined: dict[str, int] = {}
    for member in members:
        for name, number in sorted(member.options.get("flag_bits", {}).items(), key=lambda item: item[1]):
            if name not in joined:
                free = (one for one in (number, *range(32)) if one not in joined.values())
                joined[name] = next(free, -1)
    return {name: number for name, number in joined.items() if number >= 0}
