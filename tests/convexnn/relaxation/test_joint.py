"""The joint program: its value against Clarabel, its bounds against networks."""

import numpy as np
import pytest

from convexnn import enumerate_patterns, recover_network, solve_relu
from convexnn._measure_losses import LOSSES
from convexnn.relaxation import joint
from convexnn.relaxation.certificates import balanced
from convexnn.relaxation.dnn import Pull
from convexnn.relaxation.joint import Climb, best_bound, undecided_row
from farkas.status import Status


def problem(seed, n=8, d=3, loss="squared"):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    X[:, -1] = 1.0
    return X, np.sign(y) if LOSSES[loss].labels else y


def optimal(X, y, alpha, loss="squared"):
    result = solve_relu(
        X, y, enumerate_patterns(X), alpha=alpha, loss=loss, tol=1e-7, max_iter=20_000
    )
    U, a = recover_network(*result.x, X)
    return result, U, a


def run(X, y, U, a, alpha, loss="squared", **options):
    settings = {"target": np.inf, "max_iter": 300, "max_time": 60.0} | options
    return best_bound(
        X, y, balanced(U, a), signs=np.sign(a), alpha=alpha, loss=loss, **settings
    )


def clarabel(X, y, alpha):
    """Return the value of the relaxation by an interior point method."""
    cvxpy = pytest.importorskip("cvxpy")
    n, d = X.shape
    T = np.zeros((1 + 2 * n, 1 + d + n))
    T[0, 0] = 1.0
    T[1 : 1 + n, 1 + d :] = T[1 + n :, 1 + d :] = np.eye(n)
    T[1 + n :, 1 : 1 + d] = -X
    lower = np.tril_indices(1 + 2 * n)
    constraints, matrices = [], []
    for _ in range(2):
        Y = cvxpy.Variable((1 + d + n, 1 + d + n), PSD=True)
        K = T @ Y @ T.T
        flat = cvxpy.vec(K, order="C")
        constraints += [
            flat[lower[0] * (1 + 2 * n) + lower[1]] >= 0,
            cvxpy.diag(K[1 : 1 + n, 1 + n :]) == 0,
            Y[0, 0] >= cvxpy.trace(Y[1 : 1 + d, 1 : 1 + d]),
            cvxpy.SOC(Y[0] @ T[1:].T, Y[1 : 1 + d] @ T[1:].T, axis=0),
        ]
        matrices.append(Y)
    plus, minus = matrices
    z = plus[0, 1 + d :] - minus[0, 1 + d :]
    objective = 0.5 * cvxpy.sum_squares(z - y) + alpha * (plus[0, 0] + minus[0, 0])
    program = cvxpy.Problem(cvxpy.Minimize(objective), constraints)
    program.solve(solver="CLARABEL")
    return program.value


@pytest.mark.parametrize("seed", range(1))
def test_the_bound_is_the_value_of_the_relaxation(seed):
    X, y = problem(seed)
    _, U, a = optimal(X, y, 0.2)
    outcome = run(X, y, U, a, 0.2)
    value = clarabel(X, y, 0.2)
    assert outcome.proof.lower == pytest.approx(value, rel=2e-3)
    assert outcome.proof.lower <= value * (1 + 1e-4)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_the_bound_is_below_the_optimum_and_near_it(loss):
    alpha = 0.2
    X, y = problem(4, n=6, loss=loss)
    best, U, a = optimal(X, y, alpha, loss)
    lower = run(X, y, U, a, alpha, loss).proof.lower
    assert lower <= best.fun * (1 + 1e-6)
    assert lower >= 0.9 * best.fun


def test_it_does_not_need_a_network():
    X, y = problem(1)
    best, _, _ = optimal(X, y, 0.5)
    outcome = run(X, y, np.zeros((3, 0)), np.zeros(0), 0.5)
    assert 0.98 * best.fun <= outcome.proof.lower <= best.fun * (1 + 1e-6)


def test_splitting_the_units_tightens_the_bound():
    X, y = problem(0, n=6)
    best, U, a = optimal(X, y, 0.1)
    bounds = [
        run(X, y, U, a, 0.1, branches=rows, max_iter=1200).proof.lower
        for rows in (0, 2)
    ]
    assert 1.005 * bounds[0] < bounds[1] <= best.fun * (1 + 1e-6)


def test_it_stops_for_the_reason_it_says():
    X, y = problem(3)
    best, U, a = optimal(X, y, 1.0)
    assert run(X, y, U, a, 1.0, target=0.9 * best.fun).status is Status.CONVERGED
    assert run(X, y, U, a, 1.0, max_iter=3).status is Status.MAX_ITER
    assert run(X, y, U, a, 1.0, max_time=0.0).status is Status.MAX_TIME
    assert run(X, y, U, a, 1.0, max_iter=10**5).status is Status.STALLED


def test_a_number_that_is_not_finite_ends_the_run(monkeypatch):
    X, y = problem(3)
    _, U, a = optimal(X, y, 0.3)
    monkeypatch.setattr(Pull, "__call__", lambda self, *_: np.full(8, np.nan))
    outcome = run(X, y, U, a, 0.3)
    assert outcome.status is Status.NUMERICAL
    assert outcome.proof.lower > 0


def test_the_history_rises():
    X, y = problem(3)
    _, U, a = optimal(X, y, 0.3)
    history = run(X, y, U, a, 0.3).history
    assert (np.diff(history["lower_bound"]) >= 0).all()
    assert (np.diff(history["iteration"]) > 0).all()


def test_ctrl_c_keeps_the_best_bound(monkeypatch):
    X, y = problem(3)
    _, U, a = optimal(X, y, 0.3)
    prove, calls = Climb.prove, []

    def interrupted(self, splitting):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return prove(self, splitting)

    monkeypatch.setattr(Climb, "prove", interrupted)
    outcome = run(X, y, U, a, 0.3)
    assert outcome.interrupted
    assert outcome.proof.lower > 0


def test_a_split_starts_at_the_bound_of_the_whole():
    X, y = problem(3)
    _, U, a = optimal(X, y, 0.2)
    climb = Climb(X, y, 0.2, "squared", np.inf, 0)
    whole = climb.start(balanced(U, a), np.sign(a), True)
    climb.run(whole, 200, np.inf)
    before = climb.best.lower
    halves = climb.split(whole)
    k = climb.rows[0]
    assert [lift.sign for lift in halves.lifts] == [1, 1, -1, -1]
    assert [lift.zero.tolist() for lift in halves.lifts] == [[8 + k], [k]] * 2
    climb.run(halves, 210, np.inf)
    assert climb.best.lower >= before
    climb.prove(halves)
    assert halves.primal < 0.5  # no jump


def test_rows_are_not_split_twice(monkeypatch):
    monkeypatch.setattr(joint, "SHORTEST", 10)
    monkeypatch.setattr(joint, "STALL_BEFORE_SPLIT", 1.0)
    X, y = problem(3, n=3)
    _, U, a = optimal(X, y, 0.2)
    assert run(X, y, U, a, 0.2, branches=5, max_iter=100).proof.lower > 0
    climb = Climb(X, y, 0.2, "squared", np.inf, 0)
    whole = climb.start(balanced(U, a), np.sign(a), True)
    climb.run(whole, 5, np.inf)
    assert undecided_row(whole, [0, 2]) == 1
    for _ in range(3):
        whole = climb.split(whole)
        whole.step()
    assert sorted(climb.rows) == [0, 1, 2]
    assert len(whole.lifts) == 16
