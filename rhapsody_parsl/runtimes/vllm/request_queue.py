"""The requests that wait for one of a service's replicas, and those that are with one."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from rhapsody_parsl.errors import RequestKilledEngine, RhapsodyError, ServiceFailed
from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.runtimes.vllm.copies import Copies
from rhapsody_parsl.runtimes.vllm.deaths import OTHERS, Death
from rhapsody_parsl.runtimes.vllm.dispatch import Dispatch, SeatState
from rhapsody_parsl.runtimes.vllm.progress import Progress
from rhapsody_parsl.runtimes.vllm.request import Request
from rhapsody_parsl.service_config import VLLMService
from rhapsody_parsl.services.replica import Replica
from rhapsody_parsl.services.service import Service
from rhapsody_parsl.wire.engine_messages import Abort, Ask, Asks, Pulse
from rhapsody_parsl.wire.messages import Done, FromBackend, Result, failed
from rhapsody_parsl.wire.piece_messages import More, Piece, Pieces
from rhapsody_parsl.wire.times import RequestTimes

__all__ = ("RequestQueue",)


_BATCH = 1 << 20
Give = Callable[[Request, Sequence[Piece], Callable[[More], None]], None]


class RequestQueue:
    """Gives requests to the replicas of a service, as its listener.

    Args:
        service: The service.
        config: The user's.
        finish: Takes the results that requests end with here: `(request, result)`.
        give: Takes pieces of answers, by their request's number, and where their reader's word goes.

    Attributes:
        pending: How many requests of the service there are, from the moment the core gives them until they are done.
    """

    def __init__(
        self, service: Service, config: VLLMService, finish: Callable[[Request, Result], None], give: Give
    ) -> None:
        self._service, self._finish, self._give = service, finish, give
        self.pending = 0
        self._requests: dict[int, Request] = {}
        self._silence = config.stall_timeout
        self._by_priority = config.engine_args.get("scheduling_policy") == "priority"
        self._progress: dict[str, Progress] = {}
        self._copies = Copies(config.restart_window)
        self._dispatch = Dispatch(config.requests_in_flight, config.restart_window)
        for replica in service.replicas:
            self._note_state(replica)
        service.listener = self

    @property
    def error(self) -> RhapsodyError | None:
        """Why no replica will ever answer, or None while one may."""
        return self._service.error

    def put(self, requests: Sequence[Request]) -> None:
        """Ask these, as soon as a replica is free."""
        now = time.monotonic()
        for request in requests:
            admitted = self._copies.admit(request, now)
            if isinstance(admitted, RequestKilledEngine):
                self._finish(request, failed(request.task, admitted))
                continue
            self._requests[request.number] = request
            if admitted:
                self._dispatch.put([request.number], request.policy.priority)
        self.dispatch()

    def drop(self, requests: Iterable[Request]) -> None:
        """The answers of these are not wanted any more."""
        dropped = [request for request in requests if self._requests.pop(request.number, None)]
        self._abort(dropped)
        for request in dropped:
            self._release(request)
        self.dispatch()

    def _abort(self, requests: Iterable[Request]) -> None:
        """Have these leave, wherever they are."""
        held: dict[str, list[int]] = {}
        for request in requests:
            if name := self._dispatch.leave(request.number):
                held.setdefault(name, []).append(request.number)
        for name, numbers in held.items():
            self._replica(name).send(Abort(numbers))

    def dispatch(self) -> None:
        """Give what waits to the replicas; end it when none will answer."""
        if not self._dispatch.idle and (error := self._service.error):
            while numbers := self._dispatch.take_all():
                for number in numbers:
                    self._fail(number, error)
            return
        now, front, kept = time.monotonic(), self._service.front, self._dispatch.kept
        if kept or not self._dispatch.idle:
            held = {replica.name: front.held(replica.peer) for replica in self._service.replicas}
            self._dispatch.note_others(held, front.pending(self._service.name))
        for assignment in self._dispatch.assign(now):
            replica = self._replica(assignment.replica)
            replica.worked_at = now
            asks = [self._ask(self._requests[task], assignment.apart) for task in assignment.tasks]
            for batch in batches(asks):
                replica.send(Asks(batch))
        if self._dispatch.kept != kept:
            front.changed()

    def _ask(self, request: Request, apart: bool) -> Ask:
        request.asked = time.time()
        priority = round(request.policy.priority) if self._by_priority else 0
        return Ask(request.number, request.body, request.full, apart, priority)

    def _replica(self, name: str) -> Replica:
        return next(replica for replica in self._service.replicas if replica.name == name)

    def _fail(self, number: int, error: RhapsodyError) -> None:
        request = self._requests.pop(number)
        self._finish(request, failed(request.task, error))
        self._release(request)

    def _release(self, request: Request) -> None:
        """A request is over: what waited for it is asked."""
        if copies := self._copies.over(request):
            for copy in copies:
                self._dispatch.put([copy.number], copy.policy.priority)

    # --- what the service asks -----------------------------------------------------------------------------------

    def held(self, replica: Replica) -> int:
        """Return how many requests a replica holds."""
        return len(self._dispatch.held(replica.name))

    def keeps(self, replica: Replica) -> bool:
        """Whether a replica is for suspects alone."""
        return replica.name in self._dispatch.kept

    def look(self, now: float) -> None:
        """Give up replicas whose head has said nothing for too long, while it held requests of apps or of the door."""
        for replica in self._service.replicas:
            held = self.held(replica)
            if replica.state == "ready":
                held += self._service.front.held(replica.peer)
            progress = self._progress.setdefault(replica.name, Progress(self._silence, now))
            if progress.stalled(held > 0, now):
                limit = f"stall_timeout={self._silence:g} s"
                replica.lose(f"its process showed no sign of life within {limit}, with {held} requests in flight")

    # --- what replicas tell --------------------------------------------------------------------------------------

    def answered(self, replica: Replica, results: Sequence[Result]) -> None:
        """A replica answered these."""
        replica.restarts.answered()
        for result in results:
            if request := self._requests.pop(result.id, None):
                self._dispatch.answered(replica.name, result.id)
                self._finish(request, _stamped(result, request.asked, replica.name))
                self._release(request)
        self.dispatch()

    def changed(self, replica: Replica) -> None:
        """A replica's state changed."""
        self._note_state(replica)
        self.dispatch()

    def gone(self, replica: Replica) -> None:
        """A replica was stopped: what it held others are asked."""
        self._dispatch.gone(replica.name)
        self.dispatch()

    def told(self, answered: bool) -> None:
        """The front door said what became of its requests; `answered` when our replicas have answered some."""
        self._dispatch.told(self._service.front, time.monotonic(), answered)
        self.dispatch()

    def heard(self, replica: Replica, message: FromBackend) -> None:
        """A replica's head answered requests, or shows that it is at work.

        Raises:
            TypeError: It says what no head does.
        """
        now = time.monotonic()
        if progress := self._progress.get(replica.name):
            progress.step(now)
        if not isinstance(message, Pulse):
            replica.worked_at = now
        match message:
            case Pulse():
                pass
            case Done(results=results):
                self.answered(replica, results)
            case Pieces(pieces=pieces):
                self._pass_on(replica, pieces)
            case _:
                raise TypeError(f"a replica does not say {type(message).__name__}")

    def _pass_on(self, replica: Replica, pieces: Sequence[Piece]) -> None:
        """Parts of answers came, for each of which the replica hears what its reader has taken."""
        by_request: dict[int, list[Piece]] = {}
        for piece in pieces:
            by_request.setdefault(piece.id, []).append(piece)
        for number, given in by_request.items():
            if request := self._requests.get(number):
                self._give(request, given, replica.send)

    def _note_state(self, replica: Replica) -> None:
        if replica.state != "stopped":  # else it is gone
            self._dispatch.set_state(replica.name, _seat(replica))

    def died(self, replica: Replica, failure: ServiceFailed, cause: Cause) -> Death:
        """A replica's engine died: what it held is asked again, but for requests that are found to be the cause."""
        now = time.monotonic()
        if cause != "host":
            for copy in self._copies.suspect(self._requests[task] for task in self._dispatch.held(replica.name)):
                self._dispatch.hold(replica.name, copy.number)
        death = self._dispatch.died(replica.name, now, cause)
        death.failure, death.replica = failure.args[1:], replica.last
        if cause != "host":
            death.suspects.add(OTHERS)
            self._dispatch.told(self._service.front, now)
        for task, deaths in self._dispatch.verdicts(now):
            self._convict(task, RequestKilledEngine(self._service.name, len(deaths), *deaths[-1].failure), now)
        return death

    def _convict(self, task: int, error: RequestKilledEngine, now: float) -> None:
        """A request kills engines: it fails, and so do its copies, wherever they are."""
        killer = self._requests[task]
        self._copies.convict(killer, error, now)
        alike = [request for request in self._requests.values() if request.body == killer.body]
        self._abort(alike)
        for request in alike:
            del self._requests[request.number]
            self._finish(request, failed(request.task, error))


def batches(asks: Iterable[Ask]) -> Iterator[list[Ask]]:
    """Yield requests in messages of `_BATCH` bytes, or of one request that is larger."""
    batch: list[Ask] = []
    size = 0
    for ask in asks:
        if batch and size + len(ask.request) > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(ask)
        size += len(ask.request)
    if batch:
        yield batch


def _stamped(result: Result, asked: float, replica: str) -> Result:
    """Return a result with when and by whom it was made, for the record."""
    times = msgspec.structs.replace(result.request or RequestTimes(0.0), asked=asked, replica=replica)
    return msgspec.structs.replace(result, request=times)


def _seat(replica: Replica) -> SeatState:
    if replica.leaving:
        return "leaving"
    if replica.coming:
        return "coming"
    return "ready" if replica.state == "ready" else "away"
