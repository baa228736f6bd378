"""Which logs in an executor's folder are of what."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from rhapsody_parsl.control.messages import Files
from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.wire.door import FRONT_DOOR
from rhapsody_parsl.wire.examination import TaskPlace
from rhapsody_parsl.wire.views import BlockView
from rhapsody_parsl.wording import nearest

__all__ = ("LogFiles",)


class LogFiles:
    """The logs of an executor.

    Args:
        folder: Its folder of the run directory.
        services: Names of its services.
    """

    def __init__(self, folder: Path, services: Collection[str]) -> None:
        self._folder, self._services = folder, services

    def of(self, name: str, blocks: Sequence[BlockView]) -> Files:
        """Return the logs of a service, the front doors, a block or a node.

        Args:
            name: What it is called.
            blocks: Those that are there.

        Raises:
            RhapsodyError: Nothing is called so.
        """
        if name in self._services:
            return Files(of=f"service {name}", files=self._matching(rf"{re.escape(name)}-\d+(\.node\d+)?\.log"))
        if name == FRONT_DOOR:
            return Files(of="the front door of each block", files=self._matching(r"door\.log"))
        if name.startswith("block-") and (pilot := self._folder / f"{name}.log").exists():
            return Files(of=name, files=(str(pilot),))
        of_node = [block.id for block in blocks if any(node.name == name for node in block.nodes)]
        if not of_node:
            raise RhapsodyError(self._unknown(name, blocks))
        pilots = [str(path) for id_ in of_node if (path := self._folder / f"block-{id_}.log").exists()]
        return Files(of=f"node {name}", files=(*pilots, *self._matching(rf"node-agent(s|-{re.escape(name)})\.log")))

    def of_task(self, task: int, block: str, place: TaskPlace) -> Files:
        """Return the logs of a task that is in a block.

        Args:
            task: Its number.
            block: The block's.
            place: Where it is there.
        """
        where = f"task {task} ({place.app}), {place.state} in block {block}"
        if not place.worker:
            return Files(of=where, files=())
        log = self._folder / f"block-{block}" / f"{place.worker}.log"
        where = f"{where}, in {place.worker} on {', '.join(place.nodes)}"
        return Files(of=where, files=(str(log),) if log.exists() else ())

    def _unknown(self, name: str, blocks: Sequence[BlockView]) -> str:
        known = [FRONT_DOOR, *(node.name for block in blocks for node in block.nodes), *self._services]
        hint = nearest(name, known) or "See `rhapsody-parsl tasks --list` and `rhapsody-parsl status`."
        there = ", ".join(f"block-{block.id}" for block in blocks) or "none"
        return (
            f"Nothing here is called {name}: no task that has not ended, no service, no node and no block "
            f"(blocks: {there}). {hint}"
        )

    def _matching(self, pattern: str) -> tuple[str, ...]:
        name = re.compile(pattern)
        return tuple(str(path) for path in sorted(self._folder.glob("block-*/*.log")) if name.fullmatch(path.name))
