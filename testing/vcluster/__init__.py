"""A small virtual cluster on one Debian machine, made of Linux namespaces: a head and compute nodes with real Slurm.

Each host has its own network, process table, host name, boot id, `/dev/shm`, `/tmp`, `/run` and `/sys`; all else is
shared, as on a cluster's file system. `vn0` holds the switch, slurmctld and the login role; `vn1`, `vn2`, ... run sshd,
munged and slurmd. Hosts can be killed, cut off and frozen. Nothing of the machine is changed, and no route leads out.

`cluster` has the whole, `host` one machine of it, `files` what all of them read, `boot.sh` is a host's first process.
By hand: `python -m testing.vcluster`.
"""
