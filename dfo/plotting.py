"""Pictures of particles, of their convergence, and of what theory says about it.

matplotlib is an optional dependency, imported inside the functions.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

GRID = 120  # points of a contour plot along each axis


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6, 4), layout="constrained")[1]


def plot_convergence(result: Any, *, ax: Any = None) -> Any:
    """Draw the best value, the variance of the particles, and the slope of theory.

    Parameters
    ----------
    result : OptimizeResult
        Of ``minimize_cbo(..., record="summary")``.
    ax : matplotlib axes, optional
        Where to draw.

    Returns
    -------
    matplotlib axes
        The variance V has a logarithmic axis; the dashed line falls at the almost sure
        rate of the certificate, the dotted one at its mean square rate.

    Raises
    ------
    ValueError
        If the result has no recorded history.
    """
    history = result.history
    if "V" not in history:
        raise ValueError("result has no recorded steps; pass record='summary'.")
    ax = _axes(ax)
    steps = np.arange(1, len(history["V"]) + 1)
    ax.semilogy(steps, np.maximum(history["V"], 1e-300), label="V", color="tab:blue")
    best = history["objective"] - result.fun
    ax.semilogy(steps, np.maximum(best, 1e-16), label="best - final", color="tab:red")
    found, dt = result.certificate.residuals, result.certificate.parameters["dt"]
    first = np.flatnonzero(history["run"] == history["run"][0])
    # V is a square: it falls at twice the rate of the logarithm of distances.
    for rate, style, label in (
        (2 * found["as_rate"], "--", "almost sure rate"),
        (found["ms_rate"], ":", "mean square rate"),
    ):
        if math.isfinite(rate) and rate > 0:
            line = history["V"][0] * np.exp(-rate * dt * np.arange(len(first)))
            ax.semilogy(steps[first], line, style, color="0.4", label=label)
    ax.set(xlabel="step", ylabel="V, best - final")
    ax.legend()
    return ax


def plot_particles_2d(
    fun: Callable[..., Any], result: Any, every: int = 10, *, ax: Any = None
) -> Any:
    """Draw contours, particles every few steps, and the path of the consensus.

    Parameters
    ----------
    fun : callable
        Objective of rows (m, 2).
    result : OptimizeResult
        Of ``minimize_cbo(..., record="full")`` in two variables.
    every : int, default=10
        Steps between two drawings of the particles.
    ax : matplotlib axes, optional
        Where to draw.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        If the populations were not recorded, or there are not two variables.
    """
    populations = _populations(result)
    ax = _axes(ax)
    _contours(fun, populations, ax)
    for k in range(0, len(populations), every):
        shade = 0.25 + 0.75 * k / len(populations)
        ax.scatter(*populations[k].T, s=6, color=(0.1, 0.3, 0.8), alpha=shade)
    ax.plot(*np.asarray(result.history["consensus"]).T, "-", color="tab:red", lw=1)
    ax.plot(*result.x, "*", color="tab:red", ms=12)
    return ax


def animate_2d(fun: Callable[..., Any], result: Any, *, interval: int = 80) -> Any:
    """Return an animation of the particles over the contours.

    Parameters
    ----------
    fun : callable
        Objective of rows (m, 2).
    result : OptimizeResult
        Of ``minimize_cbo(..., record="full")`` in two variables.
    interval : int, default=80
        Milliseconds between two frames.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        Keep a reference to it while it is shown.

    Raises
    ------
    ValueError
        If the populations were not recorded, or there are not two variables.
    """
    from matplotlib.animation import FuncAnimation

    populations = _populations(result)
    ax = _axes(None)
    _contours(fun, populations, ax)
    dots = ax.scatter(*populations[0].T, s=8, color="tab:blue")
    (center,) = ax.plot(*result.history["consensus"][0], "o", color="tab:red")

    def draw(k: int) -> tuple[Any, Any]:
        dots.set_offsets(populations[k])
        center.set_data(*[[v] for v in result.history["consensus"][k]])
        return dots, center

    return FuncAnimation(ax.figure, draw, frames=len(populations), interval=interval)


def plot_phase_diagram(
    grid: ArrayLike, noises: ArrayLike, sizes: ArrayLike, *, ax: Any = None
) -> Any:
    """Draw rates of success over noise and number of particles.

    Parameters
    ----------
    grid : array-like of shape (n_sizes, n_noises)
        Rates between 0 and 1.
    noises : array-like of shape (n_noises,)
        Values along the horizontal axis.
    sizes : array-like of shape (n_sizes,)
        Numbers of particles.
    ax : matplotlib axes, optional
        Where to draw.

    Returns
    -------
    matplotlib axes
    """
    ax = _axes(ax)
    grid, noises = np.asarray(grid, dtype=float), np.asarray(noises, dtype=float)
    rows = np.arange(len(np.asarray(sizes)))
    image = ax.pcolormesh(noises, rows, grid, vmin=0, vmax=1, shading="nearest")
    ax.set_yticks(rows, [str(size) for size in np.asarray(sizes)])
    ax.set(xlabel="noise of a step", ylabel="particles")
    ax.figure.colorbar(image, ax=ax, label="rate of success")
    return ax


def plot_gd_relation(found: Any, *, ax: Any = None) -> Any:
    """Draw the three paths of :func:`gd_relation`.

    Parameters
    ----------
    found : OptimizeResult
        Of :func:`gd_relation` in at least two variables.
    ax : matplotlib axes, optional
        Where to draw.

    Returns
    -------
    matplotlib axes
    """
    ax = _axes(ax)
    for name, style in (("hopping", "o-"), ("proximal", "s--"), ("descent", "x:")):
        ax.plot(*found[name][:, :2].T, style, ms=4, label=name)
    ax.set(xlabel="x1", ylabel="x2", title=f"tau = {found.tau:.3g}")
    ax.legend()
    return ax


def _populations(result: Any) -> list[Array]:
    if "population" not in result.history:
        raise ValueError("result has no recorded populations; pass record='full'.")
    populations = [np.asarray(X, dtype=float) for X in result.history["population"]]
    if populations[0].shape[1] != 2:
        raise ValueError(f"two variables can be drawn, not {populations[0].shape[1]}.")
    return populations


def _contours(fun: Callable[..., Any], populations: list[Array], ax: Any) -> None:
    points = np.concatenate(populations)
    low, high = points.min(axis=0), points.max(axis=0)
    a, b = (np.linspace(low[j], high[j], GRID) for j in range(2))
    grid = np.stack(np.meshgrid(a, b), axis=-1).reshape(-1, 2)
    ax.contourf(a, b, np.asarray(fun(grid)).reshape(GRID, GRID), 25, cmap="Greys")
