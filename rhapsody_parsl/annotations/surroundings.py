"""Checks of what a task is to find around it, and of what it gives back: pure."""

import re
from typing import Any

from rhapsody_parsl.errors import InvalidTask

__all__ = ("check_env", "check_folder", "check_output_limit")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_THE_LEASE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
_MOST_VARIABLES = 1000
_LONGEST = 100_000
"""Characters of a variable's value: the kernel takes 128 kB for one with its name."""
_LONGEST_PATH = 4096
_MOST_OUTPUT = 64 << 20


def check_env(key: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Return environment variables as sorted pairs.

    Raises:
        InvalidTask: It is no dict of texts, or names a variable that the lease sets.
    """
    if not isinstance(value, dict) or not all(type(part) is str for item in value.items() for part in item):
        raise InvalidTask(key, value, "a dict of texts is needed", "Write env={'NAME': 'value'}")
    if len(value) > _MOST_VARIABLES:
        raise InvalidTask(key, value, f"{_MOST_VARIABLES} variables at most")
    for name, text in value.items():
        if not _NAME.fullmatch(name):
            raise InvalidTask(key, name, "a variable's name has letters, digits and _ only")
        if name in _OF_THE_LEASE:
            raise InvalidTask(key, name, "the lease says which GPUs a task sees", "Ask with gpus, or gpus_per_rank")
        if "\0" in text or len(text) > _LONGEST:
            raise InvalidTask(key, name, f"its value may have {_LONGEST} characters, and no NUL")
    return tuple(sorted(value.items()))


def check_folder(key: str, value: Any) -> str:
    """Return a folder's path.

    Raises:
        InvalidTask: It is none.
    """
    if not isinstance(value, str) or not value or "\0" in value or len(value) > _LONGEST_PATH:
        raise InvalidTask(key, value, f"a folder is needed, of {_LONGEST_PATH} characters at most and without NUL")
    return value


def check_output_limit(key: str, value: Any) -> int:
    """Return how many bytes are kept of each stream of a program.

    Raises:
        InvalidTask: It is no such number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_OUTPUT:
        raise InvalidTask(key, value, f"bytes are needed, from 0 to {_MOST_OUTPUT}", "Redirect more with stdout=")
    return value
