"""What the agent has done in its block; an annotation says where each runs. `agent` submits them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from boyle.advice import Message
from boyle.gas import INPUT, Measurement, State, read_measurement, write_input
from boyle.screening import Candidate, Noise
from boyle.screening import screen as screen_states
from boyle.surrogate import Surrogate
from rhapsody_parsl import MPI, VLLM, Dragon, Policy, annotate

SERVICE = "assistant"


@annotate(MPI(ranks=2), Policy(walltime=300))
def simulate(folder: str, state: State, seed: int, steps: int) -> Measurement:
    """Launch LAMMPS on the ranks of the lease; this function itself runs once."""
    place = Path(folder)
    write_input(place, state, seed, steps)
    command = [*os.environ["PARSL_MPI_PREFIX"].split(), f"{sys.prefix}/bin/lmp", "-in", INPUT, "-screen", "none"]
    libraries = f"{sys.prefix}/lib:{os.environ.get('LD_LIBRARY_PATH', '')}"
    with (place / "stderr").open("w") as stderr:
        subprocess.run(command, cwd=place, env={**os.environ, "LD_LIBRARY_PATH": libraries}, stderr=stderr, check=True)
    return read_measurement(place, state)


@annotate(MPI(ranks=2))
def train(measured: list[Measurement], members: int, steps: int, seed: int, comm: Any = None) -> Surrogate:
    """Train the ensemble, on each rank of the gang; rank 0's result counts."""
    from boyle import training  # noqa: PLC0415 - torch, which only ranks load

    return training.train(measured, members, steps, seed)


@annotate(Dragon())
def screen(surrogate: Surrogate, noise: Noise, count: int, seed: int) -> list[Candidate]:
    """Screen states, on one core."""
    return screen_states(surrogate, noise, count, seed)


@annotate(VLLM(SERVICE, max_tokens=4, temperature=0.0))
def ask(question: list[Message]) -> list[Message]:
    """Ask the model: what is returned here goes to the service, and its answer is the result."""
    return question
