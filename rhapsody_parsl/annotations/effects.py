"""Which key says something to which kind of task: one that would change nothing is refused, not passed over. Pure."""

from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import InvalidTask

__all__ = ("check_effect",)


class _Mute(NamedTuple):
    """Keys that say nothing to a kind of task.

    Attributes:
        keys: Their names.
        problem: Why.
        remedy: What to do.
    """

    keys: tuple[str, ...]
    problem: str
    remedy: str


_ORDINARY = TaskSpec(resources=Resources(cores=0))
_IN = {Resources: "resources.", PolicyValue: "policy."}
_VALUES = {"full": attrgetter("full")} | {
    key: attrgetter(prefix + key) for kind, prefix in _IN.items() for key in kind.__struct_fields__
}
_REQUEST = (
    _Mute(
        ("cores", "gpus", "memory"), "a request holds none of its own: the replicas of its service do",
        "Drop it, or give it to the service",
    ),
    _Mute(("isolation",), "the body of a request runs in a worker beside others", "Drop it"),
    _Mute(
        ("placement", "near", "labels"), "a request has no node: it goes to a replica of its service",
        "Drop it, or give it to the service",
    ),
    _Mute(("signal",), "a request is told nothing of the block's end", "Drop it"),
)  # fmt: skip
_GANG = (_Mute(("near",), "only a task that is one process is placed near something", "Use labels"),)
_NO_REQUEST = (_Mute(("full",), "only the answer of a service is a response", "Drop it, or add service='<name>'"),)
_AGENT = (
    _Mute(("concurrency",), "an agent answers one message after the other", "Drop it"),
    _Mute(("result", "output"), "nobody gets what the task of an agent returns", "Have its methods return values"),
)
_NO_AGENT = (_Mute(("unanswered",), "only an agent answers messages", "Drop it, or use start_agent"),)
_NO_TEXT = (_Mute(("output_limit", "check"), "what the program writes is not kept", "Add output='text'"),)


def check_effect(spec: TaskSpec, agent: bool = False) -> None:
    """Refuse what changes nothing for a kind of task. What is as it is without the key is no matter.

    Args:
        spec: The task's.
        agent: Whether it is the task of an agent.

    Raises:
        InvalidTask: A key has no effect.
    """
    for keys, problem, remedy in _mute(spec, agent):
        for key in keys:
            if (value := _VALUES[key](spec)) != _VALUES[key](_ORDINARY):
                raise InvalidTask(key, list(value) if isinstance(value, tuple) else value, problem, remedy)


def _mute(spec: TaskSpec, agent: bool) -> Iterator[_Mute]:
    yield from _AGENT if agent else _NO_AGENT
    yield from _REQUEST if spec.service else _NO_REQUEST
    if spec.resources.is_mpi:
        yield from _GANG
    if spec.policy.output != "text":
        yield from _NO_TEXT
