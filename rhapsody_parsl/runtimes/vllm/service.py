"""A service: its replicas, and the requests that wait for one of them."""

import time
from collections.abc import Callable, Sequence

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.config import VLLMService
from rhapsody_parsl.errors import RequestKilledEngine, RhapsodyError, ServiceFailed
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.runtimes.protocol import Borrow, Context, Placed
from rhapsody_parsl.runtimes.vllm.copies import Copies
from rhapsody_parsl.runtimes.vllm.deaths import Death
from rhapsody_parsl.runtimes.vllm.dispatch import Dispatch, SeatState
from rhapsody_parsl.runtimes.vllm.replica import Replica
from rhapsody_parsl.runtimes.vllm.request import Request
from rhapsody_parsl.wire.messages import Result, failed
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import ServiceState

__all__ = ("ModelService",)

_SHOWN: tuple[ServiceState, ...] = ("ready", "starting", "failed", "stopped")
"""The state of a service is the first of these that one of its replicas has."""


class ModelService:
    """One of the user's services in this block.

    Args:
        config: The user's.
        limit: Requests a replica is given at once.
        context: The block.
        borrow: Lends each replica its lease.
        api_key: For its HTTP API.
        finish: Takes the results that requests end with here: `(request, result)`.
        on_change: Called when the service is another than before.
    """

    def __init__(  # noqa: PLR0913 - one thing of each kind
        self,
        config: VLLMService,
        limit: int,
        context: Context,
        borrow: Borrow,
        api_key: str,
        *,
        finish: Callable[[Request, Result], None],
        on_change: Callable[[], None],
    ) -> None:
        self.config, self._api_key = config, api_key
        self._finish, self._on_change = finish, on_change
        self._requests: dict[int, Request] = {}
        self._copies = Copies(config.restart_window)
        self._dispatch = Dispatch(limit, config.restart_window)
        self.replicas: list[Replica] = []
        for index in range(config.replicas):
            placed = _lend(config, index, borrow)
            replica = Replica(config, index, placed or (), context, api_key, self)
            self.replicas.append(replica)
            if placed is None:
                replica.give_up(ServiceFailed(config.name, _no_room(config, index, len(context.nodes))))

    @property
    def error(self) -> RhapsodyError | None:
        """Why no replica will ever answer, or None while one may."""
        errors = [replica.error for replica in self.replicas]
        return errors[0] if all(errors) else None

    def put(self, requests: Sequence[Request]) -> None:
        """Ask these, as soon as a replica is free."""
        now = time.monotonic()
        for request in requests:
            admitted = self._copies.admit(request, now)
            if isinstance(admitted, RequestKilledEngine):
                self._finish(request, failed(request.task, admitted))
                continue
            self._requests[request.task] = request
            if admitted:
                self._dispatch.put([request.task])
        self.dispatch()

    def drop(self, request: Request) -> None:
        """A request's answer is not wanted any more."""
        if self._requests.pop(request.task, None):
            if name := self._dispatch.leave(request.task):
                self._replica(name).abort(request.task)
            self._release(request)
        self.dispatch()

    def dispatch(self) -> None:
        """Give what waits to the replicas; end it when none will answer."""
        if not self._dispatch.idle and (error := self.error):
            while tasks := self._dispatch.take_all():
                for task in tasks:
                    self._fail(task, error)
            return
        for assignment in self._dispatch.assign(time.monotonic()):
            self._replica(assignment.replica).ask([self._requests[task] for task in assignment.tasks], assignment.apart)

    def _replica(self, name: str) -> Replica:
        return next(replica for replica in self.replicas if replica.name == name)

    def _fail(self, task: int, error: RhapsodyError) -> None:
        request = self._requests.pop(task)
        self._finish(request, failed(task, error))
        self._release(request)

    def _release(self, request: Request) -> None:
        """A request is over: what waited for it is asked."""
        if copies := self._copies.over(request):
            self._dispatch.put(copy.task for copy in copies)

    # --- what replicas tell --------------------------------------------------------------------------------------

    def answered(self, replica: Replica, results: Sequence[Result]) -> None:
        """A replica answered these."""
        replica.restarts.answered()
        for result in results:
            if request := self._requests.pop(result.id, None):
                self._dispatch.answered(replica.name, result.id)
                self._finish(request, result)
                self._release(request)
        self.dispatch()

    def changed(self, replica: Replica) -> None:
        """A replica's state changed."""
        self._dispatch.set_state(replica.name, _seat(replica))
        if len(self.replicas) == self.config.replicas:
            self._on_change()
            self.dispatch()

    def died(self, replica: Replica, failure: ServiceFailed, cause: Cause) -> Death:
        """A replica's engine died: what it held is asked again, but for requests that are found to be the cause."""
        now = time.monotonic()
        if cause != "host":
            for copy in self._copies.suspect(self._requests[task] for task in self._dispatch.held(replica.name)):
                self._dispatch.hold(replica.name, copy.task)
        death = self._dispatch.died(replica.name, now, cause)
        death.failure = failure.args[1:]
        for task, deaths in self._dispatch.verdicts(now):
            self._convict(task, RequestKilledEngine(self.config.name, len(deaths), *deaths[-1].failure), now)
        return death

    def _convict(self, task: int, error: RequestKilledEngine, now: float) -> None:
        """A request kills engines: it fails, and so do its copies, wherever they are."""
        killer = self._requests[task]
        self._copies.convict(killer, error, now)
        for request in [request for request in self._requests.values() if request.body == killer.body]:
            if name := self._dispatch.leave(request.task):
                self._replica(name).abort(request.task)
            self._finish(self._requests.pop(request.task), failed(request.task, error))

    # --- for tasks and people ------------------------------------------------------------------------------------

    def address(self) -> dict[str, str] | None:
        """Return what a task needs to speak to the service itself, or None while it is not ready."""
        for replica in self.replicas:
            if replica.state == "ready":
                return {"base_url": replica.url, "api_key": self._api_key, "model": replica.model}
        return None

    def describe(self) -> ServiceReport:
        """Return the service's state, without its key."""
        states = [replica.state for replica in self.replicas]
        state = next(s for s in _SHOWN if s in states)
        shown = next(replica for replica in self.replicas if replica.state == state)
        shares = [part.share for replica in self.replicas for part in replica.placed]
        return ServiceReport(
            name=self.config.name,
            state=state,
            replicas=self.config.replicas,
            ready=states.count("ready"),
            cores=sum(len(share.cores) for share in shares),
            gpus=self.config.gpus * self.config.nodes * self.config.replicas,
            node=",".join(dict.fromkeys(share.node for share in shares)),
            url=shown.url if state == "ready" else "",
            model=self.config.model,
            since=shown.since,
            detail=shown.detail,
        )


def _seat(replica: Replica) -> SeatState:
    if replica.coming:
        return "coming"
    return "ready" if replica.state == "ready" else "away"


def _lend(config: VLLMService, index: int, borrow: Borrow) -> tuple[Placed, ...] | None:
    if config.nodes == 1 and not (config.cores or config.gpus or config.memory or config.labels):
        return ()
    name = f"service {config.name}[{index}]"
    policy = PolicyValue(labels=config.labels)
    return borrow(name, TaskSpec(name=name, runtime="vllm", resources=_resources(config), policy=policy), config.name)


def _resources(config: VLLMService) -> Resources:
    """Return what a replica takes: of one node, or, as a gang does, the same of each of several."""
    if config.nodes == 1:
        return Resources(cores=config.cores, gpus=config.gpus, memory=config.memory)
    return Resources(
        num_ranks=config.nodes,
        num_nodes=config.nodes,
        ranks_per_node=1,
        cores_per_rank=config.cores,
        gpus_per_rank=config.gpus,
        memory=config.memory,
    )


def _no_room(config: VLLMService, index: int, nodes: int) -> str:
    wants = [f"{config.cores} cores"]
    wants += [f"{config.gpus:g} GPUs"] if config.gpus else []
    wants += [f"{config.memory:g} GB"] if config.memory else []
    wants += [f"labels {', '.join(config.labels)}"] if config.labels else []
    each = f" on each of {config.nodes} nodes; the block has {nodes}" if config.nodes > 1 else ""
    return f"the block has no room left for replica {index} ({', '.join(wants)}{each})"
