"""From growth speeds to the melting temperature, with an error bar from a bootstrap.

The front of the crystal moves as fast as the liquid before it can rearrange, times how far the
temperature is from melting: speed = D(T) * slope * (T - melting temperature), after Wilson and
Frenkel. So all runs together give the diffusion law D(T), each speed is divided by it, and the
answer is where a straight line through these crosses zero. Without the division the line is bent,
and the answer depends on how far out one looks.

The bootstrap draws points (half runs), with replacement; the draws are shared out over the ranks of a
communicator when there is one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from melting.analysis import Row

Array = NDArray[np.float64]

WINDOW = 0.075
"""How far from the bracket's middle a measurement may be to count; further out even this law bends."""

STEP_OUT = 0.05
TWO_POINTS = 2


class Communicator(Protocol):
    """The part of an MPI communicator that the fit needs."""

    @property
    def rank(self) -> int:
        """Number of this process."""

    @property
    def size(self) -> int:
        """How many processes there are."""

    def allreduce(self, sendobj: Any) -> Any:
        """Return the sum over all processes, on all of them."""

    def allgather(self, sendobj: Any) -> list[Any]:
        """Return every process' value, in the order of the ranks, on all of them."""


class Alone:
    """The communicator of a single process."""

    rank, size = 0, 1

    def allreduce(self, sendobj: Any) -> Any:
        """Return the value itself."""
        return sendobj

    def allgather(self, sendobj: Any) -> list[Any]:
        """Return the one value."""
        return [sendobj]


@dataclass(frozen=True, slots=True)
class Melting:
    """The melting temperature.

    Attributes:
        temperature: Where the front stands still.
        error: Standard deviation of the bootstrap.
        low: Lower end of the bootstrap's middle 95 %.
        high: Its upper end.
        slope: Change with temperature of the front's speed over the diffusion coefficient;
            negative.
        diffusion: Intercept and slope, over temperature, of the diffusion's logarithm.
        points: How many measurements were near enough to count.
        draws: How many bootstrap draws gave a crossing.
        ranks: How many processes drew.
    """

    temperature: float
    error: float
    low: float
    high: float
    slope: float
    diffusion: tuple[float, float]
    points: int
    draws: int
    ranks: int

    def speed(self, temperature: float) -> float:
        """Return the speed of the crystal's front that the fit expects at a temperature."""
        intercept, rise = self.diffusion
        mobility = math.exp(intercept + rise * temperature)
        return mobility * self.slope * (temperature - self.temperature)


def bracket(temperatures: Sequence[float], growth: Sequence[float]) -> tuple[float, float]:
    """Return the two temperatures between which growth turns into melting.

    They are the hottest temperature whose runs grow on average and the coldest whose runs melt;
    where noise makes them change places, the wider doubt stays between them. When all grow or all
    melt, the bracket lies beside the temperatures tried.
    """
    mean = {t: np.mean([g for u, g in zip(temperatures, growth, strict=True) if u == t])
            for t in set(temperatures)}  # fmt: skip
    grows = [t for t, g in mean.items() if g > 0]
    melts = [t for t, g in mean.items() if g <= 0]
    if not grows:
        return round(min(melts) - STEP_OUT, 5), min(melts)
    if not melts:
        return max(grows), round(max(grows) + STEP_OUT, 5)
    low, high = sorted((max(grows), min(melts)))
    return low, high


def crossing(temperatures: Array, growth: Array) -> tuple[float, float]:
    """Return where a straight line through the points crosses zero, and its slope.

    Both are NaN when the points do not fall with temperature.
    """
    if len(np.unique(temperatures)) < TWO_POINTS:
        return float("nan"), float("nan")
    middle = temperatures.mean()
    x = temperatures - middle
    slope: float = (x @ growth / (x @ x)).item()
    if slope >= 0:
        return float("nan"), float("nan")
    return float(middle - growth.mean() / slope), slope


def diffusion_law(temperatures: Array, diffusion: Array) -> tuple[float, float]:
    """Return intercept and slope of the logarithm of the liquid's diffusion over temperature.

    Runs without a liquid to measure (NaN, or nothing that moved) are left out.

    Raises:
        ValueError: No run had a liquid.
    """
    known = diffusion > 0
    x, y = temperatures[known], np.log(diffusion[known])
    if len(x) == 0:
        raise ValueError("no run kept a liquid whose diffusion could be measured")
    if len(np.unique(x)) < TWO_POINTS:
        return y.mean().item(), 0.0
    rise, intercept = np.polyfit(x, y, 1).tolist()
    return intercept, rise


def from_rows(rows: Sequence[Row], comm: Communicator | None = None) -> Melting:
    """Fit the front's speed in both halves of all runs."""
    return _fit_halves(rows, [row.growth_halves for row in rows], comm)


def from_energies(rows: Sequence[Row], comm: Communicator | None = None) -> Melting:
    """Fit the potential energy's drift in both halves of all runs, which sees no structure."""
    return _fit_halves(rows, [row.cooling_halves for row in rows], comm)


def _fit_halves(rows: Sequence[Row], halves: Sequence[tuple[float, float]], comm: Communicator | None) -> Melting:
    temperatures = np.repeat([row.temperature for row in rows], 2)
    diffusion = np.repeat([row.liquid_diffusion for row in rows], 2)
    return melting_temperature(temperatures, np.ravel(halves), diffusion, comm)


def _draws(temperatures: Array, growth: Array, count: int, seed: tuple[int, int]) -> Array:
    random = np.random.default_rng(seed)
    picks = random.integers(0, len(growth), size=(count, len(growth)))
    found = np.array([crossing(temperatures[pick], growth[pick])[0] for pick in picks])
    finite: Array = found[np.isfinite(found)]
    return finite


def _near(temperatures: Array, growth: Array) -> NDArray[np.bool_]:
    middle = np.mean(bracket(temperatures.tolist(), growth.tolist()))
    near: NDArray[np.bool_] = np.abs(temperatures - middle) <= WINDOW + 1e-9
    return near


def melting_temperature(
    temperatures: ArrayLike,
    growth: ArrayLike,
    diffusion: ArrayLike,
    comm: Communicator | None = None,
    draws: int = 4000,
    seed: int = 1,
) -> Melting:
    """Fit all measurements together; called on every rank of `comm` with the same data.

    Args:
        temperatures: One of each measurement.
        growth: Speed of the crystal's front in each, or another measure in step with it.
        diffusion: Diffusion coefficient of the liquid in each; NaN where unknown.
        comm: Communicator whose ranks share the bootstrap; none for this process alone.
        draws: Bootstrap draws over all ranks.
        seed: Start of the random numbers; each rank adds its own number.

    Raises:
        ValueError: The runs do not show growth that falls with temperature.
    """
    group: Communicator = Alone() if comm is None else comm
    all_t, all_g = np.asarray(temperatures, dtype=float), np.asarray(growth, dtype=float)
    law = diffusion_law(all_t, np.asarray(diffusion, dtype=float))
    near = _near(all_t, all_g)
    t = all_t[near]
    g = all_g[near] / np.exp(law[0] + law[1] * t)
    best, slope = crossing(t, g)
    if not np.isfinite(best):
        raise ValueError(
            f"{len(t)} measurements at {sorted(set(t.tolist()))} do not show growth that falls "
            "with temperature: add temperatures or replicas, or make the runs longer"
        )
    share = len(range(group.rank, draws, group.size))
    mine = _draws(t, g, share, (seed, group.rank))
    count, total, squares = group.allreduce(np.array([mine.size, np.sum(mine - best), np.sum((mine - best) ** 2)]))
    low, high = np.percentile(np.concatenate(group.allgather(mine)), [2.5, 97.5])
    return Melting(
        temperature=best,
        error=float(np.sqrt(squares / count - (total / count) ** 2)),
        low=float(low),
        high=float(high),
        slope=slope,
        diffusion=law,
        points=len(t),
        draws=int(count),
        ranks=group.size,
    )
