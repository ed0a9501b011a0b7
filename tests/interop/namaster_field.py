"""Run by a Python that has NaMaster: the field of a mask, and how it couples the unit map, as a numpy archive.

Arguments: a partial HEALPix file of observed fractions; the archive to write.
"""

import sys

import healpy
import numpy as np
import pymaster

source, out = sys.argv[1:]
mask = healpy.read_map(source, dtype=np.float64)
mask = np.where(mask == healpy.UNSEEN, 0.0, mask)
nside = healpy.get_nside(mask)
pymaster.NmtField(mask, None, spin=0)
unit = pymaster.NmtField(mask, [np.ones_like(mask)], n_iter=0, n_iter_mask=0)
bins = pymaster.NmtBin.from_nside_linear(nside, 16)
matrix = pymaster.NmtWorkspace.from_fields(unit, unit, bins).get_coupling_matrix()
np.savez(
    out,
    mask=unit.get_mask(),
    power=healpy.anafast(mask, iter=0),
    coupled=pymaster.compute_coupled_cell(unit, unit)[0],
    of_unit=matrix[:, 0] * 4 * np.pi,  # all power of the unit map is C_0 = 4 pi
)
