"""What dfo shows in ``farkas demo``: a rugged function, and errors as a loss."""

import warnings
from collections.abc import Iterator
from typing import Any

from scipy.optimize import differential_evolution, dual_annealing
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from dfo import testfunctions
from dfo.cbo.minimize import minimize_cbo
from dfo.estimators import CBOClassifier
from dfo.plotting import plot_convergence, plot_particles_2d
from farkas.sections import (
    Figure,
    Score,
    Section,
    certified,
    confusion_figure,
    timed,
)

SEED = 0
DIMENSION = 5
BUDGET = 6_000  # evaluations of every method
EPOCHS = 20


def sections() -> Iterator[Section]:
    """Minimise a rugged function, and train a network, one section each."""
    yield _rugged()
    yield _errors()


def _rugged() -> Section:
    f = testfunctions.shifted("rastrigin", DIMENSION, SEED)
    data = "Rastrigin, 5 variables"
    fit = certified(
        data,
        "minimize_cbo",
        lambda: minimize_cbo(
            f.fun,
            f.bounds,
            vectorized=True,
            maxfev=BUDGET,
            record="summary",
            random_state=SEED,
        ),
        (f.fun,),
    )
    scores = [
        Score(
            model="minimize_cbo",
            value=-(fit.source.fun - f.f_star),
            seconds=fit.seconds,
            setting=f"{fit.source.nfev} evaluations",
            ours=True,
        )
    ]
    for name, peer in (
        ("differential evolution", _evolution),
        ("dual annealing", _annealing),
    ):
        found, seconds = timed(f"{data}: {name}", lambda peer=peer: peer(f))
        scores.append(
            Score(
                model=name,
                value=-(float(found.fun) - f.f_star),
                seconds=seconds,
                setting=f"{found.nfev} evaluations",
            )
        )
    flat = testfunctions.get("rastrigin", 2)
    seen = minimize_cbo(
        flat.fun,
        flat.bounds,
        vectorized=True,
        maxfev=1500,
        restarts=0,
        record="full",
        random_state=SEED,
    )
    return Section(
        package="dfo",
        title="A rugged landscape: particles that agree",
        prose=(
            "Rastrigin's function has a local minimum in every unit cube. Particles "
            "are drawn to their weighted mean and shaken in proportion to their "
            "distance from it; no derivative is evaluated.",
            "A black box never proves that a minimum is global, and the certificate "
            "does not claim it: it says that no point of a poll around the result is "
            "better. "
            "Scores are distances from the known minimum, with a minus sign.",
        ),
        fits=[fit],
        facts=[
            ("variables", str(DIMENSION)),
            ("evaluations", str(BUDGET)),
            ("local minima", f"about {11**DIMENSION}"),
        ],
        metric="minus gap",
        scores=scores,
        figures=[
            Figure(
                name="dfo_convergence",
                caption="Variance of the particles and best value, over all runs.",
                draw=lambda ax: plot_convergence(fit.source, ax=ax),
            ),
            Figure(
                name="dfo_particles",
                caption="Particles in two variables, later ones darker, and the path "
                "of their consensus.",
                draw=lambda ax: plot_particles_2d(flat.fun, seen, every=6, ax=ax),
                size=(4.4, 4.0),
            ),
        ],
        code=(
            "import farkas\nfrom dfo import minimize_cbo, testfunctions\n\n"
            f'f = testfunctions.shifted("rastrigin", {DIMENSION}, {SEED})\n'
            f"res = minimize_cbo(f.fun, f.bounds, maxfev={BUDGET}, "
            f"random_state={SEED})\n"
            "print(farkas.verify(res, f.fun))"
        ),
    )


def _evolution(f: Any) -> Any:
    per_generation = 15 * DIMENSION
    return differential_evolution(
        f.fun, f.bounds, maxiter=BUDGET // per_generation - 1, rng=SEED
    )


def _annealing(f: Any) -> Any:
    return dual_annealing(f.fun, f.bounds, maxfun=BUDGET, rng=SEED)


def _errors() -> Section:
    X, y = load_breast_cancer(return_X_y=True)
    A, B, a, b = train_test_split(X, y, random_state=SEED, stratify=y)
    scaler = StandardScaler().fit(A)
    A, B = scaler.transform(A), scaler.transform(B)
    data = "breast cancer"
    model = CBOClassifier(loss="zero_one", max_iter=EPOCHS, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = certified(data, "CBOClassifier", lambda: model.fit(A, a), (A, a))
    smooth = LogisticRegression(max_iter=1000)
    _, seconds = timed(f"{data}: LogisticRegression", lambda: smooth.fit(A, a))
    scores = [
        Score(
            model="CBOClassifier",
            value=float(model.score(B, b)),
            seconds=fit.seconds,
            setting=f"{model.n_iter_} epochs",
            ours=True,
        ),
        Score(
            model="LogisticRegression",
            value=float(smooth.score(B, b)),
            seconds=seconds,
            setting="C=1",
        ),
    ]
    return Section(
        package="dfo",
        title="Breast cancer: the number of errors itself",
        prose=(
            "The share of wrong answers has no useful gradient: it is constant almost "
            "everywhere. A hundred networks are drawn to their consensus on batches of "
            "rows, and need its values only.",
            "On a smooth loss a method that uses gradients is faster and usually "
            "better; logistic regression stands here as the yardstick.",
        ),
        fits=[fit],
        facts=[
            ("training rows", str(len(A))),
            ("held-out rows", str(len(B))),
            ("columns", str(A.shape[1])),
            ("errors on the training rows", str(round(model.loss_ * len(A)))),
        ],
        metric="accuracy",
        scores=scores,
        figures=[
            Figure(
                name="dfo_errors",
                caption="Share of errors of the consensus after each epoch.",
                draw=lambda ax: _curve(model, ax),
            ),
            confusion_figure(b, model.predict(B), ["malignant", "benign"]),
        ],
        code=(
            "import farkas\nfrom dfo import CBOClassifier\n\n"
            f'model = CBOClassifier(loss="zero_one", max_iter={EPOCHS}, '
            f"random_state={SEED})\n"
            "model.fit(X, y)\n"
            "print(farkas.verify(model, X, y))"
        ),
    )


def _curve(model: Any, ax: Any) -> Any:
    ax.plot(range(1, len(model.loss_curve_) + 1), model.loss_curve_, ".-")
    ax.set(xlabel="epoch", ylabel="share of errors", ylim=(0, None))
    return ax
