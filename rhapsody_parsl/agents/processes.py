"""The processes that a node agent starts on its host, at a pace, each below a guard; and what it tells of them."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rhapsody_parsl.agents.words import Begun, Ended, Start
from rhapsody_parsl.hosts import folder, guard, limits, mark
from rhapsody_parsl.hosts.pace import Pace

__all__ = ("Processes",)

_LEAVE_WITHIN = 10.0


class Processes:
    """Those of one host.

    Args:
        told: Called when one has begun, when one has exited, or when it could not be started.
        held: Descriptor that holds the private folder: guards hold it, too, for their commands may still use it.

    Attributes:
        environment: The job's variables, on this host.
    """

    def __init__(self, told: Callable[[Begun | Ended], None], held: int) -> None:
        self._told, self._held = told, held
        self._loop = asyncio.get_running_loop()
        self._guards: dict[int, subprocess.Popen[bytes]] = {}
        self._orders: dict[int, Start] = {}
        self._pace = Pace()
        self._waiting: dict[int, str] = {}
        self.environment: Mapping[str, str] = {}

    def start(self, order: Start) -> None:
        """Start one; one with a name may wait until others are up."""
        if order.name:
            self._waiting[order.number] = order.name
            self._pace.start(order.name, partial(self._start, order))
        else:
            self._start(order)

    def up(self, name: str) -> None:
        """One has spoken."""
        self._pace.over(name)

    def _start(self, order: Start) -> None:
        self._waiting.pop(order.number, None)
        self._told(Begun(order.number))
        try:
            for path, text in order.files.items():
                folder.write_private(path, text)
            self._watch(order, self._guard(order, order.argv))
        except OSError as problem:
            self._told(Ended(order.number, why=str(problem)))
            self._loop.call_soon(self._pace.over, order.name)

    def release(self, number: int) -> None:
        """Have one stopped with all below it; nothing happens when it has exited."""
        if process := self._guards.get(number):
            _release(process)
        elif name := self._waiting.pop(number, ""):
            self._pace.over(name)
            self._told(Ended(number, 0))

    def kill(self, number: int) -> None:
        """Kill the guard of one; another guard does its work then."""
        if process := self._guards.get(number):
            process.kill()

    def close(self) -> None:
        """Stop all; guards do that when their lifeline ends."""
        self._pace.close()
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
        self._pace.over(order.name)

    def _guard(self, order: Start, argv: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a guard."""
        env = {**self.environment, **order.own}
        with open(order.log, "ab") as log:
            limits.check_room()
            return subprocess.Popen(
                limits.as_the_job([sys.executable, "-I", "-S", guard.__file__, *argv]),
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=order.cwd,
                pass_fds=[self._held],
                env={name: value for name, value in env.items() if value is not None},
            )  # fmt: skip


def _release(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()
