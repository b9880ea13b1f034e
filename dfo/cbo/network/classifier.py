"""Neural network classifier trained by consensus."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from dfo._measure_network import CLASS_LOSSES
from dfo._measure_training import encode
from dfo.cbo.network.mlp import CBOMLP
from farkas.base import certified_fit

Array = NDArray[np.float64]

_SIGMA = math.sqrt(0.4)


class CBOClassifier(ClassifierMixin, CBOMLP):
    """Neural network classifier trained without gradients.

    A population of networks is drawn to its weighted mean on random batches of rows.
    Losses and activations need no derivative: the share of errors can be minimised
    itself. On smooth losses a gradient method is better, and faster.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=()
        Units of the hidden layers; () is a single dense layer.
    activation : {"relu", "tanh", "logistic", "identity", "step"}, default="relu"
        Of every layer. ``"step"`` has no useful gradient, and needs none here.
    batch_norm : bool, default=True
        Normalise every layer by the batch in training, and by
        the training set in ``predict``.
    loss : {"log_loss", "zero_one"}, default="log_loss"
        Cross-entropy divided by the number of classes, or the share of errors.
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
        Weights of the layers as in ``MLPClassifier``.
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
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    CBORegressor : The same for real targets.

    References
    ----------
    Carrillo, Jin, Li, Zhu, arXiv:1909.09249; Riedl, arXiv:2211.12184.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> import farkas
    >>> from dfo import CBOClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = CBOClassifier(max_iter=20, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9), bool(farkas.verify(model, X, y))
    (True, True)
    """

    _losses = CLASS_LOSSES
    _classifier = True

    def __init__(
        self,
        hidden_layer_sizes: Any = (),
        *,
        activation: str = "relu",
        batch_norm: bool = True,
        loss: str = "log_loss",
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
    def fit(self, X: ArrayLike, y: ArrayLike) -> "CBOClassifier":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        self : CBOClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are out of range, or there is one class only.
        """
        settings = self._check_parameters()
        X, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        classes = np.unique(labels)
        if len(classes) < 2:
            raise ValueError(
                f"y holds one class, {classes[0]!r}; a classifier needs at least 2 "
                "classes."
            )
        same = np.array_equal(getattr(self, "classes_", None), classes)
        self.classes_ = classes
        index = encode(labels, True)[0]
        go_on = bool(self.warm_start) and same
        self._train(X, y, index, len(classes), settings, go_on=go_on)
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None
    ) -> "CBOClassifier":
        """Go on for one epoch over these rows, which must hold all classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their labels.
        classes : array-like of shape (n_classes,), optional
            All labels; needed at the first call only, and checked against `y`.

        Returns
        -------
        self : CBOClassifier
            The estimator.

        Raises
        ------
        ValueError
            If a class is missing from `y`.
        """
        settings = self._check_parameters()
        first = not hasattr(self, "_trainer")
        X, labels = validate_data(self, X, y, dtype=np.float64, reset=first)
        check_classification_targets(labels)
        known = np.unique(labels if classes is None else np.asarray(classes))
        if not first:
            known = self.classes_
        if not np.array_equal(np.unique(labels), known):
            raise ValueError(
                f"y holds the classes {np.unique(labels)!r}, not {known!r}; each call "
                "of partial_fit needs rows of every class."
            )
        self.classes_ = known
        index = encode(labels, True)[0]
        self._train_epoch(X, y, index, len(known), settings)
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the logits.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, the difference of their logits.
        """
        output = self._output(X)
        return output[:, 1] - output[:, 0] if output.shape[1] == 2 else output

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most likely class of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples,)
            Class labels.
        """
        index = self._output(X).argmax(axis=1)
        return self.classes_[index]

    @available_if(lambda self: self.loss == "log_loss")
    def predict_proba(self, X: ArrayLike) -> Array:
        """Return class probabilities; only with ``loss="log_loss"``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows sum to one.
        """
        output = self._output(X)
        e = np.exp(output - output.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
