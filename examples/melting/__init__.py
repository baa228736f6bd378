"""The science of `melting_point.py`: where does the Lennard-Jones crystal melt?

A run starts as half crystal, half liquid, at one temperature and next to no pressure. Below the
melting temperature the crystal grows, above it the liquid does; where neither does is the answer.
Through this folder flows: `lammps_input` (what LAMMPS is told) → `trajectory` (what it wrote) →
`analysis` (one row a run, from `structure` and `motion`) → `fit` (one temperature with an error
bar from all rows) → `pictures`. `prompts` is all that the language model is told.

Nothing here knows Parsl: each module can be used, and is tested, alone. All quantities are in
Lennard-Jones units: lengths in sigma, energies in epsilon, times in tau.
"""
