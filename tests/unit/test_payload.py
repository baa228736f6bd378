"""What we write, Parsl opens, and the other way round; and what is plain is exactly what dill writes the same."""

import math
import pickle
from collections import OrderedDict
from concurrent.futures import Future
from enum import IntEnum
from typing import Any
from unittest.mock import Mock

import dill
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsl.serialize import deserialize, pack_apply_message, serialize, unpack_apply_message
from parsl.serialize.base import SerializerBase
from parsl.serialize.facade import methods_for_data

from rhapsody_parsl.data.staying import Keeping
from rhapsody_parsl.errors import PayloadError
from rhapsody_parsl.payload import HEADER, open_call, open_value, pack_call, pack_value
from rhapsody_parsl.programs import Captured

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.frozensets(st.text())
    ),
    max_leaves=20,
)


class Colour(IntEnum):
    RED = 1


class Local:
    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Local) and other.value == self.value

    def __hash__(self) -> int:
        return self.value


def double(x: Any) -> Any:
    return 2 * x


@given(plain)
def test_plain_values_come_back_and_parsl_opens_them(value: Any) -> None:
    data = pack_value(value)
    assert data.startswith(HEADER)
    assert open_value(data) == value
    assert deserialize(data) == value
    assert open_value(serialize(value)) == value


@pytest.mark.parametrize(
    "value", [Colour.RED, Local(3), double, Local, {"a": [Local(1)]}, 1j, OrderedDict(a=1), math.pi.real.__add__]
)
def test_all_other_values_go_parsls_way(value: Any) -> None:
    data = pack_value(value)
    assert not data.startswith(HEADER)
    found = open_value(data)
    assert type(found) is type(value)
    if not callable(value):
        assert found == value


def test_a_lambda_and_a_class_of_the_main_script_arrive() -> None:
    assert open_value(pack_value(lambda: 5))() == 5
    with pytest.raises(Exception, match="pickle"):
        pack_value(n for n in [1])


def test_calls_come_back_and_parsl_opens_them() -> None:
    large = bytes(2_000_000)
    payload = pack_call(double, (large,), {"a": Local(1), "b": None})
    for function, args, kwargs in (open_call(payload), unpack_apply_message(payload)):
        assert function(2) == 4
        assert tuple(args) == (large,)
        assert kwargs == {"a": Local(1), "b": None}
    function, args, kwargs = open_call(pack_apply_message(double, (1,), {}))
    assert (function(*args), kwargs) == (2, {})


def test_a_serializer_that_somebody_registered_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shout(SerializerBase):
        identifier = b"SHOUT"

        def serialize(self, data: Any) -> bytes:
            return pickle.dumps(str(data).upper())

        def deserialize(self, body: bytes) -> Any:
            return pickle.loads(body)

    mine = {b"SHOUT": Shout(), **methods_for_data}
    monkeypatch.setattr("parsl.serialize.facade.methods_for_data", mine)
    assert open_value(pack_value("quiet")) == "QUIET"


def test_a_future_inside_a_list_is_named_as_one_with_what_to_do() -> None:
    future: Future[int] = Future()
    vars(future)["flow"] = (number for number in [1])  # as Parsl's hold their DataFlowKernel
    with pytest.raises(
        PayloadError,
        match=r"arguments\[0\]\[1\], .*Future.*future\.result\(\).*apps alone.*inputs=\[\.\.\.\].*DEEP_DEPENDENCY",
    ) as caught:
        pack_call(double, ([1, future],), {})
    assert "flow" not in str(caught.value)


def test_a_function_is_written_once_also_where_its_result_stays_or_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(word: str) -> str:  # not written yet
        return word

    dumps = Mock(wraps=dill.dumps)
    monkeypatch.setattr(dill, "dumps", dumps)
    for function in (named, Keeping(named, 7), Keeping(named, 7), Keeping(named, 8)):
        assert open_call(pack_call(function, ("a",), {}))[1] == ("a",)
    for check in (True, True, False):
        pack_call(Captured(named, 7, check), ("a",), {})
    assert dumps.call_count == 5
