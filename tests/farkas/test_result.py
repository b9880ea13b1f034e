import pickle

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

from farkas.result import make_result
from farkas.status import Status

FIELDS = {
    "x",
    "fun",
    "nit",
    "nfev",
    "njev",
    "status",
    "success",
    "message",
    "certificate",
    "history",
    "elapsed",
    "state",
}


def test_a_result_has_the_fields_of_the_contract_and_no_others():
    result = make_result(np.zeros(2), fun=1.0, status=Status.MAX_ITER, nit=3)
    assert isinstance(result, OptimizeResult)
    assert set(result) == FIELDS


@pytest.mark.parametrize("status", Status)
def test_success_and_message_follow_from_the_status(status):
    result = make_result(0.0, fun=0.0, status=int(status), nit=1)
    assert result.status is status
    assert result.success is status.success
    assert result.message == status.message


def test_methods_add_fields_and_replace_the_message():
    result = make_result(
        0.0, fun=1.5, status=0, nit=1, message="Done.", lower_bound=1.0, gap=0.5
    )
    assert (result.message, result.lower_bound, result.gap) == ("Done.", 1.0, 0.5)


def test_success_cannot_contradict_the_status():
    with pytest.raises(ValueError, match="success=True follows from status="):
        make_result(0.0, fun=0.0, status=Status.MAX_ITER, nit=1, success=True)


def test_an_unknown_status_is_refused():
    with pytest.raises(ValueError, match="17"):
        make_result(0.0, fun=0.0, status=17, nit=1)


def test_the_result_does_not_share_the_dictionaries_it_was_given():
    history, state = {"iteration": np.arange(2)}, {"k": 2}
    result = make_result(0.0, fun=0, status=0, nit=1, history=history, state=state)
    history.clear()
    state.clear()
    assert list(result.history) == ["iteration"]
    assert result.state == {"k": 2}


def test_numbers_are_plain_and_the_result_survives_pickling():
    result = make_result(
        np.ones(2), fun=np.float32(0.5), status=0, nit=np.int64(4), elapsed=np.ones(())
    )
    copy = pickle.loads(pickle.dumps(result))
    assert type(copy.fun) is float
    assert type(copy.nit) is int
    assert type(copy.elapsed) is float
    assert copy.status is Status.CONVERGED


def test_a_result_without_history_has_a_text():
    result = make_result([1.0], fun=0.5, status=0, nit=1)
    assert "fun: 0.5" in repr(result)
    assert result.history == {}
