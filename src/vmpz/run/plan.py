"""Planning: manifest, parameters and tiling to jobs. Pure set arithmetic on headers; opens no pixel.

A band job is one tile x one instrument, band after band (the bands of a tile share one grid); a tile job crosses
instruments. Products are numbered over the whole survey, before any selection, so their time stamps do not depend on
what else runs.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from vmpz.errors import InputError, listed, meant
from vmpz.frames import FrameRef, Manifest, Refused
from vmpz.make import RECIPES
from vmpz.parameters import Parameters
from vmpz.products import ProductKey

__all__ = ["Choice", "Job", "Plan", "PlanError", "make_plan"]

T = TypeVar("T")
Shares = Mapping[tuple[str, str], tuple[ProductKey, ...]]
"""Keys by instrument and band."""

MADE_OF = {
    "effectivecoverage": ("coverage",),
    "visibility": ("coverage", "effectivecoverage", "depth"),
    "redshifts": ("coverage", "effectivecoverage", "depth"),
}
"""Products across bands, and the kinds that they are made of."""
BYTES_PER_SECOND = 1.2e9
"""Throughput of one process used in time estimates: the pass on uncompressed planes in the page cache."""
MEMORY_PER_WORKER = 0.7e9


class PlanError(InputError):
    """The parameters or the choice ask for something that the inputs or the tables do not have."""


@dataclass(frozen=True)
class Choice:
    """What to do of all that could be done; None means everything."""

    tiles: Collection[str] | None = None
    instruments: Collection[str] | None = None
    bands: Collection[str] | None = None
    products: Collection[str] | None = None

    def takes(self, ref: FrameRef) -> bool:
        """Whether a frame is chosen."""
        return (
            (self.tiles is None or ref.area in self.tiles)
            and (self.instruments is None or ref.instrument in self.instruments)
            and (self.bands is None or ref.band in self.bands)
        )

    def takes_kind(self, kind: str) -> bool:
        """Whether a kind of product is chosen; what is made of others brings them."""
        chosen = self.products
        return chosen is None or any(kind == one or kind in MADE_OF.get(one, ()) for one in chosen)

    @property
    def is_whole(self) -> bool:
        """Whether it takes every tile, instrument and band: patches are made of whole surveys only."""
        return self.tiles is None and self.instruments is None and self.bands is None

    def covers(self, key: ProductKey) -> bool:
        """Whether a run of this choice says all there is to say of a key, be it that it is no longer asked for."""
        return (
            (self.tiles is None or key.area in self.tiles)
            and (self.instruments is None or key.instrument in self.instruments)
            and (self.bands is None or key.band in self.bands)
            and (key.kind == "frame" or self.takes_kind(key.kind))
        )


@dataclass(frozen=True)
class Job:
    """Small and picklable: frames in, keys out.

    `keys` are by band ('-' for the job that crosses instruments), `numbers` gives the plan number of every key (its
    time stamp), `missing` the keys that cannot be made and why, `crossing` the products of the tile job that the
    bands serve.
    """

    area: str
    instrument: str
    frames: tuple[FrameRef, ...]
    keys: Mapping[str, tuple[ProductKey, ...]]
    numbers: Mapping[ProductKey, int]
    missing: Mapping[ProductKey, str] = field(default_factory=dict)
    crossing: tuple[ProductKey, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name of the job: area and instrument ('-' for the job that crosses instruments)."""
        return f"{self.area}~{self.instrument}"

    @property
    def bytes(self) -> int:
        """Bytes of the files of planes that a full pass reads."""
        files = (file for ref in self.frames for file in ref.files(ref.planes).values())
        return sum({file.location: file.size for file in files}.values()) if self.instrument != "-" else 0


@dataclass(frozen=True)
class Plan:
    """All jobs of a run, in order.

    `numbers` gives the plan number of every product of the survey's tiles, whatever is chosen, out of `total`;
    `refused` says which frames cannot be used, `areas` all tiles there are, with those whose frames are all refused.
    """

    jobs: tuple[Job, ...]
    numbers: Mapping[ProductKey, int]
    total: int
    areas: frozenset[str]
    notes: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()

    def summary(self, workers: int) -> dict[str, float | int | list[str]]:
        """Counts, bytes, memory and time, before anything runs."""
        volume = sum(job.bytes for job in self.jobs)
        return {
            "jobs": len(self.jobs),
            "tiles": len({job.area for job in self.jobs}),
            "products": sum(len(keys) for job in self.jobs for keys in job.keys.values()),
            "cannot_be_made": [
                *(f"{one.area} {one.band}: {one.reason}" for one in self.refused),
                *(f"{key}: {why}" for job in self.jobs for key, why in job.missing.items()),
            ],
            "input_bytes": volume,
            "memory_bytes": int(MEMORY_PER_WORKER * max(workers, 1)),
            "seconds": round(volume / BYTES_PER_SECOND / max(workers, 1), 1),
        }


def make_plan(manifest: Manifest, parameters: Parameters, choice: Choice | None = None) -> Plan:
    """Jobs of a survey.

    Raises
    ------
    PlanError
        A chosen tile, instrument, band or product, a flag name, a quantity or a statistic does not exist; the message
        lists those that do.
    """
    try:
        return _plan(manifest, parameters, choice or Choice())
    except InputError as error:
        raise PlanError(str(error)) from error


def _plan(manifest: Manifest, parameters: Parameters, choice: Choice) -> Plan:
    frames = [ref for ref in manifest if _is_selected(ref, parameters)]
    found: list[FrameRef | Refused] = [*frames, *manifest.refused]
    _must_be_among("[survey] tiles: tile", parameters.survey.tiles, {one.area for one in manifest})
    _must_exist(choice, found)
    areas = frozenset(one.area for one in found if one.area != "-" and not _is_loose(one))
    _patches_must_fit(parameters, areas)
    _classes_must_fit(parameters, {one.band for one in found})
    jobs: list[Job] = []
    grouped = _grouped(frames, lambda ref: ref.area)
    all_shares = {area: _shares(refs, parameters) for area, refs in grouped}
    numbers, total = _numbers(frames, manifest.refused, all_shares, parameters)
    for area, refs in grouped:
        crossing = _crossing_keys(refs, parameters, choice)
        shares = all_shares[area]
        ids = []
        for instrument, bands in _grouped(refs, lambda ref: ref.instrument):
            job = _band_job(area, instrument, bands, shares, parameters, choice, numbers, crossing)
            if job.frames:
                ids.append(job.id)
                jobs.append(job)
        if crossing:
            served = tuple(sorted(refs, key=lambda ref: ref.band))
            mine = {key: numbers[key] for key in crossing}
            jobs.append(Job(area, "-", served, {"-": crossing}, mine, {}, (), tuple(ids)))
    refused = tuple(one for one in manifest.refused if _is_chosen(one, choice))
    return Plan(tuple(jobs), numbers, total, areas, manifest.notes, refused)


def _is_loose(one: FrameRef | Refused) -> bool:
    """Whether it is an exposure that could not be read, so that nobody knows where it lies."""
    return isinstance(one, Refused) and one.exposure


def _is_selected(ref: FrameRef, parameters: Parameters) -> bool:
    survey = parameters.survey
    return (
        (survey.tiles is None or ref.area in survey.tiles)
        and (survey.instruments is None or ref.instrument in survey.instruments)
        and (survey.bands is None or ref.band in survey.bands)
    )


def _is_chosen(refused: Refused, choice: Choice) -> bool:
    """Whether a refused frame belongs to what was chosen; where the fault hides that, it does."""
    return (
        (choice.tiles is None or refused.exposure or refused.area in {*choice.tiles, "-"})
        and (choice.instruments is None or refused.instrument in {*choice.instruments, "-"})
        and (choice.bands is None or refused.band in {*choice.bands, "-"})
    )


def _must_exist(choice: Choice, frames: Sequence[FrameRef | Refused]) -> None:
    _must_be_among("tile", choice.tiles, {ref.area for ref in frames})
    _must_be_among("instrument", choice.instruments, {ref.instrument for ref in frames})
    _must_be_among("band", choice.bands, {ref.band for ref in frames})
    _must_be_among("product", choice.products, set(RECIPES))


def _patches_must_fit(parameters: Parameters, areas: Collection[str]) -> None:
    for patch in parameters.patches:
        _must_be_among(f"patch {patch.name}: tile", patch.tiles, areas)
        if patch.name in areas and parameters.tiling.kind != "patches":
            raise InputError(f"patch {patch.name}: its name must not be that of a tile")


def _classes_must_fit(parameters: Parameters, bands: Collection[str]) -> None:
    """A class of galaxies names bands of the survey; where a frame hides its band, nobody knows."""
    for chosen in parameters.visibility if "-" not in bands else ():
        named = {*chosen.reference, chosen.coverage or "effective"} - {"effective"}
        _must_be_among(f"visibility {chosen.name}: band", named, bands)


def _must_be_among(what: str, asked: Collection[str] | None, known: Collection[str]) -> None:
    unknown = sorted(set(asked or ()) - set(known))
    if unknown:
        names = set(known) - {"-"}
        guess = meant(unknown[0], names)
        raise InputError(f"{what} must be among {listed(names)}; found {', '.join(unknown)}{guess}")


def _grouped(refs: Iterable[T], by: Callable[[T], str]) -> list[tuple[str, list[T]]]:
    groups: dict[str, list[T]] = {}
    for ref in refs:
        groups.setdefault(by(ref), []).append(ref)
    return sorted(groups.items())


def _keys_of(scope: str, ref: FrameRef, parameters: Parameters) -> tuple[ProductKey, ...]:
    return tuple(
        key for recipe in RECIPES.values() if recipe.scope == scope for key in recipe.keys(ref, parameters)
    )


def _crossing_keys(
    refs: Sequence[FrameRef], parameters: Parameters, choice: Choice
) -> tuple[ProductKey, ...]:
    """Products across instruments, unless only some tiles, bands or instruments were chosen."""
    whole = choice.bands is None and choice.instruments is None
    if not whole or (choice.tiles is not None and refs[0].area not in choice.tiles):
        return ()
    return tuple(key for key in _keys_of("tile", refs[0], parameters) if choice.takes_kind(key.kind))


def _shares(refs: Sequence[FrameRef], parameters: Parameters) -> Shares:
    """The keys that each instrument and band of an area makes.

    A product that is the same for all bands (a map of tile indices, say) is made once: by the first band that has what
    it needs, whatever is chosen, so it never changes hands.
    """
    shares: dict[tuple[str, str], list[ProductKey]] = {(ref.instrument, ref.band): [] for ref in refs}
    claims: dict[ProductKey, FrameRef] = {}
    by_band = sorted(refs, key=lambda ref: (ref.instrument, ref.band))
    for ref in by_band:
        for key in _keys_of("band", ref, parameters):
            old = claims.get(key)
            if old is None or (_lacks(key, old, parameters) and not _lacks(key, ref, parameters)):
                claims[key] = ref
    for key, ref in claims.items():
        shares[ref.instrument, ref.band].append(key)
    return {place: tuple(keys) for place, keys in shares.items()}


def _numbers(
    frames: Sequence[FrameRef],
    refused: Iterable[Refused],
    shares: Mapping[str, Shares],
    parameters: Parameters,
) -> tuple[dict[ProductKey, int], int]:
    """A number for every product, area by area and band by band, and how many were given away.

    A refused frame takes as many as a band makes: once it is mended, no other product has to change its time stamp.
    """
    numbers: dict[ProductKey, int] = {}
    total = 0
    most = max((len(keys) for bands in shares.values() for keys in bands.values()), default=0)
    first = {ref.area: ref for ref in reversed(frames)}
    found: list[FrameRef | Refused] = [*frames, *(one for one in refused if not one.exposure)]
    places = {(one.area, one.instrument, one.band) for one in found}
    for area, bands in _grouped(places, lambda place: place[0]):
        for _, instrument, band in sorted(bands):
            keys = shares.get(area, {}).get((instrument, band))
            numbers |= {key: total + n for n, key in enumerate(keys or ())}
            total += most if keys is None else len(keys)
        across = _keys_of("tile", first.get(area, frames[0]), parameters) if frames else ()
        numbers |= {key: total + n for n, key in enumerate(across) if area in first}
        total += len(across)
    return numbers, total


def _told(plane: str) -> str:
    return f"{plane} (nothing is known of its exposures)" if plane == "LAYERS" else plane


def _lacks(key: ProductKey, ref: FrameRef, parameters: Parameters) -> tuple[str, ...]:
    return RECIPES[key.kind].needs(key, ref, parameters).missing(ref)


def _band_job(
    area: str,
    instrument: str,
    refs: Sequence[FrameRef],
    shares: Shares,
    parameters: Parameters,
    choice: Choice,
    numbers: Mapping[ProductKey, int],
    crossing: tuple[ProductKey, ...],
) -> Job:
    keys: dict[str, tuple[ProductKey, ...]] = {}
    mine: dict[ProductKey, int] = {}
    missing: dict[ProductKey, str] = {}
    taken = []
    for ref in sorted(refs, key=lambda ref: ref.band):
        possible = shares[instrument, ref.band]
        wanted = tuple(key for key in possible if choice.takes_kind(key.kind))
        if not choice.takes(ref) or not (wanted or crossing):
            continue
        for key in wanted:
            if lacks := _lacks(key, ref, parameters):
                missing[key] = f"{ref.name} has no {', '.join(map(_told, lacks))}"
        keys[ref.band] = wanted
        mine |= {key: numbers[key] for key in possible}
        taken.append(ref)
    return Job(area, instrument, tuple(taken), keys, mine, missing, crossing)
