"""Optimizers on functions with known answers, their budgets and their failures."""

import math

import numpy as np
import pytest

import farkas
from quantum import aqgd, cobyla, qng, qnspsa, sequential, spsa
from quantum.optimizers.adam import adam
from quantum.optimizers.quasi_newton import quasi_newton


def bowl(x):
    return float(np.cos(x).sum())


def slope(x):
    return -np.sin(x)


X0 = np.array([1.0, 2.0, -1.5])
EXACT = {
    "aqgd": lambda **k: aqgd(bowl, X0, jac=slope, **k),
    "armijo": lambda **k: aqgd(bowl, X0, jac=slope, eta="armijo", **k),
    "shift": lambda **k: aqgd(bowl, X0, gradient="loss_shift", **k),
    "adam": lambda **k: adam(bowl, X0, jac=slope, **{"maxiter": 600, **k}),
    "amsgrad": lambda **k: adam(
        bowl, X0, jac=slope, amsgrad=True, **{"maxiter": 900, **k}
    ),
    "lbfgs": lambda **k: quasi_newton(bowl, X0, jac=slope, **k),
    "slsqp": lambda **k: quasi_newton(bowl, X0, method="SLSQP", jac=slope, **k),
    "cobyla": lambda **k: cobyla(bowl, X0, **{"maxiter": 200, "tol": 1e-8, **k}),
    "cobyqa": lambda **k: cobyla(bowl, X0, method="COBYQA", **k),
    "qng": lambda **k: qng(
        bowl, X0, jac=slope, metric=lambda x: np.eye(3) / 4, **k
    ),
    "blocks": lambda **k: qng(
        bowl, X0, jac=slope, metric=lambda x: np.full((3, 3), 0.25),
        blocks=[[0], [1], [2]], **k,
    ),
    "sequential": lambda **k: sequential(bowl, X0, **k),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_reaches_the_minimum(name):
    before = X0.copy()
    result = EXACT[name]()
    assert result.fun == pytest.approx(-3.0, abs=1e-5)
    assert result.fun == bowl(result.x)  # the value belongs to the point
    assert np.array_equal(X0, before)
    assert result.nfev >= result.nit >= 1
    assert len(result.history["objective"]) >= 1
    known = result.njev > 0
    data = (bowl, slope) if known else (bowl,)
    farkas.verify(result, *data).check()
    if known:
        assert result.certificate.value == np.abs(slope(result.x)).max()


@pytest.mark.parametrize("name", EXACT)
def test_callback_stops_and_the_best_point_is_kept(name):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result.fun)
        if len(seen) == 2:
            raise StopIteration

    result = EXACT[name](callback=callback)
    if name == "sequential" and len(seen) < 2:
        return  # it needs no second sweep here
    assert len(seen) == 2
    assert result.status is farkas.Status.CALLBACK
    assert not result.success
    assert result.fun == min(seen) or result.fun < min(seen)


@pytest.mark.parametrize("optimizer", [spsa, qnspsa])
def test_stochastic_methods_repeat_with_their_seed(optimizer):
    options = {}
    if optimizer is qnspsa:
        options["fidelity"] = lambda x, y: float(np.prod(np.cos((x - y) / 2) ** 2))
    runs = [
        optimizer(bowl, X0, maxiter=150, random_state=seed, **options)
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(runs[0].x, runs[1].x)
    assert not np.array_equal(runs[0].x, runs[2].x)
    assert runs[0].fun < -2.5
    calls = 1 + 50 + (3 if optimizer is spsa else 7) * 150
    assert runs[0].nfev == calls  # start, calibration, iterations


def test_spsa_variants():
    result = spsa(
        bowl, X0, maxiter=60, c=None, blocking=True, resamplings=2, random_state=0
    )
    assert result.fun < -2.0
    assert result.nfev == 1 + 25 + 50 + 5 * 60


def test_aqgd_stops_on_a_constant():
    result = aqgd(lambda x: 1.0, X0)
    assert result.stopped_by == "parameters"
    assert result.nit == 1
    window = aqgd(lambda x: 1.0, X0, param_tol=0.0, averaging=10)
    assert window.stopped_by == "window"
    assert window.nit == 11
    assert window.nfev == 11 * (2 * len(X0) + 1)


def test_aqgd_follows_its_formula():
    result = aqgd(bowl, X0, jac=slope, maxiter=[1, 1], eta=[0.5, 0.1],
                  momentum=[0.25, 0.5], tol=0.0, param_tol=0.0)  # fmt: skip
    v = 0.75 * slope(X0)
    x = X0 - 0.5 * v
    v = 0.5 * slope(x) + 0.5 * v
    np.testing.assert_allclose(result.x_last, x - 0.1 * v, atol=1e-15)


def test_the_shift_rule_is_exact_for_an_expectation():
    a = aqgd(bowl, X0, maxiter=5)
    b = aqgd(bowl, X0, jac=slope, maxiter=5)
    np.testing.assert_allclose(a.x, b.x, atol=1e-14)
    assert a.nfev == 5 * 7 + 1


def test_cobyla_counts_evaluations():
    result = cobyla(bowl, X0, maxiter=7)
    assert result.nfev == result.nit == 7
    assert result.status is farkas.Status.MAX_EVAL


def test_sequential_is_monotone_and_exact_on_one_angle():
    rng = np.random.default_rng(0)
    target = rng.uniform(0, 1, 9)
    phases = rng.uniform(-3, 3, 9)

    def inner(x):
        return 0.5 + 0.5 * np.cos(x[0] + phases)

    def loss(P):
        return float(np.mean((P - target) ** 2))

    result = sequential(loss, [0.3], inner=inner, tol=1e-12)
    grid = np.linspace(-np.pi, np.pi, 10_001)
    brute = min(loss(inner([t])) for t in grid)
    assert result.fun <= brute + 1e-12
    assert result.fun == pytest.approx(brute, abs=1e-7)
    several = sequential(
        loss, rng.uniform(-3, 3, 4),
        inner=lambda x: 0.5 + np.cos(x.sum() + phases) / 4 + np.sin(x[0] + phases) / 5,
        tol=1e-12, random_state=0, maxiter=20,
    )  # fmt: skip
    assert (np.diff(several.history["objective"]) <= 1e-15).all()


def test_sequential_with_two_frequencies():
    def inner(x):
        return np.array([np.cos(x[0] / 2 + 0.3) + 0.5 * np.sin(x[0]), np.cos(x[1])])

    result = sequential(
        lambda P: float(P.sum()), [0.5, 0.5], inner=inner, frequencies=[(0.5, 1), (1,)]
    )
    grid = np.linspace(0, 4 * np.pi, 20_001)
    brute = min(np.cos(t / 2 + 0.3) + 0.5 * np.sin(t) for t in grid) - 1
    assert result.fun == pytest.approx(brute, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aqgd(bowl, X0, maxiter=[5, 5], eta=[1.0]), "eta.*stages"),
        (lambda: aqgd(bowl, X0, maxiter=5, eta=[1.0, 2.0], momentum=[0.1]), "momentum"),
        (lambda: aqgd(bowl, X0, momentum=1.0), "momentum"),
        (lambda: aqgd(bowl, X0, momentum=-0.1), "momentum"),
        (lambda: aqgd(bowl, X0, eta=0.0), "eta"),
        (lambda: aqgd(bowl, X0, maxiter=0), "maxiter"),
        (lambda: aqgd(bowl, X0, maxiter=[]), "maxiter"),
        (lambda: aqgd(bowl, X0, gradient="none"), "gradient"),
        (lambda: aqgd(bowl, X0, eta="armijo", gradient="loss_shift"), "armijo"),
        (lambda: aqgd(bowl, [np.nan]), "x0"),
        (lambda: cobyla(bowl, X0, maxiter=4), "P \\+ 2 = 5"),
        (lambda: quasi_newton(bowl, X0), "jac"),
        (lambda: adam(bowl, X0), "jac"),
        (lambda: qng(bowl, X0, metric=np.eye), "jac"),
        (lambda: adam(bowl, X0, jac=slope, b1=1.0), "b1"),
        (lambda: spsa(bowl, X0, c=-1.0), "c=-1.0"),
        (lambda: sequential(bowl, X0, frequencies=[(1,)]), "frequencies"),
        (lambda: sequential(bowl, X0, frequencies=[(0.0,)] * 3), "frequencies"),
        (lambda: aqgd(bowl, X0, jac=lambda x: x[:1]), "shape"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="fun"):
        aqgd(3.0, X0)
    with pytest.raises(TypeError, match="jac"):
        aqgd(bowl, X0, jac=3.0)
    with pytest.raises(TypeError, match="fidelity"):
        qnspsa(bowl, X0, fidelity=None)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_leaves_with_what_was_reached(error):
    calls = []

    def fails(x):
        calls.append(x)
        if len(calls) > 20:
            raise error("no more")
        return bowl(x)

    with pytest.raises(error) as caught:
        spsa(fails, X0, a=1.0, random_state=0)
    partial = caught.value.partial_result
    assert partial.fun == bowl(partial.x) < bowl(X0)
    assert len(partial.history["objective"]) == 6


def test_a_value_that_is_not_a_number_ends_the_run():
    count = []

    def breaks(x):
        count.append(1)
        return math.nan if len(count) > 10 else bowl(x)

    result = aqgd(breaks, X0, jac=slope, certify=False)
    assert result.status is farkas.Status.NUMERICAL
    assert math.isfinite(result.fun)


def test_limits_of_evaluations_and_time():
    result = aqgd(bowl, X0, maxfev=8)
    assert result.nfev == 8
    assert result.status is farkas.Status.MAX_EVAL
    assert spsa(bowl, X0, max_time=0.0).status is farkas.Status.MAX_TIME


def test_a_certificate_without_a_gradient_claims_a_value_only():
    c = cobyla(bowl, X0, maxiter=60).certificate
    assert c.value == math.inf
    assert c.guarantee is farkas.Guarantee.DIAGNOSTIC
    assert not farkas.verify(c, lambda x: bowl(x) + 1)
    wrong = aqgd(bowl, X0, jac=slope, maxiter=3).certificate
    assert not farkas.verify(wrong, bowl, lambda x: slope(x) + 1)
    assert not farkas.verify(wrong, bowl, lambda x: slope(x)[:1])


def test_frequencies_of_a_circuit():
    from qiskit.circuit import ParameterVector, QuantumCircuit

    from quantum.compile import compile_circuit
    from quantum.optimizers.sequential import circuit_frequencies

    t = ParameterVector("t", 3)
    c = QuantumCircuit(2)
    c.ry(2 * t[0], 0)
    c.crx(t[1], 0, 1)
    c.ry(t[2], 0)
    c.rz(t[2], 1)
    found = circuit_frequencies(compile_circuit(c, data=False))
    assert found == [[2.0], [0.5, 1.0], [1.0, 2.0]]
    for _ in range(10):
        c.ry(t[2], 0)
    with pytest.raises(ValueError, match="frequencies"):
        circuit_frequencies(compile_circuit(c, data=False))
