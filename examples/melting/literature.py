"""What others found, with the source of each number."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """A melting temperature from a paper.

    Attributes:
        temperature: The value, in Lennard-Jones units.
        holds_for: The potential and the pressure it belongs to.
        source: Where it stands.
    """

    temperature: float
    holds_for: str
    source: str


SAME_POTENTIAL = Published(
    temperature=0.617,
    holds_for="the same cut potential, pressure -0.02 (its triple point)",
    source="Davidchack & Laird, J. Chem. Phys. 118, 7651 (2003), "
    "after Broughton & Gilmer, J. Chem. Phys. 79, 5095 (1983)",
)
FULL_POTENTIAL = Published(
    temperature=0.694,
    holds_for="Lennard-Jones without a cut (its triple point)",
    source="Mastny & de Pablo, J. Chem. Phys. 127, 104504 (2007)",
)
