"""Delta (NCSA), nodes with four A100s: one node a block, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Delta: nothing yet; not run there, written from public pages. Set account,
model and environment.

The pages, in their text of May 2025; each line below names its own. Delta moved to Red Hat 9 in the winter after it,
and no later text could be read: compare with the pages of today.

[1] https://docs.ncsa.illinois.edu/systems/delta/en/latest/user_guide/running_jobs.html (nodes are shared, unless a job
    says `--exclusive --mem=0` or takes all that a node has, as here)
[2] https://docs.ncsa.illinois.edu/systems/delta/en/latest/user_guide/architecture.html (256 GB per node)
[3] https://docs.ncsa.illinois.edu/systems/delta/en/latest/user_guide/job_accounting.html
[4] https://github.com/Parsl/parsl/blob/master/parsl/configs/delta.py (of Parsl 2026.10.26: `gpuA100x4`, 220 GB)

Not confirmed, so check: the MPI of today (then Open MPI by module): `MPIRuntime` takes the launcher it finds; and which
labels `constraint=` has today for the file systems (then `scratch`, `projects`).
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
                account="ACCOUNT-delta-gpu",  # [3]
                partition="gpuA100x4",  # [1, 4]: up to 48 hours
                nodes_per_block=1,
                cores_per_node=64,  # [2]: SMT is off
                mem_per_node=208,  # [1]: as in its example; [4] has 220
                init_blocks=1,
                max_blocks=2,
                walltime="01:00:00",  # [1]
                exclusive=False,  # [1]
                gpus_per_node=4,  # [1, 2]
                worker_init="source $HOME/venvs/rhapsody/bin/activate",  # yours
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
