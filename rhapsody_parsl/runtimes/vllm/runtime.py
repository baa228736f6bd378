"""The pilot's half of the vLLM runtime."""

import asyncio
import json
import secrets
from collections.abc import Sequence

import msgspec

from rhapsody_parsl.annotations.reruns import Reruns
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import VLLMRuntime
from rhapsody_parsl.errors import RhapsodyError, TaskCancelled
from rhapsody_parsl.runtimes.deferred import Deferred
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.runtimes.vllm.bodies import Bodies
from rhapsody_parsl.runtimes.vllm.replica import Replica
from rhapsody_parsl.runtimes.vllm.request import Request
from rhapsody_parsl.runtimes.vllm.service import ModelService
from rhapsody_parsl.runtimes.workers.exchange import Exchange
from rhapsody_parsl.service import ENVIRONMENT_VARIABLE
from rhapsody_parsl.wire.messages import (
    FAILED,
    PROMPT,
    Done,
    Failed,
    FromBackend,
    Ready,
    Rendezvous,
    Result,
    Task,
    failed,
)

__all__ = ("VLLM",)


class VLLM:
    """Requests to persistent model services.

    Closing runs in this order: (1) no replica is started again, (2) the request workers and the replicas' processes
    end, all at once, (3) the hub closes.

    Args:
        config: The user's.
        context: The block.
    """

    name = "vllm"
    eager = True

    def __init__(self, config: VLLMRuntime, context: Context) -> None:
        self._context = context
        self._hub: Exchange | None = None
        self._lives: list[asyncio.Task[None]] = []
        self._requests: dict[int, Request] = {}
        self._reruns = Reruns()
        self._deferred = Deferred(context.events)
        self._bodies = Bodies(context, config.request_workers, self._bodies_ended, self._bodies_lost)
        key = secrets.token_urlsafe(24)
        self._services: dict[str, ModelService] = {}
        for service in config.services:
            self._services[service.name] = ModelService(
                service,
                config.requests_in_flight,
                context,
                context.borrow,
                key,
                finish=self._finish,
                on_change=self._services_changed,
            )

    def refuse(self, spec: TaskSpec) -> str:
        """Refuse gangs, and services that the block does not have."""
        if spec.resources.is_mpi:
            return "a request has no ranks"
        if spec.service not in self._services:
            return f"it has no service '{spec.service}', only {', '.join(sorted(self._services)) or 'none'}"
        return ""

    async def start(self) -> None:
        """Set every replica going, and take tasks meanwhile; idempotent."""
        if self._hub is not None:
            return
        self._hub = Exchange(self._context, "vllm", self._receive)
        self._hub.start()
        self._bodies.start()
        for replica in self._replicas():
            if replica.error is None:
                self._lives.append(asyncio.create_task(replica.live(self._hub), name=f"service {replica.name}"))
        self._services_changed()

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Run the tasks' bodies, or end them when their service has failed for good."""
        service = self._services[run.spec.service]
        spec = run.spec
        for task in tasks:
            self._requests[task.id] = Request(task.id, run.id, spec.service, spec.full, spec.policy)
        if error := service.error:
            for task in tasks:
                self._finish(self._requests[task.id], failed(task.id, error))
        else:
            self._bodies.put(tasks)

    def end(self, run: Run) -> None:
        """Nothing worked for this run alone."""

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """End these, wherever they are; without `kill` nothing is given back, for everything has begun."""
        for task in tasks if kill else ():
            if request := self._requests.get(task):
                self._bodies.drop(task)
                self._services[request.service].drop(request)
                self._finish(request, failed(task, TaskCancelled()))

    async def stop(self) -> None:
        """End everything; idempotent."""
        if self._hub is None:
            return
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
        await asyncio.gather(self._bodies.stop(), *(replica.stop() for replica in self._replicas()))
        self._hub.stop()
        self._hub, self._lives = None, []

    def _replicas(self) -> list[Replica]:
        return [replica for service in self._services.values() for replica in service.replicas]

    # --- what request workers tell -------------------------------------------------------------------------------

    def _bodies_ended(self, results: Sequence[Result]) -> None:
        """Bodies returned a request, or ended otherwise."""
        asked: dict[str, list[Request]] = {}
        for result in results:
            request = self._requests.get(result.id)
            if request is None:
                continue  # cancelled
            if result.kind == PROMPT and isinstance(result.payload, bytes):
                request.body = result.payload
                asked.setdefault(request.service, []).append(request)
            else:
                self._finish(request, _with_service(result, request.service))
        for name, requests in asked.items():
            self._services[name].put(requests)

    def _bodies_lost(self, tasks: Sequence[int], error: RhapsodyError) -> None:
        """A request worker died with these; those that may run again go back to the core."""
        again: dict[int, list[int]] = {}
        for task in tasks:
            request = self._requests.get(task)
            if request is None:
                continue
            if self._reruns.allow(task, request.policy):
                again.setdefault(request.run, []).append(self._requests.pop(task).task)
            else:
                self._finish(request, failed(task, error))
        for run, returned in again.items():
            self._context.events.returned(run, returned)

    # --- what replicas' processes tell ---------------------------------------------------------------------------

    def _receive(self, peer: str, message: FromBackend) -> None:
        replica = next((replica for replica in self._replicas() if replica.peer == peer), None)
        if replica is None:
            return  # one that was given up
        match message:
            case Ready() | Failed() | Rendezvous():
                replica.hear(message)
            case Done(results=results):
                self._services[replica.service.name].answered(replica, results)
            case _:
                raise TypeError(f"a replica does not say {type(message).__name__}")

    def _services_changed(self) -> None:
        """Let tasks and people know."""
        if self._hub is None:
            return
        known = {name: address for name, service in self._services.items() if (address := service.address())}
        environment = self._context.environment
        environment[ENVIRONMENT_VARIABLE] = json.dumps(known)
        if first := next((known[name] for name in self._services if name in known), None):
            environment["OPENAI_BASE_URL"], environment["OPENAI_API_KEY"] = first["base_url"], first["api_key"]
        self._context.events.services([service.describe() for service in self._services.values()])

    # --- ends ----------------------------------------------------------------------------------------------------

    def _finish(self, request: Request, result: Result) -> None:
        """A request is over."""
        if self._requests.pop(request.task, None) is not None:
            self._reruns.forget(request.task)
            self._deferred.done(request.run, [result])


def _with_service(result: Result, service: str) -> Result:
    """Name the service in an error of the request worker, which does not know it."""
    if result.kind != FAILED or not isinstance(result.payload, bytes):
        return result
    name, facts = msgspec.msgpack.decode(result.payload)
    if name != "ServiceRequestFailed" or facts[0]:
        return result
    return msgspec.structs.replace(result, payload=msgspec.msgpack.encode((name, [service, *facts[1:]])))
