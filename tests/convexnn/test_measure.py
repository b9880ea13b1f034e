"""The trust base: bounds by hand, conjugates, completeness, and attempts to fool it."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import farkas
from convexnn import enumerate_patterns, solve_gated, solve_relu
from convexnn._measure_losses import HUBER_DELTA, LOSSES, encode_targets, with_intercept
from farkas import CertificateError, Guarantee

PROBLEM = "convexnn.two_layer/1"
PARAMETERS = {
    "alpha": 1.0,
    "loss": "squared",
    "activation": "relu",
    "scope": "patterns",
    "encoding": "none",
    "intercept": 0.0,
}
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
    return farkas.certify(
        PROBLEM,
        data,
        WITNESS | (witness or {}),
        PARAMETERS | (parameters or {}),
        tolerance=1e-9,
    )


def test_one_sample_by_hand():
    # t = |v|: 1/2 (5 t - 2)^2 + t has its minimum .38 at t = .36; theta = 2 - 1.8
    certificate = mint()
    assert certificate.upper == pytest.approx(0.38, abs=1e-15)
    assert certificate.lower == pytest.approx(0.2 * 2 - 0.2**2 / 2, abs=1e-13)
    assert certificate.scale == 2.0
    assert certificate.satisfied
    assert certificate.guarantee is Guarantee.GLOBAL


def test_infeasible_theta_is_scaled_into_the_dual():
    certificate = mint({"theta": np.array([2.0])})
    assert certificate.lower == pytest.approx(0.38, abs=1e-12)  # |X'theta| was 10
    assert certificate.residuals["dual_norm"] == pytest.approx(10.0)


def test_logistic_theta_is_only_ever_shortened():
    witness = {"V": np.zeros((2, 1)), "theta": np.array([0.5])}
    data = (X, np.array([1.0]))
    wide = mint(witness, {"loss": "logistic", "alpha": 5.0}, data)
    assert wide.lower == pytest.approx(math.log(2), abs=1e-12)  # t = 1/2 is feasible
    narrow = mint(witness, {"loss": "logistic", "alpha": 1.0}, data)
    t = 0.5 / 2.5  # |X'theta| = 2.5
    entropy = -t * math.log(t) - (1 - t) * math.log(1 - t)
    assert narrow.lower == pytest.approx(entropy, abs=1e-12)


def test_point_outside_its_cone_proves_no_upper_bound():
    certificate = mint({"patterns": np.array([[False]])})
    assert certificate.upper == math.inf
    assert certificate.value == math.inf
    assert not certificate.satisfied
    assert certificate.residuals["cone_violation"] == pytest.approx(1.8)


def test_rounding_outside_a_cone_is_charged_to_the_gap():
    data = (np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, 0.0]))
    witness = {
        "patterns": np.array([[True], [True]]),
        "V": np.array([[0.5], [-1e-13]]),
        "theta": np.array([0.5, 0.0]),
        "multiplier_index": np.array([1]),
        "multiplier_value": np.array([1e-3]),
    }
    charged = mint(witness, {"alpha": 0.5}, data)
    free = mint(witness | {"multiplier_value": np.array([0.0])}, {"alpha": 0.5}, data)
    assert math.isfinite(charged.upper)
    assert charged.upper > free.upper


def test_gap_far_below_zero_is_an_error(monkeypatch):
    # No true witness gets there: break the loss, so that its value is too low.
    broken = LOSSES["squared"]._replace(value=lambda z, y: -1.0 + 0 * z)
    monkeypatch.setitem(LOSSES, "squared", broken)
    with pytest.raises(CertificateError, match="negative duality gap"):
        mint()


BAD = [
    ({}, {"alpha": -1.0}, "alpha=-1.0"),
    ({}, {"alpha": 0.0}, "alpha=0.0"),
    ({}, {"loss": "hinge"}, "targets of this loss"),
    ({}, {"activation": "tanh"}, "tanh"),
    ({}, {"encoding": "onehot"}, "encoding="),
    ({}, {"scope": "all"}, "scope='all'"),
    ({}, {"scope": "global"}, "gates"),
    ({"patterns": np.array([[2.0]])}, {}, "patterns must be"),
    ({"patterns": np.array([True])}, {}, "patterns must be"),
    ({"patterns": np.ones((2, 1))}, {}, "patterns must be"),
    ({"patterns": np.ones((1, 0))}, {}, "patterns must be"),
    ({"V": np.zeros((3, 1))}, {}, "V must have shape"),
    ({"W": np.full((2, 1), np.nan)}, {}, "W must be finite"),
    ({"theta": np.array([np.inf])}, {}, "theta must be finite"),
    ({"theta": np.zeros(2)}, {}, "theta must have shape"),
    ({"multiplier_index": np.zeros(0)}, {}, "multiplier_index must be integers"),
    ({"multiplier_index": np.array([0])}, {}, "multiplier_index must be integers"),
    (
        {"multiplier_index": np.array([5]), "multiplier_value": np.array([1.0])},
        {},
        "within 2",
    ),
    (
        {"multiplier_index": np.array([0, 0]), "multiplier_value": np.ones(2)},
        {},
        "distinct",
    ),
    (
        {"multiplier_index": np.array([0]), "multiplier_value": np.array([-1.0])},
        {},
        "nonnegative",
    ),
]


@pytest.mark.parametrize(("witness", "parameters", "message"), BAD)
def test_malformed_witness_is_refused(witness, parameters, message):
    with pytest.raises(CertificateError, match=message):
        mint(witness, parameters)


def test_targets_must_match_the_rows():
    with pytest.raises(CertificateError, match="y must have 1 rows, got 2"):
        mint(data=(X, np.array([2.0, 2.0])))
    three = np.ones((3, 2))
    with pytest.raises(CertificateError, match="y must have 3 rows, got 1"):
        mint(data=(three, Y))
    with pytest.raises(CertificateError, match="X must be 2-dimensional"):
        mint(data=(X.ravel(), Y))


@pytest.mark.parametrize("loss", LOSSES)
def test_dual_value_is_the_conjugate(loss):
    rng = np.random.default_rng(0)
    functions = LOSSES[loss]
    for _ in range(20):
        y = rng.choice([-1.0, 1.0]) if functions.labels else rng.normal()
        z = rng.normal() * 2
        theta = functions.theta(np.array([z]), np.array([y]))
        if loss == "hinge":
            theta = y * rng.uniform(size=1)
        inside = functions.project(theta, np.array([y]))
        assert inside == pytest.approx(theta)
        # -l*(-theta) = min_z l(z) + theta z; the minimum is in reach of the bracket
        found = minimize_scalar(
            lambda z, y=y, theta=theta: float(
                functions.value(np.array([z]), np.array([y]))[0] + theta[0] * z
            ),
            bounds=(-60, 60),
            method="bounded",
            options={"xatol": 1e-10},
        )
        value = functions.dual(theta, np.array([y]))[0]
        assert value == pytest.approx(found.fun, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_theta_is_the_negative_slope(loss):
    functions = LOSSES[loss]
    z = np.array([-2.0, -0.5, 0.3, 0.7, 3.0])
    y = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    step = 1e-6
    slope = (functions.value(z + step, y) - functions.value(z - step, y)) / (2 * step)
    assert functions.theta(z, y) == pytest.approx(-slope, abs=1e-8)


def test_domain_of_the_dual_is_kept():
    theta, y = np.array([-3.0, 3.0, 0.5]), np.array([1.0, 1.0, 1.0])
    assert LOSSES["logistic"].project(theta, y).tolist() == [0.0, 1.0, 0.5]
    assert LOSSES["huber"].project(theta, y).tolist() == [-1.35, 1.35, 0.5]
    assert LOSSES["logistic"].dual(np.array([0.0, 1.0]), y[:2]).tolist() == [0.0, 0.0]


def test_incomplete_list_gets_no_global_certificate():
    data = np.random.default_rng(0).standard_normal((6, 3))
    result = solve_relu(data, data[:, 0], enumerate_patterns(data), alpha=0.1)
    witness = dict(result.certificate.witness)
    for name in ("patterns", "gates", "V", "W"):
        witness[name] = witness[name][:, :-1]
    witness["multiplier_index"] = np.zeros(0, dtype=int)
    witness["multiplier_value"] = np.zeros(0)
    parameters = dict(result.certificate.parameters)
    with pytest.raises(CertificateError, match="not complete"):
        farkas.certify(PROBLEM, (data, data[:, 0]), witness, parameters, tolerance=1)
    parameters["scope"] = "patterns"
    kept = farkas.certify(PROBLEM, (data, data[:, 0]), witness, parameters, tolerance=1)
    assert "given activation patterns" in kept.assumptions[0]


def test_gated_scope_is_stated():
    data = np.random.default_rng(0).standard_normal((6, 3))
    result = solve_gated(data, data[:, 0], enumerate_patterns(data), alpha=0.1)
    assert "gated units" in result.certificate.assumptions[0]
    parameters = {**result.certificate.parameters, "scope": "global"}
    with pytest.raises(CertificateError, match="scope='global'"):
        farkas.certify(
            PROBLEM,
            (data, data[:, 0]),
            dict(result.certificate.witness),
            parameters,
            tolerance=1,
        )


def test_gated_least_squares_is_graded_by_its_gradient():
    data = np.random.default_rng(0).standard_normal((6, 2))
    y = data[:, 0] ** 2
    exact = solve_gated(data, y, data @ data.T[:, :2] >= 0, alpha=0).certificate
    assert exact.kind == "kkt_residual"
    assert exact.guarantee is Guarantee.LOCAL
    assert exact.lower == 0.0
    assert exact.satisfied
    worse = {**exact.witness, "V": exact.witness["V"] + 1.0, "theta": np.zeros(6)}
    forged = farkas.certify(PROBLEM, (data, y), worse, exact.parameters, tolerance=1e-9)
    assert forged.value > 0.1
    assert not forged.satisfied


def test_several_outputs_add_up():
    data = np.random.default_rng(0).standard_normal((6, 2))
    D = data @ data.T[:, :2] >= 0
    Y = np.column_stack([data[:, 0], -data[:, 1]])
    single = [solve_gated(data, column, D, alpha=0.1).certificate for column in Y.T]
    witness = {
        "patterns": D,
        "V": np.stack([certificate.witness["V"] for certificate in single]),
        "theta": np.stack(
            [certificate.witness["theta"] for certificate in single], axis=1
        ),
    }
    parameters = dict(single[0].parameters)
    both = farkas.certify(PROBLEM, (data, Y), witness, parameters, tolerance=1e-4)
    assert both.upper == pytest.approx(sum(certificate.upper for certificate in single))
    assert both.lower == pytest.approx(sum(certificate.lower for certificate in single))


def test_zero_targets_have_a_zero_certificate():
    witness = {"V": np.zeros((2, 1)), "theta": np.zeros(1)}
    certificate = mint(witness, data=(X, np.zeros(1)))
    assert (certificate.lower, certificate.upper) == (0.0, 0.0)
    assert certificate.scale == 1.0


def test_intercept_and_labels_are_encoded_by_the_measure():
    assert with_intercept(np.ones((2, 1)), 0.0).shape == (2, 1)
    assert with_intercept(np.ones((2, 1)), 3.0).tolist() == [[1, 3], [1, 3]]
    assert encode_targets(np.array(["b", "a", "b"]), "labels").ravel().tolist() == [
        1,
        -1,
        1,
    ]
    three = encode_targets(np.array([7, 5, 6]), "labels")
    assert three.tolist() == [[-1, -1, 1], [1, -1, -1], [-1, 1, -1]]
    assert encode_targets(np.array([1.0, 2.0]), "none").shape == (2, 1)


def test_arithmetic_alone_rejects_a_shifted_dual_point():
    data = np.random.default_rng(0).standard_normal((8, 3))
    y = data[:, 0] ** 2
    certificate = solve_relu(data, y, data @ data.T[:, :4] >= 0, alpha=0.1).certificate
    bare = dataclasses.replace(certificate, seal="", fingerprint="")
    farkas.verify(bare, data, y).check()
    for change in (1.1, 0.9, -1.0):
        witness = {**bare.witness, "theta": change * bare.witness["theta"] + 0.01}
        assert not farkas.verify(dataclasses.replace(bare, witness=witness), data, y)
    flipped = {**bare.witness, "patterns": ~bare.witness["patterns"]}
    assert not farkas.verify(dataclasses.replace(bare, witness=flipped), data, y)
    assert not farkas.verify(bare, data[::-1].copy(), y)
    assert not farkas.verify(bare, data, -y)
    assert not farkas.verify(bare, data[:, ::-1].copy(), y)


def test_huber_threshold_separates_the_two_branches():
    r = np.array([0.5, HUBER_DELTA, 3.0])
    value = LOSSES["huber"].value(r, np.zeros(3))
    expected = [0.125, HUBER_DELTA**2 / 2, HUBER_DELTA * 3 - HUBER_DELTA**2 / 2]
    assert value == pytest.approx(expected, rel=1e-15)
