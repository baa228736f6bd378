"""What pilots are asked for people, and what they answer: no I/O."""

from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.instructions import Send
from rhapsody_parsl.wire.examination import Examine, Examined

__all__ = ("Questions",)


class Questions:
    """The questions that are open: each goes to all blocks that are there.

    Args:
        blocks: These.
    """

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._asked: dict[int, set[str]] = {}
        self._answers: dict[int, dict[str, Examined]] = {}

    def ask(self, question: Examine) -> list[Send]:
        """Return what is to be told to whom.

        Args:
            question: Has a number of its own.
        """
        there = [block for block in self._blocks if block.inventory and not block.cut]
        self._asked[question.question] = {block.id for block in there}
        self._answers[question.question] = {}
        return [Send(block, question) for block in there]

    def answered(self, block: Block, answer: Examined) -> None:
        """A block has answered."""
        if block.id in self._asked.get(answer.question, ()):
            self._asked[answer.question].discard(block.id)
            self._answers[answer.question][block.id] = answer

    def left(self, block: Block) -> None:
        """A block is gone, and answers nothing more."""
        for asked in self._asked.values():
            asked.discard(block.id)

    def is_answered(self, question: int) -> bool:
        """Whether all blocks have answered that were asked, or are gone."""
        return not self._asked.get(question)

    def take(self, question: int) -> dict[str, Examined]:
        """Forget a question; return the answers by block."""
        self._asked.pop(question, None)
        return self._answers.pop(question, {})
