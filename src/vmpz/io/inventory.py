"""The products and their published names: DPDD name, schema, FITS format, XML type and element, token of the file name.

A new kind of product is one row of `INVENTORY`. Names are kept as published, mistakes included; those that were never
published follow the pattern of the others.
"""

from dataclasses import dataclass

from vmpz.errors import InputError
from vmpz.products import ProductKey
from vmpz.quantities import QUANTITIES

__all__ = ["INVENTORY", "Kind", "kind_of", "kind_of_name", "kind_of_token", "token_of"]


@dataclass(frozen=True)
class Kind:
    """Names of one kind of product in one form; every one of them as published, mistakes included."""

    kind: str
    form: str
    dpd: str
    schema: str
    format_id: str
    data_type: str
    element: str
    stem: str
    """Token of the file name without its prefix; '' where the quantity takes its place."""

    @property
    def params(self) -> str:
        """Name of the element that says what was selected."""
        return "RandomParams" if self.kind == "random" else f"{self.element}Params"


def _kind(kind: str, form: str, dpd: str, schema: str, name: str, element: str, stem: str) -> Kind:
    prefix = {"healpix": "Healpix", "moc": "MOC", "mangle": "Mangle"}[form]
    return Kind(
        kind,
        form,
        f"Dpd{prefix}{dpd}VMPZ",
        f"euc-le3-id-vmpz-{prefix}{schema}.xsd",
        f"le3.id.vmpz.{prefix.lower()}{schema.lower()}",
        f"vmpzid:{name}{prefix}VMPZ",
        f"{element}{prefix}",
        stem,
    )


def _forms(kind: str, dpd: str, schema: str, name: str, element: str, stem: str) -> list[Kind]:
    """Names in every form; there is no mangle bit mask."""
    forms = ("healpix", "moc") if kind == "bitmask" else ("healpix", "moc", "mangle")
    return [_kind(kind, form, dpd, schema, name, element, stem) for form in forms]


INVENTORY = {
    (row.kind, row.form): row
    for row in (
        *_forms(
            "footprint", "FootprintMask", "FootprintMask", "footprintMask", "FootprintMask", "FOOTPRINTMASK"
        ),
        *_forms("bitmask", "BitMask", "BitMask", "bitMask", "BitMask", "BITMASK"),
        *_forms("coverage", "Coverage", "CoverageMask", "coverageMask", "CoverageMask", "COVERAGE"),
        *_forms(
            "effectivecoverage",
            "EffectiveCoverage",
            "EffectiveCoverageMask",
            "effectiveCoverageMask",
            "EffectiveCoverageMask",
            "EFFECTIVECOVERAGE",
        ),
        *_forms("info", "InfoMap", "InfoMap", "infoMap", "InfoMap", ""),
        *_forms("depth", "DepthMap", "DepthMap", "depthMap", "DepthMap", "DEPTHMAP"),
        *_forms(
            "visibility",
            "VisibilityMask",
            "VisibilityMask",
            "visibilityMask",
            "VisibilityMask",
            "VISIBILITYMASK",
        ),
        Kind(
            "random",
            "catalogue",
            "DpdRandomCatalogVMPZ",
            "euc-le3-id-vmpz-RandomCatalog.xsd",
            "le3.id.vmpz.randomcatalog",
            "vmpzid:randomCatalogVMPZ",
            "RandomCatalog",
            "RANDOMCATALOG",
        ),
    )
}
"""(kind, form) -> names. No effective coverage was ever published as a MOC, and no name of a mangle file: those rows
follow the pattern."""

TABLE_TOKENS = {
    "statistics": "CELLSTATISTICS",
    "goodpixels": "GOODPIXELS",
    "redshifts": "REDSHIFTS",
    "random": "RANDOMCATALOG",
}
PREFIX = {"healpix": "HP", "moc": "MOC", "mangle": "MANGLE"}


def kind_of(kind: str, form: str) -> Kind:
    """Names of a kind of product.

    Raises
    ------
    InputError
        No product of that kind has that form.
    """
    if (kind, form) not in INVENTORY:
        forms = ", ".join(other for one, other in INVENTORY if one == kind)
        kinds = ", ".join(dict.fromkeys(one for one, _ in INVENTORY))
        known = f"the form must be one of {forms}" if forms else f"a product with maps must be one of {kinds}"
        raise InputError(f"there is no {kind} as {form}: {known}; found {form if forms else kind}")
    return INVENTORY[kind, form]


def token_of(key: ProductKey, form: str) -> str:
    """Token of the file name, e.g. HPCOVERAGE, MOCDEPTHMAP, HPEXPOSURES; HP for forms without a prefix."""
    if key.kind in TABLE_TOKENS:
        return TABLE_TOKENS[key.kind]
    form = form if form in PREFIX else "healpix"
    return PREFIX[form] + (kind_of(key.kind, form).stem or key.quantity.upper())


def kind_of_token(token: str) -> tuple[str, str] | None:
    """Kind and quantity ('-' if it has none) of a token, None if it is not one."""
    for kind, name in TABLE_TOKENS.items():
        if token == name:
            return kind, "-"
    for form, prefix in PREFIX.items():
        stem = token.removeprefix(prefix)
        if stem != token:
            for row in INVENTORY.values():
                if stem and (row.stem, row.form) == (stem, form):
                    return row.kind, "-"
            for name in QUANTITIES:
                if name.upper() == stem:
                    return "info", name
    return None


def kind_of_name(dpd: str) -> Kind | None:
    """The row of a DPDD name, None if there is none."""
    return next((row for row in INVENTORY.values() if row.dpd == dpd), None)
