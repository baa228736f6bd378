"""What the pilot and the process of an agent say to each other: messages are tasks, answers are their results."""

from rhapsody_parsl.wire.tagged import Tagged

__all__ = ("OpenMailbox", "Rested")


class OpenMailbox(Tagged, frozen=True):
    """An agent is there and takes messages; the answer is a `ChildAnswer` with the place of its checkpoint.

    Attributes:
        order: A number for the answer.
        parent: The number of its task.
        name: The agent's.
    """

    order: int
    parent: int
    name: str


class Rested(Tagged, frozen=True):
    """An agent has written its checkpoint, and answers no more messages in this block."""

    name: str
