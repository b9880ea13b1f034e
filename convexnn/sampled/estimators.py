"""scikit-learn estimators of the sampled convex program."""

from numpy.typing import ArrayLike

from convexnn.outputs import ClassOutputs, TargetOutputs
from convexnn.sampled.mlp import SampledMLP
from convexnn.sampled.units import SCP_LOSSES
from farkas.base import certified_fit


class SCPClassifier(ClassOutputs, SampledMLP):
    """ReLU classifier on random hidden units, whose output weights are proven optimal.

    For each output, with unit vectors ``u_j`` drawn from the sphere::

        min_a  L(sum_j a_j (X u_j)_+, y) + alpha |a|_1

    Its solution is a two-layer ReLU network with the smallest loss plus ``alpha / 2``
    times the sum of squared weights, among networks whose hidden units are multiples of
    the ``u_j``. Several classes are trained one against the rest, on the same units.

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of the penalty against the sum of losses. It assumes standardised
        columns, and corresponds to ``alpha`` of scikit-learn's full-batch
        ``MLPClassifier``.
    n_units : int, default=1000
        Number of hidden units to draw from the sphere. The penalty chooses among them.
    loss : {"squared", "logistic", "hinge"}, default="squared"
        Loss on targets -1 and +1. ``"logistic"`` gives ``predict_proba``.
    fit_intercept : bool, default=True
        Append a constant column, whose weights are penalised like the others.
    intercept_scaling : float, default=1.0
        Value of that column.
    max_iter : int, default=200
        Largest number of rounds of the working set for each output.
    tol : float, default=1e-4
        Largest proven gap, relative to the objective, at which to stop. A fit that a
        limit ends before counts as converged if the gap is at most ``tol`` times the
        loss of the zero network, the scale of its certificate.
    max_time : float, default=None
        Seconds for each output after which the best network so far is kept.
    certificate : {"units", None}, default="units"
        None mints none.
    warm_start : bool, default=False
        Start from the last fit, with its units.
    n_jobs : int, default=None
        Processes for several outputs; the result does not depend on it.
    random_state : int, RandomState or None, default=None
        Determines the units.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 at every round.

    Attributes
    ----------
    coefs_ : list of two ndarray, (n_features, n_hidden) and (n_hidden, n_outputs)
        Weights as in ``MLPClassifier``, of the units in use.
    intercepts_ : list of two ndarray, (n_hidden,) and (n_outputs,)
        Biases as in ``MLPClassifier``.
    n_hidden_ : int
        Number of units in use; each output has its own.
    units_ : ndarray of shape (d, n_units)
        All units that were drawn, of length one; the last row for the intercept.
    unit_coef_ : ndarray of shape (n_outputs, n_units)
        Solution of the l1 program.
    objective_ : float
        Objective of the network, summed over outputs.
    lower_bound_ : float
        Proven lower bound of the program's optimum.
    gap_ : float
        Proven gap of the program.
    certificate_ : Certificate or None
        Re-check it with ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate`` and
        ``lower_bound``.
    n_iter_ : int
        Rounds, of the output that took most.
    status_ : Status
        Why the solver stopped.
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
    SCPRegressor : The same for real targets.
    ConvexMLPClassifier : Chooses the hidden weights as well.
    solve_scp : The solver as a plain function.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965, section 4.

    Examples
    --------
    >>> import farkas
    >>> from convexnn import SCPClassifier
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["even", "odd", "odd", "even"]
    >>> model = SCPClassifier(0.01, random_state=0).fit(X, y)
    >>> model.predict(X).tolist(), model.certificate_.guarantee.name
    (['even', 'odd', 'odd', 'even'], 'GLOBAL')
    >>> bool(farkas.verify(model, X, y))
    True
    """

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> "SCPClassifier":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        self : SCPClassifier
            The fitted estimator.

        Raises
        ------
        TypeError
            If a parameter has the wrong type.
        ValueError
            If a parameter or the data are out of range, or there is one class only.
        """
        settings = self._check_parameters(SCP_LOSSES)
        X = self._validated(X, y)
        self._fit_programs(X, y, "labels", settings)
        return self


class SCPRegressor(TargetOutputs, SampledMLP):
    """ReLU regressor on random hidden units, whose output weights are proven optimal.

    The program is that of :class:`SCPClassifier` with real targets, a Lasso on random
    ReLU features. Standardise the targets, or choose ``alpha`` to their scale.

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of the penalty against the sum of losses. It assumes standardised
        columns, and corresponds to ``alpha`` of scikit-learn's full-batch
        ``MLPRegressor``.
    n_units : int, default=1000
        Number of hidden units to draw from the sphere. The penalty chooses among them.
    loss : {"squared"}, default="squared"
        Half the squared error.
    fit_intercept : bool, default=True
        Append a constant column, whose weights are penalised like the others.
    intercept_scaling : float, default=1.0
        Value of that column.
    max_iter : int, default=200
        Largest number of rounds of the working set for each output.
    tol : float, default=1e-4
        Largest proven gap, relative to the objective, at which to stop. A fit that a
        limit ends before counts as converged if the gap is at most ``tol`` times the
        loss of the zero network, the scale of its certificate.
    max_time : float, default=None
        Seconds for each output after which the best network so far is kept.
    certificate : {"units", None}, default="units"
        None mints none.
    warm_start : bool, default=False
        Start from the last fit, with its units.
    n_jobs : int, default=None
        Processes for several outputs; the result does not depend on it.
    random_state : int, RandomState or None, default=None
        Determines the units.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 at every round.

    Attributes
    ----------
    coefs_ : list of two ndarray, (n_features, n_hidden) and (n_hidden, n_outputs)
        Weights as in ``MLPRegressor``, of the units in use.
    intercepts_ : list of two ndarray, (n_hidden,) and (n_outputs,)
        Biases as in ``MLPRegressor``.
    n_hidden_ : int
        Number of units in use; each output has its own.
    units_ : ndarray of shape (d, n_units)
        All units that were drawn, of length one; the last row for the intercept.
    unit_coef_ : ndarray of shape (n_outputs, n_units)
        Solution of the l1 program.
    objective_ : float
        Objective of the network, summed over outputs.
    lower_bound_ : float
        Proven lower bound of the program's optimum.
    gap_ : float
        Proven gap of the program.
    certificate_ : Certificate or None
        Re-check it with ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate`` and
        ``lower_bound``.
    n_iter_ : int
        Rounds, of the output that took most.
    status_ : Status
        Why the solver stopped.
    message_ : str
        The same as a sentence.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    SCPClassifier : The same for class labels.
    ConvexMLPRegressor : Chooses the hidden weights as well.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import SCPRegressor
    >>> x = np.linspace(-1, 1, 9)[:, None]
    >>> model = SCPRegressor(0.01, random_state=0).fit(x, abs(x).ravel())
    >>> bool(model.score(x, abs(x).ravel()) > 0.99)
    True
    """

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> "SCPRegressor":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; several outputs are independent programs on the same units.

        Returns
        -------
        self : SCPRegressor
            The fitted estimator.

        Raises
        ------
        TypeError
            If a parameter has the wrong type.
        ValueError
            If a parameter or the data are out of range.
        """
        settings = self._check_parameters(("squared",))
        X, _ = self._validated(X, y)
        self._fit_programs(X, y, "none", settings)
        return self
