"""Products: what is made (`ProductKey`), the thing itself (`Product`), and where it came from (`Provenance`)."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from vmpz.display import card, facts, table, unfolding
from vmpz.sky.skymap import SkyMap

__all__ = ["KINDS", "SUBCELL", "Product", "ProductKey", "Provenance", "digest_of", "encode"]

KINDS = (
    "footprint", "bitmask", "coverage", "effectivecoverage", "info", "depth", "visibility", "redshifts", "statistics",
    "goodpixels",
)  # fmt: skip
"""Kinds of product of stage 1."""
SUBCELL = "SUBCELL"
"""Column of the observed sub-cells of a cell, one bit each: what it says has no meaning at another order."""

Scalar = str | int | float | bool


def encode(text: str) -> str:
    """Percent-encoding that leaves no separator, no quote and no leading dot: one safe path component."""
    quoted = quote(text, safe=",.-_").replace("~", "%7E")
    return quoted.replace(".", "%2E", 1) if quoted.startswith(".") else quoted


@dataclass(frozen=True, order=True)
class ProductKey:
    """What a product is, without saying where it is; '-' where a field has no meaning.

    `selection` names flag bits joined by commas; `quantity` is that of an info map, or the class of a visibility. The
    text form is the folder name, the task key and the log prefix.

    Examples
    --------
    >>> from vmpz import ProductKey
    >>> key = ProductKey("102018210", "info", "Noise", "RMSQ", instrument="VIS", band="VIS", order=14, release="0.1")
    >>> key.text
    '102018210~info~Noise~RMSQ~-~VIS~VIS~14~0.1'
    >>> ProductKey.parse(key.text) == key
    True
    """

    area: str
    kind: str
    quantity: str = "-"
    statistic: str = "-"
    selection: str = "-"
    instrument: str = "-"
    band: str = "-"
    order: int = -1
    release: str = "-"

    @property
    def text(self) -> str:
        """Fields joined by '~', each percent-encoded (`encode`): safe as a folder name, lossless."""
        return "~".join(encode(str(getattr(self, item.name))) for item in fields(self))

    @classmethod
    def parse(cls, text: str) -> "ProductKey":
        """The key of a text form.

        Raises
        ------
        ValueError
            The text is not a key.
        """
        parts = [unquote(part) for part in text.split("~")]
        if len(parts) != len(fields(cls)):
            raise ValueError(f"a product key has {len(fields(cls))} fields joined by '~', found {text!r}")
        values: dict[str, Any] = {item.name: part for item, part in zip(fields(cls), parts, strict=True)}
        return cls(**{**values, "order": int(values["order"])})

    def __str__(self) -> str:
        shown = (self.area, self.band, self.kind, self.quantity, self.statistic, self.selection)
        return " ".join(part for part in shown if part != "-")


@dataclass(frozen=True)
class Provenance:
    """Where a product came from.

    `digest` covers recipe version, parameters used and identities of the inputs; `product_id` follows from it.
    `inputs` maps file names to identities. `verified` is true when every input carried a checksum that held.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from vmpz import Provenance
    >>> instant = datetime(2026, 1, 2, tzinfo=UTC)
    >>> Provenance("depth", 1, {"snr": 5.0}, {"rms.fits": "4f1c"}, {"vmpz": "1.0"}, instant).digest[:12]
    '35013be04771'
    """

    recipe: str
    recipe_version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    versions: Mapping[str, str]
    created: datetime
    verified: bool = False
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of recipe, parameters and inputs (not of versions or the clock), hexadecimal."""
        return digest_of(self.recipe, self.recipe_version, self.parameters, self.inputs)

    @property
    def product_id(self) -> str:
        """UUID (version 5) of the digest."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"vmpz:{self.digest}"))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "created": self.created.isoformat(), "digest": self.digest}


def digest_of(recipe: str, version: int, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Digest that decides whether a product must be made again."""
    content = json.dumps([recipe, version, parameters, inputs], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class Product:
    """A key, its maps (or one table) and its provenance.

    Attributes
    ----------
    maps : mapping of str to SkyMap
        Column name to map, all on the same cells; the first is WEIGHT. Empty for a table product.
    table : pyarrow.Table or None
        For kind 'statistics' and 'goodpixels'.
    keywords : mapping
        FITS keywords that the maker knows (values in header types), e.g. SNRLEVEL, BITSEL, ZP.
    unit : str
        FITS unit of WEIGHT, '' for fractions and counts.

    Examples
    --------
    >>> from vmpz import CellSet, Product, ProductKey, SkyMap
    >>> depth = SkyMap(CellSet.from_cells(14, [7]), [25.3])
    >>> product = Product(ProductKey("demo", "depth", band="VIS", order=14), {"WEIGHT": depth}, unit="mag")
    >>> product.map is depth
    True
    """

    key: ProductKey
    maps: Mapping[str, SkyMap] = field(default_factory=dict)
    table: Any = None
    keywords: Mapping[str, Scalar] = field(default_factory=dict)
    unit: str = ""
    provenance: Provenance | None = None

    @property
    def map(self) -> SkyMap:
        """The WEIGHT map."""
        return self.maps["WEIGHT"]

    @property
    def _title(self) -> str:
        key = self.key
        words = (key.kind, key.quantity, key.statistic, key.band, key.area)
        return " ".join(word for word in words if word != "-")

    def __repr__(self) -> str:
        what = f"order={self.key.order}, cells={len(self.map)}" if self.maps else "a table"
        return f"Product({self._title}, {what}{f', unit={self.unit}' if self.unit else ''})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the key, the map with a picture, columns, keywords and where it came from."""
        head = [
            (name, value)
            for name in (
                "kind",
                "quantity",
                "statistic",
                "selection",
                "instrument",
                "band",
                "area",
                "release",
            )
            if (value := getattr(self.key, name)) != "-"
        ]
        rows = [*head, ("unit", self.unit)]
        rows += self.map.facts(self.unit) if self.maps else [("rows", getattr(self.table, "num_rows", None))]
        source = self.provenance
        if source is not None:
            checked = "verified" if source.verified else "not verified"
            rows.append(("made by", f"{source.recipe} {source.recipe_version}, digest {source.digest[:12]}"))
            rows.append(("made of", f"{len(source.inputs)} inputs, {checked}; {source.created.isoformat()}"))
        else:
            rows.append(("digest", str(self.keywords.get("PRODDIG", ""))[:12]))
        others = [(name, *(value for _, value in one.facts()[3:])) for name, one in self.maps.items()]
        return card(
            f"Product {self._title}",
            facts(rows),
            unfolding("columns", table(("column", "values"), others), f"{len(others)}"),
            unfolding("keywords", facts(self.keywords.items()), f"{len(self.keywords)}"),
            beside=self.map.picture(self.unit) if self.maps else "",
        )
