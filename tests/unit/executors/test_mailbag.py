import msgspec

from rhapsody_parsl.errors import NoAgent
from rhapsody_parsl.executors.blocks import Blocks
from rhapsody_parsl.executors.dispatcher import Dispatcher
from rhapsody_parsl.executors.instructions import Ended, Failed
from rhapsody_parsl.executors.mailbag import Mailbag
from rhapsody_parsl.mail import message_spec
from rhapsody_parsl.wire.messages import RESULT, Result, Results, Returned, Task
from testing.nodes import make_spec, make_task
from tests.unit.executors.test_dispatcher import given, joined

ONE, TWO = make_task(1, make_spec()), make_task(2, make_spec())


def test_messages_wait_until_a_block_has_their_agent() -> None:
    bag = Mailbag()
    assert bag.hold("a", ONE)
    assert bag.hold("b", TWO)
    assert bag.tasks == [ONE, TWO]
    assert bag.placed("a", "0") == [ONE]
    assert (bag.where("a"), bag.where("b")) == ("0", "")


def test_nobody_waits_for_an_agent_that_has_ended_until_there_is_another_of_its_name() -> None:
    bag = Mailbag()
    bag.hold("a", ONE)
    assert bag.over("a") == [ONE]
    assert not bag.hold("a", TWO)
    assert bag.placed("a", "1") == []
    assert bag.hold("a", TWO)


def test_a_message_is_taken_out() -> None:
    bag = Mailbag()
    bag.hold("a", ONE)
    assert bag.take(2) is None
    assert bag.take(1) is ONE
    assert bag.tasks == []


AGENT = msgspec.structs.replace(make_spec(cores=0, on_loss="rerun"), mailbox="a")


def letter(number: int, name: str = "a") -> Task:
    return Task(number, message_spec(name), b"")


def test_messages_go_where_their_agent_is_and_wait_until_it_is_somewhere() -> None:
    dispatcher = Dispatcher(Blocks(several=True), 120.0)
    dispatcher.submit(letter(2))
    dispatcher.give_out()
    assert [task.id for task in dispatcher.waiting()] == [2]
    joined(dispatcher)
    joined(dispatcher, "1/a")
    for task in (make_task(3, make_spec()), make_task(1, AGENT), letter(4), letter(5, "b")):
        dispatcher.submit(task)
    dispatcher.give_out()
    found = given(dispatcher)
    assert sorted(map(tuple, found.values())) in ([(1, 2, 4), (3,)], [(1, 2, 3, 4)])
    assert [task.id for task in dispatcher.waiting()] == [5], "of somebody unknown"


def test_messages_follow_their_agent_to_the_next_block_in_order() -> None:
    dispatcher = Dispatcher(Blocks(several=True), 120.0)
    first = joined(dispatcher)
    for task in (make_task(1, AGENT), letter(2), letter(3), make_task(4, make_spec()), letter(5)):
        dispatcher.submit(task)
    dispatcher.give_out()
    dispatcher.drain(["0"])
    dispatcher.receive(first, Returned(0, [1, 2]))
    dispatcher.submit(letter(6))
    dispatcher.give_out()
    assert given(dispatcher) == {"0": [1, 2, 3, 4, 5]}
    joined(dispatcher, "1/a")
    assert given(dispatcher) == {"1": [1, 2, 3, 5, 6]}
    late = [Result(3, RESULT, b"")]
    dispatcher.receive(first, Results(late))
    ended = [one.results for one in dispatcher.take() if isinstance(one, Ended)]
    assert ended == [[]], "it is the next block's"


def test_what_waits_for_an_agent_that_ends_fails_and_so_does_what_comes_later() -> None:
    dispatcher = Dispatcher(Blocks(several=False), 120.0)
    dispatcher.submit(letter(2))
    dispatcher.give_out()
    dispatcher.agent_over("a")
    dispatcher.submit(letter(3))
    dispatcher.give_out()
    failures = [(one.task, type(one.error)) for one in dispatcher.take() if isinstance(one, Failed)]
    assert failures == [(2, NoAgent), (3, NoAgent)]
    assert dispatcher.waiting() == []
