"""What a reference becomes where it is unpickled."""

import copy
import gc
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from rhapsody_parsl.data.reference import Facts, Here, Left, Ref, packed
from rhapsody_parsl.errors import DataLost
from rhapsody_parsl.payload import open_call, pack_call, pack_value


class Keeper:
    def __init__(self) -> None:
        self.token, self.where, self.gone = "ours", "", list[str]()

    def value_of(self, ref: Ref) -> Any:
        return f"value of {ref.key}"

    def delete(self, ref: Ref) -> None:
        self.gone.append(f"deleted {ref.key}")

    def pin(self, ref: Ref, pinned: bool) -> None:
        self.gone.append(f"pin {ref.key} {pinned}")

    def released(self, key: str) -> None:
        self.gone.append(key)

    def arrived(self, facts: Facts) -> Ref:
        return Ref(self, facts.key, facts.size, facts.label)


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    monkeypatch.setattr(Here, "opens", None)
    made = Keeper()
    Here.owners["ours"] = made
    yield made
    Here.owners.pop("ours", None)
    packed.refs = ()


def test_at_its_executor_it_is_a_reference_again(keeper: Keeper) -> None:
    ref = Ref(keeper, "7", 100, "model")
    again = pickle.loads(pickle.dumps(ref))
    assert (type(again), again.key, again.size, again.name) == (Ref, "7", 100, "model")
    assert again.result() == "value of 7"
    left = pickle.loads(pickle.dumps(Left(Facts("ours", "9", 5))))
    assert repr(left) == "<Ref 9, 5 bytes>"


def test_in_a_task_it_is_the_value_wherever_it_lies(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = Ref(keeper, "7", 100)
    payload = pack_call(print, (ref, [ref]), {"given": {"a": (ref,)}})
    del Here.owners["ours"]
    monkeypatch.setattr(Here, "opens", lambda facts: facts)
    _, args, kwargs = open_call(payload)
    value = Facts("ours", "7", 100)
    assert (args, kwargs) == ((value, [value]), {"given": {"a": (value,)}})


def test_elsewhere_it_cannot_be_opened(keeper: Keeper) -> None:
    payload = pack_call(print, (Ref(keeper, "7", 100, "model"),), {})
    del Here.owners["ours"]
    with pytest.raises(DataLost, match=r"reference model \(100 bytes\) is gone: no task"):
        open_call(payload)


def test_those_of_a_call_are_known(keeper: Keeper) -> None:
    one, other = Ref(keeper, "1", 1), Ref(keeper, "2", 1)
    assert packed.take() == []
    pack_value([one, {"a": other}])
    pack_value(Ref(keeper, "3", 1))
    assert packed.take() == [one, other], "nobody holds the third"
    assert packed.take() == []


def test_the_owner_hears_when_a_handle_goes_and_a_copy_is_the_same(keeper: Keeper) -> None:
    ref = Ref(keeper, "7", 100)
    assert copy.copy(ref) is copy.deepcopy([ref])[0] is ref
    ref.pin()
    ref.delete()
    assert keeper.gone == ["pin 7 True", "deleted 7"]
    del ref
    gc.collect()
    assert keeper.gone[2:] == ["7"]
