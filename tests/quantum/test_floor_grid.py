"""The floor lies below every circuit there is a reason to try, noisy or not."""

import numpy as np
import pytest

from quantum import optimal_measurement
from quantum._measure_losses import make_loss
from quantum.ansatz import ansatz_table
from quantum.encodings import make_encoding
from quantum.readout import Readout, class_table
from quantum.simulator import Simulator

N, QUBITS = 12, 3
D = 2**QUBITS
LABELS = {2: np.arange(N) % 2, 3: np.arange(N) % 3}
ERROR = np.array([[[0.95, 0.1], [0.05, 0.9]], [[0.9, 0.2], [0.1, 0.8]],
                  [[1.0, 0.3], [0.0, 0.7]]])  # fmt: skip
CIRCUITS = [
    ("efficient_su2", 1, "full"), ("efficient_su2", 4, "linear"),
    ("real_amplitudes", 3, "circular"), ("real_amplitudes", 1, "sca"),
]  # fmt: skip
INTERPRETATIONS = {
    2: ("parity", "majority", "modulo", lambda b: int(b in (0, 3, 5, 6))),
    3: ("modulo", lambda b: b // 3),
}
# Depolarizing leaves the trace d/2 of the effect as it is; other noise does not.
NOISE = {
    "none": ({}, "half"),
    "depolarizing": ({"depolarizing": 0.2}, "half"),
    "readout error": ({"readout_error": ERROR}, None),
    "both": ({"readout_error": ERROR, "depolarizing": 0.1}, None),
}


def problem(encoding_name, seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 2, (N, {"dense_angle": 5, "amplitude": 7}.get(encoding_name, 3)))
    return make_encoding(encoding_name, X.shape[1]), X, rng


def least_loss(P, loss, y):
    """Return the smallest mean loss of outputs (T, C, N)."""
    return min(float(np.mean(loss.values(outputs, y))) for outputs in P)


@pytest.mark.parametrize("kind", ["cross_entropy", "squared"])
@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("name", ["zz", "ry", "dense_angle", "amplitude"])
def test_no_random_circuit_gets_below_the_floor(name, K, kind):
    encoding, X, rng = problem(name, 0)
    loss, y = make_loss(kind, K, 1e-9, 1.0), LABELS[K]
    floors = {
        rank: optimal_measurement(encoding.states(X), y, loss=kind, rank=rank)
        for rank in ("half", None)
    }
    assert floors[None].lower_bound <= floors["half"].fun
    assert floors["half"].lower_bound > 0
    tried, planes = 0, encoding.planes(X)
    for noise, rank in NOISE.values():
        for interpret in INTERPRETATIONS[K]:
            classes = class_table(interpret, QUBITS, K)
            readout = Readout(n=QUBITS, n_classes=K, classes=classes, **noise)
            for circuit in CIRCUITS:
                table = ansatz_table(circuit[0], QUBITS, *circuit[1:])
                simulator = Simulator(table=table, readout=readout, planes=planes)
                thetas = rng.uniform(-np.pi, np.pi, (16, table.n_parameters))
                P = simulator.outputs_many(thetas)
                assert floors[rank].lower_bound <= least_loss(P, loss, y)
                tried += len(P)
    assert tried >= 500


@pytest.mark.parametrize("kind", ["cross_entropy", "squared"])
def test_no_channel_or_ancilla_gets_below_the_floor_of_any_rank(kind):
    encoding, X, rng = problem("zz", 1)
    states, y, loss = encoding.states(X), LABELS[2], make_loss(kind, 2, 1e-9, 1.0)
    floor = optimal_measurement(states, y, loss=kind, rank=None).lower_bound
    outputs = []
    for count in (1, 2, 4):  # of Kraus operators: a unitary on 0, 1, 2 more qubits
        for _ in range(60):
            A = rng.standard_normal((count * D, D, 2)) @ np.array([1, 1j])
            isometry, _ = np.linalg.qr(A)
            rank = rng.integers(1, count * D)
            amplitudes = (states @ isometry.T)[:, :rank]
            outputs.append(np.sum(np.abs(amplitudes) ** 2, axis=1)[None])
    assert floor <= least_loss(outputs, loss, y)


@pytest.mark.parametrize("rank", [1, 3, 4, 7])
def test_no_unitary_gets_below_the_floor_of_its_rank(rank):
    encoding, X, rng = problem("ry", 2)
    states, y, loss = encoding.states(X), LABELS[2], make_loss("squared", 2, 0.0, 1.0)
    result = optimal_measurement(states, y, loss="squared", rank=rank)
    outputs = []
    for _ in range(200):
        A = rng.standard_normal((D, D, 2)) @ np.array([1, 1j])
        U, _ = np.linalg.qr(A)
        outputs.append(np.sum(np.abs((states @ U.T)[:, :rank]) ** 2, axis=1)[None])
    # The best projector of that rank in the eigenbasis of the optimum is a circuit too.
    _, W = np.linalg.eigh(0.5 * (result.x + result.x.conj().T))
    rounded = np.sum(np.abs(states @ W[:, D - rank :].conj()) ** 2, axis=1)
    outputs.append(rounded[None])
    assert result.lower_bound <= least_loss(outputs, loss, y)
