"""What the pilot does for values that are kept by reference on its host."""

import os
from collections.abc import Collection
from pathlib import Path

from rhapsody_parsl.config import BlockConfig
from rhapsody_parsl.hosts.data_files import DataFiles, Place
from rhapsody_parsl.wire.shared_memory import block_folder, discard_results

__all__ = ("Values",)


class Values:
    """Those of a block.

    Args:
        config: The block's.
        block: Its number.
        folder: Its private one.

    Attributes:
        shared_folder: For large results; "" where the driver's folder is not seen.
    """

    def __init__(self, config: BlockConfig, block: str, folder: Path) -> None:
        self.shared_folder = block_folder(config.shared_folder, block)
        self._files: DataFiles | None = None
        self._drafts = [self.shared_folder]
        token, disk, budget = config.values
        if self.shared_folder and os.path.isdir(disk):
            place = Place(token, config.shared_folder, disk, block, budget)
            self._files = DataFiles(place)
            self._drafts.append(os.path.join(disk, block))
            place.tell(str(folder))

    def discard(self, tasks: Collection[int]) -> None:
        """Remove what tasks leave that nobody will read: of processes that were ended while they wrote, or after."""
        for drafts in self._drafts:
            discard_results(drafts, tasks)
        if self._files:
            for task in tasks:
                self._files.drop(str(task))
