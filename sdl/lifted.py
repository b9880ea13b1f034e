"""Supervised dictionaries by low-rank projected gradient descent on the lifted problem.

Free factors leave one non-convexity, the rank. The default follows long steps until the
duality gap proves the optimum; ``step="fixed"`` is the textbook method.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import OptimizeResult

from farkas.backend import asnumpy, get_namespace, to_device
from farkas.base import check_choice, check_number
from farkas.parallel import blas_threads_for, pmap, seed_sequence
from sdl.driver import Outcome, Settings, collect, drive, history_of
from sdl.formulation import Formulation, formulate
from sdl.head import Head
from sdl.lifting import Space, lifted_space
from sdl.long_steps import LongSteps
from sdl.starts import STARTS, start_basis
from sdl.textbook import Textbook, step_window

Array = NDArray[np.float64]

CERTIFICATES = ("auto", "refine", "none")


def lpgd(
    X: Any,
    Y: ArrayLike,
    r: int,
    *,
    Z: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    model: str = "filter",
    xi: float = 1.0,
    alpha: float = 1.0,
    alpha_covariates: float | None = None,
    fit_intercept: bool = True,
    class_weight: Any = None,
    baseline: int = 0,
    step: Any = "auto",
    decay: float = 0.0,
    init: str = "auto",
    n_init: int = 1,
    tol: float = 1e-6,
    max_iter: int = 1000,
    max_time: float | None = None,
    x0: dict[str, Array] | None = None,
    state: dict[str, Any] | None = None,
    certificate: str = "auto",
    svd: str = "auto",
    device: str = "auto",
    callback: Callable[..., None] | None = None,
    history_every: int = 1,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> OptimizeResult:
    """Fit free factors by projected gradient descent on low-rank matrices.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n, p)
        Data; a sparse matrix is used by products only.
    Y : array-like of shape (n,) or (n, K)
        Labels, or their one-hot code without the baseline class.
    r : int
        Rank.
    Z : array-like of shape (n, q), optional
        Covariates, which enter the classifier only.
    sample_weight : array-like of shape (n,), optional
        Weights of both losses; a weight of 2 is a repeated row.
    model : {"filter", "feature"}, default="filter"
        What the classifier sees: ``X W`` or the codes H.
    xi : float, default=1.0
        Weight of the reconstruction.
    alpha : float, default=1.0
        Ridge of the class weights. With 0 there is no duality gap to close.
    alpha_covariates : float, optional
        Ridge of the covariates; default: `alpha`.
    fit_intercept : bool, default=True
        Whether to add an unpenalised column of ones to Z.
    class_weight : None, "balanced" or dict, default=None
        Weights of the label losses.
    baseline : int, default=0
        Index of the class without a score of its own.
    step : "auto", "fixed" or float, default="auto"
        Long steps, the textbook step ``2 / (L + mu)``, or a textbook step size.
    decay : float, default=0.0
        The textbook step of iteration t is ``step (t + 1)^-decay``.
    init : {"auto", "lr", "svd", "random"}, default="auto"
        Start; "auto" is "svd", and "lr" after it if the gap stays open.
    n_init : int, default=1
        Number of starts, the later ones random; the first with a proof wins.
    tol : float, default=1e-6
        Proven gap, relative to the objective, at which to stop.
    max_iter : int, default=1000
        Largest number of iterations.
    max_time : float, optional
        Seconds after which to stop.
    x0 : dict, optional
        Factors to start from, as in ``result.x``.
    state : dict, optional
        Continue the run that this state was saved from.
    certificate : {"auto", "refine", "none"}, default="auto"
        "refine" improves an open bound by :func:`fantope_bound`.
    svd : {"auto", "exact", "lanczos"}, default="auto"
        Eigensolver of the filter model; "lanczos" uses products with X only.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where dense arrays of length n live.
    callback : callable, optional
        Called as ``callback(intermediate_result)``; may raise StopIteration.
    history_every : int, default=1
        Iterations between two rows of the history.
    n_jobs : int, optional
        Processes for several starts; the result does not depend on it.
    random_state : int, RandomState, Generator or None, default=None
        Seeds random starts.
    verbose : {0, 1, 2}, default=0
        Progress on the screen.

    Returns
    -------
    OptimizeResult
        ``x`` holds ``W`` (p, r), ``H`` (n, r), ``beta`` (r, K) and ``Gamma`` (q, K)
        with the intercept in row 0; further ``fun``, ``lower_bound``, ``gap``,
        ``relative_gap``, ``is_global``, ``label_loss``, ``reconstruction``,
        ``eigengap``, ``condition_ratio`` (textbook), ``certificate``, ``history``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Lee, Lyu, Yao, "Exponentially Convergent Algorithms for Supervised Matrix
    Factorization", arXiv:2311.11182.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import scale
    >>> from sdl import lpgd
    >>> X, y = load_wine(return_X_y=True)
    >>> result = lpgd(scale(X), y, 2, xi=0.1)
    >>> print(result.is_global, round(result.fun, 4))
    True 123.7739
    """
    on_device = not isinstance(X, np.ndarray) and hasattr(X, "device")
    where = get_namespace(X if on_device else None, device=device)
    form = formulate(
        asnumpy(X) if on_device else X, Y, r, Z=Z, sample_weight=sample_weight,
        model=model, xi=xi, alpha=alpha, alpha_covariates=alpha_covariates,
        fit_intercept=fit_intercept, class_weight=class_weight, baseline=baseline,
    )  # fmt: skip
    settings = Settings.validated(
        tol=tol, max_iter=max_iter, max_time=max_time, callback=callback,
        history_every=history_every, verbose=verbose, name="lpgd",
    )  # fmt: skip
    with blas_threads_for(X):
        result = solve_lifted(
            form, settings, step=step, decay=decay, init=init, n_init=n_init, x0=x0,
            state=state, certificate=certificate, svd=svd, where=where, n_jobs=n_jobs,
            random_state=random_state,
        )  # fmt: skip
    if on_device and device != "cpu":  # the answer goes where the data are
        result.x = {name: to_device(a, *where) for name, a in result.x.items()}
    return result


def solve_lifted(
    form: Formulation,
    settings: Settings,
    *,
    step: Any = "auto",
    decay: float = 0.0,
    init: str = "auto",
    n_init: int = 1,
    x0: dict[str, Array] | None = None,
    state: dict[str, Any] | None = None,
    certificate: str = "auto",
    svd: str = "auto",
    where: tuple[Any, Any] | None = None,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> OptimizeResult:
    """Solve a validated problem; see :func:`lpgd` for the arguments."""
    check_choice("init", init, ("auto", *STARTS))
    check_choice("certificate", certificate, CERTIFICATES)
    check_number("n_init", n_init, low=1, integer=True)
    check_number("decay", decay, low=0.0)
    if form.constrained:
        raise ValueError(
            "solver='lpgd' handles free factors only; use solver='bcd' for "
            "constraints and penalties of single factors."
        )
    if form.task.nu == 0:
        warnings.warn(
            "alpha=0 leaves no duality gap to close: the certificate is first-order "
            "stationarity, with sandwich_bound as lower bound.",
            UserWarning,
            stacklevel=3,
        )
    if isinstance(step, str):
        check_choice("step", step, ("auto", "fixed"))
    else:
        check_number("step", step, low=0.0, inclusive="neither")
    if step != "auto":
        return _textbook(form, settings, step, decay, certificate)
    seeds = seed_sequence(random_state).spawn(n_init + 1)
    xp, home = where or get_namespace(np.empty(0))
    task = form.task
    space = lifted_space(task, task.rank, xp, home, seeds[-1], svd)
    head = Head(
        task.Y, task.Z, task.omega, task.penalised, task.nu, task.nu_c, xp, home
    )
    runs = _Runs(form, settings, space, head)
    if state is not None:
        outcome = runs.resume(state)
    elif x0 is not None:
        outcome = runs.from_factors(x0)
    else:
        outcome = runs.best(init, n_init, seeds, n_jobs)
    return _finished(form, settings, outcome, certificate)


@dataclasses.dataclass
class _Runs:
    """Runs of the long-step method that share one space."""

    form: Formulation
    settings: Settings
    space: Space
    head: Head

    def best(
        self,
        init: str,
        n_init: int,
        seeds: list[np.random.SeedSequence],
        n_jobs: int | None,
    ) -> Outcome:
        """Run all starts; the first with a proof wins, else the least objective."""
        task = self.form.task
        first = "svd" if init == "auto" else init
        if first == "lr" and (task.model == "feature" or task.rank < task.Y.shape[1]):
            if task.model == "filter":
                warnings.warn(
                    f"init='lr' needs n_components >= {task.Y.shape[1]}, one for each "
                    "class but one; starting from 'svd' instead.",
                    UserWarning,
                    stacklevel=4,
                )
            first = "svd"
        kinds = [first] + ["random"] * (n_init - 1)
        if init == "auto" and task.model == "filter" and task.nu > 0:
            if task.rank >= task.Y.shape[1] and not sparse.issparse(task.X):
                kinds.insert(1, "lr")
        jobs = list(zip(kinds, [*seeds[:-1], seeds[-1]], strict=False))
        outcomes = [self.start(jobs[0])]
        if outcomes[0].closed or outcomes[0].interrupted:
            return outcomes[0]
        if self.settings.callback is None and len(jobs) > 2:
            outcomes += pmap(self.start, jobs[1:], n_jobs=n_jobs)
        elif self.settings.callback is None:
            outcomes += [self.start(job) for job in jobs[1:]]
        closed = [outcome for outcome in outcomes if outcome.closed]
        return (closed or sorted(outcomes, key=lambda o: o.iteration.objective))[0]

    def start(self, job: tuple[str, np.random.SeedSequence]) -> Outcome:
        """Run from one start."""
        kind, seed = job
        Q = start_basis(kind, self.space, self.head, self.form.task, seed)
        return self._drive(
            LongSteps.begin(self.space, self.head, self.form.task, Q), None
        )

    def from_factors(self, x0: dict[str, Array]) -> Outcome:
        """Start from the span of given factors."""
        task, space = self.form.task, self.space
        shared = x0["W"] if task.model == "filter" else x0["H"]
        expected = (task.X.shape[task.model == "filter"], task.rank)
        if np.shape(shared) != expected:
            raise ValueError(
                f"x0 must hold factors of shape {expected}, got {np.shape(shared)}."
            )
        Q = np.linalg.qr(space.basis_of(np.asarray(shared, dtype=np.float64)))[0]
        return self._drive(LongSteps.begin(space, self.head, task, Q), None)

    def resume(self, state: dict[str, Any]) -> Outcome:
        """Continue a run."""
        if "Q" not in state:
            raise ValueError("state does not belong to a run of lpgd.")
        iteration = LongSteps.resume(self.space, self.head, self.form.task, state)
        return self._drive(iteration, history_of(state))

    def _drive(self, iteration: LongSteps, history: dict[str, Any] | None) -> Outcome:
        return drive(iteration, self.settings, history)


def _finished(
    form: Formulation, settings: Settings, outcome: Outcome, certificate: str
) -> OptimizeResult:
    iteration = outcome.iteration
    if not outcome.interrupted:
        iteration.finish()
    factors, dual, leading = iteration.factors(), iteration.dual, None
    if form.task.nu == 0 and certificate != "none":
        from sdl.bounds import unpenalised_dual

        dual = unpenalised_dual(form.task)
    still_open = not iteration.met(settings.tol)
    if certificate == "refine" and form.task.nu > 0 and still_open:
        from sdl.fantope import refine

        factors, dual = refine(form, factors, dual, settings.tol)
    elif certificate != "none" and not outcome.interrupted:
        leading = iteration.leading()
    return collect(
        form, outcome, factors, dual, tol=settings.tol, leading=leading,
        certify=certificate != "none",
    )  # fmt: skip


def _textbook(
    form: Formulation, settings: Settings, step: Any, decay: float, certificate: str
) -> OptimizeResult:
    window = step_window(form.task)
    tau = window.best if step == "fixed" else float(step)
    iteration = Textbook.begin(form.task, tau, float(decay))
    outcome = drive(iteration, settings)
    if form.task.nu > 0 or form.task.model == "filter":
        iteration.bound()
    return collect(
        form,
        outcome,
        iteration.factors(),
        iteration.dual,
        tol=settings.tol,
        certify=certificate != "none",
        condition_ratio=window.condition_ratio,
        step_window=(window.low, window.high),
        M=iteration.M,
    )
