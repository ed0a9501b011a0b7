"""A NIR exposure of two detectors, written byte by byte: nothing here uses the package."""

import gzip
import io
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from readers_helpers import WCS_CARDS, header_bytes, image_bytes

DETECTORS = ("11", "34")
SHAPE = (6, 8)
TIME = "20240930T183522.647051"
BITS = {"INVALID": 0, "SATUR": 10, "NLINEAR": 11, "PERSIST": 13, "DARKNODET": 15}
Changes = Mapping[str, Mapping[str, Any]]


def name_of(kind: str, band: str = "Y", observation: int = 2681, number: int = 1, time: str = TIME) -> str:
    """Published name of a file."""
    end = "psf" if kind == "PSF-M" else "fits"
    return f"EUC_NIR_W-CAL-{kind}_{band}-{observation}-{number}_{time}Z.{end}"


def primary(band: str = "Y", observation: int = 2681, number: int = 1, **changes: Any) -> bytes:
    cards: dict[str, Any] = {
        "TELESCOP": "Euclid",
        "INSTRUME": "NISP",
        "OBSMODE": "WIDE",
        "DATE-OBS": "2024-03-15T09:30:09.313",
        "MJD-OBS": 60384.39594113,
        "EXPTIME": 87.2448,
        "ELAPTIME": 112.8,
        "RA": 57.2,
        "DEC": -51.5,
        "PA": 12.5,
        "SAA": 91.25,
        "ALPHA": -1.5,
        "BETA": 1.25,
        "FILTER": band,
        "OBS_ID": observation,
        "DITHOBS": number + 1,
        "EXPNUM": "YJH".index(band) + 1,
        "TOTEXP": 3,
        **changes,
    }
    kept = [(key, value) for key, value in cards.items() if value is not None]
    return header_bytes([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True), *kept])


def arrays(detector: str, kind: str = "IMAGE") -> dict[str, np.ndarray]:
    """SCI, RMS and DQ of a detector; other ones in the background file."""
    draw = np.random.default_rng([int(detector), kind == "IMAGE"])
    flags = np.full(SHAPE, 0x800, np.int32)
    flags[0] |= 1
    return {
        "SCI": draw.normal(30, 9, SHAPE).astype(np.float32),
        "RMS": draw.uniform(8, 10, SHAPE).astype(np.float32),
        "DQ": flags,
    }


def wcs_cards(detector: str) -> dict[str, Any]:
    """Pixels of 0.3 arcsec; the detectors stand 10 arcmin apart."""
    scale = 3.0
    cards = {**WCS_CARDS, "CRVAL2": WCS_CARDS["CRVAL2"] + (0.17 if detector == "34" else 0.0)}
    return {key: scale * value if key.startswith("CD") else value for key, value in cards.items()}


def extension(detector: str, layer: str, kind: str = "IMAGE", **changes: Any) -> bytes:
    data = changes.pop("data", arrays(detector, kind)[layer])
    cards: dict[str, Any] = {
        "EXTNAME": f"DET{detector}.{layer}",
        "DET_ID": detector,
        **wcs_cards(detector),
        "ZPAB": 29.77,
        "GAIN": 2.0,
    }
    if layer == "DQ":
        cards.update({f"MSK_FLAG_{name}": bit for name, bit in BITS.items()})
    cards.update(changes)
    return image_bytes(data, {key: value for key, value in cards.items() if value is not None}, first=False)


def image_file(
    kind: str = "IMAGE",
    order: Iterable[tuple[str, str]] | None = None,
    changes: Changes | None = None,
    **identity: Any,
) -> bytes:
    """Image or background; `changes` is EXTNAME or PRIMARY to header changes, None leaves an extension out."""
    changed = changes or {}
    order = order or [(detector, layer) for detector in DETECTORS for layer in ("SCI", "RMS", "DQ")]
    parts = [primary(**identity, **changed.get("PRIMARY", {}))]
    for detector, layer in order:
        change = changed.get(f"DET{detector}.{layer}", {})
        if change is not None:
            parts.append(extension(detector, layer, kind, **change))
    return b"".join(parts)


def gaussian(sigma: float, size: int = 41) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size // 2
    stamp = np.exp(-0.5 * (x * x + y * y) / sigma**2)
    return (stamp / stamp.sum()).astype(np.float32)


def psf_image(sigma: float = 2.0, **changes: Any) -> bytes:
    """One stamp a detector, 5 samples a pixel."""
    parts = [header_bytes([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])]
    for detector in DETECTORS:
        cards = {
            "EXTNAME": f"DET{detector}.PSF",
            "DET_ID": detector,
            "POLNAXIS": 0,
            "OVERSAMP": 5.0,
            **changes,
        }
        parts.append(
            image_bytes(gaussian(sigma), {k: v for k, v in cards.items() if v is not None}, first=False)
        )
    return b"".join(parts)


def psf_table(terms: np.ndarray, detector: str = "11", **changes: Any) -> fits.BinTableHDU:
    """A PSFEx model as PSFEx writes it."""
    column = fits.Column(
        "PSF_MASK", f"{terms.size}E", dim=str(terms.shape[::-1]), array=terms[None].astype("f4")
    )
    table = fits.BinTableHDU.from_columns([column], name="PSF_DATA")
    cards = {
        "POLNAXIS": 0,
        "PSF_FWHM": 1.7,
        "PSF_SAMP": 0.2,
        "PSFNAXIS": 3,
        "PSFAXIS1": terms.shape[2],
        "PSFAXIS2": terms.shape[1],
        "PSFAXIS3": terms.shape[0],
        "DET_ID": detector,
        **changes,
    }
    for key, value in cards.items():
        if value is not None:
            table.header[key] = value
    return table


@cache
def plain_psf_model() -> bytes:
    """A model that does not vary, made once."""
    return psf_model()


def psf_model(terms: np.ndarray | None = None, **changes: Any) -> bytes:
    """One model a detector."""
    terms = gaussian(2.0)[None] if terms is None else terms
    whole = io.BytesIO()
    tables = [psf_table(terms, detector, **changes) for detector in DETECTORS]
    fits.HDUList([fits.PrimaryHDU(), *tables]).writeto(whole)
    return whole.getvalue()


def write_exposure(
    folder: Path,
    band: str = "Y",
    observation: int = 2681,
    number: int = 1,
    *,
    time: str = TIME,
    without: Iterable[str] = (),
    compress: bool = False,
    changes: Mapping[str, Changes] | None = None,
    contents: Mapping[str, bytes] | None = None,
) -> dict[str, Path]:
    """The four files of an exposure; `contents` replaces whole files by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    who = {"band": band, "observation": observation, "number": number}
    files = {
        kind: image_file(kind, changes=(changes or {}).get(kind), **who) for kind in ("IMAGE", "IMAGE-BKG")
    }
    files |= {"PSF-I": psf_image(), "PSF-M": plain_psf_model(), **(contents or {})}
    paths = {}
    for kind, data in files.items():
        if kind in without:
            continue
        gz = compress and kind.startswith("IMAGE")
        paths[kind] = folder / (name_of(kind, band, observation, number, time) + ".gz" * gz)
        paths[kind].write_bytes(gzip.compress(data, mtime=0) if gz else data)
    return paths


def descriptor(
    names: Iterable[str],
    zero_points: Mapping[str, Any] | None = None,
    *,
    release: str = "Q1_R1",
    created: str = "2024-10-01T00:00:00.000Z",
    product: str = "DpdNirCalibratedFrame",
    total: int = 3,
    observation: int = 2681,
) -> str:
    """Descriptor of an exposure."""
    boxes = "".join(
        f"<Storage{n}><DataContainer><FileName>{name}</FileName></DataContainer></Storage{n}>"
        for n, name in enumerate(names)
    )
    detectors = "".join(
        f"<Detector><DetectorId>{name}</DetectorId><ZeroPoint><Value>{value}</Value></ZeroPoint></Detector>"
        for name, value in (zero_points or {}).items()
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<nir:{product} xmlns:nir="http://example.org/nir"><Header><DataSetRelease>{release}</DataSetRelease>
<CreationDate>{created}</CreationDate></Header><Data><Filter><Name>NIR_Y</Name></Filter>
<DetectorList>{detectors}</DetectorList><ObservationSequence><ObservationId>{observation}</ObservationId>
<TotalExposure>{total}</TotalExposure></ObservationSequence>{boxes}</Data></nir:{product}>
"""
