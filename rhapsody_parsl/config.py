"""What the user configures of a block, as checked values: runtimes, services, and what the pilot reads at its start."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from rhapsody_parsl.annotations.limits import check_gpus, check_range
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.pythons import DRAGON_REMEDY, dragon_misfit
from rhapsody_parsl.runtime_config import RuntimeConfig, Settings
from rhapsody_parsl.runtime_table import Takes, load

__all__ = (
    "BlockConfig",
    "DragonRuntime",
    "LocalRuntime",
    "MPIRuntime",
    "RuntimeConfig",
    "VLLMRuntime",
    "VLLMService",
    "read_config",
    "write_config",
)


STARTUP_TIMEOUT = 120.0
"""Seconds until what does not get ready is ended, unless the user says other."""
_MOST_MEMORY = 1e9


class LocalRuntime(RuntimeConfig, frozen=True, kw_only=True):
    """Plain processes.

    Attributes:
        startup_timeout: Seconds until a worker that is not ready is ended, and its tasks fail.
    """

    name: ClassVar[str] = "local"
    takes: ClassVar[Takes] = Takes(single=True)
    implementation: ClassVar[str] = "rhapsody_parsl.runtimes.local.runtime:Local"
    startup_timeout: float = STARTUP_TIMEOUT

    def __post_init__(self) -> None:
        """Check."""
        super().__post_init__()
        self._timeouts("startup_timeout")


class DragonRuntime(RuntimeConfig, frozen=True, kw_only=True):
    """Python and bash tasks in resident processes that Dragon starts, places and watches.

    Attributes:
        nodes_per_partition: Nodes under one Dragon runtime. 1 loses only itself with a node; 0 spans the block, for
            work that needs Dragon's cross-node channels or DDict.
        executable: The `dragon` command; found beside the block's Python or on PATH when empty.
        options: Further arguments for its command line.
        startup_timeout: Seconds until a runtime that is not up is ended, and started once more; and until a worker in
            it that is not ready is ended, and its tasks fail.
    """

    name: ClassVar[str] = "dragon"
    takes: ClassVar[Takes] = Takes(single=True)
    implementation: ClassVar[str] = "rhapsody_parsl.runtimes.dragon.runtime:Dragon"
    nodes_per_partition: int = 1
    executable: str = ""
    options: tuple[str, ...] = ()
    startup_timeout: float = STARTUP_TIMEOUT

    def __post_init__(self) -> None:
        """Check."""
        super().__post_init__()
        self._counts(0, "nodes_per_partition")
        self._timeouts("startup_timeout")

    def misfit(self) -> tuple[str, str]:
        """Return why Dragon does not run on this Python, and what to do about that."""
        why = dragon_misfit()
        return (why, DRAGON_REMEDY) if why else ("", "")


class MPIRuntime(RuntimeConfig, frozen=True, kw_only=True):
    """Executables launched over ranks, and functions on the ranks of a standing world.

    Attributes:
        launcher: `hydra` (MPICH, Intel MPI, MVAPICH `mpiexec`), `openmpi` (`mpirun`), `srun`, `pals` (HPE's `mpiexec`),
            `flux` (`flux run`), `aprun`, `mpiexec` (any: those above are known by their arguments, others get
            MPIExecutor's), or `auto`.
        executable: The launcher's program; found beside the block's Python or on PATH when empty.
        world_ranks: Ranks of the standing world; 0 is one for each core of the block.
        options: Further arguments for every launch.
        startup_timeout: Seconds until a world that is not up, or a worker that is not ready, counts as failed.
    """

    name: ClassVar[str] = "mpi"
    takes: ClassVar[Takes] = Takes(ranks=True, comm=True)
    implementation: ClassVar[str] = "rhapsody_parsl.runtimes.mpi.runtime:MPI"
    launcher: Literal["auto", "hydra", "openmpi", "srun", "pals", "flux", "mpiexec", "aprun"] = "auto"
    executable: str = ""
    world_ranks: int = 0
    options: tuple[str, ...] = ()
    startup_timeout: float = STARTUP_TIMEOUT

    def __post_init__(self) -> None:
        """Check."""
        super().__post_init__()
        self._counts(0, "world_ranks")
        self._timeouts("startup_timeout")


_SET_BY_NODES = (
    "nnodes", "node_rank", "master_addr", "master_port", "headless", "data_parallel_address", "data_parallel_rpc_port",
    "data_parallel_size_local", "data_parallel_start_rank", "data_parallel_rank", "data_parallel_external_lb",
    "data_parallel_hybrid_lb",
)  # fmt: skip
"""Engine arguments that say which node of several a process is: ours to say."""


def _size(value: Any) -> int:
    """Return a parallel size as a number; what is none is for vLLM to refuse."""
    try:
        return max(1, int(value))
    except (TypeError, ValueError):
        return 1


class _ServiceFields(Settings, frozen=True):
    name: str
    model: str


class VLLMService(_ServiceFields, frozen=True):
    """A model that every block serves for its whole life.

    Attributes:
        name: Tasks ask it by this name: letters, digits, `-` and `_`.
        model: A folder, or a model's name as vLLM takes it.
        gpus: GPUs of each replica, on each of its nodes: whole, or a share below 1.
        cores: Cores of each replica, on each of its nodes; 0 is uncounted: it runs beside the tasks on their cores. -1,
            the default, is 1 on CPUs, 2 with a GPU or a share of one, and 2 more than the GPUs with several: vLLM's
            front end, its engine and each further process keep a core busy.
        replicas: Copies of the engine; requests go to the one with the least to do.
        nodes: Nodes that one replica's engine spans. Its parallel size in `engine_args` must divide over them: that is
            `data_parallel_size` where it is more than 1, else `tensor_parallel_size` times `pipeline_parallel_size`.
        memory: GB each replica leases on each of its nodes, and may hold there; 0 is unaccounted.
        labels: Labels that the nodes of its replicas must carry; each node carries its own name, too.
        engine_args: vLLM's engine arguments by name: `max_model_len`, `dtype`, `tensor_parallel_size`, ...
        env: Variables for the service's process.
        executable: Python interpreter of the service's own environment, or for `server="command"` the command.
        server: `hosted` holds vLLM's engine in our process; `command` supervises `vllm serve` or another
            OpenAI-compatible command; `{model}`, `{host}`, `{port}` and `{api_key}` in it are filled in.
        startup_timeout: Seconds until a replica that has not answered one real token counts as failed.
        stall_timeout: Seconds in which a hosted engine with requests in flight makes no step, until it counts as dead.
        restarts: How often within `restart_window` a replica that died is started again, if it answered nothing in
            between; deaths that a request was found to have caused do not count. 0 is never. Where that is used up,
            requests fail until the oldest of these deaths has left the window; then it is started again.
        restart_window: Seconds for which a replica's death counts.
    """

    gpus: float = 0.0
    cores: int = -1
    replicas: int = 1
    nodes: int = 1
    memory: float = 0.0
    labels: tuple[str, ...] = ()
    engine_args: dict[str, Any] = msgspec.field(default_factory=dict)
    env: dict[str, str] = msgspec.field(default_factory=dict)
    executable: str | tuple[str, ...] = ""
    server: Literal["hosted", "command"] = "hosted"
    startup_timeout: float = 900.0
    stall_timeout: float = 600.0
    restarts: int = 3
    restart_window: float = 600.0

    def __post_init__(self) -> None:
        """Check."""
        super().__post_init__()
        owner = "VLLMService"
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", self.name):
            raise InvalidTask(f"{owner}(name)", self.name, "letters, digits, - and _ only, and 100 at most")
        if not self.model:
            raise InvalidTask(f"{owner}(model)", self.model, "a folder or a model's name is needed")
        self._counts(-1, "cores")
        self._counts(0, "gpus", "restarts")
        self._counts(1, "replicas", "nodes")
        check_range(f"{owner}(memory)", self.memory, 0, _MOST_MEMORY)
        self._timeouts("startup_timeout", "stall_timeout", "restart_window")
        check_gpus(f"{owner}(gpus)", self.gpus)
        for name in self.env:
            if not name or "=" in name:
                raise InvalidTask(f"{owner}(env)", name, "this is no variable's name")
        if self.cores == -1:
            cores = 2 + int(self.gpus) if self.gpus > 1 else 2 if self.gpus else 1
            msgspec.structs.force_setattr(self, "cores", cores)
        if self.nodes > 1:
            self._check_spread(owner)

    def parallel(self, *kinds: str) -> int:
        """Return the product of the engine's parallel sizes of these kinds: `tensor`, `pipeline`, `data`, ..."""
        return math.prod(_size(self.engine_args.get(f"{kind}_parallel_size", 1)) for kind in kinds)

    @property
    def data_parallel(self) -> bool:
        """Whether each node of a replica holds whole engines, instead of a part of the one engine."""
        return self.parallel("data") > 1

    def _check_spread(self, owner: str) -> None:
        """Check what an engine over several nodes needs."""
        if self.server == "command" and self.executable:
            raise InvalidTask(
                f"{owner}(nodes)", self.nodes, "a command of your own stands on one node", "Leave out executable"
            )
        for name in _SET_BY_NODES:
            if name in self.engine_args:
                raise InvalidTask(f"{owner}(engine_args)", name, f"nodes={self.nodes} sets it")
        kinds = ("data",) if self.data_parallel else ("tensor", "pipeline")
        if (size := self.parallel(*kinds)) % self.nodes:
            product = " * ".join(f"{kind}_parallel_size" for kind in kinds)
            raise InvalidTask(
                f"{owner}(nodes)",
                self.nodes,
                f"{product} of its engine_args is {size}, which does not divide over as many nodes",
                f"Make it {self.nodes}, or a multiple",
            )


class VLLMRuntime(RuntimeConfig, frozen=True, kw_only=True):
    """Persistent model services.

    Attributes:
        services: What to serve; names must differ.
        request_workers: Processes that run the bodies of request apps.
        requests_in_flight: Requests a replica is given at once.
    """

    name: ClassVar[str] = "vllm"
    takes: ClassVar[Takes] = Takes(requests=True)
    implementation: ClassVar[str] = "rhapsody_parsl.runtimes.vllm.runtime:VLLM"
    services: Sequence[VLLMService] = ()
    request_workers: int = 1
    requests_in_flight: int = 256

    def __post_init__(self) -> None:
        """Check; a list of services is taken for a tuple."""
        several = type(self.services) is list or type(self.services) is tuple
        if not several or not all(issubclass(type(item), VLLMService) for item in self.services):
            raise InvalidTask(self._key("services"), self.services, "a list of VLLMService(...) is needed")
        msgspec.structs.force_setattr(self, "services", tuple(self.services))
        super().__post_init__()
        names = [service.name for service in self.services]
        if len(set(names)) != len(names):
            raise InvalidTask(self._key("services"), names, "two services have one name")
        self._counts(1, "request_workers", "requests_in_flight")

    @property
    def window(self) -> int:
        """How many requests are with a replica is the user's wish, and a request takes no lease."""
        return self.requests_in_flight * max((service.replicas for service in self.services), default=1)

    @property
    def serves(self) -> Sequence[VLLMService]:
        """The models."""
        return self.services


class BlockConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver tells a pilot: written once a run, read by every block.

    Attributes:
        label: The executor's.
        addresses: `ipc://@name` (reaches pilots on the driver's host) or `tcp://host:port`, the best first.
        certificates: Folder of CurveZMQ keys, or "" for no encryption.
        token: The word by which a pilot proves to be of this run, on the driver's host and where nothing is encrypted.
        logs: Folder for the blocks' logs.
        runtimes: The user's, as far as they can be imported here.
        missing: Why the others cannot, by name.
        default_runtime: For tasks that name none.
        nodes: Declared number of nodes (all on this host), or 0 to ask the batch system.
        cores_per_node: Declared cores of each node, or 0 for what is there.
        gpus_per_node: Declared GPUs of each node, or -1 for what is there.
        memory_per_node: Declared GB of each node, or 0 for what is there.
        node_launcher: How a process is started on another host of the block: `auto`, `srun`, `ssh`, `pals`, `flux`,
            `pbs_attach`, or a command with `{host}` in it.
        working_dir: Where tasks run; "" is where the block starts.
        heartbeat_period: Seconds between heartbeats on a silent link.
        heartbeat_threshold: Seconds of silence after which the other end counts as lost.
        ageing: Seconds of waiting that weigh as much as one step of priority.
        shared_folder: The driver's folder for large payloads, of use to those who see it; "" when there is none.
        enforce_memory: Whether a task or replica that holds more than its `memory` is killed.
        open_files: The driver's soft limit, which it may have raised, and the one that it came with.
    """

    label: str
    addresses: tuple[str, ...]
    runtimes: tuple[RuntimeConfig, ...]
    default_runtime: str
    logs: str
    certificates: str = ""
    token: str = ""
    nodes: int = 0
    cores_per_node: int = 0
    gpus_per_node: int = -1
    memory_per_node: float = 0.0
    node_launcher: str = "auto"
    working_dir: str = ""
    heartbeat_period: float = 2.0
    heartbeat_threshold: float = 30.0
    ageing: float = 60.0
    shared_folder: str = ""
    enforce_memory: bool = True
    open_files: tuple[int, int] = (0, 0)
    missing: dict[str, str] = {}


def write_config(config: BlockConfig, path: Path) -> None:
    """Write as JSON, readable by the owner only (services' environments may hold secrets)."""
    written = {**msgspec.to_builtins(config), "runtimes": [_stated(runtime) for runtime in config.runtimes]}
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=1))


def read_config(path: Path) -> BlockConfig:
    """Read what `write_config` wrote, and import the classes of its runtimes."""
    read = msgspec.json.decode(path.read_bytes())
    runtimes: list[RuntimeConfig] = []
    missing: dict[str, str] = {}
    for stated in read.pop("runtimes"):
        try:
            runtimes.append(msgspec.convert(stated["settings"], load(stated["config"])))
        except Exception as problem:  # noqa: BLE001 - whatever an import can raise: the block's other runtimes work
            missing[stated["name"]] = f"{stated['config']} cannot be imported: {problem}"
    plain = msgspec.convert({**read, "runtimes": ()}, BlockConfig)
    return msgspec.structs.replace(plain, runtimes=tuple(runtimes), missing=missing)


def _stated(runtime: RuntimeConfig) -> dict[str, Any]:
    """Return what lets the pilot make the same object, of a class that it may not know yet."""
    kind = type(runtime)
    path = f"{kind.__module__}:{kind.__qualname__}"
    return {"name": runtime.name, "config": path, "settings": msgspec.to_builtins(runtime)}
