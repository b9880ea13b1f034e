import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numba
import numpy as np
import pytest

from farkas import kernels
from farkas.kernels import kernel, on_warmup, prepare, warmup

compiled_only = pytest.mark.skipif(
    numba.config.DISABLE_JIT, reason="kernels run as plain Python here"
)
ROOT = Path(kernels.__file__).resolve().parent.parent


@kernel
def inverse(x):
    return 1.0 / x


@kernel(fastmath={"reassoc", "contract"})
def dot(x, y):
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] * y[i]
    return total


@kernel
def has_nan(x):
    for i in range(x.shape[0]):
        if np.isnan(x[i]):
            return True
    return False


def test_both_forms_of_the_decorator_compute():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 101))
    assert inverse(4.0) == 0.25
    assert dot(x, y) == pytest.approx(np.dot(x, y), rel=1e-13)


@compiled_only
def test_a_zero_divisor_gives_infinity():
    assert inverse(0.0) == np.inf


def test_isnan_works():
    assert has_nan(np.array([0.0, np.nan]))
    assert not has_nan(np.array([0.0, np.inf]))


@compiled_only
def test_options_reach_numba():
    options = kernel(fastmath={"reassoc"}, parallel=True)(dot.py_func).targetoptions
    assert options["nogil"] is True
    assert options["parallel"] is True
    assert options["fastmath"] == {"reassoc"}


def test_full_fast_math_is_refused():
    with pytest.raises(TypeError, match="fastmath=True"):
        kernel(fastmath=True)


def test_a_kernel_without_a_place_for_its_cache_still_runs():
    # A function whose source file does not exist is what Numba cannot place.
    space = {}
    exec(compile("def double(x):\n    return 2 * x\n", "<nowhere>", "exec"), space)
    assert kernel(space["double"])(2.5) == 5.0
    assert kernel(fastmath={"contract"})(space["double"])(2.5) == 5.0


@compiled_only
def test_other_errors_of_numba_are_not_swallowed(monkeypatch):
    def refuse(**options):
        raise RuntimeError("something else")

    monkeypatch.setattr(kernels.numba, "njit", refuse)
    with pytest.raises(RuntimeError, match="something else"):
        kernel(dot)


@compiled_only
def test_a_kernel_is_loaded_from_the_cache_by_the_next_process(tmp_path):
    (tmp_path / "sums.py").write_text(
        textwrap.dedent(
            """
            from farkas.kernels import kernel

            @kernel
            def double(x):
                return 2.0 * x

            double(1.0)
            print(sum(double.stats.cache_hits.values()))
            """
        )
    )
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    hits = [
        subprocess.run(
            [sys.executable, "sums.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert hits == ["0", "1"]


class Labelled(np.ndarray):
    """Stands for memory maps and other subclasses."""


def unaligned_zeros():
    raw = np.zeros(33, dtype=np.uint8)
    return raw[1:].view(np.float64).reshape(2, 2)


def read_only(a):
    a.flags.writeable = False
    return a


@pytest.mark.parametrize(
    "a",
    [
        pytest.param([[1, 2], [3, 4]], id="list"),
        pytest.param(np.arange(12.0).reshape(3, 4)[:, ::2], id="strided"),
        pytest.param(np.arange(6.0).reshape(2, 3).T, id="fortran"),
        pytest.param(np.arange(6, dtype=">f8").reshape(2, 3), id="big-endian"),
        pytest.param(unaligned_zeros(), id="unaligned"),
        pytest.param(read_only(np.ones((2, 2))), id="read-only"),
        pytest.param(np.ones((2, 2)).view(Labelled), id="subclass"),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_prepared_arrays_share_one_form(a, order):
    ready = prepare(a, order)
    assert type(ready) is np.ndarray
    assert ready.dtype == np.float64
    assert ready.dtype.isnative
    assert ready.flags.c_contiguous if order == "C" else ready.flags.f_contiguous
    assert ready.flags.aligned
    assert ready.flags.writeable
    np.testing.assert_array_equal(ready, a)


@compiled_only
def test_prepared_arrays_need_one_compilation():
    @kernel
    def first(a):
        return a[0, 0]

    for a in (np.eye(2), read_only(np.eye(2)), np.eye(4)[::2, ::2], [[1, 0], [0, 1]]):
        assert first(prepare(a)) == 1.0
    assert len(first.signatures) == 1


def test_prepare_copies_only_when_it_must():
    a = np.arange(6.0).reshape(2, 3)
    assert prepare(a) is a
    assert np.shares_memory(prepare(a.T, "F"), a)
    assert not np.shares_memory(prepare(a, "F"), a)
    assert prepare(a, dtype=np.float32).dtype == np.float32


def test_prepare_refuses_another_order():
    with pytest.raises(ValueError, match="order='K'"):
        prepare([1.0], "K")


def test_warmup_runs_what_was_registered_and_times_it(monkeypatch):
    monkeypatch.setattr(kernels, "_warmups", [])
    calls = []

    @on_warmup
    def compile_all():
        calls.append(dot(np.ones(2), np.ones(2)))

    seconds = warmup()
    assert calls == [2.0]
    (name,) = seconds
    assert name.endswith("compile_all")
    assert seconds[name] > 0.0
    compile_all()
    assert calls == [2.0, 2.0]
