"""Where does the Lennard-Jones crystal melt? Dragon, MPI and vLLM in one block, from Parsl.

- *MPI*: LAMMPS runs of crystal and liquid in contact, each launched on its ranks; and the fit, one
  Python function on all ranks of a standing MPI world.
- *Dragon*: the analysis of each trajectory, as soon as it is there.
- *vLLM*: SmolLM2-135M on a service that starts while the first runs go. An agent asks it at the
  block's front door, with the `openai` package. It picks the next temperature from a few inside the
  bracket that the numbers have set, and puts the result in words. The numbers decide; it only
  steers, and the result stays true whatever it says.

Run `python examples/melting_point.py --help`.
"""

# ruff: noqa: PLC0415 - an app imports what it needs where it runs, as Parsl asks
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import parsl
from parsl import Config, bash_app, python_app
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider, SlurmProvider
from parsl.providers.base import ExecutionProvider
from rich.console import Console
from rich.live import Live

from look import look
from melting import fit, literature, pictures, prompts, report
from melting.agent import Agent
from melting.analysis import Row
from melting.lammps_input import Box
from melting.live_view import Progress, view_of
from melting.options import Options, read_options
from rhapsody_parsl import (
    MPI,
    DragonRuntime,
    MPIRuntime,
    Policy,
    RhapsodyExecutor,
    VLLMService,
    annotate,
)

HERE = Path(__file__).resolve().parent
SERVICE = "assistant"
INTERRUPTED = 130
OPENING = (
    "Where does the Lennard-Jones crystal melt? One block runs LAMMPS on MPI ranks, the analysis on Dragon, and a "
    "language model on vLLM, which loads while the first runs go."
)
PATIENCE = 900.0
"""Seconds that the agent waits while the model loads."""


@bash_app
@annotate(MPI(ranks=2), Policy(priority=10, walltime=600))
def simulate(folder: str, temperature: float, seed: int, box: Box, stdout: str, stderr: str) -> str:
    """Run LAMMPS with crystal and liquid in contact."""
    import sys
    from pathlib import Path

    from melting import lammps_input

    lammps_input.write_input(Path(folder), temperature, seed, box)
    return lammps_input.shell_command(Path(folder), Path(sys.prefix))


@python_app
def analyse(folder: str, temperature: float, replica: int, cells: int, after: int) -> Row:
    """Sum up a trajectory; no annotation: it runs on Dragon, on one core."""
    from pathlib import Path

    from melting.analysis import analyse_folder

    return analyse_folder(Path(folder), temperature, replica, cells)


@python_app
@annotate(MPI(ranks=2), Policy(priority=1))
def fit_together(rows: list[Row], comm: Any = None) -> fit.Melting:
    """Fit all runs; every rank draws its share of the bootstrap."""
    from melting.fit import from_rows

    return from_rows(rows, comm)


def provider(options: Options) -> ExecutionProvider:
    """Return the provider of the one block, which finds this Python and this folder's modules."""
    python = Path(sys.executable).parent
    init = f"export PATH={python}:$PATH PYTHONPATH={HERE}${{PYTHONPATH:+:$PYTHONPATH}}"
    one: dict[str, Any] = {"init_blocks": 1, "min_blocks": 0, "max_blocks": 1, "worker_init": init}
    if options.provider == "local":
        return LocalProvider(**one)
    return SlurmProvider(
        partition=options.partition, account=options.account, nodes_per_block=options.nodes,
        walltime="00:30:00", launcher=SimpleLauncher(), **one,
    )  # fmt: skip


def block(options: Options) -> RhapsodyExecutor:
    """Return the executor: one block, three runtimes in it."""
    services = []
    if options.model is not None:
        engine = {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 28, "max_model_len": 2048}
        service = VLLMService(SERVICE, model=str(options.model), cores=0, engine_args=engine)
        services.append(service)
    return RhapsodyExecutor(
        label="rhapsody", provider=provider(options), runtimes=[DragonRuntime(), MPIRuntime()], services=services,
        openai_wait=PATIENCE,
    )  # fmt: skip


class Campaign:
    """The runs, from the first temperatures to the last round.

    Attributes:
        options: What the user asked for.
        progress: What the live view shows of the campaign.
        rows: One of each analysed run.
        agent: Asks the model, None without one.
        console: Where lines go that stay.
    """

    def __init__(self, options: Options, progress: Progress, console: Console, agent: Agent | None) -> None:
        self.options = options
        self.progress = progress
        self.console = console
        self.agent = agent
        self.rows: list[Row] = []

    def run(self) -> fit.Melting:
        """Simulate, narrow the bracket round by round, and return the last fit."""
        self._simulate(self.options.temperatures, "First temperatures")
        for number in range(1, self.options.rounds + 1):
            chosen = self._choose(number)
            self._simulate([chosen], f"Round {number} of {self.options.rounds}")
        self._say(f"One fit of all {self.progress.runs} runs, by an MPI function on {self.options.ranks} ranks.")
        return self._fit().result()

    def by_energy(self) -> fit.Melting | None:
        """Return the fit of the second measure of growth, made here, if it shows a crossing."""
        try:
            return fit.from_energies(self.rows)
        except ValueError:
            return None

    def summary(self, result: fit.Melting) -> str:
        """Return the model's two sentences."""
        if self.agent is None:
            return ""
        self._say("The model is asked for two sentences on the result.")
        return self.agent.ask(prompts.summary(self.rows, result), prompts.TWO_SENTENCES)

    def _say(self, stage: str) -> None:
        self.progress.stage = stage
        self.console.print(stage)

    def _simulate(self, temperatures: Sequence[float], stage: str) -> None:
        first = 1 + self.progress.runs
        wanted = [(t, r + 1) for r in range(self.options.replicas) for t in temperatures]
        where = ", ".join(f"{t:.3f}" for t in temperatures)
        self._say(
            f"{stage}: {len(wanted)} LAMMPS runs of crystal beside liquid at T = {where}, "
            f"each on {self.options.ranks} MPI ranks. Dragon analyses each as soon as it is there."
        )
        self.progress.runs += len(wanted)
        futures = [self._one(t, r, first + n) for n, (t, r) in enumerate(wanted)]
        for future in futures:
            self._note(future.result())

    def _one(self, temperature: float, replica: int, number: int) -> "Future[Row]":
        options = self.options
        folder = options.out / "runs" / f"{number:03d}-T{temperature:.3f}"
        folder.mkdir(parents=True, exist_ok=True)
        simulation = simulate(
            str(folder), temperature, 7919 * number + 1, options.box,
            stdout=str(folder / "stdout"), stderr=str(folder / "stderr"),
            parsl_resource_specification={"num_ranks": options.ranks},
        )  # fmt: skip
        future: Future[Row] = analyse(str(folder), temperature, replica, options.box.across, after=simulation)
        return future

    def _note(self, row: Row) -> None:
        self.rows.append(row)
        self.progress.analysed += 1
        self.console.print(
            f"T = {row.temperature:.3f}  run {row.replica}: front speed {row.growth:+.3f}, "
            f"crystal {row.crystal_first:.0%} → {row.crystal_last:.0%}, "
            f"D of the liquid {row.liquid_diffusion:.4f}"
        )

    def _fit(self) -> "Future[fit.Melting]":
        ranks = {"num_ranks": self.options.ranks}
        future: Future[fit.Melting] = fit_together(self.rows, parsl_resource_specification=ranks)
        return future

    def _choose(self, number: int) -> float:
        temperatures = [row.temperature for row in self.rows]
        low, high = fit.bracket(temperatures, [row.growth for row in self.rows])
        allowed = prompts.choices(low, high, temperatures)
        self.progress.estimate = f"between {low:.3f} and {high:.3f}"
        if self.agent is None:
            return prompts.believed("", allowed)
        self._say(f"Round {number} of {self.options.rounds}: the model is asked for the next temperature.")
        question = prompts.next_temperature(self.rows, allowed)
        answer = self.agent.ask(question, prompts.structured(allowed))
        chosen = prompts.believed(answer, allowed)
        self.console.print(
            f"It melts between {low:.3f} and {high:.3f}; of {', '.join(allowed)} the model picks {chosen:.3f}"
        )
        return chosen


def finish(campaign: Campaign, result: fit.Melting, executor: RhapsodyExecutor) -> None:
    """Write the pictures and the numbers, and print the result beside the literature."""
    out, console, rows = campaign.options.out, campaign.console, campaign.rows
    words, energy = campaign.summary(result), campaign.by_energy()
    asked = campaign.agent.asked if campaign.agent else []
    report.save(out / "result.json", rows, result, words)
    pictures.melting_curve(out / "melting_curve.png", rows, result, literature.SAME_POTENTIAL)
    pictures.timeline(out / "timeline.png", report.records(executor.timeline()) + asked)
    console.print(report.table(rows))
    console.print(report.ending(result, energy, words))
    for line in (
        f"Pictures: {out / 'melting_curve.png'}, {out / 'timeline.png'}",
        f"What ran where and when, as a page: {look('report', out)}",
        f"While a run goes on, live from another terminal: {look('top', out)}",
    ):
        console.print(line, soft_wrap=True)  # a path that rich breaks cannot be pasted


def live(executor: RhapsodyExecutor, progress: Progress, console: Console) -> AbstractContextManager[Any]:
    """Return the live view; on anything but a terminal only the lines that stay are printed."""
    view = view_of(executor.snapshot, progress)
    return Live(get_renderable=view, console=console, refresh_per_second=2, transient=True)


def run(options: Options, console: Console) -> None:
    """Run the whole campaign inside one block; leaving the `with` stops all of it."""
    options.out.mkdir(parents=True, exist_ok=True)
    executor = block(options)
    config = Config(
        executors=[executor], run_dir=str(options.out / "runinfo"), strategy="none",
        initialize_logging=False,
    )  # fmt: skip
    progress = Progress()
    console.print(OPENING)
    console.print(f"Live, from another terminal in this folder: {look('top', options.out)}", soft_wrap=True)
    with parsl.load(config), deaf_once_interrupted(), ExitStack() as stack:
        agent = None
        if options.model is not None:
            agent = Agent(stack.enter_context(executor.openai_client(timeout=PATIENCE)), SERVICE)
        campaign = Campaign(options, progress, console, agent)
        with live(executor, progress, console):
            result = campaign.run()
        finish(campaign, result, executor)


@contextmanager
def deaf_once_interrupted() -> Iterator[None]:
    """Ignore further Ctrl-C after the first, so that the block is stopped in peace."""
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise


def main() -> int:
    """Run; Ctrl-C and SIGTERM stop everything that was started, and end with one line."""
    options = read_options()
    console = Console(highlight=False)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have left Ctrl-C ignored
        signal.signal(number, signal.default_int_handler)
    try:
        run(options, console)
    except KeyboardInterrupt:
        console.print("Interrupted: everything that was started has been stopped.")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
