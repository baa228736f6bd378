"""Globus Compute's interchange in this process: our engine between real queues, with no endpoint and no web service."""

import contextlib
import json
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import EPStatusReport, Result
from globus_compute_endpoint.endpoint.config import UserEndpointConfig
from globus_compute_endpoint.endpoint.interchange import EndpointInterchange
from globus_compute_endpoint.engines.base import GlobusComputeEngineBase

from testing.globus_engine import Packing
from testing.globus_service import Broker
from testing.waiting import until

T = TypeVar("T")
TIMEOUT = 30.0
_SIGNALS = (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)  # those that an interchange takes for itself


class Queues(Packing):
    """The client's end of an endpoint's queues.

    Args:
        url: The broker's.
        folder: Of the endpoint.
    """

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__()
        self.endpoint, self.folder = uuid.uuid4(), folder
        self.reports: list[dict[str, Any]] = []
        self._results: dict[uuid.UUID, Future[Result]] = {}
        self._tasks, self._answers, self._beats = (f"{self.endpoint}.{of}" for of in ("tasks", "results", "heartbeats"))
        self._broker = Broker(url, self._take, inbox=(self._answers, self._beats))
        self._broker.declare(self._tasks)

    def submit(
        self, function: Callable[..., Any], *args: Any, spec: dict[str, Any] | None = None, of: uuid.UUID | None = None
    ) -> Future[Result]:
        """Queue a call with a resource specification; `of` is the id by which its function is known."""
        task = uuid.uuid4()
        headers = {"function_uuid": str(of or uuid.uuid4()), "task_uuid": str(task)}
        if spec:
            headers["resource_specification"] = json.dumps(spec)
        future = self._results[task] = Future()
        self._broker.publish(self._tasks, self.pack(task, function, *args), headers=headers)
        return future

    def value(self, future: Future[Result]) -> Any:
        """Return what the function returned.

        Raises:
            TaskFailedError: It failed.
        """
        return self.open(future.result(TIMEOUT))

    def next_report(self) -> dict[str, Any]:
        """Return a report of a state after now: the next but one, since the next may be on its way."""
        seen = len(self.reports)
        until(lambda: len(self.reports) >= seen + 2, TIMEOUT)
        return self.reports[-1]

    def waiting(self) -> int:
        """Return how many tasks no interchange has confirmed; to be asked while none runs."""
        return self._broker.waiting(self._tasks)

    def credentials(self) -> dict[str, Any]:
        """Return what an interchange is told of its queues."""
        queues = {
            "task_queue_info": self._broker.describe(self._tasks),
            "result_queue_info": self._broker.describe(self._answers, publish=True),
            "heartbeat_queue_info": self._broker.describe(self._beats, publish=True),
        }
        return {"amqp_creds": queues}

    def close(self) -> None:
        """Leave the broker."""
        self._broker.close()

    def _take(self, body: bytes) -> None:
        match messagepack.unpack(body):
            case Result(task_id=task) as result:
                self._results[task].set_result(result)  # a second result of a task is an error here
            case EPStatusReport(endpoint_id=endpoint, global_state=state):
                assert endpoint == self.endpoint
                self.reports.append(state)
            case other:
                raise TypeError(f"an endpoint does not say {type(other).__name__}")


def play(
    queues: Queues, engine: GlobusComputeEngineBase, client: Callable[[EndpointInterchange], T], **config: Any
) -> T:
    """Run an interchange here, since it handles signals, and a client in a thread beside it, whose end is the end.

    Args:
        queues: Of the endpoint.
        engine: A new one.
        client: What happens meanwhile.
        config: Of the endpoint.

    Returns:
        What the client returns, once the interchange has ended with all its threads and has no result left to send.
    """
    config = {"heartbeat_period": 5, **config}
    interchange = EndpointInterchange(
        UserEndpointConfig(engine=engine, **config), cred_fn=queues.credentials, ep_info={},
        logdir=str(queues.folder), endpoint_id=str(queues.endpoint), endpoint_dir=str(queues.folder),
    )  # fmt: skip
    before = set(threading.enumerate())
    with _signals_as_before(), ThreadPoolExecutor(1) as pool:
        future = pool.submit(_then_stop, interchange, client)
        interchange.start()
        value = future.result()
    until(lambda: set(threading.enumerate()) <= before, TIMEOUT)
    assert not list(interchange.result_store)
    return value


def _then_stop(interchange: EndpointInterchange, client: Callable[[EndpointInterchange], T]) -> T:
    try:
        return client(interchange)
    finally:
        interchange.stop()


@contextlib.contextmanager
def _signals_as_before() -> Iterator[None]:
    handlers = [(number, signal.getsignal(number)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
