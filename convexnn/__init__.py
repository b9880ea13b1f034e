"""Two-layer ReLU networks trained to proven global optimality by convex programs."""

import importlib
from typing import Any

_EXPORTS = {
    "ConvexMLPClassifier": "estimators",
    "ConvexMLPRegressor": "estimators",
    "PatternSet": "patterns",
    "SCPClassifier": "sampled.estimators",
    "SCPRegressor": "sampled.estimators",
    "WorkerLostError": "scale.consensus",
    "certified_margin": "robust.attacks",
    "certified_score": "robust.attacks",
    "certify_mlp": "relaxation.certify",
    "certify_network": "relaxation.certify",
    "convexnn_path": "path",
    "enumerate_patterns": "patterns",
    "fgsm": "robust.attacks",
    "global_bound": "relaxation.dual_bound",
    "pattern_bound": "sampled.scenario",
    "pattern_radius": "robust.patterns",
    "pgd": "robust.attacks",
    "project_cone": "cones",
    "project_robust_cone": "robust.cones",
    "recover_network": "network",
    "reference_cvxpy": "reference",
    "reference_robust": "robust.reference",
    "robust_score": "robust.attacks",
    "sample_patterns": "patterns",
    "sample_robust_patterns": "robust.patterns",
    "scenario_violation": "sampled.scenario",
    "solve_consensus": "scale.consensus",
    "solve_gated": "programs",
    "solve_relu": "programs",
    "solve_robust": "robust.programs",
    "solve_scp": "sampled.scp",
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
