"""What the solver functions refuse, by name."""

import numpy as np
import pytest

from convexnn import enumerate_patterns, solve_gated, solve_relu

X3, Y3, D3 = np.eye(3), np.array([1.0, -1, 1]), np.ones((3, 2))
XOR = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((0, 3))}, "X must be a nonempty"),
        ({"X": np.zeros(3)}, "X must be a nonempty"),
        ({"X": np.diag([1, np.nan, 1])}, "X must not contain NaN"),
        ({"X": np.diag([1, np.inf, 1])}, "X must not contain NaN or infinity"),
        ({"X": np.diag([1, 1e-310, 1])}, "row 1 of X has length 1e-310"),
        ({"X": np.diag([1, 1, 1e308])}, "row 2 of X has length 1e\\+308"),
        ({"X": np.full((3, 2), -1.5e308)}, "row 0 of X has length inf"),
        ({"y": [1.0, 2.0]}, "y must have shape"),
        ({"y": [[1.0], [2], [3]]}, "y must have shape"),
        ({"y": [1.0, np.nan, 1]}, "y must not contain NaN"),
        ({"y": [1.0, np.inf, 1]}, "y must not contain NaN or infinity"),
        ({"y": [0.0, 1, 1], "loss": "hinge"}, "y must be -1 or"),
        ({"y": [2.0, 1, 1], "loss": "logistic"}, "y must be -1 or"),
        ({"patterns": np.ones(3)}, "patterns must have shape"),
        ({"patterns": np.ones((2, 4))}, "patterns must have shape"),
        ({"patterns": np.ones((3, 0))}, "patterns must have shape"),
        ({"patterns": 0.5 * D3}, "patterns must hold 0 and 1"),
        ({"patterns": -D3}, "patterns must hold 0 and 1"),
        ({"patterns": D3.astype(str)}, "patterns must hold 0 and 1"),
        ({"patterns": np.nan * D3}, "patterns must hold 0 and 1"),
        ({"patterns": enumerate_patterns(XOR)}, "patterns have 4 rows"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"alpha": np.nan}, "alpha=nan"),
        ({"alpha": np.inf}, "alpha=inf"),
        ({"alpha": "1"}, "alpha='1'"),
        ({"alpha": True}, "alpha=True"),
        ({"loss": "hing"}, "loss='hing'"),
        ({"u_update": "newton"}, "u_update='newton'"),
        ({"device": "tpu"}, "device='tpu'"),
        ({"tol": -1e-4}, "tol="),
        ({"tol": np.nan}, "tol=nan"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"max_iter": 2.5}, "max_iter=2.5"),
        ({"max_time": 0}, "max_time=0"),
        ({"max_time": np.nan}, "max_time=nan"),
        ({"rho": 0}, "rho=0"),
        ({"rho": "big"}, "rho='big'"),
        ({"rho": np.inf}, "rho=inf"),
        ({"callback": 3}, "callback=3"),
        ({"history_every": -1}, "every=-1"),
        ({"verbose": 7}, "verbose=7"),
    ],
)
@pytest.mark.parametrize("solver", [solve_relu, solve_gated])
def test_bad_arguments_are_named(solver, change, message):
    arguments = {"X": X3, "y": Y3, "patterns": D3, "alpha": 1.0, **change}
    with pytest.raises(ValueError, match=message):
        solver(**arguments)


def test_bad_starts_are_named():
    good = np.zeros((3, 2))
    with pytest.raises(ValueError, match="x0 must hold 2"):
        solve_relu(X3, Y3, D3, alpha=1.0, x0=(good,))
    with pytest.raises(ValueError, match="x0 must hold 2"):
        solve_relu(X3, Y3, D3, alpha=1.0, x0=(good, good[:1]))
    with pytest.raises(ValueError, match="x0 must hold 1"):
        solve_gated(X3, Y3, D3, alpha=1.0, x0=good.T)
    with pytest.raises(ValueError, match="x0 must not contain NaN"):
        solve_gated(X3, Y3, D3, alpha=1.0, x0=np.nan * good)


@pytest.mark.parametrize("loss", ["logistic", "hinge", "huber"])
def test_alpha_zero_needs_the_gated_squared_program(loss):
    with pytest.raises(ValueError, match="alpha=0"):
        solve_gated(X3, Y3, D3, alpha=0, loss=loss)
    with pytest.raises(ValueError, match="alpha=0"):
        solve_relu(X3, Y3, D3, alpha=0)


def test_targets_whose_loss_overflows_are_refused():
    with pytest.raises(ValueError, match="y is too large"):
        solve_relu(X3, 1e200 * Y3, D3, alpha=1.0)
    result = solve_relu(X3, 1e200 * Y3, D3, alpha=1.0, loss="huber")
    assert result.lower_bound >= 0, result.certificate
