"""Delta (NCSA), nodes with four A100s: one node a block, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Delta: nothing yet. Written from NCSA's public documentation. Set account,
model and environment.
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
                account="ACCOUNT-delta-gpu",
                partition="gpuA100x4",
                nodes_per_block=1,
                cores_per_node=64,
                mem_per_node=220,
                init_blocks=1,
                max_blocks=2,
                walltime="01:00:00",
                exclusive=False,
                gpus_per_node=4,
                worker_init="source $HOME/venvs/rhapsody/bin/activate",
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
