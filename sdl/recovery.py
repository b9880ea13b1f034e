"""From the factor space of the lifted problem back to W, H, beta and Gamma."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd

from sdl._measure_data import Problem

Array = NDArray[np.float64]

# Singular values below this share of the largest reconstruct nothing.
NEGLIGIBLE = 1e-12


def recover(task: Problem, Q: Array, beta: Array, Gamma: Array) -> dict[str, Array]:
    """Return the factors of a span, atoms in order of what they reconstruct.

    Parameters
    ----------
    task : Problem
        The problem.
    Q : ndarray of shape (p, k) or (n, k)
        Orthonormal basis: of the features (filter) or of the samples (feature).
    beta : ndarray of shape (k, K)
        ``A = Q beta``; in the feature model A has rows ``sqrt(v_i) a_i``.
    Gamma : ndarray of shape (q, K)
        Coefficients of the covariates.

    Returns
    -------
    dict
        ``W`` (p, r), ``H`` (n, r), ``beta`` (r, K), ``Gamma``; for k < r filled up with
        orthonormal atoms that nothing uses. The largest entry of an atom is positive.
    """
    parts = _filter if task.model == "filter" else _feature
    W, H, beta = parts(task, Q, beta)
    missing = task.rank - W.shape[1]
    if missing > 0:
        W = np.hstack([W, _complement(W, missing)])
        H = np.hstack([H, np.zeros((len(H), missing))])
        beta = np.vstack([beta, np.zeros((missing, beta.shape[1]))])
    largest = np.take_along_axis(W, np.abs(W).argmax(axis=0)[None], axis=0)[0]
    sign = np.where(largest < 0, -1.0, 1.0)
    return {
        "W": np.ascontiguousarray(W * sign),
        "H": np.ascontiguousarray(H * sign),
        "beta": beta * sign[:, None],
        "Gamma": Gamma,
    }


def _filter(task: Problem, Q: Array, beta: Array) -> tuple[Array, Array, Array]:
    scores = np.asarray(task.X @ Q)
    _, T = np.linalg.eigh(scores.T @ (task.v[:, None] * scores))
    T = T[:, ::-1]
    return Q @ T, scores @ T, T.T @ beta


def _feature(task: Problem, Q: Array, beta: Array) -> tuple[Array, Array, Array]:
    B = np.asarray(task.weighted_X.T @ Q)
    W, s, Tt = svd(B, full_matrices=len(B) < Q.shape[1], check_finite=False)
    r = Q.shape[1]
    if len(B) < r:  # more atoms than features: the other codes only serve the labels
        W = np.hstack([W, np.zeros((len(W), r - len(B)))])
        s = np.concatenate([s, np.zeros(r - len(s))])
    useful = s > NEGLIGIBLE * max(float(s[0]), 1e-300)
    scale = np.where(useful, s, 1.0)  # useless directions keep codes of norm 1
    H = (Q @ Tt.T) * scale / np.sqrt(task.v)[:, None]
    return np.where(useful, W, 0.0), H, (Tt @ beta) / scale[:, None]


def _complement(W: Array, missing: int) -> Array:
    """Return orthonormal columns that are orthogonal to those of W (p, k)."""
    p, k = W.shape
    start = np.hstack([W, np.eye(p, k + missing)])
    return np.linalg.qr(start)[0][:, k : k + missing]
