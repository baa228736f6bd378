from pathlib import Path

import pytest

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.executors.blocks import Block
from rhapsody_parsl.executors.log_files import LogFiles
from rhapsody_parsl.executors.view import describe_block
from rhapsody_parsl.wire.examination import TaskPlace
from testing.nodes import make_inventory


def logs_in(folder: Path) -> LogFiles:
    (folder / "block-0").mkdir()
    for name in (
        "block-0.log",
        *(f"block-0/{each}.log" for each in ("web-0", "web-1.node1", "webby-0", "w-1", "node-agent-n1", "door")),
    ):
        (folder / name).touch()
    return LogFiles(folder, ["web"])


def test_logs_are_found_by_what_they_are_of(tmp_path: Path) -> None:
    logs = logs_in(tmp_path)
    block = Block("0", 0.0)
    block.inventory = make_inventory({"name": "n0"}, {"name": "n1"})
    blocks = [describe_block(block, {})]
    found = {
        of: [str(Path(path).relative_to(tmp_path)) for path in logs.of(of, blocks).files]
        for of in ("web", "block-0", "n1", "front door")
    }
    assert found == {
        "web": ["block-0/web-0.log", "block-0/web-1.node1.log"],
        "block-0": ["block-0.log"],
        "n1": ["block-0.log", "block-0/node-agent-n1.log"],
        "front door": ["block-0/door.log"],
    }
    with pytest.raises(RhapsodyError, match=r"Nothing here is called wep.*Did you mean 'web'"):
        logs.of("wep", blocks)


def test_a_task_has_the_log_of_the_process_that_has_it(tmp_path: Path) -> None:
    logs = logs_in(tmp_path)
    running = logs.of_task(3, "0", TaskPlace(task=3, state="running", app="a", nodes=("n0",), worker="w-1"))
    assert [Path(path).name for path in running.files] == ["w-1.log"]
    assert running.of == "task 3 (a), running in block 0, in w-1 on n0"
    assert logs.of_task(4, "0", TaskPlace(task=4, state="waiting", app="a")).files == ()
