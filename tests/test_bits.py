"""Bit tables: what is shipped, selections, and files of users."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpz.bits import STARMASK, Bit, BitTable, bit_table, table_names
from vmpz.errors import InputError


def names(table: str) -> dict[int, str]:
    return {bit.number: bit.name for bit in bit_table(table).bits}


@pytest.mark.parametrize("name", table_names())
def test_shipped_tables_hold_together(name: str) -> None:
    table = bit_table(name)
    assert table.name == name
    assert table.default
    assert all(bit.meaning for bit in table.bits)
    chosen = table.select(table.default)
    assert chosen.mask & ~table.known == 0
    assert len(chosen.names) == len(table.default)


def test_what_is_shipped() -> None:
    wanted = [
        "decam-cp-bits",
        "decam-cp-codes",
        "desdm",
        "kids",
        "lsst",
        "nir",
        "vis-pf13",
        "vis-pf14",
        "vis-pf15",
    ]
    assert table_names() == wanted
    assert [name for name in wanted if bit_table(name).kind == "code"] == ["decam-cp-codes"]


# As published, bit by bit: VIS before the changes of versions 14 and 15, and the data quality layer of NIR.
VIS = {
    0: "INVALID", 1: "HOT", 2: "COLD", 3: "SAT", 4: "COSMIC", 5: "GHOST", 6: "QUADEDGE", 7: "BAD_COLUMN",
    8: "BAD_CLUSTER", 9: "CR_REGION", 12: "OVRCOL", 13: "EXTOBJ", 14: "SCATLIGHT", 15: "CHARINJ", 16: "NEARCHARINJ",
    17: "SATXTALKGHOST", 18: "STARSIGNAL", 19: "SATURATEDSTAR", 20: "CTICORRECTION", 21: "ADCMAX", 22: "TXERROR",
    23: "STITCHBLOCK", 24: "OBJECTS",
}  # fmt: skip
NIR = [
    "INVALID", "OBMASK", "DISCONNECTED", "ZEROQE", "BADBASE", "LOWQE", "SUPERQE", "HOT", "RTN", "SNOWBALL", "SATUR",
    "NLINEAR", "NLMODFAIL", "PERSIST", "PERMODFAIL", "DARKNODET", "COSMIC", "FLATLH", "GHOST", "SCATTER", "MOVING",
    "TRANS", "CROSSTALK", "FLOWER", "VIGNET",
]  # fmt: skip


def test_every_bit_has_its_published_number() -> None:
    later = {**{number: name for number, name in VIS.items() if number != 16}, 22: "NO_DATA"}
    assert names("vis-pf13") == VIS
    assert names("vis-pf14") == later
    assert names("vis-pf15") == {n: name for n, name in later.items() if n not in (13, 14, 19, 20)}
    assert names("nir") == dict(enumerate(NIR))


def test_default_vetoes() -> None:
    """Those that public readers use; before version 14 no bit said that there are no data."""
    assert {name: bit_table(name).default for name in ("vis-pf13", "vis-pf14", "vis-pf15", "nir")} == {
        "vis-pf13": ("INVALID", "SAT"),
        "vis-pf14": ("INVALID", "SAT", "NO_DATA"),
        "vis-pf15": ("INVALID", "SAT", "NO_DATA"),
        "nir": ("INVALID", "SATUR"),
    }


def test_vis_tables_follow_the_published_versions() -> None:
    assert names("vis-pf13")[22] == "TXERROR"
    assert names("vis-pf13")[16] == "NEARCHARINJ"
    assert names("vis-pf14")[22] == "NO_DATA"
    assert set(names("vis-pf13")) - set(names("vis-pf14")) == {16}
    assert set(names("vis-pf14")) - set(names("vis-pf15")) == {13, 14, 19, 20}
    published = {1, 2, 3, 4, 5, 7, 8, 15, 17, 21, 22}
    for name, more in (("vis-pf14", {9}), ("vis-pf15", {12})):
        assert {bit.number for bit in bit_table(name).bits if bit.invalid} == published | more
    sources = {bit.name for bit in bit_table("vis-pf15").bits if bit.marks == "source"}
    assert sources == {"STARSIGNAL", "OBJECTS"}
    assert bit_table("vis-pf15").select(["OBJECTS"]).mask == 16777216


def test_nir_table_is_the_data_quality_layer() -> None:
    table = names("nir")
    assert list(table) == list(range(25))
    assert (table[10], table[11], table[13], table[24]) == ("SATUR", "NLINEAR", "PERSIST", "VIGNET")
    assert bit_table("nir").select(["NLINEAR", "DARKNODET"]).mask == 0x8800


def test_desdm_and_decam_values() -> None:
    assert bit_table("desdm").select(["FIX", "SATURATE"]).mask == 2048 + 2
    assert bit_table("decam-cp-bits").select(["COSMIC", "TRANSIENT"]).mask == 16 + 128
    assert names("decam-cp-codes")[5] == "COSMIC"


@settings(deadline=None, max_examples=50)
@given(st.sets(st.sampled_from(sorted(bit_table("vis-pf14").by_name))))
def test_selection_is_its_set_of_names(chosen: set[str]) -> None:
    table = bit_table("vis-pf14")
    selection = table.select([*chosen, *chosen])
    assert set(selection.names) == chosen
    assert list(selection.numbers) == sorted(table.by_name[name].number for name in chosen)
    assert selection.mask == sum(2**number for number in selection.numbers)
    assert selection.bitsel == (",".join(map(str, selection.numbers)) or "-1")


def test_unknown_names_are_an_error_that_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"among .*INVALID.*found SATUR"):
        bit_table("vis-pf14").select(["SATUR"])
    with pytest.raises(InputError, match="bit table must be one of"):
        bit_table("vis-pf99")


def test_star_masks_are_a_virtual_bit_of_every_table() -> None:
    selection = bit_table("nir").select(["STARMASK", "SATUR"])
    assert selection.numbers == (10, STARMASK)
    assert selection.mask >> 32 == 1


TOML = 'name = "mine"\nversion = 2\ninstrument = "CAM"\ndefault = ["BAD"]\nbits = [{ number = 3, name = "BAD" }]\n'


def test_a_table_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    table = bit_table(str(path))
    assert (table.name, table.version, table.kind, table.known) == ("mine", "2", "bits", 8)


@pytest.mark.parametrize(
    "text",
    [
        "bits = [",
        "x = 1",
        TOML.replace("number = 3", "number = 32"),
        TOML.replace("number = 3", "number = -1"),
        TOML.replace("number = 3", "num = 3"),
        TOML.replace("]", ', { number = 3, name = "OTHER" }]'),
        TOML.replace("]", ', { number = 4, name = "BAD" }]'),
        TOML.replace('"BAD"', '"STARMASK"'),
    ],
)
def test_broken_tables(tmp_path: Path, text: str) -> None:
    path = tmp_path / f"{abs(hash(text))}.toml"
    path.write_text(text)
    with pytest.raises(InputError):
        bit_table(str(path))


def test_a_table_says_what_is_vetoed(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML.replace('default = ["BAD"]\n', ""))
    with pytest.raises(InputError, match="there is no default"):
        bit_table(str(path))


def test_missing_table_file() -> None:
    with pytest.raises(InputError, match="no such bit table file"):
        bit_table("nowhere.toml")


def test_tables_are_values() -> None:
    rows = (Bit(1, "A"),)
    assert BitTable("t", "1", "X", rows) == BitTable("t", "1", "X", rows)
