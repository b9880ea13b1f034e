"""Figures: losses above their floor, optimizer races, circuits on the Bloch sphere.

matplotlib is the extra ``farkas[plot]``. Every function draws on the axes it gets, or
on new ones, and returns them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farkas.plotting import BLUE, GREEN, GREY, ORANGE

Array = NDArray[np.float64]

_STYLES = (
    (BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (GREY, ":"), (BLUE, "--"),
    (ORANGE, "-"),
)  # fmt: skip


def _axes(ax: Any, size: tuple[float, float] = (5.6, 3.6)) -> Any:
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=size, layout="constrained").add_subplot()
    return ax


def _tidy(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, lw=0.6)


def plot_loss(model: Any, *, ax: Any = None) -> Any:
    """Draw the loss of a fit above the floor that no circuit can pass.

    Parameters
    ----------
    model : VariationalQuantumClassifier
        Fitted, with a certificate.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from quantum import VariationalQuantumClassifier, plot_loss
    >>> X, y = [[0.0, 0.1], [0.2, 1.0], [1.0, 0.0], [1.2, 1.1]], [0, 1, 1, 0]
    >>> model = VariationalQuantumClassifier(max_iter=1000, random_state=0).fit(X, y)
    >>> plot_loss(model).get_ylabel()
    'training loss'
    """
    ax = _axes(ax)
    certificate = model.certificate_
    if certificate is None:
        raise ValueError("the model has no certificate; fit it with certify='full'.")
    iterations = model.history_["iteration"]
    ax.plot(iterations, model.loss_curve_, color=BLUE, lw=1.8, label="this circuit")
    if np.isfinite(certificate.lower):
        ax.axhline(
            certificate.lower, color=ORANGE, ls="--", lw=1.6,
            label="floor of all circuits",
        )  # fmt: skip
        best = certificate.residuals["loss"]
        ax.axhspan(certificate.lower, best, color=GREY, alpha=0.18, lw=0, label="gap")
    ax.set(xlabel="iteration", ylabel="training loss")
    _tidy(ax)
    ax.legend(frameon=False, loc="upper right")
    return ax


def plot_race(models: Mapping[str, Any], *, x: str = "nfev", ax: Any = None) -> Any:
    """Draw the losses of several fits against the work they took.

    Parameters
    ----------
    models : mapping of str to estimator
        Fitted classifiers by name.
    x : {"nfev", "elapsed"}, default="nfev"
        Loss evaluations, or seconds.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if x not in ("nfev", "elapsed"):
        raise ValueError(f"x={x!r} must be 'nfev' or 'elapsed'.")
    ax = _axes(ax)
    for k, (name, model) in enumerate(models.items()):
        colour, style = _STYLES[k % len(_STYLES)]
        best = np.minimum.accumulate(model.loss_curve_)
        ax.plot(model.history_[x], best, color=colour, ls=style, lw=1.6, label=name)
    floors = [m.certificate_.lower for m in models.values() if m.certificate_]
    if floors and np.isfinite(max(floors)):
        ax.axhline(max(floors), color=GREY, lw=1.2, label="floor of all circuits")
    ax.set_xscale("log")
    labels = {"nfev": "loss evaluations", "elapsed": "seconds"}
    ax.set(xlabel=labels[x], ylabel="best training loss")
    _tidy(ax)
    ax.legend(frameon=False)
    return ax


def plot_gradient_variance(results: Mapping[str, Any], *, ax: Any = None) -> Any:
    """Draw the variance of a gradient entry against the number of qubits.

    Parameters
    ----------
    results : mapping of str to dict
        Results of :func:`quantum.gradient_variance` by name.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    for k, (name, result) in enumerate(results.items()):
        colour, style = _STYLES[k % len(_STYLES)]
        label = f"{name}: {result['slope']:.2f} per qubit"
        ax.semilogy(
            result["qubits"], result["variance"], marker="o", base=2, color=colour,
            ls=style, label=label,
        )  # fmt: skip
    ax.set(xlabel="qubits", ylabel="variance of the gradient")
    _tidy(ax)
    ax.legend(frameon=False)
    return ax


def plot_kernel(K: ArrayLike, y: ArrayLike | None = None, *, ax: Any = None) -> Any:
    """Draw a kernel matrix, rows sorted by label.

    Parameters
    ----------
    K : array-like of shape (N, N)
        Kernel.
    y : array-like of shape (N,), optional
        Labels.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax, (4.4, 4.0))
    K = np.asarray(K, dtype=float)
    order = np.arange(len(K)) if y is None else np.argsort(np.asarray(y), kind="stable")
    ax.imshow(K[np.ix_(order, order)], cmap="viridis", vmin=0.0, vmax=1.0)
    ax.set(xlabel="sample", ylabel="sample")
    return ax


def plot_bloch(
    states: ArrayLike, y: ArrayLike, effect: ArrayLike | None = None, *, ax: Any = None
) -> Any:
    """Draw states of one qubit on the Bloch sphere, and a measurement as its axis.

    Parameters
    ----------
    states : array-like of shape (N, 2), complex
        One state a row.
    y : array-like of shape (N,)
        Two labels.
    effect : array-like of shape (2, 2), optional
        Effect of the second class; its axis points to the states that it accepts.
    ax : mpl_toolkits.mplot3d.Axes3D, optional
        Where to draw.

    Returns
    -------
    mpl_toolkits.mplot3d.Axes3D
    """
    points = bloch_vectors(states)
    if ax is None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.6, 4.4), layout="constrained")
        ax = figure.add_subplot(projection="3d")
    u, v = np.mgrid[0 : 2 * np.pi : 25j, 0 : np.pi : 13j]
    sphere = np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)
    ax.plot_wireframe(*sphere, color=GREY, alpha=0.2, lw=0.5)
    labels = np.unique(np.asarray(y))
    for label, colour, marker in zip(labels, (BLUE, ORANGE), "o^", strict=False):
        own = points[np.asarray(y) == label]
        ax.scatter(*own.T, color=colour, marker=marker, s=18, label=str(label))
    if effect is not None:
        axis = bloch_axis(effect)
        ax.plot(*zip(-axis, axis, strict=True), color="black", lw=1.4)
        ax.scatter(*axis, color="black", marker="*", s=60, label="measurement")
    ax.set_box_aspect((1, 1, 1))
    ax.set(xlabel="x", ylabel="y", zlabel="z")
    ax.legend(frameon=False, loc="upper left")
    return ax


def bloch_vectors(states: ArrayLike) -> Array:
    """Return the points (N, 3) of states of one qubit.

    Parameters
    ----------
    states : array-like of shape (N, 2), complex
        One state a row.

    Returns
    -------
    ndarray of shape (N, 3)

    Examples
    --------
    >>> bloch_vectors([[1, 0], [0.5**0.5, 0.5**0.5]]).round(6).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    S = np.asarray(states, dtype=complex)
    if S.ndim != 2 or S.shape[1] != 2:
        raise ValueError(f"states must have shape (N, 2), got {S.shape}.")
    cross = 2.0 * S[:, 0].conj() * S[:, 1]
    return np.stack(
        [cross.real, cross.imag, np.abs(S[:, 0]) ** 2 - np.abs(S[:, 1]) ** 2], axis=1
    )


def bloch_axis(effect: ArrayLike) -> Array:
    """Return the vector n of ``M = (tr M I + n . sigma) / 2``.

    Parameters
    ----------
    effect : array-like of shape (2, 2)
        Hermitian.

    Returns
    -------
    ndarray of shape (3,)
    """
    M = np.asarray(effect, dtype=complex)
    return np.array([2 * M[0, 1].real, -2 * M[0, 1].imag, (M[0, 0] - M[1, 1]).real])
