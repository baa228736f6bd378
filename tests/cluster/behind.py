"""A block whose agents form a tree, as a user's script: one of `scenarios`."""

import time
from pathlib import Path

from rhapsody_parsl import RhapsodyExecutor
from rhapsody_parsl.errors import NodeLost
from testing.waiting import until
from tests.cluster import apps
from tests.cluster.block import PATIENCE, block, tell


def behind(folder: Path, nodes: int, fan_out: int, lost: str) -> None:
    """Long functions on every node while the test makes one fail by which others speak; then short ones everywhere."""
    names = [f"vn{number}" for number in range(1, nodes + 1)]
    with block(folder, ["local"], nodes, options={"variables": f"RHAPSODY_FAN_OUT={fan_out}"}) as executor:
        (meeting := folder / "meeting").mkdir()
        rest = str(meeting), nodes, str(folder / "go")
        futures = {name: executor.submit(apps.meet_and_wait, {"labels": [name]}, *rest) for name in names}
        until(lambda: len(list(meeting.iterdir())) == nodes, PATIENCE)
        tell("running")
        tell("lost", type(futures[lost].exception(PATIENCE)).__name__)
        beside = [executor.submit(apps.where, {"labels": [name]}) for name in names if name != lost]
        tell("beside", [future.result(PATIENCE)[0] for future in beside])
        (folder / "go").touch()
        tell("kept", [future.result(PATIENCE)[0] for name, future in futures.items() if name != lost])
        until((folder / "repaired").exists, PATIENCE)
        tell("back", until(lambda: _where(executor, lost), PATIENCE))


def _where(executor: RhapsodyExecutor, name: str) -> str:
    try:
        return str(executor.submit(apps.where, {"labels": [name]}).result(PATIENCE)[0])
    except NodeLost:
        time.sleep(0.5)
        return ""
