"""Answers in pieces, as a replica's process sends them; what answers is a stand-in, and so is who is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from rhapsody_parsl.payload import open_value
from rhapsody_parsl.runtimes.vllm.live_adapters import LiveAdapters
from rhapsody_parsl.runtimes.vllm.request_server import RequestError, RequestServer
from rhapsody_parsl.runtimes.vllm.usage import note_usage
from rhapsody_parsl.services.conversation import Conversation
from rhapsody_parsl.wire.codec import encode
from rhapsody_parsl.wire.engine_messages import Abort, Adapters, Ask, Asks, Sleep, Turned, Wake
from rhapsody_parsl.wire.messages import FAILED, Done, Message
from rhapsody_parsl.wire.piece_messages import AHEAD, More, Pieces


class Answerer:
    """Answers with numbers, and notes that who reads them has left."""

    def __init__(self, count: int, meanwhile: Callable[[int], None] = lambda number: None) -> None:
        self.count, self.meanwhile = count, meanwhile
        self.left = self.asleep = False
        self.loads = asyncio.Event()
        self.adapters = LiveAdapters({}, self.load, self.unload)

    async def load(self, name: str, folder: str) -> str:
        await self.loads.wait()
        return f"no {folder}"

    async def unload(self, name: str) -> None:
        """Nothing is there."""

    async def sleep(self) -> None:
        self.asleep = True

    async def wake(self) -> None:
        if not self.asleep:
            raise RequestError("it did not sleep")
        self.asleep = False

    async def answer(self, request: dict[str, Any], full: bool, apart: bool = False) -> Any:
        return "at once"

    async def stream(self, request: dict[str, Any]) -> AsyncIterator[str]:
        try:
            for number in range(self.count):
                self.meanwhile(number)
                await asyncio.sleep(0)
                yield f"{number},"
            if request.get("fails"):
                raise RequestError("in the middle")
        finally:
            self.left = True


class Left(BaseException):
    """The process has left."""


class Trial:
    """A server and what it says."""

    def __init__(self, answerer: Answerer) -> None:
        self.said: list[Message] = []
        self.hindered: OSError | None = None
        spoke = SimpleNamespace(send=self._say)
        self.lost: list[str] = []
        told = SimpleNamespace(spoke=spoke, service="s", tell=self.said.append, lost=self._lose)
        told.vital = partial(Conversation.vital, cast("Any", told))
        self.server = RequestServer(told, answerer, 60.0)  # type: ignore[arg-type]  # enough of it

    def _say(self, message: Message) -> None:
        if self.hindered:
            raise self.hindered
        encode(message)
        self.said.append(message)

    def _lose(self, reason: str) -> None:
        self.lost.append(reason)
        raise Left

    @property
    def results(self) -> dict[int, tuple[str, list[Any]] | None]:
        """The answers by request, as the errors that they are; of a value none."""
        told = (result for message in self.said if isinstance(message, Done) for result in message.results)
        return {one.id: msgspec.msgpack.decode(one.payload) if one.kind == FAILED else None for one in told}  # type: ignore[arg-type]  # bytes

    def ask(self, **request: Any) -> None:
        self.server._receive(Asks([Ask(1, msgspec.msgpack.encode({"prompt": "p", "stream": True, **request}))]))

    async def over(self) -> None:
        while tasks := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    @property
    def pieces(self) -> list[str]:
        messages = [message for message in self.said if isinstance(message, Pieces)]
        return [open_value(piece.payload) for message in messages for piece in message.pieces]  # type: ignore[arg-type]  # bytes

    @property
    def result(self) -> Any:
        (done,) = (message for message in self.said if isinstance(message, Done))
        assert self.said[-1] is done, "pieces come before the end"
        (result,) = done.results
        return result


def whole(count: int) -> str:
    return "".join(f"{number}," for number in range(count))


def test_pieces_are_the_answer_and_the_last_come_before_it() -> None:
    async def run() -> None:
        trial = Trial(Answerer(5))
        trial.ask()
        await trial.over()
        assert trial.pieces == [f"{number}," for number in range(5)]
        assert open_value(trial.result.payload) == whole(5)

    asyncio.run(run())


def test_a_reader_that_takes_nothing_holds_up_nobody_and_has_longer_pieces() -> None:
    async def run() -> None:
        trial = Trial(Answerer(10 * AHEAD))
        trial.ask()
        await trial.over()
        assert len(trial.pieces) == AHEAD + 1
        assert "".join(trial.pieces) == open_value(trial.result.payload) == whole(10 * AHEAD)

    asyncio.run(run())


def test_a_reader_that_leaves_has_what_came() -> None:
    async def run() -> None:
        def leave(number: int) -> None:
            if number == 3:
                trial.server._receive(More(1, 2, 4, stop=True))

        trial = Trial(answerer := Answerer(1000, leave))
        trial.ask()
        await trial.over()
        assert answerer.left
        assert open_value(trial.result.payload) == whole(4)

    asyncio.run(run())


def test_an_aborted_one_says_no_more() -> None:
    async def run() -> None:
        def abort(number: int) -> None:
            if number == 3:
                trial.server._receive(Abort([1]))

        trial = Trial(answerer := Answerer(1000, abort))
        trial.ask()
        await trial.over()
        assert answerer.left
        assert not any(isinstance(message, Done) for message in trial.said)

    asyncio.run(run())


@pytest.mark.parametrize("request_", [{"fails": True}, {"prompt": ["a", "b"]}, {"n": 2}])
def test_a_failure_comes_after_the_pieces(request_: dict[str, Any]) -> None:
    async def run() -> None:
        trial = Trial(Answerer(2))
        trial.ask(**request_)
        await trial.over()
        assert trial.result.kind == FAILED
        assert len(trial.pieces) == (2 if "fails" in request_ else 0)

    asyncio.run(run())


class Panic(BaseException):
    """What code in Rust ends with, beside its errors."""


def test_a_panic_is_an_answer_too() -> None:
    async def run() -> None:
        def panics(number: int) -> None:
            raise Panic("no such token")

        trial = Trial(Answerer(2, panics))
        trial.ask()
        await trial.over()
        assert "the answer could not be read: Panic: no such token" in str(trial.results[1])

    asyncio.run(run())


def test_an_engine_sleeps_and_wakes_and_one_that_does_not_is_lost() -> None:
    async def run() -> None:
        trial = Trial(answerer := Answerer(1))
        for message, asleep in ((Sleep(), True), (Wake(), False)):
            trial.server._receive(message)
            await trial.over()
            assert (trial.said.pop(), answerer.asleep) == (Turned(), asleep)
        with pytest.raises(Left):
            await trial.server._take_turn(Wake())
        assert trial.lost == ["its engine did not wake: RequestError: it did not sleep"]
        assert not trial.said

    asyncio.run(run())


def test_what_is_asked_after_a_change_of_adapters_waits_for_it() -> None:
    async def run() -> None:
        trial = Trial(answerer := Answerer(1))
        trial.server._receive(Adapters({"poet": "/there"}))
        trial.ask(stream=False, model="poet")
        await asyncio.sleep(0)
        assert not trial.said
        answerer.loads.set()
        await trial.over()
        assert trial.result.kind == FAILED
        assert b"the adapter 'poet' could not be loaded: no /there" in trial.result.payload

    asyncio.run(run())


def test_what_does_not_stream_comes_at_once() -> None:
    async def run() -> None:
        trial = Trial(Answerer(2))
        trial.ask(stream=False)
        await trial.over()
        assert (trial.pieces, open_value(trial.result.payload)) == ([], "at once")

    asyncio.run(run())


class Moody(Answerer):
    """Answers as it is asked to."""

    async def answer(self, request: dict[str, Any], full: bool, apart: bool = False) -> Any:
        if request["prompt"] == "uncountable":
            note_usage((1 << 80, 1))
        if request["prompt"] == "cancelled":
            raise asyncio.CancelledError
        return "at once"


def asks(*prompts: str) -> Asks:
    return Asks([Ask(number, msgspec.msgpack.encode({"prompt": prompt})) for number, prompt in enumerate(prompts, 1)])


def test_an_answer_that_no_message_can_carry_fails_its_request_and_no_other_of_its_turn() -> None:
    async def run() -> None:
        trial = Trial(Moody(0))
        trial.server._receive(asks("one", "uncountable", "two"))
        await trial.over()
        results = trial.results
        assert (results.pop(1), results.pop(3), trial.lost) == (None, None, [])
        ((name, (service, why)),) = results.values()  # type: ignore[misc]  # an error
        assert (name, service) == ("ServiceRequestFailed", "s")
        assert why.startswith("its answer cannot be sent: OverflowError")

    asyncio.run(run())


def test_a_request_that_the_engine_gives_up_without_a_word_fails() -> None:
    async def run() -> None:
        trial = Trial(Moody(0))
        trial.server._receive(asks("cancelled"))
        await trial.over()
        assert "CancelledError" in trial.results[1][1][1]  # type: ignore[index]  # an error

    asyncio.run(run())


def test_a_process_that_can_tell_no_answers_leaves() -> None:
    async def run() -> None:
        trial = Trial(Moody(0))
        trial.hindered = OSError("no room")
        trial.server._receive(asks("one"))
        await trial.over()
        assert trial.lost == ["it broke: OSError: no room"]

    asyncio.run(run())


def test_an_engine_that_changes_its_adapters_no_more_leaves() -> None:
    async def run() -> None:
        trial = Trial(Answerer(0))

        async def unload(name: str) -> None:
            raise OSError(f"no {name}")

        trial.server._answerer.adapters = LiveAdapters({}, trial.server._answerer.adapters._load, unload)
        trial.server._receive(Adapters({}, ["a"]))
        await trial.over()
        assert trial.lost == ["it broke: OSError: no a"]

    asyncio.run(run())
