"""Cells of a hyperplane arrangement: whether a list of patterns is complete.

Part of the arithmetic behind the certificates, NumPy only.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Unit vectors closer than this to one line span the same hyperplane.
PARALLEL = 1e-12

# A row counts as lying on a hyperplane below this cosine. Larger than PARALLEL, so that
# no gate lies between two hyperplanes that count as one.
ON_HYPERPLANE = 2e-12


def is_complete(X: Array, D: Array, gates: Array) -> bool:
    """Whether ``D`` lists every activation pattern of the rows of ``X``.

    Every pattern must be realised strictly by its gate, all must be distinct, and
    their number must equal the number of cells of the hyperplane arrangement. The
    all-zero pattern contributes nothing and may be missing.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data, with the intercept column.
    D : ndarray of shape (n, P)
        Patterns, 0/1.
    gates : ndarray of shape (d, P)
        One vector inside each cell.

    Returns
    -------
    bool
    """
    if gates.shape != (X.shape[1], D.shape[1]):
        return False
    exponents = column_exponents(X)
    X, gates = np.ldexp(X, -exponents), np.ldexp(gates, exponents[:, None])
    rows = lengths(X, axis=1)
    products = X @ gates
    margin = ON_HYPERPLANE * rows[:, None] * lengths(gates, axis=0)
    strict = (np.abs(products) > margin) | (rows[:, None] == 0)
    if not strict.all() or ((products >= 0) != (D > 0)).any():
        return False
    if len(np.unique(D.T, axis=0)) != D.shape[1]:
        return False
    on = D[rows > 0] > 0
    zero_is_missing = on.all(axis=0).any() and not (~on).all(axis=0).any()
    number = D.shape[1] + int(zero_is_missing)
    return count_patterns(X, number) == number


def count_patterns(X: Array, limit: float = math.inf) -> int:
    """Count the cells of the arrangement of hyperplanes ``x_k'u = 0``.

    Adding a hyperplane H to an arrangement adds as many cells as the arrangement
    restricted to H has (deletion and restriction; Zaslavsky, 1975).

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Normals of the hyperplanes; zero and parallel rows do not count twice.
    limit : float, default=inf
        Counting ends above it, so that checking a short list takes little time.

    Returns
    -------
    int
        Number of sign patterns ``sign(X u)`` over all u off the hyperplanes; some
        number above ``limit`` if there are more than that.

    Examples
    --------
    >>> import numpy as np
    >>> count_patterns(np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]))
    14
    """
    normals = distinct_lines(np.asarray(X, dtype=np.float64))
    if len(normals) < 2:
        return 1 + len(normals)
    if normals.shape[1] == 2:
        return 2 * len(normals)
    count = 1
    for k, normal in enumerate(normals):
        if count > limit:
            break
        count += count_patterns(restrict(normals[:k], normal), limit - count)
    return count


def distinct_lines(X: Array) -> Array:
    """Return one unit row for each line spanned by a nonzero row of ``X``.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Vectors.

    Returns
    -------
    ndarray of shape (m, d)
        First representatives, in order.
    """
    norms = lengths(X, axis=1)
    units = X[norms > 0] / norms[norms > 0, None]
    cosines = units @ units.T
    repeated = np.zeros(len(units), dtype=bool)
    for j, k in np.argwhere(np.triu(np.abs(cosines) > 1.0 - 1e-6, k=1)):
        # The distance to a line is accurate where one minus the cosine is not.
        distance = np.linalg.norm(units[k] - cosines[j, k] * units[j])
        repeated[k] |= not repeated[j] and distance <= PARALLEL
    return units[~repeated]


def restrict(normals: Array, normal: Array) -> Array:
    """Express hyperplanes on the hyperplane with unit ``normal``.

    Parameters
    ----------
    normals : ndarray of shape (m, d)
        Unit normals, none parallel to ``normal``.
    normal : ndarray of shape (d,)
        Unit normal.

    Returns
    -------
    ndarray of shape (m, d - 1)
        Normals in an orthonormal basis of the hyperplane.
    """
    return normals @ hyperplane_basis(normal)


def hyperplane_basis(normal: Array) -> Array:
    """Return an orthonormal basis (d, d - 1) of the complement of a unit vector."""
    # Columns 2..d of the Householder reflection that maps the normal to +-e_1.
    sign = 1.0 if normal[0] >= 0 else -1.0
    mirror = normal.copy()
    mirror[0] += sign
    basis = -np.outer(mirror, mirror[1:]) / abs(mirror[0])
    basis[1:] += np.eye(len(normal) - 1)
    return basis


def column_exponents(X: Array) -> NDArray[np.int32]:
    """Return the powers of two by which ``ldexp`` brings the columns to one size.

    Patterns do not depend on the units of the columns, angles between rows do.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data.

    Returns
    -------
    ndarray of shape (d,), int
    """
    _, exponents = np.frexp(np.abs(X).max(axis=0, initial=0.0))
    return np.clip(exponents, -1000, 1000)  # so that the inverse can be represented


def lengths(vectors: Array, axis: int) -> Array:
    """Return Euclidean norms whose squares neither overflow nor underflow.

    Parameters
    ----------
    vectors : ndarray
        Vectors along ``axis``.
    axis : int
        Axis to reduce.

    Returns
    -------
    ndarray
    """
    size = np.abs(vectors).max(axis=axis, keepdims=True, initial=0.0)
    size[size == 0] = 1.0
    return np.squeeze(size, axis) * np.linalg.norm(vectors / size, axis=axis)
