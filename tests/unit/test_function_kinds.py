import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from rhapsody_parsl import Policy, annotate
from rhapsody_parsl.function_kinds import gives_coroutine, gives_pieces, innermost, layers


def plain(*functions: Any) -> int:
    return 1


def pieces() -> Iterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


async def both() -> AsyncIterator[int]:
    yield 1


class Called:
    def __call__(self) -> Iterator[int]:
        yield 1

    async def method(self) -> int:
        return 1


class EveryName:
    def __getattr__(self, name: str) -> Any:
        return self


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call() -> Any:
        return function()

    return call


@pytest.mark.parametrize(("function", "in_pieces", "awaited"), [
    (plain, False, False), (pieces, True, False), (coroutine, False, True), (both, True, True),
    (Called(), True, False), (Called, False, False), (Called().method, False, True), (len, False, False),
], ids=range(8))  # fmt: skip
@pytest.mark.parametrize("around", [
    lambda f: f, functools.partial, wrapped,
    lambda f: functools.partial(wrapped(f)), lambda f: wrapped(functools.partial(f)),
], ids=["bare", "partial", "wrapped", "partial of wrapped", "wrapped partial"])  # fmt: skip
def test_the_kind_of_a_callable_under_whatever_is_around_it(
    around: Callable[[Any], Any], function: Any, in_pieces: bool, awaited: bool
) -> None:
    outer = around(function)
    assert (gives_pieces(outer), gives_coroutine(outer)) == (in_pieces, awaited)
    assert innermost(outer) is function


def test_an_annotated_generator_in_a_partial_gives_pieces() -> None:
    assert gives_pieces(functools.partial(annotate(Policy(priority=1))(pieces)))


def test_a_partial_may_carry_its_function_elsewhere() -> None:
    outer = functools.partial(plain, pieces)
    assert list(layers(outer, lambda partial: partial.args[0])) == [outer, pieces]


def test_peeling_has_an_end() -> None:
    assert len(list(layers(EveryName()))) == 100
    everything: Any = EveryName()
    assert not gives_pieces(everything)
