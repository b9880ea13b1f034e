"""Counting the cells of an arrangement, and completeness of a list of patterns."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linprog

from convexnn import enumerate_patterns, solve_relu
from convexnn._measure_cells import (
    ON_HYPERPLANE,
    column_exponents,
    count_patterns,
    distinct_lines,
    hyperplane_basis,
    is_complete,
    lengths,
)


def cells(n, r):
    return 2 * sum(math.comb(n - 1, k) for k in range(r))  # Cover (1965)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 1), (6, 2), (9, 3), (8, 5), (4, 6)])
def test_count_in_general_position(n, d):
    data = np.random.default_rng(n).standard_normal((n, d))
    assert count_patterns(data) == cells(n, min(n, d))


def test_parallel_and_zero_rows_count_once():
    data = np.array([[1.0, 0], [2, 0], [-3, 0], [0, 0], [0, 1], [1e-9, 1e-9]])
    assert len(distinct_lines(data)) == 3
    assert count_patterns(data) == 6
    nearly = np.array([[1.0, 0.0], [1.0, 1e-12], [1.0, 1e-6]])
    assert len(distinct_lines(nearly)) == 2
    assert count_patterns(np.zeros((3, 2))) == 1


@pytest.mark.parametrize("seed", range(20))
def test_count_of_degenerate_arrangements_is_the_enumeration(seed):
    rng = np.random.default_rng(seed)
    data = rng.integers(-2, 3, (rng.integers(1, 9), rng.integers(1, 5))).astype(float)
    patterns = enumerate_patterns(data)
    assert count_patterns(data) == len(patterns)
    assert is_complete(data, patterns.D, patterns.gates)
    signs = data @ rng.standard_normal((data.shape[1], 5000)) >= 0
    seen = {tuple(column) for column in signs.T}
    assert seen <= {tuple(column) for column in patterns.D.T}


def test_basis_of_a_hyperplane_is_orthonormal():
    for normal in ([1.0, 0, 0], [-1.0, 0, 0], [0.6, 0, -0.8], [0, 1.0, 0]):
        basis = hyperplane_basis(np.array(normal))
        assert basis.T @ basis == pytest.approx(np.eye(2), abs=1e-15)
        assert basis.T @ normal == pytest.approx(np.zeros(2), abs=1e-15)


def test_completeness_needs_every_pattern_and_honest_gates():
    data = np.random.default_rng(0).standard_normal((6, 3))
    data[:, 2] = 1.0  # a gate below all rows exists, and one above
    patterns = enumerate_patterns(data)
    D, gates = patterns.D, patterns.gates
    assert is_complete(data, D, gates)
    zero = ~D.any(axis=0)
    assert zero.any()
    assert is_complete(data, D[:, ~zero], gates[:, ~zero])
    ones = D.all(axis=0)
    assert not is_complete(data, D[:, ~ones], gates[:, ~ones])
    both = ~(ones | zero)
    assert not is_complete(data, D[:, both], gates[:, both])
    doubled = np.append(np.arange(D.shape[1] - 1), 0)
    assert not is_complete(data, D[:, doubled], gates[:, doubled])
    assert not is_complete(data, D, -gates)
    assert not is_complete(data, D, gates[:, :-1])
    on_plane = gates.copy()
    on_plane[:, 0] -= data[0] * (data[0] @ gates[:, 0]) / (data[0] @ data[0])
    assert not is_complete(data, data @ on_plane >= 0, on_plane)


def realised(data):
    """Every pattern on the nonzero rows that some gate realises strictly, by LPs."""
    rows = data[data.any(axis=1)]
    found = set()
    for signs in itertools.product([1, -1], repeat=len(rows)):
        A = -np.array(signs)[:, None] * rows
        program = linprog(
            np.zeros(data.shape[1]),
            A_ub=A,
            b_ub=-np.ones(len(rows)),
            bounds=(None, None),
        )
        if program.status == 0:
            found.add(tuple(sign > 0 for sign in signs))
    return found


@pytest.mark.parametrize("seed", range(10))
def test_enumeration_finds_what_a_linear_program_finds_for_every_sign(seed):
    rng = np.random.default_rng(seed)
    data = rng.integers(-1, 2, (6, 1 + seed % 4)).astype(float)
    data[rng.random(6) < 0.1] = 0.0
    if seed % 3 == 0:
        data[4] = -2 * data[0]  # antiparallel
    if seed % 5 == 0:
        data[5] = data[1] + data[0]
    expected = realised(data)
    patterns = enumerate_patterns(data)
    on = patterns.D[data.any(axis=1)]
    assert {tuple(column) for column in on.T} == expected
    assert count_patterns(data) == len(expected)


def test_counting_ends_above_its_limit():
    data = np.random.default_rng(0).standard_normal((200, 20))
    assert count_patterns(data, 50) > 50  # there are some 1e26
    gate = np.random.default_rng(1).standard_normal((20, 1))
    assert not is_complete(data, data @ gate >= 0, gate)
    small = data[:7, :3]
    assert count_patterns(small, 44) == count_patterns(small) == 44
    assert count_patterns(small, 43) > 43


@pytest.mark.parametrize("noise", [1e-13, 1e-12, 1e-11, 1e-10, 1e-9])
def test_no_list_is_called_complete_that_the_certificate_would_refuse(noise):
    # Degenerate up to noise: the cells in between are about as wide as rounding.
    called = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        shape = 6, 2 + seed % 3
        data = rng.integers(-2, 3, shape) + noise * rng.standard_normal(shape)
        patterns = enumerate_patterns(data)
        assert patterns.complete == is_complete(data, patterns.D, patterns.gates)
        called += patterns.complete
        y = np.where(rng.random(6) < 0.5, -1.0, 1.0)
        result = solve_relu(data, y, patterns, alpha=0.5, max_iter=30)
        scope = result.certificate.parameters["scope"]
        assert scope == ("global" if patterns.complete else "patterns")
    assert called > 0


def near_degenerate(rng):
    """Rows of which some nearly meet in one line, and gates close to all corners."""
    n, d = int(rng.integers(3, 7)), int(rng.integers(2, 5))
    data = rng.integers(-2, 3, (n, d)) + 10.0 ** rng.uniform(-17, -8) * (
        rng.standard_normal((n, d))
    )
    gates = [rng.standard_normal((d, 500))]
    for size in range(1, d):
        for rows in itertools.combinations(range(n), size):
            corner = np.linalg.svd(data[list(rows)])[2][size:].T
            corner = corner @ rng.standard_normal((d - size, 4))
            for step in 10.0 ** np.arange(-13.0, -1.0):
                gates.append(corner + step * rng.standard_normal((d, 4)))
    return data, np.concatenate(gates, axis=1)


@pytest.mark.parametrize("seed", range(25))
def test_no_more_patterns_can_be_realised_than_are_counted(seed):
    # Else a list that lacks a wide cell could be filled up with slivers.
    data, gates = near_degenerate(np.random.default_rng(seed))
    exponents = column_exponents(data)
    data, gates = np.ldexp(data, -exponents), np.ldexp(gates, exponents[:, None])
    rows, products = lengths(data, axis=1)[:, None], data @ gates
    strict = np.abs(products) > ON_HYPERPLANE * rows * lengths(gates, axis=0)
    strict = (strict | (rows == 0)).all(axis=0)
    realised = np.unique(products[:, strict] >= 0, axis=1).shape[1]
    assert realised <= count_patterns(data)
