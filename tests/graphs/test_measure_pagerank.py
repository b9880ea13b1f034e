"""Measures of PageRank and heat kernels against dense linear algebra, and forgeries."""

import math

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.sparse import csr_array

import farkas
from farkas import CertificateError, Guarantee
from farkas.testing import tampered
from graphs import approximate_pagerank, heat_kernel, l1_pagerank, load_karate_club

A, _ = load_karate_club()
DENSE, DEGREE = A.toarray(), A.sum(axis=0)
WALK = DENSE / DEGREE
START = np.eye(34)[0]
READ = {
    "affinity": "graph",
    "n_neighbors": 0,
    "symmetrize": "error",
    "edge_length": False,
}


def witness(**arrays):
    return {
        "nodes": np.arange(34),
        "cluster": np.arange(34) < 5,
        "seeds": np.array([0]),
        "share": np.array([1.0]),
        **arrays,
    }


def test_the_error_bound_of_any_vector_holds():
    lazy = (np.eye(34) + WALK) / 2
    truth = np.linalg.solve(np.eye(34) - 0.9 * lazy, 0.1 * START)
    rng = np.random.default_rng(0)
    for _ in range(50):
        u = truth / DEGREE * (1 + 0.1 * rng.standard_normal(34))
        proof = farkas.certify(
            "graphs.approximate_pagerank/1", (A,), witness(u=u),
            {"alpha": 0.1, **READ}, tolerance=1.0,
        )  # fmt: skip
        assert np.max(np.abs(u - truth / DEGREE)) <= proof.value
    assert proof.guarantee is Guarantee.GLOBAL


def test_the_gap_of_any_candidate_holds():
    result = l1_pagerank(A, 0, rho=1e-3, tol=1e-9)
    rng = np.random.default_rng(0)
    for scale in (0.5, 0.05, 0.005):
        u = result.x.toarray() / DEGREE * (1 + scale * rng.standard_normal(34))
        proof = farkas.certify(
            "graphs.l1_pagerank/1", (A,), witness(u=u),
            {"alpha": 0.1, "rho": 1e-3, **READ}, tolerance=1.0,
        )  # fmt: skip
        assert proof.lower <= result.certificate.upper
        assert proof.upper >= result.certificate.lower


def test_the_error_bound_of_any_series_holds():
    truth = expm(-3.0 * (np.eye(34) - WALK)) @ START
    rng = np.random.default_rng(0)
    for N in (2, 6, 15):
        levels = [START]
        for j in range(N):
            levels.append(3.0 / (j + 1) * WALK @ levels[-1])
        levels = np.stack(levels, axis=1) / DEGREE[:, None]
        levels *= 1 + 0.01 * rng.standard_normal(levels.shape)
        proof = farkas.certify(
            "graphs.heat_kernel/1", (A,), witness(levels=levels), {"t": 3.0, **READ},
            tolerance=1.0,
        )  # fmt: skip
        x = math.exp(-3.0) * levels.sum(axis=1)
        assert np.max(np.abs(x - truth / DEGREE)) <= proof.value


@pytest.mark.parametrize("run", [approximate_pagerank, l1_pagerank, heat_kernel])
def test_every_forgery_is_rejected(run):
    labels = (np.arange(34) < 17).astype(int)
    for options, data in (({}, (A,)), ({"labels": labels}, (A, labels))):
        result = run(A, 0, **options)
        assert result.certificate.satisfied
        farkas.verify(result, *data).check()
        for name, forged, _ in tampered(result.certificate, data):
            if any(word in name for word in ("rows", "replaced", "other units")):
                continue  # other data; see below
            assert not farkas.verify(forged, *data), name
        order = np.random.default_rng(0).permutation(34)
        moved = (csr_array(A[order][:, order]), *(part[order] for part in data[1:]))
        assert not farkas.verify(result, *moved)


@pytest.mark.parametrize(
    ("problem", "change", "message"),
    [
        ("approximate_pagerank", {"u": np.full(33, 0.1)}, "34 finite"),
        ("approximate_pagerank", {"u": np.full(34, np.nan)}, "34 finite"),
        ("l1_pagerank", {"share": np.array([-1.0])}, "nonnegative"),
        (
            "l1_pagerank",
            {"seeds": np.zeros(0, dtype=int), "share": np.zeros(0)},
            "among",
        ),
        ("l1_pagerank", {"cluster": np.ones(34)}, "bool"),
        ("heat_kernel", {"levels": np.ones(34)}, "34 x 1 finite"),
        ("heat_kernel", {"levels": np.full((34, 2), np.inf)}, "finite"),
    ],
)
def test_malformed_witnesses_are_refused(problem, change, message):
    parts = witness(u=np.full(34, 0.01), levels=np.ones((34, 2))) | change
    parameters = {"alpha": 0.1, "rho": 1e-3, "t": 1.0, **READ}
    with pytest.raises(CertificateError, match=message):
        farkas.certify(f"graphs.{problem}/1", (A,), parts, parameters, tolerance=1.0)


@pytest.mark.parametrize(
    ("problem", "change"),
    [
        ("approximate_pagerank", {"alpha": 0.0}),
        ("approximate_pagerank", {"alpha": 1.0}),
        ("l1_pagerank", {"rho": -1.0}),
        ("l1_pagerank", {"rho": math.inf}),
        ("heat_kernel", {"t": 0.0}),
        ("heat_kernel", {"t": 1e4}),
    ],
)
def test_malformed_parameters_are_refused(problem, change):
    parts = witness(u=np.full(34, 0.01), levels=np.ones((34, 2)))
    parameters = {"alpha": 0.1, "rho": 1e-3, "t": 1.0, **READ} | change
    with pytest.raises(CertificateError, match=next(iter(change))):
        farkas.certify(f"graphs.{problem}/1", (A,), parts, parameters, tolerance=1.0)


def test_a_seed_without_edges_is_refused():
    lonely = A.tolil()
    lonely[0, :] = lonely[:, 0] = 0
    with pytest.raises(CertificateError, match="no edges"):
        farkas.certify(
            "graphs.approximate_pagerank/1", (csr_array(lonely),),
            witness(u=np.full(34, 0.01)), {"alpha": 0.1, **READ}, tolerance=1.0,
        )  # fmt: skip
