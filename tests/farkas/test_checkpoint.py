import inspect
import pickle
import re
import time
import zipfile

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, minimize
from scipy.sparse import eye_array

from farkas import checkpoint
from farkas.checkpoint import Checkpoint, load, pack_generator, save, unpack_generator

BIT_GENERATORS = ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"]

STATE = {
    "W": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "active": np.array([True, False]),
    "names": np.array(["a", "bcd"]),
    "empty": np.empty((0, 3)),
    "iteration": 50,
    "step": 0.1 + 0.2,
    "converged": False,
    "rule": "αβγ",
    "bound": -np.inf,
    "file": 1,  # a keyword of np.savez
}


def test_a_state_comes_back_bit_for_bit(tmp_path):
    save(tmp_path / "run.npz", STATE)
    loaded = load(tmp_path / "run.npz")
    assert list(loaded) == list(STATE)
    for name, value in STATE.items():
        assert type(loaded[name]) is type(value), name
        np.testing.assert_array_equal(loaded[name], value, strict=True)
    assert loaded["fortran"].flags.f_contiguous


def test_numpy_reads_the_file_without_pickle(tmp_path):
    save(tmp_path / "run.npz", STATE)
    with np.load(tmp_path / "run.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["W"], STATE["W"])


def test_an_array_on_a_device_is_copied_to_the_host(tmp_path):
    xp = pytest.importorskip("array_api_strict")
    a = xp.asarray(np.arange(3.0), device=xp.Device("device1"))
    save(tmp_path / "run.npz", {"a": a})
    np.testing.assert_array_equal(load(tmp_path / "run.npz")["a"], [0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    "value",
    [None, {"a": 1}, np.array([None, 1]), np.random.default_rng(0), eye_array(2)],
    ids=["None", "dict", "objects", "generator", "sparse"],
)
def test_what_would_need_pickle_is_refused_and_the_old_file_kept(tmp_path, value):
    path = tmp_path / "run.npz"
    save(path, {"a": 1})
    with pytest.raises(TypeError, match=r"state\['bad'\] .* pickle"):
        save(path, {"a": 2, "bad": value})
    assert load(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_while_writing_leaves_the_old_file_and_no_rubbish(
    tmp_path, monkeypatch
):
    path = tmp_path / "run.npz"
    save(path, {"a": 1})

    def crash(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint.os, "fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        save(path, {"a": 2})
    assert load(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_data_is_on_disk_before_the_file_is_renamed(tmp_path, monkeypatch):
    path, events = tmp_path / "run.npz", []
    fsync, replace = checkpoint.os.fsync, checkpoint.os.replace

    def noted_fsync(descriptor):
        events.append("fsync")
        fsync(descriptor)

    def noted_replace(source, target):
        assert source.parent == target.parent
        assert zipfile.is_zipfile(source)
        events.append("replace")
        replace(source, target)

    monkeypatch.setattr(checkpoint.os, "fsync", noted_fsync)
    monkeypatch.setattr(checkpoint.os, "replace", noted_replace)
    save(path, {"a": 1})
    assert events == ["fsync", "replace"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[: len(raw) // 2],
        lambda raw: pickle.dumps({"a": 1}),
        lambda raw: raw.replace(b"\x93NUMPY", b"\x93NUMPX"),
        lambda raw: raw.replace(b"<f8", b"<f4"),
    ],
    ids=["empty", "truncated", "pickle", "header", "type"],
)
def test_a_damaged_file_names_path_and_remedy(tmp_path, damage):
    path = tmp_path / "run.npz"
    save(path, {"a": np.arange(2000.0)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))}.*delete it"):
        load(path)


def test_no_flipped_byte_yields_other_values(tmp_path):
    path = tmp_path / "run.npz"
    save(path, {"a": np.arange(4.0)})
    raw = path.read_bytes()
    refused = 0
    for position in range(len(raw)):
        path.write_bytes(
            raw[:position] + bytes([raw[position] ^ 0xFF]) + raw[position + 1 :]
        )
        try:
            loaded = load(path)
        except ValueError:
            refused += 1
        else:  # a byte that carries no data, such as the time of writing
            np.testing.assert_array_equal(loaded["a"], np.arange(4.0))
    assert refused > len(raw) // 2


def test_a_pickled_array_in_the_archive_is_not_executed(tmp_path):
    path = tmp_path / "run.npz"
    np.savez(path, a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(ValueError, match="damaged or not a checkpoint"):
        load(path)


def test_a_missing_file_is_reported_as_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "absent.npz")


def written(callback, iterations):
    """Return the iterations after which the file changed."""
    found = []
    for k in iterations:
        callback(intermediate_result=OptimizeResult(nit=k, state={"k": k}))
        if callback.path.exists() and load(callback.path)["k"] == k:
            found.append(k)
    return found


@pytest.mark.parametrize(
    ("options", "iterations"),
    [
        ({"every": 10}, [10, 20, 30]),
        ({"every": 1}, list(range(1, 36))),
        ({"every_seconds": 3600.0}, []),
        ({"every": 20, "every_seconds": 3600.0}, [20]),
    ],
)
def test_it_writes_at_the_given_intervals(tmp_path, options, iterations):
    callback = Checkpoint(tmp_path / "run.npz", **options)
    assert written(callback, range(1, 36)) == iterations


def test_it_writes_every_100_iterations_by_default(tmp_path):
    assert written(Checkpoint(tmp_path / "run.npz"), range(1, 250)) == [100, 200]


def test_it_writes_after_the_given_seconds(tmp_path, monkeypatch):
    clock = iter(np.arange(0.0, 1e3, 0.5))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    callback = Checkpoint(tmp_path / "run.npz", every_seconds=1.0)
    # The clock moves by half a second at each look; a write looks once more.
    assert written(callback, range(1, 7)) == [2, 4, 6]


def test_it_serves_a_second_run(tmp_path):
    callback = Checkpoint(tmp_path / "run.npz", every=10)
    assert written(callback, range(1, 26)) == [10, 20]
    assert written(callback, range(1, 26)) == [10, 20]


def test_it_follows_the_callback_protocol_of_scipy(tmp_path):
    callback = Checkpoint(tmp_path / "run.npz", every=1)
    assert list(inspect.signature(callback).parameters) == ["intermediate_result"]
    # SciPy's own results carry no state, so the call itself is what arrives.
    with pytest.raises(ValueError, match="intermediate_result has no state"):
        minimize(lambda x: x @ x, np.ones(2), method="BFGS", callback=callback)


def test_a_resumed_walk_equals_an_uninterrupted_one(tmp_path):
    def walk(steps, state=None, callback=None):
        x, k, rng = np.zeros(3), 0, np.random.default_rng(0)
        if state is not None:
            x, k, rng = state["x"], state["k"], unpack_generator(state["rng"])
        for _ in range(steps):
            x, k = x + rng.standard_normal(3), k + 1
            if callback is not None:
                state = {"x": x, "k": k, "rng": pack_generator(rng)}
                callback(intermediate_result=OptimizeResult(nit=k, state=state))
        return x

    path = tmp_path / "run.npz"
    walk(50, callback=Checkpoint(path, every=50))
    np.testing.assert_array_equal(walk(50, state=load(path)), walk(100))


@pytest.mark.parametrize("name", BIT_GENERATORS)
def test_a_generator_continues_where_it_was_packed(name):
    rng = np.random.Generator(getattr(np.random, name)(0))
    rng.integers(10, size=3, dtype=np.int32)  # leaves half a word in the buffer
    copy = unpack_generator(pack_generator(rng))
    np.testing.assert_array_equal(
        copy.integers(10, size=5, dtype=np.int32),
        rng.integers(10, size=5, dtype=np.int32),
    )
    np.testing.assert_array_equal(copy.standard_normal(700), rng.standard_normal(700))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"bit_generator": "RandomState"}'])
def test_other_text_is_no_generator(text):
    with pytest.raises(ValueError, match="does not describe a NumPy generator"):
        unpack_generator(text)


@pytest.mark.parametrize("options", [{"every": 0}, {"every_seconds": -1.0}])
def test_an_interval_must_be_positive(tmp_path, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}=.* must be positive"):
        Checkpoint(tmp_path / "run.npz", **options)


def test_a_missing_folder_is_noticed_before_the_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="create it before the run"):
        Checkpoint(tmp_path / "absent" / "run.npz")
