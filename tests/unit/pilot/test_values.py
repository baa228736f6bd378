"""What the pilot does for values on its host."""

import os
from pathlib import Path

import pytest

from rhapsody_parsl.config import BlockConfig, LocalRuntime
from rhapsody_parsl.hosts.data_files import Place
from rhapsody_parsl.pilot.values import Values


def block(shared: str, disk: str) -> BlockConfig:
    return BlockConfig(
        label="x", addresses=(), runtimes=(LocalRuntime(),), default_runtime="local", logs="", shared_folder=shared,
        values=("token", disk, 100),
    )  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    made = tmp_path / "shared", tmp_path / "disk", tmp_path / "private"
    for folder in made:
        folder.mkdir()
    return made


def test_workers_are_told_and_what_the_dead_leave_goes(folders: tuple[Path, Path, Path]) -> None:
    shared, disk, private = folders
    values = Values(block(str(shared), str(disk)), "0", private)
    assert values.shared_folder == str(shared / "0")
    assert Place.told(str(private)) == Place("token", str(shared), str(disk), "0", 100)
    for root in (shared, disk):
        for task in (7, 8):
            (root / "data" / str(task)).touch()
            (root / "0" / f"{task}.123.1").touch()
    values.discard([7])
    left = {
        f"{Path(folder).name}/{name}" for root in (shared, disk) for folder, _, names in os.walk(root) for name in names
    }
    assert left == {"data/8", "0/8.123.1"}


def test_where_the_drivers_folder_is_not_seen_nothing_stays(folders: tuple[Path, Path, Path]) -> None:
    _, _, private = folders
    values = Values(block("/nowhere", "/nowhere"), "0", private)
    values.discard([7])
    assert (values.shared_folder, Place.told(str(private))) == ("", None)
