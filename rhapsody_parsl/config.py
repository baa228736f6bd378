"""What the user configures of a block, as checked values: runtimes, and what the pilot reads at its start."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from rhapsody_parsl.pythons import DRAGON_REMEDY, dragon_misfit
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.runtime_table import Takes, load
from rhapsody_parsl.service_config import ServiceConfig
from rhapsody_parsl.service_table import of_tag

__all__ = (
    "BlockConfig",
    "DragonRuntime",
    "LocalRuntime",
    "MPIRuntime",
    "ModelRequests",
    "RuntimeConfig",
    "decode_service",
    "encode_service",
    "for_requests",
    "read_config",
    "write_config",
)


STARTUP_TIMEOUT = 120.0
"""Seconds until what does not get ready is ended, unless the user says other."""


class LocalRuntime(RuntimeConfig, frozen=True, kw_only=True):
    """Plain processes.

    Attributes:
        startup_timeout: Seconds until a worker that is not ready is killed, and its tasks fail.
    """

    name: ClassVar[str] = "local"
    takes: ClassVar[Takes] = Takes(single=True)
    implementation: ClassVar[str] = "rhapsody_parsl.runtimes.local.runtime:Local"
    startup_timeout: float = STARTUP_TIMEOUT

    def __post_init__(self) -> None:
        """Check."""
        super().__post_init__()
        self.check_timeouts("startup_timeout")


class DragonRuntime(RuntimeConfig, frozen=True, kw_only=True):
    """Python and bash tasks in resident processes that Dragon starts, places and watches.

    Attributes:
        nodes_per_partition: Nodes under one Dragon runtime. With 1, a lost node takes only its own runtime. With 0, one
            runtime spans the block, for work that needs Dragon's channels or DDict across nodes.
        executable: The `dragon` command; found beside the block's Python or on PATH when empty.
        options: Further arguments for its command line.
        startup_timeout: Seconds until a runtime that is not ready is killed and started once more. Also seconds until a
            worker in it that is not ready is killed, and its tasks fail.
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
        self.check_counts(0, "nodes_per_partition")
        self.check_timeouts("startup_timeout")

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
        world_ranks: Ranks of a standing world over the whole block; 0 is one per core.
        options: Further arguments for every launch.
        startup_timeout: Seconds until a world or a worker that is not ready counts as failed.
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
        self.check_counts(0, "world_ranks")
        self.check_timeouts("startup_timeout")


class ModelRequests(RuntimeConfig, frozen=True, kw_only=True):
    """Requests to models: an executor has it beside the user's runtimes when one of its services takes requests.

    Attributes:
        request_workers: Processes that run the bodies of request apps.
    """

    name: ClassVar[str] = "vllm"
    takes: ClassVar[Takes] = Takes(requests=True)
    implementation: ClassVar[str] = "rhapsody_parsl.runtimes.vllm.runtime:VLLM"
    request_workers: int = 1

    @property
    def window(self) -> int:
        """A request takes no lease; each service says how many its replicas take."""
        return 1


def for_requests(services: Sequence[ServiceConfig], workers: int) -> list[RuntimeConfig]:
    """Return the runtime that puts requests to services, where one of them takes some.

    Args:
        services: The executor's.
        workers: Processes that run the bodies of request apps.
    """
    return [ModelRequests(request_workers=workers)] if any(service.takes_requests for service in services) else []


class BlockConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver tells a pilot: written once a run, read by every block.

    Attributes:
        label: The executor's.
        addresses: `ipc://@name` (reaches pilots on the driver's host) or `tcp://host:port`, the best first.
        certificates: Folder of CurveZMQ keys, or "" for no encryption.
        token: The word by which a pilot proves to be of this run, on the driver's host and where nothing is encrypted.
        logs: Folder for the blocks' logs.
        runtimes: The user's, as far as they can be imported here, and the one for requests where a service takes some.
        missing: Why the others cannot, by name.
        openai_key: What requests to the front doors of all blocks show.
        openai_wait: Seconds that a request waits there for a replica.
        services: The user's.
        default_runtime: For tasks that name none.
        nodes: Declared number of nodes (all on this host), or 0 to ask the batch system.
        cores_per_node: Declared cores of each node, or 0 for what is there.
        gpus_per_node: Declared GPUs of each node, or -1 for what is there.
        memory_per_node: Declared GB of each node, or 0 for what is there.
        node_launcher: How a process is started on another host of the block: `auto`, `srun`, `ssh`, `pals`, `flux`,
            `pbs_attach`, `pbsdsh`, `blaunch`, `jsrun`, or a command with `{host}` or `{hosts}` in it.
        working_dir: Where tasks run; "" is where the block starts.
        heartbeat_period: Seconds between heartbeats on a silent link.
        heartbeat_threshold: Seconds of silence after which the other end counts as lost, the driver or a node. A
            connection that is cut for two thirds of that is resumed, and costs nothing.
        ageing: Seconds of waiting that weigh as much as one step of priority.
        scheduling: The order of waiting tasks, as `scheduling.travel` packs it.
        shared_folder: The driver's folder for large payloads, of use to those who see it; "" when there is none.
        enforce_memory: Whether a task or replica that holds more than its `memory` is killed.
        stage_environment: Whether Python's environment is to be on the disk of each host.
        max_launches: How many launches of MPI programs may run at once; 0 for any number.
        values: Where this host keeps values by reference: the executor's token, a folder on disk, and the most bytes
            in `shared_folder`.
        max_depth: How many tasks may be above one that a task submits.
        max_children: How many unfinished tasks of its own a task may have.
        max_agents: How many agents tasks may have started at once in the block.
        walltime: Seconds that the provider asked for; 0 where it asked for none.
        record: Whether it tells the times of its tasks.
        open_files: The driver's soft limit, which it may have raised, and the one that it came with.
    """

    label: str
    addresses: tuple[str, ...]
    runtimes: tuple[RuntimeConfig, ...]
    default_runtime: str
    logs: str
    services: tuple[ServiceConfig, ...] = ()
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
    scheduling: str = "fifo"
    shared_folder: str = ""
    enforce_memory: bool = True
    stage_environment: bool = False
    max_launches: int = 0
    values: tuple[str, str, int] = ("", "", 0)
    max_depth: int = 8
    max_children: int = 100_000
    max_agents: int = 100
    walltime: float = 0.0
    record: bool = True
    open_files: tuple[int, int] = (0, 0)
    missing: dict[str, str] = {}
    openai_key: str = ""
    openai_wait: float = 120.0


def write_config(config: BlockConfig, path: Path) -> None:
    """Write as JSON, readable by the owner only (services' environments may hold secrets); all of it or nothing."""
    written = {**msgspec.to_builtins(config), "runtimes": [_stated(runtime) for runtime in config.runtimes]}
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=1))
    new.replace(path)


def read_config(path: Path) -> BlockConfig:
    """Read what `write_config` wrote, and import the classes of its runtimes and services."""
    read = msgspec.json.decode(path.read_bytes())
    runtimes: list[RuntimeConfig] = []
    missing: dict[str, str] = {}
    for stated in read.pop("runtimes"):
        try:
            runtimes.append(msgspec.convert(stated["settings"], load(stated["config"])))
        except Exception as problem:  # noqa: BLE001 - whatever an import can raise: the block's other runtimes work
            missing[stated["name"]] = f"{stated['config']} cannot be imported: {problem}"
    services = tuple(map(_service, read.pop("services")))
    plain = msgspec.convert({**read, "runtimes": ()}, BlockConfig)
    return msgspec.structs.replace(plain, runtimes=tuple(runtimes), services=services, missing=missing)


def encode_service(service: ServiceConfig) -> bytes:
    """Return a service as it travels."""
    return msgspec.msgpack.encode(service)


def decode_service(encoded: bytes) -> ServiceConfig:
    """Return what `encode_service` encoded.

    Raises:
        ValueError: It is no service of a known kind.
        InvalidTask: It is a service, and a field of it is wrong.
    """
    try:
        return _service(msgspec.msgpack.decode(encoded, type=dict[str, Any]))
    except (LookupError, TypeError) as problem:
        raise ValueError(f"no service: {type(problem).__name__}: {problem}") from problem


def _service(stated: Any) -> ServiceConfig:
    config: ServiceConfig = msgspec.convert(stated, load(of_tag(stated.get("type")).config))
    return config


def _stated(runtime: RuntimeConfig) -> dict[str, Any]:
    """Return what lets the pilot make the same object, of a class that it may not know yet."""
    kind = type(runtime)
    path = f"{kind.__module__}:{kind.__qualname__}"
    return {"name": runtime.name, "config": path, "settings": msgspec.to_builtins(runtime)}
