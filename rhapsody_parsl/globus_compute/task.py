"""One Globus Compute task on a worker: bytes in, Globus Compute's own `execute_task`, bytes out.

A worker opens these functions by their names; what the user packed travels through them as bytes.
"""

import os
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from globus_compute_common import messagepack
from globus_compute_common.messagepack.message_types import Result, Task
from globus_compute_sdk.serialize import ComputeSerializer, DillDataBase64, SerializationStrategy
from globus_compute_sdk.serialize.base import IDENTIFIER_LENGTH
from parsl.app.errors import RemoteExceptionWrapper
from pydantic_core import PydanticSerializationError

from rhapsody_parsl.executors.functions import facts_of
from rhapsody_parsl.raised.account import in_words
from rhapsody_parsl.telling import bounded

__all__ = ("TaskRaised", "ask_for_prompt", "run_on_rank", "run_once", "takes_comm")

Execute = Callable[..., bytes]
"""Globus Compute's `execute_task`, as its engines hand it to us."""


class TaskRaised(Exception):  # noqa: N818 - named for what happened
    """The user's function raised; the only argument is Globus Compute's packed result, which says what."""


def run_once(execute: Execute, packed: bytes, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """Run a task in this process, as it finds it.

    Args:
        execute: `execute_task`.
        packed: The task.
        args: What `execute` takes after it.
        kwargs: Its keywords.

    Returns:
        The packed result.

    Raises:
        RemoteError: The task raised what no function should, such as KeyboardInterrupt.
        TaskRaised: The function raised in a child that it forked, whose end this is.
    """
    own = os.getpid()
    with _own_state():
        try:
            return _unless_forked(own, execute(packed, *args, **kwargs))
        except PydanticSerializationError as problem:
            if told := _in_text(problem):
                return _unless_forked(own, told)
            raise
        except (Exception, SystemExit):
            raise
        except BaseException as problem:  # noqa: BLE001 - its class may be the user's, which the endpoint must not open
            error = in_words(problem, "it is no Exception, and ends what it passes through")
    raise error  # out here, where no other exception is under way: it would travel with it


def run_on_rank(  # noqa: PLR0917 - a task's function, whose last parameter is a rank's
    execute: Execute, packed: bytes, args: Sequence[Any], kwargs: Mapping[str, Any], comm: Any = None
) -> bytes:
    """Run a task's function on a rank, with its communicator.

    Args:
        execute: See `run_once`, as for the others.
        packed: See there.
        args: See there.
        kwargs: See there.
        comm: The task's communicator, from the rank.

    Returns:
        The packed result.

    Raises:
        TaskRaised: The function raised on this rank: then the other ranks are not waited for.
    """
    _Communicator.current = comm
    try:
        with _own_state():
            packed, kwargs = _with_comm(packed, kwargs)
        answer = run_once(execute, packed, args, kwargs)
    finally:
        _Communicator.current = None
    if _raised(answer):
        raise TaskRaised(_signed(answer, f"Raised by rank {comm.rank} of {comm.size} on {socket.gethostname()}."))
    return answer


def ask_for_prompt(execute: Execute, packed: bytes, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a task's function for the prompt that it returns.

    Args:
        execute: See `run_once`, as for the others.
        packed: See there.
        args: See there.
        kwargs: See there.

    Raises:
        TaskRaised: The function raised.
    """
    answer = run_once(execute, packed, args, {**kwargs, "result_serializers": None})
    if _raised(answer):
        raise TaskRaised(answer)
    return ComputeSerializer().deserialize(_result(answer).data)


def takes_comm(code: str, deserializers: Sequence[str]) -> bool:
    """Whether a serialized function has a `comm` parameter; False for what cannot be opened: its own run will say why.

    Args:
        code: The function, as Globus Compute serialized it.
        deserializers: Those the endpoint allows.
    """
    with _own_state():
        try:
            return facts_of(ComputeSerializer(allowed_deserializer_types=deserializers).deserialize(code)).comm
        except Exception:  # noqa: BLE001 - opening it runs the user's code
            return False


def _unless_forked(own: int, answer: bytes) -> bytes:
    """Return the answer; a child that the function forked has none, and fails with its exception.

    Args:
        own: The process that called the function.
        answer: Packed.

    Raises:
        TaskRaised: The function raised in a child.
    """
    if os.getpid() != own and _raised(answer):
        raise TaskRaised(answer)
    return answer


@contextmanager
def _own_state() -> Iterator[None]:
    """Put working directory and environment back afterwards: `execute_task` and the user's function change both."""
    here, environment = os.getcwd(), dict(os.environ)
    try:
        yield
    finally:
        os.chdir(here)
        if os.environ != environment:
            os.environ.clear()
            os.environ.update(environment)


def _in_text(problem: BaseException) -> bytes | None:
    """Return the packed result of an `execute_task` whose words are no Unicode: a lone surrogate is in them.

    The words are where they could not be packed; elsewhere nobody has them any more.
    """
    for frame, _ in traceback.walk_tb(problem.__traceback__):
        message = frame.f_locals.get("result_message")
        if isinstance(message, dict) and "error_details" in message:
            return messagepack.pack(Result(**_encodable(message)))
    return None


def _encodable(value: Any) -> Any:
    """Return a value with each text in it, at whatever depth, made fit to be sent."""
    if isinstance(value, dict):
        return {name: _encodable(each) for name, each in value.items()}
    return bounded(value, len(value)) if isinstance(value, str) else value


def _raised(answer: bytes) -> bool:
    """Whether the function raised: the result says so, or holds what Parsl's decorators make of an exception."""
    result = _result(answer)
    return result.is_error or isinstance(ComputeSerializer().deserialize(result.data), RemoteExceptionWrapper)


def _result(answer: bytes) -> Result:
    result = messagepack.unpack(answer)
    if not isinstance(result, Result):
        raise TypeError(f"execute_task returned a message of kind {type(result).__name__}")
    return result


class _Communicator:
    """Stands for the communicator among serialized keywords, and becomes the rank's own when they are opened."""

    current: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _communicator, ()


def _communicator() -> Any:
    return _Communicator.current


def _with_comm(packed: bytes, kwargs: Mapping[str, Any]) -> tuple[bytes, Mapping[str, Any]]:
    """Return the task with `comm` among its keywords, and the keywords of `execute` that let it be opened.

    A task that cannot be opened stays as it is: `execute` says why.
    """
    try:
        task = messagepack.unpack(packed)
        assert isinstance(task, Task)  # noqa: S101 - else `execute` says what it is
        code, args, keywords = ComputeSerializer.unpack_buffers(task.task_buffer)
        allowed = list(kwargs.get("task_deserializers") or ())
        opener = ComputeSerializer(allowed_deserializer_types=allowed)
        if strategy := SerializationStrategy.get_cached_by_id(args[:IDENTIFIER_LENGTH]):
            opener.assert_deserializer_allowed(strategy)
        known = {**opener.deserialize(keywords), "comm": _Communicator()}
    except Exception:  # noqa: BLE001 - opening it runs the user's code
        return packed, kwargs
    if allowed:  # it lets the user's own buffers pass, and ours must be of a kind that holds any object
        kwargs = {**kwargs, "task_deserializers": [*allowed, DillDataBase64]}
    ours = SerializationStrategy.get_cached_by_class(DillDataBase64).serialize(known)
    buffers = ComputeSerializer.pack_buffers([code, args, ours])
    return messagepack.pack(Task(task_id=task.task_id, task_buffer=buffers)), kwargs


def _signed(answer: bytes, note: str) -> bytes:
    """Add a note to a result that says what was raised."""
    result = _result(answer)
    if not result.is_error:  # what Parsl's decorators made of an exception
        return answer
    return messagepack.pack(result.model_copy(update={"data": f"{result.data}\n{note}"}))
