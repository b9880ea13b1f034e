"""Two-layer ReLU networks trained to proven global optimality by convex programs."""

import importlib
from typing import Any

_EXPORTS = {
    "ConvexMLPClassifier": "estimators",
    "ConvexMLPRegressor": "estimators",
    "PatternSet": "patterns",
    "enumerate_patterns": "patterns",
    "project_cone": "cones",
    "recover_network": "network",
    "reference_cvxpy": "reference",
    "sample_patterns": "patterns",
    "solve_gated": "programs",
    "solve_relu": "programs",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"convexnn.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'convexnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
