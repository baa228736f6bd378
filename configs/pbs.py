"""A PBS Pro cluster: up to two blocks of two nodes for Dragon and MPI tasks.

Run here: it loads and validates; blocks like it, of three nodes, on a virtual cluster with OpenPBS 23.06.06. Set
account, queue and environment.
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import PBSProProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=PBSProProvider(
                account="ACCOUNT",
                queue="QUEUE",
                nodes_per_block=2,
                cpus_per_node=64,
                init_blocks=1,
                max_blocks=2,
                scheduler_options="#PBS -l place=scatter",  # each of the nodes another host
                walltime="01:00:00",
                worker_init="source $HOME/venvs/rhapsody/bin/activate",
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[DragonRuntime(), MPIRuntime()],
        )
    ],
)
