"""A task that searches with tasks of its own, inside the block: `python examples/inside.py`."""

import parsl
from parsl import Config, python_app

from rhapsody_parsl import LocalRuntime, RhapsodyExecutor, annotate


@python_app
@annotate({"cores": 0})  # it waits for others most of the time, so it needs no core of its own
def search(low, high, rounds):
    from rhapsody_parsl import block  # noqa: PLC0415 - the function travels without its script

    def energy(x):
        return (x - 3) ** 2

    best = low
    with block() as here:  # an executor of the standard library's kind; the pilot answers, not the driver
        for _ in range(rounds):
            points = [low + (high - low) * i / 4 for i in range(5)]
            values = list(here.map(energy, points))
            best = points[values.index(min(values))]
            low, high = best - (high - low) / 4, best + (high - low) / 4
    return best


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[LocalRuntime()])])):
        print(f"{search(0, 10, 12).result():.3f}")
