"""A certificate knows its data: in any form, and no other data."""

import numpy as np
import pytest
from scipy import sparse

import farkas
from farkas import Guarantee, verification
from farkas.verification import Measurement, fingerprint, problem

X = np.array([[1.0, 0], [0, 2], [1, 1]])
Y = np.array([1.0, 2, 3])


@pytest.fixture
def certificate():
    return farkas.certify_lasso(X, Y, [1.2, 1.0], alpha=0.5)


# The form of the data ---------------------------------------------------------------


@pytest.mark.parametrize(
    "matrix",
    [
        X.tolist(),
        X.astype(np.int8),
        X.astype(np.float32),
        X.astype(">f8"),
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        X.astype(object),
    ],
    ids=lambda matrix: type(matrix).__name__,
)
def test_the_same_numbers_are_the_same_data(certificate, matrix):
    assert farkas.verify(certificate, matrix, Y)


def test_the_same_numbers_in_a_data_frame(certificate):
    pd = pytest.importorskip("pandas")
    frame, series = pd.DataFrame(X, columns=["a", "b"]), pd.Series(Y)
    assert farkas.verify(certificate, frame, series)
    assert not farkas.verify(certificate, frame[["b", "a"]], series)


def test_data_are_not_changed(certificate):
    matrix, targets = X.copy(), Y.copy()
    matrix.flags.writeable = targets.flags.writeable = False
    assert farkas.verify(certificate, matrix, targets)
    assert np.array_equal(matrix, X)
    assert np.array_equal(targets, Y)


def unsorted():
    data, indices = [1.0, 2.0, 1.0, 1.0], [0, 1, 1, 0]
    return sparse.csr_array((data, indices, [0, 1, 2, 4]), shape=(3, 2))


def with_duplicates():
    rows, columns = [0, 1, 1, 2, 2], [0, 1, 1, 0, 1]
    return sparse.coo_array(([1.0, 1.5, 0.5, 1.0, 1.0], (rows, columns)), shape=(3, 2))


def with_long_indices():
    matrix = sparse.csr_array(X)
    matrix.indices, matrix.indptr = (
        matrix.indices.astype(np.int64),
        matrix.indptr.astype(np.int64),
    )
    return matrix


@pytest.mark.parametrize(
    "matrix",
    [
        sparse.csr_matrix(X),
        sparse.csc_array(X),
        sparse.csr_array(X.astype(np.int32)),
        unsorted(),
        with_duplicates(),
        with_long_indices(),
    ],
    ids=["csr_matrix", "csc", "int", "unsorted", "duplicates", "long indices"],
)
def test_the_same_sparse_matrix_in_any_form(matrix):
    minted = farkas.certify(
        "farkas.lasso/1",
        (sparse.csr_array(X), Y),
        {"w": [1.2, 1.0]},
        {"alpha": 0.5},
        tolerance=1.0,
    )
    farkas.verify(minted, matrix, Y).check()
    assert not farkas.verify(minted, sparse.csr_array(2 * X), Y)
    assert not farkas.verify(minted, sparse.csr_array(X[:, ::-1]), Y)


def test_sparse_data_are_not_changed():
    matrix = unsorted()
    before = matrix.indices.copy()
    farkas.certify(
        "farkas.lasso/1", (matrix, Y), {"w": [1, 1]}, {"alpha": 1.0}, tolerance=1.0
    )
    assert np.array_equal(matrix.indices, before)


class OnTheDevice:
    """An array as CuPy has it: no implicit conversion, but ``get``."""

    def __init__(self, array):
        self.array, self.device = array, "device"

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion is not allowed")

    def get(self):
        return self.array


def test_data_on_a_device_are_fetched(certificate):
    assert farkas.verify(certificate, OnTheDevice(X), OnTheDevice(Y))
    assert not farkas.verify(certificate, OnTheDevice(X), OnTheDevice(Y + 1))


@pytest.fixture
def labels():
    """Register a problem that counts the labels equal to the first one."""

    @problem("farkas.toy_labels/1", data=("y",))
    def measure(y, *, witness, parameters):
        count = float(np.sum(y == y[0]))
        return Measurement(kind="count", value=count, guarantee=Guarantee.DIAGNOSTIC)

    def mint(y):
        return farkas.certify("farkas.toy_labels/1", (y,), {}, tolerance=1)

    yield mint
    del verification._PROBLEMS["farkas.toy_labels/1"]


TEXT = ["no", "yes", "no", "maybe"]


@pytest.mark.parametrize(
    "y",
    [np.array(TEXT), np.array(TEXT, dtype=object), tuple(TEXT)],
    ids=["str", "object", "tuple"],
)
def test_the_same_labels_in_any_form(labels, y):
    minted = labels(TEXT)
    assert minted.value == 2.0
    farkas.verify(minted, y).check()
    assert not farkas.verify(minted, ["yes", *TEXT[1:]])


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_the_same_labels_in_a_series(labels, dtype):
    pd = pytest.importorskip("pandas")
    assert farkas.verify(labels(TEXT), pd.Series(TEXT, dtype=dtype))


def test_booleans_are_numbers(labels):
    farkas.verify(labels([True, False]), np.array([1.0, 0.0])).check()
    farkas.verify(labels(np.array([True, False], dtype=object)), [1, 0]).check()


# The fingerprint --------------------------------------------------------------------


def test_the_fingerprint_knows_type_shape_and_every_bit():
    prints = [
        fingerprint([np.zeros(4)]),
        fingerprint([np.zeros(4, np.float32)]),
        fingerprint([np.zeros((2, 2))]),
        fingerprint([np.zeros((4, 1))]),
        fingerprint([np.array([0.0, 0.0, 0.0, -0.0])]),
        fingerprint([np.array([0.0, 0.0, 0.0, 5e-324])]),
        fingerprint([np.zeros(4), np.zeros(4)]),
        fingerprint([sparse.csr_array(np.zeros((2, 2)))]),
        fingerprint([sparse.csr_array(np.eye(2))]),
        fingerprint([sparse.csr_array(np.eye(2)[::-1])]),
        fingerprint([]),
    ]
    assert len(set(prints)) == len(prints)
    assert all(len(text) == 32 for text in prints)


def test_the_fingerprint_does_not_depend_on_the_layout():
    assert fingerprint([X]) == fingerprint([np.asfortranarray(X)])
    assert fingerprint([X[::-1]]) == fingerprint([X[::-1].copy()])


def test_a_function_among_the_data_means_no_fingerprint():
    assert fingerprint([X, len]) == ""
