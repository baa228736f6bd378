"""Workers as plain processes: children of the pilot on its own host, guarded ones on the others."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.remote_process import RemoteProcess
from rhapsody_parsl.config import STARTUP_TIMEOUT
from rhapsody_parsl.hosts.background import spawn
from rhapsody_parsl.hosts.descendants import end_session
from rhapsody_parsl.hosts.ending import how_ended
from rhapsody_parsl.hosts.mark import mark_of
from rhapsody_parsl.hosts.pace import Pace
from rhapsody_parsl.hosts.process import guard_options, log_tail, of_guard, start_child, stopped
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.runtimes.workers.pool import WorkerPool, worker_lost
from rhapsody_parsl.wire.messages import FromBackend, Mode, Ready, Task

__all__ = ("LocalWorkers",)

_GRACE = 0.2


class LocalWorkers:
    """A worker pool that starts its own processes.

    Args:
        context: The block.
        owner: Name of the runtime they belong to; names socket, logs and workers.
        startup_timeout: Seconds until a worker that is not ready is killed.
    """

    def __init__(self, context: Context, owner: str, startup_timeout: float = STARTUP_TIMEOUT) -> None:
        self._context = context
        self._exchange = Exchange(context, f"{owner}-workers", self._receive)
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._pace = Pace()
        self._stopping, self._logs = False, str(context.logs)  # as text: a path is kept in parts, for ever
        self._on_end = self._remote_ended  # one for all
        self.pool = WorkerPool(
            context,
            self._exchange,
            spawn=self._spawn,
            abandon=self._abandon,
            prefix=f"{owner}-worker-",
            startup_timeout=startup_timeout,
        )

    def start(self) -> None:
        """Open the exchange; idempotent. Workers start with the first run that needs one."""
        self._exchange.start()

    def feed(self, run: Run, tasks: Sequence[Task], mode: Mode, env: dict[str, str]) -> None:
        """Give tasks to a run, in a worker on the first host of its lease; without a lease, on the pilot's."""
        host = run.placed[0].node.host if run.placed else self._context.own_host
        self.pool.feed(run, tasks, mode, host=host, env=env)

    async def stop(self) -> None:
        """End every worker with all it started; idempotent."""
        self._stopping = True
        self._pace.close()
        self.pool.quit()
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.gather(*(process.wait() for process in self._processes.values()))
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.kill()
        far = [process for host in self._context.hosts.values() for process in host.processes_of(self._on_end)]
        await asyncio.gather(*(stopped(process, _GRACE) for process in far))
        await asyncio.gather(*self._watches, return_exceptions=True)
        self._exchange.stop()

    def _receive(self, peer: str, message: FromBackend) -> None:
        if isinstance(message, Ready):
            self._pace.over(peer)
        self.pool.receive(peer, message)

    def _spawn(self, name: str, host: str) -> None:
        if remote := self._context.host(host):
            self._start_remote(name, remote)
        else:
            self._pace.start(name, lambda: self._watch(self._run_worker(name, host), name))

    def _watch(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = spawn(coroutine, f"watch {name}")
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)

    async def _run_worker(self, name: str, host: str) -> None:
        """Start one worker and report its end."""
        try:
            process = await start_child(self._command(name), self._log_of(name), asyncio.subprocess.DEVNULL)
        except OSError as problem:
            self._pace.over(name)
            self._ended(name, host, f"it could not be started: {problem}")
            return
        self._processes[name] = process
        if self._stopping:  # it came too late to be told
            process.kill()
        code = await process.wait()
        if code:
            end_session(process.pid)
        del self._processes[name]
        self._pace.over(name)
        self._ended(name, host, f"it {how_ended(code)}")

    def _start_remote(self, name: str, host: Host) -> None:
        """Start one worker on another host. There are too many of these for a task, or a guard of ours, over each."""
        self._exchange.expect(name, host)
        host.start_process(
            [*guard_options(_GRACE), "--", *self._command(name)],
            env={},
            log=f"{self._logs}/{name}.log",
            files={},
            marks=mark_of(str(self._context.folder), name),
            name=name,
            on_end=self._on_end,
        )

    def _remote_ended(self, process: RemoteProcess) -> None:
        """Report the end of a worker on another host."""
        name = process.name
        reason = process.reason or of_guard(process.returncode or 0)
        self._ended(name, self.pool.host_of(name), reason, process.begun.get(name))

    def _command(self, name: str) -> list[str]:
        return [self._context.python, "-m", "rhapsody_parsl.worker", self._exchange.endpoint, name]

    def _ended(self, name: str, host: str, reason: str, begun: int | None = None) -> None:
        if not self._stopping:
            self._exchange.drain()
        error = worker_lost(name, host, reason, "" if self._stopping else log_tail(self._log_of(name)))
        self.pool.worker_exited(name, error, begun)

    def _abandon(self, name: str) -> str | None:
        """Kill a worker; return the end of its log, None while its start waits for others."""
        remote = self._remote(name)
        if self._pace.waits(name) or (remote and remote.waits):
            return None
        if process := self._processes.get(name):
            with suppress(ProcessLookupError):
                process.kill()
        elif remote:
            self._watch(stopped(remote, _GRACE), name)
        return log_tail(self._log_of(name))

    def _remote(self, name: str) -> RemoteProcess | None:
        host = self._context.host(self.pool.host_of(name))
        return next((each for each in host.processes_of(self._on_end) if each.name == name), None) if host else None

    def _log_of(self, name: str) -> Path:
        return self._context.logs / f"{name}.log"
