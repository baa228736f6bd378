"""256 workflows of three tasks that depend on each other: `python examples/rhapsody/chains.py`."""

import parsl
from parsl import Config, python_app

from rhapsody_parsl import DragonRuntime, RhapsodyExecutor


@python_app
def generate(seed):
    return list(range(seed, seed + 100))


@python_app
def select(numbers):
    return [number for number in numbers if number % 2 == 0]


@python_app
def aggregate(numbers, even):
    return {"sum": sum(numbers), "even": len(even)}


def workflow(seed):
    numbers = generate(seed)  # a future; Parsl waits for it before it starts what takes it
    return aggregate(numbers, select(numbers))


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[DragonRuntime()])])):
        results = [future.result() for future in [workflow(seed) for seed in range(256)]]
        print(len(results), "workflows;", "the first:", results[0])
