import logging

import pytest

from rhapsody_parsl.wire.complaints import Complaints


def test_a_few_are_written_and_the_others_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    complaints = Complaints(logging.getLogger("test"), most=2, period=60, clock=lambda: now)
    for number in range(5):
        complaints.note("the %dth", number)
    now = 59.0
    complaints.note("late")
    now = 60.0
    complaints.note("later")
    assert caplog.messages == ["the 0th", "the 1th", "4 more warnings of this kind were not written", "later"]
