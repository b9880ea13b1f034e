"""What quantum shows in ``farkas demo``: circuits above the floor of all circuits."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from sklearn.svm import SVC

from farkas.sections import (
    Figure,
    Score,
    Section,
    certified,
    confusion_figure,
    interval_figure,
    timed,
)
from quantum.estimators import VariationalQuantumClassifier
from quantum.fidelity import quantum_kernel
from quantum.optimal_estimator import OptimalMeasurementClassifier
from quantum.plots import plot_loss, plot_race

SEED = 0
QUBITS = 4


def sections() -> Iterator[Section]:
    """Train circuits, certify them, and compare them with the best measurement."""
    bunch = load_breast_cancer()
    A, B, a, b = train_test_split(
        bunch.data, bunch.target, random_state=SEED, stratify=bunch.target
    )
    scale = make_pipeline(
        StandardScaler(),
        PCA(QUBITS, random_state=SEED),
        QuantileTransformer(n_quantiles=50),
    )
    # Ranks are spread evenly over the half turn that RY has room for.
    A, B = np.pi * scale.fit_transform(A), np.pi * scale.transform(B)
    base = VariationalQuantumClassifier("angle", max_iter=300, random_state=SEED)
    models = {
        "L-BFGS": base,
        "AQGD": clone(base).set_params(optimizer="aqgd", max_iter=100),
        "COBYLA": clone(base).set_params(optimizer="cobyla", max_iter=200),
    }
    with warnings.catch_warnings():
        # A budget of iterations is there to be used up.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fits = [
            certified("breast cancer", name, lambda m=model: m.fit(A, a), (A, a))
            for name, model in models.items()
        ]
        best = OptimalMeasurementClassifier("angle")
        fits.append(
            certified("breast cancer", "any circuit", lambda: best.fit(A, a), (A, a))
        )
    scores = [
        Score(
            model=fit.model,
            value=float(fit.source.score(B, b)),
            seconds=fit.seconds,
            setting=f"training loss {fit.source.loss_:.4f}",
            ours=True,
        )
        for fit in fits
    ]
    for name, peer in (
        ("SVC, quantum kernel", SVC(kernel=quantum_kernel("angle"))),
        ("LogisticRegression", LogisticRegression()),
    ):
        # The default argument binds the model of this turn of the loop.
        _, seconds = timed(f"breast cancer: {name}", lambda m=peer: m.fit(A, a))
        value = float(peer.score(B, b))
        scores.append(Score(model=name, value=value, seconds=seconds))
    floor = fits[0].certificate.lower
    yield Section(
        package="quantum",
        title="Breast cancer on four qubits",
        prose=(
            "Four principal components, by their ranks, turn four qubits, a circuit of "
            "32 weights acts on them, and the parity of the bits is the class. Is the "
            "loss that remains the fault of the optimizer, of the circuit, or of the "
            "encoding? The certificate answers: no circuit whatsoever on these encoded "
            f"data has a training loss below {floor:.4f}.",
            "All three optimizers start from the same weights. The last row is the "
            "best measurement of all, found by a convex program.",
        ),
        fits=fits,
        facts=[
            ("training rows", str(len(A))),
            ("held-out rows", str(len(B))),
            ("qubits", str(QUBITS)),
            ("target", "2 classes"),
        ],
        metric="accuracy",
        scores=scores,
        figures=[
            interval_figure(fits),
            Figure(
                name="loss",
                caption="Training loss of L-BFGS above the floor of all circuits; the "
                "shaded gap is all that another circuit could gain.",
                draw=lambda ax: plot_loss(models["L-BFGS"], ax=ax),
            ),
            Figure(
                name="race",
                caption="Best training loss against loss evaluations: with exact "
                "gradients an evaluation is worth more.",
                draw=lambda ax: plot_race(models, ax=ax),
            ),
            confusion_figure(b, base.predict(B), _names(bunch)),
        ],
        code=(
            "import farkas\nfrom quantum import VariationalQuantumClassifier\n\n"
            "model = VariationalQuantumClassifier('angle', max_iter=300).fit(X, y)\n"
            "print(model.certificate_)\nprint(farkas.verify(model, X, y))"
        ),
    )


def _names(bunch: Any) -> list[str]:
    return [str(name) for name in np.asarray(bunch.target_names)]
