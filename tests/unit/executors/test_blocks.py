import math
import time

import msgspec
import pytest

from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.wire.door import DoorRequests
from rhapsody_parsl.wire.leases import LeaseRecord
from rhapsody_parsl.wire.messages import Report, SharedPayload
from rhapsody_parsl.wire.reports import BlockReport, TaskCounts
from testing.nodes import make_inventory, make_spec, make_task


def block(number: str, cores: int = 4, tasks: int = 0) -> Block:
    made = Block(number, 0.0)
    made.inventory = make_inventory({"cores": cores})
    made.tasks = {n: make_task(n, make_spec()) for n in range(tasks)}
    return made


def chosen(*blocks: Block, several: bool = True, cores: int = 1) -> str | None:
    known = Blocks(several)
    for each in blocks:
        known.add(each)
    found = known.choose(make_spec(cores=cores), 0.0)
    return found.id if found else None


def test_the_least_loaded_for_its_size() -> None:
    assert chosen(block("0", tasks=3), block("1", tasks=2)) == "1"
    assert chosen(block("0", cores=8, tasks=3), block("1", cores=4, tasks=2)) == "0"


def test_only_a_block_that_can_ever_hold_it() -> None:
    assert chosen(block("0"), block("1", cores=8, tasks=99), cores=8) == "1"
    assert chosen(block("0"), cores=8) is None


def test_not_one_that_leaves_has_not_said_hello_or_is_full() -> None:
    leaving, silent, full = block("0"), Block("1", 0.0), block("2", tasks=400)
    leaving.closing = True
    assert chosen(leaving, silent, full) is None
    known = Blocks(several=True)
    for each in (leaving, silent, full):
        known.add(each)
    assert not known.have_room()
    known.add(block("4"))
    assert known.have_room()
    assert chosen(leaving, silent, full, block("3")) == "3"


def test_a_single_block_takes_everything_at_once() -> None:
    assert chosen(block("0", tasks=10_000), several=False) == "0"
    assert chosen(Block("0", 0.0), several=False) is None


@pytest.mark.parametrize("large", [bytes(100_000_000), SharedPayload("/nowhere", 100_000_000)])
def test_one_that_holds_hundreds_of_megabytes_gets_no_more_than_it_has_cores_for(large: bytes | SharedPayload) -> None:
    laden = block("0", cores=2)
    for number in range(5):
        assert chosen(laden, several=False) == ("0" if number < 3 else None)
        laden.give(msgspec.structs.replace(make_task(number, make_spec()), payload=large))
    assert laden.take(1, 0.0)
    assert laden.take(2, 0.0)
    assert chosen(laden, several=False) is None, "three are still more than its two cores"
    assert laden.take(3, 0.0)
    assert chosen(laden, several=False) == "0"


def ending(count: int, max_idletime: float | None, now: float = 10.0) -> list[str]:
    """Of a busy block, one idle since 6, one idle since 2, and one launched at 8 that has not spoken."""
    known = Blocks(several=True)
    for number, tasks, idle_since in (("0", 3, 0.0), ("1", 0, 6.0), ("2", 0, 2.0)):
        made = block(number, tasks=tasks)
        made.idle_since = idle_since
        known.add(made)
    return known.to_end({"0": 0.0, "1": 0.0, "2": 0.0, "3": 8.0}, count, max_idletime, now)


def test_the_least_busy_and_longest_idle_end_first() -> None:
    assert ending(9, None) == ["2", "1", "3", "0"]
    assert ending(1, None) == ["2"]


def test_with_an_idle_time_only_what_was_idle_as_long() -> None:
    assert ending(9, 0.0) == ["2", "1", "3"]
    assert ending(9, 4.0) == ["2", "1"]
    assert ending(1, 4.0) == ["2"]
    assert ending(9, 8.1) == []


def test_idle_begins_with_the_end_of_the_last_task() -> None:
    made = block("0", tasks=2)
    assert made.take(0, 5.0) is not None
    assert made.idle_since == 0.0
    assert made.take(1, 6.0) is not None
    assert made.take(1, 7.0) is None
    assert made.idle_since == 6.0


def test_a_block_whose_front_door_is_asked_is_not_idle() -> None:
    known = Blocks(several=True)
    asked, idle = block("0"), block("1")
    known.add(asked)
    known.add(idle)
    known.note(asked, DoorRequests(waiting={"m": 3}, answering={"m": 2}))
    assert (known.asked(), asked.busy, idle.busy) == (1, 5, 0)
    launched = {"0": 0.0, "1": 0.0}
    assert known.to_end(launched, 9, 0.0, time.monotonic()) == ["1"]
    assert known.to_end(launched, 9, None, time.monotonic()) == ["1", "0"]
    known.note(asked, DoorRequests())
    now = time.monotonic()
    assert known.to_end(launched, 9, 60.0, now) == ["1"], "it was asked just now"
    assert (known.asked(), known.to_end(launched, 9, 60.0, now + 61)) == (0, ["1", "0"])


def test_blocks_are_due_once_after_their_drain_period() -> None:
    known = Blocks(several=True, drain_period=5.0)
    old, young = Block("0", 0.0), Block("1", 3.0)
    known.add(old)
    known.add(young)
    assert known.drain_at == 5.0
    assert known.due(4.9) == []
    assert known.due(5.0) == [old]
    old.closing = True
    assert known.drain_at == 8.0
    assert known.due(8.0) == [young]
    assert known.drain_at == math.inf


def test_a_report_in_parts_replaces_the_one_before_when_its_last_part_is_here() -> None:
    known, one = Blocks(several=True), block("0")
    known.add(one)
    leases = [LeaseRecord(number, "local", "app", (), 1.0, 0.0) for number in range(5)]
    before, after = (BlockReport(tasks=TaskCounts(running=count)) for count in (1, 4))
    known.note(one, Report(before, leases[:1]))
    known.note(one, Report(after, leases[1:3], more=True))
    assert (one.report, list(one.leases)) == (before, [0])
    known.note(one, Report(after, leases[3:]))
    assert (one.report, list(one.leases)) == (after, [1, 2, 3, 4])
    known.note(one, Report(after))
    assert not one.leases
