"""Elements: no text becomes markup."""

from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from vmpz.report.page.elements import Html, element, joined

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)


@given(TEXT, TEXT)
def test_text_and_attributes_come_back_as_they_went_in(text: str, value: str) -> None:
    found = html.fromstring(element("p", text, element("b", text), title=value))
    assert found.text_content() == text + text
    assert found.get("title") == value
    assert [child.tag for child in found] == ["b"]


def test_attributes_may_stand_alone_or_be_left_out() -> None:
    assert (
        element("input", disabled=True, hidden=False, title=None, data_x=0) == '<input disabled data-x="0">'
    )
    assert element("label", for_="a", class_="b") == '<label for="a" class="b"></label>'


def test_what_is_put_together_by_hand_is_text_again() -> None:
    assert joined([Html("<br>") + "x"]) == "&lt;br&gt;x"
    assert joined(["a", None, Html("<br>"), 3], ", ") == "a, <br>, 3"
