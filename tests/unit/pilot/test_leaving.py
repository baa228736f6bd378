"""The end of a block's other hosts: no host waits for another one."""

import asyncio
from pathlib import Path

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.listener import AgentListener
from rhapsody_parsl.agents.starter import Starter
from rhapsody_parsl.agents.tree import Tree
from rhapsody_parsl.cluster.node_launcher import NodeLauncher
from rhapsody_parsl.pilot.leaving import leave
from testing import leaks
from testing.processes import below
from testing.waiting import until

HANGS = "sleep 86399"


def test_a_gateway_leaves_while_a_host_behind_it_hangs(tmp_path: Path) -> None:
    """One after the other took twice twelve seconds where both hang, and the driver waits for twenty."""
    way = ("sh", "-c", f'[ $0 = gate ] && exec "$@"; exec {HANGS}', "{host}")
    tree = Tree({"hung": "gate", "gate": "gate"}, 2)

    async def run() -> None:
        listener = AgentListener("127.0.0.1", 2, period=0.1, threshold=5.0, bind="tcp://127.0.0.1", tree=tree)
        starter = Starter(NodeLauncher("own", way), tmp_path / "private", tmp_path, listener)
        hung, gate = (
            Host(name, starter=starter, listener=listener, on_change=lambda *_: None) for name in ("hung", "gate")
        )
        hung.start()
        assert await gate.start(), gate.problem
        leaving = asyncio.create_task(leave([gate, hung]))
        try:
            await asyncio.to_thread(until, lambda: not below("node_agent.py"), 8)
            assert not leaving.done()
        finally:
            for process in below(HANGS):
                process.kill()
            await leaving

    with leaks.watch(5.0):
        asyncio.run(run())
