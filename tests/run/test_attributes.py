"""What the galaxy that a point stands for is like: galaxies of the deep sample, each as often as it is seen there."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy import stats

from visibility_helpers import CREATED, ORDER, R_V, REALISATIONS, deep, deep_seen, products
from vmpz import io
from vmpz.parameters import load
from vmpz.run.randomrequests import request_of_survey
from vmpz.run.randoms import draw_catalogue
from vmpz.sky.skymap import SkyMap

BANDS = list(R_V)


def drawn(seen: Path, out: Path, **said: object) -> dict[str, np.ndarray]:
    request = request_of_survey(load(seen), seen.parent / "store", "deep", {"attributes": True, **said})
    draw_catalogue(request, out, created=CREATED)
    blocks = list(io.open_random(out).blocks())
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def galaxies_of(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Row of the deep sample that each point is: all of its values come from one galaxy."""
    vis, nir, z = deep()
    order = np.argsort(vis)
    middle = (vis[order][1:] + vis[order][:-1]) / 2
    galaxy = order[np.searchsorted(middle, rows["MAG_VIS"])]
    for name, values in {"MAG_VIS": vis, "MAG_NIR_Y": nir, "REDSHIFT_TRUE": z}.items():
        assert np.abs(rows[name] - values[galaxy]).max() < 5e-6, name  # float32, of six digits
    return galaxy


def places(seen: Path, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depths in both bands and E(B-V) of cells."""
    depths = [
        SkyMap.join([one.map for area, one in products(seen, "depth", band=band).items() if area.isdigit()])
        for band in BANDS
    ]
    with fits.open(seen.parent / "ebv.fits") as hdus:
        ebv = hdus[1].data["EBV"][cell >> 2 * (ORDER - 6)].astype(float)
    return np.stack([one.of_cells(cell).astype(float) for one in depths], axis=1), ebv


def test_galaxies_of_the_deep_sample_come_as_often_as_they_are_seen_at_a_place(
    seen: Path, tmp_path: Path
) -> None:
    rows = drawn(seen, tmp_path / "r.fits", density=200_000.0, seed=3)
    galaxy, cell = galaxies_of(rows), rows["HPIX_29"] >> 2 * (29 - ORDER)
    cells, place = np.unique(cell, return_inverse=True)
    depth, ebv = places(seen, cells)
    chance = np.array([deep_seen(tuple(one), dust) for one, dust in zip(depth, ebv)])
    deeper = depth[:, 0] > np.median(depth[:, 0])
    for those in (deeper, ~deeper):
        number = np.bincount(place, minlength=cells.size) * those
        counts = np.bincount(galaxy[those[place]], minlength=300)
        share = number / chance.sum(axis=1)
        mean = share @ chance
        noise = share @ np.sqrt(chance * (1 - chance) / REALISATIONS)  # the table is of so many realisations
        assert counts.sum() > 20_000 and (counts[mean < 1e-6] == 0).all()
        some = mean > 5
        pull = (counts - mean)[some] / np.hypot(np.sqrt(mean[some]), noise[some])
        assert np.abs(pull).max() < 4.5 and 0.5 < np.mean(pull**2) < 1.4
        assert ((mean > 20) & (mean < 0.8 * mean.max())).sum() > 10  # neither always seen nor never


def test_the_same_galaxy_whatever_else_is_drawn(seen: Path, tmp_path: Path) -> None:
    """Attributes are of the point: with other columns; another catalogue of the seed has others."""
    rows = drawn(seen, tmp_path / "all.fits", density=20_000.0, seed=3)
    more = drawn(seen, tmp_path / "more.fits", density=20_000.0, seed=3, maps=["depth_VIS"])
    for name, values in rows.items():
        assert np.array_equal(values, more[name]), name
    other = drawn(seen, tmp_path / "other.fits", density=20_000.0, seed=3, catalogue=1)
    assert stats.ks_2samp(rows["REDSHIFT_TRUE"], other["REDSHIFT_TRUE"]).pvalue > 1e-3
    assert not np.array_equal(galaxies_of(rows)[:100], galaxies_of(other)[:100])
