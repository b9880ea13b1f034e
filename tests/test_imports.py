"""Arrows point down only, and importing a package is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
METHODS = ("convexnn", "dfo", "graphs", "quantum", "sdl")
PACKAGES = ("farkas", *METHODS)
FILES = sorted(
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in ROOT.glob(f"{package}/**/*.py")
)
# Loaded inside the function that needs them, never by an import of ours.
HEAVY = (
    "cvxpy",
    "cupy",
    "dask",
    "distributed",
    "jax",
    "matplotlib",
    "pandas",
    "qiskit",
    "qiskit_machine_learning",
    "ray",
    "torch",
)
# The only files of farkas that may name a method package, inside a function.
COMMAND_LINE = ("farkas/cli.py", "farkas/demo.py")


def imports(tree, *, package=""):
    """Yield (module, inside a function?) for every import statement."""

    def walk(node, inside):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    base = ".".join(filter(None, [package, base]))
                yield base, inside
                yield from ((f"{base}.{alias.name}", inside) for alias in child.names)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from walk(child, inside or function)

    return list(walk(tree, False))


def violations(path, text):
    """Return what a file imports against the rules of the house."""
    package = ".".join(Path(path).parent.parts)
    own = package.partition(".")[0]
    found = []
    for module, inside in imports(ast.parse(text), package=package):
        top, _, rest = module.partition(".")
        if top in METHODS and top != own:
            if own != "farkas" or not inside or str(path) not in COMMAND_LINE:
                found.append(f"{module}: a method package is nobody's dependency")
        if top in ("torch", "jax"):
            found.append(f"{module}: not a dependency of this project")
        if top in HEAVY and not inside:
            found.append(f"{module}: import it inside the function that needs it")
        if module.startswith("sklearn.callback") and str(path) != "farkas/base.py":
            found.append(f"{module}: experimental, only farkas/base.py touches it")
        if top == "sklearn" and any(part.startswith("_") for part in rest.split(".")):
            found.append(f"{module}: private to scikit-learn")
        if module.endswith(("njit", "numba.jit")) and str(path) != "farkas/kernels.py":
            found.append(f"{module}: use farkas.kernel")
        name = Path(path).name
        if name.startswith(("_measure", "_kernels")):
            kind = "_kernels.py" if name.startswith("_kernels") else "_measure.py"
            found += trust_base_violations(module, own, kind)
    return found


def trust_base_violations(module, own, name):
    """Measures and kernels stand below the solvers and know none of them."""
    allowed = {
        "_measure.py": ("numpy", "scipy", "farkas.certificate", "farkas.verification"),
        "_kernels.py": ("numpy", "numba", "farkas.kernels", "farkas.kernel"),
    }[name]
    top = module.partition(".")[0]
    below = any(module == ok or module.startswith(f"{ok}.") for ok in allowed)
    part = module.startswith(f"{own}._measure_")  # a long measure in several files
    if top in sys.stdlib_module_names or below or part or module == "farkas":
        return []
    return [f"{module}: {name} may import only {', '.join(allowed)}"]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_follow_the_rules(path):
    assert not violations(path.as_posix(), (ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sdl/fantope.py", "import convexnn"),
        ("sdl/fantope.py", "def f():\n    from graphs.sweep import sweep_cut"),
        ("farkas/base.py", "def f():\n    import convexnn"),
        ("farkas/cli.py", "from convexnn import solve_relu"),
        ("dfo/direct/poll.py", "import matplotlib.pyplot as plt"),
        ("quantum/simulator.py", "from qiskit import QuantumCircuit"),
        ("sdl/fantope.py", "def f():\n    import torch"),
        ("sdl/estimators.py", "from sklearn.callback import ProgressBar"),
        ("sdl/estimators.py", "from sklearn.utils._param_validation import Interval"),
        ("sdl/estimators.py", "from sklearn.linear_model import _base"),
        ("sdl/_kernels.py", "from numba import njit"),
        ("sdl/_measure.py", "from sdl.fantope import fantope_bound"),
        ("sdl/_measure.py", "from . import fantope"),
        ("sdl/_kernels.py", "from .fantope import fantope_bound"),
        ("dfo/direct/_measure.py", "from dfo.direct.poll import poll"),
        ("graphs/_measure.py", "from farkas.kernels import kernel"),
        ("graphs/_measure.py", "import sklearn"),
    ],
)
def test_the_rules_notice(path, text):
    assert violations(path, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sdl/fantope.py", "from sdl._kernels import step\nimport farkas"),
        ("farkas/demo.py", "def f():\n    from convexnn import ConvexMLPClassifier"),
        ("dfo/direct/poll.py", "def f():\n    import matplotlib.pyplot as plt"),
        ("farkas/base.py", "from sklearn.callback import ProgressBar"),
        ("sdl/_kernels.py", "import math\nimport numba\nfrom farkas import kernel"),
        ("sdl/_measure.py", "import numpy as np\nfrom scipy.linalg import eigh"),
        ("sdl/_measure.py", "from farkas.verification import problem"),
    ],
)
def test_the_rules_allow(path, text):
    assert not violations(path, text)


# What a user of any numerical package has loaded already, and what ours may add to it.
BASE = "sklearn.base, numba, scipy.optimize, joblib"
BUDGET = 0.35
PROBE = f"""
import sys, time
start = time.perf_counter()
import {BASE}
middle = time.perf_counter()
before = set(sys.modules)  # scikit-learn itself loads pandas where it is installed
from {{package}} import *
print((time.perf_counter() - middle) / (middle - start))
print(*[name for name in {HEAVY} if name in sys.modules and name not in before])
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_every_public_name_is_cheap_and_loads_nothing_heavy(package):
    shares = []
    for _ in range(3):  # the best of three, since other processes can only slow it down
        run = subprocess.run(
            [sys.executable, "-c", PROBE.format(package=package)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        share, loaded = run.stdout.splitlines()
        assert not loaded, f"{package} loads {loaded}"
        shares.append(float(share))
        if shares[-1] <= BUDGET:
            return
    pytest.fail(
        f"{package} adds {min(shares):.0%} to the import time, over {BUDGET:.0%}"
    )
