"""What a rank raises because another one has failed: pure.

A rank that raises and then leaves its process group has the others raise at once, often sooner than it has left itself.
So neither the lowest rank's exception nor the first one to be heard of is the cause.
"""

import re

from rhapsody_parsl.telling import message_of, qualified

__all__ = ("is_echo",)

_OF_LIBRARIES = re.compile(r"torch\.distributed\.|mpi4py\.MPI\.Exception$")
"""Classes that what joins the ranks raises."""
_WORDS = re.compile(r"connection (was )?(closed|reset|refused|aborted)|broken pipe|\bgloo/|\bnccl\b", re.IGNORECASE)
"""What it says in a plain `RuntimeError`."""
_MOST_CAUSES = 20


def is_echo(problem: BaseException) -> bool:
    """Whether an exception tells of a lost connection to another rank, or was raised `from` one that does."""
    cause: BaseException | None = problem
    for _ in range(_MOST_CAUSES):
        if cause is None:
            break
        if isinstance(cause, ConnectionError) or _OF_LIBRARIES.match(qualified(type(cause))):
            return True
        if type(cause) is RuntimeError and _WORDS.search(message_of(cause)):
            return True
        cause = cause.__cause__
    return False
