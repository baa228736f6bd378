"""Workers that are objects: they take their host's orders and messages, and answer tasks without running them."""

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from rhapsody_parsl.agents.words import Begun, Ended, Start
from rhapsody_parsl.payload import pack_result
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.messages import (
    RESULT,
    Done,
    Message,
    Quit,
    Ready,
    Recall,
    Result,
    Returned,
    Task,
    ToBackend,
    Work,
)

__all__ = ("Delay", "Workers")

NOTHING = pack_result(None)
_MODULE = "rhapsody_parsl.worker"
_codec: Codec[ToBackend] = Codec(ToBackend)


class Delay:
    """How long tasks take: evenly distributed, from nothing to twice the mean.

    Args:
        seed: Of the dice.

    Attributes:
        mean: Seconds; 0 answers at once.
        held: Whether nobody answers just now.
    """

    def __init__(self, seed: int) -> None:
        self._dice, self.mean, self.held = random.Random(seed), 0.0, False  # noqa: S311 - an experiment

    def draw(self) -> float:
        """Return the seconds of a task."""
        return self._dice.uniform(0.0, 2 * self.mean)


class _Worker:
    """One worker.

    Args:
        say: Takes what it says.
        delay: How long its tasks take.
    """

    def __init__(self, say: Callable[[Message], None], delay: Delay) -> None:
        self._say, self._delay = say, delay
        self._queue: deque[tuple[int, Task]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, message: ToBackend) -> bool:
        """Take a message; False when the worker leaves."""
        match message:
            case Work(run=run, tasks=tasks) if not (self._delay.mean or self._delay.held or self._queue):
                self._say(Done(run, [_result(task, 0.0) for task in tasks]))
            case Work(run=run, tasks=tasks):
                self._queue.extend((run, task) for task in tasks)
                self._begin()
            case Recall(run=run, tasks=wanted, kill=kill):
                return self._recall(run, wanted, kill)
            case Quit():
                return False
            case _:
                pass
        return True

    def stop(self) -> None:
        """Answer nothing more."""
        if self._timer:
            self._timer.cancel()
        self._queue.clear()

    def go_on(self) -> None:
        """Nobody is held any more."""
        self._begin()

    def _begin(self) -> None:
        if self._queue and self._timer is None and not self._delay.held:
            seconds = self._delay.draw()
            self._timer = asyncio.get_running_loop().call_later(seconds, self._end, seconds)

    def _end(self, seconds: float) -> None:
        self._timer = None
        run, task = self._queue.popleft()
        self._say(Done(run, [_result(task, seconds)]))
        self._begin()

    def _recall(self, run: int, wanted: Sequence[int], kill: bool) -> bool:
        """Give back what has not begun; False when what has begun is to be killed."""
        if kill and self._queue and self._queue[0][1].id in wanted:
            return False
        back = [item for item in list(self._queue)[1:] if item[1].id in wanted]
        self._queue = deque(item for item in self._queue if item not in back)
        self._say(Returned(run, [task.id for _, task in back]))
        return True


class Workers:
    """Those of one host: in the place of an agent's processes and of its relay.

    Args:
        told: Takes what the agent would tell of a process.
        say: Takes exchange, peer and frames of what a worker says.
        host: Its name.
        delay: How long tasks take.
    """

    environment: Mapping[str, str] = {}

    def __init__(
        self,
        told: Callable[[Begun | Ended], None],
        say: Callable[[str, str, list[bytes]], None],
        host: str,
        delay: Delay,
    ) -> None:
        self._told, self._say, self._host, self._delay = told, say, host, delay
        self._workers: dict[str, _Worker] = {}
        self._names: dict[int, str] = {}

    # --- in the place of the processes ---------------------------------------------------------------------------

    def start(self, order: Start) -> None:
        """Start one; what is no worker has exited at once."""
        self._told(Begun(order.number))
        command = order.argv[order.argv.index("--") + 1 :]
        if _MODULE not in command:
            self._told(Ended(order.number, 0))
            return
        endpoint, name = command[-2:]
        exchange = os.path.basename(endpoint)
        self._names[order.number] = name
        self._workers[name] = _Worker(lambda message: self._say(exchange, name, encode(message)), self._delay)
        self._say(exchange, name, encode(Ready(self._host, os.getpid())))

    def up(self, name: str) -> None:
        """One has spoken, which none waits for."""

    def release(self, number: int) -> None:
        """Have one stopped."""
        self._leave(self._names.get(number, ""))

    kill = release

    def go_on(self) -> None:
        """Nobody is held any more."""
        for worker in self._workers.values():
            worker.go_on()

    def close(self) -> None:
        """Stop all; idempotent."""
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()
        self._names.clear()

    def _leave(self, name: str) -> None:
        worker = self._workers.pop(name, None)
        if worker is not None:
            worker.stop()
            number = next(number for number, other in self._names.items() if other == name)
            del self._names[number]
            self._told(Ended(number, 0))

    # --- in the place of the relay -------------------------------------------------------------------------------

    def open(self, exchange: str, after: str = "", *, tells_left: bool = False) -> None:
        """All may speak everywhere."""

    def tell(self, _exchange: str, peer: str, frames: Sequence[bytes]) -> None:
        """Have a message heard by a worker; one that is gone gets nothing."""
        worker = self._workers.get(peer)
        if worker is not None and not worker.take(_codec.decode(frames)):
            self._leave(peer)

    def hang_up(self, _exchange: str, peer: str) -> None:
        """Hear a worker no more."""
        self._leave(peer)

    def hold(self, held: bool) -> None:
        """They say little enough."""

    def drain(self) -> None:
        """What they said is on its way already."""


def _result(task: Task, seconds: float) -> Result:
    return Result(task.id, RESULT, NOTHING, seconds, time.time())
