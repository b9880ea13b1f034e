"""Sampled patterns are nested, distinct and realised; enumerated ones are all."""

import math

import numpy as np
import pytest

from convexnn import enumerate_patterns, sample_patterns
from convexnn.patterns import draw_patterns, pattern_of

DATA = np.column_stack([np.random.default_rng(0).standard_normal((30, 4)), np.ones(30)])
TARGETS = np.where(DATA[:, 0] > 0, 1.0, -1.0)


@pytest.mark.parametrize("method", ["gaussian", "data", "sparse"])
def test_a_seed_gives_nested_sets(method):
    options = {"method": method, "y": TARGETS, "random_state": 3}
    few = sample_patterns(DATA, 7, **options)
    many = sample_patterns(DATA, 40, **options)
    assert np.array_equal(few.D, many.D[:, :7])
    assert np.array_equal(few.gates, many.gates[:, :7])
    other = sample_patterns(DATA, 7, method=method, y=TARGETS, random_state=4)
    assert not np.array_equal(few.gates, other.gates)


@pytest.mark.parametrize("method", ["gaussian", "data", "sparse"])
def test_patterns_are_distinct_realised_and_not_empty(method):
    patterns = sample_patterns(DATA, 50, method=method, random_state=0)
    assert len(patterns) == 50
    assert len(np.unique(patterns.D, axis=1).T) == 50
    assert np.array_equal(patterns.D, DATA @ patterns.gates >= 0)
    assert patterns.D.any(axis=0).all()
    assert not patterns.complete


def test_data_gates_separate_two_rows_of_different_targets():
    patterns = sample_patterns(DATA, 20, method="data", y=TARGETS, random_state=0)
    for d in patterns.D.T:
        assert len(set(TARGETS[d])) + len(set(TARGETS[~d])) >= 2
    without_constant = sample_patterns(DATA[:, :4], 5, method="data", random_state=0)
    assert len(without_constant) == 5
    same = np.ones((3, 2))
    with pytest.warns(UserWarning, match="these data have few"):
        assert len(sample_patterns(same, 2, method="data", random_state=0)) == 1


def test_one_sample_whose_gates_are_all_negative_gets_its_opposite(monkeypatch):
    with pytest.warns(UserWarning, match="found only 1"):
        patterns = sample_patterns([[1.0]], 3, random_state=0)
    assert patterns.D.tolist() == [[True]]
    monkeypatch.setattr("convexnn.patterns.DRAWS_PER_PATTERN", 1)
    for seed in range(10):  # about half of them draw the empty pattern only
        single = sample_patterns([[1.0]], 1, random_state=seed)
        assert single.D.tolist() == [[True]]
        assert single.gates[0, 0] >= 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_patterns": 0}, "n_patterns=0"),
        ({"n_patterns": 2.5}, "n_patterns=2.5"),
        ({"method": "magic"}, "method='magic'"),
        ({"X": np.ones(3)}, "X must be a nonempty"),
        ({"X": [[np.nan]]}, "X must not contain NaN"),
    ],
)
def test_bad_input_is_named(arguments, message):
    arguments = {"X": DATA, "n_patterns": 3} | arguments
    with pytest.raises(ValueError, match=message):
        sample_patterns(**arguments)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        ([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], 14),
        (np.column_stack([np.linspace(-1, 1, 9), np.ones(9)]), 18),
        (
            [
                [0, 0.3, -0.27],
                [-0.89, -0.45, -0.99],
                [0.06, 1.34, -0.49],
                [-0.62, 0.49, 0.36],
                [0.11, -0.93, -0.03],
                [0.7, -1.34, -0.46],
            ],
            32,
        ),
        ([[2.0], [-1.0]], 2),
        ([[0.0, 0.0]], 1),
    ],
)
def test_known_counts(data, count):
    patterns = enumerate_patterns(data)
    assert len(patterns) == count
    assert patterns.complete


@pytest.mark.parametrize(("n", "d"), [(12, 2), (20, 3), (12, 4), (9, 9), (6, 9)])
def test_counts_in_general_position(n, d):
    data = np.random.default_rng(d).standard_normal((n, d))
    patterns = enumerate_patterns(data)
    rank = min(n, d)
    assert len(patterns) == 2 * sum(math.comb(n - 1, k) for k in range(rank))
    assert len(np.unique(patterns.D, axis=1).T) == len(patterns)
    assert np.array_equal(patterns.D, data @ patterns.gates >= 0)


def test_zero_row_is_always_on():
    data = np.array([[1.0, 2.0], [0.0, 0.0], [2.0, -1.0]])
    patterns = enumerate_patterns(data)
    assert len(patterns) == 4
    assert patterns.D[1].all()


def test_too_many_patterns_are_refused():
    with pytest.raises(ValueError, match="use sample_patterns"):
        enumerate_patterns(np.random.default_rng(0).standard_normal((100, 10)))


@pytest.mark.parametrize("method", ["gaussian", "data", "sparse"])
@pytest.mark.parametrize("seed", range(12))
def test_rows_on_a_hyperplane_do_not_break_nesting(method, seed):
    # On a grid the hyperplane halfway between two rows often holds a third, and the
    # sign of its product is rounding that differs between matrix sizes.
    rng = np.random.default_rng(seed)
    grid = rng.integers(0, 8, (12, 1 + seed % 3)) / 10
    data = np.column_stack([grid, np.full(12, (1.0, 0.3, 0.7)[seed % 3])])
    options = {"method": method, "y": rng.integers(0, 2, 12), "random_state": seed}
    many = draw_patterns(data, 30, **options)
    assert np.array_equal(many.D, pattern_of(data, many.gates))
    for n_patterns in (1, 2, 5, 13):
        few = draw_patterns(data, n_patterns, **options)
        if len(few) == n_patterns:
            assert np.array_equal(few.D, many.D[:, :n_patterns])


def test_a_pattern_does_not_depend_on_the_other_rows_or_gates():
    rng = np.random.default_rng(0)
    data = np.column_stack([rng.integers(0, 8, (20, 2)) / 10, np.full(20, 0.3)])
    gates = draw_patterns(data, 15, method="data", y=None, random_state=0).gates
    whole = pattern_of(data, gates)
    for k in range(20):
        assert np.array_equal(pattern_of(data[[k]], gates)[0], whole[k])
    for i in range(gates.shape[1]):
        assert np.array_equal(pattern_of(data, gates[:, [i]])[:, 0], whole[:, i])


@pytest.mark.parametrize("method", ["gaussian", "data", "sparse"])
@pytest.mark.parametrize("seed", range(6))
def test_every_sampled_pattern_is_an_enumerated_one(method, seed):
    rng = np.random.default_rng(seed)
    d = 1 + seed % 4
    data = rng.standard_normal((8, d))
    data[3] = 0.0
    data[5] = -2.0 * data[0]
    everything = {tuple(column) for column in enumerate_patterns(data).D.T}
    drawn = draw_patterns(data, 200, method=method, y=None, random_state=seed)
    strict = np.abs(data[data.any(axis=1)] @ drawn.gates).min(axis=0) > 1e-9
    assert {tuple(column) for column in drawn.D.T[strict]} <= everything
    if method == "gaussian" and d < 4:
        contributing = {column for column in everything if any(column)}
        assert {tuple(column) for column in drawn.D.T} == contributing
