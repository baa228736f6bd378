"""The conversation between the pilot and the processes of its runtimes: hub and spokes.

They speak over a Unix socket in a private folder (`ipc://PATH`). On the pilot's host it is the hub's own; on another
host the node agent has one of the same path, and relays.
"""

import os
import select
import threading
from collections.abc import Callable

from rhapsody_parsl.wire.answers import Answers, answer
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import ChildrenEnded, FromBackend, Message, ToBackend
from rhapsody_parsl.wire.stream import StreamListener
from rhapsody_parsl.wire.stream_connection import StreamConnection

__all__ = ("Hub", "Spoke", "heard")

_LOCAL = "ipc://"
_ANSWER = 1
"""Bytes that take an answer, which is a datagram; no message is so short."""
_SELDOM = 1000
"""Milliseconds: a signal's handler may take what has just been seen to be there, and nothing more may come."""


class Hub:
    """The pilot's end of a runtime's conversations, on its event loop; peers are known by name.

    Args:
        endpoint: Where to listen: `ipc://PATH` in a private folder; a spoke finds it there.
        receive: Called with peer and message for each message that arrives.
    """

    def __init__(self, endpoint: str, receive: Callable[[str, FromBackend], None]) -> None:
        import asyncio  # noqa: PLC0415 - a third of a worker's start, which needs none

        self._receive, self.endpoint = receive, endpoint
        self._codec: Codec[FromBackend] = Codec(FromBackend)
        self._listener = StreamListener(endpoint.removeprefix(_LOCAL), self._deliver, asyncio.get_running_loop())

    def send(self, peer: str, message: ToBackend) -> None:
        """Send to a peer; a peer that is gone gets nothing (its end is an event of its own)."""
        self._listener.send(peer, encode(message))

    def drain(self) -> None:
        """Deliver what has arrived, now: what a process said before it ended comes before its end."""
        self._listener.drain()

    def close(self) -> None:
        """Hang up on everyone; idempotent."""
        self._listener.close()

    def _deliver(self, peer: str, frames: list[bytes]) -> None:
        heard(self._receive, peer, self._codec.decode(frames))  # the listener hangs up on a peer whose frames are none


def heard(receive: Callable[[str, FromBackend], None], peer: str, message: FromBackend) -> None:
    """Have a message taken in; where that breaks its peer is heard no more, and leaves: what it held is told as lost.

    Raises:
        MalformedFrame: It broke; half of it may have been done.
    """
    try:
        receive(peer, message)
    except MalformedFrame:
        raise
    except Exception as problem:
        import asyncio  # noqa: PLC0415 - as for the hub, whose loop has it

        words = f"{type(message).__name__} of {peer} could not be taken in"
        asyncio.get_running_loop().call_exception_handler({"message": words, "exception": problem})
        raise MalformedFrame(f"{words}: {problem!r}") from problem


class Spoke:
    """A process's end, with a name: any thread sends, one receives.

    Args:
        endpoint: The hub's.
        name: Ours; the hub addresses us by it.

    Attributes:
        skipped: How often something was taken that had been looked at before.
    """

    def __init__(self, endpoint: str, name: str) -> None:
        self._codec: Codec[ToBackend] = Codec(ToBackend)
        self._line = StreamConnection(endpoint.removeprefix(_LOCAL), name)
        self._folder, self._name = os.path.dirname(endpoint.removeprefix(_LOCAL)), name
        self._answers: Answers | None = None
        self.skipped = 0

    def fileno(self) -> int:
        """Return a descriptor for a loop: when it is readable, `receive_nowait` until there is nothing."""
        return self._line.fileno()

    def send(self, message: Message) -> None:
        """Send a message; nothing happens when the hub is gone."""
        self._line.send(encode(message))

    def post(self, message: Message) -> None:
        """Send a message, or leave it to the thread that sends another one now."""
        self._line.post(encode(message))

    def has_room(self) -> bool:
        """Whether a message of some ten thousand bytes would go now; else `send` may wait for the hub."""
        poller = select.poll()
        poller.register(self._line.fileno(), select.POLLOUT)
        return bool(poller.poll(0))

    def hear_answers(self) -> str:
        """Hear from now on what processes of this host answer past the hub, too.

        Returns:
            The name under which they answer; "" where they cannot.
        """
        if self._answers is None:
            try:
                self._answers = Answers(self._answers_of(self._name), self._line.fileno())
            except OSError:
                return ""
        return self._name

    def answer(self, peer: str, message: ChildrenEnded) -> bool:
        """Answer a peer past the hub; False when it is not on this host, or has no room: then the hub has to."""
        return answer(self._answers_of(peer), message)

    def _answers_of(self, peer: str) -> str:
        return f"{self._folder}/{peer}.answers"

    def _first_answer(self, most: int | None = None) -> ChildrenEnded | None:
        """Wait for whatever comes first: return an answer past the hub, which stays where it is, None for all else."""
        if self._answers is None or self._line.has_arrived or self._line.gone:
            return None
        return self._answers.first(most)

    def receive(self) -> ToBackend | None:
        """Wait for the next message; None when the hub is gone for good."""
        if message := self._first_answer():
            self._answers.recv(_ANSWER)  # type: ignore[union-attr]  # it has given one
            return message
        return self._decoded(self._line.receive())

    @property
    def has_arrived(self) -> bool:
        """Whether messages have been read that nobody has received."""
        return self._line.has_arrived

    def peek(self) -> list[tuple[ToBackend, int]]:
        """Wait, and return messages that stay where they are, each with what `skip` wants for it and those before it.

        Returns:
            Nothing where only `receive` gets on.
        """
        if message := self._first_answer(_SELDOM):
            return [(message, _ANSWER)]
        return [(self._codec.decode(frames), end) for frames, end in self._line.peek(waits=not self._answers)]

    def skip(self, size: int, skipped: int) -> None:
        """Take what `peek` has shown.

        A signal's handler may have done so meanwhile, on this thread. So the thread looks, counts and takes without a
        call of Python's in between: the interpreter starts handlers only at those.

        Args:
            size: What `peek` has said.
            skipped: What `skipped` was before.
        """
        take = self._answers.recv if self._answers and size == _ANSWER else self._line.recv
        if self.skipped == skipped:
            self.skipped += 1
            take(size)

    def receive_nowait(self) -> ToBackend | None:
        """Return the next message if there is one."""
        return self._decoded(self._line.receive_nowait())

    def wait_gone(self) -> None:
        """Wait until the hub is gone, on a thread that does nothing else."""
        self._line.wait_gone()

    def end_descriptor(self) -> int:
        """Return a descriptor, for a loop, that is readable once the hub is gone; a thread waits for that."""
        descriptor = os.eventfd(0)

        def tell() -> None:
            self.wait_gone()
            os.eventfd_write(descriptor, 1)

        threading.Thread(target=tell, name="end of the hub", daemon=True).start()
        return descriptor

    def close(self) -> None:
        """Close; what was sent still arrives."""
        self._line.close()

    def _decoded(self, frames: list[bytes] | None) -> ToBackend | None:
        return None if frames is None else self._codec.decode(frames)
