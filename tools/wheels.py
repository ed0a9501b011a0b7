"""Build wheel and sdist, look into them, and try the wheel in clean environments of every supported Python.

The environments get the pinned, hashed dependencies of `constraints.txt`, as the metadata of the wheel ask for them;
what is tried runs outside the source tree. A Python that is not on the machine is told and left out, but fails where
CI=true.

    python tools/wheels.py               kernels interpreted, so that nothing compiles: for continuous integration
    python tools/wheels.py --compiled    kernels compiled too, in every Python (a minute each)
    python tools/wheels.py --oldest      with the oldest dependencies that pyproject.toml allows
    python tools/wheels.py --out dist    keep wheel and sdist
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

from packaging.metadata import Metadata

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "vmpz"
UV = Path(sys.executable).with_name("uv")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = tuple(
    text.rpartition(" ")[2] for text in PROJECT["classifiers"] if "Python :: 3." in text
)  # those that are promised
SMOKE = (
    "--version",
    "--help",
    "doctor",
    "params --example",
    "simulate survey --size 64 --tiles 1 --bands VIS",
    "run survey/survey.toml --created 2026-01-02T03:04:05Z",
    "check survey/store",
)
"""The smallest real job, with commands that a new user gives."""


class Failure(Exception):
    """Something that a release must not have."""


def main() -> int:
    """Build, look, install and try; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for wheel and sdist")
    parser.add_argument("--compiled", action="store_true", help="with compiled kernels")
    parser.add_argument("--oldest", action="store_true", help="with the oldest dependencies allowed")
    asked = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as name:
            wheel, sdist = build(Path(name))
            pythons = found_pythons()
            # Wheels of the oldest dependencies exist for the oldest Python.
            chosen = dict([next(iter(pythons.items()))]) if asked.oldest else pythons
            with ThreadPoolExecutor(len(chosen)) as pool:
                trials = [
                    pool.submit(try_wheel, Path(name) / minor, python, wheel, asked.oldest, asked.compiled)
                    for minor, python in chosen.items()
                ]
                for trial in trials:
                    print(trial.result())
            if asked.out:
                asked.out.mkdir(parents=True, exist_ok=True)
                print(*(shutil.copy2(one, asked.out) for one in (wheel, sdist)), sep="\n")
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output of a program that must succeed; a variable set to nothing is not set."""
    variables = {name: value for name, value in (os.environ | environment).items() if value}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        told = "\n".join(text for text in (done.stdout[-2000:], done.stderr[-4000:]) if text)
        raise Failure(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{told}")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist of the tree; the sdist must give the same wheel, byte for byte."""
    hatchling = Path(sys.executable).with_name("hatchling")
    run(
        hatchling,
        "build",
        "-t",
        "sdist",
        "-t",
        "wheel",
        "-d",
        folder / "tree",
        cwd=ROOT,
        SOURCE_DATE_EPOCH="",
    )
    (wheel,), (sdist,) = (list((folder / "tree").glob(name)) for name in ("*.whl", "*.tar.gz"))
    with tarfile.open(sdist) as packed:
        packed.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    run(hatchling, "build", "-t", "wheel", "-d", folder / "again", cwd=unpacked, SOURCE_DATE_EPOCH="")
    (again,) = (folder / "again").iterdir()
    if (wheel.name, wheel.read_bytes()) != (again.name, again.read_bytes()):
        raise Failure(
            f"tree and sdist must build the same wheel, found {wheel.name} and {again.name} to differ"
        )
    check_wheel(wheel)
    check_sdist(unpacked)
    return wheel, sdist


def check_wheel(wheel: Path) -> None:
    """Every file of the package and nothing else, one command, metadata as PyPI wants them."""
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        told = f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
        metadata = packed.read(f"{told}/METADATA")
        commands = packed.read(f"{told}/entry_points.txt").decode()
    expected = {
        f"vmpz/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {
        f"{told}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    }
    if names != expected:
        raise Failure(f"{wheel.name} must hold src/vmpz, found lacking or more: {sorted(names ^ expected)}")
    if commands.split() != ["[console_scripts]", "vmpz", "=", "vmpz.cli:main"]:
        raise Failure(f"{wheel.name}: entry_points.txt must be the command vmpz, found {commands!r}")
    check_metadata(wheel.name, metadata)


def check_metadata(name: str, text: bytes) -> None:
    """Valid core metadata with a description that can be drawn."""
    try:
        metadata = Metadata.from_email(text, validate=True)
    except ExceptionGroup as errors:
        raise Failure(f"{name}: METADATA: {'; '.join(map(str, errors.exceptions))}") from errors
    message: Message = BytesParser().parsebytes(text)
    if metadata.description_content_type != "text/markdown" or not (
        metadata.description or message.get_payload()
    ):
        raise Failure(f"{name}: METADATA must hold the README, found {metadata.description_content_type}")


def check_sdist(unpacked: Path) -> None:
    """Every file under version control is in it."""
    if not (ROOT / ".git").exists():
        return
    tracked = run("git", "ls-files", "-z", cwd=ROOT).split("\0")[:-1]
    missing = [name for name in tracked if (ROOT / name).exists() and not (unpacked / name).exists()]
    if missing:
        raise Failure(f"{unpacked.name} must hold every file under version control, found none of {missing}")


def found_pythons() -> dict[str, str]:
    """Minor version -> interpreter, for the versions that pyproject.toml promises."""
    found = {}
    for minor in PYTHONS:
        # The variable chooses among the versions of pyenv, where it is used; others do not look at it.
        environment = os.environ | {"PYENV_VERSION": minor}
        command = [f"python{minor}", "-c", "import sys; print(sys.executable)"]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found[minor] = done.stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            print(f"Python {minor} is not on this machine: left out", file=sys.stderr)
    if len(found) < (len(PYTHONS) if os.environ.get("CI") == "true" else 1):
        raise Failure(
            f"Python {', '.join(PYTHONS)} must be on this machine, found {', '.join(found) or 'none'}"
        )
    return found


def try_wheel(folder: Path, python: str, wheel: Path, oldest: bool, compiled: bool) -> str:
    """Install the wheel alone and do the smallest job; a line about it."""
    run(UV, "venv", "-q", "--no-project", "--python", python, folder / "venv", cwd=folder.parent)
    install = (UV, "pip", "install", "-q", "--python", folder / "venv" / "bin" / "python")
    if oldest:
        run(*install, "--resolution", "lowest-direct", "-r", ROOT / "pyproject.toml", cwd=folder)
        run(*install, "--no-deps", wheel, cwd=folder)
    else:
        run(*install, "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    compiling = {} if compiled else {"NUMBA_DISABLE_JIT": "1"}
    clean = {"PYTHONPATH": "", "NUMBA_CACHE_DIR": "", **compiling}
    said = [run(folder / "venv" / "bin" / "vmpz", *one.split(), cwd=folder, **clean) for one in SMOKE]
    version = wheel.name.split("-")[1]
    if said[0].split() != ["vmpz", version]:
        raise Failure(f"vmpz --version must say {version}, found {said[0]!r}")
    return f"Python {Path(python).name.removeprefix('python')}: {said[0].strip()}: {said[-1].strip()}"


if __name__ == "__main__":
    sys.exit(main())
