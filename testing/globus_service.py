"""Stands for Globus Compute's web service and Globus Auth, on the loopback: the parts that lie outside this machine.

Client, core endpoint, user endpoint, engines, workers and the broker are the real ones. The port is not ours to choose:
it is the one that `local_compute_services` means.
"""

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import pika
from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import EPStatusReport, Result, ResultErrorDetails, Task

PORT = 5000
AUTH_URL = f"http://127.0.0.1:{PORT}/"
IDENTITY = "11111111-2222-4333-8444-555555555555"
EXCHANGE = "globus"
RESULTS, HEARTBEATS = "service.results", "service.heartbeats"
_COMPUTE_SCOPE = "scopes/facd7ccc"


def environment(user_dir: str) -> dict[str, str]:
    """Return the variables under which client and endpoint speak to this service.

    Args:
        user_dir: Where endpoints have their folders.
    """
    return {
        "GLOBUS_SDK_SERVICE_URL_AUTH": AUTH_URL,
        "GLOBUS_COMPUTE_CLIENT_ID": IDENTITY,
        "GLOBUS_COMPUTE_CLIENT_SECRET": "secret",
        "GLOBUS_COMPUTE_USER_DIR": user_dir,
    }


class Broker:
    """Queues of the service: one connection publishes, a thread with its own takes results and heartbeats.

    Args:
        url: AMQP.
        on_message: Told of each body that arrives for the service.
        inbox: The queues that are the service's own.
    """

    def __init__(
        self, url: str, on_message: Callable[[bytes], None], inbox: Sequence[str] = (RESULTS, HEARTBEATS)
    ) -> None:
        self.url = url
        self._on_message = on_message
        self._inbox = inbox
        self._lock = threading.Lock()
        self._publishing, self._consuming = self._connect(), self._connect()
        self._channel = self._publishing.channel()
        self._channel.exchange_declare(EXCHANGE, exchange_type="direct", durable=True)
        for queue in self._inbox:
            self.declare(queue)
        self._thread = threading.Thread(target=self._consume, name="globus service", daemon=True)
        self._thread.start()

    def _connect(self) -> Any:
        return pika.BlockingConnection(pika.URLParameters(f"{self.url}?heartbeat=0"))

    def declare(self, queue: str) -> None:
        """Make a queue, with a routing key of its name."""
        with self._lock:
            self._channel.queue_declare(queue, durable=True)
            self._channel.queue_bind(queue, EXCHANGE, routing_key=queue)

    def publish(self, queue: str, body: bytes, **properties: Any) -> None:
        """Put a message into a queue."""
        with self._lock:
            self._channel.basic_publish(EXCHANGE, queue, body, pika.BasicProperties(**properties))

    def waiting(self, queue: str) -> int:
        """Return how many messages nobody has taken for good, while nobody listens to the queue."""
        with self._lock:
            return int(self._channel.queue_declare(queue, passive=True).method.message_count)

    def describe(self, queue: str, publish: bool = False) -> dict[str, Any]:
        """Return what an endpoint wants to know of a queue."""
        facts: dict[str, Any] = {"connection_url": self.url, "queue": queue, "exchange": EXCHANGE}
        if publish:
            how = {"exchange": EXCHANGE, "routing_key": queue, "mandatory": True, "properties": {"delivery_mode": 2}}
            facts["queue_publish_kwargs"] = how
        return facts

    def close(self) -> None:
        """Leave the broker."""
        self._consuming.add_callback_threadsafe(self._consuming_channel.stop_consuming)
        self._thread.join(10)
        self._consuming.close()
        with self._lock:
            self._publishing.close()

    def _consume(self) -> None:
        self._consuming_channel = self._consuming.channel()

        def take(channel: Any, method: Any, _: Any, body: bytes) -> None:
            self._on_message(body)
            channel.basic_ack(method.delivery_tag)

        for queue in self._inbox:
            self._consuming_channel.basic_consume(queue, take)
        self._consuming_channel.start_consuming()


@dataclass
class Service:
    """The web service's knowledge and its answers.

    Attributes:
        url: The broker's.
        functions: Registered functions by id.
        reports: State of each endpoint by id, as its last heartbeat said.
        tasks: Those without a result: the group that waits for each, and the user endpoint that has it.
    """

    url: str
    functions: dict[str, Any] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Connect."""
        self.broker = Broker(self.url, self._take)

    def _take(self, body: bytes) -> None:
        match messagepack.unpack(body):
            case Result(task_id=task):
                if str(task) in self.tasks:
                    group, _ = self.tasks.pop(str(task))
                    self.broker.publish(f"tg.{group}", body, timestamp=int(time.time()))
            case EPStatusReport(endpoint_id=endpoint, global_state=state):
                self.reports[str(endpoint)] = state
                if problem := state.get("error"):
                    self._fail_all(str(endpoint), problem)
            case other:
                raise TypeError(f"an endpoint does not say {type(other).__name__}")

    def _fail_all(self, endpoint: str, problem: str) -> None:
        """A user endpoint did not start: its tasks fail with what it said."""
        details = ResultErrorDetails(code="ENDPOINT_STARTUP_FAILED", user_message=problem)
        for task in [task for task, (_, owner) in list(self.tasks.items()) if owner == endpoint]:
            result = Result(task_id=uuid.UUID(task), data=problem, error_details=details)
            self._take(messagepack.pack(result))

    def answer(self, path: str, body: Any) -> dict[str, Any] | None:
        """Return the answer to a request, None for what is not known here."""
        match path.strip("/").split("/"):
            case ["v2", *rest]:
                return self._facts(body).get("/".join(rest))
            case ["v3", "functions"]:
                function = str(uuid.uuid4())
                self.functions[function] = body["function_code"]
                return {"function_uuid": function}
            case ["v3", "endpoints", endpoint, "submit"]:
                return self._submit(endpoint, body)
            case ["v3", "endpoints", *given]:
                return self._register(given[0] if given else str(uuid.uuid4()))
            case _:
                return None

    def _facts(self, body: Any) -> dict[str, dict[str, Any]]:
        return {
            "oauth2/token": _token(body) if isinstance(body, str) else {},
            "oauth2/userinfo": {"sub": IDENTITY, "preferred_username": "lab", "identity_set": [{"sub": IDENTITY}]},
            "version": {"api": "1.0", "min_ep_version": "1.0.0", "min_sdk_version": "1.0.0"},
            "get_amqp_result_connection_url": {"queue_prefix": "tg.", "connection_url": self.url},
        }

    def _register(self, endpoint: str) -> dict[str, Any]:
        commands = f"{endpoint}.command"
        self.broker.declare(commands)
        return {
            "endpoint_id": endpoint,
            "command_queue_info": self.broker.describe(commands),
            "heartbeat_queue_info": self.broker.describe(HEARTBEATS, publish=True),
        }

    def _submit(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the core endpoint for the user endpoint of this configuration, and queue the tasks for that one."""
        user_endpoint = self._start_user_endpoint(endpoint, body)
        group = body.get("task_group_id") or str(uuid.uuid4())
        self.broker.declare(f"tg.{group}")
        headers = {key: value for key in ("result_serializers",) if (value := body.get(key))}
        if spec := body.get("resource_specification"):
            headers["resource_specification"] = json.dumps(spec)
        tasks = {
            function: [self._queue(user_endpoint, function, each, group=group, headers=headers) for each in payloads]
            for function, payloads in body["tasks"].items()
        }
        return {"tasks": tasks, "task_group_id": group, "request_id": str(uuid.uuid4()), "endpoint_id": endpoint}

    def _start_user_endpoint(self, endpoint: str, body: dict[str, Any]) -> str:
        options = body.get("user_endpoint_config") or {}
        digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:12]
        user_endpoint = str(uuid.uuid5(uuid.UUID(endpoint), digest))
        self.broker.declare(f"{user_endpoint}.tasks")
        credentials = {
            "endpoint_id": user_endpoint,
            "task_queue_info": self.broker.describe(f"{user_endpoint}.tasks"),
            "result_queue_info": self.broker.describe(RESULTS, publish=True),
            "heartbeat_queue_info": self.broker.describe(HEARTBEATS, publish=True),
        }
        command = {
            "command": "cmd_start_endpoint",
            "kwargs": {
                "name": f"uep.{endpoint}.{digest}",
                "user_opts": options,
                "user_runtime": body.get("user_runtime") or {},
                "amqp_creds": credentials,
            },
            "globus_effective_identity": IDENTITY,
            "globus_identity_set": [{"sub": IDENTITY}],
            "globus_username": "lab",
        }
        text = json.dumps(command).encode()
        self.broker.publish(f"{endpoint}.command", text, content_type="application/json", timestamp=int(time.time()))
        return user_endpoint

    def _queue(self, endpoint: str, function: str, payload: str, *, group: str, headers: dict[str, Any]) -> str:
        task = str(uuid.uuid4())
        self.tasks[task] = (group, endpoint)
        body = messagepack.pack(Task(task_id=uuid.UUID(task), task_buffer=self.functions[function] + payload))
        self.broker.publish(
            f"{endpoint}.tasks", body, headers={**headers, "function_uuid": function, "task_uuid": task}
        )
        return task


def _token(body: str) -> dict[str, Any]:
    """Return a token for each service that is asked for."""
    scopes = parse_qs(body).get("scope", [""])[0].split()
    wanted = {
        "auth.globus.org": [scope for scope in scopes if _COMPUTE_SCOPE not in scope],
        "funcx_service": [scope for scope in scopes if _COMPUTE_SCOPE in scope],
    }
    fixed = {"token_type": "Bearer", "expires_in": 172_800, "state": "_"}
    first, *others = [
        {**fixed, "access_token": f"token-{server}", "resource_server": server, "scope": " ".join(own)}
        for server, own in wanted.items()
        if own
    ] or [{}]
    return {**first, "other_tokens": others}


@contextmanager
def serve(url: str) -> Iterator[Service]:
    """Run the service over a broker."""
    service = Service(url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's name for it
            """Say nothing."""

        def _answer(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            body = json.loads(text) if text and "json" in (self.headers.get("content-type") or "") else text
            answer = service.answer(urlparse(self.path).path, body)
            data = json.dumps(answer or {"code": "NOT_FOUND", "message": self.path}).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - its parent's names for them

    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="globus web", daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
        service.broker.close()
