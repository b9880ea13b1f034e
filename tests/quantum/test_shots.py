"""Shots, primitives, retries, and the interval around a sampled loss."""

import pickle

import numpy as np
import pytest
from qiskit.primitives import StatevectorEstimator, StatevectorSampler

import farkas
from quantum import VariationalQuantumClassifier
from quantum._measure_losses import make_loss
from quantum.ansatz import ansatz_table
from quantum.encodings import make_encoding
from quantum.model import CircuitModel
from quantum.objectives import SampledObjective, ShotSampler, estimates
from quantum.primitives import PrimitiveError, PrimitiveRunner, bit_integers
from quantum.readout import Readout, class_table, observable_words

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (8, 2))
Y = np.arange(8) % 2
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def model(kind="cross_entropy", K=2, observable=None, table=None):
    n = 2
    readout = Readout(n=n, n_classes=K, classes=class_table(None, n, K))
    if observable is not None:
        words, c = observable_words(observable, n)
        readout = Readout(n=n, n_classes=2, paulis=words, coefficients=c)
    return CircuitModel(
        encoding=make_encoding("zz", n),
        table=ansatz_table("efficient_su2", n, 1, "full") if table is None else table,
        readout=readout,
        loss=make_loss(kind, 0 if observable else K, 1e-9, 1.0),
    )


def phis(m, theta):
    return m.table.phis(theta)[m.table.occurrences()]


THETA = np.linspace(-1, 1, 8)


@pytest.mark.parametrize(("kind", "K"), [
    ("cross_entropy", 2), ("squared", 2), ("cross_entropy", 3), ("squared", 3),
])  # fmt: skip
def test_the_interval_covers_the_exact_loss(kind, K):
    m = model(kind, K)
    y = np.arange(20) % K
    data = np.random.default_rng(1).uniform(0, 1, (20, 2))
    s = np.full(20, 1 / 20)
    exact = float(s @ m.loss.values(m.outputs(data, THETA), y))
    from quantum._measure_shots import shot_estimate

    inside = 0
    for seed in range(400):
        sampler = ShotSampler(m, data, 200, np.random.default_rng(seed))
        counts = sampler.counts(phis(m, THETA)[None])[0]
        found = shot_estimate(counts, y, s, m.loss)
        inside += found["loss_ci_low"] <= exact <= found["loss_ci_high"]
    assert 0.92 <= inside / 400 <= 0.98


def test_the_sampled_gradient_is_unbiased_for_the_squared_loss():
    m = model("squared")
    s = np.full(8, 1 / 8)
    exact = m.simulator(X).value_and_gradient(THETA, m.loss, Y, s)[1]
    objective = SampledObjective(m, X, Y, s)
    objective.template = THETA.copy()
    objective.sampler = ShotSampler(m, objective.X, 100, np.random.default_rng(0))
    drawn = np.array([
        objective.value_and_gradient(THETA[objective.live])[1] for _ in range(300)
    ])  # fmt: skip
    error = drawn.std(axis=0) / np.sqrt(300)
    assert (np.abs(drawn.mean(axis=0) - exact[objective.live]) < 5 * error).all()


def test_shift_rules_are_exact_for_controlled_rotations():
    from qiskit.circuit import ParameterVector, QuantumCircuit

    from quantum.compile import compile_circuit

    t = ParameterVector("t", 4)
    c = QuantumCircuit(2)
    c.ry(t[0], 0)
    c.crx(2 * t[1] + 0.3, 0, 1)
    c.cry(t[2], 1, 0)
    c.cp(t[3], 0, 1)
    c.crz(-t[0], 0, 1)
    c.rx(t[2], 0)
    m = model(table=compile_circuit(c, data=False))
    theta = np.array([0.4, -0.7, 1.1, 0.2])
    s = np.full(8, 1 / 8)
    objective = SampledObjective(m, X, Y, s)
    objective.template = theta.copy()
    import dataclasses

    from quantum.export import separated

    whole = dataclasses.replace(m, table=separated(m.table)).simulator(objective.X)
    objective.sampler = whole.outputs_many
    f, g = objective.value_and_gradient(theta[objective.live])
    exact = m.simulator(X).value_and_gradient(theta, m.loss, Y, s)
    assert f == pytest.approx(exact[0], abs=1e-12)
    np.testing.assert_allclose(g, exact[1][objective.live], atol=1e-12)


def test_bytes_are_folded_most_significant_first():
    array = np.array([[[1, 2], [0, 255]]], dtype=np.uint8)
    assert bit_integers(array).tolist() == [[258, 255]]


def test_statevector_sampler_agrees_within_five_sigma():
    for K in (2, 3):
        m = model("squared", K)
        runner = PrimitiveRunner(m, X, StatevectorSampler(seed=1), shots=4000)
        found = runner(phis(m, np.array([THETA, -THETA])[0])[None])
        exact = m.outputs(X, THETA)
        sigma = np.sqrt(np.maximum(exact * (1 - exact), 1e-3) / 4000)
        assert (np.abs(found[0] - exact) < 5 * sigma).all()
        assert runner.n_shots == 8 * 4000


def test_statevector_estimator_is_exact():
    m = model("squared", observable="XZ")
    runner = PrimitiveRunner(m, X, StatevectorEstimator())
    points = np.array([phis(m, THETA), phis(m, 2 * THETA)])
    found = runner(points)
    np.testing.assert_allclose(found[0], m.outputs(X, THETA), atol=1e-10)
    np.testing.assert_allclose(found[1], m.outputs(X, 2 * THETA), atol=1e-10)


def test_transpiled_circuits_keep_the_order_of_bits():
    from qiskit.transpiler import generate_preset_pass_manager

    manager = generate_preset_pass_manager(
        optimization_level=1, basis_gates=["rz", "sx", "x", "cx"],
        coupling_map=[[0, 1], [1, 0]],
    )  # fmt: skip
    m = model("squared")
    runner = PrimitiveRunner(
        m, X, StatevectorSampler(seed=0), pass_manager=manager, shots=4000,
        max_circuits_per_job=3,
    )  # fmt: skip
    found = runner(phis(m, THETA)[None])[0]
    assert np.abs(found - m.outputs(X, THETA)).max() < 5 * 0.5 / np.sqrt(4000)
    assert runner.n_jobs_run == 3
    observed = model("squared", observable="XZ")
    exact = PrimitiveRunner(observed, X, StatevectorEstimator(), pass_manager=manager)
    np.testing.assert_allclose(
        exact(phis(observed, THETA)[None])[0], observed.outputs(X, THETA), atol=1e-8
    )


def test_aer_agrees():
    aer = pytest.importorskip("qiskit_aer.primitives")
    m = model("squared")
    runner = PrimitiveRunner(m, X, aer.SamplerV2(seed=1), shots=4000)
    found = runner(phis(m, THETA)[None])[0]
    assert np.abs(found - m.outputs(X, THETA)).max() < 5 * 0.5 / np.sqrt(4000)


class Flaky:
    """A sampler whose jobs fail at given calls."""

    def __init__(self, failing):
        self.inner, self.calls, self.failing = StatevectorSampler(seed=0), 0, failing

    def run(self, pubs, *, shots=None):
        self.calls += 1
        if self.failing(self.calls):
            raise ConnectionError("the queue is closed")
        return self.inner.run(pubs, shots=shots)


def classifier(**parameters):
    return VariationalQuantumClassifier(
        ansatz_reps=1, random_state=0, optimizer="spsa", max_iter=3, shots=50,
        optimizer_options={"a": 1.0}, **parameters,
    )  # fmt: skip


def test_a_failed_job_is_tried_again():
    flaky = Flaky(lambda call: call % 3 == 1)
    fitted = classifier(backend=flaky).fit(X, Y)
    assert flaky.calls > fitted.nfev_
    assert np.isfinite(fitted.loss_)


def test_nothing_is_lost_when_jobs_keep_failing():
    flaky = Flaky(lambda call: call > 6)
    with pytest.raises(PrimitiveError, match="failed 3 times.*queue") as caught:
        classifier(backend=flaky).fit(X, Y)
    partial = caught.value.partial_result
    assert partial.x.shape == (8,)
    assert np.isfinite(partial.fun)
    assert len(partial.history["objective"]) == 1
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert flaky.calls == 6 + 3


def test_a_fit_on_a_sampler_says_what_is_known():
    fitted = classifier(backend=StatevectorSampler(seed=0)).fit(X, Y)
    c = fitted.certificate_
    assert "noiseless" in c.assumptions[0]
    assert c.residuals["loss_ci_low"] < c.residuals["loss_ci_high"]
    assert c.residuals["n_shots_total"] == 8 * 50
    assert c.lower <= c.residuals["loss"]
    farkas.verify(fitted, X, Y).check()
    assert fitted.predict_proba(X).shape == (8, 2)
    pickle.loads(pickle.dumps(fitted)).predict(X)


def test_a_fit_on_an_estimator():
    fitted = VariationalQuantumClassifier(
        ansatz_reps=1, random_state=0, optimizer="cobyla", max_iter=12, loss="squared",
        observable="ZZ", backend=StatevectorEstimator(),
    ).fit(X, Y)  # fmt: skip
    assert fitted.loss_ == pytest.approx(fitted.certificate_.residuals["loss"])
    farkas.verify(fitted, X, Y).check()


def test_the_floor_of_an_observable_on_a_backend_covers_its_whole_range():
    # Any operator between -1 and 1 may be measured: the floor must allow for all.
    states = np.eye(2, dtype=complex)
    angles, y = np.array([[0.0], [np.pi]]), np.array([0, 1])
    fitted = VariationalQuantumClassifier(
        "angle", "real_amplitudes", ansatz_reps=0, observable="Z", loss="squared",
        backend=StatevectorEstimator(), optimizer="cobyla", max_iter=30,
        random_state=0,
    ).fit(angles, y)  # fmt: skip
    # diag(-1, 1) has no loss at all.
    assert states.shape == (2, 2)
    assert fitted.certificate_.lower <= 1e-9


class Unpicklable(Flaky):
    def __reduce__(self):
        raise TypeError("a live session")


def test_a_live_handle_is_dropped_with_a_warning():
    fitted = classifier(backend=Unpicklable(lambda call: False)).fit(X, Y)
    with pytest.warns(UserWarning, match="live session"):
        loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.backend is None
    assert loaded.predict(X).shape == (8,)


def test_built_in_shots():
    fitted = VariationalQuantumClassifier(
        ansatz_reps=1, random_state=0, optimizer="aqgd", max_iter=5, shots=100
    ).fit(X, Y)
    twin = VariationalQuantumClassifier(
        ansatz_reps=1, random_state=0, optimizer="aqgd", max_iter=5, shots=100
    ).fit(X, Y)
    assert np.array_equal(fitted.weights_, twin.weights_)
    assert fitted.certificate_.residuals["n_shots_total"] == 800
    farkas.verify(fitted, X, Y).check()


def test_half_a_count_keeps_the_loss_finite():
    m = model()
    counts = np.array([[[0, 10], [10, 0]]])
    np.testing.assert_allclose(estimates(counts, m)[0, 0], [10.5 / 11, 0.5 / 11])
    raw = estimates(counts, model("squared"))
    np.testing.assert_allclose(raw[0, 0], [1.0, 0.0])


def test_too_many_qubits_for_a_certificate_beside_a_backend():
    class Coin:
        """Answers every circuit with random bits."""

        def run(self, pubs, *, shots=None):
            from types import SimpleNamespace

            ((_, bindings),) = pubs
            rng = np.random.default_rng(0)
            array = rng.integers(0, 256, (len(bindings), shots, 2), dtype=np.uint8)
            array[..., 0] &= 31
            data = SimpleNamespace(meas=SimpleNamespace(array=array))
            answer = [SimpleNamespace(data=data)]
            return SimpleNamespace(result=lambda: answer)

    wide = np.random.default_rng(0).uniform(0, 1, (4, 13))
    model = VariationalQuantumClassifier(
        "angle", ansatz_reps=0, backend=Coin(), shots=20, optimizer="spsa", max_iter=2,
        optimizer_options={"a": 1.0}, random_state=0,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="n=13 qubits"):
        model.fit(wide, [0, 1, 0, 1])
    assert model.certificate_ is None
    assert model.predict(wide).shape == (4,)
