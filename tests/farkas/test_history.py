import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farkas.history import MANDATORY, Recorder


def run(recorder, iterations, **options):
    for k in iterations:
        recorder.record(k, objective=10.0 - k, **options)
    return recorder.to_dict()


def test_the_columns_are_the_mandatory_ones_and_those_of_the_method():
    history = run(Recorder(columns=("step", "rho")), range(3), step=0.5)
    assert list(history) == [*MANDATORY, "step", "rho"]
    assert history["iteration"].dtype == np.int64
    np.testing.assert_array_equal(history["objective"], [10.0, 9.0, 8.0])
    np.testing.assert_array_equal(history["step"], [0.5, 0.5, 0.5])
    assert np.isnan(history["certificate"]).all()
    assert np.isnan(history["rho"]).all()


def test_all_rows_survive_the_growth_of_the_table():
    history = run(Recorder(), range(1000), certificate=0.25)
    np.testing.assert_array_equal(history["iteration"], np.arange(1000))
    np.testing.assert_array_equal(history["objective"], 10.0 - np.arange(1000))
    np.testing.assert_array_equal(history["certificate"], np.full(1000, 0.25))


def test_the_columns_are_copies_of_the_filled_part():
    recorder = Recorder()
    history = run(recorder, range(3))
    history["objective"][:] = 0.0
    np.testing.assert_array_equal(recorder.to_dict()["objective"], [10.0, 9.0, 8.0])
    assert all(column.base is None for column in history.values())


def test_only_multiples_and_forced_rows_are_kept():
    recorder = Recorder(every=4)
    recorder.record(1, objective=1.0, force=True)
    run(recorder, range(2, 11))
    recorder.record(11, objective=0.0, force=True)
    assert recorder.to_dict()["iteration"].tolist() == [1, 4, 8, 11]


def test_due_foretells_what_record_keeps():
    recorder = Recorder(every=3)
    kept = run(recorder, range(10))["iteration"].tolist()
    assert [k for k in range(10) if recorder.due(k)] == kept


def test_switched_off_it_keeps_and_prints_nothing(capsys):
    recorder = Recorder(every=0, columns=("step",), verbose=2)
    history = run(recorder, range(5), force=True)
    assert {name: column.shape for name, column in history.items()} == dict.fromkeys(
        [*MANDATORY, "step"], (0,)
    )
    assert not recorder.due(0)
    assert capsys.readouterr().out == ""


def test_a_second_row_of_an_iteration_replaces_the_first():
    recorder = Recorder()
    run(recorder, range(4))
    recorder.record(3, objective=1.0, certificate=1e-9, force=True)
    history = recorder.to_dict()
    assert history["iteration"].tolist() == [0, 1, 2, 3]
    assert history["objective"][-1] == 1.0
    assert history["certificate"][-1] == 1e-9


@given(st.integers(1, 7), st.lists(st.tuples(st.integers(0, 3), st.booleans())))
def test_iterations_increase_and_columns_are_equally_long(every, steps):
    recorder, k = Recorder(every=every), 0
    for step, force in steps:
        k += step
        recorder.record(k, objective=0.0, force=force)
    history = recorder.to_dict()
    assert len({len(column) for column in history.values()}) == 1
    assert (np.diff(history["iteration"]) > 0).all()
    assert (np.diff(history["elapsed"]) >= 0).all()


def test_elapsed_is_measured_in_seconds():
    recorder = Recorder()
    time.sleep(0.02)
    before = recorder.elapsed
    elapsed = run(recorder, range(1))["elapsed"][0]
    assert 0.02 <= before <= elapsed <= recorder.elapsed < 20.0


def test_a_resumed_run_continues_the_rows_and_the_clock():
    first = run(Recorder(columns=("step",)), range(1, 51), step=1.0)
    first["elapsed"] += 100.0
    resumed = Recorder(columns=("step",), start=first)
    assert resumed.elapsed >= 100.0
    history = run(resumed, range(51, 101), step=1.0)
    whole = run(Recorder(columns=("step",)), range(1, 101), step=1.0)
    for name in ("iteration", "objective", "step"):
        np.testing.assert_array_equal(history[name], whole[name])
    np.testing.assert_array_equal(history["elapsed"][:50], first["elapsed"])
    assert (np.diff(history["elapsed"]) >= 0).all()


@pytest.mark.parametrize("start", [{}, Recorder(every=0).to_dict()])
def test_a_run_may_follow_one_without_history(start):
    assert run(Recorder(start=start), range(2))["iteration"].tolist() == [0, 1]


def test_the_history_of_another_method_is_refused():
    other = run(Recorder(columns=("rho",)), range(2))
    with pytest.raises(ValueError, match=r"start has the columns .*'rho'"):
        Recorder(columns=("step",), start=other)


def test_verbose_2_prints_each_record_on_one_aligned_line(capsys):
    recorder = Recorder(columns=("step",), verbose=2, name="relu")
    recorder.record(1, objective=-1.5, step=0.1)
    recorder.record(1000, objective=1e120, certificate=3e-9, step=-2.0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert len(lines[0]) == len(lines[1])
    for word in ("relu", "iteration    1000", "1.00000000e+120", "3.000e-09"):
        assert word in lines[1]


def test_verbose_1_prints_every_25th_record_and_the_final_one(capsys):
    recorder = Recorder(every=2, verbose=1)
    run(recorder, range(2, 152))
    recorder.record(152, objective=0.0, force=True)
    printed = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1]) for line in printed] == [2, 52, 102, 152]


def test_by_default_nothing_is_printed(capsys):
    run(Recorder(), range(3), force=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": -1}, "every=-1"),
        ({"verbose": 3}, "verbose=3"),
        ({"columns": ("elapsed",)}, "columns="),
        ({"columns": ("a", "a")}, "columns="),
    ],
)
def test_a_wrong_parameter_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Recorder(**options)


def test_a_decreasing_iteration_is_refused():
    recorder = Recorder()
    recorder.record(5, objective=0.0)
    with pytest.raises(ValueError, match="iteration=4"):
        recorder.record(4, objective=0.0)


@pytest.mark.parametrize("column", ["steps", "elapsed"])
def test_an_unknown_column_is_refused(column):
    with pytest.raises(ValueError, match=rf"\['{column}'\]"):
        Recorder(columns=("step",)).record(0, objective=0.0, **{column: 1.0})
