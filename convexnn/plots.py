"""Draw paths, arrangements of hyperplanes, decision regions and robustness curves.

The course of a solver is drawn by :func:`farkas.plot_history`, certificates by
:func:`farkas.plot_certificate`. matplotlib is the extra ``farkas[plot]``.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn.patterns import as_matrix
from convexnn.robust.attacks import certified_score, robust_score
from farkas.base import check_number
from farkas.plotting import BLUE, GREEN, GREY, ORANGE, _axes, _tidy

Array = NDArray[np.float64]

# Points of the grid on which regions are evaluated, in each direction.
GRID = 240

# Share of the data's range left free around it.
MARGIN = 0.12

_MARKERS = "os^Dv*"
_COLORS = (BLUE, ORANGE, GREEN, GREY)

# Curves of a robustness plot, from what is seen to what is proven.
_CURVES = {
    "clean": {"color": GREY, "ls": ":"},
    "FGSM": {"color": GREEN, "ls": "-."},
    "PGD": {"color": ORANGE, "ls": "--"},
    "certified": {"color": BLUE, "ls": "-"},
}


def plot_path(path: Any, *, ax: Any = None) -> Any:
    """Draw the norm of each block of weights against the penalty.

    Parameters
    ----------
    path : OptimizeResult
        What :func:`convexnn_path` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        One line a unit: blue where its output weight is positive, dashed orange where
        it is negative (gated units: all blue). The penalty falls from left to right.

    Raises
    ------
    ValueError
        If the path has no point.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from convexnn import convexnn_path, enumerate_patterns
    >>> from convexnn.plots import plot_path
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> path = convexnn_path(X, [-1, 1, 1, -1], enumerate_patterns(X), n_alphas=5)
    >>> plot_path(path).get_xscale()
    'log'
    """
    alphas = np.asarray(path.alphas)
    if not len(alphas):
        raise ValueError("path has no point; nothing was solved.")
    parts = path.x if isinstance(path.x, tuple) else (path.x,)
    ax = _axes(ax, (6.4, 4.0))
    styles = ({"color": BLUE}, {"color": ORANGE, "ls": "--"})
    names = ("positive units", "negative units") if len(parts) == 2 else ("units",)
    for part, style, name in zip(parts, styles, names, strict=False):
        norms = np.linalg.norm(part, axis=1)
        used = norms.any(axis=0)
        for column in norms[:, used].T:
            ax.plot(alphas, column, lw=1.1, alpha=0.8, **style)
        label = f"{name}: {int(used.sum())} of {norms.shape[1]} in use"
        ax.plot([], [], lw=2, label=label, **style)
    ax.set_xscale("log")
    ax.set_xlim(alphas.max() * 1.05, alphas.min() / 1.05)
    ax.axvline(path.alpha_max, color=GREY, ls=":", lw=1.2)
    ax.set_xlabel("alpha (falling)")
    ax.set_ylabel("norm of a block")
    _tidy(ax)
    ax.legend(frameon=False, loc="upper left")
    return ax


def plot_patterns(
    X: ArrayLike,
    gates: ArrayLike,
    *,
    active: ArrayLike | None = None,
    y: ArrayLike | None = None,
    ax: Any = None,
) -> Any:
    """Draw the hyperplanes of units in the plane, those in use bold.

    Parameters
    ----------
    X : array-like of shape (n, 2) or (n, 3)
        Data; a third column must be constant, the intercept.
    gates : array-like of shape (d, P)
        Directions of the units, such as ``PatternSet.gates`` or hidden weights, with d
        the number of columns of X, or 3 for X without the column of ones.
    active : array-like of shape (P,), optional
        Which are in use: of type bool, or weights, whose nonzero entries count.
    y : array-like of shape (n,), optional
        Classes or values, shown by marker and colour.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Lines where a unit's input is zero; a tick points to the side where it is on.

    Raises
    ------
    ValueError
        If the data are not in the plane, or shapes disagree.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from convexnn import sample_patterns
    >>> from convexnn.plots import plot_patterns
    >>> X = np.column_stack([np.random.default_rng(0).random((9, 2)), np.ones(9)])
    >>> ax = plot_patterns(X, sample_patterns(X, 5, random_state=0).gates)
    >>> len(ax.lines)
    10
    """
    points, constant = _plane(as_matrix(X))
    directions = np.asarray(gates, dtype=np.float64)
    if directions.ndim != 2 or len(directions) not in (2, 3):
        raise ValueError(f"gates must have shape (2 or 3, P), got {directions.shape}.")
    P = directions.shape[1]
    offsets = constant * directions[2] if len(directions) == 3 else np.zeros(P)
    bold = np.zeros(P, dtype=bool)
    if active is not None:
        bold = np.asarray(active).astype(bool)
        if bold.shape != (P,):
            raise ValueError(f"active must have shape ({P},), got {bold.shape}.")
    ax = _axes(ax, (5.2, 5.0))
    low, high = _limits(points)
    reach = float(np.linalg.norm(high - low))
    center = 0.5 * (low + high)
    for j in range(P):
        normal, length = directions[:2, j], float(np.linalg.norm(directions[:2, j]))
        if length == 0:  # a constant unit has no line
            continue
        normal = normal / length
        foot = center - (center @ normal + offsets[j] / length) * normal
        along = np.array([-normal[1], normal[0]]) * reach
        line = np.stack([foot - along, foot + along])
        tick = np.stack([foot, foot + 0.03 * reach * normal])
        style: dict[str, Any] = {"color": GREY, "lw": 0.7, "alpha": 0.6, "zorder": 1}
        if bold[j]:
            style = {"color": ORANGE, "lw": 2.0, "zorder": 2}
        ax.plot(*line.T, **style)
        ax.plot(*tick.T, **style)
    _scatter(ax, points, y)
    _frame(ax, low, high)
    return ax


def plot_regions(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    eps: ArrayLike = 0.0,
    ax: Any = None,
) -> Any:
    """Draw the decision regions of a classifier, with boxes round the points.

    Parameters
    ----------
    model : fitted classifier
        Anything with ``predict``.
    X : array-like of shape (n, 2)
        Data in the plane.
    y : array-like of shape (n,)
        Classes.
    eps : float or array-like of shape (2,), default=0.0
        Half widths of the boxes; 0 draws none.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Regions in pale colours, points in strong ones.

    Raises
    ------
    ValueError
        If the data are not in the plane, or eps is out of range.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from convexnn import SCPClassifier
    >>> from convexnn.plots import plot_regions
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> model = SCPClassifier(0.01, random_state=0).fit(X, y)
    >>> len(plot_regions(model, X, y, eps=0.1).patches)
    4
    """
    points = as_matrix(X)
    if points.shape[1] != 2:
        raise ValueError(f"X must have 2 columns, got {points.shape[1]}.")
    targets = np.asarray(y)
    if targets.shape != (len(points),):
        raise ValueError(f"y must have shape ({len(points)},), got {targets.shape}.")
    radius = np.asarray(eps, dtype=np.float64)
    if radius.shape not in ((), (2,)) or not (radius >= 0).all():
        raise ValueError(f"eps={eps!r} must be a number >= 0, or one for each column.")
    radius = np.broadcast_to(radius, (2,))
    ax = _axes(ax, (5.2, 4.6))
    low, high = _limits(points)
    low, high = low - radius, high + radius
    axes = [np.linspace(low[j], high[j], GRID) for j in range(2)]
    mesh = np.stack(np.meshgrid(*axes), axis=-1)
    classes = np.unique(targets)
    predicted = np.searchsorted(classes, model.predict(mesh.reshape(-1, 2)))
    colors = [_COLORS[k % len(_COLORS)] for k in range(len(classes))]
    ax.contourf(
        *axes,
        predicted.reshape(GRID, GRID),
        levels=np.arange(len(classes) + 1) - 0.5,
        colors=colors,
        alpha=0.18,
    )
    if radius.any():
        from matplotlib.patches import Rectangle

        for point, target in zip(points, targets, strict=True):
            color = colors[int(np.searchsorted(classes, target))]
            box = Rectangle(point - radius, *(2 * radius), fill=False, ec=color, lw=0.8)
            ax.add_patch(box)
    _scatter(ax, points, targets)
    _frame(ax, low, high)
    return ax


def plot_robustness(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    eps: ArrayLike,
    *,
    random_state: Any = 0,
    ax: Any = None,
) -> Any:
    """Draw accuracy against the radius: clean, under two attacks, and certified.

    Parameters
    ----------
    model : fitted classifier
        ReLU network in the layout of ``MLPClassifier``.
    X, y : array-like of shape (n, d) and (n,)
        Test data.
    eps : array-like of shape (k,)
        Radii, nonnegative.
    random_state : int, RandomState, Generator or None, default=0
        Random starts of the attack.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The true robust accuracy lies in the shaded band between "certified" and "PGD".

    Raises
    ------
    ValueError
        If eps is out of range, or the model has another layout.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from convexnn import SCPClassifier
    >>> from convexnn.plots import plot_robustness
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> model = SCPClassifier(0.01, random_state=0).fit(X, y)
    >>> ax = plot_robustness(model, X, y, [0, 0.1, 0.2])
    >>> [line.get_label() for line in ax.lines]
    ['clean', 'FGSM', 'PGD', 'certified']
    """
    radii = np.asarray(eps, dtype=np.float64)
    if radii.ndim != 1 or not len(radii):
        raise ValueError(f"eps must have shape (k,), got {radii.shape}.")
    for radius in radii:
        check_number("eps", float(radius), low=0)
    radii = np.sort(radii)
    clean = robust_score(model, X, y, 0.0, attack="none")
    seed = np.random.default_rng(random_state).integers(2**31)

    def attacked(attack: str) -> list[float]:
        options = {"random_state": int(seed)} if attack == "pgd" else {}
        return [robust_score(model, X, y, r, attack=attack, **options) for r in radii]

    curves = {
        "clean": np.full(len(radii), clean),
        "FGSM": np.array(attacked("fgsm")),
        "PGD": np.array(attacked("pgd")),
        "certified": np.array([certified_score(model, X, y, r) for r in radii]),
    }
    ax = _axes(ax, (6.0, 4.0))
    band = curves["certified"], curves["PGD"]
    ax.fill_between(radii, *band, color=BLUE, alpha=0.12, lw=0)
    for name, values in curves.items():
        ax.plot(radii, values, lw=2, label=name, **_CURVES[name])
    ax.set_xlabel("radius eps")
    ax.set_ylabel("accuracy")
    ax.set_ylim(-0.03, 1.03)
    _tidy(ax)
    ax.legend(frameon=False, loc="lower left")
    return ax


def _plane(X: Array) -> tuple[Array, float]:
    """Split data into points of the plane and the constant of a third column."""
    if X.shape[1] == 2:
        return X, 1.0
    if X.shape[1] == 3 and (X[:, 2] == X[0, 2]).all():
        return X[:, :2], float(X[0, 2])
    raise ValueError(
        f"X must have 2 columns, and maybe a constant third one; got {X.shape[1]}."
    )


def _limits(points: Array) -> tuple[Array, Array]:
    low, high = points.min(axis=0), points.max(axis=0)
    size = np.where(high > low, high - low, 1.0)
    return low - MARGIN * size, high + MARGIN * size


def _frame(ax: Any, low: Array, high: Array) -> None:
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    ax.spines[["top", "right"]].set_visible(False)


def _scatter(ax: Any, points: Array, y: ArrayLike | None) -> None:
    """Draw points, a marker for each class where there are few classes."""
    style: dict[str, Any] = {"s": 28, "zorder": 3, "edgecolor": "white", "lw": 0.6}
    if y is None:
        ax.scatter(*points.T, color="black", **style)
        return
    targets = np.asarray(y)
    classes = np.unique(targets)
    if len(classes) > len(_MARKERS):
        ax.scatter(*points.T, c=targets, cmap="viridis", **style)
        return
    for k, value in enumerate(classes):
        chosen = points[targets == value]
        color, marker = _COLORS[k % len(_COLORS)], _MARKERS[k]
        ax.scatter(*chosen.T, color=color, marker=marker, label=str(value), **style)
    ax.legend(frameon=False, loc="upper right")
