"""Values at the driver: there while somebody needs them, gone in the same moment as the last who did."""

import gc
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.data.reference import Here, Left, Ref
from rhapsody_parsl.errors import DataLost, InvalidTask, PayloadError, Unwritable
from rhapsody_parsl.executors import references as module
from rhapsody_parsl.executors.references import References
from rhapsody_parsl.payload import open_value, pack_value


@pytest.fixture
def values(tmp_path: Path) -> Iterator[References]:
    made = References(str(tmp_path), 1_000_000)
    yield made
    made.close()
    made.close()
    assert not os.path.exists(made.place.disk)


def iter_of_nothing() -> Iterator[int]:
    yield from ()


def lying(values: References) -> list[str]:
    return sorted(os.listdir(os.path.join(values.place.memory, "data")))


def test_a_value_goes_with_its_last_handle(values: References) -> None:
    ref = values.put({"a": [1]})
    again = open_value(pack_value(ref))
    assert (again.result(), lying(values)) == ({"a": [1]}, ["put-1"])
    del ref
    assert lying(values) == ["put-1"]
    del again
    assert lying(values) == []
    assert values.all() == []


def test_a_task_that_uses_it_keeps_it_until_it_is_over(values: References) -> None:
    future: Future[Any] = Future()
    values.used(future, [values.put(1)])
    assert lying(values) == ["put-1"]
    future.set_result(None)
    assert lying(values) == [], "though the future is there"


@pytest.mark.parametrize("cancelled", [True, False])
def test_what_a_task_leaves_that_fails_goes(values: References, cancelled: bool) -> None:
    future: Future[Any] = Future()
    values.expected(future, 7)
    Path(values.place.memory, "data", "7").touch()
    if cancelled:
        future.cancel()
    else:
        future.set_exception(ValueError())
    assert lying(values) == []


def test_what_a_task_has_left_is_a_handle_here(values: References) -> None:
    Path(values.place.memory, "data", "7").touch()
    ref = open_value(pack_value(Left(values.token, "7", 5)))
    assert (type(ref), ref.size, len(values.all())) == (Ref, 5, 1)
    del ref
    assert lying(values) == []


def test_a_handle_may_go_while_the_book_is_open(values: References) -> None:
    """Python may collect it at any moment, also on the thread that is in here."""
    refs = [values.put(1), values.put(2)]
    assert values._ask(lambda: refs.pop() is not None) is True
    assert lying(values) == ["put-1"]
    ring: list[Any] = [refs.pop()]
    ring.append(ring)
    del ring
    values._ask(gc.collect)
    assert lying(values) == []


def test_many_threads_leave_nothing(values: References) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=lambda: [values.put(n) for n in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert lying(values) == []


def test_handles_in_rings_go_before_they_take_much(values: References, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_COLLECTED", 0)
    for _ in range(10):
        ring: list[Any] = [values.put(bytes(100_000))]
        ring.append(ring)
    assert len(lying(values)) <= 3


def test_labels_and_pins(values: References) -> None:
    values.put("kept", "model", pinned=True)
    with pytest.raises(InvalidTask, match="another value has it"):
        values.put(1, "model")
    found = values.labelled("model")
    found.pin(False)
    del found
    assert lying(values) == []
    with pytest.raises(DataLost):
        values.labelled("model")


def test_what_cannot_be_kept_is_told(values: References, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PayloadError, match="value could not be serialized"):
        values.put(iter_of_nothing())
    monkeypatch.setattr(values._files, "_roots", [])
    monkeypatch.setattr(values._files, "_place", values.place._replace(memory="", disk="/nowhere"))
    with pytest.raises(Unwritable, match="TMPDIR"):
        values.put(1)


def test_after_its_executor_a_value_is_gone(values: References) -> None:
    ref = values.put(1)
    os.unlink(Path(values.place.memory, "data", "put-1"))
    values.close()
    assert values.token not in Here.owners
    with pytest.raises(DataLost, match="shut down"):
        ref.result()


def test_what_a_lost_block_had_half_written_goes(values: References) -> None:
    for block in ("0", "driver"):
        Path(values.place.disk, block).mkdir(exist_ok=True)
    values.left("0")
    values.left("../driver")
    assert sorted(name for name in os.listdir(values.place.disk) if not name.startswith(".")) == ["data", "driver"]
