"""One overview and its page for all tests of the page: drawing is what takes time."""

import pytest

from overview_helpers import HOSTILE, fake_overview
from vmpz.report.page.document import page_of
from vmpz.run.overview.content import Overview

TILES = [HOSTILE, *(str(number) for number in range(2, 150))]


@pytest.fixture(scope="session")
def overview() -> Overview:
    """149 tiles of one band; the first has a name that no page may take for markup."""
    return fake_overview(TILES, bands=("VIS",), reason=HOSTILE)


@pytest.fixture(scope="session")
def page(overview: Overview) -> str:
    """The page of it."""
    return page_of(overview)
