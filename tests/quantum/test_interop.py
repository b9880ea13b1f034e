"""Exchange with qiskit-machine-learning, kernels and diagnostics."""

import numpy as np
import pytest
from joblib import parallel_config

from quantum import (
    VariationalQuantumClassifier,
    effective_rank,
    encode,
    expressibility,
    fidelity_kernel_matrix,
    from_qiskit_vqc,
    gradient_variance,
    loss_slice,
    loss_surface,
    to_qiskit_vqc,
    to_sampler_qnn,
)

X = np.random.default_rng(0).uniform(0, 1, (10, 2))
Y = np.arange(10) % 2
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def fitted(**parameters):
    return VariationalQuantumClassifier(
        ansatz_reps=1, random_state=0, max_iter=30, **parameters
    ).fit(X, Y)


@pytest.mark.parametrize("interpret", ["parity", "modulo"])
def test_a_sampler_qnn_gives_the_same_probabilities(interpret):
    model = fitted(interpret=interpret)
    found = to_sampler_qnn(model).forward(X, model.weights_)
    np.testing.assert_allclose(found, model.predict_proba(X), atol=1e-10)


def test_a_vqc_gives_the_same_predictions_and_comes_back():
    model = fitted(interpret="modulo")
    vqc = to_qiskit_vqc(model)
    np.testing.assert_allclose(vqc.predict_proba(X), model.predict_proba(X), atol=1e-10)
    with pytest.warns(UserWarning, match="b mod 2"):
        again = from_qiskit_vqc(vqc)
    np.testing.assert_allclose(
        again.predict_proba(X), model.predict_proba(X), atol=1e-12
    )
    labelled = fitted(interpret="parity")
    back = from_qiskit_vqc(to_qiskit_vqc(labelled), classes=["no", "yes"])
    assert set(back.predict(X)) <= {"no", "yes"}
    with pytest.raises(ValueError, match="2 labels"):
        from_qiskit_vqc(to_qiskit_vqc(labelled), classes=["no"])


def test_an_unfitted_vqc_gives_an_unfitted_classifier():
    from qiskit_machine_learning.algorithms import VQC

    with pytest.warns(UserWarning, match="b mod 2"):
        model = from_qiskit_vqc(VQC(num_qubits=2))
    assert not hasattr(model, "weights_")
    model.set_params(max_iter=5).fit(X, Y)
    with pytest.raises(TypeError, match="not a VQC"):
        from_qiskit_vqc(3)


def test_what_has_no_counterpart_is_refused():
    with pytest.raises(ValueError, match="interpretation"):
        to_sampler_qnn(fitted(observable="ZZ", loss="squared"))
    with pytest.raises(ValueError, match="re-uploading"):
        to_qiskit_vqc(fitted(feature_map="reupload"))
    reuploading = fitted(feature_map="reupload")
    found = to_sampler_qnn(reuploading).forward(X, reuploading.weights_)
    np.testing.assert_allclose(found, reuploading.predict_proba(X), atol=1e-10)


def test_kernel_matrix():
    data = np.array([[0.1, 0.7], [0.4, 0.2], [0.9, 0.5], [0.3, 0.8]])
    K = fidelity_kernel_matrix("zz", data)
    published = {
        (0, 1): 0.36308526, (0, 2): 0.45452695, (0, 3): 0.48434852,
        (1, 2): 0.27316221, (1, 3): 0.14012866, (2, 3): 0.45989056,
    }  # fmt: skip
    for (i, j), value in published.items():
        assert K[i, j] == K[j, i] == pytest.approx(value, abs=1e-8)
    assert (np.diagonal(K) == 1).all()
    assert np.linalg.eigvalsh(K).min() > -1e-12
    np.testing.assert_allclose(fidelity_kernel_matrix("zz", data, data[:2]), K[:, :2])
    # The Z map is a product: its kernel factorises.
    z = np.prod([fidelity_kernel_matrix("z", data[:, [k]]) for k in range(2)], axis=0)
    np.testing.assert_allclose(fidelity_kernel_matrix("z", data), z, atol=1e-12)


def test_sampled_kernels_are_positive_with_unit_diagonal():
    K = fidelity_kernel_matrix("zz", X, shots=50, random_state=0)
    assert np.linalg.eigvalsh(K).min() > -1e-12
    np.testing.assert_allclose(np.diagonal(K), 1.0)
    rows = fidelity_kernel_matrix("zz", X, X[:3], shots=50, random_state=0)
    exact = fidelity_kernel_matrix("zz", X, X[:3])
    assert np.abs(rows - exact).max() < 5 * 0.5 / np.sqrt(50)


def test_effective_rank_of_identity_and_of_ones():
    assert effective_rank(np.eye(5)) == pytest.approx(5.0)
    assert effective_rank(np.ones((5, 5))) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="positive"):
        effective_rank(np.zeros((2, 2)))


def test_gradient_variance_does_not_depend_on_workers():
    options = {"qubits": (2, 3, 4), "n_samples": 30, "random_state": 0}
    one = gradient_variance(**options)
    with parallel_config(backend="threading", n_jobs=2):
        two = gradient_variance(**options)
    assert np.array_equal(one["variance"], two["variance"])
    assert one["slope"] < -0.3
    local = gradient_variance(
        qubits=(2, 4, 6), n_samples=60, readout="modulo", reps=1,
        entanglement="reverse_linear", random_state=0,
    )  # fmt: skip
    whole = gradient_variance(
        qubits=(2, 4, 6), n_samples=60, reps=1, entanglement="reverse_linear",
        random_state=0,
    )  # fmt: skip
    assert local["slope"] > whole["slope"]
    with pytest.raises(ValueError, match="qubits"):
        gradient_variance(qubits=(2,))


def test_random_states_are_fully_expressive():
    assert expressibility(reps=4, n_qubits=2, random_state=0) < 0.2
    assert expressibility("real_amplitudes", 2, reps=0, random_state=0) > 0.3


def test_slices_pass_through_the_trained_loss():
    model = fitted()
    offsets, losses = loss_slice(model, X, Y, 1, n_points=21)
    assert losses[10] == pytest.approx(model.loss_, abs=1e-12)
    assert losses[0] == pytest.approx(losses[-1], abs=1e-12)
    assert offsets[10] == 0.0
    _, plane = loss_surface(model, X, Y, 0, 1, n_points=5)
    assert plane[2, 2] == pytest.approx(model.loss_, abs=1e-12)
    _, along = loss_slice(model, X, Y, 0, n_points=5)
    np.testing.assert_allclose(plane[:, 2], along, atol=1e-12)


def test_encode_checks_its_input():
    with pytest.raises(ValueError, match="2-dimensional"):
        encode("zz", [1.0, 2.0])
    with pytest.raises(ValueError, match="20"):
        encode("zz", np.zeros((1, 25)))
