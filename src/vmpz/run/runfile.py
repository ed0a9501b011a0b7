"""What a run leaves at the top of its store: the instant, what draws the tiles, the parameters.

``run.json``: ``created``, and ``tiling`` with its ``kind``; the ``order`` of healpix tiles; of tiles whose areas were
given by files, ``areas``: their outlines by id, each a list of polygons of [longitude, latitude] in degrees (of an area
given as cells, the polygon about them). ``parameters.toml``: the parameters of the last run, as a file that runs again.
Neither is part of any product.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmpz.errors import InputError
from vmpz.io.envelope import envelope
from vmpz.parameters import Parameters, as_toml
from vmpz.run.store import Store
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon
from vmpz.tiles import Tiling
from vmpz.tiles.given import Given, Healpix, Outlines

__all__ = ["PARAMETERS", "RunFile", "keep_parameters"]

RUN_FILE, PARAMETERS = "run.json", "parameters.toml"
DECIMALS = 6
"""Of degrees: 0.004 arcsec."""

Polygons = list[NDArray[np.float64]]


@dataclass(frozen=True)
class RunFile:
    """What ``run.json`` says.

    Attributes
    ----------
    created : str
        Instant of the last run.
    tiling : str
        Kind of its tiling, '' where that is not known.
    order : int or None
        Of healpix tiles.
    areas : mapping of str to list of float64 (m, 2)
        Outlines of tiles that were given by files.
    """

    created: str
    tiling: str = ""
    order: int | None = None
    areas: Mapping[str, Polygons] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store) -> "RunFile | None":
        """The file of a store, None if it has none.

        Raises
        ------
        InputError
            It is not what a run writes.
        """
        text = store.read_text(RUN_FILE)
        if text is None:
            return None
        try:
            told = json.loads(text)
            tiling = told.get("tiling", {})
            areas = {
                name: [np.array(one, np.float64).reshape(-1, 2) for one in polygons]
                for name, polygons in tiling.get("areas", {}).items()
            }
            return cls(str(told["created"]), tiling.get("kind", ""), tiling.get("order"), areas)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{store.root}/{RUN_FILE}: must hold the creation instant of a run, found {error!r}; remove it"
            ) from error

    @classmethod
    def keep(
        cls,
        store: Store,
        created: datetime,
        tiling: Tiling,
        planned: Iterable[str],
        earlier: "RunFile | None",
    ) -> None:
        """Write the file of a run; of given tiles, those that are planned and those that earlier runs knew."""
        told: dict[str, Any] = {"kind": tiling.kind}
        if isinstance(tiling, Healpix):
            told["order"] = tiling.order
        if isinstance(tiling, Given | Outlines):
            known = {} if earlier is None or earlier.tiling != tiling.kind else dict(earlier.areas)
            known |= {
                name: _polygons(tiling.area(name)) for name in sorted({*planned}.intersection(tiling.names))
            }
            told["areas"] = {
                name: [np.round(one, DECIMALS).tolist() for one in known[name]] for name in sorted(known)
            }
        text = json.dumps({"created": created.isoformat(), "tiling": told}) + "\n"
        if store.read_text(RUN_FILE) != text:
            store.write_text(RUN_FILE, text)


def _polygons(area: CellSet | Polygon) -> Polygons:
    if isinstance(area, CellSet):
        return list(envelope(area))
    return [np.asarray(area.vertices, np.float64)]


def keep_parameters(store: Store, parameters: Parameters) -> None:
    """Write the parameters of a run beside its products."""
    try:
        text = as_toml(parameters)
    except InputError as error:  # an option that a program made, of which no file can speak
        text = f"# The parameters of the last run are no TOML: {json.dumps(str(error))}\n"
    if store.read_text(PARAMETERS) != text:
        store.write_text(PARAMETERS, text)
