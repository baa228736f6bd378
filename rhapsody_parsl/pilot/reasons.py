"""Why tasks that wait have not started: their runtime, their service, or room."""

from collections.abc import Callable, Collection

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.lane import Lane
from rhapsody_parsl.pilot.room_left import RoomLeft
from rhapsody_parsl.pilot.starts import Starts
from rhapsody_parsl.wire.reports import ServiceReport
from rhapsody_parsl.wire.states import RuntimeState

__all__ = ("Reasons",)


class Reasons:
    """What stands in the way of tasks at one moment.

    Args:
        starts: Which runtimes can take tasks.
        room: What is free.
        state_of: Tells the state of a runtime, and why it is so.
        services: The block's.
        now: The time.
    """

    def __init__(
        self,
        starts: Starts,
        room: RoomLeft,
        *,
        state_of: Callable[[str], tuple[RuntimeState, str]],
        services: Collection[ServiceReport],
        now: float,
    ) -> None:
        self._starts, self._room, self._state_of, self._now = starts, room, state_of, now
        self._services = {service.name: service for service in services}

    def of(self, lane: Lane, wants: TaskSpec) -> str:
        """Return why the first task of a lane has not started, "" when none waits.

        Args:
            lane: The lane.
            wants: What that task asks for.
        """
        runtime = lane.runtime
        if not len(lane):
            return ""
        if runtime not in self._starts.ready:
            return f"runtime {runtime} is {_with_detail(*self._state_of(runtime))}"
        if not self._starts.may(runtime, self._now):
            return f"a process of runtime {runtime} did not start; it is tried again in a moment"
        if lane.launches and self._starts.launches.is_full:
            return f"{self._starts.launches.most} launches run, as many as may at once (max_launches)"
        return self._why_request(lane) if lane.window else self._room.missing(wants)

    def _why_request(self, lane: Lane) -> str:
        service = self._services.get(lane.spec.service)
        if service and service.state != "ready":
            return f"service {service.name} is {_with_detail(service.state, service.detail)}"
        return f"{lane.shape.given} requests are with the services, as many as they are given at once"


def _with_detail(state: str, detail: str) -> str:
    return f"{state}: {detail}" if detail else state
