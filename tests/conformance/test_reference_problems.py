"""No forgery of a certificate of the two reference problems verifies."""

import numpy as np
import pytest
from sklearn.linear_model import Lasso

import farkas
from farkas.certificate import Certificate
from farkas.testing import tampered, widened
from farkas.verification import verify


def book_lasso(w):
    X, y = np.array([[1.0, 0], [0, 2], [1, 1]]), np.array([1.0, 2, 3])
    return farkas.certify_lasso(X, y, w, alpha=0.5), (X, y)


def random_lasso():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, 8))
    y = X[:, 0] - 2 * X[:, 1] + rng.standard_normal(40)
    w = Lasso(4.0 / 40, fit_intercept=False, tol=1e-3).fit(X, y).coef_
    return farkas.certify_lasso(X, y, w, alpha=4.0, tolerance=1e-3), (X, y)


def book_system():
    A, b = np.ones((2, 2)), np.array([1.0, 2.0])
    return farkas.certify_infeasible(A, b), (A, b)


def random_system():
    # A is positive and an entry of b is negative, so no x >= 0 fits.
    rng = np.random.default_rng(4)
    A, b = rng.random((5, 7)), rng.standard_normal(5) - 1
    return farkas.certify_infeasible(A, b), (A, b)


def nearly_a_proof():
    # x = (1/3, 1/3) solves the system, so y can only exclude smaller solutions.
    A, b = np.eye(2), np.array([1 / 3, 1 / 3])
    witness = {"y": np.array([-4.0, 1.0])}
    made = farkas.certify("farkas.linear_system/1", (A, b), witness, tolerance=1.0)
    return made, (A, b)


PROBLEMS = {
    "lasso at zero": lambda: book_lasso([0, 0]),
    "lasso near its solution": lambda: book_lasso([1.2, 1.0]),
    "lasso at its solution": lambda: book_lasso([11 / 9, 19 / 18]),
    "random lasso": random_lasso,
    "linear system": book_system,
    "random linear system": random_system,
    "linear system with a solution": nearly_a_proof,
}


@pytest.fixture(params=PROBLEMS.values(), ids=PROBLEMS.keys())
def honest(request):
    return request.param()


def test_the_honest_certificate_verifies(honest):
    certificate, data = honest
    verify(certificate, *data).check()
    verify(Certificate.from_json(certificate.to_json()), *data).check()
    verify(widened(certificate), *data).check()


def test_a_wider_tolerance_changes_only_whether_it_is_satisfied(honest):
    certificate, _ = honest
    before, after = certificate.to_dict(), widened(certificate).to_dict()
    assert after.pop("tolerance") > before.pop("tolerance")
    assert str(after) == str(before)
    assert widened(certificate).satisfied


def test_no_forgery_verifies(honest):
    certificate, data = honest
    accepted = [name for name, *f in tampered(certificate, data) if verify(f[0], *f[1])]
    assert accepted == []


def test_the_suite_forges_everything_there_is():
    certificate, data = book_lasso([1.2, 1.0])
    names = [name for name, _, _ in tampered(certificate, data)]
    assert len(set(names)) == len(names)
    for kind in (
        "value / 10",
        "lower raised",
        "upper lowered",
        "guarantee",
        "witness w",
        "witness theta",
        "sign",
        "rows of array 0 reversed",
        "all rows reversed",
        "target",
        "JSON: value",
        "JSON: lower",
        "JSON: upper",
        "JSON: residual dual_slope",
        "JSON: parameter alpha",
        "arithmetic alone",
    ):
        assert any(kind in name for name in names), kind


def test_a_forgery_that_must_fail_by_arithmetic_has_no_other_protection():
    certificate, data = book_lasso([1.2, 1.0])
    bare = [c for name, c, _ in tampered(certificate, data) if "arithmetic" in name]
    assert bare
    assert {(c.seal, c.fingerprint) for c in bare} == {("", "")}
