"""Aurora (ALCF): blocks of two nodes, for Dragon and MPI tasks; a node has six Intel GPUs of two tiles each.

Run here: it loads and validates. Run on Aurora: nothing yet; not run there, written from public pages. Set account,
environment and the file systems you use; start the driver in the project's directory, not in home [1].

The pages, in their text of August 2026; each line below names its own.

[1] https://docs.alcf.anl.gov/aurora/running-jobs-aurora/ (also: cores 0 and 52 are the system's since March 2025; the
    internet through `proxy.alcf.anl.gov:3128` only)
[2] https://docs.alcf.anl.gov/aurora/workflows/parsl/ (the driver's address there is that of `hsn0`; here all are tried)
[3] https://docs.alcf.anl.gov/aurora/known-issues/
[4] https://docs.alcf.anl.gov/aurora/data-science/python/
[5] https://docs.alcf.anl.gov/aurora/workflows/dragon/ (Dragon's transport, for runtimes over several nodes, wants
    `dragon-config add --ofi-runtime-lib=...` once; the page has the path)
[6] https://docs.alcf.anl.gov/running-jobs/

A GPU here is a whole one, as the kernel counts them: hence COMPOSITE; under FLAT the numbers 0 to 5 would be the tiles
of the first three. Not confirmed, so check: that a job's affinity mask leaves cores 0 and 52 out.
"""

from parsl import Config
from parsl.launchers import SimpleLauncher
from parsl.providers import PBSProProvider

from rhapsody_parsl import DragonRuntime, MPIRuntime, RhapsodyExecutor

config = Config(
    executors=[
        RhapsodyExecutor(
            label="rhapsody",
            provider=PBSProProvider(
                account="ACCOUNT",  # [6]
                queue="debug",  # [1]: up to two nodes and an hour; one job per user, queued ones included
                nodes_per_block=2,
                cpus_per_node=208,  # [1, 2]: hardware threads of the 104 cores
                scheduler_options="#PBS -l filesystems=home:flare\n#PBS -l place=scatter",  # [2], [1]
                init_blocks=1,
                max_blocks=1,
                walltime="00:30:00",  # [1]
                worker_init=(  # module and environment [4]; TMPDIR, for socket paths under mpiexec [3]; devices [1, 4]
                    "module load frameworks; source $HOME/venvs/rhapsody/bin/activate; export TMPDIR=/tmp "
                    "ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE ZE_ENABLE_PCI_ID_DEVICE_ORDER=1"
                ),
                launcher=SimpleLauncher(),  # one pilot a block
            ),
            runtimes=[DragonRuntime(), MPIRuntime()],  # [1]: PALS' mpiexec, found by its name
        )
    ],
)
