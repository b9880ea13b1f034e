import json

import pytest

from farkas.status import MESSAGES, Status

NUMBERS = {
    "CONVERGED": 0,
    "TARGET_REACHED": 1,
    "CALLBACK": 2,
    "MAX_ITER": 3,
    "MAX_EVAL": 4,
    "MAX_TIME": 5,
    "STALLED": 6,
    "INFEASIBLE": -1,
    "UNBOUNDED": -2,
    "NUMERICAL": -3,
}


def test_the_numbers_are_the_published_ones():
    assert {status.name: int(status) for status in Status} == NUMBERS


def test_only_a_met_certificate_or_target_is_success():
    assert {status.name for status in Status if status.success} == {
        "CONVERGED",
        "TARGET_REACHED",
    }


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_sentence_of_its_own(status):
    assert status.message == MESSAGES[status]
    assert status.message.endswith(".")
    assert list(MESSAGES.values()).count(status.message) == 1


def test_a_status_is_stored_in_json_as_its_number():
    assert json.dumps(Status.NUMERICAL) == "-3"
