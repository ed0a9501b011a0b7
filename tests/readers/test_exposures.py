"""Reader `exposures`: every form of outline and of file, units, names, and rows that cannot be."""

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decam_helpers import REAL_COMMUNITY, REAL_DESDM, SKY
from vmpz.errors import InputError
from vmpz.frames import Exposures, FrameRef, Manifest
from vmpz.make.exposuremaps import exposure_map
from vmpz.parameters import Parameters
from vmpz.readers import detectors_of, open_frame, outlinecolumns, scan_inputs
from vmpz.readers.outlinecolumns import FORMS
from vmpz.run.gathering import gather
from vmpz.simulate import exposuretable as sim
from vmpz.simulate.geometry import ARCSEC, Plane
from vmpz.sky import hpx
from vmpz.sky.covers import unit_vectors
from vmpz.sky.regions import Polygon, cells_inside
from vmpz.tiles import tiling

HERE = {"instrument": "CAM"}


def scan(location: Path, options: Mapping[str, Any] | None = None, **selection: Any) -> Manifest:
    place = SimpleNamespace(
        reader="exposures",
        location=str(location),
        bands=None,
        options=dict(HERE if options is None else options),
    )
    return scan_inputs([place], **selection)


def joined(manifest: Manifest) -> Exposures:
    """All rows of all parts."""
    assert not manifest.refused
    return Exposures.joined([ref.exposures for ref in manifest if ref.exposures is not None])


def table(
    folder: Path, columns: Mapping[str, Any], name: str = "t.csv", units: Mapping[str, str] | None = None
) -> Path:
    """A table in the form that its ending says."""
    path = folder / name
    if path.suffix == ".fits":
        kinds = {"i": "K", "f": "D"}
        made = []
        for key, values in columns.items():
            array = np.array(values)
            form = f"{array.dtype.itemsize // 4}A" if array.dtype.kind == "U" else kinds[array.dtype.kind]
            form = form if array.ndim == 1 else f"{array.shape[1]}{form}"
            made.append(fits.Column(key, form, (units or {}).get(key), array=array))
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(made)]).writeto(path, checksum=True)
        return path
    arrays = {key: pa.array(np.asarray(values).tolist()) for key, values in columns.items()}
    fields = [
        pa.field(key, array.type, metadata={"unit": units[key]} if units and key in units else None)
        for key, array in arrays.items()
    ]
    whole = pa.table(list(arrays.values()), schema=pa.schema(fields))
    (pa.csv.write_csv if path.suffix == ".csv" else pa.parquet.write_table)(whole, path)
    return path


def squares(n: int = 3, lon: float = 30.0, lat: float = -10.0) -> dict[str, Any]:
    """Rows of an exposure: squares of 0.2 deg side by side, by their corners."""
    columns: dict[str, Any] = {"exposure": [7] * n, "detector": list(range(n)), "band": ["r"] * n}
    middle = lon + 0.3 * np.arange(n)
    for k, (i, j) in enumerate(((-1, -1), (1, -1), (1, 1), (-1, 1)), 1):
        columns |= {f"ra{k}": (middle + 0.1 * i) % 360.0, f"dec{k}": np.full(n, lat + 0.1 * j)}
    return columns


# -- tables of the simulation -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("tables")
    sim.write_tables(folder, SKY)
    (place,) = tomllib.loads(sim.INPUTS.format(location=folder))["inputs"]
    return folder, place["options"]


@pytest.mark.parametrize("band", sim.CAMERA.bands)
def test_every_row_of_a_simulated_table(simulated: tuple[Path, dict[str, Any]], band: str) -> None:
    manifest = scan(*simulated, bands=[band])
    assert {(ref.instrument, ref.band, ref.telescope) for ref in manifest} == {("MEGACAM", band, "CFHT")}
    found = joined(manifest)
    place = {name: row for row, name in enumerate(found.ids)}
    shots = list(sim.band_shots(SKY, band))
    assert len(found) == 36 * len(shots)
    for shot in shots:
        truth = sim.rows_of(shot)
        names = [str(int(name[3:])) if band == "MEGACAM_r" else name for name in truth["detector"]]
        ids = [f"{number}[{name}]" for number, name in zip(truth["exposure"], names, strict=True)]
        rows = np.array([place[name] for name in ids])
        for name in ("ExposureTime", "Airmass", "Seeing", "Zeropoint", "PixelScale", "Noise", "Background"):
            assert found.scalars[name][rows] == pytest.approx(truth[name], rel=1e-12), name
        assert found.scalars["MJD"][rows] == pytest.approx(truth["MJD"], abs=1e-9)
        for row, corners in zip(rows, truth["corners"], strict=True):
            _same_outline(found.corners[row], corners, 1e-6 if band == "MEGACAM_u" else 1e-9)


def _same_outline(found: np.ndarray, expected: np.ndarray, tolerance_arcsec: float) -> None:
    """The same corners, wherever they begin and whichever way they run."""
    one, other = unit_vectors(*found.T), unit_vectors(*expected.T)
    apart = np.linalg.norm(one[:, None] - other, axis=2)
    assert apart.min(axis=1).max() < tolerance_arcsec * ARCSEC
    assert apart.min(axis=0).max() < tolerance_arcsec * ARCSEC
    assert Polygon(found).area_deg2 == pytest.approx(Polygon(expected).area_deg2, rel=1e-5)


def test_parts_of_a_table_are_frames_without_pixels(simulated: tuple[Path, dict[str, Any]]) -> None:
    manifest = scan(*simulated)
    assert [ref.area for ref in manifest] == sorted(ref.area for ref in manifest)
    for ref in manifest:
        assert (ref.shape, ref.has_grid, dict(ref.planes)) == ((0, 0), False, {})
        assert ref.exposures is not None
        cells = [int(hpx.cells_at(*_middle(corners), 3)) for corners in ref.exposures.corners]
        assert set(cells) == {int(ref.area.split("-")[1])}
        assert list(ref.exposures.ids) == sorted(ref.exposures.ids)
        assert ref.tables["LAYERS"].identity
        with open_frame(ref, ["RMS", "PSF"]) as frame:
            assert not frame.planes
            assert frame.exposures == ref.exposures
        with pytest.raises(InputError, match="must have planes, found a table of exposures"):
            detectors_of(ref, [0])


def _middle(corners: np.ndarray) -> tuple[float, float]:
    x, y, z = unit_vectors(*corners.T).sum(axis=0)
    return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))


def test_one_form_and_one_place_are_as_good_as_another(
    simulated: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, options = simulated
    for ending in ("csv", "parquet", "fits"):
        sim.write_tables(tmp_path, SKY, names={"MEGACAM_g": f"{ending}.{ending}"})
    tables = [joined(scan(tmp_path / f"{one}.{one}", options)) for one in ("csv", "parquet", "fits")]
    names = ("ExposureTime", "MJD", "Airmass", "Seeing", "Noise", "Background", "Zeropoint")
    for one in tables[1:]:
        assert len(one) == len(tables[0])
        for name in names:
            assert np.sort(one.scalars[name]) == pytest.approx(np.sort(tables[0].scalars[name]), rel=1e-12)
    place = SimpleNamespace(reader="exposures", location=str(folder), bands=None, options=options)
    twice = scan_inputs([place, place])
    assert twice.frames == scan(folder, options).frames
    assert not twice.refused


def test_maps_of_a_table(simulated: tuple[Path, dict[str, Any]]) -> None:
    """The exposures of an area come from the parts that touch it, and their sums are those of the shots."""
    folder, options = simulated
    parameters = Parameters.model_validate(
        {
            "inputs": [{"reader": "exposures", "location": str(folder), "options": options}],
            "maps": {"order": 8},
            "tiling": {"kind": "healpix", "order": 4},
        }
    )
    gathered = gather(scan(folder, options, bands=["MEGACAM_r"]), parameters, tiling("healpix", order=4))
    total = 0.0
    for frame in gathered:
        assert frame.exposures is not None
        cells = tiling("healpix", order=4).owned(frame.area, 8)
        sums = exposure_map(frame.exposures, "ExposureTime", "SUM", cells)
        total += float(np.nansum(sums.values)) * hpx.cell_area_deg2(8)
    areas = [
        Polygon(c).area_deg2
        for shot in sim.band_shots(SKY, "MEGACAM_r")
        for c in sim.rows_of(shot)["corners"]
    ]
    assert total == pytest.approx(200.0 * sum(areas), rel=1e-6)


# -- outlines -----------------------------------------------------------------------------------------------------

CORNERS = np.array([[30.0, -10.0], [30.3, -10.05], [30.35, -9.8], [29.95, -9.85]])


def _in_form(form: str, corners: np.ndarray) -> dict[str, Any]:
    lon, lat = corners[..., 0], corners[..., 1]
    if form.startswith("corners"):
        lon_name, lat_name = {
            "corners": ("ra{}", "dec{}"),
            "corners_": ("ra_{}", "dec_{}"),
            "corners des": ("rac{}", "decc{}"),
            "corners lon": ("lon{}", "lat{}"),
            "corners fov": ("FOV_LON{}", "FOV_LAT{}"),
        }[form]
        return {
            key: values[:, k] for k in range(corners.shape[1])
            for key, values in ((lon_name.format(k + 1), lon), (lat_name.format(k + 1), lat))
        }  # fmt: skip
    if form == "lsst":
        order = ("llc", "ulc", "urc", "lrc")
        return {f"{c}{axis}": v[:, k] for k, c in enumerate(order) for axis, v in (("ra", lon), ("dec", lat))}
    if form == "lists":
        return {"raCorners": lon, "decCorners": lat}
    if form == "array":
        return {"POLYGON": corners.reshape(len(corners), -1)}
    texts = [" ".join(f"{number:.12f}" for number in row) for row in corners.reshape(len(corners), -1)]
    return {"s_region": [f"Polygon ICRS {text}" for text in texts]}


FORMS_OF_CORNERS = (
    "corners",
    "corners_",
    "corners des",
    "corners lon",
    "corners fov",
    "lsst",
    "lists",
    "array",
    "stcs",
)


FILES = [(form, ending) for form in FORMS_OF_CORNERS for ending in ("parquet", "fits")]
FILES += [(form, "csv") for form in FORMS_OF_CORNERS if form not in ("lists", "array")]  # CSV holds no lists


@pytest.mark.parametrize(("form", "ending"), FILES)
def test_every_form_of_corners(tmp_path: Path, form: str, ending: str) -> None:
    rows = np.stack([CORNERS, CORNERS + np.array([5.0, 3.0])])
    columns = {"exposure": [1, 2], "detector": ["a", "b"], "band": ["r", "r"], **_in_form(form, rows)}
    found = joined(scan(table(tmp_path, columns, f"t.{ending}")))
    assert sorted(found.ids) == ["1[a]", "2[b]"]
    for row, name in enumerate(found.ids):
        _same_outline(found.corners[row], rows[int(name[0]) - 1], 1e-6)


@pytest.mark.parametrize("form", FORMS_OF_CORNERS)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lon=st.floats(0.0, 359.99),
    lat=st.floats(-89.0, 89.0),
    size=st.floats(0.05, 2.0),
    turn=st.integers(0, 3),
    reverse=st.booleans(),
)
def test_corners_anywhere_in_any_order(
    tmp_path: Path, form: str, lon: float, lat: float, size: float, turn: int, reverse: bool
) -> None:
    """Over the poles and the first meridian, from any corner and either way around."""
    half = math.radians(size / 2)
    x, y = half * np.array([-1.0, 1.0, 1.2, -0.8]), half * np.array([-1.0, -1.1, 1.0, 0.9])
    corners = np.roll(np.stack(Plane.at(lon, lat).angles(x, y), axis=1), turn, axis=0)[
        :: -1 if reverse else 1
    ]
    columns = {"exposure": [1], "detector": [1], "band": ["r"], **_in_form(form, corners[None])}
    path = tmp_path / "t.parquet"
    found = joined(scan(table(path.parent, columns, path.name)))
    _same_outline(found.corners[0], corners, 1e-5)


def test_more_vertices_keep_their_order(tmp_path: Path) -> None:
    """A field of twelve corners, as archives have them, beside one of four; the first vertex may be repeated."""
    cross = np.array(
        [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (2, 2), (2, 3), (1, 3), (1, 2), (0, 2), (0, 1), (1, 1)]
    )
    lon, lat = Plane.at(10.0, 20.0).angles(*(cross.T - 1.5) * math.radians(0.1))
    vertices = np.stack((lon, lat), axis=1)
    texts = ["POLYGON " + " ".join(f"{v:.12f}" for v in row.ravel()) for row in (vertices, CORNERS)]
    texts.append("polygon fk5 " + " ".join(f"{v:.12f}" for v in [*vertices.ravel(), *vertices[0]]))
    columns = {"exposure": [1, 2, 3], "band": ["r"] * 3, "stc_s": texts}
    found = joined(scan(table(tmp_path, columns)))
    places = {name: row for row, name in enumerate(found.ids)}
    for name in ("1[field]", "3[field]"):
        outline = found.outline(places[name])
        assert outline.area_deg2 == pytest.approx(Polygon(vertices).area_deg2, rel=1e-9)
        assert outline.area_deg2 == pytest.approx(5 * 0.01, rel=1e-4)
    assert found.outline(places["2[field]"]).area_deg2 == pytest.approx(Polygon(CORNERS).area_deg2, rel=1e-9)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lon=st.floats(0.0, 359.99), lat=st.floats(-88.0, 88.0), angle=st.floats(-180.0, 180.0))
def test_boxes(tmp_path: Path, lon: float, lat: float, angle: float) -> None:
    columns = {"exposure": [1], "band": ["r"], "ra": [lon], "dec": [lat], "width": [40.0], "height": [0.02]}
    columns |= {"position_angle": [angle]}
    found = joined(
        scan(
            table(tmp_path, columns),
            {**HERE, "units": {"width": "arcmin", "height": "rad", "PositionAngle": "deg"}},
        )
    )
    assert found.scalars["PositionAngle"].tolist() == [angle]
    plane = Plane.at(lon, lat)
    x, y = plane.project(unit_vectors(*found.corners[0].T))
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across = y * c + x * s, x * c - y * s
    assert np.sort(along) == pytest.approx(np.tan(0.01) * np.array([-1, -1, 1, 1]), abs=1e-12)
    assert np.sort(across) == pytest.approx(
        np.tan(math.radians(20 / 60)) * np.array([-1, -1, 1, 1]), abs=1e-12
    )


def _wcs_columns(headers: list[dict[str, Any]]) -> dict[str, Any]:
    keys = [key for key in headers[0] if key.startswith(("CRPIX", "CRVAL", "CD", "PV"))]
    columns: dict[str, Any] = {key: [header[key] for header in headers] for key in keys}
    return {**columns, "NAXIS1": [2048] * len(headers), "NAXIS2": [4096] * len(headers)}


@pytest.mark.parametrize("ctype", ["RA---TPV", None])
def test_the_input_of_decasu(tmp_path: Path, ctype: str | None) -> None:
    """Columns of a DES table as decasu takes it, with the WCS of real images; its rac1.. are those of tile-compressed
    images (as in real tables) and are not used."""
    headers = [REAL_DESDM, REAL_COMMUNITY]
    columns = {
        "EXPNUM": [596832, 850000], "CCDNUM": [50, 1], "BAND": ["g", "g"], "SKYVARA": [3931.3, 100.0],
        "SKYVARB": [3967.5, 110.0], "FWHM": [4.11, 3.9], "AIRMASS": [1.09, 1.3], "EXPTIME": [90.0, 90.0],
        "MAG_ZERO": [31.624, 31.5], "MJD_OBS": [56961.08763068, 57000.0], "SKYBRITE": [3841.4, 3000.0],
        "RAC1": [0.56, 1.0], "DECC1": [-54.47, 1.0], "RAC2": [0.56, 1.0], "DECC2": [-54.4762, 1.001],
        "RAC3": [1.077, 1.3], "DECC3": [-54.4817, 1.001], "RAC4": [1.077, 1.3], "DECC4": [-54.48, 1.0],
        **_wcs_columns(headers), **({"CTYPE1": [ctype] * 2} if ctype else {}),
    }  # fmt: skip
    options = {
        "instrument": "DECAM", "band": "DECAM_{band}", "units": {"Seeing": "pixel"}, "columns": {"PixelScale": 0.263},
    }  # fmt: skip
    manifest = scan(table(tmp_path, columns, "des.fits"), options)
    found = joined(manifest)
    assert {ref.band for ref in manifest} == {"DECAM_g"}
    place = {name: row for row, name in enumerate(found.ids)}
    for row, (name, header) in enumerate(zip(("596832[50]", "850000[1]"), headers, strict=True)):
        here = place[name]
        wcs = WCS(fits.Header({key: v for key, v in header.items() if not key.startswith(("WAT", "LT"))}))
        corners = wcs.all_pix2world([[0.5, 0.5], [2048.5, 0.5], [2048.5, 4096.5], [0.5, 4096.5]], 1)
        _same_outline(found.corners[here], corners, 1e-6)
        scalars = {key: float(values[here]) for key, values in found.scalars.items()}
        sigma = math.sqrt(0.5 * (columns["SKYVARA"][row] + columns["SKYVARB"][row]))
        assert scalars == pytest.approx(
            {
                "ExposureTime": 90.0,
                "MJD": columns["MJD_OBS"][row] + 45.0 / 86400.0,
                "Airmass": columns["AIRMASS"][row],
                "Seeing": columns["FWHM"][row] * 0.263,
                "Background": columns["SKYBRITE"][row],
                "Noise": sigma,
                "Zeropoint": columns["MAG_ZERO"][row],
                "PixelScale": 0.263,
            }
        )


def test_a_wcs_that_columns_do_not_hold_is_not_taken(tmp_path: Path) -> None:
    columns = {**squares(2), **_wcs_columns([REAL_DESDM] * 2), "CTYPE1": ["RA---TAN-SIP"] * 2}
    assert "(corners)" in scan(table(tmp_path, columns)).frames[0].notes[0]
    columns["CTYPE1"] = ["RA---TPV"] * 2
    columns["detector"] = [1, 2]
    assert "(wcs)" in scan(table(tmp_path, columns, "u.csv")).frames[0].notes[0]
    forced = scan(tmp_path / "u.csv", {**HERE, "outline": "corners"})
    assert "(corners)" in forced.frames[0].notes[0]
    columns["PV1_12"] = [0.0, 0.0]
    assert "must go to pv1_10" in scan(table(tmp_path, columns, "v.csv")).refused[0].reason


def test_a_plain_tangent_plane(tmp_path: Path) -> None:
    header = {key: value for key, value in REAL_DESDM.items() if not key.startswith("PV")}
    columns = {"exposure": [1], "band": ["g"], **_wcs_columns([header])}
    found = joined(scan(table(tmp_path, columns)))
    wcs = WCS(fits.Header({**header, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}))
    corners = wcs.all_pix2world([[0.5, 0.5], [2048.5, 0.5], [2048.5, 4096.5], [0.5, 4096.5]], 1)
    _same_outline(found.corners[0], corners, 1e-7)


def test_units_of_corners(tmp_path: Path) -> None:
    columns = {"exposure": [1], "band": ["r"], "POLYGON": np.radians(CORNERS).reshape(1, 8)}
    for path, options in (
        (table(tmp_path, columns, "a.fits", {"POLYGON": "rad"}), HERE),
        (table(tmp_path, columns, "b.parquet"), {**HERE, "units": {"corners": "rad"}}),
    ):
        _same_outline(joined(scan(path, options)).corners[0], CORNERS, 1e-6)
    assert "must be an angle" in scan(table(tmp_path, columns, "c.fits", {"POLYGON": "m"})).refused[0].reason


# -- scalars ------------------------------------------------------------------------------------------------------


def values_of(
    folder: Path, told: Mapping[str, Any], name: str = "t.parquet", **more: Any
) -> dict[str, list[float]]:
    path = table(
        folder,
        {**squares(len(next(iter(told.values())))), **told},
        name,
        more.pop("column_units", None),
    )
    found = joined(scan(path, {**HERE, **more}))
    return {name: values.tolist() for name, values in found.scalars.items()}


def test_a_visit_table_of_lsst(tmp_path: Path) -> None:
    columns = {
        "psfSigma": [1.7, 1.8], "pixelScale": [0.2, 0.2], "skyBg": [480.0, 490.0], "skyNoise": [22.0, 23.0],
        "zeroPoint": [31.4, 31.5], "expTime": [30.0, 30.0], "expMidptMJD": [60981.2, 60981.3],
    }  # fmt: skip
    values = values_of(tmp_path, columns)
    utc = Time(columns["expMidptMJD"], format="mjd", scale="tai").utc.mjd
    assert values["MJD"] == pytest.approx(utc.tolist(), abs=1e-9)
    assert values["Seeing"] == pytest.approx([1.7 * 0.2 * 2.354820045, 1.8 * 0.2 * 2.354820045])
    assert (values["Noise"], values["Background"]) == (columns["skyNoise"], columns["skyBg"])
    assert (values["Zeropoint"], values["ExposureTime"]) == (columns["zeroPoint"], columns["expTime"])


def test_units_of_scalars(tmp_path: Path) -> None:
    columns = {
        "exptime": [2.0],
        "Seeing": [0.5],
        "saa": [math.pi / 2],
        "MJD": [2460000.5],
        "pixelscale": [100.0],
    }
    units = {"exptime": "min", "saa": "rad", "pixelscale": "mas"}
    values = values_of(
        tmp_path, columns, "t.fits", column_units=units, units={"Seeing": "arcmin", "MJD": "jd"}
    )
    assert values == {
        "ExposureTime": [120.0], "Seeing": [30.0], "SAA": [pytest.approx(90.0)], "MJD": [60000.0],
        "PixelScale": [pytest.approx(0.1)],
    }  # fmt: skip


def test_what_tables_mean_differently_must_be_said(tmp_path: Path) -> None:
    for column in ("fwhm", "seeing"):
        path = table(tmp_path, {**squares(1), column: [4.0]}, f"{column}.csv")
        assert "unit of " in scan(path).refused[0].reason
        assert joined(scan(path, {**HERE, "units": {"Seeing": "arcsec"}})).scalars["Seeing"].tolist() == [4.0]
        assert "needs PixelScale" in scan(path, {**HERE, "units": {"Seeing": "pixel"}}).refused[0].reason
    path = table(tmp_path, {**squares(1), "mjd": [60000.0], "exptime": [864.0]}, "mjd.csv")
    assert "must be said by the option mjd_is" in scan(path).refused[0].reason
    assert joined(scan(path, {**HERE, "mjd_is": "start"})).scalars["MJD"].tolist() == [60000.005]
    assert joined(scan(path, {**HERE, "mjd_is": "middle"})).scalars["MJD"].tolist() == [60000.0]
    late = joined(scan(path, {**HERE, "mjd_is": "middle", "time_scale": "tai"}))
    assert late.scalars["MJD"][0] == pytest.approx(60000.0 - 37.0 / 86400.0, abs=1e-9)


def test_columns_and_numbers_that_the_options_give(tmp_path: Path) -> None:
    values = values_of(
        tmp_path, {"sky": [2.0], "t": [60000.0], "exptime": [30.0]},
        columns={"Noise": "sky", "PixelScale": 0.25, "MJD": "T", "ExposureTime": 45, "SiteLon": -70.5}, mjd_is="middle",
    )  # fmt: skip
    assert values == {
        "Noise": [2.0], "PixelScale": [0.25], "MJD": [60000.0], "ExposureTime": [45.0], "SiteLon": [-70.5],
    }  # fmt: skip


def test_missing_values_are_unknown(tmp_path: Path) -> None:
    path = table(
        tmp_path, {**squares(3), "airmass": [1.1, math.nan, -9999.0], "zeropoint": [-9999.0] * 3}, "t.fits"
    )
    found = joined(scan(path))
    assert np.isnan(found.scalars["Airmass"]).tolist() == [False, True, True]
    assert "Zeropoint" not in found.scalars
    odd = joined(scan(path, {**HERE, "missing": [1.1, -9999]}))
    assert "Airmass" not in odd.scalars


def test_variances_give_the_noise(tmp_path: Path) -> None:
    assert values_of(tmp_path, {"skyvar": [4.0, 9.0]}) == {"Noise": [2.0, 3.0]}
    both = values_of(tmp_path, {"skyvara": [4.0], "skyvarb": [14.0], "skysigma": [2.5]}, "u.parquet")
    assert both == {"Noise": [2.5]}


# -- names, order and parts ---------------------------------------------------------------------------------------


def test_names_by_columns_and_templates(tmp_path: Path) -> None:
    columns = {
        **squares(2),
        "filter01": ["HSC-I2", "HSC-I2"],
        "band": ["i2", "i2"],
        "night": [20160208, 20160208],
    }
    options = {
        "instrument": "HSC", "band": "HSC_{band}", "band_names": {"i2": "i"}, "exposure": "{night}-{exposure}",
        "detector": "ccd{detector}",
    }  # fmt: skip
    manifest = scan(table(tmp_path, columns), options)
    assert {(ref.instrument, ref.band) for ref in manifest} == {("HSC", "HSC_i")}
    assert joined(manifest).ids == ("20160208-7[ccd0]", "20160208-7[ccd1]")


def test_rows_without_names_go_by_number(tmp_path: Path) -> None:
    columns = {
        key: values for key, values in squares(3).items() if key not in ("exposure", "detector", "band")
    }
    manifest = scan(table(tmp_path, columns), {"instrument": "CAM", "band": "CAM_r"})
    assert sorted(joined(manifest).ids) == ["t[1]", "t[2]", "t[3]"]
    assert "must have a column band or filter" in scan(tmp_path / "t.csv").refused[0].reason


def test_numbers_that_missing_values_made_floats_are_whole(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "exposure,detector,band,s_region\n5,1,r,POLYGON 1 1 2 1 2 2\n6,2,r,POLYGON 1 4 2 4 2 5\n,,,\n"
    )
    manifest = scan(tmp_path / "t.csv")
    assert sorted(name for ref in manifest for name in ref.exposures.ids) == ["5[1]", "6[2]"]
    (refused,) = manifest.refused
    assert "row 3: instrument and band must be told" in refused.reason


def scattered(n: int) -> dict[str, Any]:
    draw = np.random.default_rng(4)
    lon, lat = draw.uniform(0, 360, n), np.degrees(np.arcsin(draw.uniform(-0.99, 0.99, n)))
    columns: dict[str, Any] = {
        "exposure": np.arange(n) // 10, "detector": np.arange(n) % 10, "band": np.where(np.arange(n) % 3, "g", "r"),
        "exptime": draw.uniform(10, 20, n),
    }  # fmt: skip
    corners = np.array(
        [
            Plane.at(a, b).angles(*(0.003 * np.array([[-1, 1, 1, -1], [-1, -1, 1, 1]])))
            for a, b in zip(lon, lat)
        ]
    )
    for k in range(4):
        columns |= {f"ra{k + 1}": corners[:, 0, k], f"dec{k + 1}": corners[:, 1, k]}
    return columns


def test_the_order_of_rows_means_nothing(tmp_path: Path) -> None:
    columns, n = scattered(400), 400
    straight = scan(table(tmp_path, columns, "t.parquet"))
    order = np.random.default_rng(9).permutation(n)
    (tmp_path / "b").mkdir()
    turned = scan(
        table(tmp_path / "b", {key: np.asarray(v)[order] for key, v in columns.items()}, "t.parquet")
    )
    assert len(straight) > 100
    assert [(ref.area, ref.band) for ref in turned] == [(ref.area, ref.band) for ref in straight]
    for one, other in zip(turned, straight, strict=True):
        assert one.exposures == other.exposures
    assert sum(len(ref.exposures or ()) for ref in straight) == n


def test_selections(tmp_path: Path) -> None:
    path = table(tmp_path, scattered(60))
    every = scan(path)
    assert scan(path, bands=["g"]).frames == tuple(ref for ref in every if ref.band == "g")
    one = every.frames[3].area
    assert scan(path, tiles=[one]).frames == tuple(ref for ref in every if ref.area == one)
    assert not scan(path, instruments=["VIS"]).frames
    assert not scan(path, bands=["z"]).refused


def test_a_folder_of_tables(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    table(tmp_path, squares(2), "a.csv")
    table(tmp_path / "sub", squares(2, lat=30.0), "b.parquet")
    (tmp_path / "notes.txt").write_text("no table")
    assert {ref.area.split("-")[0] for ref in scan(tmp_path)} == {"a", "b"}
    assert {ref.area.split("-")[0] for ref in scan(tmp_path, {**HERE, "files": "*.csv"})} == {"a"}
    table(tmp_path / "sub", squares(2), "a.fits")
    with pytest.raises(InputError, match="tables must differ in their names"):
        scan(tmp_path)


def test_comments_of_csv_are_left_out(tmp_path: Path) -> None:
    path = table(tmp_path, squares(1))
    path.rename(tmp_path / "t.ecsv").write_text("# %ECSV 1.0\n# ---\n" + (tmp_path / "t.ecsv").read_text())
    assert len(joined(scan(tmp_path / "t.ecsv"))) == 1


def test_text_columns_may_be_dictionaries(tmp_path: Path) -> None:
    columns = {key: pa.array(np.asarray(values).tolist()) for key, values in squares(2).items()}
    columns["band"] = columns["band"].dictionary_encode()
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert scan(tmp_path / "t.parquet").frames[0].band == "r"


# -- rows and tables that cannot be -------------------------------------------------------------------------------


def test_bad_rows_are_refused_by_number_and_the_others_go_on(tmp_path: Path) -> None:
    columns = squares(9)
    columns |= {"exptime": [30.0] * 9, "airmass": [1.2] * 9}
    columns["ra2"][1] = math.nan
    columns["dec3"][3] = 99.0
    columns["ra1"][4], columns["dec1"][4] = columns["ra3"][4] - 0.01, columns["dec3"][4] - 0.01
    columns["exptime"][6] = 0.0
    columns["airmass"][7] = -1.0
    manifest = scan(table(tmp_path, columns))
    (refused,) = manifest.refused
    assert (refused.area, refused.instrument, refused.band) == ("t", "CAM", "r")
    assert "row 2: an outline must have finite corners" in refused.reason
    assert "rows 4, 5, 7, 8 are wrong too" in refused.reason
    kept = {name for ref in manifest for name in ref.exposures.ids}
    assert kept == {f"7[{n}]" for n in (0, 2, 5, 8)}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"dec3": [99.0]}, "an outline must have corners on the sky"),
        ({"ra1": [30.09], "dec1": [-9.91]}, "four corners must be convex"),
        ({"exptime": [-30.0]}, r"ExposureTime \(exptime\) must be above 0"),
        ({"MJD": [51.5]}, r"MJD \(mjd\) must be a modified Julian date"),
        ({"skysigma": [0.0]}, r"Noise \(skysigma\) must be above 0"),
    ],
)
def test_what_is_wrong_with_a_row(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    (refused,) = scan(table(tmp_path, {**squares(1), **change})).refused
    assert re.search(rf"t\.csv: row 1: .*{rule}", refused.reason)


def test_polygons_that_are_none(tmp_path: Path) -> None:
    bow = "POLYGON ICRS 0 0 1 1 1 0 0 1 -1 0.5"
    texts = [
        "CIRCLE ICRS 1 1 1",
        "POLYGON GALACTIC 1 1 2 1 2 2",
        "POLYGON 1 1 2 1 2",
        bow,
        "POLYGON 1 1 2 2 3 3 4 4 5 5",
    ]
    (refused,) = scan(
        table(tmp_path, {"exposure": [1, 2, 3, 4, 5], "band": ["r"] * 5, "s_region": texts})
    ).refused
    assert "row 1: an outline must have finite corners" in refused.reason
    assert "rows 2, 3, 4" in refused.reason


def test_rows_that_repeat_others_count_once(tmp_path: Path) -> None:
    columns = {key: np.tile(np.asarray(values), 2) for key, values in squares(2).items()}
    columns |= {"tilename": ["A", "A", "B", "B"], "airmass": [1.1, math.nan, 1.1, math.nan]}
    columns["ra1"] = columns["ra1"] + np.array([0.0, 0.0, 1e-5, 0.0])
    manifest = scan(table(tmp_path, columns))
    assert len(joined(manifest)) == 2
    assert any("2 rows that repeat others count once" in note for note in manifest.frames[0].notes)
    columns["airmass"] = [1.1, 1.2, 1.1, 1.3]
    (refused,) = scan(table(tmp_path, columns, "u.csv")).refused
    assert "row 4: exposure and detector must stand once" in refused.reason
    columns["ra1"] = columns["ra1"] + np.array([0.0, 0.0, 0.01, 0.0])
    (refused,) = scan(table(tmp_path, columns, "v.csv")).refused
    assert "row 3: exposure and detector must stand once" in refused.reason


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"bandd": "r"}, "options of reader exposures must be among"),
        ({"band": 3}, "option band must be text"),
        ({"columns": "Noise"}, "option columns must be a table"),
        ({"missing": 3}, "option missing must be a list of numbers"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        scan(table(tmp_path, squares(1)), {**HERE, **options})


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"columns": {"Sky": "x"}}, "must give columns to some of"),
        ({"columns": {"Noise": "no"}}, "column no must be present"),
        ({"columns": {"Noise": [1]}}, "columns.Noise must be a column or a number"),
        ({"columns": {"Noise": "band"}}, "column band must hold one number a row"),
        ({"units": {"Noise": "s"}, "columns": {"Noise": "ra1"}}, "units.Noise must not be given"),
        ({"units": {"ExposureTime": "m"}, "columns": {"ExposureTime": "ra1"}}, "must be like s, found 'm'"),
        ({"outline": "mangle"}, "option outline must be one of"),
        ({"outline": "wcs"}, r"must have columns of outlines \(wcs\)"),
        ({"band": "{nothing}"}, "column nothing must be present"),
        ({"band": "{band"}, "must be text with"),
        ({"mjd_is": "end", "columns": {"MJD": "ra1"}}, "mjd_is must be of"),
    ],
)
def test_options_that_do_not_fit_the_table(tmp_path: Path, options: dict[str, Any], rule: str) -> None:
    manifest = scan(table(tmp_path, squares(1)), {**HERE, **options})
    assert not manifest.frames
    (refused,) = manifest.refused
    assert re.search(rule, refused.reason)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not")
    (tmp_path / "u.csv").write_bytes(b"a,b\n1,2,3\n")
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "v.fits")
    (tmp_path / "w.csv").write_text("Ra,ra\n1,2\n")
    reasons = [item.reason for item in scan(tmp_path).refused]
    assert len(reasons) == 4
    assert "must be a readable table" in reasons[0]
    assert "must be a readable table" in reasons[1]
    assert "must hold a binary table" in reasons[2]
    assert "must differ in more than case" in reasons[3]
    with pytest.raises(InputError, match="must be a table or a folder"):
        scan(tmp_path / "nothing")


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, {**squares(3), "exptime": [30.0] * 3}, "t.fits")
    data = bytearray(path.read_bytes())
    data[-2880 + 10] ^= 1
    path.write_bytes(bytes(data))
    assert "DATASUM" in scan(path).refused[0].reason


def test_every_form_of_outline_is_documented() -> None:
    assert all(f"``{name}``" in str(outlinecolumns.__doc__) for name in FORMS)


def test_frames_are_references(tmp_path: Path) -> None:
    (ref,) = scan(table(tmp_path, {**squares(2), "exptime": [30.0] * 2, "mjd_obs": [60000.0] * 2})).frames
    assert isinstance(ref, FrameRef)
    assert (ref.date_obs, ref.date_end) == ("2023-02-25T00:00:00.000", "2023-02-25T00:00:30.000")
    assert dict(ref.scalars) == {"exposure_time_s": 30.0}
    assert len(cells_inside(ref.exposures.outline(0), 9)) > 0
