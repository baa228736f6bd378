"""The answer without a simulation: the second virial coefficient is an integral over the pair potential."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CUT = 2.5
"""Where the potential of the simulations ends. It is shifted, so that it ends at zero."""

FULL_BOYLE, FULL_SOURCE = 3.42, "Hirschfelder, Curtiss & Bird, Molecular Theory of Gases and Liquids (1954)"
"""The Boyle temperature of the potential without a cut, as printed."""

_HALVINGS = 50


def pair_energy(distance: Array, cut: float = CUT) -> Array:
    """Return the Lennard-Jones energy of a pair closer than the cut."""
    shift = 4 * (cut**-12 - cut**-6)
    return np.asarray(4 * (distance**-12 - distance**-6) - shift)


def second_virial(temperature: float, cut: float = CUT) -> float:
    """Return the second virial coefficient, -2 pi times the integral of (exp(-u/T) - 1) r^2."""
    distance = np.linspace(0.01, cut, 20_001)
    mayer = np.expm1(-np.minimum(pair_energy(distance, cut) / temperature, 700.0))
    return float(-2 * np.pi * np.trapezoid(mayer * distance**2, distance))


def boyle_temperature(cut: float = CUT) -> float:
    """Return where the second virial coefficient is zero, by bisection: it grows with temperature there."""
    low, high = 1.0, 10.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if second_virial(middle, cut) < 0 else (low, middle)
    return (low + high) / 2
