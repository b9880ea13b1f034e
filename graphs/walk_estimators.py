"""scikit-learn estimators of the walks: PageRank and the heat kernel."""

from typing import Any

from numpy.typing import ArrayLike

from farkas.base import certified_fit, check_choice, check_number
from farkas.history import Recorder
from graphs.clustering import LocalClustering
from graphs.heat import run_heat
from graphs.neighborhood import check_seeds
from graphs.pagerank import Rounds, run_appr, run_l1
from graphs.spectral import Spectral
from graphs.weights import Weighting


class PageRankClustering(LocalClustering):
    """Cluster around seed nodes, by the sweep cut of personalised PageRank.

    Parameters
    ----------
    method : {"push", "l1"}, default="push"
        Push residual mass until the error per degree is at most `tol`, or minimise the
        l1-regularised program to the relative gap `tol`.
    teleport : float, default=0.1
        Probability of a return to the seeds in each step of the lazy walk.
    rho : float, default=1e-4
        Penalty of ``method="l1"``; the volume of the support is at most ``1 / rho``.
    label_weight : float, default=0.05
        Factor of edges whose ends have different labels.
    tol : float, default=1e-5
        See `method`.
    max_iter : int, default=1000
        Largest number of rounds; a round is 16 pushes at first, then twice as many.
    affinity : {"auto", "knn", "precomputed", "edges"}, default="auto"
        How to read a dense X: as features whose nearest neighbours are joined, as a
        matrix of weights, or as a list of edges.
    n_neighbors : int, default=10
        Neighbours of each row of features.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 every round.

    Attributes
    ----------
    labels_ : ndarray of shape (n,)
        1 for nodes of the cluster, else 0.
    cluster_ : ndarray of int
        Nodes of the cluster, increasing.
    diffusion_ : csr_array of shape (1, n)
        The PageRank vector.
    conductance_ : float
        Conductance of the cluster, in the graph that was walked on.
    sweep_profile_ : dict of ndarray
        Columns ``size``, ``volume``, ``cut``, ``conductance`` of every prefix.
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
        ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate`` and
        ``pushes``.
    n_iter_ : int
        Rounds.
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
    approximate_pagerank : The push as a plain function.
    l1_pagerank : The program as a plain function.

    References
    ----------
    Andersen, Chung, Lang, "Local graph partitioning using PageRank vectors", FOCS 2006.

    Examples
    --------
    >>> from graphs import PageRankClustering, make_planted_cluster
    >>> A, target = make_planted_cluster(300, 20, 0.7, 0.005, r=0.05, random_state=0)
    >>> model = PageRankClustering().fit(A, seeds=[3])
    >>> bool(model.score(A, target) > 0.8)
    True
    """

    def __init__(
        self,
        method: str = "push",
        *,
        teleport: float = 0.1,
        rho: float = 1e-4,
        label_weight: float = 0.05,
        tol: float = 1e-5,
        max_iter: int = 1000,
        affinity: str = "auto",
        n_neighbors: int = 10,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.teleport = teleport
        self.rho = rho
        self.label_weight = label_weight
        self.tol = tol
        self.max_iter = max_iter
        self.affinity = affinity
        self.n_neighbors = n_neighbors
        self.verbose = verbose

    @certified_fit
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        seeds: ArrayLike | None = None,
        seed_weights: ArrayLike | None = None,
        node_labels: ArrayLike | None = None,
    ) -> "PageRankClustering":
        """Find the cluster around the seeds.

        Parameters
        ----------
        X : graph or array-like of shape (n_samples, n_features)
            Anything :func:`check_graph` takes.
        y : array-like of shape (n,), optional
            With a graph: noisy labels 0 and 1, -1 for unknown, or probabilities of a
            1. With features it is ignored, as clusterers do.
        seeds : int or array-like of int, optional
            Default: the node of largest degree, among those labelled 1 if there are
            labels.
        seed_weights : array-like, optional
            How the walk chooses among the seeds; default: equally.
        node_labels : array-like of shape (n,), optional
            Noisy labels, whatever X is; replaces y.

        Returns
        -------
        self : PageRankClustering
            The fitted estimator.

        Raises
        ------
        ValueError
            If an argument is out of range, or a seed has no edges.
        """
        check_choice("method", self.method, ("push", "l1"))
        check_number("teleport", self.teleport, low=0, high=1, inclusive="neither")
        check_number("rho", self.rho, low=0, inclusive="neither")
        task, data, rounds = _prepared(self, X, y, seeds, seed_weights, node_labels)
        alpha = float(self.teleport)
        if self.method == "push":
            found = run_appr(
                task, alpha, float(self.tol), self.max_iter, rounds, True, data
            )
        else:
            found = run_l1(
                task, alpha, float(self.rho), "cd", float(self.tol), self.max_iter,
                rounds, True, data,
            )  # fmt: skip
        self._store(task, found)
        return self


class HeatKernelClustering(LocalClustering):
    """Cluster around seed nodes, by the sweep cut of the heat kernel.

    Parameters
    ----------
    t : float, default=5
        Time of the diffusion.
    label_weight : float, default=0.05
        Factor of edges whose ends have different labels.
    tol : float, default=1e-4
        Largest error per degree.
    max_iter : int, default=1000
        Largest number of rounds; a round is 16 pushes at first, then twice as many.
    affinity : {"auto", "knn", "precomputed", "edges"}, default="auto"
        How to read a dense X: as features whose nearest neighbours are joined, as a
        matrix of weights, or as a list of edges.
    n_neighbors : int, default=10
        Neighbours of each row of features.
    verbose : {0, 1, 2}, default=0
        1 prints a line now and then, 2 every round.

    Attributes
    ----------
    labels_ : ndarray of shape (n,)
        1 for nodes of the cluster, else 0.
    cluster_ : ndarray of int
        Nodes of the cluster, increasing.
    diffusion_ : csr_array of shape (1, n)
        The heat kernel vector.
    conductance_ : float
        Conductance of the cluster, in the graph that was walked on.
    sweep_profile_ : dict of ndarray
        Columns ``size``, ``volume``, ``cut``, ``conductance`` of every prefix.
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
        ``farkas.verify(model, X, y)``.
    history_ : dict of ndarray
        Columns ``iteration``, ``elapsed``, ``objective``, ``certificate`` and
        ``pushes``.
    n_iter_ : int
        Rounds.
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
    heat_kernel : The same as a plain function.

    References
    ----------
    Kloster, Gleich, "Heat kernel based community detection", arXiv:1403.3148.

    Examples
    --------
    >>> from graphs import HeatKernelClustering, make_planted_cluster
    >>> A, target = make_planted_cluster(300, 20, 0.7, 0.005, r=0.05, random_state=0)
    >>> model = HeatKernelClustering().fit(A, seeds=[3])
    >>> bool(model.score(A, target) > 0.8)
    True
    """

    def __init__(
        self,
        t: float = 5.0,
        *,
        label_weight: float = 0.05,
        tol: float = 1e-4,
        max_iter: int = 1000,
        affinity: str = "auto",
        n_neighbors: int = 10,
        verbose: int = 0,
    ) -> None:
        self.t = t
        self.label_weight = label_weight
        self.tol = tol
        self.max_iter = max_iter
        self.affinity = affinity
        self.n_neighbors = n_neighbors
        self.verbose = verbose

    @certified_fit
    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        seeds: ArrayLike | None = None,
        seed_weights: ArrayLike | None = None,
        node_labels: ArrayLike | None = None,
    ) -> "HeatKernelClustering":
        """Find the cluster around the seeds.

        Parameters
        ----------
        X : graph or array-like of shape (n_samples, n_features)
            Anything :func:`check_graph` takes.
        y : array-like of shape (n,), optional
            With a graph: noisy labels 0 and 1, -1 for unknown, or probabilities of a
            1. With features it is ignored, as clusterers do.
        seeds : int or array-like of int, optional
            Default: the node of largest degree, among those labelled 1 if there are
            labels.
        seed_weights : array-like, optional
            How the walk chooses among the seeds; default: equally.
        node_labels : array-like of shape (n,), optional
            Noisy labels, whatever X is; replaces y.

        Returns
        -------
        self : HeatKernelClustering
            The fitted estimator.

        Raises
        ------
        ValueError
            If an argument is out of range, or a seed has no edges.
        """
        check_number("t", self.t, low=0, high=500, inclusive="right")
        task, data, rounds = _prepared(self, X, y, seeds, seed_weights, node_labels)
        self._store(
            task,
            run_heat(
                task, float(self.t), float(self.tol), self.max_iter, rounds, True, data
            ),
        )
        return self


def _prepared(
    model: Any, X: Any, y: Any, seeds: Any, seed_weights: Any, node_labels: Any
) -> tuple[Spectral, Any, Rounds]:
    """Check what both estimators take; return the task, its data and the rounds."""
    check_number("tol", model.tol, low=0, inclusive="neither")
    check_number("max_iter", model.max_iter, low=1, integer=True)
    graph, data = model._read(X)
    labels = model._given_labels(graph, y, node_labels)
    chosen = model._default_seed(graph, labels) if seeds is None else seeds
    nodes, share = check_seeds(chosen, graph.n_nodes, seed_weights)
    weighting = Weighting.validated(graph, nodes, labels, model.label_weight)
    recorder = Recorder(
        columns=("pushes",), verbose=model.verbose, name=type(model).__name__
    )
    callback = model._solver_callback(
        X, y, reconstruction_attributes=model._progress(graph)
    )
    task = Spectral(graph, nodes, share, weighting)
    return task, data, Rounds(recorder, callback)
