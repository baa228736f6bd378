"""Polaris (ALCF): blocks of two nodes with four A100s each, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Polaris: nothing yet. Written from ALCF's public documentation. Set account,
model and environment.
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import PBSProProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor, VLLMRuntime, VLLMService

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=PBSProProvider(
                account="ACCOUNT",
                queue="debug",
                nodes_per_block=2,
                cpus_per_node=64,  # hardware threads of the 32 cores
                select_options="ngpus=4",
                scheduler_options="#PBS -l filesystems=home:eagle\n#PBS -l place=scatter",
                init_blocks=1,
                max_blocks=1,
                walltime="00:30:00",
                worker_init="module use /soft/modulefiles; module load conda; source $HOME/venvs/rhapsody/bin/activate",
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[
                DragonRuntime(),
                MPIRuntime(),  # HPE's PALS mpiexec, found by its name
                VLLMRuntime(services=[VLLMService("assistant", model="/path/to/model", gpus=1, replicas=2)]),
            ],
        )
    ],
)
