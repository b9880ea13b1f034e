import dataclasses

import numpy as np
import pytest

from convexnn import enumerate_patterns, sample_patterns, solve_relu
from convexnn import refine as module
from convexnn.descent import network_objective
from convexnn.network import recover_network
from convexnn.patterns import PatternSet, pattern_of
from convexnn.program import Program, Settings
from convexnn.refine import distinct, refine
from farkas.status import Status

RNG = np.random.default_rng(2)
X = np.column_stack([RNG.standard_normal((14, 2)), np.ones(14)])
TARGETS = {
    "squared": np.sin(3 * X[:, 0]) + X[:, 1] ** 2,
    "huber": np.sin(3 * X[:, 0]) + X[:, 1] ** 2,
    "logistic": np.where(X[:, 0] * X[:, 1] > 0, 1.0, -1.0),
    "hinge": np.where(X[:, 0] * X[:, 1] > 0, 1.0, -1.0),
}


def program(loss="squared", alpha=0.1, X=X):
    patterns = sample_patterns(X, 5, random_state=0)
    return Program(X, TARGETS[loss], patterns, alpha, loss, "relu")


def run(problem, tol=1e-6, **options):
    settings = options.pop("settings", Settings(tol=tol, max_iter=20_000))
    defaults = {"rounds": 20, "n_starts": 50, "seed": np.random.SeedSequence(0)}
    return refine(problem, settings, **defaults | options)


@pytest.mark.parametrize("init", ["network", "gaussian"])
@pytest.mark.parametrize("loss", list(TARGETS))
def test_it_finds_the_optimum_over_all_patterns(loss, init):
    best = solve_relu(
        X, TARGETS[loss], enumerate_patterns(X), alpha=0.1, loss=loss, tol=1e-7
    )
    refined = run(program(loss), init=init)
    bounds = refined.solution.bounds
    assert bounds.upper >= best.certificate.lower
    assert bounds.upper <= best.fun * (1 + 2e-3)
    assert refined.ratio <= 1 + 2 * module.RATIO_TOL
    assert refined.solution.status is Status.CONVERGED
    assert len(refined.patterns) < len(enumerate_patterns(X))


def test_the_network_has_the_value_of_the_program():
    refined = run(program())
    U, a = recover_network(*refined.solution.bounds.weights(), X)
    value = network_objective(X, TARGETS["squared"], U, a, 0.1, "squared")
    assert value == pytest.approx(refined.solution.bounds.upper, rel=1e-6)


def test_patterns_have_gates():
    patterns = run(program()).patterns
    assert np.array_equal(pattern_of(X, patterns.gates), patterns.D)


@pytest.mark.parametrize("scale", [1e-150, 1e-3, 1e120])
def test_units_of_the_data_do_not_matter(scale):
    plain = run(program(), tol=1e-4)
    other = run(program(alpha=0.1 * scale, X=X * scale), tol=1e-4)
    upper = other.solution.bounds.upper
    assert upper == pytest.approx(plain.solution.bounds.upper, rel=1e-3)


def test_zero_is_the_answer_to_a_large_penalty():
    refined = run(program(alpha=1e4))
    assert refined.solution.bounds.upper == 0.5 * np.sum(TARGETS["squared"] ** 2)
    assert not refined.solution.bounds.blocks.any()
    assert refined.ratio < 1


def test_a_seed_decides_everything():
    first, second = run(program()), run(program())
    assert np.array_equal(first.patterns.D, second.patterns.D)
    assert np.array_equal(first.solution.bounds.blocks, second.solution.bounds.blocks)


def test_history_runs_on_from_round_to_round():
    refined = run(program(), tol=1e-9, init="gaussian")
    history = refined.solution.history
    assert (np.diff(history["iteration"]) > 0).all()
    assert (np.diff(history["elapsed"]) >= 0).all()
    assert (np.diff(history["objective"]) <= 0).all()
    assert history["iteration"][-1] == refined.solution.nit


@pytest.mark.parametrize("call", [1, 2, 4])
def test_an_interrupt_keeps_the_best_network(monkeypatch, call):
    calls = []
    search = module.search_units

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return search(*arguments, **options)

    monkeypatch.setattr(module, "search_units", interrupted)
    refined = run(program(), tol=1e-9, init="gaussian")
    assert refined.solution.interrupted
    assert np.isfinite(refined.solution.bounds.gap)


def test_a_callback_stops_all_rounds():
    def stop(intermediate_result):
        raise StopIteration

    settings = dataclasses.replace(Settings(), callback=stop)
    refined = run(program(), settings=settings)
    assert refined.solution.status is Status.CALLBACK
    assert refined.solution.nit == 10


def test_distinct_patterns():
    D = np.array([[1, 0, 1, 0], [0, 0, 0, 1]], dtype=bool)
    gates = np.arange(8.0).reshape(2, 4)
    patterns = distinct(D, gates)
    assert patterns.D.tolist() == [[True, False], [False, True]]
    assert patterns.gates.tolist() == [[0.0, 3.0], [4.0, 7.0]]
    alone = distinct(np.zeros((2, 1), dtype=bool), np.ones((3, 1)))
    assert isinstance(alone, PatternSet)
    assert alone.D.all()
