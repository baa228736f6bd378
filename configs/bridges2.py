"""Bridges-2 (PSC), regular memory nodes: blocks of two whole nodes of 128 cores, for Dragon and MPI tasks.

Run here: it loads and validates. Run on Bridges-2: nothing yet. Written from PSC's public documentation. Set account
and environment. For GPUs: `partition="GPU"` and `--gpus-per-node=v100-32:8`.
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=SlurmProvider(
                account="ACCOUNT",
                partition="RM",
                nodes_per_block=2,
                cores_per_node=128,
                init_blocks=1,
                max_blocks=2,
                walltime="01:00:00",
                exclusive=True,
                scheduler_options="#SBATCH --no-kill",  # the job survives the loss of a node
                worker_init="source $HOME/venvs/rhapsody/bin/activate",
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[DragonRuntime(), MPIRuntime()],
        )
    ],
)
