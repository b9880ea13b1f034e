"""Fresh-gate tests against enumeration, closed forms of the limit, and forgeries."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import kstest

import farkas
from convexnn import (
    ConvexMLPClassifier,
    SCPRegressor,
    enumerate_patterns,
    sample_patterns,
    solve_gated,
    solve_relu,
    solve_scp,
)
from convexnn._measure_fresh import fresh_gates, gate_entropy
from convexnn.sampled.fresh import fresh_gate_test
from farkas import CertificateError, Guarantee
from farkas.certificate import Certificate
from farkas.testing import tampered


def problem(seed=0, *, n=15, d=2, labels=False):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d)), np.ones(n)])
    y = np.abs(X[:, 0]) + 0.3 * rng.standard_normal(n)
    if labels:
        y = np.where(y > np.median(y), 1.0, -1.0)
    return X, y


def test_no_gate_helps_where_every_pattern_is_there():
    X, y = problem()
    result = solve_relu(X, y, enumerate_patterns(X), alpha=0.1, tol=1e-6)
    made = fresh_gate_test(result, X, y, n_gates=300)
    assert made.residuals["violations"] == 0
    assert made.residuals["largest_norm"] <= 1.0
    assert made.value == pytest.approx(1 - 0.05 ** (1 / 300), rel=1e-12)
    assert made.guarantee is Guarantee.PROBABILISTIC
    assert made.satisfied
    assert made.lower == pytest.approx(result.lower_bound, rel=1e-4)
    assert made.lower <= result.lower_bound
    farkas.verify(made, X, y).check()


@pytest.mark.parametrize("loss", ["squared", "hinge"])
@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_counted_gates_are_those_that_lower_the_optimum(activation, loss):
    X, y = problem(1, labels=loss == "hinge")
    solve = {"relu": solve_relu, "gated": solve_gated}[activation]
    patterns = sample_patterns(X, 3, random_state=0)
    result = solve(X, y, patterns, alpha=0.3, loss=loss, tol=1e-8, max_iter=50_000)
    made = fresh_gate_test(result, X, y, n_gates=40)
    base = result.certificate
    entropy = gate_entropy(base.problem, base.witness, base.parameters, 40, 0)
    gates = fresh_gates(X.shape[1], 40, entropy)
    helpful = 0
    for gate in gates.T:
        D = np.column_stack([patterns.D, X @ gate >= 0]).astype(int)
        more = solve(X, y, D, alpha=0.3, loss=loss, tol=1e-8, max_iter=50_000)
        helpful += more.fun < made.lower
    assert 0 < helpful <= made.residuals["violations"]
    # A violated gate whose gain is less than the slack may count as well.
    assert made.residuals["violations"] <= helpful + 4


def test_units_of_the_sampled_program_are_tested_alike():
    X, y = problem(2)
    few = fresh_gate_test(solve_scp(X, y, 10, alpha=0.1, random_state=0), X, y)
    many = fresh_gate_test(
        solve_scp(X, y, 3000, alpha=0.1, random_state=0, tol=1e-9), X, y
    )
    assert few.value > 0.3
    assert many.value < 0.02
    for made in (few, many):
        farkas.verify(made, X, y).check()
        assert farkas.verify(Certificate.from_json(made.to_json()), X, y)


def test_the_limit_is_that_of_clopper_and_pearson():
    X, y = problem(2)
    made = fresh_gate_test(
        solve_scp(X, y, 10, alpha=0.1, random_state=0), X, y, confidence=0.9
    )
    k, M, p = int(made.residuals["violations"]), 1000, made.value
    below = np.random.default_rng(0).binomial(M, p, 200_000) <= k
    assert below.mean() == pytest.approx(0.1, abs=0.005)


def test_a_program_that_every_gate_improves_says_nothing():
    X, y = problem(3)
    result = solve_gated(X, y, np.eye(len(y), 1, dtype=int), alpha=1e-3)
    made = fresh_gate_test(result, X, y, n_gates=20)
    assert made.residuals["violations"] >= 18
    assert made.value > 0.9
    assert not made.satisfied


def test_estimators_and_several_outputs():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 2))
    labels = np.where(X[:, 0] > 0.5, "a", np.where(X[:, 1] > 0, "b", "c"))
    model = ConvexMLPClassifier(1.0, n_patterns=15, refine=0, random_state=0)
    model.fit(X, labels)
    made = fresh_gate_test(model, X, labels, n_gates=100)
    assert 0 < made.value < 1
    farkas.verify(made, X, labels).check()
    model = SCPRegressor(1.0, n_units=50, random_state=0).fit(X, X)
    farkas.verify(fresh_gate_test(model, X, X, n_gates=50), X, X).check()


@pytest.mark.parametrize("kind", ["relu", "gated", "scp"])
def test_no_forgery_verifies(kind):
    X, y = problem(4)
    patterns = sample_patterns(X, 12, random_state=0)
    result = {
        "relu": lambda: solve_relu(X, y, patterns, alpha=0.2),
        "gated": lambda: solve_gated(X, y, patterns, alpha=0.2),
        "scp": lambda: solve_scp(X, y, 12, alpha=0.2, random_state=0),
    }[kind]()
    made = fresh_gate_test(result, X, y, n_gates=60)
    farkas.verify(made, X, y).check()
    accepted = [
        name
        for name, forged, data in tampered(made, (X, y))
        if farkas.verify(forged, *data)
    ]
    assert accepted == []


def test_other_seeds_draw_other_gates_and_the_point_decides_too():
    X, y = problem(5)
    results = [solve_scp(X, y, 20, alpha=0.1, random_state=0, tol=t) for t in (1e-2, 1)]
    bases = [result.certificate for result in results]
    drawn = [
        fresh_gates(3, 5, gate_entropy(b.problem, b.witness, b.parameters, 5, seed))
        for b in bases
        for seed in (0, 1)
    ]
    for i in range(4):
        for j in range(i):
            assert not np.isclose(drawn[i], drawn[j]).any()


def test_gates_are_standard_normal():
    gates = fresh_gates(10, 2000, [1, 2, 3])
    assert kstest(gates.ravel(), "norm").pvalue > 0.01
    assert np.cov(gates) == pytest.approx(np.eye(10), abs=0.12)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"n_gates": 0}, "n_gates"),
        ({"seed": -1}, "seed"),
        ({"confidence": 1.0}, "confidence"),
        ({"program": "farkas.lasso/1"}, "program"),
        ({"fresh_index": np.array([0.5])}, "integers"),
        ({"fresh_index": np.array([0, 0]), "fresh_value": np.ones(2)}, "distinct"),
        ({"fresh_index": np.array([10**9]), "fresh_value": np.ones(1)}, "within"),
        ({"fresh_index": np.array([1]), "fresh_value": -np.ones(1)}, "nonnegative"),
        (
            {"fresh_index": np.arange(30), "fresh_value": np.full(30, 1.7e308)},
            "overflow",
        ),
    ],
)
def test_a_malformed_witness_is_refused(changes, why):
    X, y = problem()
    patterns = sample_patterns(X, 4, random_state=0)
    made = fresh_gate_test(solve_relu(X, y, patterns, alpha=0.3), X, y, n_gates=9)
    parameters = {k: changes.pop(k, v) for k, v in made.parameters.items()}
    with np.errstate(all="ignore"), pytest.raises(CertificateError, match=why):
        farkas.certify(
            made.problem, (X, y), {**made.witness, **changes}, parameters, tolerance=1.0
        )


def test_bad_arguments_are_named():
    X, y = problem()
    result = solve_scp(X, y, 5, alpha=0.1, random_state=0)
    for options in (
        {"n_gates": 0},
        {"confidence": 0.0},
        {"tolerance": -0.1},
        {"seed": -1},
    ):
        with pytest.raises(ValueError, match=next(iter(options))):
            fresh_gate_test(result, X, y, **options)
    with pytest.raises(TypeError, match="holds no certificate"):
        fresh_gate_test(object(), X, y)
    other = farkas.certify_lasso(X, y, np.zeros(3), alpha=1.0)
    with pytest.raises(ValueError, match="lasso"):
        fresh_gate_test(other, X, y)
    ridge = solve_gated(X, y, sample_patterns(X, 20, random_state=0), alpha=0)
    with pytest.raises(ValueError, match="alpha=0"):
        fresh_gate_test(ridge, X, y)
    with pytest.raises(CertificateError, match="no dual point"):
        farkas.certify(
            "convexnn.fresh_gates/1",
            (X, y),
            ridge.certificate.witness,
            {
                **ridge.certificate.parameters,
                "program": "convexnn.two_layer/1",
                "n_gates": 5,
                "seed": 0,
                "confidence": 0.9,
            },
            tolerance=1.0,
        )
    assert dataclasses.is_dataclass(result.certificate)
