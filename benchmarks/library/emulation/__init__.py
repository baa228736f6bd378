"""Hosts that are none: the real agents of many, in one process, over workers that answer without running anything.

A benchmark starts the real driver and, through its provider, the real pilot. The pilot is told of hosts by a file of
hosts, and starts all agents by one step, as it would by `srun`: the command is that of a `process` that is all these
hosts. An `agent` there is the product's own, with its line and its encrypted connection, but for what it starts: its
`workers` are objects. `block` is what a benchmark has of all this, `phases` what is done with it.
"""
