"""A run: parameters to manifest, plan, jobs, products, patches and account."""

import os
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from vmpz.errors import InputError
from vmpz.frames import Manifest
from vmpz.parameters import Parameters, load
from vmpz.products import ProductKey
from vmpz.readers import scan_inputs
from vmpz.run.account import Account, Outcome
from vmpz.run.classes import must_have_files
from vmpz.run.execute import execute
from vmpz.run.gathering import gather
from vmpz.run.geometry import must_have_catalogues
from vmpz.run.instant import said_or_now
from vmpz.run.jobs import failed_job, run_job
from vmpz.run.patches import collect_patches, make_patches
from vmpz.run.patchplan import plan_patches
from vmpz.run.plan import Choice, Plan, make_plan
from vmpz.run.regions import region_of
from vmpz.run.runfile import RunFile, keep_parameters
from vmpz.run.setting import Setting
from vmpz.run.store import Store
from vmpz.run.tilings import tiling_of

__all__ = ["SilentReporter", "run_survey"]


class Progress(Protocol):
    """Who is told how a run gets on."""

    def __enter__(self) -> "Progress": ...
    def __exit__(self, *_: Any) -> None: ...
    def start(self, jobs: int) -> None: ...
    def ended(self, name: str, outcomes: list[Outcome]) -> None: ...


class SilentReporter:
    """Says nothing: the default of a library."""

    def __enter__(self) -> "SilentReporter":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def start(self, jobs: int) -> None:
        """Nothing."""

    def ended(self, name: str, outcomes: list[Outcome]) -> None:
        """Nothing."""


def run_survey(
    parameters: Parameters | str | Path,
    store: str | Path | None = None,
    *,
    choice: Choice | None = None,
    threads: int | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    created: str | datetime | None = None,
    dry_run: bool = False,
    fail_fast: bool = False,
    reporter: Progress | None = None,
) -> Account:
    """Make what a survey asks for and is not there yet.

    Parameters
    ----------
    parameters : Parameters or path
        Parameters, or a TOML file of them.
    store : path or address, optional
        Where products go, and where earlier ones are: a folder, or ``s3://bucket/prefix``; default `store` beside the
        parameter file.
    choice : Choice, optional
        Tiles, instruments, bands and kinds of product to make; default all.
    threads : int, optional
        Threads of one process; default all cores when serial, 1 under workers.
    workers : int
        0 = serial (the reference), n = local processes. The bytes of the products do not depend on it.
    scheduler : str, optional
        Address of a running Dask scheduler.
    created : str or datetime, optional
        Creation instant of the products (UTC); else that of the parameters, of the store's earlier run, of
        SOURCE_DATE_EPOCH, or now.
    dry_run : bool
        Plan only: the account's `plan` holds jobs, bytes, memory, time and what cannot be made.
    fail_fast : bool
        Stop at the first failure.

    Returns
    -------
    Account
        Of this run alone.

    Raises
    ------
    InputError
        No input can be used, or something chosen does not exist.
    StorageError
        The store cannot be written to; what is done is kept.
    VmpzError
        Another run holds the store.

    Examples
    --------
    >>> import vmpz
    >>> account = vmpz.run("survey.toml")  # doctest: +SKIP
    >>> print(account.text())  # doctest: +SKIP
    """
    if not isinstance(parameters, Parameters):
        store = store or Path(parameters).parent / "store"
        parameters = load(parameters)
    if store is None:
        raise InputError("a run of parameters that come from no file needs a store to write to")
    choice = choice or Choice()
    manifest = scan_inputs(
        parameters.inputs,
        bands=parameters.survey.bands,
        instruments=parameters.survey.instruments,
        planes=_planes_of(parameters),
    )
    if not len(manifest):
        reasons = "; ".join(item.reason for item in manifest.refused) or "found nothing"
        places = ", ".join(item.location for item in parameters.inputs)
        raise InputError(f"{places}: must hold at least one frame that can be used: {reasons}")
    _refuse_mixed_releases(manifest, parameters)
    tiling = tiling_of(parameters, manifest)
    plan = make_plan(gather(manifest, parameters, tiling), parameters, choice)
    _must_have_regions(parameters)
    must_have_catalogues(parameters)
    must_have_files(parameters)
    patches = plan_patches(parameters, tiling, plan) if choice.is_whole else ()
    empty = [one.patch.name for one in patches if not one.areas]
    notes = (*plan.notes, *(f"patch {name} touches no tile of the inputs" for name in empty))
    if dry_run:
        return Account(plan=plan.summary(workers), notes=notes)
    products = Store(store)
    with products.lock():
        products.sweep()
        earlier = RunFile.read(products)
        instant = _created(earlier, parameters, created)
        RunFile.keep(products, instant, tiling, {job.area for job in plan.jobs}, earlier)
        keep_parameters(products, parameters)
        setting = Setting(
            parameters=parameters,
            store=str(store),
            created=instant,
            threads=threads or (1 if workers or scheduler else os.cpu_count() or 1),
            tiling=tiling,
            by_name=choice.products is not None,
        )
        account = Account()
        account.add(_refused(plan, parameters))
        if not (fail_fast and account.has_failed):
            _execute(account, plan, setting, workers, scheduler, fail_fast, reporter or SilentReporter())
        stopped = fail_fast and account.has_failed
        if choice.is_whole and not stopped:
            account.add(make_patches(setting, patches, plan, choice, workers, scheduler))
            for outcome, collection in collect_patches(setting, patches, plan, account.outcomes):
                account.add([outcome])
                account.incomplete += [str(one) for one in collection.missing()]
        account.notes = notes
        if stopped:
            account.write(products.root)
        else:
            account.write(products.root, choice.covers)
    return account


def _must_have_regions(parameters: Parameters) -> None:
    """A region of a patch that cannot be read is refused before anything is made."""
    for region in map(region_of, parameters.patches):
        if region is not None:
            region.cells(0)


def _planes_of(parameters: Parameters) -> list[str] | None:
    """The planes that the products can want, None for all: those of no use are not even looked at."""
    if any(item.reader != "euclid-mer" for item in parameters.inputs):
        return None
    background = any(name.startswith("Background:") for name in parameters.info.maps)
    return ["RMS", "FLAG", *(["BACKGROUND"] if background else [])]


def _refused(plan: Plan, parameters: Parameters) -> list[Outcome]:
    """Frames that were found and cannot be used are failures of their tile and band."""
    return [
        Outcome(
            ProductKey(
                item.area, "frame", instrument=item.instrument, band=item.band,
                order=parameters.maps.order, release=parameters.survey.release,
            ),
            "FAILED",
            item.reason,
        )
        for item in plan.refused
    ]  # fmt: skip


def _refuse_mixed_releases(manifest: Manifest, parameters: Parameters) -> None:
    """Inputs of several data releases make one survey only when that is asked for by name.

    Exposures of other surveys have a number of processing each, which is no release.
    """
    told = (ref for ref in manifest if ref.has_grid or ref.reader.startswith("euclid"))
    releases = {(ref.reader, ref.release): ref for ref in told}
    readers = [name for name, _ in releases]
    if len(set(readers)) < len(readers) and not parameters.survey.allow_mixed_releases:
        found = "; ".join(f"{release} in {ref.name}" for (_, release), ref in sorted(releases.items()))
        raise InputError(
            f"inputs of one reader must be of one data release, found {found}; [survey] allow_mixed_releases = true "
            "accepts them"
        )


def _execute(
    account: Account,
    plan: Plan,
    setting: Setting,
    workers: int,
    scheduler: str | None,
    fail_fast: bool,
    reporter: Progress,
) -> None:
    """Do the jobs of the plan and add what became of them to the account; it is kept whatever stops the run."""
    with reporter:
        reporter.start(len(plan.jobs))
        ended = execute(
            plan.jobs, partial(run_job, setting), failed_job, workers=workers, scheduler=scheduler
        )
        try:
            for job, outcomes in ended:
                account.add(outcomes)
                reporter.ended(job.id, outcomes)
                if fail_fast and account.has_failed:
                    break
        except BaseException:
            with suppress(OSError):  # what stopped the run is the error to tell
                account.write(setting.store)
            raise
        finally:
            ended.close()


def _created(earlier: RunFile | None, parameters: Parameters, asked: str | datetime | None) -> datetime:
    """The one creation instant of a run: what is said, else that of the run which this one resumes, else now."""
    return said_or_now(asked or parameters.survey.created or (None if earlier is None else earlier.created))
