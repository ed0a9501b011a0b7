"""The Python face: every public name is there, whatever was imported before, and importing costs nothing."""

import pickle
import subprocess
import sys
from types import ModuleType

import pytest

import vmpz


@pytest.mark.parametrize("name", vmpz.__all__)
def test_every_public_name_is_no_module(name: str) -> None:
    value = getattr(vmpz, name)
    assert callable(value) and not isinstance(value, ModuleType)
    assert name in dir(vmpz)


def test_functions_win_over_rooms_of_the_same_name() -> None:
    code = (
        "import vmpz, vmpz.run.store, vmpz.simulate.survey\n"
        "from vmpz.run.store import Store\n"
        "from vmpz.run import plan\n"
        "assert vmpz.run.__name__ == 'run_survey', vmpz.run\n"
        "assert vmpz.simulate.__name__ == 'simulate' and callable(vmpz.simulate)\n"
        "assert plan.Choice().takes_kind('depth')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, vmpz; print(sorted({'numpy', 'numba', 'dask', 'astropy'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        == "[]\n"
    )


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vmpz.nothing


def test_functions_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(vmpz.run)) is vmpz.run
