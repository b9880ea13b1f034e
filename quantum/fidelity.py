"""Quantum kernels: the fidelity of encoded states."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farkas.base import check_number
from farkas.parallel import RandomSource, seed_sequence
from quantum.encodings import encode

Array = NDArray[np.float64]


def fidelity_kernel_matrix(
    feature_map: Any,
    X: ArrayLike,
    Y: ArrayLike | None = None,
    *,
    reps: int = 2,
    entanglement: str = "full",
    shots: int | None = None,
    random_state: RandomSource = None,
) -> Array:
    """Return ``K_ij = |<psi(x_i)|psi(y_j)>|^2``.

    Parameters
    ----------
    feature_map : str or QuantumCircuit
        See :func:`quantum.encode`.
    X : array-like of shape (N, m)
        Data.
    Y : array-like of shape (M, m), optional
        More data; default X.
    reps : int, default=2
        Repetitions of the ZZ and Z maps.
    entanglement : str, default="full"
        Pairs that the ZZ map couples.
    shots : int, optional
        Estimate each entry from so many shots. Without Y the matrix is made symmetric
        with unit diagonal, and negative eigenvalues are clipped.
    random_state : int, RandomState, Generator, SeedSequence or None
        Determines the shots.

    Returns
    -------
    ndarray of shape (N, M)

    Raises
    ------
    ValueError
        If the feature map does not fit the data, or Y has other features than X.

    Examples
    --------
    >>> from quantum import fidelity_kernel_matrix
    >>> fidelity_kernel_matrix("angle", [[0.0], [1.5707963267948966]]).round(6).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    A = encode(feature_map, X, reps=reps, entanglement=entanglement)
    B = A
    if Y is not None:
        B = encode(feature_map, Y, reps=reps, entanglement=entanglement)
        if np.shape(X)[1] != np.shape(Y)[1]:
            raise ValueError(
                f"X has {np.shape(X)[1]} features, but Y has {np.shape(Y)[1]}; a "
                "kernel compares rows of equal length."
            )
    overlaps = A.conj() @ B.T
    K = np.minimum(overlaps.real**2 + overlaps.imag**2, 1.0)
    if Y is None:
        K = 0.5 * (K + K.T)
        np.fill_diagonal(K, 1.0)
    if shots is None:
        return K
    check_number("shots", shots, low=1, integer=True)
    rng = np.random.default_rng(seed_sequence(random_state))
    estimate = rng.binomial(shots, K) / shots
    if Y is not None:
        return estimate
    upper = np.triu(estimate, 1)
    return _nearest_kernel(upper + upper.T + np.eye(len(K)))


def _nearest_kernel(K: Array) -> Array:
    v, V = np.linalg.eigh(K)
    clipped = (V * np.maximum(v, 0.0)) @ V.T
    scale = 1.0 / np.sqrt(np.diagonal(clipped))
    return clipped * np.outer(scale, scale)


class _Kernel:
    """Callable kernel that can be pickled; see :func:`quantum_kernel`."""

    def __init__(self, feature_map: Any, reps: int, entanglement: str) -> None:
        self.feature_map, self.reps, self.entanglement = feature_map, reps, entanglement

    def __call__(self, X: ArrayLike, Y: ArrayLike | None = None) -> Array:
        return fidelity_kernel_matrix(
            self.feature_map, X, Y, reps=self.reps, entanglement=self.entanglement
        )


def quantum_kernel(
    feature_map: Any = "zz", *, reps: int = 2, entanglement: str = "full"
) -> Any:
    """Return a kernel for ``SVC(kernel=...)``.

    Parameters
    ----------
    feature_map : str or QuantumCircuit, default="zz"
        See :func:`quantum.encode`.
    reps : int, default=2
        Repetitions of the ZZ and Z maps.
    entanglement : str, default="full"
        Pairs that the ZZ map couples.

    Returns
    -------
    callable
        ``kernel(X, Y)`` gives the fidelities (N, M).

    Examples
    --------
    >>> from sklearn.svm import SVC
    >>> from quantum import quantum_kernel
    >>> X, y = [[0.0, 0.1], [0.2, 1.0], [1.0, 0.0], [1.2, 1.1]], [0, 1, 1, 0]
    >>> SVC(kernel=quantum_kernel("zz"), C=100).fit(X, y).predict(X).tolist()
    [0, 1, 1, 0]
    """
    return _Kernel(feature_map, reps, entanglement)


def effective_rank(K: ArrayLike) -> float:
    """Return the effective rank of a kernel matrix.

    The exponential of the entropy of its normalised eigenvalues: 1 when all samples
    look alike, N when all are orthogonal.

    Parameters
    ----------
    K : array-like of shape (N, N)
        Symmetric, positive semidefinite.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> round(effective_rank(np.eye(3)), 6), round(effective_rank(np.ones((3, 3))), 6)
    (3.0, 1.0)
    """
    v = np.maximum(np.linalg.eigvalsh(np.asarray(K, dtype=float)), 0.0)
    if not v.sum() > 0:
        raise ValueError("K is zero; it must be positive semidefinite and not zero.")
    p = v / v.sum()
    p = p[p > 0]
    return float(np.exp(-np.sum(p * np.log(p))))
