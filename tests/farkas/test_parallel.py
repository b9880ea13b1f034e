import subprocess
import sys

import joblib
import numpy as np
import pytest
import threadpoolctl

from farkas.parallel import (
    blas_threads_for,
    holds_blas_threads,
    pmap,
    seed_sequence,
    spawn_seeds,
)

HOLDERS = {
    "RandomState": np.random.RandomState,
    "Generator": np.random.default_rng,
    "SeedSequence": np.random.SeedSequence,
}


def draw(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((20, 20))
    return np.linalg.solve(A, rng.standard_normal(20))


def sequential_draws():
    return np.array([draw(seed) for seed in spawn_seeds(7, 6)])


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_the_answer_is_the_same_bits_for_every_backend(backend):
    with joblib.parallel_config(backend=backend):
        answers = pmap(draw, spawn_seeds(7, 6), n_jobs=2)
    np.testing.assert_array_equal(answers, sequential_draws())


@pytest.mark.slow
def test_the_answer_is_the_same_bits_on_a_dask_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    import dask

    def local_draw(seed):  # travels by value: a worker cannot import this file
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((20, 20))
        return np.linalg.solve(A, rng.standard_normal(20))

    with (
        dask.config.set({"temporary-directory": str(tmp_path)}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        answers = pmap(local_draw, spawn_seeds(7, 6))
    np.testing.assert_array_equal(answers, sequential_draws())


def test_results_keep_the_order_of_any_iterable():
    assert pmap(str, (k for k in range(20)), n_jobs=2) == [str(k) for k in range(20)]
    assert pmap(str, []) == []


def thread_name(_):
    import threading

    return threading.current_thread().name


def test_none_means_one_worker_unless_a_context_says_otherwise():
    assert set(pmap(thread_name, range(4))) == {"MainThread"}
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert "MainThread" not in pmap(thread_name, range(4))


def test_an_error_of_the_function_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        pmap(lambda k: 1 // k, [1, 0])


def blas_threads(_=None):
    # OpenMP counts its threads for each thread anew, so only BLAS can be compared.
    pools = threadpoolctl.threadpool_info()
    return [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]


def test_threads_share_the_cores_among_their_blas_threads(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    with threadpoolctl.threadpool_limits(limits=3):
        outside = blas_threads()
        assert max(outside) == 3
        with joblib.parallel_config(backend="threading"):
            inside = pmap(blas_threads, range(2), n_jobs=2)
        assert inside == [[min(number, 2) for number in outside]] * 2
        assert blas_threads() == outside


def test_a_user_who_pinned_blas_to_one_thread_keeps_it(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    with (
        threadpoolctl.threadpool_limits(limits=1),
        joblib.parallel_config(backend="threading"),
    ):
        inside = pmap(blas_threads, range(2), n_jobs=2)
    assert max(map(max, inside)) == 1


def test_an_int_and_its_random_state_give_the_documented_sequence():
    expected = np.random.RandomState(5).randint(2**31, size=4)
    for random_state in (5, np.int32(5), np.random.RandomState(5)):
        assert seed_sequence(random_state).entropy.tolist() == expected.tolist()


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_holder_of_state_is_advanced(holder):
    one, other = HOLDERS[holder](3), HOLDERS[holder](3)
    first, second = spawn_seeds(one, 2), spawn_seeds(one, 2)
    states = [seed.generate_state(4).tolist() for seed in [*first, *second]]
    assert len({tuple(state) for state in states}) == 4
    again = [seed.generate_state(4).tolist() for seed in spawn_seeds(other, 2)]
    assert states[:2] == again


def test_none_draws_fresh_entropy_and_spares_the_global_state():
    before = np.random.get_state()[1:3]  # noqa: NPY002
    assert seed_sequence(None).entropy != seed_sequence(None).entropy
    after = np.random.get_state()[1:3]  # noqa: NPY002
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1]


@pytest.mark.parametrize("random_state", [-1, 2**32])
def test_a_seed_outside_the_range_is_refused(random_state):
    with pytest.raises(ValueError, match=f"random_state={random_state} must"):
        seed_sequence(random_state)


@pytest.mark.parametrize("random_state", ["0", 1.5, np.random])
def test_a_seed_of_another_type_is_refused(random_state):
    with pytest.raises(TypeError, match="random_state="):
        seed_sequence(random_state)


def test_small_data_take_one_blas_thread_and_give_the_others_back():
    small, large = np.ones((10, 3)), np.broadcast_to(1.0, (1000, 1000))
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with blas_threads_for(large):
            assert blas_threads() == before
        with blas_threads_for(small), blas_threads_for([[1.0]]):
            assert set(np.atleast_1d(blas_threads())) == {1}
        assert blas_threads() == before
        with pytest.raises(ZeroDivisionError), blas_threads_for(small):
            raise ZeroDivisionError
        assert blas_threads() == before


def test_a_decorated_function_finds_its_data_by_place_or_name():
    @holds_blas_threads
    def threads(alpha, X, *, tol=0.0):
        """Say how many."""
        return max(blas_threads())

    small, large = np.ones(10), np.ones(1_000_000)
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        assert threads(1.0, small) == threads(1.0, X=small, tol=1.0) == 1
        assert threads(1.0, large) == threads(X=large, alpha=1.0) == 2
        assert max(blas_threads()) == 2
    assert threads.__doc__ == "Say how many."
    with pytest.raises(ValueError, match="'X' is not in list"):
        holds_blas_threads(lambda y: y)


LATE_SCIPY = """
import numpy as np
import sys
from threadpoolctl import threadpool_info, threadpool_limits
from farkas.parallel import blas_threads_for

assert "scipy.linalg" not in sys.modules
with blas_threads_for(np.ones(2)):
    pass
import scipy.linalg

with threadpool_limits(limits=2, user_api="blas"), blas_threads_for(np.ones(2)):
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert {pool["num_threads"] for pool in pools} == {1}, pools
"""


def test_a_blas_that_was_loaded_later_is_held_too():
    run = subprocess.run(
        [sys.executable, "-c", LATE_SCIPY], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
