"""Would one more random gate help? A test of any patterns, however they were chosen."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn._measure_cells import lengths
from convexnn._measure_fresh import (
    CHUNK,
    SAMPLED,
    SLACK,
    TWO_LAYER,
    fresh_gates,
    gate_entropy,
)
from convexnn._measure_losses import (
    LOSSES,
    dual_value,
    encode_targets,
    reshaped,
    with_intercept,
)
from convexnn.cones import project_blocks
from farkas.base import check_number
from farkas.certificate import Certificate
from farkas.verification import certify

Array = NDArray[np.float64]


def fresh_gate_test(
    obj: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_gates: int = 1000,
    confidence: float = 0.95,
    tolerance: float = 0.05,
    seed: int = 0,
) -> Certificate:
    """Bound the probability that one more random gate improves a program.

    Draws fresh Gaussian gates and counts how often the dual point violates their
    constraint. Unlike :func:`scenario_violation`, it holds for refined patterns and
    those of trained networks as well.

    Parameters
    ----------
    obj : Certificate, OptimizeResult or fitted estimator
        Certified by :func:`solve_relu`, :func:`solve_gated`, :func:`solve_scp` or their
        estimators, with ``alpha > 0``.
    X, y : array-like
        The data of that fit.
    n_gates : int, default=1000
        Number M of gates.
    confidence : float, default=0.95
        Confidence of the limit, in (0, 1).
    tolerance : float, default=0.05
        Probability up to which the certificate counts as satisfied.
    seed : int, default=0
        Seed, combined with a hash of the dual point; choose it in advance.

    Returns
    -------
    Certificate
        ``value`` is the limit of the probability (``1 - delta^(1/M)`` without
        violations, ``delta = 1 - confidence``), ``lower`` the bound it speaks of,
        ``guarantee`` PROBABILISTIC. ``farkas.verify(certificate, X, y)`` draws the
        gates again.

    Raises
    ------
    TypeError
        If ``obj`` holds no certificate, or a number has the wrong type.
    ValueError
        If a number is out of range, or the certificate is of another problem.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import sample_patterns, solve_relu
    >>> from convexnn.sampled.fresh import fresh_gate_test
    >>> X = np.column_stack([np.linspace(-1, 1, 20), np.ones(20)])
    >>> y = abs(X[:, 0])
    >>> result = solve_relu(X, y, sample_patterns(X, 30, random_state=0), alpha=0.1)
    >>> fresh_gate_test(result, X, y, n_gates=200).guarantee.name
    'PROBABILISTIC'
    """
    check_number("n_gates", n_gates, low=1, integer=True)
    check_number("confidence", confidence, low=0, high=1, inclusive="neither")
    check_number("tolerance", tolerance, low=0)
    check_number("seed", seed, low=0, integer=True)
    base = _certificate_of(obj)
    parameters = {
        **base.parameters,
        "program": base.problem,
        "n_gates": int(n_gates),
        "seed": int(seed),
        "confidence": float(confidence),
    }
    witness = dict(base.witness)
    if base.problem == TWO_LAYER and base.parameters["activation"] == "relu":
        index, value = _fresh_multipliers(base, X, y, int(n_gates), int(seed))
        witness |= {"fresh_index": index, "fresh_value": value}
    return certify(
        "convexnn.fresh_gates/1", (X, y), witness, parameters, tolerance=tolerance
    )


def _certificate_of(obj: Any) -> Certificate:
    for candidate in (
        obj,
        getattr(obj, "certificate_", None),
        getattr(obj, "certificate", None),
    ):
        if isinstance(candidate, Certificate):
            if candidate.problem not in (TWO_LAYER, SAMPLED):
                raise ValueError(
                    f"obj certifies {candidate.problem!r}; gates can be tried on "
                    f"{TWO_LAYER!r} and {SAMPLED!r} only."
                )
            if not float(candidate.parameters["alpha"]) > 0:
                raise ValueError("alpha=0 has no dual point; fit with alpha > 0.")
            return candidate
    raise TypeError(f"obj={type(obj).__name__} holds no certificate.")


def _fresh_multipliers(
    base: Certificate, X: ArrayLike, y: ArrayLike, n_gates: int, seed: int
) -> tuple[NDArray[np.int64], Array]:
    """Return multipliers of the gates whose constraint needs them.

    Where ``s |X'D theta|`` is at most alpha none are needed; elsewhere they come from
    the projection onto the cone.
    """
    parameters = base.parameters
    data = with_intercept(
        np.asarray(X, dtype=np.float64), float(parameters["intercept"])
    )
    Y = encode_targets(np.asarray(y), str(parameters["encoding"]))
    loss, alpha = LOSSES[str(parameters["loss"])], float(parameters["alpha"])
    theta = loss.project(reshaped("theta", base.witness["theta"], Y.shape), Y)
    norm = base.residuals["dual_norm"] * (1.0 + SLACK) / alpha
    entropy = gate_entropy(base.problem, base.witness, parameters, n_gates, seed)
    gates = fresh_gates(data.shape[1], n_gates, entropy)
    # The cones do not depend on the lengths of the rows.
    n, rows = len(data), lengths(data, axis=1)
    rows[rows == 0] = 1.0
    units = data / rows[:, None]
    indices, values = [], []
    for c in range(Y.shape[1]):
        _, s = dual_value(theta[:, c], Y[:, c], norm, loss)
        for k, sign in enumerate((1.0, -1.0)):
            for start in range(0, n_gates, CHUNK):
                D = (data @ gates[:, start : start + CHUNK] >= 0).T.astype(np.float64)
                g = sign * (D * theta[:, c]) @ data
                binding = np.flatnonzero(s * np.linalg.norm(g, axis=1) > alpha)
                size = float(np.abs(g).max()) or 1.0
                _, lam = project_blocks(units, D[binding], g[binding] / size)
                which, sample = np.nonzero(lam)
                first = (2 * c + k) * n_gates + start
                indices.append((first + binding[which]) * n + sample)
                values.append(lam[which, sample] * size / rows[sample])
    return np.concatenate(indices).astype(np.int64), np.concatenate(values)
