"""The arithmetic behind the certificates of heat kernels, NumPy only.

``h = exp(-t (I - A D^-1)) s`` by its Taylor series. Each level has a residual, which
the later levels multiply by ``psi_j`` at most, and the walk matrix maps D to D: so
residuals per degree bound the error per degree (arXiv:1403.3148).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farkas.certificate import CertificateError, Guarantee, Parameter
from farkas.verification import Measurement, problem
from graphs._measure_graph import EPS
from graphs._measure_pagerank import (
    ASSUMPTIONS,
    cluster_numbers,
    finite,
    largest_per_degree,
    read_near,
    walked,
    within,
)

_MOST_LEVELS, _MOST_TIME = 1000, 500.0


@problem("graphs.heat_kernel/1", data=("graph",))
def measure_heat_kernel(
    graph: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Proven error per degree of a heat kernel vector.

    Parameters
    ----------
    graph : callable, sparse matrix or ndarray
        See :func:`graphs._measure_graph.as_graph`.
    witness : mapping
        ``nodes`` (k,) increasing; ``levels`` (k, N + 1), the terms of the Taylor series
        over the degrees, so that the vector is ``exp(-t) D sum_j levels_j``;
        ``cluster``, ``seeds``, ``share``.
    parameters : mapping
        ``t`` and how to read the graph.

    Returns
    -------
    Measurement
        ``value`` bounds ``|h_i - x_i| / d_i`` over all nodes.

    Raises
    ------
    CertificateError
        If the witness is malformed.
    """
    return _measure_heat(graph, None, witness, parameters)


@problem("graphs.label_heat_kernel/1", data=("graph", "labels"))
def measure_label_heat_kernel(
    graph: Any,
    labels: Any,
    *,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    """Proven error per degree of a heat kernel on label-weighted edges.

    Parameters
    ----------
    graph, labels : ndarray or callable
        Graph, and one label a node.
    witness, parameters : mapping
        See :func:`measure_heat_kernel`.

    Returns
    -------
    Measurement
    """
    return _measure_heat(graph, labels, witness, parameters)


def _measure_heat(
    graph: Any,
    labels: Any,
    witness: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Parameter],
) -> Measurement:
    near = read_near(graph, labels, witness, parameters)
    t = within("t", parameters["t"], 0.0, _MOST_TIME, closed=True)
    columns = np.asarray(witness["levels"]).size // max(1, len(near.nodes))
    if not 1 <= columns <= _MOST_LEVELS:
        raise CertificateError(f"levels must have 1 to {_MOST_LEVELS} columns.")
    levels = finite("levels", witness["levels"], (len(near.nodes), columns))
    N, s = columns - 1, near.start
    psi = _taylor_weights(t, N)
    # Residuals of level j + 1: t/(j+1) A levels_j - D levels_{j+1}, and s at level 0.
    total = 0.0
    arriving, error = s, np.abs(s) * 2 * EPS
    out, out_error = np.zeros(len(near.border)), np.zeros(len(near.border))
    for j in range(N + 1):
        own = near.degree * levels[:, j]
        rest = np.abs(arriving - own) + error + np.abs(own) * near.unit
        rest += 2 * EPS * np.abs(arriving)
        largest = max(
            largest_per_degree(rest, near.degree, near.unit),
            largest_per_degree(
                np.abs(out) + out_error, near.border_degree, near.border_unit
            ),
        )
        total += psi[j] * largest
        arriving, error, out, out_error = (
            t / (j + 1) * part for part in walked(near, levels[:, j])
        )
    # What arrives beyond the last level is the tail of the series of the true vector.
    tail = _tail(t, N) * largest_per_degree(np.abs(s), near.degree, near.unit)
    value = (math.exp(-t) * total + tail) * (1 + 1e-12)
    return Measurement(
        kind="error_per_degree",
        value=value,
        guarantee=Guarantee.GLOBAL,
        residuals={
            "sum": math.exp(-t) * float((near.degree[:, None] * levels).sum()),
            **cluster_numbers(near, witness, parameters),
        },
        assumptions=ASSUMPTIONS,
    )


def _taylor_weights(t: float, N: int) -> list[float]:
    """Return ``psi_j = sum_{m=0}^{N-j} j! t^m / (m+j)!``, what a residual grows to."""
    psi = [1.0] * (N + 1)
    for j in range(N - 1, -1, -1):
        psi[j] = 1.0 + psi[j + 1] * t / (j + 1)
    return psi


def _tail(t: float, N: int) -> float:
    """Bound ``exp(-t) sum_{k>N} t^k / k!`` from above."""
    k = N + 1
    first = math.exp(k * math.log(t) - t - math.lgamma(k + 1))
    if k + 1 > t:
        return min(first / (1.0 - t / (k + 1)) * (1 + 1e-10), 1.0)
    return 1.0
