"""A file that many hosts take from each other, here processes of this one; and none where it cannot be had."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rhapsody_parsl.agents.spread import Spread
from rhapsody_parsl.hosts import spreading
from testing.waiting import until

WORD, HOSTS = b"the word of the block", 12
ROOT = Path(__file__).parents[3]
TAKE = f"""import sys; sys.path.insert(0, {str(ROOT)!r})
from rhapsody_parsl.hosts import spreading
spreading._GIVES_FOR = float(sys.argv[4])
print(spreading.taken(sys.argv[1], sys.argv[2], sys.argv[3].encode()), flush=True)
sys.stdin.read()"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_001))
    return path


@pytest.fixture
def first(file: Path) -> Iterator[Spread]:
    spread = Spread(str(file), "127.0.0.1", WORD)
    yield spread
    spread.close()


def host(path: Path, source: str, word: bytes = WORD, gives_for: float = 20.0) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-I", "-S", "-c", TAKE, str(path), source, word.decode(), str(gives_for)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def has(process: "subprocess.Popen[bytes]") -> bool:
    assert process.stdout
    return process.stdout.readline() == b"True\n"


def leave(*processes: "subprocess.Popen[bytes]") -> None:
    for process in processes:
        process.communicate(timeout=20)


def test_all_hosts_have_it_whole_and_each_gives_it_on(file: Path, first: Spread, tmp_path: Path) -> None:
    hosts = [host(tmp_path / f"at{number}", first.source) for number in range(HOSTS)]
    assert [has(each) for each in hosts] == [True] * HOSTS
    whole = file.read_bytes()
    file.unlink()  # the first host can give it no more, and is not asked for long
    assert all((tmp_path / f"at{number}").read_bytes() == whole for number in range(HOSTS))
    late = host(tmp_path / "late", first.source)
    assert has(late)
    assert (tmp_path / "late").read_bytes() == whole
    leave(late, *hosts)


def test_it_is_removed_when_nobody_asks_any_more(first: Spread, tmp_path: Path) -> None:
    only = host(tmp_path / "at", first.source, gives_for=0.2)
    assert has(only)
    until(lambda: not (tmp_path / "at").exists(), 20)
    leave(only)


def test_a_host_that_cannot_have_it_says_so(file: Path, first: Spread, tmp_path: Path) -> None:
    stranger = host(tmp_path / "stranger", first.source, b"another word")
    assert not has(stranger)
    file.unlink()
    alone = host(tmp_path / "alone", first.source)
    assert not has(alone)
    leave(stranger, alone)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert not spreading.taken(str(tmp_path / "nobody"), f"127.0.0.1:{port}", WORD)
    assert not list(tmp_path.iterdir())
