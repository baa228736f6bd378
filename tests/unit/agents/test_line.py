"""Two ends of a line in one loop; what lies between them loses what it likes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from rhapsody_parsl.agents import line as line_module
from rhapsody_parsl.agents.line import Line
from rhapsody_parsl.agents.words import Ended, FromAgent, HangUp, Open, Relayed, ToAgent
from rhapsody_parsl.wire.pieces import LONGEST

PERIOD = 0.02


class Ends:
    """Both ends: what each heard, how often something passed to the pilot, and how they were lost."""

    def __init__(self, threshold: float) -> None:
        self.open = True
        self.at_pilot: list[tuple[Any, list[bytes]]] = []
        self.at_agent: list[Any] = []
        self.passed = 0
        self.lost: list[str] = []
        self.crowd: list[bool] = []
        self.heard: Callable[[list[bytes]], None] = lambda _: None
        beat: dict[str, Any] = {"lost": self.lost.append, "period": PERIOD, "threshold": threshold}
        self.pilot: Line[FromAgent] = Line(
            FromAgent,
            post=lambda frames: self._pass(self.agent, frames),
            receive=lambda word, frames: self.at_pilot.append((word, frames)),
            **beat,
        )
        self.agent: Line[ToAgent] = Line(
            ToAgent,
            post=lambda frames: self._pass(self.pilot, frames),
            receive=lambda word, _: self.at_agent.append(word),
            crowd=self.crowd.append,
            **beat,
        )

    def _pass(self, to: Line[Any], frames: Sequence[bytes]) -> bool:
        if self.open:
            self.passed += to is self.pilot
            copies = [bytes(frame) for frame in frames]
            self.heard(copies)
            asyncio.get_running_loop().call_soon(to.hear, copies)
        return self.open

    def close(self) -> None:
        self.pilot.close()
        self.agent.close()


def between(act: Callable[[Ends], Awaitable[None]], threshold: float = 5.0) -> None:
    async def run() -> None:
        ends = Ends(threshold)
        try:
            await act(ends)
        finally:
            ends.close()

    asyncio.run(run())


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def test_what_is_said_in_one_turn_is_one_message() -> None:
    async def act(ends: Ends) -> None:
        for number in range(100):
            ends.agent.relay("workers", f"w{number}", [b"head", b"payload"])
        ends.agent.send(Ended(7, 1))
        await until(lambda: len(ends.at_pilot) == 101)
        assert ends.at_pilot[3] == (Relayed("workers", "w3", 2), [b"head", b"payload"])
        assert ends.at_pilot[-1] == (Ended(7, 1), [])
        assert ends.passed < 20, "heartbeats, and one message"

    between(act)


def test_a_small_message_is_no_frame_of_its_own() -> None:
    told = [b"", b"x", b"s" * line_module._SMALL, b"l" * (line_module._SMALL + 1), b"y"]

    async def act(ends: Ends) -> None:
        frames: list[int] = []
        ends.heard = lambda heard: frames.append(len(heard))
        for number, said in enumerate(told):
            ends.agent.relay("workers", str(number), [said])
        await until(lambda: len(ends.at_pilot) == len(told))
        assert [(word.peer, heard) for word, heard in ends.at_pilot] == [(str(n), [s]) for n, s in enumerate(told)]
        assert max(frames) == 1 + 1 + 1, "numbers, words, and the long one"

    between(act)


def test_many_small_messages_are_messages_of_a_bounded_size() -> None:
    said = [bytes([number % 256]) * line_module._SMALL for number in range(3 * LONGEST // line_module._SMALL)]

    async def act(ends: Ends) -> None:
        sizes: list[int] = []
        ends.heard = lambda heard: sizes.append(sum(map(len, heard)))
        for number, each in enumerate(said):
            ends.agent.relay("workers", str(number), [each])
        await until(lambda: len(ends.at_pilot) == len(said))
        assert [heard for _, heard in ends.at_pilot] == [[each] for each in said]
        assert max(sizes) < LONGEST + line_module._SMALL

    between(act)


def test_a_cut_loses_nothing_and_doubles_nothing() -> None:
    async def act(ends: Ends) -> None:
        for number in range(60):
            ends.open = number % 20 < 10
            ends.agent.relay("workers", str(number), [b"x"])
            ends.pilot.send(Open(str(number)))
            await asyncio.sleep(PERIOD / 5)
        ends.open = True
        await until(lambda: len(ends.at_pilot) == len(ends.at_agent) == 60)
        assert [word.peer for word, _ in ends.at_pilot] == [word.exchange for word in ends.at_agent]
        assert not ends.lost

    between(act)


@pytest.mark.parametrize("frames", [[b"h", b"x" * (3 * LONGEST)], [b"h", b"y" * LONGEST], [b"z" * 100_000] * 100])
def test_a_long_message_goes_in_pieces_between_which_others_live(frames: list[bytes]) -> None:
    async def act(ends: Ends) -> None:
        ends.agent.relay("workers", "a", frames)
        ends.agent.relay("workers", "b", [b"short"])
        before = ends.passed
        await until(lambda: len(ends.at_pilot) == 2)
        assert ends.at_pilot[0][1] == frames
        assert ends.at_pilot[1][1] == [b"short"]
        assert ends.passed - before >= 2

    between(act)


def test_silence_is_a_loss_that_both_see() -> None:
    async def act(ends: Ends) -> None:
        await asyncio.sleep(3 * PERIOD)
        ends.open = False
        await until(lambda: len(ends.lost) == 2)
        assert set(ends.lost) == {"it was silent for 0.2 s"}

    between(act, threshold=0.2)


def test_what_this_process_sleeps_through_is_no_silence() -> None:
    async def act(ends: Ends) -> None:
        import time

        for _ in range(3):
            await asyncio.sleep(2 * PERIOD)
            time.sleep(0.4)
        await asyncio.sleep(2 * PERIOD)
        assert not ends.lost

    between(act, threshold=0.2)


def test_who_says_much_while_nobody_hears_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "MOST_HELD", 1000)

    async def act(ends: Ends) -> None:
        ends.open = False
        ends.agent.relay("workers", "w", [b"x" * 600])
        await asyncio.sleep(0)
        assert not ends.crowd
        ends.agent.relay("workers", "w", [b"x" * 600])
        await until(lambda: ends.crowd == [True])
        ends.open = True
        await until(lambda: ends.crowd == [True, False])
        assert len(ends.at_pilot) == 2

    between(act)


@pytest.mark.parametrize("frames", [[b""], [b"x" * 17], [b"\0" + bytes([1, *bytes(15)]), b"\xc1"]])
def test_one_that_speaks_out_of_turn_is_lost(frames: list[bytes]) -> None:
    async def act(ends: Ends) -> None:
        ends.pilot.hear(frames)
        assert len(ends.lost) == 1
        assert "it spoke out of turn" in ends.lost[0]
        ends.pilot.send(HangUp("workers", "w"))
        ends.pilot.hear(frames)
        assert len(ends.lost) == 1

    between(act)
