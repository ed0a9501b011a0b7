"""What a product needs of the pass over the pixels, and which flag bits it selects.

A product key names its flag bits; the bit table of the frame turns names into numbers. Needs of several
products add up, so one pass serves them all."""

from dataclasses import dataclass, replace
from typing import Any

from vmpz.bits import BitTable, Selection, bit_table
from vmpz.errors import MissingProductError
from vmpz.frames import Frame, FrameRef
from vmpz.parameters import BitNames, Parameters, names_for
from vmpz.products import ProductKey

__all__ = [
    "PassNeeds",
    "Selections",
    "flag_planes",
    "key_for",
    "mask_sections",
    "mask_tables",
    "require",
    "selection_of",
    "selections_for",
    "table_for",
    "table_in",
    "validity_plane",
]

NO_TABLE = BitTable("-1", "-1", "-1", ())
"""Table of a frame whose flags nothing describes: only the virtual bits have names."""


@dataclass(frozen=True)
class PassNeeds:
    """What the pass must read and count.

    Attributes
    ----------
    planes, tables : frozenset of str
        Canonical planes and tables that must be there.
    selections : frozenset of Selection
        Joint selections to be counted (``flagged.<S>``, ``good.<S>``).
    good : Selection or None
        Selection that the sample ``good`` of the moments excludes (that of the depth).
    percents : frozenset of float
        Order statistics of the planes, per cent (50 = median).
    listed : frozenset of str
        Also ``mode`` or ``wmedian`` of the planes.
    inverse_variance : bool
        Means weighted by 1/RMS**2.
    keep_good : Selection or None
        Selection whose good-pixel plane must be kept; of single exposures, whose good sub-cells are counted.
    weight : bool
        Moments of the inverse variance.
    """

    planes: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()
    selections: frozenset[Selection] = frozenset()
    good: Selection | None = None
    percents: frozenset[float] = frozenset()
    listed: frozenset[str] = frozenset()
    inverse_variance: bool = False
    keep_good: Selection | None = None
    weight: bool = False

    def __or__(self, other: "PassNeeds") -> "PassNeeds":
        """Needs of two products together."""
        return PassNeeds(
            self.planes | other.planes,
            self.tables | other.tables,
            self.selections | other.selections,
            self.good or other.good,
            self.percents | other.percents,
            self.listed | other.listed,
            self.inverse_variance or other.inverse_variance,
            self.keep_good or other.keep_good,
            self.weight or other.weight,
        )

    def missing(self, ref: FrameRef) -> tuple[str, ...]:
        """Planes and tables that the frame does not have."""
        return tuple(sorted((self.planes - ref.planes.keys()) | (self.tables - ref.tables.keys())))


@dataclass(frozen=True)
class Selections:
    """The flag selections of a band's products; `bitmask` is None where no table describes the flags."""

    bitmask: Selection | None
    coverage: Selection
    depth: Selection


def selections_for(
    parameters: Parameters, band: str, instrument: str, table: BitTable | None, has_star_masks: bool
) -> Selections:
    """The selections that the parameters ask for, or the defaults of the bit table.

    Coverage also vetoes pixels inside star masks (STARMASK) unless told otherwise, and depth follows coverage unless
    it names its own bits or takes its noise from the info map, which excludes none.

    Raises
    ------
    InputError
        A flag name is asked for that the table does not have, or that no table describes.
    """
    known = table or NO_TABLE
    vetoed = _asked(parameters.coverage.bits, band, instrument)
    names = list(known.default if vetoed is None else vetoed)
    if parameters.coverage.star_masks and has_star_masks:
        names.append("STARMASK")
    coverage = known.select(names)
    excluded = _asked(parameters.depth.bits, band, instrument)
    depth = coverage if excluded is None else known.select(excluded)
    if parameters.depth.source != "rms":
        depth = known.select(())
    return Selections(_bitmask_selection(parameters, band, instrument, table), coverage, depth)


def _asked(bits: BitNames | None, band: str, instrument: str) -> tuple[str, ...] | None:
    return None if bits is None else names_for(bits, band, instrument)


def _bitmask_selection(
    parameters: Parameters, band: str, instrument: str, table: BitTable | None
) -> Selection | None:
    explicit = "bits" in parameters.bitmask.model_fields_set
    names = names_for(parameters.bitmask.bits, band, instrument)
    if table is None:
        return NO_TABLE.select(names) if explicit and names else None
    if names is None or (not explicit and any(name not in table.by_name for name in names)):
        names = table.default
    return table.select(names)


def table_for(ref: FrameRef, parameters: Parameters) -> BitTable | None:
    """The bit table of a frame: the one that the parameters name for its band or instrument, else the reader's.

    The masks of the parameters are bits of every table. Where headers name the bits that there are, only those of them
    are vetoed by default.

    Raises
    ------
    InputError
        A mask has the name of a flag bit.
    """
    named = parameters.bitmask.table
    name = named.get(ref.band) or named.get(ref.instrument)
    if name is not None or ref.bit_table == "-":
        return _with_masks(None if name is None or name == "-" else bit_table(name), parameters)
    table, stated = bit_table(ref.bit_table), ref.options.get("flag_bits")
    if stated:
        table = replace(table, default=tuple(one for one in table.default if one in stated))
    return _with_masks(table, parameters)


def _with_masks(table: BitTable | None, parameters: Parameters) -> BitTable | None:
    masks = {mask.name: mask.marks for mask in parameters.masks}
    return (table or NO_TABLE).with_masks(masks) if masks else table


def table_in(frame: Frame, parameters: Parameters) -> BitTable | None:
    """The bit table of an opened frame, whose header may have the last word where the parameters name none."""
    named = parameters.bitmask.table
    if frame.ref.band in named or frame.ref.instrument in named:
        return table_for(frame.ref, parameters)
    return _with_masks(frame.bits, parameters)


def selection_of(key: ProductKey, table: BitTable | None) -> Selection:
    """The flag bits that a key names."""
    return (table or NO_TABLE).select(() if key.selection == "-" else key.selection.split(","))


def flag_planes(selection: Selection) -> frozenset[str]:
    """FLAG, where the selection has bits that pixels carry."""
    return frozenset({"FLAG"} if any(number < 32 for number in selection.numbers) else ())


def mask_tables(selection: Selection) -> frozenset[str]:
    """STARMASK, where the selection has the bit of star masks."""
    return frozenset({"STARMASK"} if "STARMASK" in selection.names else ())


def mask_sections(key: ProductKey, parameters: Parameters) -> dict[str, Any]:
    """The parameters of the masks whose bits a key names, for its digest; what their catalogues hold is an input."""
    chosen = [mask for mask in parameters.masks if mask.name in key.selection.split(",")]
    told = {mask.name: mask.model_dump(mode="json", exclude={"catalogue"}) for mask in chosen}
    return {"masks": told} if told else {}


def require(frame: Frame, planes: frozenset[str], selection: Selection) -> None:
    """A plane or star mask that is not there is never read as clean or observed; other masks always come with the pass.

    Raises
    ------
    MissingProductError
        The frame does not have one of the planes, or those that the selection's bits come from.
    """
    ref = frame.ref
    missing = sorted((planes | flag_planes(selection)) - ref.planes.keys())
    if mask_tables(selection) and frame.star_masks is None and "STARMASK" not in ref.tables:
        missing.append("STARMASK")
    if missing:
        raise MissingProductError(
            f"{ref.name}: needs {', '.join(sorted(planes | flag_planes(selection) | mask_tables(selection)))}; "
            f"there is no {', '.join(missing)}"
        )


def validity_plane(ref: FrameRef) -> frozenset[str]:
    """The plane that says where an image is valid: RMS, unless the reader option `validity` names IMAGE."""
    return frozenset({str(ref.options.get("validity", "RMS"))})


def key_for(ref: FrameRef, parameters: Parameters, kind: str, **fields: str) -> ProductKey:
    """A key of this frame's area, band and instrument at the working order."""
    whole = {"instrument": ref.instrument, "band": ref.band, **fields}
    return ProductKey(
        area=ref.area, kind=kind, order=parameters.maps.order, release=parameters.survey.release, **whole
    )
