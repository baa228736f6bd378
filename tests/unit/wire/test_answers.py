"""Answers past the hub: over real sockets, beside what the hub says."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.wire.answers import Answers, answer
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.codec import INLINE_LIMIT, encode
from rhapsody_parsl.wire.inflow import pack
from rhapsody_parsl.wire.messages import RESULT, ChildrenEnded, Quit, Result


def ended(number: int, payload: bytes = b"x") -> ChildrenEnded:
    return ChildrenEnded([Result(number, RESULT, payload, told=3)])


class Line:
    """A spoke, and the hub's end of it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(folder / "hub"))
            door.listen()
            self.spoke = Spoke(f"ipc://{folder}/hub", "asker")
            self.hub, _ = door.accept()
        assert self.spoke.hear_answers() == "asker"
        assert self.spoke.hear_answers() == "asker", "once is enough"

    def say(self, message: Quit) -> None:
        self.hub.sendall(b"".join(bytes(part) for part in pack(encode(message))))

    def close(self) -> None:
        self.spoke.close()
        self.hub.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.close()


def test_who_waits_hears_both_and_the_end_of_the_hub(line: Line) -> None:
    assert line.spoke.answer("asker", ended(1, bytes(INLINE_LIMIT)))
    assert line.spoke.receive() == ended(1, bytes(INLINE_LIMIT))
    line.say(Quit())
    line.say(Quit())
    assert line.spoke.answer("asker", ended(2))
    assert [line.spoke.receive() for _ in range(3)] == [ended(2), Quit(), Quit()], "what was answered before a loss"
    later = threading.Timer(0.05, line.spoke.answer, ("asker", ended(3)))
    later.start()
    assert line.spoke.receive() == ended(3)
    later.join()
    line.hub.close()
    assert line.spoke.receive() is None
    assert line.spoke.peek() == []


def test_nobody_waits_for_who_is_gone_or_does_not_read(line: Line, tmp_path: Path) -> None:
    assert not line.spoke.answer("nobody", ended(1))
    assert not line.spoke.answer("n" * 200, ended(1)), "the kernel takes no such path"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(tmp_path / "gone.answers"))
    left.close()
    assert not line.spoke.answer("gone", ended(1))
    sent = 0
    while line.spoke.answer("asker", ended(sent)):
        sent += 1
        assert sent < 10_000
    assert sent, "the kernel keeps some"
    assert [line.spoke.receive() for _ in range(sent)] == [ended(number) for number in range(sent)]
    assert line.spoke.answer("asker", ended(0)), "there is room again"


def test_what_was_looked_at_stays_until_it_is_taken_once(line: Line) -> None:
    line.spoke.answer("asker", ended(1))
    line.spoke.answer("asker", ended(2))
    before = line.spoke.skipped
    [(message, size)] = line.spoke.peek()
    assert message == ended(1)
    assert line.spoke.peek() == [(message, size)]
    line.spoke.skip(size, before)
    line.spoke.skip(size, before)  # of who was interrupted by who has taken it
    line.say(Quit())
    assert line.spoke.peek() == [(ended(2), size)]
    assert line.spoke.receive() == ended(2)
    before = line.spoke.skipped
    [(message, size)] = line.spoke.peek()
    assert message == Quit()
    line.spoke.skip(size, before)
    line.spoke.answer("asker", ended(3))
    assert line.spoke.receive() == ended(3)


def test_what_is_no_answer_is_passed_over(line: Line, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        for data in (b"", b"\xff\xff", encode(Quit())[0], os.urandom(500)):
            stranger.sendto(data, str(tmp_path / "asker.answers"))
    line.spoke.answer("asker", ended(1))
    assert line.spoke.receive() == ended(1), "nor is an order one"


def test_without_a_socket_the_hub_is_heard_alone(tmp_path: Path) -> None:
    (tmp_path / "asker.answers").touch()  # as good as no descriptor left
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "hub"))
        door.listen()
        spoke = Spoke(f"ipc://{tmp_path}/hub", "asker")
        hub, _ = door.accept()
    with hub:
        before = sockets()
        assert [spoke.hear_answers() for _ in range(3)] == [""] * 3, "each task of a process asks anew"
        assert sockets() == before
        hub.sendall(b"".join(bytes(part) for part in pack(encode(Quit()))))
        assert spoke.receive() == Quit()
    spoke.close()


def test_a_child_that_is_forked_has_none_of_the_sockets(line: Line, tmp_path: Path) -> None:
    Answers(str(tmp_path / "other"), line.spoke.fileno())
    answer(str(tmp_path / "other"), ended(1))
    before = sockets()
    if not (child := os.fork()):
        os._exit(before - sockets())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) >= 3, "the two that hear, and the one that answers"


FORKS = """
import os, sys
from rhapsody_parsl.wire.channel import Spoke
from rhapsody_parsl.wire.messages import Quit
spoke = Spoke(sys.argv[1], "asker")
spoke.hear_answers()
if not (child := os.fork()):
    spoke.send(Quit())
    spoke.post(Quit())
    sys.exit(3)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(code, os.path.exists(os.path.dirname(sys.argv[1].removeprefix("ipc://")) + "/asker.answers"))
"""


def test_a_forked_child_that_leaves_says_nothing_and_takes_nothing_along(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "hub"))
        door.listen()
        program = [sys.executable, "-c", FORKS, f"ipc://{tmp_path}/hub"]
        assert subprocess.run(program, capture_output=True, text=True, timeout=30, check=True).stdout == "3 True\n"
        hub, _ = door.accept()
    with hub:
        heard = b"".join(iter(lambda: hub.recv(1000), b""))
    assert b"asker" in heard
    assert encode(Quit())[0] not in heard
    assert not (tmp_path / "asker.answers").exists(), "its own end removes it"


def sockets() -> int:
    """Return how many this process has open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(os.readlink(link).startswith("socket:[") for link in links)
