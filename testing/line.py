"""The whole line without a process: the dispatcher, sessions over a bad network, and pilots' cores over fake runtimes.

Everything happens on one simulated clock and by one seed, so a campaign that fails can be run again, exactly. What must
hold in each is checked while it runs and at its end (the idea is FoundationDB's: "FoundationDB: A Distributed Unbundled
Transactional Key Value Store", SIGMOD 2021, section 4). `python -m testing.line --seeds 0 100000` runs so many, and
names those that fail; `--seeds 258 259` runs that one again.
"""

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from rhapsody_parsl.annotations.reruns import MOST_RERUNS
from rhapsody_parsl.annotations.task_spec import TaskSpec
from rhapsody_parsl.executors.blocks import Block, Blocks
from rhapsody_parsl.executors.dispatcher import Dispatcher
from rhapsody_parsl.executors.instructions import Came, Ended, Failed, Give, Instruction, Send
from rhapsody_parsl.pilot.family import FIRST
from rhapsody_parsl.wire.codec import Codec, encode
from rhapsody_parsl.wire.messages import RESULT, FromCore, Submit
from rhapsody_parsl.wire.piece_messages import More, Piece
from testing.clock import Clock
from testing.nodes import make_spec, make_task
from testing.simulated_pilot import PERIOD, THRESHOLD, Pilot

__all__ = ("Campaign",)

TROUBLED, LONGEST = 150.0, 5_000.0
"""Seconds until faults end; in which it must have come to its end."""
LATEST = 500.0
"""Seconds after which what was cut or frozen has been told, and has left."""
LATE = 0.1
"""Seconds that a task may stand behind another one in a worker before it is taken back."""
PIECES = 2
"""That each task gives."""
MOST_STEPS = 50_000
KINDS: list[dict[str, Any]] = [
    {}, {}, {"cores": 2}, {"priority": 3}, {"runtime": "mpi", "num_ranks": 2}, {"walltime": 5},
    {"walltime": 25},
]  # fmt: skip

ORDERS = ("fifo", "easy", "fair")
_EVERY = 5_000
"""Campaigns between two words of progress."""
_FROM_PILOT: Codec[FromCore] = Codec(FromCore)


class Campaign:
    """One executor's life, made of a seed.

    Args:
        seed: Says what comes, when, and what goes wrong.
        tasks: How many, about.
    """

    def __init__(self, seed: int, tasks: int = 40) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - it has to be the same again
        self.clock = Clock()
        blocks = Blocks(several=True, drain_before=self.dice.choice([None, 0.0, 5.0, 25.0]))
        self.dispatcher = Dispatcher(blocks, THRESHOLD, lambda: self.clock.now)
        self._order = ORDERS[seed % len(ORDERS)]
        self.ending = self.dice.random() < 0.5  # noqa: PLR2004 - of two campaigns one
        self.walltimes: dict[int, float] = {}
        self.faults = self.dice.choice([0.0, 0.02, 0.2])
        self.pilots: dict[str, Pilot] = {}
        self.all: list[Pilot] = []
        self.outcomes: Counter[int] = Counter()
        self.read: Counter[int] = Counter()
        self.cancelled: set[int] = set()
        self.unasked: set[int] = set()
        self.seconds: dict[int, float] = {}
        self.offspring: dict[int, tuple[list[TaskSpec], bool]] = {}
        self._quiet = False
        self._beat()
        self._start_block()
        self._plan_tasks(tasks)
        self._plan_trouble()
        self.submitted = len(self.seconds)

    # --- what comes ----------------------------------------------------------------------------------------------

    def _plan_tasks(self, count: int) -> None:
        dice, number = self.dice, 0
        while number < count:
            spec = make_spec(**{**dice.choice(KINDS), "on_loss": dice.choice(["fail", "rerun"])})
            when, each = dice.uniform(0, 60), dice.choice([0.001, 0.1, 2.0, 20.0])
            for _ in range(dice.randint(1, 15)):
                self.seconds[number], self.walltimes[number] = each, spec.policy.walltime
                if spec.policy.on_loss == "fail":
                    self.unasked.add(number)
                self._at(when, self.dispatcher.submit, make_task(number, spec))
                if self._chance(0.1):
                    self.offspring[number] = self._some_specs(), self._chance(0.3)
                if self._chance(0.05):
                    self._at(when + dice.choice([0.0, 0.5, 10.0]), self._cancel, number)
                number += 1

    def _some_specs(self) -> list[TaskSpec]:
        """Return what a task submits by itself."""
        dice = self.dice
        kinds = [{**dice.choice(KINDS), "on_loss": dice.choice(["fail", "rerun"])} for _ in range(dice.randint(1, 4))]
        return [make_spec(**kind) for kind in kinds]

    def _plan_trouble(self) -> None:
        troubles = [self._kill, self._signal, self._freeze, self._interrupt, self._retire, self._lose_node]
        for _ in range(self.dice.choice([0, 2, 6])):
            self._at(self.dice.uniform(0, 120), self.dice.choice(troubles))
        if self._chance(0.2):
            for when in range(5, 100, 10):
                self._at(float(when), self.dice.choice([self._kill, self._signal]))
        for _ in range(self.dice.randint(0, 8)):
            self._at(self.dice.uniform(0, 120), self._start_block)

    def _chance(self, probability: float) -> bool:
        return self.dice.random() < probability

    def _at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:
        def happen() -> None:
            action(*arguments)
            self._give_out()

        self.clock.at(when, happen)

    def _any_pilot(self) -> Pilot | None:
        there = [pilot for pilot in self.pilots.values() if not pilot.gone]
        return self.dice.choice(there) if there else None

    def _cancel(self, number: int) -> None:
        if not self.outcomes[number]:
            self.cancelled.add(number)
            self.dispatcher.cancel(number, self.clock.now)

    def _start_block(self) -> None:
        number = str(len(self.all))
        faults = 0.0 if self._quiet else self.faults
        lasts = self.dice.choice([None, 10.0, 30.0, 60.0]) if self.ending and not self._quiet else None
        pilot = self.pilots[number] = Pilot(
            number, self.clock, self.dice, faults=faults, hear=self._hear, lasts=lasts, order=self._order
        )
        self.all.append(pilot)
        pilot.block.seconds = self.seconds
        pilot.block.offspring = self.offspring
        if not self._quiet:
            pilot.block.deadly = {n: self.dice.choice([1, 9]) for n in self.seconds if self._chance(0.02)}

    def _kill(self) -> None:
        """A pilot dies; its job's end is seen after a while, or its silence before that."""
        if pilot := self._any_pilot():
            pilot.kill()
            self._at(
                self.clock.now + self.dice.choice([1.0, 60.0]), self.dispatcher.lose, pilot.number, "its job ended", ""
            )

    def _signal(self) -> None:
        """The batch system tells a pilot to leave; it says what has begun."""
        if pilot := self._any_pilot():
            pilot.once_awake(pilot.leave, "it was told to by a signal")

    def _freeze(self) -> None:
        if pilot := self._any_pilot():
            pilot.frozen_until = self.clock.now + self.dice.choice([1.0, 10.0, 100.0])
            pilot.block.freeze(pilot.frozen_until)

    def _interrupt(self) -> None:
        """Both ways are cut; each end may be told."""
        if pilot := self._any_pilot():
            until = self.clock.now + self.dice.choice([0.5, 10.0, 100.0])
            pilot.to_driver.closed_until = pilot.from_driver.closed_until = until
            block = self.dispatcher.blocks.get(pilot.number)
            if block and self._chance(0.5):
                self.dispatcher.cut(block)

    def _retire(self) -> None:
        self.dispatcher.retire(dict.fromkeys(self.pilots, 0.0), 1, None, self.clock.now)

    def _lose_node(self) -> None:
        pilot = self._any_pilot()
        if pilot and len(pilot.block.core.ledger.accounts) > 1:
            pilot.once_awake(pilot.lose_node, "n0")

    # --- the driver ----------------------------------------------------------------------------------------------

    def _hear(self, peer: str, frames: list[bytes]) -> None:
        block = self.dispatcher.heard(peer, True, self.clock.now)
        if block is not None:
            for body in block.session.receive(frames):
                self.dispatcher.receive(block, _FROM_PILOT.decode(body))
            for reply in block.session.replies:
                self._put(block, reply)
            block.session.replies.clear()
        self._give_out()

    def _beat(self) -> None:
        self.clock.at(self.clock.now + PERIOD, self._beat)
        for block in self.dispatcher.blocks:
            self._put(block, block.session.beat())
        self.dispatcher.look(self.clock.now)
        if self.clock.now >= self.dispatcher.blocks.drain_at:
            self.dispatcher.drain_old(self.clock.now)
        self._give_out()

    def _give_out(self) -> None:
        self.dispatcher.give_out()
        for instruction in self.dispatcher.take():
            self._follow(instruction)

    def _put(self, block: Block, frames: list[bytes]) -> None:
        self.pilots[block.id].from_driver.send(frames)

    def _follow(self, instruction: Instruction) -> None:
        match instruction:
            case Give(block=block, tasks=tasks):
                self._put(block, block.session.send(encode(Submit(tasks))))
            case Send(block=block, message=message):
                self._put(block, block.session.send(encode(message)))
            case Ended(results=results):
                for result in results:
                    self._note(result.id)
                    read = self.read[result.id]
                    assert result.kind != RESULT or read == PIECES, f"task {result.id} ended after {read} pieces"
            case Came(pieces=pieces):
                self._read(pieces)
            case Failed(task=number):
                self._note(number)
            case _:
                pass

    def _read(self, pieces: list[Piece]) -> None:
        """Pieces come in order, those of a further try from the first; the reader says what it has taken."""
        for piece in pieces:
            over = self.outcomes[piece.id] or piece.id in self.cancelled
            assert not over, f"a piece of task {piece.id} is told of after its end"
            assert piece.number in {0, self.read[piece.id]}, f"piece {piece.number} of task {piece.id} is not the next"
            self.read[piece.id] = piece.number + 1
            self.dispatcher.say(More(piece.id, piece.number + 1, 0))

    def _note(self, number: int) -> None:
        self.outcomes[number] += 1
        assert self.outcomes[number] == 1, f"task {number} has two outcomes"
        assert number not in self.cancelled, f"task {number} was cancelled"

    # --- its course ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let it happen, then let all faults end and see that everything comes to its end.

        Raises:
            AssertionError: Something did not hold.
        """
        self._go_on(lambda: self.clock.now > TROUBLED)
        self._quiet = True
        for pilot in self.pilots.values():
            pilot.to_driver._faults = pilot.from_driver._faults = 0.0
            pilot.block.deadly.clear()
        if not self.dispatcher.blocks or not self._any_pilot():
            self._start_block()
        self._at(self.clock.now + 200.0, self._see_that_a_block_works)
        everything = set(range(self.submitted))
        self._go_on(lambda: everything <= self.outcomes.keys() | self.cancelled and self.clock.now > LATEST)
        self._go_on(lambda: all(pilot.gone or pilot.block.core.idle for pilot in self.pilots.values()))  # what lives on
        self._check_ends(everything)

    def _see_that_a_block_works(self) -> None:
        if not any(block.inventory and not block.closing for block in self.dispatcher.blocks):
            self._start_block()

    def _go_on(self, enough: Callable[[], bool]) -> None:
        for _ in range(MOST_STEPS):
            if enough():
                return
            first = min(self.pilots.values(), key=lambda pilot: pilot.due if pilot.due is not None else LONGEST)
            self.clock.step(first.due, first.tick)
            for pilot in self.pilots.values():
                pilot.act()
            assert self.clock.now < LONGEST, "it does not come to its end"
        raise AssertionError(f"after {MOST_STEPS} steps it still goes on")

    def _check_ends(self, everything: set[int]) -> None:
        missing = everything - self.outcomes.keys() - self.cancelled
        assert not missing, f"tasks {sorted(missing)} have no outcome"
        total = self.dispatcher.blocks.totals().tasks
        told = (total.done + total.failed + total.lost, total.cancelled)
        assert told == (self.outcomes.total(), len(self.cancelled)), f"{total} were counted"
        started = [item for pilot in self.all for item in pilot.block.started.items() if item[0] < FIRST]
        begun = Counter(number for number, times in started for _ in times)
        twice = [number for number in self.unasked if begun[number] > 1]
        assert not twice, f"tasks {twice} began more than once, unasked"
        self._check_starts()
        most = (MOST_RERUNS + 1) ** 2
        assert max(begun.values(), default=0) <= most, f"a task began {max(begun.values())} times"
        assert not self.dispatcher._waiting, "the driver still has tasks that wait"
        assert not self.dispatcher._later, "the driver still has tasks that wait for a block with more time"
        assert not self.dispatcher._later._returns, "the driver remembers tasks that have ended"
        assert not self.dispatcher._reruns, "the driver remembers tasks that have ended"
        for block in self.dispatcher.blocks:
            assert not block.tasks, f"block {block.id} is thought to hold {list(block.tasks)}"
        for pilot in self.pilots.values():
            if not pilot.gone and self.dispatcher.blocks.get(pilot.number):
                core = pilot.block.core
                assert core.idle, f"block {pilot.number} still holds tasks"
                family = core.family
                left = family.parents or family._children or family._numbers or family.orphans or family._answers
                assert not left, f"block {pilot.number} remembers tasks of tasks: {left}"
                assert not core._outcomes._reruns, "a pilot remembers tasks that have ended"

    def _check_starts(self) -> None:
        """No task begins in a block that ends before the task must; one that stands behind a short one may be late."""
        for pilot in self.all:
            for number, times in pilot.block.started.items() if pilot.ends_at is not None else ():
                if number >= FIRST:
                    continue
                left = (pilot.ends_at or 0.0) - max(times)
                assert self.walltimes[number] <= left + LATE, f"task {number} began {left} s before its block ended"


def failure(seed: int) -> str:
    """Run a campaign; return what did not hold, or ""."""
    try:
        Campaign(seed).run()
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is the seed's
        return f"seed {seed}: {type(problem).__name__}: {problem}"
    return ""


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the campaigns that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs=2, type=int, default=(0, 2_000), metavar=("FIRST", "END"))
    first, end = parser.parse_args().seeds
    began, failed = time.monotonic(), 0
    with multiprocessing.Pool() as pool:
        for number, problem in enumerate(pool.imap_unordered(failure, range(first, end), chunksize=20), 1):
            if problem:
                failed += 1
                _show(problem)
            if number % _EVERY == 0:
                _show(f"{number} of {end - first}, {time.monotonic() - began:.0f} s")
    _show(f"{end - first} campaigns, {failed} failed, {time.monotonic() - began:.0f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
