"""What the ensemble learned, without torch: many small networks, each of which is one guess at the whole surface.

Each network started from other weights and was trained on measurements that were moved by their errors. So the
networks spread where nobody has measured, and where the errors leave room (Pearce, Leibfried & Brintrup, "Uncertainty
in neural networks: approximately Bayesian ensembling", AISTATS 2020). The answer is read from each of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

COLDEST, HOTTEST = 2.0, 4.0
THINNEST, DENSEST = 0.04, 0.5
"""Where the gas may be simulated."""

CENTRE, SCALE = 0.5, 0.5
"""What is learned is (value - CENTRE) / SCALE, of about size one."""


def features(temperature: ArrayLike, density: ArrayLike) -> Array:
    """Return what a network sees of states, both of about size one; shape (states, 2)."""
    warmth, crowd = np.broadcast_arrays((1 / np.asarray(temperature) - 0.375) / 0.125, np.asarray(density) / 0.25 - 1)
    return np.stack([warmth, crowd], axis=-1)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The Boyle temperature as the ensemble has it: mean and standard deviation over its members."""

    temperature: float
    error: float


@dataclass(frozen=True, slots=True)
class Surrogate:
    """The weights of all members; the first axis of each array is the member.

    Attributes:
        inner: Weights from features to hidden units.
        inner_offset: Their offsets.
        outer: Weights from hidden units to the value.
        direct: Weights from features to the value.
        offset: Of the value.
    """

    inner: Array
    inner_offset: Array
    outer: Array
    direct: Array
    offset: Array

    def values(self, temperature: ArrayLike, density: ArrayLike) -> Array:
        """Return what each member expects to measure; shape (members, states)."""
        seen = features(temperature, density)
        hidden = np.tanh(seen @ self.inner + self.inner_offset)
        learned: Array = (hidden @ self.outer + seen @ self.direct + self.offset)[..., 0]
        return learned * SCALE + CENTRE

    def boyle(self) -> Array:
        """Return each member's Boyle temperature: where its value at density zero is zero; NaN where it nowhere is."""
        grid = np.linspace(COLDEST, HOTTEST, 401)
        return np.array([_crossing(grid, curve) for curve in self.values(grid, 0.0)])

    def estimate(self) -> Estimate:
        """Return the answer with its error."""
        found = self.boyle()
        return Estimate(float(np.nanmean(found)), float(np.nanstd(found)))


def _crossing(grid: Array, curve: Array) -> float:
    signs = np.flatnonzero((curve[:-1] < 0) & (curve[1:] >= 0))
    if not len(signs):
        return float("nan")
    at = signs[0]
    return float(grid[at] + (grid[at + 1] - grid[at]) * curve[at] / (curve[at] - curve[at + 1]))
