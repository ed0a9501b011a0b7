"""Which maps there are and what the index says of them: everything that is known before a file is opened."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from vmpz.errors import InputError, MissingProductError
from vmpz.products import ProductKey
from vmpz.quantities import QUANTITIES
from vmpz.run.index import Index, Row
from vmpz.run.mapfiles import map_path, read_map
from vmpz.run.named import KINDS, name_of
from vmpz.run.query import Wanted, map_names
from vmpz.run.store import Store
from vmpz.run.summaries import cover_of, summary_of
from vmpz.sky.cells import CellSet

__all__ = ["Area", "Listed", "Listing", "list_maps", "short_name"]

FIELDS = ("kind", "quantity", "statistic", "selection", "instrument", "band", "order", "release")


@dataclass(frozen=True)
class Listed:
    """A map over all areas, as the index knows it.

    Attributes
    ----------
    key : ProductKey
        Without area.
    name, short : str
        As in expressions; and without its band.
    cells : int
    area_deg2 : float
        Listed.
    observed_deg2 : float or None
    minimum, mean, maximum : float
        NaN where no cell is listed.
    """

    key: ProductKey
    name: str
    short: str
    cells: int
    area_deg2: float
    observed_deg2: float | None
    minimum: float
    mean: float
    maximum: float

    @cached_property
    def is_circular(self) -> bool:
        """Whether its values are angles that wrap; of a quantity that is not installed here nothing is known."""
        known = QUANTITIES.get(self.key.quantity)
        return self.key.kind == "info" and known is not None and known.circular


@dataclass
class Area:
    """A tile or patch, and what the index says of its products.

    Attributes
    ----------
    name : str
    is_patch : bool
    covers : set of str or None
        What holds all cells of its maps; None of a map that does not say.
    means : dict of ProductKey to float or None
        Of its maps, by key without area; None of an empty one.
    """

    name: str
    is_patch: bool = False
    covers: set[str | None] = field(default_factory=set)
    means: dict[ProductKey, float | None] = field(default_factory=dict)

    def add(self, key: ProductKey, told: Mapping[str, Any]) -> None:
        """Note what is told of a map."""
        self.means[key] = told["mean"]
        if told["cells"]:
            self.covers.add(told.get("cover"))

    def cover(self, order: int) -> CellSet | None:
        """Coarse cells that hold all of its maps, None where they are not known."""
        if None in self.covers:
            return None
        return CellSet.union([CellSet(order), *(cover_of(str(text)).at_order(order) for text in self.covers)])


@dataclass(frozen=True)
class Listing:
    """What is asked for: areas in the order of their names, and maps in that of theirs."""

    areas: tuple[Area, ...]
    maps: tuple[Listed, ...]
    wanted: Wanted

    @cached_property
    def places(self) -> Mapping[ProductKey, int]:
        """Places of maps by key without area."""
        return {one.key: place for place, one in enumerate(self.maps)}

    @cached_property
    def passed_over(self) -> frozenset[str]:
        """Patches, where tiles are asked for."""
        return frozenset(one.name for one in self.areas if one.is_patch and self.wanted.areas is None)

    def asks_for(self, key: ProductKey) -> bool:
        """Whether a product is of the kinds and bands that are wanted."""
        kinds, bands = self.wanted.kinds, self.wanted.bands
        return (kinds is None or key.kind in kinds) and (bands is None or key.band in bands)

    @property
    def what(self) -> str:
        """The areas, for people."""
        asked = self.wanted.areas
        return "all tiles" if asked is None else ", ".join(sorted(asked))


def list_maps(store: Store, wanted: Wanted) -> Listing:
    """The areas and maps of a store; of all tiles, or of the areas that are wanted.

    A product without a summary in its manifest (of other software, or an early version) is read for one.

    Raises
    ------
    InputError
        There is no such store, or it lacks an area that is named, or maps of the kinds and bands; or a patch is named
        together with other areas, whose cells it may repeat.
    """
    areas: dict[str, Area] = {}
    totals: dict[ProductKey, _Totals] = {}
    listing = Listing((), (), wanted)
    with Index(store) as index:
        index.must_know(kinds=wanted.kinds, bands=wanted.bands, areas=wanted.areas)
        for row in index.rows(areas=wanted.areas):
            area = areas.setdefault(row["area"], Area(row["area"]))
            area.is_patch |= row["level"] == "patch"
            key = ProductKey("-", **{name: row[name] for name in FIELDS})
            if (
                row["kind"] in KINDS
                and listing.asks_for(key)
                and not (area.is_patch and wanted.areas is None)
            ):
                told = _told(row, store)
                area.add(key, told)
                totals.setdefault(key, _Totals()).add(told)
    listing = Listing(tuple(areas[name] for name in sorted(areas)), tuple(_listed(totals)), wanted)
    _must_be_there(listing, store)
    return listing


def _told(row: Row, store: Store) -> Mapping[str, Any]:
    if row["cells"] is not None:
        return row
    entry = store.entry(ProductKey.parse(row["key"]))
    if entry is None:
        raise MissingProductError(
            f"{store.root}: {row['key']} must be there as the index says, found it incomplete"
        )
    return summary_of(replace(read_map(map_path(entry)), key=entry.key))


class _Totals:
    """Numbers of a map, added up area by area."""

    def __init__(self) -> None:
        self.cells, self.area_deg2, self.weighted = 0, 0.0, 0.0
        self.observed_deg2: float | None = None
        self.minimum, self.maximum = float("inf"), float("-inf")

    def add(self, told: Mapping[str, Any]) -> None:
        if told["observed_area_deg2"] is not None:
            self.observed_deg2 = (self.observed_deg2 or 0.0) + told["observed_area_deg2"]
        if told["cells"]:
            self.cells += told["cells"]
            self.area_deg2 += told["area_deg2"]
            self.weighted += told["mean"] * told["cells"]
            self.minimum = min(self.minimum, told["minimum"])
            self.maximum = max(self.maximum, told["maximum"])


def _listed(totals: Mapping[ProductKey, _Totals]) -> Iterator[Listed]:
    names = map_names(totals)
    for key in sorted(totals, key=lambda key: names[key]):
        one = totals[key]
        known = one.cells > 0
        yield Listed(
            key,
            names[key],
            short_name(names[key], key),
            one.cells,
            one.area_deg2,
            one.observed_deg2,
            *(
                number if known else float("nan")
                for number in (one.minimum, one.weighted / max(one.cells, 1), one.maximum)
            ),
        )


def short_name(name: str, key: ProductKey) -> str:
    """The name of a map without its band.

    >>> short_name("depth_VIS", ProductKey("-", "depth", band="VIS"))
    'depth'
    """
    return name_of(replace(key, band="-")) + name.removeprefix(name_of(key))


def _must_be_there(listing: Listing, store: Store) -> None:
    wanted = listing.wanted
    lacking = sorted({*(wanted.areas or ())} - {one.name for one in listing.areas})
    if lacking:
        raise InputError(f"{store.root}: must hold products of {', '.join(lacking)}, found none")
    patches = [one.name for one in listing.areas if one.is_patch]
    if wanted.areas is not None and patches and len(listing.areas) > 1:
        raise InputError(
            f"a patch must be asked alone, since it repeats what tiles hold; found {', '.join(patches)} of several"
        )
    if not listing.maps and not (wanted.kinds is None and wanted.bands is None):
        raise InputError(f"{store.root}: must hold maps of the kinds and bands asked for, found none")
