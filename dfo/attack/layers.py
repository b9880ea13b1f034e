"""Layers as functions: values, and products with the Jacobian, in NumPy.

Forward: ``A_0 = X``, ``A_{l+1} = phi(A_l W_l + b_l)``. Backward: with U the weights of
the outputs, ``G_l = (G_{l+1} * phi'(A_{l+1})) W_l'``, which is one vector-Jacobian
product for every row. Arrays of CuPy stay on their device (_array.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import ArrayLike, NDArray

from dfo.attack._array import ArrayLayers, on_device

Array = NDArray[np.float64]

# Column by column differences of a black box: the cube root of the rounding error.
DIFFERENCE = 6e-6


class Network:
    """A function from rows (m, n) to rows (m, p), with derivatives.

    Parameters
    ----------
    layers : list of tuple
        ``(W, b, activation)`` of every layer: W (inputs, outputs), b (outputs,).

    Attributes
    ----------
    n_inputs, n_outputs : int
        Sizes.
    white_box : bool
        Whether derivatives are exact.
    """

    white_box = True

    def __init__(self, layers: list[tuple[Array, Array, str]]) -> None:
        self.layers = layers
        self.n_inputs = layers[0][0].shape[0]
        self.n_outputs = layers[-1][0].shape[1]
        self._transposed = [np.ascontiguousarray(W.T) for W, _, _ in layers]
        self._moved: ArrayLayers | None = None

    def _beside(self, X: Any) -> ArrayLayers:
        """Return the layers on the device of X; those of the last call are kept."""
        if self._moved is None or not self._moved.fits(X):
            self._moved = ArrayLayers(self.layers, X)
        return self._moved

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_moved": None}

    def forward(self, X: ArrayLike) -> Array:
        """Return the outputs.

        Parameters
        ----------
        X : array-like of shape (m, n) or (n,)
            Inputs.

        Returns
        -------
        ndarray of shape (m, p) or (p,)
            On the device of X.
        """
        if on_device(X):
            return self._beside(X).forward(X)
        A = np.asarray(X, dtype=np.float64)
        for W, b, activation in self.layers:
            A = A @ W
            A += b
            A = _activate(A, activation)
        return A

    def vjp(self, X: ArrayLike, U: ArrayLike) -> tuple[Array, Array]:
        """Return the outputs and ``J(x)' u`` of every row.

        Parameters
        ----------
        X : array-like of shape (m, n) or (n,)
            Inputs.
        U : array-like of shape (m, p) or (p,)
            Weights of the outputs.

        Returns
        -------
        Y : ndarray of shape (m, p) or (p,)
        G : ndarray of shape (m, n) or (n,)
        """
        if on_device(X):
            return self._beside(X).vjp(X, U)
        A = np.asarray(X, dtype=np.float64)
        outputs = []
        for W, b, activation in self.layers:
            A = A @ W
            A += b
            A = _activate(A, activation)
            outputs.append(A)
        G = np.asarray(U, dtype=np.float64)
        for i in range(len(self.layers) - 1, -1, -1):
            G = _backward(G, outputs[i], self.layers[i][2]) @ self._transposed[i]
        return A, G

    def jvp(self, X: ArrayLike, V: ArrayLike) -> tuple[Array, Array]:
        """Return the outputs and ``J(x) v`` of every row.

        Parameters
        ----------
        X, V : array-like of shape (m, n) or (n,)
            Inputs and directions.

        Returns
        -------
        Y, D : ndarray of shape (m, p) or (p,)
        """
        if on_device(X):
            return self._beside(X).jvp(X, V)
        A = np.asarray(X, dtype=np.float64)
        D = np.asarray(V, dtype=np.float64)
        for W, b, activation in self.layers:
            A = _activate(A @ W + b, activation)
            D = _backward(D @ W, A, activation)  # every factor here is symmetric
        return A, D

    def jacobian(self, x: ArrayLike) -> Array:
        """Return the Jacobian at one point.

        Parameters
        ----------
        x : array-like of shape (n,)
            Input.

        Returns
        -------
        ndarray of shape (p, n)
        """
        x = np.asarray(x, dtype=np.float64)
        p = self.n_outputs
        return self.vjp(np.tile(x, (p, 1)), np.eye(p))[1]


class BinaryNetwork(Network):
    """A classifier with one logistic output p, shown as ``[1 - p, p]``."""

    def __init__(self, layers: list[tuple[Array, Array, str]]) -> None:
        super().__init__(layers)
        self.n_outputs = 2

    def forward(self, X: ArrayLike) -> Array:
        """Return both probabilities; see :meth:`Network.forward`."""
        return _both(super().forward(X))

    def vjp(self, X: ArrayLike, U: ArrayLike) -> tuple[Array, Array]:
        """Return outputs and products; see :meth:`Network.vjp`."""
        U = _rows(U)
        p, G = super().vjp(X, U[..., 1:] - U[..., :1])
        return _both(p), G

    def jvp(self, X: ArrayLike, V: ArrayLike) -> tuple[Array, Array]:
        """Return outputs and products; see :meth:`Network.jvp`."""
        p, D = super().jvp(X, V)
        return _both(p), _both(D, total=0.0)


class BlackBox:
    """Any function of rows, with differences unless its vjp is given.

    Parameters
    ----------
    fun : callable
        Maps rows (m, n) to rows (m, p).
    vjp : callable, optional
        ``vjp(X, U)`` returns outputs and products.
    """

    def __init__(
        self, fun: Callable[[Array], Any], vjp: Callable[..., Any] | None = None
    ) -> None:
        self.fun, self._vjp = fun, vjp
        self.white_box = vjp is not None
        self.n_inputs = self.n_outputs = -1  # whatever the function takes

    def forward(self, X: ArrayLike) -> Array:
        """Return the outputs; see :meth:`Network.forward`."""
        X = np.asarray(X, dtype=np.float64)
        Y = np.asarray(self.fun(np.atleast_2d(X)), dtype=np.float64)
        if Y.ndim == 1:
            Y = Y[:, None]
        if Y.ndim != 2 or len(Y) != len(np.atleast_2d(X)):
            raise TypeError(
                f"network returned shape {Y.shape} for inputs of shape {X.shape}; it "
                "must map rows to rows."
            )
        return Y[0] if X.ndim == 1 else Y

    def vjp(self, X: ArrayLike, U: ArrayLike) -> tuple[Array, Array]:
        """Return outputs and products; see :meth:`Network.vjp`."""
        X, U = np.asarray(X, dtype=np.float64), np.asarray(U, dtype=np.float64)
        if self._vjp is not None:
            Y, G = self._vjp(np.atleast_2d(X), np.atleast_2d(U))
            Y, G = np.asarray(Y, dtype=np.float64), np.asarray(G, dtype=np.float64)
            return (Y[0], G[0]) if X.ndim == 1 else (Y, G)
        if X.ndim == 1:
            return self.forward(X), self.jacobian(X).T @ U
        pairs = [self.jacobian(x).T @ u for x, u in zip(X, U, strict=True)]
        return self.forward(X), np.array(pairs)

    def jvp(self, X: ArrayLike, V: ArrayLike) -> tuple[Array, Array]:
        """Return outputs and central differences; see :meth:`Network.jvp`."""
        X, V = np.asarray(X, dtype=np.float64), np.asarray(V, dtype=np.float64)
        t = DIFFERENCE
        return self.forward(X), (self.forward(X + t * V) - self.forward(X - t * V)) / (
            2 * t
        )

    def jacobian(self, x: ArrayLike) -> Array:
        """Return central differences; see :meth:`Network.jacobian`."""
        x = np.asarray(x, dtype=np.float64)
        t = DIFFERENCE * np.maximum(1.0, np.abs(x))
        steps = np.diag(t)
        rise = self.forward(x + steps) - self.forward(x - steps)
        return (rise / (2 * t[:, None])).T


class Chain:
    """Networks one after the other.

    Parameters
    ----------
    parts : list of network
        The first sees the inputs.
    """

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts
        self.n_inputs, self.n_outputs = parts[0].n_inputs, parts[-1].n_outputs
        self.white_box = all(part.white_box for part in parts)

    def forward(self, X: ArrayLike) -> Array:
        """Return the outputs; see :meth:`Network.forward`."""
        A = _rows(X)
        for part in self.parts:
            A = part.forward(A)
        return A

    def vjp(self, X: ArrayLike, U: ArrayLike) -> tuple[Array, Array]:
        """Return outputs and products; see :meth:`Network.vjp`."""
        inputs = [_rows(X)]
        for part in self.parts[:-1]:
            inputs.append(part.forward(inputs[-1]))
        Y, G = self.parts[-1].vjp(inputs[-1], U)
        for part, A in zip(self.parts[-2::-1], inputs[-2::-1], strict=True):
            G = part.vjp(A, G)[1]
        return Y, G

    def jvp(self, X: ArrayLike, V: ArrayLike) -> tuple[Array, Array]:
        """Return outputs and products; see :meth:`Network.jvp`."""
        A, D = _rows(X), _rows(V)
        for part in self.parts:
            A, D = part.jvp(A, D)
        return A, D

    def jacobian(self, x: ArrayLike) -> Array:
        """Return the Jacobian at one point; see :meth:`Network.jacobian`."""
        A = np.asarray(x, dtype=np.float64)
        J = None
        for part in self.parts:
            step = part.jacobian(A)
            J = step if J is None else step @ J
            A = part.forward(A)
        assert J is not None
        return J


def _rows(X: Any) -> Any:
    """Return X as an array of doubles; on a device as it is."""
    return X if on_device(X) else np.asarray(X, dtype=np.float64)


def _both(p: Any, total: float = 1.0) -> Any:
    """Return the columns ``total - p`` and p."""
    xp = array_namespace(p) if on_device(p) else np
    return xp.concat([total - p, p], axis=-1)


def _activate(Z: Array, activation: str) -> Array:
    if activation == "relu":
        return np.maximum(Z, 0.0, out=Z)
    if activation == "tanh":
        return np.tanh(Z, out=Z)
    if activation == "logistic":
        Z *= 0.5
        np.tanh(Z, out=Z)
        Z += 1.0
        Z *= 0.5
        return Z
    if activation == "softmax":
        Z = Z - Z.max(axis=-1, keepdims=True)
        np.exp(Z, out=Z)
        Z /= Z.sum(axis=-1, keepdims=True)
    return Z


def _backward(G: Array, A: Array, activation: str) -> Array:
    """Multiply by the (symmetric) derivative of an activation with outputs A."""
    if activation == "relu":
        return G * (A > 0)
    if activation == "tanh":
        return G * (1.0 - A * A)
    if activation == "logistic":
        return G * (A * (1.0 - A))
    if activation == "softmax":
        return A * (G - (G * A).sum(axis=-1, keepdims=True))
    return G
