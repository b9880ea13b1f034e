"""The arithmetic behind fresh-gate tests, NumPy and SciPy only.

A dual point that is feasible for the patterns of a program is tried on M fresh random
gates. If one more gate is drawn, the optimum falls below the bound that the point
proves only where the gate's constraint is violated,

    |+-X'D theta + X'S lam| > alpha  for every lam >= 0          (ReLU, both signs)
    |X'D theta| > alpha                                          (gated)
    |theta'(X g)_+| > alpha |g|                                  (sampled units)

so that k violations among M bound the probability of that (Clopper and Pearson, 1934).
The gates come from a generator seeded with a hash of everything that is claimed:
neither the point nor the gates can be chosen to fit the other.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import beta

from convexnn._measure_cells import lengths
from convexnn._measure_losses import (
    EPS,
    LOSSES,
    TINY,
    dual_value,
    encode_targets,
    reshaped,
    with_intercept,
)
from convexnn._measure_scp import feature_products, unit_directions
from farkas.certificate import CertificateError, Guarantee, Parameter, seal
from farkas.verification import Measurement, certify, problem

Array = NDArray[np.float64]

# Problems whose dual point may be tried.
TWO_LAYER, SAMPLED = "convexnn.two_layer/1", "convexnn.scp/1"

# The dual point is shrunk by this much, since the constraints of the program's own
# patterns are tight, and those of gates next to them nearly so.
SLACK = 1e-6

# Gates tried at once, so that memory does not grow with their number.
CHUNK = 256

_OWN = ("program", "n_gates", "seed", "confidence")


@problem("convexnn.fresh_gates/1", data=("X", "y"))
def measure_fresh_gates(
    X: Array,
    y: NDArray[Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Bound the probability that one more random gate improves a program.

    Parameters
    ----------
    X : ndarray of shape (n, d0)
        Data as passed to the fit.
    y : ndarray of shape (n,) or (n, C)
        Targets or class labels as passed to the fit.
    witness : mapping
        That of the program's own certificate, and for ReLU the nonzero multipliers
        ``fresh_value`` at the flat ``fresh_index`` into (C, 2, n_gates, n).
    parameters : mapping
        Those of the program's own certificate, and ``program``, its problem key;
        ``n_gates``; ``seed``; ``confidence``.

    Returns
    -------
    Measurement
        ``value`` is the limit of the probability. ``residuals``: those of the program,
        ``violations``, and ``largest_norm``, the largest left side over alpha.

    Raises
    ------
    CertificateError
        If the witness is malformed or proves nothing.
    """
    key = str(parameters["program"])
    if key not in (TWO_LAYER, SAMPLED):
        raise CertificateError(f"program={key!r} must be {TWO_LAYER!r} or {SAMPLED!r}.")
    n_gates, seed = int(parameters["n_gates"]), int(parameters["seed"])
    confidence = float(parameters["confidence"])
    if n_gates < 1 or seed < 0 or not 0 < confidence < 1:
        raise CertificateError(
            "n_gates must be at least 1, seed at least 0, confidence inside (0, 1)."
        )
    base_witness = {k: v for k, v in witness.items() if not k.startswith("fresh_")}
    base_parameters = {k: v for k, v in parameters.items() if k not in _OWN}
    base = certify(key, (X, y), base_witness, base_parameters, tolerance=math.inf)
    if base.guarantee is not Guarantee.GLOBAL:
        raise CertificateError("the program has no dual point.")
    X = with_intercept(X, float(parameters["intercept"]))
    Y = encode_targets(y, str(parameters["encoding"]))
    alpha, loss = float(parameters["alpha"]), LOSSES[str(parameters["loss"])]
    theta = loss.project(reshaped("theta", witness["theta"], Y.shape), Y)
    norm = base.residuals["dual_norm"] * (1.0 + SLACK) / alpha
    scales, lower = np.zeros(Y.shape[1]), 0.0
    for c in range(Y.shape[1]):
        value, scales[c] = dual_value(theta[:, c], Y[:, c], norm, loss)
        lower += value

    entropy = gate_entropy(key, base_witness, base_parameters, n_gates, seed)
    gates = fresh_gates(X.shape[1], n_gates, entropy)
    worst = np.zeros(n_gates)  # over outputs and signs
    if key == SAMPLED:
        products = feature_products(X, unit_directions(gates, len(gates)), theta)
        worst = (scales[:, None] * products).max(axis=0)
    else:
        relu = parameters["activation"] == "relu"
        shape = (Y.shape[1], 2, n_gates, len(X))
        for c, sign, block, lam in _multipliers(witness, shape, relu):
            D = (X @ gates[:, block] >= 0).astype(np.float64)
            norms = _constraint_norms(X, D, sign * theta[:, c], lam)
            worst[block] = np.maximum(worst[block], scales[c] * norms)
    if not np.isfinite(worst).all():
        raise CertificateError("the dual point overflows.")
    violations = int(np.sum(worst > alpha))
    limit = 1.0
    if violations < n_gates:
        limit = float(beta.ppf(confidence, violations + 1, n_gates - violations))
    return Measurement(
        kind="violation_probability",
        value=limit,
        guarantee=Guarantee.PROBABILISTIC,
        lower=min(lower, base.upper),
        upper=base.upper,
        residuals={
            **base.residuals,
            "violations": float(violations),
            "largest_norm": float(worst.max()) / alpha,
        },
        assumptions=(
            *base.assumptions,
            "with the stated confidence, one more Gaussian gate brings the optimum "
            "below `lower` with at most this probability",
            "the seed was chosen before the result was seen",
        ),
    )


def gate_entropy(
    key: str,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
    n_gates: int,
    seed: int,
) -> list[int]:
    """Return the entropy of the generator: a hash of the claim, and the user's seed."""
    return [int(seal(key, witness, parameters), 16), n_gates, seed]


def fresh_gates(d: int, n_gates: int, entropy: list[int]) -> Array:
    """Draw gates (d, n_gates) with standard normal entries, by inversion.

    The stream of the bit generator is the same in all versions of NumPy, that of its
    normal variates need not be.
    """
    raw = np.random.PCG64(np.random.SeedSequence(entropy)).random_raw(d * n_gates)
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    gates: Array = ndtri(uniform).reshape(n_gates, d).T
    return gates


def _multipliers(
    witness: Mapping[str, NDArray[Any]], shape: tuple[int, ...], relu: bool
) -> Iterator[tuple[int, float, slice, Array | None]]:
    """Yield output, sign, slice of gates, and their multipliers (n, size of it)."""
    C, _, n_gates, n = shape
    index, value = np.zeros(0, dtype=np.int64), np.zeros(0)
    if relu:
        index = np.asarray(witness["fresh_index"])
        value = np.asarray(witness["fresh_value"], dtype=np.float64)
        if (
            index.dtype.kind not in "iu"
            or index.shape != value.shape
            or index.ndim != 1
        ):
            raise CertificateError("fresh_index must be integers, one for each value.")
        size = math.prod(shape)
        if len(np.unique(index)) < len(index) or ((index < 0) | (index >= size)).any():
            raise CertificateError(f"fresh_index must be distinct, within {size}.")
        if not ((value >= 0) & np.isfinite(value)).all():
            raise CertificateError("fresh_value must be nonnegative and finite.")
    order = np.argsort(index)
    index, value = index[order], value[order]
    for c in range(C):
        for k, sign in enumerate((1.0, -1.0) if relu else (1.0,)):
            for start in range(0, n_gates, CHUNK):
                block = slice(start, min(start + CHUNK, n_gates))
                if not relu:
                    yield c, sign, block, None
                    continue
                first = ((2 * c + k) * n_gates + start) * n
                count = block.stop - start
                low, high = np.searchsorted(index, [first, first + count * n])
                lam = np.zeros(count * n)
                lam[index[low:high] - first] = value[low:high]
                yield c, sign, block, lam.reshape(count, n).T


def _constraint_norms(X: Array, D: Array, theta: Array, lam: Array | None) -> Array:
    """Return ``|X'D_i theta + X'S_i lam_i|`` for each column of D, or slightly more."""
    G = X.T @ (D * theta[:, None])
    sizes = np.abs(X).T @ (D * np.abs(theta)[:, None])
    if lam is not None:
        G = G + X.T @ ((2.0 * D - 1.0) * lam)
        sizes = sizes + np.abs(X).T @ lam
    error = (len(X) + 2) * EPS * (sizes + TINY)
    norms: Array = lengths(np.abs(G) + error, axis=0) * (1 + (len(G) + 2) * EPS)
    return norms
