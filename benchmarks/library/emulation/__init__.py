"""Hosts that are none: the real agents of many, in one process, over workers that answer without running anything.

A benchmark starts the real driver and, through its provider, the real pilot. The pilot is told of hosts by a file of
hosts and starts the agent of each by a `carry` command, as it would by `srun`: that brings what the agent is to know to
the one process of all (`process`). There an `agent` is the product's own, with its line and its encrypted connection,
but for what it starts: its `workers` are objects. `block` is what a benchmark has of all this.
"""
