"""The arithmetic behind the certificates of quantum classifiers, NumPy only.

Whatever the circuit, the probability of class 1 is ``p_i = <psi_i| M |psi_i>`` with
one operator ``0 <= M <= I`` whose spectrum the readout fixes. The loss is convex in p,
so for any numbers ``q_i``, with ``G = sum_i s_i l'(q_i) |psi_i><psi_i|``,

    L >= sum_i s_i (l(q_i) - l'(q_i) q_i) + min_M tr(G M)

and the minimum is a sum of eigenvalues of G (Ky Fan). The right side bounds the loss
of every circuit on these encoded data; the ``tangent`` q is all the proof there is.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError, Guarantee
from farkas.verification import ROUNDING, Measurement, problem
from quantum._measure_bounds import EPS, Spectrum, spectrum_with_radius
from quantum._measure_circuit import gradient, pulled_back, run
from quantum._measure_losses import Loss, make_loss
from quantum._measure_model import (
    PROBABILITIES,
    Array,
    Complex,
    Encoded,
    Free,
    Integers,
    Parameters,
    Readout,
    Target,
    Witness,
    binary_lower_bound,
    checked_tangent,
    coordinates,
    encode,
    free_part,
    labels_and_weights,
    multiclass_lower_bound,
    output_radius,
    readout_from,
    single_shot_accuracy,
)
from quantum._measure_shots import shot_estimate

# Eigenvalues of a measurement may leave [0, 1], and its trace may be off, by this much.
FEASIBILITY = 1e-9

SCOPES = {
    "readout": "every circuit on these qubits after this encoding, read out alike",
    "any": "every measurement, noisy or with ancillas, of these noiseless states",
    "none": "no bound over circuits",
}
_WEIGHTED = "the loss is weighted by the stored sample weights"
_FIXED = "what precedes the last data gate, its weights included, counts as encoding"


@problem("quantum.circuit/1", data=("X", "y"))
def measure_circuit(
    X: Array, y: NDArray[Any], *, witness: Witness, parameters: Parameters
) -> Measurement:
    """Loss and gradient of a trained circuit, and a floor under every circuit.

    Parameters
    ----------
    X : ndarray of shape (N, m)
        Data as passed to the fit.
    y : ndarray of shape (N,)
        Labels as passed to the fit.
    witness : mapping
        ``theta`` (P,); the circuit as ``gates``, ``angles`` and ``matrices`` (see
        ``_measure_circuit.Circuit``); ``classes`` (d,), or ``paulis`` (T, n) and
        ``coefficients`` (T,), of K observables also ``members`` (T,); optional
        ``readout_error`` (n, 2, 2), ``sample_weight`` (N,), ``tangent`` (C, N),
        ``dual`` (k, k) for K > 2, ``counts`` (N, K) of shots;
        ``tape`` and ``starts`` with ``encoding="circuit"``; ``basis`` (d, k), the
        coordinates of ``dual`` when N < d.
    parameters : mapping
        ``encoding``, ``reps``, ``entanglement``, ``n_qubits``, ``split``, ``loss``,
        ``prob_floor``, ``slope``, ``depolarizing``, ``scope``.

    Returns
    -------
    Measurement
        ``value`` is the largest entry of the gradient. ``residuals``: ``loss``,
        ``lower_one_shot``, ``single_shot_accuracy_bound`` and, with shots,
        ``loss_estimate``, ``loss_ci_low``, ``loss_ci_high``.

    Raises
    ------
    CertificateError
        If the witness is malformed.
    """
    theta = np.asarray(witness["theta"], dtype=np.float64)
    if theta.ndim != 1 or not np.isfinite(theta).all():
        raise CertificateError("theta must be a finite vector.")
    scope = str(parameters["scope"])
    if scope not in SCOPES:
        raise CertificateError(f"scope={scope!r} must be one of {tuple(SCOPES)}.")
    if "members" in witness and scope != "none":
        raise CertificateError("there is no bound with several observables.")
    index, K, s, weighted = labels_and_weights(X, y, witness)
    encoded = encode(X, theta, witness, parameters)
    n = encoded.circuit.n
    readout = readout_from(witness, parameters, n, K)
    loss = _loss(parameters, 0 if readout.paulis is not None else K)

    free = free_part(encoded, theta)
    P = readout.outputs(free.S, n)
    radius = output_radius(free.errors, len(free.S), readout.size())
    upper = math.fsum(s * loss.largest(P, index, radius)) * (1 + 16 * EPS)
    slopes, radii = _gradient(encoded, free, theta, readout, loss, P, radius, index, s)

    residuals = {"loss": math.fsum(s * loss.values(P, index))}
    lower = -math.inf
    if scope != "none":
        own = np.clip(P, 0.0, 1.0) if loss.classes else P
        tangents = [(own, None)]
        if "tangent" in witness:
            given = checked_tangent(witness["tangent"], P.shape, loss.classes > 0)
            tangents.append((given, witness.get("dual")))
        if len(P) == 1:
            target = readout.target(n, scope)
            bounds = [
                binary_lower_bound(encoded, index, s, loss, q, target)
                for q, _ in tangents
            ]
            if loss.classes:
                ceiling = single_shot_accuracy(encoded, index, s, target)
                residuals["single_shot_accuracy_bound"] = ceiling
        else:
            frame = coordinates(encoded, witness, s)
            own_measurement = _measurement(encoded, theta, readout, frame.basis)
            bounds = [
                multiclass_lower_bound(
                    frame, index, s, loss, q, own_measurement if Y is None else Y
                )
                for q, Y in tangents
            ]
        residuals["lower_one_shot"] = max(0.0, bounds[0])
        lower = max(0.0, *bounds)
    if "counts" in witness:
        residuals |= shot_estimate(np.asarray(witness["counts"]), index, s, loss)
    if not upper - lower >= -ROUNDING * max(1.0, upper):
        raise CertificateError(f"the loss {upper!r} lies below its bound {lower!r}.")
    trained_before = (encoded.circuit.gates[: encoded.split, 4] >= 0).any()
    return Measurement(
        kind="gradient_norm",
        value=float(np.max(np.abs(slopes) + radii, initial=0.0)),
        guarantee=Guarantee.LOCAL,
        lower=min(lower, upper),
        upper=upper,
        residuals=residuals,
        assumptions=(
            SCOPES[scope],
            *([_FIXED] if trained_before else []),
            *([_WEIGHTED] if weighted else []),
        ),
    )


@problem("quantum.measurement/1", data=("X", "y"))
def measure_measurement(
    X: Array, y: NDArray[Any], *, witness: Witness, parameters: Parameters
) -> Measurement:
    """Loss of one measurement of the encoded states, and a floor under all of them.

    The program is ``min sum_i s_i l(y_i, <psi_i| M |psi_i>) + alpha |M - r/d I|_F^2``
    over ``0 <= M <= I`` with ``tr M = r`` (any trace with ``rank=0``), or over
    measurements ``M_c >= 0, sum_c M_c = I`` of K > 2 classes, with the penalty
    ``alpha sum_c |M_c - I/K|_F^2``.

    Parameters
    ----------
    X : ndarray of shape (N, m)
        Data as passed to the fit.
    y : ndarray of shape (N,)
        Labels as passed to the fit.
    witness : mapping
        ``measurement`` (d, d), or (k, k) in an orthonormal ``basis`` (d, k) of the
        states' span, or (K, k, k); ``tangent`` (C, N); ``dual`` (k, k) for K > 2;
        optional ``sample_weight`` (N,) and circuit tables as in
        :func:`measure_circuit`.
    parameters : mapping
        ``encoding``, ``reps``, ``entanglement``, ``n_qubits``, ``split``, ``loss``,
        ``prob_floor``, ``rank``, ``alpha``.

    Returns
    -------
    Measurement
        ``value`` is the gap. ``residuals``: ``loss``, ``violation`` (how far the
        measurement is from an exact one), ``single_shot_accuracy_bound``.

    Raises
    ------
    CertificateError
        If the witness is malformed or is not a measurement.
    """
    theta = np.empty(0)
    index, K, s, weighted = labels_and_weights(X, y, witness)
    encoded = encode(X, theta, witness, parameters)
    d = encoded.states.shape[1]
    loss = _loss(parameters, K)
    rank, alpha = float(parameters["rank"]), float(parameters.get("alpha", 0.0))
    if not 0 <= rank < d or not 0 <= alpha < math.inf:
        raise CertificateError(f"rank={rank!r} must lie in [0, {d}), 0 for any.")
    frame = coordinates(encoded, witness, s)
    k = frame.states.shape[1]
    M = np.asarray(witness["measurement"], dtype=complex)
    if M.shape != ((k, k) if K == 2 else (K, k, k)) or not np.isfinite(M).all():
        raise CertificateError(f"measurement has the shape {M.shape}, with k={k}.")
    stack = M[None] if K == 2 else M
    violation = _violation(stack, d, None if K > 2 or rank == 0 else rank)
    if not violation <= FEASIBILITY:
        raise CertificateError(f"not a measurement: violated by {violation:.3g}.")

    P = np.einsum("ia,cab,ib->ci", frame.states.conj(), stack, frame.states).real
    radius = output_radius(frame.errors, d, 1.0) + 2.0 * violation
    upper = math.fsum(s * loss.largest(P, index, radius)) * (1 + 16 * EPS)
    tangent = checked_tangent(witness["tangent"], P.shape, True)
    residuals = {"loss": math.fsum(s * loss.values(P, index)), "violation": violation}
    if alpha and k != d:
        raise CertificateError("alpha > 0 needs the measurement in full.")
    share = 1.0 / K if K > 2 or rank == 0 else rank / d
    slope, constant, penalty = _ridge(stack, share, alpha)
    if K == 2:
        target: Target = PROBABILITIES if rank == 0 else _fantope_vertex(rank, d)
        ceiling = single_shot_accuracy(encoded, index, s, target)
        residuals["single_shot_accuracy_bound"] = ceiling

        def floor(*ridge: Any) -> float:
            return binary_lower_bound(encoded, index, s, loss, tangent, target, *ridge)
    else:
        dual = np.asarray(witness.get("dual", stack), dtype=complex)
        if dual.shape not in ((k, k), stack.shape):
            raise CertificateError(f"dual has the shape {dual.shape}, with k={k}.")

        def floor(*ridge: Any) -> float:
            return multiclass_lower_bound(frame, index, s, loss, tangent, dual, *ridge)

    lower = floor(slope, constant)
    if alpha:
        residuals["penalty"] = penalty
        upper += penalty + alpha * K * d * (4 * violation + 64 * d * EPS)
        # The floor without the penalty is what circuits are compared with.
        residuals["loss_lower_bound"] = max(0.0, floor())
    lower = max(lower, 0.0)
    if not upper - lower >= -ROUNDING * max(1.0, upper):
        raise CertificateError(f"the loss {upper!r} lies below its bound {lower!r}.")
    free = "any trace" if rank == 0 or K > 2 else f"trace {rank:g}"
    return Measurement(
        kind="duality_gap",
        value=max(upper - lower, 0.0),
        guarantee=Guarantee.GLOBAL,
        lower=min(lower, upper),
        upper=upper,
        residuals=residuals,
        assumptions=(
            f"measurements of {free} on these encoded states",
            *([_WEIGHTED] if weighted else []),
        ),
    )


def _loss(parameters: Parameters, classes: int) -> Loss:
    return make_loss(
        str(parameters["loss"]),
        classes,
        float(parameters.get("prob_floor", 0.0)),
        float(parameters.get("slope", 1.0)),
    )


def _gradient(
    encoded: Encoded,
    free: Free,
    theta: Array,
    readout: Readout,
    loss: Loss,
    P: Array,
    radius: Array,
    y: Integers,
    s: Array,
) -> tuple[Array, Array]:
    """Exact gradient and how far rounding may have moved it."""
    circuit, span = encoded.circuit, (encoded.split, len(encoded.circuit.gates))
    w = s * loss.slopes(P, y)
    co = readout.apply(free.S, w, circuit.n)
    if free.U is None or encoded.split:
        slopes, leverage = gradient(circuit, free.S, co, theta, span)
    else:
        # All samples at once: sum_i <L_i| g |S_i> = tr(g U D'), D = sum_i |L_i><psi_i|.
        D = co @ encoded.states.conj()
        slopes, leverage = gradient(circuit, free.U, D, theta, span)
    if encoded.split:
        # The walk goes on through the encoding, whose gates depend on the sample.
        before = np.ascontiguousarray(encoded.states.T)
        co = pulled_back(circuit, co, theta, span)
        span = (0, encoded.split)
        more, added = gradient(circuit, before, co, theta, span, encoded.data)
        slopes, leverage = slopes + more, leverage + added
    unit = readout.size() * np.sum(np.abs(w), axis=0)
    moved = s * loss.slope_errors(P, y, radius) * readout.size()
    rounded = (free.S.size + 64 * len(circuit.gates)) * EPS * math.fsum(unit)
    return slopes, leverage * (math.fsum(2.0 * unit * radius + moved) + rounded)


def _measurement(
    encoded: Encoded, theta: Array, readout: Readout, basis: Complex
) -> Complex:
    """Measurement that the circuit realises, (K, k, k) in the given basis."""
    span = (encoded.split, len(encoded.circuit.gates))
    A = run(encoded.circuit, np.ascontiguousarray(basis), theta, span)
    return np.stack([(A.conj().T * effect) @ A for effect in readout.effects])


def _violation(stack: Complex, d: int, rank: float | None) -> float:
    """Bound the distance to the nearest exact measurement, in the spectral norm."""
    k = stack.shape[1]
    worst = float(np.abs(stack - stack.conj().swapaxes(1, 2)).max()) * k
    for M in stack:
        eigenvalues, radius, _ = spectrum_with_radius(M, 0.0)
        low, high = eigenvalues - radius, eigenvalues + radius
        worst = max(worst, -float(low.min()), float(high.max()) - 1.0)
    worst = max(worst, 0.0)
    if len(stack) > 1:
        # Scaling every M_c from both sides by S^(-1/2) makes the sum the identity.
        return worst * len(stack) + float(np.linalg.norm(stack.sum(axis=0) - np.eye(k)))
    if rank is None:
        return worst
    trace = math.fsum(np.diagonal(stack[0]).real)
    least, most = max(0.0, rank - (d - k)), min(rank, float(k))
    missing = max(least - trace, trace - most, 0.0) + k * worst
    # Mixing with 0 or I repairs the trace; it moves no eigenvalue by more than this.
    room = max(min(least if least > 0 else most, k - most if most < k else most), 0.5)
    return worst + missing / room


def _fantope_vertex(rank: float, d: int) -> Spectrum:
    values = np.zeros(d)
    whole = int(rank)
    values[:whole] = 1.0
    if rank > whole:
        values[whole] = rank - whole
    return Spectrum(values)


def _ridge(stack: Complex, share: float, alpha: float) -> tuple[Any, float, float]:
    """Tangent at M of the penalty: its slope and constant; and the penalty itself."""
    if alpha == 0:
        return None, 0.0, 0.0
    centre = share * np.eye(stack.shape[1])
    # |M - C|^2 lies above |M0 - C|^2 + 2 <M0 - C, M - M0>, which is
    # 2 <M0 - C, M> - <M0 - C, M0 + C>.
    difference = stack - centre
    constant = -alpha * float(np.vdot(difference, stack + centre).real)
    penalty = alpha * float(np.vdot(difference, difference).real)
    slope = 2.0 * alpha * difference
    return slope[0] if len(stack) == 1 else slope, constant, penalty


@problem("quantum.stationary/1", data=("fun", "jac"))
def measure_stationary(
    fun: Any, jac: Any, *, witness: Witness, parameters: Parameters
) -> Measurement:
    """Value and largest gradient entry of a function at a point.

    Parameters
    ----------
    fun, jac : callable
        The function and its gradient.
    witness : mapping
        ``x`` (P,).
    parameters : mapping
        Not used.

    Returns
    -------
    Measurement
    """
    x = _point(witness)
    slopes = np.asarray(jac(x.copy()), dtype=np.float64)
    if slopes.shape != x.shape or np.isnan(slopes).any():
        raise CertificateError(f"jac must return {len(x)} numbers.")
    return Measurement(
        kind="gradient_norm",
        value=float(np.abs(slopes).max(initial=0.0)),
        guarantee=Guarantee.LOCAL,
        upper=float(fun(x.copy())),
    )


@problem("quantum.value/1", data=("fun",))
def measure_value(fun: Any, *, witness: Witness, parameters: Parameters) -> Measurement:
    """Value of a function at a point; without a gradient nothing more is claimed.

    Parameters
    ----------
    fun : callable
        The function.
    witness : mapping
        ``x`` (P,).
    parameters : mapping
        Not used.

    Returns
    -------
    Measurement
    """
    return Measurement(
        kind="gradient_norm",
        value=math.inf,
        guarantee=Guarantee.DIAGNOSTIC,
        upper=float(fun(_point(witness))),
    )


def _point(witness: Witness) -> Array:
    x = np.array(witness["x"], dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise CertificateError("x must be a finite vector.")
    return x
