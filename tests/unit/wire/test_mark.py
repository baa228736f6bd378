"""What a worker began last is known after its end."""

import os
from pathlib import Path

from rhapsody_parsl.wire.mark import NONE, Mark, last_begun


def test_survives_a_killed_process(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/hub"
    child = os.fork()
    if child == 0:
        mark = Mark(endpoint, "worker")
        mark.begin(41)
        mark.begin(42)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert last_begun(endpoint, "worker") == 42
    assert last_begun(endpoint, "worker") is None, "the mark is gone"


def test_none_begun(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/hub"
    Mark(endpoint, "worker")
    assert last_begun(endpoint, "worker") == NONE


def test_nobody_knows_of_another_host() -> None:
    Mark("tcp://10.0.0.1:5000", "worker").begin(1)
    assert last_begun("tcp://10.0.0.1:5000", "worker") is None
