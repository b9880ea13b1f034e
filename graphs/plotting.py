"""Drawings of local clusters; matplotlib is loaded when one is made."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from farkas.plotting import BLUE, GREEN, GREY, ORANGE
from graphs.graph import check_graph
from graphs.sweep import support_of


def _axes(ax: Any) -> Any:
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_sweep(result: Any, *, ax: Any = None) -> Any:
    """Draw the conductance of every prefix of a sweep, and mark the cluster.

    Parameters
    ----------
    result : OptimizeResult or estimator
        Has ``profile`` or ``sweep_profile_``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn into.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from graphs import flow_diffusion, load_karate_club
    >>> A, faction = load_karate_club()
    >>> plot_sweep(flow_diffusion(A, 0, mass=60)).get_ylabel()
    'conductance'
    """
    profile = getattr(result, "sweep_profile_", None) or result.profile
    cluster = getattr(result, "cluster_", None)
    size = len(result.cluster if cluster is None else cluster)
    ax = _axes(ax)
    ax.plot(profile["size"], profile["conductance"], color=BLUE, lw=1.6)
    at = min(size, len(profile["size"])) - 1
    if at >= 0:
        ax.plot(profile["size"][at], profile["conductance"][at], "o", color=ORANGE)
    ax.set(xlabel="nodes in the prefix", ylabel="conductance", ylim=(0, 1.02))
    return ax


def plot_ncp(profile: Any, *, ax: Any = None) -> Any:
    """Draw a community profile: all records, their envelope and its convex hull.

    Parameters
    ----------
    profile : OptimizeResult
        From :func:`ncp_profile`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Both axes are logarithmic.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from graphs import load_karate_club, ncp_profile
    >>> plot_ncp(ncp_profile(load_karate_club()[0])).get_xscale()
    'log'
    """
    ax = _axes(ax)
    records, envelope = profile.records, profile.envelope
    kept = records["conductance"] > 0
    ax.plot(
        records["size"][kept], records["conductance"][kept], ".", color=GREY, ms=2,
        alpha=0.4, label="best prefixes of single sweeps",
    )  # fmt: skip
    positive = envelope[envelope["conductance"] > 0]
    ax.plot(
        positive["size"], positive["conductance"], color=BLUE, lw=1.8, label="envelope"
    )
    corners = _hull(np.log(positive["size"]), np.log(positive["conductance"]))
    ax.plot(
        positive["size"][corners], positive["conductance"][corners], "o", color=ORANGE,
        ms=5, mfc="none", label="convex hull",
    )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="nodes", ylabel="conductance")
    ax.legend(frameon=False)
    return ax


def _hull(x: Any, y: Any) -> list[int]:
    """Return the corners of the lower convex hull of points with increasing x."""
    corners: list[int] = []
    for k in range(len(x)):
        while len(corners) > 1:
            i, j = corners[-2:]
            if (x[j] - x[i]) * (y[k] - y[i]) > (y[j] - y[i]) * (x[k] - x[i]):
                break
            corners.pop()
        corners.append(k)
    return corners


def plot_graph(
    graph: Any,
    positions: ArrayLike,
    *,
    x: Any = None,
    cluster: ArrayLike | None = None,
    ax: Any = None,
) -> Any:
    """Draw a small graph, heights as colour and the cluster outlined.

    Parameters
    ----------
    graph : graph
        Anything :func:`check_graph` takes.
    positions : array-like of shape (n, 2)
        Where the nodes are.
    x : array-like or sparse vector of shape (n,), optional
        Heights.
    cluster : array-like of int, optional
        Nodes to outline.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn into.

    Raises
    ------
    ValueError
        If positions are not two numbers a node.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from graphs import check_graph
    >>> square = check_graph([[0, 1], [1, 2], [2, 3], [3, 0]], affinity="edges")
    >>> len(plot_graph(square, [[0, 0], [0, 1], [1, 1], [1, 0]]).collections)
    2
    """
    from matplotlib.collections import LineCollection

    graph = check_graph(graph)
    place = np.asarray(positions, dtype=float)
    if place.shape != (graph.n_nodes, 2):
        raise ValueError(
            f"positions must have shape ({graph.n_nodes}, 2), got {place.shape}."
        )
    ax = _axes(ax)
    owner = np.repeat(np.arange(graph.n_nodes), np.diff(graph.indptr))
    once = owner < graph.indices
    segments = place[np.stack([owner[once], graph.indices[once]], axis=1)]
    ax.add_collection(LineCollection(segments, colors=GREY, lw=0.6, alpha=0.5))
    height = np.zeros(graph.n_nodes)
    if x is not None:
        nodes, values = support_of(x, graph.n_nodes)
        height[nodes] = values
    ax.scatter(
        *place.T, c=height, cmap="Blues", s=60, edgecolors=GREY, linewidths=0.6,
        zorder=2,
    )  # fmt: skip
    if cluster is not None:
        inside = np.asarray(cluster)
        ax.scatter(
            *place[inside].T, s=110, facecolors="none", edgecolors=ORANGE,
            linewidths=1.6, zorder=3,
        )  # fmt: skip
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)
    return ax


def plot_progress(result: Any, *, ax: Any = None) -> Any:
    """Draw how the dual value grew with the pushes, and where the optimum lies.

    Parameters
    ----------
    result : OptimizeResult or estimator
        Of a flow diffusion with one source mass.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The axes that were drawn into.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from graphs import flow_diffusion, load_karate_club
    >>> plot_progress(flow_diffusion(load_karate_club()[0], 0, mass=60)).get_xlabel()
    'pushes'
    """
    history = getattr(result, "history_", None) or result.history
    certificate = getattr(result, "certificate_", None) or result.certificate
    ax = _axes(ax)
    ax.plot(history["pushes"], history["objective"], "o-", color=BLUE, ms=4)
    ax.axhspan(certificate.lower, certificate.upper, color=GREEN, alpha=0.5, lw=1)
    ax.set(xlabel="pushes", ylabel="dual value")
    return ax
