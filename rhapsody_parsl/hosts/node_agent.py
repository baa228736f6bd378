"""Our presence on another host of the block: starts guarded processes there and tells how they end.

Standard library only; run as a script, `python -I -S`. It speaks JSON, a line a message, over its standard streams,
whatever carries them (srun, ssh, ...). Its first line tells what the host offers. It leaves, with all it has started,
when its standard input or what started it ends, or the pilot is silent for too long: it is gone, or cannot be told from
one that is.
"""

import argparse
import contextlib
import glob
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from rhapsody_parsl.hosts import environment, folder, guard, leftovers, limits, mark, probe
from rhapsody_parsl.hosts.orders import Order, Said, Signal, Start

_MOST_FILES = 100_000
"""Two for each process; as many as the hard limit allows."""
_LAST_WRITERS = 5.0
"""Seconds for what writes in our folder and is not below us: Open MPI's daemon is a step of its own under Slurm."""


class NodeAgent:
    """The processes here.

    Args:
        private: The private folder.
        silence: Seconds without a word from the pilot after which it counts as gone.
        carrier: Process descriptors of what started us, if it is ours to see, and of our parent.
    """

    def __init__(self, private: str, silence: float, carrier: "Sequence[int]") -> None:
        self._folder, self._silence, self._carrier = private, silence, carrier
        self._guards: dict[int, subprocess.Popen[bytes]] = {}
        self._orders: dict[int, Start] = {}
        self._by_pidfd: dict[int, int] = {}
        self._rest = b""

    def serve(self) -> None:
        """Do as told until the pilot is gone."""
        deadline = time.monotonic() + self._silence
        while (left := deadline - time.monotonic()) > 0:
            ready = self._wait(left)
            if set(self._carrier) & set(ready):
                return
            for descriptor in ready:
                if descriptor == 0:
                    if not self._listen():
                        return
                    deadline = time.monotonic() + self._silence
                else:
                    self._ended(descriptor)

    def _wait(self, seconds: float) -> "list[int]":
        """Return the descriptors that tell something; `select` knows none from 1,024 on."""
        poller = select.poll()
        for descriptor in (0, *self._carrier, *self._by_pidfd):
            poller.register(descriptor, select.POLLIN)
        return [descriptor for descriptor, _ in poller.poll(seconds * 1000)]

    def close(self) -> None:
        """End all; guards do that when their lifeline ends."""
        for process in self._guards.values():
            self._release(process)
        for process in self._guards.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)

    def _listen(self) -> bool:
        data = os.read(0, 1 << 20)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        return bool(data)

    def _take(self, line: bytes) -> None:
        """Obey an order; a line that is none costs nobody here his process."""
        try:
            self._obey(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
            print(f"a line that is no order was dropped: {problem!r}", file=sys.stderr)  # noqa: T201 - our log

    def _obey(self, order: Order) -> None:
        if order["do"] == "start":
            self._start(order)
        elif order["do"] == "release" or order["do"] == "kill":
            self._end(order)
        elif order["do"] == "files":
            for path, text in order["files"].items():
                folder.write_private(path, text)
        elif order["do"] == "environment":
            environment.put(self._folder, environment.on_host(order["env"], os.environ))
        elif order["do"] == "ping":
            _say({"pong": True})

    def _end(self, order: Signal) -> None:
        process = self._guards.get(order["id"])
        if process is None:
            return  # it has ended meanwhile
        if order["do"] == "release":
            self._release(process)
        else:
            process.kill()

    def _start(self, order: Start) -> None:
        number = order["id"]
        try:
            for path, text in order["files"].items():
                folder.write_private(path, text)
            self._watch(number, _guard(order, order["argv"]))
        except OSError as problem:
            _say({"ended": number, "why": str(problem)})
            return
        self._orders[number] = order

    def _watch(self, number: int, process: "subprocess.Popen[bytes]") -> None:
        self._guards[number] = process
        self._by_pidfd[os.pidfd_open(process.pid)] = number

    def _ended(self, descriptor: int) -> None:
        number = self._by_pidfd.pop(descriptor)
        os.close(descriptor)
        process = self._guards.pop(number)
        self._release(process)
        code, order = process.wait(), self._orders.pop(number)
        if code < 0:  # it was killed: another finishes its work
            with contextlib.suppress(OSError):
                self._watch(number, _guard(order, guard.burial(order["argv"], process.pid, code)))
                self._orders[number] = order
                return
        _say({"ended": number, "code": code, "begun": mark.take(order["marks"])})

    def _release(self, process: "subprocess.Popen[bytes]") -> None:
        if process.stdin:
            process.stdin.close()


def _guard(order: Start, argv: "Sequence[str]") -> "subprocess.Popen[bytes]":
    """Start a guard."""
    env = {**environment.on_host(order["env"], os.environ), **order["own"]}
    with open(order["log"], "ab") as log:
        limits.check_room()
        return subprocess.Popen(
            limits.as_the_job([sys.executable, "-I", "-S", guard.__file__, *argv]),
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=order["cwd"],
            env={name: value for name, value in env.items() if value is not None},
        )  # fmt: skip


def _say(message: Said) -> None:
    """Speak; a pilot that is gone hears nothing, and our standard input tells us."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def _carrier() -> "list[int]":
    """Flux kills what it started when the way from the pilot ends, and closes no standard input of what is below."""
    try:
        return [os.pidfd_open(os.getppid())]
    except OSError:  # it is outside our container
        return []


def _serve(arguments: argparse.Namespace, carrier: "Sequence[int]") -> None:
    agent = NodeAgent(arguments.folder, arguments.silence, carrier)
    _say({"hello": probe.facts(os.environ)})
    try:
        agent.serve()
    finally:
        agent.close()


def main() -> None:
    """Serve in a child; the parent sweeps, whatever ends the child, and the child does when the parent is killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=guard.PLAIN)
    parser.add_argument("--silence", type=float, required=True)
    parser.add_argument("folder", help="private, on this host's own disk")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # our standard input tells us when to leave
    try:
        made_place = folder.take(arguments.folder)
    except OSError as problem:
        _say({"no": f"{problem}; set TMPDIR to a folder that every host has"})
        return
    guard.adopt_orphans()
    folder.sweep(arguments.folder)
    carrier = _carrier()
    limits.allow(_MOST_FILES)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _serve(arguments, [*carrier, os.pidfd_open(parent)])
        if os.getppid() == parent:
            os._exit(0)
    else:
        os.close(0)
        os.close(1)
        os.waitpid(child, 0)
    _leave_nothing(arguments.folder, made_place)


def _leave_nothing(private: str, made_place: bool) -> None:
    """End what a killed guard left to us, and remove our folder: the parent does, or the child when it is killed."""
    guard.kill_all()
    os.close(folder.hold(private))
    leftovers.sweep([glob.escape(private)], patience=_LAST_WRITERS)
    leftovers.sweep_memory()
    if made_place:
        with contextlib.suppress(OSError):  # what tasks left there is theirs
            os.rmdir(os.path.dirname(private))


if __name__ == "__main__":
    main()
