"""One backend process as the pilot sees it: start it under guard, learn of its end, end it, leave nothing behind."""

import asyncio
import contextlib
import errno
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Protocol

from rhapsody_parsl.hosts import guard, limits
from rhapsody_parsl.hosts.ending import Cause, cause_of, from_shell, how_ended
from rhapsody_parsl.hosts.folder import write_private

__all__ = (
    "Backend", "Elsewhere", "asked", "guard_options", "log_tail", "of_guard", "start_child", "stopped", "sweep_memory",
)  # fmt: skip

_KILL_WITHIN = 5.0


class _Process(Protocol):
    """A guard, here or on another host."""

    @property
    def returncode(self) -> int | None:
        """None while it lives."""

    @property
    def reason(self) -> str:
        """Why it ended, when that is no exit code of its own."""

    @property
    def begun(self) -> Mapping[str, int]:
        """The task that each worker that ended with it began last, as far as its host has told."""

    @property
    def waits(self) -> bool:
        """Whether it is still to be started, after others."""

    async def wait(self) -> int:
        """Wait for its end."""

    def release(self) -> None:
        """End its lifeline."""

    def kill(self) -> None:
        """Kill it."""


class Elsewhere(Protocol):
    """Another host of the block, see `agents.host`."""

    def start_process(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str | None],
        log: Path,
        files: Mapping[str, str],
        marks: str = "",
        name: str = "",
    ) -> _Process:
        """Start a guarded process there."""

    def watch(self, on_loss: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the reason when the host is lost; return what ends that."""


class _Local:
    """A guard on this host, and the one that buries it when it is killed.

    Args:
        process: The first.
        bury: Starts the second: `(pid, exit code)` of the first.
    """

    reason = ""
    waits = False
    begun: Mapping[str, int] = MappingProxyType({})  # whoever asks is on this host and reads the marks

    def __init__(self, process: Process, bury: Callable[[int, int], Awaitable[Process]]) -> None:
        self._process, self._bury = process, bury
        self._life = asyncio.create_task(self._live(), name=f"guard {process.pid}")

    async def _live(self) -> int:
        code = await self._ended()
        if code >= 0:
            return code
        with contextlib.suppress(OSError):
            self._process = await self._bury(self._process.pid, code)
            await self._ended()
        return code

    async def _ended(self) -> int:
        code = await self._process.wait()
        self._process._transport.close()  # type: ignore[attr-defined]  # else its lifeline may outlive the event loop
        return code

    async def wait(self) -> int:
        return await asyncio.shield(self._life)

    @property
    def returncode(self) -> int | None:
        return self._life.result() if self._life.done() and not self._life.cancelled() else None

    def release(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


class Backend:
    """A guarded process with a log file.

    Args:
        command: Program and arguments.
        log: File that takes its standard output and error, appended.
        env: Variables added to the pilot's own; a value of None removes one.
        cores: Real cores to pin it to; empty leaves the pilot's.
        nice: Niceness, also of its whole session beside others: what shares cores with tasks yields to them.
        grace: Seconds between SIGTERM and SIGKILL.
        sweep: Globs of files and folders to remove once it is gone, beside the memory that engines have left on its
            host. What another process uses stays.
        patience: Seconds to wait for such a process to end.
        host: Where it runs; None is this host.
        files: Private files written there before it starts, by path.
        marks: Of the workers that end with it (see `mark`), a pattern of files; for another host.
        name: What it will call itself on an exchange, if it may wait there until others are up; for another host.
        processes: How many processes and threads it has on this host at least: with fewer, many a program hangs.
        spans: Further hosts that have processes of it: when one is lost it ends as a whole.
    """

    def __init__(  # noqa: PLR0913 - what a process is started with
        self,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str | None] | None = None,
        cores: Sequence[int] = (),
        nice: int = 0,
        grace: float = 3.0,
        sweep: Sequence[str] = (),
        patience: float = 0.0,
        host: Elsewhere | None = None,
        files: Mapping[str, str] | None = None,
        spans: Iterable[Elsewhere] = (),
        marks: str = "",
        name: str = "",
        processes: int = 0,
    ) -> None:
        self._processes, self._name = processes, name
        self._command, self.log, self._env, self._cores = list(command), log, dict(env or {}), cores
        self._nice, self._grace, self._sweep, self._patience = nice, grace, list(sweep), patience
        self._host, self._files, self._spans, self._marks = host, dict(files or {}), list(spans), marks
        self._process: _Process | None = None
        self._reason = ""
        self._unwatch: list[Callable[[], None]] = []
        self._stopping: asyncio.Task[None] | None = None
        self._over = False  # to be ended, whether or not it has begun yet
        self._starting = asyncio.Lock()

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def waits(self) -> bool:
        """Whether it is still to be started on its host, after others."""
        return self._process is not None and self._process.waits

    @property
    def begun(self) -> Mapping[str, int]:
        """The task that each worker that ended with it began last, as far as its host has told."""
        return self._process.begun if self._process else {}

    async def start(self) -> None:
        """Start it; that it could not be started is told by `wait`, as any other end.

        What was to end before starts no process; what is to end meanwhile ends as soon as there is one.
        """
        async with self._starting:
            if not self._over:
                await self._start()

    async def _start(self) -> None:
        argv = [*self._options(), "--", *self._command]
        if self._host is None:
            try:
                process = await self._start_here(argv)
            except OSError as problem:
                self._reason = f"it could not be started: {problem.strerror or problem}"
                return
            self._process = _Local(process, lambda pid, code: self._start_guard(guard.burial(argv, pid, code)))
        else:
            self._process = self._host.start_process(
                argv, env=self._env, log=self.log, files=self._files, marks=self._marks, name=self._name
            )
        self._unwatch = [host.watch(self.give_up) for host in self._spans]

    def _options(self) -> list[str]:
        options = guard_options(self._grace, self._patience)
        if self._cores:
            options += ["--cores", ",".join(map(str, sorted(set(self._cores))))]
        if self._nice:
            options += ["--nice", str(self._nice)]
        for pattern in self._sweep:
            options += ["--sweep", pattern]
        return options

    async def _start_here(self, argv: Sequence[str]) -> Process:
        if few := limits.few_processes(self._processes):
            raise OSError(errno.EAGAIN, few)
        for path, text in self._files.items():
            write_private(path, text)
        return await self._start_guard(argv)

    async def _start_guard(self, argv: Sequence[str]) -> Process:
        env = {name: value for name, value in {**os.environ, **self._env}.items() if value is not None}
        guarded = [sys.executable, "-I", "-S", guard.__file__, *argv]
        started = await start_child(guarded, self.log, stdin=asyncio.subprocess.PIPE, env=env)
        _let_it_outlive(started)
        return started

    def give_up(self, reason: str) -> None:
        """Begin to end it, for a reason that `wait` will return."""
        self._reason, self._over = reason, True
        if self._stopping is None:
            self._stopping = asyncio.create_task(self.stop())

    async def wait(self) -> str:
        """Wait for its end and return how it ended, for people."""
        process = self._process
        if process is None:
            return self._reason or "it was never started"
        code = await process.wait()
        for forget in self._unwatch:
            forget()
        return self._reason or process.reason or of_guard(code)

    @property
    def cause(self) -> Cause:
        """What it ended of, once it has."""
        if self._process is None or self._reason or self._process.reason:
            return "host"
        return cause_of(self._process.returncode or 0)

    async def stop(self) -> None:
        """End it and everything below it; returns when all is gone. Idempotent."""
        self._over = True
        async with self._starting:
            process = self._process
        if process is None or process.returncode is not None:
            return
        await stopped(process, self._grace)

    async def sweep_spanned(self) -> None:
        """Remove the memory it left on all hosts it spanned, this one included, once it has ended."""
        if self._spans:
            await sweep_memory([None, *self._spans], self.log)

    def log_tail(self, limit: int = 1500) -> str:
        """Return the end of its log."""
        return log_tail(self.log, limit)


def guard_options(grace: float, patience: float = 0.0) -> list[str]:
    """Return the options of a guard whose lifeline is ours.

    Args:
        grace: Seconds between SIGTERM and SIGKILL.
        patience: Seconds to wait for another process that uses what is to be removed.
    """
    return ["--lifeline", "--grace", str(grace), "--patience", str(patience)]


def of_guard(code: int) -> str:
    """Return how a process ended, for people, by the exit code of its guard."""
    return f"its guard {how_ended(code)}" if code < 0 else f"it {how_ended(from_shell(code))}"


async def stopped(process: _Process, grace: float) -> None:
    """Have a guard end its process; returns when both are gone, or cannot be heard.

    Args:
        process: The guard.
        grace: As it was told.
    """
    process.release()
    try:
        async with asyncio.timeout(grace + 5):
            await process.wait()
    except TimeoutError:
        process.kill()
        with contextlib.suppress(TimeoutError):  # a host that answers no more is soon told to be lost
            async with asyncio.timeout(_KILL_WITHIN):
                await process.wait()


def _let_it_outlive(started: Process) -> None:
    """Keep asyncio from killing a guard whose owner ends: the guard is there to end what it guards.

    A transport that its closed loop leaves kills its process; up to Python 3.11.7 an error on the way prevented that.
    """
    child, loop = started._transport._proc, asyncio.get_running_loop()  # type: ignore[attr-defined]  # no public way
    kill = child.kill
    child.kill = lambda: None if loop.is_closed() else kill()


async def start_child(
    argv: Sequence[str], log: Path, stdin: int, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a process in a session of its own, with the job's limits; a log that has no room costs the log alone.

    Args:
        argv: Program and arguments.
        log: Takes its output, appended.
        stdin: As `asyncio.subprocess` takes it.
        env: Its variables; default ours.

    Raises:
        OSError: It could not be started.
    """
    limits.check_room()  # asyncio would lose sight of a process that it has no descriptor for
    with _opened(log) as out:
        return await asyncio.create_subprocess_exec(
            *limits.as_the_job(argv), stdin=stdin, stdout=out, stderr=out, start_new_session=True, env=env
        )


async def asked(argv: Sequence[str], within: float, errors: int = asyncio.subprocess.STDOUT) -> bytes | None:
    """Return what a program answers, None when it does not end in time: then it is killed, and what it started too.

    Args:
        argv: Program and arguments.
        within: Seconds.
        errors: Where its standard error goes.

    Raises:
        OSError: It could not be started.
    """
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=errors, start_new_session=True
    )
    try:
        async with asyncio.timeout(within):
            return (await process.communicate())[0]
    except TimeoutError:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process._transport.close()  # type: ignore[attr-defined]  # else what it started may hold its pipe, and us
        await process.wait()


def _opened(log: Path) -> BinaryIO:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")


async def sweep_memory(hosts: Iterable[Elsewhere | None], log: Path) -> None:
    """Remove engines' shared memory that nobody uses on some hosts: what made it was under no guard.

    Args:
        hosts: Where; None is this one.
        log: For what goes wrong.
    """
    sweepers = [Backend(["true"], log, host=host) for host in hosts]  # every guard does at its end
    await asyncio.gather(*(sweeper.start() for sweeper in sweepers))
    await asyncio.gather(*(sweeper.wait() for sweeper in sweepers))


def log_tail(log: Path, limit: int = 1500) -> str:
    """Return up to `limit` characters of the end of a log, whole lines; "" when there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text.partition("\n")[2].strip() if size > limit else text.strip()
