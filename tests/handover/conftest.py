"""Both stages are run once per worker: in either convention."""

from pathlib import Path

import pytest

from handover_helpers import HandedOver, hand_over


@pytest.fixture(scope="session")
def handed(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> HandedOver:
    """The survey handed over; never change it."""
    return hand_over(survey, tmp_path_factory.mktemp("handed"))


@pytest.fixture(scope="session")
def mer(survey: Path, tmp_path_factory: pytest.TempPathFactory) -> HandedOver:
    """Its coverage-type products in the MER convention; never change it."""
    kinds = ["footprint", "coverage", "effectivecoverage"]
    return hand_over(survey, tmp_path_factory.mktemp("mer"), "MER", kinds)
