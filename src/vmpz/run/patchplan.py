"""Planning patches: which tiles and which products each patch is made of. Opens no product."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vmpz.errors import VmpzError
from vmpz.frames import FrameRef
from vmpz.parameters import Parameters, PatchParameters
from vmpz.products import ProductKey
from vmpz.run.collection import relevant_and_processed
from vmpz.run.plan import Choice, Plan
from vmpz.run.regions import region_of
from vmpz.run.store import Store
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import cells_touched
from vmpz.tiles import Tiling

__all__ = ["MAP_KINDS", "PatchJob", "PatchPlan", "groups_of", "patch_jobs", "plan_patches"]

MAP_KINDS = {"footprint", "bitmask", "coverage", "effectivecoverage", "info", "depth", "visibility"}
COARSE = 6
"""Order at which tiles that are far from a region are told."""


@dataclass(frozen=True)
class PatchJob:
    """One patch product: the keys of its tiles, and of the coverages that weigh them; small and picklable.

    `areas` are all tiles of the patch, with those that have no such product; `number` makes its time stamp.
    """

    patch: PatchParameters
    key: ProductKey
    tiles: tuple[ProductKey, ...]
    coverages: tuple[ProductKey, ...]
    areas: frozenset[str]
    number: int
    bands: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    after: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name of the job: the text of the key."""
        return self.key.text


@dataclass(frozen=True)
class PatchPlan:
    """A patch, its tiles, and its products: the key of each, and those of the tiles that it is merged of.

    Only products that the parameters ask for are merged, never what else an earlier run left in the store.
    """

    patch: PatchParameters
    areas: frozenset[str]
    groups: Mapping[ProductKey, Sequence[ProductKey]]

    def expected(self) -> Iterator[ProductKey]:
        """Keys of everything that the patch should hold."""
        for key, tiles in self.groups.items():
            yield key
            yield from tiles


def plan_patches(parameters: Parameters, tiling: Tiling, plan: Plan) -> tuple[PatchPlan, ...]:
    """Plans of all patches of the parameters; none where the patches are the areas of stage 1.

    Raises
    ------
    InputError
        A region cannot be read.
    """
    frames = {job.area: job.frames[0] for job in plan.jobs if job.frames}
    plans = []
    for patch in parameters.patches if tiling.kind != "patches" else ():
        areas = _areas_of(patch, parameters, tiling, plan.areas, frames)
        keys = [key for key in plan.numbers if key.area in areas and key.kind in MAP_KINDS]
        plans.append(PatchPlan(patch, areas, groups_of(keys, patch)))
    return tuple(plans)


def _areas_of(
    patch: PatchParameters,
    parameters: Parameters,
    tiling: Tiling,
    areas: frozenset[str],
    frames: Mapping[str, FrameRef],
) -> frozenset[str]:
    """Tiles of a patch: those it names, those that own a cell of its region, or all."""
    if patch.tiles:
        return frozenset(patch.tiles)
    region = region_of(patch)
    if region is None:
        return areas
    order = parameters.maps.order
    inside = region.cells(order)
    coarse = inside.at_order(min(COARSE, order))
    near = [area for area in areas if area not in frames or _may_meet(frames[area], coarse)]
    return frozenset(area for area in near if _owns(tiling, area, inside))


def _may_meet(ref: FrameRef, coarse: CellSet) -> bool:
    """Whether an image touches a coarse set of cells; what an image does not touch its tile does not own."""
    return not ref.has_grid or bool(cells_touched(ref.outline(), coarse.order) & coarse)


def _owns(tiling: Tiling, area: str, inside: CellSet) -> bool:
    try:
        return bool(tiling.owned(area, inside.order) & inside)
    except VmpzError:
        return False  # its frames were refused by name


def groups_of(keys: Iterable[ProductKey], patch: PatchParameters) -> dict[ProductKey, list[ProductKey]]:
    """Keys of tile products by the key of the patch product that they make."""
    groups: dict[ProductKey, list[ProductKey]] = {}
    for key in sorted(keys):
        order = key.order if patch.order is None else patch.order
        groups.setdefault(replace(key, area=patch.name, order=order), []).append(key)
    return dict(sorted(groups.items()))


def patch_jobs(
    patches: Sequence[PatchPlan], plan: Plan, store: Store, choice: Choice, selected: Sequence[str] = ()
) -> Iterator[PatchJob]:
    """Jobs of all patches; the numbers (time stamps) follow from the plan alone.

    Parameters
    ----------
    patches : sequence of PatchPlan
    plan : Plan
    store : Store
        Where the tiles are: bands of which no tile has a product are not processed.
    choice : Choice
    selected : sequence of str
        Bands in the order of FILTLST; default all.
    """
    number = plan.total
    for one in patches:
        made = {key: any(map(store.has, tiles)) for key, tiles in one.groups.items()}
        refused = [item for item in plan.refused if item.area == "-" or item.area in one.areas]
        coverages = [key for key in plan.numbers if key.kind == "coverage" and key.area in one.areas]
        for key, tiles in one.groups.items():
            if choice.takes_kind(key.kind):
                bands = relevant_and_processed(key, made, refused=refused, selected=selected)
                place = key.instrument, key.band
                weights = tuple(tile for tile in coverages if (tile.instrument, tile.band) == place)
                yield PatchJob(one.patch, key, tuple(tiles), weights, one.areas, number, bands)
            number += 1
