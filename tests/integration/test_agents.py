"""Agents in a block: asked by the driver and by tasks, lost, started again, stopped, and moved to the next block."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config
from parsl.providers import LocalProvider

from rhapsody_parsl import AgentHandle, DragonRuntime, LocalRuntime, RhapsodyExecutor
from rhapsody_parsl.errors import AgentLost, AgentNameTaken, NoAgent, TooManyAgents
from testing.waiting import until
from tests.integration import counting

TIMEOUT = 60
COMMAND = [sys.executable, "-m", "rhapsody_parsl.cli.main"]
MOST = 6
WAYS: dict[str, dict[str, Any]] = {
    "local": {"runtime": "local"},
    "dragon": {"runtime": "dragon"},
}
MARKS = {"dragon": pytest.mark.dragon}
EACH_WAY = [pytest.param(WAYS[way], id=way, marks=MARKS.get(way, ())) for way in WAYS]


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RhapsodyExecutor]:
    executor = RhapsodyExecutor(
        label="agents", runtimes=[LocalRuntime(), DragonRuntime()], default_runtime="local", cores_per_node=2,
        max_agents=MOST,
    )  # fmt: skip
    folder = str(tmp_path_factory.mktemp("agents"))
    with parsl.load(Config(executors=[executor], run_dir=folder, initialize_logging=False, strategy="none")):
        yield executor


@pytest.fixture
def counter(block: RhapsodyExecutor) -> Iterator[AgentHandle]:
    handle = block.start_agent(counting.Counter, 3)
    yield handle
    handle.stop().exception(TIMEOUT)


def kill(agent: AgentHandle) -> None:
    os.kill(agent.ask("process").result(TIMEOUT), signal.SIGKILL)


@pytest.mark.parametrize("way", EACH_WAY)
def test_an_agent_answers_the_driver_and_tasks(way: dict[str, Any], block: RhapsodyExecutor) -> None:
    agent = block.start_agent(counting.Counter, start=3, resource_specification=way)
    assert [agent.ask("add").result(TIMEOUT) for _ in range(3)] == [4, 5, 6]
    assert agent.ask("add_later", 4).result(TIMEOUT) == 10
    assert len(agent.ask("size", b"x" * (1 << 20)).result(TIMEOUT)) == 1 << 19
    assert block.submit(counting.asks, {"cores": 1}, agent.name).result(TIMEOUT) == [11, 12, 13]
    assert block.submit(counting.asks_by_handle, {"cores": 1}, agent, 7).result(TIMEOUT) == 20
    block.submit(counting.tells_and_leaves, {"cores": 1}, agent.name).result(TIMEOUT)
    until(lambda: agent.ask("value").result(TIMEOUT) == 1020, TIMEOUT)
    kill(agent)
    assert agent.ask("value").result(TIMEOUT) == 1020, "it has its checkpoint"
    assert agent.stop().result(TIMEOUT) is None
    assert isinstance(agent.ask("value").exception(TIMEOUT), NoAgent)


def test_values_by_reference_stay_until_an_agent_has_them(block: RhapsodyExecutor) -> None:
    reader = block.start_agent(counting.Reader, block.put(bytes(5)))
    assert reader.ask("sizes", block.put(bytes(6))).result(TIMEOUT) == (5, 6), "nobody else holds them"
    kept = {entry.key for entry in block.references()}
    assert len(kept) == 1, "what it was made with it needs again when it is lost"
    reader.stop().result(TIMEOUT)
    assert block.references() == []
    assert block.submit(counting.has_a_reader, {"cores": 0}).result(TIMEOUT) == (7, 8)


def test_what_a_method_raises_is_for_who_asked(counter: AgentHandle) -> None:
    assert isinstance(counter.ask("fails").exception(TIMEOUT), ValueError)
    assert isinstance(counter.ask("_hidden").exception(TIMEOUT), AttributeError)
    assert counter.ask("value").result(TIMEOUT) == 3


def test_what_is_not_answered_is_delivered_again_in_order(counter: AgentHandle) -> None:
    process = counter.ask("process").result(TIMEOUT)
    nap = counter.ask("naps", 1.0)
    answers = [counter.ask("add") for _ in range(5)]
    os.kill(process, signal.SIGKILL)
    assert [answer.result(TIMEOUT) for answer in answers] == [4, 5, 6, 7, 8]
    assert nap.result(TIMEOUT) is None
    assert counter.ask("process").result(TIMEOUT) != process


def test_a_message_that_kills_is_delivered_twice_and_the_agent_lives(counter: AgentHandle, tmp_path: Path) -> None:
    deadly, after = counter.ask("dies"), counter.ask("add")
    assert isinstance(deadly.exception(TIMEOUT), AgentLost)
    assert after.result(TIMEOUT) == 4
    assert counter.ask("dies_once", str(tmp_path / "mark")).result(TIMEOUT) == 104


def test_a_message_may_fail_instead(block: RhapsodyExecutor, tmp_path: Path) -> None:
    agent = block.start_agent(counting.Once)
    deadly, after = agent.ask("dies_once", str(tmp_path / "mark")), agent.ask("add")
    assert isinstance(deadly.exception(TIMEOUT), AgentLost)
    assert after.result(TIMEOUT) == 1, "what it had not begun is delivered all the same"
    agent.stop().result(TIMEOUT)


def test_a_task_has_agents_of_its_own(block: RhapsodyExecutor) -> None:
    assert block.submit(counting.has_its_own, {"cores": 0}, "mine").result(TIMEOUT) == [12, 12]
    unknown = block.submit(counting.asks, {"cores": 0}, "mine").exception(TIMEOUT)
    assert isinstance(unknown, NoAgent), "it has ended with its parent"


def test_an_agent_that_cannot_be_made_says_why(block: RhapsodyExecutor) -> None:
    agent = block.start_agent(counting.Unborn, name="unborn")
    waits = agent.ask("anything")
    assert agent.future is not None
    assert isinstance(agent.future.exception(TIMEOUT), RuntimeError)
    assert isinstance(waits.exception(TIMEOUT), NoAgent)


def test_agents_take_no_core_and_their_number_is_bounded(block: RhapsodyExecutor) -> None:
    agents = [block.start_agent(counting.Counter, name=f"many-{number}") for number in range(MOST)]
    with pytest.raises(TooManyAgents, match=f"max_agents={MOST}"):
        block.start_agent(counting.Counter)
    assert [agent.ask("add").result(TIMEOUT) for agent in agents] == [1] * MOST
    assert [block.submit(counting.one, {"cores": 2}).result(TIMEOUT) for _ in range(3)] == [1, 1, 1]
    agents.pop().stop().result(TIMEOUT)
    with pytest.raises(AgentNameTaken, match="many-0"):
        block.start_agent(counting.Counter, name="many-0")
    for agent in agents:
        agent.stop()
    for agent in agents:
        assert agent.future is not None
        agent.future.result(TIMEOUT)


def test_agents_move_on_when_their_block_drains_and_stop_with_the_executor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    provider = LocalProvider(init_blocks=1, max_blocks=2)
    with RhapsodyExecutor(label="moves", runtimes=[LocalRuntime()], cores_per_node=1, provider=provider) as executor:
        agent = executor.start_agent(counting.Counter, 3)
        last = executor.start_agent(counting.Forgetful, str(tmp_path / "mark"))
        assert (agent.ask("add").result(TIMEOUT), last.ask("add").result(TIMEOUT)) == (4, 1)
        shown = subprocess.run(
            [*COMMAND, "tasks", "--list", "--json"], capture_output=True, check=True, timeout=TIMEOUT
        )
        assert [task["app"] for task in json.loads(shown.stdout)["tasks"]] == ["Counter", "Forgetful"]
        assert "takes 0 core(s)" in str(executor.explain(counting.Counter))
        [first] = executor.drain()
        until(lambda: first not in [one.id for one in executor.view().blocks], TIMEOUT)
        assert (tmp_path / "mark").read_text() == "stopped at 1"
        (tmp_path / "mark").unlink()
        assert agent.ask("add").result(TIMEOUT) == 5
        assert last.ask("add").result(TIMEOUT) == 1, "it keeps nothing"
        last.tell("naps", 0.5)  # Parsl has the block drain before it shuts the executor down
    assert (tmp_path / "mark").read_text() == "stopped at 1"
