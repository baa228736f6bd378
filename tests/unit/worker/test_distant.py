"""Values between this host and the pilot's."""

import threading
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.data.packing import packed
from rhapsody_parsl.data.reference import Facts
from rhapsody_parsl.data.staying import Stays
from rhapsody_parsl.errors import DataLost
from rhapsody_parsl.hosts.data_files import Place
from rhapsody_parsl.wire.value_messages import AskValue, ValueHere, ValueLeft
from rhapsody_parsl.worker import distant, line, references


class Pilot:
    """The line of a worker, and what answers at its other end."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self.values, self.said = values, list[Any]()

    def task(self) -> int:
        return 1

    def send(self, message: Any) -> None:
        self.said.append(message)
        if isinstance(message, AskValue):
            threading.Thread(target=self._bring, args=[message]).start()

    def _bring(self, message: AskValue) -> None:
        files = references.files_here()
        found = self.values.get(message.key)
        if files and found is not None:
            files.write(message.key, [found])
        line.take(ValueHere(message.order, "" if found else "nobody held it"))

    def listen(self) -> None: ...

    def hear(self) -> bool:
        return False


@pytest.fixture
def pilot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pilot:
    """Stand where a worker of another host stands."""
    Place("ours", str(tmp_path), str(tmp_path / "disk"), "3", 1_000_000, role="host").tell(str(tmp_path))
    monkeypatch.setattr(references._Host, "files", None)
    monkeypatch.setattr(line.Here, "endpoint", f"ipc://{tmp_path}/workers")
    made = Pilot({"put-1": b"".join(packed([1, 2]))})
    monkeypatch.setattr(distant, "line", lambda: made)
    return made


def test_what_a_task_lacks_is_brought_once(pilot: Pilot, tmp_path: Path) -> None:
    for _ in range(2):
        assert references.opened(Facts("ours", "put-1", 9)) == [1, 2]
    assert [type(said) for said in pilot.said] == [AskValue]
    assert not list((tmp_path / "disk" / "3").iterdir()), "no lock is left"


def test_of_many_at_once_one_asks(pilot: Pilot) -> None:
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(references.opened(Facts("ours", "put-1", 9)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[1, 2]] * 8
    assert len(pilot.said) == 1


def test_what_is_gone_is_told(pilot: Pilot) -> None:
    with pytest.raises(DataLost, match=r"reference model .* nobody held it"):
        references.opened(Facts("ours", "put-2", 9, "model"))


def test_of_what_a_task_leaves_the_pilot_is_told(pilot: Pilot) -> None:
    references.left(7, Stays([3], 0))
    assert pilot.said == [ValueLeft("7")]
    assert references.opened(Facts("ours", "7", 9)) == [3]
    assert len(pilot.said) == 1


def test_a_process_without_a_line_cannot_ask(pilot: Pilot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distant, "line", lambda: None)
    with pytest.raises(DataLost, match="cannot ask"):
        references.opened(Facts("ours", "put-2", 9))
