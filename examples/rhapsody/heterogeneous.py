"""Functions and programs, on one process and on several, in one block: `python examples/rhapsody/heterogeneous.py`."""

import parsl
from parsl import Config, bash_app, python_app

from rhapsody_parsl import MPI, DragonRuntime, MPIRuntime, Policy, RhapsodyExecutor, annotate


@python_app
def function():  # no annotation: Dragon, one core, a process that is there already
    import os  # noqa: PLC0415 - the function travels without its script

    return os.getpid()


@python_app
@annotate(Policy(isolation="process"))
def process():  # a fresh process of its own
    import os  # noqa: PLC0415 - as above

    return os.getpid()


@bash_app
@annotate(Policy(output="text"))
def program():  # an executable
    return "echo one process"


@python_app
@annotate(MPI(ranks=2), Policy(returns="all"))
def parallel_function(comm=None):  # a function on each of two ranks
    return f"rank {comm.rank} of {comm.size}"


@bash_app
@annotate(MPI(ranks=2), Policy(output="text"))
def parallel_program():  # an executable on each of two ranks
    return "$PARSL_MPI_PREFIX echo one rank of a program"


if __name__ == "__main__":
    executor = RhapsodyExecutor(runtimes=[DragonRuntime(), MPIRuntime()], cores_per_node=4)
    with parsl.load(Config(executors=[executor])):
        futures = [function(), process(), program(), parallel_function(), parallel_program()]
        shared, own, one, ranks, many = [future.result() for future in futures]
        print("two processes:", shared != own)
        print("program:", one.stdout.strip())
        print("function on ranks:", ranks)
        print("program on ranks:", many.stdout.split("\n")[:2])
