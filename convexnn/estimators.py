"""scikit-learn estimators: validate, call the solver, store."""

from typing import Any

from numpy.typing import ArrayLike
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from convexnn.mlp import ConvexMLP
from convexnn.outputs import ClassOutputs, TargetOutputs
from farkas.base import certified_fit


class ConvexMLPClassifier(ClassOutputs, ConvexMLP):
    """Two-layer ReLU classifier trained to the proven optimum of a convex program.

    For each output the program is, with ``D_i`` the activation patterns and
    ``S_i = 2 D_i - I``::

        min  L(sum_i D_i X (v_i - w_i), y) + alpha sum_i (|v_i| + |w_i|)
        s.t. S_i X v_i >= 0,  S_i X w_i >= 0

    Its solution is a network with the smallest loss plus ``alpha / 2`` times the sum of
    squared weights, among networks whose hidden units keep to the patterns. Several
    classes are trained one against the rest, on one factorisation.

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of the penalty against the sum of losses. It assumes standardised
        columns, and corresponds to ``alpha`` of scikit-learn's full-batch
        ``MLPClassifier``. 0 is allowed for ``activation="gated"`` with the squared
        loss.
    n_patterns : int, default=100
        Number of activation patterns to sample; small data may have fewer. With
        ``refine``, the number of random starts of each search for better ones.
    patterns : str, array-like of shape (n_samples, P) or PatternSet, default="gaussian"
        ``"gaussian"``, ``"data"`` and ``"sparse"`` name a sampling method of
        :func:`sample_patterns`; ``"all"`` enumerates, which small data allow.
    activation : {"relu", "gated"}, default="relu"
        ``"gated"`` drops the constraints: units ``1[x'g_i >= 0] x'u_i`` with fixed
        gates, cheaper to train but no longer a ReLU network.
    loss : {"squared", "logistic", "hinge"}, default="squared"
        Loss on targets -1 and +1. ``"logistic"`` gives ``predict_proba``.
    multi_class : {"ovr", "joint"}, default="ovr"
        ``"ovr"`` solves one program for each output. ``"joint"`` solves one for all,
        whose gated units all outputs share, with the penalty ``alpha sum_i |U_i|_F``;
        for class labels the logistic loss is then that of the softmax.
    refine : int, default=10
        Largest number of rounds in which the patterns are improved, by asking the dual
        point of the program which units it lacks; see :mod:`convexnn.refine`. Each
        output then has patterns of its own. 0 keeps the sampled patterns, as gated
        units and patterns that are given or enumerated always do.
    init : {"network", "gaussian"}, default="network"
        How refinement begins: with patterns of a network that descends on all its
        weights, or with the program on ``min(40, n_patterns)`` sampled patterns.
    eps : float or array-like of shape (n_features,), default=0.0
        Radius of perturbations against which to train, of all columns or of each: the
        loss of a row becomes its largest over the box of that radius around it. With
        it the patterns are those of :func:`sample_robust_patterns`, and ``refine`` has
        no effect.
    solver : {"auto", "admm", "rbcd", "cvxpy"}, default="auto"
        ``"auto"`` is ``"admm"``. ``"rbcd"`` replaces its linear systems by randomised
        block coordinate descent; ``"cvxpy"`` is a slow second opinion.
    fit_intercept : bool, default=True
        Append a constant column, whose weights are penalised like the others.
    intercept_scaling : float, default=1.0
        Value of that column.
    max_iter : int, default=5000
        Largest number of iterations for each output.
    tol : float, default=1e-4
        Largest proven gap, relative to the objective, at which to stop. A fit that a
        limit ends before counts as converged if the gap is at most ``tol`` times the
        loss of the zero network, the scale of its certificate.
    max_time : float, default=None
        Seconds for each output after which the best network so far is kept.
    rho : float or "auto", default="auto"
        First penalty parameter of ADMM; it is adapted.
    certificate : {"patterns", "global", None}, default="patterns"
        ``"global"`` bounds the objective of networks of any width: by enumeration
        with ``patterns="all"``, else by a relaxation, which takes minutes for some
        hundred rows; ``tol`` and ``max_time`` limit it too. Its gap may be large, and
        that is no failure of the fit. None mints none.
    warm_start : bool, default=False
        Start from the last fit, with its gates.
    n_jobs : int, default=None
        Processes for several classes; the result does not depend on it.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the iterations run.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the iterations, see :func:`solve_relu`; of the certificate it is
        double always.
    random_state : int, RandomState or None, default=None
        Determines the sampled patterns.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 at every check.

    Attributes
    ----------
    coefs_ : list of two ndarray, (n_features, n_hidden) and (n_hidden, n_outputs)
        Weights as in ``MLPClassifier``; ReLU only.
    intercepts_ : list of two ndarray, (n_hidden,) and (n_outputs,)
        Biases as in ``MLPClassifier``; ReLU only.
    weights_ : ndarray of shape (n_outputs, d, P)
        Weights of the gated units, the last row for the intercept; gated only.
    n_hidden_ : int
        Number of units.
    patterns_ : PatternSet
        Activation patterns of the training data, and their gates.
    objective_ : float
        Objective of the network itself, summed over outputs.
    lower_bound_ : float
        Proven lower bound of the program's optimum.
    search_ratio_ : float
        Largest ``|theta'(X u)_+| / (alpha |u|)`` that a search over units of any
        pattern has found, theta being the program's dual point. Above 1, such a unit
        improves the network; near 1, none was found. Refined fits only.
    gap_ : float
        Proven gap of the program.
    certificate_ : Certificate or None
        Re-check it with ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate`` and
        ``lower_bound``.
    n_iter_ : int
        Iterations, of the output that took most.
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
    ConvexMLPRegressor : The same for real targets.
    solve_relu : The solver as a plain function.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965.

    Examples
    --------
    >>> import farkas
    >>> from convexnn import ConvexMLPClassifier
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["even", "odd", "odd", "even"]
    >>> model = ConvexMLPClassifier(0.01, patterns="all").fit(X, y)
    >>> model.predict(X).tolist(), model.certificate_.guarantee.name
    (['even', 'odd', 'odd', 'even'], 'GLOBAL')
    >>> bool(farkas.verify(model, X, y))
    True
    """

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> "ConvexMLPClassifier":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Class labels.

        Returns
        -------
        self : ConvexMLPClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are out of range, or there is one class only.
        """
        settings = self._check_parameters(("squared", "logistic", "hinge"))
        X = self._validated(X, y)
        self._fit_programs(X, y, "labels", settings)
        return self

    @available_if(lambda self: self.activation == "relu")
    def robust_score(
        self, X: ArrayLike, y: ArrayLike, eps: Any = None, *, attack: str = "pgd"
    ) -> float:
        """Return the accuracy under attack, at least that under the worst perturbation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,)
            Class labels.
        eps : float or array-like of shape (n_features,), optional
            Radius; default: that of the fit.
        attack : {"pgd", "fgsm", "none"}, default="pgd"
            Attack; see :func:`robust_score`, which takes further options.

        Returns
        -------
        float
            Share of rows that keep their class.
        """
        from convexnn.robust.attacks import robust_score

        check_is_fitted(self)
        radius = self.eps if eps is None else eps
        options = {"random_state": self.random_state} if attack == "pgd" else {}
        return robust_score(self, X, y, radius, attack=attack, **options)

    @available_if(lambda self: self.activation == "relu")
    def certified_score(self, X: ArrayLike, y: ArrayLike, eps: Any = None) -> float:
        """Return a proven lower bound of the accuracy under any perturbation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples,)
            Class labels.
        eps : float or array-like of shape (n_features,), optional
            Radius; default: that of the fit.

        Returns
        -------
        float
            Share of rows that keep their class on their whole box.
        """
        from convexnn.robust.attacks import certified_score

        check_is_fitted(self)
        return certified_score(self, X, y, self.eps if eps is None else eps)


class ConvexMLPRegressor(TargetOutputs, ConvexMLP):
    """Two-layer ReLU regressor trained to the proven optimum of a convex program.

    The program is that of :class:`ConvexMLPClassifier` with real targets. Standardise
    them, or choose ``alpha`` to their scale.

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of the penalty against the sum of losses. It assumes standardised
        columns, and corresponds to ``alpha`` of scikit-learn's full-batch
        ``MLPRegressor``. 0 is allowed for ``activation="gated"`` with the squared loss.
    n_patterns : int, default=100
        Number of activation patterns to sample; small data may have fewer. With
        ``refine``, the number of random starts of each search for better ones.
    patterns : str, array-like of shape (n_samples, P) or PatternSet, default="gaussian"
        ``"gaussian"``, ``"data"`` and ``"sparse"`` name a sampling method of
        :func:`sample_patterns`; ``"all"`` enumerates, which small data allow.
    activation : {"relu", "gated"}, default="relu"
        ``"gated"`` drops the constraints: units ``1[x'g_i >= 0] x'u_i`` with fixed
        gates, cheaper to train but no longer a ReLU network.
    loss : {"squared", "huber"}, default="squared"
        ``"huber"`` is quadratic up to residuals of 1.35, then linear.
    multi_class : {"ovr", "joint"}, default="ovr"
        ``"ovr"`` solves one program for each output. ``"joint"`` solves one for all,
        whose gated units all outputs share, with the penalty ``alpha sum_i |U_i|_F``;
        for class labels the logistic loss is then that of the softmax.
    refine : int, default=10
        Largest number of rounds in which the patterns are improved, by asking the dual
        point of the program which units it lacks; see :mod:`convexnn.refine`. Each
        output then has patterns of its own. 0 keeps the sampled patterns, as gated
        units and patterns that are given or enumerated always do.
    init : {"network", "gaussian"}, default="network"
        How refinement begins: with patterns of a network that descends on all its
        weights, or with the program on ``min(40, n_patterns)`` sampled patterns.
    eps : float or array-like of shape (n_features,), default=0.0
        Radius of perturbations against which to train, of all columns or of each: the
        loss of a row becomes its largest over the box of that radius around it. With
        it the patterns are those of :func:`sample_robust_patterns`, and ``refine`` has
        no effect.
    solver : {"auto", "admm", "rbcd", "cvxpy"}, default="auto"
        ``"auto"`` is ``"admm"``. ``"rbcd"`` replaces its linear systems by randomised
        block coordinate descent; ``"cvxpy"`` is a slow second opinion.
    fit_intercept : bool, default=True
        Append a constant column, whose weights are penalised like the others.
    intercept_scaling : float, default=1.0
        Value of that column.
    max_iter : int, default=5000
        Largest number of iterations for each output.
    tol : float, default=1e-4
        Largest proven gap, relative to the objective, at which to stop. A fit that a
        limit ends before counts as converged if the gap is at most ``tol`` times the
        loss of the zero network, the scale of its certificate.
    max_time : float, default=None
        Seconds for each output after which the best network so far is kept.
    rho : float or "auto", default="auto"
        First penalty parameter of ADMM; it is adapted.
    certificate : {"patterns", "global", None}, default="patterns"
        ``"global"`` bounds the objective of networks of any width: by enumeration
        with ``patterns="all"``, else by a relaxation, which takes minutes for some
        hundred rows; ``tol`` and ``max_time`` limit it too. Its gap may be large, and
        that is no failure of the fit. None mints none.
    warm_start : bool, default=False
        Start from the last fit, with its gates.
    n_jobs : int, default=None
        Processes for several outputs; the result does not depend on it.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the iterations run.
    dtype : {"float64", "float32"}, default="float64"
        Precision of the iterations, see :func:`solve_relu`; of the certificate it is
        double always.
    random_state : int, RandomState or None, default=None
        Determines the sampled patterns.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 at every check.

    Attributes
    ----------
    coefs_ : list of two ndarray, (n_features, n_hidden) and (n_hidden, n_outputs)
        Weights as in ``MLPRegressor``; ReLU only.
    intercepts_ : list of two ndarray, (n_hidden,) and (n_outputs,)
        Biases as in ``MLPRegressor``; ReLU only.
    weights_ : ndarray of shape (n_outputs, d, P)
        Weights of the gated units, the last row for the intercept; gated only.
    n_hidden_ : int
        Number of units.
    patterns_ : PatternSet
        Activation patterns of the training data, and their gates.
    objective_ : float
        Objective of the network itself, summed over outputs.
    lower_bound_ : float
        Proven lower bound of the program's optimum.
    search_ratio_ : float
        Largest ``|theta'(X u)_+| / (alpha |u|)`` that a search over units of any
        pattern has found, theta being the program's dual point. Above 1, such a unit
        improves the network; near 1, none was found. Refined fits only.
    gap_ : float
        Proven gap of the program.
    certificate_ : Certificate or None
        Re-check it with ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate`` and
        ``lower_bound``.
    n_iter_ : int
        Iterations, of the output that took most.
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
    ConvexMLPClassifier : The same for class labels.

    References
    ----------
    Bai, Gautam, Sojoudi, "Efficient Global Optimization of Two-Layer ReLU Networks",
    arXiv:2201.01965.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import ConvexMLPRegressor
    >>> x = np.linspace(-1, 1, 9)[:, None]
    >>> model = ConvexMLPRegressor(0.01, patterns="all").fit(x, abs(x).ravel())
    >>> bool(model.score(x, abs(x).ravel()) > 0.99)
    True
    """

    @certified_fit
    def fit(self, X: ArrayLike, y: ArrayLike) -> "ConvexMLPRegressor":
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets; several outputs are independent programs on the same patterns.

        Returns
        -------
        self : ConvexMLPRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are out of range.
        """
        settings = self._check_parameters(("squared", "huber"))
        X, targets = self._validated(X, y)
        self._fit_programs(X, targets, "none", settings)
        return self
