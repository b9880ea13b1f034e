"""Attacks on the certificates: whatever the witness says, no false floor is minted."""

import dataclasses
import math

import numpy as np
import pytest

import farkas
from farkas.certificate import CertificateError
from quantum import (
    OptimalMeasurementClassifier,
    VariationalQuantumClassifier,
    optimal_measurement,
)
from quantum import encode as encode_states
from quantum._measure_bounds import (
    Interval,
    Spectrum,
    orbit_minimum,
    spectrum_with_radius,
)
from quantum._measure_circuit import checked_circuit
from quantum._measure_states import CODES, data_angles, encoded_states

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.uniform(0, 1, (9, 2))
Y2, Y3 = np.arange(9) % 2, np.arange(9) % 3
# More dimensions than rows: certificates with a basis.
WIDE = RNG.uniform(0, 1, (6, 3))


def bare(certificate, **changes):
    return dataclasses.replace(certificate, fingerprint="", seal="", **changes)


def fitted(data, y, **parameters):
    return VariationalQuantumClassifier(
        ansatz_reps=1, random_state=0, max_iter=15, **parameters
    ).fit(data, y)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
@pytest.mark.parametrize(("data", "y"), [(X, Y2), (X, Y3), (WIDE, np.arange(6) % 3)])
def test_no_witness_whatever_raises_the_floor(data, y, loss):
    model = fitted(data, y, loss=loss)
    c = farkas.verify(model, data, y).check() and model.certificate_
    states = encode_states("zz", data)
    best = optimal_measurement(states, y, loss=loss, tol=1e-8).fun
    assert c.lower <= best
    rng = np.random.default_rng(1)
    rows = c.witness["tangent"].shape
    for _ in range(25):
        changed = dict(c.witness)
        changed["tangent"] = rng.uniform(0, 1, rows) ** rng.integers(1, 9)
        if "dual" in changed:
            k = len(changed["dual"])
            noise = rng.standard_normal((2, k, k))
            changed["dual"] = rng.choice([0.1, 1, 10]) * (noise[0] + 1j * noise[1])
        minted = farkas.certify(
            c.problem, (data, y), changed, dict(c.parameters), tolerance=1.0
        )
        assert minted.lower <= best


def test_floors_of_measurements_cannot_be_raised_either():
    states = encode_states("zz", WIDE)
    result = optimal_measurement(states, np.arange(6) % 2, tol=1e-8)
    c = result.certificate
    data = states.view(float), np.arange(6) % 2
    rng = np.random.default_rng(2)
    for _ in range(25):
        changed = {**c.witness, "tangent": rng.uniform(0, 1, (1, 6))}
        minted = farkas.certify(
            c.problem, data, changed, dict(c.parameters), tolerance=1.0
        )
        assert minted.lower <= result.fun
    for basis in (
        c.witness["basis"] * 1.01,
        c.witness["basis"][:, :5],
        np.eye(8)[:, :6],
        c.witness["basis"][:4],
        -np.ones((8, 6)),
    ):
        forged = bare(c, witness={**c.witness, "basis": basis})
        assert not farkas.verify(forged, *data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 8.0}, "rank"),
        ({"rank": -1.0}, "rank"),
        ({"rank": math.nan}, "rank"),
        ({"alpha": -1.0}, "rank|alpha"),
        ({"alpha": 1.0}, "in full"),
        ({"n_qubits": 2}, "fit"),
    ],
)
def test_parameters_of_a_measurement(change, message):
    states = encode_states("zz", WIDE)
    c = optimal_measurement(states, np.arange(6) % 2).certificate
    with pytest.raises(CertificateError, match=message):
        farkas.certify(
            c.problem, (states.view(float), np.arange(6) % 2), dict(c.witness),
            {**c.parameters, **change}, tolerance=1.0,
        )  # fmt: skip


def test_malformed_measurements_of_three_classes():
    states = encode_states("zz", X)
    result = optimal_measurement(states, Y3, loss="squared")
    c, data = result.certificate, (states.view(float), Y3)
    for name, value, message in (
        ("dual", np.eye(3), "dual"),
        ("measurement", result.x[:2], "shape"),
        ("measurement", 1.1 * result.x, "not a measurement"),
        ("measurement", result.x * np.nan, "shape"),
    ):
        with pytest.raises(CertificateError, match=message):
            farkas.certify(
                c.problem, data, {**c.witness, name: value}, dict(c.parameters),
                tolerance=1.0,
            )  # fmt: skip
    # Without a dual point the measurements themselves give one.
    witness = {k: v for k, v in c.witness.items() if k != "dual"}
    again = farkas.certify(c.problem, data, witness, dict(c.parameters), tolerance=1.0)
    assert again.lower == pytest.approx(c.lower, abs=1e-5)


def test_an_odd_number_of_columns_is_no_list_of_states():
    with pytest.raises(CertificateError, match="pairs"):
        encoded_states(np.ones((2, 3)), {}, {"encoding": "states"})
    with pytest.raises(CertificateError, match="zero"):
        encoded_states(np.zeros((2, 2)), {}, {"encoding": "amplitude"})


def test_a_fit_on_any_circuit_cannot_be_bent():
    from qiskit.circuit import ParameterVector, QuantumCircuit

    x = ParameterVector("x", 2)
    c = QuantumCircuit(2)
    c.ry(3 * x[0], 0)
    c.rx(x[1] ** 2, 1)
    c.cx(0, 1)
    model = OptimalMeasurementClassifier(c).fit(X, Y2)
    certificate = model.certificate_
    for name, change in (
        ("tape", lambda a: 2 * a),
        ("starts", lambda a: a[::-1]),
        ("starts", lambda a: a[:2]),
        ("gates", lambda a: a[:1]),
        ("angles", lambda a: a + 0.1),
    ):
        witness = dict(certificate.witness)
        witness[name] = change(witness[name])
        assert not farkas.verify(bare(certificate, witness=witness), X, Y2)
    assert not farkas.verify(bare(certificate), np.full((9, 2), np.inf), Y2)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ([("constant", 1.0), ("constant", 1.0)], "leave one"),
        ([("add", 0.0)], "empty stack"),
        ([("sin", 0.0)], "empty stack"),
        ([("feature", 7.0)], "not a feature"),
        ([("feature", 0.5)], "not a feature"),
        ([("constant", math.inf)], "not finite"),
        ([("constant", -1.0), ("log", 0.0)], "not finite"),
        ([("feature", 0.0), ("constant", 0.5), ("power", 0.0)], "integer exponent"),
        ([("constant", 1.0), ("constant", 0.0), ("divide", 0.0)], "not finite"),
    ],
)
def test_malformed_programs(program, message):
    tape = np.array([(CODES.index(name), value) for name, value in program])
    with pytest.raises(CertificateError, match=message):
        data_angles(X, tape, np.array([0, len(tape)]))


def test_malformed_tapes():
    for tape, starts in (
        (np.zeros((2, 3)), np.array([0, 2])),
        (np.zeros((2, 2)), np.array([0, 3])),
        (np.zeros((2, 2)), np.array([1, 2])),
        (np.array([[99.0, 0.0]]), np.array([0, 1])),
        (np.array([[0.5, 0.0]]), np.array([0, 1])),
    ):
        with pytest.raises(CertificateError):
            data_angles(X, tape, starts)


def test_errors_of_angles_are_bounded():
    # The same programs in extended precision.
    names = ["sin", "cos", "tan", "exp", "abs", "arctan", "log", "arcsin", "arccos"]
    x = np.random.default_rng(3).uniform(0.05, 0.95, (50, 2))
    wide = x.astype(np.longdouble)
    for name in names:
        tape = [("feature", 0), ("feature", 1), ("multiply", 0), (name, 0),
                ("feature", 1), ("divide", 0), ("constant", 3.0), ("power", 0),
                ("feature", 0), ("subtract", 0)]  # fmt: skip
        codes = np.array([(CODES.index(code), value) for code, value in tape], float)
        values, errors = data_angles(x, codes, np.array([0, len(codes)]))
        exact = getattr(np, name)(wide[:, 0] * wide[:, 1]) / wide[:, 1]
        exact = exact**3 - wide[:, 0]
        assert (np.abs(values[0] - exact) <= errors[0]).all(), name
        assert errors.max() < 1e-8
    tape = np.array([(CODES.index("feature"), 0.0), (CODES.index("sign"), 0.0)])
    assert (data_angles(x, tape, np.array([0, 2]))[0] == 1).all()


def test_states_lie_within_their_errors():
    x = np.random.default_rng(4).uniform(-3, 3, (20, 3))
    for name in ("zz", "z", "rx", "ry", "rz", "dense_angle", "amplitude"):
        parameters = {"encoding": name, "reps": 2, "entanglement": "full"}
        states, errors = encoded_states(x, {}, parameters)
        assert (np.abs(np.linalg.norm(states, axis=1) - 1) <= errors).all()
        fast = encode_states(name, x)
        overlap = np.abs(np.sum(states.conj() * fast, axis=1))
        assert (1 - overlap < 1e-12).all()
        assert errors.max() < 1e-11


def test_eigenvalues_lie_within_their_radius():
    rng = np.random.default_rng(5)
    for k in (1, 3, 8):
        Q, _ = np.linalg.qr(
            rng.standard_normal((k, k)) + 1j * rng.standard_normal((k, k))
        )
        exact = np.sort(rng.integers(-9, 9, k) * 10.0 ** rng.integers(-9, 9, k))
        G = (Q * exact) @ Q.conj().T
        allowed = 64 * k * np.finfo(float).eps * np.abs(exact).max()
        found, radius, _ = spectrum_with_radius(G, allowed)
        assert (np.abs(np.sort(found) - exact) <= radius).all()


def test_minimum_over_an_orbit_against_random_unitaries():
    rng = np.random.default_rng(6)
    A = rng.standard_normal((6, 6)) + 1j * rng.standard_normal((6, 6))
    G = A + A.conj().T
    v, radius, _ = spectrum_with_radius(G, 0.0)
    mu = np.array([1.0, 0.7, 0.2, -0.3, 0.0, 0.0])
    bound = orbit_minimum(v, radius, 6, Spectrum(mu))
    ends = orbit_minimum(v, radius, 6, Interval(-0.3, 1.0))
    values = []
    for _ in range(300):
        Q, _ = np.linalg.qr(
            rng.standard_normal((6, 6)) + 1j * rng.standard_normal((6, 6))
        )
        values.append(np.vdot(G, (Q * mu) @ Q.conj().T).real)
    assert ends <= bound <= min(values)
    order = np.linalg.eigh(G)[1]
    attained = np.vdot(G, (order * np.sort(mu)[::-1]) @ order.conj().T).real
    assert bound == pytest.approx(attained, abs=1e-10)
    # Zeros that are left out count as eigenvalues.
    top, one = np.array([1.0, 1.0, 0.0]), np.array([-1.0])
    padded = orbit_minimum(one, np.zeros(1), 3, Spectrum(top))
    assert padded == pytest.approx(-1.0)
    worse = orbit_minimum(one, np.zeros(1), 3, Spectrum(top, 0.1), 0.01)
    assert worse < padded
    assert orbit_minimum(
        np.array([-1.0, 2.0]), np.zeros(2), 4, Interval(0.0, 1.0), 0.01
    ) == pytest.approx(-1.02)


def test_tables_of_gates_are_checked():
    good = {
        "gates": np.array([[12, 0, -1, -1, 0, -1, -1]]),
        "angles": np.array([[1.0, 0.0]]),
    }
    checked_circuit(good, 1, 1)
    for name, value in (
        ("gates", np.array([[12, 1, -1, -1, 0, -1, -1]])),  # no such qubit
        ("gates", np.array([[12, 0, -1, -1, 1, -1, -1]])),  # no such weight
        ("gates", np.array([[0, 0, -1, -1, 0, -1, -1]])),  # H has no angle
        ("gates", np.array([[9, 0, 0, -1, -1, -1, -1]])),  # CX on one qubit
        ("gates", np.array([[24, 0, -1, -1, -1, -1, 0]])),  # no such matrix
        ("gates", np.array([[12, 0]])),
        ("angles", np.array([[np.nan, 0.0]])),
        ("matrices", np.eye(4)[None]),
    ):
        with pytest.raises(CertificateError):
            checked_circuit({**good, name: value}, 1, 1)


@pytest.mark.parametrize("word", ["ZZ", "sum"])
def test_floors_under_observables(word):
    from qiskit.quantum_info import SparsePauliOp

    operator = (
        SparsePauliOp(["ZI", "XX", "IZ"], [0.5, 0.8, -0.3]) if word == "sum" else word
    )
    model = fitted(X, Y2, observable=operator, loss="squared")
    c = model.certificate_
    farkas.verify(model, X, Y2).check()
    # Operators of the same spectrum in random directions.
    O = model.observable_matrix()  # noqa: E741
    states, sign = encode_states("zz", X), 2 * Y2 - 1
    rng = np.random.default_rng(7)
    for _ in range(200):
        Q, _ = np.linalg.qr(
            rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
        )
        M = Q @ O @ Q.conj().T
        f = np.einsum("ia,ab,ib->i", states.conj(), M, states).real
        assert c.lower <= np.mean((f - sign) ** 2)
    for name, value in (
        ("paulis", np.full((1, 2), 7)),
        ("paulis", np.zeros((1, 3), dtype=int)),
        ("coefficients", np.array([np.nan])),
    ):
        with pytest.raises(CertificateError):
            farkas.certify(
                c.problem, (X, Y2), {**c.witness, name: value}, dict(c.parameters),
                tolerance=1.0,
            )  # fmt: skip
    with pytest.raises(CertificateError, match="two classes"):
        farkas.certify(
            c.problem, (X, Y3), dict(c.witness), dict(c.parameters), tolerance=1.0
        )


def test_reuploading_is_measured_through_its_data_gates():
    model = fitted(X, Y2, feature_map="reupload")
    c = model.certificate_
    farkas.verify(model, X, Y2).check()
    for split in (0, 3, len(c.witness["gates"]) + 1):
        forged = bare(c, parameters={**c.parameters, "split": split})
        assert not farkas.verify(forged, X, Y2)
    gates = c.witness["gates"].copy()
    gates[0, 5] = 9
    assert not farkas.verify(bare(c, witness={**c.witness, "gates": gates}), X, Y2)


def test_small_print():
    c = fitted(X, Y2, observable="ZZ", loss="logistic").certificate_
    for change in ({"slope": 0.0}, {"slope": math.inf}, {"loss": "cross_entropy"}):
        with pytest.raises(CertificateError):
            farkas.certify(
                c.problem, (X, Y2), dict(c.witness), {**c.parameters, **change},
                tolerance=1.0,
            )  # fmt: skip
    constant = {**c.witness, "paulis": np.zeros((1, 2), dtype=int)}
    minted = farkas.certify(
        c.problem, (X, Y2), constant, dict(c.parameters), tolerance=1.0
    )
    # The identity has one value only: the floor is the loss itself.
    assert minted.lower == pytest.approx(minted.upper, abs=1e-9)
    # A column of labels counts as a vector; a fractional rank as a convex mixture.
    plain = fitted(X, Y2)
    assert farkas.verify(bare(plain.certificate_), X, Y2[:, None])
    states = encode_states("zz", X)
    part = optimal_measurement(states, Y2, rank=1.5, tol=1e-8)
    assert part.certificate.lower == pytest.approx(part.fun, abs=1e-6)
    with pytest.raises(CertificateError, match="vector"):
        farkas.certify(
            "quantum.value/1", (lambda x: 0.0,), {"x": [[1.0]]}, tolerance=1.0
        )
