"""vmpz: footprints, masks, depth, visibility and random catalogues of imaging surveys.

>>> import vmpz
>>> account = vmpz.run("survey.toml")                     # doctest: +SKIP
>>> depth = vmpz.read("EUC_LE3_VMPZ-ID_HPDEPTHMAP-....fits").map   # doctest: +SKIP
>>> depth.at(57.99, -51.5)                                # doctest: +SKIP

Names are loaded when they are used: importing the package costs nothing.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_HOMES = {
    "BitTable": "bits",
    "Cap": "sky.regions",
    "CellSet": "sky.cells",
    "CellStatistics": "statistics",
    "Exposures": "frames",
    "Frame": "frames",
    "FrameRef": "frames",
    "InputError": "errors",
    "Manifest": "frames",
    "MapMismatchError": "errors",
    "MissingProductError": "errors",
    "Parameters": "parameters",
    "Patch": "tiles",
    "Polygon": "sky.regions",
    "Product": "products",
    "ProductKey": "products",
    "Provenance": "products",
    "Rules": "make.schemes",
    "SkyMap": "sky.skymap",
    "Tile": "tiles",
    "VmpzError": "errors",
    "accumulate": "make.accumulate",
    "bit_maps": "make.bitmask",
    "coverage_map": "make.coverage",
    "covered_fractions": "sky.regions",
    "depth_map": "make.depth",
    "footprint_map": "make.footprint",
    "load_parameters": "parameters",
    "merge": "make.merge",
    "random_points": "make.randoms",
    "read": "io",
    "run": "run.survey",
    "run_table": "make.runtable",
    "simulate": "simulate",
    "write": "io",
}
_NAMES = {"load_parameters": "load", "run": "run_survey"}

__all__ = sorted(_HOMES)


class _Package(ModuleType):
    """The package, where `vmpz.run` and `vmpz.simulate` are functions although rooms have the same names.

    Importing a room would make it an attribute of its package; where the name is a public function, that one stays.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vmpz' has no attribute {name!r}")
    value = getattr(import_module(f"vmpz.{_HOMES[name]}"), _NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
