"""The kinds of runs, and what their populations look like."""

import numpy as np
import pytest

from dfo import minimize_cbo
from dfo.cbo.local.covariance import CovarianceSearch
from dfo.cbo.runs import kind_of
from dfo.cbo.search import Search
from dfo.testfunctions import get


def kinds(n=8, *, automatic=True, bounded=True, refined=True):
    return [
        kind_of(r, automatic=automatic, bounded=bounded, refined=refined)
        for r in range(n)
    ]


def test_runs_take_turns():
    assert kinds(5) == ["wide", "covariance", "large", "cloud", "wide"]
    assert kinds(5, refined=False) == ["wide", "cloud", "large", "cloud", "wide"]
    assert kinds(5, bounded=False) == ["wide", "wide", "large", "wide", "wide"]
    assert set(kinds(automatic=False)) == {"wide"}


@pytest.fixture
def seen(monkeypatch):
    """Every run that a search starts: its kind, incumbent and population."""
    runs, start = [], Search._new_swarm

    def noted(self):
        swarm = start(self)
        runs.append((self.kind, self.x.copy(), swarm))
        return swarm

    monkeypatch.setattr(Search, "_new_swarm", noted)
    return runs


def test_populations_of_each_kind(seen):
    f = get("rastrigin", 3)
    res = minimize_cbo(f.fun_row, f.bounds, maxfev=40_000, random_state=1)
    assert len(seen) == res.n_restarts + 1 > 8
    width = f.bounds[0, 1] - f.bounds[0, 0]
    wide = [swarm for kind, _, swarm in seen if kind == "wide"]
    large = [swarm for kind, _, swarm in seen if kind == "large"]
    sizes = [swarm.n_particles for swarm in large[:2]]
    assert sizes == [2 * wide[0].n_particles, 4 * wide[0].n_particles]
    clouds = [(x, swarm) for kind, x, swarm in seen if kind == "cloud"]
    for (_, swarm), scale in zip(clouds[:2], (0.1, 0.03), strict=True):
        assert swarm.scale == pytest.approx(6 * scale * width)
    around = [(x, s) for _, x, s in seen if isinstance(s, CovarianceSearch)]
    assert len(around) >= 2
    assert all(len(x) == 3 for x, _ in around)
    # Statistics of restarts are of runs that are alike.
    assert 0 < res.certificate.residuals["runs"] <= len(wide)


@pytest.mark.parametrize("options", [{"polish": None}, {"restarts": 3}])
def test_no_evolution_strategy_where_it_is_not_wanted(seen, options):
    f = get("rastrigin", 2)
    minimize_cbo(f.fun_row, f.bounds, maxfev=8000, random_state=0, **options)
    assert len(seen) > 2
    assert not any(isinstance(swarm, CovarianceSearch) for _, _, swarm in seen)


def test_a_search_resumes_within_every_kind_of_run():
    f = get("rastrigin", 2)
    states = []

    def keep(intermediate_result):
        states.append(intermediate_result.state())

    options = {"maxfev": 4000, "random_state": 3}
    whole = minimize_cbo(f.fun, f.bounds, callback=keep, **options)
    runs = [state["run"] for state in states]
    assert max(runs) >= 4
    for run in range(4):
        inside = [i for i, r in enumerate(runs) if r == run]
        state = states[inside[len(inside) // 2]]
        again = minimize_cbo(f.fun, f.bounds, state=state, **options)
        assert again.fun == whole.fun
        assert np.array_equal(again.x, whole.x)
        assert np.array_equal(again.run_values, whole.run_values)
        assert again.nfev == whole.nfev
