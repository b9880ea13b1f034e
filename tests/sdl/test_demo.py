"""The demo's sections: verified fits, scores, and figures that draw."""

import pytest

from sdl import demo


@pytest.fixture(scope="module")
def shown():
    return list(demo.sections())


def test_every_fit_is_verified_and_satisfied(shown):
    assert len(shown) == 2
    for section in shown:
        assert section.package == "sdl"
        for fit in section.fits:
            assert fit.verified, fit.message
            assert fit.certificate.satisfied, fit.certificate


def test_scores_hold_the_peers(shown):
    for section in shown:
        assert section.scores[0].ours
        assert len(section.scores) >= 2
        assert section.scores[0].value >= 0.93


def test_figures_draw(shown):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    for section in shown:
        for figure in section.figures:
            fig, ax = plt.subplots(figsize=figure.size)
            figure.draw(ax)
            plt.close(fig)
        assert "SDLClassifier" in section.code
