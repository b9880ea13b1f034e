"""Drawings of a direct search; matplotlib is needed only when they are called."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfo.attack.directional import directional_attack
from dfo.attack.network import as_network

Array = NDArray[np.float64]

CONTOURS = 30
GRID = 120
MOST_FRAMES = 12


def plot_search(result: Any, *, optimum: float | None = None, ax: Any = None) -> Any:
    """Draw the best feasible value against evaluations, with the step of each success.

    Parameters
    ----------
    result : OptimizeResult
        Of :func:`minimize_cdsm`.
    optimum : float, optional
        Subtracted; the axis is then logarithmic.
    ax : matplotlib.axes.Axes, optional
        Default: a new one.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    log = result.evaluations
    values = np.where(log["h"] == 0, log["F"], np.inf) - (optimum or 0.0)
    best = np.minimum.accumulate(values)
    count = np.arange(1, len(best) + 1)
    ax.step(count, best, where="post", color="0.6", lw=1)
    gains = np.flatnonzero(np.r_[np.isfinite(best[0]), best[1:] < best[:-1]])
    for label in dict.fromkeys(log["label"][gains]):
        rows = gains[log["label"][gains] == label]
        ax.plot(count[rows], best[rows], ".", label=label)
    if optimum is not None:
        ax.set_yscale("log")
    ax.set(xlabel="evaluations", ylabel="best value")
    ax.legend(frameon=False)
    return ax


def plot_radii(result: Any, *, ax: Any = None) -> Any:
    """Draw the poll radius, and that of the attack, against iterations.

    Parameters
    ----------
    result : OptimizeResult
        Of :func:`minimize_cdsm` or :func:`optimize_through_network`.
    ax : matplotlib.axes.Axes, optional
        Default: a new one.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    rows = result.history
    ax.semilogy(rows["iteration"], rows["delta"], label="poll")
    if np.isfinite(rows["search_radius"]).any():
        ax.semilogy(rows["iteration"], rows["search_radius"], label="attack")
    ax.set(xlabel="iteration", ylabel="radius")
    ax.legend(frameon=False)
    return ax


def plot_trajectory_2d(
    fun: Callable[[Array], Any], result: Any, *, frames: bool = True, ax: Any = None
) -> Any:
    """Draw all points of a search in two variables over the contours of its function.

    Parameters
    ----------
    fun : callable
        The objective.
    result : OptimizeResult
        Of :func:`minimize_cdsm`.
    frames : bool, default=True
        Whether the last radii are drawn as circles around the result.
    ax : matplotlib.axes.Axes, optional
        Default: a new one.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    X = result.evaluations["X"]
    low, high = X.min(axis=0), X.max(axis=0)
    room = 0.05 * np.maximum(high - low, 1e-12)
    ticks = [
        np.linspace(a - r, b + r, GRID) for a, b, r in zip(low, high, room, strict=True)
    ]
    grid = np.stack(np.meshgrid(*ticks), axis=-1).reshape(-1, 2)
    heights = np.array([fun(x) for x in grid], dtype=float).reshape(GRID, GRID)
    ax.contour(*ticks, heights, levels=CONTOURS, cmap="Greys", linewidths=0.6)
    for label in dict.fromkeys(result.evaluations["label"]):
        rows = result.evaluations["label"] == label
        ax.plot(*X[rows].T, ".", ms=4, label=label)
    if frames:
        angles = np.linspace(0, 2 * np.pi, 60)
        circle = np.column_stack([np.cos(angles), np.sin(angles)]) * result.scale
        for delta in np.unique(result.history["delta"])[-MOST_FRAMES:]:
            ax.plot(*(result.x + delta * circle).T, color="tab:blue", lw=0.4)
    ax.plot(*result.x, "+", color="black", ms=12)
    ax.set(xlim=ticks[0][[0, -1]], ylim=ticks[1][[0, -1]])
    ax.legend(frameon=False, fontsize="small")
    return ax


def data_profile(
    histories: Mapping[str, Sequence[ArrayLike]],
    dimensions: Sequence[int],
    *,
    tau: float = 1e-3,
    budgets: ArrayLike = tuple(range(1, 51)),
) -> dict[str, Array]:
    """Return the shares of problems that solvers have solved, by budget.

    A problem is solved when ``f <= f_L + tau (f(x0) - f_L)``, with f_L the best value
    of all solvers and f(x0) the first value.

    Parameters
    ----------
    histories : mapping of str to sequence of array-like
        For each solver the values in order of evaluation, one array a problem.
    dimensions : sequence of int
        Number of variables of each problem.
    tau : float, default=1e-3
        Accuracy.
    budgets : array-like, default=(1, ..., 50)
        In units of n + 1 evaluations.

    Returns
    -------
    dict of str to ndarray
        One share for each budget.

    References
    ----------
    Moré, Wild, SIAM J. Optim. 20 (2009) 172-191.
    """
    budgets = np.asarray(budgets)
    names = list(histories)
    solved = {name: np.zeros(len(budgets)) for name in names}
    for i, n in enumerate(dimensions):
        runs = {name: np.asarray(histories[name][i], dtype=float) for name in names}
        best = min(np.nanmin(values) for values in runs.values())
        for name, values in runs.items():
            goal = best + tau * (values[0] - best)
            hit = np.flatnonzero(values <= goal)
            first = hit[0] + 1 if len(hit) else np.inf
            solved[name] += first <= budgets * (n + 1)
    return {name: count / len(dimensions) for name, count in solved.items()}


def plot_data_profile(
    histories: Mapping[str, Sequence[ArrayLike]],
    dimensions: Sequence[int],
    *,
    tau: float = 1e-3,
    ax: Any = None,
) -> Any:
    """Draw the data profile of several solvers; see :func:`data_profile`.

    Parameters
    ----------
    histories, dimensions, tau
        As there.
    ax : matplotlib.axes.Axes, optional
        Default: a new one.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    budgets = np.arange(1, 51)
    for name, shares in data_profile(
        histories, dimensions, tau=tau, budgets=budgets
    ).items():
        ax.step(budgets, shares, where="post", label=name)
    ax.set(
        xlabel="evaluations / (n + 1)", ylabel=f"solved to {tau:g}", ylim=(-0.02, 1.02)
    )
    ax.legend(frameon=False)
    return ax


def plot_attack_success(
    network: Any,
    points: ArrayLike,
    objective: Callable[[Array], float],
    gradient: Callable[[Array], ArrayLike],
    *,
    radii: ArrayLike | None = None,
    methods: Sequence[str] = ("fgsm", "pgd"),
    ax: Any = None,
) -> Any:
    """Draw the share of points at which an attack improves, against its radius.

    Parameters
    ----------
    network : object
        Anything that :func:`as_network` takes.
    points : array-like of shape (m, n)
        Inputs.
    objective, gradient : callable
        Function of the outputs to be increased, and its gradient.
    radii : array-like, optional
        Default: 1 and 5 times the powers of ten from 1e-6 to 1.
    methods : sequence of str
        Of :func:`directional_attack`.
    ax : matplotlib.axes.Axes, optional
        Default: a new one.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = _axes(ax)
    phi, points = as_network(network), np.asarray(points, dtype=float)
    if radii is None:
        radii = np.outer(10.0 ** np.arange(-6, 1), [1.0, 5.0]).ravel()
    outputs = phi.forward(points)
    before = np.array([objective(y) for y in outputs])
    directions = np.array([gradient(y) for y in outputs])
    for method in methods:
        shares = []
        for radius in np.asarray(radii):
            found = directional_attack(phi, points, directions, radius, method=method)
            after = np.array([objective(y) for y in phi.forward(found.x)])
            shares.append(np.mean(after > before))
        ax.semilogx(radii, shares, ".-", label=method)
    ax.set(xlabel="radius", ylabel="share improved", ylim=(-0.02, 1.02))
    ax.legend(frameon=False)
    return ax


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots()[1]
