import sys

import pytest
from parsl.providers import LocalProvider

from rhapsody_parsl import DragonRuntime, LocalRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import InvalidTask, RuntimeUnavailable
from rhapsody_parsl.executors.peers import mismatch
from rhapsody_parsl.pythons import dragon_misfit
from rhapsody_parsl.runtimes.dragon.partition import find_dragon
from rhapsody_parsl.wire.messages import VERSION, Hello
from testing.nodes import make_inventory

WHY = "Dragon runs on Python 3.11 and 3.12, and the block's Python is 3.14"


@pytest.fixture
def too_new(monkeypatch: pytest.MonkeyPatch) -> None:
    why = dragon_misfit((3, 14))
    for place in ("config", "runtimes.dragon.partition"):
        monkeypatch.setattr(f"rhapsody_parsl.{place}.dragon_misfit", lambda: why)


def test_what_dragon_runs_on() -> None:
    assert dragon_misfit((3, 14)) == WHY
    assert [dragon_misfit((3, minor)) == "" for minor in (10, 11, 12, 13, 14)] == [False, True, True, False, False]
    assert (dragon_misfit() == "") == (sys.version_info < (3, 13))


@pytest.mark.usefixtures("too_new")
def test_the_block_refuses_dragon_there() -> None:
    with pytest.raises(RuntimeUnavailable, match=WHY):
        find_dragon(DragonRuntime(), "/some/python")


@pytest.mark.usefixtures("too_new")
def test_the_driver_refuses_it_where_the_block_runs_its_own_python() -> None:
    with pytest.raises(InvalidTask, match=WHY):
        RhapsodyExecutor()
    other = LocalProvider(worker_init="module load python")
    assert RhapsodyExecutor(provider=other).runtimes == (DragonRuntime(),)
    assert RhapsodyExecutor(launch_cmd="mine {config} {block_id}").runtimes == (DragonRuntime(),)
    assert RhapsodyExecutor(runtimes=[LocalRuntime()]).runtimes == (LocalRuntime(),)


def hello(python: str, version: int = VERSION) -> Hello:
    return Hello(version, "0", "1.2.3", make_inventory(python=python))


def test_blocks_may_differ_in_the_patch_version_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rhapsody_parsl.executors.peers.platform.python_version", lambda: "3.12.4")
    assert mismatch(hello("3.12.9")) is None
    assert "The driver runs Python 3.12.4, the block Python 3.11.4." in str(mismatch(hello("3.11.4")))
    assert f"The driver runs protocol {VERSION}, the block protocol 1" in str(mismatch(hello("3.12.4", 1)))
