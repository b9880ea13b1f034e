"""Derivative-free optimization: minimise from values alone, with a certificate."""

import importlib
from typing import Any

_EXPORTS = {
    "CBO": "cbo.swarm",
    "CBOClassifier": "estimators",
    "CBORegressor": "estimators",
    "cbo_method": "cbo.minimize",
    "cbo_update": "cbo.update",
    "consensus_point": "cbo.consensus",
    "consensus_hopping": "cbo.hopping",
    "gd_relation": "cbo.hopping",
    "minimize_cbo": "cbo.minimize",
    "minimize_polarized_cbo": "cbo.polarized",
    "sample_cbs": "cbo.sampling",
    "stationarity_bound": "poll",
}
__all__ = sorted([*_EXPORTS, "testfunctions"])


def __getattr__(name: str) -> Any:
    if name == "testfunctions":
        return importlib.import_module("dfo.testfunctions")
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"dfo.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'dfo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
