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


@pytest.mark.parametrize("path", ["/é", "/a b", "/a\n"])
def test_a_path_is_one_that_a_request_can_ask_for(path: str) -> None:
    with pytest.raises(InvalidTask, match="Write it as in a URL"):
        checked(f"http:{path}", "ready")
    checked("http:/a%20b?c=1", "ready")


def test_people_see_of_a_function_its_name() -> None:
    def up(host: str, port: int) -> bool:
        return True

    assert CommandService("a", "s", ready=up).awaited == "ready=up"
    assert CommandService("a", "s", ready="log:up").awaited == "ready='log:up'"
