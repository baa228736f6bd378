"""The pilot: one asyncio process on the head node of the block that decides what runs where.

`__main__` starts it, `loop` is its life, `link` its end of the connection to the driver, `shell` does what the core
decides, `inventory` and `reports` tell what the block holds and how it is. The deciding is pure and knows no sockets:
`core` keeps the tasks (events in, instructions out), with `feeder` for what starts next, `runs` for what is under way,
`backlog` for those that wait, `reservations` for who is next where nothing is free, `lender`, `fitting` and
`idle_leases` for leases, `starts` and `alarms` for what time brings, `outcomes` for what has ended; `router` picks the
runtime, `scheduler` the nodes, `ledger` counts cores, GPUs and memory. It imports no Parsl, Dragon, MPI or vLLM and
never opens a payload.
"""
