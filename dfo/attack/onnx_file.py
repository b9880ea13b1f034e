"""Read a feed-forward network from an ONNX file; needs the ``onnx`` package."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfo.attack.layers import Network

Array = NDArray[np.float64]

ACTIVATIONS = {
    "Relu": "relu",
    "Tanh": "tanh",
    "Sigmoid": "logistic",
    "Softmax": "softmax",
    "Identity": "identity",
}
RESHAPING = ("Flatten", "Reshape", "Dropout", "Cast")


def read_onnx(path: Any, output: str = "default") -> Network:
    """Return the network of a file.

    Parameters
    ----------
    path : str or path
        The file.
    output : {"default", "logits"}, default="default"
        Whether a last softmax or sigmoid is left out.

    Returns
    -------
    Network

    Raises
    ------
    ImportError
        If ``onnx`` is not installed.
    NotImplementedError
        If a node is neither affine nor an activation.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ImportError("reading an ONNX file needs the onnx package.") from error
    graph = onnx.load(path).graph
    known = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    layers: list[tuple[Array, Array, str]] = []
    for node in graph.node:
        if node.op_type == "Constant":
            (attribute,) = node.attribute
            known[node.output[0]] = numpy_helper.to_array(attribute.t)
            continue
        if node.op_type in RESHAPING:
            continue
        if node.op_type in ACTIVATIONS:
            _activate(layers, node, ACTIVATIONS[node.op_type])
            continue
        W, b = _affine(node, known)
        if W.ndim < 2:  # column by column
            n = _width(layers, graph)
            W, b = np.eye(n) * W, np.broadcast_to(b, (n,)).copy()
        if layers and layers[-1][2] == "identity":  # one affine map after the other
            V, a, _ = layers.pop()
            W, b = V @ W, a @ W + b
        layers.append((np.ascontiguousarray(W), np.asarray(b, dtype=float), "identity"))
    if not layers:
        raise NotImplementedError(f"{path!r} holds no layer.")
    if output == "logits" and layers[-1][2] in ("softmax", "logistic"):
        layers[-1] = (*layers[-1][:2], "identity")
    return Network(layers)


def _activate(layers: list[tuple[Array, Array, str]], node: Any, name: str) -> None:
    if name == "identity":
        return
    if not layers or layers[-1][2] != "identity":
        raise NotImplementedError(f"node {node.name!r} of type {node.op_type} alone.")
    layers[-1] = (*layers[-1][:2], name)


def _affine(node: Any, known: dict[str, Any]) -> tuple[Array, Array]:
    """Return W and b of a node; a W of fewer than two axes scales the columns."""
    constants = [np.asarray(known[i], dtype=float) for i in node.input if i in known]
    attributes = {a.name: a for a in node.attribute}
    first = node.input[0] in known  # a constant stands on the left
    if node.op_type == "Gemm" and not first:
        W = constants[0]
        if "transB" in attributes and attributes["transB"].i:
            W = W.T
        if "transA" in attributes and attributes["transA"].i:
            raise NotImplementedError(f"node {node.name!r}: Gemm with transA.")
        alpha = attributes["alpha"].f if "alpha" in attributes else 1.0
        beta = attributes["beta"].f if "beta" in attributes else 1.0
        b = constants[1].ravel() if len(constants) > 1 else np.zeros(W.shape[1])
        return alpha * W, np.broadcast_to(beta * b, (W.shape[1],)).copy()
    if node.op_type == "MatMul" and len(constants) == 1 and not first:
        return constants[0], np.zeros(constants[0].shape[1])
    if len(constants) == 1 and max(constants[0].shape[:-1], default=1) == 1:
        c = constants[0].ravel() if constants[0].ndim else constants[0]
        one = np.ones_like(c)
        if node.op_type == "Add":
            return one, c
        if node.op_type == "Sub":
            return (-one, c) if first else (one, -c)
        if node.op_type == "Mul":
            return c, np.zeros_like(c)
        if node.op_type == "Div" and not first:
            return 1.0 / c, np.zeros_like(c)
    raise NotImplementedError(
        f"node {node.name!r} of type {node.op_type} is neither affine nor known."
    )


def _width(layers: list[tuple[Array, Array, str]], graph: Any) -> int:
    """Return the number of columns at this place of the graph."""
    if layers:
        return int(layers[-1][0].shape[1])
    sizes = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    return int(sizes[-1])
