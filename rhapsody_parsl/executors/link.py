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

from rhapsody_parsl.errors import BlockLost, RhapsodyError
from rhapsody_parsl.executors.admission import searchable
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.peers import mismatch
from rhapsody_parsl.spec.policy import MOST_RERUNS
from rhapsody_parsl.spec.resources import Resources
from rhapsody_parsl.spec.task_spec import TaskSpec, decode_spec
from rhapsody_parsl.wire.codec import Codec, MalformedFrame, encode
from rhapsody_parsl.wire.complaints import Complaints
from rhapsody_parsl.wire.gate import Proof, Token
from rhapsody_parsl.wire.messages import (
    Cancel,
    FromPilot,
    Goodbye,
    Hello,
    Message,
    Report,
    Result,
    Results,
    Returned,
    Stop,
    Submit,
    Task,
)
from rhapsody_parsl.wire.parcels import check_parcels, deliver, discard, discard_block
from rhapsody_parsl.wire.stream import StreamDoor
from rhapsody_parsl.wire.tcp import TcpDoor

__all__ = ("Link", "Outcomes")

log = logging.getLogger(__name__)

_BATCH = 512
_MOST_SPECS = 4_000
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
    """Owns the doors, the blocks and the tasks that wait for one.

    Its thread runs an event loop. Other threads append to a queue and wake it; but a task that comes while the block
    has next to nothing to do is sent at once by the thread that brings it, when a block on this host can take it: two
    changes of thread less. One lock keeps the two apart. Closing: (1) tell pilots to stop, (2) wait for their goodbyes,
    (3) leave the loop, (4) close the doors.

    Args:
        address: `tcp://host` to bind on, a free port is taken.
        local: Whether pilots on this host may come over a Unix socket, which is faster.
        proof: What pilots show who come over TCP.
        token: What those show who come over the Unix socket.
        outcomes: Who learns how tasks end.
        blocks: Those it will know; read by others, changed under our lock only.
        period: Seconds between heartbeats.
        threshold: Seconds of silence after which a block counts as lost.
        parcels: Folder for large payloads, or "".
    """

    def __init__(  # noqa: PLR0913, PLR0917 - as many facts, each from somewhere else
        self,
        address: str,
        local: bool,
        proof: Proof,
        token: Token,
        outcomes: Outcomes,
        blocks: Blocks,
        period: float,
        threshold: float,
        parcels: str = "",
    ) -> None:
        super().__init__(name="rhapsody-link", daemon=True)
        self._outcomes, self._period, self._threshold, self._parcels = outcomes, period, threshold, parcels
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._tcp = TcpDoor(address, self._entry(self._hear_tcp), proof, self._loop, self._entry(self._ask_all))
        self.port = self._tcp.port
        self.local_address = f"@rhapsody-{secrets.token_hex(16)}" if local else ""
        self._local = (
            StreamDoor(self.local_address, self._entry(self._hear_local), self._loop, self._entry(self._cut), token)
            if local
            else None
        )
        self._codec: Codec[FromPilot] = Codec(FromPilot)
        self._roused = False
        self._incoming: deque[Task | Callable[[], None]] = deque()
        self._specs: dict[bytes, TaskSpec] = {}
        self._waiting: deque[Task] = deque()
        self._gone: set[str] = set()
        self._complaints = Complaints(log)
        self._reruns: dict[int, int] = {}
        self._stopping = False
        self.blocks = blocks
        self._changed = threading.Condition()
        self._drain_timer: asyncio.TimerHandle | None = None

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
        self.call(lambda: self._cancel(task))

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
        self.call(lambda: self._stop_blocks(wanted))
        with self._changed:
            self._changed.wait_for(
                lambda: not any(self.blocks.get(id_) for id_ in wanted) or not self.is_alive(), timeout
            )

    def lose_block(self, id: str, reason: str, words: str) -> None:  # noqa: A002 - the field's name
        """A block's job is known to have ended; returns when its tasks have been told (a second at most)."""
        told = threading.Event()
        self.call(lambda: self._lose_by_id(id, reason, words))
        self.call(told.set)
        told.wait(1)

    def close(self) -> None:
        """End the thread and close the doors; idempotent."""
        self._stopping = True
        self._rouse()
        if self.is_alive():
            self.join(10)

    def abandon(self) -> None:
        """Close the doors of a link that was never started."""
        self._close_doors()

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
            self._close_doors()

    def _entry(self, action: Callable[P, None]) -> Callable[P, None]:
        """Return the action as the loop may call it: under our lock, and the link's end when it breaks."""

        def entry(*args: P.args, **kwargs: P.kwargs) -> None:
            with self._lock:
                try:
                    action(*args, **kwargs)
                except MalformedFrame:
                    raise  # the door hangs up on who sent it
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
                self._waiting.append(item)
            else:
                item()

    def _give_out(self) -> None:
        """Give waiting tasks to blocks, in order, in batches; what no block can take now waits on."""
        if not self._waiting or not self.blocks.have_room():
            return
        batches: dict[str, list[Task]] = {}
        full: set[tuple[Resources, tuple[str, ...]]] = set()
        kept: list[Task] = []
        while self._waiting:
            task = self._waiting.popleft()
            spec = self._spec_of(task)
            needs = spec.resources, spec.policy.labels
            block = None if full and needs in full else self.blocks.choose(spec)
            if block is None:
                full.add(needs)
                kept.append(task)
                if len(kept) > _BATCH:
                    break
                continue
            task = deliver(task, self._parcels if block.parcels else "")
            block.give(task)
            batches.setdefault(block.id, []).append(task)
        self._waiting.extendleft(reversed(kept))
        for id_, tasks in batches.items():
            block = self.blocks.get(id_)
            for start in range(0, len(tasks), _BATCH):
                if block:
                    self._send(block, Submit(tasks[start : start + _BATCH]))

    def _spec_of(self, task: Task) -> TaskSpec:
        spec = self._specs.get(task.spec)
        if spec is None:
            if len(self._specs) > _MOST_SPECS:
                self._specs.clear()
            spec = self._specs[task.spec] = decode_spec(task.spec)
        return spec

    # --- talking -------------------------------------------------------------------------------------------------

    def _send(self, block: Block, message: Message) -> None:
        self._put(block, block.session.send(encode(message)))

    def _put(self, block: Block, frames: list[bytes]) -> None:
        door = self._local if block.local and self._local else self._tcp
        if not door.send(block.peer, frames) and not block.cut:
            block.cut = True  # the session sends it again when the line is back
            self._outcomes.cut(block.id)

    def _hear_tcp(self, peer: str, frames: list[bytes]) -> None:
        self._hear(peer, frames, local=False)

    def _hear_local(self, peer: str, frames: list[bytes]) -> None:
        self._hear(peer, frames, local=True)

    def _hear(self, peer: str, frames: list[bytes], local: bool) -> None:
        block = self._holder(peer, local)
        if block is None:
            return
        block.heard, block.cut = time.monotonic(), False
        try:
            for body in block.session.receive(frames):
                self._take_in(block, self._codec.decode(body))
        except MalformedFrame as problem:
            self._lose(block, f"it spoke out of turn ({problem})", "")
            self._give_out()
            raise
        for reply in block.session.replies:
            self._put(block, reply)
        block.session.replies.clear()
        self._give_out()

    def _holder(self, peer: str, local: bool) -> Block | None:
        """Return the block that a pilot speaks for; its number stays with the first that took it, while that lives."""
        if peer in self._gone:
            return None  # it was given up; hearing nothing, it leaves by itself
        number = peer.partition("/")[0]
        block = self.blocks.get(number)
        if block is not None and block.peer != peer:
            if not block.cut:
                self._complaints.note("another pilot says that it is block %s: it is not heard", number)
                return None
            self._lose(block, "its pilot was started again", "")
            block = None
        if block is None:
            block = Block(number, time.monotonic(), local, peer)
            self.blocks.add(block)
            self._arm_drain()
        return block

    def _take_in(self, block: Block, message: FromPilot) -> None:
        match message:
            case Results(results=results, leases=leases):
                check_parcels(results, self._parcels, block.id)
                self.blocks.leases_ended(block, leases)
                block.served += len(results)
                for result in results:
                    self._end(block, result)
            case Returned(tasks=tasks):
                returned = [block.take(task, block.heard) for task in tasks]
                self._waiting.extendleft(task for task in reversed(returned) if task is not None)
            case Report(state=state, leases=leases):
                block.state, block.leases = state, {lease.lease: lease for lease in leases}
            case Hello():
                self._welcome(block, message)
            case Goodbye(reason=reason, begun=begun):
                self._lose(block, reason, "", frozenset(begun))

    def _end(self, block: Block, result: Result) -> None:
        if (task := block.take(result.id, block.heard)) is not None:
            discard(task)
            if self._reruns:
                self._reruns.pop(result.id, None)
            self._outcomes.ended(result)
        discard(result)

    def _welcome(self, block: Block, hello: Hello) -> None:
        if misfit := mismatch(hello):
            log.error("block %s is refused: %s", block.id, misfit)
            self.blocks.refused[block.id] = str(misfit)
            self._dismiss(block, drain=False)
            return
        block.inventory = searchable(hello.inventory)
        log.info("block %s is there: %s", block.id, hello.inventory)
        if block.id not in self.blocks.seen:
            self.blocks.seen.append(block.id)
        self._outcomes.joined(block)
        with self._changed:
            self._changed.notify_all()

    def _beat(self) -> None:
        now = time.monotonic()
        self._loop.call_later(self._period, self._entry(self._beat))
        self._ask_all()
        for block in self.blocks:
            if now - block.heard > self._threshold:
                self._lose(block, f"its pilot was silent for {self._threshold:g} s", "")
        self._give_out()

    def _ask_all(self) -> None:
        """Send each block a heartbeat, which also tells whose connection has ended, when one has."""
        for block in self.blocks:
            self._put(block, block.session.beat())

    def _cut(self, peer: str) -> None:
        """A pilot on this host has ended."""
        block = self.blocks.get(peer.partition("/")[0])
        if block is not None and block.peer == peer and not block.cut:
            block.cut = True
            self._outcomes.cut(block.id)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _cancel(self, task: int) -> None:
        self._reruns.pop(task, None)
        for block in self.blocks:
            if (taken := block.take(task, time.monotonic())) is not None:
                discard(taken)
                self._send(block, Cancel([task]))
                return
        for item in self._waiting:
            if item.id == task:
                discard(item)  # a block gave it back
                self._waiting.remove(item)
                return

    def _retire(self, launched: Mapping[str, float], count: int, max_idletime: float | None) -> dict[str, bool]:
        chosen: dict[str, bool] = {}
        for id_ in self.blocks.to_end(launched, count, max_idletime, time.monotonic()):
            block = self.blocks.get(id_)
            chosen[id_] = bool(block and block.tasks)
            if block:
                self._dismiss(block, drain=chosen[id_])
        return chosen

    def _drain_old(self) -> None:
        for block in self.blocks.due(time.monotonic()):
            log.info("block %s has reached its drain period", block.id)
            self._dismiss(block, drain=True)
        self._arm_drain()

    def _arm_drain(self) -> None:
        if self._drain_timer:
            self._drain_timer.cancel()
        soon = self.blocks.drain_at
        self._drain_timer = None if soon == math.inf else self._loop.call_at(soon, self._entry(self._drain_old))

    def _stop_blocks(self, ids: list[str]) -> None:
        for id_ in ids:
            block = self.blocks.get(id_)
            if block:
                self._dismiss(block, drain=False)

    def _dismiss(self, block: Block, drain: bool) -> None:
        block.closing = True
        self._send(block, Stop(drain))

    def _lose_by_id(self, id_: str, reason: str, words: str) -> None:
        block = self.blocks.get(id_)
        if block:
            self._lose(block, reason, words)

    def _lose(self, block: Block, reason: str, words: str, begun: frozenset[int] | None = None) -> None:
        """A block is gone: what may have begun fails, or waits for another block when its policy says so."""
        log.info("block %s is gone: %s", block.id, reason)
        self.blocks.remove(block)
        self._gone.add(block.peer)
        block.lost = begun is None
        self._outcomes.left(block)
        for task in block.tasks.values():
            if (begun is not None and task.id not in begun) or self._may_rerun(task):
                self._waiting.append(task)
            else:
                discard(task)
                self._outcomes.failed(task.id, BlockLost(block.id, reason, words))
        discard_block(self._parcels, block.id)
        with self._changed:
            self._changed.notify_all()

    def _may_rerun(self, task: Task) -> bool:
        """Whether a task that may have begun goes to another block: one that takes its block down must not take all."""
        reruns = self._reruns.pop(task.id, 0)
        if self._spec_of(task).policy.on_loss != "rerun" or reruns >= MOST_RERUNS:
            return False
        self._reruns[task.id] = reruns + 1
        return True

    def _close_doors(self) -> None:
        if self._local:
            self._local.close()
        self._tcp.close(linger=0.5)
        self._loop.close()
        with self._changed:
            self._changed.notify_all()
