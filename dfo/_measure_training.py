"""Poll of the training loss of a network, along orthonormal directions of its weights.

The directions span all of the parameter space only in small networks; in others the
poll measures agreement and bounds nothing. Losses are nonnegative: zero is a proven
lower bound of every training loss.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo._measure_network import (
    ACTIVATIONS,
    CLASS_LOSSES,
    VALUE_LOSSES,
    Network,
    losses,
)
from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import Measurement, problem

Array = NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)
# Sums over thousands of rows differ between machines by some hundred ulp.
ROUNDING_OF_LOSS = 256 * EPS
# Below the square root of the precision a smooth loss changes by rounding only: a
# smaller step is no poll.
RESOLUTION = 1e-8
# A poll at step h fails if no loss is lower by more than this times h^2, the usual
# forcing function of direct search (Kolda, Lewis, Torczon (2003), section 3.7):
# batch normalisation gives losses that decrease for ever, ever more slowly.
FORCING = 1.0
ORTHOGONALITY = 1e-8
VALUES_RTOL = 1e-9


@problem("dfo.training_poll/1", data=("X", "y"))
def measure_training_poll(
    X: Array,
    y: NDArray[Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Smallest step along every direction at which no better network was found.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Training data.
    y : ndarray of shape (n,) or (n, outputs)
        Class labels or targets.
    witness : mapping
        ``theta`` (D,), the parameters; ``directions`` (k, D), orthonormal; ``steps``
        (p,); ``values`` (p, 2 k), the losses at ``theta + h q`` and ``theta - h q``.
    parameters : mapping
        ``hidden``, sizes of hidden layers as text such as ``"10,5"``; ``activation``,
        ``batch_norm``, ``classifier``, ``loss`` and ``alpha``.

    Returns
    -------
    Measurement
        LOCAL when the directions span the parameters, else DIAGNOSTIC.
    """
    return _measure(X, y, str(parameters["loss"]), witness, parameters)


@problem("dfo.custom_training_poll/1", data=("X", "y", "loss"))
def measure_custom_training_poll(
    X: Array,
    y: NDArray[Any],
    loss: Callable[[Array, Array], Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Poll of the training loss for a loss function of the user's.

    Parameters
    ----------
    X, y : ndarray
        As in :func:`measure_training_poll`.
    loss : callable
        Maps outputs (n, outputs) and targets to nonnegative losses of the rows.
    witness, parameters : mapping
        As in :func:`measure_training_poll`.

    Returns
    -------
    Measurement
    """
    if not callable(loss):
        raise CertificateError("pass the loss function to verify this certificate.")
    return _measure(X, y, loss, witness, parameters)


def encode(y: NDArray[Any], classifier: bool) -> tuple[NDArray[Any], int]:
    """Return targets as the losses take them, and the number of outputs.

    Parameters
    ----------
    y : ndarray
        Class labels, or targets.
    classifier : bool
        Whether they are labels.

    Returns
    -------
    targets : ndarray
    outputs : int
    """
    if classifier:
        labels, index = np.unique(y, return_inverse=True)
        return index.reshape(len(y)), len(labels)
    targets = np.asarray(y, dtype=np.float64)
    return targets, 1 if targets.ndim == 1 else targets.shape[1]


def _measure(
    X: Array,
    y: NDArray[Any],
    loss: Any,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    network, targets = _network(X, y, loss, parameters)
    D = network.n_parameters
    theta = _numbers("theta", witness["theta"], (D,))
    Q = np.asarray(witness["directions"], dtype=np.float64)
    k = len(Q)
    Q = _numbers("directions", Q, (k, D))
    if k < 1 or np.abs(Q @ Q.T - np.eye(k)).max() > ORTHOGONALITY:
        raise CertificateError("directions must be orthonormal.")
    steps = _numbers("steps", witness["steps"], np.shape(witness["steps"]))
    if steps.ndim != 1 or not len(steps) or not (steps >= RESOLUTION).all():
        raise CertificateError(f"steps must be a vector of numbers >= {RESOLUTION:g}.")
    seen = np.asarray(witness["values"], dtype=np.float64)
    if seen.shape != (len(steps), 2 * k):
        raise CertificateError(f"values must have shape ({len(steps)}, {2 * k}).")
    alpha = _numbers("alpha", np.asarray(parameters["alpha"], float), ())
    if alpha < 0:
        raise CertificateError("alpha must not be negative.")

    def at(points: Array) -> Array:
        return losses(network, points, X, targets, loss, float(alpha), len(X))

    best = float(at(theta[None])[0])
    failing, decrease = [], 0.0
    for h, row in zip(steps, seen, strict=True):
        values = np.concatenate([at(theta + s * h * Q) for s in (1.0, -1.0)])
        room = VALUES_RTOL * np.maximum(np.abs(values), abs(best))
        same = (values == row) | (np.abs(values - row) <= room)
        if not (same | (np.isnan(values) & np.isnan(row))).all():
            raise CertificateError("values are not the losses at the poll points.")
        if (values < 0).any() or best < 0:
            raise CertificateError("losses must not be negative.")
        lowest = float(np.min(values[values < math.inf], initial=math.inf))
        decrease = max(decrease, best - lowest)
        room = ROUNDING_OF_LOSS * best + FORCING * float(h) ** 2
        if math.isfinite(best) and best - lowest <= room:
            failing.append(float(h))
    spans = k == D
    texts = [
        "losses are nonnegative",
        "a poll at step h fails if no loss is lower by more than h^2",
        "the poll says nothing about other minima",
    ]
    if not spans:
        texts.append("the directions do not span the parameters")
    return Measurement(
        kind="poll_set",
        value=min(failing, default=math.inf),
        guarantee=Guarantee.LOCAL if spans else Guarantee.DIAGNOSTIC,
        lower=0.0,
        upper=best if math.isfinite(best) else math.inf,
        residuals={
            "poll_decrease": decrease,
            "directions": float(k),
            "parameters": float(D),
            "parameter_norm": float(np.sqrt(theta @ theta)),
            "largest_step": float(steps.max()),
            "orientation": float(np.sum(Q)),
        },
        assumptions=tuple(texts),
    )


def _network(
    X: Array, y: NDArray[Any], loss: Any, parameters: Mapping[str, Parameter]
) -> tuple[Network, NDArray[Any]]:
    classifier = bool(parameters["classifier"])
    known = CLASS_LOSSES if classifier else VALUE_LOSSES
    activation = str(parameters["activation"])
    if activation not in ACTIVATIONS or not (callable(loss) or loss in known):
        raise CertificateError(
            f"activation {activation!r} or loss {loss!r} is unknown."
        )
    if X.ndim != 2 or len(y) != len(X) or not len(X):
        raise CertificateError("X and y must have the same number of rows.")
    targets, outputs = encode(y, classifier)
    text = str(parameters["hidden"])
    hidden = tuple(int(size) for size in text.split(",")) if text else ()
    if any(size < 1 for size in hidden):
        raise CertificateError("hidden must hold positive sizes.")
    sizes = (X.shape[1], *hidden, outputs)
    return Network(
        sizes, activation, bool(parameters["batch_norm"]), classifier
    ), targets


def _numbers(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise CertificateError(f"{name} must be finite and have shape {shape}.")
    return array
