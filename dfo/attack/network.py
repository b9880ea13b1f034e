"""Read fitted models, pipelines, weights and files as networks with derivatives."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from dfo.attack.layers import BinaryNetwork, BlackBox, Chain, Network

Array = NDArray[np.float64]

HIDDEN = ("identity", "relu", "tanh", "logistic")
OUTPUTS = (*HIDDEN, "softmax")


def as_network(
    obj: Any, *, output: str = "default", vjp: Callable[..., Any] | None = None
) -> Any:
    """Turn a fitted model into a function with derivatives.

    Parameters
    ----------
    obj : object
        A fitted ``MLPRegressor`` or ``MLPClassifier``, a ``Pipeline`` of scalers or PCA
        and one of those, a fitted one-hidden-layer estimator with ``coefs_`` and
        ``intercepts_``, a triple ``(weights, biases, activation)``, the path of an ONNX
        file, a network, or any function of rows.
    output : {"default", "logits"}, default="default"
        Whether the last softmax or logistic is left out.
    vjp : callable, optional
        Of a function: ``vjp(X, U)`` returns outputs and ``J' u``.

    Returns
    -------
    network
        With ``n_inputs``, ``n_outputs``, ``forward``, ``vjp``, ``jvp``, ``jacobian``.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If the weights do not fit together.
    TypeError
        If nothing is known about such an object.

    Examples
    --------
    >>> import numpy as np
    >>> from dfo import as_network
    >>> net = as_network(([np.ones((2, 1))], [np.zeros(1)], "relu"))
    >>> net.forward([1.0, 2.0]), net.jacobian([1.0, 2.0])
    (array([3.]), array([[1., 1.]]))
    """
    if output not in ("default", "logits"):
        raise ValueError(f"output={output!r} must be 'default' or 'logits'.")
    if all(hasattr(obj, name) for name in ("forward", "vjp", "jvp", "jacobian")):
        return obj
    if isinstance(obj, str | bytes) or hasattr(obj, "__fspath__"):
        from dfo.attack.onnx_file import read_onnx

        return read_onnx(obj, output)
    if isinstance(obj, tuple) and len(obj) == 3:
        return _from_triple(*obj, output)
    if hasattr(obj, "steps"):
        return _from_pipeline(obj, output)
    if hasattr(obj, "fit"):
        check_is_fitted(obj)
        return _from_estimator(obj, output)
    if callable(obj):
        return BlackBox(obj, vjp)
    raise TypeError(
        f"obj of type {type(obj).__name__} is no network; pass a fitted scikit-learn "
        "network or pipeline, (weights, biases, activation), an ONNX file or callable."
    )


def _from_triple(weights: Any, biases: Any, activation: Any, output: str) -> Network:
    activations = activation if isinstance(activation, list | tuple) else None
    if len(weights) != len(biases) or not len(weights):
        raise ValueError(
            f"weights ({len(weights)}) and biases ({len(biases)}) must be equally many."
        )
    layers = []
    for i, (W, b) in enumerate(zip(weights, biases, strict=True)):
        last = i == len(weights) - 1
        if activations is not None:
            name = activations[i]
        else:  # one name is that of the hidden layers, and the output is linear
            name = "identity" if last and len(weights) > 1 else activation
        if name not in OUTPUTS or (name == "softmax" and not last):
            raise ValueError(
                f"activation={name!r} must be one of {OUTPUTS}, softmax only last."
            )
        if last and output == "logits" and name in ("softmax", "logistic"):
            name = "identity"
        layers.append(_layer(W, b, name))
        if i and layers[i - 1][0].shape[1] != layers[i][0].shape[0]:
            raise ValueError(f"weights[{i}] do not fit weights[{i - 1}].")
    return Network(layers)


def _layer(W: Any, b: Any, activation: str) -> tuple[Array, Array, str]:
    W = np.ascontiguousarray(W, dtype=np.float64)
    b = np.ascontiguousarray(b, dtype=np.float64)
    if W.ndim != 2 or b.shape != (W.shape[1],):
        raise ValueError(
            f"weights of shape {W.shape} and biases of shape {b.shape} do not fit: W "
            "is (inputs, outputs), b is (outputs,)."
        )
    return W, b, activation


def _from_estimator(model: Any, output: str) -> Any:
    if hasattr(model, "coefs_") and hasattr(model, "out_activation_"):
        last = len(model.coefs_) - 1
        final = "identity" if output == "logits" else model.out_activation_
        layers = [
            _layer(W, b, final if i == last else model.activation)
            for i, (W, b) in enumerate(
                zip(model.coefs_, model.intercepts_, strict=True)
            )
        ]
        binary = final == "logistic" and layers[-1][0].shape[1] == 1
        if binary and hasattr(model, "classes_") and len(model.classes_) == 2:
            return BinaryNetwork(layers)
        return Network(layers)
    affine = affine_part(model)
    if affine is not None:
        return Network([affine])
    if hasattr(model, "to_mlp"):
        return _from_estimator(model.to_mlp(), output)
    for name in ("predict_proba", "decision_function", "predict"):
        if hasattr(model, name) and (name != "predict_proba" or output != "logits"):
            return BlackBox(getattr(model, name))
    raise TypeError(f"{type(model).__name__} has no outputs that are known here.")


def _from_pipeline(pipeline: Any, output: str) -> Any:
    parts = []
    for _, step in pipeline.steps[:-1]:
        if step is None or step == "passthrough":
            continue
        check_is_fitted(step)
        affine = affine_part(step)
        parts.append(
            Network([affine]) if affine is not None else BlackBox(step.transform)
        )
    final = pipeline.steps[-1][1]
    check_is_fitted(final)
    parts.append(_from_estimator(final, output))
    if all(isinstance(part, Network) for part in parts):
        last = parts[-1]
        layers = _merged([layer for part in parts for layer in part.layers])
        return type(last)(layers)
    return Chain(parts) if len(parts) > 1 else parts[0]


def _merged(layers: list[tuple[Array, Array, str]]) -> list[tuple[Array, Array, str]]:
    """Multiply affine layers into the layer that follows them."""
    merged: list[tuple[Array, Array, str]] = []
    for W, b, activation in layers:
        if merged and merged[-1][2] == "identity":
            V, a, _ = merged.pop()
            W, b = V @ W, a @ W + b
        merged.append((np.ascontiguousarray(W), b, activation))
    return merged


def affine_part(step: Any) -> tuple[Array, Array, str] | None:
    """Return a fitted transformer ``x -> x W + b`` as a layer, None if it is not one.

    Parameters
    ----------
    step : transformer
        Fitted.

    Returns
    -------
    tuple or None
        W, b and ``"identity"``.
    """
    name = type(step).__name__
    if name == "StandardScaler":
        n = step.n_features_in_
        scale = np.ones(n) if step.scale_ is None else np.asarray(step.scale_)
        mean = np.zeros(n) if not step.with_mean else np.asarray(step.mean_)
        return np.diag(1 / scale), -mean / scale, "identity"
    if name == "MinMaxScaler" and not step.clip:
        return np.diag(step.scale_), np.asarray(step.min_, dtype=float), "identity"
    if name == "PCA":
        W = step.components_.T.copy()
        if step.whiten:
            W = W / np.sqrt(step.explained_variance_)
        return W, -step.mean_ @ W, "identity"
    return None
