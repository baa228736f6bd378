"""`RhapsodyExecutor`: Parsl's executor contract over pilots that run Dragon, MPI and vLLM in one block."""

import contextlib
import itertools
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsl.data_provider.staging import Staging
from parsl.executors.errors import BadStateException
from parsl.executors.high_throughput.executor import HighThroughputExecutor
from parsl.executors.status_handling import BlockProviderExecutor
from parsl.jobs.states import JobStatus
from parsl.monitoring.radios.base import RadioConfig
from parsl.monitoring.radios.filesystem import FilesystemRadio
from parsl.providers import LocalProvider
from parsl.providers.base import ExecutionProvider
from parsl.utils import RepresentationMixin

from rhapsody_parsl.annotations.annotation import SPEC_PARAMETER
from rhapsody_parsl.annotations.arguments import checked
from rhapsody_parsl.config import DragonRuntime, for_requests, write_config
from rhapsody_parsl.errors import BlockLost, InvalidTask, Unwritable
from rhapsody_parsl.executors.addresses import listening
from rhapsody_parsl.executors.admission import Admission, default_of, read
from rhapsody_parsl.executors.agents import WithAgents
from rhapsody_parsl.executors.blocks import Blocks
from rhapsody_parsl.executors.checks import (
    OTHER_NUMBERS,
    check_default,
    check_label,
    check_numbers,
    check_provider,
    check_python,
    check_runtimes,
    check_words,
    walltime_of,
)
from rhapsody_parsl.executors.functions import as_sent, facts_of
from rhapsody_parsl.executors.future import TaskFuture, fail
from rhapsody_parsl.executors.life import GOODBYE_TIMEOUT
from rhapsody_parsl.executors.link import Link
from rhapsody_parsl.executors.openai_keys import OpenAIKeys
from rhapsody_parsl.executors.preparation import prepare, written
from rhapsody_parsl.executors.services import ExecutorServices, check_added
from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.runtime_config import RuntimeConfig
from rhapsody_parsl.scheduling.travel import packed
from rhapsody_parsl.service_config import ServiceConfig, check_services
from rhapsody_parsl.spelling import spelled
from rhapsody_parsl.telemetry.setting_up import check_installed
from rhapsody_parsl.wire.curve import Keys
from rhapsody_parsl.wire.gate import Token
from rhapsody_parsl.wire.messages import Result, Task
from rhapsody_parsl.wire.piece_messages import More, Piece
from rhapsody_parsl.wire.shared_memory import SharedMemory
from rhapsody_parsl.wire.totals import Tally

__all__ = ("RhapsodyExecutor",)

log = logging.getLogger(__name__)

DEFAULT_LAUNCH_CMD = "{python} -m rhapsody_parsl.pilot {config} {block_id}"
_DRAGON_ALONE = (DragonRuntime(),)

if TYPE_CHECKING:
    Runtimes = Sequence[RuntimeConfig]
    Services = Sequence[ServiceConfig]
else:
    Runtimes = Services = Any  # `check_runtimes` and `check_services` say what is wrong in a sentence


@spelled
class RhapsodyExecutor(WithAgents, RepresentationMixin):
    """Run apps on Dragon, MPI and persistent services, all inside the blocks of one provider.

    Args:
        label: Name of the executor in the Parsl config.
        provider: Any Parsl provider; default `LocalProvider()`.
        runtimes: What runs apps in the blocks; default Dragon alone. With a `VLLMService` it may be [].
        services: What each block serves for its whole life: `VLLMService(...)`, `CommandService(...)`.
        request_workers: Processes that run the bodies of apps with a prompt for a service.
        openai_wait: Seconds that a request to the front door waits while no block or no replica of its model is there.
        default_runtime: For apps that name none; default the first of `dragon`, `local` and the rest that is there
            and takes tasks without ranks.
        address: Address of this host for the blocks. Default: a Unix socket for pilots on this host. For others
            127.0.0.1 under a LocalProvider, else the first address of all interfaces that answers.
        encrypted: Encrypt the connections to blocks on other hosts (CurveZMQ). Without it, blocks still prove that they
            belong to this run, by a word that anybody who reads the network can read.
        working_dir: Where tasks run; default where the block starts.
        storage_access: Parsl staging providers.
        block_error_handler: See Parsl.
        launch_cmd: Command that starts the pilot in a block, with `{python}`, `{config}` and `{block_id}`.
        heartbeat_period: Seconds between heartbeats on a silent connection.
        heartbeat_threshold: Seconds of silence after which a block, or a node of it, is lost; half of it costs nothing.
        drain_period: Seconds after which a block takes no more tasks, finishes what it has begun and leaves. Default:
            never.
        drain_before: Seconds before the end of its job at which a block takes no more tasks, finishes what it has begun
            and leaves. Default: 60, or a twentieth of the job's time if that is less.
        remote_monitoring_radio: How tasks report to Parsl's monitoring; default files in the run directory.
        cores_per_node: Declared cores of a node, for tests and laptops: declared core i is real core i modulo the real
            number. Default: what is there.
        gpus_per_node: Declared GPUs of a node. Default: what is there.
        mem_per_node: Declared GB of a node. Default: what is there.
        node_launcher: How a block of several hosts starts processes on the other hosts: `auto`, `srun`, `ssh`, `pals`,
            `flux`, `pbs_attach`, `pbsdsh`, `blaunch`, `jsrun`, or a command of your own with `{host}` or `{hosts}`.
        declared_nodes: Declared number of nodes, all on one host. Default: what the batch system says.
        ageing: Seconds of waiting that weigh as much as one step of priority.
        scheduling: The order of waiting tasks: `fifo`, `fair`, `easy`, or an object of yours with a method `claim`.
        record: Write the times of all tasks and leases to `record.msgpack` in the run directory, for `rhapsody-parsl
            report`; some seventy bytes per task.
        telemetry: Tell OpenTelemetry of each task, by the exporters that its variables (`OTEL_TRACES_EXPORTER`, ...)
            name or the script has set.
        metrics_port: Port of the driver's loopback where Prometheus finds `/metrics`; 0 takes a free one. Default:
            none.
        stage_environment: Pack Python's environment once, unpack it on the local disk of each host, and run all of the
            block's processes from there; removed when the block stops.
        max_launches: How many launches of MPI programs may run at once in a block; further ones wait in the pilot.
            Default: any number.
        max_depth: How many tasks may be above one that a task submits by `rhapsody_parsl.block()`; 0 forbids that.
        max_children: How many unfinished tasks of its own a task may have.
        max_agents: How many agents the executor may have at once, and a block of those that tasks start.
        reference_memory: GB of each host's shared memory for values that are kept by reference; what was used longest
            ago goes to the disk, in `TMPDIR`. Default: a quarter of it.
        enforce_memory: Kill a task that holds more than its `memory` (`MemoryExceeded`); False only counts memory.
        control: Listen for the `rhapsody-parsl` command on a Unix socket of this user's, in the run directory.

    Raises:
        InvalidTask: With this value no block could start or stay; the error names the limit.
    """

    @checked
    def __init__(
        self,
        label: str = "RhapsodyExecutor",
        provider: ExecutionProvider | None = None,
        runtimes: Runtimes = _DRAGON_ALONE,
        services: Services = (),
        default_runtime: str | None = None,
        address: str | None = None,
        encrypted: bool = True,
        working_dir: str | None = None,
        storage_access: list[Staging] | None = None,
        block_error_handler: bool | Callable[[BlockProviderExecutor, dict[str, JobStatus]], None] = True,
        launch_cmd: str | None = None,
        heartbeat_period: int | float = 2,
        heartbeat_threshold: int | float = 30,
        drain_period: int | float | None = None,
        drain_before: int | float | None = None,
        remote_monitoring_radio: RadioConfig | None = None,
        cores_per_node: int | None = None,
        gpus_per_node: int | None = None,
        mem_per_node: int | float | None = None,
        declared_nodes: int | None = None,
        node_launcher: str = "auto",
        ageing: int | float = 60,
        scheduling: Any = "fifo",
        enforce_memory: bool = True,
        request_workers: int = 1,
        control: bool = True,
        openai_wait: int | float = 120,
        record: bool = True,
        telemetry: bool = False,
        metrics_port: int | None = None,
        stage_environment: bool = False,
        max_launches: int | None = None,
        max_depth: int = 8,
        max_children: int = 100_000,
        max_agents: int = 100,
        reference_memory: int | float | None = None,
    ) -> None:
        super().__init__(provider or LocalProvider(), block_error_handler, launch_cmd or DEFAULT_LAUNCH_CMD)
        self.label, self.request_workers, self.control = label, request_workers, control
        served = check_services(services, "services")
        self.runtimes = check_runtimes(runtimes, served)
        self.offers = (*self.runtimes, *for_requests(served, request_workers))
        self.default_runtime = default_runtime or default_of(self.offers)
        self.address, self.encrypted = address, encrypted
        self.working_dir, self.storage_access = working_dir, storage_access
        self.heartbeat_period, self.heartbeat_threshold = heartbeat_period, heartbeat_threshold
        self.drain_period, self.drain_before = drain_period, drain_before
        self.remote_monitoring_radio = remote_monitoring_radio or FilesystemRadio()
        self.cores_per_node, self.gpus_per_node, self.mem_per_node = cores_per_node, gpus_per_node, mem_per_node
        self.declared_nodes, self.node_launcher = declared_nodes, node_launcher
        self.ageing, self.enforce_memory, self.openai_wait = ageing, enforce_memory, openai_wait
        self.scheduling, self._scheduling = scheduling, packed(scheduling)
        self.record, self.telemetry, self.metrics_port = record, telemetry, metrics_port
        self.max_depth, self.max_children, self.max_agents = max_depth, max_children, max_agents
        self.max_launches, self.stage_environment = max_launches, stage_environment
        self.reference_memory = reference_memory
        self._admission = self._check(served)
        self.openai_keys = OpenAIKeys()
        self.services = ExecutorServices(served, partial(check_added, self._admission, self.offers))
        self._task_ids = itertools.count(1)

    def _check(self, services: Sequence[ServiceConfig]) -> Admission:
        """Check what the types do not say: names, limits, and what only a block would stumble over."""
        check_label(self.label)
        check_default(self.default_runtime, self.offers)
        others = {name: getattr(self, name) for name in OTHER_NUMBERS}
        check_numbers(self.heartbeat_period, self.heartbeat_threshold, **others)
        if self.telemetry:
            check_installed()
        check_words(self.launch_cmd, self.node_launcher, self.address, self.working_dir)
        ours = self.launch_cmd == DEFAULT_LAUNCH_CMD and not getattr(self.provider, "worker_init", "")
        check_python(self.runtimes, ours)
        nodes = check_provider(self.provider)
        walltime = walltime_of(self.provider)
        nodes = self.declared_nodes or nodes
        return Admission(self.offers, services, self.default_runtime, nodes, walltime=walltime)

    # --- Parsl's contract ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the port and write what the pilots need; Parsl's scaling then starts the blocks.

        Raises:
            Unwritable: The run directory has no room.
            TooFewOpenFiles: The hard limit of open files is too low for as many blocks.
            TooFewThreads: No more threads can be started (`ulimit -u`).
            RhapsodyError: It was shut down before.
        """
        super().start()
        prepare(self.provider)
        folder, token = Path(self.run_dir).absolute() / self.label, Token.create()
        with written(folder):
            folder.mkdir(parents=True, exist_ok=True)
            proof = Keys.create(folder / "certificates") if self.encrypted else token
        where = listening(self.address, self.provider)
        self._shared = SharedMemory()
        self._open_values()
        self._link = Link(
            where.address, self, self._blocks(folder), local=where.beside, proof=proof, token=token,
            period=self.heartbeat_period, threshold=self.heartbeat_threshold, shared_folder=self._shared.path,
            front_wait=self.openai_wait,
        )  # fmt: skip
        local = [f"ipc://{self._link.local_address}"] if where.beside else []
        addresses = [*local, *(f"tcp://{host}:{self._link.port}" for host in where.hosts)]
        self._config_path = folder / "block.json"

        def publish() -> None:
            with written(folder):
                write_config(self._block_config(folder, addresses, token.word), folder / "block.json")

        try:
            publish()
            self._open_metrics()
        except (InvalidTask, Unwritable):
            self._link.abandon()
            self._close_values()
            self._link = None
            raise
        self.services.begin(self._link, folder, publish)
        self.openai_keys.begin(self._link)
        self._link.start()
        self._open_control(folder, self._link)
        self._start_first()

    def _blocks(self, folder: Path) -> Blocks:
        drain_period = math.inf if self.drain_period is None else self.drain_period
        several = getattr(self.provider, "max_blocks", 1) != 1
        return Blocks(
            several, drain_period, self._recorder(folder), Tally(self.default_runtime), drain_before=self.drain_before
        )

    def submit(
        self, func: Callable[..., Any], resource_specification: dict[str, Any] | None, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        """Submit a call.

        Args:
            func: The function; its `@annotate` counts.
            resource_specification: Overrides the annotation key by key.
            args: Positional arguments.
            kwargs: Keyword arguments.

        Returns:
            A future for the result; `cancel()` works on queued and running tasks.

        Raises:
            InvalidSpecification: The task can never run; a subclass of Parsl's `InvalidResourceSpecification`.
            PayloadError: The function or an argument cannot be serialized.
            DataLost: The value of a reference among the arguments is gone.
            BadStateException: The executor has failed for good.
            RhapsodyError: The executor is not running.
        """
        if self.bad_state_is_set:
            raise BadStateException(self, self.executor_exception)
        link = self._running_link()
        facts = facts_of(func)
        given = read(resource_specification)
        admitted = self._admission.admit(facts, given)
        if admitted.spec.service:
            self.services.check_running(admitted.spec.service)
        self._admission.check_fit(admitted, link.blocks.inventories())
        if SPEC_PARAMETER in kwargs:
            kwargs[SPEC_PARAMETER] = given
            if not facts.takes_spec:
                del kwargs[SPEC_PARAMETER]
        trace, policy = self._spans.begin(facts.name) if self._spans else "", admitted.spec.policy
        payload, refs = self._with_references(partial(pack_call, as_sent(func, policy), args, kwargs, trace))
        number = next(self._task_ids)
        future = TaskFuture(number, self, facts.pieces or admitted.streams)
        self.tasks[number] = future
        task = Task(number, admitted.encoded, payload, admitted.request, tuple((ref.key, ref.size) for ref in refs))
        if refs or policy.result == "reference":
            self._note_references(future, task, refs, policy)
        link.put(task)
        return future

    def shutdown(self) -> None:
        """Stop every block and the link. Tasks that have not finished by then fail. Idempotent."""
        link = self._link
        if self._closed or link is None:
            self._closed = True
            return
        with contextlib.ExitStack() as ends:  # the last is the first; another Ctrl-C ends that which waits, and no more
            ends.callback(super().shutdown)
            ends.callback(self._fail_rest)
            ends.callback(self._cancel_rest)
            ends.callback(self._close_values)
            ends.callback(self._close_observers)
            ends.callback(link.close)
            ends.callback(lambda: link.stop_blocks([block.id for block in link.blocks], GOODBYE_TIMEOUT))
            ends.callback(self._close_control)
            ends.callback(setattr, self, "_closed", True)
            self._stop_agents()

    def _fail_rest(self) -> None:
        for number in list(self.tasks):
            self.failed(number, BlockLost("of the executor", "the executor was shut down"))

    def outstanding(self) -> int:
        """Number of tasks, of waits for services, and of blocks with requests at the front door: none of it is idle."""
        return len(self.tasks) + self.services.waiting + (self._link.blocks.asked() if self._link else 0)

    def monitor_resources(self) -> bool:
        """Whether Parsl's monitoring watches the process of each try; coroutines side by side are counted together."""
        return True

    def _declared_cores(self) -> int:
        return self.cores_per_node or 0

    # --- how tasks end (the link's `Outcomes`; on its thread) ----------------------------------------------------

    def ended(self, result: Result) -> None:
        """Complete a future."""
        if self._lineage is None or not self._lineage.ended(result):
            self._complete(result)

    def came(self, pieces: Sequence[Piece]) -> None:
        """Put pieces where their readers take them."""
        for piece in pieces:
            future = self.tasks.get(piece.id)
            if isinstance(future, TaskFuture):
                future.tray.put(piece)

    def failed(self, task: object, error: Exception) -> None:
        """Complete a future with an error of ours or Parsl's."""
        if self._lineage is None or not self._lineage.failed(task, error):
            fail(self.tasks.pop(task, None), error)

    def broken(self, error: Exception) -> None:
        """The link broke: nothing can be completed any more."""
        self.set_bad_state_and_fail_all(error)

    def set_bad_state_and_fail_all(self, exception: Exception) -> None:
        """Fail for good, with all tasks; Parsl's own stumbles over futures that have ended, and keeps all."""
        log.error("executor %s has failed for good", self.label, exc_info=exception)
        self._executor_exception = exception
        self._executor_bad_state.set()
        for number in list(self.tasks):
            self.failed(number, BadStateException(self, exception))

    # --- what futures ask ----------------------------------------------------------------------------------------

    def cancel_task(self, task: int) -> None:
        """End a task, wherever it is."""
        self.tasks.pop(task, None)
        if self._link:
            self._link.cancel(task)

    def say(self, more: More) -> None:
        """Tell a task's process what was taken of its stream."""
        if self._link:
            self._link.say(more)


# Parsl's `htex_auto_scale` scales in instances of this class only, since its `scale_in` takes `max_idletime`; so does
# ours. Parsl asks for the class there and nowhere else.
HighThroughputExecutor.register(RhapsodyExecutor)
