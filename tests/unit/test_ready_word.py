"""What says when a command is ready, as text."""

from collections.abc import Iterator

import pytest

from rhapsody_parsl.errors import InvalidTask
from rhapsody_parsl.ready_word import checked, function_in, of_function, way_of
from rhapsody_parsl.service_config import CommandService


def test_a_function_goes_there_and_back_with_what_it_needs() -> None:
    base = 40

    def up(host: str, port: int) -> int:
        return base + port

    word = CommandService("a", "s", ready=up).ready
    checked(word, "ready")
    name, function = function_in(way_of(word)[1])
    assert (name, function("h", 2)) == ("up", 42)


def test_a_function_that_cannot_travel_is_refused() -> None:
    ports: Iterator[int] = (port for port in (1, 2))

    def up(host: str, port: int) -> bool:
        return port in ports

    with pytest.raises(InvalidTask, match=r"CommandService\(ready\)='up': it cannot be sent to the block: TypeError"):
        of_function(up, "CommandService(ready)")
