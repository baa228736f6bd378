from rhapsody_parsl.executors.mailbag import Mailbag
from testing.nodes import make_spec, make_task

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
