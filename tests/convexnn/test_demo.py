"""The sections of the demo are certified, compared fairly and drawn."""

import pytest

from convexnn import demo

pytestmark = pytest.mark.slow  # three data sets with their peers: about six seconds


@pytest.fixture(scope="module")
def sections():
    """All three, with one penalty and two folds, so that they take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "FOLDS", 2)
        patch.setattr(demo, "CONVEX", {"alpha": [10.0]})
        patch.setattr(demo, "MLP", {"alpha": [1.0]})
        patch.setattr(demo, "LOGISTIC", {"C": [1.0]})
        patch.setattr(demo, "RIDGE", {"alpha": [10.0]})
        return list(demo.sections())


def test_every_fit_is_certified_and_verified(sections):
    fits = [fit for section in sections for fit in section.fits]
    assert [fit.data for fit in fits] == ["breast cancer", "digits", "diabetes"]
    for fit in fits:
        assert fit.verified, fit.message
        assert fit.certificate.satisfied
        assert fit.certificate.lower <= fit.objective


def test_ours_stands_beside_two_peers(sections):
    for section in sections:
        assert [score.ours for score in section.scores] == [True, False, False]
        assert all(score.setting and score.seconds > 0 for score in section.scores)


def test_scores_are_those_of_a_useful_model(sections):
    cancer, digits, diabetes = (section.scores[0].value for section in sections)
    assert cancer > 0.93
    assert digits > 0.96
    assert diabetes > 0.25


def test_every_figure_draws(sections):
    figure_module = pytest.importorskip("matplotlib.figure")
    for section in sections:
        assert len(section.figures) == 3
        for figure in section.figures:
            canvas = figure_module.Figure(figsize=figure.size, layout="constrained")
            figure.draw(canvas.subplots())
            canvas.draw_without_rendering()


def test_the_code_of_a_section_runs(sections):
    section = sections[2]
    X, y = demo.load_diabetes(return_X_y=True)
    names = {"X": X, "y": y, "print": lambda outcome: names.update(outcome=outcome)}
    exec(section.code, names)
    assert names["outcome"]
