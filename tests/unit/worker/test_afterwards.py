"""Memory is given back, and made for the next result, once a result is on its way."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.data.reference import Facts
from rhapsody_parsl.data.staying import Stays
from rhapsody_parsl.hosts.data_files import Place
from rhapsody_parsl.hosts.data_pool import LEAST
from rhapsody_parsl.wire.messages import RESULT, Result
from rhapsody_parsl.worker import afterwards, line, references, spare
from rhapsody_parsl.worker.outbox import Outbox


class Spoke:
    def __init__(self) -> None:
        self.events: list[str] = []

    def send(self, message: Any) -> None:
        self.events.append("sent")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand where a worker stands."""
    Place("ours", str(tmp_path), str(tmp_path / "disk"), "3", 100 * LEAST).tell(str(tmp_path))
    monkeypatch.setattr(references._Host, "files", None)
    monkeypatch.setattr(line.Here, "endpoint", f"ipc://{tmp_path}/workers")
    yield tmp_path
    afterwards.settle()
    spare.let_go()


def test_a_result_is_sent_before_anything_else_is_done() -> None:
    spoke = Spoke()
    outbox = Outbox(spoke)  # type: ignore[arg-type]  # all that it needs
    afterwards.then(lambda: spoke.events.append("replaced"))
    afterwards.then(lambda: spoke.events.append("then"))
    outbox._results.append(Result(1, RESULT, b""))
    outbox.flush()
    outbox.flush()
    assert spoke.events == ["sent", "then"]


def test_what_an_argument_shows_stays_until_then_and_what_is_opened_later_does_not(folder: Path) -> None:
    references.left(7, Stays(bytes(LEAST), 0))
    afterwards.settle()
    for while_opening, kept in ((True, 1), (False, 0)):
        afterwards.opening(while_opening)
        references.opened(Facts("ours", "7", 0))
        afterwards.opening(False)
        assert [isinstance(each.obj, mmap.mmap) for each in afterwards._held] == [True] * kept  # type: ignore[attr-defined]  # maps
        afterwards.settle()
        assert not afterwards._held


def test_the_next_large_value_finds_its_pages(folder: Path) -> None:
    references.left(1, Stays(bytes(2 * LEAST), 0))
    assert list((folder / ".warm").iterdir()) == []
    afterwards.settle()
    assert spare._Making.maker
    spare._Making.maker.done.wait()
    (made,) = (folder / ".warm").iterdir()
    number = made.stat().st_ino
    references.left(2, Stays(bytes(2 * LEAST), 0))
    assert (folder / "data" / "2").stat().st_ino == number
    references.left(3, Stays(b"small", 0))
    afterwards.settle()
    spare._Making.maker.done.wait()
    assert len(list((folder / ".warm").iterdir())) == 1, "for the last large one"
