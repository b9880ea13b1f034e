"""Fits that are interrupted, and parameters that do not go together."""

import numpy as np
import pytest
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import Pauli, SparsePauliOp

import farkas
from quantum import OptimalMeasurementClassifier, VariationalQuantumClassifier
from quantum.objectives import ShotSampler

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (30, 2))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**parameters):
    defaults = {"ansatz_reps": 1, "random_state": 0, "max_iter": 30}
    return VariationalQuantumClassifier(**{**defaults, **parameters})


def interrupting(call, error):
    calls = iter(range(1, 10**6))

    def callback(intermediate_result):
        if next(calls) == call:
            raise error

    return callback


@pytest.mark.parametrize("optimizer", ["lbfgs", "aqgd", "cobyla", "spsa", "sequential"])
def test_an_interrupted_fit_keeps_its_weights_and_their_certificate(optimizer):
    model = classifier(optimizer=optimizer, callback=interrupting(3, KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert model.n_iter_ == 3
    assert model.message_ == "Interrupted by the user."
    assert len(model.loss_curve_) >= 3
    assert model.predict(X).shape == (30,)
    farkas.verify(model, X, Y).check()
    assert model.loss_ == pytest.approx(model.certificate_.residuals["loss"], abs=1e-9)


def test_earlier_starts_survive_an_interrupt():
    alone = classifier(max_iter=4).fit(X, Y)
    model = classifier(
        max_iter=4, n_restarts=3, callback=interrupting(5, KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert model.loss_ <= alone.loss_


def test_a_backend_that_is_interrupted_keeps_its_weights():
    class Sampler:
        def __init__(self):
            self.inner, self.calls = StatevectorSampler(seed=0), 0

        def run(self, *args, **options):
            self.calls += 1
            if self.calls > 4:
                raise KeyboardInterrupt
            return self.inner.run(*args, **options)

    model = classifier(backend=Sampler(), shots=50, optimizer="cobyla")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert model.nfev_ == 5  # the fifth was asked for
    farkas.verify(model, X, Y).check()


@pytest.mark.parametrize("word", ["ZZ", "XY"])
def test_shots_of_an_observable_are_those_of_its_pauli_words(word):
    operator = SparsePauliOp([word, "IZ", "II"], [0.7, -0.4, 0.2])
    model = classifier(observable=operator, loss="squared", max_iter=3).fit(X, Y)
    sampler = ShotSampler(model.model_, X, 50, np.random.default_rng(1))
    table = model.model_.table
    phis = np.tile(table.phis(model.weights_)[table.occurrences()], (400, 1))
    found = sampler(phis)[:, 0]
    exact = model.model_.outputs(X, model.weights_)[0]
    sigma = np.sqrt((0.7**2 + 0.4**2) / 50)
    assert np.abs(found.mean(axis=0) - exact).max() < 5 * sigma / 20
    assert (found.std(axis=0) < 1.2 * sigma).all()
    assert found.std() > 0
    assert sampler.n_shots == 3 * 50 * 400 * 30


def test_a_fit_from_shots_of_an_observable():
    options = {"observable": "ZZ", "loss": "squared", "optimizer": "aqgd"}
    exact = classifier(**options).fit(X, Y)
    sampled = classifier(**options, shots=500).fit(X, Y)
    assert sampled.loss_ == pytest.approx(exact.loss_, abs=0.1)
    assert sampled.certificate_.upper < 1.1 * exact.certificate_.upper
    farkas.verify(sampled, X, Y).check()


def test_an_observable_in_every_form():
    fits = [
        classifier(observable=o, loss="squared").fit(X, Y)
        for o in ("ZZ", Pauli("ZZ"), SparsePauliOp("ZZ"),
                  SparsePauliOp(["ZZ", "ZZ"], [0.25, 0.75]))
    ]  # fmt: skip
    for other in fits[1:]:
        np.testing.assert_allclose(other.weights_, fits[0].weights_, atol=1e-6)
    flipped = classifier(observable=Pauli("-ZZ"), loss="squared", max_iter=1).fit(X, Y)
    assert flipped.model_.readout.coefficients.tolist() == [-1.0]


@pytest.mark.parametrize(
    ("parameters", "kind", "message"),
    [
        ({"observable": "ZZ", "depolarizing": 0.1}, ValueError, "depolarizing.*obser"),
        (
            {"observable": "ZZ", "readout_error": [[[0.9, 0.2], [0.1, 0.8]]] * 2},
            ValueError,
            "readout_error.*observable",
        ),
        (
            {"backend": StatevectorSampler(), "depolarizing": 0.1},
            ValueError,
            "depolarizing.*backend",
        ),
        ({"backend": StatevectorEstimator()}, TypeError, "V2 sampler"),
        (
            {"backend": StatevectorSampler(), "observable": "ZZ"},
            TypeError,
            "V2 estimator",
        ),
        ({"backend": "aer"}, TypeError, "backend='aer' must be a V2 sampler"),
        ({"callback": 5}, TypeError, "callback=5 must be callable"),
        ({"max_time": -1.0}, ValueError, "max_time"),
        ({"max_time": "soon"}, TypeError, "max_time"),
        (
            {"optimizer_options": {"step": 1}},
            ValueError,
            "\\['step'\\].*'lbfgs'.*maxfev",
        ),
        (
            {"optimizer": "cobyqa", "optimizer_options": {"method": "x"}},
            ValueError,
            "\\['method'\\]",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(parameters, kind, message):
    if "observable" in parameters:
        parameters = {"loss": "squared", **parameters}
    with pytest.raises(kind, match=message):
        classifier(**parameters).fit(X, Y)


def test_the_time_of_a_measurement_is_checked_too():
    with pytest.raises(ValueError, match="max_time"):
        OptimalMeasurementClassifier(max_time=-1).fit(X, Y)


def test_auto_on_a_backend_needs_a_circuit_and_takes_zz():
    many = RNG.uniform(0, 1, (4, 13))
    for backend, name in ((StatevectorSampler(), "zz"), (None, "amplitude")):
        assert classifier(backend=backend)._build(many, 2).encoding.name == name


def test_without_a_certificate_large_circuits_on_a_backend_warn_of_nothing():
    model = classifier(
        feature_map="z", backend=StatevectorSampler(seed=0), shots=5, max_iter=1,
        optimizer="spsa", optimizer_options={"a": 1.0}, ansatz="real_amplitudes",
    ).set_params(ansatz_reps=0)  # fmt: skip
    data = RNG.uniform(0, 1, (2, 13)), [0, 1]
    assert model.set_params(certify=False).fit(*data).certificate_ is None
    with pytest.warns(UserWarning, match="13 qubits exceed 12.*certify=False"):
        model.set_params(certify="full").fit(*data)
