"""Equal requests: what is found out about one holds for all, so that each need not kill engines of its own. No I/O."""

from collections.abc import Iterable

from rhapsody_parsl.errors import RequestKilledEngine
from rhapsody_parsl.runtimes.vllm.request import Request

__all__ = ("Copies",)

_MOST_KILLERS = 64


class Copies:
    """While one request is under suspicion, its copies wait; once it was found to kill engines, they fail.

    Args:
        window: Seconds for which such a finding holds.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._open: dict[bytes, list[Request]] = {}
        self._killers: dict[bytes, tuple[float, RequestKilledEngine]] = {}

    def suspect(self, requests: Iterable[Request]) -> list[Request]:
        """An engine died under these: return those that are copies of others, which wait from now on."""
        copies = []
        for request in requests:
            alike = self._open.setdefault(request.body, [request])
            if alike[0] is not request:
                alike.append(request)
                copies.append(request)
        return copies

    def admit(self, request: Request, now: float) -> RequestKilledEngine | bool:
        """A request comes: return whether it may be asked, False while it waits for another, or its error."""
        if not (self._open or self._killers):
            return True
        until, error = self._killers.get(request.body, (now, None))
        if error and until > now:
            return error
        if alike := self._open.get(request.body):
            alike.append(request)
        return not alike

    def over(self, request: Request) -> list[Request]:
        """A request is over: return the copies that waited for it."""
        alike = self._open.get(request.body) if self._open else None
        if not alike or request not in alike:
            return []
        if alike[0] is not request:
            alike.remove(request)
            return []
        return self._open.pop(request.body)[1:]

    def convict(self, request: Request, error: RequestKilledEngine, now: float) -> None:
        """A request kills engines; the newest findings are kept."""
        self._open.pop(request.body, None)
        self._killers[request.body] = now + self._window, error
        while len(self._killers) > _MOST_KILLERS:
            del self._killers[next(iter(self._killers))]
