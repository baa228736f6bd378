"""The replica process's end of the conversation with the pilot, whatever it serves."""

import asyncio
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, ParamSpec

from rhapsody_parsl.errors import RhapsodyError, ServiceFailed
from rhapsody_parsl.services.leaving import leave, leave_with
from rhapsody_parsl.services.settings import Settings
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.door import FromDoor
from rhapsody_parsl.wire.engine_messages import Rendezvous, Turned
from rhapsody_parsl.wire.failures import to_wire
from rhapsody_parsl.wire.messages import Failed, Quit, Ready, ServiceFacts, ToBackend

__all__ = ("Conversation", "bind")

P = ParamSpec("P")


class Conversation:
    """Tells the pilot what becomes of the replica, and hears it; the process leaves with the pilot.

    Args:
        settings: From the pilot.
        leave: How to leave.
    """

    def __init__(self, settings: Settings, leave: Callable[[], object] = leave) -> None:
        self.service, self._leave = settings.name, leave
        self.spoke: Spoke = settings.spoke()
        leave_with(self.spoke, leave)

    def tell(self, message: Rendezvous | FromDoor | Turned) -> None:
        """Tell the pilot something: where processes on other nodes find this one, what the front door has, ..."""
        self.spoke.send(message)

    async def serve(self, facts: ServiceFacts, receive: Callable[[ToBackend], None] | None = None) -> None:
        """Say that the service is ready, and listen until told to leave.

        Args:
            facts: Where it answers.
            receive: Takes what the pilot says.
        """
        loop = asyncio.get_running_loop()

        def pump() -> None:
            while (message := self.spoke.receive_nowait()) is not None:
                if isinstance(message, Quit):
                    self._leave()
                elif receive:
                    receive(message)

        hear = self.vital(pump)
        loop.add_reader(self.spoke.fileno(), hear)
        self.spoke.send(Ready(socket.gethostname(), os.getpid(), facts))
        hear()
        await loop.create_future()

    def vital(self, action: Callable[P, object]) -> Callable[P, None]:
        """Return an action as the loop may call it: when it breaks we leave, for somebody waits for what it does."""

        def act(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                action(*args, **kwargs)
            except Exception as problem:  # noqa: BLE001 - the loop would only log it
                traceback.print_exc()
                self.lost(f"it broke: {type(problem).__name__}: {problem}")

        return act

    def tell_failure(self, error: RhapsodyError, killed: bool = False) -> None:
        """Tell the pilot why the replica is of no use any more; the pilot then stops us."""
        print(f"leaving: {error}", file=sys.stderr, flush=True)  # noqa: T201 - into the replica's log
        name, facts = to_wire(error)
        self.spoke.send(Failed(name, facts, killed))

    def fail(self, error: RhapsodyError, killed: bool = False) -> NoReturn:
        """Tell the pilot why, and leave."""
        try:
            self.tell_failure(error, killed)
            self.spoke.close()  # waits until all has left
        finally:
            leave(1)

    def lost(self, reason: str, killed: bool = False) -> NoReturn:
        """What served has died: leave, so that the pilot starts a new one.

        Args:
            reason: How, for people.
            killed: Whether by a signal that somebody or the system sends.
        """
        self.fail(ServiceFailed(self.service, reason), killed)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the port, or to a free one when it is taken or 0.

    Raises:
        OSError: No port is free.
    """
    for wanted in dict.fromkeys((port, 0)):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, wanted))
        except OSError:
            listener.close()
            if not wanted:
                raise
        else:
            return listener
    raise OSError(f"no free port on {host}")
