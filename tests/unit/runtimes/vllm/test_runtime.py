"""From what bodies return to what tasks get; the test says what request workers and replicas do."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from rhapsody_parsl.config import ModelRequests
from rhapsody_parsl.errors import PromptsFailed, ServiceRequestFailed
from rhapsody_parsl.executors.future import open_result
from rhapsody_parsl.in_block.context import Run
from rhapsody_parsl.prompt_lists import cut
from rhapsody_parsl.runtimes.vllm.kind import VLLMKind
from rhapsody_parsl.runtimes.vllm.runtime import VLLM
from rhapsody_parsl.service_config import VLLMService
from rhapsody_parsl.services.services import Services
from rhapsody_parsl.wire.engine_messages import Abort, Asks
from rhapsody_parsl.wire.messages import PROMPT, Result, ToBackend, failed
from rhapsody_parsl.wire.piece_messages import More, Piece, Pieces
from rhapsody_parsl.worker.call import pack
from testing.leases import FakeLeases
from testing.nodes import make_context, make_node, make_spec, make_task

SPEC = make_spec(runtime="vllm", service="m")


class Block:
    """A runtime with a model of two ready replicas.

    Attributes:
        asked: Prompts that each replica has, by the number of their request.
        aborted: Numbers of requests that replicas were told to end.
        results: What tasks got.
        streamed: Pieces that tasks gave, and where their reader's word goes.
    """

    def __init__(self, folder: Path) -> None:
        context = make_context(folder, self, make_node("n0"))
        config = VLLMService("m", "x", cores=0, replicas=2, requests_in_flight=2)
        services = Services(lambda _: VLLMKind(config, context), [config], context, FakeLeases())
        self.vllm = VLLM(ModelRequests(), context, services)
        (self.service,) = services
        self.asked: list[dict[int, Any]] = [{}, {}]
        self.aborted: list[int] = []
        self.results: dict[int, Result] = {}
        self.streamed: list[tuple[Sequence[Piece], Callable[[More], None]]] = []
        self.said: list[ToBackend] = []
        for index, replica in enumerate(self.service.replicas):
            replica.send = partial(self._sent, index)  # type: ignore[method-assign]  # no process
            replica.state, replica.coming = "ready", False
            self.service.changed(replica)

    def _sent(self, index: int, message: ToBackend) -> None:
        match message:
            case Asks(asks):
                self.asked[index] |= {ask.task: msgspec.msgpack.decode(ask.request)["prompt"] for ask in asks}
            case Abort(tasks=numbers):
                self.aborted += numbers
            case other:
                self.said.append(other)

    def done(self, run: int, results: Sequence[Result]) -> None:
        self.results.update({result.id: result for result in results})

    def pieces(self, run: int, pieces: Sequence[Piece], more: Callable[[More], None]) -> None:
        self.streamed.append((pieces, more))

    def ask(self, task: int, prompt: Any) -> None:
        """Have a task whose body returned this."""
        self.vllm._prompts.put = lambda *_: None  # type: ignore[method-assign]  # no worker
        self.vllm.run(Run(task, SPEC), [make_task(task, SPEC)])
        bodies = [msgspec.msgpack.encode(one) for one in cut({"prompt": prompt})]
        self.vllm._prompts_made([Result(task, PROMPT, msgspec.msgpack.encode(bodies))])

    def answer(self, index: int) -> None:
        """Have a replica answer what it has: prompts in capitals, and `bad` ones not at all."""
        has, self.asked[index] = self.asked[index], {}
        results = [
            failed(number, ServiceRequestFailed("m", text)) if text == "bad" else pack(number, text.upper())
            for number, text in has.items()
        ]
        self.service.listener.answered(self.service.replicas[index], results)  # type: ignore[union-attr]  # it is there


def within(folder: Path, test: Callable[[Block], None]) -> Block:
    """Run a test on a loop, and return what it left when all was told."""

    async def run() -> Block:
        block = Block(folder)
        test(block)
        await asyncio.sleep(0)
        return block

    return asyncio.run(run())


def test_a_list_goes_to_who_has_room_and_comes_back_in_order(tmp_path: Path) -> None:
    def test(block: Block) -> None:
        block.ask(7, list("abcdefgh"))
        assert [list(has.values()) for has in block.asked] == [["a", "c"], ["b", "d"]]
        assert block.service.pending == 8
        for _ in range(3):
            block.answer(1)
        assert list(block.asked[1].values()) == []
        assert block.service.pending == 2, "the faster one has taken all but what the other has"
        block.answer(0)

    block = within(tmp_path, test)
    assert block.results.keys() == {7}, "it is one task"
    assert open_result(block.results[7]) == (list("ABCDEFGH"), None)
    assert block.service.pending == 0
    assert not block.vllm._inquiries


def test_what_fails_of_a_list_is_told_apart_and_a_lone_prompt_fails_as_itself(tmp_path: Path) -> None:
    def test(block: Block) -> None:
        block.ask(7, ["a", "bad", "c"])
        block.ask(8, "bad")
        block.answer(0)
        block.answer(1)

    block = within(tmp_path, test)
    error = open_result(block.results[7])[1]
    assert isinstance(error, PromptsFailed)
    assert (error.results, list(error.errors)) == (["A", None, "C"], [1])
    assert type(open_result(block.results[8])[1]) is ServiceRequestFailed


def test_a_list_that_is_cancelled_leaves_from_everywhere_at_once(tmp_path: Path) -> None:
    def test(block: Block) -> None:
        block.ask(7, list("abcdefgh"))
        held = [number for has in block.asked for number in has]
        block.ask(8, "last")
        block.vllm.cancel(Run(7, SPEC), [7], kill=True)
        assert sorted(block.aborted) == sorted(held)
        later = [text for has in block.asked for number, text in has.items() if number not in held]
        assert later == ["last"], "nobody is asked what is not wanted"
        assert block.service.pending == 1

    within(tmp_path, test)


def test_a_lone_prompt_streams_under_the_number_of_its_task(tmp_path: Path) -> None:
    def test(block: Block) -> None:
        block.ask(6, ["before", "this"])
        block.ask(7, "hello")
        (number,) = [number for has in block.asked for number, text in has.items() if text == "hello"]
        replica = block.service.replicas[0]
        assert number != 7
        block.service.heard(replica, Pieces(0, [Piece(number, 0, b"HE"), Piece(number, 1, b"LLO")]))
        ((pieces, more),) = block.streamed
        assert [(piece.id, piece.number) for piece in pieces] == [(7, 0), (7, 1)]
        more(More(7, 2, 5))
        assert block.said == [More(number, 2, 5)]

    within(tmp_path, test)
