"""Which form of an app goes with which key: generators, coroutines, programs, requests that are answered in pieces."""

from collections.abc import Mapping
from typing import Any, Protocol

from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import InvalidTask

__all__ = ("Form", "check_form")


class Form(Protocol):
    """What matters of a function here; see `FunctionFacts`."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def bash(self) -> bool:
        """Whether it is a bash app's."""

    @property
    def pieces(self) -> bool:
        """Whether it is a generator."""

    @property
    def awaited(self) -> bool:
        """Whether it is a coroutine or an asynchronous generator."""

    @property
    def timed(self) -> bool:
        """Whether Parsl is to hold it to a walltime."""


def check_form(spec: TaskSpec, request: Mapping[str, Any], facts: Form) -> None:
    """Refuse a function that can never do what is asked of it.

    Args:
        spec: What is asked.
        request: The parameters for a service.
        facts: The function's.

    Raises:
        InvalidTask: Its form does not go with a key.
    """
    if spec.policy.output == "text" and not facts.bash:
        remedy = "In a Python app, use subprocess.run(..., capture_output=True) and return what you need"
        raise InvalidTask("output", "text", "only a bash app runs one program", remedy)
    if facts.pieces:
        _check_generator(spec, facts)
    if "stream" in request:
        _check_streamed(spec, request)
    if spec.policy.concurrency > 1:
        _check_concurrency(spec, facts)


def _check_generator(spec: TaskSpec, facts: Form) -> None:
    if facts.bash:
        raise InvalidTask("app", facts.name, "a generator is no bash app", "Return a command line, or use @python_app")
    if spec.service:
        remedy = "Return a list of prompts; VLLM(..., stream=True) has the answer in pieces"
        raise InvalidTask("app", facts.name, "a generator is no body of a request, which returns its prompt", remedy)
    if facts.timed:
        problem = "Parsl holds no generator to the time that it is given"
        raise InvalidTask("walltime", facts.name, problem, "Use Policy(walltime=...), and not the argument")


def _check_streamed(spec: TaskSpec, request: Mapping[str, Any]) -> None:
    stream = request["stream"]
    if not isinstance(stream, bool):
        raise InvalidTask("stream", stream, "True or False is needed")
    if stream and spec.full:
        raise InvalidTask("full", True, "a whole response comes at once", "Drop full=True, or stream=True")
    if stream and request.get("n") not in {None, 1}:
        raise InvalidTask("n", request["n"], "pieces of several answers would be mixed", "Drop n, or stream=True")


def _check_concurrency(spec: TaskSpec, facts: Form) -> None:
    policy, asked = spec.policy, spec.policy.concurrency
    if not facts.awaited or facts.bash:
        raise InvalidTask("concurrency", asked, "only `async def` apps run side by side in one worker", "Drop it")
    if spec.service or spec.resources.is_mpi:
        remedy = "Drop it; a service answers many requests at once"
        raise InvalidTask("concurrency", asked, "only a worker runs apps side by side, no service and no rank", remedy)
    for key, default in (("isolation", "shared"), ("sandbox", False), ("signal", "")):
        if (value := getattr(policy, key)) != default:
            problem = f"the worker's process is shared by {asked} apps at once (concurrency)"
            raise InvalidTask(key, value, problem, f"Drop {key}, or concurrency")
