"""A tiled Cholesky factorisation whose tasks take each other's futures: a worker imports this module by its name."""

from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]


def root(tile: Matrix) -> Matrix:
    return np.linalg.cholesky(tile)


def divided(tile: Matrix, lower: Matrix) -> Matrix:
    return np.linalg.solve(lower, tile.T).T


def less(tile: Matrix, left: Matrix, right: Matrix) -> Matrix:
    difference: Matrix = tile - left @ right.T
    return difference


def trace(matrix: Matrix) -> float:
    return float(np.trace(matrix))


def factored(pool: Executor, matrix: Matrix, side: int) -> Matrix:
    """Return the lower factor; each task waits for the futures that it takes, and nobody else does.

    Args:
        pool: Runs the tasks.
        matrix: Symmetric and positive definite.
        side: Of a tile.
    """
    count = len(matrix) // side
    places = [slice(i * side, (i + 1) * side) for i in range(count)]
    tiles: dict[tuple[int, int], Any] = {
        (i, j): matrix[places[i], places[j]] for i in range(count) for j in range(i + 1)
    }
    for k in range(count):
        tiles[k, k] = pool.submit(root, tiles[k, k])
        for i in range(k + 1, count):
            tiles[i, k] = pool.submit(divided, tiles[i, k], tiles[k, k])
        for i in range(k + 1, count):
            for j in range(k + 1, i + 1):
                tiles[i, j] = pool.submit(less, tiles[i, j], tiles[i, k], tiles[j, k])
    lower = np.zeros_like(matrix)
    for (i, j), tile in tiles.items():
        lower[places[i], places[j]] = tile.result()
    return lower
