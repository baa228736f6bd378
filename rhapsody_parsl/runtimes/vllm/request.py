"""One request on its way through the pilot's half."""

__all__ = ("Request",)


class Request:
    """A task, from the moment the core gives it to us until it is done.

    Attributes:
        task: The task's number.
        run: The core's run it belongs to.
        service: Name of the service it asks.
        full: Whether the whole response is wanted.
        rerun: Whether its body may run again when its worker is lost.
        body: What the body returned, as msgpack; empty until then.
    """

    __slots__ = ("body", "full", "rerun", "run", "service", "task")

    def __init__(self, task: int, run: int, service: str, full: bool, rerun: bool) -> None:
        self.task, self.run, self.service, self.full, self.rerun = task, run, service, full, rerun
        self.body = b""
