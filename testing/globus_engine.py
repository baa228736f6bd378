"""An engine of Globus Compute driven as its endpoint drives it: packed tasks in, packed results out."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Result, Task
from globus_compute_endpoint.engines.base import GCFuture, GlobusComputeEngineBase
from globus_compute_sdk.serialize import ComputeSerializer

TIMEOUT = 90.0


class TaskFailedError(Exception):
    """A task's packed result says that it failed; the arguments are its words and the error's code."""

    @property
    def code(self) -> str:
        """What kind of failure Globus Compute is told."""
        return str(self.args[1])


class Packing:
    """Packs calls as the web service sends them, and opens their results as its client does."""

    def __init__(self) -> None:
        self.serializer = ComputeSerializer()

    def pack(self, task: uuid.UUID, function: Callable[..., Any], *args: Any, **kwargs: Any) -> bytes:
        """Return a call as the web service sends it."""
        buffers = [self.serializer.serialize(part) for part in (function, args, kwargs)]
        return messagepack.pack(Task(task_id=task, task_buffer=self.serializer.pack_buffers(buffers)))

    def open(self, result: Result) -> Any:
        """Return what the function returned.

        Raises:
            TaskFailedError: It failed.
        """
        if result.error_details is not None:
            raise TaskFailedError(result.data, result.error_details.code)
        return self.serializer.deserialize(result.data)


class Driver(Packing):
    """Submits to a started engine.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: GlobusComputeEngineBase) -> None:
        super().__init__()
        self.engine = engine

    def submit(
        self, function: Callable[..., Any], *args: Any, spec: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Submit a call with a resource specification; return Globus Compute's future."""
        task = uuid.uuid4()
        future = GCFuture(task)
        self.engine.submit(future, self.pack(task, function, *args, **kwargs), spec or {})
        return future

    def value(self, future: Any, timeout: float = TIMEOUT) -> Any:
        """Return what the function returned.

        Raises:
            TaskFailedError: It failed.
        """
        result = messagepack.unpack(future.result(timeout))
        assert isinstance(result, Result)
        assert result.task_id == future.gc_task_id
        return self.open(result)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Submit a call and return its value."""
        return self.value(self.submit(function, *args, **kwargs))


@contextmanager
def started(engine: GlobusComputeEngineBase, folder: Path) -> Iterator[Driver]:
    """Start an engine as the endpoint does; it is shut down afterwards."""
    try:
        engine.start(endpoint_id=uuid.uuid4(), run_dir=str(folder))
        yield Driver(engine)
    finally:
        engine.shutdown()
