"""What an agent is told of an app."""

import functools
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from parsl import bash_app, python_app

from rhapsody_parsl import MPI, Policy, annotate
from rhapsody_parsl.apps_as_tools.signature import about, check_schemas, chosen, function_of, name_of
from rhapsody_parsl.errors import InvalidTask
from tests.unit.apps_as_tools import written


@python_app
@annotate(MPI(ranks=2))
def gang(
    a: Annotated[int, "how many"], b: str = "x", *more: int, comm: Any = None, stdout: str = "", **k: Any
) -> float:
    """Add them up."""
    return a


class Called:
    def __call__(self, number: int) -> int:
        """Call it."""
        return number


def test_what_is_parsls_or_the_runtimes_is_not_to_be_chosen() -> None:
    signature = chosen(gang)
    assert signature.parameters.keys() == {"a", "b"}
    assert {each.kind for each in signature.parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert signature.parameters["a"].annotation == Annotated[int, "how many"]
    assert signature.parameters["b"].default == "x"
    assert signature.return_annotation is float
    assert (name_of(gang), about(gang)) == ("gang", "Add them up.")


@pytest.mark.parametrize("around", [lambda f: f, annotate(Policy(priority=1)), python_app], ids=range(3))
def test_annotations_that_are_text_are_evaluated(around: Any) -> None:
    signature = chosen(around(written.later))
    assert signature.parameters["number"].annotation is int
    assert signature.return_annotation is float


def test_a_bash_app_gives_no_command_line() -> None:
    @bash_app
    def program(word: str) -> str:
        return f"echo {word}"

    assert chosen(program).return_annotation == int | dict[str, Any]


def test_partials_and_objects() -> None:
    assert list(chosen(functools.partial(written.later, number=3)).parameters) == ["number", "word"]
    assert chosen(functools.partial(written.later, 3)).parameters.keys() == {"word"}
    assert chosen(Called()).parameters["number"].annotation is int
    assert (name_of(Called()), name_of(function_of(gang))) == ("Called", "gang")


def test_a_parameter_that_no_model_is_told_of_needs_a_default() -> None:
    assert list(chosen(lambda a, _seed=1: a).parameters) == ["a"]
    with pytest.raises(InvalidTask, match="'_seed': a name with a leading underscore"):
        chosen(lambda _seed: _seed)


def test_a_name_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidTask, match=r"Elsewhere.*not below TYPE_CHECKING"):
        chosen(written.of_no_type)


def test_what_has_no_annotation_may_be_anything() -> None:
    assert chosen(lambda number: number).parameters["number"].annotation is Any


def test_a_generator_gives_the_list_of_its_pieces() -> None:
    def pieces(number: int) -> Iterator[int]:
        yield number

    async def later() -> AsyncIterator[str]:
        yield ""

    assert [chosen(each).return_annotation for each in (pieces, later)] == [list[int], list[str]]


def test_a_parameter_that_no_schema_can_tell_of_is_named() -> None:
    pytest.importorskip("pydantic")

    def solve(count: int, matrix: threading.Lock) -> None: ...

    with pytest.raises(InvalidTask, match=r"solve='matrix': its annotation has no JSON schema"):
        check_schemas(solve)
