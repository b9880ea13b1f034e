"""Attempts to fool the arithmetic of a certificate, with the hashes taken off."""

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import farkas
from convexnn import enumerate_patterns, solve_gated, solve_relu
from convexnn._measure import measure_two_layer
from convexnn._measure_cells import PARALLEL, is_complete, lengths
from convexnn._measure_losses import LOSSES
from farkas import CertificateError

PROBLEM = "convexnn.two_layer/1"
PARAMETERS = {
    "alpha": 1.0,
    "loss": "squared",
    "activation": "relu",
    "scope": "patterns",
    "encoding": "none",
    "intercept": 0.0,
}
# min 1/2 (5t - 2)^2 + t has its minimum 0.38 at t = 0.36
X = np.array([[3.0, 4.0]])
Y = np.array([2.0])
WITNESS = {
    "patterns": np.array([[True]]),
    "V": np.array([[0.6], [0.8]]) * 0.36,
    "W": np.zeros((2, 1)),
    "theta": np.array([0.2]),
    "multiplier_index": np.zeros(0, dtype=int),
    "multiplier_value": np.zeros(0),
}


def mint(witness=None, parameters=None, data=(X, Y)):
    witness = WITNESS | (witness or {})
    parameters = PARAMETERS | (parameters or {})
    return farkas.certify(PROBLEM, data, witness, parameters, tolerance=1e-9)


def bare(certificate, **changes):
    """The certificate without the hashes that notice an edit, and an edited witness."""
    witness = {**certificate.witness, **changes}
    return dataclasses.replace(certificate, witness=witness, seal="", fingerprint="")


def small_program(seed, loss, n=6, d=3, P=4):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = rng.standard_normal(n)
    if LOSSES[loss].labels:
        y = np.where(y > 0, 1.0, -1.0)
    return X, y, X @ rng.standard_normal((d, P)) >= 0


def assert_true_or_rejected(claim, X, y):
    """An accepted claim encloses the optimum of the program that it states."""
    if not farkas.verify(claim, X, y):
        return False
    parameters = claim.parameters
    best = solve_relu(
        X,
        y,
        claim.witness["patterns"],
        alpha=parameters["alpha"],
        loss=parameters["loss"],
        tol=1e-8,
        max_iter=20_000,
    )
    assert claim.lower <= best.fun * (1 + 2e-6), (claim, best.certificate)
    assert claim.upper >= best.lower_bound * (1 - 2e-6), (claim, best.certificate)
    return True


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_a_flipped_pattern_is_rejected_or_leaves_the_claim_true(loss):
    X, y, D = small_program(0, loss)
    certificate = solve_relu(X, y, D, alpha=0.2, loss=loss, tol=1e-6).certificate
    accepted = 0
    for k, i in itertools.product(*map(range, D.shape)):
        flipped = D.copy()
        flipped[k, i] ^= True
        claim = bare(certificate, patterns=flipped)
        accepted += assert_true_or_rejected(claim, X, y)
    assert accepted < D.size / 2


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_swapped_rows_of_the_data_are_rejected_or_leave_the_claim_true(loss):
    X, y, D = small_program(1, loss)
    certificate = solve_relu(X, y, D, alpha=0.2, loss=loss, tol=1e-6).certificate
    for j, k in itertools.combinations(range(len(X)), 2):
        swapped = X.copy()
        swapped[[j, k]] = X[[k, j]]
        assert_true_or_rejected(bare(certificate), swapped, y)
        assert not farkas.verify(certificate, swapped, y)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_edited_multipliers_are_rejected_or_leave_the_claim_true(loss):
    X, y, D = small_program(2, loss)
    certificate = solve_relu(X, y, D, alpha=0.2, loss=loss, tol=1e-6).certificate
    value = certificate.witness["multiplier_value"]
    index = certificate.witness["multiplier_index"]
    assert len(value) > 1
    for k in range(len(value)):
        for factor in (-1.0, 0.0, 0.5, 2.0, 1e300, np.nan, np.inf):
            edited = value.copy()
            edited[k] *= factor
            with np.errstate(all="ignore"):
                claim = bare(certificate, multiplier_value=edited)
                accepted = assert_true_or_rejected(claim, X, y)
            assert not accepted or 0 <= factor <= 2
    doubled = {
        "multiplier_index": np.append(index, index[0]),
        "multiplier_value": np.append(value, value[0]),
    }
    assert not farkas.verify(bare(certificate, **doubled), X, y)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
def test_no_dual_point_proves_more_than_the_optimum(loss):
    for seed in range(8):
        X, y, D = small_program(seed, loss, n=8, d=2, P=5)
        result = solve_relu(X, y, D, alpha=0.1, loss=loss, tol=1e-9)
        witness = dict(result.certificate.witness)
        rng = np.random.default_rng(seed)
        for scale in (0.1, 1.0, 10.0, 1e8):
            # Outside the domain of the conjugate, with multipliers that fit nothing.
            witness["theta"] = scale * rng.standard_normal(8)
            size = 2 * D.size
            witness["multiplier_index"] = np.arange(size)
            witness["multiplier_value"] = scale * rng.exponential(size=size)
            forged = farkas.certify(
                PROBLEM, (X, y), witness, result.certificate.parameters, tolerance=1.0
            )
            assert forged.lower <= result.fun, (forged, result.certificate)


def test_theta_outside_the_domain_is_not_taken_at_its_word():
    # Hinge: theta = 10 would prove 10 by the formula, but the loss at 0 is only 1.
    data, parameters = (np.array([[1e-3]]), np.array([1.0])), {"loss": "hinge"}
    witness = {
        "patterns": [[1]],
        "V": np.zeros((1, 1)),
        "W": np.zeros((1, 1)),
        "theta": [10.0],
    }
    certificate = mint(witness, parameters, data)
    assert certificate.lower == pytest.approx(1.0, rel=1e-12)
    assert certificate.upper == 1.0


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_overflowing_multipliers_do_not_hide_a_block():
    # The optimum needs W; the candidate uses V only, and the multipliers of W overflow
    # into NaN, which no comparison finds to be large.
    data = (np.array([[3.0, 4.0], [3.0, 4.0], [-3.0, -4.0]]), np.array([-2.0, -2, 2]))
    witness = {
        "patterns": np.array([[True], [True], [False]]),
        "V": np.zeros((2, 1)),
        "theta": np.array([-2.0, -2.0, 2.0]),
        "multiplier_index": np.array([0, 1, 3, 4, 5]),
        "multiplier_value": np.array([2.0, 2.0, 1e308, 1e308, 1e308]),
    }
    with pytest.raises(CertificateError, match="overflow"):
        mint(witness, data=data)


@pytest.mark.parametrize("exponent", [-300, -170, 170, 300])
def test_small_and_large_units_prove_neither_too_much_nor_too_little(exponent):
    c = 10.0**exponent
    data, parameters = (c * X, Y), {"alpha": c}
    fine = mint({"V": WITNESS["V"] / c}, parameters, data)
    assert fine.upper == pytest.approx(0.38, rel=1e-12)
    assert fine.lower == pytest.approx(0.38, rel=1e-12)
    # Squares of the gradient underflow: it must still be seen to exceed alpha.
    zero = mint({"V": np.zeros((2, 1)), "theta": [2.0]}, parameters, data)
    assert zero.lower == pytest.approx(0.38, rel=1e-12)
    # Squares of the rows overflow: the point must still be seen outside of the cone.
    outside = {"V": WITNESS["V"] / c, "patterns": [[False]]}
    assert mint(outside, parameters, data).upper == math.inf


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 17))
def test_the_dual_norm_is_never_rounded_down(seed, exponent):
    rng = np.random.default_rng(seed)
    n, d = 4, 2
    X = rng.standard_normal((n, d))
    D = rng.random((n, 1)) < 0.5
    theta = rng.standard_normal(n)
    lam = 10.0**exponent * rng.exponential(size=(2, n))
    witness = {
        "patterns": D,
        "V": np.zeros((d, 1)),
        "W": np.zeros((d, 1)),
        "theta": theta,
        "multiplier_index": np.arange(2 * n),
        "multiplier_value": lam.ravel(),
    }
    found = measure_two_layer(X, theta, witness=witness, parameters=PARAMETERS)
    squares = []
    for sign, multipliers in zip((1, -1), lam, strict=True):
        block = [
            sum(
                (
                    sign * int(D[k, 0]) * Fraction(theta[k])
                    + (2 * int(D[k, 0]) - 1) * Fraction(multipliers[k])
                )
                * Fraction(X[k, j])
                for k in range(n)
            )
            for j in range(d)
        ]
        squares.append(sum(entry**2 for entry in block))
    assert Fraction(found.residuals["dual_norm"]) ** 2 >= max(squares)


def test_multipliers_that_cancel_only_in_floating_point_prove_nothing():
    # Exactly, each pair of opposite rows adds up to rounding of 1e17; a lucky draw
    # would cancel the gradient that the optimum (0.38) allows to be 10.
    rng = np.random.default_rng(0)
    direction = np.array([[0.8, -0.6]])
    rows = np.concatenate([X, direction / 3, -direction / 7, direction / 9])
    data = rows, np.append(Y, np.zeros(3))
    for _ in range(200):
        witness = {
            "patterns": np.ones((4, 1), dtype=bool),
            "V": WITNESS["V"],
            "theta": np.append(Y, np.zeros(3)),
            "multiplier_index": np.arange(8),
            "multiplier_value": rng.exponential(1e17, size=8) * ([0, 1, 1, 1] * 2),
        }
        assert mint(witness, data=data).lower <= 0.38 * (1 + 1e-12)


def test_the_slack_scales_with_the_dual_point():
    data = (np.eye(2), np.array([1.0, 0.0]))
    witness = {
        "patterns": np.array([[True], [True]]),
        "V": np.array([[0.5], [-1e-13]]),
        "theta": np.array([0.5, 0.0]),
        "multiplier_index": np.array([1]),
        "multiplier_value": np.array([1e-1]),
    }
    whole = mint(witness, {"alpha": 0.5}, data)
    tenth = {"theta": np.array([0.05, 0.0]), "multiplier_value": np.array([1e-2])}
    small = mint(witness | tenth, {"alpha": 0.5}, data)
    assert small.lower == pytest.approx(whole.lower, rel=1e-12)
    assert small.upper == pytest.approx(whole.upper, rel=1e-15)


def test_a_pattern_between_two_nearly_parallel_rows_does_not_replace_a_cell():
    # Two rows this close count as one line. With a third row there are four cells, and
    # gates in the sliver between the two must not stand in for one of them.
    apart = 0.9 * PARALLEL
    rows = np.array([[1.0, 0.0], [-1.0, apart], [0.0, 1.0]])
    cells = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]).T
    sliver = np.array([[apart / 2, 1.0], [-apart / 2, -1.0]]).T
    assert is_complete(rows, rows @ cells >= 0, cells)
    for i, j in itertools.product(range(4), range(2)):
        gates = cells.copy()
        gates[:, i] = sliver[:, j]
        assert len(np.unique(rows @ gates >= 0, axis=1).T) == 4
        assert not is_complete(rows, rows @ gates >= 0, gates)


def test_gates_that_are_not_finite_realise_nothing():
    rows = np.array([[1.0, 0.5], [0.0, 0.0]])
    gates = np.array([[1.0, 0.0], [-1.0, 0.0]]).T
    D = rows @ gates >= 0
    assert is_complete(rows, D, gates)
    for value in (np.nan, np.inf):
        broken = gates.copy()
        broken[1, 0] = value
        with np.errstate(all="ignore"):
            assert not is_complete(rows, D, broken)


def test_every_contributing_pattern_is_needed_for_a_global_bound():
    X, y, _ = small_program(3, "squared", n=5)
    patterns = enumerate_patterns(X)
    certificate = solve_relu(X, y, patterns, alpha=0.2).certificate
    assert farkas.verify(bare(certificate), X, y)
    D, gates = patterns.D, patterns.gates
    for i in range(len(patterns)):
        kept = np.arange(len(patterns)) != i
        blocks = {name: certificate.witness[name][:, kept] for name in "VW"}
        none = {"multiplier_index": np.zeros(0, int), "multiplier_value": np.zeros(0)}
        lists = {"patterns": D[:, kept], "gates": gates[:, kept]}
        witness = {"theta": certificate.witness["theta"], **blocks, **none, **lists}
        if D[:, i].any():
            with pytest.raises(CertificateError, match="not complete"):
                mint(witness, {"scope": "global", "alpha": 0.2}, (X, y))
        twice = np.arange(len(patterns))
        twice[i] = twice[i - 1]
        assert not is_complete(X, D[:, twice], gates[:, twice])
        turned = gates.copy()
        turned[:, i] *= -1
        assert not farkas.verify(bare(certificate, gates=turned), X, y)
        repeated = D.copy()
        repeated[:, i] = D[:, i - 1]
        assert not farkas.verify(bare(certificate, patterns=repeated), X, y)


def test_one_output_may_leave_out_its_axis_but_two_may_not():
    both = {"theta": np.array([[0.2]]), "V": WITNESS["V"][None]}
    assert mint(both).lower == mint().lower
    data = X, np.array([[2.0, 1.0]])
    with pytest.raises(CertificateError, match="theta must have shape"):
        mint({"theta": np.zeros(1)}, data=data)
    with pytest.raises(CertificateError, match="V must have shape"):
        mint({"theta": np.zeros((1, 2))}, data=data)


@given(st.lists(st.floats(-1e308, 1e308), min_size=1, max_size=4))
def test_lengths_neither_overflow_nor_underflow(entries):
    # hypot of the standard library is correctly rounded up to an ulp.
    expected = math.hypot(*entries)
    if math.isfinite(expected):
        found = lengths(np.array([entries]), axis=1)
        assert found[0] == pytest.approx(expected, rel=1e-14, abs=1e-322)


@pytest.mark.parametrize("noise", [1e-17, 1e-16, 1e-15, 1e-8, 1e-6, 1e-4])
@pytest.mark.parametrize("seed", range(6))
def test_nearly_degenerate_data_are_enumerated_completely(seed, noise):
    rng = np.random.default_rng(seed)
    d = 2 + seed % 3
    rows = rng.integers(-2, 3, (7, d)) + noise * rng.standard_normal((7, d))
    patterns = enumerate_patterns(rows)
    assert is_complete(rows, patterns.D, patterns.gates)


@pytest.mark.parametrize("units", [[1, 1e-3, 1e3], [1e-6, 1, 1e6], [1e-150, 1, 1e150]])
def test_units_of_the_columns_do_not_change_the_patterns(units):
    for seed in range(6):
        rows = np.random.default_rng(seed).integers(-2, 3, (8, 3)).astype(float)
        patterns = enumerate_patterns(rows * units)
        assert is_complete(rows * units, patterns.D, patterns.gates)
        expected = {tuple(column) for column in enumerate_patterns(rows).D.T}
        assert {tuple(column) for column in patterns.D.T} == expected
        assert np.array_equal(rows * units @ patterns.gates >= 0, patterns.D)


def test_least_squares_is_graded_by_its_own_gradient():
    # Whatever the witness calls theta, the gradient is that of V.
    X, y, D = small_program(4, "squared")
    exact = solve_gated(X, y, D, alpha=0).certificate
    assert exact.satisfied
    away = exact.witness["V"] + 1.0
    forged = bare(exact, V=away, theta=np.zeros(len(y)))
    assert not farkas.verify(forged, X, y)


def test_a_small_multiple_of_the_dual_point_charges_a_small_slack():
    # The multiplier 1e6 cancels theta's second entry; scaled by some 1e-12 along with
    # theta, it charges nothing for the violation of 1e-13.
    data = (np.eye(2), np.array([1.0, 0.0]))
    witness = {
        "patterns": np.array([[True], [True]]),
        "V": np.array([[0.5], [-1e-13]]),
        "theta": np.array([0.5, -1e6]),
        "multiplier_index": np.array([1, 2, 3]),
        "multiplier_value": np.array([1e6, 0.5, 0.0]),
    }
    certificate = mint(witness, {"alpha": 0.5}, data)
    assert certificate.upper == pytest.approx(0.125 + 0.25, abs=1e-12)


@pytest.mark.parametrize(("violation", "accepted"), [(1e-13, True), (1e-10, False)])
def test_only_rounding_outside_of_a_cone_is_forgiven(violation, accepted):
    data = (np.eye(2), np.array([1.0, 0.0]))
    witness = {
        "patterns": np.array([[True], [True]]),
        "V": np.array([[0.5], [-violation]]),
        "theta": np.array([0.5, 0.0]),
    }
    certificate = mint(witness, {"alpha": 0.5}, data)
    assert math.isfinite(certificate.upper) is accepted


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_residuals_cover_all_outputs(order):
    X, _, D = small_program(5, "squared")
    Y = np.random.default_rng(5).standard_normal((6, 2)) * [1.0, 3.0]
    Y = Y[:, order]
    single = [solve_relu(X, y, D, alpha=0.2).certificate for y in Y.T]
    none = {"multiplier_index": np.zeros(0, int), "multiplier_value": np.zeros(0)}
    witness = {name: np.stack([c.witness[name] for c in single]) for name in "VW"}
    witness["V"][order[1]] -= 0.01 * X[:1].T  # somewhat outside the cones
    witness["theta"] = np.stack([c.witness["theta"] for c in single], axis=1)
    parameters = dict(single[0].parameters)
    both = farkas.certify(
        PROBLEM, (X, Y), {"patterns": D, **witness, **none}, parameters, tolerance=1.0
    )
    parts = [
        farkas.certify(
            PROBLEM,
            (X, Y[:, c]),
            {
                "patterns": D,
                "V": witness["V"][c],
                "W": witness["W"][c],
                "theta": witness["theta"][:, c],
                **none,
            },
            parameters,
            tolerance=1.0,
        )
        for c in range(2)
    ]
    for name, combine in (
        ("dual_norm", max),
        ("cone_violation", max),
        ("network_objective", sum),
    ):
        expected = combine(part.residuals[name] for part in parts)
        assert both.residuals[name] == pytest.approx(expected, rel=1e-12), name
    assert both.lower == pytest.approx(sum(part.lower for part in parts), rel=1e-12)


@pytest.mark.parametrize("apart", [1e-10, 1e-8, 1e-6, 1e-4])
def test_rows_that_differ_by_more_than_rounding_are_two_hyperplanes(apart):
    rows = np.array([[1.0, 0.0], [1.0, apart], [0.0, 1.0]])
    patterns = enumerate_patterns(rows)
    assert len(patterns) == 6
    assert is_complete(rows, patterns.D, patterns.gates)
    middle = (patterns.D[0] != patterns.D[1]) & patterns.D[2]
    assert not is_complete(rows, patterns.D[:, ~middle], patterns.gates[:, ~middle])
