"""Parameters: validated once at the door, frozen, passed whole.

One model per product and one for the run. Units stand in the names (`_arcsec`, `_deg`), defaults are the published
ones. A parameter file is TOML; `load` reads one, `explain` turns a validation error into lines of the form
``file:line: key: what must hold``, `example` prints every parameter with its meaning and default, `as_toml` those
that differ from it. `flatten` names each value by a dotted key, for forms that are not TOML; `validated` brings them
back.
"""

from vmpz.parameters.base import BitNames, Form, Forms, Section
from vmpz.parameters.exposures import ExposureParameters, SiteParameters, ZodiacalParameters
from vmpz.parameters.keys import flatten, overlaid, unit_of, validated, value_of, value_text
from vmpz.parameters.masks import MaskParameters, RadiusLaw
from vmpz.parameters.outside import CatalogueParameters, ReddeningParameters
from vmpz.parameters.random import RandomParameters
from vmpz.parameters.stage1 import (
    BitmaskParameters,
    CoverageParameters,
    DepthParameters,
    ExtinctionParameters,
    FootprintParameters,
    InfoParameters,
    InputParameters,
    MapParameters,
    SurveyParameters,
    TilingParameters,
)
from vmpz.parameters.stage2 import MangleParameters, PatchParameters
from vmpz.parameters.text import as_toml, example, explain, load
from vmpz.parameters.visibility import (
    CosmologyParameters,
    CountsParameters,
    DeepSampleParameters,
    LuminosityParameters,
    SelectionParameters,
    VisibilityParameters,
)
from vmpz.parameters.whole import Parameters, names_for

__all__ = [
    "BitNames",
    "BitmaskParameters",
    "CatalogueParameters",
    "CosmologyParameters",
    "CountsParameters",
    "CoverageParameters",
    "DeepSampleParameters",
    "DepthParameters",
    "ExposureParameters",
    "ExtinctionParameters",
    "FootprintParameters",
    "Form",
    "Forms",
    "InfoParameters",
    "InputParameters",
    "LuminosityParameters",
    "MangleParameters",
    "MapParameters",
    "MaskParameters",
    "Parameters",
    "PatchParameters",
    "RadiusLaw",
    "RandomParameters",
    "ReddeningParameters",
    "Section",
    "SelectionParameters",
    "SiteParameters",
    "SurveyParameters",
    "TilingParameters",
    "VisibilityParameters",
    "ZodiacalParameters",
    "as_toml",
    "example",
    "explain",
    "flatten",
    "load",
    "names_for",
    "overlaid",
    "unit_of",
    "validated",
    "value_of",
    "value_text",
]
