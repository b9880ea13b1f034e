"""Encodings by name: which one is taken, and which rows have none."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_classifiers_train

import farkas
from quantum import (
    OptimalMeasurementClassifier,
    VariationalQuantumClassifier,
    encode,
    quantum_kernel,
)
from quantum.encodings import AUTO_QUBITS, make_encoding

CLASSIFIERS = [VariationalQuantumClassifier, OptimalMeasurementClassifier]


def test_auto_is_zz_with_few_features_and_amplitude_with_many():
    for m, name, n in (
        (1, "z", 1), (2, "zz", 2), (AUTO_QUBITS, "zz", AUTO_QUBITS),
        (AUTO_QUBITS + 1, "amplitude", 4), (30, "amplitude", 5), (300, "amplitude", 9),
    ):  # fmt: skip
        encoding = make_encoding("auto", m)
        assert (encoding.name, encoding.n) == (name, n)
    X = np.random.default_rng(0).uniform(0, 1, (5, 3))
    assert np.array_equal(encode("auto", X), encode("zz", X))
    assert np.array_equal(quantum_kernel("auto")(X, X), quantum_kernel("zz")(X, X))


def test_a_number_of_qubits_decides_between_the_two():
    assert make_encoding("auto", 16, n_qubits=16).name == "zz"
    assert make_encoding("auto", 6, n_qubits=6).name == "zz"
    assert make_encoding("auto", 6, n_qubits=3).name == "amplitude"
    with pytest.raises(ValueError, match="n_qubits=5.*6 qubits or, as amplitudes, 3"):
        make_encoding("auto", 6, n_qubits=5)
    with pytest.raises(ValueError, match="n_qubits=5.*takes 3"):
        make_encoding("angle", 3, n_qubits=5)
    with pytest.raises(TypeError, match="n_qubits"):
        make_encoding("zz", 3, n_qubits="3")


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_thirty_features_need_no_thirty_qubits(cls):
    rng = np.random.default_rng(1)
    X = rng.uniform(0, 1, (20, 30))
    y = np.where(X[:, 0] + X[:, 1] > 1, "up", "down")
    model = cls().fit(X, y)
    assert model.n_qubits_ == 5
    farkas.verify(model, X, y).check()
    with pytest.raises(ValueError, match="20: the states.*PCA.*amplitude.*backend"):
        cls("zz").fit(X, y)
    with pytest.raises(ValueError, match="row 0 of X is zero.*PCA"):
        model.predict(np.zeros((1, 30)))


@pytest.mark.parametrize("cls", CLASSIFIERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_tag_of_a_poor_score_is_set_where_angles_wrap(cls):
    for feature_map, poor in (("auto", True), ("zz", True), ("z", True),
                              ("angle", False), ("rx", False)):  # fmt: skip
        estimator = cls(feature_map)
        assert estimator.__sklearn_tags__().classifier_tags.poor_score is poor
        check_classifiers_train(cls.__name__, estimator)  # wants .83, without the tag


def test_no_circuit_tells_blobs_apart_whose_angles_wrap():
    X, y = make_blobs(n_samples=300, random_state=0)  # three, in the plane
    X = StandardScaler().fit_transform(X)
    wrapped = OptimalMeasurementClassifier("zz").fit(X, y)
    assert 0.99 < wrapped.lower_bound_ < np.log(3)
    assert VariationalQuantumClassifier("angle", random_state=0).fit(X, y).loss_ < 0.33


def test_rows_without_a_state_are_named():
    X = np.ones((3, 2))
    X[1] = 1e300
    with pytest.raises(ValueError, match="row 1 of X gives an angle.*not finite"):
        encode("zz", X)
    with pytest.raises(ValueError, match="row 1 of X gives an angle.*not finite"):
        VariationalQuantumClassifier().fit(X, [0, 1, 0])
    X[1] = 0.0
    with pytest.raises(ValueError, match="row 1 of X is zero"):
        encode("amplitude", X)


def test_what_has_no_kernel_is_refused():
    with pytest.raises(ValueError, match="X has 2 features, but Y has 1"):
        quantum_kernel("z")(np.ones((3, 2)), np.ones((3, 1)))
    with pytest.raises(ValueError, match="reps=0"):
        encode("zz", np.ones((3, 2)), reps=0)
