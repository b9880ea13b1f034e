"""Variational quantum classifiers that know how good any circuit could be."""

import importlib
from typing import Any

_EXPORTS = {
    "OptimalMeasurementClassifier": "optimal_estimator",
    "VariationalQuantumClassifier": "estimators",
    "aqgd": "optimizers.aqgd",
    "cobyla": "optimizers.cobyla",
    "effective_rank": "fidelity",
    "encode": "encodings",
    "expressibility": "diagnostics",
    "fidelity_kernel_matrix": "fidelity",
    "from_qiskit_vqc": "interop",
    "gradient_variance": "diagnostics",
    "loss_slice": "diagnostics",
    "loss_surface": "diagnostics",
    "optimizer_comparison": "comparison",
    "plot_bloch": "plots",
    "plot_gradient_variance": "plots",
    "plot_kernel": "plots",
    "plot_loss": "plots",
    "plot_race": "plots",
    "qng": "optimizers.qng",
    "qnspsa": "optimizers.qnspsa",
    "quantum_kernel": "fidelity",
    "sequential": "optimizers.sequential",
    "spsa": "optimizers.spsa",
    "to_qiskit_vqc": "interop",
    "to_sampler_qnn": "interop",
    "optimal_measurement": "optimal",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"quantum.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'quantum' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
