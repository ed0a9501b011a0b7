"""Run by the Python of `.venv-interop`: the map that heracles reads from a file, written as a numpy array (RING)."""

import sys

import numpy as np
from heracles.io import read_vmap

source, out = sys.argv[1:]
np.save(out, read_vmap(source))
