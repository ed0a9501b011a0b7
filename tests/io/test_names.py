from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import io_helpers
from vmpz.errors import InputError
from vmpz.io.inventory import INVENTORY, kind_of, kind_of_name, kind_of_token, token_of
from vmpz.io.names import FileName, descriptor_name, file_name, parse_name
from vmpz.products import Product, ProductKey
from vmpz.quantities import QUANTITIES

SEEN = {
    "EUC_LE3_VMPZ-ID_HPDEPTHMAP-CONCAT-20241112T111230.257510Z_0.11.fits": ("HPDEPTHMAP", "CONCAT", "0.11"),
    "EUC_LE3_VMPZ-ID_HPEFFECTIVECOVERAGE-CONCAT-20251204T094108.787432Z_0.12.fits": (
        "HPEFFECTIVECOVERAGE",
        "CONCAT",
        "0.12",
    ),
    "EUC_LE3_VMPZ-ID_HPEXPOSURES-102018211_20241112T111230.257510Z.fits": ("HPEXPOSURES", "102018211", "-"),
    "EUC_LE3_VMPZ-ID_HPCOVERAGE-102018211_20241112T111230.257510Z_0.10.fits.gz": (
        "HPCOVERAGE",
        "102018211",
        "0.10",
    ),
    "EUC_LE3_VMPZ-ID_RANDOMCATALOG__20250515T154454.895944Z_00.00.fits": ("RANDOMCATALOG", "", "00.00"),
}


@pytest.mark.parametrize("name", SEEN)
def test_names_in_public_use_are_understood(name):
    found = parse_name(name)
    assert (found.token, found.instance, found.release) == SEEN[name]
    assert f"{found.created:%Y%m%dT%H%M%S.%f}Z" in name
    if not name.endswith(".gz"):
        assert str(found) == name


@pytest.mark.parametrize(
    "name", ["mask.fits", "EUC_LE3_VMPZ-ID_HPCOVERAGE-1_20241399T111230.2Z_0.1.fits", ""]
)
def test_other_names_are_not(name):
    assert parse_name(name) is None


@given(
    st.text(min_size=1, max_size=30),
    st.text(min_size=1, max_size=12),
    st.datetimes(datetime(1970, 1, 1), datetime(2199, 1, 1)),
)
@settings(max_examples=200, deadline=None)
def test_any_instance_and_release_make_one_safe_name_that_is_read_back(instance, release, moment):
    if release == "-":
        return
    name = FileName("HPCOVERAGE", instance, moment.replace(tzinfo=UTC), release)
    text = str(name)
    assert "/" not in text and "\0" not in text and text.isascii() and text.isprintable()
    assert not set(text) & set(" ;'\"$&|<>\\*?")
    assert parse_name(text) == name


def test_names_of_a_tile_and_of_a_patch():
    coverage = io_helpers.products()["coverage"]
    assert (
        str(file_name(coverage, "healpix"))
        == "EUC_LE3_VMPZ-ID_HPCOVERAGE-102018211_20260314T150926.535897Z_0.12.fits"
    )
    assert descriptor_name(coverage, "moc") == "DpdMOCCoverageVMPZ-102018211-20260314T150926.535897Z_0.12.xml"
    joined = io_helpers.patch(coverage)
    assert (
        str(file_name(joined, "moc"))
        == "EUC_LE3_VMPZ-ID_MOCCOVERAGE-CONCAT-20260314T150926.535897Z_0.12.fits"
    )
    assert (
        descriptor_name(joined, "healpix") == "DpdHealpixCoverageVMPZ-CONCAT-20260314T150926.535897Z_0.12.xml"
    )


def test_a_name_needs_a_creation_instant():
    coverage = io_helpers.products()["coverage"]
    with pytest.raises(InputError, match="creation instant"):
        file_name(Product(coverage.key, coverage.maps), "healpix")


LINES = (Path(__file__).parents[1] / "data" / "golden" / "inventory.txt").read_text().splitlines()[1:]
PUBLISHED = {tuple(line.split()[:2]): line.split()[2:] for line in LINES}


@pytest.mark.parametrize("which", PUBLISHED, ids="-".join)
def test_the_inventory_is_the_published_one(which):
    dpd, schema, data_type, element, token = PUBLISHED[which]
    row = kind_of(*which)
    assert (row.dpd, row.data_type, row.element) == (dpd, data_type, element)
    assert row.schema == f"euc-le3-id-vmpz-{schema}.xsd"
    assert row.format_id == f"le3.id.vmpz.{schema.lower()}"
    assert token_of(ProductKey("1", which[0], "Exposures"), which[1]) == token


def test_tokens_and_names_lead_back_to_their_kind():
    for kind, form in INVENTORY:
        for quantity in QUANTITIES if kind == "info" else ["-"]:
            token = token_of(ProductKey("1", kind, quantity), form)
            assert kind_of_token(token) == (kind, quantity)
        assert kind_of_name(kind_of(kind, form).dpd) == kind_of(kind, form)
    assert kind_of_token("HPSAA") == ("info", "SAA")
    assert kind_of_token("xtension") is None
    assert kind_of_name("DpdTwoDMassVisibilityMask") is None


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(InputError, match="footprint, bitmask, coverage"):
        kind_of("statistics", "healpix")


@pytest.mark.parametrize(
    ("form", "extension"), [("parquet", "parquet"), ("healsparse", "hsp"), ("hips", "hips")]
)
def test_forms_without_names_of_their_own_have_the_token_of_healpix(form, extension):
    product = io_helpers.products()["depth"]
    name = str(file_name(product, form))
    assert name == f"{str(file_name(product, 'healpix')).removesuffix('fits')}{extension}"
    assert parse_name(name) == file_name(product, form)
