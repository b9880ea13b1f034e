"""From the blocks of the convex program to a two-layer network, and its predictions."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn.patterns import pattern_of

Array = NDArray[np.float64]

# Blocks below this fraction of the largest are rounding, not units.
PRUNE_TOL = 1e-10


def recover_network(
    V: ArrayLike,
    W: ArrayLike,
    X: ArrayLike | None = None,
    *,
    prune_tol: float = PRUNE_TOL,
) -> tuple[Array, Array]:
    """Return the network ``f(x) = sum_j a_j (x'u_j)_+`` that blocks stand for.

    A block v gives the unit ``u = v / sqrt(|v|)``, ``a = sqrt(|v|)``; a block w the
    same with ``a < 0``. Inside their cones the network's objective equals the
    program's.

    Parameters
    ----------
    V, W : array-like of shape (d, P)
        Positive and negative blocks.
    X : array-like of shape (n, d), optional
        Training data. Units of one sign with one pattern on it are then merged: the
        function on the data stays, the penalty can only fall.
    prune_tol : float, default=1e-10
        Blocks of relative norm up to this are dropped.

    Returns
    -------
    U : ndarray of shape (d, m)
        Hidden weights.
    a : ndarray of shape (m,)
        Output weights.

    Raises
    ------
    ValueError
        If shapes disagree.

    Examples
    --------
    >>> U, a = recover_network([[4.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 9.0]])
    >>> U, a
    (array([[2., 0.],
           [0., 3.]]), array([ 2., -3.]))
    """
    V, W = np.asarray(V, dtype=np.float64), np.asarray(W, dtype=np.float64)
    if V.ndim != 2 or V.shape != W.shape:
        raise ValueError(f"V and W must be (d, P) alike, got {V.shape}, {W.shape}.")
    blocks = np.concatenate([V, W], axis=1)
    signs = np.repeat([1.0, -1.0], V.shape[1])
    norms = np.linalg.norm(blocks, axis=0)
    kept = norms > prune_tol * norms.max(initial=0.0)
    blocks, signs = blocks[:, kept], signs[kept]
    if X is not None:
        blocks, signs = _merge(blocks, signs, np.asarray(X, dtype=np.float64))
    roots = np.sqrt(np.linalg.norm(blocks, axis=0))
    return blocks / roots, signs * roots


def gated_output(X: Array, gates: Array, weights: Array) -> Array:
    """Return ``sum_i 1[x'g_i >= 0] x'u_i`` for each output.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data.
    gates : ndarray of shape (d, P)
        Gates g_i.
    weights : ndarray of shape (C, d, P)
        Weights u_i of each output.

    Returns
    -------
    ndarray of shape (n, C)
    """
    D = pattern_of(X, gates)
    return np.stack([np.sum(D * (X @ u), axis=1) for u in weights], axis=1)


def _merge(blocks: Array, signs: Array, X: Array) -> tuple[Array, Array]:
    if not blocks.shape[1]:
        return blocks, signs
    keys = np.vstack([signs[None, :] > 0, X @ blocks > 0])
    _, first, group = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    merged = np.zeros((blocks.shape[0], len(first)))
    np.add.at(merged.T, group.ravel(), blocks.T)
    order = np.argsort(first)
    return merged[:, order], signs[first][order]
