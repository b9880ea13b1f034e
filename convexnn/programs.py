"""Solve the convex program of a two-layer network, and certify the answer."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from convexnn.bounds import Bounds
from convexnn.driver import Solution, solve
from convexnn.patterns import PatternSet
from convexnn.program import Program, Settings, check_start
from convexnn.scale._array import Place, place, to_host
from farkas.certificate import Certificate
from farkas.result import make_result
from farkas.status import Status
from farkas.verification import certify

PROBLEM = "convexnn.two_layer/1"


def solve_relu(
    X: ArrayLike,
    y: ArrayLike,
    patterns: "ArrayLike | PatternSet",
    *,
    alpha: float,
    loss: str = "squared",
    tol: float = 1e-4,
    max_iter: int = 5000,
    max_time: float | None = None,
    x0: tuple[ArrayLike, ArrayLike] | None = None,
    rho: float | str = "auto",
    callback: Callable[..., Any] | None = None,
    history_every: int = 1,
    verbose: int = 0,
    u_update: str = "auto",
    device: str = "auto",
    dtype: str = "float64",
    state: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Train a two-layer ReLU network to proven optimality on its patterns.

    Solves, with ``D_i = diag(d_i)`` and ``S_i = 2 D_i - I``::

        min  L(sum_i D_i X (v_i - w_i), y) + alpha sum_i (|v_i| + |w_i|)
        s.t. S_i X v_i >= 0,  S_i X w_i >= 0

    Parameters
    ----------
    X : array-like of shape (n, d)
        Data. A hidden bias is an extra constant column.
    y : array-like of shape (n,)
        Targets; -1 or +1 for the logistic and the hinge loss.
    patterns : array-like of shape (n, P) or PatternSet
        Activation patterns d_i, 0/1. With ``enumerate_patterns(X)`` the optimum is
        that of the network problem itself, and the certificate says so.
    alpha : float
        Weight of the penalty, positive.
    loss : {"squared", "logistic", "hinge", "huber"}, default="squared"
        Summed over samples.
    tol : float, default=1e-4
        Stops when the proven gap is at most ``tol`` times the objective.
    max_iter : int, default=5000
        Largest number of iterations.
    max_time : float, optional
        Seconds after which the best point so far is returned.
    x0 : tuple of two array-like of shape (d, P), optional
        Weights (V, W) to start from.
    rho : float or "auto", default="auto"
        First penalty parameter of ADMM; it is adapted.
    callback : callable, optional
        Called every 10 iterations as ``callback(intermediate_result=...)`` with the
        fields x, fun, nit, lower_bound, gap and state. It may raise StopIteration.
    history_every : int, default=1
        The gap is looked at every 10 iterations; rows of the history are kept where
        the iteration is also a multiple of this. 0 keeps none.
    verbose : int, default=0
        1 prints a line now and then, 2 at every check.
    u_update : {"auto", "eigh", "cholesky", "cg", "rbcd"}, default="auto"
        How ADMM minimises the loss over the weights. "eigh" diagonalises an n x n
        matrix; "cholesky" factors one of size d P; "cg" factors nothing; "rbcd" is the
        randomised block coordinate descent of the paper, in its own splitting, for
        losses with a gradient. "auto" is "eigh" up to n = 4000, then "cholesky" up to
        d P = 8000, then "cg".
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the iteration runs: "auto" stays with the library of X. On a GPU (CuPy)
        the constraints are split, since the projection onto the cones does not map to
        it, and more iterations are needed; both bounds are computed on the host.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the iteration. "float32" is for GPUs; it takes the steps of
        ``device="cuda"`` on the host as well. Patterns, bounds and certificate stay in
        double precision, so the certificate is as strict; a ``tol`` below about 1e-5
        may be out of reach.
    state : dict, optional
        ``result.state`` of an earlier run on the same data, with the same ``u_update``,
        ``device`` and ``dtype``, to continue bit for bit.

    Returns
    -------
    OptimizeResult
        ``x = (V, W)`` of shape (d, P) each, inside the cones; ``fun``,
        ``lower_bound``, ``gap``, ``certificate`` and the usual fields.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    Notes
    -----
    Interrupting with Ctrl-C returns the best point so far, with its certificate.
    The accuracy of predictions is often final long before the gap is small:
    ``max_iter=100`` is the early stop of the paper.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965. Pilanci, Ergen, "Neural Networks are Convex Regularizers",
    arXiv:2002.10553.

    Examples
    --------
    >>> from convexnn import enumerate_patterns, solve_relu
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> result = solve_relu(X, [-1, 1, 1, -1], enumerate_patterns(X), alpha=0.1)
    >>> round(result.fun, 3), result.certificate.guarantee.name
    (0.579, 'GLOBAL')
    """
    where = place(device, X, y, dtype=dtype)
    X, y, patterns = to_host(X), to_host(y), to_host(patterns)
    program = Program.validated(X, y, patterns, alpha, loss, "relu")
    settings = Settings.validated(
        tol,
        max_iter,
        max_time,
        rho,
        callback,
        history_every,
        verbose,
        u_update,
    )
    start = None if x0 is None else check_start(tuple(map(to_host, x0)), program)
    solution = solve(program, settings, x0=start, state=state, where=where)
    return certified(program, settings, solution, where)


def solve_gated(
    X: ArrayLike,
    y: ArrayLike,
    patterns: "ArrayLike | PatternSet",
    *,
    alpha: float,
    loss: str = "squared",
    tol: float = 1e-4,
    max_iter: int = 5000,
    max_time: float | None = None,
    x0: ArrayLike | None = None,
    rho: float | str = "auto",
    callback: Callable[..., Any] | None = None,
    history_every: int = 1,
    verbose: int = 0,
    u_update: str = "auto",
    device: str = "auto",
    dtype: str = "float64",
    state: dict[str, Any] | None = None,
) -> OptimizeResult:
    """Train a network of gated ReLU units, a group lasso, to proven optimality.

    Solves ``min L(sum_i D_i X u_i, y) + alpha sum_i |u_i|``, the relaxation of
    :func:`solve_relu` without cone constraints. Predictions need the gates:
    ``sum_i 1[x'g_i >= 0] x'u_i``.

    Parameters
    ----------
    X, y, patterns : object
        As in :func:`solve_relu`.
    alpha : float
        Weight of the penalty; 0 is allowed for the squared loss and gives the least
        squares solution of least norm.
    loss, tol, max_iter, max_time : object
        As in :func:`solve_relu`.
    x0 : array-like of shape (d, P), optional
        Weights to start from.
    rho, callback, history_every, verbose, u_update, device, dtype, state : object
        As in :func:`solve_relu`.

    Returns
    -------
    OptimizeResult
        ``x`` of shape (d, P), otherwise as in :func:`solve_relu`.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    References
    ----------
    Mishkin, Sahiner, Pilanci, "Fast Convex Optimization for Two-Layer ReLU Networks",
    arXiv:2202.01331.

    Examples
    --------
    >>> from convexnn import enumerate_patterns, solve_gated
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> result = solve_gated(X, [-1, 1, 1, -1], enumerate_patterns(X), alpha=0.1)
    >>> round(result.fun, 3)
    0.274
    """
    where = place(device, X, y, dtype=dtype)
    X, y, patterns = to_host(X), to_host(y), to_host(patterns)
    program = Program.validated(X, y, patterns, alpha, loss, "gated")
    settings = Settings.validated(
        tol,
        max_iter,
        max_time,
        rho,
        callback,
        history_every,
        verbose,
        u_update,
    )
    start = None if x0 is None else check_start((to_host(x0),), program)
    solution = solve(program, settings, x0=start, state=state, where=where)
    return certified(program, settings, solution, where)


def certified(
    program: Program,
    settings: Settings,
    solution: Solution,
    where: Place | None = None,
) -> OptimizeResult:
    """Return what the driver found as a result with its certificate."""
    certificate = mint(
        [solution.bounds],
        (program.X, program.y),
        program.patterns,
        program.parameters(),
        settings.tol,
    )
    message = "Interrupted by the user." if solution.interrupted else None
    x = solution.bounds.x()
    if where is not None:
        parts = x if isinstance(x, tuple) else (x,)
        moved = tuple(where.to_user(part) for part in parts)
        x = moved if isinstance(x, tuple) else moved[0]
    return make_result(
        x,
        fun=certificate.upper,
        status=final_status(solution.status, certificate),
        nit=solution.nit,
        certificate=certificate,
        history=solution.history,
        elapsed=solution.elapsed,
        state=solution.state,
        message=message,
        lower_bound=certificate.lower,
        gap=certificate.gap,
    )


def mint(
    bounds: list[Bounds],
    data: tuple[Any, Any],
    patterns: PatternSet,
    parameters: dict[str, Any],
    tol: float,
    members: list[NDArray[np.intp]] | None = None,
) -> Certificate:
    """Certify one or several outputs on the data that the user passed.

    Parameters
    ----------
    bounds : list of Bounds
        One for each output.
    data : tuple
        (X, y) as passed by the user.
    patterns : PatternSet
        Those of all outputs.
    parameters : dict
        Parameters of the certificate.
    tol : float
        Relative gap that counts as solved.
    members : list of ndarray of int, optional
        Where the patterns of each output stand among them; default: all are shared.

    Returns
    -------
    Certificate
    """
    parts = [part.witness() for part in bounds]
    witness: dict[str, Any] = {"patterns": patterns.D}
    n, P = patterns.D.shape
    if parameters["scope"] == "global":
        witness["gates"] = patterns.gates
    if members is not None and any(len(own) < P for own in members):
        parts = [_spread(*both, (P, n)) for both in zip(parts, members, strict=True)]
        witness["members"] = np.zeros((len(parts), P), dtype=bool)
        for c, own in enumerate(members):
            witness["members"][c, own] = True
    witness |= stack_outputs(parts, P * n)
    return certify(PROBLEM, data, witness, parameters, tolerance=tol)


def stack_outputs(parts: list[dict[str, Any]], size: int) -> dict[str, Any]:
    """Return one witness for all outputs.

    Parameters
    ----------
    parts : list of dict
        Witness of each output.
    size : int
        Number of constraints of each sign, P times n.

    Returns
    -------
    dict
        Blocks along a new first axis, what belongs to samples along a new last one,
        multipliers one after the other.
    """
    if len(parts) == 1:
        return parts[0]
    stacked = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if name == "multiplier_index":
            arrays = [2 * c * size + array for c, array in enumerate(arrays)]
        if name.startswith("multiplier"):
            stacked[name] = np.concatenate(arrays)
        else:
            by_sample = name in ("theta", "amplitude")
            stacked[name] = np.stack(arrays, axis=1 if by_sample else 0)
    return stacked


def _spread(
    part: dict[str, Any], own: NDArray[np.intp], shape: tuple[int, int]
) -> dict[str, Any]:
    """Move an output's blocks and multipliers from its own patterns to all."""
    spread = dict(part)
    for name in ("V", "W"):
        spread[name] = np.zeros((len(part[name]), shape[0]))
        spread[name][:, own] = part[name]
    sign, i, k = np.unravel_index(part["multiplier_index"], (2, len(own), shape[1]))
    place = (sign, own[i], k)
    spread["multiplier_index"] = np.ravel_multi_index(place, (2, *shape))
    return spread


def final_status(status: Status, certificate: Certificate) -> Status:
    """Return the status that agrees with the certificate: it has the last word."""
    limits = (Status.MAX_ITER, Status.MAX_TIME, Status.STALLED)
    if status in limits and certificate.satisfied:
        return Status.CONVERGED
    if status is Status.CONVERGED and not certificate.satisfied:
        return Status.STALLED
    return status
