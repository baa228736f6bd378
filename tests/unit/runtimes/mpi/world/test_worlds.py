"""Which worlds stand. What launches them is a program that sleeps, under its guard; no rank ever comes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.shelf import Repeats
from rhapsody_parsl.agents.starter import Starter
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.cluster.node_launcher import NodeLauncher
from rhapsody_parsl.config import MPIRuntime
from rhapsody_parsl.in_block.exchange import Exchange
from rhapsody_parsl.runtimes.mpi.launch.launcher import Launcher
from rhapsody_parsl.runtimes.mpi.world.job import Job
from rhapsody_parsl.runtimes.mpi.world.world import World
from rhapsody_parsl.runtimes.mpi.world.worlds import Worlds
from rhapsody_parsl.runtimes.protocol import Node, Placed, Run
from rhapsody_parsl.wire.leases import Share
from testing import leaks
from testing.nodes import make_context

NOBODY: Any = None
NO_LISTENER: Any = SimpleNamespace(repeats=Repeats())
"""No agent comes."""
NODES = {
    f"n{number}": Node(name=f"n{number}", host=f"host{number}", cores=(0,), real_cores=(0,)) for number in range(7)
}


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    with leaks.watch(3.0):
        yield


class Block:
    """Gives runs their worlds."""

    def __init__(self, folder: Path) -> None:
        program = folder / "launch"
        program.write_text("#!/bin/sh\nexec sleep 100\n")
        program.chmod(0o700)
        here = make_context(folder, None, *NODES.values())
        starter = Starter(NodeLauncher("own", ("env",)), folder, folder, NOBODY)
        other = Host("elsewhere", starter=starter, listener=NO_LISTENER, on_change=lambda *_: None)
        several = make_context(folder, None, *NODES.values(), hosts={other.name: other})
        self.ended: list[World] = []
        self.hub = Exchange(here, "ranks", lambda peer, message: None)
        self.hub.start()
        self.worlds = Worlds(
            MPIRuntime(),
            several,
            launcher=Launcher("mpiexec", str(program)),
            exchange=self.hub,
            on_end=lambda world, marks: self.ended.append(world),
        )
        self._runs = count()

    def begin(self, *nodes: int) -> World:
        """Have a run on these nodes."""
        placed = tuple(Placed(NODES[f"n{number}"], Share(f"n{number}", (0,)), 1) for number in nodes)
        world = self.worlds.assign(Job(Run(next(self._runs), TaskSpec(comm=True), placed)))
        assert world
        return world

    def use(self, *nodes: int) -> World:
        """Have a run there that is over."""
        world = self.begin(*nodes)
        self.worlds.leave(*world.jobs)
        return world


def in_block(folder: Path, story: Callable[[Block], Awaitable[None]]) -> None:
    async def tell() -> None:
        block = Block(folder)
        try:
            await story(block)
        finally:
            await block.worlds.stop()
            block.hub.stop()

    asyncio.run(asyncio.wait_for(tell(), 20))


def test_idle_worlds_over_several_hosts_end_but_for_the_four_used_last(tmp_path: Path) -> None:
    async def story(block: Block) -> None:
        working, single = block.begin(0, 1), block.use(0)
        again, longest_idle, *others = [block.use(0, number) for number in (2, 3, 4, 5)]
        assert block.use(0, 2) is again
        last = [block.use(0, 6), block.begin(1, 2)]
        while not block.ended:
            await asyncio.sleep(0.02)
        assert block.ended == [longest_idle]
        assert not any(world.retired for world in (working, single, again, *others, *last))
        assert block.use(0, 3) is not longest_idle

    in_block(tmp_path, story)


def test_a_world_that_is_given_up_while_it_starts_ends(tmp_path: Path) -> None:
    async def story(block: Block) -> None:
        world = block.begin(0)
        await block.worlds.stop()
        assert block.ended == [world]

    in_block(tmp_path, story)


def test_the_rank_that_is_gone_first_is_named_and_those_after_it_are_not(tmp_path: Path) -> None:
    """Of ranks on other hosts their agents tell; a launcher that kills the rest then is no cause."""

    async def story(block: Block) -> None:
        world = block.begin(0, 1)
        (job,) = world.jobs.values()
        assert not world.lost_rank_of(job)
        world.ready = True
        world.note_gone(1)
        await asyncio.sleep(0)
        world.note_gone(0)
        assert world.retired
        assert world.lost_rank_of(job)
        assert "(rank 1 of 2 of" in str(world.blame(job))

    in_block(tmp_path, story)
