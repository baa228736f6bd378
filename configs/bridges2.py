"""Bridges-2 (PSC), regular memory nodes: blocks of two whole nodes of 128 cores, for Dragon and MPI tasks.

Run here: it loads and validates. Run on Bridges-2: nothing yet; not run there, written from public pages. Set account
and environment.

Each line below names its page.

[1] https://www.psc.edu/resources/bridges-2/ (two 64-core EPYC 7742, 256 GB (some 512), InfiniBand HDR-200)
[2] https://github.com/pscedu/psc-wpdocs (the site's own texts, of April 2025: `-p RM`, `-A` with the allocation, in
    `neocortex/reference-compilation-bridges-2.md`; for GPU nodes `-p GPU -N 1 --gpus=8`, in
    `neocortex/running-b2-batch.md`)
[3] https://slurm.schedmd.com/sbatch.html
[4] https://github.com/glotzerlab/signac-flow/blob/main/flow/environments/xsede.py (another project's file, after the
    site's user guide: `RM` gives whole nodes of 128 cores, `GPU` whole nodes of 40 cores and 8 GPUs; `mpirun`)
[5] https://github.com/pscedu/bridges2-examples (the site's own jobs, of March 2025: `-p GPU -N 2 --gpus=v100-32:16`,
    all GPUs of the job; `module load openmpi` and `mpirun`)

The text of https://www.psc.edu/resources/bridges-2/user-guide/ could not be read. Not confirmed, so check there: the
longest walltime of `RM`. For GPU nodes say `partition="GPU"` and, in `scheduler_options`, `#SBATCH --gpus=v100-32:16`
for two of them [5].
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
                account="ACCOUNT",  # [2]
                partition="RM",  # [2, 4]
                nodes_per_block=2,
                cores_per_node=128,  # [1, 4]
                init_blocks=1,
                max_blocks=2,
                walltime="01:00:00",  # not confirmed: check
                exclusive=True,  # [3]
                scheduler_options="#SBATCH --no-kill",  # [3]: the job survives the loss of a node
                worker_init="source $HOME/venvs/rhapsody/bin/activate",  # yours
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[DragonRuntime(), MPIRuntime()],  # [4, 5]: mpirun, the launcher of the environment's own MPI
        )
    ],
)
