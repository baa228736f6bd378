"""Agents that speak to the pilot by another one, over real connections: whatever fails there, only its own are lost."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from rhapsody_parsl.agents import listener as listener_module
from rhapsody_parsl.agents import ways as ways_module
from rhapsody_parsl.agents.agent import NodeAgent
from rhapsody_parsl.agents.host import Host
from rhapsody_parsl.agents.line import Line
from rhapsody_parsl.agents.listener import AgentListener
from rhapsody_parsl.agents.processes import Processes
from rhapsody_parsl.agents.starter import Starter
from rhapsody_parsl.agents.tree import STAR, Tree
from rhapsody_parsl.agents.ways import Ways
from rhapsody_parsl.agents.words import Begun, FromAgent, Kill, Leave, Relayed, Settings
from rhapsody_parsl.cluster.node_launcher import NodeLauncher
from rhapsody_parsl.hosts.probe import HostFacts
from tests.unit.agents.there import Way

PERIOD, THRESHOLD = 0.1, 4.0
FACTS = HostFacts("", [0], 1.0, "", [], [[0]], [])
GATE, NEAR, FAR = "gate", "near", "far"


class Heard:
    """An agent that notes which numbers it was told."""

    def __init__(self, settings: Settings) -> None:
        self.numbers: list[int] = []
        self.agent = NodeAgent(settings, "", -1)
        self.agent._processes = cast(Processes, self)
        self.life = asyncio.create_task(self.agent.serve(FACTS))

    def kill(self, number: int) -> None:
        self.numbers.append(number)

    def close(self) -> None:
        """Of the processes."""

    @property
    def straight(self) -> bool:
        """Whether it speaks to the pilot itself."""
        ways = self.agent._ways
        return ways is None or ways._at == 1


class Block:
    """A pilot's listener and three agents, one of which is the others' gateway; all that they say can be cut."""

    def __init__(self) -> None:
        self.listener = AgentListener(
            "127.0.0.1", 3, period=PERIOD, threshold=THRESHOLD, bind="tcp://127.0.0.1",
            tree=Tree({GATE: GATE, NEAR: GATE, FAR: GATE}, 3),
        )  # fmt: skip
        self.of_gate, self.straight, self.by_gate = Way(), Way(), Way()
        self.lines: dict[str, Line[FromAgent]] = {}
        self.numbers: dict[str, list[int]] = {}
        self.lost: dict[str, str] = {}
        self.agents: dict[str, Heard] = {}
        self._ports: dict[str, int] = {}

    async def open(self) -> None:
        port = self.listener._listener.port
        ports = [await way.to(port) for way in (self.of_gate, self.straight)]
        self._ports = {GATE: ports[0], NEAR: ports[1], FAR: ports[1]}
        self._gate_port = await self.by_gate.to(self.listener._gateways_port)
        for host in (GATE, NEAR, FAR):
            self.start(host)
        await until(lambda: all(0 in numbers for numbers in self.numbers.values()), 20)

    def start(self, host: str) -> None:
        """Have an agent come, as of a host that was never lost."""
        numbers: list[int] = []
        self.numbers[host] = numbers

        def receive(word: FromAgent, _frames: list[bytes]) -> None:
            numbers.append(word.number if isinstance(word, Begun) else 0)

        self.lines[host], name = self.listener.expect(host, receive, lambda why: self.lost.update({host: why}))
        settings = msgspec.json.decode(self.listener.settings({host: name}), type=Settings)
        address = f"tcp://127.0.0.1:{self._ports[host]}"
        gateway = settings.gateway and f"tcp://127.0.0.1:{self._gate_port}"
        self.agents[host] = Heard(msgspec.structs.replace(settings, address=address, gateway=gateway))

    async def talk(self, *hosts: str, seconds: float = 10.0) -> None:
        """Say something both ways, until all of it is heard; nothing is lost or doubled, and order is kept."""
        due = {host: [*range(1, len(self.numbers[host]) + 50)] for host in hosts}
        for host in hosts:
            for number in due[host][-50:]:
                self.lines[host].send(Kill(number))
                self.agents[host].agent._line.send(Begun(number))
                await asyncio.sleep(0)
        for host in hosts:
            at_pilot, at_agent = self.numbers[host], self.agents[host].numbers
            last = due[host][-1]
            await until(
                lambda here=at_pilot, there=at_agent, last=last: here[-1] == last == (there or [0])[-1], seconds
            )
            assert (at_pilot[1:], at_agent) == (due[host], due[host])

    async def close(self) -> None:
        for agent in self.agents.values():
            agent.agent.leave("the test is over")
            await agent.life
            agent.agent.close()
        self.listener.close()
        for way in (self.of_gate, self.straight, self.by_gate):
            await way.close()


async def until(condition: Callable[..., object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def in_block(act: Callable[[Block], Awaitable[None]]) -> None:
    async def run() -> None:
        block = Block()
        try:
            await block.open()
            await act(block)
        finally:
            await block.close()

    asyncio.run(run())


def test_the_pilot_has_one_connection_for_all_and_all_are_heard() -> None:
    async def act(block: Block) -> None:
        await block.talk(GATE, NEAR, FAR)
        assert len(set(block.listener._listener._routes.values())) == 1
        assert not block.straight.carried
        assert not block.lost

    in_block(act)


def fail(block: Block, how: str) -> None:
    match how:
        case "ends":
            block.agents[GATE].agent.leave("killed")
            block.agents[GATE].agent.close()
        case "is frozen":  # it takes connections, as the kernel does for it, and says nothing
            block.of_gate.freeze()
            block.by_gate.freeze()
        case "is cut from the pilot":
            block.of_gate.cut()
        case _:
            block.by_gate.cut()


@pytest.mark.parametrize("how", ["ends", "is frozen", "is cut from the pilot", "is cut from the others"])
def test_whatever_happens_to_it_the_others_find_another_way_and_miss_nothing(how: str) -> None:
    async def act(block: Block) -> None:
        await block.talk(NEAR, FAR)
        fail(block, how)
        await block.talk(NEAR, FAR, seconds=THRESHOLD)
        assert block.agents[NEAR].straight
        assert block.agents[FAR].straight
        if how != "is cut from the others":
            await until(lambda: GATE in block.lost, 2 * THRESHOLD)
        assert not {NEAR, FAR} & block.lost.keys()
        await block.talk(NEAR, FAR)

    in_block(act)


def test_a_short_cut_on_the_way_leads_to_no_other_way() -> None:
    async def act(block: Block) -> None:
        for way in (block.by_gate, block.of_gate):
            way.cut()
            await asyncio.sleep(2 * PERIOD)
            way.cut(False)
            await block.talk(GATE, NEAR, FAR, seconds=THRESHOLD)
        assert not block.lost

    in_block(act)


def test_while_nobody_reaches_the_pilot_all_stay_where_they_are() -> None:
    """Else all of a large block would have connections of their own after it."""

    async def act(block: Block) -> None:
        turned = turns(block)
        for way in (block.of_gate, block.straight):
            way.cut()
        await asyncio.sleep(THRESHOLD / 2)
        for way in (block.of_gate, block.straight):
            way.cut(False)
        await block.talk(GATE, NEAR, FAR, seconds=THRESHOLD)
        assert not turned
        assert not block.lost

    in_block(act)


def turns(block: Block) -> list[tuple[Any, ...]]:
    """Return where those behind the gateway turn to from now on, without doing so."""
    turned: list[tuple[Any, ...]] = []
    for host in (NEAR, FAR):
        block.agents[host].agent._connection.turn = lambda *way: turned.append(way)  # type: ignore[method-assign]  # counted
    return turned


def test_a_pilot_that_does_nothing_for_a_while_has_all_stay_where_they_are() -> None:
    async def act(block: Block) -> None:
        turned = turns(block)
        block.of_gate.freeze()  # connections stay, and nothing comes
        block.straight.freeze()
        await asyncio.sleep(THRESHOLD / 2)
        block.of_gate.freeze(False)
        block.straight.freeze(False)
        await block.talk(GATE, NEAR, FAR, seconds=THRESHOLD)
        assert not turned

    in_block(act)


def test_those_that_speak_to_the_pilot_themselves_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways_module, "_BACK_AFTER", 0.5)
    monkeypatch.setattr(ways_module, "_BACK_AT_LAST", 0.5)

    async def act(block: Block) -> None:
        fail(block, "ends")
        await block.talk(NEAR, FAR, seconds=THRESHOLD)
        await until(lambda: GATE in block.lost, 2 * THRESHOLD)
        assert block.agents[NEAR].straight
        block.start(GATE)
        await until(lambda: not block.agents[NEAR].straight and not block.agents[FAR].straight)
        await block.talk(GATE, NEAR, FAR)
        assert not {NEAR, FAR} & block.lost.keys()

    in_block(act)


def test_one_that_does_not_come_back_is_looked_at_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else hundreds would look for its name and its port all the time, for as long as the block lives."""
    monkeypatch.setattr(ways_module, "_BACK_AFTER", 0.2)
    looks: list[Ways] = []
    answers = Ways._answers

    async def counted(ways: Ways, address: str) -> bool:
        looks.append(ways)
        return await answers(ways, address)

    monkeypatch.setattr(Ways, "_answers", counted)

    async def act(block: Block) -> None:
        await block.by_gate.close()  # who connects is refused
        await until(lambda: block.agents[NEAR].straight, THRESHOLD)
        looks.clear()
        await asyncio.sleep(3.0)
        assert 0 < sum(ways is block.agents[NEAR].agent._ways for ways in looks) < 6

    in_block(act)


def test_all_may_be_told_at_once_to_leave() -> None:
    """What ZeroMQ has for who was about to read goes with the connection: a gateway that left at once took it along."""

    async def left(agent: Heard) -> str:
        reason = await agent.life
        agent.agent.close()
        return reason

    async def act(block: Block) -> None:
        for host in (GATE, NEAR, FAR):
            block.lines[host].send(Leave())
            block.lines[host].flush()
        async with asyncio.timeout(2 * THRESHOLD):
            reasons = await asyncio.gather(*map(left, block.agents.values()))
        assert set(reasons) == {"the pilot has no more use for it"}
        assert not block.straight.carried

    in_block(act)


def test_an_agent_whose_gateway_never_comes_has_the_time_to_find_the_pilot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "HELLO_WITHIN", THRESHOLD / 2)
    here = "127.0.0.1"

    async def run() -> None:
        listener = AgentListener(
            here, 2, period=PERIOD, threshold=THRESHOLD, bind=f"tcp://{here}", tree=Tree({NEAR: here, here: here}, 2)
        )
        starter = Starter(NodeLauncher("own", ("env",)), tmp_path / "private", tmp_path, listener)
        host = Host(NEAR, starter=starter, listener=listener, on_change=lambda *_: None)
        try:
            assert await host.start(), host.problem
        finally:
            await host.stop()
            listener.close()

    asyncio.run(run())


def test_one_that_was_given_up_is_told_so_by_its_gateway_and_others_are_not() -> None:
    async def act(block: Block) -> None:
        block.listener.dismiss(block.lines[NEAR])
        assert await asyncio.wait_for(block.agents[NEAR].life, THRESHOLD) == "the pilot hears us no more"
        await block.talk(GATE, FAR)

    in_block(act)


def test_where_the_port_is_somebody_elses_all_speak_to_the_pilot_themselves() -> None:
    async def run() -> None:
        block = Block()
        with socket.create_server(("127.0.0.1", block.listener._gateways_port)):
            try:
                await block.open()
                await block.talk(GATE, NEAR, FAR)
                assert block.agents[NEAR].straight
            finally:
                await block.close()

    asyncio.run(run())


def test_much_that_one_says_holds_up_no_heartbeat_of_the_others() -> None:
    """And what passes it on has little of it at once."""
    many, large = 12, [b"x" * (8 << 20)]

    async def act(block: Block) -> None:
        heard: list[int] = []
        line = block.lines[FAR]
        line._receive = lambda word, frames: heard.append(sum(map(len, frames)))
        for number in range(many):
            block.agents[FAR].agent._line.send(Relayed("e", str(number), 1), large)
        await asyncio.sleep(0)
        assert block.agents[FAR].agent._line._session.held < 24 << 20
        await block.talk(NEAR, seconds=THRESHOLD)
        await until(lambda: heard == [len(large[0])] * many, 30)
        assert not block.lost

    in_block(act)


def test_a_star_says_nothing_of_gateways() -> None:
    async def run() -> None:
        listener = AgentListener("127.0.0.1", 1, period=PERIOD, threshold=THRESHOLD, bind="tcp://127.0.0.1", tree=STAR)
        told: Any = msgspec.json.decode(listener.settings({"a": "a/1"}))
        listener.close()
        assert (told["host"], told["name"], told["own"], told["gateway"], told["listens"]) == ("a", "a/1", {}, "", "")

    asyncio.run(run())
