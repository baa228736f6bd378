"""The first script: a bash app over MPI ranks, a Python app on Dragon, an MPI function, in one block."""

import parsl
from parsl import Config, bash_app, python_app
from parsl.providers import LocalProvider

from rhapsody_parsl import MPI, DragonRuntime, MPIRuntime, RhapsodyExecutor, annotate


@bash_app
@annotate(MPI(ranks=2))
def hello(stdout=None):  # called once; $PARSL_MPI_PREFIX starts the program on two ranks
    return "$PARSL_MPI_PREFIX python -m mpi4py.bench helloworld"


@python_app
def square(x):  # no annotation: the default runtime, Dragon, on one core
    return x * x


@python_app
@annotate(MPI(ranks=2))
def total(values, comm=None):  # runs on both ranks; rank 0's result counts
    return comm.allreduce(sum(values[comm.rank :: comm.size]))


if __name__ == "__main__":
    executor = RhapsodyExecutor(
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        runtimes=[DragonRuntime(), MPIRuntime()],
    )
    with parsl.load(Config(executors=[executor])):
        launched = hello(stdout=("hello.txt", "w"))
        squares = [square(x).result() for x in range(10)]
        print(squares, total(squares).result(), launched.result())
