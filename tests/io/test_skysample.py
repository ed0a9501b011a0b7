"""Maps of the whole sky at positions: against healpy, in every form maps are published in; what is refused; memory."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_helpers import PEAK_KIB
from vmpz.errors import InputError
from vmpz.io.skysample import MapDescription, describe_map, sample_map
from vmpz.sky import hpx
from vmpz.sky.galactic import galactic

UNSEEN = -1.6375e30
SPECIAL = np.array(
    [
        *([0.0, 90], [123, 90], [0, -90], [0, 0], [360, 0], [-1e-12, 5], [359.9999999, -41.8], [45, 41.81]),
        *([192.86, 27.13], [12.86, -27.13], [90, 60], [266.4, -28.9]),
    ]
)


def places(count: int = 3000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Positions all over the sky, the poles, the galactic poles and the zero meridian among them."""
    rng = np.random.default_rng(seed)
    lon, lat = rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    return np.concatenate((lon, SPECIAL[:, 0])), np.concatenate((lat, SPECIAL[:, 1]))


def header(
    nside: int, ordering: str | None = "RING", coordsys: str | None = "C", **more: object
) -> fits.Header:
    words = {"PIXTYPE": "HEALPIX", "ORDERING": ordering, "COORDSYS": coordsys, "NSIDE": nside, **more}
    return fits.Header([(key, value) for key, value in words.items() if value is not None])


def write(path: Path, columns: list[fits.Column], words: fits.Header, **more: object) -> Path:
    fits.BinTableHDU.from_columns(columns, header=words).writeto(path, overwrite=True, **more)
    return path


def full(
    path: Path, values: np.ndarray, nside: int, width: int = 1, form: str = "D", **words: object
) -> Path:
    column = fits.Column("EBV", f"{width}{form}", array=values.reshape(-1, width) if width > 1 else values)
    return write(path, [column], header(nside, **{"INDXSCHM": "IMPLICIT", **words}))


def numbered(nside: int) -> np.ndarray:
    return np.arange(12 * nside * nside, dtype=np.float64)


# -- nearest ----------------------------------------------------------------------------------------------------------


@pytest.mark.gpl
@pytest.mark.parametrize("nside", [1, 2, 16, 32, 128])
@pytest.mark.parametrize("nest", [False, True])
@pytest.mark.parametrize("coord", ["C", "G"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_maps_that_healpy_wrote_are_sampled_as_healpy_does(
    tmp_path: Path, nside: int, nest: bool, coord: str, dtype: type
) -> None:
    import healpy
    from astropy.coordinates import SkyCoord

    path, values = tmp_path / "m.fits", np.random.default_rng(nside).integers(0, 1 << 20, 12 * nside**2)
    healpy.write_map(path, values.astype(dtype), nest=nest, coord=coord, dtype=dtype, column_names=["EBV"])
    lon, lat = places()
    there = SkyCoord(lon, lat, unit="deg")
    x, y = (there.galactic.l.deg, there.galactic.b.deg) if coord == "G" else (lon, lat)
    known = healpy.read_map(path, nest=nest, dtype=np.float64)
    expected = known[healpy.ang2pix(nside, x, y, nest=nest, lonlat=True)]
    np.testing.assert_array_equal(sample_map(path, lon, lat), expected)


@pytest.mark.gpl
@pytest.mark.parametrize("nest", [False, True])
def test_partial_maps_of_healpy_are_sampled(tmp_path: Path, nest: bool) -> None:
    import healpy

    values = np.random.default_rng(3).random(12 * 64**2)
    values[np.random.default_rng(4).random(values.size) < 0.5] = UNSEEN
    healpy.write_map(tmp_path / "m.fits", values, nest=nest, coord="C", partial=True, dtype=np.float32)
    lon, lat = places()
    expected = values[healpy.ang2pix(64, lon, lat, nest=nest, lonlat=True)].astype(np.float32)
    expected = np.where(expected < -1e30, np.nan, expected)
    np.testing.assert_array_equal(sample_map(tmp_path / "m.fits", lon, lat), expected)
    assert describe_map(tmp_path / "m.fits").partial


@pytest.mark.parametrize("ordering", ["RING", "NESTED", "NEST", "nested"])
@pytest.mark.parametrize("width", [1, 12, 1024])
@pytest.mark.parametrize("packed", [False, True])
def test_the_value_is_that_of_the_pixel(tmp_path: Path, ordering: str, width: int, packed: bool) -> None:
    nside = 32
    path = full(tmp_path / "m.fits", numbered(nside), nside, width, ordering=ordering)
    if packed:
        path = tmp_path / "m.fits.gz"
        path.write_bytes(gzip.compress((tmp_path / "m.fits").read_bytes(), 1))
    lon, lat = places()
    cells = hpx.cells_at(lon, lat, 5)
    expected = hpx.to_ring(cells, 5) if ordering == "RING" else cells
    np.testing.assert_array_equal(sample_map(path, lon, lat), expected)


def test_positions_have_any_shape(tmp_path: Path) -> None:
    path = full(tmp_path / "m.fits", numbered(4), 4, ordering="NESTED")
    assert sample_map(path, 10.0, 20.0).shape == ()
    assert sample_map(path, np.zeros((2, 1)), np.zeros(3)).shape == (2, 3)
    for method in ("nearest", "bilinear"):
        assert sample_map(path, [], [], method=method).shape == (0,)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nearest, bilinear, found cubic"):
        sample_map(path, 0.0, 0.0, method="cubic")  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 5), st.sampled_from(["RING", "NESTED"]), st.sampled_from("BIJKED"), st.integers(0, 2**32)
)
def test_any_partial_map_is_the_dictionary_it_stands_for(
    tmp_path_factory: pytest.TempPathFactory, order: int, ordering: str, form: str, seed: int
) -> None:
    """Rows in any order, any type of numbers, an index of any width."""
    rng = np.random.default_rng(seed)
    pixels = rng.permutation(12 << 2 * order)[: rng.integers(0, 12 << 2 * order)]
    values = rng.integers(0, 200, pixels.size)
    columns = [
        fits.Column("PIXEL", rng.choice(["I", "J", "K"]), array=pixels),
        fits.Column("x", form, array=values),
    ]
    path = write(
        tmp_path_factory.mktemp("m") / "m.fits", columns, header(1 << order, ordering, INDXSCHM="EXPLICIT")
    )
    lon, lat = places(200, seed)
    cells = hpx.cells_at(lon, lat, order)
    known = dict(zip(pixels.tolist(), values.tolist()))
    expected = [
        known.get(one, np.nan)
        for one in (hpx.to_ring(cells, order) if ordering == "RING" else cells).tolist()
    ]
    np.testing.assert_array_equal(sample_map(path, lon, lat), expected)


def test_missing_values_are_nan(tmp_path: Path) -> None:
    values = np.arange(12.0)
    values[:4] = [UNSEEN, -99.0, np.nan, np.float32(UNSEEN)]
    path = full(tmp_path / "m.fits", values, 1, ordering="NESTED", BAD_DATA=-99.0)
    lon, lat = hpx.centres(np.arange(12), 0)
    assert np.isnan(sample_map(path, lon, lat)).tolist() == [True] * 4 + [False] * 8


def test_scaled_and_null_numbers_are_what_the_header_says(tmp_path: Path) -> None:
    words = header(1, "NESTED", TSCAL1=0.25, TZERO1=10.0, TNULL1=3)
    path = write(tmp_path / "m.fits", [fits.Column("EBV", "I", array=np.arange(12))], header(1, "NESTED"))
    for key in ("TSCAL1", "TZERO1", "TNULL1"):
        fits.setval(path, key, value=words[key], ext=1)
    lon, lat = hpx.centres(np.arange(12), 0)
    expected = np.arange(12.0) / 4 + 10
    expected[3] = np.nan
    np.testing.assert_array_equal(sample_map(path, lon, lat), expected)


# -- bilinear ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coordsys", ["C", "G"])
def test_bilinear_is_exact_for_a_constant_and_at_centres(tmp_path: Path, coordsys: str) -> None:
    lon, lat = places()
    path = full(tmp_path / "c.fits", np.full(12 * 32**2, 0.75), 32, coordsys=coordsys)
    np.testing.assert_allclose(sample_map(path, lon, lat, method="bilinear"), 0.75, rtol=1e-14)
    path = full(tmp_path / "n.fits", numbered(32), 32, ordering="NESTED", coordsys="C")
    cells = np.arange(12 * 32**2)
    found = sample_map(path, *hpx.centres(cells, 5), method="bilinear")
    np.testing.assert_allclose(found, cells, atol=1e-6)


def test_bilinear_of_a_smooth_map_is_closer_than_nearest(tmp_path: Path) -> None:
    lon, lat = places()

    def smooth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.cos(np.radians(y)) * np.cos(np.radians(x - 30.0))

    values = smooth(*hpx.centres(hpx.from_ring(np.arange(12 * 128**2), 7), 7))
    path = full(tmp_path / "m.fits", values, 128, 1024, coordsys="G")
    wrong = {
        m: np.abs(sample_map(path, lon, lat, method=m) - smooth(*galactic(lon, lat)))
        for m in ("nearest", "bilinear")
    }  # type: ignore[arg-type]
    belt = np.abs(galactic(lon, lat)[1]) < 40
    assert wrong["bilinear"].max() < wrong["nearest"].max() / 2
    assert wrong["bilinear"][belt].max() < wrong["nearest"][belt].max() / 200


def test_bilinear_has_no_value_beside_a_hole(tmp_path: Path) -> None:
    values = np.ones(12 * 16**2)
    values[1000] = UNSEEN
    path = full(tmp_path / "m.fits", values, 16, ordering="NESTED")
    lon, lat = hpx.positions(np.array([1000, 1000]), 4, [0.01, 0.5], [0.01, 0.5])
    assert np.isnan(sample_map(path, lon, lat, method="bilinear")).all()
    other = np.setdiff1d(np.arange(values.size), 1000)
    assert (sample_map(path, *hpx.centres(other, 4)) == 1).all()


# -- which column, which table, which frame ---------------------------------------------------------------------------


def test_the_column_is_that_of_reddening_or_the_one_named(tmp_path: Path) -> None:
    named = [
        fits.Column(name, "12D", unit="mag", array=np.full((1, 12), n))
        for n, name in enumerate(("TAU353", "ebv", "BETA"))
    ]
    path = write(tmp_path / "planck.fits", named, header(1, coordsys="GALACTIC"))
    assert sample_map(path, 0.0, 0.0) == 1
    assert sample_map(path, 0.0, 0.0, column="beta") == 2
    told = describe_map(path)
    assert (
        told == MapDescription(0, "RING", "G", "ebv", "mag", False, told.identity)
        and len(told.identity) == 64
    )
    with pytest.raises(InputError, match=r"one column E_B.*TAU353, ebv, BETA"):
        sample_map(path, 0.0, 0.0, column="E_B")
    path = write(tmp_path / "two.fits", [named[0], named[2]], header(1))
    with pytest.raises(InputError, match=r"name the column of values, found .*TAU353, BETA"):
        sample_map(path, 0.0, 0.0)


def test_of_two_tables_the_one_with_the_column_counts(tmp_path: Path) -> None:
    tables = [
        fits.BinTableHDU.from_columns([fits.Column(name, "D", array=np.full(12, n))], header=header(1))
        for n, name in enumerate(("A", "B", "B"))
    ]
    for count in (2, 3):
        fits.HDUList([fits.PrimaryHDU(), *tables[:count]]).writeto(tmp_path / f"{count}.fits")
    assert sample_map(tmp_path / "2.fits", 0.0, 0.0, column="b") == 1
    for name, column in (("2", None), ("3", "B")):
        with pytest.raises(InputError, match=r"\[1\]: A; .*\[2\]: B"):
            sample_map(tmp_path / f"{name}.fits", 0.0, 0.0, column=column)


def test_the_frame_is_said_once(tmp_path: Path) -> None:
    lon, lat = places()
    silent = full(tmp_path / "silent.fits", numbered(8), 8, coordsys=None)
    with pytest.raises(InputError, match="COORDSYS must be present, or the frame be told"):
        sample_map(silent, lon, lat)
    for frame in ("C", "G"):
        stated = full(tmp_path / "stated.fits", numbered(8), 8, coordsys=frame)
        expected = sample_map(stated, lon, lat)
        np.testing.assert_array_equal(sample_map(silent, lon, lat, coordsys=frame), expected)  # type: ignore[arg-type]
        np.testing.assert_array_equal(sample_map(stated, lon, lat, coordsys=frame), expected)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="COORDSYS must be 'C' as the parameters say"):
        sample_map(stated, lon, lat, coordsys="C")


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"nside": 0}, "NSIDE must be a power of two"),
        ({"nside": 3}, "NSIDE must be a power of two"),
        ({"nside": None}, "NSIDE must be present"),
        ({"ordering": None}, "ORDERING must be .* found nothing"),
        ({"ordering": "SPIRAL"}, "ORDERING must be .* found SPIRAL"),
        ({"ordering": "NUNIQ"}, "ORDERING of a map that is sampled must be RING or NESTED"),
        ({"coordsys": "E"}, r"COORDSYS must be 'C' \(equatorial\) or 'G' \(galactic\), found .*E"),
        ({"nside": 2}, "must hold 48 values, found 12"),
        ({"FIRSTPIX": 1}, "FIRSTPIX of a full-sky map of order 0 must be 0"),
        ({"LASTPIX": 12}, "LASTPIX of a full-sky map of order 0 must be 11"),
        ({"INDXSCHM": "EXPLICIT"}, "must have a column PIXEL, found EBV"),
        ({"INDXSCHM": None, "OBJECT": "PARTIAL"}, "must have a column PIXEL"),
    ],
)
def test_headers_that_do_not_say_what_the_map_is_are_refused(
    tmp_path: Path, words: dict, message: str
) -> None:
    path = full(tmp_path / "m.fits", np.arange(12.0), **{"nside": 1, **words})
    with pytest.raises(InputError, match=message) as caught:
        sample_map(path, 0.0, 0.0)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([fits.Column("PIXEL", "J", array=[1, 5, 1]), fits.Column("x", "D", array=[1, 2, 3])], "list a pixel once"),
        ([fits.Column("PIXEL", "D", array=[1]), fits.Column("x", "D", array=[1])], "one integer PIXEL"),
        ([fits.Column("PIXEL", "J", array=[1]), fits.Column("x", "2D", array=[[1, 2]])], "one number x a row"),
        ([fits.Column("PIXEL", "J", array=[1])], "must hold one column of values"),
        ([fits.Column("PIXEL", "J", array=[1]), fits.Column("x", "3A", array=["abc"])], "one column of values"),
    ],
)  # fmt: skip
def test_partial_maps_that_are_none_are_refused(tmp_path: Path, columns: list, message: str) -> None:
    path = write(tmp_path / "m.fits", columns, header(1, "NESTED"))
    lon, lat = hpx.centres(np.arange(12), 0)
    with pytest.raises(InputError, match=message):
        sample_map(path, lon, lat)


def test_files_that_are_no_map_or_not_whole_are_refused(tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    write(tmp_path / "table.fits", [fits.Column("EBV", "D", array=[1.0])], fits.Header())
    for name in ("image", "table"):
        with pytest.raises(InputError, match="must hold a HEALPix table"):
            sample_map(tmp_path / f"{name}.fits", 0.0, 0.0)
    with pytest.raises(InputError, match="must be a readable file"):
        sample_map(tmp_path / "absent.fits", 0.0, 0.0)
    data = full(tmp_path / "m.fits", numbered(32), 32).read_bytes()
    for cut in (1, 2880, 60_000):
        (tmp_path / "m.fits").write_bytes(data[:-cut])
        with pytest.raises(InputError, match=r"cut|multiple of 2880"):
            sample_map(tmp_path / "m.fits", 0.0, 0.0)
    packed = gzip.compress(data)
    (tmp_path / "m.fits.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError):
        sample_map(tmp_path / "m.fits.gz", 0.0, -90.0)


# -- memory -----------------------------------------------------------------------------------------------------------

NSIDE = 8192


def sparse(path: Path) -> Path:
    """A full-sky map of 805 million float32 values (3.2 GB) that takes no room, but for the pixel at (0, 0)."""
    words = header(NSIDE, "NESTED", "C", INDXSCHM="IMPLICIT")
    rows = 12 * NSIDE * NSIDE // 1024
    words.update({"XTENSION": "BINTABLE"})
    table = fits.BinTableHDU.from_columns(
        [fits.Column("EBV", "1024E", array=np.zeros((1, 1024)))], header=words
    )
    table.header["NAXIS2"] = rows
    head = (fits.PrimaryHDU().header.tostring() + table.header.tostring()).encode()
    size = len(head) + -(-rows * 4096 // 2880) * 2880
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(size)
        stream.seek(len(head) + 4 * int(hpx.cells_at(0.0, 0.0, 13)))
        stream.write(np.array(0.25, ">f4").tobytes())
    return path


def test_a_map_of_three_gigabytes_is_sampled_in_a_few_megabytes(tmp_path: Path) -> None:
    path = sparse(tmp_path / "m.fits")
    assert path.stat().st_size > 3.2e9 and path.stat().st_blocks * 512 < 1e6
    code = f"""{PEAK_KIB}
import numpy as np
from pathlib import Path
from vmpz.io.skysample import sample_map
path, rng = Path({str(path)!r}), np.random.default_rng(1)
lon, lat = np.append(rng.uniform(0, 360, 50_000), 0.0), np.append(rng.uniform(-90, 90, 50_000), 0.0)
sample_map(path, lon[:10], lat[:10])
before = peak_kib()
for method, expected in (("nearest", 0.25), ("bilinear", 0.0625)):
    found = sample_map(path, lon, lat, method=method)
    assert found[-1] == expected and not found[:-1].any(), found
print(peak_kib() - before)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) < 100 * 1024, f"{int(told.stdout) / 1024:.0f} MiB"
