"""One replica of a service: its process, from checks to the last restart, and the requests it holds."""

import asyncio
import contextlib
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from rhapsody_parsl.errors import RhapsodyError, ServiceFailed, from_wire
from rhapsody_parsl.runtimes.exchange import Exchange
from rhapsody_parsl.runtimes.pool import gpu_environment
from rhapsody_parsl.runtimes.process import Backend
from rhapsody_parsl.runtimes.protocol import Context, Placed, Run
from rhapsody_parsl.runtimes.vllm import checks
from rhapsody_parsl.runtimes.vllm.request import Request
from rhapsody_parsl.runtimes.vllm.settings import Settings
from rhapsody_parsl.spec.config import VLLMService
from rhapsody_parsl.spec.task_spec import TaskSpec
from rhapsody_parsl.wire.messages import Abort, Ask, Failed, Ready

__all__ = ("Owner", "Replica", "process_environment", "root_cause", "thread_groups")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_KEEP_ALIVE = "3600"
_LOG_TAIL, _LAST_WORDS = 32_000, 1500
_COMPLAINT = re.compile(r"^(?:\(\w+ pid=\d+\) ERROR .*?\] )?((?:\w+\.)*\w*(?:Error|Exception): .+)$", re.MULTILINE)


class Owner(Protocol):
    """Who a replica reports to."""

    def changed(self) -> None:
        """A replica's state changed."""

    def returned(self, requests: list[Request], reason: RhapsodyError) -> None:
        """A replica died under these."""


class Replica:
    """A process that answers requests.

    Args:
        service: What it serves.
        index: Which of the service's replicas.
        placed: Its lease, () when it takes none.
        context: The block.
        api_key: For its HTTP API.
        owner: Hears what happens.
    """

    def __init__(
        self, service: VLLMService, index: int, placed: tuple[Placed, ...], context: Context, api_key: str, owner: Owner
    ) -> None:
        self.service, self.name, self.placed = service, f"{service.name}-{index}", placed
        self._context, self._api_key, self._owner = context, api_key, owner
        self._hub: Exchange | None = None
        self._process: Backend | None = None
        self._ready: asyncio.Future[None] | None = None
        self._problem: RhapsodyError | None = None
        self._port = 0
        self._starts = 0
        self.state, self.detail, self.since = "starting", "", time.time()
        self.url = self.model = ""
        self.error: RhapsodyError | None = None
        self.inflight: dict[int, Request] = {}

    @property
    def peer(self) -> str:
        """Name of the process on the hub, another one with every start."""
        return f"{self.name}/{self._starts}"

    @property
    def _host(self) -> str:
        return self.placed[0].node.host if self.placed else self._context.own_host

    def give_up(self, error: RhapsodyError) -> None:
        """Fail for good."""
        self.error = error
        self._set("failed", str(error))

    async def live(self, hub: Exchange) -> None:
        """Be there until stopped, or failed for good."""
        self._hub = hub
        try:
            python = checks.interpreter(self.service, self._context.python)
            await checks.check(self.service, self._context.python)
            await self._serve(python)
        except RhapsodyError as error:
            self.give_up(error)

    async def stop(self) -> None:
        """End the process and all below it, once `live` was cancelled; idempotent."""
        if self._process:
            await self._process.stop()
        if self.state != "failed":
            self._set("stopped", "")

    # --- requests ------------------------------------------------------------------------------------------------

    def ask(self, request: Request) -> None:
        """Put a request to the engine."""
        request.asks += 1
        request.replica = self.name
        self.inflight[request.task] = request
        if self._hub:
            self._hub.send(self.peer, Ask(request.task, request.body, request.full))

    def abort(self, task: int) -> None:
        """The answer is not wanted any more."""
        if self.inflight.pop(task, None) is not None and self._hub:
            self._hub.send(self.peer, Abort([task]))

    def answered(self, tasks: Iterable[int]) -> None:
        """The engine is done with these."""
        for task in tasks:
            self.inflight.pop(task, None)

    # --- the process ---------------------------------------------------------------------------------------------

    def hear(self, message: Ready | Failed) -> None:
        """The process is up, or says why it leaves."""
        if isinstance(message, Failed):
            self._problem = from_wire(message.error, message.facts)
            return
        self.url, self.model = message.facts["url"], message.facts["model"]
        self._port = message.facts["port"]
        if self._ready and not self._ready.done():
            self._ready.set_result(None)

    async def _serve(self, python: str) -> None:
        """Start the process, and again when it dies, as often as the service allows; it must come up the first time."""
        pause, restarts = _FIRST_PAUSE, 0
        while True:
            reason, was_ready = await self._run_once(python)
            if (not was_ready and not restarts) or restarts >= self.service.restarts:
                raise self._failure(reason, restarts)
            restarts += 1
            why = self._failure(reason).args[1]
            self._set("starting", f"restart {restarts} of {self.service.restarts}: {why}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run_once(self, python: str) -> tuple[str, bool]:
        """Run the process to its end; return why it ended, and whether it had been ready."""
        if host := self._context.host(self._host):
            await host.wait_up()
        self._starts += 1
        self._problem = None
        self._ready = asyncio.get_running_loop().create_future()
        folder = self._context.folder / f"{self.name}.{self._starts}"
        self._process = process = self._backend(python, folder)
        await process.start()
        ended = asyncio.ensure_future(process.wait())
        try:
            waiting: set[asyncio.Future[Any]] = {ended, self._ready}
            await asyncio.wait(waiting, timeout=self.service.startup_timeout, return_when="FIRST_COMPLETED")
            if not ended.done() and not self._ready.done():
                await process.stop()
                return f"no answer within startup_timeout={self.service.startup_timeout:g} s", False
            was_ready = self._ready.done()
            if was_ready:
                self._set("ready", "")
            reason = await ended
            self._after_the_end(reason)
            return reason, was_ready
        finally:
            ended.cancel()

    def _after_the_end(self, reason: str) -> None:
        """Take what it said before it died; the rest is to be asked again."""
        if self._hub:
            self._hub.drain()
        requests, self.inflight = list(self.inflight.values()), {}
        self._set("starting", reason)
        self._owner.returned(requests, self._failure(reason))

    def _failure(self, reason: str, restarts: int = 0) -> ServiceFailed:
        """Return the failure: what the process itself said of it, or else its log's last words."""
        process = self._process
        words = process.last_words(_LOG_TAIL) if process else ""
        if isinstance(self._problem, ServiceFailed):
            reason, words = self._problem.args[1], root_cause(words) if "root cause" in self._problem.args[1] else ""
        if restarts:
            reason = f"{reason}; it had been restarted {restarts} times"
        if process:
            reason = f"{reason} (the whole log is {process.log})"
        return ServiceFailed(self.service.name, reason, root_cause(words) or words[-_LAST_WORDS:])

    def _backend(self, python: str, folder: Path) -> Backend:
        module = "backend" if self.service.server == "hosted" else "command"
        path = str(folder / "settings.json")
        cores = self.placed[0].real_cores if self.placed else ()
        return Backend(
            [python, "-m", f"rhapsody_parsl.runtimes.vllm.{module}", path],
            self._context.logs / f"{self.name}.log",
            env=process_environment(self.service, self.placed, self._context, folder, self._api_key),
            cores=cores,
            sweep=(str(folder),),
            host=self._context.host(self._host),
            files={path: self._settings().text()},
        )

    def _settings(self) -> Settings:
        alone = not self._context.hosts
        endpoint, *keys = self._hub.words([self._host]) if self._hub else [""]
        return Settings(
            endpoint=endpoint,
            keys=keys[0] if keys else "",
            peer=self.peer,
            service=self.service,
            model=checks.resolve_model(self.service),
            host="127.0.0.1" if alone else "0.0.0.0",  # noqa: S104 - other nodes' tasks use it, and need the key
            public_host="127.0.0.1" if alone else self._host,
            port=self._port,
            api_key=self._api_key,
        )

    def _set(self, state: str, detail: str) -> None:
        if state != self.state:
            self.since = time.time()
        self.state, self.detail = state, detail
        self._owner.changed()


def process_environment(
    service: VLLMService, placed: tuple[Placed, ...], context: Context, folder: Path, api_key: str
) -> Mapping[str, str | None]:
    """Return the variables of a replica's process.

    Args:
        service: The service; its own variables win.
        placed: The replica's lease, () when it takes none.
        context: The block.
        folder: For temporary files and sockets.
        api_key: For its HTTP API.
    """
    node = placed[0].node if placed else context.nodes[context.head]
    cores = placed[0].real_cores if placed and placed[0].share.cores else node.real(node.cores)
    env: dict[str, str | None] = {
        "VLLM_PLUGINS": "",  # Dragon registers some that break it
        "VLLM_RPC_BASE_PATH": str(folder),
        "TMPDIR": str(folder),
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": _KEEP_ALIVE,
        "VLLM_API_KEY": api_key,
    }
    if service.gpus:
        run = Run(0, TaskSpec(), placed)
        env |= gpu_environment(run)
    else:
        groups = thread_groups(service, cores)
        threads = groups.partition("|")[0].count(",") + 1
        env |= {"VLLM_CPU_OMP_THREADS_BIND": groups, "OMP_NUM_THREADS": str(threads)}
        if node.gpus:
            env |= dict.fromkeys(("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"), "")
    return env | service.env


def thread_groups(service: VLLMService, cores: tuple[int, ...]) -> str:
    """Return the cores of each of the engine's workers as vLLM writes them: `0,1|2,3`; all share them when too few."""
    workers = 1
    for key in ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"):
        with contextlib.suppress(TypeError, ValueError):
            workers *= max(1, int(service.engine_args.get(key, 1)))
    each = len(cores) // workers
    groups = [cores[i * each : (i + 1) * each] for i in range(workers)] if each else [cores] * workers
    return "|".join(",".join(map(str, group)) for group in groups)


def root_cause(log: str) -> str:
    """Return the last exception that a log shows and that tells more than where to look for another, or ""."""
    found = [text for text in _COMPLAINT.findall(log) if "root cause" not in text]
    return str(found[-1]) if found else ""
