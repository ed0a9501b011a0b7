"""Flag bits that a header names itself (`MSK_FLAG_<NAME>` = bit, NIR): trusted, joined with the configured table."""

from collections.abc import Mapping
from dataclasses import replace

from vmpz.bits import Bit, BitTable, bit_table
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.frames import FrameRef

__all__ = ["bits_of", "header_bits", "join_table"]

PREFIX = "MSK_FLAG_"


def header_bits(cards: Cards) -> dict[str, int]:
    """Names and numbers of the bits that a header states, empty if it states none.

    Raises
    ------
    InputError
        A number is not one from 0 to 31.
    """
    keys = [key for key in cards if key.startswith(PREFIX)]
    for key in keys:
        if not 0 <= cards.integer(key) < 32:
            raise cards.error(key, "must be a bit number from 0 to 31")
    return {key.removeprefix(PREFIX): cards.integer(key) for key in keys}


def join_table(
    table: BitTable | None, stated: Mapping[str, int], instrument: str, where: str
) -> BitTable | None:
    """The table of a plane whose header names bits: exactly these exist, meanings come from the configured table.

    Raises
    ------
    InputError
        A name has another number, or a number another name, than in the configured table, or one number two names.
    """
    if not stated:
        return table
    by_name = {} if table is None else {bit.name: bit for bit in table.bits}
    by_number = {bit.number: bit for bit in by_name.values()}
    bits: dict[int, Bit] = {}
    for name, number in stated.items():
        known = by_name.get(name) or by_number.get(number) or Bit(number, name)
        if (known.name, known.number) != (name, number) or number in bits:
            other = bits.get(number, known)
            raise InputError(
                f"{where}: {PREFIX}{name} = {number} must agree with bit {other.number} {other.name}"
            )
        bits[number] = known
    rows = tuple(bits[number] for number in sorted(bits))
    if table is None:
        return BitTable("header", "-1", instrument, rows)
    return replace(table, bits=rows, default=tuple(name for name in table.default if name in stated))


def bits_of(ref: FrameRef) -> BitTable | None:
    """The bit table of a frame; the reader kept what the header states in the option `flag_bits`."""
    if "FLAG" not in ref.planes:
        return None
    table = None if ref.bit_table == "-" else bit_table(ref.bit_table)
    return join_table(table, ref.options.get("flag_bits", {}), ref.instrument, ref.planes["FLAG"].location)
