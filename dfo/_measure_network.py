"""Outputs and losses of many small networks at once, in NumPy.

The parameters of a network are one vector: weights (inputs, outputs) in C order, then
biases, layer by layer. A layer computes ``activation(X W + b)`` and, with batch
normalisation, ``(z - mean) / sqrt(std^2 + 1e-4)`` of that, with the standard deviation
of the batch (ddof 1). The last layer of a regression is linear.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistics = list[tuple[Array, Array]]

BATCH_NORM_EPSILON = 1e-4  # of arXiv:1909.09249
HUBER_DELTA = 1.35  # 95 % efficiency at the normal distribution (Huber, 1981)

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda z: np.maximum(z, 0.0),
    "tanh": np.tanh,
    "logistic": lambda z: 0.5 * (1.0 + np.tanh(0.5 * z)),
    "identity": lambda z: z,
    "step": lambda z: (z > 0).astype(np.float64),
}
CLASS_LOSSES = ("log_loss", "zero_one")
VALUE_LOSSES = ("squared", "absolute", "huber")


class Network(NamedTuple):
    """Shape of a network.

    Parameters
    ----------
    sizes : tuple of int
        Units of every layer, inputs first.
    activation : str
        Of every layer; the last layer has it only before batch normalisation.
    batch_norm : bool
        Whether layers are normalised.
    classifier : bool
        Whether the outputs are logits.
    """

    sizes: tuple[int, ...]
    activation: str
    batch_norm: bool
    classifier: bool

    @property
    def n_parameters(self) -> int:
        """Length of the parameter vector."""
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        return sum((inputs + 1) * outputs for inputs, outputs in pairs)


def layers(network: Network, theta: Array) -> list[tuple[Array, Array]]:
    """Cut parameter vectors into weights and biases.

    Parameters
    ----------
    network : Network
        The shape.
    theta : ndarray of shape (P, D)
        One network a row.

    Returns
    -------
    list of tuple of ndarray
        ``W`` (P, inputs, outputs) and ``b`` (P, outputs) of each layer.
    """
    cut, begin = [], 0
    for inputs, outputs in zip(network.sizes, network.sizes[1:], strict=False):
        middle = begin + inputs * outputs
        W = theta[:, begin:middle].reshape(len(theta), inputs, outputs)
        cut.append((W, theta[:, middle : middle + outputs]))
        begin = middle + outputs
    return cut


def forward(
    network: Network, theta: Array, X: Array, statistics: Statistics | None = None
) -> tuple[Array, Statistics]:
    """Compute the outputs of several networks.

    Parameters
    ----------
    network : Network
        The shape.
    theta : ndarray of shape (P, D)
        One network a row.
    X : ndarray of shape (n, inputs)
        Data.
    statistics : list of tuple of ndarray, optional
        Mean and standard deviation (P, outputs) of each layer; None takes those of X.

    Returns
    -------
    outputs : ndarray of shape (P, n, outputs)
    statistics : list of tuple of ndarray
        Those that were used.
    """
    activation = ACTIVATIONS[network.activation]
    cut = layers(network, theta)
    used: Statistics = []
    hidden: Array = X
    for number, (W, b) in enumerate(cut):
        hidden = _affine(hidden, W) + b[:, None, :]
        last = number == len(cut) - 1
        if last and not (network.batch_norm and network.classifier):
            break
        hidden = activation(hidden)
        if network.batch_norm:
            mean, std = _moments(hidden) if statistics is None else statistics[number]
            used.append((mean, std))
            spread = np.sqrt(std**2 + BATCH_NORM_EPSILON)
            hidden = (hidden - mean[:, None, :]) / spread[:, None, :]
    return hidden, used


def _affine(hidden: Array, W: Array) -> Array:
    """Multiply; the data that all networks share take one matrix product."""
    if hidden.ndim == 3:
        return np.matmul(hidden, W)
    P, inputs, outputs = W.shape
    wide = W.transpose(1, 0, 2).reshape(inputs, P * outputs)
    product = (hidden @ wide).reshape(len(hidden), P, outputs)
    return product.transpose(1, 0, 2)


def _moments(hidden: Array) -> tuple[Array, Array]:
    mean = hidden.mean(axis=1)
    if hidden.shape[1] < 2:
        return mean, np.zeros_like(mean)
    return mean, hidden.std(axis=1, ddof=1)


def losses(
    network: Network,
    theta: Array,
    X: Array,
    targets: NDArray[Any],
    loss: str | Callable[[Array, Array], Any],
    alpha: float,
    n: int,
) -> Array:
    """Return the mean loss of several networks, plus ``alpha / (2 n) |W|^2``.

    Parameters
    ----------
    network : Network
        The shape.
    theta : ndarray of shape (P, D)
        One network a row.
    X : ndarray of shape (m, inputs)
        Data, possibly a batch.
    targets : ndarray of shape (m,) of int, or (m, outputs)
        Index of the class, or target values.
    loss : str or callable
        One of the losses; a callable maps outputs (m, outputs) and targets to the
        losses of the rows.
    alpha : float
        Weight of the penalty against the sum of losses.
    n : int
        Rows of the whole training set.

    Returns
    -------
    ndarray of shape (P,)
        Cross-entropy is divided by the number of classes.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        outputs, _ = forward(network, theta, X)
        if callable(loss):
            rows = np.array([np.mean(loss(output, targets)) for output in outputs])
        elif network.classifier:
            rows = _class_losses(outputs, targets, loss)
        else:
            rows = _value_losses(outputs, targets, loss)
    if alpha == 0:
        return rows
    squares = [np.sum(W * W, axis=(1, 2)) for W, _ in layers(network, theta)]
    penalty: Array = np.sum(squares, axis=0) * (0.5 * alpha / n)
    return rows + penalty


def _class_losses(outputs: Array, targets: NDArray[Any], loss: str) -> Array:
    P, m, classes = outputs.shape
    if loss == "zero_one":
        return (outputs.argmax(axis=2) != targets).mean(axis=1)
    top = outputs.max(axis=2, keepdims=True)
    shifted = outputs - top
    log_sum = np.log(np.exp(shifted).sum(axis=2))
    right = shifted[:, np.arange(m), targets]
    return (log_sum - right).mean(axis=1) / classes


def _value_losses(outputs: Array, targets: Array, loss: str) -> Array:
    r = np.abs(outputs - targets.reshape(outputs.shape[1:]))
    if loss == "squared":
        r = 0.5 * r * r
    elif loss == "huber":
        curved = np.minimum(r, HUBER_DELTA)
        r = curved * (r - 0.5 * curved)
    return r.sum(axis=2).mean(axis=1)
