"""The best measurement of encoded data, over every circuit there could be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from sklearn.utils.multiclass import check_classification_targets

import farkas
from farkas.base import check_choice, check_number
from quantum._measure_losses import LOSSES, make_loss
from quantum.certificates import best_measurement

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

# How far the norm of a given state may be from 1.
_NORM = 1e-9


def optimal_measurement(
    states: ArrayLike,
    y: ArrayLike,
    *,
    loss: str = "cross_entropy",
    rank: float | str | None = "half",
    alpha: float = 0.0,
    sample_weight: ArrayLike | None = None,
    prob_floor: float = 1e-9,
    tol: float = 1e-6,
    max_iter: int = 2000,
    max_time: float | None = None,
    callback: Any = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Find the measurement with the smallest loss, and prove that there is no better.

    Parameters
    ----------
    states : array-like of shape (N, d), complex
        One state a row, as :func:`quantum.encode` gives them.
    y : array-like of shape (N,)
        Labels.
    loss : {"cross_entropy", "squared"}, default="cross_entropy"
        Loss of the class probabilities.
    rank : float, "half" or None, default="half"
        Trace of the effect of the second class: d/2 is that of parity and of every
        readout of one qubit. None allows any, as ancillas do. Not used for more than
        two classes.
    alpha : float, default=0.0
        Weight of the ridge ``|M - r/d I|_F^2``, or ``sum_c |M_c - I/K|_F^2``.
    sample_weight : array-like of shape (N,), optional
        Weights in the mean loss.
    prob_floor : float, default=1e-9
        See :class:`quantum.VariationalQuantumClassifier`.
    tol : float, default=1e-6
        Gap at which to stop.
    max_iter : int, default=2000
        Largest number of iterations.
    max_time : float, optional
        Seconds.
    callback : callable, optional
        Called with the keyword ``intermediate_result``; may raise StopIteration.
    verbose : {0, 1, 2}, default=0
        Print the progress.

    Returns
    -------
    OptimizeResult
        ``x`` is the effect of the second class (d, d), in the basis ``basis`` (d, k)
        of the states' span when N < d; of K > 2 classes all effects (K, k, k).
        ``lower_bound`` is the floor and ``certificate`` its proof, which
        ``farkas.verify(result, states.view(float), y)`` redoes.

    Raises
    ------
    ValueError
        If a parameter or the states are out of range.

    References
    ----------
    Overton and Womersley, "On the sum of the largest eigenvalues of a symmetric
    matrix", SIAM J. Matrix Anal. Appl. 13, 1992.

    Examples
    --------
    >>> import farkas
    >>> from quantum import encode, optimal_measurement
    >>> states = encode("angle", [[0.0], [3.141592653589793]])
    >>> result = optimal_measurement(states, [0, 1], loss="squared")
    >>> round(result.fun, 6), round(result.lower_bound, 6)
    (0.0, 0.0)
    >>> bool(farkas.verify(result, states.view(float), [0, 1]))
    True
    """
    check_choice("loss", loss, LOSSES)
    check_number("tol", tol, low=0.0)
    check_number("alpha", alpha, low=0.0)
    check_number("max_iter", max_iter, low=1, integer=True)
    if max_time is not None:
        check_number("max_time", max_time, low=0.0)
    states = np.ascontiguousarray(states, dtype=complex)
    if states.ndim != 2 or not np.isfinite(states).all():
        raise ValueError("states must be a finite array of shape (N, d).")
    if not (np.abs(np.linalg.norm(states, axis=1) - 1.0) <= _NORM).all():
        raise ValueError("states must have norm 1; divide each row by its norm.")
    d = states.shape[1]
    if d & (d - 1) or d < 2:
        raise ValueError(f"states have dimension d={d}, which is no power of 2.")
    labels = np.asarray(y)
    if labels.shape != (len(states),):
        raise ValueError(f"y must have shape ({len(states)},), got {labels.shape}.")
    check_classification_targets(labels)
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y holds {len(classes)} class(es); at least 2 are needed.")
    s = np.ones(len(index))
    if sample_weight is not None:
        s = np.array(sample_weight, dtype=np.float64)
        if s.shape != index.shape or not (s >= 0).all() or not s.sum() > 0:
            raise ValueError(f"sample_weight must hold {len(s)} numbers >= 0.")
    s = s / s.sum()
    r = check_rank(rank, d, len(classes))
    result = best_measurement(
        states, index, s, make_loss(loss, len(classes), prob_floor, 1.0), rank=r,
        alpha=alpha, tol=tol, max_iter=max_iter, max_time=max_time, callback=callback,
        verbose=verbose,
    )  # fmt: skip
    parameters = {
        "encoding": "states", "n_qubits": d.bit_length() - 1, "loss": loss,
        "prob_floor": prob_floor, "rank": 0.0 if r is None else r, "alpha": alpha,
    }  # fmt: skip
    witness = measurement_witness(result)
    if sample_weight is not None:
        witness["sample_weight"] = s
    result.certificate = farkas.certify(
        "quantum.measurement/1", (states.view(np.float64), labels), witness, parameters,
        tolerance=tol,
    )  # fmt: skip
    return result


def check_rank(rank: Any, d: int, n_classes: int) -> float | None:
    """Return the trace of the effect of class 1, or None.

    Raises
    ------
    ValueError
        If it does not lie strictly between 0 and d.
    """
    if rank is None or n_classes > 2:
        return None
    if rank == "half":
        return d / 2
    if isinstance(rank, str):
        raise ValueError(f"rank={rank!r} must be a number, 'half' or None.")
    check_number("rank", rank, low=0.0, high=float(d), inclusive="neither")
    return float(rank)


def measurement_witness(result: OptimizeResult) -> dict[str, Any]:
    """Return what the certificate of a measurement needs."""
    witness = {"measurement": result.x, "tangent": result.tangent}
    if result.dual is not None:
        witness["dual"] = result.dual
    if result.basis is not None:
        witness["basis"] = result.basis
    return witness


def extended_probabilities(
    states: Complex, M: Complex, basis: Complex | None, rank: float | None
) -> Array:
    """Return class probabilities (N, K) of any states under a measurement.

    Outside the span of the training states the measurement is a multiple of the
    identity, the one that completes its trace.

    Parameters
    ----------
    states : ndarray of shape (N, d)
        States.
    M : ndarray of shape (k, k) or (K, k, k)
        Effect of class 1, or all effects.
    basis : ndarray of shape (d, k) or None
        Basis in which `M` is written.
    rank : float or None
        Trace of the effect of class 1 in the whole space.

    Returns
    -------
    ndarray of shape (N, K)
    """
    d = states.shape[1]
    inside = states if basis is None else states @ basis.conj()
    k = inside.shape[1]
    rest = np.maximum(1.0 - np.sum(np.abs(inside) ** 2, axis=1), 0.0)
    stack = M[None] if M.ndim == 2 else M
    P = np.stack(
        [np.einsum("ia,ia->i", inside.conj(), inside @ E.T).real for E in stack], axis=1
    )
    if M.ndim == 3:
        P = P + rest[:, None] / len(M)
    elif k < d:
        target = d / 2 if rank is None else rank
        share = np.clip((target - np.trace(M).real) / (d - k), 0.0, 1.0)
        P = P + rest[:, None] * share
    P = np.clip(P, 0.0, 1.0)
    return np.column_stack([1.0 - P[:, 0], P[:, 0]]) if M.ndim == 2 else (
        P / P.sum(axis=1, keepdims=True)
    )  # fmt: skip


def rounded_measurement(
    M: Complex, basis: Complex | None, rank: int
) -> tuple[Complex, Complex]:
    """Round an effect to the nearest projector of a rank.

    Parameters
    ----------
    M : ndarray of shape (k, k)
        Effect.
    basis : ndarray of shape (d, k) or None
        Basis in which it is written.
    rank : int
        Rank of the projector.

    Returns
    -------
    W : ndarray of shape (d, d)
        Unitary whose columns are eigenvectors, those of the projector last.
    projector : ndarray of shape (d, d)
    """
    if basis is None:
        full = M
    else:
        d, k = basis.shape
        share = (rank - np.trace(M).real) / (d - k)
        outside = np.eye(d) - basis @ basis.conj().T
        full = basis @ M @ basis.conj().T + share * outside
    _, W = np.linalg.eigh(0.5 * (full + full.conj().T))
    top = W[:, len(W) - rank :]
    return W, top @ top.conj().T
