"""What this installation consists of, and what is wrong with it.

:func:`describe` is printed by ``farkas info`` and stored with every benchmark result;
:func:`problems` is printed by ``farkas doctor``.
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import farkas

PACKAGES = ("convexnn", "dfo", "farkas", "graphs", "quantum", "sdl")
DEPENDENCIES = (
    "numpy scipy scikit-learn numba joblib cvxpy qiskit qiskit-machine-learning "
    "array-api-compat"
).split()
CUPY = ("cupy-cuda12x", "cupy-cuda13x")
THREADS = "OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS NUMBA_NUM_THREADS"


def describe() -> dict[str, Any]:
    """Return versions, BLAS, threads, Numba settings and devices, ready for JSON.

    Returns
    -------
    dict
        With the keys ``farkas, python, platform, cpus, packages, blas, threads, numba,
        devices``. A package that is not installed has the version None.

    Examples
    --------
    >>> from farkas.environment import describe
    >>> describe()["farkas"] == farkas.__version__
    True
    """
    import numba
    import scipy.linalg  # noqa: F401  (loads SciPy's BLAS, so that it is listed)
    from threadpoolctl import threadpool_info

    return {
        "farkas": farkas.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in [*DEPENDENCIES, *CUPY]},
        "blas": [
            f"{pool['internal_api']} {pool['version']}, threads: {pool['num_threads']}"
            for pool in threadpool_info()
            if pool["user_api"] == "blas"
        ],
        "threads": {name: os.environ.get(name) for name in THREADS.split()},
        "numba": {
            "layer": numba.config.THREADING_LAYER,
            "threads": numba.config.NUMBA_NUM_THREADS,
            "cache": cache_folder(),
        },
        "devices": _devices(),
    }


def problems() -> list[str]:
    """Return one sentence per problem of the installation, each with its remedy.

    Returns
    -------
    list of str
        Empty when all is well.
    """
    import numba

    found = []
    if sys.version_info < (3, 11):  # noqa: UP036  (pip can be told to ignore this)
        found.append(
            f"Python is {platform.python_version()}: install Python 3.11 or newer."
        )
    found += _foreign_packages()
    found += _unfit_versions(_requirements())
    if cache_folder() is None and not numba.config.DISABLE_JIT:
        found.append(
            "Numba can write to no cache folder, so every process compiles anew: set "
            "NUMBA_CACHE_DIR to a folder that you may write to."
        )
    return found


def cache_folder() -> str | None:
    """Return where Numba keeps compiled kernels; None if it finds no such place."""
    from farkas.kernels import kernel

    def probe(x: float) -> float:
        return x

    # Numba chooses the folder when the decorator runs; nothing is compiled here.
    stats = getattr(kernel(probe), "stats", None)
    return getattr(stats, "cache_path", None)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    names = [f"cpu: {platform.processor() or platform.machine()}"]
    try:
        import cupy

        runtime = cupy.cuda.runtime
        devices = map(runtime.getDeviceProperties, range(runtime.getDeviceCount()))
        return [*names, *(f"cuda: {device['name'].decode()}" for device in devices)]
    except ImportError:
        return names
    except Exception as error:  # whatever a driver that does not fit may raise
        return [*names, f"cuda: none, {error}"]


def _foreign_packages() -> list[str]:
    """Check that all six packages are ours, although others once used their names."""
    home = Path(farkas.__file__).resolve().parent.parent
    claims = importlib.metadata.packages_distributions()
    found = []
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec and spec.origin else "nowhere"
        others = sorted({*claims.get(name, [])} - {"farkas"})
        if others:
            found.append(
                f"The package {name} belongs to another distribution too: run "
                f"`pip uninstall {' '.join(others)}`, then install farkas again."
            )
        elif Path(origin).resolve().parent != home / name:
            found.append(
                f"The package {name} comes from {origin} instead of {home}: move that "
                "file away, or install farkas again if there is none."
            )
    return found


def _requirements() -> list[str]:
    try:
        lines = importlib.metadata.requires("farkas") or []
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        lines = DEPENDENCIES
    return [line for line in lines if "extra ==" not in line]


def _unfit_versions(requirements: list[str]) -> list[str]:
    """Compare what is installed with lines such as ``qiskit<3,>=2.0``."""
    found = []
    for line in requirements:
        name = re.match(r"[\w.-]+", line)
        assert name, line
        have = _version(name[0])
        limits = re.findall(r"(>=|<)\s*([\d.]+)", line)
        if have is None or not all(
            (_numbers(have) >= _numbers(limit)) == (sign == ">=")
            for sign, limit in limits
        ):
            found.append(
                f"{name[0]} is {have or 'missing'}: run `pip install '{line}'`."
            )
    return found


def _numbers(version: str) -> list[int]:
    """Return the first three numbers of a version; missing ones count as 0."""
    return [*map(int, re.findall(r"\d+", version)), 0, 0, 0][:3]
