"""PageRank and heat kernel against dense linear algebra and textbook numbers."""

import numpy as np
import pytest
from scipy.linalg import expm

import farkas
from farkas import Status
from graphs import (
    approximate_pagerank,
    heat_kernel,
    l1_pagerank,
    load_karate_club,
    make_planted_cluster,
)
from graphs.heat import taylor_degree

A, FACTION = load_karate_club()
WEIGHTED, _ = load_karate_club(weighted=True)
START = np.eye(34)[0]


def exact_pagerank(W, alpha=0.1):
    lazy = (np.eye(34) + W / W.sum(axis=0)) / 2
    return np.linalg.solve(np.eye(34) - (1 - alpha) * lazy, alpha * START)


def relabelled(W):
    return W * np.where(np.equal.outer(FACTION, FACTION), 1, 0.05)


CASES = {
    "unit": (A, None, A.toarray()),
    "weighted": (WEIGHTED, None, WEIGHTED.toarray()),
    "labels": (A, FACTION.astype(int), relabelled(A.toarray())),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("eps", [1e-3, 1e-6])
def test_push_is_within_eps_per_degree(case, eps):
    graph, labels, W = CASES[case]
    result = approximate_pagerank(graph, 0, eps=eps, labels=labels)
    p, r = result.x.toarray(), result.residual.toarray()
    error = (exact_pagerank(W) - p) / W.sum(axis=0)
    assert error.min() >= -1e-15
    assert error.max() <= result.fun <= eps
    assert p.sum() + r.sum() == pytest.approx(1.0, abs=1e-13)
    data = (graph,) if labels is None else (graph, labels)
    farkas.verify(result, *data).check()


def test_pagerank_of_the_karate_club():
    p = approximate_pagerank(A, 0, eps=1e-10).x.toarray()
    assert p[[0, 33]] == pytest.approx([0.2949324, 0.0449653], abs=1e-7)


def test_work_of_the_push_is_bounded():
    graph, _ = make_planted_cluster(2000, 50, 0.3, 0.01, random_state=0)
    for eps in (1e-3, 1e-4, 1e-5):
        result = approximate_pagerank(graph, 3, alpha=0.1, eps=eps)
        assert result.work <= 1 / (0.1 * eps)
        degree = np.diff(graph.indptr)
        assert degree[result.x.coords[0]].sum() <= 2 / (0.9 * eps)


@pytest.mark.parametrize("solver", ["cd", "ista", "fista"])
@pytest.mark.parametrize(
    ("rho", "objective", "first", "size"),
    [(1e-3, -8.294638e-4, 0.2789324, 34), (5e-3, -5.846838e-4, 0.2236255, 18)],
)
def test_l1_pagerank_of_the_karate_club(solver, rho, objective, first, size):
    result = l1_pagerank(A, 0, rho=rho, solver=solver, tol=1e-10, max_iter=9000)
    assert result.success
    assert result.fun == pytest.approx(objective, rel=1e-6)
    assert result.x.toarray()[0] == pytest.approx(first, abs=2e-6)
    assert result.x.nnz == size


@pytest.mark.parametrize("case", CASES)
def test_l1_solvers_agree_on_weights_and_labels(case):
    graph, labels, _ = CASES[case]
    runs = [
        l1_pagerank(graph, 0, rho=2e-3, labels=labels, solver=s, max_iter=9000)
        for s in ("cd", "fista")
    ]
    assert all(run.success for run in runs)
    assert max(run.lower_bound for run in runs) <= min(run.fun for run in runs)


def test_l1_support_is_small():
    graph, _ = make_planted_cluster(2000, 50, 0.3, 0.01, random_state=0)
    result = l1_pagerank(graph, 3, rho=1e-3)
    assert np.diff(graph.indptr)[result.x.coords[0]].sum() <= 1 / 1e-3


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("eps", [1e-3, 1e-6])
def test_heat_kernel_is_within_eps_per_degree(case, eps):
    graph, labels, W = CASES[case]
    result = heat_kernel(graph, 0, eps=eps, labels=labels)
    degree = W.sum(axis=0)
    truth = expm(-5 * (np.eye(34) - W / degree)) @ START
    error = np.abs(truth - result.x.toarray()) / degree
    assert error.max() <= result.fun <= eps


def test_heat_kernel_of_the_karate_club():
    h = heat_kernel(A, 0, eps=1e-9).x.toarray()
    assert h[[0, 33]] == pytest.approx([0.1595996, 0.0609787], abs=1e-7)
    assert h.sum() == pytest.approx(1.0, abs=1e-7)


@pytest.mark.parametrize("t", [0.1, 5.0, 80.0])
def test_taylor_degree_is_the_smallest(t):
    from scipy.stats import poisson

    for tail in (1e-3, 1e-8):
        N = taylor_degree(t, tail)
        assert poisson.sf(N, t) <= tail
        assert N == 1 or poisson.sf(N - 3, t) > tail


@pytest.mark.parametrize("run", [approximate_pagerank, l1_pagerank, heat_kernel])
def test_interrupts_and_callbacks_lose_nothing(run):
    def interrupt(intermediate_result):
        if intermediate_result.nit >= 2:
            raise KeyboardInterrupt

    def stop(intermediate_result):
        raise StopIteration

    for callback in (interrupt, stop):
        result = run(A, 0, callback=callback)
        assert result.status is Status.CALLBACK
        farkas.verify(result, A).check()
    assert run(A, 0, max_iter=1).status is Status.MAX_ITER


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: approximate_pagerank(A, 0, alpha=0.0), "alpha=0.0"),
        (lambda: approximate_pagerank(A, 0, eps=0.0), "eps=0.0"),
        (lambda: approximate_pagerank(A, 0, target_volume=-1.0), "target_volume=-1.0"),
        (lambda: l1_pagerank(A, 0, rho=0.0), "rho=0.0"),
        (lambda: l1_pagerank(A, 0, solver="newton"), "solver='newton'"),
        (lambda: l1_pagerank(A, 0, tol=-1.0), "tol=-1.0"),
        (lambda: heat_kernel(A, 0, t=0.0), "t=0.0"),
        (lambda: heat_kernel(A, 0, max_iter=0), "max_iter=0"),
        (lambda: heat_kernel(A, 99), "0 to 33"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_seed_without_edges_is_an_error():
    lonely = A.tolil()
    lonely[0, :] = lonely[:, 0] = 0
    for run in (approximate_pagerank, l1_pagerank, heat_kernel):
        with pytest.raises(ValueError, match="no edges"):
            run(lonely.tocsr(), 0)


def test_tables_of_all_nodes_give_the_bits_of_local_numbers():
    A, _ = make_planted_cluster(500, 50, 0.3, 0.01, random_state=0)
    for seeds in ([3], [7, 400, 20]):
        a = approximate_pagerank(A, seeds, eps=1e-5)
        b = approximate_pagerank(
            A, seeds, eps=1e-5, callback=lambda intermediate_result: None
        )
        assert np.array_equal(a.x.toarray(), b.x.toarray())
        assert np.array_equal(a.residual.toarray(), b.residual.toarray())
        assert a.certificate.to_json() == b.certificate.to_json()
        assert (a.nit, a.work, a.n_touched) == (b.nit, b.work, b.n_touched)
        assert np.array_equal(a.order, b.order)
        assert np.array_equal(a.profile["cut"], b.profile["cut"])
    stopped = approximate_pagerank(A, 3, eps=1e-9, max_iter=2)
    assert not stopped.success
    again = approximate_pagerank(A, [7, 400, 20], eps=1e-5)
    assert again.certificate.to_json() == a.certificate.to_json()
