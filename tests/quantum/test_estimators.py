"""The classifiers beyond what every estimator is tested for."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from joblib import parallel_config
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

import farkas
from quantum import (
    OptimalMeasurementClassifier,
    VariationalQuantumClassifier,
    optimizer_comparison,
    quantum_kernel,
)

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (40, 2))
Y = (X[:, 0] + X[:, 1] ** 2 > 0.8).astype(int)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fit(**parameters):
    defaults = {"ansatz_reps": 1, "random_state": 0}
    return VariationalQuantumClassifier(**{**defaults, **parameters}).fit(X, Y)


OPTIMIZERS = [
    "lbfgs", "slsqp", "adam", "aqgd", "qng", "sequential", "cobyla", "cobyqa", "spsa",
    "qnspsa",
]  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(optimizer):
    model = fit(optimizer=optimizer, max_iter=40)
    first = model.loss_curve_[0]
    assert model.loss_ < max(first, 0.69)
    assert model.loss_ == pytest.approx(model.certificate_.residuals["loss"], abs=1e-9)
    assert model.certificate_.lower <= model.loss_ <= model.certificate_.upper
    assert model.nfev_ >= 1
    assert model.idle_parameters_.tolist() == [6, 7]
    farkas.verify(model, X, Y).check()


VARIANTS = [
    {"loss": "squared"},
    {"interpret": "modulo"},
    {"interpret": lambda b: int(b == 3)},
    {"observable": "ZZ", "loss": "squared"},
    {"observable": "XI", "loss": "hinge"},
    {"observable": "ZY", "loss": "logistic"},
    {"feature_map": "reupload"},
    {"feature_map": "dense_angle", "ansatz": "real_amplitudes"},
    {"feature_map": "amplitude"},
    {"feature_map": "z", "entanglement": "full"},
    {"depolarizing": 0.1},
    {"readout_error": [[[0.9, 0.2], [0.1, 0.8]]] * 2},
    {"certify": "one_shot"},
    {"class_weight": "balanced"},
    {"class_weight": {0: 1.0, 1: 3.0}},
    {"optimizer": "adam", "batch_size": 8},
    {"optimizer": "aqgd", "optimizer_options": {"gradient": "loss_shift"}},
    {"n_restarts": 3},
]


@pytest.mark.parametrize("parameters", VARIANTS)
def test_every_variant_carries_a_valid_certificate(parameters):
    model = fit(max_iter=30, **parameters)
    c = model.certificate_
    assert 0 <= c.lower <= c.residuals["loss"] <= c.upper
    farkas.verify(model, X, Y).check()
    assert model.score(X, Y) > 0.4


def test_gradient_level_claims_no_floor():
    c = fit(certify="gradient", max_iter=5).certificate_
    assert c.lower == -np.inf
    assert fit(certify=False, max_iter=5).certificate_ is None


def test_reuploading_fixes_the_earlier_weights_in_words():
    model = fit(feature_map="reupload", max_iter=30)
    assert any("last data gate" in text for text in model.certificate_.assumptions)
    assert len(model.weights_) == 2 * 8


def test_the_floor_lies_below_other_circuits_on_the_same_data():
    floor = fit(max_iter=5, loss="squared").certificate_.lower
    for ansatz, reps in (("efficient_su2", 3), ("real_amplitudes", 2)):
        other = fit(ansatz=ansatz, ansatz_reps=reps, loss="squared", max_iter=200)
        assert floor <= other.loss_
    best = OptimalMeasurementClassifier(loss="squared").fit(X, Y)
    assert floor == pytest.approx(best.lower_bound_, abs=2e-6)
    assert best.loss_ <= other.loss_ + 1e-6


def test_warm_start_never_worsens():
    model = fit(max_iter=10, warm_start=True)
    before = model.loss_
    assert model.fit(X, Y).loss_ <= before
    assert np.array_equal(
        fit(initial_point=np.arange(8) / 8, max_iter=1).idle_parameters_, [6, 7]
    )


@pytest.mark.parametrize("shots", [None, 50])
def test_restarts_do_not_depend_on_workers(shots):
    options = {"n_restarts": 3, "max_iter": 10, "shots": shots, "optimizer": "adam"}
    one = fit(**options)
    with parallel_config(backend="threading", n_jobs=2):
        two = fit(**options)
    assert np.array_equal(one.weights_, two.weights_)
    assert one.loss_ == min(one.optimizer_result_.restart_losses)


def test_every_start():
    for init in ("normal", "uniform", "small", "zeros", "identity_block"):
        assert np.isfinite(fit(init=init, max_iter=3).loss_)


def test_users_callback_sees_all_weights():
    seen = []
    fit(callback=lambda intermediate_result: seen.append(intermediate_result.x))
    assert seen
    assert len(seen[0]) == 8


def test_a_checkpoint_holds_weights_to_start_from(tmp_path):
    from farkas.checkpoint import Checkpoint, load

    path = tmp_path / "fit.npz"
    first = fit(max_iter=20, callback=Checkpoint(path, every=10))
    state = load(path)
    assert state["nit"] % 10 == 0
    again = fit(max_iter=1, initial_point=state["x"])
    reached = first.loss_curve_[first.history_["iteration"] == state["nit"]][0]
    assert again.loss_ <= reached + 1e-12


def feature_map():
    x = ParameterVector("x", 2)
    c = QuantumCircuit(2)
    c.ry(x[0] * np.pi, 0)
    c.ry(x[1] * np.pi, 1)
    c.rzz(x[0] * x[1], 0, 1)
    return c


def ansatz():
    t = ParameterVector("t", 5)
    c = QuantumCircuit(2)
    c.crx(t[0], 0, 1)
    c.ry(2 * t[1] + 0.1, 0)
    c.ry(t[1], 1)
    c.cp(t[2], 0, 1)
    c.rxx(t[3], 0, 1)
    c.ry(t[4], 0)
    return c


def test_any_circuit_may_be_used():
    model = fit(feature_map=feature_map(), ansatz=ansatz(), max_iter=300)
    assert model.score(X, Y) > 0.8
    farkas.verify(model, X, Y).check()
    twin = clone(model).fit(X, Y)
    assert np.array_equal(twin.weights_, model.weights_)
    loaded = pickle.loads(pickle.dumps(model))
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    farkas.verify(loaded, X, Y).check()
    best = OptimalMeasurementClassifier(feature_map()).fit(X, Y)
    farkas.verify(best, X, Y).check()
    assert best.lower_bound_ <= model.loss_


def test_the_circuit_is_that_of_qiskit():
    from qiskit.quantum_info import Statevector

    model = fit(max_iter=20)
    circuit = model.circuit_
    features = [p for p in circuit.parameters if p.name.startswith("x")]
    weights = [p for p in circuit.parameters if p.name.startswith("w")]
    values = dict(zip(weights, model.weights_, strict=True))
    for row, p in zip(X[:3], model.predict_proba(X[:3]), strict=True):
        bound = circuit.assign_parameters(
            values | dict(zip(features, row, strict=True))
        )
        probabilities = Statevector(bound).probabilities()
        assert p[1] == pytest.approx(probabilities[[1, 2]].sum(), abs=1e-12)
    assert "Ry" in str(model.draw())
    assert model.ansatz_.num_parameters == 8
    assert model.feature_map_.num_parameters == 2
    assert model.observable_matrix().shape == (4, 4)


def test_grid_search_over_structure_and_optimizer():
    grid = {"ansatz_reps": [1, 2], "optimizer": ["lbfgs", "aqgd", "cobyla"]}
    model = VariationalQuantumClassifier(max_iter=40, random_state=0)
    search = GridSearchCV(model, grid, cv=2, n_jobs=1).fit(X, Y)
    assert search.best_score_ > 0.6


def test_from_raw_text_to_prediction():
    good, bad = ["lovely food", "great place", "tasty and great"], ["awful", "bad soup"]
    texts, y = 4 * (good + bad), np.array(4 * [1, 1, 1, 0, 0])
    pipe = make_pipeline(
        TfidfVectorizer(),
        PCA(2, svd_solver="arpack", random_state=0),
        MinMaxScaler(),
        VariationalQuantumClassifier(optimizer="aqgd", max_iter=60, random_state=0),
    )
    pipe.fit(texts, y)
    assert pipe.score(texts, y) > 0.9
    assert pipe[-1].certificate_.lower <= pipe[-1].loss_


def test_kernel_in_a_support_vector_machine():
    svm = SVC(kernel=quantum_kernel("zz")).fit(X, Y)
    assert svm.score(X, Y) > 0.7
    pickle.loads(pickle.dumps(svm)).predict(X)


def test_optimal_measurement_as_a_circuit():
    from qiskit.quantum_info import Statevector

    from quantum import encode

    model = OptimalMeasurementClassifier().fit(X, Y)
    circuit, increase = model.to_circuit()
    assert increase >= -1e-6
    states = encode("zz", X)
    p = np.array([
        Statevector(psi).evolve(circuit).probabilities()[2:].sum() for psi in states
    ])  # fmt: skip
    loss = -np.log(np.maximum(np.where(Y == 1, p, 1 - p), 1e-9)).mean()
    assert loss == pytest.approx(model.loss_ + increase, abs=1e-6)
    three = OptimalMeasurementClassifier(max_iter=5).fit(X, np.arange(40) % 3)
    with pytest.raises(ValueError, match="2 classes"):
        three.to_circuit()


def test_optimal_measurement_generalises_outside_the_span_of_few_samples():
    few = OptimalMeasurementClassifier().fit(X[:3], [0, 1, 0])
    assert few.basis_.shape == (4, 3)
    P = few.predict_proba(X)
    np.testing.assert_allclose(P.sum(axis=1), 1.0)
    farkas.verify(few, X[:3], [0, 1, 0]).check()


def test_ridge_shrinks_towards_the_uninformed_measurement():
    distances = [
        np.linalg.norm(
            OptimalMeasurementClassifier(alpha=a).fit(X, Y).measurement_ - np.eye(4) / 2
        )
        for a in (0.0, 0.1, 10.0)
    ]
    assert distances[0] > distances[1] > distances[2]


def test_comparison_shows_the_work():
    table = optimizer_comparison(
        X, Y, ["aqgd", "cobyla"], [20], X_test=X[:10], y_test=Y[:10],
        model=VariationalQuantumClassifier(ansatz_reps=1, random_state=0),
    )  # fmt: skip
    assert table["nfev"].tolist() == [21, 20]
    assert (table["lower_bound"] <= table["loss"]).all()


def shared():
    c = QuantumCircuit(2)
    c.ry(Parameter("x[0]"), 0)
    return c


def wide():
    c = QuantumCircuit(3)
    c.ry(Parameter("t"), 0)
    return c


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"feature_map": "qq"}, "feature_map='qq'"),
        ({"feature_map": wide()}, "1 parameters, but X has 2"),
        ({"feature_map": feature_map(), "ansatz": wide()}, "3 qubits.*has 2"),
        ({"feature_map": feature_map(), "ansatz": shared()}, "share.*x\\[0\\]"),
        ({"ansatz": "qq"}, "ansatz='qq'"),
        ({"ansatz": QuantumCircuit(2)}, "no parameters"),
        ({"n_qubits": 3}, "n_qubits=3"),
        ({"entanglement": "qq"}, "entanglement"),
        ({"feature_map_entanglement": "qq"}, "entanglement"),
        ({"interpret": "majority"}, "n=2.*K=2"),
        ({"interpret": "qq"}, "interpret"),
        ({"interpret": lambda b: 0}, "class 1"),
        ({"interpret": lambda b: 5}, "from 0 to 1"),
        ({"observable": "ZZ"}, "cross_entropy"),
        ({"observable": "ZZZ", "loss": "squared"}, "2 letters"),
        ({"loss": "hinge"}, "loss='hinge'"),
        ({"optimizer": "qq"}, "optimizer"),
        ({"init": "qq"}, "init"),
        ({"certify": True}, "certify"),
        ({"device": "qq"}, "device"),
        ({"shots": 0}, "shots=0"),
        ({"shots": -5}, "shots=-5"),
        ({"max_iter": 0}, "max_iter"),
        ({"n_restarts": 0}, "n_restarts"),
        ({"tol": -1.0}, "tol"),
        ({"depolarizing": 2.0}, "depolarizing"),
        ({"readout_error": [[[1.0, 0.0], [0.0, 1.0]]]}, "readout_error"),
        ({"initial_point": np.zeros(3)}, "P=8"),
        ({"initial_point": np.full(8, np.nan)}, "P=8"),
        ({"optimizer": "cobyla", "max_iter": 5}, "P \\+ 2 = 8"),
        ({"optimizer": "aqgd", "optimizer_options": {"momentum": 1.0}}, "momentum"),
        ({"prob_floor": 0.9}, "prob_floor"),
        ({"observable": "II", "loss": "squared"}, "no weight"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        fit(**parameters)


def test_bad_data():
    with pytest.raises(ValueError, match="0 class|1 class"):
        VariationalQuantumClassifier().fit(X, np.zeros(40))
    with pytest.raises(ValueError, match="5 classes.*2 qubits have 4"):
        VariationalQuantumClassifier().fit(X, np.arange(40) % 5)
    with pytest.raises(ValueError, match="2 classes, but y holds 3"):
        VariationalQuantumClassifier(observable="ZZ", loss="squared").fit(
            X, np.arange(40) % 3
        )
    with pytest.raises(ValueError, match="PCA.*backend"):
        VariationalQuantumClassifier().fit(np.zeros((4, 21)), [0, 1, 0, 1])
    with pytest.raises(NotFittedError):
        VariationalQuantumClassifier().predict(X)
    with pytest.raises(ValueError, match="features"):
        fit(max_iter=2).predict(X[:, :1])
    with pytest.raises(ValueError, match="row 0 of X is zero"):
        VariationalQuantumClassifier("amplitude").fit(np.zeros((4, 2)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="rank"):
        OptimalMeasurementClassifier(rank=4).fit(X, Y)
    with pytest.raises(ValueError, match="rank"):
        OptimalMeasurementClassifier(rank=0).fit(X, Y)
    with pytest.raises(ValueError, match="sample_weight"):
        VariationalQuantumClassifier().fit(X, Y, sample_weight=-np.ones(40))


def test_a_graphics_card_that_is_not_there_is_named():
    pytest.importorskip("numpy")
    try:
        import cupy  # noqa: F401
    except ImportError:
        with pytest.raises(RuntimeError, match="CuPy"):
            fit(device="cuda")


def test_zz_of_one_feature_is_z():
    model = VariationalQuantumClassifier(random_state=0, ansatz_reps=1)
    model.fit(X[:, :1], Y)
    assert model.model_.encoding.name == "z"


def test_weighted_fits_verify_and_equal_repetition():
    w = RNG.integers(1, 4, 40)
    weighted = VariationalQuantumClassifier(random_state=0, ansatz_reps=1).fit(
        X, Y, sample_weight=w
    )
    rows = np.repeat(np.arange(40), w)
    repeated = VariationalQuantumClassifier(random_state=0, ansatz_reps=1).fit(
        X[rows], Y[rows]
    )
    assert np.array_equal(weighted.weights_, repeated.weights_)
    assert "weighted" in weighted.certificate_.assumptions[-1]
    farkas.verify(weighted, X, Y).check()


def test_no_warning_when_converged():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit(max_iter=2000)
    assert model.status_ is farkas.Status.CONVERGED
    with pytest.warns(ConvergenceWarning, match="Certificate"):
        fit(max_iter=2)
    copy.deepcopy(model).predict(X)


def test_more_rows_than_fit_into_memory_are_taken_in_blocks(monkeypatch):
    whole = fit(max_iter=30)
    monkeypatch.setattr("quantum.model.MAX_MEMORY", 4 * 16 * 4 * 7)
    blocks = fit(max_iter=30)
    np.testing.assert_allclose(blocks.weights_, whole.weights_, atol=1e-6)
    np.testing.assert_allclose(
        blocks.predict_proba(X), whole.predict_proba(X), atol=1e-6
    )
    fit(max_iter=2, optimizer="aqgd", optimizer_options={"gradient": "loss_shift"})
    with pytest.raises(ValueError, match="exceed"):
        fit(max_iter=2, optimizer="qng")
