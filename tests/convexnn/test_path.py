"""The regularisation path against single fits, closed forms and hostile input."""

import numpy as np
import pytest

import farkas
from convexnn import (
    convexnn_path,
    enumerate_patterns,
    sample_patterns,
    solve_gated,
    solve_relu,
)
from convexnn import path as path_module
from convexnn.admm import factorize
from convexnn.bounds import Bounds
from convexnn.corrector import Corrector
from convexnn.path import alpha_max
from farkas import Guarantee, Status

XOR = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
XOR_Y = np.array([-1.0, 1, 1, -1])
SOLVERS = {"relu": solve_relu, "gated": solve_gated}


def problem(seed=0, *, n=40, d=4, P=15, labels=False):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d)), np.ones(n)])
    y = np.abs(X[:, 0]) - X[:, 1] + 0.3 * rng.standard_normal(n)
    if labels:
        y = np.where(y > np.median(y), 1.0, -1.0)
    return X, y, sample_patterns(X, P, random_state=seed)


def test_alpha_max_of_xor_is_exact():
    patterns = enumerate_patterns(XOR)
    assert alpha_max(XOR, XOR_Y, patterns) == pytest.approx(np.sqrt(0.5), rel=1e-14)


@pytest.mark.parametrize("activation", ["relu", "gated"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_zero_is_optimal_exactly_from_alpha_max_on(activation, loss):
    X, y, patterns = problem(labels=loss in ("logistic", "hinge"))
    largest = alpha_max(X, y, patterns, activation=activation, loss=loss)
    solve = SOLVERS[activation]
    above = solve(X, y, patterns, alpha=largest * (1 + 1e-9), loss=loss, tol=1e-10)
    assert not np.any(above.x)
    assert above.gap <= 1e-10 * above.fun
    # Slightly below, some unit has a descent direction: the optimum is smaller.
    below = solve(X, y, patterns, alpha=0.97 * largest, loss=loss, tol=1e-7)
    assert below.fun < above.fun * (1 - 1e-6)


def test_alpha_max_scales_with_the_data():
    X, y, patterns = problem()
    assert alpha_max(8 * X, y, patterns) == pytest.approx(8 * alpha_max(X, y, patterns))


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("relu", "squared"),
        ("gated", "squared"),
        ("relu", "logistic"),
        ("gated", "hinge"),
        ("relu", "huber"),
    ],
)
def test_every_point_agrees_with_a_single_fit(activation, loss):
    X, y, patterns = problem(3, labels=loss in ("logistic", "hinge"))
    path = convexnn_path(
        X, y, patterns, activation=activation, loss=loss, n_alphas=8, eps=0.02, tol=1e-6
    )
    assert path.success, path.statuses
    assert (path.gap <= 1e-6 * path.fun).all()
    for k in (2, 7):
        alpha = path.alphas[k]
        fit = SOLVERS[activation](X, y, patterns, alpha=alpha, loss=loss, tol=1e-8)
        assert path.fun[k] == pytest.approx(fit.fun, rel=2e-6)
        assert path.lower_bound[k] <= fit.fun * (1 + 1e-12)


@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_every_certificate_verifies_and_bounds_its_own_point(activation):
    X, y, patterns = problem(1)
    path = convexnn_path(X, y, patterns, activation=activation, n_alphas=6)
    V = path.x[0] if activation == "relu" else path.x
    assert V.shape == (6, X.shape[1], len(patterns))
    for k, certificate in enumerate(path.certificates):
        farkas.verify(certificate, X, y).check()
        assert certificate.guarantee is Guarantee.GLOBAL
        assert certificate.parameters["alpha"] == path.alphas[k]
        assert np.array_equal(certificate.witness["V"], V[k])


def test_values_fall_and_norms_grow_as_the_penalty_falls():
    X, y, patterns = problem(2)
    path = convexnn_path(X, y, patterns, n_alphas=20, tol=1e-7)
    assert (np.diff(path.alphas) < 0).all()
    assert (np.diff(path.fun) < 0).all()
    norms = sum(np.linalg.norm(part, axis=1).sum(axis=1) for part in path.x)
    assert norms[0] == 0
    assert (np.diff(norms) > 0).all()
    # The optimal value is concave in alpha, as a minimum of linear functions.
    slopes = np.diff(path.fun) / np.diff(path.alphas)
    assert (np.diff(slopes) > 0).all()


def test_the_path_takes_fewer_iterations_than_single_fits():
    X, y, patterns = problem(4, n=80, P=25)
    path = convexnn_path(X, y, patterns, n_alphas=15, eps=0.05)
    single = [solve_relu(X, y, patterns, alpha=alpha).nit for alpha in path.alphas]
    assert path.nit.sum() <= 0.6 * sum(single)


def test_with_all_patterns_the_guarantee_is_that_of_the_network():
    path = convexnn_path(XOR, XOR_Y, enumerate_patterns(XOR), alphas=[0.1, 0.01, 0.5])
    assert path.alphas.tolist() == [0.5, 0.1, 0.01]
    expected = [1.8962643747, 0.5792528734, 0.0624252873]
    assert path.fun == pytest.approx(expected, rel=1e-4)
    assert (path.lower_bound <= np.array(expected) + 1e-9).all()
    assert all(c.parameters["scope"] == "global" for c in path.certificates)


def test_alphas_above_alpha_max_and_a_grid_of_one():
    path = convexnn_path(XOR, XOR_Y, enumerate_patterns(XOR), alphas=[5.0, 0.1])
    assert path.nit[0] == 0
    assert path.fun[0] == 2.0
    one = convexnn_path(XOR, XOR_Y, enumerate_patterns(XOR), n_alphas=1)
    assert one.alphas.tolist() == [one.alpha_max]


def test_targets_of_zero_need_alphas():
    patterns = enumerate_patterns(XOR)
    with pytest.raises(ValueError, match="zero network is optimal"):
        convexnn_path(XOR, np.zeros(4), patterns)
    path = convexnn_path(XOR, np.zeros(4), patterns, alphas=[1.0])
    assert path.fun.tolist() == path.gap.tolist() == [0.0]


def test_an_interrupt_returns_what_is_finished(monkeypatch):
    X, y, patterns = problem()
    original, calls = path_module._Follower.follow, []

    def follow(self, alpha):
        calls.append(alpha)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(self, alpha)

    monkeypatch.setattr(path_module._Follower, "follow", follow)
    path = convexnn_path(X, y, patterns)
    assert path.status is Status.CALLBACK
    assert not path.success
    assert len(path.alphas) == len(path.fun) == len(path.x[0]) == 3
    farkas.verify(path.certificates[-1], X, y).check()


def test_running_out_of_time_or_iterations_is_said():
    X, y, patterns = problem()
    path = convexnn_path(X, y, patterns, max_time=1e-9)
    assert path.status is Status.MAX_TIME
    assert len(path.alphas) == 0
    path = convexnn_path(X, y, patterns, n_alphas=4, tol=1e-13, max_iter=5)
    assert path.status is Status.MAX_ITER
    assert not path.success
    for certificate in path.certificates:
        farkas.verify(certificate, X, y).check()


def test_a_point_that_is_not_solved_in_time_starts_anew(monkeypatch):
    X, y, patterns = problem(labels=True)
    monkeypatch.setattr(path_module, "PATIENCE", 5)
    path = convexnn_path(X, y, patterns, loss="logistic", n_alphas=5, eps=0.1)
    assert path.success
    assert path.nit.max() > 5


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"alphas": [1.0, 0.0]}, ValueError, "alphas"),
        ({"alphas": [[1.0]]}, ValueError, "alphas"),
        ({"alphas": []}, ValueError, "alphas"),
        ({"alphas": [np.nan]}, ValueError, "alphas"),
        ({"n_alphas": 0}, ValueError, "n_alphas=0"),
        ({"n_alphas": 2.5}, TypeError, "n_alphas=2.5"),
        ({"eps": 1.0}, ValueError, "eps=1.0"),
        ({"eps": 0}, ValueError, "eps=0"),
        ({"tol": -1.0}, ValueError, "tol"),
        ({"activation": "tanh"}, ValueError, "activation='tanh'"),
        ({"loss": "absolute"}, ValueError, "loss='absolute'"),
        ({"loss": "hinge"}, ValueError, "y must be -1 or"),
        ({"max_time": -1}, ValueError, "max_time"),
    ],
)
def test_bad_arguments_are_named(options, error, name):
    X, y, patterns = problem()
    with pytest.raises(error, match=name):
        convexnn_path(X, y, patterns, **options)


@pytest.mark.parametrize("activation", ["relu", "gated"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_correction_shrinks_the_gap_of_a_nearby_point(activation, loss):
    X, y, patterns = problem(6, labels=loss == "logistic")
    factor = factorize(X, patterns.D, activation)
    alpha = 0.2 * alpha_max(X, y, patterns, activation=activation, loss=loss)
    fit = SOLVERS[activation](X, y, patterns, alpha=alpha, loss=loss, tol=1e-10)
    parts = fit.x if activation == "relu" else (fit.x,)
    blocks = np.concatenate([factor.to_internal(part) for part in parts])
    nearby = fit.certificate.witness["theta"] * (
        1 + 0.02 * np.random.default_rng(0).standard_normal(len(y))
    )
    if loss == "logistic":
        nearby = y * np.clip(y * nearby, 1e-9, 1 - 1e-9)
    plain, better = (Bounds(factor, y, alpha, loss) for _ in range(2))
    plain.try_primal(blocks)
    plain.try_dual(nearby, np.zeros(plain.multipliers.shape), project=True)
    Corrector(factor, y, loss)(better, nearby, blocks)
    assert better.lower <= fit.fun * (1 + 1e-12)
    assert better.gap < 0.2 * plain.gap
