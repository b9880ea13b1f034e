"""Neural network regressor trained by consensus."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from dfo._measure_network import VALUE_LOSSES
from dfo._measure_training import encode
from dfo.cbo.network.mlp import CBOMLP
from farkas.base import certified_fit

Array = NDArray[np.float64]

_SIGMA = math.sqrt(0.4)


class CBORegressor(RegressorMixin, CBOMLP):
    """Neural network regressor trained without gradients.

    See :class:`CBOClassifier`. Any nonnegative loss will do, also one that is not
    differentiable. Standardise the columns of X and the targets.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=()
        Units of the hidden layers; () is a single dense layer.
    activation : {"relu", "tanh", "logistic", "identity", "step"}, default="relu"
        Of every layer. ``"step"`` has no useful gradient, and needs none here.
    batch_norm : bool, default=False
        Normalise every layer but the last by the batch in training, and by
        the training set in ``predict``.
    loss : {"squared", "absolute", "huber"} or callable, default="squared"
        A callable maps outputs (m, outputs) and targets to nonnegative losses.
    n_particles : int, default=100
        Number of networks in the population.
    particle_batch : int, default=10
        Networks that are evaluated in a step.
    batch_size : int, default=60
        Rows that they see.
    max_iter : int, default=100
        Number of epochs.
    dt, lam, sigma : float, default=0.1, 1.0, sqrt(0.4)
        Time step, drift and noise of the dynamics.
    consensus_alpha : float, default=50.0
        Inverse temperature of the consensus.
    cooling : bool, default=True
        Double the inverse temperature, and lower the noise, after each epoch.
    memory : bool, default=False
        Networks remember their best parameters; twice the evaluations.
    lam_memory : float, default=0.0
        Drift towards them.
    particle_reduction : bool, default=False
        Drop networks as the population contracts.
    init_scale : float, default=1.0
        Standard deviation of the first parameters.
    alpha : float, default=0.0
        Weight of the penalty ``|W|^2 / 2`` against the sum of losses.
    early_stopping : bool, default=False
        Stop when the loss on held-out rows no longer improves.
    validation_fraction : float, default=0.1
        Share of those rows.
    n_iter_no_change : int, default=10
        Epochs without improvement by `tol` that are allowed.
    warm_start : bool, default=False
        Start from the population of the last fit.
    tol : float, default=1e-4
        Length of the last step of the final poll of the full training loss; also the
        improvement that early stopping asks for.
    max_time : float, default=None
        Seconds after which training stops.
    n_jobs : int, default=None
        Workers for losses on the whole training set; the result does not depend on it.
    device : {"auto", "cpu"}, default="auto"
        Where to compute.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 at every epoch.
    random_state : int, RandomState or None, default=None
        Determines everything random.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (inputs, outputs)
        Weights of the layers as in ``MLPRegressor``.
    intercepts_ : list of ndarray of shape (outputs,)
        Biases.
    batch_mean_ : list of ndarray of shape (outputs,)
        Training-set mean of every normalised layer.
    batch_std_ : list of ndarray of shape (outputs,)
        Training-set deviation of every normalised layer.
    loss_ : float
        Full training loss of the returned network.
    best_loss_ : float
        Smallest full training loss seen.
    loss_curve_ : list of float
        Full training loss of the consensus after each epoch.
    population_ : ndarray of shape (N, n_parameters)
        Networks at the end of the dynamics.
    consensus_ : ndarray of shape (n_parameters,)
        Their consensus.
    certificate_ : Certificate
        Poll set of the full training loss; re-check it with
        ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective`` and ``certificate``.
    n_iter_ : int
        Epochs.
    status_ : Status
        Why training stopped.
    message_ : str
        The same as a sentence.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    CBOClassifier : The same for class labels.

    References
    ----------
    Carrillo, Jin, Li, Zhu, arXiv:1909.09249.

    Examples
    --------
    >>> import numpy as np
    >>> from dfo import CBORegressor
    >>> x = np.linspace(-1, 1, 40)[:, None]
    >>> model = CBORegressor((8,), loss="absolute", max_iter=30, random_state=0)
    >>> bool(model.fit(x, abs(x).ravel()).score(x, abs(x).ravel()) > 0.9)
    True
    """

    _losses = VALUE_LOSSES
    _classifier = False

    def __init__(
        self,
        hidden_layer_sizes: Any = (),
        *,
        activation: str = "relu",
        batch_norm: bool = False,
        loss: str | Callable[..., Any] = "squared",
        n_particles: int = 100,
        particle_batch: int = 10,
        batch_size: int = 60,
        max_iter: int = 100,
        dt: float = 0.1,
        lam: float = 1.0,
        sigma: float = _SIGMA,
        consensus_alpha: float = 50.0,
        cooling: bool = True,
        memory: bool = False,
        lam_memory: float = 0.0,
        particle_reduction: bool = False,
        init_scale: float = 1.0,
        alpha: float = 0.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        tol: float = 1e-4,
        max_time: float | None = None,
        n_jobs: int | None = None,
        device: str = "auto",
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.batch_norm = batch_norm
        self.loss = loss
        self.n_particles = n_particles
        self.particle_batch = particle_batch
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.dt = dt
        self.lam = lam
        self.sigma = sigma
        self.consensus_alpha = consensus_alpha
        self.cooling = cooling
        self.memory = memory
        self.lam_memory = lam_memory
        self.particle_reduction = particle_reduction
        self.init_scale = init_scale
        self.alpha = alpha
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.tol = tol
        self.max_time = max_time
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> "CBORegressor":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        Returns
        -------
        self : CBORegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are out of range.
        """
        settings = self._check_parameters()
        X, values = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True
        )
        targets, outputs = encode(values, False)
        self._column = targets.ndim == 1
        self._train(X, y, targets, outputs, settings, go_on=bool(self.warm_start))
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> "CBORegressor":
        """Go on for one epoch over these rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.

        Returns
        -------
        self : CBORegressor
            The estimator.
        """
        settings = self._check_parameters()
        first = not hasattr(self, "_trainer")
        X, values = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            multi_output=True,
            y_numeric=True,
            reset=first,
        )
        targets, outputs = encode(values, False)
        self._column = targets.ndim == 1
        self._train_epoch(X, y, targets, outputs, settings)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Return the predicted targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Of the form of the training targets.
        """
        output = self._output(X)
        return output.ravel() if self._column else output

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
