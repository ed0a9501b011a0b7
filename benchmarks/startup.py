"""Start-up: `vmpz --help`, and the imports that a run needs before it can compute."""

import subprocess
import sys
import time
from statistics import median


def wall(code: list[str], repeats: int = 7) -> float:
    """Median wall seconds of a command."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(code, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return median(times)


def rows() -> list[dict[str, object]]:
    """Rows of the performance table."""
    python = sys.executable
    typer = wall([python, "-c", "import typer"])
    needed = wall([python, "-c", "import numba, astropy.wcs, astropy.io.fits"])
    return [
        {
            "operation": "`vmpz --help`",
            "unit": "s",
            "ours": wall([python, "-m", "vmpz", "--help"]),
            "floor": typer,
            "target": "<= 0.6 s",
            "note": "floor: `import typer` alone",
        },
        {
            "operation": "imports of a run, before it computes",
            "unit": "s",
            "ours": wall([python, "-c", "import vmpz.run.jobs"]),
            "floor": needed,
            "target": "< 1.6 s",
            "note": "floor: `import numba, astropy.wcs, astropy.io.fits` alone",
        },
        {
            "operation": "imports of merge and convert",
            "unit": "s",
            "ours": wall([python, "-c", "import vmpz.run.tasks"]),
            "floor": needed,
            "target": "< 1 s",
        },
    ]
