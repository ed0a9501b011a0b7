"""Products as they were: every card and value of small files, and files of each form that must stay readable.

Run with VMPZ_UPDATE_GOLDEN=1 to write them anew after a change of the format that is meant.
"""

import os
import re
from pathlib import Path

import numpy as np
import pytest

import io_helpers
from vmpz import io
from vmpz.parameters import MapParameters

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
PRODUCTS = io_helpers.products()
CASES = [(name, form) for name in PRODUCTS for form in ("healpix", "moc")]


def compare(text, name):
    kept = GOLDEN / name
    if os.environ.get("VMPZ_UPDATE_GOLDEN"):
        kept.write_text(text)
    assert text == kept.read_text()


@pytest.mark.parametrize(("name", "form"), CASES, ids=["-".join(case) for case in CASES])
def test_every_card_and_value_is_as_it_was(name, form, tmp_path):
    path, descriptor = io.write(PRODUCTS[name], tmp_path, form)
    compare(io_helpers.as_text(path), f"{name}.{form}.txt")
    without = re.sub(r"\s*<Polygon>.*</Polygon>", "", descriptor.read_text(), flags=re.S)
    compare(without, f"{name}.{form}.xml")


@pytest.mark.parametrize(
    ("label", "maps"),
    [
        ("mer", MapParameters(coverage_convention="MER")),
        ("strict", MapParameters(strict_dpdd=True)),
    ],
)
def test_options_are_as_they_were(label, maps, tmp_path):
    path = io.write_file(PRODUCTS["coverage"], tmp_path / "a.fits", maps=maps)
    compare(io_helpers.as_text(path), f"coverage.healpix.{label}.txt")


@pytest.mark.parametrize("name", ["coverage.fits", "bitmask.moc.fits", "statistics.parquet"])
def test_files_of_this_version_stay_readable(name, tmp_path):
    kept = GOLDEN / name
    stem = name.split(".")[0]
    if os.environ.get("VMPZ_UPDATE_GOLDEN"):
        io.write_file(_table_product() if stem == "statistics" else PRODUCTS[stem], kept)
    found = io.read(kept)
    if stem == "statistics":
        assert found.table.equals(_table_product().table)
    else:
        assert dict(found.maps) == dict(PRODUCTS[stem].maps)
        assert io.write_file(PRODUCTS[stem], tmp_path / name).read_bytes() == kept.read_bytes()
    assert io.check(kept) == []


def _table_product():
    cells = np.arange(5)
    table = io.statistics_table(io_helpers.statistics_of(cells))
    return io_helpers.Product(io_helpers.key("statistics"), table=table)
