"""Gangs of ranks: executables launched over a lease, and functions on the ranks of a standing world.

`runtime` is the pilot's half. An app without a `comm` parameter goes through `executables`: it runs once in a plain
worker with the variables of `prefix`, which hold the launch lines of `launcher`. A function with `comm` goes through
`functions`: `worlds` finds or starts the `world` it gets, `gang` picks ranks of that, `job` keeps what its ranks have
said, and `rank` is the process at the other end, the only importer of mpi4py.
"""
