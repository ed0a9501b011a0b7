"""PSF size between the places where it was measured."""

import numpy as np
from numpy.typing import NDArray

from vmpz.physics.sphere import unit_vectors

__all__ = ["nearest_on_sphere"]

Array = NDArray[np.float64]


def nearest_on_sphere(
    lon_deg: Array, lat_deg: Array, at_lon_deg: Array, at_lat_deg: Array, number: int
) -> tuple[NDArray[np.int64], Array]:
    """The nearest of given points around each position.

    Parameters
    ----------
    lon_deg, lat_deg : array (n,)
        The points, degrees.
    at_lon_deg, at_lat_deg : array (m,)
        The positions, degrees.
    number : int
        How many points to find; all n where there are fewer.

    Returns
    -------
    index : int64 array (m, k)
        Points by increasing distance, k = min(number, n).
    distance_deg : array (m, k)
        Great-circle distances.
    """
    from scipy.spatial import cKDTree  # costs as much as all else that a run imports, and few maps need it

    tree = cKDTree(unit_vectors(lon_deg, lat_deg))
    k = list(range(1, min(number, len(lon_deg)) + 1))
    chord, index = tree.query(unit_vectors(at_lon_deg, at_lat_deg), k=k)
    return index.astype(np.int64), np.degrees(2.0 * np.arcsin(np.minimum(chord / 2.0, 1.0)))
