"""Order in one frame: neighbours, Steinhardt's q6, the radial distribution function."""

import itertools
import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]

NEIGHBOUR = 1.4
"""NodeLauncher of the first shell of neighbours: between fcc's first (1.15) and second (1.62)."""

_HALF_OF_27 = [shift for shift in itertools.product((-1, 0, 1), repeat=3) if shift > (0, 0, 0)]


def shortest(vectors: Array, box: Array) -> Array:
    """Return vectors between atoms, each to the nearest periodic image."""
    return vectors - box * np.round(vectors / box)


def _cells(positions: Array, box: Array, reach: float) -> NDArray[np.int64]:
    """Return a grid of cells at least `reach` wide, each listing its atoms, padded by -1."""
    shape = np.floor(box / reach).astype(np.int64)
    if shape.min() < 3:  # noqa: PLR2004 - a cell would meet itself twice
        raise ValueError(f"a box of {box} is too small for neighbours within {reach}")
    place = np.floor((positions / box % 1.0) * shape).astype(np.int64) % shape
    flat = np.ravel_multi_index(tuple(place.T), tuple(shape))
    order = np.argsort(flat, kind="stable")
    counts = np.bincount(flat, minlength=int(shape.prod()))
    starts = np.cumsum(counts) - counts
    grid = np.full((counts.size, counts.max()), -1, dtype=np.int64)
    grid[flat[order], np.arange(flat.size) - starts[flat[order]]] = order
    return grid.reshape(*shape, -1)


def _candidates(grid: Index) -> tuple[Index, Index]:
    """Return each pair of atoms of the same or of touching cells, once."""
    here = grid.reshape(-1, grid.shape[-1])
    first, second = np.triu_indices(here.shape[1], k=1)
    left, right = [here[:, first].ravel()], [here[:, second].ravel()]
    for shift in _HALF_OF_27:
        there = np.roll(grid, shift, axis=(0, 1, 2)).reshape(here.shape)
        left.append(np.repeat(here, here.shape[1], axis=1).ravel())
        right.append(np.tile(there, here.shape[1]).ravel())
    a, b = np.concatenate(left), np.concatenate(right)
    real = (a >= 0) & (b >= 0)
    return a[real], b[real]


def neighbours(positions: Array, box: Array, reach: float = NEIGHBOUR) -> tuple[Index, Array]:
    """Find the pairs of atoms that are closer than `reach`.

    Returns:
        Pairs of atom numbers, shape (pairs, 2), and the vector from the first to the second.
    """
    first, second = _candidates(_cells(positions, box, reach))
    vectors = shortest(positions[second] - positions[first], box)
    near = np.einsum("ij,ij->i", vectors, vectors) < reach * reach
    return np.stack([first[near], second[near]], axis=1), vectors[near]


def harmonics(vectors: Array) -> NDArray[np.complex128]:
    """Return the spherical harmonics of degree 6 and order 0 to 6, shape (vectors, 7)."""
    x, y, z = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
    s, t, pi = x + 1j * y, z * z, math.pi
    return np.stack(
        [
            math.sqrt(13 / pi) / 32 * (((231 * t - 315) * t + 105) * t - 5) + 0j,
            -math.sqrt(273 / (2 * pi)) / 16 * s * z * ((33 * t - 30) * t + 5),
            math.sqrt(1365 / pi) / 64 * s**2 * ((33 * t - 18) * t + 1),
            -math.sqrt(1365 / pi) / 32 * s**3 * z * (11 * t - 3),
            3 * math.sqrt(91 / (2 * pi)) / 32 * s**4 * (11 * t - 1),
            -3 * math.sqrt(1001 / pi) / 32 * s**5 * z,
            math.sqrt(3003 / pi) / 64 * s**6,
        ],
        axis=1,
    )


def _sum_over(pairs: Index, values: NDArray[np.complex128], atoms: int) -> NDArray[np.complex128]:
    total = np.zeros((atoms, values.shape[2]), dtype=np.complex128)
    for end in (0, 1):
        for column in range(values.shape[2]):
            chosen = values[end, :, column]
            total[:, column] += np.bincount(pairs[:, end], chosen.real, atoms)
            total[:, column] += 1j * np.bincount(pairs[:, end], chosen.imag, atoms)
    return total


def q6(positions: Array, box: Array, *, averaged: bool = True) -> Array:
    """Return Steinhardt's q6 of each atom.

    Args:
        positions: Atoms of one frame, shape (atoms, 3).
        box: Edges of the periodic box.
        averaged: Average the bond order over an atom and its neighbours first (Lechner and
            Dellago 2008), which tells crystal from liquid far better.
    """
    pairs, vectors = neighbours(positions, box)
    atoms = len(positions)
    count = np.maximum(np.bincount(pairs.ravel(), minlength=atoms), 1)[:, None]
    bonds = harmonics(vectors)  # of even degree: the same seen from either end
    order = _sum_over(pairs, np.stack([bonds, bonds]), atoms) / count
    if averaged:
        around = np.stack([order[pairs[:, 1]], order[pairs[:, 0]]])
        order = (order + _sum_over(pairs, around, atoms)) / (count + 1)
    weight = np.array([1, 2, 2, 2, 2, 2, 2])  # orders -m and m have the same size
    squares = np.abs(order) ** 2 @ weight
    result: Array = np.sqrt(4 * math.pi / 13 * squares)
    return result


def radial_distribution(
    positions: Array, box: Array, centres: Index, reach: float = 3.0, bins: int = 60
) -> tuple[Array, Array]:
    """Return the radial distribution function around some atoms.

    Args:
        positions: All atoms of one frame.
        box: Edges of the periodic box; `reach` must be below half the shortest.
        centres: Numbers of the atoms to look out from.
        reach: Where to stop.
        bins: How many distances.

    Returns:
        Distances and values; 1 is the mean density of the box.
    """
    edges = np.linspace(0.0, reach, bins + 1)
    found = np.zeros(bins)
    for atom in centres:
        vectors = shortest(positions - positions[atom], box)
        distances = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        found += np.histogram(distances[distances > 0], edges)[0]
    shells = 4 / 3 * math.pi * np.diff(edges**3)
    ideal = shells * (len(positions) - 1) / box.prod() * max(len(centres), 1)
    return (edges[1:] + edges[:-1]) / 2, found / ideal
