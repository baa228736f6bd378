import inspect
import pickle
from typing import Any

import dill
import msgspec
import pytest

from rhapsody_parsl import errors
from rhapsody_parsl.errors import InvalidTask, LostTask, RhapsodyError
from rhapsody_parsl.executors.admission import InvalidSpecification
from rhapsody_parsl.wire.failures import from_wire, to_wire

KINDS: list[Any] = [kind for name in errors.__all__ if inspect.isclass(kind := getattr(errors, name))]


def make(kind: type[RhapsodyError]) -> RhapsodyError:
    if kind.__init__ is Exception.__init__:
        return kind("some", "facts")
    parameters = inspect.signature(kind).parameters.values()
    plain = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    samples: dict[Any, Any] = {int: 3, float: 2.5}
    return kind(*(samples.get(p.annotation, f"some {p.name}") for p in plain))


@pytest.mark.parametrize("kind", [*KINDS, InvalidSpecification])
@pytest.mark.parametrize("pickler", [pickle, dill])
def test_all_pickle(kind: type[RhapsodyError], pickler: Any) -> None:
    error = make(kind)
    back = pickler.loads(pickler.dumps(error))
    assert type(back) is kind
    assert (back.args, str(back), vars(back)) == (error.args, str(error), vars(error))


@pytest.mark.parametrize("kind", KINDS)
def test_all_travel_as_plain_data(kind: type[RhapsodyError]) -> None:
    error = make(kind)
    back = from_wire(*msgspec.msgpack.decode(msgspec.msgpack.encode(to_wire(error))))
    assert type(back) is kind
    assert (back.args, str(back)) == (error.args, str(error))


def test_exotic_facts_travel_as_their_repr() -> None:
    error = InvalidTask("cores", object, "a whole number is needed")
    data = msgspec.msgpack.decode(msgspec.msgpack.encode(to_wire(error)))
    assert from_wire(*data).args[1] == "<class 'object'>"


@pytest.mark.parametrize("fact", [{1, 2}, [object()], {"a": {1}}, (1, 2), b"x", 1 << 80, {1: 2}, float("inf")])
def test_any_fact_can_be_sent(fact: Any) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(to_wire(InvalidTask("key", fact, "problem"))))


def test_an_unknown_kind_from_a_newer_peer_keeps_its_facts() -> None:
    error = from_wire("FromTheFuture", ["a", 1])
    assert type(error) is RhapsodyError
    assert str(error) == "FromTheFuture a 1"


def test_two_kinds() -> None:
    lost = {kind.__name__ for kind in KINDS if issubclass(kind, LostTask)}
    assert lost == {"AgentLost", "LostTask", "WorkerLost", "RuntimeLost", "NodeLost", "BlockLost", "BlockExpired"}
    assert all(str(make(kind)) for kind in KINDS)
