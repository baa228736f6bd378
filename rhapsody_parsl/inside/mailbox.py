"""The process of an agent: it calls the methods that messages name, one after the other, and keeps checkpoints."""

import queue
import signal as signals
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from rhapsody_parsl.data.names import block_of
from rhapsody_parsl.data.reference import packed
from rhapsody_parsl.inside.client import Client, client
from rhapsody_parsl.mail import StopAgent
from rhapsody_parsl.payload import open_call, open_value, pack_value
from rhapsody_parsl.wire.mail_messages import Rested
from rhapsody_parsl.wire.messages import Answered, Deliver, Result, Task
from rhapsody_parsl.wire.shared_memory import deliver, opened
from rhapsody_parsl.wire.value_messages import RestValues
from rhapsody_parsl.worker.call import ended, pack
from rhapsody_parsl.worker.coroutines import awaited
from rhapsody_parsl.worker.line import Here

__all__ = ("Checkpoints", "Mailbox", "serve")


class Checkpoints:
    """The last state of an agent, in a file that all hosts see.

    Args:
        agent: What says its state by `checkpoint()`, and takes it by `restore(state)`; it may have neither.
        place: The file.
        here: The process's line to the pilot, which keeps the values of which a state has handles.
        name: The agent's.
    """

    def __init__(self, agent: Any, place: str, here: Client, name: str) -> None:
        self._say: Callable[[], Any] | None = getattr(agent, "checkpoint", None)
        self._take: Callable[[Any], object] | None = getattr(agent, "restore", None)
        self._place, self._client, self._name = Path(place), here, name
        self._kept: dict[str, int] = {}

    def restore(self) -> None:
        """Give the agent the state that was written last, if one was.

        Raises:
            Exception: What opening it, or the agent, raises.
        """
        if self._take is not None and self._place.exists():
            with self._client.restoring() as came:
                state = open_value(self._place.read_bytes())
            self._kept = {facts.key: facts.size for facts in came}
            self._take(state)

    def write(self) -> None:
        """Write the agent's state, all of it or nothing; None says that the one before still holds.

        Raises:
            Exception: What the agent or pickling raises.
            OSError: There is no room.
        """
        state = self._say() if self._say is not None else None
        if state is not None:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            new = self._place.with_suffix(".new")
            packed.clear()
            new.write_bytes(pack_value(state))
            kept = {ref.key: ref.size for ref in packed.take() if block_of(ref.key)}
            self._keep(self._kept | kept)  # until the one has taken the other's place
            new.replace(self._place)
            self._keep(kept)

    def remove(self) -> None:
        """Nobody needs it any more."""
        self._keep({})
        with suppress(OSError):
            self._place.unlink()

    def _keep(self, values: dict[str, int]) -> None:
        """Have the values stay that the agent's next process gets handles of."""
        if values != self._kept:
            self._client.say(RestValues(self._name, list(values.items())))
        self._kept = values


class Mailbox:
    """The messages of the agent of this process.

    Args:
        name: The agent's.
        here: The process's line to the pilot.
    """

    def __init__(self, name: str, here: Client) -> None:
        self._name, self._client = name, here
        self._waiting: queue.SimpleQueue[tuple[Task, str] | None] = queue.SimpleQueue()

    def deliver(self, message: Deliver) -> None:
        """Messages have come; on the thread that listens."""
        for task in message.tasks:
            self._waiting.put((task, message.shared_folder))
        if message.rest:
            self.notice()

    def notice(self) -> None:
        """The block ends soon: the agent is to rest, when it has answered what came before; from any thread."""
        self._waiting.put(None)

    def serve(self, agent: Any, checkpoints: Checkpoints) -> None:
        """Answer messages until one says stop, or, when the block ends, until this process is killed.

        Raises:
            Exception: What its hooks raise.
        """
        while item := self._waiting.get():
            if not self._answer(agent, checkpoints, *item):
                checkpoints.remove()
                return
        checkpoints.write()
        _leave(agent)
        self._client.say(Rested(self._name))
        while True:
            signals.pause()

    def _answer(self, agent: Any, checkpoints: Checkpoints, task: Task, folder: str) -> bool:
        """Answer a message, when its effect is in the checkpoint; return whether the agent goes on."""
        try:
            result = called(agent, task)
        except StopAgent:
            _leave(agent)
            self._say(pack(task.id, None), folder)
            return False
        checkpoints.write()
        self._say(result, folder)
        return True

    def _say(self, result: Result, folder: str) -> None:
        self._client.say(Answered(self._name, [deliver(result, folder)]))


def called(agent: Any, task: Task) -> Result:
    """Return what becomes of a message.

    Raises:
        StopAgent: It says so.
    """
    began = time.perf_counter()
    try:
        function, args, kwargs = open_call(opened(task))
        value = function(agent, *args, **kwargs)
        if isinstance(value, Coroutine):
            value = awaited(value)
    except StopAgent:
        raise
    except BaseException as problem:  # noqa: BLE001 - what the method raises is for who asked
        return ended(task.id, problem, time.perf_counter() - began)
    return pack(task.id, value, time.perf_counter() - began)


def serve(name: str, signal: str, make: Callable[[], Any]) -> None:
    """Be an agent.

    Args:
        name: The agent's.
        signal: What announces the end of the block, or "".
        make: Makes the agent.

    Raises:
        Exception: What it raises while it is made, or its hooks raise.
        RhapsodyError: Another agent has the name.
    """
    here = client()
    mailbox = Mailbox(name, here)
    Here.delivered = mailbox.deliver
    place = here.open_mailbox(name)
    agent = make()
    checkpoints = Checkpoints(agent, place, here, name)
    checkpoints.restore()
    if signal:
        signals.signal(signals.Signals[signal], lambda *_: mailbox.notice())
    try:
        mailbox.serve(agent, checkpoints)
    finally:
        Here.delivered = None


def _leave(agent: Any) -> None:
    """Let an agent close what it has open."""
    if hook := getattr(agent, "on_stop", None):
        hook()
