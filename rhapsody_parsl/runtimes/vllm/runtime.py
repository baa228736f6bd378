"""The pilot's half of the vLLM runtime."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

import msgspec

from rhapsody_parsl.annotations.reruns import Reruns
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import ModelRequests
from rhapsody_parsl.errors import RhapsodyError, TaskCancelled
from rhapsody_parsl.runtimes.deferred import Deferred
from rhapsody_parsl.runtimes.protocol import Context, Run
from rhapsody_parsl.runtimes.vllm.kind import VLLMKind
from rhapsody_parsl.runtimes.vllm.prompt_workers import PromptWorkers
from rhapsody_parsl.runtimes.vllm.request import Inquiry, Request
from rhapsody_parsl.runtimes.vllm.request_queue import RequestQueue
from rhapsody_parsl.services.services import Services
from rhapsody_parsl.wire.messages import FAILED, PROMPT, Result, Task, failed
from rhapsody_parsl.wire.piece_messages import More, Piece

__all__ = ("VLLM",)

_decode_bodies = msgspec.msgpack.Decoder(list[bytes]).decode


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
        self._inquiries: dict[int, Inquiry] = {}
        self._numbers = count(1)
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
            self._queues[name] = RequestQueue(service, service.kind.config, self._over, self._give)
        return self._queues.get(name)

    async def start(self) -> None:
        """Take tasks; idempotent."""
        self._prompts.start()

    def run(self, run: Run, tasks: Sequence[Task]) -> None:
        """Run the tasks' bodies, or end them when their service has failed for good."""
        queue = self._queues[run.spec.service]
        spec = run.spec
        for task in tasks:
            self._inquiries[task.id] = Inquiry(task.id, run.id, spec.service, full=spec.full, policy=spec.policy)
        queue.pending += len(tasks)
        if error := queue.error:
            for task in tasks:
                self._finish(self._inquiries[task.id], failed(task.id, error))
        else:
            self._prompts.put(tasks, spec.policy)

    def end(self, run: Run) -> None:
        """Nothing worked for this run alone."""

    def cancel(self, run: Run, tasks: Sequence[int], kill: bool) -> None:
        """End these, wherever they are; without `kill` nothing is given back, for everything has begun."""
        for task in tasks if kill else ():
            if inquiry := self._inquiries.get(task):
                self._prompts.drop(task)
                self._finish(inquiry, failed(task, TaskCancelled()))
                self._queues[inquiry.service].drop(inquiry.requests)

    async def stop(self) -> None:
        """End the request workers; idempotent."""
        await self._prompts.stop()

    # --- what request workers tell -------------------------------------------------------------------------------

    def _prompts_made(self, results: Sequence[Result]) -> None:
        """Bodies returned requests, or ended otherwise."""
        asked: dict[str, list[Request]] = {}
        for result in results:
            inquiry = self._inquiries.get(result.id)
            if inquiry is None:
                continue  # cancelled
            if result.kind == PROMPT and isinstance(result.payload, bytes):
                requests = inquiry.made((next(self._numbers), body) for body in _decode_bodies(result.payload))
                self._queues[inquiry.service].pending += len(requests) - 1
                asked.setdefault(inquiry.service, []).extend(requests)
            else:
                self._finish(inquiry, _with_service(result, inquiry.service))
        for name, requests in asked.items():
            self._queues[name].put(requests)

    def _prompts_lost(self, tasks: Sequence[int], error: RhapsodyError) -> None:
        """A request worker died with these; those that may run again go back to the core."""
        again: dict[int, list[int]] = {}
        for task in tasks:
            inquiry = self._inquiries.get(task)
            if inquiry is None:
                continue
            if self._reruns.allow(task, inquiry.policy):
                again.setdefault(inquiry.run, []).append(self._inquiries.pop(task).task)
                self._less(inquiry.service)
            else:
                self._finish(inquiry, failed(task, error))
        for run, returned in again.items():
            self._context.events.returned(run, returned)

    # --- what queues tell ----------------------------------------------------------------------------------------

    def _give(self, request: Request, pieces: Sequence[Piece], say: Callable[[More], None]) -> None:
        """Parts of a request's answer came; outside they are those of its task."""

        def more(message: More) -> None:
            say(msgspec.structs.replace(message, task=request.number))

        given = [msgspec.structs.replace(piece, id=request.task) for piece in pieces]
        self._context.events.pieces(request.run, given, more)

    def _over(self, request: Request, result: Result) -> None:
        """A request is over, and with the last one its task."""
        inquiry = self._inquiries.get(request.task)
        if inquiry is None:
            return
        whole = inquiry.answered(request, result)
        self._less(inquiry.service)
        if whole:
            self._finish(inquiry, whole)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _finish(self, inquiry: Inquiry, result: Result) -> None:
        """A task is over, whatever is missing."""
        if self._inquiries.pop(inquiry.task, None) is not None:
            self._reruns.forget(inquiry.task)
            self._deferred.done(inquiry.run, [result])
            self._less(inquiry.service, inquiry.missing)

    def _less(self, name: str, requests: int = 1) -> None:
        """A service has fewer requests."""
        self._queues[name].pending -= requests
        service = self._services.get(name)
        if requests and service and service.parting:  # once the core has given us what waited for their places
            asyncio.get_running_loop().call_soon(service.relieved)


def _with_service(result: Result, service: str) -> Result:
    """Name the service in an error of the request worker, which does not know it."""
    if result.kind != FAILED or not isinstance(result.payload, bytes):
        return result
    name, facts = msgspec.msgpack.decode(result.payload)
    if name != "ServiceRequestFailed" or facts[0]:
        return result
    return msgspec.structs.replace(result, payload=msgspec.msgpack.encode((name, [service, *facts[1:]])))
