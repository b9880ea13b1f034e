"""The same programs in cvxpy: an independent second opinion, slow and exact."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convexnn._measure_losses import HUBER_DELTA
from convexnn.program import Program
from farkas.result import make_result
from farkas.status import Status

# cvxpy's words for an answer; "inaccurate" ones come with a warning of cvxpy.
_STATUS = {"optimal": Status.CONVERGED, "optimal_inaccurate": Status.STALLED}


def reference_cvxpy(
    X: ArrayLike,
    y: ArrayLike,
    patterns: Any,
    *,
    alpha: float,
    loss: str = "squared",
    activation: str = "relu",
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> Any:
    """Solve the program of :func:`solve_relu` or :func:`solve_gated` by cvxpy.

    Parameters
    ----------
    X, y, patterns, alpha, loss : object
        As in :func:`solve_relu`.
    activation : {"relu", "gated"}, default="relu"
        Which of the two programs.
    solver : str, default="CLARABEL"
        Name of an installed cvxpy solver.
    **solver_options : object
        Passed to ``cvxpy.Problem.solve``.

    Returns
    -------
    OptimizeResult
        ``x`` as from the solver functions, ``fun`` the optimal value, ``theta`` of
        shape (n,) the dual point. It holds no certificate.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or value.

    Examples
    --------
    >>> from convexnn import enumerate_patterns, reference_cvxpy
    >>> X = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    >>> result = reference_cvxpy(X, [-1, 1, 1, -1], enumerate_patterns(X), alpha=0.1)
    >>> round(result.fun, 6)
    0.579253
    """
    import cvxpy as cp

    if activation not in ("relu", "gated"):
        raise ValueError(f"activation={activation!r} must be 'relu' or 'gated'.")
    program = Program.validated(X, y, patterns, alpha, loss, activation)
    X, y, D = program.X, program.y, program.patterns.D.astype(float)
    shape = (X.shape[1], D.shape[1])
    blocks = [cp.Variable(shape) for _ in range(2 if activation == "relu" else 1)]
    products = [X @ block for block in blocks]
    weights = blocks[0] if activation == "gated" else blocks[0] - blocks[1]
    z = cp.Variable(len(y))
    prediction = z == cp.sum(cp.multiply(D, X @ weights), axis=1)
    data_term = {
        "squared": lambda: 0.5 * cp.sum_squares(z - y),
        "logistic": lambda: cp.sum(cp.logistic(-cp.multiply(y, z))),
        "hinge": lambda: cp.sum(cp.pos(1 - cp.multiply(y, z))),
        "huber": lambda: 0.5 * cp.sum(cp.huber(z - y, HUBER_DELTA)),
    }[loss]()
    penalty = sum(cp.sum(cp.norm(block, 2, axis=0)) for block in blocks)
    cones = [cp.multiply(2 * D - 1, product) >= 0 for product in products]
    problem = cp.Problem(
        cp.Minimize(data_term + program.alpha * penalty),
        [prediction, *(cones if activation == "relu" else [])],
    )
    try:
        problem.solve(solver=solver, **solver_options)
        status = _STATUS.get(problem.status, Status.NUMERICAL)
    except cp.SolverError:
        status = Status.NUMERICAL
    solved = status is not Status.NUMERICAL
    values = [np.asarray(block.value) for block in blocks] if solved else [None, None]
    return make_result(
        tuple(values) if activation == "relu" else values[0],
        fun=float(problem.value) if solved else float("nan"),
        status=status,
        nit=int(problem.solver_stats.num_iters or 0) if solved else 0,
        elapsed=float(problem.solver_stats.solve_time or 0.0) if solved else 0.0,
        theta=None if not solved else np.asarray(prediction.dual_value),
    )
