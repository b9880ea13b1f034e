"""Derivative-free optimization: minimise from values alone, with a certificate."""

import importlib
from typing import Any

_EXPORTS = {
    "CBO": "cbo.dynamics.swarm",
    "CBOClassifier": "estimators",
    "CBORegressor": "estimators",
    "CounterfactualExplainer": "attack.explainer",
    "NetworkOptimizer": "attack.estimators",
    "as_network": "attack.network",
    "cbo_method": "cbo.scipy_method",
    "cbo_update": "cbo.dynamics.update",
    "consensus_hopping": "cbo.relatives.hopping",
    "consensus_point": "cbo.dynamics.consensus",
    "covering_radius": "direct.report",
    "directional_attack": "attack.directional",
    "gd_relation": "cbo.relatives.hopping",
    "minimize_cbo": "cbo.minimize",
    "minimize_cdsm": "direct.minimize",
    "minimize_polarized_cbo": "cbo.relatives.polarized",
    "optimize_through_network": "attack.through",
    "sample_cbs": "cbo.relatives.sampling",
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
