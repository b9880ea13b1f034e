"""What the two estimators share: a network, its training, and its certificate."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from dfo._measure_network import ACTIVATIONS, Network, forward, layers
from dfo.cbo.network.training import (
    Trainer,
    TrainingSettings,
    statistics_of,
    train_network,
)
from farkas.backend import check_device
from farkas.base import CertifiedMixin, check_choice, check_number
from farkas.status import Status
from farkas.verification import certify

Array = NDArray[np.float64]


class CBOMLP(CertifiedMixin, BaseEstimator):
    """Parameters, training and output of a network; not for users."""

    _classifier = True
    _losses: tuple[str, ...] = ()
    loss: Any

    def _check_parameters(self) -> TrainingSettings:
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        if not (callable(self.loss) and not self._classifier):
            check_choice("loss", self.loss, self._losses)
        check_device(self.device)
        if self.device == "cuda":
            raise ValueError("device='cuda' is not supported here; use device='cpu'.")
        for name in ("n_particles", "particle_batch"):
            check_number(name, getattr(self, name), low=2, integer=True)
        for name in ("batch_size", "max_iter", "n_iter_no_change"):
            check_number(name, getattr(self, name), low=1, integer=True)
        for name in ("dt", "init_scale", "tol"):
            check_number(name, getattr(self, name), low=0, inclusive="neither")
        for name in ("lam", "sigma", "consensus_alpha", "lam_memory", "alpha"):
            check_number(name, getattr(self, name), low=0)
        if self.max_time is not None:
            check_number("max_time", self.max_time, low=0, inclusive="neither")
        check_number(
            "validation_fraction",
            self.validation_fraction,
            low=0,
            high=1,
            inclusive="neither",
        )
        if self.lam_memory > 0 and not self.memory:
            raise ValueError(f"lam_memory={self.lam_memory!r} needs memory=True.")
        for size in np.atleast_1d(self.hidden_layer_sizes):
            check_number("hidden_layer_sizes", int(size), low=1, integer=True)
        names = TrainingSettings.__dataclass_fields__.keys() & self.get_params().keys()
        given = {name: getattr(self, name) for name in names}
        given["max_time"] = math.inf if self.max_time is None else self.max_time
        return TrainingSettings(**{**given, "name": type(self).__name__})

    @property
    def _hidden(self) -> tuple[int, ...]:
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=np.int64))
        return tuple(int(size) for size in sizes)

    def _train(
        self,
        X: Array,
        y: Any,
        targets: NDArray[Any],
        n_outputs: int,
        settings: TrainingSettings,
        *,
        go_on: bool,
    ) -> None:
        """Train on encoded targets, and store the outcome."""
        import dataclasses

        network = Network(
            (X.shape[1], *self._hidden, n_outputs),
            self.activation,
            bool(self.batch_norm),
            self._classifier,
        )
        seed = self._seed()
        trainer = getattr(self, "_trainer", None) if go_on else None
        if trainer is not None and trainer.network == network:
            trainer.settings, trainer.loss = settings, self.loss
        else:
            center = X.mean(axis=0)
            trainer = Trainer(network, self.loss, settings, seed.spawn(1)[0], center)
        self._network = network
        callback = self._solver_callback(
            X,
            y,
            max_subtasks=settings.max_iter,
            reconstruction_attributes=lambda r: self._attributes(r.x, X),
        )
        trainer.settings = dataclasses.replace(settings, callback=callback)
        found = train_network(trainer, X, targets, seed.spawn(1)[0])
        trainer.settings = settings
        for name, value in self._attributes(found.x, X).items():
            setattr(self, name, value)
        self._trainer = trainer
        self.population_ = trainer.uncentred(trainer.X)
        self.consensus_ = trainer.uncentred(trainer.c[None])[0]
        earlier = getattr(self, "loss_curve_", []) if go_on else []
        self.loss_curve_ = [*earlier, *found.loss_curve]
        self.loss_, self.best_loss_ = found.fun, found.best_loss
        certificate = self._mint(X, y, found)
        found.history["certificate"][-1] = certificate.value
        status = Status(found.status)
        if status in (Status.MAX_ITER, Status.STALLED) and certificate.satisfied:
            status = Status.CONVERGED
        self._record_fit(
            certificate=certificate,
            history=found.history,
            n_iter=found.nit,
            status=status,
        )

    def _train_epoch(
        self,
        X: Array,
        y: Any,
        targets: NDArray[Any],
        n_outputs: int,
        settings: TrainingSettings,
    ) -> None:
        """One more epoch for ``partial_fit``; it is not over, so nothing is warned."""
        import dataclasses
        import warnings

        one = dataclasses.replace(settings, max_iter=1, early_stopping=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._train(X, y, targets, n_outputs, one, go_on=True)

    def _seed(self) -> np.random.SeedSequence:
        if self.random_state is None:
            return np.random.SeedSequence()
        rs = check_random_state(self.random_state)
        return np.random.SeedSequence(rs.randint(2**31, size=4, dtype=np.int64))

    def _mint(self, X: Array, y: Any, found: Any) -> Any:
        custom = callable(self.loss)
        return certify(
            "dfo.custom_training_poll/1" if custom else "dfo.training_poll/1",
            (X, y, self.loss) if custom else (X, y),
            {
                "theta": found.x,
                "directions": found.directions,
                "steps": found.steps,
                "values": found.poll_values,
            },
            {
                "hidden": ",".join(map(str, self._hidden)),
                "activation": self.activation,
                "batch_norm": bool(self.batch_norm),
                "classifier": self._classifier,
                "loss": "custom" if custom else self.loss,
                "alpha": float(self.alpha),
            },
            tolerance=self.tol,
        )

    def _attributes(self, theta: Array, X: Array) -> dict[str, Any]:
        """Return the fitted attributes that predictions need."""
        cut = layers(self._network, theta[None])
        statistics = statistics_of(self._network, theta, X)
        return {
            "coefs_": [W[0].copy() for W, _ in cut],
            "intercepts_": [b[0].copy() for _, b in cut],
            "batch_mean_": [mean[0] for mean, _ in statistics],
            "batch_std_": [std[0] for _, std in statistics],
        }

    def _output(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        pairs = zip(self.coefs_, self.intercepts_, strict=True)
        theta = np.concatenate([part.ravel() for pair in pairs for part in pair])
        statistics = [
            (mean[None], std[None])
            for mean, std in zip(self.batch_mean_, self.batch_std_, strict=True)
        ]
        return forward(self._network, theta[None], X, statistics)[0][0]
