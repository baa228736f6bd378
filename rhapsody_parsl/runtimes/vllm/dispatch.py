"""Which request goes to which replica, and beside which others: events in, assignments out, no I/O.

A replica takes what waits, the most urgent first, up to a limit; the one with the least to do is first. Requests that
an engine died under (`suspects`) are asked again by a replica that holds nothing else, of others neither, unless these
take very long; meanwhile the others go on. Where there is only one replica, groups of suspects and whatever else waits,
with others too, take turns.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from rhapsody_parsl.hosts.ending import Cause
from rhapsody_parsl.runtimes.vllm.deaths import Death
from rhapsody_parsl.runtimes.vllm.suspects import Suspects
from rhapsody_parsl.services.front import Front
from rhapsody_parsl.services.places import most_of
from rhapsody_parsl.services.waiting import Waiting

__all__ = ("Assignment", "Dispatch", "SeatState")

SeatState = Literal["ready", "coming", "leaving", "away"]
"""Of a replica, as requests see it: `coming` will be ready when its engine has started, `leaving` takes no more."""

_PATIENCE = 60.0
"""Seconds for which suspects wait for what a replica holds of others: it has no end where a client does not read on."""
_TELL_EVERY = 1.0
"""Seconds between two looks at how long a busy engine has worked."""


class Assignment(msgspec.Struct, frozen=True):
    """Ask a replica these requests; `apart` when each is to reach the engine by itself."""

    replica: str
    tasks: list[int]
    apart: bool = False


class _Seat:
    """A replica.

    Attributes:
        state: Its state.
        inflight: What it holds, with priorities.
        fresh: Whether its engine has answered nothing yet but suspects that want a fresh one.
        kept: Whether it takes nothing but suspects.
        trial: Whether what it holds are suspects.
        since: From when on its work is still to be told; None while it holds nothing.
        others: How many requests of others it holds.
        owed: Whether those that others wait with have their turn next.
        waits: Since when suspects wait for the end of what it holds of others; None while they do not.
    """

    def __init__(self) -> None:
        self.state: SeatState = "away"
        self.inflight: dict[int, float] = {}
        self.fresh = self.kept = self.trial = False
        self.since: float | None = None
        self.others, self.owed = 0, False
        self.waits: float | None = None

    def is_empty(self, now: float) -> bool:
        """Whether suspects may be asked: it holds nothing, or for too long nothing but requests of others."""
        return not self.inflight and (not self.others or (self.waits is not None and now - self.waits >= _PATIENCE))

    @property
    def load(self) -> int:
        """How many requests it holds, of whomever."""
        return len(self.inflight) + self.others


class Dispatch:
    """The requests of a service and where they are.

    Args:
        limit: Requests a replica has at once, with those of others.
        window: Seconds for which an engine's death is remembered.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._waiting: Waiting[int] = Waiting()
        self._seats: dict[str, _Seat] = {}
        self._suspects = Suspects(window)
        self._turn = self._others_wait = False

    # --- events --------------------------------------------------------------------------------------------------

    def put(self, tasks: Iterable[int], priority: float = 0.0) -> None:
        """Requests came, or come back; who came first has the lower number.

        Args:
            tasks: Their numbers.
            priority: Of all of them; lower is asked first.
        """
        for task in tasks:
            self._waiting.put(task, priority, task)

    def set_state(self, replica: str, state: SeatState) -> None:
        """A replica has this state now; one that held requests has `died` before."""
        seat = self._seats.setdefault(replica, _Seat())
        new = state == "ready" and seat.state != "ready"
        seat.fresh = state == "ready" and (seat.fresh or new)
        if new:
            seat.owed = self._turn and self._others_wait
        seat.state = state

    def note_others(self, held: Mapping[str, int], pending: int) -> None:
        """Others have requests, which are no matter of ours; but they take places.

        Args:
            held: How many each replica has of them.
            pending: How many there are, with those that wait.
        """
        self._others_wait = pending > sum(held.values())
        for name, seat in self._seats.items():
            seat.others = held.get(name, 0)
            seat.owed = seat.owed and self._others_wait and not seat.others

    def answered(self, replica: str, task: int) -> None:
        """A replica answered a request."""
        if task in self._seats[replica].inflight:
            self._suspects.answered(task)
            del self._seats[replica].inflight[task]

    def leave(self, task: int) -> str:
        """A request is not wanted any more; return the replica that holds it, "" for none."""
        self._waiting.remove(task)
        self._suspects.leave(task)
        for name, seat in self._seats.items():
            if task in seat.inflight:
                del seat.inflight[task]
                return name
        return ""

    @property
    def kept(self) -> set[str]:
        """The replicas that take nothing but suspects: others are to give them nothing either."""
        return {name for name, seat in self._seats.items() if seat.kept}

    def held(self, replica: str) -> list[int]:
        """Return what a replica holds."""
        seat = self._seats.get(replica)
        return list(seat.inflight) if seat else []

    def hold(self, replica: str, task: int) -> None:
        """A replica that dies held it, and it is not to be asked again before it is put again."""
        del self._seats[replica].inflight[task]

    def died(self, replica: str, now: float, cause: Cause = "own") -> Death:
        """A replica's engine died.

        Args:
            replica: Its name.
            now: The time.
            cause: What it died of; with its host, what it held is asked again as if nothing had been.
        """
        seat = self._seats[replica]
        tasks, trial = list(seat.inflight), seat.trial
        self._turn = seat.fresh and trial and self._rest_waits
        self._seats[replica] = _Seat()
        if cause != "host":
            seconds = now - seat.since if seat.since is not None else 0.0
            return self._suspects.died(tasks, now, seconds, killed=cause == "killed")
        self._ask_again(seat)
        return Death(now)

    def told(self, front: Front, now: float, answered: bool = False) -> None:
        """The front door has said what became of its requests, see `Suspects.told`."""
        self._suspects.told(front, now, answered)

    def gone(self, replica: str) -> None:
        """A replica was stopped: what it held is asked again as if nothing had been."""
        if seat := self._seats.pop(replica, None):
            self._ask_again(seat)

    def _ask_again(self, seat: _Seat) -> None:
        if seat.trial and seat.inflight:
            self._suspects.put_back(list(seat.inflight))
        else:
            for task, priority in seat.inflight.items():
                self._waiting.put(task, priority, task)

    def verdicts(self, now: float) -> list[tuple[int, list[Death]]]:
        """Return the requests that are found to kill engines, with the deaths of each.

        One that is being asked is not among them, for it may be answered yet.
        """
        asked = {task for seat in self._seats.values() if seat.trial for task in seat.inflight}
        return self._suspects.verdicts(now, asked)

    def take_all(self) -> list[int]:
        """Give up what is with no replica, and return it."""
        tasks = [*self._suspects.waiting(), *self._waiting]
        self._waiting.clear()
        for task in tasks:
            self._suspects.forget(task)
        return tasks

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting and not self._suspects

    # --- decisions -----------------------------------------------------------------------------------------------

    def assign(self, now: float) -> list[Assignment]:
        """Return what is to be asked now; it counts as asked."""
        self._tell_work(now)
        out = self._assign(now)
        for seat in self._seats.values():
            seat.waits = (now if seat.waits is None else seat.waits) if seat.kept and seat.others else None
            if seat.inflight and seat.since is None:
                seat.since = now
        return out

    def _tell_work(self, now: float) -> None:
        """Tell how long engines worked and did not die; of a trial that is known at its end only."""
        for seat in self._seats.values():
            if seat.since is None or (seat.inflight and (seat.trial or now - seat.since < _TELL_EVERY)):
                continue
            self._suspects.worked(now - seat.since, now)
            seat.since = now if seat.inflight else None

    def _assign(self, now: float) -> list[Assignment]:
        if self.idle and not any(seat.kept for seat in self._seats.values()):
            return []
        for seat in self._seats.values():
            if seat.kept and not seat.inflight:
                self._end_trial(seat)
        out = self._try_fresh(now)
        if len(self._open()) > 1:
            self._keep_for_suspects()
        out += self._serve()
        self._keep_for_suspects()
        return out + self._try_suspects(now)

    def _open(self) -> list[_Seat]:
        """Return the replicas that take what waits."""
        return [seat for seat in self._seats.values() if seat.state == "ready" and not seat.kept]

    def _end_trial(self, seat: _Seat) -> None:
        """A replica kept for suspects holds nothing: it is free when no group waits, or when others have their turn."""
        turn = seat.trial and self._rest_waits and not self._open()
        seat.trial, seat.owed = False, turn and self._others_wait
        seat.kept = self._due and not turn

    def _keep_for_suspects(self) -> None:
        """Keep replicas for groups that wait, those with the least to do: all that are idle, else up to half of all.

        The last replica with work is kept only where no other will come.
        """
        ready = sum(seat.state == "ready" for seat in self._seats.values())
        while self._due and (seats := self._open()):
            seat = min(seats, key=lambda seat: (seat.owed, seat.load))
            idle = not seat.load and not self._waiting
            fair = ready - len(seats) < max(1, ready // 2) and (len(seats) > 1 or not self._more_come)
            if seat.owed or not (idle or fair):
                return
            seat.kept = True

    @property
    def _rest_waits(self) -> bool:
        """Whether requests wait that are no suspects, here or with others."""
        return bool(self._waiting) or self._others_wait

    @property
    def _more_come(self) -> bool:
        return any(seat.state == "coming" for seat in self._seats.values())

    @property
    def _due(self) -> bool:
        """Whether a group waits that need not wait for a fresh engine: there may be none to come."""
        return self._suspects.wants_any or (self._suspects.wants_fresh and not self._more_come)

    def _try_fresh(self, now: float) -> list[Assignment]:
        """Ask fresh engines the suspects that want one, before anything else; the rest has its turn between two."""
        out = []
        for name, seat in self._seats.items():
            due = self._suspects.wants_fresh and not seat.owed and not (self._turn and self._waiting)
            if due and seat.fresh and not seat.inflight:
                seat.kept = True
                if seat.is_empty(now):
                    out.append(self._try(name, self._suspects.take(fresh=True)))
        return out

    def _try(self, name: str, group: list[int]) -> Assignment:
        seat = self._seats[name]
        seat.inflight, seat.kept, seat.trial = dict.fromkeys(group, 0.0), True, True
        return Assignment(name, group, apart=True)

    def _serve(self) -> list[Assignment]:
        """Give what waits to the open replicas with the least to do."""
        given: dict[str, list[int]] = {}
        names = [name for name, seat in self._seats.items() if seat.state == "ready" and not seat.kept]
        seats = [self._seats[name] for name in names]
        limits = [most_of(self._limit, seat.others) for seat in seats]
        while self._waiting:
            chosen = choose([len(seat.inflight) for seat in seats], limits)
            if chosen is None:
                break
            task, priority = self._waiting.take()
            seat = seats[chosen]
            seat.inflight[task] = priority
            seat.fresh = self._turn = False
            given.setdefault(names[chosen], []).append(task)
        return [Assignment(name, tasks) for name, tasks in given.items()]

    def _try_suspects(self, now: float) -> list[Assignment]:
        """Give a group to each replica that is kept and holds nothing."""
        out = []
        for name, seat in self._seats.items():
            if seat.kept and seat.is_empty(now) and seat.state == "ready" and self._due:
                seat.fresh = False
                out.append(self._try(name, self._suspects.take()))
        return out


def choose(outstanding: Sequence[int], limits: Sequence[int]) -> int | None:
    """Return the index of the replica with the least to do that has room, the first of equals; None when none has."""
    there = (index for index, count in enumerate(outstanding) if count < limits[index])
    return min(there, key=outstanding.__getitem__, default=None)
