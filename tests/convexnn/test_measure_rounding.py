"""Rounding, cancellation and huge weights must not falsify a bound."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import farkas
from convexnn._measure import VIOLATION, measure_two_layer
from farkas import CertificateError

PARAMETERS = {
    "alpha": 1e-30,
    "loss": "squared",
    "activation": "relu",
    "scope": "patterns",
    "encoding": "none",
    "intercept": 0.0,
}
NO_MULTIPLIERS = {
    "multiplier_index": np.zeros(0, dtype=int),
    "multiplier_value": np.zeros(0),
}


def mint(X, y, D, V, W=None, *, theta=None, **parameters):
    """Certify blocks whose dual point is zero unless given: it proves only >= 0."""
    witness = {"patterns": D, "V": V, "theta": 0 * y if theta is None else theta}
    if W is not None:
        witness |= {"W": W, **NO_MULTIPLIERS}
    activation = "gated" if W is None else "relu"
    parameters = PARAMETERS | {"activation": activation} | parameters
    return farkas.certify(
        "convexnn.two_layer/1", (X, y), witness, parameters, tolerance=1e-4
    )


def exactly(X, blocks):
    """The products X @ blocks without rounding, as lists of fractions."""
    return [
        [
            sum(Fraction(a) * Fraction(b) for a, b in zip(row, block, strict=True))
            for block in blocks.T
        ]
        for row in X
    ]


def exact_loss(z, y):
    return sum((a - Fraction(b)) ** 2 for a, b in zip(z, y, strict=True)) / 2


def test_cancellation_of_huge_blocks_fits_nothing():
    # The products with 3 round to a multiple of 8, so that in floating point two
    # blocks predict (2, 0). Exactly, z = (w, 3 w), whose least loss is 9/5.
    X, y, D = np.array([[1.0], [3.0]]), np.array([2.0, 0.0]), np.ones((2, 2))
    V = np.array([[13_000_000_000_000_006.0, -13_000_000_000_000_004.0]])
    assert np.sum(D * (X @ V), axis=1).tolist() == [2, 0]
    certificate = mint(X, y, D, V)
    assert certificate.upper >= 1.8, certificate
    assert mint(X, y, D, V, np.zeros((1, 2))).upper == math.inf


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0, 18))
def test_the_upper_bound_holds_without_rounding(seed, exponent):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    X = rng.standard_normal((n, d))
    gate = rng.standard_normal(d)
    D = np.repeat(X @ gate >= 0, 3).reshape(n, 3)
    common = 10.0**exponent * gate
    V = np.column_stack([common, -common, gate]) + rng.standard_normal((d, 3))
    z = [
        sum(row[i] for i in range(3) if D[k, 0]) for k, row in enumerate(exactly(X, V))
    ]
    y = np.array([float(value) for value in z]) + rng.standard_normal(n)
    loss = exact_loss(z, y)
    room = 1 - Fraction(1, 10**14)  # the squares and their sum are rounded as well
    certificate = mint(X, y, D, V)
    assert Fraction(certificate.upper) >= loss * room, certificate
    # As ReLU units: in the program, and as the network that they really are.
    V, W = np.abs(rng.standard_normal(3)) * gate[:, None], np.zeros((d, 3))
    V[:, 0] += common
    W[:, 1] = common
    certificate = mint(X, y, D, V, W)
    if certificate.upper < math.inf:
        XV, XW = exactly(X, V), exactly(X, W)
        on = [
            sum(a - b for a, b in zip(*rows, strict=True))
            for rows in zip(XV, XW, strict=True)
        ]
        program = [on[k] if D[k, 0] else Fraction(0) for k in range(n)]
        real = [
            sum(max(a, 0) - max(b, 0) for a, b in zip(*rows, strict=True))
            for rows in zip(XV, XW, strict=True)
        ]
        for z in (program, real):
            assert Fraction(certificate.upper) >= exact_loss(z, y) * room, certificate


@pytest.mark.parametrize("size", 10.0 ** np.arange(0, 17))
def test_blocks_that_cancel_do_not_leave_their_cones(size):
    # Both rows on and opposite: only v = (0, t) is inside, which predicts zero. The
    # violations are tiny beside the blocks, yet would fit the targets.
    X, y, D = np.array([[1.0, 0], [-1, 0]]), np.array([1.0, -1]), np.ones((2, 1))
    for step in (1.0, 1e-3, 1e-8, 0.5 * VIOLATION):
        V, W = np.array([[step], [size]]), np.array([[0.0], [size]])
        certificate = mint(X, y, D, V, W)
        assert certificate.upper >= 1 - 4 * VIOLATION, certificate


def test_products_too_small_for_a_float_still_count():
    # Ten products of 2e-324 vanish one by one; together they exceed alpha four times.
    X, y, D = np.full((10, 1), 5e-324), np.ones(10), np.ones((10, 1))
    certificate = mint(
        X, y, D, np.zeros((1, 1)), theta=0.4 * y, loss="hinge", alpha=5e-324
    )
    assert certificate.lower <= 1.0, certificate


@pytest.mark.parametrize("size", [1.5e154, 1e170, 1e300])
def test_targets_whose_squares_overflow_make_no_scale(size):
    # An infinite scale would satisfy any tolerance.
    X, y, D = np.eye(2), np.array([size, size]), np.ones((2, 1))
    with np.errstate(over="ignore"):
        with pytest.raises(CertificateError, match="rescale y"):
            mint(X, y, D, np.full((2, 1), size))


def test_predictions_that_overflow_are_an_infinite_upper_bound():
    X, y, D = np.eye(3), np.ones(3), np.ones((3, 1))
    V = np.full((3, 1), 1.2e154)  # each square is a float, their sum is none
    assert mint(X, y, D, V).upper == math.inf
    assert mint(X, y, D, V, np.zeros((3, 1))).upper == math.inf


def test_targets_too_small_to_be_squared_are_no_contradiction():
    X, D = np.eye(2), np.ones((2, 1))
    for size in (1e-150, 1e-158, 1e-161, 1e-163, 5e-324):
        y = np.array([size, -size])
        found = measure_two_layer(
            X,
            y,
            witness={"patterns": D, "V": y[:, None], "theta": y},
            parameters=PARAMETERS | {"activation": "gated"},
        )
        assert 0 <= found.lower <= found.upper
