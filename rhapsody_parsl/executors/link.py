"""The driver's one thread: it talks to all pilots, gives out tasks in batches, and completes futures."""

import asyncio
import contextlib
import logging
import math
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import ParamSpec, Protocol, TypeVar

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.dispatcher import Dispatcher
from rhapsody_parsl.executors.instructions import (
    Cut,
    Discard,
    Ended,
    Failed,
    Give,
    Instruction,
    Joined,
    Left,
    Send,
    Stranger,
)
from rhapsody_parsl.wire.codec import Codec, MalformedFrame, encode
from rhapsody_parsl.wire.complaints import Complaints
from rhapsody_parsl.wire.gate import Proof, Token
from rhapsody_parsl.wire.messages import FromPilot, Hello, Message, Result, Results, Submit, Task
from rhapsody_parsl.wire.shared_memory import check_shared, deliver, discard, discard_block
from rhapsody_parsl.wire.stream import StreamListener
from rhapsody_parsl.wire.tcp_listener import TcpListener

__all__ = ("Link", "Outcomes")

log = logging.getLogger(__name__)

_ANSWER_TIMEOUT = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class Outcomes(Protocol):
    """Who learns how tasks end; called on the link's thread."""

    def ended(self, result: Result) -> None:
        """A task ended."""

    def failed(self, task: int, error: RhapsodyError) -> None:
        """A task was lost."""

    def joined(self, block: Block) -> None:
        """A block's pilot said hello."""

    def left(self, block: Block) -> None:
        """A block is gone."""

    def cut(self, block: str) -> None:
        """A block's connection ended; it may come back."""

    def broken(self, error: Exception) -> None:
        """The link itself broke; it serves nobody any more."""


class Link(threading.Thread):
    """Owns the listeners, the blocks and the tasks that wait for one.

    Its thread runs an event loop. Other threads append to a queue and wake it; but a task that comes while the block
    has next to nothing to do is sent at once by the thread that brings it, when a block on this host can take it: two
    changes of thread less. One lock keeps the two apart. Closing: (1) tell pilots to stop, (2) wait for their goodbyes,
    (3) leave the loop, (4) close the listeners.

    Args:
        address: `tcp://host` to bind on, a free port is taken.
        outcomes: Who learns how tasks end.
        blocks: Those it will know; read by others, changed under our lock only.
        local: Whether pilots on this host may come over a Unix socket, which is faster.
        proof: What pilots show who come over TCP.
        token: What those show who come over the Unix socket.
        period: Seconds between heartbeats.
        threshold: Seconds of silence after which a block counts as lost.
        shared_folder: Folder for large payloads, or "".
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        address: str,
        outcomes: Outcomes,
        blocks: Blocks,
        *,
        local: bool,
        proof: Proof,
        token: Token,
        period: float,
        threshold: float,
        shared_folder: str = "",
    ) -> None:
        super().__init__(name="rhapsody-link", daemon=True)
        self._outcomes, self._period, self._shared = outcomes, period, shared_folder
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._tcp = TcpListener(address, self._entry(self._hear_tcp), proof, self._loop, cut=self._entry(self._ask_all))
        self.port = self._tcp.port
        self.local_address = f"@rhapsody-{secrets.token_hex(16)}" if local else ""
        self._local = self._listener_here(token) if local else None
        self._codec: Codec[FromPilot] = Codec(FromPilot)
        self._roused = False
        self._incoming: deque[Task | Callable[[], None]] = deque()
        self._complaints = Complaints(log)
        self._stopping = False
        self.blocks = blocks
        self._dispatcher = Dispatcher(blocks, threshold)
        self._changed = threading.Condition()
        self._drain_at = math.inf

    def _listener_here(self, token: Token) -> StreamListener:
        hear, cut = self._entry(self._hear_local), self._entry(self._cut)
        return StreamListener(self.local_address, hear, self._loop, ended=cut, token=token)

    # --- for other threads ---------------------------------------------------------------------------------------

    def put(self, task: Task) -> None:
        """Give out a task."""
        if self.blocks.may_take_at_once() and self._lock.acquire(blocking=False):
            try:
                self._incoming.append(task)
                self._take_incoming()
                self._give_out()
            finally:
                self._lock.release()
        else:
            self._incoming.append(task)
            self._rouse()

    def call(self, action: Callable[[], None]) -> None:
        """Run something on the link's thread."""
        self._incoming.append(action)
        self._rouse()

    def cancel(self, task: int) -> None:
        """End a task wherever it is."""
        self.call(lambda: self._dispatcher.cancel(task, time.monotonic()))

    def retire(self, launched: Mapping[str, float], count: int, max_idletime: float | None) -> dict[str, bool]:
        """Tell blocks to leave: an idle one at once, another when it has finished what it has begun.

        Chosen on this thread, which alone gives out tasks: none slips in between choice and word.

        Args:
            launched: See `Blocks.to_end`, as for the others.
            count: See there.
            max_idletime: See there.

        Returns:
            The blocks, and whether each still works.
        """
        return self._ask(lambda: self._retire(launched, count, max_idletime))

    def stop_blocks(self, ids: Iterable[str], timeout: float) -> None:
        """Tell blocks to leave at once and wait until they have, `timeout` seconds at most."""
        wanted = list(ids)
        self.call(lambda: self._dispatcher.stop(wanted))
        with self._changed:
            self._changed.wait_for(
                lambda: not any(self.blocks.get(id_) for id_ in wanted) or not self.is_alive(), timeout
            )

    def lose_block(self, id: str, reason: str, tail: str) -> None:  # noqa: A002 - the field's name
        """A block's job is known to have ended; returns when its tasks have been told (a second at most)."""
        told = threading.Event()
        self.call(lambda: self._lose_block(id, reason, tail))
        self.call(told.set)
        told.wait(1)

    def close(self) -> None:
        """End the thread and close the listeners; idempotent."""
        self._stopping = True
        self._rouse()
        if self.is_alive():
            self.join(10)

    def abandon(self) -> None:
        """Close the listeners of a link that was never started."""
        self._close_listeners()

    def _ask(self, question: Callable[[], T]) -> T:
        if threading.current_thread() is self or not self.is_alive():
            return question()
        answer: Future[T] = Future()
        self.call(lambda: answer.set_result(question()))
        return answer.result(_ANSWER_TIMEOUT)

    def _rouse(self) -> None:
        if not self._roused:
            self._roused = True
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._entry(self._awake))

    # --- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until closed; when this breaks, every task fails with the cause."""
        asyncio.set_event_loop(self._loop)
        self._loop.call_later(self._period, self._entry(self._beat))
        self._rouse()
        try:
            self._loop.run_forever()
        finally:
            self._close_listeners()

    def _entry(self, action: Callable[P, None]) -> Callable[P, None]:
        """Return the action as the loop may call it: under our lock, and the link's end when it breaks."""

        def entry(*args: P.args, **kwargs: P.kwargs) -> None:
            with self._lock:
                try:
                    action(*args, **kwargs)
                except MalformedFrame:
                    raise  # the listener hangs up on who sent it
                except Exception as problem:  # reported to every task; a silent end would hang them
                    log.exception("the link broke")
                    self._stopping = True
                    self._outcomes.broken(problem)
                if self._stopping:
                    self._loop.stop()

        return entry

    def _awake(self) -> None:
        self._roused = False
        self._take_incoming()
        self._give_out()

    def _take_incoming(self) -> None:
        for _ in range(len(self._incoming)):
            item = self._incoming.popleft()
            if isinstance(item, Task):
                self._dispatcher.submit(item)
            else:
                item()

    def _give_out(self) -> None:
        self._dispatcher.give_out()
        self._perform()

    def _perform(self) -> None:
        """Do what the dispatcher wants, until it wants nothing."""
        while instructions := self._dispatcher.take():
            for instruction in instructions:
                self._do(instruction)

    def _do(self, instruction: Instruction) -> None:
        match instruction:
            case Give(block=block, tasks=tasks):
                self._send(block, Submit([self._delivered(block, task) for task in tasks]))
            case Ended(results=results):
                for result in results:
                    self._outcomes.ended(result)
            case Discard(items=items):
                for item in items:
                    discard(item)
            case Send(block=block, message=message):
                self._send(block, message)
            case Failed(task=task, error=error):
                self._outcomes.failed(task, error)
            case _:
                self._tell(instruction)

    def _tell(self, about: Joined | Left | Cut | Stranger) -> None:
        """Tell those who want to know of a block."""
        match about:
            case Joined(block=block):
                self._joined(block)
            case Left(block=block, reason=reason):
                self._left(block, reason)
            case Cut(block=block):
                self._outcomes.cut(block.id)
            case Stranger(number=number):
                self._complaints.note("another pilot says that it is block %s: it is not heard", number)

    def _delivered(self, block: Block, task: Task) -> Task:
        """Put a large payload where the block sees it."""
        moved = deliver(task, self._shared if block.shared_memory else "")
        if moved is not task:
            self._dispatcher.moved(block, moved)
        return moved

    def _joined(self, block: Block) -> None:
        log.info("block %s is there: %s", block.id, block.inventory)
        self._outcomes.joined(block)
        with self._changed:
            self._changed.notify_all()

    def _left(self, block: Block, reason: str) -> None:
        log.info("block %s is gone: %s", block.id, reason)
        self._outcomes.left(block)
        discard_block(self._shared, block.id)
        with self._changed:
            self._changed.notify_all()

    # --- talking -------------------------------------------------------------------------------------------------

    def _send(self, block: Block, message: Message) -> None:
        self._put(block, block.session.send(encode(message)))

    def _put(self, block: Block, frames: list[bytes]) -> None:
        listener = self._local if block.local and self._local else self._tcp
        if not listener.send(block.peer, frames):
            self._dispatcher.cut(block)  # the session sends it again when the connection is back

    def _hear_tcp(self, peer: str, frames: list[bytes]) -> None:
        self._hear(peer, frames, local=False)

    def _hear_local(self, peer: str, frames: list[bytes]) -> None:
        self._hear(peer, frames, local=True)

    def _hear(self, peer: str, frames: list[bytes], local: bool) -> None:
        block = self._dispatcher.heard(peer, local, time.monotonic())
        self._arm_drain()
        if block is None:
            self._perform()
            return
        try:
            for body in block.session.receive(frames):
                self._take_in(block, self._codec.decode(body))
        except MalformedFrame as problem:
            self._dispatcher.lose(block.id, f"it spoke out of turn ({problem})", "")
            self._give_out()
            raise
        for reply in block.session.replies:
            self._put(block, reply)
        block.session.replies.clear()
        self._give_out()

    def _take_in(self, block: Block, message: FromPilot) -> None:
        if isinstance(message, Results):
            check_shared(message.results, self._shared, block.id)
        self._dispatcher.receive(block, message)
        self._perform()
        if isinstance(message, Hello) and (refusal := self.blocks.refused.get(block.id)):
            log.error("block %s is refused: %s", block.id, refusal)

    def _beat(self) -> None:
        self._loop.call_later(self._period, self._entry(self._beat))
        self._ask_all()
        self._dispatcher.look(time.monotonic())
        self._give_out()

    def _ask_all(self) -> None:
        """Send each block a heartbeat, which also tells whose connection has ended, when one has."""
        for block in self.blocks:
            self._put(block, block.session.beat())
        self._perform()

    def _cut(self, peer: str) -> None:
        """A pilot on this host has ended."""
        block = self.blocks.get(peer.partition("/")[0])
        if block is not None and block.peer == peer:
            self._dispatcher.cut(block)
            self._perform()

    # --- ends ----------------------------------------------------------------------------------------------------

    def _lose_block(self, id_: str, reason: str, tail: str) -> None:
        self._dispatcher.lose(id_, reason, tail)
        self._perform()

    def _retire(self, launched: Mapping[str, float], count: int, max_idletime: float | None) -> dict[str, bool]:
        chosen = self._dispatcher.retire(launched, count, max_idletime, time.monotonic())
        self._perform()
        return chosen

    def _drain_old(self) -> None:
        for block in self._dispatcher.drain_old(time.monotonic()):
            log.info("block %s has reached its drain period", block.id)
        self._perform()
        self._drain_at = math.inf
        self._arm_drain()

    def _arm_drain(self) -> None:
        """Set the timer for the next block that reaches its drain period."""
        if self.blocks.drain_at < self._drain_at:
            self._drain_at = self.blocks.drain_at
            self._loop.call_at(self._drain_at, self._entry(self._drain_old))

    def _close_listeners(self) -> None:
        if self._local:
            self._local.close()
        self._tcp.close(linger=0.5)
        self._loop.close()
        with self._changed:
            self._changed.notify_all()
