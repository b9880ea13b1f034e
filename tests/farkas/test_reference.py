"""The two reference problems: numbers by hand, and independent solvers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import nnls
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso

import farkas
from farkas import Guarantee

X = np.array([[1.0, 0], [0, 2], [1, 1]])
Y = np.array([1.0, 2, 3])

# The Lasso --------------------------------------------------------------------------


def test_lasso_at_zero():
    certificate = farkas.certify_lasso(X, Y, [0, 0], alpha=0.5)
    assert certificate.upper == 7.0
    assert certificate.lower == pytest.approx(0.9642857142857143, rel=1e-13)
    assert certificate.gap == pytest.approx(6.035714285714286, rel=1e-13)
    assert certificate.guarantee is Guarantee.GLOBAL
    assert not certificate.satisfied
    # theta = r / max(alpha, |X'r|_inf), with X'y = (4, 7)
    np.testing.assert_allclose(certificate.witness["theta"], Y / 7, rtol=1e-15)


def test_lasso_at_its_solution():
    certificate = farkas.certify_lasso(
        X, Y, [11 / 9, 19 / 18], alpha=0.5, tolerance=1e-13
    )
    assert certificate.upper == pytest.approx(103 / 72, rel=1e-14)
    assert certificate.lower == pytest.approx(103 / 72, rel=1e-13)
    assert certificate.satisfied


def test_lasso_with_a_large_penalty_is_solved_by_zero():
    # alpha >= |X'y|_inf = 7
    certificate = farkas.certify_lasso(X, Y, [0, 0], alpha=7.0, tolerance=1e-13)
    assert certificate.lower == pytest.approx(7.0)
    assert certificate.satisfied


def test_lasso_grades_the_answer_of_scikit_learn_on_real_data():
    X, y = load_diabetes(return_X_y=True)
    y = y - y.mean()
    model = Lasso(0.1, fit_intercept=False, tol=1e-10).fit(X, y)
    alpha = 0.1 * len(y)
    certificate = farkas.certify_lasso(X, y, model.coef_, alpha=alpha)
    assert certificate.satisfied, certificate
    farkas.verify(certificate, X, y).check()
    worse = farkas.certify_lasso(X, y, 0.99 * model.coef_, alpha=alpha)
    assert worse.lower <= certificate.upper <= worse.upper
    assert not worse.satisfied


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_the_bounds_enclose_the_optimum_of_scikit_learn(seed, n, d):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    alpha = 10.0 ** rng.uniform(-2, 1)
    model = Lasso(alpha / n, fit_intercept=False, tol=1e-12, max_iter=100_000)
    best = farkas.certify_lasso(X, y, model.fit(X, y).coef_, alpha=alpha)
    assert best.relative < 1e-7, best
    for w in (np.zeros(d), rng.standard_normal(d), best.witness["w"] + 0.01):
        certificate = farkas.certify_lasso(X, y, w, alpha=alpha)
        assert certificate.lower <= best.upper * (1 + 1e-12)
        assert certificate.upper >= best.lower * (1 - 1e-12)
        assert farkas.verify(certificate, X, y)


def test_an_interior_point_method_agrees_on_the_optimum():
    import cvxpy as cp

    rng = np.random.default_rng(0)
    X, y, alpha = rng.standard_normal((20, 8)), rng.standard_normal(20), 1.5
    w = cp.Variable(8)
    objective = 0.5 * cp.sum_squares(X @ w - y) + alpha * cp.norm1(w)
    optimum = cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL")
    certificate = farkas.certify_lasso(X, y, w.value, alpha=alpha)
    assert certificate.upper == pytest.approx(optimum, rel=1e-7)
    assert certificate.lower == pytest.approx(optimum, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": Y}, "X must be 2-dimensional, got 1"),
        ({"y": X}, "y must be 1-dimensional, got 2"),
        ({"w": 1.0}, "w must be 1-dimensional, got 0"),
        ({"y": Y[:2]}, r"X of shape \(3, 2\) does not fit y \(2,\) and w \(2,\)"),
        ({"w": Y}, r"pass X \(n, d\), y \(n,\) and w \(d,\)"),
        ({"X": X * np.nan}, "X must not contain NaN or infinity"),
        ({"y": [1, 2, np.inf]}, "y must not contain NaN or infinity"),
        ({"w": [np.nan, 0]}, "w must not contain NaN or infinity"),
        ({"alpha": 0.0}, "alpha=0.0 must be positive and finite"),
        ({"alpha": -1.0}, "alpha=-1.0 must be positive and finite"),
        ({"alpha": np.nan}, "alpha=nan must be positive and finite"),
        ({"alpha": np.inf}, "alpha=inf must be positive and finite"),
    ],
)
def test_lasso_names_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        farkas.certify_lasso(**{"X": X, "y": Y, "w": [0, 0], "alpha": 0.5, **changes})


# Farkas' lemma ----------------------------------------------------------------------


def test_the_smallest_infeasible_system():
    A, b = np.ones((2, 2)), np.array([1.0, 2])
    certificate = farkas.certify_infeasible(A, b)
    y = certificate.witness["y"]
    assert certificate.value == 0.0
    assert certificate.guarantee is Guarantee.GLOBAL
    assert (A.T @ y >= 0).all()
    assert b @ y == pytest.approx(-1.0)
    farkas.verify(certificate, A, b).check()


def test_a_system_that_needs_negative_unknowns():
    # x = (-1, 1) is the only solution.
    certificate = farkas.certify_infeasible([[1, 0], [0, 1]], [-1, 1])
    assert certificate.value == 0.0


def test_a_system_without_unknowns():
    assert farkas.certify_infeasible(np.empty((1, 0)), [1]).value == 0.0


@pytest.mark.parametrize(
    ("A", "b", "solution"),
    [
        ([[1, 1], [1, 1]], [2, 2], None),
        ([[1, 0], [0, 1]], [3, 4], r"x = \[3\. 4\.\]"),
        ([[1, 0], [0, 1]], [0, 0], r"x = \[0\. 0\.\]"),
        (np.zeros((2, 3)), [0, 0], r"x = \[0\. 0\. 0\.\]"),
    ],
)
def test_a_system_with_a_solution_is_shown_it(A, b, solution):
    with pytest.raises(ValueError, match="has a solution, so no proof") as refusal:
        farkas.certify_infeasible(A, b)
    if solution:
        refusal.match(solution)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_units_of_the_system_do_not_matter(unit):
    A, b = np.array([[1.0, 1, 0], [1, 1, 1], [0, 0, 1]]), np.array([1.0, 2, 3])
    certificate = farkas.certify_infeasible(unit * A, b)
    assert certificate.guarantee is Guarantee.GLOBAL
    assert farkas.certify_infeasible(A, unit * b).guarantee is Guarantee.GLOBAL


@pytest.mark.parametrize(
    ("A", "b", "message"),
    [
        ([1, 1], [1, 2], "A must be 2-dimensional, got 1"),
        ([[1, 1]], 1, "b must be 1-dimensional, got 0"),
        ([[1, 1]], [1, 2], "A has 1 rows but b has 2 entries; pass A"),
        ([[1, np.nan]], [1], "A must not contain NaN or infinity"),
        ([[1, 1]], [np.inf], "b must not contain NaN or infinity"),
    ],
)
def test_the_system_names_what_is_wrong(A, b, message):
    with pytest.raises(ValueError, match=message):
        farkas.certify_infeasible(A, b)


whole = st.integers(-3, 3).map(float)


@given(
    arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=whole),
    st.data(),
)
def test_a_system_has_either_a_solution_or_a_proof(A, data):
    b = data.draw(arrays(float, A.shape[0], elements=whole))
    # With small integers the least squares residual is 0 or far from it.
    x, distance = nnls(A, b)
    if distance < 1e-6:
        with pytest.raises(ValueError, match="has a solution"):
            farkas.certify_infeasible(A, b)
        return
    certificate = farkas.certify_infeasible(A, b)
    assert certificate.satisfied, certificate
    farkas.verify(certificate, A, b).check()


@given(
    arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=whole),
    st.data(),
)
def test_no_proof_exists_where_a_solution_was_planted(A, data):
    x = data.draw(arrays(float, A.shape[1], elements=st.integers(0, 3).map(float)))
    with pytest.raises(ValueError, match="has a solution"):
        farkas.certify_infeasible(A, A @ x)
