"""Perlmutter (NERSC), GPU nodes: blocks of two nodes with four A100s each, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Perlmutter: nothing yet. Written from NERSC's public documentation. Set
account, model and environment (a virtual environment that was made after `module load python`).
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import SlurmProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor, VLLMRuntime, VLLMService

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=SlurmProvider(
                account="ACCOUNT_g",  # NERSC's GPU accounts end in _g
                qos="debug",
                constraint="gpu",
                nodes_per_block=2,
                init_blocks=1,
                max_blocks=2,
                walltime="00:30:00",
                exclusive=True,
                gpus_per_node=4,
                scheduler_options="#SBATCH --no-kill",  # the job survives the loss of a node
                worker_init="module load python; source $HOME/venvs/rhapsody/bin/activate",
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[
                DragonRuntime(),
                MPIRuntime(launcher="srun"),
                VLLMRuntime(services=[VLLMService("assistant", model="/path/to/model", gpus=1, replicas=2)]),
            ],
        )
    ],
)
