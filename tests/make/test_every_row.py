"""Every quantity with every statistic at once: each is a map that says what it is, or is refused with a reason."""

import numpy as np
import pytest

from make_helpers import ORDER, TABLE, cell_set, count, frame, key, parameters, ref
from sky_helpers import tangent_square
from vmpz.errors import InputError, MissingProductError
from vmpz.frames import Exposures, Frame, PsfStamps, Sources
from vmpz.make import info
from vmpz.make.outside import EBV
from vmpz.quantities import QUANTITIES, degrade_rule
from vmpz.sky import hpx
from vmpz.sky.skymap import SkyMap
from vmpz.statistics import STATISTICS

N = 6
CELLS = cell_set(N)
LON, LAT = hpx.centres(CELLS.cells(), ORDER)
DRAW = np.random.Generator(np.random.Philox(9))
CELL = np.repeat(np.arange(N), 20)

PARAMETERS = parameters(
    extinction={"map": "ebv.fits", "coefficients": {"VIS": 2.0}},
    catalogues=[
        {
            "name": role,
            "location": f"{role}.fits",
            "role": role,
            "magnitude": "MAG",
            "quality": "Q",
            "order": ORDER,
        }
        for role in ("stars", "galaxies", "photoz")
    ],
    coverage={"bits": []},
    info={"maps": [f"{name}:{how}" for name in QUANTITIES for how in (*STATISTICS, "Q10", "Q90")]},
)
EVERY = [tuple(name.split(":")) for name in PARAMETERS.info.maps]
SOURCES = Sources(LON, LAT, {"MAG": np.linspace(15.0, 20.0, N), "Q": np.linspace(0.1, 0.9, N)})
GIVEN = {
    EBV: SkyMap(CELLS, np.linspace(0.1, 0.2, N)),
    **dict.fromkeys(("stars", "galaxies", "photoz"), SOURCES),
}


def table(n: int = 4) -> Exposures:
    corners = np.array(
        [tangent_square(float(LON.mean()), float(LAT.mean()), 2.0 + k, 5.0 * k) for k in range(n)]
    )
    names = [name for name, row in QUANTITIES.items() if row.source in ("exposure", "plane", "psf")]
    scalars = {name: DRAW.uniform(1.0, 2.0, n) for name in names if name != "ZodiacalLight"}
    return Exposures(tuple(f"e{k}" for k in range(n)), corners, scalars | {"MJD": 60600.0 + np.arange(n)})


def pixels():
    """Statistics of a mosaic with all that any map may want."""
    selection = TABLE.select(())
    planes = {name: DRAW.uniform(1.0, 2.0, CELL.size) for name in ("RMS", "BACKGROUND", "WEIGHT")}
    flags = np.where(DRAW.random(CELL.size) < 0.3, 1 << 13, 0)
    found = count(CELL, flags, planes, [selection], percents=(10, 90))
    listed = {
        f"{name}.valid.{what}": found.column(f"{name}.valid.median")
        for name in planes
        for what in ("mode", "wmedian")
    }
    return type(found)(found.cells, {**found.columns, **listed})


STAMPS = PsfStamps(
    LON, LAT, np.linspace(0.2, 0.3, N), np.stack([np.linspace(1, 2, N)] * 2 + [np.full(N, 0.1)], 1)
)
MOSAIC = frame(ref(tables=("PSF", "PSFIMAGE", "LAYERS")), exposures=table(), psf=STAMPS)
TABLE_OF_EXPOSURES = table()
LISTED = frame(ref(planes=(), tables=("LAYERS",), exposures=TABLE_OF_EXPOSURES), exposures=TABLE_OF_EXPOSURES)
BARE = frame(ref(planes=(), scalars={}), bits=None)
PIXELS = pixels()


def made(of: Frame, name: str, how: str):
    """A product, or why there is none."""
    wanted = key("info", quantity=name, statistic=how)
    given = {one: GIVEN[one] for one in info.wanted(wanted, PARAMETERS)}
    return info.make(wanted, of, PIXELS, PARAMETERS, given)


def test_there_is_a_key_for_each_and_no_two_alike() -> None:
    keys = info.keys(MOSAIC.ref, PARAMETERS)
    assert [(one.quantity, one.statistic) for one in keys] == EVERY
    assert len({one.text for one in keys}) == len(EVERY)
    for one in keys:
        shared = QUANTITIES[one.quantity].band_independent
        assert (one.instrument, one.band) == (("-", "-") if shared else ("VIS", "VIS"))
        told = info.section(one, MOSAIC.ref, PARAMETERS)
        assert told["map"] == f"{one.quantity}:{one.statistic}"
        assert info.needs(one, MOSAIC.ref, PARAMETERS) | info.needs(one, LISTED.ref, PARAMETERS)


@pytest.mark.parametrize(("name", "how"), EVERY)
@pytest.mark.parametrize("of", [MOSAIC, LISTED], ids=["mosaic", "table"])
def test_a_map_that_says_what_it_is_or_a_reason(of: Frame, name: str, how: str) -> None:
    try:
        product = made(of, name, how)
    except MissingProductError as error:
        assert len(str(error)) > 20
        return
    except InputError as error:
        assert how == "VALUE", "a statistic of known numbers is made or has no meaning"
        assert "samples differ" in str(error)
        return
    row, keywords = QUANTITIES[name], product.keywords
    assert (keywords["INFO"], keywords["STATIST"]) == (name, how)
    assert keywords["DEGRULE"] == degrade_rule(name, how)
    assert keywords["SAMPLE"] in ("PIXEL", "EXPOSURE", "STAMP", "SOURCE")
    assert keywords["INFOSRC"]
    assert product.unit == ("" if how in ("COUNT", "ARGMIN", "ARGMAX") else row.unit)
    assert product.map.values.dtype == row.dtype
    assert len(product.map) == N
    assert np.isfinite(product.map.values).all()
    if how in ("ARGMIN", "ARGMAX"):
        assert np.all(product.map.values >= 1)


MADE_OF_MOSAICS = {  # statistics that a quantity of each kind cannot have
    "Noise": {"ARGMIN", "ARGMAX", "VALUE"},
    "Persistence": {"ARGMIN", "ARGMAX", "VALUE", "WMEAN", "WMEDIAN"},
    "PSF": set(),
    "MJD": {"VALUE"},
    "ZodiacalLight": {"VALUE"},
    "Tile": {*STATISTICS, "Q10", "Q90"} - {"VALUE", "MODE", "MIN", "MAX"},
    "GalacticExtinction": {*STATISTICS, "Q10", "Q90"} - {"MEAN", "VALUE"},
    "StarDensity": {*STATISTICS, "Q10", "Q90"} - {"MEAN", "VALUE"},
    "StarBrightnessMean": {"ARGMIN", "ARGMAX"},
}


@pytest.mark.parametrize("name", MADE_OF_MOSAICS)
def test_which_statistics_a_kind_of_quantity_has(name: str) -> None:
    refused = set()
    for how in (*STATISTICS, "Q10", "Q90"):
        try:
            made(MOSAIC, name, how)
        except (MissingProductError, InputError):
            refused.add(how)
    assert refused == MADE_OF_MOSAICS[name]


@pytest.mark.parametrize(
    "name", [name for name, row in QUANTITIES.items() if row.source not in ("sky", "tile", "catalogue")]
)
@pytest.mark.parametrize("how", [*STATISTICS, "Q10"])
def test_a_frame_that_has_nothing_gives_nothing(name: str, how: str) -> None:
    with pytest.raises(MissingProductError):
        made(BARE, name, how)
