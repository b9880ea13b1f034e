"""Projections, the floor in numbers, and measurements with several outcomes."""

import numpy as np
import pytest

import farkas
from quantum import encode, optimal_measurement
from quantum._measure_losses import make_loss
from quantum.fantope import project_fantope, project_spectrum, trace_interval
from quantum.povm import hermitian_basis, is_small_enough, solve_povm


def hermitian(rng, k):
    A = rng.standard_normal((k, k)) + 1j * rng.standard_normal((k, k))
    return A + A.conj().T


@pytest.mark.parametrize(
    ("low", "high"), [(3.0, 3.0), (1.5, 1.5), (0.0, 6.0), (2.0, 4.0)]
)
def test_projection_onto_the_fantope(low, high):
    rng = np.random.default_rng(0)
    for _ in range(20):
        A = hermitian(rng, 6)
        M = project_fantope(A, low, high)
        v = np.linalg.eigvalsh(M)
        assert v.min() > -1e-12
        assert v.max() < 1 + 1e-12
        assert low - 1e-10 <= v.sum() <= high + 1e-10
        np.testing.assert_allclose(project_fantope(M, low, high), M, atol=1e-10)
        # The variational inequality: no feasible point is on the far side.
        for _ in range(5):
            other = project_fantope(3 * hermitian(rng, 6), low, high)
            assert np.vdot(A - M, other - M).real <= 1e-9


def test_projection_of_ties_and_ends():
    np.testing.assert_allclose(project_spectrum(np.zeros(4), 2, 2), 0.5)
    np.testing.assert_allclose(project_spectrum(np.full(3, 5.0), 3, 3), 1.0)
    np.testing.assert_allclose(project_spectrum(np.full(3, 5.0), 0, 0), 0.0, atol=1e-12)
    np.testing.assert_allclose(project_spectrum(np.array([0.2, 0.9]), 0, 2), [0.2, 0.9])
    assert trace_interval(8, 16, 6) == (0.0, 6.0)
    assert trace_interval(12, 16, 6) == (2.0, 6.0)
    assert trace_interval(None, 16, 6) == (0.0, 6.0)


def test_the_floor_of_a_realistic_problem():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (800, 5))
    y = X[:, 0] + X[:, 1] ** 2 + 0.3 * rng.standard_normal(800) > 0.9
    result = optimal_measurement(encode("zz", X), y, rank=16, tol=1e-6)
    assert result.lower_bound == pytest.approx(0.52098, abs=5e-6)
    assert result.certificate.value <= 1e-6
    assert result.nit <= 100
    # A fair part of the iterations for a loose answer (26 and 47 were measured).
    loose = result.history["certificate"] <= 1e-4
    assert 1 + int(np.argmax(loose)) <= 35


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_the_multiplicative_iteration_agrees_with_the_barrier(loss, monkeypatch):
    rng = np.random.default_rng(1)
    states = encode("zz", rng.uniform(0, 2, (12, 2)))
    y, s = np.arange(12) % 3, np.full(12, 1 / 12)
    own = make_loss(loss, 3, 1e-9, 1.0)
    exact = solve_povm(states, y, s, own, tol=1e-8)
    assert exact.success
    monkeypatch.setattr("quantum.povm.MAX_UNKNOWNS", 0)
    slow = solve_povm(states, y, s, own, tol=1e-3, max_iter=3000)
    assert slow.fun >= exact.fun - 1e-8
    assert slow.fun == pytest.approx(exact.fun, abs=2e-3)
    assert slow.lower_bound <= exact.fun + 1e-9
    np.testing.assert_allclose(slow.x.sum(axis=0), np.eye(4), atol=1e-9)
    assert is_small_enough(3, 4) is False


def test_hermitian_basis_is_orthonormal():
    B = hermitian_basis(3).reshape(9, -1)
    np.testing.assert_allclose(B.conj() @ B.T, np.eye(9), atol=1e-14)


def test_few_samples_of_three_classes():
    rng = np.random.default_rng(2)
    states = encode("zz", rng.uniform(0, 2, (6, 4)))
    y = np.arange(6) % 3
    result = optimal_measurement(states, y, tol=1e-6)
    assert result.basis.shape == (16, 6)
    assert result.success
    farkas.verify(result, states.view(float), y).check()


def test_a_callback_stops_both_solvers():
    rng = np.random.default_rng(3)
    states = encode("zz", rng.uniform(0, 2, (9, 2)))

    def stop(intermediate_result):
        if intermediate_result.nit == 2:
            raise StopIteration

    for K in (2, 3):
        result = optimal_measurement(states, np.arange(9) % K, callback=stop, tol=0.0)
        assert result.status is farkas.Status.CALLBACK
        assert result.nit == 2
        farkas.verify(result, states.view(float), np.arange(9) % K).check()
        timed = optimal_measurement(states, np.arange(9) % K, max_time=0.0, tol=0.0)
        assert timed.status is farkas.Status.MAX_TIME


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": np.eye(3)}, "power of 2"),
        ({"states": 2 * np.eye(4)}, "norm 1"),
        ({"states": np.full((4, 4), np.nan)}, "finite"),
        ({"y": [0, 1]}, "shape"),
        ({"y": [0, 0, 0, 0]}, "at least 2"),
        ({"rank": 0}, "rank"),
        ({"rank": 4}, "rank"),
        ({"rank": "all"}, "rank"),
        ({"loss": "hinge"}, "loss"),
        ({"tol": -1}, "tol"),
        ({"max_iter": 0}, "max_iter"),
        ({"max_time": -1}, "max_time"),
        ({"y": [0.1, 0.2, 0.3, 0.45]}, "continuous"),
        ({"alpha": -1}, "alpha"),
        ({"sample_weight": [1, 1]}, "sample_weight"),
        ({"sample_weight": [0, 0, 0, 0]}, "sample_weight"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"states": np.eye(4), "y": [0, 1, 0, 1], **change}
    with pytest.raises(ValueError, match=message):
        optimal_measurement(**arguments)


def test_weights_equal_repetition():
    rng = np.random.default_rng(4)
    states = encode("zz", rng.uniform(0, 2, (5, 2)))
    y, w = np.array([0, 1, 1, 0, 1]), np.array([1, 2, 1, 3, 1])
    one = optimal_measurement(states, y, sample_weight=w, tol=1e-9)
    rows = np.repeat(np.arange(5), w)
    two = optimal_measurement(states[rows], y[rows], tol=1e-9)
    assert one.fun == pytest.approx(two.fun, abs=1e-8)
    farkas.verify(one, states.view(float), y).check()
