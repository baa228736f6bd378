"""`python -m rhapsody_parsl.runtimes.mpi.world.rank ENDPOINT WORLD`: one rank of a world.

The main thread waits for work on the socket and enters MPI only with it; a listener hears the pilot meanwhile and calls
no MPI:
an idle rank costs nothing. Each task gets a communicator of its own.
"""

import faulthandler
import os
import socket
import sys
import time
from collections import deque
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import mpi4py
import msgspec

mpi4py.rc.thread_level = "serialized"  # as cheap as none at all, and the user's function may use threads in turn
from mpi4py import MPI  # noqa: E402 - after its settings

from rhapsody_parsl.errors import DataLost, RankFailed  # noqa: E402 - as above
from rhapsody_parsl.hosts.leftovers import mpi_segments  # noqa: E402 - as above
from rhapsody_parsl.hosts.process_tree import die_with_parent  # noqa: E402 - as above
from rhapsody_parsl.runtimes.mpi.world.echo import is_echo  # noqa: E402 - as above
from rhapsody_parsl.runtimes.mpi.world.steps import Steps  # noqa: E402 - as above
from rhapsody_parsl.wire.messages import (  # noqa: E402 - as above
    ECHO,
    RESULT,
    Failed,
    Result,
    Setting,
    Task,
    Work,
    WorldFacts,
    failed,
)
from rhapsody_parsl.wire.shared_memory import deliver, opened  # noqa: E402 - as above
from rhapsody_parsl.worker.inbox import Inbox  # noqa: E402 - as above
from rhapsody_parsl.worker.loop import serve  # noqa: E402 - as above
from rhapsody_parsl.worker.memory import Before  # noqa: E402 - as above
from rhapsody_parsl.worker.outbox import Outbox  # noqa: E402 - as above
from rhapsody_parsl.worker.outlet import Outlet  # noqa: E402 - as above
from rhapsody_parsl.worker.port import Port, tell_port  # noqa: E402 - as above
from rhapsody_parsl.worker.setting import entered, left, made, unusable  # noqa: E402 - as above
from rhapsody_parsl.worker.task_environment import TaskEnvironment  # noqa: E402 - as above

_HOST = socket.gethostname()
_MOST_GROUPS = 256
_REST = 16
"""Tasks between the end of one and the end of its communicator."""


class Rank:
    """The main thread: runs work in order, each task on a communicator of its own.

    The group's first rank decides whether a task still runs, for it alone hears that a task is wanted no more.
    """

    def __init__(self, inbox: Inbox, outbox: Outbox, before: Before) -> None:
        self._inbox, self._outbox, self._before = inbox, outbox, before
        self._surroundings = TaskEnvironment()
        self._port = Port()
        self._groups: dict[tuple[int, ...], MPI.Group] = {}
        self._used: deque[MPI.Intracomm] = deque()
        self._idle_leases: list[MPI.Intracomm] = []

    def run(self) -> None:
        """Run what comes in, for ever."""
        while True:
            work = self._inbox.get()
            self._surroundings.suit(work)
            for task in work.tasks:
                self._free_used(most=2 * _REST)
                self._take(work, task)
            self._outbox.flush()
            self._free_used(most=_REST)  # the answer is on its way

    def _group(self, ranks: tuple[int, ...]) -> MPI.Group:
        group = self._groups.get(ranks)
        if group is None:
            if len(self._groups) >= _MOST_GROUPS:
                for old in self._groups.values():
                    old.Free()
                self._groups.clear()
            group = self._groups[ranks] = MPI.COMM_WORLD.Get_group().Incl(ranks)
        return group

    def _take(self, work: Work, task: Task) -> None:
        group = self._group(work.ranks)
        comm = MPI.COMM_WORLD.Create_group(group)
        if work.memory:
            self._before.note(work.run)
        wanted = self._inbox.begin(work.run, task.id)
        told = bytearray([wanted, *self._port_for(work, comm).to_bytes(2)])
        comm.Bcast(told)
        if told[0]:
            tell_port(int.from_bytes(told[1:]))
            result, folder = _called(work, task, comm, self._outlet(work, task, comm))
            self._port.used(result.seconds)
            self._report(work, task, result, folder)
            self._dispose(comm, result.kind == RESULT)
        else:
            self._inbox.end()
            self._dispose(comm, clean=True)

    def _outlet(self, work: Work, task: Task, comm: MPI.Intracomm) -> Outlet:
        """Return where a generator's pieces go: those of the first rank leave, the others' go nowhere."""
        send = partial(self._outbox.send_piece, work.run) if comm.Get_rank() == 0 else None
        steps = partial(Steps, partial(MPI.COMM_WORLD.Create_group, self._group(work.ranks)))
        return Outlet(task.id, send, self._outbox.flows, steps, stated=True)

    def _port_for(self, work: Work, comm: MPI.Intracomm) -> int:
        """Have the first rank of a gang keep a port; 0 for none."""
        has_one = work.setting is not None and work.setting.port and comm.Get_rank() == 0
        return self._port.number() if has_one else 0

    def _report(self, work: Work, task: Task, result: Result, folder: str) -> None:
        group = self._group(work.ranks)
        is_fit = self._surroundings.put_right(1.0 if task is work.tasks[-1] else result.seconds)
        if result.kind != RESULT:
            self._outbox.put(work.run, result)
            self._outbox.flush()  # the others may wait for this rank for ever, and the pilot must know
        if folder:
            _leave(group, folder, result)
        final = self._gather(group, task, result) if work.all_results else result
        if result.kind == RESULT:
            root = group.Get_rank() == 0
            mine = deliver(final, work.shared_folder) if root else Result(task.id, RESULT, b"", result.seconds)
            self._outbox.put(work.run, mine)
        self._inbox.end()
        if not is_fit:
            self._outbox.tell(Failed("WorkerLost", [MPI.COMM_WORLD.Get_name(), "a task changed it for good"]))

    def _gather(self, group: MPI.Group, task: Task, result: Result) -> Result:
        """Bring all ranks' values to the first, on a communicator the function has not touched."""
        from rhapsody_parsl.worker.call import pack, raised  # noqa: PLC0415 - dill is paid for with the first task

        comm = MPI.COMM_WORLD.Create_group(group)
        values = comm.gather(result.payload if result.kind == RESULT else None)
        comm.Free()
        if values is None or None in values:
            return result
        try:
            return pack(task.id, [_unpack(value) for value in values], result.seconds)
        except BaseException as problem:  # noqa: BLE001 - opening them runs the user's code
            return raised(task.id, problem, result.seconds)

    def _dispose(self, comm: MPI.Intracomm, clean: bool) -> None:
        """Have a task's communicator freed, some tasks later: messages that nobody took must never meet another task.

        MPI gives the number of a freed communicator to the next one, and with it what still arrives. A task that failed
        here may even have left part of a collective operation behind; its communicator is kept for good.
        """
        if comm == MPI.COMM_NULL:
            return  # the function freed it
        if not clean:
            self._idle_leases.append(comm)
            return
        self._used.append(comm)

    def _free_used(self, most: int) -> None:
        """Free communicators of the longest ended tasks until at most so many are left."""
        while len(self._used) > most:
            _free(self._used.popleft())


def _free(comm: MPI.Intracomm) -> None:
    """Take what nobody took, then free."""
    status = MPI.Status()
    while comm.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, status):
        rest = bytearray(status.Get_count(MPI.BYTE))
        comm.Recv([rest, MPI.BYTE], status.Get_source(), status.Get_tag())
    comm.Free()


def _unpack(payload: bytes) -> object:
    from rhapsody_parsl.payload import open_result  # noqa: PLC0415 - dill is paid for with the first task

    return open_result(payload)


def _called(work: Work, task: Task, comm: MPI.Intracomm, outlet: Outlet) -> tuple[Result, str]:
    """Run one payload, with a signal before the block ends, if the work has one; return the folder of its own, too."""
    if not work.signal:
        return _call_where_wanted(work.setting, task, comm, outlet)
    from rhapsody_parsl.worker.notice import Notice  # noqa: PLC0415 - few tasks want one

    with Notice(work):
        return _call_where_wanted(work.setting, task, comm, outlet)


def _call_where_wanted(setting: Setting | None, task: Task, comm: MPI.Intracomm, outlet: Outlet) -> tuple[Result, str]:
    """Run one payload where its run's tasks are to be."""
    if setting is None or not (setting.cwd or setting.sandboxes):
        return _call(task, comm, outlet), ""
    folder = ""
    with ExitStack() as stack:
        try:
            folder = _common_folder(setting, task, comm)
            stack.enter_context(entered(setting, folder))
        except OSError as problem:
            return unusable(setting, task, problem), folder
        return _call(task, comm, outlet), folder


def _common_folder(setting: Setting, task: Task, comm: MPI.Intracomm) -> str:
    """Have the first rank make the folder of a task's own.

    Raises:
        OSError: It could not.
    """
    if not setting.sandboxes:
        return ""
    folder: str | OSError = ""
    if comm.Get_rank() == 0:
        try:
            folder = made(setting, task)
        except OSError as problem:
            folder = problem
    folder = comm.bcast(folder)
    if isinstance(folder, OSError):
        raise folder
    return folder


def _leave(group: MPI.Group, folder: str, result: Result) -> None:
    """Wait until all ranks have left the folder of a task's own, on a communicator the function has not touched."""
    comm = MPI.COMM_WORLD.Create_group(group)
    well = comm.allreduce(result.kind == RESULT, op=MPI.LAND)
    left(folder, well and comm.Get_rank() == 0)
    comm.Free()


def _call(task: Task, comm: MPI.Intracomm, outlet: Outlet) -> Result:
    """Run one payload with `comm`; a failure says which rank it was."""
    from rhapsody_parsl.data.staying import Stays  # noqa: PLC0415 - as above
    from rhapsody_parsl.worker.call import pack, raised  # noqa: PLC0415 - as above
    from rhapsody_parsl.worker.user_code import run  # noqa: PLC0415 - as above

    rank, size = comm.Get_rank(), comm.Get_size()
    began = time.perf_counter()
    try:
        value = run(opened(task), outlet, comm=comm)
    except SystemExit as exit_:
        return failed(task.id, RankFailed(rank, size, _HOST, f"the function called sys.exit({exit_.code!r})"))
    except DataLost as problem:
        return failed(task.id, problem)
    except BaseException as problem:  # noqa: BLE001 - the user's exception, whatever it is, is the task's result
        note = f"Raised by rank {rank} of {size} on {_HOST}."
        result = raised(task.id, problem, time.perf_counter() - began, note)
        return msgspec.structs.replace(result, kind=ECHO) if is_echo(problem) else result
    return pack(task.id, value if rank == 0 or type(value) is not Stays else None, time.perf_counter() - began)


def main(arguments: list[str]) -> None:
    """Serve the hub at `arguments[0]` as a rank of the world `arguments[1]`; the process ends here."""
    die_with_parent()
    faulthandler.enable()
    endpoint, world = arguments
    MPI.COMM_WORLD.Barrier()  # the transport is set up by now; memory without a name needs nobody to remove it
    for segment in map(Path, mpi_segments([os.getpid()])):
        if segment.name.startswith("mpich"):  # Open MPI opens its own by name, later
            segment.unlink(missing_ok=True)
    facts = WorldFacts(MPI.COMM_WORLD.Get_size())
    name = f"{world}.{MPI.COMM_WORLD.Get_rank()}"
    serve(endpoint, name, Rank, facts=facts)


if __name__ == "__main__":
    main(sys.argv[1:])
