"""The consensus point and its temperature, against numbers and by their properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfo import consensus_point
from dfo._measure_consensus import laplace_gap
from dfo.cbo.dynamics.consensus import (
    AlphaSchedule,
    adaptive_alpha,
    rank_weights,
    weighted_consensus,
)

X4 = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
F4 = np.array([1.0, 2.0, 0.5, 4.0])


@pytest.mark.parametrize(
    ("alpha", "point", "ess"),
    [
        (0, (1.0, 0.75), 4.0),
        (1, (0.16868076816906902, 1.0915871865060578), 2.4384077447077317),
        (10, (3.0385487142437896e-07, 1.9866136945090014), 1.013475898120291),
        (1e15, (0.0, 2.0), 1.0),
        (math.inf, (0.0, 2.0), 1.0),
    ],
)
def test_four_particles(alpha, point, ess):
    c, info = consensus_point(X4, F4, alpha)
    assert c == pytest.approx(point, rel=1e-14)
    assert info.ess == pytest.approx(ess, rel=1e-14)
    assert info.index_best == 2


def test_laplace_gap_of_four_particles():
    _, info = consensus_point(X4, F4, 1.0)
    gap, bound = laplace_gap(F4, info.weights, 1.0)
    assert gap == pytest.approx(0.3998430690814164, rel=1e-14)
    assert bound == pytest.approx(1.0203433191066258, rel=1e-14)
    assert bound == pytest.approx(info.entropy, rel=1e-14)
    assert info.weighted_value == pytest.approx(0.5 + gap)
    assert info.free_energy == pytest.approx(-math.log(np.exp(-F4).sum()))


def test_missing_values_weigh_nothing():
    f = np.array([math.nan, 2.0, math.inf, 2.0])
    c, info = consensus_point(X4, f, 3.0)
    assert info.weights == pytest.approx([0, 0.5, 0, 0.5])
    assert c == pytest.approx([2.0, 0.5])


def test_without_any_value_the_mean_is_returned():
    c, info = consensus_point(X4, np.full(4, math.nan), 3.0)
    assert c == pytest.approx(X4.mean(axis=0))
    assert not info.finite
    assert info.index_best == -1


def test_minus_infinity_outweighs_all():
    f = np.array([-math.inf, 0.0, -math.inf, -1e300])
    c, info = consensus_point(X4, f, 1.0)
    assert info.weights.tolist() == [0.5, 0, 0.5, 0]
    gap, bound = laplace_gap(f, info.weights, 1.0)
    assert math.isnan(gap)
    assert math.isnan(bound)


def test_huge_values_and_temperatures_do_not_overflow():
    f = np.array([1e300, -1.7e308, 1.7e308, -1.7e308])
    c, info = consensus_point(X4, f, 1e15)
    assert info.weights.tolist() == [0, 0.5, 0, 0.5]
    assert np.isfinite(c).all()


def test_single_precision_is_summed_in_double():
    X = np.full((100_000, 1), 0.1, dtype=np.float32)
    c, _ = consensus_point(X, np.zeros(len(X), dtype=np.float32), 1.0)
    assert c.dtype == np.float64
    assert c[0] == pytest.approx(np.float32(0.1), rel=1e-12)


@pytest.mark.parametrize("alpha", [-1.0, math.nan])
def test_bad_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        consensus_point(X4, F4, alpha)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        consensus_point(X4, F4[:3], 1.0)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=12, max_size=30, unique=True),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
    st.floats(1.5, 8.0),
)
def test_adaptive_alpha_meets_the_size_and_ignores_affine_maps(f, a, b, ess):
    f = np.array(f)
    f = f + np.arange(len(f))  # distinct also after rounding
    X = np.arange(len(f), dtype=float)[:, None]
    c, info = consensus_point(X, f, adaptive_alpha(f, ess))
    moved, _ = consensus_point(X, a * f + b, adaptive_alpha(a * f + b, ess))
    assert info.ess == pytest.approx(ess, abs=2e-2)
    assert moved == pytest.approx(c, rel=1e-2, abs=1e-2)


def test_adaptive_alpha_at_its_ends():
    assert adaptive_alpha(np.zeros(9), 5.0) == 0.0
    assert adaptive_alpha(np.full(9, math.nan), 5.0) == 0.0
    assert adaptive_alpha([0.0, 5e-324, 1e-323] * 4, 2.0) == math.inf
    ties = np.array([0.0] * 6 + [1.0] * 6)
    _, info = consensus_point(np.zeros((12, 1)), ties, adaptive_alpha(ties, 5.0))
    assert info.ess == pytest.approx(6.0)
    with_gaps = np.array([1.0, 2, 3, math.inf, math.nan, 4, 5, 6])
    _, info = consensus_point(
        np.zeros((8, 1)), with_gaps, adaptive_alpha(with_gaps, 3.0)
    )
    assert info.ess == pytest.approx(3.0, abs=1e-2)
    with pytest.raises(ValueError, match="ess"):
        adaptive_alpha(F4, 1.0)


def test_rank_weights_see_only_the_order():
    f = np.array([3.0, 1.0, math.nan, 2.0, math.inf])
    w = rank_weights(f, 2.0)
    assert w == pytest.approx(rank_weights(np.exp(f), 2.0))
    assert w.sum() == pytest.approx(1.0)
    expected = np.log(2.5) - np.log([1.0, 2.0])
    assert w[[1, 3]] == pytest.approx(expected / expected.sum())
    assert w[[0, 2, 4]].tolist() == [0, 0, 0]
    assert rank_weights([math.nan, math.inf], 2.0).tolist() == [0, 0]
    c, info = weighted_consensus(np.arange(5.0)[:, None], f, w)
    assert c[0] == pytest.approx(w @ np.arange(5.0))
    assert info.index_best == 1


def test_schedule_grows_to_its_maximum():
    schedule = AlphaSchedule(1.0, factor=2.0, maximum=100.0)
    assert [schedule.at(k) for k in (0, 3, 7, 10**6)] == pytest.approx([1, 8, 100, 100])
    with pytest.raises(ValueError, match="factor"):
        AlphaSchedule(1.0, factor=0.5)
