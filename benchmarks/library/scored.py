"""How llm-d chooses a replica, for a simulation: by what each cache holds, by the queues, and by the memory in use.

With its precise index llm-d knows of every block that an engine keeps, for the engines tell it. A replica scores the
part of the prompt that is there, the memory that is free, and how short its queue is beside the others'. The highest
sum gets the request. Scores and weights are those of its guide "precise-prefix-cache-aware"
(https://github.com/llm-d/llm-d), version 0.8; its usual profile has 3, 2 and 2.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ("Standing", "highest")

PREFIX, MEMORY, QUEUE = 2.0, 1.0, 1.0
"""What a point of each score weighs."""


class Standing(NamedTuple):
    """What is known of a replica when a request comes.

    Attributes:
        matched: The share of the prompt's blocks that its cache holds, counted from the beginning without a gap.
        used: The share of its memory that requests under way use.
        waiting: How many requests wait there.
    """

    matched: float
    used: float
    waiting: int


def highest(standings: Sequence[Standing], dice: random.Random) -> int:
    """Return which replica has the highest score; among equals, chance decides."""
    queues = [one.waiting for one in standings]
    shortest, longest = min(queues), max(queues)

    def score(one: Standing) -> float:
        short = (longest - one.waiting) / (longest - shortest) if longest > shortest else 1.0
        return PREFIX * one.matched + MEMORY * (1 - one.used) + QUEUE * short

    scores = [score(one) for one in standings]
    best = max(scores)
    return dice.choice([number for number, one in enumerate(scores) if one == best])
