"""What limits a circuit: barren plateaus, expressibility, the shape of its loss."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from farkas.base import check_number
from farkas.parallel import RandomSource, pmap, spawn_seeds
from quantum._measure_losses import Loss
from quantum.encodings import make_encoding
from quantum.metric import final_states
from quantum.objectives import Objective
from quantum.readout import Readout, class_table
from quantum.simulator import Simulator
from quantum.variational import ansatz_of

Array = NDArray[np.float64]


def gradient_variance(
    feature_map: Any = "zz",
    ansatz: Any = "efficient_su2",
    *,
    qubits: Sequence[int] = range(2, 9),
    n_samples: int = 100,
    readout: str = "parity",
    reps: int | None = None,
    entanglement: str = "full",
    random_state: RandomSource = None,
    n_jobs: int | None = None,
) -> dict[str, Any]:
    """Variance of a gradient entry over random weights, against the number of qubits.

    A slope between -1 and -2 in ``log2`` of the variance is a barren plateau: the
    gradient vanishes exponentially. A readout of all qubits (parity) has one in
    circuits whose readout of one qubit has none.

    Parameters
    ----------
    feature_map : str, default="zz"
        Name of an encoding, applied to random data in [0, 1].
    ansatz : str, default="efficient_su2"
        Name of a circuit.
    qubits : sequence of int, default=range(2, 9)
        Numbers of qubits.
    n_samples : int, default=100
        Random weights for each.
    readout : {"parity", "modulo"}, default="parity"
        Global, or that of qubit 0 alone.
    reps : int, optional
        Entangling blocks; default as many as qubits.
    entanglement : str, default="full"
        Pairs that the ansatz entangles.
    random_state : int, RandomState, Generator, SeedSequence or None
        Determines data and weights.
    n_jobs : int, optional
        Processes; the result does not depend on it.

    Returns
    -------
    dict
        ``qubits``, ``variance`` (of the derivative of ``p_1`` by the first weight), and
        ``slope``, that of ``log2(variance)`` per qubit.

    References
    ----------
    McClean et al., arXiv:1803.11173; Cerezo et al., arXiv:2001.00550.

    Examples
    --------
    >>> from quantum import gradient_variance
    >>> gradient_variance(qubits=(2, 3, 4), n_samples=50, random_state=0)["slope"] < 0
    True
    """
    check_number("n_samples", n_samples, low=2, integer=True)
    sizes = [int(n) for n in qubits]
    if len(sizes) < 2 or min(sizes) < 2:
        raise ValueError(f"qubits={qubits!r} must hold at least two numbers >= 2.")
    one = functools.partial(
        _variance, feature_map, ansatz, n_samples, readout, reps, entanglement
    )
    jobs = list(zip(sizes, spawn_seeds(random_state, len(sizes)), strict=True))
    variance = np.array(pmap(one, jobs, n_jobs=n_jobs))
    slope = float(np.polyfit(sizes, np.log2(variance), 1)[0])
    return {"qubits": np.array(sizes), "variance": variance, "slope": slope}


def _variance(
    feature_map: Any, ansatz: Any, n_samples: int, readout: str, reps: int | None,
    entanglement: str, job: tuple[int, np.random.SeedSequence],
) -> float:  # fmt: skip
    n, seed = job
    rng = np.random.default_rng(seed)
    features = 2 * n if feature_map == "dense_angle" else n
    encoding = make_encoding(feature_map, features)
    table = ansatz_of(
        ansatz, encoding, reps=n if reps is None else reps, entanglement=entanglement
    )
    planes = encoding.planes(rng.uniform(0.0, 1.0, (1, features)))
    simulator = Simulator(
        table=table, planes=planes,
        readout=Readout(n=n, n_classes=2, classes=class_table(readout, n, 2)),
    )  # fmt: skip
    unit = np.ones((1, 1))
    slopes = [
        simulator.pullback(
            rng.uniform(-np.pi, np.pi, table.n_parameters), lambda P: (0.0, unit)
        )[1][0]
        for _ in range(n_samples)
    ]
    return float(np.var(slopes))


def expressibility(
    ansatz: Any = "efficient_su2",
    n_qubits: int = 3,
    *,
    reps: int = 3,
    entanglement: str = "full",
    n_samples: int = 2000,
    n_bins: int = 50,
    random_state: RandomSource = None,
) -> float:
    """Divergence of a circuit's fidelities from those of random states.

    The Kullback-Leibler divergence of the histogram of fidelities between states at
    random weights from the density ``(d - 1) (1 - F)^(d - 2)``; 0 is as expressive as
    all unitaries.

    Parameters
    ----------
    ansatz : str or QuantumCircuit, default="efficient_su2"
        The circuit.
    n_qubits : int, default=3
        Number of qubits.
    reps : int, default=3
        Entangling blocks.
    entanglement : str, default="full"
        Pairs that it entangles.
    n_samples : int, default=2000
        Pairs of states.
    n_bins : int, default=50
        Bins of the histogram.
    random_state : int, RandomState, Generator, SeedSequence or None
        Determines the weights.

    Returns
    -------
    float

    References
    ----------
    Sim, Johnson, Aspuru-Guzik, arXiv:1905.10876.

    Examples
    --------
    >>> from quantum import expressibility
    >>> deep = expressibility(reps=3, random_state=0)
    >>> bool(deep < expressibility("real_amplitudes", reps=0, random_state=0))
    True
    """
    check_number("n_samples", n_samples, low=10, integer=True)
    check_number("n_bins", n_bins, low=2, integer=True)
    rng = np.random.default_rng(spawn_seeds(random_state, 1)[0])
    encoding = make_encoding("ry", n_qubits)
    table = ansatz_of(ansatz, encoding, reps=reps, entanglement=entanglement)
    d = 2**n_qubits
    zero = np.zeros((2, d, 1))
    zero[0, 0] = 1.0
    thetas = rng.uniform(-np.pi, np.pi, (2 * n_samples, table.n_parameters))
    states = np.hstack([final_states(table, zero, theta) for theta in thetas])
    overlaps = np.sum(states[:, :n_samples].conj() * states[:, n_samples:], axis=0)
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    found = np.histogram(np.minimum(np.abs(overlaps) ** 2, 1.0), edges)[0] / n_samples
    haar = -np.diff((1.0 - edges) ** (d - 1))
    seen = found > 0
    return float(np.sum(found[seen] * np.log(found[seen] / haar[seen])))


def loss_slice(
    model: Any, X: ArrayLike, y: ArrayLike, k: int = 0, *, n_points: int = 101
) -> tuple[Array, Array]:
    """Loss of a fitted classifier along one weight.

    Parameters
    ----------
    model : VariationalQuantumClassifier
        Fitted.
    X, y : array-like
        Data.
    k : int, default=0
        Number of the weight.
    n_points : int, default=101
        Number of points in one period.

    Returns
    -------
    offsets : ndarray of shape (n_points,)
        From -pi to pi; 0 is the trained weight.
    losses : ndarray of shape (n_points,)
    """
    offsets = np.linspace(-np.pi, np.pi, n_points)
    thetas = np.tile(model.weights_, (n_points, 1))
    thetas[:, k] += offsets
    return offsets, _losses(model, X, y, thetas)


def loss_surface(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    k: int = 0,
    j: int = 1,
    *,
    n_points: int = 41,
) -> tuple[Array, Array]:
    """Loss of a fitted classifier in the plane of two weights.

    Parameters
    ----------
    model : VariationalQuantumClassifier
        Fitted.
    X, y : array-like
        Data.
    k, j : int, default=0, 1
        Numbers of the weights.
    n_points : int, default=41
        Number of points in each direction.

    Returns
    -------
    offsets : ndarray of shape (n_points,)
        From -pi to pi, in both directions.
    losses : ndarray of shape (n_points, n_points)
        Rows belong to `k`, columns to `j`.

    Examples
    --------
    >>> from quantum import VariationalQuantumClassifier, loss_surface
    >>> X, y = [[0.0, 0.1], [0.2, 1.0], [1.0, 0.0], [1.2, 1.1]], [0, 1, 1, 0]
    >>> model = VariationalQuantumClassifier("angle", max_iter=1000, random_state=0)
    >>> offsets, losses = loss_surface(model.fit(X, y), X, y, 0, 1, n_points=5)
    >>> losses.shape, bool(abs(losses[2, 2] - model.loss_) < 1e-12)
    ((5, 5), True)
    """
    offsets = np.linspace(-np.pi, np.pi, n_points)
    thetas = np.tile(model.weights_, (n_points, n_points, 1))
    thetas[:, :, k] += offsets[:, None]
    thetas[:, :, j] += offsets[None, :]
    flat = thetas.reshape(-1, thetas.shape[2])
    return offsets, _losses(model, X, y, flat).reshape(n_points, n_points)


def _losses(model: Any, X: ArrayLike, y: ArrayLike, thetas: Array) -> Array:
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model)
    index = np.searchsorted(model.classes_, np.asarray(y))
    rows = np.ascontiguousarray(X, dtype=np.float64)
    objective = Objective(model.model_, rows, index, np.ones(len(index)))
    loss: Loss = model.model_.loss
    return np.array([
        objective.s @ loss.values(P, objective.y)
        for P in objective.simulator.outputs_many(thetas)
    ])  # fmt: skip
