"""Every reader, on every form of its inputs, passes the one suite."""

import gzip
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from astropy.io import fits

import readers_helpers as write
from readers_conformance import check_reader
from vmpz.simulate import simulate


def test_mer_folder_without_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tile in ("102018210", "102018211"):
        for band in ("VIS", "NIR_Y"):
            write.write_band(tmp_path / tile / band, band, tile)
            write.write_tables(tmp_path / tile / band, band, tile)
    check_reader("euclid-mer", tmp_path, {}, monkeypatch)


def test_mer_folder_with_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for band in ("VIS", "NIR_Y"):
        paths = {**write.write_band(tmp_path, band), **write.write_tables(tmp_path, band)}
        names = {kind: path.name for kind, path in paths.items()}
        (tmp_path / f"{band}.xml").write_text(write.mosaic_xml(names, band=band))
    check_reader("euclid-mer", tmp_path, {}, monkeypatch)


@pytest.mark.parametrize("compress", [None, "gz", "fz"])
def test_simulated_survey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: Literal["gz", "fz"] | None
) -> None:
    survey = simulate(tmp_path, tiles=1, size=128, bands=("VIS", "DECAM_g"), seed=3, compress=compress)
    check_reader("euclid-mer", survey.folder / "MER", {"bit_table": {"DECAM": "desdm"}}, monkeypatch)


GENERIC_TEXTS = {"band": "header:FILTER", "instrument": "VIS", "zero_point": "header:MAGZERO"}


def test_generic_files_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = write.planes()
    for name in ("a", "b"):
        (tmp_path / f"{name}_sci.fits").write_bytes(
            write.image_bytes(planes["IMAGE"], write.plane_cards("IMAGE"))
        )
        weight = gzip.compress(write.image_bytes(planes["RMS"] ** -2, write.plane_cards("RMS")))
        (tmp_path / f"{name}_wht.fits.gz").write_bytes(weight)
        (tmp_path / f"{name}_flg.fits").write_bytes(write.image_bytes(planes["FLAG"].astype(np.int16)))
    patterns = {"image": "{id}_sci.fits", "weight": "{id}_wht.fits.gz", "flag": "{id}_flg.fits"}
    check_reader("generic", tmp_path, {**GENERIC_TEXTS, **patterns, "bit_table": "desdm"}, monkeypatch)


def test_generic_one_file_of_several_hdus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = write.planes()
    wcs = fits.Header(write.plane_cards("IMAGE"))
    hdus: list[Any] = [fits.PrimaryHDU(), fits.ImageHDU(planes["IMAGE"].astype(np.float64), wcs, name="SCI")]
    hdus += [
        fits.CompImageHDU(planes["FLAG"], wcs, name="MASK"),
        fits.ImageHDU(planes["RMS"] ** 2, wcs, name="VAR"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "one.fits", checksum=True)
    patterns = {"image": "{id}.fits[SCI]", "flag": "{id}.fits[MASK]", "variance": "{id}.fits[3]"}
    check_reader("generic", tmp_path, {**GENERIC_TEXTS, **patterns}, monkeypatch)
