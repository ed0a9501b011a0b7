"""Run by the Python of `.venv-interop`: what LSDB finds in HATS catalogues, as JSON, one object a catalogue.

Arguments: right ascension, declination (deg) and radius (arcsec) of a cone; a MOC file; folders.
"""

import json
import sys

import lsdb
from hats.io.validation import is_valid_catalog
from mocpy import MOC

lon, lat, radius, moc, *folders = sys.argv[1:]
region = MOC.load(moc, "fits")
told = []
for folder in folders:
    catalogue = lsdb.open_catalog(folder)
    cone = catalogue.cone_search(ra=float(lon), dec=float(lat), radius_arcsec=float(radius)).compute()
    told.append(
        {
            "is_valid": is_valid_catalog(folder, strict=True),
            "rows": len(catalogue),
            "columns": list(catalogue.columns),
            "cone": sorted(cone["RIGHT_ASCENSION"].tolist()),
            "moc": len(catalogue.moc_search(region).compute()),
            "all": len(catalogue.compute()),
        }
    )
sys.stdout.write(json.dumps(told))
