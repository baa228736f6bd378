"""Two programs greet, and their output comes back as values: `python examples/rhapsody/hello.py`."""

import parsl
from parsl import Config, bash_app

from rhapsody_parsl import LocalRuntime, Policy, RhapsodyExecutor, annotate


@bash_app
@annotate(Policy(output="text"))
def greet(number):
    return f"echo Hello from task {number} on $(hostname)"


if __name__ == "__main__":
    with parsl.load(Config(executors=[RhapsodyExecutor(runtimes=[LocalRuntime()])])):
        for done in [future.result() for future in (greet(1), greet(2))]:
            print(done.returncode, done.stdout.strip())
