"""What all local clusterers share: reading X, storing a result, predicting."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult
from scipy.sparse import coo_array, csr_array, issparse
from scipy.spatial import KDTree
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from farkas.base import CertifiedMixin
from farkas.parallel import pmap
from graphs._measure_graph import Graph, weighted_rows
from graphs._measure_lookup import placed
from graphs.diffusion import INTERRUPTED, diffuse
from graphs.graph import check_graph
from graphs.minting import Task
from graphs.push import Options
from graphs.weights import check_labels

Ints = NDArray[np.int64]

_CHUNK = 16  # sets of seeds a worker takes at a time


class LocalClustering(CertifiedMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the local clusterers; not for direct use."""

    affinity: str
    n_neighbors: int
    n_jobs: int | None

    def fit_predict(self, X: Any, y: Any = None, **fit_params: Any) -> Ints:
        """Fit and return the labels.

        Parameters
        ----------
        X : graph or array-like of shape (n_samples, n_features)
            As for ``fit``.
        y : array-like of shape (n,), optional
            As for ``fit``.
        **fit_params : dict
            Further keywords of ``fit``.

        Returns
        -------
        ndarray of shape (n,)
            1 for nodes of the cluster, else 0.
        """
        return np.asarray(self.fit(X, y, **fit_params).labels_)

    def predict(self, X: Any = None) -> Ints:
        """Tell which nodes are in the cluster.

        Parameters
        ----------
        X : array-like, optional
            Node numbers; or, for a fit on features, rows of features, each of which
            gets the label of the nearest row of the fit. Default: all nodes.

        Returns
        -------
        ndarray of int
            1 for nodes of the cluster, else 0.
        """
        check_is_fitted(self)
        if X is None:
            return np.asarray(self.labels_.copy())
        if self._features is not None and not _is_numbers(X):
            rows = validate_data(self, X, reset=False, dtype=np.float64)
            return np.asarray(self.labels_[KDTree(self._features).query(rows)[1]])
        if not _is_numbers(X):
            return np.asarray(self.labels_.copy())
        nodes = np.asarray(X)
        if len(nodes) and not (0 <= nodes.min() and nodes.max() < len(self.labels_)):
            raise ValueError(
                f"X holds nodes beyond 0 to {len(self.labels_) - 1}, those of the fit."
            )
        return np.asarray(self.labels_[nodes])

    def score(self, X: Any, y: ArrayLike) -> float:
        """F1 score of the cluster against the true one.

        Parameters
        ----------
        X : graph or array-like
            The graph of the fit; or rows of features, which are predicted first.
        y : array-like of shape (n,)
            True, or 1, for nodes of the true cluster.

        Returns
        -------
        float
            Within [0, 1].
        """
        check_is_fitted(self)
        found = self.predict(None if self._features is None else X) == 1
        true = np.asarray(y) == 1
        if true.shape != found.shape:
            raise ValueError(
                f"y must hold {len(found)} entries, got shape {true.shape}."
            )
        total = int(found.sum()) + int(true.sum())
        return 2.0 * int((found & true).sum()) / total if total else 1.0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.affinity == "precomputed"
        return tags

    def _read(self, X: Any) -> tuple[Graph, Any]:
        """Return the graph, and the features if that is what X holds."""
        is_graph = (
            isinstance(X, Graph | str)
            or hasattr(X, "__fspath__")
            or (issparse(X) and X.ndim == 2 and X.shape[0] == X.shape[1])
            or (hasattr(X, "nodes") and hasattr(X, "adjacency"))
            or hasattr(X, "get_edgelist")
        )
        features = None
        if not is_graph:
            least = 2 if self.affinity in ("auto", "knn") else 1
            X = validate_data(self, X, dtype=np.float64, ensure_min_samples=least)
            if self.affinity in ("auto", "knn"):
                features = X
        graph = check_graph(X, affinity=self.affinity, n_neighbors=self.n_neighbors)
        if is_graph:
            self.n_features_in_ = graph.n_nodes
            self.__dict__.pop("feature_names_in_", None)
        self._features = features
        return graph, None if is_graph else X

    def _given_labels(self, graph: Graph, y: Any, node_labels: Any) -> Any:
        if node_labels is not None:
            return check_labels(node_labels, graph.n_nodes, "node_labels")
        if y is None or self._features is not None:
            return None
        return check_labels(y, graph.n_nodes)

    def _default_seed(self, graph: Graph, labels: Any) -> int:
        degree = np.diff(graph.indptr)
        if labels is not None and (np.asarray(labels) == 1).any():
            degree = np.where(np.asarray(labels) == 1, degree, -1)
        return int(np.argmax(degree))

    def _progress(self, graph: Graph) -> Callable[[Any], dict[str, Any]]:
        """Return what makes an intermediate result into fitted attributes."""

        def attributes(progress: Any) -> dict[str, Any]:
            labels = np.zeros(graph.n_nodes, dtype=np.int64)
            labels[progress.nodes[progress.x > 0]] = 1
            return {
                "labels_": labels,
                "n_features_in_": self.n_features_in_,
                "_features": self._features,
            }

        return attributes

    def _store(self, task: Task, result: OptimizeResult) -> None:
        n = task.graph.n_nodes
        self._graph = task.graph
        self.nodes_ = task.graph.names
        self.labels_ = np.zeros(n, dtype=np.int64)
        self.labels_[result.cluster] = 1
        self.cluster_ = result.cluster
        vector = result.x.tocoo()
        row = (np.zeros(vector.nnz, dtype=np.int64), vector.coords[0])
        self.diffusion_ = csr_array(coo_array((vector.data, row), shape=(1, n)))
        self.conductance_ = result.conductance
        self.sweep_profile_ = result.profile
        self.seeds_ = result.seeds
        self.n_touched_ = result.n_touched
        self.n_push_ = result.nit
        self.work_ = result.work
        if "mass" in result:
            self.mass_ = result.mass
        self._weighting = task.weighting
        self._drains = result.get("drains")
        self._record_fit(
            certificate=result.certificate,
            history=result.history,
            n_iter=int(result.history["iteration"][-1]),
            status=result.status,
            message=result.message,
        )
        if result.message == INTERRUPTED:
            raise KeyboardInterrupt

    def _flow(self, p: float) -> Any:
        check_is_fitted(self)
        weighting, n = self._weighting, self._graph.n_nodes
        vector = self.diffusion_.tocoo()
        order = np.argsort(vector.coords[1])
        nodes, x = vector.coords[1][order].astype(np.int64), vector.data[order]
        rows = weighted_rows(
            self._graph, nodes, self.seeds_, weighting.parameters(), weighting.labels,
            weighting.attributes,
        )  # fmt: skip
        near = placed(rows.columns, nodes, n)
        owner, outside = np.repeat(nodes, rows.counts), near.place == 0
        step = np.repeat(x, rows.counts) - near.known(x, 0.0)
        flow = rows.weights * np.copysign(np.abs(step) ** (1.0 / (p - 1.0)), step)
        i = np.concatenate([owner, rows.columns[outside]])
        j = np.concatenate([rows.columns, owner[outside]])
        f = np.concatenate([flow, -flow[outside]])
        flow = csr_array(coo_array((f, (i, j)), shape=(n, n)))
        return flow if self._drains is None else flow + self._drained()

    def _drained(self) -> Any:
        """Return the flow by which surplus leaves the support."""
        n, weighting, (nodes, level, amount, _) = (
            self._graph.n_nodes, self._weighting, self._drains,
        )  # fmt: skip
        rows = weighted_rows(
            self._graph, nodes, self.seeds_, weighting.parameters(), weighting.labels,
            weighting.attributes,
        )  # fmt: skip
        there = placed(rows.columns, nodes, n).known(level, -1)
        down = there < np.repeat(level, rows.counts)
        sent = (rows.weights * np.repeat(amount, rows.counts))[down]
        ends = (np.repeat(nodes, rows.counts)[down], rows.columns[down])
        sent = csr_array(coo_array((sent, ends), shape=(n, n)))
        return sent - sent.T

    def _many(
        self,
        graph: Graph,
        seeds: Any,
        task_of: Callable[[Any], Task],
        job_of: Callable[[Task], tuple[Task, Any, Options]],
    ) -> list[OptimizeResult]:
        jobs = [job_of(task_of(one)) for one in seeds]
        chunks = [jobs[i : i + _CHUNK] for i in range(0, len(jobs), _CHUNK)]
        found = pmap(functools.partial(_diffuse_all), chunks, n_jobs=self.n_jobs)
        return [result for chunk in found for result in chunk]


def _diffuse_all(jobs: list[tuple[Task, Any, Options]]) -> list[OptimizeResult]:
    return [diffuse(task, masses, options) for task, masses, options in jobs]


def _is_numbers(X: Any) -> bool:
    array = X if hasattr(X, "ndim") else np.asarray(X)
    return bool(array.ndim == 1 and np.asarray(array).dtype.kind in "iu")
