"""The command line: ``farkas COMMAND``, also ``python -m farkas COMMAND``.

Errors are one line on stderr and exit status 2; ``--debug`` shows the traceback.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import farkas


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 for success, 1 for a negative answer (``doctor``, ``verify``), 2 for an error,
        130 when interrupted.

    Examples
    --------
    >>> from farkas.cli import main
    >>> main(["verify", "nowhere.json", "nowhere.npz"])
    2
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.run is not _demo:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        print("farkas: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if "debug" in options:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"farkas: error: {text}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show traceback"
    )
    parser = argparse.ArgumentParser(
        prog="farkas",
        description="Optimization whose every fit carries a certificate.",
        parents=[shared],
    )
    parser.add_argument(
        "--version", action="version", version=f"farkas {farkas.__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str, **options: Any) -> Any:
        child = commands.add_parser(
            name, help=text, description=text, parents=[shared], **options
        )
        child.set_defaults(run=run)
        return child

    # The demo reads its own options, --help included.
    command("demo", _demo, "fit, certify and re-check on real data", add_help=False)
    child = command("info", _info, "show versions, BLAS, threads, Numba and devices")
    child.add_argument("--json", action="store_true", help="print JSON")
    command("doctor", _doctor, "find problems of the installation and their remedies")
    command("warmup", _warmup, "compile every Numba kernel once")
    child = command("verify", _verify, "re-check a certificate against its data")
    child.add_argument("certificate", type=Path, help="what Certificate.save wrote")
    child.add_argument(
        "data",
        type=Path,
        nargs="+",
        help="npz files of what the fit received, in order: of arrays by numpy.savez, "
        "of a sparse matrix or graph by scipy.sparse.save_npz",
    )
    child = command("bench", _bench, "run benchmarks; needs a source checkout")
    child.add_argument("names", nargs="*", metavar="NAME", help="none: list them")
    return parser


def _demo(options: argparse.Namespace) -> int:
    from farkas.demo import main as demo

    return int(demo(options.rest) or 0)


def _info(options: argparse.Namespace) -> int:
    from farkas.environment import describe

    found = describe()
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, value in found.items():
        if isinstance(value, dict):
            value = [f"{key} {text or 'none'}" for key, text in value.items()]
        lines = value if isinstance(value, list) else [value]
        print(f"{name}:", *lines, sep="\n  " if len(lines) > 1 else " ")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from farkas.environment import problems

    found = problems()
    for problem in found:
        print(f"- {problem}")
    print(f"Problems found: {len(found)}." if found else "No problems found.")
    return 1 if found else 0


def _warmup(options: argparse.Namespace) -> int:
    import importlib
    import pkgutil

    from farkas.environment import PACKAGES
    from farkas.kernels import warmup

    for name in PACKAGES:  # importing a module of kernels registers its warm-up
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if module.name.rpartition(".")[2].startswith("_kernels"):
                importlib.import_module(module.name)
    for name, seconds in warmup().items():
        print(f"{name}: {seconds:.2f} s")
    return 0


def _verify(options: argparse.Namespace) -> int:
    certificate = farkas.Certificate.load(options.certificate)
    data = [array for path in options.data for array in _read_arrays(path)]
    outcome = farkas.verify(certificate, *data)
    print(outcome.message)
    print(f"claimed {outcome.claimed:.10g}, recomputed {outcome.recomputed:.10g}")
    if not outcome:
        return 1
    print(f"{certificate.lower:.10g} <= optimum <= {certificate.upper:.10g}")
    print(f"within its tolerance: {'yes' if certificate.satisfied else 'no'}")
    for assumption in certificate.assumptions:
        print(f"assuming {assumption}")
    return 0


def _read_arrays(path: Path) -> list[Any]:
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            if "format" in stored.files and "shape" in stored.files:
                from scipy.sparse import load_npz

                return [load_npz(path)]
            return [stored[name] for name in stored.files]
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not an npz file of plain arrays ({error}); write it with "
            "numpy.savez(path, X=X, y=y)."
        ) from error


def _bench(options: argparse.Namespace) -> int:
    folder = Path(farkas.__file__).resolve().parent.parent / "benchmarks"
    scripts = {path.stem[6:]: path for path in sorted(folder.glob("bench_*.py"))}
    if not scripts:
        raise FileNotFoundError(
            "benchmarks are not installed: run `python3 tasks.py bench NAME` in a "
            "source checkout."
        )
    if not options.names or not set(options.names) <= set(scripts):
        raise ValueError(f"NAME must be one of {', '.join(scripts)}.")
    runs = [subprocess.run([sys.executable, scripts[n]]) for n in options.names]
    return max(run.returncode for run in runs)
