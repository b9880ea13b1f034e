"""Pictures show what was recorded, and refuse what was not."""

import numpy as np
import pytest

from dfo import gd_relation, minimize_cbo, testfunctions
from dfo import plotting as p

plt = pytest.importorskip("matplotlib.pyplot")
F = testfunctions.get("rastrigin", 2)


@pytest.fixture(autouse=True)
def agg():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def recorded():
    return minimize_cbo(
        F.fun, F.bounds, vectorized=True, maxfev=800, record="full", random_state=0
    )


def test_convergence_has_the_theoretical_slope(recorded):
    ax = p.plot_convergence(recorded)
    labels = [line.get_label() for line in ax.lines]
    assert labels[:3] == ["V", "best - final", "almost sure rate"]
    x, y = ax.lines[2].get_data()
    slope = np.log(y[1] / y[0])
    residuals = recorded.certificate.residuals
    assert slope == pytest.approx(-2 * residuals["as_rate"] * 0.1)
    with pytest.raises(ValueError, match="record"):
        p.plot_convergence(minimize_cbo(F.fun, F.bounds, maxfev=100, random_state=0))


def test_particles_and_animation(recorded):
    ax = p.plot_particles_2d(F.fun, recorded, every=5)
    drawn = ax.collections[-1].get_offsets()
    last = 5 * ((recorded.nit - 1) // 5)
    assert np.asarray(drawn) == pytest.approx(recorded.history["population"][last])
    movie = p.animate_2d(F.fun, recorded)
    movie._draw_frame(1)
    movie._draw_was_started = True
    shallow = minimize_cbo(
        F.fun, F.bounds, maxfev=100, record="summary", random_state=0
    )
    with pytest.raises(ValueError, match="full"):
        p.plot_particles_2d(F.fun, shallow)
    f3 = testfunctions.get("sphere", 3)
    deep = minimize_cbo(f3.fun, f3.bounds, maxfev=200, record="full", random_state=0)
    with pytest.raises(ValueError, match="two variables"):
        p.animate_2d(f3.fun, deep)


def test_phase_diagram_and_relation():
    ax = p.plot_phase_diagram([[0.0, 1.0], [0.5, 0.5]], [0.1, 0.2], [10, 20])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["10", "20"]
    found = gd_relation(
        lambda x: 0.5 * float(x @ x), lambda x: x, [1.0, 1.0], n_particles=20, maxiter=3
    )
    ax = p.plot_gd_relation(found, ax=plt.subplots()[1])
    assert [line.get_label() for line in ax.lines] == ["hopping", "proximal", "descent"]
