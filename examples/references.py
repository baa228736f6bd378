"""A large state that stays in the block: `python examples/references.py`."""

from typing import Any

import parsl
from parsl import Config, python_app

from rhapsody_parsl import LocalRuntime, Policy, RhapsodyExecutor, annotate


@python_app
@annotate(Policy(result="reference"))  # the future gives a handle, and the array stays where it was made
def simulate(state: Any, seed: int) -> Any:
    """Return the next state."""
    import numpy  # noqa: PLC0415 - the function travels without its script

    return state + numpy.random.default_rng(seed).normal(size=state.size)


@python_app
def summary(states: list[Any]) -> float:
    """Return the mean of all states."""
    return float(sum(state.mean() for state in states) / len(states))  # handles are arrays here, read in place


def main() -> None:
    """Move the handle of a state through three rounds of simulations."""
    import numpy  # noqa: PLC0415 - only the driver's

    executor = RhapsodyExecutor(runtimes=[LocalRuntime()])
    with parsl.load(Config(executors=[executor])):
        state = executor.put(numpy.zeros(1_000_000))
        for step in range(3):
            state = simulate(state, step).result()
        print(state)
        mean = summary([state, executor.put(numpy.ones(1_000_000))]).result()
        print(f"mean {mean:.2f}")


if __name__ == "__main__":
    main()
