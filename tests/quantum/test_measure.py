"""The certificate of a circuit against closed forms, cvxpy and brute force."""

import dataclasses
import math

import numpy as np
import pytest

import farkas
from farkas.certificate import CertificateError
from quantum import encode, optimal_measurement
from quantum.ansatz import ansatz_table

X1 = np.array([[0.1, 0.7], [0.4, 0.2], [0.9, 0.5], [0.3, 0.8]])
Y1 = np.array([0, 1, 1, 0])
THETA1 = np.arange(1, 9) / 10
PARITY = np.array([0, 1, 1, 0])


def witness(theta=THETA1, **more):
    table = ansatz_table("efficient_su2", 2, 1, "reverse_linear")
    arrays = {"theta": theta, "gates": table.gates, "angles": table.angles}
    return {**arrays, "classes": PARITY, **more}


def settings(loss="cross_entropy", scope="readout", **more):
    return {
        "encoding": "zz", "reps": 2, "entanglement": "full", "n_qubits": 2,
        "loss": loss, "prob_floor": 1e-12, "scope": scope, **more,
    }  # fmt: skip


def certified(loss="cross_entropy", scope="readout", X=X1, y=Y1, **more):
    return farkas.certify(
        "quantum.circuit/1", (X, y), witness(**more), settings(loss, scope),
        tolerance=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "value", "largest"),
    [
        ("cross_entropy", 0.9859355780701947, 0.415884715),
        ("squared", 0.38018602504, 0.171080899),
    ],
)
def test_published_loss_and_gradient(loss, value, largest):
    c = certified(loss)
    assert c.upper == pytest.approx(value, abs=2e-11)
    assert c.residuals["loss"] == pytest.approx(value, abs=2e-11)
    assert c.value == pytest.approx(largest, abs=1e-9)
    assert c.residuals["single_shot_accuracy_bound"] == pytest.approx(0.8111690832)
    assert c.lower == 0.0  # vacuous at this point: the raw bound is negative


@pytest.mark.parametrize(
    ("loss", "floor", "one_shot"),
    [
        ("cross_entropy", 0.2117553565, -0.36840979),
        ("squared", 0.0374985866, -0.14901289),
    ],
)
def test_published_floor(loss, floor, one_shot):
    result = optimal_measurement(
        encode("zz", X1), Y1, loss=loss, rank=2, tol=1e-10, prob_floor=1e-12
    )
    assert result.lower_bound == pytest.approx(floor, abs=1e-8)
    c = certified(loss, tangent=result.tangent)
    assert c.lower == pytest.approx(floor, abs=1e-8)
    assert c.lower <= result.fun
    # The raw one-shot bound, by hand.
    states = encode("zz", X1)
    p = np.array([0.55511745, 0.63080895, 0.21327002, 0.67627112])
    if loss == "squared":
        value, slope = (p - Y1) ** 2, 2 * (p - Y1)
    else:
        q = np.where(Y1 == 1, p, 1 - p)
        value, slope = -np.log(q), np.where(Y1 == 1, -1, 1) / q
    G = (states.T * slope / 4) @ states.conj()
    raw = np.mean(value - slope * p) + np.linalg.eigvalsh(G)[:2].sum()
    assert raw == pytest.approx(one_shot, abs=1e-7)


def test_opposite_labels_on_one_state_cannot_be_told_apart():
    states = np.array([[1, 0], [1, 0]], dtype=complex)
    for loss, value in (("cross_entropy", math.log(2)), ("squared", 0.25)):
        result = optimal_measurement(states, [0, 1], loss=loss, tol=1e-10)
        assert result.lower_bound == pytest.approx(value, abs=1e-8)
        assert farkas.verify(result, states.view(float), [0, 1])


def test_orthogonal_states_are_told_apart():
    states = np.eye(2, dtype=complex)
    result = optimal_measurement(states, [0, 1], loss="squared", tol=1e-10)
    assert result.fun == pytest.approx(0.0, abs=1e-9)
    assert result.lower_bound == 0.0


def cvxpy_floor(states, y, loss, rank):
    cp = pytest.importorskip("cvxpy")
    d = states.shape[1]
    M = cp.Variable((d, d), hermitian=True)
    constraints = [M >> 0, np.eye(d) - M >> 0]
    if rank is not None:
        constraints.append(cp.real(cp.trace(M)) == rank)
    p = cp.hstack([cp.real(cp.trace(np.outer(s, s.conj()) @ M)) for s in states])
    own = cp.multiply(2.0 * y - 1, p) + (1.0 - y)
    terms = cp.sum_squares(1 - own) if loss == "squared" else -cp.sum(cp.log(own))
    problem = cp.Problem(cp.Minimize(terms / len(y)), constraints)
    return problem.solve(solver="CLARABEL")


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
@pytest.mark.parametrize("rank", ["half", None])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_floor_agrees_with_cvxpy(n, rank, loss):
    rng = np.random.default_rng(10 * n + (rank is None))
    for N, name in zip((3, 5, 9, 14, 20), ("zz", "ry", "z", "zz", "rx"), strict=True):
        states = encode(name, rng.uniform(0, 2, (N, n)))
        y = rng.permutation(np.arange(N) % 2)
        result = optimal_measurement(states, y, loss=loss, rank=rank, tol=1e-8)
        reference = cvxpy_floor(states, y, loss, None if rank is None else 2 ** (n - 1))
        assert result.fun == pytest.approx(reference, abs=1e-5)
        assert result.certificate.lower <= reference + 1e-7


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_three_classes_agree_with_cvxpy(loss):
    cp = pytest.importorskip("cvxpy")
    rng = np.random.default_rng(3)
    N, K, d = 15, 3, 4
    states = encode("zz", rng.uniform(0, 2, (N, 2)))
    y = np.arange(N) % K
    M = [cp.Variable((d, d), hermitian=True) for _ in range(K)]
    p = cp.vstack([
        cp.hstack([cp.real(cp.trace(np.outer(s, s.conj()) @ E)) for s in states])
        for E in M
    ])  # fmt: skip
    hot = np.eye(K)[y].T
    objective = (
        cp.sum_squares(p - hot) if loss == "squared"
        else -cp.sum(cp.log(cp.sum(cp.multiply(p, hot), axis=0)))
    )  # fmt: skip
    constraints = [E >> 0 for E in M] + [sum(M) == np.eye(d)]
    reference = cp.Problem(cp.Minimize(objective / N), constraints).solve(
        solver="CLARABEL"
    )
    result = optimal_measurement(states, y, loss=loss, tol=1e-7)
    assert result.success
    assert result.fun == pytest.approx(reference, abs=1e-5)
    assert result.certificate.lower <= reference + 1e-7
    farkas.verify(result, states.view(float), y).check()


@pytest.mark.parametrize(("rank", "value"), [(8, 0.263613974), (2, 0.324651728)])
def test_fewer_samples_than_dimensions_equals_the_full_problem(rank, value):
    rng = np.random.default_rng(0)
    states = encode("zz", rng.uniform(0, 1, (6, 4)))
    y = np.array([0, 1, 1, 0, 1, 0])
    few = optimal_measurement(states, y, rank=rank, tol=1e-9)
    # A ridge of no weight keeps the program in full: the same problem without it.
    from quantum._measure_losses import make_loss
    from quantum.fantope import solve_fantope

    loss = make_loss("cross_entropy", 2, 1e-9, 1.0)
    full = solve_fantope(
        states, y, np.full(6, 1 / 6), loss, d=16, rank=float(rank), tol=1e-9
    )
    assert few.fun == pytest.approx(full.fun, abs=1e-8)
    assert few.certificate.lower == pytest.approx(full.lower_bound, abs=1e-8)
    assert few.basis.shape == (16, 6)
    assert value > 0


def test_floor_lies_below_random_circuits():
    from quantum.encodings import make_encoding
    from quantum.readout import Readout, class_table
    from quantum.simulator import Simulator

    rng = np.random.default_rng(5)
    X, y = rng.uniform(0, 1, (12, 3)), np.arange(12) % 2
    encoding = make_encoding("zz", 3)
    floor = optimal_measurement(encoding.states(X), y, loss="squared").lower_bound
    best = math.inf
    for name, reps in (
        ("efficient_su2", 1),
        ("real_amplitudes", 3),
        ("efficient_su2", 4),
    ):
        table = ansatz_table(name, 3, reps, "full")
        for interpret in ("parity", "majority", "modulo"):
            readout = Readout(n=3, n_classes=2, classes=class_table(interpret, 3, 2))
            simulator = Simulator(
                table=table, readout=readout, planes=encoding.planes(X)
            )
            thetas = rng.uniform(-np.pi, np.pi, (112, table.n_parameters))
            P = simulator.outputs_many(thetas)[:, 0]
            best = min(best, float(np.mean((P - y) ** 2, axis=1).min()))
    assert floor <= best
    assert floor > 0


# Forgeries, by arithmetic alone.


def bare(certificate, **changes):
    return dataclasses.replace(certificate, fingerprint="", seal="", **changes)


def full_certificate():
    result = optimal_measurement(encode("zz", X1), Y1, rank=2, tol=1e-9)
    return certified(tangent=result.tangent)


def test_a_floor_above_the_proven_one_is_refused():
    c = full_certificate()
    assert farkas.verify(c, X1, Y1)
    assert not farkas.verify(bare(c, lower=c.lower + 1e-5), X1, Y1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tangent", np.full((1, 4), 1.5), "probabilities"),
        ("tangent", np.full(4, 0.5), "shape"),
        ("tangent", np.full((1, 1), 0.5), "shape"),
        ("tangent", np.full((1, 4), np.nan), "finite"),
        ("theta", np.full(8, np.inf), "finite"),
        ("theta", np.zeros((8, 1)), "vector"),
        ("theta", np.zeros(3), "parameter"),
        ("classes", np.array([0, 1, 1]), "4 integers"),
        ("classes", np.array([0, 0, 0, 0]), "values"),
        ("classes", np.array([0, 2, 1, 0]), "values"),
        ("classes", np.array([0.0, 1.0, 1.0, 0.0]), "integers"),
        ("sample_weight", np.full(4, 1.0), "sum to 1"),
        ("sample_weight", np.array([2.0, -1.0, 0.0, 0.0]), ">= 0"),
        ("sample_weight", np.full(1, 1.0), ">= 0"),
        ("gates", np.zeros((3, 7)), "integer"),
        ("gates", np.full((9, 7), 99), "not known"),
        ("angles", np.zeros((3, 2)), "angles"),
        ("readout_error", np.ones((2, 2, 2)), "stochastic"),
        ("readout_error", np.array([[[2.0, 0.0], [-1.0, 1.0]]] * 2), "stochastic"),
        ("counts", np.ones((4, 3), dtype=int), "counts"),
        ("counts", np.array([[1, 1], [1, 0], [1, 1], [1, 1]]), "one number"),
    ],
)
def test_malformed_witnesses_prove_nothing(name, value, message):
    with pytest.raises(CertificateError, match=message):
        certified(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("loss", "hinge", "one of"),
        ("prob_floor", 0.0, "prob_floor"),
        ("prob_floor", math.nan, "prob_floor"),
        ("scope", "all", "one of"),
        ("encoding", "none", "one of"),
        ("entanglement", "no", "not known"),
        ("n_qubits", 3, "fit"),
        ("n_qubits", 50, "must lie"),
        ("split", 99, "position"),
        ("reps", 0, "reps"),
        ("depolarizing", 1.5, "depolarizing"),
    ],
)
def test_parameters_out_of_range_prove_nothing(name, value, message):
    parameters = {**settings(), name: value}
    with pytest.raises(CertificateError, match=message):
        farkas.certify(
            "quantum.circuit/1", (X1, Y1), witness(), parameters, tolerance=1.0
        )


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X1, Y1[:3], "shape"),
        (X1, np.zeros(4), "two classes"),
        (np.full((4, 2), np.nan), Y1, "finite"),
        (X1[0], Y1[:2], "2-dimensional|shape"),
    ],
)
def test_data_that_do_not_fit_prove_nothing(X, y, message):
    with pytest.raises(CertificateError, match=message):
        certified(X=X, y=y)


def test_a_gate_that_is_no_unitary_is_refused():
    gates = np.array([[24, 0, -1, -1, -1, -1, 0], [12, 0, -1, -1, 0, -1, -1]])
    arrays = {
        "theta": np.zeros(1), "gates": gates, "angles": np.array([[0.0, 0], [1, 0]]),
        "matrices": 2 * np.eye(8)[None], "classes": PARITY,
    }  # fmt: skip
    with pytest.raises(CertificateError, match="not unitary"):
        farkas.certify("quantum.circuit/1", (X1, Y1), arrays, settings(), tolerance=1.0)


def test_huge_angles_leave_an_honest_interval():
    # The phases of the ZZ map reach 1e20: nothing is known about the states then.
    c = certified(X=1e10 * X1)
    assert c.lower == 0.0
    assert c.upper > 1.0 or math.isinf(c.upper)


def test_tiny_weights_and_cancelling_labels_give_no_false_floor():
    # One state with both labels in equal parts: G cancels, its rounding does not.
    states = np.tile(np.array([[0.6, 0.8j]]), (1000, 1))
    y = np.arange(1000) % 2
    result = optimal_measurement(states, y, tol=1e-9)
    assert result.certificate.lower <= math.log(2)
    assert result.certificate.lower == pytest.approx(math.log(2), abs=1e-8)


def test_a_measurement_that_is_none_is_refused():
    states = encode("zz", X1)
    result = optimal_measurement(states, Y1, rank=2)
    c = result.certificate
    for M in (1.1 * result.x, -result.x, result.x + 0.01j, np.eye(4), result.x[:2, :2]):
        forged = bare(c, witness={**c.witness, "measurement": M})
        assert not farkas.verify(forged, states.view(float), Y1)


def test_states_of_another_norm_are_refused():
    states = encode("zz", X1)
    c = optimal_measurement(states, Y1, rank=2).certificate
    assert not farkas.verify(bare(c), 0.5 * states.view(float), Y1)


def test_scopes_say_what_they_cover():
    result = optimal_measurement(encode("zz", X1), Y1, rank=None, tol=1e-9)
    wide = certified(scope="any", tangent=result.tangent)
    narrow = full_certificate()
    assert wide.lower <= narrow.lower + 1e-9
    assert "ancillas" in wide.assumptions[0]
    none = certified(scope="none")
    assert none.lower == -math.inf
    assert not farkas.verify(bare(narrow, assumptions=wide.assumptions), X1, Y1)


def test_shot_interval_by_hand():
    counts = np.array([[60, 40], [45, 55], [80, 20], [30, 70]])
    c = certified(counts=counts)
    p = (counts[np.arange(4), Y1] + 0.5) / 101.0
    estimate = -np.log(p).mean() - 1 / 200
    half = 1.96 * np.sqrt(np.sum((1 - p) / p / 100) / 16)
    assert c.residuals["loss_estimate"] == pytest.approx(estimate, abs=1e-9)
    assert c.residuals["loss_ci_low"] == pytest.approx(estimate - half, abs=1e-4)
    assert c.residuals["loss_ci_high"] == pytest.approx(estimate + half, abs=1e-4)
    assert c.residuals["n_shots_total"] == 400


def test_a_ridge_counts_in_both_bounds():
    states = encode("zz", X1)
    result = optimal_measurement(states, Y1, rank=2, alpha=0.1, tol=1e-9)
    c = farkas.verify(result, states.view(float), Y1).check()
    assert c.residuals["penalty"] > 0
    plain = optimal_measurement(states, Y1, rank=2, tol=1e-9)
    assert c.residuals["loss_lower_bound"] <= plain.fun + 1e-9
    assert result.fun >= plain.fun
    K3 = optimal_measurement(states, [0, 1, 2, 0], alpha=0.1, tol=1e-8, loss="squared")
    assert K3.success
    farkas.verify(K3, states.view(float), [0, 1, 2, 0]).check()
