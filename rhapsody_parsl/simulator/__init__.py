"""What a block would do: the pilot's own core on a simulated clock, without a process.

A trace comes in, a forecast goes out. It is the only part of the block's side that runs in the driver, and only when a
user asks `RhapsodyExecutor.simulate`.
"""
