"""Layers in array-API style, for large batches that lie on a GPU."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj

from farkas.backend import to_device


def on_device(X: Any) -> bool:
    """Tell whether X is an array of another library than NumPy."""
    return not isinstance(X, np.ndarray) and is_array_api_obj(X)


class ArrayLayers:
    """The layers of a network, moved to where X lies; see ``layers.Network``.

    Parameters
    ----------
    layers : list of tuple
        ``(W, b, activation)`` of every layer, on the host.
    X : array
        Whose library and device are taken.
    """

    def __init__(self, layers: list[tuple[Any, Any, str]], X: Any) -> None:
        self.xp, self.device = array_namespace(X), device(X)
        self.layers = [
            (self._move(W), self._move(b), activation) for W, b, activation in layers
        ]

    def fits(self, X: Any) -> bool:
        """Tell whether X lies where the layers lie."""
        return array_namespace(X) is self.xp and device(X) == self.device

    def forward(self, X: Any) -> Any:
        """Return the outputs."""
        return self._outputs(X)[-1]

    def vjp(self, X: Any, U: Any) -> tuple[Any, Any]:
        """Return the outputs and ``J(x)' u`` of every row."""
        outputs = self._outputs(X)
        G = U
        for (W, _, activation), A in zip(self.layers[::-1], outputs[::-1], strict=True):
            G = self._backward(G, A, activation) @ self.xp.matrix_transpose(W)
        return outputs[-1], G

    def jvp(self, X: Any, V: Any) -> tuple[Any, Any]:
        """Return the outputs and ``J(x) v`` of every row."""
        outputs = self._outputs(X)
        D = V
        for (W, _, activation), A in zip(self.layers, outputs, strict=True):
            D = self._backward(D @ W, A, activation)
        return outputs[-1], D

    def _outputs(self, X: Any) -> list[Any]:
        A, outputs = X, []
        for W, b, activation in self.layers:
            A = self._activate(A @ W + b, activation)
            outputs.append(A)
        return outputs

    def _activate(self, Z: Any, activation: str) -> Any:
        xp = self.xp
        if activation == "relu":
            return xp.where(Z > 0, Z, xp.zeros_like(Z))
        if activation == "tanh":
            return xp.tanh(Z)
        if activation == "logistic":
            return 0.5 * (1.0 + xp.tanh(0.5 * Z))
        if activation == "softmax":
            E = xp.exp(Z - xp.max(Z, axis=-1, keepdims=True))
            return E / xp.sum(E, axis=-1, keepdims=True)
        return Z

    def _backward(self, G: Any, A: Any, activation: str) -> Any:
        xp = self.xp
        if activation == "relu":
            return xp.where(A > 0, G, xp.zeros_like(G))
        if activation == "tanh":
            return G * (1.0 - A * A)
        if activation == "logistic":
            return G * (A * (1.0 - A))
        if activation == "softmax":
            return A * (G - xp.sum(G * A, axis=-1, keepdims=True))
        return G

    def _move(self, a: Any) -> Any:
        return to_device(np.ascontiguousarray(a), self.xp, self.device)
