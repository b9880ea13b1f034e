"""One observable a class: outputs, gradients, fits, shots, backends, certificates."""

import dataclasses

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2, zz_feature_map
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

import farkas
from farkas.certificate import CertificateError
from quantum import VariationalQuantumClassifier
from quantum._measure_losses import make_loss
from quantum.objectives import ShotSampler
from quantum.readout import observable_readout
from quantum.simulator import Simulator

OPERATORS = ["ZI", SparsePauliOp(["XY", "IZ"], [0.5, -1.5]), SparsePauliOp("IX")]
DIAGONAL = ["ZI", "IZ", SparsePauliOp(["ZZ", "II"], [0.8, 0.1])]
KINDS = ["squared", "hinge", "logistic"]
RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (24, 2))
Y = np.argmax(np.column_stack([X, 1.2 - X.sum(axis=1)]), axis=1)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**parameters):
    defaults = {"feature_map": "zz", "ansatz_reps": 1, "random_state": 0}
    options = {"observable": OPERATORS, "loss": "squared", "max_iter": 60}
    return VariationalQuantumClassifier(**{**defaults, **options, **parameters})


def dense(operator):
    return Operator(SparsePauliOp(operator)).data


def by_qiskit(model):
    """Expectation values (C, N) of a fitted model, from Qiskit's state vectors."""
    circuit = zz_feature_map(2).compose(efficient_su2(2, reps=1))
    names = sorted(p.name for p in zz_feature_map(2).parameters)
    found = np.empty((len(model.observable), len(X)))
    for i, x in enumerate(X):
        values = dict(zip(names, x, strict=True))
        free = iter(model.weights_)
        bound = circuit.assign_parameters(
            {p: values[p.name] if p.name in values else next(free)
             for p in circuit.parameters}
        )  # fmt: skip
        psi = Statevector(bound).data
        found[:, i] = [np.vdot(psi, dense(A) @ psi).real for A in model.observable]
    return found


@pytest.mark.parametrize("operators", [OPERATORS, DIAGONAL])
def test_outputs_are_those_of_qiskit(operators):
    model = classifier(observable=operators, max_iter=3).fit(X, Y)
    expected = by_qiskit(model)
    np.testing.assert_allclose(
        model.model_.outputs(X, model.weights_), expected, atol=1e-12
    )
    np.testing.assert_allclose(model.decision_function(X), expected.T, atol=1e-12)
    assert model.predict(X).tolist() == expected.argmax(axis=0).tolist()
    signs = np.where(np.arange(3)[:, None] == Y, 1.0, -1.0)
    loss = np.mean(np.sum((expected - signs) ** 2, axis=0))
    assert model.loss_ == pytest.approx(loss, abs=1e-12)
    assert not hasattr(model, "predict_proba")


@pytest.mark.parametrize("order", ["rows", "states"])
@pytest.mark.parametrize("operators", [OPERATORS, DIAGONAL])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients(order, operators, kind):
    model = classifier(max_iter=1).fit(X, Y).model_
    simulator = Simulator(
        table=model.table, readout=observable_readout(operators, 2, 3), order=order,
        planes=model.encoding.planes(X),
    )  # fmt: skip
    theta = np.random.default_rng(1).uniform(-3, 3, model.table.n_parameters)
    loss, s = make_loss(kind, 0, 0.0, 2.0), np.full(len(X), 1 / len(X))
    _, g = simulator.value_and_gradient(theta, loss, Y, s)
    h = 1e-6
    for k, step in enumerate(h * np.eye(len(theta))):
        up, down = (
            simulator.value_and_gradient(theta + t, loss, Y, s)[0]
            for t in (step, -step)
        )
        assert g[k] == pytest.approx((up - down) / (2 * h), abs=1e-7)


def test_the_array_simulator_agrees():
    xp = pytest.importorskip("array_api_strict")
    from quantum._array import ArraySimulator

    model = classifier(max_iter=1).fit(X, Y).model_
    planes = model.encoding.planes(X)
    here = Simulator(table=model.table, readout=model.readout, planes=planes)
    there = ArraySimulator(xp, xp.Device("device1"), model.table, model.readout, planes)
    theta, s = np.arange(model.table.n_parameters) / 5, np.full(len(X), 1 / len(X))
    a = here.value_and_gradient(theta, model.loss, Y, s)
    b = there.value_and_gradient(theta, model.loss, Y, s)
    assert a[0] == pytest.approx(b[0], abs=1e-12)
    np.testing.assert_allclose(a[1], b[1], atol=1e-12)


@pytest.mark.parametrize("loss", KINDS)
def test_a_certificate_without_a_floor(loss):
    model = classifier(loss=loss).fit(X, Y)
    c = model.certificate_
    farkas.verify(model, X, Y).check()
    assert c.lower is None or c.lower == -np.inf
    assert c.upper >= model.loss_ - 1e-12
    assert c.upper == pytest.approx(model.loss_, rel=1e-9)
    assert "no bound" in c.assumptions[0]
    assert model.score(X, Y) > 0.45  # a guess has .33


@pytest.mark.parametrize(
    "optimizer", ["slsqp", "adam", "aqgd", "qng", "sequential", "spsa", "qnspsa"]
)
def test_every_optimizer_descends(optimizer):
    start = classifier(max_iter=1, optimizer="aqgd", initial_point=np.full(8, 0.3))
    model = classifier(
        max_iter=20, optimizer=optimizer, initial_point=np.full(8, 0.3)
    ).fit(X, Y)
    assert model.loss_ < start.fit(X, Y).loss_curve_[0]
    farkas.verify(model, X, Y).check()


def test_two_observables_of_two_classes_differ_in_sign_only():
    y = (X[:, 0] > X[:, 1]).astype(int)
    one = classifier(observable="ZZ").fit(X, y)
    two = classifier(observable=[SparsePauliOp("ZZ", [-1.0]), "ZZ"]).fit(X, y)
    assert two.loss_ == pytest.approx(2 * one.loss_, rel=1e-6)
    assert two.decision_function(X).shape == (len(X),)
    assert two.predict(X).tolist() == one.predict(X).tolist()
    alone = classifier(observable=["ZZ"]).fit(X, y)
    np.testing.assert_array_equal(alone.weights_, one.weights_)
    assert alone.certificate_.lower > 0


def test_the_operator_of_the_last_class():
    model = classifier(max_iter=2).fit(X, Y)
    M = model.observable_matrix()
    np.testing.assert_allclose(
        np.linalg.eigvalsh(M), np.linalg.eigvalsh(dense(OPERATORS[-1])), atol=1e-12
    )


def test_shots_average_to_the_expectation_values():
    model = classifier(max_iter=2).fit(X, Y)
    table = model.model_.table
    phis = np.tile(table.phis(model.weights_)[table.occurrences()], (400, 1))
    found = ShotSampler(model.model_, X, 50, np.random.default_rng(1))(phis)
    assert found.shape == (400, 3, len(X))
    exact = model.model_.outputs(X, model.weights_)
    sizes = np.array([1.0, 2.0, 1.0])[:, None]  # sums of the coefficients
    assert (np.abs(found.mean(axis=0) - exact) < 5 * sizes / np.sqrt(400 * 50)).all()
    sampled = classifier(shots=200, optimizer="spsa", max_iter=5).fit(X, Y)
    farkas.verify(sampled, X, Y).check()


def test_an_estimator_of_qiskit_gives_the_same_fit():
    options = {"optimizer": "cobyla", "max_iter": 12}
    here = classifier(**options).fit(X, Y)
    there = classifier(
        backend=StatevectorEstimator(), max_circuits_per_job=7, **options
    ).fit(X, Y)
    np.testing.assert_allclose(there.weights_, here.weights_, atol=1e-9)
    np.testing.assert_allclose(
        there.decision_function(X), here.decision_function(X), atol=1e-9
    )
    farkas.verify(there, X, Y).check()


@pytest.mark.parametrize(
    ("observable", "message"),
    [
        (OPERATORS[:2], "holds 2 operators, but y holds 3"),
        ([], "holds 0 operators"),
        ("ZZ", "one observable is for 2 classes, but y holds 3"),
        (["ZZ", "ZZZ", "XX"], "2 letters"),
    ],
)
def test_observables_that_do_not_fit(observable, message):
    with pytest.raises(ValueError, match=message):
        classifier(observable=observable).fit(X, Y)
    with pytest.raises(TypeError, match="list of them, got int"):
        classifier(observable=["ZZ", 3, "XX"]).fit(X, Y)


def test_forged_observables_are_refused():
    c = classifier().fit(X, Y).certificate_
    bare = dataclasses.replace(c, seal="", fingerprint="")
    assert farkas.verify(bare, X, Y)
    members = np.asarray(c.witness["members"])
    for witness in (
        {"members": np.zeros_like(members)},
        {"members": members[:-1]},
        {"members": members + 1},
        {"members": members.astype(float)},
        {"members": members[::-1].copy()},
        {"coefficients": 0.5 * np.asarray(c.witness["coefficients"])},
    ):
        forged = dataclasses.replace(bare, witness={**c.witness, **witness})
        assert not farkas.verify(forged, X, Y)
    for scope in ("readout", "any"):
        with pytest.raises(CertificateError, match="several observables"):
            farkas.certify(
                c.problem, (X, Y), dict(c.witness), {**c.parameters, "scope": scope},
                tolerance=1.0,
            )  # fmt: skip
