"""Set up the project and run its tasks; needs only Python 3.11 and pip.

Usage: python3 tasks.py TASK [options that the task passes on]

  demo          certified fits, written to farkas-demo.html in the current folder
  test          the test suite (pytest options are passed on, e.g. -k name)
  conformance   only the checks that every estimator must pass
  lint          ruff and mypy
  bench NAME    benchmarks/bench_NAME.py, for example: bench convexnn
  docs          the documentation, to docs/_build/html; it runs every example
  bench         all of them, which takes an hour, and the table of all
  ci            lint, then test

The first run creates .venv and installs the project there; later runs start at once.
"""

import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "farkas-stamp.json"
# Each holds what the ones before it do, so one environment serves every task.
EXTRAS = ["plot", "test", "dev", "dev,docs"]
LINT = ["-m ruff check", "-m ruff format --check", "-m mypy"]
PYTEST = "-m pytest -n auto --maxprocesses 4 --dist worksteal"
# The extras that a task needs, then its commands; the last one gets the user's options.
TASKS = {
    "demo": ["plot", "-m farkas demo"],
    "test": ["test", PYTEST],
    "conformance": ["test", f"{PYTEST} tests/conformance"],
    "lint": ["dev", *LINT],
    "bench": ["plot"],
    "docs": ["dev,docs", "-m farkas warmup", "-m sphinx -W docs docs/_build/html"],
    "ci": ["dev", *LINT, PYTEST],
}
OLD_PYTHON = """Farkas needs Python 3.11 or newer, but {} is {}.{}.
Run this file with a newer one, for example: python3.12 tasks.py demo"""
NO_VENV = """{} could not be created: {}
On Debian and Ubuntu, `apt install python3-venv` adds what Python lacks there."""
NO_INSTALL = """The installation failed; pip says why above.
Check the network and disk space and try again. If it keeps failing, delete {}."""


def fingerprint():
    """Hash what decides the installation: three files, and where the project is."""
    files = [ROOT / f for f in ("pyproject.toml", "setup.cfg", "constraints.txt")]
    parts = [str(ROOT).encode(), *(f.read_bytes() for f in files)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def rank_installed():
    """Return the rank in EXTRAS of a finished installation of these files, or -1."""
    try:
        stamp = json.loads(STAMP.read_text())
        current = PYTHON.exists() and stamp["fingerprint"] == fingerprint()
        return EXTRAS.index(stamp["extra"]) if current else -1
    except (OSError, ValueError, KeyError, TypeError):
        return -1


def setup(extra):
    """Make .venv hold the project with this extra; do nothing if it does already."""
    if rank_installed() >= EXTRAS.index(extra):
        return
    print(f"Setting up {VENV} (once): about 0.3 GB to download, 1 GB on disk,")
    print("a few minutes, most of it for llvmlite, scs, scipy and numpy.", flush=True)
    STAMP.unlink(missing_ok=True)  # an interrupted installation must not look finished
    stamp = json.dumps({"fingerprint": fingerprint(), "extra": extra})
    if not PYTHON.exists():
        try:
            venv.create(VENV, with_pip=True, clear=True, symlinks=os.name != "nt")
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(NO_VENV.format(VENV, error))
    elif run(PYTHON, "-m", "pip", "--version", stdout=subprocess.DEVNULL) != 0:
        run(PYTHON, "-m", "ensurepip", "--upgrade")
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["-e", f"{ROOT}[{extra}]", "-c", ROOT / "constraints.txt"]
    if run(*pip, *([] if sys.stdout.isatty() else ["--quiet"])) != 0:
        sys.exit(NO_INSTALL.format(VENV))
    STAMP.write_text(stamp)


def run(*argv, **options):
    """Run a command and return its exit status; Ctrl-C is left to the command."""
    process = subprocess.Popen([str(arg) for arg in argv], **options)
    while True:
        try:
            return process.wait() % 256  # Python reports a signal as a negative status
        except KeyboardInterrupt:
            continue  # the command got the same signal and ends in its own way


def main(task="help", *args):
    """Run the task that the command line names and return its exit status."""
    if sys.version_info < (3, 11):
        sys.exit(OLD_PYTHON.format(sys.executable, *sys.version_info[:2]))
    if task not in TASKS:
        print(__doc__.strip())
        return 0 if task in ("help", "-h", "--help") else 2
    extra, *commands = TASKS[task]
    if task == "bench":
        known = sorted(p.stem[6:] for p in (ROOT / "benchmarks").glob("bench_*.py"))
        if args and args[0] not in known:
            sys.exit(f"bench needs no NAME or one of: {', '.join(known)}.")
        names = [f"bench_{name}" for name in args[:1] or known]
        names += [] if args else ["overview"]
        commands, args = [f"benchmarks/{name}.py" for name in names], args[1:]
    setup(extra)
    folder = None if task == "demo" else ROOT  # the demo writes where it was called
    *first, last = [command.split() for command in commands]
    return max(run(PYTHON, *argv, cwd=folder) for argv in [*first, [*last, *args]])


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("Interrupted; the next run starts over with the set-up.")
