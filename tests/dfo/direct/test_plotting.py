"""Drawings of a search, and data profiles of several."""

import numpy as np
import pytest

from dfo import minimize_cdsm
from dfo.direct.plotting import (
    data_profile,
    plot_attack_success,
    plot_data_profile,
    plot_radii,
    plot_search,
    plot_trajectory_2d,
)

pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def _closed():
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    yield
    plt.close("all")


def f(x):
    return float(x[0] ** 2 + abs(x[1]))


def test_drawings_of_a_search():
    res = minimize_cdsm(f, [1.0, 2.0], maxfev=80, random_state=0)
    best = plot_search(res, optimum=0.0).lines[0].get_ydata()
    np.testing.assert_array_equal(best, np.minimum.accumulate(res.evaluations["F"]))
    assert len(plot_radii(res).lines[0].get_xdata()) == res.nit
    drawn = plot_trajectory_2d(f, res)
    assert len(drawn.lines) >= 3


def test_data_profile_by_hand():
    histories = {
        "a": [[10.0, 1.0, 0.0], [4.0, 4.0, 4.0]],
        "b": [[10.0, 9.0], [4.0, 0.0]],
    }
    found = data_profile(histories, [1, 1], tau=0.1, budgets=[1, 2])
    # a solves the first problem at its second value: 1 <= 0 + 0.1 (10 - 0)
    np.testing.assert_array_equal(found["a"], [0.5, 0.5])
    np.testing.assert_array_equal(found["b"], [0.5, 0.5])
    late = data_profile(histories, [1, 1], tau=1e-3, budgets=[1, 2])
    np.testing.assert_array_equal(late["a"], [0.0, 0.5])
    assert len(plot_data_profile(histories, [1, 1]).lines) == 2


def test_success_of_attacks():
    net = ([np.eye(2)], [np.zeros(2)], "identity")
    points = np.random.default_rng(0).standard_normal((5, 2))
    drawn = plot_attack_success(
        net, points, lambda y: float(y.sum()), lambda y: np.ones(2), radii=[0.1, 1.0]
    )
    for line in drawn.lines:
        np.testing.assert_array_equal(line.get_ydata(), 1.0)
