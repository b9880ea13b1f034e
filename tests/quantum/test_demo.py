"""The demo's section, its figures, and the plots of the package."""

import numpy as np
import pytest

from quantum import (
    OptimalMeasurementClassifier,
    VariationalQuantumClassifier,
    encode,
    fidelity_kernel_matrix,
    gradient_variance,
    plot_bloch,
    plot_gradient_variance,
    plot_kernel,
    plot_loss,
    plot_race,
)
from quantum.demo import sections
from quantum.plots import bloch_axis, bloch_vectors

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).uniform(0, 1, (12, 2))
Y = np.arange(12) % 2


def test_the_section_is_verified_and_draws():
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    (section,) = sections()
    assert all(fit.verified for fit in section.fits)
    assert len({round(fit.certificate.lower, 4) for fit in section.fits}) == 1
    for figure in section.figures:
        _, ax = plt.subplots()
        figure.draw(ax)
        assert ax.has_data()
    plt.close("all")
    assert max(score.value for score in section.scores if score.ours) > 0.9


def test_plots_return_their_axes():
    model = VariationalQuantumClassifier(max_iter=20, random_state=0).fit(X, Y)
    assert len(plot_loss(model).lines) == 2
    other = VariationalQuantumClassifier(
        optimizer="cobyla", max_iter=40, random_state=0
    ).fit(X, Y)
    for x in ("nfev", "elapsed"):
        assert len(plot_race({"a": model, "b": other}, x=x).lines) == 3
    with pytest.raises(ValueError, match="x='seconds'"):
        plot_race({"a": model}, x="seconds")
    found = gradient_variance(qubits=(2, 3), n_samples=5, random_state=0)
    assert len(plot_gradient_variance({"parity": found}).lines) == 1
    assert plot_kernel(fidelity_kernel_matrix("zz", X), Y).images
    bare = VariationalQuantumClassifier(max_iter=2, certify=False).fit(X, Y)
    with pytest.raises(ValueError, match="certify"):
        plot_loss(bare)


def test_bloch_sphere():
    angles = X[:, :1] * 2
    states = encode("angle", angles)
    points = bloch_vectors(states)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0)
    effect = OptimalMeasurementClassifier("angle").fit(angles, Y).measurement_
    axis = bloch_axis(effect)
    p = np.einsum("ia,ab,ib->i", states.conj(), effect, states).real
    np.testing.assert_allclose(p, 0.5 + points @ axis / 2, atol=1e-12)
    assert plot_bloch(states, Y, effect).has_data()
    with pytest.raises(ValueError, match="shape"):
        bloch_vectors(np.eye(3))
