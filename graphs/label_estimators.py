"""The estimator that makes its own noisy labels."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from farkas.base import certified_fit, check_number
from farkas.parallel import seed_sequence
from graphs.diffusion import diffuse
from graphs.estimators import FlowDiffusionClustering
from graphs.labels import NodeLabeler
from graphs.minting import Task


class LabelFlowClustering(FlowDiffusionClustering):
    """Flow diffusion on edges weighted by labels that a classifier makes.

    A few labelled nodes, or none, and node attributes: a classifier labels all nodes,
    and edges between different labels count little. Without labelled nodes a first
    diffusion, free of labels, provides them: the nodes of largest height are taken for
    positive, random nodes that it did not reach for negative.

    Parameters
    ----------
    p : float, default=2
        Norm of the flow, at least 2; larger values leak less and take longer.
    labeler : NodeLabeler, default=None
        What labels the nodes; default: ``NodeLabeler()``.
    n_positive, n_negative : int, default=25
        Nodes that are taken for labelled where none are.
    mass : float or array-like, default=None
        Source mass, in the units of the sinks. Of several values the one whose cluster
        has the smallest conductance is kept. Default: 1.5 times `target_volume` (2.5
        for ``rounding="sweep"``), or eight values from 4 to 200 times the sinks of the
        seeds.
    target_volume : float, default=None
        Capacity of the cluster looked for.
    sinks : {"degree", "unit"} or array-like of shape (n,), default="degree"
        Capacity of each node: its number of neighbours, one, or given.
    label_weight : float, default=0.05
        Factor of edges whose ends have different labels.
    gamma : float or "scale", default=None
        Factor ``exp(-gamma |a_i - a_j|^2)`` from the attributes of the ends.
    rounding : {"support", "sweep"}, default="support"
        The cluster is the whole support, or the best sweep cut.
    solver : {"auto", "sor", "push", "active_set"}, default="auto"
        Over-relaxed pushes, plain pushes, or linear systems on the support.
    omega : float, default=1.6
        Over-relaxation that steps approach, strictly between 0 and 2.
    tol : float, default=1e-3
        Largest proven duality gap, relative to a proven lower bound of the optimum.
    max_iter : int, default=1000
        Largest number of rounds for each mass; rounds grow from 16 pushes.
    affinity : {"auto", "knn", "precomputed", "edges"}, default="auto"
        How to read a dense X: as features whose nearest neighbours are joined, as a
        matrix of weights, or as a list of edges.
    n_neighbors : int, default=10
        Neighbours of each row of features.
    n_jobs : int, default=None
        Workers of ``fit_many``; the results do not depend on it.
    random_state : int, RandomState or None, default=None
        Draws the nodes that are taken for negative.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 every round.

    Attributes
    ----------
    node_labels_ : ndarray of int8, shape (n,)
        The labels that weighted the edges.
    labels_ : ndarray of shape (n,)
        1 for nodes of the cluster, else 0.
    cluster_ : ndarray of int
        Nodes of the cluster, increasing.
    diffusion_ : csr_array of shape (1, n)
        Height of each node.
    conductance_ : float
        Conductance of the cluster, in the graph that diffused.
    sweep_profile_ : dict of ndarray
        Columns ``size``, ``volume``, ``cut``, ``conductance`` of every prefix.
    mass_ : float
        Source mass.
    seeds_ : ndarray of int
        Seeds, increasing.
    nodes_ : list or None
        Names of the nodes, in order, where X had some (networkx, igraph).
    n_touched_ : int
        Nodes that were met.
    n_push_ : int
        Pushes.
    work_ : int
        Edge visits.
    certificate_ : Certificate
        Re-check it with ``farkas.verify(model, X)``; the labels near the cluster are
        part of it. With ``gamma``: ``farkas.verify(model, X, None, attributes)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective`` (dual value), ``certificate``
        (gap) and ``pushes``.
    n_iter_ : int
        Rounds, over all masses.
    status_ : Status
        Why the solver stopped.
    message_ : str
        The same as a sentence.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had any.

    See Also
    --------
    FlowDiffusionClustering : Takes ready labels.

    References
    ----------
    Back de Luca, Fountoulakis, Yang, "Local Graph Clustering with Noisy Labels",
    arXiv:2310.08031.

    Examples
    --------
    >>> import numpy as np
    >>> from graphs import LabelFlowClustering, make_planted_cluster
    >>> A, target = make_planted_cluster(300, 40, 0.3, 0.01, r=0.05, random_state=0)
    >>> noise = np.random.default_rng(0).normal(size=(300, 2)) / 2
    >>> attributes = target[:, None] + noise
    >>> model = LabelFlowClustering(target_volume=600, random_state=0)
    >>> model = model.fit(A, seeds=[0], attributes=attributes)
    >>> bool(model.score(A, target) > 0.8)
    True
    """

    def __init__(
        self,
        p: float = 2,
        *,
        labeler: Any = None,
        n_positive: int = 25,
        n_negative: int = 25,
        mass: Any = None,
        target_volume: float | None = None,
        sinks: Any = "degree",
        label_weight: float = 0.05,
        gamma: Any = None,
        rounding: str = "support",
        solver: str = "auto",
        omega: float = 1.6,
        tol: float = 1e-3,
        max_iter: int = 1000,
        affinity: str = "auto",
        n_neighbors: int = 10,
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            p, mass=mass, target_volume=target_volume, sinks=sinks,
            label_weight=label_weight, gamma=gamma, rounding=rounding, solver=solver,
            omega=omega, tol=tol, max_iter=max_iter, affinity=affinity,
            n_neighbors=n_neighbors, n_jobs=n_jobs, random_state=random_state,
            verbose=verbose,
        )  # fmt: skip
        self.labeler = labeler
        self.n_positive = n_positive
        self.n_negative = n_negative

    @certified_fit
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        seeds: ArrayLike | None = None,
        seed_weights: ArrayLike | None = None,
        attributes: Any = None,
        node_labels: ArrayLike | None = None,
    ) -> "LabelFlowClustering":
        """Label the nodes and find the cluster around the seeds.

        Parameters
        ----------
        X : graph or array-like of shape (n_samples, n_features)
            Anything :func:`check_graph` takes.
        y : array-like of shape (n,), optional
            With a graph: labels 0 and 1 of a few nodes, -1 for unknown; without
            attributes, the noisy labels themselves. With features it is ignored, as
            clusterers do.
        seeds : int or array-like of int, optional
            Default: the node of largest degree, among those labelled 1 if there are
            labels.
        seed_weights : array-like, optional
            How the mass is shared among the seeds; default: equally.
        attributes : array-like or sparse matrix of shape (n, d), optional
            Node attributes for the labeler; default: the features, if X holds some.
        node_labels : array-like of shape (n,), optional
            Labels, whatever X is; replaces y.

        Returns
        -------
        self : LabelFlowClustering
            The fitted estimator.

        Raises
        ------
        ValueError
            If there are neither labels nor attributes, an argument is out of range, or
            no mass fits the component of the seeds.
        """
        options = self._options()
        check_number("n_positive", self.n_positive, low=1, integer=True)
        check_number("n_negative", self.n_negative, low=1, integer=True)
        graph, data = self._read(X)
        given = self._given_labels(graph, y, node_labels)
        if attributes is None:
            attributes = self._features
        if attributes is None and given is None:
            raise ValueError(
                "LabelFlowClustering needs labels (y) or attributes; "
                "FlowDiffusionClustering works without."
            )
        dense = None if self.gamma is None or issparse(attributes) else attributes
        plain = self._task(graph, seeds, seed_weights, None, dense)
        labels = given
        if attributes is not None:
            if given is None:
                given = self._guessed(plain, options)
            labeler = NodeLabeler() if self.labeler is None else self.labeler
            labels = labeler.fit(attributes, given).predict(attributes)
        task = self._task(graph, plain.seeds, None, labels, dense)
        task = Task(
            graph, plain.seeds, plain.shares, task.weighting, task.sinks,
            made_labels=attributes is not None,
        )  # fmt: skip
        self.node_labels_ = labels
        self._store(task, self._run(task, options, X, y, data))
        return self

    def _guessed(self, task: Task, options: Any) -> Any:
        """Take the nodes of largest height for positive, far ones for negative."""
        first = diffuse(task, self._masses(task), options, searching=True)
        n = task.graph.n_nodes
        height = np.zeros(n)
        height[first.x.coords[0]] = first.x.data
        height[task.seeds] = np.inf
        n_positive = min(int(self.n_positive), max(1, n // 4))
        top = np.argsort(-height, kind="stable")[:n_positive]
        top = top[height[top] > 0]
        rng = np.random.default_rng(seed_sequence(self.random_state))
        far = np.flatnonzero(height == 0)
        if not len(far):
            far = np.setdiff1d(np.arange(n), top)
        known = np.full(n, -1, dtype=np.int8)
        known[rng.permutation(far)[: int(self.n_negative)]] = 0
        known[top] = 1
        return known
