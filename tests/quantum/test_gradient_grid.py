"""Every encoding with every readout and loss: outputs by Qiskit, gradients twice."""

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

from quantum._measure_losses import make_loss
from quantum.ansatz import ansatz_circuit, ansatz_table
from quantum.encodings import feature_map_circuit, make_encoding
from quantum.model import CircuitModel
from quantum.readout import Readout, class_table, observable_words
from quantum.reuploading import reuploading_table
from quantum.simulator import Simulator

N, QUBITS, LAYERS = 4, 3, 2
RNG = np.random.default_rng(0)
FEATURES = {"dense_angle": 6, "amplitude": 7}
ERROR = np.array([[[0.95, 0.1], [0.05, 0.9]], [[0.9, 0.2], [0.1, 0.8]],
                  [[1.0, 0.3], [0.0, 0.7]]])  # fmt: skip
ENTANGLEMENT = "circular"


def users_map():
    x = ParameterVector("x", 3)
    c = QuantumCircuit(QUBITS)
    for q in range(QUBITS):
        c.ry(x[q] * np.pi + 0.1, q)
    c.rzz(x[0] * x[1], 0, 1)
    c.crx(x[2].sin(), 1, 2)
    return c


ENCODINGS = {
    **{name: name for name in ("zz", "z", "rx", "ry", "rz", "dense_angle")},
    "amplitude": "amplitude", "circuit": users_map(), "reupload": "reupload",
}  # fmt: skip
CLASSES = {
    "parity": ("parity", 2), "majority": ("majority", 2), "qubit 0": ("modulo", 2),
    "one string": (lambda b: int(b == 5), 2), "modulo 3": ("modulo", 3),
    "callable 4": (lambda b: (3 * b + b // 4) % 4, 4), "all strings": ("modulo", 8),
}  # fmt: skip
OBSERVABLES = {
    "ZZI": SparsePauliOp("ZZI"), "XYZ": SparsePauliOp("XYZ"),
    "sum": SparsePauliOp(["XII", "ZZY", "IIZ"], [0.3, -0.7, 0.5]),
}  # fmt: skip


def data(name):
    return RNG.uniform(0.1, 1.5, (N, FEATURES.get(name, 3)))


def readouts():
    for name, (interpret, K) in CLASSES.items():
        table = class_table(interpret, QUBITS, K)
        for noise in ({}, {"readout_error": ERROR, "depolarizing": 0.1}):
            readout = Readout(n=QUBITS, n_classes=K, classes=table, **noise)
            losses = [make_loss(k, K, 1e-9, 1.0) for k in ("cross_entropy", "squared")]
            yield f"{name}{' with noise' if noise else ''}", readout, losses
    for name, operator in OBSERVABLES.items():
        words, c = observable_words(operator, QUBITS)
        readout = Readout(n=QUBITS, n_classes=2, paulis=words, coefficients=c)
        losses = [make_loss(k, 0, 0.0, 2.0) for k in ("squared", "hinge", "logistic")]
        yield name, readout, losses


def effects_by_hand(name, readout):
    """Return the operators (C, d, d) from their definitions."""
    if readout.is_observable:
        return Operator(OBSERVABLES[name]).data[None]
    K, d = readout.n_classes, 2**QUBITS
    E = (readout.classes == np.arange(K)[:, None]).astype(float)
    if readout.readout_error is not None:
        confusion = np.kron(ERROR[2], np.kron(ERROR[1], ERROR[0]))
        E = E @ confusion  # read b' with probability confusion[b', b]
        E = 0.9 * E + 0.1 * E.sum(axis=1, keepdims=True) / d
    return np.array([np.diag(e) for e in (E[1:] if K == 2 else E)])


def model_of(encoding_name, readout, loss):
    reuploading = encoding_name == "reupload"
    feature_map = "ry" if reuploading else ENCODINGS[encoding_name]
    encoding = make_encoding(feature_map, FEATURES.get(encoding_name, 3))
    table = ansatz_table("efficient_su2", QUBITS, 1, ENTANGLEMENT)
    if reuploading:
        table = reuploading_table(table, LAYERS)
    return CircuitModel(
        encoding=encoding, table=table, readout=readout, loss=loss,
        reuploading=reuploading,
    )  # fmt: skip


def final_states(encoding_name, X, theta):
    """Return the states that Qiskit computes, (N, d)."""
    block = ansatz_circuit("efficient_su2", QUBITS, 1, ENTANGLEMENT)
    found = []
    for x in X:
        if encoding_name == "reupload":
            c = QuantumCircuit(QUBITS)
            for part in np.split(theta, LAYERS):
                for q in range(QUBITS):
                    c.ry(x[q], q)
                c = c.compose(block.assign_parameters(part))
        else:
            encoding = make_encoding(ENCODINGS[encoding_name], len(x))
            if encoding_name == "amplitude":
                c = QuantumCircuit(QUBITS)
                c.prepare_state(np.append(x, 0.0) / np.linalg.norm(x))
            else:
                c = feature_map_circuit(encoding).assign_parameters(x)
            c = c.compose(block.assign_parameters(theta))
        found.append(Statevector(c).data)
    return np.array(found)


def by_the_shift_rule(outputs, theta, slopes):
    """Chain rule; each weight is the angle of one plain rotation."""
    chain = []
    for e in np.pi / 2 * np.eye(len(theta)):
        chain.append(np.sum(slopes * (outputs(theta + e) - outputs(theta - e))) / 2)
    return chain


def by_central_differences(f, theta, h=1e-3):
    """Four points, with an error of order h^4."""
    return [
        (8 * (f(theta + e) - f(theta - e)) - f(theta + 2 * e) + f(theta - 2 * e))
        / (12 * h)
        for e in h * np.eye(len(theta))
    ]


@pytest.mark.parametrize("encoding_name", ENCODINGS)
def test_outputs_are_those_of_qiskit_and_gradients_are_exact(encoding_name):
    X, y2 = data(encoding_name), np.array([0, 1, 1, 0])
    P = model_of(encoding_name, None, None).table.n_parameters
    theta = RNG.uniform(-2, 2, P)
    states, s = final_states(encoding_name, X, theta), np.array([0.1, 0.2, 0.3, 0.4])
    for name, readout, losses in readouts():
        expected = np.einsum(
            "ia,cab,ib->ci", states.conj(), effects_by_hand(name, readout), states
        ).real
        y = y2 if readout.n_classes == 2 else np.arange(N) % readout.n_classes
        model = model_of(encoding_name, readout, losses[0])
        simulators = [model.simulator(X)]
        if encoding_name != "reupload":
            planes = model.encoding.planes(X)
            simulators = [
                Simulator(table=model.table, readout=readout, planes=planes, order=o)
                for o in ("rows", "states")
            ]
        for simulator in simulators:
            np.testing.assert_allclose(
                simulator.outputs(theta), expected, atol=1e-12, err_msg=name
            )
        for loss in losses:
            found = [k.value_and_gradient(theta, loss, y, s) for k in simulators]
            f, g = found[0]
            assert f == pytest.approx(s @ loss.values(expected, y), abs=1e-11)
            for other in found[1:]:
                np.testing.assert_allclose(other[1], g, rtol=1e-12, atol=1e-12)
            slopes = s * loss.slopes(expected, y)
            chain = by_the_shift_rule(simulators[0].outputs, theta, slopes)
            np.testing.assert_allclose(g, chain, atol=1e-12 * max(1, abs(g).max()))
            differences = by_central_differences(
                lambda x: s @ loss.values(simulators[0].outputs(x), y),  # noqa: B023
                theta,
            )
            np.testing.assert_allclose(g, differences, rtol=1e-8, atol=1e-8)


# The published problem: theta = .1, .2, ..., .8 on two qubits.
X1 = np.array([[0.1, 0.7], [0.4, 0.2], [0.9, 0.5], [0.3, 0.8]])
Y1, THETA1 = np.array([0, 1, 1, 0]), np.arange(1, 9) / 10
GRADIENTS = {
    "cross_entropy": [0.120962108, -0.0231681601, -0.238285028, 0.0734788249,
                      0.415884715, 0.0763766492, 0, 0],
    "squared": [0.0298868134, 0.0313372027, -0.106449511, 0.0303682232, 0.171080899,
                -0.000675595044, 0, 0],
}  # fmt: skip


@pytest.mark.parametrize("kind", GRADIENTS)
def test_published_probabilities_and_gradients(kind):
    simulator = Simulator(
        table=ansatz_table("efficient_su2", 2, 1, "reverse_linear"),
        readout=Readout(n=2, n_classes=2, classes=class_table("parity", 2, 2)),
        planes=make_encoding("zz", 2).planes(X1),
    )
    p = [0.55511745, 0.63080895, 0.21327002, 0.67627112]
    np.testing.assert_allclose(simulator.outputs(THETA1)[0], p, atol=1e-8)
    loss = make_loss(kind, 2, 1e-12, 1.0)
    _, g = simulator.value_and_gradient(THETA1, loss, Y1, np.full(4, 0.25))
    np.testing.assert_allclose(g, GRADIENTS[kind], atol=1e-9)
