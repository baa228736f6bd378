"""A place for values that is known from a private folder."""

import os
from pathlib import Path

import pytest

from rhapsody_parsl.hosts import data_place
from rhapsody_parsl.hosts.data_files import DataFiles, Place


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "memory").mkdir()
    (tmp_path / "rhapsody-0-x").mkdir()
    monkeypatch.setattr(data_place, "_MEMORY", str(tmp_path / "memory"))
    return str(tmp_path / "rhapsody-0-x")


def test_processes_are_told_and_nothing_is_left(private: str) -> None:
    place = data_place.open_place(private, "token", "3", 1000, where="3", role="pilot")
    assert place == Place.told(private)
    assert place.memory == data_place.memory_of(private)
    assert (place.disk, place.budget) == (f"{private}/values", 1000)
    DataFiles(place).write("a", [b"1"])
    data_place.close(private)
    data_place.close(private)
    assert not os.path.exists(place.memory)


def test_what_an_owner_before_left_is_gone(private: str) -> None:
    left = Path(data_place.memory_of(private), "data", "old")
    left.parent.mkdir(parents=True, mode=0o700)
    left.parent.parent.chmod(0o700)
    left.touch()
    data_place.open_place(private, "token", "3", 1000, where="", role="host")
    assert not left.exists()


def test_without_shared_memory_values_lie_on_the_disk(private: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_place, "_MEMORY", "/nowhere")
    place = data_place.open_place(private, "token", "3", -1, where="", role="host")
    assert (place.memory, place.budget) == ("", 0)
    DataFiles(place).write("a", [b"1"])
    assert os.listdir(f"{private}/values/data") == ["a"]


def test_the_budget_is_a_part_of_the_host_or_what_the_user_says(tmp_path: Path) -> None:
    host = os.statvfs(tmp_path)
    assert data_place.budget_of(str(tmp_path), 7) == 7
    assert data_place.budget_of("", -1) == 0
    assert data_place.budget_of(str(tmp_path), -1) == int(host.f_blocks * host.f_frsize / 4)


def test_what_a_killed_block_left_goes_with_the_next_one(private: str, tmp_path: Path) -> None:
    """Slurm kills all of a job that it puts back into its queue, what stands over the pilot too."""
    os.chmod(private, 0o700)
    left = tmp_path / "memory" / f"rhapsody-{os.getuid()}-y-values"
    left.mkdir(mode=0o700)
    (left / "value").touch()
    data_place.open_place(private, "token", "3", 1000, where="", role="host")
    data_place.sweep(private)
    assert not left.exists()
    assert os.path.exists(data_place.memory_of(private)), "it is held"
