"""A pilot without a process: its core and its end of the link, on a simulated clock."""

import random
from collections.abc import Callable
from typing import Any

from rhapsody_parsl.annotations.resources import Resources
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.pilot.inventory import inventory_of
from rhapsody_parsl.scheduling.travel import unpacked
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.examination import Examine, Examined
from rhapsody_parsl.wire.messages import (
    VERSION,
    Cancel,
    Goodbye,
    Hello,
    Message,
    Results,
    Returned,
    Serve,
    Served,
    Stop,
    Submit,
    ToCore,
)
from rhapsody_parsl.wire.piece_messages import More, Pieces
from rhapsody_parsl.wire.session import Session
from testing.clock import Clock
from testing.network import Way
from testing.nodes import make_nodes
from testing.simulation import FakeRuntime, Simulation
from testing.sleepers import Sleeper

__all__ = ("PERIOD", "THRESHOLD", "Pilot")

PERIOD, THRESHOLD = 5.0, 30.0
"""Seconds between heartbeats; of silence until the other end counts as lost."""
_TO_PILOT: Codec[ToCore] = Codec(ToCore)


class Pilot:
    """A block's core and its end of the link, as `pilot.loop` and `pilot.link` join them.

    Args:
        lasts: Seconds until the end of its job.

    Attributes:
        frozen_until: It does nothing before that time, and says nothing.
        ends_at: When its job ends.
        gone: It has left, or was killed.
    """

    def __init__(  # noqa: PLR0913 - as many facts, each from somewhere else
        self,
        number: str,
        clock: Clock,
        dice: random.Random,
        *,
        faults: float,
        hear: Callable[..., None],
        lasts: float | None = None,
        order: str = "fifo",
    ) -> None:
        self.number, self.clock, self._dice = number, clock, dice
        self.peer = f"{number}/a"
        self.block = Simulation(
            make_nodes(dice.randint(1, 3), cores=dice.randint(2, 4)),  # any task fits any block
            {"local": FakeRuntime(), "mpi": FakeRuntime()},
            clock,
            ends=None if lasts is None else clock.now + lasts,
            scheduling=unpacked(order, 60.0),
        )
        self.session = Session()
        self.to_driver = Way(clock, dice, faults, lambda frames: hear(self.peer, frames))
        self.from_driver = Way(clock, dice, faults, lambda frames: self.once_awake(self._hear, frames))
        self.frozen_until, self.gone, self._draining, self._heard = 0.0, False, False, clock.now
        self._reported: set[int] = set()
        self.ends_at = None if lasts is None else clock.now + lasts
        inventory = inventory_of(
            self.block.core.ledger, ("local", "mpi"), shared_memory=False, ends_at=self.ends_at, now=clock.now
        )
        if self.ends_at is not None:
            clock.at(self.ends_at, self._be_ended)
        self._have_services()
        self.say(Hello(VERSION, number, "1", inventory))
        self._beat()

    def _have_services(self) -> None:
        """Every other block has a replica that comes and sleeps now and then; it goes while the trouble lasts."""
        leases, own = self.block.under_way.for_services, random.Random(f"{self.number}")  # noqa: S311 - the same again
        leases.lasting = False
        leases.on_change = lambda: later(0.0, self._room_changed)

        def later(seconds: float, action: Callable[[], None]) -> None:
            self.clock.at(self.clock.now + seconds, lambda: self.once_awake(action))

        if int(self.number) % 2:
            wants = TaskSpec(resources=Resources(cores=own.randint(1, 2)))
            Sleeper(self.block, "service s[0]", wants, own, later=later)

    def _room_changed(self) -> None:
        self.block.core.room_changed(self.clock.now)
        self.act()

    @property
    def due(self) -> float | None:
        """When its core wants to be told the time."""
        tick = None if self.gone else self.block.core.next_tick(self.clock.now)
        return None if tick is None else max(self.frozen_until, self.clock.now + tick)

    def tick(self) -> None:
        """Time passed."""
        self.block.core.tick(self.clock.now)

    def once_awake(self, action: Callable[..., None], *arguments: Any) -> None:
        """What comes to a frozen pilot, a signal too, is seen when it goes on; one that has left sees nothing."""
        if self.clock.now < self.frozen_until:
            self.clock.at(self.frozen_until, lambda: self.once_awake(action, *arguments))
        elif not self.gone:
            action(*arguments)

    def say(self, message: Message) -> None:
        """Send a message to the driver."""
        assert self.clock.now >= self.frozen_until, f"a frozen pilot said {message}"
        self.to_driver.send(self.session.send(encode(message)))

    def act(self) -> None:
        """Do what the core wants, and report."""
        if self.gone or self.clock.now < self.frozen_until:
            return
        self.block._perform()
        if self.block.gave:
            self.say(Pieces(0, self.block.gave))
            self.block.gave = []
        ended = [result for number, result in self.block.ended.items() if number not in self._reported]
        self._reported.update(result.id for result in ended)
        if ended or self.block.records:
            self.say(Results(ended, self.block.records))
            self.block.records = []
        if self.block.late:
            self.say(Returned(0, self.block.late))
            self.block.late = []
        if self._draining:
            if waiting := self.block.core.return_waiting():
                self.say(Returned(0, waiting))
            if self.block.core.idle:
                self.leave("drained")

    def lose_node(self, name: str) -> None:
        """A node of its block dies."""
        self.block.lose_node(name)
        self.act()

    def _hear(self, frames: list[bytes]) -> None:
        self._heard = self.clock.now
        for body in self.session.receive(frames):
            self._receive(_TO_PILOT.decode(body))
        for reply in self.session.replies:
            self.to_driver.send(reply)
        self.session.replies.clear()

    def _receive(self, message: ToCore) -> None:
        match message:
            case Submit(tasks=tasks):
                self.block.core.submit(tasks, self.clock.now)
            case Cancel(tasks=tasks):
                self.block.core.cancel(tasks, self.clock.now)
            case More(taken=taken):
                assert taken, "a reader that has taken nothing has nothing to say"
                return
            case Serve(order=order):
                self.say(Served(order))
            case Examine(question=question):
                look = self.block.core.examination
                self.say(Examined(question, look.lanes(lambda _: ("ready", ""), (), self.clock.now)))
            case Stop(drain=True):
                self._draining = True
            case Stop():
                self.leave("the driver said stop")
        self.act()

    def _beat(self) -> None:
        if self.gone:
            return
        self.clock.at(self.clock.now + PERIOD, self._beat)
        if self.clock.now >= self.frozen_until:
            self.to_driver.send(self.session.beat())
            if self.clock.now - self._heard > THRESHOLD:
                self.leave("the driver was silent")

    def leave(self, reason: str) -> None:
        """Say goodbye, and end what runs."""
        if not self.gone:
            self.say(Goodbye(reason, self.block.core.begun()))
            self.kill()

    def _be_ended(self) -> None:
        """Its job is over: it is told so, and killed when it hears nothing."""
        if self.clock.now < self.frozen_until:
            self.kill()
        else:
            self.leave("its job is over")

    def kill(self) -> None:
        """It is gone without a word."""
        self.gone = True
        self.block.end()
