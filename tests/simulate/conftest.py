"""One small survey for the tests of this folder."""

import pytest

from vmpz.simulate import simulate


@pytest.fixture(scope="session")
def small_survey(tmp_path_factory):
    """Folder and description of two tiles and three bands."""
    folder = tmp_path_factory.mktemp("survey")
    made = simulate(folder, tiles=2, size=320, bands=("VIS", "NIR_Y", "DECAM_g"), at=(52.9, -28.25), seed=11)
    return folder, made
