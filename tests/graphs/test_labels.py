"""Noisy labels and what makes them."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.svm import LinearSVC

from graphs import NodeLabeler, label_accuracy, make_planted_cluster, noisy_labels


def attributes(n=200, seed=0):
    rng = np.random.default_rng(seed)
    target = np.arange(n) < n // 4
    return target[:, None] + 0.3 * rng.standard_normal((n, 2)), target


@pytest.mark.parametrize("classifier", [None, LinearSVC()])
@pytest.mark.parametrize("kind", [np.asarray, csr_array])
def test_labeler_predicts_and_keeps_what_it_knows(classifier, kind):
    X, target = attributes()
    y = np.full(200, -1)
    y[:10], y[100:110] = 1, 0
    y[0] = 0  # wrong on purpose
    labeler = NodeLabeler(classifier).fit(kind(X), y)
    labels = labeler.predict(kind(X))
    assert labels[0] == 0
    assert ((labels == 1) == target).mean() > 0.9
    assert np.array_equal(labeler.predict(kind(X), [3, 150]), labels[[3, 150]])


def test_threshold_moves_labels():
    X, _ = attributes()
    y = np.full(200, -1)
    y[:10], y[100:110] = 1, 0
    low, high = (NodeLabeler(threshold=t).fit(X, y).predict(X) for t in (0.1, 0.9))
    assert low.sum() > high.sum()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(200, -1), "labelled 0 and nodes labelled 1"),
        (np.ones(200), "labelled 0 and nodes labelled 1"),
        (np.full(200, 0.5), "not probabilities"),
        (np.ones(5), "200 nodes"),
    ],
)
def test_bad_labels_are_named(y, message):
    with pytest.raises(ValueError, match=message):
        NodeLabeler().fit(attributes()[0], y)


def test_bad_attributes_are_named():
    X, target = attributes()
    with pytest.raises(ValueError, match="finite matrix"):
        NodeLabeler().fit(np.full((200, 2), np.nan), target)
    labeler = NodeLabeler().fit(X, target.astype(int))
    with pytest.raises(ValueError, match="200 rows"):
        labeler.predict(X[:5])
    with pytest.raises(ValueError, match="threshold=2.0"):
        NodeLabeler(threshold=2.0).fit(X, target.astype(int))


def test_planted_graphs_have_their_densities():
    A, target = make_planted_cluster(2000, 200, 0.1, 0.01, r=0.002, random_state=0)
    assert (A != A.T).nnz == 0
    assert A.diagonal().sum() == 0
    inner = A[:200, :200].sum() / (200 * 199)
    across = A[:200, 200:].sum() / (200 * 1800)
    outer = A[200:, 200:].sum() / (1800 * 1799)
    assert (inner, across, outer) == pytest.approx((0.1, 0.01, 0.002), rel=0.05)
    full, _ = make_planted_cluster(20, 5, 1.0, 0.0, r=1.0)
    assert full.nnz == 5 * 4 + 15 * 14
    B, _ = make_planted_cluster(2000, 200, 0.1, 0.01, r=0.002, random_state=0)
    assert (A != B).nnz == 0


def test_noisy_labels_have_their_accuracy():
    target = np.arange(20000) < 5000
    labels = noisy_labels(target, 0.7, 0.9, random_state=0)
    assert label_accuracy(labels, target) == pytest.approx((0.7, 0.9), abs=0.02)
    with pytest.raises(ValueError, match="a1=2.0"):
        noisy_labels(target, 2.0, 0.5)
    with pytest.raises(ValueError, match="one shape"):
        label_accuracy([1], target)
    with pytest.raises(ValueError, match="k=0"):
        make_planted_cluster(10, 0)
