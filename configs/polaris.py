"""Polaris (ALCF): blocks of two nodes with four A100s each, a model beside Dragon and MPI tasks.

Run here: it loads and validates. Run on Polaris: nothing yet; not run there, written from public pages. Set account,
model and environment (a virtual environment on top of the `conda` module's).

- https://docs.alcf.anl.gov/polaris/running-jobs/: queue `debug`, two nodes for an hour; `filesystems`; the internet
  through `proxy.alcf.anl.gov:3128` only.
- https://docs.alcf.anl.gov/polaris/workflows/parsl/: `ngpus=4`, up to 64 hardware threads, `home:eagle`, the modules.
- https://docs.alcf.anl.gov/polaris/known-issues/: `TMPDIR=/tmp`, for socket paths under `mpiexec`.
- https://docs.alcf.anl.gov/polaris/workflows/dragon/: no `xalt`; Dragon's transport, for runtimes over several nodes,
  wants `dragon-config add --ofi-runtime-lib=...` once (the page has the path).
- https://docs.alcf.anl.gov/polaris/data-science/frameworks/vllm/: weights under `/eagle/datasets/model-weights/hub`.

Not verified: `place=scatter` alone, which is from Aurora's pages (here it stands beside `group=`).
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import PBSProProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor, VLLMService

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
                worker_init=(
                    "module use /soft/modulefiles; module load conda; conda activate base; module unload xalt; "
                    "source $HOME/venvs/rhapsody/bin/activate; export TMPDIR=/tmp"
                ),
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[
                DragonRuntime(),
                MPIRuntime(),  # HPE's PALS mpiexec, found by its name
            ],
            services=[VLLMService("assistant", model="/path/to/model", gpus=1, replicas=2)],
        )
    ],
)
