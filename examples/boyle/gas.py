"""One measurement: LAMMPS simulates the gas at one temperature and density, and we read how far it is from ideal.

What is measured is (Z - 1) / density, where Z is pressure over that of an ideal gas. At density zero it becomes the
second virial coefficient. The virial part of the pressure alone is averaged: the rest is the ideal gas.
"""

from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from boyle.exact import CUT

INPUT, VIRIAL = "in.gas", "virial.txt"
BLOCKS = 20
"""Parts of a run whose means are taken as independent."""


@dataclass(frozen=True, slots=True)
class State:
    """A state of the gas: its temperature and density."""

    temperature: float
    density: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run says.

    Attributes:
        state: Where it was.
        value: (Z - 1) / density.
        error: Standard error of `value`, from the means of parts of the run.
    """

    state: State
    value: float
    error: float


_INPUT = Template("""\
# A gas at T = $temperature and density $density: the virial part of its pressure
units lj
atom_style atomic
lattice sc $density
region box block 0 8 0 8 0 8
create_box 1 box
create_atoms 1 box
mass 1 1.0
pair_style lj/cut $cut
pair_modify shift yes
pair_coeff 1 1 1.0 1.0
neighbor 0.5 bin
neigh_modify every 2 delay 4 check yes
timestep 0.004
velocity all create $temperature $seed dist gaussian
fix move all nve
fix heat all langevin $temperature $temperature 1.0 $seed zero yes
thermo 5000
run 2000
compute virial all pressure NULL virial
fix out all ave/time 10 20 200 c_virial file $virial
run $steps
""")


def write_input(folder: Path, state: State, seed: int, steps: int) -> None:
    """Write the input of a run of so many time steps; the seed is above 0."""
    folder.mkdir(parents=True, exist_ok=True)
    text = _INPUT.substitute(
        temperature=f"{state.temperature:.5f}", density=f"{state.density:.5f}",
        seed=seed, steps=steps, cut=CUT, virial=VIRIAL,
    )  # fmt: skip
    (folder / INPUT).write_text(text)


def read_measurement(folder: Path, state: State) -> Measurement:
    """Read what LAMMPS wrote.

    Raises:
        ValueError: The run is too short.
    """
    virial = np.loadtxt(folder / VIRIAL, ndmin=2)[:, 1]
    if len(virial) < BLOCKS:
        raise ValueError(f"{folder} holds {len(virial)} averages, and {BLOCKS} are needed: run more steps")
    values = virial / (state.temperature * state.density**2)
    means = [part.mean() for part in np.array_split(values, BLOCKS)]
    return Measurement(state, float(values.mean()), float(np.std(means, ddof=1) / BLOCKS**0.5))
