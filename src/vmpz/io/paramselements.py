"""The elements of a parameter product and the parameters they are, both ways, side by side.

What a published (or chosen) element can hold exactly stands there and nowhere else: `write_elements` writes an
element only where `read_elements` gives the very same value back. Everything else is left to the key/value block.
Elements that no parameter can hold are never dropped in silence: they are collected in `Said.homeless`.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.xml import Element
from vmpz.io.metadata import decode, encode
from vmpz.quantities import QUANTITIES

__all__ = [
    "BESIDE", "NOT_USED", "Said", "Scalar", "Where", "names_of_bits", "number_text", "read_elements", "text_of",
    "write_elements",
]  # fmt: skip

NOT_USED = "-1"
EUCLID = ["VIS", "NISP"]
"""Instruments of the telescope Euclid."""

Where = Callable[[Element], str]


@dataclass
class Said:
    """What parameter products say.

    Attributes
    ----------
    values, places : dict
        Dotted key -> value, and where it stands (file, line, element).
    tiles : list of str
        Tiles of stage 1, which are no parameters but an argument of a run.
    classes : list of str
        Classes of galaxies of random catalogues: an argument as well.
    homeless : list of tuple
        (name, place, message) of what no parameter can hold.
    numbered : set of str
        Keys whose flag bits are (partly) numbers.
    wanted : dict
        Key that must have a value in the end -> place of the element that says so.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    tiles: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    homeless: list[tuple[str, str, str]] = field(default_factory=list)
    numbered: set[str] = field(default_factory=set)
    wanted: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, value: Any, place: str) -> None:
        """Take a value.

        Raises
        ------
        InputError
            Another place says something else.
        """
        if key in self.values and self.values[key] != value:
            raise InputError(
                f"{place}: {key}: must agree with {self.places[key]}, found {value!r} and {self.values[key]!r}"
            )
        self.values.setdefault(key, value)
        self.places.setdefault(key, place)

    def without_a_home(self, element: Element, where: Where, why: str) -> None:
        """Note an element that no parameter can hold."""
        message = f"must be left out, or be ignored by name: {why}; found {text_of(element)}"
        self.homeless.append((str(element.tag), where(element), message))


@dataclass(frozen=True)
class Scalar:
    """An element, or the path of one, that is one parameter."""

    element: str
    key: str
    kind: type[str] | type[int] | type[float]


SCALARS = {
    "depth": (
        Scalar("Estimator", "depth.estimator", str),
        Scalar("SnrLevel", "depth.snr", float),
        Scalar("ApertureDiameter", "depth.aperture_arcsec", float),
        Scalar("CorrelatedNoise", "depth.correlated_noise", float),
    ),
    "mangle": (
        Scalar("MaxOrder", "mangle.max_order", int),
        Scalar("WeightMin", "mangle.weight_min", float),
        Scalar("WeightStep", "mangle.weight_step", float),
        Scalar("Convention", "mangle.convention", str),
    ),
    "visibility": (Scalar("DepthEst", "depth.estimator", str),),
    "random": (
        Scalar("Seed", "random.seed", int),
        Scalar("NSimObj", "random.number", int),
        Scalar("Density", "random.density", float),
        Scalar("Scheme", "random.scheme", str),
    ),
}
BITS = {"bitmask": "bitmask.bits", "coverage": "coverage.bits", "depth": "depth.bits"}
TABLES = {"bitmask", "coverage"}
"""Products that name the bit tables."""
BESIDE = {**dict.fromkeys(TABLES, "bitmask.table"), "visibility": "depth.estimator"}
"""Product -> the parameter of another section that it names too."""

HOMELESS = dict.fromkeys(("DateObs", "DateEnd"), "frames are not selected by date")
"""Published and chosen elements that no parameter holds -> why."""


def write_elements(data: Element, section: str, values: Mapping[str, Any]) -> None:
    """Write what elements can hold of the values of a product, in the order of the schema."""
    _write_selection(data, values)
    _write_output(data, values)
    if section in BITS:
        _write_bits(data, values[BITS[section]])
    if section in TABLES:
        _write_tables(data, values["bitmask.table"])
    if section == "info":
        _write_maps(data, values["info.maps"])
    if section == "mangle":
        _write_list(data, "KindList", "Kind", values["mangle.kinds"])
    for one in SCALARS.get(section, ()):
        value = values[one.key]
        if isinstance(value, one.kind):
            _add(data, one.element, encode(value) if isinstance(value, str) else number_text(value))
    if section == "depth":
        _write_depth(data, values)


def read_elements(data: Element, section: str, said: Said, where: Where) -> None:
    """Read the elements of a product that its schema has accepted.

    Raises
    ------
    InputError
        Two elements disagree, or a value is impossible; the message has the place, what must hold, and what was found.
    """
    for element in data:
        if element.tag in HOMELESS:
            said.without_a_home(element, where, HOMELESS[str(element.tag)])
    _read_selection(data, said, where)
    _read_patch(data, said, where)
    _read_output(data, said, where)
    if section in BITS:
        _read_bits(data, BITS[section], said, where)
    if section in TABLES:
        _read_tables(data, said, where)
    if section == "info":
        _read_maps(data, said, where)
    for holder in data.iterfind("KindList"):
        said.add("mangle.kinds", [decode(text_of(one)) for one in holder], where(holder))
    for one in SCALARS.get(section, ()):
        for element in data.iterfind(one.element):
            text = text_of(element)
            if one.kind is not str or text != NOT_USED:
                said.add(one.key, decode(text) if one.kind is str else one.kind(text), where(element))
    if section == "random":
        _read_class(data, said)
    if section == "depth":
        _read_depth(data, said, where)


def _add(parent: Element, name: str, text: str | None = None) -> Element:
    child = etree.SubElement(parent, name)
    child.text = text
    return child


def number_text(value: int | float) -> str:
    """A number as XML schemas want it."""
    return {math.inf: "INF", -math.inf: "-INF"}.get(value) or repr(value)


def text_of(element: Element) -> str:
    """The text of an element, without blanks around it."""
    return (element.text or "").strip()


# -- what is processed: instrument, bands, tiles ----------------------------------------------------------------------


def _write_selection(data: Element, values: Mapping[str, Any]) -> None:
    instruments, bands = values["survey.instruments"], values["survey.bands"]
    if instruments and len(instruments) == 1 and _is_a_name(instruments[0]):
        _add(data, "Instrument", encode(instruments[0]))
    if bands and all(map(_is_a_name, bands)):
        if len(bands) == 1:
            _add(data, "Filter", encode(bands[0]))
        else:
            filters = _add(data, "FilterList")
            for band in bands:
                _add(_add(filters, "Filter"), "Name", encode(band))
    if "patches.0.name" not in values or "patches.1.name" in values or not values["patches.0.list_id"]:
        return  # the published elements name one list of tiles
    if _is_a_name(values["patches.0.list_id"]):
        _add(data, "MerTileListID", encode(values["patches.0.list_id"]))
        tiles = values["patches.0.tiles"] or []
        if tiles and all(re.fullmatch(r"0|[1-9]\d{0,17}", tile) for tile in tiles):
            _add(_add(data, "PatchTileList"), "TileIndexList", " ".join(tiles))


def _is_a_name(text: str) -> bool:
    return bool(text) and text != NOT_USED


def _read_selection(data: Element, said: Said, where: Where) -> None:
    telescope, instrument = data.find("Telescope"), data.find("Instrument")
    chosen = [] if instrument is None else [decode(text_of(instrument))]
    chosen = [name for name in chosen if name != NOT_USED]
    if telescope is not None and text_of(telescope) != NOT_USED:
        is_euclid = text_of(telescope).casefold() == "euclid"
        if not chosen and is_euclid:
            said.add("survey.instruments", EUCLID, where(telescope))
        elif not chosen:
            said.without_a_home(telescope, where, "frames are selected by instrument; give Instrument")
        elif is_euclid != (chosen[0] in EUCLID):
            raise InputError(
                f"{where(telescope)}: must be the telescope of {chosen[0]}, found {text_of(telescope)}"
            )
    if chosen and instrument is not None:
        said.add("survey.instruments", chosen, where(instrument))
    for holder in (data.find("Filter"), data.find("FilterList")):
        if holder is None:
            continue
        filters = [holder] if holder.tag == "Filter" else list(holder)
        names = [decode(text_of(one) or (one.findtext("Name") or "").strip()) for one in filters]
        names = [name for name in names if name != NOT_USED]
        if names:
            said.add("survey.bands", names, where(holder))


def _read_patch(data: Element, said: Said, where: Where) -> None:
    """A list of tiles with an id is a patch, one without it the choice of a run of stage 1."""
    listed, tiles = data.find("MerTileListID"), data.find("PatchTileList/TileIndexList")
    numbers = [] if tiles is None else [one for one in text_of(tiles).split() if one != NOT_USED]
    if listed is not None and text_of(listed) != NOT_USED:
        said.add("patches.0.list_id", decode(text_of(listed)), where(listed))
        if numbers and tiles is not None:
            said.add("patches.0.tiles", numbers, where(tiles))
        numbers = []
    alone = data.find("TileIndex")
    if alone is not None and text_of(alone) != NOT_USED:
        numbers.append(text_of(alone))
    said.tiles += [one for one in numbers if one not in said.tiles]


def _read_class(data: Element, said: Said) -> None:
    """The class of a random catalogue is the choice of a run."""
    names = [decode(text_of(one)) for one in data.iterfind("BinSel")]
    said.classes += [name for name in names if name != NOT_USED and name not in said.classes]


# -- resolution and form ----------------------------------------------------------------------------------------------


def _write_output(data: Element, values: Mapping[str, Any]) -> None:
    order, forms, moc_order = values["maps.order"], values["maps.forms"], values["maps.moc_order"]
    _add(data, "NsideWork", str(1 << order))
    if forms == ["healpix"]:
        holder = _add(_add(data, "OutputFormat"), "PartialHealpixParams")
        _add(holder, "NsideOut", str(1 << order))
    elif (
        forms == ["moc"] and moc_order != order
    ):  # the deepest order of a MOC is that of its map unless stated
        holder = _add(_add(data, "OutputFormat"), "MOCParams")
        _add(holder, "MOCOrder", str(order if moc_order is None else moc_order))


def _read_output(data: Element, said: Said, where: Where) -> None:
    work, out = data.find("NsideWork"), data.find("OutputFormat/PartialHealpixParams/NsideOut")
    moc = data.find("OutputFormat/MOCParams/MOCOrder")
    order = None if work is None else _order_of(work, where)
    if work is not None:
        said.add("maps.order", order, where(work))
    if out is not None:
        said.add("maps.forms", ["healpix"], where(out))
        _read_resolution(out, order, said, where)
    if moc is not None:
        depth = int(text_of(moc))
        said.add("maps.forms", ["moc"], where(moc))
        said.add("maps.moc_order", None if depth == order else depth, where(moc))


def _read_resolution(out: Element, order: int | None, said: Said, where: Where) -> None:
    """NsideOut: that of the tiles, or a coarser one of the patch that the product names."""
    found = _order_of(out, where)
    if order is None:
        said.add("maps.order", found, where(out))
    elif found < order and "patches.0.list_id" in said.values:
        said.add("patches.0.order", found, where(out))
    elif found != order:
        raise InputError(
            f"{where(out)}: must be NsideWork, {1 << order}, for tiles, or less for a list of tiles "
            f"(MerTileListID), found {text_of(out)}"
        )


def _order_of(element: Element, where: Where) -> int:
    nside = int(text_of(element))
    if nside.bit_count() != 1 or nside > 1 << 29:
        raise InputError(f"{where(element)}: must be a power of two up to 2^29, found {nside}")
    return nside.bit_length() - 1


# -- flag bits --------------------------------------------------------------------------------------------------------


def _write_bits(data: Element, bits: Any) -> None:
    if isinstance(bits, list) and not any(name.isdigit() for name in bits):
        _write_list(data, "BitList", "Bit", bits)


def _write_list(data: Element, holder: str, element: str, values: list[str] | None) -> None:
    if values is not None:
        parent = _add(data, holder)
        for value in values:
            _add(parent, element, encode(value))


def _read_bits(data: Element, key: str, said: Said, where: Where) -> None:
    for holder in data.iterfind("BitList"):
        plain = [one for one in re.split(r"[\s,]+", holder.text or "") if one]
        names = [decode(one) for one in (*plain, *(text_of(child) for child in holder))]
        said.add(key, [] if names == [NOT_USED] else names, where(holder))
        if any(name.isdigit() for name in said.values[key]):
            said.numbered.add(key)


def _write_tables(data: Element, tables: Mapping[str, str]) -> None:
    if tables:
        holder = _add(data, "BitTableList")
        for who, name in tables.items():
            one = _add(holder, "BitTable")
            _add(one, "For", encode(who))
            _add(one, "Name", encode(name))


def _read_tables(data: Element, said: Said, where: Where) -> None:
    for holder in data.iterfind("BitTableList"):
        tables = {decode(one.findtext("For") or ""): decode(one.findtext("Name") or "") for one in holder}
        said.add("bitmask.table", tables, where(holder))


def names_of_bits(said: Said, key: str, tables: Mapping[str, str]) -> dict[str, list[str]]:
    """Flag names by band or instrument, for a list that holds numbers.

    Raises
    ------
    InputError
        No table is known, or one has no such bit.
    """
    place, listed = said.places[key], said.values[key]
    if not tables:
        raise InputError(
            f"{place}: must hold names, or numbers beside the bit table in force (BitTableList, or bitmask.table of "
            f"the base), found {' '.join(listed)}"
        )
    return {who: [_name_of_bit(bit, name, place) for bit in listed] for who, name in tables.items()}


def _name_of_bit(bit: str, table_name: str, place: str) -> str:
    if not bit.isdigit():
        return bit
    table = bit_table(table_name)
    for row in table.by_name.values():
        if row.number == int(bit):
            return row.name
    known = ", ".join(f"{row.number} {row.name}" for row in table.by_name.values())
    raise InputError(f"{place}: must be bits of the table {table.name} ({known}), found {bit}")


# -- info maps, depth -------------------------------------------------------------------------------------------------


def _write_maps(data: Element, maps: list[str]) -> None:
    holder = _add(data, "InfoMapList")
    quantity, one = None, holder
    for name in maps:
        found, _, statistic = name.partition(":")
        if found != quantity:
            quantity, one = found, _add(holder, "InfoMap")
            _add(one, "Info", found)
        _add(one, "Statistic", statistic)


def _read_maps(data: Element, said: Said, where: Where) -> None:
    """InfoMapList, or one quantity and its statistics alone; the quantity's own statistic where none is named."""
    holder = data.find("InfoMapList")
    if holder is None and data.find("Info") is None:
        return
    maps = []
    for one in [data] if holder is None else list(holder):
        quantity = (one.findtext("Info") or "").strip()
        if quantity not in QUANTITIES:
            place = where(one if holder is not None else one.find("Info"))  # type: ignore[arg-type]
            raise InputError(f"{place}: Info must be one of {', '.join(QUANTITIES)}; found {quantity!r}")
        named = [text_of(element).upper() for element in one.iterfind("Statistic")]
        maps += [f"{quantity}:{statistic}" for statistic in named or [QUANTITIES[quantity].statistic]]
    said.add("info.maps", maps, where(data.find("Info") if holder is None else holder))  # type: ignore[arg-type]


def _write_depth(data: Element, values: Mapping[str, Any]) -> None:
    if values["depth.psf_fwhm_arcsec"] is not None:
        _add(data, "PsfKind", "PARAMETER")
    _add(data, "SourceProfile", f"EXPDISC {values['depth.half_light_arcsec']!r} arcsec")
    _add(data, "ExtinctionCorrected", "false" if "depth.extinction" in values else "true")


def _read_depth(data: Element, said: Said, where: Where) -> None:
    kind, profile, corrected = map(data.find, ("PsfKind", "SourceProfile", "ExtinctionCorrected"))
    if kind is not None and text_of(kind) == "PARAMETER":
        said.wanted["depth.psf_fwhm_arcsec"] = where(kind)
    elif kind is not None and text_of(kind) != NOT_USED:
        said.without_a_home(kind, where, "the PSF of the band is taken where no PARAMETER is given")
    if profile is not None and text_of(profile) != NOT_USED:
        match = re.fullmatch(r"EXPDISC (\S+) arcsec", text_of(profile))
        try:
            size = float(match[1]) if match else None
        except ValueError:
            size = None
        if size is None:
            raise InputError(
                f"{where(profile)}: must be 'EXPDISC <half-light radius> arcsec', found {text_of(profile)!r}"
            )
        said.add("depth.half_light_arcsec", size, where(profile))
    if corrected is not None and text_of(corrected) in ("true", "1"):
        said.wanted["depth.extinction"] = where(corrected)
    elif corrected is not None:
        said.add("depth.extinction", None, where(corrected))
