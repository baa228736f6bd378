"""`rhapsody_parsl.block()`: the block that a task runs in, as a `concurrent.futures.Executor`."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, wait
from typing import Any, NoReturn
from weakref import WeakSet

from rhapsody_parsl.annotations.limits import check_name
from rhapsody_parsl.data.reference import Ref
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.inside.client import client
from rhapsody_parsl.inside.functions import asked, asked_for_agent, asked_for_message
from rhapsody_parsl.mail import AgentHandle, serve
from rhapsody_parsl.payload import pack_call

__all__ = ("BlockExecutor", "block")


def block(*, outlive: bool = False) -> "BlockExecutor":
    """Return the block that this task runs in; tasks submitted there are answered by its pilot.

    Args:
        outlive: Whether they live on when this task finishes, fails or is cancelled; without it they are cancelled
            then. Nobody gets their results.

    Raises:
        NoParent: No task of a `RhapsodyExecutor` runs in this process.
    """
    return BlockExecutor(outlive)


class BlockExecutor(Executor):
    """The block of the task that made it, until this finishes.

    A future's callbacks run on the thread that hears the pilot. They may submit, but must not wait for a future.

    Args:
        outlive: See `block`.
    """

    def __init__(self, outlive: bool = False) -> None:
        self._client, self._outlive = client(), outlive
        self._parent = self._client.enter()
        self._open: WeakSet[Future[Any]] = WeakSet()
        self._lock = threading.Lock()
        self._is_shut = False

    def submit(  # type: ignore[override]  # one keyword more than the standard library's
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        resource_specification: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Future[Any]:
        """Submit a call.

        Args:
            function: The function; its `@annotate` counts.
            args: Positional arguments.
            resource_specification: Overrides the annotation key by key.
            kwargs: Keyword arguments.

        Returns:
            A future for the result; `cancel()` works on queued and running tasks.

        Raises:
            InvalidTask: The task can never run. `NeedsItsParent`: it would wait for what this task holds.
            PayloadError: The function or an argument cannot be serialized.
            TooDeep: Too many tasks are above it.
            TooManyChildren: This task has too many that have not finished.
            NoParent: This task has finished.
            RhapsodyError: This executor was shut down.
        """
        self._check_open()
        future = self._client.submit(
            self._parent, asked(function, resource_specification), function,
            args=args, kwargs=kwargs, keep=self._outlive,
        )  # fmt: skip
        with self._lock:
            self._open.add(future)
        return future

    def put(self, value: Any, label: str = "", *, pinned: bool = False) -> Ref:
        """Keep a value in this block; tasks that get its handle as an argument, or in one, get the value.

        Args:
            value: Anything that can be pickled. Arrays of NumPy are read in place, and cannot be written.
            label: A name for it, which no other value of the block has; `reference` finds it by that.
            pinned: Whether it stays when its last handle has gone, until the block ends.

        Returns:
            The handle. It may be returned. The value goes when no handle is left, with this task at the latest.

        Raises:
            InvalidTask: Another value has the label.
            NoParent: This task has finished.
            PayloadError: The value cannot be serialized.
            Unwritable: There is no room for it, on the disk either.
        """
        return self._client.put_value(value, label, pinned)

    def reference(self, label: str) -> Ref:
        """Return a handle of the value that a task of this block has put with a label.

        Raises:
            DataLost: There is none.
            NoParent: This task has finished.
        """
        return self._client.find_value(label)

    def start_agent(
        self,
        kind: type,
        /,
        *args: Any,
        name: str,
        resource_specification: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> AgentHandle:
        """Start an agent: a task of this one's, which ends with it unless this executor is one of `outlive=True`.

        Args:
            kind: Its class; the `@annotate` of that counts.
            args: Of its constructor.
            name: By which other tasks of the block find it.
            resource_specification: Overrides the annotation key by key.
            kwargs: The same as `args`, by name.

        Raises:
            InvalidTask: It can never run.
            AgentNameTaken: Another agent of the block has the name.
            TooManyAgents: There are as many as there may be.
            RhapsodyError: See `submit`.
        """
        self._check_open()
        spec, signal = asked_for_agent(kind, name, resource_specification)
        future = self._client.put(
            self._parent, spec, lambda: pack_call(serve, (name, signal, kind, *args), kwargs), keep=self._outlive
        )
        return AgentHandle(name, self, future)

    def agent(self, name: str) -> AgentHandle:
        """Return the agent of this block that has a name; messages to one that is not there fail with `NoAgent`.

        Raises:
            InvalidTask: No agent has such a name.
        """
        check_name("name", name)
        return AgentHandle(name, self)

    def post(self, name: str, packed: Callable[[], bytes], *, keep: bool) -> Future[Any]:
        """Send a message to an agent; see `AgentHandle`.

        Raises:
            RhapsodyError: See `submit`.
        """
        return self._client.put(self._client.enter(), asked_for_message(name), packed, keep=keep)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a task's block stays with it: call rhapsody_parsl.block() in the other task, too")

    def _check_open(self) -> None:
        if self._is_shut:
            raise RhapsodyError("This executor was shut down. Call rhapsody_parsl.block() for another one.")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks.

        Args:
            wait: Whether to wait for those that were submitted here.
            cancel_futures: Whether to cancel them, the running ones too.
        """
        self._is_shut = True
        with self._lock:
            left = [future for future in self._open if not future.done()]
        if cancel_futures:
            for future in left:
                future.cancel()
        if wait:
            with self._client.waiting(left):
                _wait(left)


_wait = wait
"""`shutdown` has a parameter of this name."""
