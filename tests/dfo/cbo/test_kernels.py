"""Kernels against NumPy, and the law of the random numbers."""

import math

import numpy as np
import pytest
from numba import config
from scipy import stats

from dfo import cbo_update, consensus_point
from dfo.cbo.dynamics import _kernels as k
from dfo.cbo.dynamics.boundary import apply_boundary
from dfo.cbo.dynamics.consensus import adaptive_alpha, rank_weights


@pytest.fixture
def rng():
    return np.random.SeedSequence(5).generate_state(12, np.uint64).reshape(3, 4)


def test_words_are_those_of_splitmix():
    s = np.array([1234567, 0, 0, 0], dtype=np.uint64)
    with np.errstate(over="ignore"):
        words = [int(k.next_bits(s)) for _ in range(5)]
    assert words == [  # of the reference implementation
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_normal_numbers_are_those_of_box_and_muller():
    s = np.array([99, 0, 0, 0], dtype=np.uint64)
    n = k.PAIRS
    out = np.empty((2 * n // 5, 7))  # a whole block, and a part of one
    with np.errstate(over="ignore"):
        words = np.array([k.next_bits(s) for _ in range(2 * n)], dtype=np.uint64)
        k.fill_normal(np.array([99, 0, 0, 0], dtype=np.uint64) + k.GAMMA, out)
    expected = []
    for block in (words[:n], words[n:]):
        half = block.view(np.uint32)
        u = ((half[:n] >> 1) | 1) / 2.0**31
        v = half[n:].astype(np.int32) / 2.0**32
        r = np.sqrt(-2 * np.log(u))
        expected += [*(r * np.cos(2 * np.pi * v)), *(r * np.sin(2 * np.pi * v))]
    single = 4 * float(np.finfo(np.float32).eps)  # of angles and logarithms up to pi
    assert out.ravel() == pytest.approx(expected[: out.size], abs=single * 6.5)


def test_normal_numbers_are_normal(rng):
    n = 400 if config.DISABLE_JIT else 200_000
    out = np.empty((n, 5))
    with np.errstate(over="ignore"):
        k.fill_normal(rng[0], out)
    x = out.ravel()
    assert stats.kstest(x, "norm").pvalue > 1e-3
    if not config.DISABLE_JIT:
        tail = (np.abs(x) > 3.5).mean()
        assert tail == pytest.approx(2 * stats.norm.sf(3.5), rel=0.2)
        apart = np.corrcoef(x[: -k.PAIRS], x[k.PAIRS :])[0, 1]  # two of one radius
        assert apart == pytest.approx(0, abs=0.005)
        assert stats.kurtosis(x) == pytest.approx(0, abs=0.02)
        assert np.corrcoef(out.T)[0, 1:] == pytest.approx(np.zeros(4), abs=0.01)


def test_uniform_numbers_are_uniform(rng):
    out = np.empty((200, 5))
    with np.errstate(over="ignore"):
        k.fill_uniform(rng[1], out)
    assert 0 <= out.min() < out.max() < 1
    assert stats.kstest(out.ravel(), "uniform").pvalue > 1e-3


def state(N, d, *, weights=k.ADAPTIVE, ess=3.0, alpha=5.0):
    P, S = np.zeros(13), np.zeros(8)
    P[k.DRIFT], P[k.NOISE_START], P[k.COOLING] = 0.3, 0.7, 1.0
    P[k.TRUNCATION], P[k.ESS], P[k.FTARGET] = math.inf, ess, -math.inf
    P[k.ALPHA_START], P[k.ALPHA_FACTOR], P[k.ALPHA_MAX] = 1.0, 1.0, alpha
    S[k.NOISE], S[k.BEST], S[k.REFERENCE] = 0.7, math.inf, math.inf
    Q, K = np.zeros(6, dtype=np.int64), np.zeros(3, dtype=np.int64)
    Q[k.WEIGHTS], Q[k.PATIENCE] = weights, 100
    return P, Q, S, K


def told(X, f, **options):
    N, d = X.shape
    P, Q, S, K = state(N, d, **options)
    w, c, best = np.zeros(N), np.zeros(d), np.zeros(d)
    reason = k.tell(X, f, np.zeros(N), w, c, best, np.ones(d), np.zeros(4), P, Q, S, K)
    return reason, w, c, best, S, K


X = np.random.default_rng(0).normal(size=(9, 3))
F = np.array([3.0, 1.0, math.nan, 2.0, 5.0, math.inf, 4.0, 1.5, 9.0])


def test_weights_agree_with_numpy():
    for options, alpha in (
        ({"weights": k.GIBBS, "alpha": 0.7}, 0.7 * 0 + 0.7),
        ({"weights": k.BEST_ONLY}, math.inf),
    ):
        P_alpha = options.get("alpha")
        _, w, c, best, S, _ = told(X, F, **options)
        expected, info = consensus_point(X, F, P_alpha if P_alpha else alpha)
        assert w == pytest.approx(info.weights)
        assert c == pytest.approx(expected)
        assert best == pytest.approx(X[1])
        assert S[k.SIZE] == pytest.approx(info.ess)
        assert S[k.VARIANCE] == pytest.approx(np.sum((X - c) ** 2) / 18)
        assert S[k.RADIUS] == pytest.approx(np.abs(X - c).max())


def test_rank_weights_agree_with_numpy():
    _, w, _, _, _, _ = told(X, F, weights=k.RANK, ess=3.0)
    assert w == pytest.approx(rank_weights(F, 3.0))


@pytest.mark.parametrize("scale", [1e-290, 1.0, 1e290])
def test_adaptive_weights_agree_with_bisection(scale):
    f = scale * F
    _, w, _, _, S, _ = told(X, f)
    _, info = consensus_point(X, f, adaptive_alpha(f, 3.0))
    assert S[k.SIZE] == pytest.approx(3.0, abs=1e-3)
    assert w == pytest.approx(info.weights, abs=2e-3)


def test_flat_missing_and_unbounded_values():
    reason, w, c, _, S, _ = told(X, np.zeros(9))
    assert reason == k.FLAT
    assert S[k.ALPHA] == 0
    assert c == pytest.approx(X.mean(axis=0))
    reason, w, c, _, S, K = told(X, np.full(9, math.nan))
    assert reason == k.GO_ON
    assert S[k.BEST] == math.inf
    assert K[k.STALL] == 1
    assert c == pytest.approx(X.mean(axis=0))
    f = F.copy()
    f[[0, 4]] = -math.inf
    _, w, _, _, S, _ = told(X, f)
    assert w == pytest.approx([0.5, 0, 0, 0, 0.5, 0, 0, 0, 0])
    assert S[k.BEST] == -math.inf


@pytest.mark.parametrize("isotropic", [0, 1])
@pytest.mark.parametrize("exact", [0, 1])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    ("code", "boundary"),
    [
        (k.FREE, None),
        (k.CLIP, "clip"),
        (k.REFLECT, "reflect"),
        (k.RESAMPLE, "resample"),
    ],
)
def test_move_is_the_plain_update(rng, isotropic, exact, after, code, boundary):
    if exact and isotropic:
        pytest.skip("no exact step for isotropic noise")
    N, d = X.shape
    P, Q, S, _ = state(N, d)
    P[k.TRUNCATION] = math.inf if exact else 0.8
    P[k.DELTA] = 0.2
    Q[k.ISOTROPIC], Q[k.EXACT], Q[k.AFTER_DRIFT] = isotropic, exact, after
    Q[k.BOUNDARY] = code
    c, lower, upper = X.mean(axis=0), np.full(d, -0.5), np.full(d, 0.6)
    twin, moved, old = rng.copy(), X.copy(), np.zeros_like(X)
    with np.errstate(over="ignore"):
        k.move(moved, old, c, lower, upper, rng, P, Q, S)
        xi, extra = np.empty_like(X), np.empty_like(X)
        k.fill_normal(twin[0], xi)
        k.fill_normal(twin[2], extra)
    free = cbo_update(
        X,
        c,
        xi,
        lam=0.3,
        sigma=0.7,
        dt=1.0,
        noise="isotropic" if isotropic else "anisotropic",
        truncation=None if exact else 0.8,
        exact=bool(exact),
        delta=0.2,
        delta_xi=extra,
        noise_after_drift=bool(after),
    )
    u = np.empty_like(X)
    outside = (free < lower) | (free > upper)
    draws = np.empty((int(outside.sum()), 1))
    with np.errstate(over="ignore"):
        k.fill_uniform(twin[1], draws)
    u[outside] = draws.ravel()  # the kernel draws where it is needed only
    assert moved == pytest.approx(apply_boundary(free, lower, upper, boundary, u))
    again, twin = free.copy(), rng.copy()
    k.keep_inside(again, lower, upper, k.CLIP, twin[1])
    assert again == pytest.approx(np.clip(free, lower, upper))
    assert np.array_equal(twin, rng)
    assert np.array_equal(old, X)


@pytest.mark.parametrize("code", [k.FREE, k.CLIP, k.RESAMPLE])
def test_the_default_step_is_the_general_one(rng, code):
    Y = np.random.default_rng(1).normal(size=(300, 3))  # some numbers are drawn twice
    P, Q, S, _ = state(*Y.shape)
    Q[k.BOUNDARY] = code
    twin, moved, old = rng.copy(), Y.copy(), np.zeros_like(Y)
    c, lower, upper = Y.mean(axis=0), np.full(3, -0.5), np.full(3, 0.6)
    xi = np.empty_like(Y)
    with np.errstate(over="ignore"):
        k.move(moved, old, c, lower, upper, rng, P, Q, S)
        k.fill_normal(twin[0], xi)
        free = cbo_update(Y, c, xi, lam=0.3, sigma=0.7, dt=1.0)
        k.keep_inside(free, lower, upper, code, twin[1])
    assert moved == pytest.approx(free)
    assert np.array_equal(old, Y)
    assert np.array_equal(rng[:2], twin[:2])


def test_noise_cools_down_to_its_floor(rng):
    P, Q, S, _ = state(*X.shape)
    P[k.COOLING], P[k.COOLING_FLOOR] = 0.5, 0.3
    for expected in (0.35, 0.21, 0.21):
        with np.errstate(over="ignore"):
            k.move(X.copy(), X.copy(), X[0], -X[0], X[0], rng, P, Q, S)
        assert S[k.NOISE] == pytest.approx(expected)


def test_reasons_to_end():
    P, Q, S, K = state(9, 3)
    w, c, best = np.zeros(9), np.zeros(3), np.zeros(3)

    def tell(f):
        return k.tell(
            X, f, np.zeros(9), w, c, best, np.ones(3), np.zeros(4), P, Q, S, K
        )

    Q[k.PATIENCE] = 2
    assert [tell(F) for _ in range(3)] == [k.GO_ON, k.GO_ON, k.STALLED]
    P[k.XTOL] = 100.0
    assert tell(F) == k.COLLAPSED
    P[k.FTARGET] = 1.0
    assert tell(F) == k.TARGET


def test_rows_are_handed_over_as_copies():
    def spoil(row):
        value = row[0]
        row[0] = 99.0
        return value

    from farkas.kernels import kernel

    spoiling = kernel(spoil)
    k.compile_for_objectives()
    Y, f = X.copy(), np.empty(9)
    k.evaluate_rows(spoiling, Y, f)
    assert np.array_equal(Y, X)
    assert np.array_equal(f, X[:, 0])
