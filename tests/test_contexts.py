"""Where the work runs changes nothing: every parallel feature, in every joblib context.

Each feature runs once sequentially; the other contexts must give the same bits. Workers
of Dask are started as on other machines: processes that get tasks over a socket.
"""

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

X, y = load_iris(return_X_y=True)
X, y = StandardScaler().fit_transform(X)[::2], y[::2]
FEATURES = {}


def feature(function):
    FEATURES[function.__name__] = function
    return function


@feature
def one_against_the_rest():
    from convexnn import ConvexMLPClassifier

    model = ConvexMLPClassifier(activation="gated", n_patterns=8, random_state=0)
    model.set_params(n_jobs=2).fit(X, y)
    return model.weights_, model.lower_bound_


@feature
def sampled_units_of_several_classes():
    from convexnn import SCPClassifier

    model = SCPClassifier(n_units=30, random_state=0, n_jobs=2).fit(X, y)
    return model.coefs_[0], model.objective_


@feature
def consensus_over_shards():
    from convexnn import sample_patterns, solve_consensus

    A = np.column_stack([X, np.ones(len(X))])
    result = solve_consensus(
        A, np.where(y == 1, 1.0, -1.0), sample_patterns(A, 6, random_state=0),
        alpha=0.5, n_shards=2, n_jobs=2, max_iter=20,
    )  # fmt: skip
    return (*result.x, result.gap)


@feature
def grid_search():
    from convexnn import ConvexMLPClassifier

    model = ConvexMLPClassifier(activation="gated", n_patterns=5, random_state=0)
    search = GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=2, n_jobs=2).fit(X, y)
    return search.cv_results_["mean_test_score"], search.best_estimator_.weights_


@feature
def starts_of_dictionary_learning():
    from sdl import lpgd

    Z, t = load_breast_cancer(return_X_y=True)
    Z = StandardScaler().fit_transform(Z)[:80]
    result = lpgd(Z, t[:80], 2, xi=0.1, n_init=3, random_state=0, n_jobs=2)
    return result.fun, result.x["W"] if isinstance(result.x, dict) else result.x[0]


@feature
def clusters_of_many_seeds():
    from graphs import FlowDiffusionClustering

    model = FlowDiffusionClustering(affinity="precomputed", n_jobs=2)
    found = model.fit_many(ring_of_cliques(), seeds=[[0], [7], [13], [20]])
    return [(part.x.toarray(), part.fun) for part in found]


@feature
def network_community_profile():
    from graphs import ncp_profile

    profile = ncp_profile(ring_of_cliques(), n_seeds=20, random_state=0, n_jobs=2)
    return [np.asarray(column) for column in profile.records.tolist()]


@feature
def starts_of_a_circuit():
    from quantum import VariationalQuantumClassifier

    model = VariationalQuantumClassifier(n_restarts=3, random_state=0, n_jobs=2).fit(
        X[:, :2], y == 1
    )
    return model.weights_, model.certificate_.upper


@feature
def variance_of_gradients():
    from quantum import gradient_variance

    return gradient_variance(qubits=(2, 3), n_samples=4, random_state=0, n_jobs=2)[
        "variance"
    ]


@feature
def particles_on_workers():
    from dfo import minimize_cbo

    result = minimize_cbo(sphere, [(-2, 2)] * 3, maxfev=60, random_state=0, workers=2)
    return result.x, result.fun, result.nfev


@feature
def poll_points_on_workers():
    from dfo import minimize_cdsm

    result = minimize_cdsm(sphere, np.ones(3), maxfev=60, random_state=0, workers=2)
    return result.x, result.fun, result.nfev


def sphere(x):
    return float(np.sum((np.asarray(x) - 0.25) ** 2))


def ring_of_cliques(size=6, number=5):
    from scipy.sparse import csr_array

    A = np.kron(np.eye(number), np.ones((size, size))) - np.eye(size * number)
    ends = np.arange(number) * size
    A[ends, np.roll(ends, -1) + 1] = A[np.roll(ends, -1) + 1, ends] = 1.0
    return csr_array(A)


def bits(answer):
    if isinstance(answer, list | tuple):
        return [bits(part) for part in answer]
    return np.asarray(answer).tobytes()


@pytest.fixture(scope="module")
def sequential():
    answers = {}

    def answer(name):
        if name not in answers:
            with joblib.parallel_config(backend="sequential"):
                answers[name] = bits(FEATURES[name]())
        return answers[name]

    return answer


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Yield a client of two worker processes."""
    distributed = pytest.importorskip("distributed")
    import dask

    folder = tmp_path_factory.mktemp("dask")
    with (
        dask.config.set({"temporary-directory": str(folder)}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as workers,
        distributed.Client(workers) as client,
    ):
        yield client


@pytest.mark.parametrize("backend", ["threading", "loky"])
@pytest.mark.parametrize("name", FEATURES)
def test_the_same_bits_on_this_machine(name, backend, sequential):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert bits(FEATURES[name]()) == sequential(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in FEATURES if n != "consensus_over_shards"])
def test_the_same_bits_on_a_cluster(name, sequential, cluster):
    with joblib.parallel_config(backend="dask"):
        assert bits(FEATURES[name]()) == sequential(name)


@pytest.mark.slow
def test_consensus_on_a_cluster_agrees(cluster):
    """Arrays arrive there with another alignment, on which BLAS's last bits depend."""
    here = consensus_over_shards()
    with joblib.parallel_config(backend="dask"):
        there = consensus_over_shards()
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-9)
