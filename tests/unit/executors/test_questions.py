from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.questions import Questions
from rhapsody_parsl.wire.examination import Examine, Examined
from testing.nodes import make_inventory


def joined(blocks: Blocks, number: str) -> Block:
    block = Block(number, 0.0)
    block.inventory = make_inventory()
    blocks.add(block)
    return block


def test_a_question_goes_to_all_that_can_answer() -> None:
    blocks = Blocks(several=True)
    one, cut = joined(blocks, "0"), joined(blocks, "1")
    cut.cut = True
    blocks.add(Block("2", 0.0))  # has not said hello
    assert [send.block for send in Questions(blocks).ask(Examine(1))] == [one]


def test_a_question_is_answered_when_all_have_answered_or_are_gone() -> None:
    blocks = Blocks(several=True)
    one, two, three = (joined(blocks, number) for number in "012")
    questions = Questions(blocks)
    questions.ask(Examine(1))
    questions.ask(Examine(2))
    questions.answered(one, Examined(1))
    questions.answered(one, Examined(7))
    questions.left(three)
    assert not questions.is_answered(1)
    questions.answered(two, Examined(1))
    assert questions.is_answered(1)
    assert not questions.is_answered(2)
    assert questions.take(1) == {"0": Examined(1), "1": Examined(1)}
    questions.answered(two, Examined(1))
    assert questions.take(1) == {}, "it came too late"
