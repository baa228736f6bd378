from pathlib import Path

from rhapsody_parsl.record import read
from rhapsody_parsl.wire.door import DoorRequest
from rhapsody_parsl.wire.reports import BlockReport
from testing.runs import BEGAN, MadeUp


def test_a_request_at_a_front_door_is_told_with_all_its_times(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    made.asked(3.0, 2.0, key="carol", tokens=40)
    made.asked(4.0, 0.5, end="failed", error="HTTP 400", words="a bad prompt")
    made.asked(5.0, 0.5, end="refused", had=False)
    made.recorder.close()
    run = read(tmp_path)
    done, failed, refused = run.requests
    assert (done.service, done.key, done.path, done.block, done.node) == (
        "assistant", "carol", "/v1/completions", "0", "n0",
    )  # fmt: skip
    assert [moment - BEGAN for moment in (done.came, done.ended)] == [3.0, 5.0]
    assert (done.waited, done.seconds, done.outcome, done.status, done.tries) == (0.25, 2.0, "done", 200, 1)
    assert done.request is not None
    assert (done.request.asked - BEGAN, done.request.tokens, done.request.replica) == (3.25, 40, "assistant-0")
    assert (failed.outcome, failed.failure, failed.words) == ("failed", "HTTP 400", "a bad prompt")
    assert (refused.outcome, refused.request, refused.failure) == ("refused", None, "")
    assert run.tasks == []


def test_many_requests_take_little_room_and_those_that_were_dropped_are_counted(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    for number in range(5000):
        made.asked(number / 100, 1.0, key=f"key {number % 3}", tokens=100)
    made.recorder.asked("0", [], 7)
    made.recorder.close()
    run = read(tmp_path)
    assert (len(run.requests), run.dropped) == (5000, 7)
    assert (tmp_path / "record.msgpack").stat().st_size / 5000 < 100


def test_askers_in_numbers_leave_no_pile(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    for number in range(4500):
        made.asked(1.0, 1.0, key=str(number))
    assert len(made.recorder._requests._numbers) <= 4000
    made.recorder.close()
    assert [request.key for request in read(tmp_path).requests] == [str(number) for number in range(4500)]


def test_what_was_under_way_when_the_driver_was_killed_is_told_until_it_has_ended(tmp_path: Path) -> None:
    made, under_way = MadeUp(tmp_path / "record.msgpack"), {}
    for number in (1, 2):
        under_way[number] = DoorRequest(number, "assistant", "carol", "/v1/completions", BEGAN + number)
    for seconds in (4.0, 5.0, 6.0, 8.0):
        made.at(seconds).recorder.look("0", [], under_way.values())
    made.at(9.0).recorder.asked("0", [under_way.pop(1)])
    made.at(10.0).recorder.look("0", [], under_way.values())
    made.recorder.report("0", BlockReport())
    made.recorder.flush()
    assert made.recorder._journal is not None
    made.recorder._journal.settle(10)
    ended, going = read(tmp_path).requests
    assert (ended.outcome, ended.came - BEGAN) == ("done", 1.0)
    assert (going.outcome, going.service, going.key, going.came - BEGAN) == ("under way", "assistant", "carol", 2.0)
    assert (going.seconds, going.words) == (8.0, "the run goes on, or its driver was killed")
    made.recorder.asked("0", list(under_way.values()))
    made.recorder.close()
    assert [request.outcome for request in read(tmp_path).requests] == ["done", "done"]


def test_of_what_is_under_way_at_a_block_that_leaves_no_pile_is_left(tmp_path: Path) -> None:
    made = MadeUp(tmp_path / "record.msgpack")
    request = DoorRequest(1, "assistant", "", "/v1/completions", BEGAN)
    made.at(4.0).recorder.look("0", [], [request])
    made.recorder.left("0", "its job has ended")
    assert not made.recorder._asked_out
    made.recorder.close()
