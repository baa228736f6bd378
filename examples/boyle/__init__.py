"""The science of `active_learning.py`: at which temperature does a gas look ideal?

At the Boyle temperature attraction and repulsion cancel in a thin gas: its second virial coefficient is zero. Through
this folder flows: `gas` (LAMMPS measures how far a gas is from ideal, at one temperature and density) → `training`
(ranks train an ensemble of small networks on all measurements) → `surrogate` (what they learned: at density zero it is
the second virial coefficient) → `screening` (which measurement would tell most about the answer) → `agent` (one round
after the other; `advice` is all that the language model is told) → `pictures`. `exact` has the answer by an integral.

Only `tasks` and `agent` know the block. All quantities are in Lennard-Jones units.
"""
