"""The trajectory that LAMMPS wrote: frames of atoms, in their order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Frames at equal distances in time.

    Attributes:
        times: Time of each frame, shape (frames,).
        positions: Unwrapped positions, shape (frames, atoms, 3).
        boxes: Edges of the periodic box, shape (frames, 3).
        energies: Potential energy an atom of each frame, shape (frames,).
    """

    times: Array
    positions: Array
    boxes: Array
    energies: Array


def _frames(lines: IO[str]) -> Iterator[tuple[int, Array, Array]]:
    while lines.readline():  # ITEM: TIMESTEP
        step = int(lines.readline())
        lines.readline()
        atoms = int(lines.readline())
        lines.readline()
        bounds = [[float(word) for word in lines.readline().split()] for _ in range(3)]
        lines.readline()
        text = "".join(lines.readline() for _ in range(atoms))
        table = np.fromstring(text, sep=" ").reshape(atoms, -1)
        yield step, np.array([high - low for low, high in bounds]), table


def read(path: Path, timestep: float) -> Trajectory:
    """Read a dump of the columns `id xu yu zu energy`, sorted by id.

    Raises:
        ValueError: The file holds fewer than two whole frames.
    """
    with path.open() as lines:
        frames = list(_frames(lines))
    if len(frames) < 2:  # noqa: PLR2004 - a rate needs two
        raise ValueError(f"{path} holds {len(frames)} frames; did LAMMPS end early? See its log")
    return Trajectory(
        times=np.array([step * timestep for step, _, _ in frames]),
        positions=np.array([table[:, 1:4] for _, _, table in frames]),
        boxes=np.array([box for _, box, _ in frames]),
        energies=np.array([table[:, 4].mean() for _, _, table in frames]),
    )
