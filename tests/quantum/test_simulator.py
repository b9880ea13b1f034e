"""Outputs and gradients against Qiskit, finite differences and the shift rule."""

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, Statevector

from quantum._measure_losses import make_loss
from quantum.ansatz import ENTANGLEMENTS, ansatz_circuit, ansatz_table
from quantum.compile import compile_circuit
from quantum.encodings import encode, feature_map_circuit, make_encoding
from quantum.model import effect_matrix
from quantum.readout import Readout, class_table, observable_words
from quantum.simulator import Simulator

ENTROPY = make_loss("cross_entropy", 2, 1e-9, 1.0)
SQUARED = make_loss("squared", 2, 0.0, 1.0)


def native_circuit():
    """Every native gate, reused weights, affine angles, a matrix and a Toffoli."""
    t = ParameterVector("t", 12)
    c = QuantumCircuit(3)
    for q in range(3):
        c.h(q)
    c.rx(t[0], 0)
    c.ry(2 * t[1] + 0.3, 1)
    c.rz(-0.5 * t[2], 2)
    c.p(t[3], 0)
    for name in ("x", "y", "z", "s", "sdg", "t", "tdg", "sx"):
        getattr(c, name)(1)
        c.ry(0.3, 1)
    c.cx(0, 1)
    c.cz(1, 2)
    c.cp(t[4], 2, 0)
    c.crx(t[5], 0, 2)
    c.cry(t[6], 1, 0)
    c.crz(t[7], 2, 1)
    c.rxx(t[8], 0, 1)
    c.ryy(t[9], 1, 2)
    c.rzz(t[10], 0, 2)
    c.rzx(t[11], 2, 1)
    c.swap(0, 2)
    c.u(t[0], t[1] + 1, t[2], 1)  # weights used before
    c.ccx(0, 1, 2)
    c.barrier()
    c.unitary(np.array([[1, 1], [1, -1]]) / np.sqrt(2), [0])
    c.iswap(0, 1)
    for q in range(3):
        c.ry(t[q], q)
    return c


def simulator(table, X, readout, order="auto", name="zz"):
    encoding = make_encoding(name, X.shape[1])
    return Simulator(
        table=table, readout=readout, planes=encoding.planes(X), order=order
    )


def parity(n):
    return Readout(n=n, n_classes=2, classes=class_table("parity", n, 2))


def central(f, x, h=1e-6):
    return np.array([
        (f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(len(x))
    ])  # fmt: skip


@pytest.mark.parametrize("order", ["rows", "states"])
def test_every_native_gate_agrees_with_statevector(order):
    circuit = native_circuit()
    table = compile_circuit(circuit, data=False)
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (4, 3))
    theta = rng.uniform(-3, 3, table.n_parameters)
    s = simulator(table, X, parity(3), order)
    states = encode("zz", X)
    bound = circuit.assign_parameters(theta)
    odd = class_table("parity", 3, 2) == 1
    for i, p in enumerate(s.outputs(theta)[0]):
        final = Statevector(states[i]).evolve(bound).probabilities()
        assert p == pytest.approx(final[odd].sum(), abs=1e-12)
    y, w = np.array([0, 1, 1, 0]), np.full(4, 0.25)
    f, g = s.value_and_gradient(theta, ENTROPY, y, w)
    differences = central(lambda x: s.value_and_gradient(x, ENTROPY, y, w)[0], theta)
    np.testing.assert_allclose(g, differences, atol=1e-7)


@pytest.mark.parametrize(
    "name", ["zz", "z", "rx", "ry", "rz", "dense_angle", "amplitude"]
)
def test_both_orders_agree_for_every_encoding(name):
    rng = np.random.default_rng(1)
    X = rng.uniform(0.1, 1, (5, 6 if name == "dense_angle" else 3))
    n = make_encoding(name, X.shape[1]).n
    table = ansatz_table("efficient_su2", n, 2, "full")
    theta = rng.standard_normal(table.n_parameters)
    y, w = np.array([0, 1, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.2, 0.2])
    for loss in (ENTROPY, SQUARED):
        found = [
            simulator(table, X, parity(n), order, name).value_and_gradient(
                theta, loss, y, w
            )
            for order in ("rows", "states")
        ]
        assert found[0][0] == pytest.approx(found[1][0], abs=1e-12)
        np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-12)


@pytest.mark.parametrize("name", ["zz", "z", "rx", "ry", "rz", "dense_angle"])
@pytest.mark.parametrize("entanglement", ["full", "circular", "sca", "linear"])
def test_named_encodings_are_those_of_qiskit(name, entanglement):
    X = np.random.default_rng(2).uniform(-1, 4, (3, 4))
    encoding = make_encoding(name, 4, reps=3, entanglement=entanglement)
    circuit = feature_map_circuit(encoding)
    ours = encoding.states(X)
    compiled = encode(circuit, X)
    for row, psi, other in zip(X, ours, compiled, strict=True):
        theirs = Statevector(circuit.assign_parameters(row)).data
        for state in (psi, other):
            assert abs(np.vdot(theirs, state)) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
def test_ansaetze_are_those_of_qiskit(n, entanglement):
    for name in ("efficient_su2", "real_amplitudes"):
        ours = ansatz_table(name, n, 4, entanglement)
        theirs = compile_circuit(ansatz_circuit(name, n, 4, entanglement), data=False)
        assert np.array_equal(ours.gates, theirs.gates)
        assert np.array_equal(ours.angles, theirs.angles)


def test_gradient_is_that_of_the_shift_rule():
    rng = np.random.default_rng(3)
    X, y, w = rng.uniform(0, 1, (6, 3)), np.arange(6) % 2, np.full(6, 1 / 6)
    table = ansatz_table("efficient_su2", 3, 1, "full")
    s = simulator(table, X, parity(3))
    theta = rng.standard_normal(table.n_parameters)
    slopes = w * ENTROPY.slopes(s.outputs(theta), y)
    chain = []
    for k in range(len(theta)):
        e = np.zeros(len(theta))
        e[k] = np.pi / 2
        chain.append(np.sum(slopes * (s.outputs(theta + e) - s.outputs(theta - e))) / 2)
    gradient = s.value_and_gradient(theta, ENTROPY, y, w)[1]
    np.testing.assert_allclose(gradient, chain, atol=1e-12)


def test_published_loss_shift_is_not_the_gradient():
    from quantum.optimizers.driver import Run

    X = np.array([[0.1, 0.7], [0.4, 0.2], [0.9, 0.5], [0.3, 0.8]])
    y, w, theta = np.array([0, 1, 1, 0]), np.full(4, 0.25), np.arange(1, 9) / 10
    s = simulator(ansatz_table("efficient_su2", 2, 1, "reverse_linear"), X, parity(2))
    run = Run(lambda x: float(w @ ENTROPY.values(s.outputs(x), y)), theta)
    shift = run.shift_gradient(theta)
    published = [0.0518399249, -0.0158757518, -0.234016498, 0.0781582299,
                 0.445668507, -0.0301987879, 0, 0]  # fmt: skip
    np.testing.assert_allclose(shift, published, atol=1e-7)
    g = s.value_and_gradient(theta, ENTROPY, y, w)[1]
    cosine = g @ shift / np.linalg.norm(g) / np.linalg.norm(shift)
    assert cosine == pytest.approx(0.96714, abs=1e-5)
    assert run.nfev == 16


@pytest.mark.parametrize("order", ["rows", "states"])
@pytest.mark.parametrize("word", ["ZZI", "XYZ", "sum"])
def test_observables(order, word):
    operator = (
        SparsePauliOp(["XII", "ZZY", "IIZ"], [0.3, -0.7, 0.5])
        if word == "sum"
        else SparsePauliOp(word)
    )
    words, c = observable_words(operator, 3)
    readout = Readout(n=3, n_classes=2, paulis=words, coefficients=c)
    rng = np.random.default_rng(4)
    X, y, w = rng.uniform(0, 1, (5, 3)), np.arange(5) % 2, np.full(5, 0.2)
    table = compile_circuit(native_circuit(), data=False)
    theta = rng.uniform(-3, 3, table.n_parameters)
    s = simulator(table, X, readout, order)
    states, bound = encode("zz", X), native_circuit().assign_parameters(theta)
    for i, f in enumerate(s.outputs(theta)[0]):
        final = Statevector(states[i]).evolve(bound)
        assert f == pytest.approx(final.expectation_value(operator).real, abs=1e-12)
    for kind in ("squared", "hinge", "logistic"):
        loss = make_loss(kind, 0, 0.0, 2.0)
        g = s.value_and_gradient(theta, loss, y, w)[1]
        differences = central(lambda x: s.value_and_gradient(x, loss, y, w)[0], theta)  # noqa: B023
        np.testing.assert_allclose(g, differences, atol=1e-7)


@pytest.mark.parametrize("order", ["rows", "states"])
@pytest.mark.parametrize("K", [2, 3, 5])
def test_noise_and_many_classes(order, K):
    rng = np.random.default_rng(5)
    error = np.array([[[0.95, 0.1], [0.05, 0.9]], [[0.9, 0.2], [0.1, 0.8]],
                      [[1.0, 0.3], [0.0, 0.7]]])  # fmt: skip
    readout = Readout(
        n=3, n_classes=K, classes=class_table(None, 3, K), readout_error=error,
        depolarizing=0.1,
    )  # fmt: skip
    X, w = rng.uniform(0, 1, (7, 3)), np.full(7, 1 / 7)
    table = ansatz_table("efficient_su2", 3, 2, "full")
    theta = rng.standard_normal(table.n_parameters)
    s = simulator(table, X, readout, order)
    P = s.outputs(theta)
    if K > 2:
        np.testing.assert_allclose(P.sum(axis=0), 1.0, atol=1e-10)
    # By hand: true probabilities through the confusion of each qubit.
    states = encode("zz", X)
    bound = ansatz_circuit("efficient_su2", 3, 2, "full").assign_parameters(theta)
    confusion = np.kron(error[2], np.kron(error[1], error[0]))
    for i in range(len(X)):
        read = confusion @ Statevector(states[i]).evolve(bound).probabilities()
        classes = np.array([read[class_table(None, 3, K) == c].sum() for c in range(K)])
        traces = np.array([
            confusion[class_table(None, 3, K) == c].sum() for c in range(K)
        ])  # fmt: skip
        expected = 0.9 * classes + 0.1 * traces / 8
        np.testing.assert_allclose(P[:, i], expected[1:] if K == 2 else expected)
    y = np.arange(7) % K
    for kind in ("cross_entropy", "squared"):
        loss = make_loss(kind, K, 1e-9, 1.0)
        g = s.value_and_gradient(theta, loss, y, w)[1]
        differences = central(lambda x: s.value_and_gradient(x, loss, y, w)[0], theta)  # noqa: B023
        np.testing.assert_allclose(g, differences, atol=1e-7)


@pytest.mark.parametrize("order", ["rows", "states"])
@pytest.mark.parametrize("points", [7, 20])
@pytest.mark.parametrize("ones", [1, 4, 5])
def test_many_points_at_once_equal_one_by_one(ones, points, order):
    rng = np.random.default_rng(6)
    table = ansatz_table("efficient_su2", 3, 2, "full")
    readout = Readout(n=3, n_classes=2, classes=(np.arange(8) < ones).astype(int))
    s = simulator(table, rng.uniform(0, 1, (30, 3)), readout, order)
    thetas = rng.standard_normal((points, table.n_parameters))
    many = s.outputs_many(thetas)
    assert s.nfev == points
    for theta, P in zip(thetas, many, strict=True):
        np.testing.assert_allclose(P, s.outputs(theta), atol=1e-14)


def test_idle_parameters_are_found_by_structure():
    # The last layer of RZ changes no probability.
    table = ansatz_table("efficient_su2", 3, 1, "full")
    assert table.idle.tolist() == [9, 10, 11]
    assert not len(ansatz_table("real_amplitudes", 3, 1, "full").idle)


def test_the_measured_operator_has_the_spectrum_of_the_readout():
    from quantum.model import CircuitModel

    table = ansatz_table("efficient_su2", 2, 2, "full")
    model = CircuitModel(
        encoding=make_encoding("zz", 2), table=table, readout=parity(2), loss=ENTROPY
    )
    X = np.random.default_rng(7).uniform(0, 1, (4, 2))
    theta = np.arange(table.n_parameters) / 7
    M = effect_matrix(model, theta)
    np.testing.assert_allclose(np.linalg.eigvalsh(M), [0, 0, 1, 1], atol=1e-12)
    states = encode("zz", X)
    p = np.einsum("ia,ab,ib->i", states.conj(), M, states).real
    np.testing.assert_allclose(p, model.outputs(X, theta)[0], atol=1e-12)


@pytest.mark.parametrize("N", [3, 20])
def test_array_simulator_on_a_device_that_refuses_numpy(N):
    xp = pytest.importorskip("array_api_strict")
    from quantum._array import ArraySimulator

    rng = np.random.default_rng(8)
    X, y, w = rng.uniform(0, 1, (N, 3)), np.arange(N) % 2, np.full(N, 1 / N)
    table = compile_circuit(native_circuit(), data=False)
    theta = rng.uniform(-3, 3, table.n_parameters)
    planes = make_encoding("zz", 3).planes(X)
    words, c = observable_words("XYZ", 3)
    for readout, loss in (
        (parity(3), ENTROPY),
        (
            Readout(n=3, n_classes=2, paulis=words, coefficients=c),
            make_loss("squared", 0, 0.0, 1.0),
        ),
    ):
        here = Simulator(table=table, readout=readout, planes=planes)
        there = ArraySimulator(xp, xp.Device("device1"), table, readout, planes)
        a = here.value_and_gradient(theta, loss, y, w)
        b = there.value_and_gradient(theta, loss, y, w)
        assert a[0] == pytest.approx(b[0], abs=1e-12)
        np.testing.assert_allclose(a[1], b[1], atol=1e-12)
        np.testing.assert_allclose(there.final(theta), here.final(theta), atol=1e-12)


def test_large_states_fit():
    # n = 12, N = 100 takes 6.5 MB a copy; the whole stays far below 2 GiB.
    rng = np.random.default_rng(9)
    X, y, w = rng.uniform(0, 1, (100, 12)), np.arange(100) % 2, np.full(100, 0.01)
    s = simulator(ansatz_table("efficient_su2", 12, 1, "linear"), X, parity(12))
    assert s.order == "states"
    f, g = s.value_and_gradient(np.full(48, 0.1), SQUARED, y, w)
    assert np.isfinite(f)
    assert np.isfinite(g).all()


def test_a_table_of_native_gates_goes_back_to_qiskit():
    from quantum.export import table_circuit

    native = native_circuit()
    theta = np.random.default_rng(12).uniform(-3, 3, 12)
    again = table_circuit(compile_circuit(native, data=False), list(theta))
    assert Statevector(again).equiv(Statevector(native.assign_parameters(theta)))
