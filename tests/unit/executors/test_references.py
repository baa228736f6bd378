"""Values at the driver: there while somebody needs them, gone in the same moment as the last who did."""

import asyncio
import gc
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from parsl.dataflow.memoization import id_for_memo

from rhapsody_parsl.data.packing import packed
from rhapsody_parsl.data.reference import Facts, Here, Left, Ref
from rhapsody_parsl.errors import DataLost, InvalidTask, PayloadError, RhapsodyError, Unwritable
from rhapsody_parsl.executors import references as module
from rhapsody_parsl.executors.references import References
from rhapsody_parsl.payload import open_value, pack_value
from rhapsody_parsl.wire.value_messages import Copied, DropValues, ToValues, ValuesCame, WantValue
from testing.waiting import until


@pytest.fixture
def values(tmp_path: Path) -> Iterator[References]:
    made = References(str(tmp_path), 1_000_000, lambda block, message: SAID.append((block, message)))
    SAID.clear()
    yield made
    made.close()
    made.close()
    assert not os.path.exists(made.place.disk)


SAID: list[tuple[str, ToValues]] = []
"""What blocks are told."""


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


def test_a_forked_child_removes_no_value_of_its_parent(values: References) -> None:
    """Its handles are copies, also those that it unpickles: concurrent.futures hands a `Ref` to its processes so."""
    held = [values.put(1)]
    if not (child := os.fork()):
        held.clear()
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    assert lying(values) == ["put-1"]
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        pool.submit(os.getpid).result()
        later = values.put([2])
        assert pool.submit(Ref.result, later).result() == [2]
    assert lying(values) == ["put-1", "put-2"]
    assert [ref.result() for ref in (*held, later)] == [1, [2]]


def test_a_forked_child_does_not_wait_for_a_value_of_a_block(values: References) -> None:
    """Nobody would tell it that the value has come."""
    ref = left_in(values, "3")
    found = multiprocessing.get_context("fork").Queue()

    def look() -> None:
        with pytest.raises(DataLost, match="which was forked, cannot ask for it"):
            ref.result()
        found.put("lost")

    child = multiprocessing.get_context("fork").Process(target=look)
    child.start()
    try:
        assert found.get(timeout=5) == "lost"
    finally:
        child.kill()
        child.join()


def test_what_a_task_has_left_is_a_handle_here(values: References) -> None:
    Path(values.place.memory, "data", "7").touch()
    ref = open_value(pack_value(Left(Facts(values.token, "7", 5))))
    assert (type(ref), ref.size, len(values.all())) == (Ref, 5, 1)
    del ref
    assert lying(values) == []


def test_a_handle_may_go_while_the_book_is_open(values: References) -> None:
    """Python may collect it at any moment, also on the thread that is in here."""
    refs = [values.put(1), values.put(2)]
    assert values._handles.ask(lambda _: refs.pop() is not None) is True
    assert lying(values) == ["put-1"]
    ring: list[Any] = [refs.pop()]
    ring.append(ring)
    del ring
    values._handles.ask(lambda _: gc.collect())
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


@pytest.mark.parametrize("label", [None, 7, ["a"], "\ud800", "a" * 201])
def test_a_label_is_a_name(values: References, label: Any) -> None:
    with pytest.raises(InvalidTask, match="label"):
        values.put(1, label)


def test_a_handle_that_the_user_has_opened_is_waited_for(values: References) -> None:
    first = left_in(values, "3")
    ref = pickle.loads(pickle.dumps(first))
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(ref.result()))
    thread.start()
    until(lambda: bool(SAID), 5)
    come(values, Copied("7", content(4)))
    thread.join(5)
    assert found == [4]


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


def left_in(values: References, block: str) -> Ref:
    """Return what a task has left in a block that does not see this host."""
    ref = open_value(pack_value(Left(Facts(values.token, "7", 5, "", block))))
    assert isinstance(ref, Ref)
    return ref


def come(values: References, copied: Copied) -> None:
    """Have a block bring a value, on a loop as the link's."""

    async def all_() -> None:
        values.told("3", ValuesCame([copied]))
        assert not values._files.has(copied.key), "the loop waits for no disk"
        async with asyncio.timeout(10):
            while copied.key in values._wanted.keys():  # noqa: SIM118 - no dict
                await asyncio.sleep(0.01)

    asyncio.run(all_())


def content(value: Any) -> bytes:
    return b"".join(packed(value))


@pytest.mark.parametrize("end", ["came", "gone", "lost", "closed"])
def test_a_value_of_another_host_is_asked_for_once(values: References, end: str) -> None:
    ref, found, problems = left_in(values, "3"), list[Any](), list[str]()

    def look() -> None:
        try:
            found.append(ref.result())
        except DataLost as problem:
            problems.append(problem.args[2])

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(values._wanted._waiting.get("7", ())) == 3, 5)
    match end:
        case "came":
            come(values, Copied("7", content([1, 2])))
        case "gone":
            values.told("3", ValuesCame([], {"7": "nobody held it"}))
        case "lost":
            values.left("3")
        case _:
            values.close()
    for thread in threads:
        thread.join(5)
    assert [("3", WantValue("7"))] == SAID
    assert found == ([[1, 2]] * 3 if end == "came" else [])
    assert len(set(problems)) == (end != "came")


@pytest.mark.parametrize("held", [True, False])
def test_a_value_that_has_come_is_not_lost_with_its_block(values: References, held: bool) -> None:
    """It is still being written when the block leaves; a block's own that nobody holds here goes then."""
    refs = [values.arrived(Facts(values.token, "3-7", 5, "", "3"))]
    values.told("4", WantValue("3-7"))
    if not held:
        refs.clear()
    SAID.clear()

    async def all_() -> None:
        values.told("3", ValuesCame([Copied("3-7", content(4))]))
        values.left("3")
        async with asyncio.timeout(10):
            while not SAID or values._incoming._coming:
                await asyncio.sleep(0.01)

    asyncio.run(all_())
    assert [("4", ValuesCame([Copied("3-7", content(4))]))] == SAID
    assert lying(values) == ["3-7"] * held


def test_a_value_that_comes_while_it_is_dropped_is_not_kept(
    values: References, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any thread may drop it, while the link's hears of it."""
    ref, drop = left_in(values, "3"), values._files.drop

    def drop_slowly(key: str) -> None:
        drop(key)
        values.told("3", ValuesCame([Copied(key, content(4))]))

    async def all_() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(values._files, "drop", drop_slowly)
            ref.delete()
        async with asyncio.timeout(10):
            while values._incoming._coming:
                await asyncio.sleep(0.01)

    asyncio.run(all_())
    assert lying(values) == []


def test_a_value_of_a_block_that_is_gone_is_lost(values: References) -> None:
    ref = left_in(values, "3")
    values.left("3")
    with pytest.raises(DataLost, match="block 3 has stopped"):
        ref.result()


def test_who_wants_a_value_that_cannot_be_read_is_told(values: References) -> None:
    Path(values.place.memory, "data", "7").mkdir()
    values.told("4", WantValue("7"))
    ((block, said),) = SAID
    assert block == "4"
    assert isinstance(said, ValuesCame)
    assert "Is a directory" in said.gone["7"]


def test_a_callback_does_not_wait_for_itself(values: References) -> None:
    ref = left_in(values, "3")
    values.link_thread = threading.get_ident()
    with pytest.raises(RhapsodyError, match="callback"):
        ref.result()


def test_a_block_gets_what_lies_here_or_in_another(values: References) -> None:
    here, there = values.put(1), left_in(values, "3")
    values.told("4", WantValue(here.key))
    values.told("4", WantValue(there.key))
    values.told("4", WantValue("none"))
    values.told("3", WantValue(there.key))
    values.told("5", WantValue(here.key, sees=True))
    come(values, Copied(there.key, content(2)))
    assert [
        ("4", ValuesCame([Copied(here.key, content(1))])),
        ("3", WantValue(there.key)),
        ("4", ValuesCame([], {"none": module._DELETED})),
        ("3", ValuesCame([], {there.key: module._DELETED})),
        ("5", ValuesCame([], here=[here.key])),
        ("4", ValuesCame([Copied(there.key, content(2))])),
    ] == SAID  # fmt: skip


def test_blocks_are_told_what_nobody_needs(values: References) -> None:
    ref = values.put(1)
    key = ref.key
    del ref
    assert [("", DropValues([key]))] == SAID
    future: Future[Any] = Future()
    values.expected(future, 7)
    future.cancel()
    assert SAID[1:] == [("", DropValues(["7"], unfinished=True))]


def test_a_block_is_told_how_many_handles_of_a_value_of_its_own_there_were(values: References) -> None:
    path = Path(values.place.memory, "data", "3-put-1-9-1")
    path.touch()
    left = Left(Facts(values.token, path.name, 5, "", "3"))
    refs = [open_value(pack_value(left)) for _ in range(2)]
    assert SAID == []
    del refs
    assert [("3", DropValues([path.name], counts=[2]))] == SAID
    assert path.exists(), "others of the block may need it"
    values.unread([(path.name, 5)])
    assert SAID[1:] == [("3", DropValues([path.name], counts=[1]))]
    open_value(pack_value(left)).delete()
    assert SAID[2:] == [("3", DropValues([path.name])), ("", DropValues([path.name]))]


def test_what_nobody_holds_of_a_block_goes_with_it(values: References) -> None:
    for name in ("3-1", "3-2", "4-1", "5"):
        Path(values.place.memory, "data", name).touch()
    held = open_value(pack_value(Left(Facts(values.token, "3-2", 5, "", "3"))))
    values.left("3")
    assert lying(values) == ["3-2", "4-1", "5"]
    del held
    assert lying(values) == ["4-1", "5"]


def test_parsls_cache_knows_a_value_by_its_key(values: References) -> None:
    first, second = values.put(1), values.put(1)
    assert id_for_memo([first]) == id_for_memo([pickle.loads(pickle.dumps(first))])
    assert id_for_memo(first) != id_for_memo(second)
