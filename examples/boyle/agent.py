"""The agent: a task in the block that measures, trains, screens and chooses, round after round."""

import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from boyle import advice, tasks
from boyle.gas import Measurement, State
from boyle.screening import Candidate, apart, noise_of
from boyle.surrogate import COLDEST, DENSEST, HOTTEST, THINNEST, Estimate, Surrogate
from rhapsody_parsl import block

CHUNKS = 4

FIRST = (
    State(COLDEST, THINNEST), State(HOTTEST, THINNEST), State(COLDEST, DENSEST), State(HOTTEST, DENSEST),
    State(3.0, 0.15), State(3.0, 0.35),
)  # fmt: skip
"""What is measured before there is anything to learn from: the corners, and two inside."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the agent is to do.

    Attributes:
        folder: Where simulations write.
        rounds: How often it chooses.
        batch: Measurements of a round.
        steps: Time steps of a simulation.
        ranks: MPI ranks of a simulation and of the training.
        members: Networks of the ensemble.
        training_steps: Of the optimizer.
        candidates: States that are screened in a round.
        has_model: Whether a language model picks each round's last measurement.
        seed: Of all that is random.
    """

    folder: str
    rounds: int = 5
    batch: int = 4
    steps: int = 20_000
    ranks: int = 2
    members: int = 64
    training_steps: int = 1500
    candidates: int = 20_000
    has_model: bool = True
    seed: int = 1


@dataclass(slots=True)
class Outcome:
    """What came out.

    Attributes:
        measured: All measurements, in their order.
        rounds: The round of each.
        estimates: The answer after each training.
        surrogate: The last one.
        picks: Of each round with a model, the place of its choice among those it could choose from; 0 is the best.
        asked: From when to when it was asked, in seconds since the epoch.
    """

    measured: list[Measurement] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    surrogate: Surrogate | None = None
    picks: list[int] = field(default_factory=list)
    asked: list[tuple[float, float]] = field(default_factory=list)


def steer(plan: Plan) -> Generator[str, None, Outcome]:
    """Do all rounds; give a line of text for each thing that happens, and return what came out."""
    agent = Agent(plan)
    yield f"measuring {len(FIRST)} states to begin with: LAMMPS on {plan.ranks} MPI ranks each"
    yield from agent.measure(0, [agent.start(state) for state in FIRST])
    for number in range(1, plan.rounds + 1):
        yield from agent.learn()
        yield from agent.round(number)
    yield from agent.learn()
    return agent.outcome


class Agent:
    """Its state between rounds.

    Attributes:
        outcome: What came out so far.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.outcome = Outcome()
        self._here = block()
        self._started = 0

    def start(self, state: State) -> "Future[Measurement]":
        """Start a simulation."""
        self._started += 1
        folder, seed = Path(self.plan.folder) / f"{self._started:03d}", 7919 * self._started + self.plan.seed
        return self._here.submit(
            tasks.simulate, str(folder), state, seed, self.plan.steps,
            resource_specification={"num_ranks": self.plan.ranks},
        )  # fmt: skip

    def measure(self, number: int, started: "Sequence[Future[Measurement]]") -> Iterator[str]:
        """Wait for the simulations of a round."""
        for future in started:
            one = future.result()
            self.outcome.measured.append(one)
            self.outcome.rounds.append(number)
            where = f"T = {one.state.temperature:.2f}, density {one.state.density:.3f}"
            yield f"  {where}: (Z - 1) / density = {one.value:+.3f} ± {one.error:.3f}"

    def learn(self) -> Iterator[str]:
        """Train the surrogate on all measurements."""
        plan, measured = self.plan, self.outcome.measured
        training = self._here.submit(
            tasks.train, measured, plan.members, plan.training_steps, plan.seed + len(measured),
            resource_specification={"num_ranks": plan.ranks},
        )  # fmt: skip
        self.outcome.surrogate = training.result()
        estimate = self.outcome.surrogate.estimate()
        self.outcome.estimates.append(estimate)
        yield (
            f"trained {plan.members} networks on {len(measured)} measurements, {plan.ranks} ranks: "
            f"Boyle temperature {estimate.temperature:.3f} ± {estimate.error:.3f}"
        )

    def round(self, number: int) -> Iterator[str]:
        """Screen, choose and measure."""
        found = self._screen(number)
        sure, rest = found[: self.plan.batch - 1], found[self.plan.batch - 1 :]
        yield f"round {number}: {self.plan.candidates} states screened on Dragon, best gain {found[0].gain:.0%}"
        started = [self.start(one.state) for one in sure]  # the numbers are sure of these: they run while we ask
        chosen = self._choose(advice.bounded(rest))
        if self.plan.has_model:
            yield f"  the model picks T = {chosen.state.temperature:.2f}, density {chosen.state.density:.3f}"
        yield from self.measure(number, [*started, self.start(chosen.state)])

    def _screen(self, number: int) -> list[Candidate]:
        noise, each = noise_of(self.outcome.measured), self.plan.candidates // CHUNKS
        chunks = [
            self._here.submit(
                tasks.screen, self.outcome.surrogate, noise, each, self.plan.seed + CHUNKS * number + chunk
            )
            for chunk in range(CHUNKS)
        ]
        return apart(one for chunk in chunks for one in chunk.result())

    def _choose(self, allowed: Sequence[Candidate]) -> Candidate:
        if not self.plan.has_model:
            return allowed[0]
        began, question = time.time(), advice.question(self.outcome.estimates[-1], allowed)
        answer = self._here.submit(tasks.ask, question, resource_specification=advice.structured(allowed)).result()
        self.outcome.asked.append((began, time.time()))
        chosen = advice.believed(answer, allowed)
        self.outcome.picks.append(allowed.index(chosen))
        return chosen
