"""The simulated survey after both stages: its patches in every form, and where each file is."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vmpz import io
from vmpz.files.write import write_text
from vmpz.parameters import PatchParameters, as_toml
from vmpz.products import Product
from vmpz.run.demonstration import parameters_for
from vmpz.run.plan import Choice
from vmpz.run.store import Entry, Store
from vmpz.run.survey import run_survey

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TILE_ORDER, ORDER = 12, 10
"""Of the tiles, and of the patch in every form: software that allocates the whole sky reads it."""

FORMS = {
    "healpix": "*_HP*.fits",
    "moc": "*_MOC*.fits",
    "mangle": "*.ply",
    "parquet": "*.parquet",
    "healsparse": "*.hsp",
    "hips": "*.hips",
}
SUFFIXES = {
    "healpix": ".fits",
    "moc": ".moc.fits",
    "mangle": ".ply",
    "parquet": ".parquet",
    "healsparse": ".hsp",
    "hips": ".hips",
}
MAPS = {
    "footprint": ("footprint", "-", "VIS"),
    "coverage": ("coverage", "-", "NIR_Y"),
    "effectivecoverage": ("effectivecoverage", "-", "-"),
    "bitmask": ("bitmask", "-", "VIS"),
    "depth": ("depth", "-", "VIS"),
    "noise": ("info", "Noise", "NIR_Y"),
    "tile": ("info", "Tile", "-"),
}
"""Kind, quantity and band of one map of every kind and type."""


@dataclass(frozen=True)
class HandedOver:
    """A store with the tiles and these patches.

    ``demo``: all tiles at order 10, every form, bands as tables of one file; ``pair``: two tiles at order 10, bands as
    columns; ``fine``: all tiles at their own order, as maps, MOCs and polygons.
    """

    parameters: Path
    store: Path

    def entry(self, name: str, area: str = "demo", band: str | None = None) -> Entry:
        """The product of a name of `MAPS`."""
        kind, quantity, own = MAPS[name]
        return self._entry(kind, quantity, own if band is None else band, area)

    def file(self, name: str, form: str = "healpix", area: str = "demo", band: str | None = None) -> Path:
        """The file (or folder) of a product in a form."""
        (path,) = self.entry(name, area, band).folder.glob(FORMS[form])
        return path

    def product(self, name: str, area: str = "demo", band: str | None = None) -> Product:
        """What the partial HEALPix file holds: what every other reader must find."""
        return io.read(self.file(name, "healpix", area, band))

    def of_all_bands(self, name: str, area: str) -> Path:
        """The file of several bands."""
        kind, quantity, _ = MAPS[name]
        return self._entry("multiband", quantity if kind == "info" else kind, "-", area).path(".fits")

    def tiles(self, name: str, band: str | None = None) -> list[Entry]:
        """The tile products of a name."""
        kind, quantity, own = MAPS[name]
        wanted = (kind, quantity, own if band is None else band)
        return [
            one
            for one in Store(self.store).entries()
            if one.key.area.isdigit() and (one.key.kind, one.key.quantity, one.key.band) == wanted
        ]

    def _entry(self, kind: str, quantity: str, band: str, area: str) -> Entry:
        (entry,) = (
            one
            for one in Store(self.store).entries_of(area)
            if (one.key.kind, one.key.quantity, one.key.band) == (kind, quantity, band)
        )
        return entry


def hand_over(
    survey: Path, folder: Path, convention: str = "OBSERVED", products: list[str] | None = None
) -> HandedOver:
    """Run both stages."""
    shown = parameters_for(survey, folder / "demo.toml")
    (demo,) = shown.patches
    tiles = sorted(one.name for one in (survey.parent / "MER").iterdir())
    parameters = shown.model_copy(
        update={
            "maps": shown.maps.model_copy(
                update={"order": TILE_ORDER, "forms": ["healpix", "moc"], "coverage_convention": convention}
            ),
            "info": shown.info.model_copy(update={"maps": ["Noise:RMSQ", "Tile:VALUE"]}),
            "coverage": shown.coverage.model_copy(update={"effective": ["VIS", "NIR_Y"]}),
            "mangle": shown.mangle.model_copy(update={"kinds": None, "convention": convention}),
            "patches": [
                demo.model_copy(update={"order": ORDER}),
                PatchParameters(name="pair", tiles=tiles[:2], order=ORDER, multi_band="columns"),
                PatchParameters(name="fine", all=True, forms=["healpix", "moc", "mangle"]),
            ],
        }
    )
    write_text(folder / "demo.toml", as_toml(parameters))
    account = run_survey(
        folder / "demo.toml", folder / "store", created=CREATED, threads=2, choice=Choice(products=products)
    )
    assert not account.has_failed, account.text()
    return HandedOver(folder / "demo.toml", folder / "store")


def without_release(product: Product) -> Product:
    """A product as a file tells it that is not named as published."""
    return replace(product, key=replace(product.key, release="-"))


def in_the_sky(product: Product, absent: float, column: str = "WEIGHT") -> np.ndarray:
    """The whole sky in nested order."""
    one = product.maps[column]
    full = np.full(12 * 4**one.order, absent, np.result_type(one.values.dtype, np.float32))
    full[one.cells.cells()] = one.values
    return full
