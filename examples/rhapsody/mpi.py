"""An MPI function and an MPI program estimate pi together: `python examples/rhapsody/mpi.py`."""

import parsl
from parsl import Config, bash_app, python_app

from rhapsody_parsl import MPI, MPIRuntime, Policy, RhapsodyExecutor, annotate


@python_app
@annotate(MPI(ranks=2))
def pi(slices, comm=None):  # on each rank; rank 0's result counts
    width = 1 / slices
    mine = sum(4 / (1 + ((i + 0.5) * width) ** 2) for i in range(comm.rank, slices, comm.size))
    return comm.allreduce(mine * width)


@bash_app
@annotate(MPI(ranks=2), Policy(output="text"))
def hello():
    return "$PARSL_MPI_PREFIX python -m mpi4py.bench helloworld"


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[MPIRuntime()], cores_per_node=2)])):
        print(f"pi is about {pi(100_000).result():.8f}")
        print(hello().result().stdout.count("Hello"), "ranks said hello")
