"""What all jobs of a run share, and which files a product has."""

import traceback
from dataclasses import dataclass
from datetime import datetime

from vmpz.errors import VmpzError
from vmpz.parameters import MangleParameters, MapParameters, Parameters
from vmpz.tiles import Tiling

__all__ = ["Setting", "forms_of", "forms_section", "reason_of"]


@dataclass(frozen=True)
class Setting:
    """What all jobs of a run share; small and picklable."""

    parameters: Parameters
    store: str
    created: datetime
    threads: int
    tiling: Tiling
    by_name: bool = False


def reason_of(error: Exception) -> str:
    """The message with its notes; the trace as well for what nobody foresaw."""
    if isinstance(error, VmpzError):
        return " | ".join([str(error), *getattr(error, "__notes__", ())])
    return "".join(traceback.format_exception(error))


def forms_of(kind: str, maps: MapParameters, mangle: MangleParameters) -> list[str]:
    """Forms of a kind of product: there are no bit masks of polygons, and [mangle] may name kinds.

    What would be left without a form is partial HEALPix.
    """
    polygons = kind != "bitmask" and (mangle.kinds is None or kind in mangle.kinds)
    return [form for form in maps.forms if polygons or form != "mangle"] or ["healpix"]


def forms_section(parameters: Parameters, maps: MapParameters | None = None) -> dict[str, object]:
    """Parameters of the files themselves that enter a digest: those of polygons only where there are polygons."""
    maps = maps or parameters.maps
    section: dict[str, object] = maps.model_dump(mode="json")
    return section | ({"mangle": parameters.mangle.model_dump(mode="json")} if "mangle" in maps.forms else {})
