"""What dfo shows in ``farkas demo``: a rugged function, errors, and an inverse."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize import differential_evolution, dual_annealing
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from dfo import testfunctions
from dfo.attack.network import as_network
from dfo.attack.through import optimize_through_network
from dfo.cbo.minimize import minimize_cbo
from dfo.direct.plotting import plot_search
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
PASSES = 250  # forward passes of a search through a network


def sections() -> Iterator[Section]:
    """Minimise a rugged function, train a network, and invert one."""
    yield _rugged()
    yield _errors()
    yield _inverse()


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


def _inverse() -> Section:
    X = StandardScaler().fit_transform(load_wine().data)
    inputs, outputs, goal = X[1:, :6], X[1:, 6:], X[0, 6:]
    model = MLPRegressor(
        hidden_layer_sizes=(32, 32),
        activation="tanh",
        max_iter=400,
        random_state=SEED,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = as_network(model.fit(inputs, outputs))

    def distance(y: Any) -> float:
        return float(np.sum((y - goal) ** 2))

    def search(strategy: str, passes: int) -> Any:
        return optimize_through_network(
            network,
            distance,
            np.zeros(6),
            gradient=lambda y: 2 * (y - goal),
            bounds=[(-3.0, 3.0)] * 6,
            maximize=False,
            strategy=strategy,
            maxfev=passes,
            random_state=SEED,
        )

    data = "wine, a network backwards"
    fit = certified(
        data,
        "hybrid",
        lambda: search("hybrid", PASSES),
        (lambda x: distance(network.forward(x)),),
    )
    found = {"hybrid": (fit.source, fit.seconds)}
    cost = fit.source.nfev + 2 * fit.source.njev  # the others may spend as much
    for strategy in ("cdsm", "attack", "line_search"):
        found[strategy] = timed(
            f"{data}: {strategy}", lambda strategy=strategy: search(strategy, cost)
        )
    return Section(
        package="dfo",
        title="A network backwards: which input gives this output?",
        prose=(
            "A network predicts seven measurements of a wine from the other six. "
            "Attacks along its gradient and a direct search look for the six that give "
            "the seven of a wine that it has not seen.",
            "The certificate is a poll: no point around the result, in any direction, "
            "is nearer. Scores are squared distances of the outputs, with a minus "
            "sign; a product with the Jacobian counts as two forward passes, and the "
            "others may spend as many in all.",
        ),
        fits=[fit],
        facts=[
            ("inputs", "6"),
            ("outputs", "7"),
            ("forward passes, at most", str(PASSES)),
        ],
        metric="minus distance",
        scores=[
            Score(
                model=name,
                value=-float(res.fun),
                seconds=seconds,
                setting=f"{res.nfev} passes, {res.njev} products",
                ours=name == "hybrid",
            )
            for name, (res, seconds) in found.items()
        ],
        figures=[
            Figure(
                name="dfo_inverse",
                caption="Best squared distance against evaluations, by the step that "
                "found it.",
                draw=lambda ax: plot_search(fit.source, ax=ax),
            )
        ],
        code=(
            "import farkas\nfrom dfo import as_network, optimize_through_network\n\n"
            "network = as_network(model)  # a fitted MLPRegressor\n"
            "res = optimize_through_network(\n"
            "    network, distance, x0, bounds=bounds, maximize=False\n)\n"
            "print(farkas.verify(res, res.objective))"
        ),
    )
