"""At which temperature does a gas look ideal? An agent inside one block learns it, round after round.

- *MPI*: LAMMPS measures a gas on its ranks; and a gang trains an ensemble of small networks with torch's
  DistributedDataParallel.
- *Dragon*: the ensemble screens thousands of states: which measurement would tell most about the answer?
- *vLLM*: SmolLM2-135M picks one measurement of each round, among a few that the numbers allow.
- The *agent* is a task of the block, which submits all of these; this script only reads what it says.

The answer stands beside an exact integral. Run `python examples/active_learning.py --help`.
"""

# ruff: noqa: PLC0415 - an app imports what it needs where it runs, as Parsl asks
import argparse
import json
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import parsl
from parsl import Config, python_app
from parsl.providers import LocalProvider

from boyle import exact, pictures
from boyle.agent import Outcome, Plan
from boyle.surrogate import Estimate
from boyle.tasks import SERVICE
from look import look
from rhapsody_parsl import Dragon, DragonRuntime, MPIRuntime, RhapsodyExecutor, VLLMService, annotate, stream
from smollm2 import cached_model

HERE = Path(__file__).resolve().parent
QUICK: dict[str, Any] = {
    "rounds": 2,
    "batch": 3,
    "steps": 10_000,
    "members": 32,
    "training_steps": 800,
    "candidates": 4000,
}
INTERRUPTED = 130
AGREES = 2.0
"""Error bars up to which a difference is called agreement."""


@python_app
@annotate(Dragon(cores=0))  # it waits for others most of the time
def campaign(plan: Plan) -> Generator[str, None, Outcome]:
    """Run the agent; what it yields comes to the driver as it comes."""
    from boyle.agent import steer

    return (yield from steer(plan))


def read_options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="active_learning.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small and short: a look, not a result")
    parser.add_argument("--ranks", type=int, default=2, help="MPI ranks of each simulation and of the training")
    parser.add_argument("--rounds", type=int, help="how often the agent chooses")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    parser.add_argument("--model", default=str(cached_model()), metavar="DIR",
                        help="the language model's folder, or 'none'")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("boyle_temperature"), metavar="DIR")
    given = parser.parse_args(words)
    if given.model != "none" and not Path(given.model, "config.json").is_file():
        parser.error(f"no model in {given.model}: run 'make campaign', or give --model DIR or none")
    return given


def plan_of(options: argparse.Namespace) -> Plan:
    """Return what the agent is to do."""
    folder, has_model = str(options.out.resolve() / "runs"), options.model != "none"
    plan = Plan(folder, ranks=options.ranks, seed=options.seed, has_model=has_model, **(QUICK if options.quick else {}))
    return plan if options.rounds is None else replace(plan, rounds=options.rounds)


def executor_of(options: argparse.Namespace) -> RhapsodyExecutor:
    """Return the executor: one block, whose tasks find this folder's modules."""
    services = []
    if options.model != "none":
        engine = {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 28, "max_model_len": 2048}
        services.append(VLLMService(SERVICE, model=options.model, cores=0, engine_args=engine))
    python = Path(sys.executable).parent
    init = f"export PATH={python}:$PATH PYTHONPATH={HERE}${{PYTHONPATH:+:$PYTHONPATH}}"
    return RhapsodyExecutor(
        provider=LocalProvider(init_blocks=1, max_blocks=1, worker_init=init),
        runtimes=[DragonRuntime(), MPIRuntime()], services=services,
    )  # fmt: skip


def verdict(found: Estimate) -> str:
    """Say in words how far the answer is from the exact one."""
    away = (found.temperature - exact.boyle_temperature()) / found.error
    return f"{'agrees' if abs(away) <= AGREES else 'differs'}: {abs(away):.1f} error bars away"


def say_result(outcome: Outcome) -> None:
    """Print the answer beside the exact one."""
    first, last = outcome.estimates[0], outcome.estimates[-1]
    measured, begun = len(outcome.measured), outcome.rounds.count(0)
    print(f"\nBoyle temperature  {last.temperature:.3f} ± {last.error:.3f}   "
          f"from {measured} measurements; ± {first.error:.3f} after the first {begun}")  # fmt: skip
    print(f"Exact              {exact.boyle_temperature():.3f}           "
          f"by an integral over the same potential; {verdict(last)}")  # fmt: skip
    print(f"For comparison     {exact.boyle_temperature(cut=50):.3f}           the same integral without a cut")
    print(f"                   {exact.FULL_BOYLE:.2f}            as printed in {exact.FULL_SOURCE}")
    if picks := outcome.picks:
        print(f"SmolLM2-135M picked {len(picks)} of the measurements, {picks.count(0)} times the numbers' best")


def finish(out: Path, outcome: Outcome, executor: RhapsodyExecutor) -> None:
    """Write numbers and pictures, and print the answer."""
    numbers = {"exact": exact.boyle_temperature(), **asdict(outcome), "surrogate": None}
    (out / "result.json").write_text(json.dumps(numbers, indent=1))
    pictures.campaign(out / "active_learning.png", outcome)
    leases = [(entry["name"], entry["start"], entry["end"]) for entry in executor.timeline() if entry["end"]]
    pictures.timeline(out / "timeline.png", [*leases, *(("ask", *times) for times in outcome.asked)])
    say_result(outcome)
    print(f"Pictures: {out / 'active_learning.png'}, {out / 'timeline.png'}")
    print(f"What ran where and when, as a page: {look('report', out)}")
    print(f"While a run goes on, live from another terminal: {look('top', out)}")


def run(options: argparse.Namespace) -> None:
    """Run the campaign inside one block; leaving the `with` stops all of it."""
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    executor, began = executor_of(options), time.monotonic()
    print("starting one block: Dragon, MPI" + ("" if options.model == "none" else ", and vLLM with SmolLM2-135M"))
    with parsl.load(Config(executors=[executor], run_dir=str(out / "runinfo"), strategy="none")):
        future = campaign(plan_of(options))
        for line in stream(future):
            print(f"{time.monotonic() - began:4.0f} s  {line}", flush=True)
        finish(out, future.result(), executor)


def main() -> int:
    """Run; Ctrl-C stops everything that was started."""
    options = read_options()
    try:
        run(options)
    except KeyboardInterrupt:
        print("Interrupted: everything that was started has been stopped.")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
