"""The Lennard-Jones potential as Broughton and Gilmer cut it, and its table for LAMMPS.

A cut potential has its own melting temperature, so a comparison needs the same cut on both sides.
This one goes to zero smoothly between 2.3 and 2.5 sigma and is the usual choice for the crystal
in touch with its melt: J. Q. Broughton and G. H. Gilmer, J. Chem. Phys. 79, 5095 (1983), with the
constants as printed by R. L. Davidchack and B. B. Laird, J. Chem. Phys. 118, 7651 (2003).
"""

import math
from pathlib import Path

INNER = 2.3
CUTOFF = 2.5
SHORTEST = 0.6
TABLE_ROWS = 2000

_SHIFT = 0.016132
_TWELVE, _SIX, _SQUARE, _CONSTANT = 3136.6, -68.069, -0.083312, 0.74689


def energy(distance: float) -> float:
    """Return the pair energy at a distance."""
    if distance >= CUTOFF:
        return 0.0
    six = distance**-6
    if distance <= INNER:
        return 4.0 * (six * six - six) + _SHIFT
    return _TWELVE * six * six + _SIX * six + _SQUARE * distance**2 + _CONSTANT


def force(distance: float) -> float:
    """Return minus the slope of the pair energy at a distance."""
    if distance >= CUTOFF:
        return 0.0
    six = distance**-6
    if distance <= INNER:
        return 4.0 * (12.0 * six * six - 6.0 * six) / distance
    return (12.0 * _TWELVE * six * six + 6.0 * _SIX * six) / distance - 2.0 * _SQUARE * distance


def write_table(path: Path) -> None:
    """Write the potential as a LAMMPS pair table, evenly spaced in the squared distance."""
    lines = ["# Lennard-Jones, cut by Broughton and Gilmer", "", "BG"]
    lines += [f"N {TABLE_ROWS} RSQ {SHORTEST} {CUTOFF}", ""]
    step = (CUTOFF**2 - SHORTEST**2) / (TABLE_ROWS - 1)
    for row in range(TABLE_ROWS):
        r = math.sqrt(SHORTEST**2 + row * step)
        lines.append(f"{row + 1} {r:.10g} {energy(r):.12g} {force(r):.12g}")
    path.write_text("\n".join(lines) + "\n")
