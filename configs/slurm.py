"""A Slurm cluster: up to four blocks of two nodes, in each four replicas of a model beside Dragon and MPI tasks.

Run here: it loads and validates; blocks like it, of three nodes, on the virtual cluster of `tests/cluster`. Set
account, partition, model and environment.
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor, VLLMService

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=SlurmProvider(
                account="ACCOUNT",
                partition="PARTITION",
                nodes_per_block=2,
                exclusive=True,
                gpus_per_node=2,
                scheduler_options="#SBATCH --no-kill",  # the job survives the loss of a node
                init_blocks=1,
                max_blocks=4,
                walltime="01:00:00",
                worker_init="source $HOME/venvs/rhapsody/bin/activate",
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[
                DragonRuntime(),
                MPIRuntime(launcher="srun"),
            ],
            services=[VLLMService("assistant", model="/path/to/model", gpus=1, replicas=4)],
        )
    ],
)
