"""Circuits of users: what is read from them, and what is refused by name."""

import numpy as np
import pytest
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit, library
from qiskit.quantum_info import SparsePauliOp, Statevector

from quantum.compile import compile_circuit
from quantum.encodings import encode, make_encoding


def test_features_may_enter_by_any_expression():
    x = ParameterVector("x", 3)
    c = QuantumCircuit(2)
    c.ry(x[0] * x[1] / 2 + 0.1, 0)
    c.rx((np.pi - x[2]) ** 2, 1)
    c.cx(0, 1)
    c.crz(x[0].sin() * x[1].exp(), 0, 1)
    c.rxx(-x[2].cos(), 0, 1)
    c.cp(x[0] - x[1], 0, 1)
    c.u(x[0], 2 * x[1], -x[2], 0)
    X = np.random.default_rng(10).uniform(-1, 1, (4, 3))
    for row, state in zip(X, encode(c, X), strict=True):
        theirs = Statevector(c.assign_parameters(row)).data
        assert abs(np.vdot(theirs, state)) == pytest.approx(1.0, abs=1e-12)


def test_parameters_are_ordered_by_number_not_by_name():
    x = ParameterVector("x", 12)
    c = QuantumCircuit(1)
    for k in range(12):
        c.ry(x[k] * (k + 1), 0)
        c.rz(x[k], 0)
    X = np.random.default_rng(11).uniform(-1, 1, (2, 12))
    theirs = Statevector(c.assign_parameters(X[0])).data
    assert abs(np.vdot(theirs, encode(c, X)[0])) == pytest.approx(1.0, abs=1e-12)


def mid_circuit():
    c = QuantumCircuit(1, 1)
    c.ry(Parameter("a"), 0)
    c.measure(0, 0)
    c.x(0)
    return c


def reset():
    c = QuantumCircuit(1)
    c.ry(Parameter("a"), 0)
    c.reset(0)
    return c


def trotter():
    c = QuantumCircuit(2)
    c.append(
        library.PauliEvolutionGate(SparsePauliOp(["XX", "ZI"]), Parameter("a")), [0, 1]
    )
    return c


def without_definition():
    c = QuantumCircuit(1)
    c.rv(Parameter("a"), 0.3, 0.1, 0)
    return c


def root():
    c = QuantumCircuit(1)
    c.ry(Parameter("a") ** 0.5, 0)
    return c


def nonlinear():
    c = QuantumCircuit(1)
    c.ry(Parameter("a") ** 2, 0)
    return c


def two_weights():
    c = QuantumCircuit(1)
    c.ry(Parameter("a") + Parameter("b"), 0)
    return c


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (mid_circuit(), "'measure' at position 1"),
        (reset(), "'reset' at position 1"),
        (nonlinear(), "'ry' at position 0.*not affine"),
        (two_weights(), "'ry' at position 0.*2 weights"),
        (trotter(), "'PauliEvolution' at position 0.*do not commute"),
        (without_definition(), "'rv' at position 0 is not supported"),
    ],
)
def test_unsupported_circuits_are_refused_by_gate_and_position(circuit, message):
    with pytest.raises(ValueError, match=message):
        compile_circuit(circuit, data=False)


def test_angles_that_cannot_be_evaluated_are_refused_by_gate_and_position():
    with pytest.raises(ValueError, match="'ry' at position 0: .*integer exponent"):
        compile_circuit(root(), data=True)


def test_final_measurements_are_dropped():
    c = QuantumCircuit(1)
    c.ry(Parameter("a"), 0)
    c.measure_all()
    assert len(compile_circuit(c, data=False).gates) == 1


def test_what_is_no_circuit_is_refused():
    with pytest.raises(TypeError, match="QuantumCircuit"):
        compile_circuit(3, data=False)
    with pytest.raises(ValueError, match="one of"):
        make_encoding("xx", 2)
    with pytest.raises(ValueError, match="row 1 of X is zero"):
        encode("amplitude", [[1.0, 0.0], [0.0, 0.0]])


def test_a_table_goes_back_to_qiskit():
    from quantum.export import table_circuit

    x = ParameterVector("x", 2)
    c = QuantumCircuit(2)
    c.ry(x[0] * x[1] + 1, 0)
    c.rz(x[0].sin() / x[1] - x[1] ** 2, 1)
    c.cx(0, 1)
    table = compile_circuit(c, data=True)
    values = [0.4, 0.9]
    ours = table_circuit(table, [], list(x)).assign_parameters(dict(zip(x, values)))  # noqa: B905
    theirs = c.assign_parameters(dict(zip(x, values)))  # noqa: B905
    assert Statevector(ours).equiv(Statevector(theirs))


T = ParameterVector("t", 3)
CONTROLLED = library.RYGate(T[0]).control(ctrl_state=0)
COMMUTING = SparsePauliOp(["XX", "ZZ"], [0.5, 0.2])
OTHER_GATES = {
    "control on 0": lambda c: c.append(CONTROLLED, [0, 1]),
    "cx on 0": lambda c: c.cx(0, 1, ctrl_state=0),
    "cu": lambda c: c.cu(T[0], T[1], 0.2, 0.3, 0, 1),
    "u2": lambda c: c.append(library.U2Gate(T[0], T[1]), [0]),
    "u3": lambda c: c.append(library.U3Gate(T[0], T[1], 0.3), [1]),
    "r": lambda c: c.r(T[0], 0.3, 0),
    "xx plus yy": lambda c: c.append(library.XXPlusYYGate(T[0], 0.3), [0, 1]),
    "fixed": lambda c: (c.ecr(0, 1), c.dcx(0, 1), c.ch(0, 1), c.csx(1, 0), c.sxdg(0)),
    "three controls": lambda c: c.mcp(T[0], [0, 1, 2], 3),
    "four qubits": lambda c: c.append(library.QFTGate(4), range(4)),
    "evolution": lambda c: c.append(
        library.PauliEvolutionGate(COMMUTING, T[0]), [0, 2]
    ),
    "phase": lambda c: setattr(c, "global_phase", T[0]),
    "reused": lambda c: (c.ry(2 * T[0] + 1, 0), c.rx(-T[0] / 3, 1)),
}


@pytest.mark.parametrize("name", OTHER_GATES)
@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")  # Qiskit
def test_other_gates_are_read_through_their_definition(name):
    from quantum.readout import Readout
    from quantum.simulator import Simulator

    c = QuantumCircuit(4)
    for q in range(4):
        c.ry(T[2] + q, q)
    OTHER_GATES[name](c)
    c.rx(T[1], 0)
    c.ry(-0.5 * T[2], 1)
    table = compile_circuit(c, data=False)
    theta = np.random.default_rng(13).uniform(-2, 2, table.n_parameters)
    zero = np.zeros((2, 16, 1))
    zero[0, 0] = 1.0
    readout = Readout(n=4, n_classes=16, classes=np.arange(16))
    found = Simulator(table=table, readout=readout, planes=zero).outputs(theta)[:, 0]
    theirs = Statevector(c.assign_parameters(theta)).probabilities()
    np.testing.assert_allclose(found, theirs, atol=1e-12)
