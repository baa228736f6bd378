"""What is known of an engine's process that ended, beside a thread of vLLM's that waits for it as well."""

import time
from typing import Any, cast

import pytest

from rhapsody_parsl.runtimes.vllm.engine_host import Watch


class ToldError(Exception):
    """Stands for leaving."""


class Conversation:
    """Notes what is told."""

    def lost(self, reason: str, killed: bool = False) -> None:
        """Raise instead of leaving."""
        raise ToldError(reason, killed)


class ReapedElsewhere:
    """A child whose exit code another thread has taken, and not noted yet."""

    pid = 7

    def __init__(self, known_after: float) -> None:
        self._known_at = time.monotonic() + known_after

    def join(self, timeout: float) -> None:
        """Return at once: it has ended."""

    @property
    def exitcode(self) -> int | None:
        return -9 if time.monotonic() > self._known_at else None


def watch_of(child: Any) -> Watch:
    watch = Watch(cast("Any", Conversation()))
    watch._children = {child.pid: child}
    watch._watched = {3: (child.pid, "VLLM::EngineCore")}
    return watch


def test_an_exit_code_that_another_thread_has_taken_is_waited_for() -> None:
    with pytest.raises(ToldError, match="was ended by signal 9") as told:
        watch_of(ReapedElsewhere(0.1))._ended(3)
    assert told.value.args[1], "a signal from outside"


def test_a_code_that_nobody_notes_is_not_waited_for_without_an_end() -> None:
    began = time.monotonic()
    with pytest.raises(ToldError, match="EngineCore ended"):
        watch_of(ReapedElsewhere(60.0))._ended(3)
    assert time.monotonic() - began < 5
