"""`RhapsodyEngine`: Globus Compute's engine contract over our executor."""

import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import EPStatusReport, Result, ResultErrorDetails, TaskTransition
from globus_compute_endpoint.engines.base import GCExecutorFuture, GlobusComputeEngineBase
from globus_compute_sdk.serialize import ComputeSerializer
from parsl.jobs.job_status_poller import JobStatusPoller
from parsl.providers.base import ExecutionProvider

from rhapsody_parsl.config import RuntimeConfig
from rhapsody_parsl.errors import (
    InvalidTask,
    MissingPackage,
    PayloadError,
    RankFailed,
    RemoteError,
    RhapsodyError,
    ServiceRequestFailed,
    WalltimeExceeded,
)
from rhapsody_parsl.executors.executor import RhapsodyExecutor
from rhapsody_parsl.globus_compute.report import describe, why_not_high_assurance
from rhapsody_parsl.globus_compute.route import Call, Ways
from rhapsody_parsl.globus_compute.settings import (
    InvalidSetting,
    check_keys,
    read_polling,
    read_runtimes,
    read_services,
    read_setting,
)
from rhapsody_parsl.globus_compute.task import TaskRaised
from rhapsody_parsl.service_config import ServiceConfig

__all__ = ("RhapsodyEngine",)

_SIZE_LIMIT = 10 * 1024 * 1024  # Globus Compute's own
_FINAL = (InvalidTask, MissingPackage, PayloadError, RankFailed, RemoteError, ServiceRequestFailed, WalltimeExceeded)
"""Ends of a task that no other try would change."""
_EXECUTOR_KEYS = (
    "address", "ageing", "block_error_handler", "cores_per_node", "declared_nodes", "default_runtime",
    "drain_before", "drain_period", "encrypted", "gpus_per_node", "heartbeat_period", "heartbeat_threshold",
    "launch_cmd", "max_children", "max_depth", "max_launches", "mem_per_node", "request_workers", "scheduling",
    "stage_environment",
)  # fmt: skip
_BASE_KEYS: dict[str, Any] = {
    "allowed_serializers": list | None, "max_retries_on_system_failure": int, "working_dir": str | None,
}  # fmt: skip
"""Those of every engine, and what they are."""
_OWN_KEYS = ("job_status_kwargs", "label", "provider", "run_in_sandbox", "runtimes", "services", "strategy")


class RhapsodyEngine(GlobusComputeEngineBase):  # type: ignore[misc]  # Globus Compute's endpoint is not typed
    """Run an endpoint's tasks on Dragon, MPI and persistent services, all in the blocks of one provider.

    Args:
        provider: Any Parsl provider; Globus Compute makes it from the YAML.
        runtimes: What runs tasks in the blocks, by name: `{dragon: {}, mpi: {launcher: srun}}`.
        services: What the blocks serve: `[{name: assistant, model: ..., gpus: 1}]`; with `command`, any server.
        label: Names the log folder and the batch jobs.
        run_in_sandbox: Run each task in a folder of its own below `working_dir`.
        strategy: Parsl's scaling strategy; default `simple`.
        job_status_kwargs: For Parsl's JobStatusPoller: `max_idletime`, `strategy_period`, `strategy`.
        settings: Those of every engine (`max_retries_on_system_failure`, `working_dir`, `allowed_serializers`), and
            those of `RhapsodyExecutor` (`encrypted`, `address`, `cores_per_node`, `drain_period`, ...).

    Raises:
        InvalidSetting: A key or value cannot work; the error names its path in the YAML.
    """

    def __init__(  # noqa: PLR0913 - the YAML's keys
        self,
        *,
        provider: ExecutionProvider | None = None,
        runtimes: Mapping[str, Any] | None = None,
        services: Sequence[Mapping[str, Any]] | None = None,
        label: str = "RhapsodyEngine",
        run_in_sandbox: bool = False,
        strategy: str | None = None,
        job_status_kwargs: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        check_keys(settings, (*_EXECUTOR_KEYS, *_BASE_KEYS, *_OWN_KEYS))
        base = {key: read_setting(key, settings[key], wanted) for key, wanted in _BASE_KEYS.items() if key in settings}
        super().__init__(**base)
        self.label, self.strategy, self.job_status_kwargs = label, strategy, job_status_kwargs
        self.run_in_sandbox = read_setting("run_in_sandbox", run_in_sandbox, bool)
        self._polling = read_polling(strategy, job_status_kwargs)
        if provider is None:
            raise InvalidSetting("engine.provider", None, "this key is needed", "Write provider: {type: LocalProvider}")
        chosen = {key: value for key, value in settings.items() if key in _EXECUTOR_KEYS}
        served = read_services(services)
        self.executor = _make_executor(provider, read_runtimes(runtimes, served), served, {"label": label, **chosen})
        self.runtimes, self.services = self.executor.runtimes, self.executor.services.configs
        self._poller: JobStatusPoller | None = None
        self._ways = Ways(self.executor)
        self._count = itertools.count(1)
        self._total = 0

    # --- Globus Compute's contract -------------------------------------------------------------------------------

    def assert_ha_compliant(self) -> None:
        """Say why the engine does not keep Globus's High Assurance rules.

        Raises:
            ValueError: It does not.
        """
        if reason := why_not_high_assurance(self.executor):
            raise ValueError(f"This RhapsodyEngine is not fit for High Assurance: {reason}")

    def start(self, *_: Any, endpoint_id: uuid.UUID | None = None, run_dir: str | None = None, **__: Any) -> None:
        """Start the executor and Parsl's scaling of its blocks.

        Args:
            endpoint_id: The endpoint's.
            run_dir: Where logs, keys and job scripts go.

        Raises:
            RhapsodyError: One of the two is missing.
        """
        if endpoint_id is None or run_dir is None:
            raise RhapsodyError("RhapsodyEngine.start needs endpoint_id and run_dir.")
        self.endpoint_id, self.run_dir = endpoint_id, str(run_dir)
        self.set_working_dir(self.run_dir)
        scripts = Path(self.run_dir) / "submit_scripts"
        scripts.mkdir(parents=True, exist_ok=True)
        self.executor.run_dir = self.run_dir
        self.provider.script_dir = str(scripts)
        self.executor.start()
        self._poller = JobStatusPoller(**self._polling)
        self._poller.add_executors([self.executor])  # after its start
        self._engine_ready = True

    def get_status_report(self) -> EPStatusReport:
        """Return the endpoint's state for Globus Compute's web service."""
        state = describe(self.executor, self._total)
        return EPStatusReport(endpoint_id=self.endpoint_id, ep_status_report=state, task_statuses={})

    def shutdown(self, /, **_: Any) -> None:
        """End the blocks and the executor; safe before `start`, and twice."""
        self._engine_ready = False
        if self._poller:
            self._poller.close()
            self._poller = None
        self.executor.shutdown()

    @property
    def executor_exception(self) -> Exception | None:
        """What broke the executor for good; the endpoint then ends."""
        error: Exception | None = self.executor.executor_exception
        return error

    @property
    def provider(self) -> Any:
        """The blocks' provider."""
        return self.executor.provider

    @property
    def encrypted(self) -> bool:
        """Whether the connections to the blocks are encrypted."""
        return self.executor.encrypted

    # --- tasks ---------------------------------------------------------------------------------------------------

    def _submit(  # noqa: PLR0917 - as the base class has it
        self,
        resource_specification: dict[str, Any],
        func: Callable[..., bytes],
        packed_task: bytes,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Submit a task for the base class, which counts tries.

        Returns:
            A future for the packed result; an exception in it is a failure of the system, not of the task.
        """
        out = GCExecutorFuture()
        out.executor_task_id = self._total = next(self._count)
        call = Call(func, packed_task, args, kwargs or {})
        try:
            inner = self._ways.submit(resource_specification, call)
        except Exception as problem:  # noqa: BLE001 - the task's future has it
            inner = Future()
            inner.set_exception(problem)
        inner.add_done_callback(lambda done: _finish(done, out, call))
        return out

    def _handle_task_exception(
        self, task_id: uuid.UUID, execution_begin: TaskTransition, exception_history: list[BaseException]
    ) -> Result:
        """Return the result of a task that the system failed; what is ours is told as a sentence under its own name."""
        result: Result = super()._handle_task_exception(task_id, execution_begin, exception_history)
        last = exception_history[-1]
        if not isinstance(last, RhapsodyError):
            return result
        told = _told(last)
        if len(exception_history) > 1:
            del told["data"]  # the base class tells of each try
        return result.model_copy(update=told)


def _make_executor(
    provider: ExecutionProvider,
    runtimes: Sequence[RuntimeConfig],
    services: Sequence[ServiceConfig],
    settings: dict[str, Any],
) -> RhapsodyExecutor:
    try:
        return RhapsodyExecutor(provider=provider, runtimes=runtimes, services=services, **settings)
    except InvalidTask as error:
        raise InvalidSetting(f"engine.{error.key}", error.value, error.problem, error.remedy) from None


def _finish(done: Future[Any], out: Future[Any], call: Call) -> None:
    """Make a packed result of what came back; an exception is left only where another try may help."""
    try:
        packed = _pack(done, call)
    except Exception as problem:  # noqa: BLE001 - a future that never ends would be worse
        out.set_exception(problem)
    else:
        out.set_result(packed)


def _pack(done: Future[Any], call: Call) -> bytes:
    error = done.exception()
    if isinstance(error, TaskRaised):
        return bytes(error.args[0])
    if isinstance(error, _FINAL):
        return messagepack.pack(Result(task_id=call.args[0], **_told(error)))
    value = done.result()
    return value if isinstance(value, bytes) else _pack_completion(value, call)


def _pack_completion(value: Any, call: Call) -> bytes:
    """Return what a model answered as a packed result."""
    serializers = call.kwargs.get("result_serializers") or ()
    data = ComputeSerializer.serialize_from_list(value, serializers)
    if len(data) > _SIZE_LIMIT:
        error = InvalidTask("max_tokens", len(data), f"the answer has more bytes than {_SIZE_LIMIT}", "Ask for less")
        return messagepack.pack(Result(task_id=call.args[0], **_told(error)))
    return messagepack.pack(Result(task_id=call.args[0], data=data))


def _told(error: BaseException) -> dict[str, Any]:
    """Return an error of ours as the fields of a result."""
    name, sentence = type(error).__name__, str(error)
    details = ResultErrorDetails(code=name, user_message=sentence)
    return {"data": f"{type(error).__module__}.{name}: {sentence}", "error_details": details}
