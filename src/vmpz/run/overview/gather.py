"""The overview of a store: everything that a report shows, in one pass.

First the index is asked: areas, maps, their ranges. Then areas are read one after the other, each file once, the maps
of one area in memory at a time. What is kept are pictures and histograms (whose size is bounded), sums of pairs of
maps, borders of tiles until their neighbours have been read, and a row a tile and band.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vmpz import io
from vmpz.errors import MapMismatchError
from vmpz.products import Product, ProductKey, encode
from vmpz.run.account import Account, gathered
from vmpz.run.overview.absent import Absent
from vmpz.run.overview.bits import Bits
from vmpz.run.overview.content import Missing, Overview
from vmpz.run.overview.correlating import Correlating
from vmpz.run.overview.listing import Area, Listing, list_maps
from vmpz.run.overview.origins import Origins
from vmpz.run.overview.outlines import Polygons, envelopes_of, outlines_of
from vmpz.run.overview.parts import Parts
from vmpz.run.overview.pictures import Pictures
from vmpz.run.overview.randoms import RandomsRequest, randoms_of
from vmpz.run.overview.reading import read_area
from vmpz.run.overview.seams import Seams
from vmpz.run.query import Wanted
from vmpz.run.redshifts import Distribution, distribution_of, is_cut
from vmpz.run.runfile import PARAMETERS
from vmpz.run.store import Entry, Store

__all__ = ["OverviewRequest", "RandomsRequest", "overview_of"]

MOST_CELLS = 400_000


@dataclass(frozen=True)
class OverviewRequest:
    """What is asked for.

    Attributes
    ----------
    wanted : Wanted
        Kinds, bands and areas (default all tiles).
    randoms : sequence of RandomsRequest
        Catalogues to be tested.
    most_cells : int
        Cells that a picture may have.
    """

    wanted: Wanted = field(default_factory=Wanted)
    randoms: Sequence[RandomsRequest] = ()
    most_cells: int = MOST_CELLS


def overview_of(
    store: Store,
    request: OverviewRequest | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Overview:
    """What a store holds.

    Parameters
    ----------
    store : Store
    request : OverviewRequest, optional
        Default all maps of all tiles.
    progress : callable, optional
        Told after every area: how many are done, of how many, and its name.

    Returns
    -------
    Overview
        The same for the same products, in whatever order they were made. Of a store without maps it says what else
        there is.

    Raises
    ------
    InputError
        There is no such store, area, kind or band; a file is damaged; a catalogue follows no map of the store.
    MissingProductError
        A product of the index is no longer there.
    """
    asked = request or OverviewRequest()
    listing = list_maps(store, asked.wanted)
    account = Account.read(store.root)
    tally = _Tally(store, listing, account, asked.most_cells)
    for place, area in enumerate(listing.areas):
        tally.add(place, area, list(store.entries_of(encode(area.name))))
        if progress is not None:
            progress(place + 1, len(listing.areas), area.name)
    tested = [randoms_of(store, one) for one in asked.randoms]
    found = tally.finish(account)
    notes = [*found.notes, *(note for _, told in tested for note in told)]
    return replace(found, randoms=tuple(one for one, _ in tested), notes=tuple(notes))


class _Tally:
    """All that is gathered on the way."""

    def __init__(self, store: Store, listing: Listing, account: Account, most_cells: int) -> None:
        self._store, self._listing = store, listing
        self._pictures, self._seams = Pictures(listing, most_cells), Seams(listing)
        self._correlating, self._bits = Correlating(listing), Bits()
        self._parts, self._origins = Parts(listing), Origins()
        self._absent = Absent(listing, account)
        self._nz = _Redshifts()
        self._envelopes: dict[str, str] = {}

    def add(self, place: int, area: Area, entries: Sequence[Entry]) -> None:
        """Read an area and count it in."""
        self._origins.add(entries)
        self._absent.add(entries)
        if area.name in self._listing.passed_over:
            return
        if area.is_patch:
            self._add_patch(area, entries)
        else:
            self._note_extent(entries)
        self._nz.add(entries)
        reading = read_area(self._listing, area, entries)
        self._pictures.add(reading)
        self._seams.add(reading, place)
        self._correlating.add(reading)
        self._bits.add(reading)
        self._parts.add(reading)

    def _add_patch(self, area: Area, entries: Sequence[Entry]) -> None:
        """What is told of the tiles of a patch: outlines, and n(z) unless a region cuts them."""
        merged = [entry for entry in entries if entry.provenance.get("recipe") == "merge"]
        inputs = sorted({text for entry in merged for text in entry.provenance["inputs"] if "~" in text})
        is_whole = not any(map(is_cut, merged))
        for tile in sorted({ProductKey.parse(text).area for text in inputs}):
            of_tile = list(self._store.entries_of(encode(tile)))
            self._note_extent(of_tile)
            self._nz.add(of_tile if is_whole else ())
        if not is_whole:
            self._nz.notes.append(
                f"n(z) is that of whole tiles: not told of {area.name}, which a region cuts"
            )

    def finish(self, account: Account) -> Overview:
        """Everything but the catalogues."""
        missing = self._absent.finish()
        self._parts.add_missing(missing)
        others = {one.key.area: "" for one in missing if one.key.area != "-"}
        outlines = outlines_of(self._store, others | self._envelopes)
        seams, summaries = self._seams.finish()
        redshifts = self._nz.finish()
        return Overview(
            store=str(self._store.root),
            area=self._listing.what,
            created=self._origins.created,
            versions=self._origins.versions,
            maps=self._pictures.finish(),
            parts=self._parts.finish(outlines | self._patch_outlines(outlines)),
            outlines=outlines,
            seams=seams,
            bits=self._bits.finish(),
            correlations=self._correlating.finish(),
            redshifts=redshifts,
            randoms=(),
            missing=missing,
            counts=self._counts(missing),
            notes=(*gathered(account.notes), *self._nz.notes),
            parameters=self._store.read_text(PARAMETERS) or "",
            provenance=self._origins.rows(),
            seam_summaries=summaries,
        )

    def _patch_outlines(self, outlines: Mapping[str, Polygons]) -> dict[str, Polygons]:
        """Of a patch that is asked for, the outlines of its tiles."""
        listing = self._listing
        asked = [one.name for one in listing.areas if one.is_patch and one.name not in listing.passed_over]
        return {name: [one for polygons in outlines.values() for one in polygons] for name in asked}

    def _note_extent(self, entries: Iterable[Entry]) -> None:
        self._envelopes |= envelopes_of({**entry.summary, "area": entry.key.area} for entry in entries)

    def _counts(self, missing: Sequence[Missing]) -> dict[str, int]:
        areas = self._listing.areas
        return {
            "tiles": sum(not one.is_patch for one in areas),
            "patches": sum(one.is_patch for one in areas),
            "maps": len(self._listing.maps),
            "products": self._origins.products,
            "bytes": self._origins.bytes,
            **{
                state: sum(one.state == state for one in missing)
                for state in sorted({one.state for one in missing})
            },
        }


class _Redshifts:
    """Tables of n(z) by class of galaxies."""

    def __init__(self) -> None:
        self._tables: dict[str, list[tuple[str, Product]]] = {}
        self.notes: list[str] = []

    def add(self, entries: Iterable[Entry]) -> None:
        """Read the tables among products."""
        for entry in entries:
            if entry.key.kind == "redshifts":
                table = replace(io.read(entry.path(".parquet")), key=entry.key)
                self._tables.setdefault(entry.key.quantity, []).append((str(entry.key), table))

    def finish(self) -> tuple[Distribution, ...]:
        """The distribution of each class; a class whose tables do not agree is noted instead."""
        found = []
        for name in sorted(self._tables):
            try:
                found.append(distribution_of(self._tables[name]))
            except MapMismatchError as error:
                self.notes.append(f"n(z) of {name} cannot be told: {error}")
        return tuple(found)
