"""How a policy gets from the user's script into a block: by its name, or pickled."""

import base64
import inspect
import math
import pickle
from typing import Any

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.scheduling.easy import Easy
from rhapsody_parsl.scheduling.fair import Fair
from rhapsody_parsl.scheduling.fifo import Fifo
from rhapsody_parsl.scheduling.protocol import Scheduling, WaitingTask
from rhapsody_parsl.wording import nearest

__all__ = ("DEFAULT", "packed", "unpacked")

DEFAULT = "fifo"
_NAMES = ("fifo", "fair", "easy")
_KEY = "scheduling"
_MOVE = "Move the class to the top level of a module that is installed, or on PYTHONPATH, in the block"
_LIKE = "Write one as the page on scheduling shows"
_MOST = 64 * 1024
"""Bytes of a pickled policy: it stands in a file that every block reads."""


class _Alone:
    """Nobody else waits: for a trial."""

    cores, served = 1, 0.0

    def last(self, group: str | tuple[str, ...]) -> float:
        return 0.0


def packed(given: Any) -> str:
    """Return a policy as text: its name, or the object's bytes.

    Args:
        given: The user's.

    Raises:
        InvalidTask: It is no policy, or a block could not have it.
    """
    kind = type(given)
    if kind is str:
        if given not in _NAMES:
            raise InvalidTask(_KEY, given, f"allowed are {', '.join(_NAMES)}, or an object", nearest(given, _NAMES))
        return str(given)
    if not _is_policy(given):
        raise InvalidTask(_KEY, given, "an object with `claim` and `backfill` is needed", _LIKE)
    if kind.__module__ == "__main__" or "." in kind.__qualname__:
        raise InvalidTask(_KEY, kind.__name__, "a block cannot import it from where it is", _MOVE)
    _try(given)
    try:
        text = base64.b64encode(pickle.dumps(given)).decode()
    except Exception as problem:  # whatever the user's object raises
        remedy = "Keep numbers and text in it, and no files, locks or connections"
        raise InvalidTask(_KEY, kind.__name__, f"it cannot be pickled: {problem}", remedy) from problem
    if len(text) > _MOST:
        raise InvalidTask(_KEY, kind.__name__, f"pickled it has {len(text)} bytes; {_MOST} are allowed")
    return f"{kind.__module__}:{kind.__qualname__} {text}"


def _is_policy(given: Any) -> bool:
    """Whether it has what a policy has; runs no code of the value's."""
    kind = type(given)
    metaclass: Any = type(kind)
    if issubclass(kind, type) or metaclass.__eq__ is not type.__eq__:  # which `inspect` asks since Python 3.14
        return False
    attributes = (inspect.getattr_static(kind, "claim", None), inspect.getattr_static(given, "backfill", None))
    return None not in attributes


def _try(policy: Scheduling) -> None:
    """Ask it once, of a task as plain as any."""
    name = type(policy).__name__
    claim: Any
    try:
        bool(policy.backfill)
        claim = policy.claim(WaitingTask(app="app"), 0.0, _Alone())
    except Exception as problem:  # whatever the user's code raises
        error = f"`claim` or `backfill` raised {type(problem).__name__}: {problem}"
        raise InvalidTask(_KEY, name, error, _LIKE) from problem
    if not _is_number(claim):
        raise InvalidTask(_KEY, name, f"`claim` returned {claim!r}, and a number is needed", _LIKE)


def _is_number(claim: Any) -> bool:
    try:
        return math.isfinite(float(claim))
    except Exception:  # noqa: BLE001 - whatever it does when it is to be one
        return False


def unpacked(text: str, ageing: float) -> Scheduling:
    """Return the policy that `packed` wrote.

    Args:
        text: What it returned.
        ageing: The executor's, for those that are named.

    Raises:
        InvalidTask: Its module cannot be imported here.
    """
    if text in _NAMES:
        named: dict[str, Scheduling] = {"fifo": Fifo(ageing), "easy": Easy(ageing), "fair": Fair()}
        return named[text]
    path, _, pickled = text.partition(" ")
    try:
        policy: Scheduling = pickle.loads(base64.b64decode(pickled))
    except Exception as problem:  # whatever an import can raise
        raise InvalidTask(
            _KEY, path, f"the block cannot have it: {type(problem).__name__}: {problem}", _MOVE
        ) from problem
    return policy
