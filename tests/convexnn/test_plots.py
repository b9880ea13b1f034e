"""Plots draw what they are given, read back from the axes."""

import numpy as np
import pytest
from sklearn.datasets import make_moons

from convexnn import (
    SCPClassifier,
    certified_score,
    convexnn_path,
    robust_score,
    sample_patterns,
)
from convexnn.plots import plot_path, plot_patterns, plot_regions, plot_robustness

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure  # noqa: E402


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="module")
def moons():
    X, y = make_moons(60, noise=0.1, random_state=0)
    return SCPClassifier(0.1, n_units=200, random_state=0).fit(X, y), X, y


@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_path_shows_the_norm_of_every_block_in_use(ax, activation):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    patterns = sample_patterns(X, 6, random_state=0)
    path = convexnn_path(X, y, patterns, activation=activation, n_alphas=5, eps=0.1)
    assert plot_path(path, ax=ax) is ax
    parts = path.x if activation == "relu" else (path.x,)
    norms = np.concatenate([np.linalg.norm(part, axis=1) for part in parts], axis=1)
    expected = norms[:, norms.any(axis=0)].T
    drawn = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 5]
    assert np.array_equal(np.stack(drawn), expected)
    assert ax.get_xlim()[0] > ax.get_xlim()[1]
    assert len(ax.get_legend().get_texts()) == len(parts)


def test_an_empty_path_is_refused(ax):
    path = convexnn_path([[1.0], [2.0]], [1.0, 2.0], [[1], [1]], max_time=1e-9)
    with pytest.raises(ValueError, match="no point"):
        plot_path(path, ax=ax)


@pytest.mark.parametrize("intercept", [0.0, 1.0, 2.5])
def test_hyperplanes_are_where_a_gate_is_zero(ax, intercept):
    rng = np.random.default_rng(1)
    X = rng.random((12, 2))
    if intercept:
        X = np.column_stack([X, np.full(12, intercept)])
    gates = rng.standard_normal((X.shape[1], 4))
    gates[:2, 3] = 0.0
    gates[-1, 3] = 1.0 if intercept else 0.0  # a constant unit
    active = np.array([0.0, 2.0, 0.0, 1.0])
    plot_patterns(X, gates, active=active, ax=ax)
    assert len(ax.lines) == 6
    for j in range(3):
        line, tick = (np.array(ax.lines[2 * j + k].get_data()).T for k in range(2))
        offset = intercept * gates[2, j] if intercept else 0.0
        assert line @ gates[:2, j] + offset == pytest.approx(np.zeros(2), abs=1e-12)
        assert tick[1] @ gates[:2, j] + offset > 0
        assert (ax.lines[2 * j].get_linewidth() > 1) == bool(active[j])


def test_many_values_are_shown_in_colour_and_few_by_marker(ax):
    X = np.random.default_rng(0).random((20, 2))
    plot_patterns(X, np.eye(2), y=np.arange(20.0), ax=ax)
    assert len(ax.collections) == 1
    plot_patterns(X, np.eye(2), y=np.arange(20) % 3, ax=ax)
    assert len(ax.collections) == 4


@pytest.mark.parametrize(
    ("X", "gates", "options", "why"),
    [
        (np.ones((4, 4)), np.eye(2), {}, "2 columns"),
        (np.arange(12.0).reshape(4, 3), np.eye(3), {}, "constant third"),
        (np.ones((4, 2)), np.eye(4), {}, "gates must"),
        (np.ones((4, 2)), np.eye(2), {"active": [True]}, "active must"),
    ],
)
def test_what_does_not_fit_the_plane_is_refused(X, gates, options, why):
    with pytest.raises(ValueError, match=why):
        plot_patterns(X, gates, **options)


def test_regions_have_the_classes_of_the_model_and_boxes_their_width(ax, moons):
    model, X, y = moons
    plot_regions(model, X, y, eps=[0.1, 0.2], ax=ax)
    assert len(ax.patches) == len(X)
    for patch, point in zip(ax.patches, X, strict=True):
        assert (patch.get_width(), patch.get_height()) == (0.2, 0.4)
        assert patch.get_xy() == pytest.approx(point - [0.1, 0.2])
    regions = ax.collections[0]
    assert len(regions.get_paths()) == 2
    for path, label in zip(regions.get_paths(), model.classes_, strict=True):
        x, z = np.meshgrid(np.linspace(-0.9, 1.9, 15), np.linspace(-0.4, 0.9, 15))
        points = np.column_stack([x.ravel(), z.ravel()])
        inside = np.array([path.contains_point(p) for p in points])
        assert np.mean(inside == (model.predict(points) == label)) > 0.97
    assert not plot_regions(model, X, y).patches


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"X": np.ones((60, 3))}, "2 columns"),
        ({"y": np.ones(3)}, "y must have shape"),
        ({"eps": -0.1}, "eps"),
        ({"eps": [0.1, 0.1, 0.1]}, "eps"),
        ({"eps": np.nan}, "eps"),
    ],
)
def test_bad_arguments_of_regions_are_named(moons, change, why):
    model, X, y = moons
    with pytest.raises(ValueError, match=why):
        plot_regions(model, **({"X": X, "y": y} | change))


def test_robustness_shows_the_four_scores_in_order(ax, moons):
    model, X, y = moons
    plot_robustness(model, X, y, [0.2, 0.0, 0.1], ax=ax)
    curves = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert list(curves) == ["clean", "FGSM", "PGD", "certified"]
    assert ax.lines[0].get_xdata().tolist() == [0.0, 0.1, 0.2]
    assert curves["clean"] == pytest.approx(np.full(3, model.score(X, y)))
    assert curves["FGSM"][1] == robust_score(model, X, y, 0.1, attack="fgsm")
    assert curves["certified"][2] == certified_score(model, X, y, 0.2)
    assert (curves["certified"] <= curves["PGD"]).all()
    assert (curves["PGD"] <= curves["FGSM"]).all()
    assert (curves["FGSM"] <= curves["clean"]).all()


@pytest.mark.parametrize("eps", [0.1, [], [-0.1], [np.inf]])
def test_bad_radii_are_named(moons, eps):
    model, X, y = moons
    with pytest.raises(ValueError, match="eps"):
        plot_robustness(model, X, y, eps)
