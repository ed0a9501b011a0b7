"""From form to form and back on the command line, and from convention to convention: nothing is lost."""

from itertools import permutations

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from handover_helpers import FORMS, ORDER, SUFFIXES, in_the_sky, without_release
from vmpz import io
from vmpz.cli import _status_of

MAPS = ("effectivecoverage", "depth", "tile")
"""Fractions, magnitudes, whole numbers."""
COLUMNS = ("healpix", "moc", "parquet", "healsparse")
"""Forms that keep every column of a bit mask."""
COVERAGES = ("footprint", "coverage", "effectivecoverage")
UNSEEN = -1.6375e30


def run(*arguments):
    return _status_of([str(one) for one in arguments])


def convert(source, out, *options):
    """Convert, and what came of it."""
    assert run("convert", source, out, *options) == 0
    return io.read(out)


@pytest.mark.gpl
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MAPS)
def test_every_form_by_way_of_every_other(handed, name, form, tmp_path):
    pytest.importorskip("healsparse")
    first = handed.file(name, form)
    truth = without_release(handed.product(name))  # a release stands in published names, not in FITS files
    for other in (one for one in FORMS if one != form):
        there, back = tmp_path / f"a{SUFFIXES[other]}", tmp_path / f"b{SUFFIXES[form]}"
        assert without_release(convert(first, there)) == truth
        assert without_release(convert(there, back)) == truth
        if form in ("healpix", "moc"):
            assert back.read_bytes() == first.read_bytes()


@pytest.mark.gpl
@pytest.mark.parametrize(("form", "other"), list(permutations(COLUMNS, 2)))
def test_bit_masks_keep_their_columns(handed, form, other, tmp_path):
    pytest.importorskip("healsparse")
    truth = without_release(handed.product("bitmask"))
    assert list(truth.maps) == ["WEIGHT", "BIT00"]
    convert(handed.file("bitmask", form), tmp_path / f"a{SUFFIXES[other]}")
    back = convert(tmp_path / f"a{SUFFIXES[other]}", tmp_path / f"b{SUFFIXES[form]}")
    assert without_release(back) == truth


def test_a_hips_keeps_the_first_column_and_polygons_keep_no_bits(handed, tmp_path, capsys):
    there = convert(handed.file("bitmask"), tmp_path / "a.hips")
    assert dict(there.maps) == {"WEIGHT": handed.product("bitmask").map}
    assert run("convert", handed.file("bitmask"), tmp_path / "a.ply") == 3
    assert "there is no bitmask as mangle" in capsys.readouterr().err
    assert not (tmp_path / "a.ply").exists()


# -- conventions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", ["demo", "pair", "fine"])
@pytest.mark.parametrize("name", COVERAGES)
def test_patches_of_either_convention_are_one_map(handed, mer, name, area):
    """What is observed is the same to the bit; in the MER convention every cell of the area is listed."""
    observed, other = handed.product(name, area), mer.product(name, area)
    some = other.map.values > 0
    assert other.map.where(some) == observed.map and not some.all()
    assert fits.getheader(mer.file(name, area=area), 1)["COVCONV"] == "MER"
    assert fits.getheader(handed.file(name, area=area), 1)["COVCONV"] == "OBSERVED"
    assert len(other.map) == len(handed.product("tile", area).map)
    assert other.map.integral_deg2() == pytest.approx(observed.map.integral_deg2(), rel=1e-12)


@pytest.mark.parametrize("area", ["demo", "pair"])
@pytest.mark.parametrize("name", ["footprint", "coverage"])
def test_files_of_several_bands_have_the_convention_of_their_bands(handed, mer, name, area):
    """Tables and columns."""
    path = mer.of_all_bands(name, area)
    assert fits.getheader(path, 1)["COVCONV"] == "MER"
    for band in ("VIS", "NIR_Y"):
        assert io.read(path, band).map == mer.product(name, area, band).map
        assert io.read(handed.of_all_bands(name, area), band).map == handed.product(name, area, band).map


@pytest.mark.gpl
@pytest.mark.parametrize("name", COVERAGES)
def test_every_form_says_its_convention(mer, name):
    healpy, healsparse = pytest.importorskip("healpy"), pytest.importorskip("healsparse")
    truth = mer.product(name)
    missing = 1.0 - truth.map.values.astype(np.float64)
    for form in FORMS:
        assert io.read(mer.file(name, form)).map == truth.map
        assert "COVCONV" not in io.read(mer.file(name, form)).keywords
    for form, number in {"healpix": 1, "moc": 2}.items():
        assert fits.getheader(mer.file(name, form), number)["COVCONV"] == "MER"
    table = pq.read_table(mer.file(name, "parquet"))
    assert table.schema.metadata[b"covconv"] == b"MER" and np.array_equal(table["WEIGHT"], missing)
    sparse = healsparse.HealSparseMap.read(str(mer.file(name, "healsparse")))
    assert sparse.metadata["COVCONV"] == "MER"
    assert np.array_equal(sparse[truth.map.cells.cells()], missing)
    assert '"COVCONV": "MER"' in mer.file(name, "mangle").read_text()
    found = healpy.read_map(str(mer.file(name)), nest=True, dtype=None)
    assert np.array_equal(np.where(found == UNSEEN, 0.0, 1.0 - found), in_the_sky(truth, 0.0))


@pytest.mark.parametrize("name", COVERAGES)
def test_8_there_and_back_over_the_mer_convention_and_polygons(handed, mer, name, tmp_path):
    """Acceptance 8, at the order of the tiles."""
    truth, source = handed.product(name, "fine"), handed.file(name, area="fine")
    refused = run("convert", source, tmp_path / "mer.fits", "--convention", "MER")
    assert refused == 3 and not (tmp_path / "mer.fits").exists()  # it does not list every cell of its area
    first = convert(mer.file(name, area="fine"), tmp_path / "mer.fits", "--convention", "MER")
    second = convert(tmp_path / "mer.fits", tmp_path / "mer.ply", "--convention", "MER")
    third = convert(tmp_path / "mer.ply", tmp_path / "observed.ply")
    last = convert(tmp_path / "observed.ply", tmp_path / "observed.fits")
    assert fits.getheader(tmp_path / "mer.fits", 1)["COVCONV"] == "MER"
    assert '"COVCONV": "MER"' in (tmp_path / "mer.ply").read_text()
    assert first.map == second.map == mer.product(name, "fine").map
    assert third.map == last.map == truth.map
    assert last.keywords == mer.product(name, "fine").keywords
    area = truth.map.integral_deg2()
    for one in (first, second, third, last):
        assert one.map.integral_deg2() == pytest.approx(area, rel=1e-12)
    missing, mask = io.read_polygons(tmp_path / "mer.ply"), io.read_polygons(tmp_path / "observed.ply")
    assert missing.area_deg2 - missing.observed_area_deg2 == pytest.approx(area, rel=1e-5)
    assert mask.observed_area_deg2 == pytest.approx(area, rel=1e-5)


@pytest.mark.parametrize("suffix", [".moc.fits", ".parquet", ".hips"])
def test_other_forms_go_over_the_mer_convention_too(handed, mer, suffix, tmp_path):
    convert(mer.file("coverage"), tmp_path / f"a{suffix}", "--convention", "MER")
    back = convert(tmp_path / f"a{suffix}", tmp_path / "b.fits")
    assert back.map == handed.product("coverage").map and back.map.order == ORDER
