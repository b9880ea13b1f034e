"""Shards change the road, never the answer; a lost worker costs no more than a step."""

import os
import signal

import numpy as np
import pytest

import farkas
from convexnn import sample_patterns, solve_gated, solve_relu
from convexnn._measure_losses import LOSSES
from convexnn.scale import shards
from convexnn.scale.consensus import WorkerLostError, solve_consensus
from farkas.checkpoint import Checkpoint, load
from farkas.status import Status

SOLVE = {"relu": solve_relu, "gated": solve_gated}


def data(seed=0, n=40, d=4, P=8):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d - 1)), np.ones(n)])
    y = np.where(np.abs(X[:, 0]) + 0.3 * X[:, 1] > 0.7, 1.0, -1.0)
    return X, y, sample_patterns(X, P, random_state=0)


@pytest.mark.parametrize(
    ("activation", "loss", "n_shards"),
    [
        *[("relu", "squared", n_shards) for n_shards in (1, 2, 4)],
        *[("gated", loss, 2) for loss in LOSSES],
        *[("relu", loss, 2) for loss in ("hinge", "logistic", "huber")],
    ],
)
def test_shards_find_the_optimum_of_one_machine(activation, loss, n_shards):
    X, y, patterns = data(n=30)
    options = {"alpha": 0.3, "loss": loss, "tol": 1e-6}
    alone = SOLVE[activation](X, y, patterns, **options)
    result = solve_consensus(
        X, y, patterns, activation=activation, n_shards=n_shards, **options
    )
    assert result.status == Status.CONVERGED
    assert result.fun == pytest.approx(alone.fun, rel=1e-6)
    assert farkas.verify(result.certificate, X, y)


def test_as_many_shards_as_rows():
    X, y, patterns = data(n=7)
    alone = solve_relu(X, y, patterns, alpha=0.3, tol=1e-6)
    result = solve_consensus(X, y, patterns, alpha=0.3, tol=1e-6, n_shards=7)
    assert result.fun == pytest.approx(alone.fun, rel=1e-6)


def test_large_shards_need_no_factor(monkeypatch):
    monkeypatch.setattr("convexnn.scale.shards.LARGEST_EIGH", 10)
    X, y, patterns = data()
    alone = solve_relu(X, y, patterns, alpha=0.3, tol=1e-6)
    result = solve_consensus(X, y, patterns, alpha=0.3, tol=1e-6, n_shards=2)
    assert result.fun == pytest.approx(alone.fun, rel=1e-6)


def test_workers_do_not_change_a_bit():
    X, y, patterns = data(n=30)
    options = {"alpha": 0.3, "n_shards": 3, "max_iter": 40, "tol": 0.0}
    alone = solve_consensus(X, y, patterns, **options)
    result = solve_consensus(X, y, patterns, n_jobs=2, **options)
    assert result.fun == alone.fun
    assert result.lower_bound == alone.lower_bound
    assert np.array_equal(result.x, alone.x)


def test_a_worker_that_lost_its_shard_asks_for_it(monkeypatch):
    X, y, patterns = data(n=30)
    options = {"alpha": 0.3, "n_shards": 3, "max_iter": 10, "tol": 0.0}
    expected = solve_consensus(X, y, patterns, **options)
    visits = []

    def forgetful(key, shard, *message):
        visits.append((key[1], shard is not None))
        if len(visits) in (5, 9):
            shards.forget_shards()
        return visit(key, shard, *message)

    visit = shards.visit_shard
    monkeypatch.setattr("convexnn.scale.product_space.visit_shard", forgetful)
    result = solve_consensus(X, y, patterns, **options)
    assert np.array_equal(result.x, expected.x)
    assert [number for number, sent in visits[:3] if sent] == [0, 1, 2]
    assert 0 < sum(sent for _, sent in visits[3:]) < 7
    assert not shards._kept  # the fit is over, nothing stays


def test_two_halves_equal_the_whole():
    X, y, patterns = data(n=30)
    options = {"alpha": 0.3, "n_shards": 2, "tol": 0.0}
    whole = solve_consensus(X, y, patterns, max_iter=100, **options)
    half = solve_consensus(X, y, patterns, max_iter=50, **options)
    other = solve_consensus(X, y, patterns, max_iter=100, state=half.state, **options)
    assert other.nit == whole.nit == 100
    assert np.array_equal(other.state["point"], whole.state["point"])
    assert np.array_equal(other.x, whole.x)


def test_a_killed_worker_raises_and_the_checkpoint_resumes(tmp_path):
    from joblib.externals.loky import reusable_executor

    X, y, patterns = data(n=30)
    options = {"alpha": 0.3, "n_shards": 2, "tol": 0.0, "n_jobs": 2}
    whole = solve_consensus(X, y, patterns, max_iter=75, **options)
    checkpoint = Checkpoint(tmp_path / "run.npz", every=25)

    def kill(intermediate_result):
        checkpoint(intermediate_result)
        if intermediate_result.nit == 50:
            victim = next(iter(reusable_executor._executor._processes))
            os.kill(victim, signal.SIGKILL)

    with pytest.raises(WorkerLostError, match="worker process died") as caught:
        solve_consensus(X, y, patterns, max_iter=75, callback=kill, **options)
    for state in (load(tmp_path / "run.npz"), caught.value.state):
        assert 50 <= state["nit"] < 75
        resumed = solve_consensus(X, y, patterns, max_iter=75, state=state, **options)
        assert resumed.nit == 75
        assert np.array_equal(resumed.x, whole.x)


def test_dask_is_one_context_away():
    distributed = pytest.importorskip("distributed")
    import joblib

    X, y, patterns = data(n=20)
    options = {"alpha": 0.3, "n_shards": 2, "tol": 0.0, "max_iter": 10}
    alone = solve_consensus(X, y, patterns, **options)
    with (
        distributed.Client(processes=False, n_workers=1, dashboard_address=None),
        joblib.parallel_config(backend="dask"),
    ):
        result = solve_consensus(X, y, patterns, **options)
    assert np.array_equal(result.x, alone.x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_shards": 0}, "n_shards=0 must"),
        ({"n_shards": 41}, "n_shards=41 must"),
        ({"n_shards": 1.5}, "n_shards=1.5 must"),
        ({"activation": "tanh"}, "activation='tanh' must"),
        ({"alpha": 0.0, "activation": "gated"}, "alpha=0 must be positive"),
        ({"loss": "exotic"}, "loss='exotic' must"),
    ],
)
def test_bad_arguments(change, message):
    X, y, patterns = data()
    with pytest.raises(ValueError, match=message):
        solve_consensus(X, y, patterns, **({"alpha": 0.3, "n_shards": 2} | change))


def test_a_state_of_other_shards_is_refused():
    X, y, patterns = data(n=30)
    state = solve_consensus(X, y, patterns, alpha=0.3, n_shards=2, max_iter=10).state
    with pytest.raises(ValueError, match="2 other shards than these 3"):
        solve_consensus(X, y, patterns, alpha=0.3, n_shards=3, state=state)


def test_row_blocks_of_a_dask_array_are_the_shards():
    da = pytest.importorskip("dask.array")
    X, y, patterns = data(n=30)
    options = {"alpha": 0.3, "tol": 1e-6}
    alone = solve_relu(X, y, patterns, **options)
    blocks = da.from_array(X, chunks=((12, 0, 7, 11), (2, 2)))
    targets = da.from_array(y, chunks=10)
    result = solve_consensus(blocks, targets, patterns, **options)
    assert result.fun == pytest.approx(alone.fun, rel=1e-6)
    assert result.state["owners"].tolist() == [0] * 12 + [1] * 7 + [2] * 11
    farkas.verify(result, X, y).check()
    limits = {"alpha": 0.3, "tol": 0.0, "max_iter": 50}
    half = solve_consensus(blocks, y, patterns, **{**limits, "max_iter": 25})
    whole = solve_consensus(blocks, y, patterns, **limits)
    again = solve_consensus(blocks, y, patterns, n_shards=3, state=half.state, **limits)
    assert np.array_equal(again.x, whole.x)
    with pytest.raises(ValueError, match="3 row blocks; leave it out"):
        solve_consensus(blocks, y, patterns, alpha=0.3, n_shards=2)
    with pytest.raises(ValueError, match="3 other shards than these 3"):
        solve_consensus(X, y, patterns, n_shards=3, state=result.state, **options)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        solve_consensus(blocks[blocks[:, 0] > 0], y, patterns, alpha=0.3)
    with pytest.raises(ValueError, match="n_shards=None must"):
        solve_consensus(X, y, patterns, alpha=0.3)
