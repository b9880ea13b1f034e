"""Global certificates: never above a trained network, redone by verify."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize

import farkas
from convexnn import enumerate_patterns, recover_network, solve_relu
from convexnn._measure_losses import LOSSES
from convexnn.relaxation.certificates import (
    balanced,
    global_certificate,
    global_witness,
    own_patterns,
)
from convexnn.relaxation.joint import Climb
from farkas import Guarantee


def trained(X, y, alpha, loss, rng, units=8, starts=5):
    """Return the best network of several runs of L-BFGS on the non-convex problem."""
    d, best = X.shape[1], (np.inf, None)

    def objective(flat):
        U, a = flat[: d * units].reshape(d, units), flat[d * units :]
        products = X @ U
        hidden = np.maximum(products, 0)
        z = hidden @ a
        theta = LOSSES[loss].theta(z, y)
        slope = -X.T @ ((products > 0) * theta[:, None] * a) + alpha * U
        value = LOSSES[loss].value(z, y).sum() + 0.5 * alpha * flat @ flat
        return value, np.concatenate([slope.ravel(), -hidden.T @ theta + alpha * a])

    for _ in range(starts):
        start = 0.5 * rng.standard_normal((d + 1) * units)
        run = minimize(objective, start, jac=True, method="L-BFGS-B")
        if run.fun < best[0]:
            best = (run.fun, run.x)
    flat = best[1]
    return flat[: d * units].reshape(d, units), flat[d * units :]


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_below_every_trained_network(loss, seed):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(3, 13)), int(rng.integers(2, 5))
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    y = np.sign(y) if LOSSES[loss].labels else y
    alpha = float(10.0 ** rng.uniform(-1.5, 0.5))
    U, a = trained(X, y, alpha, loss, rng)
    certificate = global_certificate(
        (X, y), U, a, alpha=alpha, loss=loss, method="dnn", tol=1e-3, max_iter=200
    )
    assert certificate.guarantee is Guarantee.GLOBAL
    assert certificate.lower <= certificate.upper
    assert certificate.lower > 0
    assert farkas.verify(certificate, X, y)
    assert not farkas.verify(certificate, X, -y)


@pytest.mark.parametrize("method", ["dnn", "shor", "elementary", "enumerate"])
def test_every_method_agrees_with_the_list_of_all_patterns(method):
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((7, 3)), rng.standard_normal(7)
    best = solve_relu(X, y, enumerate_patterns(X), alpha=0.5, tol=1e-8)
    U, a = recover_network(*best.x, X)
    certificate = global_certificate(
        (X, y), U, a, alpha=0.5, method=method, tol=1e-5, max_iter=500
    )
    assert certificate.parameters["method"] == method
    assert certificate.upper == pytest.approx(best.fun, rel=1e-6)
    assert certificate.lower <= best.fun * (1 + 1e-6)
    share = {"dnn": 0.98, "shor": 0.7, "elementary": 0.3, "enumerate": 0.9999}
    assert certificate.lower >= share[method] * best.fun


def test_small_data_are_enumerated_by_default():
    X = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    y = np.array([-1.0, 1, 1, -1])
    certificate = global_certificate((X, y), np.ones((3, 1)), np.ones(1), alpha=0.1)
    assert certificate.parameters["method"] == "enumerate"
    assert certificate.lower == pytest.approx(0.5792528734, rel=1e-2)


def test_several_outputs_and_an_intercept_are_bounded_together():
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((8, 2)), np.arange(8) % 3
    U, a = rng.standard_normal((3, 6)), np.kron(np.eye(3), [[1.0], [-1.0]])
    options = {"alpha": 0.5, "loss": "logistic", "encoding": "labels"}
    certificate = global_certificate(
        (X, y), U, a, intercept=1.0, method="dnn", max_iter=100, **options
    )
    assert farkas.verify(certificate, X, y)
    assert "every output has units of its own" in certificate.assumptions
    data, parts = np.column_stack([X, np.ones(8)]), []
    for c in range(3):
        target = np.where(y == c, 1.0, -1.0)
        part = global_certificate(
            (data, target),
            U,
            a[:, c],
            alpha=0.5,
            loss="logistic",
            method="dnn",
            max_iter=100,
        )
        parts.append(part.lower)
    assert certificate.lower == pytest.approx(sum(parts), rel=1e-6)


def test_branches_are_part_of_the_certificate():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((6, 3)), rng.standard_normal(6)
    X[:, -1] = 1.0
    U, a = trained(X, y, 0.1, "squared", rng)
    whole, certificate = (
        global_certificate(
            (X, y), U, a, alpha=0.1, method="dnn", branches=count, max_iter=700
        )
        for count in (0, 2)
    )
    assert certificate.lower > whole.lower
    count = certificate.witness["branches"].shape[1]
    assert count >= 1
    assert certificate.witness["level"].shape == (1, 2, 2**count)
    assert farkas.verify(certificate, X, y)


def test_outputs_may_have_different_branches():
    X, y = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]), np.array([1.0, -1.0, 2.0])
    climbs = [Climb(X, target, 0.1, "squared", np.inf, 0) for target in (y, -y)]
    for climb, splits in zip(climbs, (0, 2), strict=True):
        splitting = climb.start(np.eye(2), np.array([1.0, -1.0]), True)
        climb.run(splitting, 30, np.inf)
        for _ in range(splits):
            splitting = climb.split(splitting)
            splitting.step()
            climb.best = dataclasses.replace(climb.best, lower=-np.inf)
            climb.prove(splitting)
    proofs = [climb.best for climb in climbs]
    assert [len(proof.rows) for proof in proofs] == [0, 2]
    witness = global_witness(proofs) | {"U": np.zeros((2, 0)), "a": np.zeros((0, 2))}
    parameters = {
        "alpha": 0.1,
        "loss": "squared",
        "encoding": "none",
        "intercept": 0.0,
        "method": "dnn",
    }
    data = X, np.column_stack([y, -y])
    certificate = farkas.certify(
        "convexnn.global/1", data, witness, parameters, tolerance=1.0
    )
    expected = sum(proof.lower for proof in proofs)
    assert certificate.lower == pytest.approx(expected, rel=1e-6)


def test_the_method_is_the_one_that_found_the_bound():
    X, y = np.random.default_rng(0).standard_normal((6, 3)), np.arange(6.0)
    certificate = global_certificate(
        (X, y), np.ones((3, 1)), np.ones(1), alpha=0.1, method="dnn", max_iter=0
    )
    assert certificate.parameters["method"] == "elementary"


def test_too_many_rows_are_refused():
    X, y = np.random.default_rng(0).standard_normal((2001, 4)), np.ones(2001)
    with pytest.raises(ValueError, match="2001 rows"):
        global_certificate((X, y), np.ones((4, 1)), np.ones(1), alpha=0.1)


def test_balancing_leaves_the_function():
    rng = np.random.default_rng(0)
    U, a = rng.standard_normal((3, 4)), rng.standard_normal(4)
    U[:, 1] = 0.0
    V = balanced(U, a)
    sizes = np.linalg.norm(V, axis=0)
    X = rng.standard_normal((5, 3))
    before = np.maximum(X @ U, 0) @ a
    assert np.allclose(np.maximum(X @ V, 0) @ (sizes * np.sign(a)), before)


def test_own_patterns_are_distinct_and_in_order():
    X = np.array([[1.0, 0.0], [0.0, 1.0]])
    U = np.array([[1.0, 2.0, -1.0], [1.0, 1.0, 1.0]])
    patterns = own_patterns(X, U, np.array([[True], [False]]))
    assert patterns.D.T.tolist() == [[True, True], [False, True], [True, False]]
    assert own_patterns(X, np.zeros((2, 0)), None).D.T.tolist() == [[True, True]]
