"""The driver's thread that speaks with blocks, at its end."""

import fcntl
import threading
from pathlib import Path
from typing import Any

from rhapsody_parsl.executors.blocks import Blocks
from rhapsody_parsl.executors.link import Link
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.hosts.incoming import Incoming
from rhapsody_parsl.wire.gate import Token
from testing.waiting import until


def test_nobody_writes_a_value_any_more_when_it_is_closed(tmp_path: Path) -> None:
    """Else who then removes the folder of values may leave it, with what came meanwhile."""
    nobody: Any = None
    token = Token("t")
    link = Link(
        "tcp://127.0.0.1", nobody, Blocks(several=True), local=False, proof=token, token=token, period=1, threshold=30
    )
    incoming, done = Incoming(DataFiles(Place("token", str(tmp_path), "", "driver", 1000))), list[str]()
    link.start()
    with (tmp_path / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        link.call(lambda: incoming.write("key", [b"content"], done.append))
        until(lambda: any(thread.name.startswith("rhapsody-values") for thread in threading.enumerate()), 5)
        closing = threading.Thread(target=link.close)
        closing.start()
        closing.join(0.3)
        assert closing.is_alive()
        assert link.is_alive()
    closing.join(10)
    assert done == [""]
    assert not link.is_alive()
