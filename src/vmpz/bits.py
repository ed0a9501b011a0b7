"""Bit tables: what each flag bit of an instrument and pipeline version means, and selections by name.

Flag bits mean different things per instrument, so nothing in the code names a bit number: a table is
configuration (`data/bits/*.toml`, or a user's file of the same form) and a selection is a list of names.
Flags are 32-bit words; numbers from 32 to 39 are *virtual* bits, set by geometry and not by pixels: 32 inside the
bright-star masks of a tile, the others inside further masks, which have the names that the parameters give them.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from vmpz.errors import InputError, meant

__all__ = ["STARMASK", "VIRTUAL", "Bit", "BitTable", "Selection", "bit_table", "table_names"]

STARMASK = 32
"""Number of the virtual bit that is set inside the bright-star masks of a tile: the first of all virtual ones."""

VIRTUAL = 8
"""Virtual bits that there can be."""

Marks = Literal["defect", "source"]


@dataclass(frozen=True)
class Bit:
    """One row of a table: number, name, meaning, whether INVALID includes it, what it marks."""

    number: int
    name: str
    meaning: str = ""
    invalid: bool = False
    marks: Marks = "defect"


@dataclass(frozen=True)
class Selection:
    """A joint selection of flag bits: its canonical names (by bit number) and its 64-bit mask."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]

    @property
    def mask(self) -> int:
        """Sum of 2**number; virtual bits stand above 2**31."""
        return sum(1 << number for number in self.numbers)

    @property
    def virtual_mask(self) -> int:
        """The virtual bits alone, the first of them (STARMASK) as 1."""
        return self.mask >> STARMASK

    @property
    def text(self) -> str:
        """Names joined by commas, '-' for the empty selection: the form used in product keys."""
        return ",".join(self.names) or "-"

    @property
    def bitsel(self) -> str:
        """The FITS keyword BITSEL: ascending bit numbers joined by commas, '-1' for none."""
        return ",".join(str(number) for number in self.numbers) or "-1"


@dataclass(frozen=True)
class BitTable:
    """The flag bits of one instrument and pipeline version.

    Attributes
    ----------
    name, version, instrument : str
        Identity; written to BITTABLE and BITTABVR.
    bits : tuple of Bit
    default : tuple of str
        Names vetoed by default in coverage and depth.
    kind : {'bits', 'code'}
        'code': the plane holds one number a pixel, code k meaning bit k alone.
    masks : tuple of Bit
        Virtual bits beyond STARMASK; see `with_masks`.

    Examples
    --------
    >>> from vmpz.bits import bit_table
    >>> chosen = bit_table("vis-pf14").select(["SAT", "INVALID"])
    >>> chosen.text, chosen.bitsel, chosen.mask
    ('INVALID,SAT', '0,3', 9)
    """

    name: str
    version: str
    instrument: str
    bits: tuple[Bit, ...]
    default: tuple[str, ...] = ()
    kind: Literal["bits", "code"] = "bits"
    masks: tuple[Bit, ...] = ()
    by_name: Mapping[str, Bit] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        virtual = Bit(STARMASK, "STARMASK", "inside a bright-star mask", marks="source")
        every = (*self.bits, virtual, *self.masks)
        by_name: dict[str, Bit] = {}
        for bit in every:
            if by_name.setdefault(bit.name, bit) is not bit:
                raise InputError(f"bit table {self.name}: every name must stand once, found {bit.name} twice")
        if len({bit.number for bit in every}) != len(every):
            raise InputError(f"bit table {self.name}: every number must stand once")
        if any(not 0 <= bit.number < 32 for bit in self.bits):
            raise InputError(f"bit table {self.name}: bit numbers must be 0 to 31")
        object.__setattr__(self, "by_name", by_name)

    def select(self, names: Iterable[str]) -> Selection:
        """The joint selection of named bits.

        Raises
        ------
        InputError
            A name is not in the table; the message lists those that are.
        """
        chosen = set()
        for name in names:
            if name not in self.by_name:
                raise InputError(
                    f"bit table {self.name}: flag names must be among {', '.join(self.by_name)}; found {name}"
                    f"{meant(name, self.by_name)}"
                )
            chosen.add(self.by_name[name])
        bits = sorted(chosen, key=lambda bit: bit.number)
        return Selection(tuple(bit.name for bit in bits), tuple(bit.number for bit in bits))

    def with_masks(self, masks: Mapping[str, Marks]) -> "BitTable":
        """The same table with virtual bits 33, 34... of these names, in their order; what each marks.

        Raises
        ------
        InputError
            There are too many, or a name is that of another bit.
        """
        if len(masks) >= VIRTUAL:
            raise InputError(
                f"bit table {self.name}: there must be at most {VIRTUAL - 1} masks, found {len(masks)}"
            )
        numbered = enumerate(masks.items(), STARMASK + 1)
        return replace(
            self,
            masks=tuple(
                Bit(n, name, f"inside a mask of {name}", marks=marks) for n, (name, marks) in numbered
            ),
        )

    @property
    def known(self) -> int:
        """Mask of all real bits that the table names; others in the data are stray."""
        return sum(1 << bit.number for bit in self.bits)

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any], source: str) -> "BitTable":
        """Table from parsed TOML: keys name, version, instrument, default, a list `bits`, and kind.

        Raises
        ------
        InputError
            A key is missing or unknown; without `default` nobody knows what coverage and depth shall veto.
        """
        missing = [key for key in ("name", "version", "instrument", "default", "bits") if key not in table]
        if missing:
            raise InputError(
                f"{source}: a bit table must have name, version, instrument, default (names that are vetoed) and bits; "
                f"there is no {', '.join(missing)}"
            )
        try:
            bits = tuple(Bit(**row) for row in table["bits"])
            return cls(
                name=table["name"],
                version=str(table["version"]),
                instrument=table["instrument"],
                bits=bits,
                default=tuple(table["default"]),
                kind=table.get("kind", "bits"),
            )
        except TypeError as error:
            raise InputError(f"{source}: not a bit table: {error}") from error


def table_names() -> list[str]:
    """Names of the tables that come with the package."""
    folder = resources.files("vmpz") / "data" / "bits"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


@cache
def bit_table(name: str) -> BitTable:
    """The shipped table of that name, or the one in the TOML file of that path.

    Raises
    ------
    InputError
        There is no such table, or the file is not one.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{name}: there is no such bit table file")
        text = path.read_text("utf-8")
    elif name in table_names():
        text = (resources.files("vmpz") / "data" / "bits" / f"{name}.toml").read_text("utf-8")
    else:
        raise InputError(
            f"bit table must be one of {', '.join(table_names())} or a .toml file, found {name}"
            f"{meant(name, table_names())}"
        )
    try:
        return BitTable.from_mapping(tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: not TOML: {error}") from error
