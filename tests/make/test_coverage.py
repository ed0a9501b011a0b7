"""Coverage: what is vetoed by default and on request; never above the footprint; never clean by absence."""

from dataclasses import replace

import numpy as np
import pytest

from make_helpers import TABLE, count, frame, key, parameters, ref
from vmpz.errors import InputError, MissingProductError
from vmpz.make import coverage
from vmpz.make.needs import selections_for
from vmpz.sky import hpx
from vmpz.sky.regions import Cap

OVER = TABLE.select(["INVALID", "SAT", "NO_DATA"])
MASK = (Cap(10.0, -20.0, 0.01),)


def test_flags_and_rms_are_vetoed_jointly() -> None:
    flags = np.array([0, 1, 0, 8, 0, 1 << 13, 0, 0], np.uint64)
    rms = np.array([1.0, 1.0, 1e16, 1e16, 2e6, 1.0, np.inf, 1.0])
    geom = np.array([0.5])
    counted = count(np.zeros(8, np.int64), flags, {"RMS": rms}, [OVER], geom=geom)
    of, settings = ref(), parameters()
    product = coverage.make(key("coverage", selection=OVER.text), frame(of), counted, settings)
    assert product.map.values[0] == np.float32(0.5 * 3 / 8)  # the first, the one of another bit, the last
    assert product.keywords["BITSEL"] == "0,3,22"
    assert product.keywords["OBSAREA"] == pytest.approx(0.1875 * hpx.cell_area_deg2(10))


def test_default_bits_are_those_of_the_table_and_star_masks_join() -> None:
    settings = parameters()
    vis = ref(bit_table="vis-pf15")
    assert coverage.keys(vis, settings)[0].selection == "INVALID,SAT,NO_DATA"
    masked = ref(bit_table="vis-pf15", tables=("STARMASK",))
    (only,) = coverage.keys(masked, settings)
    assert only.selection == "INVALID,SAT,NO_DATA,STARMASK"
    wanted = coverage.needs(only, masked, settings)
    assert wanted.planes == {"RMS", "FLAG"}
    assert wanted.tables == {"STARMASK"}
    assert {one.bitsel for one in wanted.selections} == {"0,3,22,32"}
    without = parameters(coverage={"star_masks": False, "bits": []})
    (bare,) = coverage.keys(masked, without)
    assert bare.selection == "-"
    assert coverage.needs(bare, masked, without).planes == {"RMS"}
    by_band = parameters(coverage={"bits": {"VIS": ["GHOST"], "default": ["SAT"]}})
    assert coverage.keys(vis, by_band)[0].selection == "GHOST"


def test_star_masks_alone_need_no_table() -> None:
    of = ref(tables=("STARMASK",))
    assert coverage.keys(of, parameters())[0].selection == "STARMASK"
    with pytest.raises(InputError, match="found SAT"):
        coverage.keys(of, parameters(coverage={"bits": ["SAT"]}))


def test_depth_follows_coverage_unless_told() -> None:
    chosen = selections_for(parameters(), "VIS", "VIS", TABLE, True)
    assert chosen.depth == chosen.coverage
    own = selections_for(parameters(depth={"bits": ["SAT"]}), "VIS", "VIS", TABLE, True)
    assert own.depth.names == ("SAT",)
    from_info = selections_for(parameters(depth={"source": "info"}), "VIS", "VIS", TABLE, True)
    assert from_info.depth.text == "-"


def test_a_missing_plane_is_never_read_as_clean() -> None:
    counted = count(np.zeros(2, np.int64), selections=[OVER, TABLE.select(["STARMASK"])])
    without_flags = ref(planes=("RMS",))
    with pytest.raises(MissingProductError, match="there is no FLAG"):
        coverage.make(key("coverage", selection=OVER.text), frame(without_flags), counted, parameters())
    with pytest.raises(MissingProductError, match="there is no STARMASK"):
        coverage.make(key("coverage", selection="STARMASK"), frame(ref()), counted, parameters())
    made = coverage.make(
        key("coverage", selection="STARMASK"), frame(ref(), star_masks=MASK), counted, parameters()
    )
    assert made.keywords["BITN32"] == "STARMASK"


def test_the_digest_sees_what_matters() -> None:
    of = ref(bit_table="vis-pf15")
    sections = [
        coverage.section(coverage.keys(of, one)[0], of, one)
        for one in (
            parameters(),
            parameters(coverage={"rms_max": 2e6}),
            parameters(maps={"write_zeros": True}),
            parameters(bitmask={"table": {"VIS": "vis-pf14"}}),
            parameters(coverage={"bits": ["SAT"]}),
        )
    ]
    assert len({str(section) for section in sections}) == len(sections)
    assert coverage.section(key("coverage"), of, parameters(depth={"snr": 10})) == coverage.section(
        key("coverage"), of, parameters()
    )


def test_statistics_read_back_serve_a_frame_that_opened_no_plane() -> None:
    counted = count(np.zeros(2, np.int64), np.array([0, 1], np.uint64), selections=[OVER])
    closed = replace(frame(ref()), planes={})
    made = coverage.make(key("coverage", selection=OVER.text), closed, counted, parameters())
    assert made.map.values[0] == 0.5


def test_bits_that_no_header_names_are_not_vetoed_by_default() -> None:
    """HSC has no plane VIGNETTED, which the table of LSST vetoes."""
    stated = {"BAD": 0, "SAT": 1, "CR": 3, "EDGE": 4, "SUSPECT": 7, "NO_DATA": 8, "DETECTED": 5}
    one = ref(bit_table="lsst", options={"flag_bits": stated})
    assert coverage.keys(one, parameters())[0].selection == "BAD,SAT,CR,EDGE,SUSPECT,NO_DATA"
    every = coverage.keys(ref(bit_table="lsst"), parameters())[0].selection.split(",")
    assert {"VIGNETTED", "UNMASKEDNAN"} <= set(every)
    named = parameters(bitmask={"table": {"VIS": "lsst"}})
    assert coverage.keys(one, named)[0].selection.split(",") == every
