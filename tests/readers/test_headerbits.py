"""Bits that headers name: fixed tables that must agree, and numbers that mean nothing beyond their file."""

import numpy as np
import pytest
from astropy.io.fits import Header
from hypothesis import given
from hypothesis import strategies as st

from vmpz.bits import bit_table
from vmpz.errors import InputError
from vmpz.files.cards import Cards
from vmpz.readers.headerbits import header_bits, join_table

NAMES = [bit.name for bit in bit_table("lsst").bits]


def cards(**values: object) -> Cards:
    header = Header()
    for key, value in values.items():
        header[f"HIERARCH {key}" if len(key) > 8 else key] = value
    return Cards(header, "file[2]", header.tostring().encode())


@given(st.permutations(range(32)), st.lists(st.sampled_from(NAMES), min_size=1, unique=True), st.data())
def test_selections_by_name_do_not_depend_on_the_numbers(
    numbers: list[int], names: list[str], data: st.DataObject
) -> None:
    stated = dict(zip(names, numbers, strict=False))
    assert header_bits(cards(**{f"MP_{name}": number for name, number in stated.items()})) == stated
    table = join_table(bit_table("lsst"), stated, "LSST", "file", by_name=True)
    assert table is not None
    chosen = data.draw(st.sets(st.sampled_from(names)))
    hit = data.draw(st.sets(st.sampled_from(names)))
    word = np.uint64(sum(1 << stated[name] for name in hit))
    assert bool(word & np.uint64(table.select(chosen).mask)) == bool(chosen & hit)
    assert set(table.default) == set(bit_table("lsst").default) & set(names)
    for name in names:
        known = bit_table("lsst").by_name[name]
        found = table.by_name[name]
        assert (found.meaning, found.marks, found.number) == (known.meaning, known.marks, stated[name])


def test_names_that_no_table_has_are_kept() -> None:
    table = join_table(bit_table("lsst"), {"NEW": 0, "BAD": 7}, "LSST", "file", by_name=True)
    assert table is not None
    assert [(bit.number, bit.name) for bit in table.bits] == [(0, "NEW"), (7, "BAD")]


def test_fixed_numbers_still_must_agree() -> None:
    assert header_bits(cards(MSK_FLAG_SATUR=10)) == {"SATUR": 10}
    with pytest.raises(InputError, match="MSK_FLAG_SATUR = 11 must agree"):
        join_table(bit_table("nir"), {"SATUR": 11}, "NISP", "file")


def test_one_number_has_one_name() -> None:
    with pytest.raises(InputError, match="MP_SAT = 1 must agree with bit 1 BAD"):
        join_table(bit_table("lsst"), {"BAD": 1, "SAT": 1}, "LSST", "file", by_name=True)


@pytest.mark.parametrize("number", [-1, 32, 1.5, "2"])
def test_numbers_are_bits(number: object) -> None:
    with pytest.raises(InputError, match="MP_BAD"):
        header_bits(cards(MP_BAD=number))


def test_a_header_without_names() -> None:
    assert header_bits(cards(EXPTIME=1.0)) == {}
    assert join_table(None, {}, "LSST", "file") is None
