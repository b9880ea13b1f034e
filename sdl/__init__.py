"""Supervised dictionary learning with covariates and a proof of global optimality."""

import importlib
from typing import Any

_EXPORTS = {
    "SDLClassifier": "estimators",
    "bcd": "block_descent",
    "dual_bound": "bounds",
    "encode": "encoding",
    "fantope_bound": "fantope",
    "lpgd": "lifted",
    "make_sdl_classification": "datasets",
    "sandwich_bound": "bounds",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"sdl.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sdl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
