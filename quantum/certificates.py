"""From a trained model to its certificate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

import farkas
from farkas.certificate import Certificate
from farkas.parallel import blas_threads_for
from quantum._measure_losses import Loss
from quantum.fantope import solve_fantope
from quantum.model import CircuitModel
from quantum.povm import is_small_enough, solve_povm

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]
Integers = NDArray[np.int64]

# The floor of a circuit's loss is proven to within this much of the best floor.
FLOOR_TOLERANCE = 1e-6
_FLOOR_ITERATIONS = 1000
# Largest dimension in which the floor is computed to the end.
MAX_DIMENSION = 1024


def best_measurement(
    states: Complex,
    y: Integers,
    s: Array,
    loss: Loss,
    *,
    rank: float | None,
    alpha: float = 0.0,
    tol: float,
    max_iter: int,
    max_time: float | None = None,
    start: Complex | None = None,
    callback: Callable[..., Any] | None = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Minimise the loss over all measurements of the states.

    Parameters
    ----------
    states : ndarray of shape (N, d)
        Encoded states.
    y, s : ndarray of shape (N,)
        Class indices and weights with sum 1.
    loss : Loss
        Of the class probabilities.
    rank : float or None
        Trace of the effect of class 1, for two classes; None for any.
    alpha : float, default=0.0
        Ridge.
    tol, max_iter, max_time, start, callback, verbose : object
        See :func:`quantum.fantope.solve_fantope`.

    Returns
    -------
    OptimizeResult
        With ``basis`` (d, k), or None when k = d.
    """
    N, d = states.shape
    basis = None
    if N < d and not alpha:
        basis, _ = np.linalg.qr(states.T)
        states = states @ basis.conj()
    options: dict[str, Any] = {
        "tol": tol, "max_time": max_time, "callback": callback, "verbose": verbose,
        "max_iter": max_iter,
    }  # fmt: skip
    with blas_threads_for(states):
        if loss.classes > 2:
            result = solve_povm(states, y, s, loss, alpha=alpha, **options)
        else:
            result = solve_fantope(
                states, y, s, loss, d=d, rank=rank, alpha=alpha, M0=start, **options
            )
    result.basis = basis
    return result


def certify_circuit(
    model: CircuitModel,
    X: Array,
    y: NDArray[Any],
    index: Integers,
    theta: Array,
    s: Array,
    *,
    level: str,
    tolerance: float,
    weighted: bool,
    scope: str = "readout",
    counts: NDArray[np.int64] | None = None,
) -> Certificate:
    """Mint the certificate of a trained circuit.

    Parameters
    ----------
    model : CircuitModel
        The circuit.
    X, y : ndarray
        Data as passed to the fit.
    index : ndarray of shape (N,)
        Class indices of `y`.
    theta : ndarray of shape (P,)
        Weights.
    s : ndarray of shape (N,)
        Sample weights with sum 1.
    level : {"full", "one_shot", "gradient"}
        "full" looks for the best floor, "one_shot" takes the one that the circuit's own
        outputs give, "gradient" none.
    tolerance : float
        Largest gradient entry at which the certificate is satisfied.
    weighted : bool
        Whether `s` is stored.
    scope : {"readout", "any"}, default="readout"
        Which circuits the floor covers.
    counts : ndarray of shape (N, K), optional
        Shots.

    Returns
    -------
    Certificate
    """
    if model.readout.members is not None:
        level = "gradient"  # of several observables no floor is known
    witness: dict[str, Any] = {
        "theta": theta,
        **model.readout.witness(),
        **_circuit_arrays(model),
    }
    parameters = {
        **model.encoding.parameters(),
        "split": model.split,
        "loss": model.loss.kind,
        "prob_floor": model.loss.floor,
        "slope": model.loss.slope,
        "depolarizing": float(model.readout.depolarizing),
        "scope": "none" if level == "gradient" else scope,
    }
    if model.reuploading or model.encoding.table is not None:
        parameters |= {"encoding": "circuit"}
    if not model.reuploading and model.encoding.table is not None:
        parameters |= {"split": len(model.encoding.table.gates)}
    if weighted:
        witness["sample_weight"] = s
    if counts is not None:
        witness["counts"] = counts
    if level == "full":
        witness |= floor_witness(model, X, index, theta, s, scope)
    return farkas.certify(
        "quantum.circuit/1", (X, y), witness, parameters, tolerance=tolerance
    )


def _circuit_arrays(model: CircuitModel) -> dict[str, Any]:
    table = model.table
    if not model.reuploading and model.encoding.table is not None:
        table = model.encoding.table + model.table
    arrays: dict[str, Any] = {"gates": table.gates, "angles": table.angles}
    if len(table.matrices):
        arrays["matrices"] = table.matrices
    if len(table.tape):
        arrays |= {"tape": table.tape, "starts": table.starts}
    return arrays


def floor_witness(
    model: CircuitModel, X: Array, index: Integers, theta: Array, s: Array, scope: str
) -> dict[str, Any]:
    """Return the tangent (and dual) of the best floor, or nothing if out of reach."""
    N, d = len(X), 2**model.n
    if min(N, d) > MAX_DIMENSION:
        return {}
    loss, K = model.loss, model.readout.n_classes
    rank = model.readout.rank if scope == "readout" else None
    rescale = None
    if loss.classes == 0:
        words = model.readout.paulis
        if words is None or len(words) > 1 or not words.any() or scope != "readout":
            return {}
        c = float(model.readout.coefficients[0])  # type: ignore[index]
        rescale, rank = (c, -2.0 * c), d / 2
    if K > 2 and not is_small_enough(K, min(N, d)):
        return {}
    found = best_measurement(
        model.encoded(X, theta), index, s,
        loss if rescale is None else _Affine(loss, *rescale),
        rank=rank, tol=FLOOR_TOLERANCE, max_iter=_FLOOR_ITERATIONS,
    )  # fmt: skip
    tangent = found.tangent
    if rescale is not None:
        tangent = rescale[0] + rescale[1] * tangent
    witness = {"tangent": tangent}
    if found.dual is not None:
        witness["dual"] = found.dual
        if found.basis is not None:
            witness["basis"] = found.basis
    return witness


class _Affine:
    """Loss of ``f = offset + slope p``, as a function of the probability p."""

    classes = 2

    def __init__(self, loss: Loss, offset: float, slope: float) -> None:
        self._loss, self._offset, self._slope = loss, offset, slope

    def values(self, P: Array, y: Integers) -> Array:
        return self._loss.values(self._offset + self._slope * P, y)

    def slopes(self, P: Array, y: Integers) -> Array:
        return self._slope * self._loss.slopes(self._offset + self._slope * P, y)
