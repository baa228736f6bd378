import pytest

from rhapsody_parsl.errors import UnroutableTask
from rhapsody_parsl.pilot.router import route
from testing.nodes import make_spec
from testing.simulation import FakeRuntime

RUNTIMES = {
    "dragon": FakeRuntime(), "mpi": FakeRuntime("it has no launcher"), "local": FakeRuntime(),
    "mailbox": FakeRuntime("of which users know nothing"), "turn": FakeRuntime("nor of this"),
}  # fmt: skip


def test_a_named_runtime_takes_it_else_the_default() -> None:
    assert route(make_spec(runtime="local"), RUNTIMES, "dragon") == "local"
    assert route(make_spec(), RUNTIMES, "dragon") == "dragon"


def test_a_refusal_lists_each_runtimes_reason() -> None:
    with pytest.raises(UnroutableTask) as caught:
        route(make_spec(runtime="mpi"), RUNTIMES, "dragon")
    assert str(caught.value) == (
        "runtime='mpi': it has no launcher. Others: dragon: would take it; local: would take it"
    )


def test_a_runtime_that_is_not_configured_is_named_with_the_others() -> None:
    with pytest.raises(UnroutableTask, match=r"runtime='vllm': this executor has dragon, local, mpi\. Add it to"):
        route(make_spec(service="llm"), RUNTIMES, "dragon")
