"""Supervised dictionaries with constrained factors, by block coordinate descent.

Codes are swept coordinate by coordinate (HALS), atoms and head take a few L-BFGS
iterations, and the head is finished by Newton's method. Plain projected gradients on
the atoms are far too short: the largest eigenvalue of nonnegative data belongs to their
mean. Every block is a convex problem and no step raises the objective.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import OptimizeResult
from sklearn.exceptions import ConvergenceWarning

from farkas.base import check_choice, check_number
from farkas.parallel import blas_threads_for, seed_sequence
from sdl._measure_stationarity import label_residual, prox
from sdl.block_head import solve_head
from sdl.blocks import Blocks, Radius
from sdl.coordinate import CoordinateBlocks, has_coordinates
from sdl.driver import Outcome, Settings, collect, drive, history_of
from sdl.encoding import reconstruct
from sdl.formulation import Formulation, formulate
from sdl.hals import factor_start

Array = NDArray[np.float64]

# xi = "mle": outer loops, the change of xi that ends them, and the least variance of
# the noise as a share of the mean square of X.
_OUTER, _XI_TOL, _LEAST_NOISE = 30, 1e-4, 1e-12
# Energy of the parts ``h_j w_j'`` over that of their sum from which atoms cancel each
# other (measured: fits that converge stay below 3, the others pass 9 and grow).
CANCELLING = 5.0


def bcd(
    X: Any,
    Y: ArrayLike,
    r: int,
    *,
    Z: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    model: str = "filter",
    xi: Any = 1.0,
    alpha: float = 1.0,
    alpha_covariates: float | None = None,
    fit_intercept: bool = True,
    class_weight: Any = None,
    baseline: int = 0,
    nonnegative: Any = False,
    max_atom_norm: float | None = None,
    max_code_norm: float | None = None,
    max_coef_norm: float | None = None,
    l1_H: float = 0.0,
    l1_W: float = 0.0,
    l2_H: float = 0.0,
    l2_W: float = 0.0,
    l2_beta: float = 0.0,
    missing: str = "error",
    full_dim: bool = False,
    radius: float | None = None,
    batch_size: int | None = None,
    tol: float = 1e-6,
    max_iter: int = 1000,
    max_time: float | None = None,
    x0: dict[str, Array] | None = None,
    state: dict[str, Any] | None = None,
    certificate: str = "auto",
    callback: Callable[..., None] | None = None,
    history_every: int = 1,
    random_state: Any = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Fit constrained or penalised factors by block coordinate descent.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, p)
        Data.
    Y : array-like of shape (n,) or (n, K)
        Labels, or their one-hot code without the baseline class.
    r : int
        Number of atoms.
    Z : array-like of shape (n, q), optional
        Covariates.
    sample_weight : array-like of shape (n,), optional
        Weights of both losses.
    model : {"filter", "feature"}, default="filter"
        What the classifier sees: ``X W`` or the codes H.
    xi : float or "mle", default=1.0
        Weight of the reconstruction; "mle" sets it to ``1 / (2 sigma^2)``.
    alpha : float, default=1.0
        Ridge of the class weights, which are the product of two factors.
    alpha_covariates : float, optional
        Ridge of the covariates; default: `alpha`.
    fit_intercept : bool, default=True
        Whether to add an unpenalised column of ones to Z.
    class_weight : None, "balanced" or dict, default=None
        Weights of the label losses.
    baseline : int, default=0
        Index of the class without a score of its own.
    nonnegative : {False, True, "W", "H"}, default=False
        Which factors are nonnegative.
    max_atom_norm, max_code_norm, max_coef_norm : float, optional
        Largest norms of columns of W, rows of H, and of beta.
    l1_H, l1_W, l2_H, l2_W, l2_beta : float, default=0.0
        Penalties ``l1 |.|_1`` and ``(l2/2) |.|^2``.
    missing : {"error", "impute"}, default="error"
        Feature model: whether NaN in X is a missing entry.
    full_dim : bool, default=False
        Keep ``W = I`` and ``H = X``: plain logistic regression, as a baseline.
    radius : float, optional
        Factor of the diminishing radius; default: none.
    batch_size : int, optional
        Rows whose codes are updated in an iteration; default: all.
    tol : float, default=1e-6
        Relative decrease, and first-order residual over the objective at zero, at
        which to stop.
    max_iter : int, default=1000
        Largest number of iterations.
    max_time : float, optional
        Seconds after which to stop.
    x0 : dict, optional
        Factors to start from; default: NMF or SVD, then logistic regression.
    state : dict, optional
        Continue the run that this state was saved from.
    certificate : {"auto", "refine", "none"}, default="auto"
        The certificate is first-order stationarity; its lower bound holds for free
        factors too.
    callback : callable, optional
        Called as ``callback(intermediate_result)``; may raise StopIteration.
    history_every : int, default=1
        Iterations between two rows of the history.
    random_state : int, RandomState, Generator or None, default=None
        Seeds batches and the start's singular vectors.
    verbose : {0, 1, 2}, default=0
        Progress on the screen.

    Returns
    -------
    OptimizeResult
        As from :func:`lpgd`; ``xi`` holds the weight that was used.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Lyu and Li, "Block majorization-minimization with diminishing radius for constrained
    nonconvex optimization", arXiv:2012.03503.

    Examples
    --------
    >>> import numpy as np
    >>> from sdl import bcd
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [1.0, 3.0]])
    >>> result = bcd(X, [0, 0, 1, 1], 1, nonnegative=True)
    >>> bool((result.x["W"] >= 0).all() and (result.x["H"] >= 0).all())
    True
    """
    check_choice("certificate", certificate, ("auto", "refine", "none"))
    estimate_xi = isinstance(xi, str)
    if estimate_xi:
        check_choice("xi", xi, ("mle",))
    if full_dim:
        r = np.shape(X)[1]
    form = formulate(
        X, Y, r, Z=Z, sample_weight=sample_weight, model=model,
        xi=1.0 if estimate_xi else xi, alpha=alpha, alpha_covariates=alpha_covariates,
        fit_intercept=fit_intercept, class_weight=class_weight, baseline=baseline,
        nonnegative=nonnegative, missing=missing, max_atom_norm=max_atom_norm,
        max_code_norm=max_code_norm, max_coef_norm=max_coef_norm, l1_H=l1_H, l1_W=l1_W,
        l2_H=l2_H, l2_W=l2_W, l2_beta=l2_beta, cap=not full_dim,
    )  # fmt: skip
    settings = Settings.validated(
        tol=tol, max_iter=max_iter, max_time=max_time, callback=callback,
        history_every=history_every, verbose=verbose, name="bcd",
    )  # fmt: skip
    with blas_threads_for(X):
        return solve_blocks(
            form, settings, x0=x0, state=state, certificate=certificate, radius=radius,
            batch_size=batch_size, estimate_xi=estimate_xi, full_dim=full_dim,
            random_state=random_state,
        )  # fmt: skip


def solve_blocks(
    form: Formulation,
    settings: Settings,
    *,
    x0: dict[str, Array] | None = None,
    state: dict[str, Any] | None = None,
    certificate: str = "auto",
    radius: float | None = None,
    batch_size: int | None = None,
    estimate_xi: bool = False,
    full_dim: bool = False,
    random_state: Any = None,
) -> OptimizeResult:
    """Solve a validated problem; see :func:`bcd` for the arguments."""
    if radius is not None:
        check_number("radius", radius, low=0.0, inclusive="neither")
    if batch_size is not None:
        check_number("batch_size", batch_size, low=1, integer=True)
    seed, draws = seed_sequence(random_state).spawn(2)
    rng = np.random.default_rng(draws)
    limit = Radius() if radius is None else Radius(float(radius))
    if state is not None:
        x0 = state
    if x0 is None:
        x0 = (
            _identity(form) if full_dim else start(form, int(seed.generate_state(1)[0]))
        )
    _check_start(form, x0)
    plain = radius is None and batch_size is None and not full_dim
    kind = CoordinateBlocks if plain and has_coordinates(form) else Blocks
    outcome: Outcome | None = None
    for _ in range(_OUTER if estimate_xi else 1):
        iteration = kind(form, x0, limit, batch_size, rng, full_dim)
        history = None
        if outcome is not None:  # one history over all values of xi
            iteration.nit, history = outcome.iteration.nit, outcome.history
        elif state is not None:
            iteration.restore(state)
            history = history_of(state)
        outcome = drive(iteration, settings, history)
        x0 = iteration.factors()
        if not estimate_xi or outcome.interrupted:
            break
        found = noise_weight(form, x0)
        if abs(found - form.task.xi) <= _XI_TOL * form.task.xi:
            break
        form = form.with_xi(found)
    assert outcome is not None
    return _finished(form, settings, outcome, certificate)


def _finished(
    form: Formulation, settings: Settings, outcome: Outcome, certificate: str
) -> OptimizeResult:
    task, factors = form.task, outcome.iteration.factors()
    if not outcome.closed and not outcome.interrupted and outcome.iteration.rescalable:
        _warn_of_cancelling(form, factors)
    dual = None
    if task.mask is None and certificate != "none":
        D = factors["H"] @ factors["beta"]
        if task.model == "filter":
            D = np.asarray(task.X @ (factors["W"] @ factors["beta"]))
        dual = -label_residual(task, D + task.Z @ factors["Gamma"])
        if certificate == "refine" and task.nu > 0:
            from sdl.fantope import best_dual

            dual = best_dual(task, dual, settings.tol)
    return collect(
        form, outcome, factors, dual, tol=settings.tol, certify=certificate != "none",
        xi=task.xi,
    )  # fmt: skip


def _warn_of_cancelling(form: Formulation, factors: dict[str, Array]) -> None:
    """Warn where one nonnegative factor alone leaves nothing to converge to.

    Points on all sides of the origin lie in no cone of r atoms in r dimensions, but in
    the limit of cones that open to a half-space: atoms turn against each other and
    codes grow without bound while F still falls.
    """
    if len(form.signs) != 1:
        return
    G, C = (f.T @ f for f in (factors["W"], factors["H"]))
    if float(np.diag(G) @ np.diag(C)) > CANCELLING * float(np.sum(G * C)):
        one = form.signs
        warnings.warn(
            f"nonnegative={one!r} alone has no minimiser on data of both signs: atoms "
            "cancel each other and factors grow without bound. Hold them by l2_H and "
            "l2_W, bound them, or shift X and use nonnegative=True.",
            ConvergenceWarning,
            stacklevel=5,
        )


def start(form: Formulation, seed: int) -> dict[str, Array]:
    """Factor X without labels, then fit the head: what the method never falls behind.

    Parameters
    ----------
    form : Formulation
        The problem.
    seed : int
        Of the singular value decomposition.

    Returns
    -------
    dict
        ``W``, ``H``, ``beta``, ``Gamma``, which obey the constraints.
    """
    task = form.task
    X = task.weighted_X
    if task.mask is not None:
        observed = np.maximum((~task.mask).sum(axis=0), 1)
        X = np.where(task.mask, task.X.sum(axis=0) / observed, task.X)
        X = np.sqrt(task.v)[:, None] * X
    W, H = factor_start(X, task.rank, form.signs, seed)
    H = H / np.sqrt(task.v)[:, None]
    if any(form.value(name) for name in ("max_atom_norm", "max_code_norm")):
        W, H = _into_balls(form, W, H)
    F, S = H, H.T @ (task.v[:, None] * H)
    if task.model == "filter":
        F, S = np.asarray(task.X @ W), W.T @ W
    K, q = task.Y.shape[1], task.Z.shape[1]
    beta, Gamma = solve_head(
        task, F, S, np.zeros((task.rank, K)), np.zeros((q, K)),
        l2=form.value("l2_beta"), limit=form.value("max_coef_norm"),
    )  # fmt: skip
    return {"W": W, "H": H, "beta": beta, "Gamma": Gamma}


def _into_balls(form: Formulation, W: Array, H: Array) -> tuple[Array, Array]:
    """Project atoms on their ball, then code the data again inside theirs."""
    task = form.task
    norms = np.maximum(np.linalg.norm(W, axis=0), 1e-300)
    W, H = W / norms, H * norms
    if limit := form.value("max_atom_norm"):
        W, H = W * limit, H / limit
    if limit := form.value("max_code_norm"):
        X = task.X
        H = reconstruct(
            np.asarray(X @ W), W.T @ W, nonnegative="H" in form.signs, max_norm=limit,
            start=prox(H, l1=0.0, nonnegative=False, radius=limit, axis=1),
        )  # fmt: skip
    return W, H


def _identity(form: Formulation) -> dict[str, Array]:
    task = form.task
    X = task.X.toarray() if sparse.issparse(task.X) else task.X
    K = task.Y.shape[1]
    return {
        "W": np.eye(task.rank), "H": X.copy(), "beta": np.zeros((task.rank, K)),
        "Gamma": np.zeros((task.Z.shape[1], K)),
    }  # fmt: skip


def _check_start(form: Formulation, x0: dict[str, Array]) -> None:
    task = form.task
    (n, p), K = task.X.shape, task.Y.shape[1]
    shapes = {"W": (p, task.rank), "H": (n, task.rank), "beta": (task.rank, K)}
    shapes["Gamma"] = (task.Z.shape[1], K)
    for name, shape in shapes.items():
        if name not in x0 or np.shape(x0[name]) != shape:
            raise ValueError(
                f"x0 must hold {name} of shape {shape}, got "
                f"{np.shape(x0[name]) if name in x0 else None}."
            )
    for name in form.signs:
        if np.min(x0[name], initial=0.0) < 0:
            raise ValueError(
                f"x0 holds negative entries in {name}, which must be >= 0."
            )


def noise_weight(form: Formulation, factors: dict[str, Array]) -> float:
    """Return ``1 / (2 sigma^2)`` at the present reconstruction.

    Parameters
    ----------
    form : Formulation
        The problem.
    factors : dict
        ``W`` and ``H``.

    Returns
    -------
    float
        The maximum-likelihood weight of the reconstruction.
    """
    task = form.task
    W, H = factors["W"], factors["H"]
    weighted = task.v[:, None] * H
    if task.mask is None:
        count = float(task.v.sum()) * task.X.shape[1]
        left = task.square - 2.0 * float(np.sum(weighted * (task.X @ W)))
        left += float(np.sum((weighted.T @ H) * (W.T @ W)))
    else:
        count = float(np.sum(task.v[:, None] * ~task.mask))
        residual = np.where(task.mask, 0.0, task.X - H @ W.T)
        left = float(np.sum(task.v[:, None] * residual**2))
    least = _LEAST_NOISE * max(task.square / count, 1e-300)
    if left / count <= least:
        warnings.warn(
            "xi='mle' finds no noise: the factors reconstruct the data exactly.",
            UserWarning,
            stacklevel=4,
        )
    return 0.5 / max(left / count, least)
