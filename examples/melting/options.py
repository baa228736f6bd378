"""The command line of `melting_point.py`."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from melting.lammps_input import Box


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for.

    Attributes:
        provider: `local` or `slurm`.
        account: Account of the batch system, if it wants one.
        partition: Partition of the batch system, if it wants one.
        nodes: Nodes of the block.
        box: Size and length of a simulation.
        temperatures: Where to simulate first.
        replicas: Simulations at each temperature.
        rounds: Further temperatures, one a round, that the model picks within the bracket.
        ranks: MPI ranks of a simulation and of the fit.
        model: Folder of the language model; none to take the middle of the bracket.
        out: Where everything is written.
    """

    provider: str
    account: str | None
    partition: str | None
    nodes: int
    box: Box
    temperatures: tuple[float, ...]
    replicas: int
    rounds: int
    ranks: int
    model: Path | None
    out: Path


def default_model() -> Path:
    """Return where `make demo` puts the converted SmolLM2-135M-Instruct."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "rhapsody_parsl" / "smollm2-135m-instruct"


def _temperatures(text: str) -> tuple[float, ...]:
    values = tuple(sorted({float(word) for word in text.replace(",", " ").split()}))
    if not values or values[0] <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} holds no temperatures above 0")
    return values


def _model(text: str) -> Path | None:
    return None if text == "none" else Path(text).expanduser().resolve()


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="melting_point.py",
        description="Find the melting temperature of the Lennard-Jones crystal, with Dragon, MPI "
        "and vLLM in one block.",
    )
    where = parser.add_argument_group("where it runs")
    where.add_argument("--provider", choices=("local", "slurm"), default="local")
    where.add_argument("--account", help="account of the batch system")
    where.add_argument("--partition", help="partition of the batch system")
    where.add_argument("--nodes", type=_positive, default=1, help="nodes of the block")
    where.add_argument("--ranks", type=_positive, default=2, help="MPI ranks of each simulation")
    size = parser.add_argument_group("what it runs")
    size.add_argument("--quick", action="store_true", help="small and short: a look, not a result")
    size.add_argument("--cells", type=_positive, help="crystal cells across the box")
    size.add_argument("--steps", type=_positive, help="time steps that are analysed")
    size.add_argument("--temperatures", type=_temperatures, metavar="T,T,...")
    size.add_argument("--replicas", type=_positive, help="simulations at each temperature")
    size.add_argument("--rounds", type=int, help="temperatures picked within the bracket")
    size.add_argument("--model", type=_model, default=default_model(), metavar="DIR",
                      help="the language model's folder, or 'none'")  # fmt: skip
    size.add_argument("--out", type=Path, default=Path("melting_point"), metavar="DIR")
    return parser


def _box(given: argparse.Namespace) -> Box:
    across = given.cells or (5 if given.quick else 6)
    steps = given.steps or (2000 if given.quick else 4800)
    along = 12 if given.quick else max(16, 2 * across)
    return Box(across=across, along=along, steps=steps, every=max(1, steps // 20))


def read_options(words: Sequence[str] | None = None) -> Options:
    """Read the command line; ends the program with a message when it makes no sense."""
    parser = _parser()
    given = parser.parse_args(words)
    if given.model is not None and not (given.model / "config.json").is_file():
        parser.error(f"no model in {given.model}: run 'make demo', or give --model DIR or none")
    try:
        box = _box(given)
    except ValueError as error:
        parser.error(str(error))
    return Options(
        provider=given.provider, account=given.account, partition=given.partition,
        nodes=given.nodes, box=box, ranks=given.ranks, model=given.model, out=given.out.resolve(),
        temperatures=given.temperatures or (0.55, 0.60, 0.65, 0.70),
        replicas=given.replicas or (2 if given.quick else 3),
        rounds=(1 if given.quick else 3) if given.rounds is None else max(0, given.rounds),
    )  # fmt: skip
