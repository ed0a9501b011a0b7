"""XML: local names, texts, limits (the attacks are among the numbered faults of the readers)."""

from pathlib import Path

import pytest

from vmpz.errors import InputError
from vmpz.files.xml import Element, parse_xml, text_at, texts_at

TEXT = """<?xml version="1.0" encoding="UTF-8"?><!-- note --><a:Root xmlns:a="http://x/a" xmlns="http://x/b">
<?pi x?><Data><b:Name xmlns:b="http://x/c"> one </b:Name><Name>one</Name><Other/></Data></a:Root>"""


def root_of(folder: Path, text: str) -> Element:
    path = folder / "a.xml"
    path.write_text(text, "utf-8")
    return parse_xml(str(path))


def test_names_are_local(tmp_path: Path) -> None:
    root = root_of(tmp_path, TEXT)
    assert root.tag == "Root"
    assert texts_at(root, "Data/Name") == ["one", "one"]
    assert text_at(root, "Data/Name", "a.xml") == "one"
    assert text_at(root, "Data/Other", "a.xml") is None
    with pytest.raises(InputError, match="Data/None must stand once, found nothing"):
        text_at(root, "Data/None", "a.xml", required=True)
    with pytest.raises(InputError, match="must stand once"):
        text_at(root_of(tmp_path, TEXT.replace(" one ", "two")), "Data/Name", "a.xml")


@pytest.mark.parametrize("text", ["", "text", "<a>", "<a></b>", "<a>&nothing;</a>", "<a b=1/>"])
def test_what_is_not_xml(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="must be well-formed XML"):
        root_of(tmp_path, text)


def test_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(TEXT)
    with pytest.raises(InputError, match="at most 100 bytes"):
        parse_xml(str(path), 100)
