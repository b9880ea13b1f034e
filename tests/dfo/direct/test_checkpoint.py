"""An interrupted and resumed run is the uninterrupted one, bit for bit."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import NonlinearConstraint, rosen

from dfo import minimize_cdsm, optimize_through_network

RING = NonlinearConstraint(lambda x: x @ x, 0.5, 2.0)
CASES = {
    "plain": {},
    "constrained": {"constraints": RING},
    "restarts": {"n_restarts": 2, "xtol": 1e-3, "radius_restarts": 1},
    "penalty": {"constraints": RING, "constraint_handling": "penalty"},
}


def same(a, b):
    for name in ("X", "F", "C", "label"):
        np.testing.assert_array_equal(a.evaluations[name], b.evaluations[name])
    np.testing.assert_array_equal(a.history["delta"], b.history["delta"])
    np.testing.assert_array_equal(a.x, b.x)
    assert (a.nfev, a.nit, a.status) == (b.nfev, b.nit, b.status)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stop", [1, 6])
def test_resume_after_a_callback(tmp_path, case, stop):
    path = tmp_path / "run.npz"
    options = {"maxfev": 250, "random_state": 0, **CASES[case]}
    whole = minimize_cdsm(rosen, [-1.0, 0.5], **options)

    def callback(intermediate_result):
        if intermediate_result.nit == stop:
            raise StopIteration

    minimize_cdsm(rosen, [-1.0, 0.5], checkpoint=path, callback=callback, **options)
    same(whole, minimize_cdsm(rosen, [-1.0, 0.5], resume=path, **options))


SCRIPT = """
import sys, time
from scipy.optimize import rosen
from dfo import minimize_cdsm

def slow(x):
    time.sleep(0.003)
    return rosen(x)

minimize_cdsm(slow, [-1.0, 0.5, 1.0], maxfev=2000, random_state=0, xtol=1e-12,
              checkpoint=sys.argv[1], checkpoint_every=1,
              callback=lambda intermediate_result: print(flush=True))
"""


def test_resume_after_sigkill(tmp_path):
    path = tmp_path / "run.npz"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with process:
        for _ in range(5):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    options = {"maxfev": 2000, "random_state": 0, "xtol": 1e-12}
    whole = minimize_cdsm(rosen, [-1.0, 0.5, 1.0], **options)
    same(whole, minimize_cdsm(rosen, [-1.0, 0.5, 1.0], resume=path, **options))


def test_resume_with_attacks(tmp_path):
    path = tmp_path / "run.npz"
    rng = np.random.default_rng(0)
    net = (
        [rng.standard_normal((3, 5)), rng.standard_normal((5, 2))],
        [np.zeros(5), np.zeros(2)],
        "tanh",
    )
    options = {"bounds": [(-1, 1)] * 3, "maxfev": 120, "random_state": 0}

    def run(**more):
        return optimize_through_network(
            net,
            lambda y: float(y[0] - y[1] ** 2),
            np.zeros(3),
            constraints=ball,
            **options,
            **more,
        )

    def ball(x, y):
        return x @ x - 0.5

    whole = run()

    def callback(intermediate_result):
        if intermediate_result.nit == 4:
            raise StopIteration

    run(checkpoint=path, callback=callback)
    resumed = run(resume=path)
    same(whole, resumed)
    assert resumed.njev == whole.njev


def test_other_options_are_refused(tmp_path):
    path = tmp_path / "run.npz"
    minimize_cdsm(rosen, [0.0, 0.0], maxfev=60, random_state=0, checkpoint=path)
    with pytest.raises(ValueError, match="resume"):
        minimize_cdsm(rosen, [0.0, 0.0], maxfev=60, random_state=1, resume=path)
    longer = minimize_cdsm(rosen, [0.0, 0.0], maxfev=90, random_state=0, resume=path)
    assert longer.nfev == 90
    with pytest.raises(FileNotFoundError):
        minimize_cdsm(rosen, [0.0, 0.0], resume=tmp_path / "none.npz")
