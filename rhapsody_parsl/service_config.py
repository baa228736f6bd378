"""What the user configures of services, as checked values: what all of them have, models, and commands."""

import math
import re
import shlex
import signal
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import msgspec

from rhapsody_parsl import ready_word, service_table
from rhapsody_parsl.annotations.limits import MOST, check_gpus, check_range
from rhapsody_parsl.annotations.near import Near, as_near
from rhapsody_parsl.checked_settings import CheckedSettings
from rhapsody_parsl.engine_nodes import check_nodes
from rhapsody_parsl.errors import InvalidTask, ServiceFailed
from rhapsody_parsl.wording import nearest

__all__ = ("CommandService", "ServiceConfig", "VLLMService", "check_services", "stopped", "variable_of")

_MOST_MEMORY = 1e9
_LAST_PORT = 65_535
_LONGEST_STOP = 10.0
"""Seconds: the driver waits for twice as many until it has a block's job cancelled."""
_SIGNALS = tuple(one.name for one in signal.Signals)


class _Named(CheckedSettings, frozen=True):
    name: str


class ServiceConfig(_Named, frozen=True, kw_only=True):
    """What every kind of service is told; a kind's own class has the tag of its row in `service_table`.

    Attributes:
        name: Tasks find it by this name: letters, digits, `-` and `_`.
        gpus: GPUs per replica and node: whole, or a share below 1.
        cores: Cores per replica and node. With 0 it runs beside the tasks on their cores.
        replicas: How many copies run; with 0 none does until it is started.
        nodes: Nodes that one replica spans.
        memory: GB that each replica leases, and may hold, on each of its nodes; 0 is neither counted nor limited.
        labels: Labels that the nodes of its replicas must carry; each node also carries its own name.
        near: A label, or the `Ref` of a value, or several: nodes that carry it, or have most of the bytes, come first.
        placement: `pack`: a replica goes where the least is free; `spread`: where the fewest others of the service are.
        env: Variables for the service's process.
        startup_timeout: Seconds until a replica that is not ready counts as failed.
        restarts: How often within `restart_window` a replica that died is started again; 0 is never.
        restart_window: Seconds for which a replica's death counts.
    """

    takes_requests: ClassVar[bool] = False
    """Whether apps can ask it: `service="<name>"` in a specification."""

    gpus: float = 0.0
    cores: int = 1
    replicas: int | tuple[int, int] = 1
    nodes: int = 1
    memory: float = 0.0
    labels: tuple[str, ...] = ()
    near: Near = ""
    placement: Literal["pack", "spread"] = "pack"
    env: dict[str, str] = msgspec.field(default_factory=dict)
    startup_timeout: float = 60.0
    restarts: int = 3
    restart_window: float = 600.0

    def __post_init__(self) -> None:
        """Check."""
        msgspec.structs.force_setattr(self, "near", as_near(self.near))
        super().__post_init__()
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", self.name):
            raise InvalidTask(self.key_of("name"), self.name, "letters, digits, - and _ only, and 100 at most")
        self.check_counts(0, "gpus", "restarts")
        self._check_replicas()
        self.check_counts(1, "nodes")
        check_range(self.key_of("memory"), self.memory, 0, _MOST_MEMORY)
        self.check_timeouts("startup_timeout", "restart_window")
        check_gpus(self.key_of("gpus"), self.gpus)
        for name in self.env:
            if not name or "=" in name:
                raise InvalidTask(self.key_of("env"), name, "this is no variable's name")

    @property
    def least(self) -> int:
        """How many replicas there are at least."""
        return self.replicas if isinstance(self.replicas, int) else self.replicas[0]

    @property
    def most(self) -> int:
        """How many replicas there are at most."""
        return self.replicas if isinstance(self.replicas, int) else self.replicas[1]

    @property
    def scaling(self) -> tuple[int, float, float]:
        """Requests per replica, and the seconds of `idle_timeout` and `lend_after` of a model."""
        return 1, 0.0, 0.0

    @property
    def sleeps(self) -> float:
        """How many seconds a replica that is lent sleeps, before it is stopped; 0 where it is stopped at once."""
        return 0.0

    @property
    def awaited(self) -> str:
        """What a replica is waited for until it is ready, as people read it; "" where that is no choice of theirs."""
        return ""

    @property
    def window(self) -> int:
        """How many requests its replicas take at once; 0 where nobody can ask it."""
        return 0

    def _check_replicas(self) -> None:
        key = self.key_of("replicas")
        check_range(key, self.least, 0, MOST)
        check_range(key, self.most, 0, MOST)
        if self.least > self.most:
            raise InvalidTask(key, list(self.replicas), "the first is more than the second")  # type: ignore[arg-type]  # two
        if isinstance(self.replicas, tuple) and not self.takes_requests:
            remedy = f"Write a number, and change it by executor.services['{self.name}'].scale(...)"
            raise InvalidTask(key, list(self.replicas), "nobody sees how busy a command is", remedy)


# --- models ------------------------------------------------------------------------------------------------------


def _size(value: Any) -> int:
    """Return a parallel size as a number; what is none is for vLLM to refuse."""
    try:
        return max(1, int(value))
    except (TypeError, ValueError):
        return 1


class _Model(ServiceConfig, frozen=True):
    model: str


class VLLMService(_Model, frozen=True, kw_only=True, tag_field="type", tag="vllm"):
    """A model that every block serves for its whole life.

    Attributes:
        name: Tasks ask it by this name: letters, digits, `-` and `_`.
        model: A folder, or a model's name as vLLM takes it.
        gpus: GPUs per replica and node: whole, or a share below 1.
        cores: Cores per replica and node. With 0 it runs beside the tasks on their cores. -1, the default, is 1 on
            CPUs, 2 with a GPU or a share of one, and 2 more than the GPUs with several.
        replicas: Copies of the engine; a request goes to the one with the least to do. With two numbers, as many as the
            requests need, from the first to the second: `(0, 4)` starts the first with the first request.
        requests_per_replica: With two numbers: how many requests one is to have; with more, and room, another starts.
        idle_timeout: With two numbers: seconds in which fewer were enough until some leave.
        lend_after: With two numbers: seconds without a request after which a replica above the first number gives what
            it holds to tasks that wait for it; 0 is never. It comes back with the requests, before tasks that wait.
        sleep: Seconds for which a replica that lends its GPUs sleeps with its weights in the host's memory, before it
            is stopped; 0 stops it at once. It wakes in seconds. It is vLLM's sleep mode, which needs GPUs.
        nodes: Nodes that one replica's engine spans. The parallel size in `engine_args` must divide over them. It is
            `data_parallel_size` if that is more than 1, else `tensor_parallel_size` times `pipeline_parallel_size`.
        memory: GB that each replica leases, and may hold, on each of its nodes; 0 is neither counted nor limited.
        labels: Labels that the nodes of its replicas must carry; each node also carries its own name.
        near: A label, or the `Ref` of a value, or several: nodes that carry it, or have most of the bytes, come first.
        placement: `pack`: a replica goes where the least is free; `spread`: where the fewest others of the service are.
        engine_args: vLLM's engine arguments by name: `max_model_len`, `dtype`, `tensor_parallel_size`, ... Without any
            parallel size the engine uses all its GPUs: tensor parallel within a node, pipeline parallel over nodes;
            without GPUs it is tensor parallel over its nodes.
        adapters: LoRA adapters: folders by name, loaded with the engine; or a folder with one folder per adapter, each
            loaded with the first request for it. Requests name one with `model="<name>"`.
        env: Variables for the service's process.
        executable: Python interpreter of the service's own environment, or for `server="command"` the command.
        server: `hosted` holds vLLM's engine in our process; `command` supervises `vllm serve` or another
            OpenAI-compatible command; `{model}`, `{host}`, `{port}` and `{api_key}` in it are filled in.
        requests_in_flight: Requests that a replica has at once, of apps and of the front door together.
        requests_waiting: Requests that may wait at the front door while all replicas have that many.
        startup_timeout: Seconds until a replica that has not answered one real token counts as failed.
        stall_timeout: Seconds after which an engine with requests in flight counts as dead: without a step of a hosted
            engine, without a token or an answer of a command, without a sign of life of the process that holds it.
        restarts: How often within `restart_window` a replica that died is started again, if it answered nothing in
            between; 0 is never. Deaths that a request was found to have caused do not count. When they are used up,
            requests fail until the oldest of these deaths has left the window. Then the replica starts again.
        restart_window: Seconds for which a replica's death counts.
    """

    takes_requests: ClassVar[bool] = True

    cores: int = -1
    engine_args: dict[str, Any] = msgspec.field(default_factory=dict)
    adapters: dict[str, str] | str = msgspec.field(default_factory=dict)
    executable: str | tuple[str, ...] = ""
    server: Literal["hosted", "command"] = "hosted"
    requests_in_flight: int = 256
    requests_waiting: int = 10_000
    requests_per_replica: int = 32
    idle_timeout: float = 300.0
    lend_after: float = 5.0
    sleep: float = 0.0
    startup_timeout: float = 900.0
    stall_timeout: float = 600.0

    def __post_init__(self) -> None:
        """Check."""
        super().__post_init__()
        if not self.model:
            raise InvalidTask(self.key_of("model"), self.model, "a folder or a model's name is needed")
        self.check_counts(-1, "cores")
        self.check_counts(1, "requests_in_flight", "requests_waiting", "requests_per_replica")
        self.check_timeouts("stall_timeout", "idle_timeout", *(n for n in ("lend_after", "sleep") if getattr(self, n)))
        self._check_sleep()
        if self.cores == -1:
            cores = 2 + int(self.gpus) if self.gpus > 1 else 2 if self.gpus else 1
            msgspec.structs.force_setattr(self, "cores", cores)
        self._use_all_gpus()
        if self.nodes > 1:
            check_nodes(self)

    @property
    def scaling(self) -> tuple[int, float, float]:
        """Requests per replica, and the seconds of `idle_timeout` and `lend_after`."""
        return self.requests_per_replica, self.idle_timeout, self.lend_after

    @property
    def sleeps(self) -> float:
        """Seconds."""
        return self.sleep

    @property
    def window(self) -> int:
        """How many requests its replicas take at once."""
        return self.requests_in_flight * max(1, self.most)

    def parallel(self, *kinds: str) -> int:
        """Return the product of the engine's parallel sizes of these kinds: `tensor`, `pipeline`, `data`, ..."""
        return math.prod(_size(self.engine_args.get(f"{kind}_parallel_size", 1)) for kind in kinds)

    @property
    def data_parallel(self) -> bool:
        """Whether each node of a replica holds whole engines, instead of a part of the one engine."""
        return self.parallel("data") > 1

    def _use_all_gpus(self) -> None:
        """Divide an engine over its GPUs and nodes where the user has not: ranks that talk most stay within a node."""
        given = any(name.endswith("_parallel_size") for name in self.engine_args)
        if given or (self.server == "command" and self.executable):
            return
        within, over = (int(self.gpus), self.nodes) if self.gpus else (self.nodes, 1)  # vLLM has no pipeline over CPUs
        sizes = {"tensor_parallel_size": within, "pipeline_parallel_size": over}
        sizes = {name: size for name, size in sizes.items() if size > 1}
        if sizes:
            msgspec.structs.force_setattr(self, "engine_args", self.engine_args | sizes)

    def _check_sleep(self) -> None:
        if self.sleep and not self.gpus:
            raise InvalidTask(
                self.key_of("sleep"), self.sleep, "an engine without GPUs has none to lend", "Leave it out"
            )
        if self.sleep and self.server == "command" and not self.executable:
            why = "vllm serve sleeps for everyone who reaches its port: it asks for no key there"
            raise InvalidTask(self.key_of("sleep"), self.sleep, why, 'Use server="hosted"')


# --- commands ----------------------------------------------------------------------------------------------------


class _Command(ServiceConfig, frozen=True):
    command: str | tuple[str, ...]


class CommandService(_Command, frozen=True, kw_only=True, tag_field="type", tag="command"):
    """A server that every block runs for its whole life: any command with a port.

    `command` may contain `{host}` and `{port}`, where it must listen, `{name}`, `{hosts}`, its nodes' hosts with commas
    between them, and `{secret_file}`, a private file with a secret that is generated for the service. Values of `env`
    may also contain `{secret}`, the secret itself.

    Attributes:
        name: Tasks find it by this name: letters, digits, `-` and `_`.
        command: Program and arguments, as a shell divides them, or as a list.
        ready: When it is ready. `tcp`: it takes connections. `http:/path`: it answers there with a status below 400.
            `log:regex`: it has written that. A function: it returns something true when it is called with host and
            port, as often as needed, in the block; it travels as apps do, and must be importable or self-contained.
        port: Where it listens; 0 is a free port, another per replica.
        gpus: GPUs per replica: whole, or a share below 1.
        cores: Cores per replica. With 0 it runs beside the tasks on their cores.
        replicas: How many copies run; `rhapsody_parsl.service` finds the first that is ready.
        nodes: Nodes that one replica leases, of each the same. The command runs on the first. It starts and stops
            what it wants on `{hosts}`.
        memory: GB that each replica leases, and may hold; 0 is neither counted nor limited.
        labels: Labels that the nodes of its replicas must carry; each node also carries its own name.
        near: A label, or the `Ref` of a value, or several: nodes that carry it, or have most of the bytes, come first.
        placement: `pack`: a replica goes where the least is free; `spread`: where the fewest others of the service are.
        env: Variables for the command.
        startup_timeout: Seconds until a replica that is not ready counts as failed.
        restarts: How often within `restart_window` a replica that died is started again; 0 is never. When they are used
            up, it starts again when the oldest of these deaths has left the window.
        restart_window: Seconds for which a replica's death counts.
        health: Seconds between two looks whether a replica that was ready still is, in the way of `ready`; 0 is never.
        health_failures: How many looks in a row find it unwell until it is started again.
        stop_signal: Name of the signal that asks it to stop.
        stop_timeout: Seconds from the signal until it is killed.
    """

    ready: Any = "tcp"  # text; a function becomes text at once
    port: int = 0
    health: float = 0.0
    health_failures: int = 3
    stop_signal: str = "SIGTERM"
    stop_timeout: float = 5.0

    def __post_init__(self) -> None:
        """Check."""
        if ready_word.is_function(self.ready):
            msgspec.structs.force_setattr(self, "ready", ready_word.of_function(self.ready, self.key_of("ready")))
        super().__post_init__()
        self.check_counts(0, "cores")
        self._check_command()
        ready_word.checked(self.ready, self.key_of("ready"))
        self._check_health()
        check_range(self.key_of("port"), self.port, 0, _LAST_PORT)
        if self.port and self.most > 1:
            raise InvalidTask(
                self.key_of("port"),
                self.port,
                f"{self.replicas} replicas may stand on one node, where one can have it",
                "Leave port out: each gets a free one",
            )
        if self.stop_signal not in _SIGNALS:
            hint = nearest(self.stop_signal, _SIGNALS)
            raise InvalidTask(self.key_of("stop_signal"), self.stop_signal, "a signal's name is needed", hint)
        check_range(self.key_of("stop_timeout"), self.stop_timeout, 0, _LONGEST_STOP)

    @property
    def awaited(self) -> str:
        """See `ServiceConfig`."""
        return f"ready={ready_word.shown(self.ready)}"

    @property
    def argv(self) -> list[str]:
        """Program and arguments, with nothing filled in yet."""
        return shlex.split(self.command) if isinstance(self.command, str) else list(self.command)

    def _check_health(self) -> None:
        self.check_counts(1, "health_failures")
        if not self.health:
            return
        self.check_timeouts("health")
        if self.ready.startswith("log:"):
            why = "what a command wrote when it started does not tell how it is later"
            raise InvalidTask(self.key_of("health"), self.health, why, 'Use ready="http:/path", "tcp" or a function')

    def _check_command(self) -> None:
        key = self.key_of("command")
        try:
            words = self.argv
        except ValueError as problem:
            raise InvalidTask(key, self.command, f"a shell could not divide it: {problem}") from None
        if not words or not words[0]:
            raise InvalidTask(key, self.command, "a program is needed", 'Write "redis-server --port {port}"')
        if any("{secret}" in word for word in words):
            raise InvalidTask(
                key,
                self.command,
                "everyone on a node can read command lines, so {secret} is not filled in here",
                'Write env={"PASSWORD": "{secret}"}, or {secret_file} in the command',
            )


# --- several -----------------------------------------------------------------------------------------------------


def check_services(given: Any, owner: str) -> tuple[ServiceConfig, ...]:
    """Return services as a tuple.

    Args:
        given: The user's.
        owner: What errors call them.

    Raises:
        InvalidTask: It is no list of services, or two of them have one name.
    """
    several = type(given) is list or type(given) is tuple
    if not several or not all(service_table.knows(type(item)) for item in given):
        kinds = " and ".join(f"{name}(...)" for name in service_table.class_names())
        raise InvalidTask(owner, given, f"a list of {kinds} is needed")
    services: Sequence[ServiceConfig] = given
    names = [service.name for service in services]
    if len(set(names)) != len(names):
        raise InvalidTask(owner, names, "two services have one name")
    if len({variable_of(name) for name in names}) != len(names):
        raise InvalidTask(owner, names, "two services would have one variable for their address", "Change a name")
    return tuple(services)


def variable_of(name: str) -> str:
    """Return how the variables of a service begin: `RHAPSODY_SERVICE_MY_CACHE` for `my-cache`."""
    return f"RHAPSODY_SERVICE_{name.replace('-', '_').upper()}"


def stopped(name: str) -> ServiceFailed:
    """Return the error of a service that was stopped, and answers nothing."""
    return ServiceFailed(name, f"it was stopped; executor.services['{name}'].start() starts it again")
