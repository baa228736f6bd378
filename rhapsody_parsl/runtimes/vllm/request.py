"""What tasks ask, on its way through the pilot's half."""

from collections.abc import Iterable

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.wire.joined import joined
from rhapsody_parsl.wire.messages import Result

__all__ = ("Inquiry", "Request")


class Request:
    """One request to an engine.

    Args:
        task: The task's number.
        run: The core's run that the task belongs to.
        service: Name of the service that is asked.
        full: Whether the whole response is wanted.
        policy: Of the task.
        number: Its own; the lower, the earlier it came. That of the task if nothing else is said.

    Attributes:
        task: See above, as for the others.
        asked: When a replica was asked last, in seconds since the epoch; 0 before.
        body: What is asked, as msgpack.
    """

    __slots__ = ("asked", "body", "full", "number", "policy", "run", "service", "task")

    def __init__(
        self, task: int, run: int, service: str, *, full: bool, policy: PolicyValue, number: int | None = None
    ) -> None:
        self.task, self.run, self.service, self.full, self.policy = task, run, service, full, policy
        self.number = task if number is None else number
        self.body = b""
        self.asked = 0.0


class Inquiry:
    """What a task asks, from the moment the core gives it to us until it is done.

    Attributes:
        task: The task's number.
        run: The core's run it belongs to.
        service: Name of the service it asks.
        full: Whether the whole response is wanted.
        policy: Says whether its body may run again when its worker is lost.
        requests: What the body returned: one, or one for each prompt of a list, in order; none until then.
        missing: How many answers are still to come.
    """

    __slots__ = ("_results", "full", "missing", "policy", "requests", "run", "service", "task")

    def __init__(self, task: int, run: int, service: str, *, full: bool, policy: PolicyValue) -> None:
        self.task, self.run, self.service, self.full, self.policy = task, run, service, full, policy
        self.requests: list[Request] = []
        self._results: dict[int, Result] = {}
        self.missing = 1

    def made(self, bodies: Iterable[tuple[int, bytes]]) -> list[Request]:
        """The task's body returned requests.

        Args:
            bodies: Each with its number, as msgpack.
        """
        for number, body in bodies:
            request = Request(self.task, self.run, self.service, full=self.full, policy=self.policy, number=number)
            request.body = body
            self.requests.append(request)
        self.missing = len(self.requests)
        return self.requests

    def answered(self, request: Request, result: Result) -> Result | None:
        """One was answered, or failed; return the task's result when it was the last."""
        self._results[request.number] = result
        self.missing -= 1
        if self.missing:
            return None
        return joined(self.task, self.service, self.full, [self._results[one.number] for one in self.requests])
