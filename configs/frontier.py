"""Frontier (OLCF): blocks of two nodes with eight GPU dies (MI250X) each, for Dragon and MPI tasks.

Run here: it loads and validates. Run on Frontier: nothing yet. Written from OLCF's public documentation. Set account
and environment, which has to be readable on the compute nodes. Slurm keeps eight cores of a node to itself by default.
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
                partition="batch",
                nodes_per_block=2,
                init_blocks=1,
                max_blocks=2,
                walltime="01:00:00",
                exclusive=True,
                gpus_per_node=8,
                scheduler_options="#SBATCH --no-kill",  # the job survives the loss of a node
                worker_init="source /path/to/venvs/rhapsody/bin/activate",
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[DragonRuntime(), MPIRuntime(launcher="srun")],
        )
    ],
)
