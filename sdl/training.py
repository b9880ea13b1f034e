"""How the estimator trains: parameters checked, solver called, attributes stored."""

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_non_negative, validate_data

from farkas.backend import check_device, get_namespace
from farkas.base import CertifiedMixin, check_choice, check_number
from farkas.status import Status
from sdl._measure import objective
from sdl._measure_stationarity import Factors
from sdl.covariates import checked_covariates, resolve_columns, warn_if_constant
from sdl.driver import Settings
from sdl.encoding import ENCODINGS, encode
from sdl.formulation import Formulation, formulate
from sdl.head_refit import refit_head
from sdl.lifted import CERTIFICATES, solve_lifted
from sdl.online import Online, batch_seed

Array = NDArray[np.float64]

# Number of atoms of n_components="auto", if half the columns are as many: a dictionary
# of all columns would compress nothing.
DEFAULT_COMPONENTS = 8


class SupervisedDictionary(CertifiedMixin, BaseEstimator):
    """Parameters and training of a supervised dictionary; not for users."""

    def __init__(
        self,
        n_components: Any = "auto",
        *,
        model: str = "filter",
        solver: str = "auto",
        xi: Any = 1.0,
        alpha: float = 1.0,
        alpha_covariates: float | None = None,
        nonnegative: Any = False,
        max_atom_norm: float | None = None,
        max_code_norm: float | None = None,
        max_coef_norm: float | None = None,
        l1_H: float = 0.0,
        l1_W: float = 0.0,
        l2_H: float = 0.0,
        l2_W: float = 0.0,
        covariate_columns: Any = None,
        fit_intercept: bool = True,
        class_weight: Any = None,
        baseline: Any = None,
        init: str = "auto",
        n_init: int = 1,
        step: Any = "auto",
        max_iter: int = 1000,
        tol: float = 1e-6,
        radius: float | None = None,
        batch_size: int | None = None,
        encode: str = "reconstruct",
        refit_head: bool = True,
        certificate: str = "auto",
        svd: str = "auto",
        missing: str = "error",
        threshold: str | None = None,
        rotation: str | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: Any = None,
        warm_start: bool = False,
    ) -> None:
        self.n_components = n_components
        self.model = model
        self.solver = solver
        self.xi = xi
        self.alpha = alpha
        self.alpha_covariates = alpha_covariates
        self.nonnegative = nonnegative
        self.max_atom_norm = max_atom_norm
        self.max_code_norm = max_code_norm
        self.max_coef_norm = max_coef_norm
        self.l1_H = l1_H
        self.l1_W = l1_W
        self.l2_H = l2_H
        self.l2_W = l2_W
        self.covariate_columns = covariate_columns
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.baseline = baseline
        self.init = init
        self.n_init = n_init
        self.step = step
        self.max_iter = max_iter
        self.tol = tol
        self.radius = radius
        self.batch_size = batch_size
        self.encode = encode
        self.refit_head = refit_head
        self.certificate = certificate
        self.svd = svd
        self.missing = missing
        self.threshold = threshold
        self.rotation = rotation
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state
        self.warm_start = warm_start

    def _check_parameters(self) -> None:
        check_choice("solver", self.solver, ("auto", "lpgd", "lbfgs", "bcd"))
        check_choice("encode", self.encode, ENCODINGS)
        check_choice("certificate", self.certificate, CERTIFICATES)
        check_choice("svd", self.svd, ("auto", "exact", "lanczos"))
        check_choice("threshold", self.threshold, (None, "youden"))
        check_choice("rotation", self.rotation, (None, "varimax"))
        check_device(self.device)
        if self.n_components != "auto":
            check_number("n_components", self.n_components, low=1, integer=True)
        if self.xi != "mle":
            check_number("xi", self.xi, low=0.0, inclusive="neither")

    def _factored(self) -> bool:
        """Whether the parameters need the factored solver."""
        limits = (self.max_atom_norm, self.max_code_norm, self.max_coef_norm)
        penalties = (self.l1_H, self.l1_W, self.l2_H, self.l2_W)
        return bool(
            self.nonnegative
            or any(limit is not None for limit in limits)
            or any(penalties)
            or self.missing == "impute"
            or self.xi == "mle"
        )

    def _fit(self, X: Any, y: ArrayLike, covariates: Any, sample_weight: Any) -> None:
        self._check_parameters()
        form = self._formulated(X, y, covariates, sample_weight)
        attributes = functools.partial(self._attributes_of, form)
        callback = self._solver_callback(
            X, y, reconstruction_attributes=lambda progress: attributes(progress.x)
        )
        settings = Settings.validated(
            tol=self.tol, max_iter=self.max_iter, max_time=None, callback=callback,
            verbose=self.verbose, name=type(self).__name__,
        )  # fmt: skip
        self.__dict__.pop("_online", None)
        self._store(self._solve(form, settings))

    def _formulated(
        self,
        X: Any,
        y: ArrayLike,
        covariates: Any,
        sample_weight: Any,
        classes: Any = None,
        first: bool = True,
    ) -> Formulation:
        """Validate the data, once; with `classes` they are a batch of partial_fit."""
        original = X
        X, y = validate_data(
            self,
            X,
            y,
            reset=first,
            accept_sparse="csr",
            dtype=np.float64,
            ensure_all_finite="allow-nan" if self.missing == "impute" else True,
        )
        check_classification_targets(y)
        if self.nonnegative is True:
            check_non_negative(X, type(self).__name__)
        present = np.unique(y)
        batch = classes is not None
        classes = np.unique(classes) if batch else present
        if len(classes) < 2:
            raise ValueError(
                f"y holds one class only, {classes.tolist()}; a classifier needs two."
            )
        if unseen := sorted(set(present.tolist()) - set(classes.tolist())):
            raise ValueError(f"y holds the classes {unseen}, which classes does not.")
        names = getattr(self, "feature_names_in_", None)
        columns = resolve_columns(self.covariate_columns, original, X.shape[1], names)
        covariates = self._checked_covariates(X, columns, covariates)
        width = X.shape[1] - (0 if columns is None else len(columns))
        baseline = self._baseline(classes)
        self._columns = columns
        self._width = 0
        if covariates is not None:
            self._width = covariates.reshape(len(covariates), -1).shape[1]
        self._masked = self.missing == "impute"
        self.classes_ = classes
        self._class_order = np.array(
            [baseline, *(c for c in range(len(classes)) if c != baseline)]
        )
        rank = self.n_components
        if not first:
            rank = len(self.components_)
        elif rank == "auto":
            half = max((width + 1) // 2, len(classes) - 1)
            rank = min(DEFAULT_COMPONENTS, half, *X.shape, width)
        class_weight = self.class_weight
        if len(present) < len(classes):  # a batch that names its classes by their code
            codes = np.argsort(self._class_order)[np.searchsorted(classes, y)]
            y, baseline = np.eye(len(classes))[codes][:, 1:], 0
            if isinstance(class_weight, dict):
                class_weight = {
                    int(np.argsort(self._class_order)[c]): class_weight[label]
                    for c, label in enumerate(classes.tolist())
                    if label in class_weight
                }
        return formulate(
            X, y, rank, Z=covariates, sample_weight=sample_weight, model=self.model,
            xi=1.0 if self.xi == "mle" else self.xi, alpha=self.alpha,
            alpha_covariates=self.alpha_covariates, fit_intercept=self.fit_intercept,
            class_weight=class_weight, baseline=baseline,
            nonnegative=self.nonnegative, missing=self.missing,
            covariate_columns=columns, max_atom_norm=self.max_atom_norm,
            max_code_norm=self.max_code_norm, max_coef_norm=self.max_coef_norm,
            l1_H=self.l1_H, l1_W=self.l1_W, l2_H=self.l2_H, l2_W=self.l2_W,
            cap=first,
        )  # fmt: skip

    def _checked_covariates(self, X: Any, columns: Any, covariates: Any) -> Any:
        if covariates is None:
            if columns is not None:
                part = X[:, columns]
                warn_if_constant(part.toarray() if hasattr(part, "toarray") else part)
            return None
        if columns is not None:
            raise ValueError(
                "covariates come by one door only: covariate_columns or the keyword "
                "covariates, not both."
            )
        covariates = checked_covariates(covariates, X.shape[0])
        warn_if_constant(covariates)
        return covariates

    def _baseline(self, classes: NDArray[Any]) -> int:
        if self.baseline is None:
            return 0
        found = np.flatnonzero(classes == self.baseline)
        if not len(found):
            raise ValueError(
                f"baseline={self.baseline!r} is not among the classes "
                f"{classes.tolist()}."
            )
        return int(found[0])

    def _solve(self, form: Formulation, settings: Settings) -> OptimizeResult:
        solver = self.solver
        if solver == "auto":
            solver = "bcd" if self._factored() else "lpgd"
        if self.xi == "mle" and solver != "bcd":
            raise ValueError(
                f"xi='mle' needs solver='bcd' or 'auto', got solver={solver!r}; or "
                "give xi a number."
            )
        earlier = self._earlier(form)
        if solver == "lpgd":
            return solve_lifted(
                form, settings, step=self.step, init=self.init, n_init=self.n_init,
                x0=earlier, certificate=self.certificate, n_jobs=self.n_jobs,
                random_state=self.random_state, svd=self.svd,
                where=get_namespace(np.empty(0), device=self.device),
            )  # fmt: skip
        if solver == "lbfgs":
            from sdl.factored import solve_factored

            return solve_factored(
                form, settings, x0=earlier, certificate=self.certificate,
                random_state=self.random_state,
            )  # fmt: skip
        from sdl.block_descent import solve_blocks

        return solve_blocks(
            form, settings, x0=earlier, certificate=self.certificate,
            radius=self.radius, batch_size=self.batch_size,
            estimate_xi=self.xi == "mle", random_state=self.random_state,
        )  # fmt: skip

    def _partial_fit(
        self, X: Any, y: ArrayLike, covariates: Any, classes: Any, sample_weight: Any
    ) -> None:
        self._check_parameters()
        fitted = hasattr(self, "components_")
        if not fitted and classes is None:
            raise ValueError("classes must list all classes in the first partial_fit.")
        if isinstance(self.class_weight, str) or self._masked_or_estimated():
            raise ValueError(
                "partial_fit takes neither class_weight='balanced' nor xi='mle' nor "
                "missing='impute': all of them need the whole data."
            )
        if fitted:
            classes = self.classes_
        form = self._formulated(X, y, covariates, sample_weight, classes, not fitted)
        if not fitted:
            self._online = Online.begin(form, batch_seed(self.random_state))
        elif not hasattr(self, "_online"):
            self._online = Online.after(
                self.components_.T, self.codes_, self.beta_joint_.T, self._gamma_joint
            )
        x = self._online.step(form)
        for name, value in self._attributes_of(form, x, refit=False).items():
            setattr(self, name, value)
        point = Factors(**x, constrained=form.constrained)
        value, loss, reconstruction = objective(form.task, point, form.parameters)
        self.objective_, self.label_loss_ = value, loss
        self.reconstruction_err_, self.lower_bound_ = reconstruction, -np.inf
        self.certificate_ = None
        if self.certificate != "none":
            self.certificate_ = form.mint(x, None, self.tol, local=True)
            self.lower_bound_ = self.certificate_.lower
        kkt = np.nan if self.certificate_ is None else self.certificate_.value
        self.n_iter_ = self._online.batches
        self.status_ = Status.MAX_ITER
        self.message_ = "One step for each batch; the certificate is of the last one."
        self.history_ = {
            "iteration": np.array([self.n_iter_]), "elapsed": np.zeros(1),
            "objective": np.array([value]), "certificate": np.array([kkt]),
        }  # fmt: skip

    def _masked_or_estimated(self) -> bool:
        return bool(self.missing == "impute" or self.xi == "mle")

    def _earlier(self, form: Formulation) -> dict[str, Array] | None:
        """Factors of the last fit, if they fit the new problem."""
        if not self.warm_start or not hasattr(self, "components_"):
            return None
        task = form.task
        W, H = self.components_.T, self.codes_
        beta, Gamma = self.beta_joint_.T, self._gamma_joint
        (n, p), K = task.X.shape, task.Y.shape[1]
        shapes = ((p, task.rank), (n, task.rank), (task.rank, K), (task.Z.shape[1], K))
        if tuple(a.shape for a in (W, H, beta, Gamma)) != shapes:
            return None
        return {"W": W, "H": H, "beta": beta, "Gamma": Gamma}

    def _code_rules(self) -> dict[str, Any]:
        return {
            "xi": self.xi_,
            "nonnegative": self.nonnegative in (True, "H"),
            "l1": self.l1_H,
            "l2": self.l2_H,
            "max_norm": self.max_code_norm or 0.0,
        }

    def _attributes_of(
        self, form: Formulation, x: dict[str, Array], *, refit: bool = True
    ) -> dict[str, Any]:
        """Return the fitted attributes that predictions need."""
        task = form.task
        W, H, beta, Gamma = x["W"], x["H"], x["beta"], x["Gamma"]
        if self.rotation == "varimax" and self.model == "filter":
            from sdl.varimax import varimax

            W, T = varimax(W)
            H, beta = H @ T, T.T @ beta
        attributes: dict[str, Any] = {
            "components_": np.ascontiguousarray(W.T),
            "n_components_": W.shape[1],
            "xi_": task.xi,
            "beta_joint_": beta.T,
            "_gamma_joint": Gamma,
            "threshold_": 0.5,
        }
        if self.model == "filter":
            attributes["coef_"] = np.ascontiguousarray((W @ beta).T)
        elif refit and self.refit_head and self.encode == "reconstruct":
            self.xi_ = task.xi
            data = task.X
            if task.mask is not None:
                data = np.where(task.mask, np.nan, data)
            codes = encode(data, W, **self._code_rules()).codes
            beta, Gamma = refit_head(task, codes)
        q = int(self.fit_intercept)
        K = beta.shape[1]
        attributes["beta_"] = np.ascontiguousarray(beta.T)
        attributes["intercept_"] = Gamma[0].copy() if q else np.zeros(K)
        attributes["covariate_coef_"] = np.ascontiguousarray(Gamma[q:].T)
        attributes["codes_"] = H
        return attributes

    def _store(self, result: OptimizeResult) -> None:
        form: Formulation = result.formulation
        self.__dict__.pop("coef_", None)
        for name, value in self._attributes_of(form, result.x).items():
            setattr(self, name, value)
        weights = form.data[-1] if form.key.endswith("weighted/1") else None
        if weights is not None and not np.all(weights):
            self.codes_ = self._codes_with_gaps(form, weights > 0)
        self.objective_ = float(result.fun)
        self.lower_bound_ = float(result.lower_bound)
        self.label_loss_ = float(result.label_loss)
        self.reconstruction_err_ = float(result.reconstruction)
        if self.threshold == "youden":
            self.threshold_ = self._youden(form)
        self._record_fit(
            certificate=result.certificate,
            history=result.history,
            n_iter=result.nit,
            status=result.status,
            message=result.message,
        )
        if result.interrupted:
            raise KeyboardInterrupt

    def _codes_with_gaps(self, form: Formulation, kept: NDArray[np.bool_]) -> Array:
        """Rows without a weight took no part in the fit; they are coded afterwards."""
        X = form.data[0]
        if self._columns is not None:
            X = X[:, np.setdiff1d(np.arange(X.shape[1]), self._columns)]
        codes = encode(X, self.components_.T, **self._code_rules()).codes
        codes[kept] = self.codes_
        return codes

    def _youden(self, form: Formulation) -> float:
        """Return the probability at which TPR - FPR on the training data is largest."""
        from sklearn.metrics import roc_curve

        if len(self.classes_) != 2:
            raise ValueError("threshold='youden' is for two classes only.")
        covariates = form.data[2] if "covariates" in form.key else None
        P = self.predict_proba(form.data[0], covariates)[:, 1]  # type: ignore[attr-defined]
        fpr, tpr, thresholds = roc_curve(form.data[1] == self.classes_[1], P)
        best = int(np.argmax(tpr - fpr))
        # Predictions lie strictly above the threshold, those of the curve at it too.
        above = thresholds[best]
        below = np.max(P[P < above], initial=0.0)
        return float(np.clip(0.5 * (above + below), 1e-12, 1.0 - 1e-12))
