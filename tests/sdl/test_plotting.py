"""Pictures: what they show, and that nothing is shown by itself."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sdl import SDLClassifier
from sdl.plotting import pareto_front, plot_atoms, plot_roc, plot_scores, plot_tradeoff

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(scope="module")
def fitted():
    X, y = load_digits(n_class=2, return_X_y=True)
    return SDLClassifier(3, threshold="youden").fit(X / 16, y), X / 16, y


@pytest.fixture(autouse=True)
def _agg():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def test_atoms_as_images_and_bars(fitted):
    model, _, _ = fitted
    axes = plot_atoms(model, (8, 8))
    assert np.array_equal(axes[1].images[0].get_array().ravel(), model.components_[1])
    assert f"{model.beta_[0, 1]:+.2g}" in axes[1].get_title()
    bars = plot_atoms(model, n_top=2)
    assert len(bars[0].patches) == 4
    assert max(p.get_width() for p in bars[0].patches) == model.components_[0].max()
    with pytest.raises(ValueError, match="does not hold"):
        plot_atoms(model, (8, 7))
    with pytest.raises(ValueError, match="axes"):
        plot_atoms(model, (8, 8), axes=[plt.gca()])
    with pytest.raises(ValueError, match="names"):
        plot_atoms(model, names=["a"])


def test_scores_and_roc(fitted):
    model, X, y = fitted
    ax = plot_scores(model, X, y)
    assert len(ax.lines) == 2
    assert sum(len(line.get_xdata()) for line in ax.lines) == len(X)
    ax = plot_roc(model, X, y, ax=plt.figure().gca())
    point = ax.lines[1].get_xydata()[0]
    assert point[1] - point[0] == pytest.approx(1.0, abs=0.05)


def test_the_pareto_front():
    errors, scores = np.array([3.0, 1.0, 2.0, 2.0]), np.array([0.9, 0.5, 0.4, 0.7])
    assert pareto_front(errors, scores).tolist() == [1, 3, 0]
    ax = plot_tradeoff(errors, scores, [1, 2, 3, 4])
    assert len(ax.texts) == 4
    assert ax.lines[1].get_xdata().tolist() == [1.0, 2.0, 3.0]
