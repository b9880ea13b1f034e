"""The robust certificate: closed forms, forgery by arithmetic, and exact rounding."""

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import farkas
from convexnn import reference_robust, solve_robust
from convexnn._measure_losses import LOSSES
from convexnn._measure_robust import ROBUST_LOSSES, VIOLATION, measure_robust
from farkas import CertificateError

PROBLEM = "convexnn.robust/1"
PARAMETERS = {"alpha": 0.5, "loss": "hinge", "encoding": "none", "intercept": 0.0}

# One row x = (3, 1), y = 1, radius (1, 1): with w = 0 and v = (t, 0) the least margin
# is 3 t - t, and min (1 - 2 t)_+ + t / 2 is 1/4 at t = 1/2. The dual point b = 1/4,
# Theta = b (x - eps) = (1/2, 0) has norm alpha.
X = np.array([[3.0, 1.0]])
Y = np.array([1.0])
WITNESS = {
    "eps": np.array([1.0, 1.0]),
    "patterns": np.array([[True]]),
    "V": np.array([[0.5], [0.0]]),
    "W": np.zeros((2, 1)),
    "Theta": np.array([[0.5, 0.0]]),
    "theta": np.array([0.25]),
    "amplitude": np.array([0.25]),
    "multiplier_index": np.zeros(0, dtype=int),
    "multiplier_value": np.zeros(0),
}


def mint(witness=None, parameters=None, data=(X, Y)):
    witness = WITNESS | (witness or {})
    parameters = PARAMETERS | (parameters or {})
    return farkas.certify(PROBLEM, data, witness, parameters, tolerance=1e-9)


def bare(certificate, **changes):
    """The certificate without the hashes that notice an edit, and an edited witness."""
    witness = {**certificate.witness, **changes}
    return dataclasses.replace(certificate, witness=witness, seal="", fingerprint="")


def small_program(seed, loss, n=6, d=3, P=4):
    """A program most of whose patterns are robust at a radius of 0.1."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X[:, -1] = 1.0
    y = rng.standard_normal(n)
    if ROBUST_LOSSES[loss].labels:
        y = np.where(y > 0, 1.0, -1.0)
    gates = rng.standard_normal((d, P))
    gates[:, 0] = [0, 0, 1]
    return X, y, X @ gates >= 0, np.array([0.1, 0.05, 0.0])


def assert_true_or_rejected(claim, X, y):
    """An accepted claim encloses the optimum of the program that it states."""
    if not farkas.verify(claim, X, y):
        return False
    best = reference_robust(
        X,
        y,
        claim.witness["patterns"],
        alpha=claim.parameters["alpha"],
        eps=claim.witness["eps"],
        loss=claim.parameters["loss"],
    )
    assert claim.lower <= best.fun * (1 + 1e-5), (claim, best.fun)
    assert claim.upper >= best.fun * (1 - 1e-5), (claim, best.fun)
    return True


def test_the_closed_form_is_certified_exactly():
    certificate = mint()
    assert certificate.lower == pytest.approx(0.25, rel=1e-13)
    assert certificate.upper == pytest.approx(0.25, rel=1e-13)
    assert certificate.residuals["certified_accuracy"] == 1.0
    assert certificate.guarantee is farkas.Guarantee.GLOBAL
    assert "radius, 1" in certificate.assumptions[0]
    assert farkas.verify(certificate, X, Y)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        # max over the box of 1/2 (x'v - y)^2 with x'v in [1, 2]
        ("squared", 0.5 * (2 - 1) ** 2),
        ("logistic", math.log1p(math.exp(-1.0))),
        ("hinge", 0.0),
    ],
)
def test_the_loss_is_the_largest_over_the_box(loss, value):
    found = mint({"V": np.array([[0.5], [0.0]])}, {"loss": loss})
    assert found.upper == pytest.approx(value + 0.25, rel=1e-12)


def test_the_appended_column_is_not_perturbed():
    # min (1 - v)_+ + v / 2 for the bias alone: 1/2, whatever eps is.
    witness = {
        "eps": np.array([1.0]),
        "V": np.array([[0.0], [1.0]]),
        "Theta": np.array([[0.0, 0.5]]),
        "theta": np.array([0.5]),
    }
    parameters = {"intercept": 1.0}
    found = mint(witness, parameters, data=(np.zeros((1, 1)), Y))
    assert found.lower == pytest.approx(0.5, rel=1e-13)
    assert found.upper == pytest.approx(0.5, rel=1e-13)


def test_theta_outside_its_box_is_moved_into_it():
    # Theta = 0 would have norm zero, hence scale b up to 1 and claim lower = 1.
    certificate = mint({"Theta": np.zeros((1, 2)), "theta": np.array([1.0])})
    assert certificate.lower <= 0.25
    assert certificate.lower == pytest.approx(0.25)  # the box of the best b


def test_an_amplitude_below_theta_is_raised():
    witness = {"theta": np.array([2.0]), "amplitude": np.array([-5.0])}
    certificate = mint(witness, {"loss": "squared"})
    reference = reference_robust(X, Y, [[1]], alpha=0.5, eps=1.0, loss="squared")
    assert certificate.lower <= reference.fun * (1 + 1e-7)


@pytest.mark.parametrize("loss", ROBUST_LOSSES)
def test_a_flipped_pattern_is_rejected_or_leaves_the_claim_true(loss):
    X, y, D, eps = small_program(0, loss)
    result = solve_robust(X, y, D, alpha=0.2, eps=eps, loss=loss, tol=1e-6)
    accepted = 0
    for k, i in itertools.product(*map(range, D.shape)):
        flipped = D.copy()
        flipped[k, i] ^= True
        claim = bare(result.certificate, patterns=flipped)
        accepted += assert_true_or_rejected(claim, X, y)
    assert accepted < D.size


@pytest.mark.parametrize("loss", ROBUST_LOSSES)
def test_edited_radii_are_rejected_or_leave_the_claim_true(loss):
    X, y, D, eps = small_program(3, loss)
    result = solve_robust(X, y, D, alpha=0.2, eps=eps, loss=loss, tol=1e-6)
    for factor in (0.0, 0.5, 0.999, 1.001, 2.0, 100.0):
        claim = bare(result.certificate, eps=factor * eps)
        assert not farkas.verify(claim, X, y), factor
    for j in range(2):
        edited = eps.copy()
        edited[j] = 0.0
        assert_true_or_rejected(bare(result.certificate, eps=edited), X, y)


@pytest.mark.parametrize("loss", ROBUST_LOSSES)
@pytest.mark.parametrize("name", ["Theta", "theta", "amplitude", "multiplier_value"])
def test_edited_dual_points_are_rejected_or_leave_the_claim_true(loss, name):
    X, y, D, eps = small_program(2, loss)
    result = solve_robust(X, y, D, alpha=0.2, eps=eps, loss=loss, tol=1e-6)
    array = result.certificate.witness[name]
    assert array.size > 1
    rng = np.random.default_rng(0)
    where = rng.permutation(array.size)[:4]
    for k, factor in itertools.product(where, (-1.0, 0.0, 0.5, 2.0, 1e300, np.nan)):
        edited = array.copy()
        edited.flat[k] *= factor
        with np.errstate(all="ignore"):
            claim = bare(result.certificate, **{name: edited})
            assert_true_or_rejected(claim, X, y)


@pytest.mark.parametrize("loss", ROBUST_LOSSES)
def test_swapped_rows_are_rejected_or_leave_the_claim_true(loss):
    X, y, D, eps = small_program(1, loss)
    result = solve_robust(X, y, D, alpha=0.2, eps=eps, loss=loss, tol=1e-6)
    for j, k in itertools.combinations(range(len(X)), 2):
        swapped = X.copy()
        swapped[[j, k]] = X[[k, j]]
        assert_true_or_rejected(bare(result.certificate), swapped, y)
        assert not farkas.verify(result.certificate, swapped, y)


@pytest.mark.filterwarnings("ignore:all units vanish")
@pytest.mark.parametrize("loss", ROBUST_LOSSES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(-3, 3))
def test_any_witness_encloses_the_optimum(loss, seed, size):
    rng = np.random.default_rng(seed)
    X, y, D, eps = small_program(seed, loss)
    n, P = D.shape
    multipliers = np.flatnonzero(rng.random(2 * P * n) < 0.3)
    scale = 10.0**size
    witness = {
        "eps": eps,
        "patterns": D,
        "V": np.zeros((3, P)),
        "W": np.zeros((3, P)),
        "Theta": scale * rng.standard_normal((n, 3)),
        "theta": scale * rng.standard_normal(n) + rng.random() * y,
        "amplitude": scale * rng.standard_normal(n),
        "multiplier_index": multipliers,
        "multiplier_value": scale * rng.random(len(multipliers)),
    }
    witness["V"][2, 0] = abs(rng.standard_normal())  # a positive bias is always inside
    found = mint(witness, {"loss": loss, "alpha": 0.3}, data=(X, y))
    best = solve_robust(X, y, D, alpha=0.3, eps=eps, loss=loss, tol=1e-7)
    assert found.lower <= best.fun * (1 + 1e-6), found
    assert found.upper >= best.lower_bound * (1 - 1e-6), found


def exact_least_margin(x, y, eps, V, W, d):
    """The least margin of the program's prediction over the box, without rounding."""
    zeta = [
        sum(
            (Fraction(v) - Fraction(w)) * int(on)
            for v, w, on in zip(*rows, strict=True)
        )
        for rows in zip(V, W, [d] * len(V), strict=True)
    ]
    clean = sum(Fraction(a) * b for a, b in zip(x, zeta, strict=True))
    return Fraction(y) * clean - sum(
        Fraction(a) * abs(b) for a, b in zip(eps, zeta, strict=True)
    )


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0, 17))
def test_the_upper_bound_holds_without_rounding(seed, exponent):
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    X = np.column_stack([rng.standard_normal((n, d)), np.ones(n)])
    y = np.where(rng.random(n) > 0.5, 1.0, -1.0)
    eps = np.append(0.1 * rng.random(d), 0.0)
    blocks = rng.standard_normal((d + 1, 4))
    room = (np.abs(X[:, :-1]).max(axis=0) + eps[:-1]) @ np.abs(blocks[:-1])
    blocks[-1] = 1.001 * room + 1e-3  # inside the cone of the pattern of all ones
    huge = 10.0**exponent * blocks[:, :1]
    V, W = blocks[:, :2] + huge, blocks[:, 2:] + huge  # which cancel
    witness = {
        "eps": eps,
        "patterns": np.ones((n, 2)),
        "V": V,
        "W": W,
        "Theta": np.zeros((n, d + 1)),
        "theta": np.zeros(n),
        "amplitude": np.zeros(n),
    }
    found = mint(witness, {"alpha": 1e-30}, data=(X, y))
    if found.upper < math.inf:
        loss = sum(
            max(Fraction(0), 1 - exact_least_margin(x, t, eps, V, W, (1, 1)))
            for x, t in zip(X, y, strict=True)
        )
        assert Fraction(found.upper) >= loss * (1 - Fraction(1, 10**14)), found


@pytest.mark.parametrize("size", 10.0 ** np.arange(0, 17, 4))
def test_blocks_that_cancel_do_not_leave_their_cones(size):
    # Both rows on and opposite: only v = (0, t) is inside, which predicts zero.
    X, y = np.array([[1.0, 1.0], [-1.0, 1.0]]), np.array([1.0, -1.0])
    witness = {
        "eps": np.array([1.0, 0.0]),
        "patterns": np.ones((2, 1)),
        "Theta": np.zeros((2, 2)),
        "theta": np.zeros(2),
        "amplitude": np.zeros(2),
    }
    for step in (1.0, 1e-3, 1e-8, 0.5 * VIOLATION):
        # Room for |x'v| <= step / 2 and as much for the radius, so outside by half.
        block = np.array([[step], [1.5 * step]])
        far = np.array([[0.0], [size]])
        found = mint(
            witness | {"V": block + far - far, "W": 0 * far}, {"alpha": 1e-30}, (X, y)
        )
        assert found.upper >= 2 - 8 * VIOLATION or found.upper == math.inf, found


def test_a_point_outside_the_cones_has_no_upper_bound():
    found = mint({"V": np.array([[0.2], [-0.5]])})  # 0.1 < |v|_eps = 0.7
    assert found.upper == math.inf
    assert found.value == math.inf
    assert found.residuals["certified_accuracy"] == 0.0
    assert found.residuals["cone_violation"] == pytest.approx(0.6)


def test_zero_radius_is_the_program_without_perturbations():
    rng = np.random.default_rng(5)
    X, D = rng.standard_normal((8, 3)), np.ones((8, 2))
    V = np.zeros((3, 2))
    theta = rng.random(8)
    y = np.where(rng.random(8) > 0.5, 1.0, -1.0)
    for loss in ROBUST_LOSSES:
        robust = mint(
            {
                "eps": np.zeros(3),
                "patterns": D,
                "V": V,
                "W": V,
                "Theta": (y * theta)[:, None] * X,
                "theta": y * theta,
                "amplitude": theta,
            },
            {"loss": loss},
            data=(X, y),
        )
        plain = farkas.certify(
            "convexnn.two_layer/1",
            (X, y),
            {
                "patterns": D,
                "V": V,
                "W": V,
                "theta": y * theta,
                "multiplier_index": np.zeros(0, dtype=int),
                "multiplier_value": np.zeros(0),
            },
            PARAMETERS | {"loss": loss, "activation": "relu", "scope": "patterns"},
            tolerance=1.0,
        )
        assert robust.upper == plain.upper
        assert robust.lower == pytest.approx(plain.lower, rel=1e-12)
        assert robust.scale == plain.scale
        assert LOSSES[loss].labels == ROBUST_LOSSES[loss].labels


def test_several_outputs_add_up_and_the_certified_class_beats_all_others():
    # Three classes on a line of centres, one unit each for the first and the last.
    X, y = np.array([[-4.0], [0.0], [4.0]]), np.array(["a", "b", "c"])
    D = np.array([[1, 0, 1], [0, 0, 1], [0, 1, 1]], dtype=bool)  # last: all ones
    V, W = np.zeros((3, 2, 3)), np.zeros((3, 2, 3))
    V[0, :, 0] = [-1.0, -2.0]
    V[2, :, 1] = [1.0, -2.0]
    V[1, :, 2] = [0.0, 1.0]
    witness = {
        "eps": np.array([0.5]),
        "patterns": D,
        "V": V,
        "W": W,
        "Theta": np.zeros((3, 3, 2)),
        "theta": np.zeros((3, 3)),
        "amplitude": np.zeros((3, 3)),
    }
    parameters = {"encoding": "labels", "intercept": 1.0}
    found = mint(witness, parameters, data=(X, y))
    # The units give 2 -+ 0.5 at the ends, the bias 1: margins 0.5, 1 and 0.5.
    assert found.residuals["certified_accuracy"] == 1.0
    losses = [
        (0, 1.0, 1.0),  # 1 - 1.5 clipped; the two others output 0
        (2.0, 0, 2.0),  # the bias is 1 everywhere
        (1.0, 1.0, 0),
    ]
    norms = 2 * math.sqrt(5) + 1
    assert found.upper == pytest.approx(np.sum(losses) + 0.5 * norms, rel=1e-12)
    wider = mint(witness | {"eps": np.array([1.01])}, parameters, data=(X, y))
    assert wider.residuals["certified_accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("changes", "parameters", "message"),
    [
        ({"eps": np.array([-1.0, 1.0])}, {}, "eps must be nonnegative"),
        ({"eps": np.array([np.nan, 1.0])}, {}, "eps must be nonnegative"),
        ({"eps": np.array([np.inf, 1.0])}, {}, "eps must be nonnegative"),
        ({"eps": np.array(1.0)}, {}, "eps must have shape"),
        ({"eps": np.array([1.0])}, {}, "eps must have shape"),
        ({"eps": np.array([[1.0, 1.0]])}, {}, "eps must have shape"),
        ({"V": np.zeros((1, 1))}, {}, "V must have shape"),
        ({"V": np.zeros((2, 2))}, {}, "V must have shape"),
        ({"V": np.full((2, 1), np.nan)}, {}, "V must be finite"),
        ({"W": np.zeros(2)}, {}, "W must have shape"),
        ({"Theta": np.zeros((1, 1))}, {}, "Theta must have shape"),
        ({"Theta": np.zeros((2, 1))}, {}, "Theta must have shape"),
        ({"theta": np.zeros((1, 2))}, {}, "theta must have shape"),
        ({"amplitude": np.zeros(2)}, {}, "amplitude must have shape"),
        ({"amplitude": np.array([np.inf])}, {}, "amplitude must be finite"),
        ({"patterns": np.array([[2]])}, {}, "patterns must be"),
        ({"patterns": np.ones((2, 1))}, {}, "patterns must be"),
        ({"patterns": np.ones((1, 0))}, {}, "patterns must be"),
        ({"multiplier_index": np.array([0])}, {}, "multiplier_index must be"),
        (
            {"multiplier_index": np.array([9]), "multiplier_value": np.ones(1)},
            {},
            "multiplier_index must be distinct",
        ),
        (
            {"multiplier_index": np.array([0]), "multiplier_value": -np.ones(1)},
            {},
            "multipliers must be nonnegative",
        ),
        ({}, {"alpha": 0.0}, "alpha=0.0"),
        ({}, {"alpha": np.nan}, "alpha=nan"),
        ({}, {"alpha": np.inf}, "alpha=inf"),
        ({}, {"loss": "huber"}, "huber"),
        ({}, {"encoding": "onehot"}, "encoding='onehot'"),
        ({"Theta": np.full((1, 2), 1e300), "theta": np.ones(1)}, {}, None),
    ],
)
def test_malformed_witnesses_are_named(changes, parameters, message):
    if message is None:  # harmless: moved into the box
        assert mint(changes, parameters).lower <= 0.25
        return
    with pytest.raises(CertificateError, match=message):
        mint(changes, parameters)


def test_missing_parts_are_named():
    for name in WITNESS:
        witness = {key: value for key, value in WITNESS.items() if key != name}
        with pytest.raises(CertificateError, match=name):
            farkas.certify(PROBLEM, (X, Y), witness, PARAMETERS, tolerance=1e-9)


def test_targets_of_the_margin_losses_are_signs():
    with pytest.raises(CertificateError, match="-1 or \\+1"):
        mint(data=(X, np.array([0.0])))
    with pytest.raises(CertificateError, match="rows"):
        mint(data=(X, np.array([1.0, 1.0])))
    with pytest.raises(CertificateError, match="dimension"):
        mint(data=(X[0], Y))


@pytest.mark.parametrize("size", [1e160, 1e300])
def test_numbers_that_overflow_claim_nothing(size):
    with np.errstate(all="ignore"):
        with pytest.raises(CertificateError):
            mint({"theta": np.array([size])}, {"loss": "squared"}, (X * size, Y))
        huge = {"V": np.array([[size], [0.0]])}
        assert mint(huge, {"loss": "squared"}).upper >= 1e300
        with pytest.raises(CertificateError, match="rescale y"):
            mint({}, {"loss": "squared"}, (X, Y * size))


def test_products_too_small_for_a_float_still_count():
    # Ten products of 2e-324 vanish one by one; together they exceed alpha four times.
    X, y = np.full((10, 1), 5e-324), np.ones(10)
    witness = {
        "eps": np.zeros(1),
        "patterns": np.ones((10, 1)),
        "V": np.zeros((1, 1)),
        "W": np.zeros((1, 1)),
        "Theta": 0.4 * X,
        "theta": 0.4 * y,
        "amplitude": 0.4 * y,
    }
    found = mint(witness, {"alpha": 5e-324}, data=(X, y))
    assert found.lower <= 1.0, found


def test_the_measure_reads_what_it_documents():
    found = measure_robust(X, Y, witness=WITNESS, parameters=PARAMETERS)
    assert set(found.residuals) == {"dual_norm", "cone_violation", "certified_accuracy"}
    regression = measure_robust(
        X, 3 * Y, witness=WITNESS, parameters=PARAMETERS | {"loss": "squared"}
    )
    assert "certified_accuracy" not in regression.residuals
