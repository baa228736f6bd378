"""What the batch system says of an allocation: which hosts it holds, how much of each, and what starts a process there.

Both sides use it: providers, to start a block where the driver already has its nodes, and the block itself.
"""
