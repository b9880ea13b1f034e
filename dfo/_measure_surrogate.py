"""Polls through a network in the witness; the box is that of the data.

A surrogate's best input and a classifier's counterfactual are certified like any other
result of a direct search, but the objective is redone from the weights, so that the
data alone verify the claim.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo._measure_direct import measure_poll
from farkas.certificate import CertificateError, Parameter
from farkas.verification import Measurement, problem

Array = NDArray[np.float64]

ACTIVATIONS = ("identity", "relu", "tanh", "logistic", "softmax")


@problem("dfo.surrogate_poll/1", data=("X", "y"))
def measure_surrogate_poll(
    X: Array,
    y: Array,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Poll around the best input of a surrogate, in the box of the data.

    Parameters
    ----------
    X : ndarray of shape (m, n)
        Training inputs; their ranges are the box.
    y : ndarray of shape (m,) or (m, p)
        Training targets.
    witness : mapping
        As in :func:`dfo._measure_direct.measure_direct_poll`, without the box, and
        ``W0``, ``b0``, ``W1``, ... and ``activations`` of the network, and ``weights``
        (p,): the minimised function is their product with the outputs.
    parameters : mapping
        As there.

    Returns
    -------
    Measurement
        Its residual ``surrogate_mse`` is the error of the network on the data.
    """
    layers = read_layers(witness, X.shape[1])
    weights = np.asarray(witness["weights"], dtype=np.float64)
    p = layers[-1][0].shape[1]
    if weights.shape != (p,) or not np.isfinite(weights).all():
        raise CertificateError(f"weights must hold {p} numbers.")
    lower, upper = X.min(axis=0), X.max(axis=0)
    found = measure_poll(
        lambda x: float(forward(layers, x) @ weights),
        None,
        {**witness, "lower": lower, "upper": upper},
        parameters,
    )
    error = forward(layers, X) - y.reshape(len(y), -1)
    if error.shape != (len(y), p):
        raise CertificateError("y does not fit the outputs of the network.")
    numbers = {"surrogate_mse": float(np.mean(error**2))}
    return _with(found, numbers, "the network in the witness is the surrogate")


@problem("dfo.counterfactual/1", data=("X", "y"))
def measure_counterfactual(
    X: Array,
    y: NDArray[Any],
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Poll around the nearest input that a classifier assigns to a class.

    Parameters
    ----------
    X : ndarray of shape (m, n)
        Training inputs; their ranges, widened to the explained row, are the box.
    y : ndarray of shape (m,)
        Labels.
    witness : mapping
        As in :func:`dfo._measure_direct.measure_direct_constrained_poll`, without the
        box; ``W0``, ``b0``, ... and ``activations``; ``original`` (n,), the explained
        row; ``unit`` (n,), the lengths of distances; ``fixed`` (k,), numbers of
        immutable columns.
    parameters : mapping
        As there; ``target``, number of the class; ``threshold`` of its probability;
        ``norm``, "1", "2" or "inf".

    Returns
    -------
    Measurement
        Its residual ``training_accuracy`` is that of the classifier on the data.
    """
    n = X.shape[1]
    layers = read_layers(witness, n)
    original = np.asarray(witness["original"], dtype=np.float64)
    unit = np.asarray(witness["unit"], dtype=np.float64)
    if original.shape != (n,) or not np.isfinite(original).all():
        raise CertificateError(f"original must hold {n} numbers.")
    if unit.shape != (n,) or not ((unit > 0) & np.isfinite(unit)).all():
        raise CertificateError(f"unit must hold {n} positive numbers.")
    fixed = np.asarray(witness["fixed"])
    if fixed.ndim != 1 or (
        len(fixed)
        and (fixed.dtype.kind not in "iu" or fixed.min() < 0 or fixed.max() >= n)
    ):
        raise CertificateError("fixed must number columns.")
    lower = np.minimum(X.min(axis=0), original)
    upper = np.maximum(X.max(axis=0), original)
    columns = fixed.astype(np.int64)
    lower[columns] = upper[columns] = original[columns]
    target, norm = int(parameters["target"]), str(parameters["norm"])
    threshold = float(parameters["threshold"])
    classes = np.unique(y)
    if not 0 <= target < len(classes):
        raise CertificateError("target must be the number of a class.")
    if not 0 < threshold < 1 or norm not in ("1", "2", "inf"):
        raise CertificateError("threshold or norm is out of range.")
    found = measure_poll(
        lambda x: distance((x - original) / unit, norm),
        lambda x: max(0.0, threshold - float(probabilities(layers, x)[target])),
        {**witness, "lower": lower, "upper": upper},
        parameters,
    )
    guess = np.argmax(probabilities(layers, X), axis=1)
    if probabilities(layers, X[:1]).shape[1] != len(classes):
        raise CertificateError("y does not fit the outputs of the network.")
    numbers = {"training_accuracy": float(np.mean(classes[guess] == y))}
    return _with(found, numbers, "the network in the witness is the classifier")


def read_layers(
    witness: Mapping[str, NDArray[Any]], n: int
) -> list[tuple[Array, Array, str]]:
    """Return the layers of a network in a witness.

    Parameters
    ----------
    witness : mapping
        With ``W0``, ``b0``, ... and ``activations``.
    n : int
        Number of inputs.

    Returns
    -------
    list of tuple
        W (inputs, outputs), b (outputs,) and the activation.
    """
    names = [str(name) for name in np.asarray(witness["activations"])]
    layers, width = [], n
    for i, name in enumerate(names):
        W = np.asarray(witness[f"W{i}"], dtype=np.float64)
        b = np.asarray(witness[f"b{i}"], dtype=np.float64)
        if W.ndim != 2 or W.shape[0] != width or b.shape != (W.shape[1],):
            raise CertificateError(f"layer {i} does not fit the one before it.")
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise CertificateError(f"layer {i} must be finite.")
        if name not in ACTIVATIONS:
            raise CertificateError(f"activations must be among {ACTIVATIONS}.")
        layers.append((W, b, name))
        width = W.shape[1]
    if not layers:
        raise CertificateError("the network has no layers.")
    return layers


def forward(layers: list[tuple[Array, Array, str]], X: Array) -> Array:
    """Return the outputs of a network.

    Parameters
    ----------
    layers : list of tuple
        Of :func:`read_layers`.
    X : ndarray of shape (m, n) or (n,)
        Inputs.

    Returns
    -------
    ndarray of shape (m, p) or (p,)
    """
    A = X
    for W, b, name in layers:
        Z = A @ W + b
        if name == "relu":
            A = np.maximum(Z, 0.0)
        elif name == "tanh":
            A = np.tanh(Z)
        elif name == "logistic":
            A = 0.5 * (1.0 + np.tanh(0.5 * Z))
        elif name == "softmax":
            Z = np.exp(Z - Z.max(axis=-1, keepdims=True))
            A = Z / Z.sum(axis=-1, keepdims=True)
        else:
            A = Z
    return A


def probabilities(layers: list[tuple[Array, Array, str]], X: Array) -> Array:
    """Return class probabilities; a single logistic output is that of class 1.

    Parameters
    ----------
    layers, X
        As in :func:`forward`.

    Returns
    -------
    ndarray of shape (m, classes) or (classes,)
    """
    P = forward(layers, X)
    return np.concatenate([1 - P, P], axis=-1) if P.shape[-1] == 1 else P


def distance(d: Array, norm: str) -> float:
    """Return the length of a move.

    Parameters
    ----------
    d : ndarray of shape (n,)
        The move.
    norm : {"1", "2", "inf"}
        Which length.

    Returns
    -------
    float
    """
    return float(np.linalg.norm(d, ord=math.inf if norm == "inf" else int(norm)))


def _with(found: Measurement, numbers: dict[str, float], text: str) -> Measurement:
    known = {k: v for k, v in found.residuals.items() if not math.isnan(v)}
    return Measurement(
        kind=found.kind,
        value=found.value,
        guarantee=found.guarantee,
        lower=found.lower,
        upper=found.upper,
        residuals={**known, **numbers},
        assumptions=(*found.assumptions, text),
    )
