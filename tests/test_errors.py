"""Hints of messages: near names are found, far ones are not, lists are short."""

from hypothesis import given
from hypothesis import strategies as st

from vmpz.errors import listed, meant, nearest

NAMES = st.lists(st.text(min_size=1), min_size=1)


@given(NAMES)
def test_a_known_name_is_nearest_to_itself(names: list[str]) -> None:
    near = nearest(names[0], names)
    assert near is not None and near.casefold() == names[0].casefold()
    assert meant(names[0].swapcase(), [names[0]]) in (f", did you mean {names[0]}", "")


def test_only_what_is_near_is_meant() -> None:
    known = ["VIS", "NIR_Y", "NIR_J"]
    assert meant("vis", known) == ", did you mean VIS"
    assert meant("NIR", known).startswith(", did you mean NIR_")
    assert meant("zzz", known) == meant("VIS", []) == meant(None, ["none"]) == ""


def test_lists_are_short_and_in_order() -> None:
    assert listed([]) == "none" and listed({"b", "a"}) == "a, b"
    assert listed([f"{k:02d}" for k in range(30)], 3) == "00, 01, 02 and 27 more"
