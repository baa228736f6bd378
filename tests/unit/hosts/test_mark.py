"""What a worker began last is known after its end."""

import os
from pathlib import Path

from rhapsody_parsl.hosts.mark import NONE, Mark, folder_of, mark_of, take


def test_survives_a_killed_process(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        mark = Mark(str(tmp_path), "worker")
        mark.begin(41)
        mark.begin(42)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert take(mark_of(str(tmp_path), "worker")) == {"worker": 42}
    assert take(mark_of(str(tmp_path), "worker")) == {}, "the mark is gone"


def test_of_all_workers_of_a_kind(tmp_path: Path) -> None:
    Mark(str(tmp_path), "dragon-worker-1")
    Mark(str(tmp_path), "dragon-worker-2").begin(7)
    Mark(str(tmp_path), "local-worker-1").begin(8)
    (tmp_path / "dragon-worker-3.begun").touch()  # one that was killed while it came up
    assert take(mark_of(str(tmp_path), "dragon-worker-*")) == {"dragon-worker-1": NONE, "dragon-worker-2": 7}


def test_a_folder_that_reads_like_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "pbs.7[2].server"
    folder.mkdir()
    Mark(str(folder), "worker").begin(3)
    assert take(mark_of(str(folder), "work*")) == {"worker": 3}


def test_its_folder_is_the_private_one_of_the_workers_host() -> None:
    assert folder_of("ipc:///tmp/private/hub") == "/tmp/private"  # noqa: S108 - a name only
