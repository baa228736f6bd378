"""Movement over a trajectory: mean squared displacement, diffusion, Lindemann's index."""

import numpy as np
from numpy.typing import NDArray

from melting.structure import Array, shortest


def slope(x: Array, y: Array) -> float:
    """Return the slope of the straight line that fits y against x best."""
    away = x - x.mean()
    return float(np.dot(away, y) / np.dot(away, away))


def mean_squared_displacement(positions: Array) -> Array:
    """Return the mean squared displacement at each lag, averaged over atoms and starting frames.

    Args:
        positions: Unwrapped positions, shape (frames, atoms, dimensions).
    """
    frames = len(positions)
    result = np.zeros(frames)
    for lag in range(1, frames):
        moved = positions[lag:] - positions[:-lag]
        result[lag] = np.mean(np.sum(moved * moved, axis=2))
    return result


def diffusion(times: Array, positions: Array) -> float:
    """Return the diffusion coefficient: the slope of the mean squared displacement.

    The slope is taken between a tenth and a half of the longest lag: past the atoms' rattling
    in their cages, and before the lags that few starting frames can serve.
    """
    if positions.shape[1] == 0:
        return float("nan")
    frames, dimensions = len(positions), int(positions.shape[2])
    lags = slice(max(1, frames // 10), max(3, frames // 2 + 1))
    moved = mean_squared_displacement(positions)
    return slope((times - times[0])[lags], moved[lags]) / (2 * dimensions)


def lindemann(positions: Array, boxes: Array, pairs: NDArray[np.int64]) -> float:
    """Return Lindemann's index: how much the distance of neighbours fluctuates, against its mean.

    Around 0.1 in a crystal near melting; it grows with time in a liquid.

    Args:
        positions: Unwrapped positions, shape (frames, atoms, 3).
        boxes: Edges of the periodic box in each frame.
        pairs: Which atoms are neighbours, shape (pairs, 2).
    """
    if len(pairs) == 0:
        return float("nan")
    vectors = positions[:, pairs[:, 1]] - positions[:, pairs[:, 0]]
    distances = np.linalg.norm(shortest(vectors, boxes[:, None, :]), axis=2)
    return float(np.mean(distances.std(axis=0) / distances.mean(axis=0)))
