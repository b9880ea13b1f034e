"""Layers of a trained ReLU network: outputs, gradients, and bounds over boxes."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOAT_EPS = float(np.finfo(np.float64).eps)


class Network(NamedTuple):
    """Weights of a ReLU network, output layer last."""

    weights: list[Array]
    biases: list[Array]
    n_classes: int  # 0 for a regressor

    @classmethod
    def of(cls, model: Any) -> "Network":
        """Read the weights of a fitted estimator, or raise ValueError."""
        layout = hasattr(model, "coefs_") and hasattr(model, "intercepts_")
        if not layout or getattr(model, "activation", "relu") != "relu":
            raise ValueError(
                f"model={type(model).__name__} must be a fitted network with "
                "activation='relu' and the attributes coefs_ and intercepts_."
            )
        weights = [np.asarray(W, dtype=np.float64) for W in model.coefs_]
        biases = [np.asarray(b, dtype=np.float64) for b in model.intercepts_]
        return cls(weights, biases, len(getattr(model, "classes_", ())))

    def forward(self, X: Array) -> tuple[Array, list[NDArray[np.bool_]]]:
        """Return the output (n, C) and which units of each hidden layer are on."""
        on = []
        h = X
        for W, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            h = h @ W + b
            on.append(h > 0)
            h = np.maximum(h, 0.0)
        return h @ self.weights[-1] + self.biases[-1], on

    def backward(self, direction: Array, on: list[NDArray[np.bool_]]) -> Array:
        """Return the gradient (n, d) of ``direction'output``."""
        g = direction @ self.weights[-1].T
        for W, active in zip(self.weights[-2::-1], on[::-1], strict=True):
            g = (g * active) @ W.T
        return g

    def contrast(self, targets: NDArray[np.intp], other: int) -> Array:
        """Return the combination (n, C) of outputs: own class less another."""
        if self.weights[-1].shape[1] == 1:
            return np.where(targets == 1, 1.0, -1.0)[:, None]
        c = np.zeros((len(targets), self.n_classes))
        c[np.arange(len(targets)), targets] = 1.0
        c[:, other] -= 1.0
        return c


def least_output(network: Network, low: Array, high: Array, against: Array) -> Array:
    """Bound ``against'output`` (n,) from below over boxes, rounding included."""
    intervals, magnitude, terms = _intervals(network, low, high)
    last, bias = network.weights[-1], network.biases[-1]
    size = (magnitude @ np.abs(last) + np.abs(bias)) * np.abs(against)
    # Every number of the forward and of the backward pass is a sum of such terms.
    terms = 4 * (terms + len(last) + against.shape[1] + 8)
    allowance = terms * FLOAT_EPS * size.sum(axis=1)
    bounds = [
        _linear_bound(network, low, high, against, intervals, leaning=leaning)
        for leaning in (False, True)
    ]
    best: Array = np.maximum(*bounds) - allowance
    return best


def _intervals(
    network: Network, low: Array, high: Array
) -> tuple[list[tuple[Array, Array]], Array, int]:
    """Return the interval of the input of each hidden unit, rounded outwards.

    Also the largest size of what is added up in the last hidden layer, and the number
    of roundings on the way.
    """
    intervals = []
    magnitude = np.maximum(np.abs(low), np.abs(high))
    terms = 0
    for W, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        positive, negative = np.maximum(W, 0.0), np.minimum(W, 0.0)
        lower = low @ positive + high @ negative + bias
        upper = high @ positive + low @ negative + bias
        magnitude = magnitude @ np.abs(W) + np.abs(bias)
        terms += 2 * len(W) + 8
        room = terms * FLOAT_EPS * magnitude
        intervals.append((lower - room, upper + room))
        low, high = np.maximum(lower - room, 0.0), np.maximum(upper + room, 0.0)
    return intervals, magnitude, terms


def _linear_bound(
    network: Network,
    low: Array,
    high: Array,
    g: Array,
    intervals: list[tuple[Array, Array]],
    *,
    leaning: bool,
) -> Array:
    """Bound ``g'output`` from below by going backwards through lines.

    A unit that is open to both signs lies below the chord of its interval and above 0;
    with ``leaning``, above the line of slope 1 where its interval leans to the right.
    """
    constant = g @ network.biases[-1]
    g = g @ network.weights[-1].T
    layers = zip(
        network.weights[-2::-1], network.biases[-2::-1], intervals[::-1], strict=True
    )
    for W, bias, (lower, upper) in layers:
        is_open = (lower < 0) & (upper > 0)
        on = (lower >= 0).astype(np.float64)
        chord = np.where(is_open, upper / np.where(is_open, upper - lower, 1.0), on)
        floor = np.where(is_open & (upper > -lower), 1.0, on) if leaning else on
        falling = g < 0
        constant = constant - np.sum(g * chord * lower * (is_open & falling), axis=1)
        g = g * np.where(falling, chord, floor)
        constant = constant + g @ bias
        g = g @ W.T
    bound: Array = constant + np.sum(g * np.where(g > 0, low, high), axis=1)
    return bound
