"""One Dragon runtime as the pilot sees it: started on need, watched, started again after its loss."""

import asyncio
import glob
import hashlib
import importlib.util
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.config import DragonRuntime
from rhapsody_parsl.errors import BackendFailed, MissingPackage, RhapsodyError, RuntimeLost, RuntimeUnavailable
from rhapsody_parsl.hosts import descriptors, guarded_ssh, limits
from rhapsody_parsl.hosts.mark import mark_of
from rhapsody_parsl.hosts.process import Backend
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.pythons import DRAGON_REMEDY, dragon_misfit
from rhapsody_parsl.runtimes.dragon import quick_config
from rhapsody_parsl.runtimes.protocol import Context
from rhapsody_parsl.wire.messages import Kill, Quit, Spawn

__all__ = ("WORKERS", "Partition", "find_dragon", "identity", "mode")

WORKERS = "dragon-worker-"
"""What the names of all workers begin with."""

_BACKEND = Path(__file__).with_name("backend.py")
_LEAVE_TIMEOUT, _LEAVE_NODES_TIMEOUT = 2.5, 10.0
"""Seconds for Dragon's own teardown: about 1 on one node, 4 to 6 over three."""
_PATCHES = str(Path(__file__).with_name("patches"))
_SALT = "DRAGON_NET_CONF_CACHE_SALT"
"""Dragon puts it at the end of the name of a file for a while that it makes on each of several nodes, and leaves."""
_PORT_OPTIONS = ("--port", "--overlay-port", "--frontend-port")
_PORTS = range(12_000, 30_000)
"""Below those that a system gives to whoever asks for any."""
_GRACE = 1.5
"""Seconds between SIGTERM and SIGKILL."""
_PROCESSES = 20
"""Of Dragon's own on one node, with their threads: 16 were counted."""
_POOL, _SMALLEST_POOL = "DRAGON_DEFAULT_SEG_SZ", 1 << 28
"""Bytes that Dragon keeps in shared memory for programs that use it; where 4 GB and more have no room it would hang."""
_POOL_AND_MORE = 5 << 30
_CONTAINER, _SHORT_ID = "CONTAINER_ID", re.compile("[0-9a-fA-F]{1,15}")
"""Dragon takes a host name of hexadecimal digits for the number of a container, and fails at fewer than 16 of them."""
_STARTS = 2
"""A start over several nodes is long, has many parts, and tasks wait for it."""
_DYING = 5.0
"""Seconds that what was killed on other nodes may take to be gone."""


def find_dragon(config: DragonRuntime, python: str) -> str:
    """Return the `dragon` command.

    Raises:
        RuntimeUnavailable: The block's Python is none of Dragon's.
        MissingPackage: Dragon is not installed where the block's Python is.
    """
    if why := dragon_misfit():
        raise RuntimeUnavailable("dragon", f"{why} ({python}). {DRAGON_REMEDY}.")
    beside = Path(python).with_name("dragon")
    command = config.executable or (str(beside) if beside.exists() else shutil.which("dragon"))
    missing = [name for name in ("dragon", "flask", "gunicorn") if importlib.util.find_spec(name) is None]
    if not command or missing:
        names = {"dragon": "dragonhpc"}
        raise MissingPackage(" and ".join(names.get(name, name) for name in missing) or "dragon", "dragon", python)
    return command


def mode(
    hosts: Sequence[str], options: Sequence[str], node_launcher: str, *, everywhere: bool, ports: Sequence[int]
) -> list[str]:
    """Return the arguments that say where the runtime runs.

    Args:
        hosts: There.
        options: The user's, which win.
        node_launcher: How the block's other hosts are reached.
        everywhere: Whether these are all of the block: Dragon takes a batch job as a whole, or a list over ssh.
        ports: For several hosts, three that the runtime listens on: the same on each of them.
    """
    if len(hosts) == 1:
        return ["-s"]
    wlm = {"srun": "slurm", "pals": "pbs+pals"}.get(node_launcher, "ssh") if everywhere else "ssh"
    argv = [] if "-t" in options else ["-t", "tcp"]
    for option, port in zip(_PORT_OPTIONS, ports, strict=True):
        argv += [option, str(port)]  # the last of an option counts, and that is the user's
    return [*argv, "--wlm", wlm, *(["--hostlist", ",".join(hosts)] if wlm == "ssh" else [])]


def some_ports() -> list[int]:
    """Return ports for one runtime over several hosts.

    Dragon's own are the same for all runtimes, and two on one host would meet. What is free on all hosts nobody can
    tell; a start that meets a taken port is made once more, with others.
    """
    return random.sample(_PORTS, len(_PORT_OPTIONS))


def _pool() -> dict[str, str]:
    """Return the variable for a smaller pool where Dragon's own size has no room, {} elsewhere."""
    with suppress(OSError):  # there is no shared memory at all: Dragon says so itself
        if _POOL not in os.environ and (free := limits.free_memory()) < _POOL_AND_MORE:
            return {_POOL: str(max(_SMALLEST_POOL, 1 << (free // 4 | 1).bit_length() - 1))}
    return {}


def identity(hosts: Sequence[str]) -> dict[str, str]:
    """Return the variable from which Dragon gets the number of a host whose name it would fail at, {} elsewhere.

    Containers have such names: twelve digits. For several hosts there is no such variable, as all would get one number.

    Args:
        hosts: Those of the runtime.
    """
    if len(hosts) > 1 or _CONTAINER in os.environ or not _SHORT_ID.fullmatch(hosts[0]):
        return {}
    return {_CONTAINER: hashlib.sha256(hosts[0].encode()).hexdigest()}


class Partition:
    """The Dragon runtime over some hosts.

    Args:
        name: Of its head on the exchange.
        hosts: Where it runs.
        config: The user's.
        context: The block.
        exchange: Speaks to its head.
        workers: Where its workers speak.
        ended: Told when it is lost, why, and which task each worker on its first host began last.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        name: str,
        hosts: tuple[str, ...],
        *,
        config: DragonRuntime,
        context: Context,
        exchange: Exchange,
        workers: Exchange,
        ended: Callable[["Partition", RhapsodyError, Mapping[str, int]], None],
    ) -> None:
        self.name, self.hosts = name, hosts
        self._config, self._context, self._exchange, self._ended = config, context, exchange, ended
        self._workers = workers
        self._backend: Backend | None = None
        self._up: asyncio.Event = asyncio.Event()
        self._orders: list[Spawn] = []
        self._watch: asyncio.Task[RhapsodyError] | None = None
        self._sweepers: list[Backend] = []
        self._launches = 0

    @property
    def hosts_are_up(self) -> bool:
        """Whether all its hosts can be used."""
        return all(host is None or host.up for host in self._spanned())

    def head_is_up(self) -> None:
        """The head said it is ready: what was ordered meanwhile goes out."""
        self._up.set()
        orders, self._orders = self._orders, []
        for order in orders:
            self.spawn(order)

    def spawn(self, order: Spawn) -> None:
        """Have a worker started; a runtime that is not up is started first."""
        if self._up.is_set():
            self._exchange.send(self.name, order)
            return
        self._orders.append(order)
        self._wake()

    def kill(self, worker: str) -> bool:
        """Have a worker killed; False when the runtime is not up, and has not started it."""
        if not self._up.is_set():
            return False
        self._exchange.send(self.name, Kill(worker))
        return True

    async def start(self) -> None:
        """Start it and wait until its head is ready.

        Raises:
            MissingPackage: Dragon is not installed in the block's environment.
            BackendFailed: It ended, or took too long, also when it was started once more.
        """
        life, ready = self._wake(), asyncio.create_task(self._up.wait())
        await asyncio.wait({ready, life}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not ready.done():
            raise life.result()

    def _wake(self) -> asyncio.Task[RhapsodyError]:
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._live(), name=f"watch {self.name}")
        return self._watch

    async def stop(self) -> None:
        """Ask the head to leave, then end everything; idempotent."""
        backend, watch = self._backend, self._watch
        self._backend = self._watch = None
        if watch:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        if backend is None:
            return
        if self._up.is_set():
            self._exchange.send(self.name, Quit())
            timeout = _LEAVE_TIMEOUT if len(self.hosts) == 1 else _LEAVE_NODES_TIMEOUT
            with suppress(TimeoutError):  # Dragon's teardown can hang; the guard ends it
                async with asyncio.timeout(timeout):
                    await backend.wait()
        self._up.clear()
        await backend.stop()
        await self._sweep()

    async def _live(self) -> RhapsodyError:
        """Be there until the end; return what that means."""
        try:
            error, begun = await self._launched()
        except Exception as problem:  # noqa: BLE001 - whatever it is, those who wait for workers are to hear of it
            why = f"it could not be started: {problem!r}"
            error = problem if isinstance(problem, RhapsodyError) else BackendFailed("The Dragon runtime", why, "")
            begun, self._orders = {}, []  # their workers end with it
            if self._backend:
                self._backend.give_up(why)
        self._backend = self._watch = None
        self._up.clear()
        orders, self._orders = self._orders, []
        self._ended(self, error, begun)
        for order in orders:  # ordered after its end was certain and before it was known
            self.spawn(order)
        return error

    async def _launched(self) -> tuple[RhapsodyError, Mapping[str, int]]:
        """Start the launcher, once more if it does not come up, and wait for its end.

        Returns:
            What that means, and the task that each worker began last.
        """
        starts = 0
        while True:
            starts += 1
            backend = await self._launch()
            reason = await backend.wait()
            await self._sweep()
            if self._up.is_set() or starts == _STARTS or not self.hosts_are_up:
                break
            detail = f"{self.name} did not come up ({reason}) and is started once more"
            self._context.events.state("dragon", "starting", detail)
        error: RhapsodyError = RuntimeLost("dragon", reason, backend.log_tail())
        if not self._up.is_set():
            why = reason if starts == 1 else f"{reason}, {starts} times"
            error = BackendFailed("The Dragon runtime", why, backend.log_tail())
        return error, backend.begun

    async def _launch(self) -> Backend:
        """Start the launcher; it is ended when it is not up in time."""
        launcher = find_dragon(self._config, self._context.python)
        options = self._config.options
        everywhere = set(self.hosts) == {node.host for node in self._context.nodes.values()}
        command = [
            *limits.with_more(self._files(), []),
            launcher,
            *mode(self.hosts, options, self._context.node_launcher, everywhere=everywhere, ports=some_ports()),
            *options,
            str(_BACKEND),
            self.name,
            str(self._context.logs),
            str(limits.of_the_job()),
            self._exchange.endpoint,
            self._workers.endpoint,
        ]
        quick = self._quick_config(launcher)
        stand_ins = quick | (self._guarded_ssh() if "ssh" in command else {})
        python = Path(self._context.python)
        path = [*map(os.path.dirname, stand_ins), str(python.parent), os.environ.get("PATH", "")]
        env = {"PATH": os.pathsep.join(path), **_pool(), **identity(self.hosts)}  # workers have the block's PATH again
        self._launches += 1
        if len(self.hosts) > 1:
            env[_SALT] = self._salt
            env["PYTHONPATH"] = os.pathsep.join(filter(None, [_PATCHES, os.environ.get("PYTHONPATH", "")]))
        first, *others = self._spanned()
        backend = self._backend = Backend(
            command,
            self._context.logs / f"{self.name}.log",
            env=env,
            grace=_GRACE,
            host=first,
            files=stand_ins,
            spans=[host for host in others if host],
            processes=_PROCESSES,
            marks=mark_of(str(self._context.folder), f"{WORKERS}*"),
        )
        await self._post_sweepers(quick)
        await backend.start()
        asyncio.get_running_loop().call_later(self._config.startup_timeout, self._expect, backend)
        return backend

    def _expect(self, backend: Backend) -> None:
        """It is to be up by now."""
        if backend is self._backend and not self._up.is_set():
            backend.give_up(f"it was not up after {self._config.startup_timeout:g} s")

    def _files(self) -> int:
        """Return how many files Dragon has open on each of its hosts, at most."""
        cores = [
            sum(len(node.cores) for node in self._context.nodes.values() if node.host == host) for host in self.hosts
        ]
        return descriptors.of_dragon(max(cores))

    def _spanned(self) -> list[Host | None]:
        """Return where it runs; None is this host."""
        return [self._context.host(name) for name in self.hosts]

    def _guarded_ssh(self) -> dict[str, str]:
        """Return the `ssh` for Dragon's launcher, by its path: what that starts on other hosts is to end with us."""
        folder = self._context.folder / "bin"
        options = ["--grace", str(_GRACE)]
        return {str(folder / "ssh"): guarded_ssh.script(self._context.python, str(folder), options)}

    def _quick_config(self, launcher: str) -> dict[str, str]:
        """Return the `dragon-config` for Dragon's processes, by its path; none for a Dragon of another environment."""
        package = importlib.util.find_spec("dragon")
        real = Path(launcher).with_name("dragon-config")  # Debian has the commands elsewhere than Python
        if self._config.executable or not real.exists() or package is None or not package.submodule_search_locations:
            return {}
        text = quick_config.script(self._context.python, package.submodule_search_locations[0], str(real))
        return {str(self._context.folder / "quick" / real.name): text}

    @property
    def _salt(self) -> str:
        return f"{self._context.folder.name}-{self.name}-{self._launches}"

    async def _post_sweepers(self, quick: Mapping[str, str]) -> None:
        """Have a guard on each of several nodes that sweeps at its end, for Dragon's own parts there have none of ours.

        It ends with us too, however we end. It brings the `dragon-config`: Dragon's parts have the launcher's PATH.
        """
        if len(self.hosts) > 1:
            log = self._context.logs / f"{self.name}.log"
            places = {str(self._context.folder.parent), "/tmp"}  # noqa: S108 - where an ssh has no TMPDIR
            left = [os.path.join(glob.escape(place), f"dragon-*-{self._salt}") for place in sorted(places)]
            self._sweepers = [
                Backend(["sleep", "infinity"], log, sweep=left, patience=_DYING, host=host, files=quick)
                for host in self._spanned()
            ]
            await asyncio.gather(*(sweeper.start() for sweeper in self._sweepers))

    async def _sweep(self) -> None:
        """Remove what a runtime over several nodes left on each of them, unless somebody has it mapped."""
        sweepers, self._sweepers = self._sweepers, []
        await asyncio.gather(*(sweeper.stop() for sweeper in sweepers))
