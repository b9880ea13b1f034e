"""What sdl shows in ``farkas demo``: two data sets of scikit-learn."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import NMF, PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from farkas.sections import (
    Figure,
    Fit,
    Score,
    Section,
    certified,
    confusion_figure,
    history_figure,
    interval_figure,
    timed,
)
from sdl.estimators import SDLClassifier
from sdl.plotting import plot_scores

SEED = 0
# Ridge of every classifier, so that only the features differ.
ALPHA = 1.0


def sections() -> Iterator[Section]:
    """Fit, certify and compare on two data sets, one section each."""
    yield _breast_cancer()
    yield _digits()


def _breast_cancer() -> Section:
    bunch = load_breast_cancer()
    A, B, a, b = train_test_split(
        bunch.data, bunch.target, random_state=SEED, stratify=bunch.target
    )
    scaler = StandardScaler().fit(A)
    rows = scaler.transform(A), scaler.transform(B), a, b
    model = SDLClassifier(5, xi=0.1, alpha=ALPHA)
    pca = make_pipeline(PCA(5), LogisticRegression(C=1.0 / ALPHA))
    fit, scores = _compare("breast cancer", model, {"PCA(5) + LR": pca}, rows)
    return Section(
        package="sdl",
        title="Breast cancer: five atoms that reconstruct and classify",
        prose=(
            "A dictionary of five atoms explains thirty measurements and tells benign "
            "from malignant with the same five scores. The problem is not convex; the "
            "interval below is a proof all the same, about every dictionary of five "
            "atoms.",
            "The weight of the reconstruction was set to 0.1 beforehand, and all "
            "classifiers have the same ridge.",
        ),
        fits=[fit],
        facts=_facts(*rows[:2]),
        metric="accuracy",
        scores=scores,
        figures=[
            interval_figure([fit]),
            history_figure(fit),
            _score_figure(fit, rows[1], b),
        ],
        code=_code(fit.source),
    )


def _digits() -> Section:
    X, y = load_digits(return_X_y=True)
    rows = train_test_split(X / 16.0, y, random_state=SEED, stratify=y)
    A, B, _, b = rows
    model = SDLClassifier(20, model="filter", xi=1.0, alpha=ALPHA, tol=1e-4)
    peers = {
        "PCA(20) + LR": make_pipeline(PCA(20), LogisticRegression(max_iter=1000)),
        "NMF(20) + LR": make_pipeline(
            NMF(20, init="nndsvda", max_iter=400, tol=1e-3, random_state=SEED),
            LogisticRegression(max_iter=1000),
        ),
    }
    fit, scores = _compare("digits", model, peers, rows)
    return Section(
        package="sdl",
        title="Digits: ten classes, twenty atoms",
        prose=(
            "Ten classes share one dictionary of twenty atoms. Each atom is an image "
            "of 8 x 8 pixels.",
        ),
        fits=[fit],
        facts=_facts(A, B),
        metric="accuracy",
        scores=scores,
        figures=[
            interval_figure([fit]),
            _atom_figure(fit),
            confusion_figure(b, fit.source.predict(B), [str(c) for c in range(10)]),
        ],
        code=_code(fit.source),
    )


def _compare(
    data: str, model: Any, peers: dict[str, Any], rows: Any
) -> tuple[Fit, list[Score]]:
    """Fit and score ours and the peers; certify and re-check ours."""
    A, B, a, b = rows
    label = f"SDL({model.n_components})"
    fit = certified(data, label, lambda: model.fit(A, a), (A, a))
    accuracy = float(model.score(B, b))
    scores = [Score(model=label, value=accuracy, seconds=fit.seconds, ours=True)]
    for name, peer in peers.items():
        # The default argument binds the peer of this turn of the loop.
        _, seconds = timed(f"{data}: {name}", lambda peer=peer: peer.fit(A, a))
        accuracy = float(peer.score(B, b))
        scores.append(Score(model=name, value=accuracy, seconds=seconds))
    return fit, scores


def _score_figure(fit: Fit, B: Any, b: Any) -> Figure:
    return Figure(
        name="scores",
        caption="The two scores of held-out rows on which the classifier leans most, "
        "by class.",
        draw=lambda ax: plot_scores(fit.source, B, b, atoms=_heaviest(fit), ax=ax),
        size=(5.2, 3.9),
    )


def _heaviest(fit: Fit) -> tuple[int, int]:
    """Return the two atoms whose scores move the decision most."""
    model = fit.source
    spread = np.abs(model.beta_).sum(axis=0) * model.codes_.std(axis=0)
    first, second = np.argsort(-spread)[:2]
    return int(first), int(second)


def _atom_figure(fit: Fit) -> Figure:
    atoms = fit.source.components_

    def draw(ax: Any) -> None:
        # One pixel of air between the images.
        board = np.full((4 * 9 - 1, 5 * 9 - 1), np.nan)
        for j, atom in enumerate(atoms):
            top, left = 9 * (j // 5), 9 * (j % 5)
            board[top : top + 8, left : left + 8] = atom.reshape(8, 8)
        limit = float(np.abs(atoms).max())
        ax.imshow(board, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set_axis_off()

    return Figure(
        name="atoms",
        caption="The twenty atoms, in the order of what they reconstruct; red is "
        "positive, blue negative.",
        draw=draw,
        size=(5.2, 4.2),
    )


def _facts(A: Any, B: Any) -> list[tuple[str, str]]:
    return [
        ("training rows", str(len(A))),
        ("held-out rows", str(len(B))),
        ("columns", str(A.shape[1])),
    ]


def _code(model: Any) -> str:
    return (
        f"import farkas\nfrom sdl import {type(model).__name__}\n\n"
        f"model = {model!r}.fit(X, y)\n"
        "print(farkas.verify(model, X, y))"
    )
