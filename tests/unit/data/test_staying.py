"""A function whose result stays in the block is called as any other."""

import asyncio
import inspect
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from rhapsody_parsl.data.staying import Keeping, Stays


def plus(x: int) -> int:
    return x + 1


async def later(x: int) -> int:
    return x + 1


def pieces() -> Iterator[int]:
    yield 1


def failing() -> None:
    raise KeyError("here")


def test_a_result_is_marked() -> None:
    function = pickle.loads(pickle.dumps(Keeping(plus, 5)))
    stays = function(1)
    assert (type(stays), stays.value, stays.above) == (Stays, 2, 5)
    assert inspect.unwrap(function) is plus
    assert function.__code__ is plus.__code__


def test_that_of_a_coroutine_too() -> None:
    stays = asyncio.run(Keeping(later, 0)(1))
    assert stays.value == 2


@pytest.mark.parametrize("other", [pieces, "wrapper"])
def test_what_is_no_value_goes_through(other: Any) -> None:
    assert not isinstance(Keeping(Wrapper if other == "wrapper" else other, 0)(), Stays)


def test_what_it_raises_goes_through() -> None:
    with pytest.raises(KeyError):
        Keeping(failing, 0)()


class Wrapper:
    def reraise(self) -> None: ...
