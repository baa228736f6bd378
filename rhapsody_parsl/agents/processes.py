"""The processes that a node agent has started on its host, each below a guard, and what it tells of their exits."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from rhapsody_parsl.agents.words import Ended, Start
from rhapsody_parsl.hosts import folder, guard, limits, mark

__all__ = ("Processes",)

_LEAVE_WITHIN = 10.0


class Processes:
    """Those of one host.

    Args:
        told: Called when one has exited, or could not be started.

    Attributes:
        environment: The job's variables, on this host.
    """

    def __init__(self, told: Callable[[Ended], None]) -> None:
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._guards: dict[int, subprocess.Popen[bytes]] = {}
        self._orders: dict[int, Start] = {}
        self.environment: Mapping[str, str] = {}

    def start(self, order: Start) -> None:
        """Start one."""
        try:
            for path, text in order.files.items():
                folder.write_private(path, text)
            self._watch(order, self._guard(order, order.argv))
        except OSError as problem:
            self._told(Ended(order.number, why=str(problem)))

    def release(self, number: int) -> None:
        """Have one stopped with all below it; nothing happens when it has exited."""
        if process := self._guards.get(number):
            _release(process)

    def kill(self, number: int) -> None:
        """Kill the guard of one; another guard does its work then."""
        if process := self._guards.get(number):
            process.kill()

    def close(self) -> None:
        """Stop all; guards do that when their lifeline ends."""
        for process in self._guards.values():
            _release(process)
        for process in self._guards.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LEAVE_WITHIN)

    def _watch(self, order: Start, process: "subprocess.Popen[bytes]") -> None:
        self._guards[order.number], self._orders[order.number] = process, order
        descriptor = os.pidfd_open(process.pid)
        self._loop.add_reader(descriptor, self._ended, order.number, descriptor)

    def _ended(self, number: int, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        process, order = self._guards.pop(number), self._orders.pop(number)
        _release(process)
        code = process.wait()
        if code < 0:  # it was killed: another finishes its work
            with contextlib.suppress(OSError):
                self._watch(order, self._guard(order, guard.burial(order.argv, process.pid, code)))
                return
        self._told(Ended(number, code, begun=mark.take(order.marks)))

    def _guard(self, order: Start, argv: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a guard."""
        env = {**self.environment, **order.own}
        with open(order.log, "ab") as log:
            limits.check_room()
            return subprocess.Popen(
                limits.as_the_job([sys.executable, "-I", "-S", guard.__file__, *argv]),
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=order.cwd,
                env={name: value for name, value in env.items() if value is not None},
            )  # fmt: skip


def _release(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()
