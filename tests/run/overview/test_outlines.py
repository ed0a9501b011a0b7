"""Outlines of tiles: where the tile's own cells are, in the sense that the sky has."""

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from store_helpers import put_map, sky_map, tile_key
from vmpz.errors import InputError
from vmpz.run.index import Index
from vmpz.run.overview.outlines import centre_of, envelopes_of, outlines_of
from vmpz.run.runfile import RunFile
from vmpz.run.store import Store
from vmpz.sky import hpx
from vmpz.sky.cells import CellSet
from vmpz.sky.regions import Polygon, cells_inside
from vmpz.tiles import tile, tile_at, tiling

CREATED = "2026-01-02T03:04:05+00:00"


def with_run(folder: Path, **told: object) -> Store:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"created": CREATED, "tiling": told}))
    return Store(folder)


def is_counter_clockwise(polygon: np.ndarray) -> bool:
    """Seen from inside the sphere, where east is to the left."""
    lon, lat = np.radians(polygon).T
    lon0 = lon[0]
    x, y = -((lon - lon0 + np.pi) % (2 * np.pi) - np.pi), lat  # to the right, up
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) > 0


@pytest.mark.parametrize("where", [(10.0, 0.0), (58.0, -51.5), (0.05, 33.0), (200.0, 88.0)])
def test_tiles_of_the_wide_grid(tmp_path: Path, where: tuple[float, float]) -> None:
    store, one = with_run(tmp_path / "s", kind="euclid-wide"), tile_at(*where)
    ((polygon,),) = outlines_of(store, {one.id: ""}).values()
    owned, inside = tiling("euclid-wide").owned(one.id, 13), cells_inside(Polygon(polygon), 13)
    assert len(owned ^ inside) < 0.002 * len(owned) and is_counter_clockwise(polygon)
    lon, lat = centre_of([polygon])
    assert (
        abs(lat - one.lat_deg) < 0.02
        and abs((lon - one.lon_deg + 180) % 360 - 180) * np.cos(np.radians(lat)) < 0.02
    )


def test_tiles_that_are_cells(tmp_path: Path) -> None:
    store = with_run(tmp_path / "s", kind="healpix", order=4)
    found = outlines_of(store, {"77": "", "north": "", "999999": "Polygon ICRS 1 1 2 1 2 2"})
    assert list(found) == ["77", "999999"] and np.allclose(found["999999"][0], [[2, 2], [2, 1], [1, 1]])
    (polygon,) = found["77"]
    assert Polygon(polygon).area_deg2 == pytest.approx(hpx.cell_area_deg2(4), rel=1e-3)
    assert is_counter_clockwise(polygon)
    assert hpx.cells_at(*centre_of([polygon]), 4) == 77


def test_tiles_that_files_gave(tmp_path: Path) -> None:
    corners = [(10.0, 1.0), (10.0, 2.0), (11.0, 2.0), (11.0, 1.0)]
    cells = CellSet.from_cells(6, [20000]).at_order(9)
    tiles = tiling(
        "mer-tiles", areas={"a": Polygon(corners), "b": cells, "c": Polygon([(1, 1), (2, 1), (2, 2)])}
    )
    (tmp_path / "s").mkdir()
    store, instant = Store(tmp_path / "s"), datetime.fromisoformat(CREATED)
    RunFile.keep(store, instant, tiles, ["a", "b", "elsewhere"], None)
    found = outlines_of(store, {"a": "", "b": "", "c": ""})
    assert list(found) == ["a", "b"]
    assert {tuple(one) for one in found["a"][0].tolist()} == set(corners) and is_counter_clockwise(
        found["a"][0]
    )
    assert not cells - cells_inside(Polygon(found["b"][0]), 9)
    RunFile.keep(store, instant, tiles, ["c"], RunFile.read(store))
    assert list(outlines_of(store, {"a": "", "b": "", "c": ""})) == ["a", "b", "c"]
    RunFile.keep(store, instant, tiling("inputs", areas={"d": Polygon(corners)}), ["d"], RunFile.read(store))
    assert list(outlines_of(store, {"a": "", "d": ""})) == ["d"]
    assert RunFile.read(store) is not None and RunFile.read(store).created == CREATED  # type: ignore[union-attr]


def test_else_the_envelope_of_the_index(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    for number, kind in enumerate(("depth", "coverage")):
        put_map(
            store, tile_key(20000, kind, order=9), sky_map(20000, 9, share=0.1 + number / 2), number=number
        )
    with Index(store) as index:
        envelopes = envelopes_of(index.rows())
    (polygon,) = outlines_of(store, envelopes)["20000"]
    assert not sky_map(20000, 9, share=0.6).cells - cells_inside(Polygon(polygon), 9)
    assert is_counter_clockwise(polygon)


def test_several_polygons_of_a_wide_area_and_nothing_of_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    text = "Union ICRS (Polygon 1 1 2 1 2 2 Polygon 11 1 12 1 12 2)"
    found = outlines_of(store, {"a": text, "b": ""})
    assert list(found) == ["a"] and [len(one) for one in found["a"]] == [3, 3]
    assert np.isnan(centre_of([])[0])


def test_a_run_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"created": 1, "tiling": 7}')
    with pytest.raises(InputError, match=r"run\.json: must hold the creation instant"):
        outlines_of(Store(tmp_path), {"a": ""})


def test_a_patch_in_a_run_of_the_grid_has_no_tile(tmp_path: Path) -> None:
    store = with_run(tmp_path, kind="euclid-wide")
    assert outlines_of(store, {"north": ""}) == {} and not tile("102000000").empty
