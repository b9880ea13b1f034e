"""The poll of a training loss: losses by hand, spanning, and forgeries."""

import math

import numpy as np
import pytest

import farkas
from dfo._measure_network import Network, forward, layers, losses
from dfo._measure_training import encode
from farkas.certificate import CertificateError, Guarantee
from farkas.testing import tampered

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3))
LABELS = np.array(list("abcabcabcabc"))
INDEX = encode(LABELS, True)[0]
TARGETS = RNG.normal(size=12)


def by_hand(network, theta, X):
    """One network, one layer at a time, in plain loops."""
    out, begin = X, 0
    pairs = list(zip(network.sizes, network.sizes[1:], strict=False))
    for number, (a, b) in enumerate(pairs):
        W = theta[begin : begin + a * b].reshape(a, b)
        bias = theta[begin + a * b : begin + (a + 1) * b]
        begin += (a + 1) * b
        out = out @ W + bias
        if number == len(pairs) - 1 and not (network.batch_norm and network.classifier):
            return out
        out = np.maximum(out, 0) if network.activation == "relu" else np.tanh(out)
        if network.batch_norm:
            out = (out - out.mean(0)) / np.sqrt(out.std(0, ddof=1) ** 2 + 1e-4)
    return out


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("sizes", [(3, 3), (3, 5, 4, 3)])
@pytest.mark.parametrize("classifier", [True, False])
def test_forward_agrees_with_loops(activation, batch_norm, sizes, classifier):
    network = Network(sizes, activation, batch_norm, classifier)
    theta = RNG.normal(size=(4, network.n_parameters))
    outputs, statistics = forward(network, theta, X)
    for p in range(4):
        assert outputs[p] == pytest.approx(by_hand(network, theta[p], X))
    again, _ = forward(network, theta, X[:5], statistics)
    if statistics:
        assert again == pytest.approx(outputs[:, :5])
    assert sum(W[0].size + b[0].size for W, b in layers(network, theta)) == len(
        theta[0]
    )


def test_losses_by_hand():
    network = Network((3, 3), "relu", True, True)
    theta = RNG.normal(size=(2, 12))
    out, _ = forward(network, theta, X)
    p = np.exp(out) / np.exp(out).sum(axis=2, keepdims=True)
    expected = [-np.log(p[i, np.arange(12), INDEX]).mean() / 3 for i in range(2)]
    found = losses(network, theta, X, INDEX, "log_loss", 0.0, 12)
    assert found == pytest.approx(expected)
    penalised = losses(network, theta, X, INDEX, "log_loss", 3.0, 12)
    squares = (theta[:, :9] ** 2).sum(axis=1)
    assert penalised - found == pytest.approx(1.5 * squares / 12)
    errors = losses(network, theta, X, INDEX, "zero_one", 0.0, 12)
    assert errors == pytest.approx((out.argmax(axis=2) != INDEX).mean(axis=1))
    line = Network((3, 1), "relu", False, False)
    theta = RNG.normal(size=(2, 4))
    r = np.abs(X @ theta[:, :3].T + theta[:, 3] - TARGETS[:, None])
    for name, rows in (
        ("squared", 0.5 * r**2),
        ("absolute", r),
        ("huber", np.where(r < 1.35, 0.5 * r**2, 1.35 * (r - 0.675))),
    ):
        value = losses(line, theta, X, TARGETS, name, 0.0, 12)
        assert value == pytest.approx(rows.mean(axis=0))
    custom = losses(line, theta, X, TARGETS, lambda z, y: (z[:, 0] - y) ** 4, 0.0, 12)
    assert custom == pytest.approx((r**4).mean(axis=0))


def test_one_row_has_no_deviation():
    network = Network((3, 2), "relu", True, True)
    outputs, _ = forward(network, RNG.normal(size=(1, 8)), X[:1])
    assert outputs == pytest.approx(np.zeros((1, 1, 2)))


# Least squares has a known minimum: the poll around it fails at every step.
A = np.column_stack([X, np.ones(12)])
BEST = np.linalg.lstsq(A, TARGETS, rcond=None)[0]
LINE = Network((3, 1), "relu", False, False)
PARAMETERS = {
    "hidden": "",
    "activation": "relu",
    "batch_norm": False,
    "classifier": False,
    "loss": "squared",
    "alpha": 0.0,
}


def witness(theta=BEST, Q=None, steps=(1.0, 1e-4)):
    Q = np.eye(4) if Q is None else Q
    steps = np.array(steps)
    values = [
        losses(LINE, theta + s * h * Q, X, TARGETS, "squared", 0.0, 12)
        for h in steps
        for s in (1.0, -1.0)
    ]
    return {
        "theta": theta,
        "directions": Q,
        "steps": steps,
        "values": np.array(values).reshape(len(steps), -1),
    }


def mint(found, tolerance=1e-4, **parameters):
    return farkas.certify(
        "dfo.training_poll/1",
        (X, TARGETS),
        found,
        {**PARAMETERS, **parameters},
        tolerance=tolerance,
    )


def test_the_least_squares_solution_is_certified():
    certificate = mint(witness())
    assert certificate.value == 1e-4
    assert certificate.guarantee is Guarantee.LOCAL
    assert certificate.lower == 0
    expected = 0.5 * np.mean((A @ BEST - TARGETS) ** 2)
    assert certificate.upper == pytest.approx(expected)
    farkas.verify(certificate, X, TARGETS).check()
    assert not farkas.verify(certificate, X, TARGETS[::-1])


def test_elsewhere_a_better_network_is_found():
    certificate = mint(witness(BEST + [2.0, 0, 0, 0]))
    assert certificate.value == math.inf
    assert certificate.residuals["poll_decrease"] > 0.1


def test_few_directions_are_diagnostic():
    certificate = mint(witness(Q=np.eye(4)[:2]))
    assert certificate.guarantee is Guarantee.DIAGNOSTIC
    assert any("do not span" in text for text in certificate.assumptions)


def test_no_forgery_verifies():
    certificate = mint(witness())
    forgeries = list(tampered(certificate, (X, TARGETS)))
    accepted = [n for n, forged, data in forgeries if farkas.verify(forged, *data)]
    assert accepted == []
    assert len(forgeries) > 60


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"theta": np.zeros(3)}, "theta"),
        ({"theta": np.full(4, math.nan)}, "theta"),
        ({"directions": 2 * np.eye(4)}, "orthonormal"),
        ({"directions": np.ones((1, 4)) * math.inf}, "directions"),
        ({"directions": np.empty((0, 4)), "values": np.empty((2, 0))}, "orthonormal"),
        ({"steps": np.array([1.0, 1e-12])}, "steps"),
        ({"steps": np.array([[1.0, 1e-4]])}, "steps"),
        ({"values": np.zeros((2, 8))}, "values"),
        ({"values": np.zeros((8, 2))}, "values"),
    ],
)
def test_malformed_witnesses_prove_nothing(changes, match):
    with pytest.raises(CertificateError, match=match):
        mint({**witness(), **changes})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"activation": "sine"}, "activation"),
        ({"loss": "log_loss"}, "loss"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"hidden": "0"}, "hidden"),
        ({"hidden": "2"}, "theta"),
    ],
)
def test_malformed_parameters_prove_nothing(changes, match):
    with pytest.raises(CertificateError, match=match):
        mint(witness(), **changes)


def test_rows_must_agree():
    with pytest.raises(CertificateError, match="rows"):
        farkas.certify(
            "dfo.training_poll/1",
            (X, TARGETS[:5]),
            witness(),
            PARAMETERS,
            tolerance=1.0,
        )


def test_a_loss_of_the_users():
    def loss(z, y):
        return (z[:, 0] - y) ** 2

    found = witness()
    found["values"] = 2 * found["values"]
    key, parameters = "dfo.custom_training_poll/1", {**PARAMETERS, "loss": "custom"}
    certificate = farkas.certify(
        key, (X, TARGETS, loss), found, parameters, tolerance=1e-4
    )
    assert certificate.satisfied
    farkas.verify(certificate, X, TARGETS, loss).check()
    assert not farkas.verify(certificate, X, TARGETS, lambda z, y: abs(z[:, 0] - y))
    assert not farkas.verify(certificate, X, TARGETS, 3.0)
    negative = {**found, "values": -found["values"]}
    with pytest.raises(CertificateError, match="negative"):
        farkas.certify(
            key,
            (X, TARGETS, lambda z, y: -loss(z, y)),
            negative,
            parameters,
            tolerance=1.0,
        )
