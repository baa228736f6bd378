"""The driver's one thread: it talks to all pilots, gives out tasks in batches, and completes futures."""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from rhapsody_parsl.errors import RhapsodyError
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.conversation import Conversation, Outcomes
from rhapsody_parsl.executors.dispatcher import Dispatcher
from rhapsody_parsl.executors.front_door import FrontDoor
from rhapsody_parsl.executors.listeners import Listeners
from rhapsody_parsl.wire.door import DoorKey, DoorKeys, Tunnelled
from rhapsody_parsl.wire.examination import Examine, Examined
from rhapsody_parsl.wire.gate import Proof, Token
from rhapsody_parsl.wire.malformed import MalformedFrame
from rhapsody_parsl.wire.messages import Serve, Task
from rhapsody_parsl.wire.piece_messages import More
from rhapsody_parsl.wire.value_messages import ToValues

__all__ = ("Link",)

log = logging.getLogger(__name__)

_ANSWER_TIMEOUT = 10.0
_LAST_TURNS = 2
"""Of the loop, in which connections close that were cut off."""
_RECORD_AFTER = 0.5
"""Seconds for which what is noted may lie here while no block tells anything."""

P = ParamSpec("P")
T = TypeVar("T")


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
        front_wait: Seconds that a connection for models waits while no block is there.
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
        front_wait: float = 0.0,
    ) -> None:
        super().__init__(name="rhapsody-link", daemon=True)
        self._outcomes, self._period = outcomes, period
        self._loop, self._writers = asyncio.new_event_loop(), ThreadPoolExecutor(thread_name_prefix="rhapsody-values")
        self._loop.set_default_executor(self._writers)
        self._lock = threading.Lock()
        self._roused = self._stopping = False
        self._incoming: deque[Task | Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._drain_at = math.inf
        self.blocks = blocks
        self._dispatcher = Dispatcher(blocks, threshold)
        self._listeners = Listeners(
            address, self._loop, local=local, proof=proof, token=token,
            hear=self._entry(self._hear_tcp), hear_local=self._entry(self._hear_local),
            ended=self._entry(self._ask_all), cut=self._entry(self._cut),
        )  # fmt: skip
        self._front = FrontDoor(self._loop, blocks, self._tell, front_wait)
        self._conversation = Conversation(
            self._dispatcher,
            outcomes,
            self._front,
            send=self._listeners.send,
            changed=self._blocks_changed,
            shared_folder=shared_folder,
        )

    @property
    def port(self) -> int:
        """Where pilots come in over TCP."""
        return self._listeners.port

    @property
    def local_address(self) -> str:
        """Where pilots on this host come in, or ""."""
        return self._listeners.local_address

    # --- for other threads ---------------------------------------------------------------------------------------

    def put(self, task: Task) -> None:
        """Give out a task."""
        self.blocks.record.submitted(task.id)
        if self.blocks.may_take_at_once() and self._lock.acquire(blocking=False):
            try:
                self._incoming.append(task)
                self._take_incoming()
                self._conversation.give_out()
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

    def agent_over(self, name: str) -> None:
        """An agent has ended: messages that wait for it fail."""
        self.call(lambda: self._dispatcher.agent_over(name))

    def say(self, more: More) -> None:
        """Tell a task's process what was taken of its stream."""
        self.call(lambda: self._say(more))

    def tell_of_values(self, block: str, message: ToValues) -> None:
        """Tell a block something of values; "" tells all that have hosts which do not see the driver's memory."""
        if block or any(block.is_distant for block in self.blocks):
            self.call(lambda: self._tell_of_values(block, message))

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

    def order(self, name: str, order: Serve) -> list[RhapsodyError]:
        """Tell all blocks of a service, those that come too.

        Args:
            name: The service's.
            order: Has a number of its own.

        Returns:
            Why blocks refuse; a block that does not answer in time is told when it can be.
        """
        orders = self._dispatcher.orders
        self._ask(lambda: self._order(name, order))
        self.wait_for(lambda: orders.is_answered(order.order), _ANSWER_TIMEOUT)
        return self._ask(lambda: orders.take(order.order))

    def examine(self, question: Examine, timeout: float) -> dict[str, Examined]:
        """Ask all blocks what waits in them, and why.

        Args:
            question: Has a number of its own.
            timeout: Seconds to wait for their answers.

        Returns:
            What each block says that answers in time.
        """
        questions, number = self._dispatcher.questions, question.question
        self._ask(lambda: self._examine(question))
        self.wait_for(lambda: questions.is_answered(number), timeout)
        return self._ask(lambda: questions.take(number))

    def waiting(self) -> list[Task]:
        """Return the tasks that wait for a block."""
        return self._ask(self._dispatcher.waiting)

    def drain(self, ids: Iterable[str]) -> None:
        """Tell blocks to leave when they have finished what they have begun; what they have not begun waits again."""
        wanted = list(ids)
        self._ask(lambda: self._drain(wanted))

    def wait_for(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until something is so of the blocks, looking whenever one has told how it is; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: condition() or not self.is_alive(), timeout) and condition()

    def lose_block(self, id: str, reason: str, tail: str) -> None:  # noqa: A002 - the field's name
        """A block's job is known to have ended; returns when its tasks have been told (a second at most)."""
        told = threading.Event()
        self.call(lambda: self._lose_block(id, reason, tail))
        self.call(told.set)
        told.wait(1)

    def open_front_door(self, port: int) -> int:
        """Listen for clients of the models, on a free port where it is 0; return on which. Idempotent.

        Raises:
            OSError: The port is taken.
        """
        return asyncio.run_coroutine_threadsafe(self._front.open(port), self._loop).result(_ANSWER_TIMEOUT)

    def take_keys(self, keys: list[DoorKey]) -> None:
        """Front doors take these keys from now on, beside the executor's own."""
        if not self._loop.is_closed():
            self._front.take_keys(keys)

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
            self._front.close()
            self._writers.shutdown(cancel_futures=True)  # all values are removed next: nobody is to write one
            for _ in range(_LAST_TURNS):
                self._loop.stop()
                self._loop.run_forever()
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
        self._conversation.give_out()

    def _take_incoming(self) -> None:
        for _ in range(len(self._incoming)):
            item = self._incoming.popleft()
            if isinstance(item, Task):
                self._dispatcher.submit(item)
            else:
                item()

    def _hear_tcp(self, peer: str, frames: list[bytes]) -> None:
        self._conversation.hear(peer, frames, local=False)
        self._arm_drain()

    def _hear_local(self, peer: str, frames: list[bytes]) -> None:
        self._conversation.hear(peer, frames, local=True)
        self._arm_drain()

    def _cut(self, peer: str) -> None:
        self._conversation.cut(peer)

    def _beat(self) -> None:
        self._loop.call_later(self._period, self._entry(self._beat))
        self._ask_all()
        self._dispatcher.look(time.monotonic())
        self.blocks.look()
        self.blocks.record.flush(_RECORD_AFTER)
        self._conversation.give_out()

    def _ask_all(self) -> None:
        self._conversation.ask_all()

    def _tell(self, block: Block, message: Tunnelled | DoorKeys) -> None:
        """Send something of a connection to a block; called by the loop, outside of our lock."""
        with self._lock:
            self._conversation.tell(block, message)

    def _tell_of_values(self, id_: str, message: ToValues) -> None:
        for block in self.blocks:
            if block.id == id_ or (not id_ and block.is_distant):
                self._conversation.tell(block, message)

    def _blocks_changed(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _say(self, more: More) -> None:
        self._dispatcher.say(more)
        self._conversation.perform()

    def _order(self, name: str, order: Serve) -> None:
        self._dispatcher.order(name, order)
        self._conversation.perform()

    def _examine(self, question: Examine) -> None:
        self._dispatcher.examine(question)
        self._conversation.perform()

    # --- ends ----------------------------------------------------------------------------------------------------

    def _lose_block(self, id_: str, reason: str, tail: str) -> None:
        self._dispatcher.lose(id_, reason, tail)
        self._conversation.perform()

    def _retire(self, launched: Mapping[str, float], count: int, max_idletime: float | None) -> dict[str, bool]:
        chosen = self._dispatcher.retire(launched, count, max_idletime, time.monotonic())
        self._conversation.perform()
        return chosen

    def _drain(self, ids: Iterable[str]) -> None:
        self._dispatcher.drain(ids)
        self._conversation.perform()

    def _drain_old(self) -> None:
        for block in self._dispatcher.drain_old(time.monotonic()):
            log.info("block %s has reached its drain period", block.id)
        self._conversation.perform()
        self._drain_at = math.inf
        self._arm_drain()

    def _arm_drain(self) -> None:
        """Set the timer for the next block that reaches its drain period."""
        if self.blocks.drain_at < self._drain_at:
            self._drain_at = self.blocks.drain_at
            self._loop.call_at(self._drain_at, self._entry(self._drain_old))

    def _close_listeners(self) -> None:
        self._listeners.close()
        self._loop.close()
        self._blocks_changed()
