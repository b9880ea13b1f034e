"""Simulated data whose factors are known, and semi-synthetic images of digits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, brentq

from farkas.base import check_choice, check_number
from farkas.parallel import seed_sequence

Array = NDArray[np.float64]

RECIPES = ("factors", "mismatch")


def make_sdl_classification(
    n_samples: int = 500,
    n_features: int = 50,
    n_components: int = 3,
    *,
    recipe: str = "factors",
    model: str = "filter",
    n_classes: int = 2,
    n_covariates: int = 0,
    noise: float = 0.1,
    nonnegative: bool = False,
    strength: float = 3.0,
    positive_rate: float | None = None,
    random_state: Any = None,
) -> OptimizeResult:
    """Draw data from the model, or from two dictionaries that do not match.

    Parameters
    ----------
    n_samples : int, default=500
        Number n of rows.
    n_features : int, default=50
        Number p of columns; 64 with ``recipe="mismatch"``.
    n_components : int, default=3
        Number r of atoms; at most 100 with ``recipe="mismatch"``.
    recipe : {"factors", "mismatch"}, default="factors"
        "factors" draws W, H, coefficients and labels from the model. "mismatch" builds
        X of digits 2 and 5, and labels by filters made of digits 4 and 7.
    model : {"filter", "feature"}, default="filter"
        Whether labels depend on ``X W`` or on H ("factors").
    n_classes : int, default=2
        Number of classes ("factors").
    n_covariates : int, default=0
        Number q of covariates ("factors").
    noise : float, default=0.1
        Standard deviation of the noise on X.
    nonnegative : bool, default=False
        Whether W is |N(0, 1)| and H uniform on [0, 1], not orthonormal and normal.
    strength : float, default=3.0
        Size of the coefficients.
    positive_rate : float, optional
        Share of ``y == 1`` to which the intercept is shifted (two classes).
    random_state : int, RandomState, Generator or None, default=None
        Seed.

    Returns
    -------
    OptimizeResult
        With ``X`` (n, p), ``y`` (n,), ``covariates`` (n, q), and the truth: ``W``,
        ``H``, ``beta`` (r, K), ``Gamma`` (1 + q, K) with the intercept in row 0,
        ``probabilities`` (n, K + 1).

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from sdl import make_sdl_classification
    >>> data = make_sdl_classification(100, 20, 2, n_covariates=1, random_state=0)
    >>> data.X.shape, data.covariates.shape, data.W.shape
    ((100, 20), (100, 1), (20, 2))
    """
    check_choice("recipe", recipe, RECIPES)
    check_choice("model", model, ("filter", "feature"))
    for name, value, low in (
        ("n_samples", n_samples, 2),
        ("n_features", n_features, 1),
        ("n_components", n_components, 1),
        ("n_classes", n_classes, 2),
        ("n_covariates", n_covariates, 0),
    ):
        check_number(name, value, low=low, integer=True)
    check_number("noise", noise, low=0.0)
    if positive_rate is not None:
        check_number("positive_rate", positive_rate, low=0, high=1, inclusive="neither")
        if n_classes != 2:
            raise ValueError("positive_rate is for n_classes=2.")
    rng = np.random.default_rng(seed_sequence(random_state))
    if recipe == "mismatch":
        return _mismatch(n_samples, n_components, noise, positive_rate, rng)
    if n_components > n_features:
        raise ValueError(
            f"n_components={n_components} must not exceed n_features={n_features}."
        )
    W = rng.standard_normal((n_features, n_components))
    W = np.abs(W) if nonnegative else np.linalg.qr(W)[0]
    shape = (n_samples, n_components)
    H = rng.random(shape) if nonnegative else rng.standard_normal(shape)
    X = H @ W.T + noise * rng.standard_normal((n_samples, n_features))
    C = rng.standard_normal((n_samples, n_covariates))
    K = n_classes - 1
    beta = strength * rng.standard_normal((n_components, K))
    Gamma = strength / 3 * rng.standard_normal((1 + n_covariates, K))
    D = (X @ W if model == "filter" else H) @ beta + C @ Gamma[1:]
    Gamma[0] = Gamma[0] - D.mean(axis=0)
    if positive_rate is not None:
        Gamma[0] = _shift(D[:, 0], positive_rate)
    P, y = _draw(D + Gamma[0], rng)
    return OptimizeResult(
        X=X, y=y, covariates=C, W=W, H=H, beta=beta, Gamma=Gamma, probabilities=P
    )


def _mismatch(
    n: int, r: int, noise: float, positive_rate: float | None, rng: np.random.Generator
) -> OptimizeResult:
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    images = images / 16.0

    def pick(first: int, second: int) -> tuple[Array, NDArray[np.bool_]]:
        kinds = np.isin(digits, (first, second))
        chosen = rng.choice(np.flatnonzero(kinds), r, replace=r > kinds.sum())
        return images[chosen], digits[chosen] == first

    atoms, _ = pick(2, 5)
    filters, first = pick(4, 7)
    H = rng.random((n, r))
    X = H @ atoms
    beta = np.where(first, 1.0, -1.0)[:, None]
    D = X @ filters.T @ beta
    shift = -D.mean() if positive_rate is None else _shift(D[:, 0], positive_rate)
    P, y = _draw(D + shift, rng)
    X = X + noise * rng.standard_normal(X.shape)
    return OptimizeResult(
        X=X, y=y, covariates=np.zeros((n, 0)), W=filters.T, H=H, beta=beta,
        Gamma=np.full((1, 1), shift), probabilities=P, atoms=atoms,
    )  # fmt: skip


def _draw(D: Array, rng: np.random.Generator) -> tuple[Array, NDArray[np.intp]]:
    """Draw classes from the softmax of the scores, the baseline's being 0."""
    scores = np.column_stack([np.zeros(len(D)), D])
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    P = e / e.sum(axis=1, keepdims=True)
    uniform = rng.random((len(D), 1))
    y = (uniform > np.cumsum(P, axis=1)[:, :-1]).sum(axis=1)
    for c in range(P.shape[1]):  # every class shows up, however rare
        if not (y == c).any():
            y[int(np.argmax(P[:, c]))] = c
    return P, y


def _shift(d: Array, rate: float) -> float:
    """Return the intercept at which the mean probability is `rate`."""
    width = float(np.abs(d).max()) + 50.0

    def excess(b: float) -> float:
        return float(np.mean(0.5 * (1.0 + np.tanh(0.5 * (d + b))))) - rate

    return float(brentq(excess, -width, width))
