"""What a block gives to what runs in it, runtimes and services alike.

`context` has the nodes, the leases and whom to tell; `exchange` the conversation with processes on all hosts; `gpus`
the variables that show a process its GPUs.
"""
