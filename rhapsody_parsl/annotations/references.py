"""Checks of what says that a result stays in the block: pure."""

import re
from collections.abc import Collection
from typing import Any

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import InvalidTask

__all__ = ("check_reference", "check_size")

_SIZE = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(B|kB|MB|GB|TB)\s*", re.ASCII)
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_MOST = 1 << 60


def check_size(key: str, value: Any) -> int:
    """Return a size in bytes.

    Raises:
        InvalidTask: It is none.
    """
    if isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        value = round(float(found[1]) * _UNITS[found[2]])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise InvalidTask(key, value, "a size is needed: bytes, or a text such as '10 MB'")
    return value


def check_reference(spec: TaskSpec, given: Collection[str]) -> None:
    """See that a result that stays in the block is one.

    Args:
        spec: The task's.
        given: The keys that the user gave.

    Raises:
        InvalidTask: It is a service's answer, those of many ranks, or a program's text.
    """
    policy = spec.policy
    if policy.result == "value":
        if "reference_above" in given:
            problem, remedy = "the result travels as a value", "Add result='reference'"
            raise InvalidTask("reference_above", policy.reference_above, problem, remedy)
    elif spec.service:
        raise InvalidTask("result", policy.result, "the answer of a service travels as a value", "Drop it")
    elif policy.returns == "all":
        raise InvalidTask("result", policy.result, "the results of all ranks travel as values", "Drop returns='all'")
    elif policy.output == "text":
        raise InvalidTask("result", policy.result, "what a program wrote travels as a value", "Drop output='text'")
