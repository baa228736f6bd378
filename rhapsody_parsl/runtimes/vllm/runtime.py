"""The pilot's half of the vLLM runtime."""

import asyncio
from collections.abc import Sequence

import msgspec

from rhapsody_parsl.annotations.reruns import Reruns
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import ModelRequests
from rhapsody_parsl.errors import RhapsodyError, TaskCancelled
from rhapsody_parsl.runtimes.deferred import Deferred
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.runtimes.vllm.kind import VLLMKind
from rhapsody_parsl.runtimes.vllm.prompt_workers import PromptWorkers
from rhapsody_parsl.runtimes.vllm.request import Request
from rhapsody_parsl.runtimes.vllm.request_queue import RequestQueue
from rhapsody_parsl.services.services import Services
from rhapsody_parsl.wire.messages import FAILED, PROMPT, Result, Task, failed

__all__ = ("VLLM",)


class VLLM:
    """Requests to persistent model services; the services themselves start and stop with the block.

    Args:
        config: The executor's.
        context: The block.
        services: The block's.
    """

    name = "vllm"
    eager = True

    def __init__(self, config: ModelRequests, context: Context, services: Services) -> None:
        self._context = context
        self._requests: dict[int, Request] = {}
        self._reruns = Reruns()
        self._deferred = Deferred(context.events)
        self._prompts = PromptWorkers(context, config.request_workers, self._prompts_made, self._prompts_lost)
        self._services = services
        self._queues: dict[str, RequestQueue] = {}
        for service in services:
            self._queue_of(service.name)

    def refuse(self, spec: TaskSpec) -> str:
        """Refuse gangs, and services that the block does not have."""
        if spec.resources.is_mpi:
            return "a request has no ranks"
        if self._queue_of(spec.service) is None:
            return f"it has no service '{spec.service}', only {', '.join(sorted(self._queues)) or 'none'}"
        return ""

    def _queue_of(self, name: str) -> RequestQueue | None:
        """Return the queue of a model; it may have come since the block started."""
        service = self._services.get(name)
        if name not in self._queues and service and isinstance(service.kind, VLLMKind):
            self._queues[name] = RequestQueue(service, service.kind.config, self._finish, self._context.events.pieces)
        return self._queues.get(name)

    async def start(self) -> None:
        """Take tasks; idempotent."""
        self._prompts.start()

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Run the tasks' bodies, or end them when their service has failed for good."""
        queue = self._queues[run.spec.service]
        spec = run.spec
        for task in tasks:
            self._requests[task.id] = Request(task.id, run.id, spec.service, full=spec.full, policy=spec.policy)
        queue.pending += len(tasks)
        if error := queue.error:
            for task in tasks:
                self._finish(self._requests[task.id], failed(task.id, error))
        else:
            self._prompts.put(tasks, spec.policy)

    def end(self, run: Run) -> None:
        """Nothing worked for this run alone."""

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """End these, wherever they are; without `kill` nothing is given back, for everything has begun."""
        for task in tasks if kill else ():
            if request := self._requests.get(task):
                self._prompts.drop(task)
                self._queues[request.service].drop(request)
                self._finish(request, failed(task, TaskCancelled()))

    async def stop(self) -> None:
        """End the request workers; idempotent."""
        await self._prompts.stop()

    # --- what request workers tell -------------------------------------------------------------------------------

    def _prompts_made(self, results: Sequence[Result]) -> None:
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
            self._queues[name].put(requests)

    def _prompts_lost(self, tasks: Sequence[int], error: RhapsodyError) -> None:
        """A request worker died with these; those that may run again go back to the core."""
        again: dict[int, list[int]] = {}
        for task in tasks:
            request = self._requests.get(task)
            if request is None:
                continue
            if self._reruns.allow(task, request.policy):
                again.setdefault(request.run, []).append(self._requests.pop(task).task)
                self._less(request.service)
            else:
                self._finish(request, failed(task, error))
        for run, returned in again.items():
            self._context.events.returned(run, returned)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _finish(self, request: Request, result: Result) -> None:
        """A request is over."""
        if self._requests.pop(request.task, None) is not None:
            self._reruns.forget(request.task)
            self._deferred.done(request.run, [result])
            self._less(request.service)

    def _less(self, name: str) -> None:
        """A service has a request less."""
        self._queues[name].pending -= 1
        service = self._services.get(name)
        if service and service.parting:  # once the core has given us what waited for the place of this one
            asyncio.get_running_loop().call_soon(service.relieved)


def _with_service(result: Result, service: str) -> Result:
    """Name the service in an error of the request worker, which does not know it."""
    if result.kind != FAILED or not isinstance(result.payload, bytes):
        return result
    name, facts = msgspec.msgpack.decode(result.payload)
    if name != "ServiceRequestFailed" or facts[0]:
        return result
    return msgspec.structs.replace(result, payload=msgspec.msgpack.encode((name, [service, *facts[1:]])))
