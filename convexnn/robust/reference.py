"""The robust program in cvxpy: an independent second opinion, slow and exact."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convexnn.robust.program import RobustProgram
from farkas.result import make_result
from farkas.status import Status

# cvxpy's words for an answer; "inaccurate" ones come with a warning of cvxpy.
_STATUS = {"optimal": Status.CONVERGED, "optimal_inaccurate": Status.STALLED}


def reference_robust(
    X: ArrayLike,
    y: ArrayLike,
    patterns: Any,
    *,
    alpha: float,
    eps: ArrayLike,
    loss: str = "hinge",
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> Any:
    """Solve the program of :func:`solve_robust` by cvxpy.

    Parameters
    ----------
    X, y, patterns, alpha, eps, loss : object
        As in :func:`solve_robust`.
    solver : str, default="CLARABEL"
        Name of an installed cvxpy solver.
    **solver_options : object
        Passed to ``cvxpy.Problem.solve``.

    Returns
    -------
    OptimizeResult
        ``x = (V, W)``, ``fun`` the optimal value, and the dual point: ``Theta`` of
        shape (n, d), ``theta`` and ``amplitude`` of shape (n,). It holds no
        certificate.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    Examples
    --------
    >>> from convexnn import enumerate_patterns, reference_robust
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> patterns = enumerate_patterns(X)
    >>> result = reference_robust(X, [-1, 1, 1, -1], patterns, alpha=0.01, eps=0.1)
    >>> round(result.fun, 4)
    0.0988
    """
    import cvxpy as cp

    program = RobustProgram.validated(X, y, patterns, alpha, eps, loss)
    X, y, D = program.X, program.y, program.patterns.D.astype(float)
    n, d = X.shape
    V, W = (cp.Variable((d, D.shape[1])) for _ in range(2))
    Z, z, size, largest = cp.Variable((n, d)), *(cp.Variable(n) for _ in range(3))
    gradient = Z == D @ (V - W).T
    prediction = z == cp.sum(cp.multiply(X, Z), axis=1)
    reach = size >= cp.abs(Z) @ program.eps
    data_term = {
        "squared": lambda: 0.5 * cp.sum_squares(largest),
        "logistic": lambda: cp.sum(cp.logistic(size - cp.multiply(y, z))),
        "hinge": lambda: cp.sum(cp.pos(1 - cp.multiply(y, z) + size)),
    }[loss]()
    cones = []
    for block in (V, W):
        least = program.eps @ cp.abs(block)
        products = cp.multiply(2 * D - 1, X @ block)
        cones.append(products >= np.ones((n, 1)) @ cp.reshape(least, (1, -1), "C"))
    penalty = sum(cp.sum(cp.norm(block, 2, axis=0)) for block in (V, W))
    constraints = [gradient, prediction, reach, *cones]
    if loss == "squared":
        constraints.append(largest >= cp.abs(z - y) + size)
    problem = cp.Problem(cp.Minimize(data_term + program.alpha * penalty), constraints)
    try:
        problem.solve(solver=solver, **solver_options)
        status = _STATUS.get(problem.status, Status.NUMERICAL)
    except cp.SolverError:
        status = Status.NUMERICAL
    if status is Status.NUMERICAL:
        nothing = {"Theta": None, "theta": None, "amplitude": None}
        return make_result(
            (None, None), fun=float("nan"), status=status, nit=0, **nothing
        )
    theta, Theta = (np.asarray(c.dual_value) for c in (prediction, gradient))
    amplitude = np.asarray(reach.dual_value)
    # The signs of the duals of equations are cvxpy's own: Theta is near its box.
    theta, Theta = min(
        ((s * theta, t * Theta) for s in (1, -1) for t in (1, -1)),
        key=lambda pair: _distance(*pair, amplitude, program),
    )
    return make_result(
        (np.asarray(V.value), np.asarray(W.value)),
        fun=float(problem.value),
        status=status,
        nit=int(problem.solver_stats.num_iters or 0),
        elapsed=float(problem.solver_stats.solve_time or 0.0),
        Theta=Theta,
        theta=theta,
        amplitude=amplitude,
    )


def _distance(theta: Any, Theta: Any, amplitude: Any, program: RobustProgram) -> Any:
    """Say how far a dual point is from its box, and from raising the dual value."""
    excess = np.abs(Theta - theta[:, None] * program.X)
    outside = np.maximum(excess - amplitude[:, None] * program.eps, 0.0).sum()
    return outside - 1e-3 * (theta @ program.y)
