"""Which measurement would tell most? Each candidate's gain, and the few that are taken."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boyle.gas import Measurement, State
from boyle.surrogate import COLDEST, DENSEST, HOTTEST, THINNEST, Surrogate

Array = NDArray[np.float64]

APART = (0.15, 0.03)
"""Temperature and density by which two of one round are to differ, in one of both at least."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A state that could be measured.

    Attributes:
        state: Where.
        gain: By which share one measurement there would lower the variance of the answer.
    """

    state: State
    gain: float


@dataclass(frozen=True, slots=True)
class Noise:
    """The error that a run has, by its density: variance = floor + thin / density."""

    floor: float
    thin: float

    def variance(self, density: Array) -> Array:
        """Return the variance to expect."""
        return self.floor + self.thin / density


def noise_of(measured: Sequence[Measurement]) -> Noise:
    """Fit the law to the errors of what was measured; neither part below zero."""
    inverse = np.array([1 / one.state.density for one in measured])
    variances = np.array([one.error**2 for one in measured])
    thin, floor = np.polyfit(inverse, variances, 1)
    if thin <= 0:
        return Noise(float(variances.mean()), 0.0)
    if floor <= 0:
        return Noise(0.0, float((variances / inverse).mean()))
    return Noise(float(floor), float(thin))


def gains(surrogate: Surrogate, noise: Noise, temperature: Array, density: Array) -> Array:
    """Return the share of the answer's variance that one measurement at each state would take away.

    The members are samples of what may be true. So the covariance of their answers with what they expect at a state
    says what a measurement there tells: covariance² / (variance there + noise) / variance of the answer.
    """
    answers = surrogate.boyle()
    known = ~np.isnan(answers)
    apart = answers[known] - answers[known].mean()
    expected = surrogate.values(temperature, density)[known]
    expected -= expected.mean(axis=0)
    covariance = apart @ expected / len(apart)
    share: Array = covariance**2 / (expected.var(axis=0) + noise.variance(density)) / apart.var()
    return share


def screen(surrogate: Surrogate, noise: Noise, count: int, seed: int) -> list[Candidate]:
    """Draw so many states at random; return the best of them, each apart from the others."""
    dice = np.random.default_rng(seed)
    temperature, density = dice.uniform(COLDEST, HOTTEST, count), dice.uniform(THINNEST, DENSEST, count)
    found = gains(surrogate, noise, temperature, density)
    order = np.argsort(-found)[: count // 4]
    return apart(Candidate(State(float(temperature[at]), float(density[at])), float(found[at])) for at in order)


def apart(candidates: Iterable[Candidate], most: int = 12) -> list[Candidate]:
    """Return the best candidates, the best first, none of them close to another."""
    taken: list[Candidate] = []
    for one in sorted(candidates, key=lambda candidate: -candidate.gain):
        if len(taken) < most and not any(_close(one.state, other.state) for other in taken):
            taken.append(one)
    return taken


def _close(one: State, other: State) -> bool:
    warmth, crowd = APART
    return abs(one.temperature - other.temperature) < warmth and abs(one.density - other.density) < crowd
