"""The sections of the demo are certified, compared fairly and drawn."""

import pytest

from dfo import demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sections():
    """All, with a budget that takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "BUDGET", 3000)
        patch.setattr(demo, "EPOCHS", 6)
        return list(demo.sections())


def test_every_fit_is_certified_and_verified(sections):
    for section in sections:
        assert section.package == "dfo"
        for fit in section.fits:
            assert fit.verified, fit.message
            assert fit.certificate.lower <= fit.objective


def test_ours_stands_beside_peers(sections):
    rugged, errors, inverse = sections
    assert [score.ours for score in rugged.scores] == [True, False, False]
    assert [score.ours for score in errors.scores] == [True, False]
    assert errors.scores[0].value > 0.85
    assert rugged.scores[0].value <= 0
    hybrid, *others = inverse.scores
    assert hybrid.ours
    assert not any(score.ours for score in others)
    assert all(hybrid.value >= score.value - 1e-9 for score in others)
    for section in sections:
        assert all(score.setting and score.seconds > 0 for score in section.scores)


def test_figures_are_drawn(sections):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    for section in sections:
        for figure in section.figures:
            ax = plt.subplots()[1]
            figure.draw(ax)
            assert ax.has_data()
            assert len(figure.caption) > 30
    plt.close("all")
