from rhapsody_parsl.executors.at_the_door import AtTheDoor
from rhapsody_parsl.wire.door import DoorRequest, DoorRequests
from rhapsody_parsl.wire.views import DoorLoad


def request(number: int, came: float = 100.0, seconds: float = 0.5) -> DoorRequest:
    return DoorRequest(number, "m", "", "/v1/completions", came, 0.0, seconds)


def test_a_request_ends_once_whoever_tells_of_it() -> None:
    door = AtTheDoor()
    assert door.take(DoorRequests(begun=[request(1), request(2)]), 101.0) == []
    assert [each.end for each in door.take(DoorRequests(ended=[request(1), request(0)]), 102.0)] == ["done", "done"]
    assert [each.number for each in door.under_way] == [2]
    (lost,) = door.take(DoorRequests(gone="it was killed"), 103.0)
    assert (lost.number, lost.end, lost.words, lost.seconds) == (2, "lost", "it was killed", 3.0)
    assert door.take(DoorRequests(ended=[request(2)]), 104.0) == [], "it is lost already"
    assert door.lose("the block has ended", 105.0) == []


def test_what_is_under_way_is_lost_with_its_block() -> None:
    door = AtTheDoor()
    door.take(DoorRequests(begun=[request(1)], waiting={"m": 3}, answering={"n": 2}), 101.0)
    assert door.load == {"m": DoorLoad(waiting=3), "n": DoorLoad(answering=2)}
    assert [each.words for each in door.lose("the block has ended", 101.0)] == ["the block has ended"]
    assert door.load == {}
