"""Examples in docstrings print what they say; public docstrings are complete."""

import doctest
import enum
import importlib
import inspect
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


# What numpydoc's validation may say: matters of layout (GL); sections that only some
# objects need (SA, ES, EX, YD); "self : object", as scikit-learn has it (RT02); a value
# that name and shape describe (RT03); nouns taken for verbs (SS05).
LEFT_OUT = "GL01 GL02 GL03 SA01 SA04 ES01 EX01 YD01 RT02 RT03 SS05".split()


def public_names():
    for package in ("convexnn", "dfo", "farkas", "graphs", "quantum", "sdl"):
        for name in importlib.import_module(package).__all__:
            thing = getattr(importlib.import_module(package), name)
            if inspect.ismodule(thing):
                continue
            # The parameters of an enumeration are Python's own.
            if not (inspect.isclass(thing) and issubclass(thing, enum.Enum)):
                yield f"{package}.{name}"
            for member, value in vars(thing).items() if inspect.isclass(thing) else ():
                method = isinstance(value, classmethod | staticmethod | property)
                if not member.startswith("_") and (method or inspect.isfunction(value)):
                    yield f"{package}.{name}.{member}"


@pytest.mark.parametrize("name", sorted(public_names()))
def test_public_docstrings_are_complete(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    errors = [error for error in validate(name)["errors"] if error[0] not in LEFT_OUT]
    assert not errors
