"""Flag bits that a header names itself (`MSK_FLAG_<NAME>` = bit, NIR): trusted, joined with the configured table."""

from dataclasses import replace

from vmpz.bits import Bit, BitTable
from vmpz.files.cards import Cards

__all__ = ["merged_with_header"]

PREFIX = "MSK_FLAG_"


def merged_with_header(table: BitTable | None, cards: Cards, instrument: str) -> BitTable | None:
    """The table of a plane whose header may name its bits.

    Where the header names bits, exactly these exist; meanings and marks come from the configured table.

    Raises
    ------
    InputError
        A name has another number, or a number another name, than in the configured table.
    """
    named = {key.removeprefix(PREFIX): key for key in cards if key.startswith(PREFIX)}
    if not named:
        return table
    by_name = {} if table is None else {bit.name: bit for bit in table.bits}
    by_number = {bit.number: bit for bit in by_name.values()}
    bits = []
    for name, key in named.items():
        number = cards.integer(key)
        if not 0 <= number < 32:
            raise cards.error(key, "must be a bit number from 0 to 31")
        known = by_name.get(name) or by_number.get(number)
        if known is not None and (known.name, known.number) != (name, number):
            raise cards.error(
                key,
                f"must agree with bit {known.number} {known.name} of table {table.name if table else '-'}",
            )
        bits.append(known or Bit(number, name))
    bits.sort(key=lambda bit: bit.number)
    if table is None:
        return BitTable(f"{cards.where} header", "-1", instrument, tuple(bits))
    default = tuple(name for name in table.default if name in named)
    return replace(table, bits=tuple(bits), default=default)
