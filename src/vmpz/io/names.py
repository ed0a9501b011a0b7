"""File names: ``EUC_LE3_VMPZ-ID_<TOKEN>-<instance>_<time>Z_<release>.<ext>``.

The instance is a tile; a file that joins several is ``<TOKEN>-CONCAT-<time>Z_<release>`` (a hyphen before the
time). The time is the creation instant to the microsecond: the band is not in the name, so two bands of one
tile differ by it alone. Names without release token are read as well.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from vmpz.errors import InputError
from vmpz.io.inventory import kind_of, token_of
from vmpz.products import Product

__all__ = ["CONCAT", "FileName", "collection_name", "descriptor_name", "file_name", "parse_name"]

CONCAT = "CONCAT"
EXTENSION = {"parquet": "parquet", "healsparse": "hsp", "hips": "hips", "mangle": "ply", "hats": "hats"}
PREFIX = "EUC_LE3_VMPZ-ID_"
TIME = r"(?P<time>\d{8}T\d{6}(?:\.\d{1,6})?)Z?"
PATTERN = re.compile(
    rf"{PREFIX}(?P<token>[A-Z0-9]+)(?:-(?P<instance>.*?))?(?:__|_|-){TIME}"
    r"(?:_(?P<release>[^_]+?))?\.(?P<extension>fits(?:\.gz)?|xml|parquet|ply|hsp|hips|hats)"
)


@dataclass(frozen=True)
class FileName:
    """Parts of a published file name; `release` is '-' where the name has none."""

    token: str
    instance: str
    created: datetime
    release: str = "-"
    extension: str = "fits"

    def __str__(self) -> str:
        between = "-" if self.instance == CONCAT else "_"
        instance = f"-{_safe(self.instance)}" if self.instance else "_"
        release = "" if self.release == "-" else f"_{_safe(self.release)}"
        return f"{PREFIX}{self.token}{instance}{between}{timestamp(self.created)}{release}.{self.extension}"


def timestamp(instant: datetime) -> str:
    """``YYYYMMDDThhmmss.ffffffZ``, UTC."""
    return f"{instant.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z"


def _safe(text: str) -> str:
    """A part of a name: everything but letters, digits, '.', '-' and '+' percent-encoded, no leading dot or hyphen."""
    quoted = quote(text, safe=".-+").replace("_", "%5F").replace("~", "%7E")
    return f"%{ord(quoted[0]):02X}{quoted[1:]}" if quoted[:1] in (".", "-") else quoted


def file_name(product: Product, form: str) -> FileName:
    """Name of the file of a product.

    Raises
    ------
    InputError
        The product has no provenance, hence no creation instant.
    """
    if product.provenance is None:
        raise InputError(
            f"{product.key}: a published name holds the creation instant; the product has no provenance"
        )
    return FileName(
        token_of(product.key, form),
        instance_of(product),
        product.provenance.created,
        product.key.release,
        EXTENSION.get(form, "fits"),
    )


def instance_of(product: Product) -> str:
    """The tile, or CONCAT for a product that names a list of tiles."""
    return product.key.area if str(product.keywords.get("LISTID", "-1")) == "-1" else CONCAT


def descriptor_name(product: Product, form: str, instance: str | None = None) -> str:
    """Name of the XML descriptor: ``<Dpd name>-<instance>-<time>Z_<release>.xml``; default instance as of the file."""
    name = file_name(product, form)
    release = "" if name.release == "-" else f"_{_safe(name.release)}"
    dpd, place = kind_of(product.key.kind, form).dpd, _safe(instance or name.instance)
    return f"{dpd}-{place}-{timestamp(name.created)}{release}.xml"


def collection_name(dpd: str, patch: str, created: datetime, release: str) -> str:
    """Name of a collection without its extension: ``<Dpd name>-<patch>-<time>Z_<release>``."""
    return f"{dpd}-{_safe(patch)}-{timestamp(created)}{'' if release == '-' else f'_{_safe(release)}'}"


def parse_name(name: str) -> FileName | None:
    """Parts of a file name, None if it does not follow the pattern."""
    match = PATTERN.fullmatch(name)
    if match is None:
        return None
    time = match["time"] if "." in match["time"] else f"{match['time']}.0"
    try:
        created = datetime.strptime(time, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return None
    return FileName(
        match["token"],
        unquote(match["instance"] or ""),
        created,
        unquote(match["release"] or "-"),
        match["extension"],
    )
