import inspect
import pickle
import re
import tomllib
from copy import copy
from pathlib import Path
from typing import Any

import dill
import msgspec
import pytest

from rhapsody_parsl import errors
from rhapsody_parsl.errors import InvalidTask, LostTask, RhapsodyError, pages
from rhapsody_parsl.errors.pages import PAGES
from rhapsody_parsl.executors.admission import InvalidSpecification
from rhapsody_parsl.wire.failures import from_wire, to_wire

DOCS = Path(__file__).parents[2] / "docs"
KINDS: list[Any] = [kind for name in errors.__all__ if inspect.isclass(kind := getattr(errors, name))]


def make(kind: type[RhapsodyError]) -> RhapsodyError:
    if kind.__init__ is Exception.__init__:
        return kind("some", "facts")
    parameters = inspect.signature(kind).parameters.values()
    plain = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    samples: dict[Any, Any] = {int: 3, float: 2.5, list[Any]: [[1, "ServiceFailed", ["some", "facts"]]]}
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
    of_blocks = {"WorkerLost", "RuntimeLost", "NodeLost", "BlockLost", "BlockExpired"}
    assert lost == {"AgentLost", "DataLost", "LostTask", *of_blocks}
    assert all(str(make(kind)) for kind in KINDS)


def sections(page: str) -> set[str]:
    """Return the names of a page's sections, as the site makes them."""
    titles = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(), re.MULTILINE)
    return {"", *(re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-") for title in titles)}


@pytest.mark.parametrize("kind", [*KINDS, InvalidSpecification])
def test_each_names_a_page_that_is_there(kind: type[RhapsodyError]) -> None:
    (note,) = make(kind).__notes__
    page, _, section = re.sub(r".* docs/", "", note).partition("#")
    assert section in sections(page)


def test_the_table_of_pages_names_errors_and_has_more_than_one_page() -> None:
    assert PAGES.keys() <= {kind.__name__ for kind in [*KINDS, InvalidSpecification]}
    assert len(set(PAGES.values())) > 20


def test_the_site_is_the_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
    assert project.get("urls", {}).get("Documentation", "") == pages.SITE
    monkeypatch.setattr(pages, "SITE", "https://x.org/")
    assert pages.note_of(errors.NodeLost) == "See https://x.org/clusters/#a-lost-node"
    assert pages.note_of(errors.BlockExpired) == "See https://x.org/block_end/"


def test_the_note_is_there_once_however_the_error_travels() -> None:
    error = errors.NodeLost("n1", "power")
    assert len(pickle.loads(pickle.dumps(error)).__notes__) == 1
    assert len(copy(error).__notes__) == 1
    assert from_wire(*to_wire(error)).__notes__ == error.__notes__
    error.add_note("and more")
    assert pickle.loads(pickle.dumps(error)).__notes__ == error.__notes__
    assert str(error) == error.sentence(), "the message is as before"
