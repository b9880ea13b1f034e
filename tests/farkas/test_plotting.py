"""Plots show what the certificate says, and cope with what solvers leave behind."""

import math

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

import farkas
from farkas import Certificate, plot_certificate, plot_history

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure  # noqa: E402


def certificate(**fields):
    given = {
        "kind": "duality_gap",
        "problem": "test.plot/1",
        "value": 0.25,
        "tolerance": 0.5,
        "guarantee": "global",
        "lower": 1.75,
        "upper": 2.0,
    }
    return Certificate(**(given | fields))


def result(**columns):
    history = {
        "iteration": np.arange(5),
        "elapsed": np.arange(5) / 10,
        "objective": np.array([np.inf, 4.0, 3.0, 2.5, 2.0]),
        "lower_bound": np.array([-np.inf, -5.0, 1.0, 1.5, 1.75]),
        "certificate": np.array([np.nan, np.inf, 2.0, 1.0, 0.25]),
    }
    return OptimizeResult(history=history | columns, certificate=certificate())


@pytest.fixture
def ax():
    return Figure(layout="constrained").subplots()


def line(axes, label):
    (found,) = [one for one in axes.get_lines() if one.get_label() == label]
    return found


def drawn(ax):
    ax.figure.draw_without_rendering()
    return ax


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_history_shows_the_measured_rows_and_the_tolerance(ax):
    assert drawn(plot_history(result(), ax=ax)) is ax
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(line(ax, "duality gap").get_xdata(), [2, 3, 4])
    np.testing.assert_array_equal(line(ax, "duality gap").get_ydata(), [2, 1, 0.25])
    assert set(line(ax, "tolerance").get_ydata()) == {0.5}


def test_history_puts_both_bounds_above(ax):
    drawn(plot_history(result(), ax=ax))
    (top,) = [other for other in ax.figure.axes if other is not ax]
    lower = line(top, "proven lower bound").get_ydata()
    upper = line(top, "objective").get_ydata()
    np.testing.assert_array_equal(upper, [4, 3, 2.5, 2])
    np.testing.assert_array_equal(lower, [-5, 1, 1.5, 1.75])
    low, high = top.get_ylim()
    assert low < 1.75 < 2.0 < high


@pytest.mark.parametrize("grid", [(1, 1), (1, 2)], ids=["alone", "beside"])
def test_all_labels_lie_inside_the_figure(grid):
    figure = Figure(figsize=(4, 3), layout="constrained")
    cells = figure.subplots(*grid, squeeze=False)[0]
    # Wide tick labels push the label of their axis outwards.
    small = {"objective": 1e-5 + 1e-9 * np.arange(5.0), "lower_bound": np.full(5, 1e-5)}
    plot_history(result(**small), ax=cells[-1])
    figure.draw_without_rendering()
    bounds, gap = figure.axes[-1], cells[-1]
    assert bounds.get_ylabel() == "bounds"
    boxes = [axes.yaxis.label.get_window_extent() for axes in (bounds, gap)]
    assert min(box.x0 for box in boxes) >= 0
    assert boxes[0].x0 == pytest.approx(boxes[1].x0, abs=1.5)


def test_history_halves_axes_that_were_placed_by_hand():
    figure = Figure()
    ax = figure.add_axes((0.2, 0.1, 0.7, 0.8))
    drawn(plot_history(result(), ax=ax))
    (top,) = [other for other in figure.axes if other is not ax]
    low, high = ax.get_position(), top.get_position()
    assert low.y1 < high.y0
    assert (low.y0, high.y1) == pytest.approx((0.1, 0.9))
    assert (low.x0, low.x1) == pytest.approx((high.x0, high.x1))


def test_history_against_seconds(ax):
    plot_history(result(), x="elapsed", ax=ax)
    assert ax.get_xlabel() == "seconds"
    np.testing.assert_allclose(line(ax, "duality gap").get_xdata(), [0.2, 0.3, 0.4])


def test_history_of_an_estimator():
    class Model:
        history_ = result().history
        certificate_ = None

    axes = plot_history(Model(), ax=Figure().subplots())
    assert line(axes, "certificate").get_ydata()[-1] == 0.25
    assert "tolerance" not in [one.get_label() for one in axes.get_lines()]


def test_a_value_of_exactly_zero_stays_on_the_log_scale(ax):
    values = np.array([1.0, 0.1, 0.01, 0.0, 0.0])
    drawn(plot_history(result(certificate=values), ax=ax))
    assert line(ax, "duality gap").get_ydata()[-1] > 0


def test_bounds_that_are_never_finite_get_no_panel(ax):
    plot_history(result(lower_bound=np.full(5, -np.inf)), ax=ax)
    assert ax.figure.axes == [ax]


@pytest.mark.parametrize(
    ("given", "x", "message"),
    [
        (result(), "objective", "x='objective' must be one of iteration, elapsed"),
        (OptimizeResult(), "iteration", "OptimizeResult has no history; pass"),
        (result(certificate=np.full(5, np.nan)), "iteration", "no finite number"),
    ],
)
def test_history_says_what_is_wrong(given, x, message):
    with pytest.raises(ValueError, match=message):
        plot_history(given, x=x)


def test_certificate_shows_interval_band_and_guarantee(ax):
    assert drawn(plot_certificate(certificate(), ax=ax)) is ax
    bar = ax.get_lines()[0]
    np.testing.assert_array_equal(bar.get_xdata(), [1.75, 2.0])
    (band,) = ax.patches
    assert (band.get_x(), band.get_width()) == (1.5, 0.5)
    assert texts(ax) == ["GLOBAL · duality gap 0.25 ≤ 0.5 (shaded)"]


def test_certificates_are_compared_by_name(ax):
    rows = {"loose": certificate(value=0.75, lower=1.25), "tight": result()}
    drawn(plot_certificate(rows, ax=ax))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["loose", "tight"]
    assert "0.75 > 0.5" in texts(ax)[0]
    assert ax.get_lines()[0].get_color() != ax.get_lines()[3].get_color()


def test_a_list_is_numbered(ax):
    plot_certificate([certificate(), certificate()], ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2"]


def test_a_missing_bound_is_an_arrow(ax):
    drawn(plot_certificate(certificate(lower=-math.inf, value=math.inf), ax=ax))
    assert [one.get_marker() for one in ax.get_lines()[1:]] == ["<", "|"]


def test_no_bounds_at_all_is_said(ax):
    drawn(plot_certificate(certificate(lower=-math.inf, upper=math.inf), ax=ax))
    assert "no bounds" in texts(ax)


def test_an_interval_of_one_point_is_drawn(ax):
    point = certificate(value=0.0, tolerance=0.0, lower=2.0)
    low, high = drawn(plot_certificate(point, ax=ax)).get_xlim()
    assert low < 2.0 < high


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "obj is empty"),
        ([], "obj is empty"),
        ({"mine": 3}, "int under 'mine' has no certificate; pass a Certificate"),
        (OptimizeResult(certificate=None), "has no certificate"),
    ],
)
def test_certificate_says_what_is_wrong(given, message):
    with pytest.raises(ValueError, match=message):
        plot_certificate(given)


def test_without_axes_a_figure_is_made_and_not_shown(monkeypatch):
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("show was called"))
    lasso = farkas.certify_lasso([[1, 0], [0, 2]], [1, 2], [0, 0], alpha=0.5)
    for axes in (plot_certificate(lasso), plot_history(result())):
        assert axes.figure.number in plt.get_fignums()
    plt.close("all")
