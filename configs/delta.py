"""Delta (NCSA), nodes with four A100s: one node a block, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Delta: nothing yet; not run there, written from public pages. Set account,
model and environment.

- https://docs.ncsa.illinois.edu/systems/delta/en/latest/user_guide/running_jobs.html: partition `gpuA100x4`, 48 hours;
  nodes are shared unless a job says `exclusive` or takes all there is; 64 cores, 208 GB, four GPUs as in its example.
- https://docs.ncsa.illinois.edu/systems/delta/en/latest/user_guide/architecture.html: 64 cores (SMT off), 256 GB.
- https://docs.ncsa.illinois.edu/systems/delta/en/latest/user_guide/job_accounting.html: accounts end in `-delta-gpu`.

Read in their text of May 2025. Not verified: the MPI of today (then Open MPI by module): `MPIRuntime` takes the
launcher it finds; and which labels `constraint=` has today for the file systems (then `scratch`, `projects`).
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
                account="ACCOUNT-delta-gpu",
                partition="gpuA100x4",
                nodes_per_block=1,
                cores_per_node=64,
                mem_per_node=208,
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
                MPIRuntime(),  # the launcher of the environment's own MPI
            ],
            services=[VLLMService("assistant", model="/path/to/model", gpus=1, replicas=2)],
        )
    ],
)
