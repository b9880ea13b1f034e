"""The arithmetic of the two reference problems against numbers computed by hand."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import csr_array
from sklearn.linear_model import Lasso

import farkas
from farkas import CertificateError, Guarantee, _measure
from farkas._measure import EPS, measure_infeasibility, measure_lasso

X = np.array([[1.0, 0], [0, 2], [1, 1]])
Y = np.array([1.0, 2, 3])
A = np.array([[1.0, 1], [1, 1]])
B = np.array([1.0, 2])
SOLUTION = np.array([11 / 9, 19 / 18])


def lasso(w, theta=None, *, X=X, y=Y, alpha=0.5):
    witness = {"w": np.asarray(w, float)}
    if theta is not None:
        witness["theta"] = np.asarray(theta, float)
    return measure_lasso(X, y, witness=witness, parameters={"alpha": alpha})


def system(y, *, A=A, b=B):
    witness = {"y": np.asarray(y, float)}
    return measure_infeasibility(
        np.asarray(A, float), np.asarray(b, float), witness=witness, parameters={}
    )


# The Lasso --------------------------------------------------------------------------


def test_lasso_at_zero():
    found = lasso([0, 0])
    assert found.upper == 7.0
    assert found.lower == pytest.approx(7 * 27 / 196, rel=1e-13)
    assert found.value == pytest.approx(6.035714285714286, rel=1e-13)
    assert found.scale == 7.0


def test_lasso_at_its_solution():
    found = lasso(SOLUTION)
    assert found.upper == pytest.approx(103 / 72, rel=1e-14)
    assert found.lower == pytest.approx(103 / 72, rel=1e-13)
    assert 0 <= found.value <= 64 * EPS * found.scale


def test_lasso_says_what_it_found():
    found = lasso([0, 0])
    assert found.kind == "duality_gap"
    assert found.guarantee is Guarantee.GLOBAL
    assert found.residuals == {"dual_slope": 14.0}  # |X'y|_inf / alpha = 7 / 0.5


def test_an_infeasible_dual_point_is_rescaled():
    r = Y - X @ SOLUTION
    assert lasso(SOLUTION, 100 * r).lower <= 103 / 72
    assert lasso(SOLUTION, 100 * r).lower == pytest.approx(
        lasso(SOLUTION, r / np.abs(X.T @ r).max()).lower, rel=1e-13
    )


def test_a_feasible_dual_point_is_kept():
    # theta = 0 proves nothing but 0, and is not scaled up.
    assert lasso([0, 0], [0, 0, 0]).lower == 0.0
    assert lasso([0, 0], [0.1, 0, 0]).lower == pytest.approx(0.5 * (1 - 0.95**2))


def test_lasso_of_zero_targets_has_scale_one():
    found = lasso([0, 0], y=np.zeros(3))
    assert (found.scale, found.value, found.upper) == (1.0, 0.0, 0.0)


def test_lasso_without_columns():
    found = lasso([], X=np.empty((3, 0)))
    assert found.residuals == {"dual_slope": 0.0}
    assert found.lower == found.upper == 7.0


def test_lasso_of_a_sparse_matrix():
    assert lasso([1, 1], X=csr_array(X)) == lasso([1, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w": [1.0]}, r"w must have shape \(2,\), got \(1,\)"),
        ({"w": [np.nan, 1.0]}, "w must be finite"),
        ({"w": [np.inf, 1.0]}, "w must be finite"),
        ({"theta": [1.0]}, r"theta must have shape \(3,\)"),
        ({"theta": [np.inf, 0, 0]}, "theta must be finite"),
        ({"X": Y}, "X must be 2-dimensional, got 1"),
        ({"y": Y[:2]}, r"y must have shape \(3,\), got \(2,\)"),
        ({"y": Y[:, None]}, r"y must have shape \(3,\), got \(3, 1\)"),
        ({"y": [1, 2, np.nan]}, "y must be finite"),
        ({"alpha": 0.0}, "alpha=0.0 must be positive"),
        ({"alpha": -1.0}, "alpha=-1.0 must be positive"),
        ({"alpha": np.inf}, "alpha=inf must be positive"),
        ({"alpha": np.nan}, "alpha=nan must be positive"),
    ],
)
def test_lasso_names_what_is_wrong(changes, message):
    with pytest.raises(CertificateError, match=message):
        lasso(**{"w": [0, 0], **changes})


def test_a_gap_far_below_zero_is_an_error_of_the_measure(monkeypatch):
    # Objective values that no data can have: the upper bound 0, the lower bound 7.
    squares = iter([0.0, 14.0, 0.0])
    monkeypatch.setattr(_measure, "_sum_of_squares", lambda vector: next(squares))
    with pytest.raises(CertificateError, match="negative duality gap -7"):
        lasso([0, 0])


def test_nan_in_the_matrix_certifies_nothing():
    spoilt = X.copy()
    spoilt[0, 0] = np.nan
    with pytest.raises(CertificateError):
        farkas.certify(
            "farkas.lasso/1",
            (spoilt, Y),
            {"w": [0.0, 0.0], "theta": [0.0, 0.0, 0.0]},
            {"alpha": 0.5},
            tolerance=1.0,
        )


@pytest.mark.parametrize("size", [1e154, 1e200])
def test_squares_beyond_the_range_of_floats_are_refused(size):
    # The squares of 1e154 are finite but their sum is not.
    with pytest.raises(CertificateError, match="rescale y"):
        farkas.certify_lasso(X, np.full(3, size), [0, 0], alpha=0.5)


def test_a_candidate_beyond_the_range_of_floats_claims_no_upper_bound():
    found = lasso([1e200, 0], [0.0, 0.0, 0.0])
    assert (found.lower, found.upper, found.value) == (0.0, np.inf, np.inf)


numbers = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 3))


@st.composite
def lasso_problems(draw):
    n, d = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    matrix = draw(arrays(float, (n, d), elements=numbers))
    targets = draw(arrays(float, n, elements=numbers))
    alpha = draw(st.floats(1e-2, 10))
    return matrix, targets, alpha


# An unconverged Lasso still gives an upper bound of the optimum.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@given(lasso_problems(), st.data())
def test_no_candidate_proves_a_bound_above_the_optimum(problem, data):
    X, y, alpha = problem
    n, d = X.shape
    w = data.draw(arrays(float, d, elements=numbers))
    theta = data.draw(st.none() | arrays(float, n, elements=numbers))
    found = lasso(w, theta, X=X, y=y, alpha=alpha)
    # scikit-learn divides the loss by n.
    model = Lasso(alpha / n, fit_intercept=False, tol=1e-10, max_iter=100_000)
    best = lasso(model.fit(X, y).coef_, X=X, y=y, alpha=alpha)
    room = 64 * EPS * found.scale
    assert found.lower <= best.upper + room
    assert found.value >= 0
    assert found.upper - best.lower >= -room
    assert found.upper - best.upper <= found.value + room


@given(lasso_problems(), st.sampled_from([0.25, 2.0, 1024.0]))
def test_lasso_scales_with_its_units(problem, factor):
    X, y, alpha = problem
    w = np.ones(X.shape[1])
    found = lasso(w, X=X, y=y, alpha=alpha)
    # y -> c y, w -> c w, alpha -> c alpha multiplies the objective by c^2, exactly
    # for powers of two.
    scaled = lasso(factor * w, X=X, y=factor * y, alpha=factor * alpha)
    assert scaled.upper == factor**2 * found.upper
    assert scaled.lower == factor**2 * found.lower
    assert scaled.residuals == found.residuals


@given(lasso_problems(), st.randoms(use_true_random=False))
def test_lasso_does_not_depend_on_the_order_of_rows_and_columns(problem, random):
    X, y, alpha = problem
    rows, columns = list(range(len(X))), list(range(X.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    w = np.linspace(-1, 1, X.shape[1])
    found = lasso(w, X=X, y=y, alpha=alpha)
    other = lasso(w[columns], X=X[rows][:, columns], y=y[rows], alpha=alpha)
    size = 1e-10 * (1 + found.scale + found.upper)
    assert other.upper == pytest.approx(found.upper, abs=size)
    assert other.lower == pytest.approx(found.lower, abs=size)


# Farkas' lemma ----------------------------------------------------------------------


def test_a_witness_of_infeasibility():
    found = system([1, -1])
    assert found.value == 0.0
    assert found.guarantee is Guarantee.GLOBAL
    assert found.kind == "infeasibility"
    assert found.residuals == {"descent": -1.0}


@pytest.mark.parametrize("y", [[1, 1], [0, 0], [-1, 1], [2, -1]])
def test_a_witness_without_descent_is_rejected(y):
    with pytest.raises(CertificateError, match="must be negative"):
        system(y)


def test_the_value_measures_the_normalised_violation():
    # b'y = -4, A'y = (-1, -1): with y scaled to b'y = -1 the violation is 1/4.
    found = system([3, -4], b=[0, 1])
    assert found.value == 0.25
    assert found.guarantee is Guarantee.DIAGNOSTIC
    # Indeed x = (4, 0) solves -x1 - x2 = -4, and no smaller x does.
    assert system([30, -40], b=[0, 1]).value == 0.25


def test_a_system_without_unknowns_is_infeasible_unless_b_is_zero():
    assert system([-1], A=np.empty((1, 0)), b=[1]).value == 0.0
    with pytest.raises(CertificateError, match="must be negative"):
        system([-1], A=np.empty((1, 0)), b=[0])


def test_the_sign_of_a_product_is_exact():
    # In plain floating point A'y is 0, which would be a proof; it is -EPS^2.
    column, y = np.array([1 + EPS, 1]), np.array([1 - EPS, -1])
    assert column @ y == 0.0
    found = system(y, A=column[:, None], b=[0, 1])
    assert found.guarantee is Guarantee.DIAGNOSTIC
    assert found.value == EPS**2


@pytest.mark.parametrize(
    ("A", "b", "y"),
    [
        ([[1e-200]], [1], [-1e-200]),  # x = 1e200 solves it; A'y underflows
        ([[1, np.nan], [1, 1]], [1, 2], [1, -1]),
        ([[1, np.inf], [1, 1]], [1, 2], [1, -1]),
        ([[1, 1e200], [1, 1]], [1, 2], [1, -1]),
        ([[1, 1], [1, 1]], [1, 2], [1e-280, -1e-280]),
    ],
)
def test_what_cannot_be_computed_exactly_is_rejected(A, b, y):
    with pytest.raises(CertificateError, match="rescale the system"):
        system(y, A=A, b=b)


def test_a_violation_that_underflows_is_still_one():
    found = system([1e-80, -1e140], A=[[-1e-80], [0]], b=[0, 1e140])
    assert found.value > 0
    assert found.guarantee is Guarantee.DIAGNOSTIC


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": B}, "A must be 2-dimensional, got 1"),
        ({"b": [1, 2, 3]}, r"b must have shape \(2,\), got \(3,\)"),
        ({"y": [1]}, r"y must have shape \(2,\), got \(1,\)"),
        ({"y": [np.nan, 1]}, "y must be finite"),
        ({"b": [np.inf, 1]}, "b must be finite"),
    ],
)
def test_the_system_names_what_is_wrong(changes, message):
    with pytest.raises(CertificateError, match=message):
        system(**{"y": [1, -1], **changes})


small = st.integers(-3, 3).map(float)


@given(
    arrays(float, (3, 4), elements=small),
    arrays(float, 4, elements=small),
    arrays(float, 3, elements=numbers),
)
def test_no_witness_refutes_a_system_with_a_solution(A, x, y):
    b = A @ np.abs(x)  # integers, so exact
    try:
        found = system(y, A=A, b=b)
    except CertificateError:
        return
    assert found.guarantee is Guarantee.DIAGNOSTIC
    assert np.abs(x).sum() >= (1 - 1e-12) / found.value


@given(arrays(float, (2, 5), elements=st.floats(-1e6, 1e6)))
def test_products_are_correctly_rounded(pair):
    a, b = pair
    exact = sum(Fraction(x) * Fraction(y) for x, y in zip(a, b, strict=True))
    try:
        assert _measure._exact_dot(a, b) == float(exact)
    except CertificateError:  # a product below the range of exact splitting
        products = np.abs(a * b)
        assert (products[(a != 0) & (b != 0)] < 2.0**-900).any()


def test_a_proof_of_infeasibility_fails_on_other_data_by_arithmetic_alone():
    bare = dataclasses.replace(farkas.certify_infeasible(A, B), fingerprint="", seal="")
    assert farkas.verify(bare, A, B)
    assert not farkas.verify(bare, A, B[::-1])
    assert not farkas.verify(bare, A, np.ones(2))
    assert not farkas.verify(bare, np.eye(2), B)
    assert math.isnan(farkas.verify(bare, np.eye(2), [1, 1]).recomputed)
