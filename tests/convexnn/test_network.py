"""A network recovered from blocks predicts what the blocks do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexnn import recover_network, sample_patterns, solve_relu
from convexnn._measure_losses import LOSSES
from convexnn.network import gated_output


def network_output(X, U, a):
    return np.maximum(X @ U, 0.0) @ a


def test_recovered_network_merges_equal_units_and_prunes_dust():
    X = np.array([[1.0, 0.0], [0.0, 1.0]])
    V = np.array([[1.0, 2.0, 1e-14], [1.0, 1.0, 0.0]])
    W = np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    U, a = recover_network(V, W)
    assert U.shape == (2, 3)
    merged, b = recover_network(V, W, X)
    assert merged.shape == (2, 2)
    assert b.tolist() == pytest.approx([13**0.25, -(3**0.5)])
    before, after = network_output(X, U, a), network_output(X, merged, b)
    assert before == pytest.approx(after)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_merging_keeps_the_predictions_and_never_raises_the_penalty(seed, merge):
    rng = np.random.default_rng(seed)
    n, d, P = rng.integers(1, 7, 3)
    X, V, W = (rng.standard_normal(s) for s in ((n, d), (d, P), (d, P)))
    V[:, rng.random(P) < 0.3] = 0.0
    U, a = recover_network(V, W, X if merge else None)
    expected = np.sum(np.maximum(X @ V, 0) - np.maximum(X @ W, 0), axis=1)
    assert network_output(X, U, a) == pytest.approx(expected, abs=1e-12)
    # Units are balanced: |u|^2 = a^2, so half of both sums is the sum of the norms.
    assert np.sum(U**2, axis=0) == pytest.approx(a**2)
    norms = np.linalg.norm(V, axis=0).sum() + np.linalg.norm(W, axis=0).sum()
    assert (a**2).sum() <= norms * (1 + 1e-12)
    if not merge:
        assert (a**2).sum() == pytest.approx(norms)


def test_zero_blocks_give_an_empty_network():
    X = np.eye(2)
    U, a = recover_network(np.zeros((2, 1)), np.zeros((2, 1)), X)
    assert U.shape == (2, 0)
    assert network_output(X, U, a).tolist() == [0.0, 0.0]


def test_blocks_of_different_shape_are_refused():
    for V, W in ((np.ones((2, 2)), np.ones((2, 1))), (np.ones(2), np.ones(2))):
        with pytest.raises(ValueError, match="alike"):
            recover_network(V, W)


def test_gated_output_uses_its_gates():
    X = np.array([[1.0], [-1.0]])
    gates, weights = np.array([[1.0, -1.0]]), np.array([[[2.0, 5.0]]])
    assert gated_output(X, gates, weights).tolist() == [[2.0], [-5.0]]


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(LOSSES)))
def test_the_recovered_network_has_the_objective_of_the_program(seed, loss):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((10, 3)), rng.standard_normal(10)
    if LOSSES[loss].labels:
        y = np.where(y > 0, 1.0, -1.0)
    patterns = sample_patterns(X, 6, random_state=seed)
    result = solve_relu(X, y, patterns, alpha=0.2, loss=loss, tol=1e-6)
    U, a = recover_network(*result.x)
    z = network_output(X, U, a)
    value = LOSSES[loss].value(z, y).sum() + 0.1 * ((U**2).sum() + (a**2).sum())
    assert value == pytest.approx(result.fun, rel=1e-9), result.certificate
    network = result.certificate.residuals["network_objective"]
    assert network == pytest.approx(value, rel=1e-9), result.certificate
