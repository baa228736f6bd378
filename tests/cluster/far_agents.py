"""What a user's script does with agents on several hosts."""

import os
from pathlib import Path
from typing import Any

from rhapsody_parsl import RhapsodyExecutor
from testing.waiting import until
from tests.cluster.block import PATIENCE
from tests.integration import counting, parents


def anywhere(executor: RhapsodyExecutor) -> list[str]:
    """Return the hosts of three agents that ask for no core."""
    agents = [executor.start_agent(counting.Counter) for _ in range(3)]
    hosts = [agent.ask("host").result(PATIENCE) for agent in agents]
    for agent in agents:
        agent.stop().result(PATIENCE)
    return sorted(hosts)


def at_the_end(executor: RhapsodyExecutor, mark: Path) -> str:
    """Return what an agent on the last host does when its notice comes, which is longer than the job lasts."""
    spec = {"labels": ["vn3"], "notice": 100_000}
    agent = executor.start_agent(counting.Forgetful, str(mark), resource_specification=spec)
    until(mark.exists, PATIENCE)
    assert agent.future is not None
    agent.future.cancel()
    return mark.read_text()


def asked_and_lost(executor: RhapsodyExecutor) -> list[Any]:
    far = {"labels": ["vn3"], "cores": 0}
    agent = executor.start_agent(counting.Counter, resource_specification=far)
    process = agent.ask("process").result(PATIENCE)
    asked = executor.submit(counting.asks, {"labels": ["vn2"]}, agent.name).result(PATIENCE)
    size = len(agent.ask("size", bytes(600_000)).result(PATIENCE))
    executor.submit(os.kill, far, process, 9).result(PATIENCE)
    lends = executor.submit(parents.squares_slowly, {"labels": ["vn2"], "lend": True}, 3).result(PATIENCE)
    answers = [*asked, size, agent.ask("value").result(PATIENCE), lends[0]]
    agent.stop().result(PATIENCE)
    return answers
