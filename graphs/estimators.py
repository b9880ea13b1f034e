"""scikit-learn estimators: validate, call the algorithm, store."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from farkas.base import certified_fit
from graphs.clustering import LocalClustering
from graphs.diffusion import diffuse, mass_grid
from graphs.minting import Task
from graphs.neighborhood import Sinks, check_seeds
from graphs.push import Options
from graphs.weights import Weighting


class FlowDiffusionClustering(LocalClustering):
    """Cluster around seed nodes, by spreading mass until it fits its sinks.

    Mass starts at the seeds and flows along edges until every node holds at most its
    sink, at the least possible cost of flow. Nodes that pass mass on form the support,
    and its best sweep cut is the cluster. The work depends on the mass, not on the size
    of the graph, and the result carries a duality gap, together with a lower bound on
    the conductance of every rival cluster around the seeds.

    Parameters
    ----------
    p : float, default=2
        Norm of the flow, at least 2; larger values leak less and take longer.
    mass : float or array-like, default=None
        Source mass, in the units of the sinks. Of several values the one whose cluster
        has the smallest conductance is kept. Default: 2.5 times `target_volume` (1.5
        for ``rounding="support"``), or eight values from 4 to 200 times the sinks of
        the seeds.
    target_volume : float, default=None
        Capacity of the cluster looked for.
    sinks : {"degree", "unit"} or array-like of shape (n,), default="degree"
        Capacity of each node: its number of neighbours, one, or given.
    label_weight : float, default=0.05
        Factor of edges whose ends have different labels.
    gamma : float or "scale", default=None
        Factor ``exp(-gamma |a_i - a_j|^2)`` from the attributes of the ends.
    rounding : {"sweep", "support"}, default="sweep"
        The cluster is the best sweep cut, or the whole support.
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
        Not used: nothing is random.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 every round.

    Attributes
    ----------
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
        Re-check it with ``farkas.verify(model, X)``, with labels
        ``farkas.verify(model, X, y)``, with attributes
        ``farkas.verify(model, X, y, attributes)``.
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
    flow_diffusion : The same as a plain function.

    References
    ----------
    Fountoulakis, Wang, Yang, "p-Norm Flow Diffusion for Local Graph Clustering",
    arXiv:2005.09810. Back de Luca, Fountoulakis, Yang, "Local Graph Clustering with
    Noisy Labels", arXiv:2310.08031.

    Examples
    --------
    >>> import farkas
    >>> from graphs import FlowDiffusionClustering, make_planted_cluster
    >>> A, target = make_planted_cluster(300, 20, 0.7, 0.005, r=0.05, random_state=0)
    >>> model = FlowDiffusionClustering(target_volume=300).fit(A, seeds=[3])
    >>> bool(model.score(A, target) > 0.8)
    True
    >>> bool(farkas.verify(model, A))
    True
    """

    def __init__(
        self,
        p: float = 2,
        *,
        mass: Any = None,
        target_volume: float | None = None,
        sinks: Any = "degree",
        label_weight: float = 0.05,
        gamma: Any = None,
        rounding: str = "sweep",
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
        self.p = p
        self.mass = mass
        self.target_volume = target_volume
        self.sinks = sinks
        self.label_weight = label_weight
        self.gamma = gamma
        self.rounding = rounding
        self.solver = solver
        self.omega = omega
        self.tol = tol
        self.max_iter = max_iter
        self.affinity = affinity
        self.n_neighbors = n_neighbors
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @certified_fit
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        seeds: ArrayLike | None = None,
        seed_weights: ArrayLike | None = None,
        attributes: ArrayLike | None = None,
        node_labels: ArrayLike | None = None,
    ) -> "FlowDiffusionClustering":
        """Find the cluster around the seeds.

        Parameters
        ----------
        X : graph or array-like of shape (n_samples, n_features)
            Anything :func:`check_graph` takes.
        y : array-like of shape (n,) or callable, optional
            With a graph: noisy labels 0 and 1, -1 for unknown, or probabilities of a
            1; a function of node numbers is asked about nodes near the seeds. With
            features it is ignored, as clusterers do.
        seeds : int or array-like of int, optional
            Default: the node of largest degree, among those labelled 1 if there are
            labels.
        seed_weights : array-like, optional
            How the mass is shared among the seeds; default: equally.
        attributes : array-like of shape (n, d), optional
            Node attributes, used with `gamma`.
        node_labels : array-like of shape (n,), optional
            Noisy labels, whatever X is; replaces y.

        Returns
        -------
        self : FlowDiffusionClustering
            The fitted estimator.

        Raises
        ------
        ValueError
            If an argument is out of range, or no mass fits the component of the seeds.
        """
        options = self._options()
        graph, data = self._read(X)
        labels = self._given_labels(graph, y, node_labels)
        task = self._task(graph, seeds, seed_weights, labels, attributes)
        self._store(task, self._run(task, options, X, y, data))
        return self

    def fit_many(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        seeds: Any,
        attributes: ArrayLike | None = None,
        node_labels: ArrayLike | None = None,
    ) -> list[OptimizeResult]:
        """Find one cluster for each set of seeds, in parallel on a shared graph.

        Parameters
        ----------
        X : graph or array-like of shape (n_samples, n_features)
            As for ``fit``.
        y : array-like of shape (n,), optional
            As for ``fit``.
        seeds : sequence of int or of array-like of int
            One set of seeds for each result.
        attributes : array-like of shape (n, d), optional
            Node attributes.
        node_labels : array-like of shape (n,), optional
            Noisy labels, whatever X is.

        Returns
        -------
        list of OptimizeResult
            As of :func:`flow_diffusion`, in the order of `seeds`. The estimator itself
            stays as it is.
        """
        options = self._options()
        graph, _ = self._read(X)
        labels = self._given_labels(graph, y, node_labels)
        return self._many(
            graph, seeds, lambda s: self._task(graph, s, None, labels, attributes),
            lambda task: (task, self._masses(task), options),
        )  # fmt: skip

    @property
    def flow_(self) -> Any:
        """Flow on the edges at the support, as a sparse (n, n) antisymmetric array.

        Returns
        -------
        csr_array of shape (n, n)
            ``f_ij`` is what i sends to j.
        """
        return self._flow(float(self.p))

    def _options(self) -> Options:
        return Options(
            self.p, 0.0, self.rounding, 0.0, self.solver, self.omega, self.tol,
            self.max_iter, True, self.verbose,
        ).checked()  # fmt: skip

    def _task(
        self, graph: Any, seeds: Any, seed_weights: Any, labels: Any, attributes: Any
    ) -> Task:
        chosen = self._default_seed(graph, labels) if seeds is None else seeds
        nodes, shares = check_seeds(chosen, graph.n_nodes, seed_weights)
        weighting = Weighting.validated(
            graph, nodes, labels, self.label_weight, 1.0, attributes, self.gamma
        )
        sinks = Sinks.validated(self.sinks, graph.n_nodes)
        return Task(graph, nodes, shares, weighting, sinks)

    def _masses(self, task: Task) -> NDArray[np.float64]:
        return mass_grid(
            task.graph, task.sinks, task.seeds, self.mass, self.target_volume,
            self.rounding,
        )  # fmt: skip

    def _run(
        self, task: Task, options: Options, X: Any, y: Any, data: Any
    ) -> OptimizeResult:
        callback = self._solver_callback(
            X, y, reconstruction_attributes=self._progress(task.graph)
        )
        return diffuse(
            task, self._masses(task), options, callback=callback, data=data,
            searching=self.mass is None and self.target_volume is None,
            name=type(self).__name__,
        )  # fmt: skip
