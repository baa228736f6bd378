from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from parsl import bash_app, python_app

from rhapsody_parsl.annotations.policy import PolicyValue
from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.executors.forms import check_form
from rhapsody_parsl.executors.functions import facts_of


class Kernel:
    """Stands for a DataFlowKernel: keeps what an app would submit."""

    def submit(self, func: Any, *_args: Any, **_kwargs: Any) -> Any:
        return func


def submitted(app: Any, **keys: Any) -> Any:
    app.data_flow_kernel = Kernel()
    return app(**keys)


def gives() -> Iterator[int]:
    yield 1


async def gives_awaited() -> AsyncIterator[int]:
    yield 1


async def awaited() -> int:
    return 1


def plain() -> int:
    return 1


class Callable:
    """Its calls are those of a function."""

    def __init__(self, function: Any) -> None:
        self.function = function

    async def __call__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("function", "facts"),
    [
        (gives, (True, False)), (gives_awaited, (True, True)), (awaited, (False, True)), (plain, (False, False)),
        (Callable(plain), (False, True)), (Callable, (False, False)),
    ],
)  # fmt: skip
def test_which_form_a_function_has(function: Any, facts: tuple[bool, bool]) -> None:
    for each in (function, submitted(python_app(function))):
        found = facts_of(each)
        assert (found.pieces, found.awaited, found.timed) == (*facts, False)


def test_parsls_walltime_is_seen() -> None:
    assert facts_of(submitted(python_app(gives), walltime=1)).timed


@pytest.mark.parametrize(
    ("function", "spec", "request_", "key"),
    [
        (bash_app(gives), {}, {}, "app"), (gives, {"service": "a"}, {}, "app"),
        (plain, {"service": "a"}, {"stream": "yes"}, "stream"),
        (plain, {"service": "a", "full": True}, {"stream": True}, "full"),
        (plain, {"service": "a"}, {"stream": True, "n": 2}, "n"),
        (plain, {"policy": {"concurrency": 2}}, {}, "concurrency"),
        (awaited, {"service": "a", "policy": {"concurrency": 2}}, {}, "concurrency"),
        (awaited, {"resources": {"num_ranks": 2}, "policy": {"concurrency": 2}}, {}, "concurrency"),
        (awaited, {"policy": {"concurrency": 2, "sandbox": True}}, {}, "sandbox"),
        (plain, {"policy": {"output": "text"}}, {}, "output"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(function: Any, spec: Any, request_: dict[str, Any], key: str) -> None:
    facts = facts_of(submitted(function) if hasattr(function, "executors") else function)
    asked = TaskSpec(
        service=spec.get("service", ""),
        full=spec.get("full", False),
        resources=Resources(**spec.get("resources", {})),
        policy=PolicyValue(**spec.get("policy", {})),
    )
    with pytest.raises(InvalidTask) as caught:
        check_form(asked, request_, facts)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("function", "policy", "request_"),
    [
        (gives, {}, {}), (awaited, {"concurrency": 2}, {}), (gives_awaited, {"concurrency": 2}, {}),
        (plain, {}, {"stream": True, "n": 1}), (plain, {}, {"stream": False, "n": 2}),
    ],
)  # fmt: skip
def test_what_does(function: Any, policy: Any, request_: dict[str, Any]) -> None:
    check_form(TaskSpec(policy=PolicyValue(**policy)), request_, facts_of(function))
