"""The sections of the demo hold what they say, and every drawing can be made."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from graphs import (
    load_karate_club,
    ncp_profile,
    plot_graph,
    plot_ncp,
    plot_progress,
    plot_sweep,
)
from graphs.demo import sections
from graphs.diffusion import flow_diffusion
from graphs.plotting import _hull


def test_sections_are_certified_and_drawn():
    cards = list(sections())
    assert len(cards) == 2
    for card in cards:
        assert all(fit.verified and fit.certificate.satisfied for fit in card.fits)
        for figure in card.figures:
            fig, ax = plt.subplots()
            figure.draw(ax)
            plt.close(fig)
    scores = {score.model: score.value for score in cards[1].scores}
    best = scores.pop("label-weighted diffusion")
    assert best > max(scores.values())


def test_drawings_show_the_data():
    A, _ = load_karate_club()
    result = flow_diffusion(A, 0, mass=100)
    line, dot = plot_sweep(result).lines
    assert np.array_equal(line.get_ydata(), result.profile["conductance"])
    assert dot.get_ydata()[0] == result.conductance
    assert plot_progress(result).lines[0].get_ydata()[-1] == pytest.approx(
        result.fun, rel=1e-3
    )
    profile = ncp_profile(A, n_seeds=10)
    assert np.array_equal(
        plot_ncp(profile).lines[1].get_xdata(), profile.envelope["size"]
    )
    with pytest.raises(ValueError, match=r"\(34, 2\)"):
        plot_graph(A, np.ones((3, 2)))
    plt.close("all")


def test_the_hull_is_convex():
    x, y = np.arange(6.0), np.array([3.0, 1.0, 2.0, 0.5, 0.4, 1.0])
    assert _hull(x, y) == [0, 1, 3, 4, 5]
