"""Pictures of dictionaries: atoms, scores, trade-offs and decision thresholds.

Every function draws on the axes that it gets, or makes new ones, and returns them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

Array = NDArray[np.float64]

_DIVERGING = "RdBu_r"


def plot_atoms(
    model: Any,
    shape: tuple[int, int] | None = None,
    *,
    names: Sequence[str] | None = None,
    n_top: int = 5,
    axes: Any = None,
) -> Any:
    """Draw atoms as images, or as bars of their largest entries.

    Parameters
    ----------
    model : SDLClassifier
        Fitted.
    shape : tuple of int, optional
        Height and width of the images; default: bars.
    names : sequence of str, optional
        Names of the features; default: those seen in fit, or numbers.
    n_top : int, default=5
        Features at either end of a bar chart.
    axes : sequence of Axes, optional
        One for each atom.

    Returns
    -------
    ndarray of Axes
        The title of each holds the coefficients of its atom.

    Raises
    ------
    ValueError
        If `shape` does not fit the atoms, or `axes` are too few.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sdl import SDLClassifier
    >>> from sdl.plotting import plot_atoms
    >>> X, y = load_digits(n_class=2, return_X_y=True)
    >>> len(plot_atoms(SDLClassifier(4).fit(X / 16, y), (8, 8)))
    4
    """
    check_is_fitted(model)
    atoms = model.components_
    if shape is not None and shape[0] * shape[1] != atoms.shape[1]:
        raise ValueError(f"shape={shape} does not hold {atoms.shape[1]} features.")
    axes = _axes(len(atoms), axes)
    labels = _names(model, names, atoms.shape[1])
    for j, (ax, atom) in enumerate(zip(axes, atoms, strict=False)):
        if shape is not None:
            limit = float(np.abs(atom).max()) or 1.0
            ax.imshow(atom.reshape(shape), cmap=_DIVERGING, vmin=-limit, vmax=limit)
            ax.set(xticks=[], yticks=[])
        else:
            order = np.argsort(atom, kind="stable")
            ends = np.unique(np.concatenate([order[:n_top], order[-n_top:]]))
            shown = ends[np.argsort(atom[ends], kind="stable")]
            colors = ["tab:red" if atom[i] > 0 else "tab:blue" for i in shown]
            ax.barh([labels[i] for i in shown], atom[shown], color=colors)
            ax.axvline(0.0, color="0.3", lw=0.8)
        numbers = ", ".join(f"{b:+.2g}" for b in model.beta_[:, j])
        ax.set_title(f"atom {j}: {numbers}", fontsize=9)
    return axes


def plot_scores(
    model: Any,
    X: Any,
    y: ArrayLike,
    *,
    atoms: tuple[int, int] = (0, 1),
    ax: Any = None,
) -> Any:
    """Draw two filter scores of the data, coloured by class.

    Parameters
    ----------
    model : SDLClassifier
        Fitted, with at least two atoms.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,)
        Labels.
    atoms : tuple of int, default=(0, 1)
        Which two.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
    """
    scores = model.filter_scores(X)
    ax = _axes(1, None if ax is None else [ax])[0]
    labels = np.asarray(y)
    for label in model.classes_:
        rows = labels == label
        ax.plot(
            *scores[rows][:, atoms].T, "o", ms=4, alpha=0.6, mew=0, label=str(label)
        )
    ax.set(xlabel=f"score of atom {atoms[0]}", ylabel=f"score of atom {atoms[1]}")
    ax.legend(title="class", frameon=False)
    return ax


def plot_tradeoff(
    errors: ArrayLike, scores: ArrayLike, xi: ArrayLike | None = None, *, ax: Any = None
) -> Any:
    """Draw reconstruction against prediction as the weight xi moves.

    Parameters
    ----------
    errors : array-like of shape (m,)
        Relative reconstruction errors.
    scores : array-like of shape (m,)
        Accuracy, F1 or AUC.
    xi : array-like of shape (m,), optional
        Weights, written beside the points.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        Points that no other one beats in both are joined by a line.
    """
    errors, scores = np.asarray(errors, float), np.asarray(scores, float)
    ax = _axes(1, None if ax is None else [ax])[0]
    ax.plot(errors, scores, "o", color="tab:blue")
    best = pareto_front(errors, scores)
    ax.plot(errors[best], scores[best], "-", color="tab:blue", alpha=0.5)
    for error, score, weight in zip(
        errors, scores, [] if xi is None else np.asarray(xi, float), strict=False
    ):
        ax.annotate(
            f"{weight:g}", (error, score), xytext=(4, 4), textcoords="offset points",
            fontsize=8,
        )  # fmt: skip
    ax.set(xlabel="relative reconstruction error", ylabel="score")
    return ax


def pareto_front(errors: Array, scores: Array) -> NDArray[np.intp]:
    """Return the points that no other beats in both, by increasing error.

    Parameters
    ----------
    errors, scores : ndarray of shape (m,)
        Less and more is better.

    Returns
    -------
    ndarray of int

    Examples
    --------
    >>> pareto_front(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.9]))
    array([0, 2])
    """
    order = np.lexsort((-scores, errors))
    kept: list[int] = []
    for i in order:
        if not kept or scores[i] > scores[kept[-1]]:
            kept.append(int(i))
    return np.array(kept, dtype=np.intp)


def plot_roc(
    model: Any, X: Any, y: ArrayLike, *, covariates: Any = None, ax: Any = None
) -> Any:
    """Draw the ROC curve and the point of the threshold in use.

    Parameters
    ----------
    model : SDLClassifier
        Fitted on two classes.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,)
        Labels.
    covariates : array-like of shape (n_samples, q), optional
        Covariates, if the model has any.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If the model has more than two classes.
    """
    from sklearn.metrics import roc_curve

    if len(model.classes_) != 2:
        raise ValueError("a ROC curve is for two classes.")
    positive = np.asarray(y) == model.classes_[1]
    P = model.predict_proba(X, covariates)[:, 1]
    fpr, tpr, _ = roc_curve(positive, P)
    ax = _axes(1, None if ax is None else [ax])[0]
    ax.plot(fpr, tpr, color="tab:blue")
    found = model.threshold_ < P
    point = found[~positive].mean(), found[positive].mean()
    ax.plot(*point, "o", color="tab:red", label=f"threshold {model.threshold_:.2f}")
    ax.plot([0, 1], [0, 1], ls="--", color="0.6", lw=1)
    ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    ax.legend(frameon=False, loc="lower right")
    return ax


def _axes(count: int, axes: Any) -> Any:
    if axes is None:
        import matplotlib.pyplot as plt

        columns = min(count, 5)
        rows = -(-count // columns)
        _, grid = plt.subplots(
            rows, columns, squeeze=False, layout="constrained",
            figsize=(2.6 * columns + 1, 2.4 * rows + 0.6),
        )  # fmt: skip
        for ax in grid.ravel()[count:]:
            ax.set_axis_off()
        return grid.ravel()[:count]
    axes = np.ravel(axes)
    if len(axes) < count:
        raise ValueError(f"axes holds {len(axes)} axes, {count} are needed.")
    return axes[:count]


def _names(model: Any, names: Sequence[str] | None, width: int) -> list[str]:
    if names is None:
        names = [str(i) for i in range(width)]
        if hasattr(model, "feature_names_in_"):
            kept = np.arange(model.n_features_in_)
            if model._columns is not None:
                kept = np.setdiff1d(kept, model._columns)
            names = [str(name) for name in model.feature_names_in_[kept]]
    if len(names) != width:
        raise ValueError(f"names holds {len(names)} names for {width} features.")
    return list(names)
