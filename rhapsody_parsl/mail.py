"""Agents seen from outside: who has a message for one, and what travels to it.

An agent is an object in a task of its own. Its methods are called by messages, one after the other.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from rhapsody_parsl.annotations.policy import PolicyValue, Unanswered
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import MAILBOX, TaskSpec, encode_spec
from rhapsody_parsl.payload import pack_call
from rhapsody_parsl.runtime_table import load
from rhapsody_parsl.telling import said

__all__ = ("AgentHandle", "Poster", "StopAgent", "message_spec", "serve")

log = logging.getLogger(__name__)


class StopAgent(Exception):  # noqa: N818 - an order, which only the agent's own loop sees
    """The message that ends an agent."""


def message_spec(name: str, unanswered: Unanswered = "again") -> bytes:
    """Return the encoded specification of messages to an agent.

    Args:
        name: The agent's.
        unanswered: What becomes of one when the block is lost.
    """
    policy = PolicyValue(on_loss="rerun" if unanswered == "again" else "fail")
    spec = TaskSpec(name=name, runtime=MAILBOX, service=name, resources=Resources(cores=0), policy=policy)
    return encode_spec(spec)


def serve(name: str, signal: str, kind: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
    """Be an agent, until told to stop: what its task calls in the block.

    Args:
        name: The agent's.
        signal: What announces the end of the block, or "".
        kind: Its class.
        args: Of its constructor.
        kwargs: The same, by name.
    """
    load("rhapsody_parsl.inside.mailbox:serve")(name, signal, partial(kind, *args, **kwargs))


def receive(agent: Any, method: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method of an agent: what a message asks for.

    Raises:
        AttributeError: It has no such method, or the method is not public.
    """
    if method.startswith("_"):
        raise AttributeError(f"{method!r} is no public method of {type(agent).__name__}")
    return getattr(agent, method)(*args, **kwargs)


def _stop(_agent: Any) -> None:
    raise StopAgent


class Poster(Protocol):
    """Who brings messages to the agents of a block."""

    def post(self, name: str, packed: Callable[[], bytes], *, keep: bool) -> Future[Any]:
        """Send a message.

        Args:
            name: The agent's.
            packed: Packs the call; the references in it are held until the message is answered.
            keep: Whether it is delivered even when its sender ends before.
        """


class AgentHandle:
    """An agent, for whoever has messages for it; it may be passed to tasks and to other agents.

    Args:
        name: The agent's.
        poster: Brings the messages; None for the block of the task in which the handle is used.
        future: Ends with the agent; None where nobody can tell.

    Attributes:
        name: See above.
        future: See above.
    """

    def __init__(self, name: str, poster: Poster | None = None, future: Future[Any] | None = None) -> None:
        self.name, self.future, self._poster = name, future, poster

    def ask(self, method: str, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a method called, and get what it returns or raises.

        Args:
            method: Its name.
            args: Its arguments.
            kwargs: The same, by name.

        Raises:
            PayloadError: An argument cannot be serialized.
            NoParent: The handle came from elsewhere, and no task runs here.
        """
        return self._there.post(self.name, partial(pack_call, receive, (method, *args), kwargs), keep=False)

    def tell(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        """Have a method called, also when the sender has ended by then; what it raises is logged here.

        Args:
            method: Its name.
            args: Its arguments.
            kwargs: The same, by name.

        Raises:
            PayloadError: An argument cannot be serialized.
            NoParent: The handle came from elsewhere, and no task runs here.
        """
        told = self._there.post(self.name, partial(pack_call, receive, (method, *args), kwargs), keep=True)
        told.add_done_callback(lambda future: _log_failure(self.name, method, future))

    def stop(self) -> Future[Any]:
        """Have it stop when it has answered the messages before this one; return what ends then.

        Raises:
            NoParent: The handle came from elsewhere, and no task runs here.
        """
        stopped = self._there.post(self.name, partial(pack_call, _stop, (), {}), keep=True)
        return stopped if self.future is None else self.future

    @property
    def _there(self) -> Poster:
        if self._poster is None:
            self._poster = load("rhapsody_parsl.inside.executor:block")()
        return self._poster

    def __reduce__(self) -> tuple[Any, ...]:
        return AgentHandle, (self.name,)

    def __repr__(self) -> str:
        return f"AgentHandle({self.name!r})"


def _log_failure(name: str, method: str, told: Future[Any]) -> None:
    if not told.cancelled() and (error := told.exception()):
        log.warning("agent '%s' was told %s, which failed: %s", name, method, said(error))
