"""One request on its way through the pilot's half."""

from rhapsody_parsl.annotations.policy import PolicyValue

__all__ = ("Request",)


class Request:
    """A task, from the moment the core gives it to us until it is done.

    Attributes:
        task: The task's number.
        run: The core's run it belongs to.
        service: Name of the service it asks.
        full: Whether the whole response is wanted.
        policy: Says whether its body may run again when its worker is lost.
        asked: When a replica was asked last, in seconds since the epoch; 0 before.
        body: What the body returned, as msgpack; empty until then.
    """

    __slots__ = ("asked", "body", "full", "policy", "run", "service", "task")

    def __init__(self, task: int, run: int, service: str, *, full: bool, policy: PolicyValue) -> None:
        self.task, self.run, self.service, self.full, self.policy = task, run, service, full, policy
        self.body = b""
        self.asked = 0.0
