"""Certify networks that something else has trained, and hand ours to scikit-learn."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from convexnn._measure_losses import LOSSES
from convexnn.patterns import as_matrix
from convexnn.program import check_alpha
from convexnn.relaxation.certificates import (
    global_certificate,
    own_patterns,
    pattern_certificate,
)
from convexnn.relaxation.scikit_mlp import (
    checked_mlp,
    effective_alpha,
    time_of_fit,
    with_biases,
)
from farkas.base import check_choice, check_number
from farkas.certificate import Certificate
from farkas.parallel import holds_blas_threads

Array = NDArray[np.float64]

SCOPES = ("patterns", "global")
# Seconds for a bound over all networks where the user names no limit.
GLOBAL_TIME = 30.0
METHODS = ("auto", "dnn", "shor", "elementary", "enumerate")


@holds_blas_threads
def certify_network(
    U: ArrayLike,
    a: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    alpha: float,
    *,
    loss: str = "squared",
    scope: str = "patterns",
    extra_patterns: ArrayLike | None = None,
    method: str = "auto",
    branches: int = 2,
    tol: float = 1e-2,
    max_iter: int = 5000,
    max_time: float | None = None,
    verbose: int = 0,
) -> Certificate:
    """Prove how far a two-layer ReLU network is from the best one.

    The objective of ``f(x) = sum_j a_j (x'u_j)_+`` is the loss summed over the rows
    plus ``alpha sum_j |u_j| |a_j|``: the least value of
    ``alpha / 2 sum_j (|u_j|^2 + a_j^2)`` over all scalings of its units.

    Parameters
    ----------
    U : array-like of shape (d, m)
        Hidden weights u_j, in columns.
    a : array-like of shape (m,)
        Output weights.
    X : array-like of shape (n, d)
        Data. A hidden bias is an extra constant column.
    y : array-like of shape (n,)
        Targets; -1 or +1 for the logistic and the hinge loss.
    alpha : float
        Weight of the penalty, positive.
    loss : {"squared", "logistic", "hinge", "huber"}, default="squared"
        Summed over the rows.
    scope : {"patterns", "global"}, default="patterns"
        ``"patterns"``: the bound covers networks whose units have the activation
        patterns of this network's units, and ``extra_patterns``. ``"global"``: it
        covers all networks, of any width.
    extra_patterns : array-like of shape (n, P), optional
        Further 0/1 patterns, for ``scope="patterns"``.
    method : {"auto", "dnn", "shor", "elementary", "enumerate"}, default="auto"
        Source of the global bound: a doubly nonnegative relaxation, a looser one
        without products of different samples, no optimization at all, or the list of
        all patterns, which small data allow and ``"auto"`` then takes.
    branches : int, default=2
        Where the relaxation stalls short of ``tol``, it splits the units by the sign of
        ``x_k'u`` for a row k, at most so many times. Each split doubles the work and
        tightens the bound.
    tol : float, default=1e-2
        Stops when the proven gap is at most ``tol`` times the objective.
    max_iter : int, default=5000
        Largest number of iterations.
    max_time : float, optional
        Seconds after which the best bound so far is returned.
    verbose : int, default=0
        0, 1 or 2.

    Returns
    -------
    Certificate
        ``upper`` is the objective of this network, ``lower`` the bound;
        ``farkas.verify(certificate, X, y)`` redoes both.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    Notes
    -----
    With ``method="enumerate"``, units of one pattern are merged first, which leaves
    the predictions on X and can only lower the objective.

    References
    ----------
    Pilanci, Ergen, "Neural Networks are Convex Regularizers", arXiv:2002.10553.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import certify_network
    >>> X = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> U, a = np.array([[1.0], [1.0], [-1.0]]), np.array([0.0])
    >>> certificate = certify_network(U, a, X, [-1, 1, 1, -1], 1.0, scope="global")
    >>> certificate.guarantee.name, round(certificate.lower, 6)  # zero is optimal
    ('GLOBAL', 2.0)
    """
    X = as_matrix(X)
    U, a = _checked_network(U, a, X.shape[1])
    y = _checked_targets(y, len(X), loss)
    _check_settings(alpha, loss, scope, method, branches, tol, max_iter, max_time)
    extra = None if extra_patterns is None else _checked_patterns(extra_patterns, X)
    return _certificate(
        (X, y),
        U,
        a,
        X,
        extra,
        scope=scope,
        parameters={
            "alpha": float(alpha),
            "loss": loss,
            "encoding": "none",
            "intercept": 0.0,
        },
        method=method,
        branches=branches,
        tol=tol,
        max_iter=max_iter,
        max_time=max_time,
        verbose=verbose,
    )


@holds_blas_threads
def certify_mlp(
    mlp: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    alpha: float | None = None,
    scope: str = "patterns",
    intercept_scaling: float = 10.0,
    method: str = "auto",
    branches: int = 2,
    tol: float = 1e-2,
    max_iter: int = 5000,
    max_time: float | str | None = "auto",
    verbose: int = 0,
) -> Certificate:
    """Prove how far a fitted scikit-learn MLP is from the best network.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        Fitted, with one hidden layer and ``activation="relu"``, and one output: two
        classes or one target.
    X : array-like of shape (n, d)
        Its training data.
    y : array-like of shape (n,)
        Its training targets or labels.
    alpha : float, optional
        Weight of the penalty. Default: that of the training, see the notes.
    scope : {"patterns", "global"}, default="patterns"
        Which networks the bound covers: those with the activation patterns of this
        network's units, or all, of any width.
    intercept_scaling : float, default=10
        Value of the constant column whose weights are the biases: the larger, the less
        they are penalised. With 1 they are penalised like all weights.
    method, branches, tol, max_iter : object
        As in :func:`certify_network`.
    max_time : float, "auto" or None, default="auto"
        Seconds after which the best bound so far is returned. ``"auto"``: for
        ``scope="patterns"`` as long as about two thirds of the passes over the data
        take that the MLP's fit made, so that certifying costs less than the fit; for
        ``scope="global"`` 30 seconds.
    verbose : int, default=0
        As in :func:`certify_network`.

    Returns
    -------
    Certificate
        ``upper`` is the objective of this network with penalised biases. Verify it
        with ``farkas.verify(certificate, X, y)``.

    Raises
    ------
    TypeError
        If ``mlp`` is something else.
    ValueError
        If it has several hidden layers or outputs, or another activation.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Notes
    -----
    The MLP minimises ``(sum of losses + mlp.alpha / 2 |weights|^2) / n`` over each
    batch of n rows, without a penalty on biases. Times n, that is our objective with
    ``alpha = mlp.alpha`` for ``solver="lbfgs"``, and ``mlp.alpha * n / batch size`` for
    the others, except that here the biases are penalised: as the weights of a constant
    column, the output's bias as one more unit. The certificate speaks of that
    objective, which the MLP did not quite minimise, so part of the gap may stem from
    its biases. A unit's penalty is that of its best scaling,
    ``alpha |(u, bias / intercept_scaling)| |a|``.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sklearn.preprocessing import StandardScaler
    >>> import farkas
    >>> from convexnn import certify_mlp
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X, y = StandardScaler().fit_transform(X[:60]), y[:60]
    >>> mlp = MLPClassifier((8,), solver="lbfgs", alpha=1.0, random_state=0).fit(X, y)
    >>> certificate = certify_mlp(mlp, X, y)
    >>> bool(farkas.verify(certificate, X, y))
    True
    """
    loss, encoding = checked_mlp(mlp)
    X = as_matrix(X)
    if X.shape[1] != mlp.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} columns, but mlp was fitted on {mlp.n_features_in_}; "
            "pass the data of its fit."
        )
    y = np.asarray(y)
    if y.shape not in ((len(X),), (len(X), 1)):
        raise ValueError(f"y must have shape ({len(X)},), got {y.shape}.")
    y = y.ravel()
    if encoding == "labels" and not np.array_equal(np.unique(y), mlp.classes_):
        raise ValueError("y must hold the two classes of mlp.classes_, both of them.")
    if encoding == "none":
        y = _checked_targets(y, len(X), loss)
    check_number("intercept_scaling", intercept_scaling, low=0, inclusive="neither")
    if alpha is None:
        alpha = effective_alpha(mlp, len(X))
    if isinstance(max_time, str):
        check_choice("max_time", max_time, ("auto",))
        max_time = GLOBAL_TIME if scope == "global" else time_of_fit(mlp, X)
    _check_settings(alpha, loss, scope, method, branches, tol, max_iter, max_time)
    U, a = with_biases(mlp, intercept_scaling)
    data = np.column_stack([X, np.full(len(X), intercept_scaling)])
    return _certificate(
        (X, y),
        U,
        a,
        data,
        None,
        scope=scope,
        parameters={
            "alpha": float(alpha),
            "loss": loss,
            "encoding": encoding,
            "intercept": float(intercept_scaling),
        },
        method=method,
        branches=branches,
        tol=tol,
        max_iter=max_iter,
        max_time=max_time,
        verbose=verbose,
    )


def to_mlp(model: Any) -> Any:
    """Return a fitted scikit-learn MLP with the same predictions.

    Parameters
    ----------
    model : ConvexMLPClassifier or ConvexMLPRegressor
        Fitted, with ``activation="relu"``.

    Returns
    -------
    MLPClassifier or MLPRegressor
        With the weights of ``model``. Its ``predict_proba`` is the logistic function
        of the output, or for more than two classes the softmax of the outputs.

    Raises
    ------
    ValueError
        If the units of ``model`` are gated, which no MLP has.
    sklearn.exceptions.NotFittedError
        If ``model`` is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import ConvexMLPRegressor
    >>> from convexnn.relaxation.certify import to_mlp
    >>> X = np.linspace(-1, 1, 9)[:, None]
    >>> model = ConvexMLPRegressor(0.01, random_state=0).fit(X, abs(X[:, 0]))
    >>> bool(np.allclose(to_mlp(model).predict(X), model.predict(X)))
    True
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor  # slow to load

    check_is_fitted(model)
    if not hasattr(model, "coefs_"):
        raise ValueError(
            "activation='gated': gated units are not ReLU units, so no MLP predicts "
            "the same; fit with activation='relu'."
        )
    hidden, output = (np.array(part) for part in model.coefs_)
    biases = [np.array(part) for part in model.intercepts_]
    if not hidden.shape[1]:  # an MLP has at least one unit
        hidden, output = np.zeros((len(hidden), 1)), np.zeros((1, output.shape[1]))
        biases[0] = np.zeros(1)
    width = hidden.shape[1]
    rows = max(2, output.shape[1], len(getattr(model, "classes_", ())))
    X = np.zeros((rows, len(hidden)))
    settings = {
        "hidden_layer_sizes": (width,),
        "activation": "relu",
        "solver": "lbfgs",
        "alpha": model.alpha,
        "max_iter": 1,
        "random_state": 0,
    }
    # A fit on rows of zeros makes all attributes, of which the weights are replaced.
    if hasattr(model, "classes_"):
        mlp, targets = MLPClassifier(**settings), np.resize(model.classes_, rows)
    else:
        mlp, targets = MLPRegressor(**settings), np.zeros((rows, output.shape[1]))
        targets = targets.ravel() if output.shape[1] == 1 else targets
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.fit(X, targets)
    mlp.coefs_, mlp.intercepts_ = [hidden, output], biases
    mlp.n_iter_ = model.n_iter_
    if hasattr(model, "feature_names_in_"):
        mlp.feature_names_in_ = model.feature_names_in_
    return mlp


def _certificate(
    data: tuple[Any, Any],
    U: Array,
    a: Array,
    X: Array,
    extra: NDArray[np.bool_] | None,
    *,
    scope: str,
    parameters: dict[str, Any],
    method: str,
    branches: int,
    tol: float,
    max_iter: int,
    max_time: float | None,
    verbose: int,
) -> Certificate:
    limits: dict[str, Any] = {
        "tol": tol,
        "max_iter": max_iter,
        "max_time": max_time,
    }
    if scope == "global":
        return global_certificate(
            data,
            U,
            a,
            **parameters,
            **limits,
            method=method,
            branches=branches,
            verbose=verbose,
        )
    patterns = own_patterns(X, U, extra)
    return pattern_certificate(data, U, a[:, None], parameters, patterns, **limits)


def _checked_network(U: ArrayLike, a: ArrayLike, d: int) -> tuple[Array, Array]:
    hidden = np.asarray(U, dtype=np.float64)
    output = np.asarray(a, dtype=np.float64)
    if hidden.ndim != 2 or len(hidden) != d:
        raise ValueError(f"U must have shape ({d}, m), got {hidden.shape}.")
    if output.shape != hidden.shape[1:]:
        raise ValueError(f"a must have shape {hidden.shape[1:]}, got {output.shape}.")
    if not (np.isfinite(hidden).all() and np.isfinite(output).all()):
        raise ValueError("U and a must not contain NaN or infinity.")
    return hidden, output


def _checked_targets(y: ArrayLike, n: int, loss: str) -> Array:
    check_choice("loss", loss, tuple(LOSSES))
    targets = np.asarray(y, dtype=np.float64)
    if targets.shape != (n,):
        raise ValueError(f"y must have shape ({n},), got {targets.shape}.")
    if not np.isfinite(targets).all():
        raise ValueError("y must not contain NaN or infinity.")
    if LOSSES[loss].labels and not np.isin(targets, (-1.0, 1.0)).all():
        raise ValueError(f"y must be -1 or +1 for loss={loss!r}.")
    return targets


def _checked_patterns(patterns: ArrayLike, X: Array) -> NDArray[np.bool_]:
    D = np.asarray(patterns)
    if D.ndim != 2 or len(D) != len(X) or not np.isin(D, (0, 1)).all():
        raise ValueError(f"extra_patterns must be 0/1, of shape ({len(X)}, P).")
    return D.astype(bool)


def _check_settings(
    alpha: float,
    loss: str,
    scope: str,
    method: str,
    branches: int,
    tol: float,
    max_iter: int,
    max_time: float | None,
) -> None:
    check_alpha(alpha, "relu", loss)
    check_choice("scope", scope, SCOPES)
    check_choice("method", method, METHODS)
    check_number("branches", branches, low=0, high=8, integer=True)
    check_number("tol", tol, low=0)
    check_number("max_iter", max_iter, low=0, integer=True)
    if max_time is not None:
        check_number("max_time", max_time, low=0)
