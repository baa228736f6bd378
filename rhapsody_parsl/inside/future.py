"""What a task holds of a task that it has submitted."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rhapsody_parsl.executors.tray import Streamed, Tray

if TYPE_CHECKING:
    from rhapsody_parsl.inside.client import Client

__all__ = ("ChildFuture",)

_SELDOM = 1.0
"""Seconds: a signal's handler may hear of the end at the moment before who it interrupts begins to wait."""


class ChildFuture(Streamed):
    """The future of a task that a task submitted; `cancel` works on queued and on running tasks."""

    def __init__(self, number: int, client: "Client", streams: bool) -> None:
        super().__init__()
        self.number = number
        self._client, self.streams = client, streams

    def _new_tray(self) -> Tray:
        return Tray(self.number, self._client.ask_more)

    def result(self, timeout: float | None = None) -> Any:
        """Return what the task returns, once it has ended; see `concurrent.futures.Future`."""
        if self._client.lends:
            with self._client.waiting([self], timeout):
                return super().result(timeout)
        if timeout is None and not self.done():
            with self._client.hearing(self), self._condition:
                while not self.done():
                    self._condition.wait(_SELDOM)
        return super().result(timeout)

    def take(self, value: Any) -> bool:
        """Take the result, in such a way that to be interrupted and called again does no harm.

        Args:
            value: The result.

        Returns:
            False where somebody is to be told of it, which may happen once: then nothing has changed.
        """
        with self._condition:
            if self.done():
                self._condition.notify_all()  # who was interrupted may not have
            elif self._waiters or self._done_callbacks:  # type: ignore[attr-defined]  # they have no public name
                return False
            else:
                self.set_result(value)
        return True

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the task raises, once it has ended; see `concurrent.futures.Future`."""
        if self._client.lends:
            with self._client.waiting([self], timeout):
                return super().exception(timeout)
        return super().exception(timeout)

    def cancel(self) -> bool:
        """Cancel the task, queued or running; True unless it has ended."""
        if self.cancelled():
            return True
        if not super().cancel():
            return False
        with suppress(RuntimeError):  # its result comes at this moment, and finds it cancelled
            self.set_running_or_notify_cancel()  # else `concurrent.futures.wait` does not see it
        self._client.cancel(self.number)
        return True
