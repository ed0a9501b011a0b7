"""What products must agree in, and keywords of the result: the same in any order."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from make_helpers import key
from vmpz.errors import MapMismatchError
from vmpz.make.agreement import ADDED, MUST_AGREE, NEVER_MIXED, Agreement, Head
from vmpz.products import Scalar

laws = settings(max_examples=80, deadline=None)
ROW = np.dtype([("PIXEL", ">i8"), ("WEIGHT", ">f4")])
TIMES = ["-1", "2025-01-01T00:00:00.000", "2025-01-02T00:00:00.000", "2025-03-01T12:00:00.000"]


def head(
    name: str = "a", kind: str = "coverage", unit: str = "", convention: str = "OBSERVED", **more: object
) -> Head:
    """A head; capital names are keywords, small ones fields of the key."""
    words = {one: value for one, value in more.items() if one.isupper()}
    fields = {one: value for one, value in more.items() if not one.isupper()}
    return Head(name, key(kind, area=name, **fields), words, unit, ROW, convention)


def agreed(heads: list[Head], allow_mixed: bool = False) -> Agreement:
    agreement = Agreement(allow_mixed)
    for one in heads:
        agreement.add(one)
    return agreement


WORDS: dict[str, st.SearchStrategy[Scalar]] = {
    "TELESCOP": st.sampled_from(["Euclid", "NOAO"]),
    "PIXSCALE": st.sampled_from([0.1, 0.1 * (1 + 4e-7), 0.1 * (1 + 8e-7), 0.1 * (1 + 1.2e-6), 0.3, -1.0]),
    "MAGZERO": st.sampled_from([24.6, 24.7]),
    "TILEID": st.integers(1, 3),
    "VERIFIED": st.booleans(),
    "PRODDIG": st.text("0123", min_size=1, max_size=2),
    "DATE-OBS": st.sampled_from(TIMES),
    "DATE-END": st.sampled_from(TIMES),
    **dict.fromkeys(ADDED, st.floats(0, 1)),
}


@st.composite
def heads(draw):
    """Heads of depth maps that may be merged; each may lack a keyword."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        words = {name: draw(values) for name, values in WORDS.items() if draw(st.integers(0, 3))}
        found.append(Head(str(number), key("depth", area=str(number)), words, "mag", ROW))
    return found


def several(values: list[Scalar]) -> Scalar:
    """The value that all have, or what stands for several."""
    first = values[0]
    if isinstance(first, float):
        return min(values) if max(values) - min(values) <= 1e-6 * max(map(abs, values)) else -1.0
    if len(set(values)) == 1:
        return first
    return False if isinstance(first, bool) else "-1" if isinstance(first, str) else -1


@laws
@given(heads())
def test_keywords_are_what_all_share(products):
    words = agreed(products).keywords("patch")
    assert (words.pop("TILEID"), words.pop("LISTID")) == (-1, "patch")
    for name, pick in (("DATE-OBS", min), ("DATE-END", max)):
        known = [one.keywords[name] for one in products if one.keywords.get(name, "-1") != "-1"]
        assert words.pop(name) == (pick(known) if known else "-1")
    shared = set.intersection(*(set(one.keywords) for one in products))
    assert set(words) == shared - {"PRODDIG", "DATE-OBS", "DATE-END", "TILEID"}
    for name, value in words.items():
        values = [one.keywords[name] for one in products]
        assert value == (pytest.approx(sum(values)) if name in ADDED else several(values))
        assert type(value) is type(values[0])


@laws
@given(heads(), st.randoms())
def test_the_order_of_the_products_does_not_matter(products, random):
    shuffled = list(products)
    random.shuffle(shuffled)
    one, two = agreed(products), agreed(shuffled)
    assert one.keywords("p") == two.keywords("p")  # to the bit
    assert (one.key("p", 5), one.unit, one.verified) == (two.key("p", 5), two.unit, two.verified)


def test_periods_of_many_products_are_those_of_all():
    days = [f"2025-01-{1 + number % 28:02d}T00:00:00.000" for number in range(5, 300)]
    for times in (days, days[::-1], ["-1", *days, "-1"]):
        words = agreed([head(**{"DATE-OBS": time, "DATE-END": time}) for time in times]).keywords("p")
        assert (words["DATE-OBS"], words["DATE-END"]) == (min(days), max(days))
    words = agreed([head(**{"DATE-OBS": "-1", "DATE-END": "-1"})] * 100).keywords("p")
    assert (words["DATE-OBS"], words["DATE-END"]) == ("-1", "-1")


def test_the_result_is_verified_if_all_are():
    assert agreed([head(VERIFIED=True)] * 3).verified
    for one in (head(VERIFIED=False), head()):
        assert not agreed([head(VERIFIED=True), one, head(VERIFIED=True)]).verified


FIELDS = {
    "quantity": "Noise", "statistic": "MEAN", "selection": "SAT", "instrument": "NISP", "band": "NIR_Y", "order": 3,
    "release": "0.2",
}  # fmt: skip
DIFFERENT = {
    **{name: {name: value} for name, value in FIELDS.items()},
    **{name: {name: "other"} for name in MUST_AGREE},
    "kind": {"kind": "footprint"},
    "MAGZERO": {"MAGZERO": 25.0},
    "unit": {"unit": "mag"},
    "COVCONV": {"convention": "MER"},
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_is_refused_with_both_names(name):
    one, other = head("a.fits"), head("b.fits", **DIFFERENT[name])
    for pair in ((one, other), (other, one)):
        names = f"^{pair[0].name} and {pair[1].name}: {name} must agree, found "
        with pytest.raises(MapMismatchError, match=names):
            agreed([pair[0], pair[0], pair[1]])


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_may_be_mixed_is_recorded_and_the_rest_is_refused_all_the_same(name):
    one, other = head("a.fits"), head("b.fits", **DIFFERENT[name])
    if name in NEVER_MIXED:
        with pytest.raises(MapMismatchError, match=f"{name} must agree"):
            agreed([one, other], allow_mixed=True)
        return
    forth, back = agreed([one, other], allow_mixed=True), agreed([other, one], allow_mixed=True)
    for agreement in (forth, back):
        assert agreement.keywords("p")["MIXED"] == name
    assert forth.keywords("p") == back.keywords("p")
    assert forth.key("p", 5) == back.key("p", 5)
    assert forth.unit == back.unit == ""
    if name in FIELDS and name != "order":
        assert getattr(forth.key("p", 5), name) == "-"


def test_what_was_mixed_before_stays_recorded():
    """A map that was merged of mixed products is one for good."""
    for products in ([head("a", MIXED="COVCONV"), head("b")], [head("b"), head("a", MIXED="COVCONV")]):
        assert agreed(products).keywords("p")["MIXED"] == "COVCONV"
    both = [head("a", MIXED="COVCONV,order"), head("b", BITTABVR="2")]
    assert agreed(both, allow_mixed=True).keywords("p")["MIXED"] == "BITTABVR,COVCONV,order"


def test_all_that_is_mixed_is_recorded_in_a_fixed_order():
    mixed = [head("a"), head("b", release="0.2"), head("c", BITTABVR="2", unit="x"), head("d")]
    for products in (mixed, mixed[::-1]):
        assert agreed(products, allow_mixed=True).keywords("p")["MIXED"] == "BITTABVR,release,unit"
    assert "MIXED" not in agreed([head("a"), head("b")], allow_mixed=True).keywords("p")


@pytest.mark.parametrize(
    "row",
    [
        [("PIXEL", ">i8"), ("WEIGHT", ">f8")],
        [("PIXEL", ">i8"), ("WEIGHT", ">i4")],
        [("PIXEL", ">i8"), ("WEIGHT", ">f4"), ("BIT00", ">f4")],
    ],
)
def test_columns_and_their_types_are_never_mixed(row):
    one, other = head("a"), replace(head("b"), row_type=np.dtype(row))
    for allowed in (False, True):
        with pytest.raises(
            MapMismatchError, match="a and b: columns must agree, found 'PIXEL int64, WEIGHT float32'"
        ):
            agreed([one, other], allowed)


def test_zero_points_of_depths_may_differ():
    """A depth contains its zero point; a noise means nothing without."""
    words = agreed([head("a", "depth", MAGZERO=24.6), head("b", "depth", MAGZERO=24.7)]).keywords("p")
    assert words["MAGZERO"] == -1.0
    with pytest.raises(MapMismatchError, match="MAGZERO"):
        agreed([head("a", "info", MAGZERO=24.6), head("b", "info", MAGZERO=24.7)])


def test_versions_on_the_way_to_one_release_agree():
    """Every commit has a version of its own; recipes whose values changed have other digests anyway."""
    at = [head(f"{n}", SOFTVERS=f"0.2.0.dev{n}+g{n}abc") for n in (3, 14)]
    assert "MIXED" not in agreed(at).keywords("p")
    with pytest.raises(
        MapMismatchError, match=r"SOFTVERS must agree, found '0.2.0' and '0.1.1' \(allow_mixed"
    ):
        agreed([*at, head("c", SOFTVERS="0.1.1")])


def test_nothing_is_no_merge():
    with pytest.raises(MapMismatchError, match="at least one product"):
        Agreement().key("p", 3)
