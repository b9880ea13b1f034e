"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
from pathlib import Path

import numba
import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("convexnn", "dfo", "farkas", "graphs", "quantum", "sdl")
    for path in ROOT.glob(f"{package}/**/*.py")
    if path.stem != "__main__"
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # whatever an example writes stays out of the project
    if name == "farkas.kernels" and numba.config.DISABLE_JIT:
        pytest.skip("its kernel returns a Python float only when compiled")
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
