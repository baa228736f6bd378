import functools
from typing import Any
from unittest import mock

import pytest
from parsl import bash_app, python_app

from rhapsody_parsl import MPI, annotate
from rhapsody_parsl.executors.functions import bare, facts_of


class Capture:
    """Stands for a DataFlowKernel: keeps what an app would submit."""

    def submit(self, func: Any, *_args: Any, **_kwargs: Any) -> Any:
        return func


def submitted(app: Any) -> Any:
    app.data_flow_kernel = Capture()
    return app()


def plain(x: int = 1) -> int:
    return x


def takes(comm: Any = None, **keywords: Any) -> str:
    return "true"


class Agreeing:
    """Answers to every name with itself, as `unittest.mock.call` and lazy proxies do."""

    def __getattr__(self, name: str) -> "Agreeing":
        return self

    def __call__(self) -> int:
        return 1


@pytest.mark.parametrize("function", [Agreeing(), mock.call, mock.Mock()], ids=lambda value: type(value).__name__)
def test_what_is_wrapped_without_an_end_has_facts_too(function: Any) -> None:
    assert facts_of(function).annotation == {}


@pytest.mark.parametrize("wrap", [lambda f: f, python_app, bash_app, lambda f: python_app(f, executors=["x"])])
def test_facts_of_plain_functions_and_apps(wrap: Any) -> None:
    wrapped = wrap(plain)
    facts = facts_of(plain if wrapped is plain else submitted(wrapped))
    assert (facts.name, facts.annotation, facts.comm, facts.takes_spec) == ("plain", {}, False, False)


@pytest.mark.parametrize(("wrap", "comm"), [(python_app, True), (bash_app, False)])
def test_facts_of_annotated_apps(wrap: Any, comm: bool) -> None:
    facts = facts_of(submitted(wrap(annotate(MPI(ranks=2))(takes))))
    assert (facts.name, facts.comm, facts.takes_spec) == ("takes", comm, True)
    assert facts.annotation["num_ranks"] == 2


def test_annotation_above_a_wrapper_counts_too() -> None:
    @functools.wraps(takes)
    def outer(*args: Any, **kwargs: Any) -> str:
        return takes(*args, **kwargs)

    assert facts_of(annotate(MPI(ranks=2))(outer)).comm


def test_an_app_is_sent_without_parsls_wrapper_and_all_else_as_it_is() -> None:
    assert bare(submitted(python_app(plain))) is plain
    assert bare(submitted(bash_app(plain))).args == (plain,)  # type: ignore[attr-defined]  # a partial
    for other in (functools.wraps(plain)(lambda: 1), functools.partial(plain), plain, len):
        assert bare(other) is other


@pytest.mark.parametrize(("call", "name"), [(len, "len"), (functools.partial(plain, 2), "plain"), (int, "int")])
def test_other_callables(call: Any, name: str) -> None:
    assert facts_of(call).name == name
