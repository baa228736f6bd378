"""The requests at the front door of a block, as far as the driver has heard: events in, ended requests out, no I/O."""

from collections.abc import Collection

import msgspec

from rhapsody_parsl.wire.door import DoorRequest, DoorRequests
from rhapsody_parsl.wire.states import REQUEST_ENDS
from rhapsody_parsl.wire.views import DoorLoad

__all__ = ("AtTheDoor",)

_LOST = REQUEST_ENDS.index("lost")


class AtTheDoor:
    """Of one block.

    Attributes:
        load: How many wait there, and how many replicas have, by service.
    """

    def __init__(self) -> None:
        self.load: dict[str, DoorLoad] = {}
        self._under_way: dict[int, DoorRequest] = {}

    @property
    def under_way(self) -> Collection[DoorRequest]:
        """The requests of which it was told that have not ended."""
        return self._under_way.values()

    def take(self, said: DoorRequests, now: float) -> list[DoorRequest]:
        """The block said something; return the requests that have ended.

        Args:
            said: What it said.
            now: Seconds since the epoch.
        """
        ended = [request for request in said.ended if not request.number or self._known(request.number)]
        self._under_way.update((request.number, request) for request in said.begun)
        services = {*said.waiting, *said.answering}
        self.load = {
            name: DoorLoad(waiting=said.waiting.get(name, 0), answering=said.answering.get(name, 0))
            for name in sorted(services)
        }
        return [*ended, *self.lose(said.gone, now)] if said.gone else ended

    def _known(self, number: int) -> bool:
        """Whether a request is under way; it is not any more. One that was lost has ended before."""
        return self._under_way.pop(number, None) is not None

    def lose(self, why: str, now: float) -> list[DoorRequest]:
        """What is under way is lost; return it.

        Args:
            why: For people.
            now: Seconds since the epoch.
        """
        lost, self._under_way, self.load = list(self._under_way.values()), {}, {}
        return [
            msgspec.structs.replace(
                request, ended=_LOST, seconds=max(now - request.came, request.seconds), error="lost", words=why
            )
            for request in lost
        ]
