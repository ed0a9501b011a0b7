"""Flag bits that a header names itself: trusted, joined with the configured table.

Two forms are known. `MSK_FLAG_<NAME>` = bit (NIR) repeats the published table, so a clash with it is an error.
`MP_<NAME>` = bit (pipelines of LSST and HSC) numbers the planes in the order in which a process met them, another in
each file: only names carry meaning, and a configured table is joined by name.
"""

from collections.abc import Mapping
from dataclasses import replace

from vmpz.bits import Bit, BitTable, bit_table
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.frames import FrameRef

__all__ = ["BY_NAME", "WITHOUT_TABLE", "bits_of", "header_bits", "join_table"]

PREFIX, NAMED_PREFIX = "MSK_FLAG_", "MP_"
BY_NAME = "flag_bits_by_name"
"""Option of a frame whose numbers are those of its own header alone."""
WITHOUT_TABLE = "flags have no bit table (option bit_table), so none can be used"


def header_bits(cards: Cards) -> dict[str, int]:
    """Names and numbers of the bits that a header states, empty if it states none.

    Raises
    ------
    InputError
        A number is not one from 0 to 31.
    """
    for prefix in (PREFIX, NAMED_PREFIX):
        keys = [key for key in cards if key.startswith(prefix)]
        for key in keys:
            if not 0 <= cards.integer(key) < 32:
                raise cards.error(key, "must be a bit number from 0 to 31")
        if keys:
            return {key.removeprefix(prefix): cards.integer(key) for key in keys}
    return {}


def join_table(
    table: BitTable | None, stated: Mapping[str, int], instrument: str, where: str, *, by_name: bool = False
) -> BitTable | None:
    """The table of a plane whose header names bits: exactly these exist, meanings come from the configured table.

    Parameters
    ----------
    table : BitTable, optional
    stated : mapping of str to int
        What the header says; without it the table stands as it is.
    instrument, where : str
    by_name : bool
        The numbers of the table mean nothing, see the module.

    Raises
    ------
    InputError
        A name has another number, or a number another name, than in the configured table, or one number two names.
    """
    if not stated:
        return table
    known_names = {} if table is None else {bit.name: bit for bit in table.bits}
    known_numbers = {} if by_name else {bit.number: bit for bit in known_names.values()}
    bits: dict[int, Bit] = {}
    for name, number in stated.items():
        known = known_names.get(name) or known_numbers.get(number) or Bit(number, name)
        known = replace(known, number=number) if by_name else known
        if (known.name, known.number) != (name, number) or number in bits:
            other = bits.get(number, known)
            raise InputError(
                f"{where}: {NAMED_PREFIX if by_name else PREFIX}{name} = {number} must agree with bit {other.number} "
                f"{other.name}"
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
    by_name = bool(ref.options.get(BY_NAME, False))
    return join_table(
        table,
        ref.options.get("flag_bits", {}),
        ref.instrument,
        ref.planes["FLAG"].location,
        by_name=by_name,
    )
