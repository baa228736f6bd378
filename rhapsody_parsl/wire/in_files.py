"""Messages between the pilot and a process of another host: there large payloads become files, and files payloads."""

from collections.abc import Collection

import msgspec

from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.messages import (
    Answered,
    ChildrenEnded,
    Deliver,
    Done,
    FromBackend,
    Returned,
    SharedPayload,
    ToBackend,
    Work,
)
from rhapsody_parsl.wire.shared_memory import check_shared, deliver, moved

__all__ = ("put", "taken")

_to: Codec[ToBackend] = Codec(ToBackend)
_of: Codec[FromBackend] = Codec(FromBackend)


def put(frames: list[bytes], folder: str) -> tuple[list[bytes], list[int]]:
    """Put the large payloads of a message to a process into files, as far as there is room.

    Args:
        frames: The message.
        folder: Where the process looks for them.

    Returns:
        The message as it is then, and the tasks whose arguments lie in files. Results the process removes itself.

    Raises:
        MalformedFrame: It is no message.
    """
    message = _to.decode(frames)
    if isinstance(message, ChildrenEnded):
        return encode(ChildrenEnded([deliver(result, folder) for result in message.results])), []
    if not isinstance(message, Work | Deliver):
        return frames, []
    tasks = [deliver(task, folder) for task in message.tasks]
    given = [task.id for task in tasks if isinstance(task.payload, SharedPayload)]
    return encode(msgspec.structs.replace(message, tasks=tasks)), given


def taken(frames: list[bytes], folder: str) -> tuple[list[bytes], Collection[int]]:
    """Take the payloads of a message of a process out of its files.

    Args:
        frames: The message.
        folder: Where the process puts them.

    Returns:
        The message with them, and the tasks that the process has no more.

    Raises:
        MalformedFrame: It is no message, or a payload lies elsewhere.
    """
    message = _of.decode(frames)
    if isinstance(message, Returned):
        return frames, message.tasks
    if not isinstance(message, Done | Answered):
        return frames, ()
    check_shared(message.results, folder)
    over = [result.id for result in message.results]
    return encode(msgspec.structs.replace(message, results=[moved(result) for result in message.results])), over
