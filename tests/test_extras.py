"""Extras: `all` has what a user may want, without GPL; each is explained where users look."""

import re
import tomllib
from pathlib import Path

from vmpz.run.diagnosis import EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
FOR_WORK = {"test", "oracles", "oracles-c", "s3test", "lint", "docs"}
GPL = {"healsparse"}


def test_all_has_every_extra_of_users_but_gpl() -> None:
    (whole,) = PROJECT["all"]
    names = set(re.fullmatch(r"vmpz\[([\w,]+)\]", whole)[1].split(","))  # type: ignore[index]
    assert names == set(PROJECT) - FOR_WORK - GPL - {"all"}
    assert names | GPL == set(EXTRAS)
    for name, one in EXTRAS.items():
        assert PROJECT[name] == [one.module]


def test_every_extra_is_explained() -> None:
    told = (ROOT / "docs" / "first-steps.md").read_text("utf-8")
    assert [name for name in PROJECT if f"`vmpz[{name}]`" not in told] == []
