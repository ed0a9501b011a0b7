"""What changed is merged again and nothing else; an earlier result that cannot be trusted is not used."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from merging_helpers import SPREAD, files_of, flip, from_scratch, tile
from vmpz import io
from vmpz.errors import InputError
from vmpz.io.rows import open_rows
from vmpz.parameters import MapParameters
from vmpz.run.merging import Units, units_path
from vmpz.run.regions import PatchRegion
from vmpz.run.tasks import merge_files
from vmpz.sky.regions import Cap


@pytest.mark.parametrize("order", [None, 10, 2])
def test_add_replace_and_retract_a_tile(order, tmp_path):
    tiles = [tile(k, cells) for k, cells in enumerate(SPREAD)]
    out, units = tmp_path / "a.fits", ((0, 1, 3, 20) if order != 2 else (0, 5))
    paths = files_of(tiles, tmp_path)

    def updated(files: list[str], made_anew: set[int]) -> None:
        made = merge_files(files, out, order, update=True)
        assert out.read_bytes() == from_scratch(files, tmp_path, order=order)
        table = Units.read(units_path(out))
        assert table == made.units and table.are_of(open_rows(out))
        there = set(table.table)
        shift = 0 if order != 2 else 2
        assert made.copied == len(there - {unit >> shift for unit in made_anew})

    updated(paths[:4], set(range(21)))  # the first time
    assert list(Units.read(units_path(out)).table) == list(units)
    updated(paths[:4], set())
    updated(paths, {1, 20})  # add
    files_of([tile(2, SPREAD[2], value=0.25)], tmp_path)
    updated(paths, {3})  # replace
    files_of([tile(1, [SPREAD[1][0]])], tmp_path)
    updated(paths, {0, 1})  # it lies no more in unit 1
    updated([paths[0], *paths[2:]], {0})  # retract
    updated(paths[:3], {0, 1, 20})
    merge_files(paths[:2], out, order)  # the table of units is now that of another file
    updated(paths, set(range(21)))


def test_weights_count_as_what_a_unit_is_made_of(tmp_path):
    (tmp_path / "w").mkdir()
    deep = files_of([tile(k, cells, "depth") for k, cells in enumerate(SPREAD)], tmp_path)
    shares = files_of([tile(k, cells) for k, cells in enumerate(SPREAD)], tmp_path / "w")
    out = tmp_path / "a.fits"
    assert merge_files(deep, out, 9, shares, update=True).copied == 0
    assert merge_files(deep, out, 9, shares, update=True).copied == 4
    files_of([tile(3, SPREAD[3], value=0.5)], tmp_path / "w")
    assert merge_files(deep, out, 9, shares, update=True).copied == 3
    assert out.read_bytes() == from_scratch(deep, tmp_path, order=9, weights=shares)
    assert merge_files(deep, out, 9, update=True).copied == 0


@pytest.mark.parametrize("order", [None, 9])
def test_other_questions_are_not_answered_with_earlier_rows(order, tmp_path):
    """Order, region, zeros, convention and further columns: whatever is asked next has the bytes of a fresh merge."""
    tiles = [tile(k, cells) for k, cells in enumerate(SPREAD)]
    tiles[1] = tile(1, SPREAD[1], value=0.0)
    paths, out = files_of(tiles, tmp_path), tmp_path / "a.fits"
    paths = [
        str(io.write_file(one, path, maps=MapParameters(write_zeros=True)))
        for one, path in zip(tiles, paths, strict=True)
    ]
    questions = [
        {"order": order}, {"order": order, "maps": MapParameters(write_zeros=True)}, {"order": order},
        {"order": order, "region": PatchRegion(Cap(45.0, 1.0, 1.2))}, {"order": 11}, {"order": order},
        {"order": order, "maps": MapParameters(coverage_convention="MER")}, {"order": order},
        {"order": order, "maps": MapParameters(strict_dpdd=True)}, {"order": order},
    ]  # fmt: skip
    for question in questions:
        merge_files(paths, out, update=True, **question)
        assert out.read_bytes() == from_scratch(paths, tmp_path, **question), question
    assert merge_files(paths, out, order, update=True).copied == 4
    assert out.read_bytes() == from_scratch(paths, tmp_path, order=order)


def _rows_moved(path: Path) -> None:
    content = json.loads(path.read_text())
    content["units"][1][2] -= 3
    path.write_text(json.dumps(content))


def _rows_lost(path: Path) -> None:
    content = json.loads(path.read_text())
    del content["units"][2]
    path.write_text(json.dumps(content))


def _other_file(path: Path) -> None:
    """A merge of other tiles in its place, with as many rows."""
    paths = files_of([tile(k, cells, value=0.75) for k, cells in enumerate(SPREAD)], path.parent / "other")
    merge_files(paths, path)


BROKEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "the result is gone": ("result", Path.unlink),
    "the result is cut": ("result", lambda path: path.write_bytes(path.read_bytes()[:-1])),
    "a row is altered": ("result", flip),
    "the result is empty": ("result", lambda path: path.write_bytes(b"")),
    "the result is another": ("result", _other_file),
    "the result is no map": ("result", lambda path: path.write_text("<html>")),
    "the table is gone": ("units", Path.unlink),
    "the table is empty": ("units", lambda path: path.write_text("")),
    "the table is no table": ("units", lambda path: path.write_text('{"units": 3}')),
    "the table is a list": ("units", lambda path: path.write_text("[1, 2]")),
    "the table is of text": ("units", lambda path: path.write_bytes(b"\xff\xfe")),
    "rows of the table are moved": ("units", _rows_moved),
    "rows of the table are lost": ("units", _rows_lost),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_earlier_result_that_is_broken_or_foreign_is_not_used(fault, tmp_path):
    (tmp_path / "other").mkdir()
    paths, out = files_of([tile(k, cells) for k, cells in enumerate(SPREAD)], tmp_path), tmp_path / "a.fits"
    merge_files(paths, out, update=True)
    wanted = out.read_bytes()
    which, spoil = BROKEN[fault]
    spoil(out if which == "result" else units_path(out))
    made = merge_files(paths, out, update=True)
    assert made.copied == 0
    assert out.read_bytes() == wanted
    assert merge_files(paths, out, update=True).copied == 4


def test_nothing_of_a_failed_update_is_kept(tmp_path):
    """Neither the result nor its table changes, so the next update starts from what was right."""
    paths, out = files_of([tile(k, cells) for k, cells in enumerate(SPREAD)], tmp_path), tmp_path / "a.fits"
    merge_files(paths[:4], out, update=True)
    before = out.read_bytes(), units_path(out).read_bytes()
    flip(Path(paths[4]))
    with pytest.raises(InputError, match=r"100000004.fits\[1\]: DATASUM must be"):
        merge_files(paths, out, update=True)
    assert (out.read_bytes(), units_path(out).read_bytes()) == before
    files_of([tile(4, SPREAD[4])], tmp_path)
    assert merge_files(paths, out, update=True).copied == 2
    assert out.read_bytes() == from_scratch(paths, tmp_path)
