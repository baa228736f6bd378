"""One run's trajectory → one row of the table: does the crystal grow, and what are the phases?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from melting import lammps_input, motion, structure
from melting.trajectory import Array, Trajectory, read

Flags = NDArray[np.bool_]

CRYSTAL_Q6 = 0.30
"""Averaged q6 above which an atom counts as crystal: the minimum between the two phases' peaks."""

BOTH_PHASES = (0.15, 0.85)
"""Crystal fractions between which there are two interfaces far enough from each other."""

FRAMES_NEEDED = 4


@dataclass(frozen=True, slots=True)
class Row:
    """What one run says.

    Attributes:
        temperature: The temperature that the run was held at.
        replica: Which of the runs at this temperature.
        growth: Speed of the crystal's front into the liquid; negative when the crystal melts.
        growth_halves: The same in the run's first and second half. A front near melting wanders
            at random, so these are two measurements.
        cooling_halves: Loss of potential energy an atom and unit of time, in each half: growth
            by a second way that looks at no structure.
        crystal_first: Fraction of crystal atoms, by q6, in the first frame.
        crystal_last: The same in the last frame.
        liquid_diffusion: Diffusion coefficient along the interface of atoms that stayed liquid.
        crystal_diffusion: The same of atoms that stayed crystal.
        lindemann: Lindemann's index of atoms that stayed crystal.
        distances: Where the radial distribution functions are given.
        crystal_rdf: Radial distribution function around crystal atoms of the first frame.
        liquid_rdf: The same around its liquid atoms.
    """

    temperature: float
    replica: int
    growth: float
    growth_halves: tuple[float, float]
    cooling_halves: tuple[float, float]
    crystal_first: float
    crystal_last: float
    liquid_diffusion: float
    crystal_diffusion: float
    lindemann: float
    distances: tuple[float, ...] = ()
    crystal_rdf: tuple[float, ...] = ()
    liquid_rdf: tuple[float, ...] = ()


def crystal_atoms(run: Trajectory) -> Flags:
    """Tell, for each frame and atom, whether its surroundings are a crystal's."""
    frames = zip(run.positions, run.boxes, strict=True)
    return np.array([structure.q6(atoms, box) > CRYSTAL_Q6 for atoms, box in frames])


def while_both_last(fraction: Array) -> slice:
    """Return the frames before one phase is nearly used up, at the least the first few."""
    low, high = BOTH_PHASES
    ended = np.flatnonzero((fraction < low) | (fraction > high))
    last = int(ended[0]) if len(ended) else len(fraction)
    return slice(0, max(last, FRAMES_NEEDED))


def halves(frames: slice) -> tuple[slice, slice]:
    """Return the first and the second half of some frames, which share the middle one."""
    middle = frames.stop // 2
    return slice(0, middle + 1), slice(middle, frames.stop)


def front_speed(run: Trajectory, crystal: Array, cells: int, frames: slice) -> float:
    """Return the speed of each of the two interfaces, positive when the crystal grows.

    Args:
        run: The trajectory.
        crystal: Fraction of crystal atoms in each frame.
        cells: Crystal cells across the box; they give the crystal's density.
        frames: Which frames to look at.
    """
    width = float(run.boxes[0, 0])
    crystal_density = 4 * (cells / width) ** 3
    length = int(run.positions.shape[1]) / (crystal_density * width * width)
    return motion.slope(run.times[frames], crystal[frames]) * length / 2


def _rdf(run: Trajectory, chosen: Flags) -> tuple[Array, Array]:
    centres = np.flatnonzero(chosen)
    sample = centres[:: max(1, len(centres) // 200)]
    return structure.radial_distribution(run.positions[0], run.boxes[0], sample)


def _along_interface(run: Trajectory, chosen: Flags) -> Array:
    """Return x and y of some atoms, without the drift of the whole box."""
    plane = run.positions[:, :, :2]
    result: Array = (plane - plane.mean(axis=1, keepdims=True))[:, chosen]
    return result


def analyse(run: Trajectory, temperature: float, replica: int, cells: int) -> Row:
    """Sum up one run.

    Args:
        run: The trajectory.
        temperature: The temperature that the run was held at.
        replica: Which of the runs at this temperature.
        cells: Crystal cells across the box.
    """
    crystal = crystal_atoms(run)
    fraction = crystal.mean(axis=1)
    frames = while_both_last(fraction)
    first, second = halves(frames)
    solid: Flags = np.all(crystal[frames], axis=0)
    liquid: Flags = ~np.any(crystal[frames], axis=0)
    pairs, _ = structure.neighbours(run.positions[0], run.boxes[0])
    pairs = pairs[solid[pairs].all(axis=1)]
    times = run.times[frames]
    distances, crystal_rdf = _rdf(run, crystal[0])
    _, liquid_rdf = _rdf(run, ~crystal[0])
    return Row(
        temperature=temperature,
        replica=replica,
        growth=front_speed(run, fraction, cells, frames),
        growth_halves=(
            front_speed(run, fraction, cells, first),
            front_speed(run, fraction, cells, second),
        ),
        cooling_halves=(
            -motion.slope(run.times[first], run.energies[first]),
            -motion.slope(run.times[second], run.energies[second]),
        ),
        crystal_first=float(fraction[0]),
        crystal_last=float(fraction[-1]),
        liquid_diffusion=motion.diffusion(times, _along_interface(run, liquid)[frames]),
        crystal_diffusion=motion.diffusion(times, _along_interface(run, solid)[frames]),
        lindemann=motion.lindemann(run.positions[frames], run.boxes[frames], pairs),
        distances=tuple(distances.tolist()),
        crystal_rdf=tuple(crystal_rdf.tolist()),
        liquid_rdf=tuple(liquid_rdf.tolist()),
    )


def analyse_folder(folder: Path, temperature: float, replica: int, cells: int) -> Row:
    """Read what LAMMPS left in a folder, and sum it up."""
    run = read(folder / lammps_input.TRAJECTORY, lammps_input.TIMESTEP)
    return analyse(run, temperature, replica, cells)
