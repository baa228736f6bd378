import sys
from typing import Any

import msgspec
import pytest
from parsl.serialize import pack_apply_message

from rhapsody_parsl.raised.revival import revive
from rhapsody_parsl.wire.failures import from_wire
from rhapsody_parsl.wire.messages import FAILED, RAISED
from rhapsody_parsl.worker.prompt import PROMPT, as_request, call_body

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(("value", "request_"), [
    ("hi", {"prompt": "hi"}),
    (["a", "b"], {"prompt": ["a", "b"]}),
    (("a",), {"prompt": ["a"]}),
    (MESSAGES, {"messages": MESSAGES}),
    ({"prompt": "hi", "max_tokens": 9}, {"prompt": "hi", "max_tokens": 9}),
    ({"messages": MESSAGES}, {"messages": MESSAGES}),
])  # fmt: skip
def test_as_request(value: Any, request_: dict[str, Any]) -> None:
    assert as_request(value, {"max_tokens": 5}) == {"max_tokens": 5, **request_}


@pytest.mark.parametrize("value", [None, 3, [], ["a", 1], [{"content": "x"}], {1, 2}, b"hi"])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="the app must return a prompt"):
        as_request(value, {})


@pytest.mark.parametrize(("value", "problem"), [
    ({"prompt": "x", "max_tokenz": 1}, "unknown request parameter 'max_tokenz'"),
    ({"max_tokens": 1}, "needs one of 'prompt', 'messages', 'input', 'queries'"),
    ({"prompt": "x", "messages": MESSAGES}, "needs one of 'prompt', 'messages'"),
    ({"prompt": "x", "ask": "embed"}, "unknown request parameter 'ask'"),
    ({3: 1, "prompt": "x"}, "unknown request parameter"),
])  # fmt: skip
def test_a_wrong_request_dict_is_refused(value: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        as_request(value, {})


@pytest.mark.parametrize(("ask", "value", "request_"), [
    ("embed", "hi", {"input": "hi"}),
    ("embed", ("a", "b"), {"input": ["a", "b"]}),
    ("embed", {"input": [1, 2], "dimensions": 8}, {"input": [1, 2], "dimensions": 8}),
    ("score", ("q", ["a", "b"]), {"queries": "q", "documents": ["a", "b"]}),
    ("score", ["q", "a"], {"queries": "q", "documents": "a"}),
    ("score", (["q", "r"], ("a", "b")), {"queries": ["q", "r"], "documents": ["a", "b"]}),
    ("text", "hi", {"prompt": "hi"}),
])  # fmt: skip
def test_what_is_asked_for_decides_what_a_value_means(ask: str, value: Any, request_: dict[str, Any]) -> None:
    assert as_request(value, {"ask": ask, "user": "me"}) == {"user": "me", **request_}


@pytest.mark.parametrize(("ask", "value", "problem"), [
    ("embed", MESSAGES, "must return a text or a non-empty list of texts"),
    ("embed", [], "a non-empty list of texts"),
    ("score", "hi", "must return a query and a list of documents"),
    ("score", ("q", []), "a query and a list of documents"),
    ("score", ("q", "a", "b"), "a query and a list of documents"),
    ("score", ("q", 3), "a query and a list of documents"),
])  # fmt: skip
def test_a_value_that_is_not_for_what_is_asked_is_refused(ask: str, value: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        as_request(value, {"ask": ask})


class HostileRequest(dict[str, Any]):
    def __iter__(self) -> Any:
        raise SystemExit("no keys here")


def body(value: Any) -> Any:
    if value == "boom":
        raise ValueError(value)
    if value == "leave":
        sys.exit(3)
    if value == "stop":
        raise KeyboardInterrupt(value)
    if value == "hostile":
        return HostileRequest(prompt="x")
    return value


def test_a_body_becomes_a_request() -> None:
    parameters = msgspec.msgpack.encode({"max_tokens": 5})
    result = call_body(7, pack_apply_message(body, ["hi"], {}), parameters)
    assert (result.id, result.kind) == (7, PROMPT)
    (request,) = msgspec.msgpack.decode(result.payload)  # type: ignore[arg-type]  # bytes
    assert msgspec.msgpack.decode(request) == {"max_tokens": 5, "prompt": "hi"}


def test_a_list_of_prompts_becomes_a_request_for_each() -> None:
    result = call_body(7, pack_apply_message(body, [["hi", "ho"]], {}), msgspec.msgpack.encode({"max_tokens": 5}))
    requests = [msgspec.msgpack.decode(one) for one in msgspec.msgpack.decode(result.payload)]  # type: ignore[arg-type]  # bytes
    assert requests == [{"max_tokens": 5, "prompt": prompt} for prompt in ("hi", "ho")]


def test_a_failing_body_raises_and_a_wrong_one_is_explained() -> None:
    raised = call_body(1, pack_apply_message(body, ["boom"], {}), b"")
    assert raised.kind == RAISED
    assert isinstance(raised.payload, bytes)
    assert isinstance(revive(raised.payload), ValueError)
    assert isinstance(revive(call_body(1, pack_apply_message(body, ["stop"], {}), b"").payload), KeyboardInterrupt)  # type: ignore[arg-type]  # bytes
    for wrong in (3, {"prompt": object()}, "leave", "hostile"):
        result = call_body(1, pack_apply_message(body, [wrong], {}), b"")
        assert result.kind == FAILED
        assert str(from_wire(*msgspec.msgpack.decode(result.payload)))  # type: ignore[arg-type]  # bytes
