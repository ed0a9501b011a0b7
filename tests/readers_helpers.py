"""MER folders and odd FITS files, written byte by byte by the tests themselves: nothing here uses the package."""

import gzip
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 2880
TILE = "102018210"
SENTINEL = np.float32(1e16)

WCS_CARDS: dict[str, Any] = {
    "EQUINOX": 2000.0,
    "RADESYS": "ICRS",
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CUNIT1": "deg",
    "CUNIT2": "deg",
    "CRVAL1": 57.2045662,
    "CRVAL2": -51.5,
    "CRPIX1": 30.0,
    "CRPIX2": 20.0,
    "CD1_1": -2.777777777778e-05,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 2.777777777778e-05,
}
SHAPE = (41, 60)


def card(key: str, value: Any) -> str:
    """One card image, fixed format where the standard asks for it."""
    if isinstance(value, bool):
        text = f"{'T' if value else 'F':>20}"
    elif isinstance(value, int | np.integer):
        text = f"{value:>20}"
    elif isinstance(value, float):
        text = f"{value!r:>20}".replace("e", "E")
    else:
        text = "'" + f"{str(value).replace(chr(39), chr(39) * 2):<8}" + "'"
    head = f"{key:8}= " if len(key) <= 8 else f"HIERARCH {key} = "
    return f"{head}{text}"[:80].ljust(80)


def ones_sum(data: bytes) -> int:
    """Ones-complement sum of big-endian words, the slow way."""
    total = 0
    for (word,) in struct.iter_unpack(">I", data.ljust(-(-len(data) // 4) * 4, b"\0")):
        total += word
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def encode_checksum(value: int) -> str:
    """The 16 characters whose words complement a sum (FITS standard 4.0, appendix J.3)."""
    quotients = []
    complement = 0xFFFFFFFF - value
    for shift in (24, 16, 8, 0):
        byte = (complement >> shift) & 0xFF
        parts = [byte // 4 + byte % 4 + 48] + [byte // 4 + 48] * 3
        while any(58 <= p <= 64 or 91 <= p <= 96 for p in parts):
            for first in (0, 2):
                if any(58 <= p <= 64 or 91 <= p <= 96 for p in parts[first : first + 2]):
                    parts[first] += 1
                    parts[first + 1] -= 1
        quotients.append(parts)
    text = "".join(chr(quotients[byte][place]) for place in range(4) for byte in range(4))
    return text[-1] + text[:-1]


def fill(data: bytes, with_: bytes) -> bytes:
    """To whole blocks."""
    return data + with_ * (-len(data) % BLOCK)


def header_bytes(cards: Iterable[tuple[str, Any]]) -> bytes:
    """Header blocks of cards; a value that is a raw card image of 80 characters stands as it is."""
    images = [value if key == "RAW" else card(key, value) for key, value in cards]
    return fill("".join(f"{image:80}" for image in [*images, "END"]).encode("ascii"), b" ")


def hdu_bytes(cards: list[tuple[str, Any]], data: bytes, checksum: bool = True) -> bytes:
    """One HDU, with CHECKSUM and DATASUM that hold."""
    padded = fill(data, b"\0")
    if not checksum:
        return header_bytes(cards) + padded
    total = ones_sum(padded)
    cards = [*cards, ("CHECKSUM", "0" * 16), ("DATASUM", str(total))]
    header = header_bytes(cards)
    whole = ones_sum(header)
    whole += total
    whole = (whole & 0xFFFFFFFF) + (whole >> 32)
    return header.replace(b"'0000000000000000'", f"'{encode_checksum(whole)}'".encode()) + padded


def bitpix(array: np.ndarray) -> int:
    """BITPIX of an array's type."""
    return array.dtype.itemsize * (-8 if array.dtype.kind == "f" else 8)


def image_bytes(
    array: np.ndarray, cards: Mapping[str, Any] | None = None, *, checksum: bool = True, first: bool = True
) -> bytes:
    """One image HDU."""
    begin: list[tuple[str, Any]] = [("SIMPLE", True)] if first else [("XTENSION", "IMAGE")]
    begin += [("BITPIX", bitpix(array)), ("NAXIS", array.ndim)]
    begin += [(f"NAXIS{n + 1}", size) for n, size in enumerate(array.shape[::-1])]
    begin += [] if first else [("PCOUNT", 0), ("GCOUNT", 1)]
    stored = array if array.dtype.itemsize == 1 else array.astype(array.dtype.newbyteorder(">"))
    return hdu_bytes([*begin, *(cards or {}).items()], stored.tobytes(), checksum)


def table_bytes(
    columns: Mapping[str, np.ndarray], units: Mapping[str, str] | None = None, name: str = ""
) -> bytes:
    """One BINTABLE HDU; columns of numbers or byte strings, vectors along the second axis."""
    codes = {"i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D", "u1": "B"}
    fields, cards = [], []
    for n, (key, values) in enumerate(columns.items(), 1):
        if values.dtype.kind == "S":
            form, kind, repeat = f"{values.dtype.itemsize}A", values.dtype, ()
        else:
            repeat = values.shape[1:]
            form = f"{int(np.prod(repeat, initial=1))}{codes[values.dtype.str[1:]]}"
            kind = values.dtype.newbyteorder(">")
        fields.append((key, kind, repeat))
        cards += [(f"TTYPE{n}", key), (f"TFORM{n}", form)]
        cards += [(f"TUNIT{n}", units[key])] if units and key in units else []
    rows = len(next(iter(columns.values())))
    table = np.zeros(rows, np.dtype(fields))
    for key, values in columns.items():
        table[key] = values
    begin = [("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", table.dtype.itemsize)]
    begin += [("NAXIS2", rows), ("PCOUNT", 0), ("GCOUNT", 1), ("TFIELDS", len(columns))]
    begin += [("EXTNAME", name)] if name else []
    return hdu_bytes([*begin, *cards], table.tobytes())


EMPTY_PRIMARY = header_bytes([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])


def planes(shape: tuple[int, int] = SHAPE, seed: int = 0) -> dict[str, np.ndarray]:
    """Small planes with the character of the real ones."""
    draw = np.random.default_rng(seed)
    rms = draw.normal(0.004, 1e-4, shape).astype(np.float32)
    rms[:, :3] = SENTINEL
    image = draw.normal(0, 0.004, shape).astype(np.float32)
    image[:, :3] = 0.0
    flag = np.where(draw.random(shape) < 0.1, 1 << 18, 0).astype(np.int32)
    flag[5:8, 10:20] |= 0b1001
    flag[:, :3] |= np.int32(1 << 22)
    return {
        "IMAGE": image,
        "RMS": rms,
        "FLAG": flag,
        "BACKGROUND": draw.normal(0.2, 0.02, shape).astype(np.float32),
    }


STEMS = {
    "IMAGE": "EUC_MER_BGSUB-MOSAIC-{b}_TILE{t}-A1B2C3_20241102T101500.123456Z_00.00",
    "RMS": "EUC_MER_MOSAIC-{b}-RMS_TILE{t}-0D0E0F_20241102T101612.654321Z_00.00",
    "FLAG": "EUC_MER_MOSAIC-{b}-FLAG_TILE{t}-77AA01_20241102T101701.000001Z_00.00",
    "BACKGROUND": "EUC_MER_BGMOD-{b}_TILE{t}-123456_20241102T101733.100000Z_00.00",
    "PSF": "EUC_MER_CATALOG-PSF-{b}_TILE{t}-9F9F9F_20241102T102001.100000Z_00.00",
    "GRIDPSF": "EUC_MER_GRID-PSF-{b}_TILE{t}-9F9F90_20241102T102002.100000Z_00.00",
    "LAYERS": "EUC_MER_LAYERS-{b}_TILE{t}-ABCDEF_20241102T102003.100000Z_00.00",
    "STARMASK": "EUC_MER_BRIGHT-STAR-MASKS-{b}_TILE{t}-ABCDE0_20241102T102004.100000Z_00.00",
}
TOKENS = {"VIS": "VIS", "NIR_Y": "NIR-Y", "DECAM_g": "DES-G"}
ZERO_POINTS = {"VIS": 24.6, "NIR_Y": 29.8, "DECAM_g": 30.0}


def name_of(kind: str, band: str = "VIS", tile: str = TILE, suffix: str = ".fits") -> str:
    """Published name of a file."""
    return STEMS[kind].format(b=TOKENS[band], t=tile) + suffix


def plane_cards(kind: str, band: str = "VIS", **changes: Any) -> dict[str, Any]:
    """Header of a plane as in Q1, changed; a change to None removes the card."""
    cards = {
        **WCS_CARDS,
        "COMBINET": "OR" if kind == "FLAG" else "MEDIAN",
        "MAGZERO": ZERO_POINTS[band],
        "FILTER": band,
        "DATASETR": "Q1_R1",
        "PSWREL": "11.0.1",
        **changes,
    }
    if kind == "BACKGROUND":
        del cards["MAGZERO"]
    return {key: value for key, value in cards.items() if value is not None}


def write_band(
    folder: Path,
    band: str = "VIS",
    tile: str = TILE,
    *,
    kinds: Iterable[str] = ("IMAGE", "RMS", "FLAG", "BACKGROUND"),
    compress: bool = False,
    seed: int = 0,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    checksum: bool = True,
) -> dict[str, Path]:
    """The planes of one band of one tile; `changes` is kind to header changes."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays, paths = planes(seed=seed), {}
    for kind in kinds:
        data = image_bytes(
            arrays[kind], plane_cards(kind, band, **(changes or {}).get(kind, {})), checksum=checksum
        )
        paths[kind] = folder / name_of(kind, band, tile, ".fits.gz" if compress else ".fits")
        paths[kind].write_bytes(gzip.compress(data) if compress else data)
    return paths


def write_tables(folder: Path, band: str = "VIS", tile: str = TILE) -> dict[str, Path]:
    """Catalogue PSF, Layers and star masks beside the planes."""
    draw = np.random.default_rng(5)
    x, y = draw.uniform(1, SHAPE[1], 30), draw.uniform(1, SHAPE[0], 30)
    lon = WCS_CARDS["CRVAL1"] - (x - 30) * 2.7778e-5 / np.cos(np.radians(51.5))
    lat = WCS_CARDS["CRVAL2"] + (y - 20) * 2.7778e-5
    psf = {"x_center": x, "y_center": y, "x": x, "y": y, "RA": lon, "Dec": lat, "FWHM": 0.2 + 0.001 * x}
    cards = {
        "EXTNAME": "PSF image",
        **WCS_CARDS,
        "EXPTIME": 2240.0,
        "GAIN": 3.5,
        "SATURATE": 9.5,
        "FWHM": 0.2,
    }
    image = image_bytes(np.zeros((21, 21), np.float32), cards, first=False)
    paths = {kind: folder / name_of(kind, band, tile) for kind in ("PSF", "LAYERS")}
    paths["PSF"].write_bytes(EMPTY_PRIMARY + image + table_bytes(psf, name="Stamps information"))
    corners = np.radians([[57.1, -51.6, 57.3, -51.4, 57.1, -51.4, 57.3, -51.6]] * 2)
    layers = {
        "CALIB_IMAGE": np.array([b"one.fits", b"two.fits"], "S80"),
        "EXTNAME": np.array([b"3-4.F", b"3-4.G"], "S15"),
        "EXPTIME": np.array([560.52, 560.52], "f4"),
        "POLYGON": corners,
        "ALPHA": np.array([-2.0, -1.0], "f4"),
        "BETA": np.array([1.0, 2.0], "f4"),
        "SAA": np.array([89.0, 91.0], "f4"),
        "MJD-OBS": np.array([60604.0, 60604.5], "f4"),
    }
    paths["LAYERS"].write_bytes(EMPTY_PRIMARY + table_bytes(layers, name="LAYERS"))
    paths["STARMASK"] = folder / name_of("STARMASK", band, tile, ".json")
    paths["STARMASK"].write_text(
        '[{"RA": 57.2, "Dec": -51.5, "radius": 0.001}, [[57.2, -51.5], [57.201, -51.5], [57.2, -51.499]]]'
    )
    return paths


STORAGES = {
    "IMAGE": "DataStorage",
    "RMS": "RmsStorage",
    "FLAG": "FlagStorage",
    "BACKGROUND": "BackgroundStorage",
    "PSF": "PsfModelStorage",
    "LAYERS": "LayersStorage",
    "STARMASK": "BrightStarMasksStorage",
}


def mosaic_xml(
    files: Mapping[str, str],
    *,
    tile: str = TILE,
    band: str = "VIS",
    zero_point: float | None = None,
    release: str = "Q1_R1",
    created: str = "2024-11-02T12:00:00.000Z",
    product: str = "DpdMerBksMosaic",
    md5: Mapping[str, str] | None = None,
    footprint: str | None = None,
) -> str:
    """Descriptor of a mosaic."""
    boxes = []
    for kind, name in files.items():
        sums = f' checksumMethod="MD5" checksumValue="{md5[kind]}"' if md5 and kind in md5 else ""
        boxes.append(
            f'<{STORAGES[kind]}><DataContainer filestatus="COMMITTED"{sums}><FileName>{name}</FileName>'
            f"</DataContainer></{STORAGES[kind]}>"
        )
    if footprint is None:
        corners = [(57.2, -51.501), (57.2, -51.499), (57.21, -51.499), (57.21, -51.501)]
        footprint = "".join(f"<Vertex><C1>{lon}</C1><C2>{lat}</C2></Vertex>" for lon, lat in corners)
    point = "" if zero_point is None else f"<ZeroPoint><Value>{zero_point}</Value></ZeroPoint>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<mer:{product} xmlns:mer="http://example.org/mer"><Header><DataSetRelease>{release}</DataSetRelease>
<CreationDate>{created}</CreationDate></Header><Data><Filter><Name>{band}</Name></Filter>{point}
<ImgSpatialFootprint><Polygon>{footprint}</Polygon></ImgSpatialFootprint><TileIndex>{tile}</TileIndex>
<FirstObservationDateTime>2024-03-01T00:00:00.000Z</FirstObservationDateTime>
<LastObservationDateTime>2024-03-02T00:00:00.000Z</LastObservationDateTime>
{"".join(boxes)}</Data></mer:{product}>
"""


def tile_xml(tile: str, uniq: Iterable[int] = (), polygon: Iterable[tuple[float, float]] = ()) -> str:
    """Descriptor of a tile, with a NUNIQ list or a polygon."""
    numbers = " ".join(map(str, uniq))
    vertices = "".join(f"<Vertex><C1>{lon}</C1><C2>{lat}</C2></Vertex>" for lon, lat in polygon)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<mer:DpdMerTile xmlns:mer="http://example.org/mer"><Data><TileUseCase>WIDE</TileUseCase><TileIndex>{tile}</TileIndex>
<InnerNUNIQIndex>{numbers}</InnerNUNIQIndex>
<InnerSpatialFootprint><Polygon>{vertices}</Polygon></InnerSpatialFootprint></Data></mer:DpdMerTile>
"""
