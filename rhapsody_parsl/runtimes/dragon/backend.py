"""The head of one Dragon runtime: starts workers where the pilot wants them and tells when one ends.

Runs under `dragon`; the only module that imports it.
"""

import functools
import os
import select
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import dragon  # noqa: F401 - must come before multiprocessing, so that Dragon is its start method
import psutil
from dragon.infrastructure.policy import Policy
from dragon.infrastructure.process_desc import ProcessOptions
from dragon.native.machine import Node, System, current
from dragon.native.process import Process

from rhapsody_parsl.cluster.names import addresses_of, is_host
from rhapsody_parsl.hosts import limits
from rhapsody_parsl.hosts.descendants import end_descendants
from rhapsody_parsl.hosts.ending import from_shell, how_ended
from rhapsody_parsl.hosts.mark import folder_of, mark_of, take
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.messages import Exited, Failed, Kill, Quit, Ready, Spawn, ToBackend

_LOOK_EVERY = 1000
"""Milliseconds."""
_TEARDOWN_WITHIN = 5
"""Seconds."""
_APART = (
    "/bin/sh", "-c", 'trap "kill -9 \\$worker" TERM; "$@" & worker=$!; wait $worker; code=$?; '
    'wait $worker 2>/dev/null; later=$?; [ $later = 127 ] || code=$later; exit $code', "worker"
)  # fmt: skip
"""Starts a worker below a process that waits for it, so that it can lead a session: Dragon hears of the end of those of
its own process group only, and what a task sends to its process group is to reach no part of Dragon's. SIGTERM kills
the worker, also one that has not come to anything yet: a killed parent would leave that."""


class Head:
    """Starts and watches the workers of one Dragon runtime.

    Args:
        name: Our name on the pilot's hub.
        logs: Folder for the workers' output.
        files: The job's soft limit of open files, which the workers get; Dragon's own may be higher.
        endpoints: Our hub's, and the workers'.
    """

    def __init__(self, name: str, logs: Path, files: int, endpoints: tuple[str, str]) -> None:
        endpoint, self._workers = endpoints
        self._logs, self._files = logs, files
        self._spoke = Spoke(endpoint, name)
        self._poller = select.poll()
        self._poller.register(self._spoke, select.POLLIN)
        self._alone = self._spoke.end_descriptor()
        self._poller.register(self._alone, select.POLLIN)
        self._watched: dict[int, tuple[str, Process]] = {}
        self._away: dict[str, Process] = {}

    def serve(self) -> None:
        """Take the pilot's messages until it says quit or is gone."""
        self._spoke.send(Ready(os.uname().nodename, os.getpid()))
        while True:
            while (message := self._spoke.receive_nowait()) is not None:
                if isinstance(message, Quit):
                    return
                self._obey(message)
            self._look_at_those_away()
            for source, _ in self._poller.poll(_LOOK_EVERY if self._away else None):
                if source == self._alone:
                    return
                if source in self._watched:
                    self._report_end(source)

    def _obey(self, message: ToBackend) -> None:
        if isinstance(message, Spawn):
            self._spawn(message)
        elif isinstance(message, Kill):
            self._kill(message.worker)

    def _spawn(self, order: Spawn) -> None:
        log = str(self._logs / f"{order.worker}.log")
        argv = [*_APART, sys.executable, "-m", "rhapsody_parsl.runtimes.dragon.worker", self._workers, order.worker]
        program, *arguments = limits.as_the_job(argv, self._files)
        try:
            node = _node_of(order.host)
            process = Process(
                program,
                args=arguments,
                cwd=os.getcwd(),
                env=dict(order.env),
                stdout=log,
                stderr=log,
                policy=node and Policy(placement=Policy.Placement.HOST_NAME, host_name=node.hostname),
                options=ProcessOptions(make_inf_channels=True),  # else tasks can use nothing of Dragon's
            )
            process.start()
            if node is None or node.h_uid == current().h_uid:
                self._watch(order.worker, process)
            else:
                self._away[order.worker] = process
        except Exception as problem:  # noqa: BLE001 - whatever Dragon raises is the worker's end, not ours
            self._spoke.send(Exited(order.worker, f"Dragon could not start it: {problem!r}"))

    def _watch(self, worker: str, process: Process) -> None:
        """Wait for the worker's end on a descriptor of the kernel's: Dragon's own waits cost CPU all the while."""
        descriptor = _descriptor_of(process)
        if descriptor is None:
            raise ProcessLookupError(f"{worker} ended at once")
        self._watched[descriptor] = (worker, process)
        self._poller.register(descriptor, select.POLLIN)

    def _kill(self, worker: str) -> None:
        """End a worker; its end is told as any other."""
        for descriptor, (name, _) in self._watched.items():
            if name == worker:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if worker in self._away:
            self._away[worker].terminate()

    def _look_at_those_away(self) -> None:
        """Ask Dragon for the workers on other nodes of its: a wait for one would hold up every other request to it."""
        for worker, process in list(self._away.items()):
            if not process.is_alive:
                del self._away[worker]
                self._spoke.send(Exited(worker, _ending(process)))

    def _report_end(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)
        os.close(descriptor)
        worker, process = self._watched.pop(descriptor)
        begun = take(mark_of(folder_of(self._workers), worker))
        self._spoke.send(Exited(worker, _ending(process), begun.get(worker)))


@functools.cache
def _node_of(host: str) -> Node | None:
    """Return the node of Dragon's that is a host of the block; None where there is but one, which it calls `localhost`.

    Raises:
        LookupError: None is.
    """
    nodes = [Node(number) for number in System().nodes]
    if len(nodes) == 1:
        return None
    named = [node for node in nodes if is_host(node.hostname, host)]
    if len(named) == 1:
        return named[0]
    there = addresses_of(host)
    at = [node for node in named or nodes if {ip.partition(":")[0] for ip in node.ip} & set(there)]
    if not at:
        raise LookupError(f"{host} ({', '.join(there)}) is none of its nodes {', '.join(map(str, nodes))}")
    return at[0]


def _descriptor_of(process: Process) -> int | None:
    """Return a descriptor of a process of ours on this node, None when it has ended.

    Dragon tells its own number of a process and not the kernel's. It starts ours from one process, as it did us, and
    with that number among the variables.
    """
    number = f"DRAGON_MY_PUID={process.puid}".encode()
    for child in psutil.Process(os.getppid()).children():
        try:
            descriptor = os.pidfd_open(child.pid)
        except ProcessLookupError:
            continue
        with suppress(OSError):  # it is gone
            if number in Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0"):
                return descriptor
        os.close(descriptor)
    return None


def _ending(process: Process) -> str:
    try:
        process.join(timeout=5)
        code: int | None = process.returncode
    except Exception as problem:  # noqa: BLE001 - only for people
        return f"it ended ({problem!r})"
    return f"it {how_ended(code if code is None else from_shell(code))}"


def main(arguments: list[str]) -> None:
    """`backend.py NAME LOGS FILES ENDPOINT WORKERS_ENDPOINT`."""
    name, logs, files, endpoint, workers = arguments
    head = Head(name, Path(logs), int(files), (endpoint, workers))
    try:
        head.serve()
    except Exception as problem:
        head._spoke.send(Failed("BackendFailed", [name, repr(problem)]))
        raise
    last_resort = threading.Timer(_TEARDOWN_WITHIN, _leave_hard)
    last_resort.daemon = True  # or the interpreter would wait for it before Dragon's teardown begins
    last_resort.start()


def _leave_hard() -> None:
    """Dragon's own teardown did not end us."""
    end_descendants()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
