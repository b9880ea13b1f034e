"""Optimization whose every answer carries a proof that anyone can re-check.

This package is the ground that the method packages stand on: the certificate and
its verification, solver statuses, histories, checkpoints, the array backend and
the Numba and joblib conventions.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "Certificate": "certificate",
    "CertificateError": "certificate",
    "Guarantee": "certificate",
    "Measurement": "verification",
    "Verification": "verification",
    "certify": "verification",
    "verify": "verification",
    "certify_infeasible": "reference",
    "certify_lasso": "reference",
    "Status": "status",
    "Recorder": "history",
    "Checkpoint": "checkpoint",
    "kernel": "kernels",
    "pmap": "parallel",
    "plot_certificate": "plotting",
    "plot_history": "plotting",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"farkas.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'farkas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
