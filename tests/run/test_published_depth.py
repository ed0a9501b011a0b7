"""Depth of public Euclid Q1 tiles, where the folder of some is given: it comes out as it was published.

VMPZ_Q1 names a folder of MER tiles as the archive serves them: mosaics, RMS and FLAG planes, in any folders below it.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from vmpz import io
from vmpz.parameters import Parameters
from vmpz.products import Product
from vmpz.run.imagenoise import NoiseRequest, calibrate_noise
from vmpz.run.plan import Choice
from vmpz.run.store import Store
from vmpz.run.survey import run_survey

FOLDER = os.environ.get("VMPZ_Q1", "")
PUBLISHED = {"VIS": (1.3, 26.2), "NIR_Y": (1.2, 24.5), "NIR_J": (1.2, 24.5), "NIR_H": (1.2, 24.5)}
"""Diameter in which point sources are measured, arcsec (VIS: arXiv:2503.15303, NISP: A&A 697, A6), and their depth at
5 sigma, AB mag (arXiv:2108.01201)."""
NSIDE_128 = 7

pytestmark = pytest.mark.skipif(not FOLDER, reason="VMPZ_Q1 names no folder of public Q1 tiles")


def correlation(band: str, aperture_arcsec: float) -> float:
    """C of the aperture in the mosaic of a band of the first tile."""
    token = band.replace("_", "-")
    image = min(Path(FOLDER).rglob(f"*BGSUB-MOSAIC-{token}_*.fits*"))
    rms, flags = (next(image.parent.glob(f"*MOSAIC-{token}-{name}_*.fits*")) for name in ("RMS", "FLAG"))
    invalid = ("0",)  # the same bit in every table
    request = NoiseRequest(str(image), str(rms), (aperture_arcsec,), 1, flags=str(flags), bits=invalid)
    return float(calibrate_noise(request)["apertures"][0]["factor"])


def depths(folder: Path, band: str, **chosen: object) -> list[Product]:
    """Depth maps of all tiles."""
    told = {"survey": {"bands": [band]}, "inputs": [{"reader": "euclid-mer", "location": FOLDER}]}
    parameters = Parameters.model_validate({**told, "depth": chosen})
    account = run_survey(parameters, folder, created="2026-01-01", choice=Choice(products=["depth"]))
    assert not account.has_failed, account.text()
    return [io.read(one.path(".fits")) for one in Store(folder).entries() if one.key.kind == "depth"]


@pytest.mark.parametrize("band", PUBLISHED)
def test_point_sources_are_seen_as_deep_as_published(band: str, tmp_path: Path) -> None:
    """The median to 0.2 mag, correlated noise included; about 0.1 mag of core scatter at NSIDE 128."""
    aperture, published = PUBLISHED[band]
    factor = correlation(band, aperture)
    found = depths(tmp_path, band, aperture_arcsec=aperture, correlated_noise=factor)
    assert np.median(np.concatenate([one.map.values for one in found])) == pytest.approx(published, abs=0.2)
    coarse = np.concatenate([one.map.degrade(NSIDE_128, "LOGQUAD").values for one in found])
    low, high = np.quantile(coarse, [0.25, 0.75])
    assert (high - low) / 1.349 < 0.2


@pytest.mark.parametrize("band", ["VIS", "NIR_Y"])
def test_a_map_of_2_arcsec_says_so(band: str, tmp_path: Path) -> None:
    found = depths(tmp_path, band)
    assert found
    for words in (one.keywords for one in found):
        assert (words["DEPTHEST"], words["APERDIAM"], words["SNRLEVEL"]) == ("APERTURE", 2.0, 5.0)
        assert words["CORRFAC"] == 1.0
