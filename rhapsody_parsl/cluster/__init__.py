"""Of an allocation: which hosts it holds, and how a process is started, guarded and ended on one.

Both sides use it: providers, to start a block where the driver already has its nodes, and the block itself.
"""
