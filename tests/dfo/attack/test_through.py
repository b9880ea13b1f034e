"""Searches through a network: they beat their parts, and their claims verify."""

import math

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, NonlinearConstraint

import farkas
from dfo import as_network, optimize_through_network
from dfo.attack.hook import AttackStep

RNG = np.random.default_rng(0)
SIZES = (6, 12, 8, 3)
NET = as_network(
    (
        [RNG.standard_normal(s) / 2 for s in zip(SIZES, SIZES[1:], strict=False)],
        [RNG.standard_normal(s) / 2 for s in SIZES[1:]],
        "tanh",
    )
)
GOAL = NET.forward(RNG.uniform(-0.5, 0.5, 6))
BOX = [(-1.0, 1.0)] * 6


def merit(y):
    return -float(np.sum((y - GOAL) ** 2))


def slope(y):
    return -2 * (y - GOAL)


def run(strategy="hybrid", **options):
    options = {"bounds": BOX, "maxfev": 300, "random_state": 0, **options}
    return optimize_through_network(
        NET, merit, np.full(6, 0.9), gradient=slope, strategy=strategy, **options
    )


def counted(strategy, budget):
    """Best value while forward passes plus twice the products stay in the budget."""
    best = -math.inf

    def callback(intermediate_result):
        nonlocal best
        cost = intermediate_result.nfev + 2 * intermediate_result.njev
        if cost > budget:
            raise StopIteration
        best = -intermediate_result.fun

    run(strategy, maxfev=budget, callback=callback)
    return best


def test_hybrid_beats_its_parts_at_equal_cost():
    values = {s: counted(s, 400) for s in ("hybrid", "attack", "cdsm", "line_search")}
    assert values["hybrid"] == max(values.values())
    assert values["hybrid"] > -1e-8


@pytest.mark.parametrize("strategy", ["hybrid", "attack", "cdsm", "line_search"])
def test_every_strategy_improves_and_verifies(strategy):
    res = run(strategy)
    assert res.fun > merit(NET.forward(np.full(6, 0.9)))
    assert res.fun == pytest.approx(merit(NET.forward(res.x)))
    assert res.nfev <= 300
    assert (np.abs(res.x) <= 1).all()
    farkas.verify(res, res.objective).check()
    assert (res.njev > 0) == (strategy in ("hybrid", "attack"))


@pytest.mark.parametrize("attack", ["pgd", "mifgsm"])
def test_other_attacks(attack):
    res = run(attack=attack, maxfev=150)
    assert res.fun > -0.1
    assert res.njev > 0


def test_rules_of_the_paper():
    res = run(attack_rules="seed")
    assert res.fun > -1e-2
    assert res.step_counts["search"] > 0


def test_constraints_of_input_and_output():
    def limits(x, y):
        return np.array([x.sum() - 1.0, y[0] - GOAL[0] + 0.1])

    res = run(constraints=limits)
    y = NET.forward(res.x)
    assert res.maxcv == 0
    assert (limits(res.x, y) <= 0).all()
    assert res.fun == pytest.approx(-0.01, abs=1e-3)
    farkas.verify(res, res.objective, res.violation).check()
    scipy_form = NonlinearConstraint(lambda x: limits(x, NET.forward(x)), -np.inf, 0)
    again = run(constraints=[scipy_form])
    np.testing.assert_array_equal(again.evaluations["X"], res.evaluations["X"])


def test_linear_constraints_bend_the_attack():
    rows = LinearConstraint(np.ones((1, 6)), ub=0.0)
    res = optimize_through_network(
        NET,
        lambda y: float(y.sum()),
        np.full(6, -0.2),
        bounds=BOX,
        constraints=rows,
        maxfev=300,
        random_state=0,
    )
    assert res.x.sum() <= 1e-9
    assert res.step_counts["search"] > 0
    farkas.verify(res, res.objective).check()


def test_minimising_is_maximising_the_negative():
    up = optimize_through_network(
        NET, merit, np.zeros(6), bounds=BOX, maxfev=120, random_state=0
    )
    down = optimize_through_network(
        NET,
        lambda y: -merit(y),
        np.zeros(6),
        bounds=BOX,
        maxfev=120,
        maximize=False,
        random_state=0,
    )
    np.testing.assert_array_equal(up.x, down.x)
    assert up.fun == -down.fun


def test_without_bounds_and_with_a_black_box():
    res = optimize_through_network(
        np.tanh, lambda y: -float(y @ y), [2.0, -1.0], maxfev=200, random_state=0
    )
    assert res.fun > -1e-6
    farkas.verify(res, res.objective).check()


def test_the_attack_pauses_after_failures():
    hook = AttackStep(
        NET,
        slope,
        lambda y: -merit(y),
        np.ones(6),
        np.full(6, -1.0),
        np.full(6, 1.0),
        method="fgsm",
        radius=0.5,
        limits=(1e-6, 1.0),
    )
    asked = 0
    for _ in range(100):
        hook._asked = hook.wait <= 0
        if hook._asked:
            asked += 1
        else:
            hook.wait -= 1
        hook.tell(False, None)
    assert asked < 12
    state = hook.get_state()
    hook.set_state(state)
    assert hook.get_state() == state


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"strategy": "x"}, ValueError, "strategy"),
        ({"attack": "x"}, ValueError, "attack"),
        ({"attack_rules": "x"}, ValueError, "attack_rules"),
        ({"attack_radius": -1.0}, ValueError, "attack_radius"),
        ({"attack_radius_bounds": (1.0, 0.5)}, ValueError, "attack_radius"),
        ({"polls": 3}, TypeError, "polls"),
        ({"maxfev": 0}, ValueError, "maxfev"),
    ],
)
def test_bad_arguments(change, error, match):
    with pytest.raises(error, match=match):
        run(**change)


def test_objectives_that_are_no_functions():
    with pytest.raises(TypeError, match="objective"):
        optimize_through_network(NET, 3, np.zeros(6))
    with pytest.raises(TypeError, match="objective"):
        optimize_through_network(NET, lambda y: y, np.zeros(6), on_error="raise")
    with pytest.raises(ValueError, match="gradient"):
        optimize_through_network(
            NET, merit, np.zeros(6), gradient=lambda y: y[:1], maxfev=50
        )
