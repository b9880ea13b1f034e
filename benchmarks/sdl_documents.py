"""Imbalanced documents: F1 of supervised dictionaries and of logistic regression."""

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.preprocessing import normalize

from sdl import SDLClassifier

# Random splits, and the decades that cross-validation inside the training rows chooses
# from, for both sides. Fixed before any held-out row was scored.
SPLITS = 10
RIDGES, WEIGHTS = (0.01, 0.1, 1.0, 10.0), (0.01, 0.1, 1.0)


def documents(path):
    """Imbalanced documents with covariates against balanced logistic regression."""
    if not path.exists():
        return None
    z = np.load(path)
    counts = sparse.csr_matrix(
        (z["data"].astype(float), z["indices"], z["indptr"]), shape=z["shape"]
    )
    names = {name: z[name] for name in z.files}
    kept = np.flatnonzero(names["imbalanced_mask"])
    labels = next(names[key] for key in ("y", "labels", "fraudulent") if key in names)
    X, y = normalize(counts[kept]), labels[kept].astype(int)
    C = names["covariates"][kept].astype(float)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    rows = []
    for seed in range(SPLITS):
        train, test = train_test_split(
            np.arange(len(y)), test_size=0.3, stratify=y, random_state=seed
        )
        spread = C[train].std(axis=0)
        Z = (C - C[train].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        both = sparse.hstack([X, sparse.csr_matrix(Z[:, spread > 0])]).tocsr()
        ours = GridSearchCV(
            SDLClassifier(
                20, class_weight="balanced", tol=1e-5,
                covariate_columns=list(range(X.shape[1], both.shape[1])),
            ),
            {"alpha": RIDGES, "xi": WEIGHTS}, scoring="f1", cv=folds,
        ).fit(both[train], y[train])  # fmt: skip
        peer = GridSearchCV(
            LogisticRegression(class_weight="balanced", max_iter=5000),
            {"C": [1 / ridge for ridge in RIDGES]}, scoring="f1", cv=folds,
        ).fit(both[train], y[train])  # fmt: skip
        model = ours.best_estimator_
        rows.append(
            {
                "seed": seed,
                "f1": float(f1_score(y[test], ours.predict(both[test]))),
                "peer": float(f1_score(y[test], peer.predict(both[test]))),
                "alpha": model.alpha, "xi": model.xi,
                "peer_alpha": 1 / peer.best_params_["C"],
                "gap": model.certificate_.gap / model.objective_,
            }
        )  # fmt: skip
    return rows
