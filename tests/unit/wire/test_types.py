"""What goes between processes is typed to its last field, so that whoever reads it knows what there is."""

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest

from rhapsody_parsl.agents.words import FromAgent, Settings, ToAgent
from rhapsody_parsl.wire.messages import Message

FREE = dict.fromkeys(
    ("ChildAnswer.facts", "Failed.facts", "Served.facts"), "the facts of an error, which its class names"
)
"""Fields that may hold anything, and what they hold."""


def kinds_in(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from kinds_in(part)


def untyped(*roots: Any) -> set[str]:
    """Return the fields below these that can hold anything, as `Class.field`."""
    found, seen, todo = set(), set[Any](), [kind for root in roots for kind in kinds_in(root)]
    while todo:
        kind = todo.pop()
        if kind in seen or not getattr(kind, "__annotations__", None):
            continue
        seen.add(kind)
        for name, annotation in get_type_hints(kind).items():
            parts = list(kinds_in(annotation))
            todo += parts
            if any(part in (Any, object, dict, list, tuple) for part in parts):
                found.add(f"{kind.__name__}.{name}")
    return found


def test_no_message_holds_what_nobody_has_named() -> None:
    assert untyped(Message, FromAgent, ToAgent, Settings) == set(FREE)


@pytest.mark.parametrize("annotation", [dict[str, Any], list[dict[str, Any]] | None, dict, object])
def test_it_would_be_found_however_deep(annotation: Any) -> None:
    class Inner:
        field: annotation

    class Outer:
        inner: list[Inner] | None

    Inner.__annotations__["field"] = annotation
    Outer.__annotations__["inner"] = list[Inner] | None
    assert untyped(Outer) == {"Inner.field"}
