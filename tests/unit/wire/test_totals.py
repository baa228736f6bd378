import msgspec
import pytest

from rhapsody_parsl.errors import BlockLost, NodeLost, RhapsodyError, ServiceFailed, WalltimeExceeded, WorkerLost
from rhapsody_parsl.wire.door import DoorRequest
from rhapsody_parsl.wire.messages import FAILED, RAISED, RESULT, Result, SharedPayload, failed
from rhapsody_parsl.wire.states import REQUEST_ENDS, Outcome
from rhapsody_parsl.wire.times import RequestTimes
from rhapsody_parsl.wire.totals import NO_MODEL, DoorTotals, Tally, Totals


def test_each_task_counts_once_and_in_each_sum_that_it_belongs_to() -> None:
    tally = Tally("local")
    tally.note("done", "vllm", "llm")
    tally.note("failed", "vllm", "other")
    tally.note("lost", "mpi")
    tally.note("cancelled")
    tally.note("done")
    assert tally.total() == Totals(done=2, failed=1, lost=1, cancelled=1)
    assert tally.by_runtime() == {
        "vllm": Totals(done=1, failed=1), "mpi": Totals(lost=1), "local": Totals(done=1, cancelled=1)
    }  # fmt: skip
    assert tally.by_service() == {"llm": Totals(done=1), "other": Totals(failed=1)}


def test_requests_at_the_front_door_are_counted_by_themselves_and_keep_what_they_took() -> None:
    tally = Tally("local")
    times = RequestTimes(5.0, 0.25, 10, 40, "llm-0")
    tally.note_request(DoorRequest(0, "llm", "", "/v1", 4.0, 1.0, 3.0, REQUEST_ENDS.index("done"), 200, times))
    tally.note_request(DoorRequest(0, "llm", "", "/v1", 4.0, 1.0, 9.0, REQUEST_ENDS.index("left"), 200, times))
    tally.note_request(DoorRequest(0, "", "", "/v1", 4.0, 0.0, 0.5, REQUEST_ENDS.index("refused"), 429))
    assert tally.by_door() == {
        "llm": DoorTotals(
            done=1, left=1, prompt=20, tokens=80, waiting_seconds=2.0, first_seconds=2.5, streams=2, answer_seconds=3.0
        ),
        NO_MODEL: DoorTotals(refused=1),
    }
    assert tally.total() == Totals()


def test_what_was_never_routed_is_in_the_sum_alone() -> None:
    tally = Tally()
    assert (tally.total(), tally.by_runtime(), tally.by_service()) == (Totals(), {}, {})
    tally.note("failed")
    assert (tally.total(), tally.by_runtime()) == (Totals(failed=1), {})


@pytest.mark.parametrize(("error", "outcome"), [
    (WorkerLost("w", "signal 9"), "lost"), (NodeLost("n", "power"), "lost"), (BlockLost("0", "it left"), "lost"),
    (WalltimeExceeded(1.0), "failed"), (ServiceFailed("s", "no room"), "failed"), (RhapsodyError("x"), "failed"),
])  # fmt: skip
def test_an_error_says_whether_its_task_was_lost(error: RhapsodyError, outcome: Outcome) -> None:
    assert failed(1, error).outcome == outcome


def test_what_returned_or_raised_is_done_and_what_cannot_be_read_has_failed() -> None:
    assert [Result(1, kind, b"").outcome for kind in (RESULT, RAISED)] == ["done", "done"]
    unread: list[bytes | SharedPayload] = [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(("OfAnotherVersion", [])),
        SharedPayload("/nowhere", 9),
    ]
    assert [Result(1, FAILED, payload).outcome for payload in unread] == ["failed"] * 4
