"""Two-layer ReLU networks trained to proven global optimality by convex programs."""

import importlib
from typing import Any

_EXPORTS = {
    "ConvexMLPClassifier": "estimators",
    "ConvexMLPRegressor": "estimators",
    "PatternSet": "patterns",
    "SCPClassifier": "scp_estimators",
    "SCPRegressor": "scp_estimators",
    "WorkerLostError": "consensus",
    "certified_margin": "attacks",
    "certified_score": "attacks",
    "certify_mlp": "certify",
    "certify_network": "certify",
    "convexnn_path": "path",
    "enumerate_patterns": "patterns",
    "fgsm": "attacks",
    "global_bound": "dual_bound",
    "pattern_bound": "scenario",
    "pattern_radius": "robust_patterns",
    "pgd": "attacks",
    "project_cone": "cones",
    "project_robust_cone": "robust_cones",
    "recover_network": "network",
    "reference_cvxpy": "reference",
    "reference_robust": "robust_reference",
    "robust_score": "attacks",
    "sample_patterns": "patterns",
    "sample_robust_patterns": "robust_patterns",
    "scenario_violation": "scenario",
    "solve_consensus": "consensus",
    "solve_gated": "programs",
    "solve_relu": "programs",
    "solve_robust": "robust",
    "solve_scp": "scp",
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
