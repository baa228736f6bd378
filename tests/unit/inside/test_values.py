"""The handles of a task: the pilot hears of each, and what must not wait does not."""

import os
from pathlib import Path
from typing import Any

import pytest

from rhapsody_parsl.data.reference import Ref
from rhapsody_parsl.errors import DataLost, InvalidTask, PayloadError
from rhapsody_parsl.hosts.data_files import Place
from rhapsody_parsl.inside.client import Client
from rhapsody_parsl.inside.functions import asked
from rhapsody_parsl.payload import pack_result
from rhapsody_parsl.wire.child_messages import AskChild, ChildAnswer
from rhapsody_parsl.wire.messages import RESULT, ChildrenEnded, Result, SubmitChildren
from rhapsody_parsl.wire.value_messages import FindValue, FreeValues, HoldValue, PinValue
from rhapsody_parsl.worker import line, references
from rhapsody_parsl.worker.call import pack
from rhapsody_parsl.worker.references import packed_piece


class FakeLine:
    """Answers what is asked; `posted` is what must not wait."""

    def __init__(self) -> None:
        self.now, self.sent, self.posted = 7, list[Any](), list[Any]()
        self.client = Client(self)

    def task(self) -> int:
        return self.now

    def send(self, message: Any) -> None:
        self.sent.append(message)
        if isinstance(message, AskChild):
            self.client.take(ChildAnswer(message.order, b"admitted", 9))
        elif isinstance(message, FindValue):
            self.client.take(ChildAnswer(message.order, facts=("3-found", 5)))
        elif isinstance(message, HoldValue) and message.order:
            self.client.take(
                ChildAnswer(message.order, error="InvalidTask", facts=("label", "x", "another has it", ""))
            )

    def post(self, message: Any) -> None:
        self.posted.append(message)

    def hear_answers(self) -> str:
        return ""

    def listen(self) -> None: ...

    listen_later = listen

    def hear(self) -> bool:
        return False

    def waiting_for(self, _awaited: Any) -> Any:
        raise NotImplementedError


class Stubborn:
    def __reduce__(self) -> Any:
        raise TypeError("it stays here")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLine:
    """Be a worker of block 3 with task 7 at work."""
    Place("ours", str(tmp_path), str(tmp_path / "disk"), "3", 1_000_000).tell(str(tmp_path))
    monkeypatch.setattr(references._Host, "files", None)
    monkeypatch.setattr(references._Host, "place", None)
    monkeypatch.setattr(references._Given, "refs", [])
    monkeypatch.setattr(line.Here, "endpoint", f"ipc://{tmp_path}/workers")
    return FakeLine()


def test_the_pilot_hears_of_a_value_before_there_is_one_and_when_the_last_handle_goes(here: FakeLine) -> None:
    ref = here.client.put_value([1], "", pinned=False)
    assert here.sent == [HoldValue(7, ref.key, lies=True)]
    assert (ref.key, ref.result()) == (f"3-put-7-{os.getpid()}-{ref.key.rpartition('-')[2]}", [1])
    ref.pin()
    assert here.sent[-1] == PinValue(ref.key, pinned=True)
    key = ref.key
    del ref
    assert here.posted == [FreeValues(7, {key: 1})]


def test_what_cannot_be_kept_is_taken_back(here: FakeLine) -> None:
    with pytest.raises(PayloadError):
        here.client.put_value(Stubborn(), "", pinned=False)
    assert here.sent[-1] == FreeValues(7, {here.sent[0].key: 1}, deleted=True)
    with pytest.raises(InvalidTask, match="another has it"):
        here.client.put_value(1, "model", pinned=False)


def test_a_task_of_the_tasks_takes_it_and_gives_one(here: FakeLine) -> None:
    ref = here.client.find_value("model")
    spec = asked(len, {"result": "reference", "reference_above": 10})
    assert spec.above == 10
    future = here.client.submit(7, spec, len, args=([ref],), kwargs={}, keep=False)
    submitted = here.sent[-1]
    assert isinstance(submitted, SubmitChildren)
    assert submitted.tasks[0].takes == (("3-found", 5),)
    here.client.take(ChildrenEnded([Result(future.number, RESULT, pack_result([ref]), gives=(("3-found", 5),))]))
    [again] = future.result()
    assert isinstance(again, Ref)
    del ref, again, future, submitted
    here.client.enter()
    assert here.posted == [FreeValues(7, {"3-found": 2})], "both handles, in one word"


def test_a_result_says_what_it_carries_and_is_not_freed_before_it_is_sent(here: FakeLine) -> None:
    ref = here.client.find_value("model")
    assert pack(7, {"a": ref}).gives == (("3-found", 5),)
    with pytest.raises(PayloadError, match="carries a Ref"):
        packed_piece(ref)
    assert pack(7, ref).gives == (("3-found", 5),)
    del ref
    assert here.posted == [], "the pilot would drop it before it has heard of the result"
    here.now = 8
    assert pack(8, 1).gives == ()
    assert here.posted == [], "a task that has ended holds nothing"


def test_a_deleted_value_cannot_be_given_on(here: FakeLine) -> None:
    ref = here.client.find_value("model")
    ref.delete()
    assert here.sent[-1] == FreeValues(7, {"3-found": 1}, deleted=True)
    for use in (ref.result, ref.pin, lambda: here.client.values.check([ref])):
        with pytest.raises(DataLost, match="deleted"):
            use()
