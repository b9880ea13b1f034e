"""Certificates of a given network: on its own patterns, or over all networks."""

import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn._measure_losses import LOSSES, encode_targets, with_intercept
from convexnn.patterns import PatternSet, as_matrix, enumerate_patterns, pattern_of
from convexnn.programs import PROBLEM, solve_relu
from convexnn.relaxation.dnn import check_rows
from convexnn.relaxation.joint import Proof, best_bound
from convexnn.relaxation.level import packed
from farkas.certificate import Certificate
from farkas.verification import certify

Array = NDArray[np.float64]

GLOBAL_PROBLEM = "convexnn.global/1"

# So many patterns at most (in general position) are enumerated by method="auto".
ENUMERATED = 2000


def global_certificate(
    data: tuple[Any, Any],
    U: Array,
    a: Array,
    *,
    alpha: float,
    loss: str = "squared",
    encoding: str = "none",
    intercept: float = 0.0,
    method: str = "auto",
    tol: float = 1e-3,
    max_iter: int = 5000,
    max_time: float | None = None,
    branches: int = 0,
    verbose: int = 0,
) -> Certificate:
    """Certify a network against all two-layer networks, of any width.

    Parameters
    ----------
    data : tuple
        (X, y) as passed by the user.
    U : ndarray of shape (d, m)
        Hidden weights; the last row belongs to the intercept column, if any.
    a : ndarray of shape (m,) or (m, C)
        Output weights. A unit that feeds several outputs counts once for each.
    alpha, loss, encoding, intercept
        The problem, as in the certificate.
    method : {"auto", "dnn", "shor", "elementary", "enumerate"}
        Where the bound comes from. ``"auto"`` enumerates all patterns of small data
        and else takes ``"dnn"``.
    tol : float
        Gap, relative to the objective, at which to stop.
    max_iter, max_time
        Limits of each output's run, and of all together in seconds.
    branches : int
        Largest number of rows by whose sign the units are split where progress stalls;
        each doubles the work.
    verbose : int
        0, 1 or 2.

    Returns
    -------
    Certificate
        With the guarantee GLOBAL and the method in ``parameters``.

    Raises
    ------
    ValueError
        If there are more than 2000 rows.
    """
    X = with_intercept(as_matrix(data[0]), intercept)
    Y = encode_targets(np.asarray(data[1]), encoding)
    a = np.asarray(a, dtype=np.float64).reshape(U.shape[1], Y.shape[1])
    if method == "auto":
        rank = int(np.linalg.matrix_rank(X))
        cells = 2 * sum(math.comb(len(X) - 1, k) for k in range(rank))
        few = cells <= ENUMERATED
        method = "enumerate" if few else "dnn"
    parameters: dict[str, Any] = {
        "alpha": float(alpha),
        "loss": loss,
        "encoding": encoding,
        "intercept": float(intercept),
        "method": method,
    }
    if method == "enumerate":
        everything = enumerate_patterns(X)
        if everything.complete:
            return pattern_certificate(
                data, U, a, parameters, everything, tol=tol, max_time=max_time
            )
        parameters["method"] = "dnn"
    check_rows(len(X))
    deadline = time.perf_counter() + (math.inf if max_time is None else max_time)
    proofs = []
    for c in range(Y.shape[1]):
        z = np.maximum(X @ U, 0.0) @ a[:, c]
        upper = float(LOSSES[loss].value(z, Y[:, c]).sum())
        sizes = np.linalg.norm(U, axis=0)
        upper += alpha * float(sizes @ np.abs(a[:, c]))
        left = (deadline - time.perf_counter()) / (Y.shape[1] - c)
        outcome = best_bound(
            X,
            Y[:, c],
            balanced(U, a[:, c]),
            signs=np.sign(a[:, c]),
            alpha=alpha,
            loss=loss,
            target=(1.0 - tol) * upper,
            max_iter=max_iter if method != "elementary" else 0,
            max_time=max(left, 0.0),
            products=method != "shor",
            branches=branches,
            verbose=verbose,
        )
        proofs.append(outcome.proof)
        if outcome.interrupted:
            deadline = 0.0
    if all(proof.nit == 0 for proof in proofs):
        parameters["method"] = "elementary"
    witness = global_witness(proofs) | {"U": U, "a": a}
    return certify(GLOBAL_PROBLEM, data, witness, parameters, tolerance=tol)


def global_witness(proofs: list[Proof]) -> dict[str, NDArray[Any]]:
    """Return the arrays of the certificate, for one proof of each output."""
    count = max(len(proof.rows) for proof in proofs)
    shape = (len(proofs), 2, 2**count)
    rows, flat = [], []
    for proof in proofs:
        missing = count - len(proof.rows)  # a proof of all is one of each half
        rows.append([*proof.rows, *[0] * missing])
        half = len(proof.leaves) // 2
        for leaves in (proof.leaves[:half], proof.leaves[half:]):
            flat += leaves * 2**missing
    products = np.stack([packed(leaf.products) for leaf in flat])
    index = np.flatnonzero(products)
    small = products.size <= np.iinfo(np.uint32).max
    return {
        "theta": np.stack([proof.theta for proof in proofs], axis=1),
        "branches": np.array(rows, dtype=np.int64).reshape(len(proofs), count),
        "level": np.array([leaf.level for leaf in flat]).reshape(shape),
        "trace": np.array([leaf.trace for leaf in flat]).reshape(shape),
        "product_index": index.astype(np.uint32 if small else np.int64),
        "product_value": products.ravel()[index],
        "cone": np.stack([leaf.cone for leaf in flat]).reshape(
            *shape, *flat[0].cone.shape
        ),
    }


def balanced(U: Array, a: Array) -> Array:
    """Return hidden weights of the same network with ``|u_j| = |a_j|``."""
    sizes = np.linalg.norm(U, axis=0)
    return U * np.sqrt(np.abs(a) / np.where(sizes > 0, sizes, 1.0))


def pattern_certificate(
    data: tuple[Any, Any],
    U: Array,
    a: Array,
    parameters: dict[str, Any],
    patterns: PatternSet,
    *,
    tol: float,
    max_iter: int = 5000,
    max_time: float | None = None,
) -> Certificate:
    """Certify a network on a list of patterns that holds those of its units.

    Parameters
    ----------
    data : tuple
        (X, y) as passed by the user.
    U : ndarray of shape (d, m)
        Hidden weights.
    a : ndarray of shape (m, C)
        Output weights.
    parameters : dict
        ``alpha``, ``loss``, ``encoding``, ``intercept``, ``method``.
    patterns : PatternSet
        Distinct patterns. If the list is complete the certificate is global, and units
        of one pattern are merged; else every unit keeps a block of its own, so that
        the upper bound is the objective of this very network.
    tol, max_iter, max_time
        Accuracy and limits of the dual point.

    Returns
    -------
    Certificate
    """
    X = with_intercept(as_matrix(data[0]), parameters["intercept"])
    Y = encode_targets(np.asarray(data[1]), parameters["encoding"])
    place = _places(pattern_of(X, U), patterns.D)
    columns = np.arange(len(patterns))
    if not patterns.complete:  # those of the units one by one, then all others
        columns = np.concatenate([place, np.setdiff1d(columns, place)])
    others = np.zeros((len(U), max(len(columns) - len(place), 0)))
    blocks, thetas, index, value = [], [], [], []
    for c in range(Y.shape[1]):
        parts = [np.maximum(s * a[:, c], 0.0) * U for s in (1.0, -1.0)]
        merged = [_summed(part, place, len(patterns)) for part in parts]
        left = None if max_time is None else max_time / Y.shape[1]
        result = solve_relu(
            X,
            Y[:, c],
            patterns,
            alpha=parameters["alpha"],
            loss=parameters["loss"],
            tol=tol,
            max_iter=max_iter,
            max_time=left,
            x0=(merged[0], merged[1]),
            history_every=0,
        )
        proof = result.certificate.witness
        shape = (2, len(patterns), len(X))
        multipliers = np.zeros(math.prod(shape))
        multipliers[proof["multiplier_index"]] = proof["multiplier_value"]
        own = multipliers.reshape(shape)[:, columns].ravel()
        kept = np.flatnonzero(own)
        index.append(c * own.size + kept)
        value.append(own[kept])
        thetas.append(proof["theta"])
        padded = [np.concatenate([part, others], axis=1) for part in parts]
        blocks.append(merged if patterns.complete else padded)
    witness = {
        "patterns": patterns.D[:, columns],
        "V": np.stack([pair[0] for pair in blocks]),
        "W": np.stack([pair[1] for pair in blocks]),
        "theta": np.stack(thetas, axis=1),
        "multiplier_index": np.concatenate(index),
        "multiplier_value": np.concatenate(value),
    }
    if patterns.complete:
        witness["gates"] = patterns.gates
    parameters = parameters | {
        "activation": "relu",
        "scope": "global" if patterns.complete else "patterns",
    }
    return certify(PROBLEM, data, witness, parameters, tolerance=tol)


def own_patterns(X: Array, U: Array, extra: NDArray[np.bool_] | None) -> PatternSet:
    """Return the distinct patterns of the units, then those of ``extra``.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Data with the intercept column.
    U : ndarray of shape (d, m)
        Hidden weights.
    extra : ndarray of shape (n, P), optional
        Further patterns.

    Returns
    -------
    PatternSet
    """
    D = pattern_of(X, U)
    if extra is not None:
        D = np.concatenate([D, extra], axis=1)
    if not D.shape[1]:  # a network without units
        D = np.ones((len(X), 1), dtype=bool)
    _, first = np.unique(D, axis=1, return_index=True)
    return PatternSet(D[:, np.sort(first)], np.zeros((X.shape[1], len(first))))


def _places(D: NDArray[np.bool_], listed: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Return where each column of D stands in the list."""
    where = {column.tobytes(): i for i, column in enumerate(listed.T.copy())}
    return np.array([where.get(col.tobytes(), -1) for col in D.T.copy()], dtype=int)


def _summed(blocks: Array, place: NDArray[np.int_], size: int) -> Array:
    """Return (d, size), the sums of the blocks of each pattern."""
    merged = np.zeros((size, len(blocks)))
    np.add.at(merged, place[place >= 0], blocks.T[place >= 0])
    return merged.T
